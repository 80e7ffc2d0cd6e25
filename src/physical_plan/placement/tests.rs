use arrow::array::{Array, Decimal128Array, Int16Array, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::Field;
use datafusion::physical_plan::empty::EmptyExec;

use super::*;
use crate::distribution::hash_array;

fn column(name: &str, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, at))
}

/// Where a cast is looked through, values hash as they did; where it is not, some do not.
#[test]
fn casts_are_looked_through_where_hashes_stay() {
    let decimals = || Decimal128Array::from(vec![Some(0), Some(-5), Some(123), None]);
    let arrays: [Arc<dyn Array>; 4] = [
        Arc::new(Int16Array::from(vec![Some(0), Some(-5), Some(123), None])),
        Arc::new(Int32Array::from(vec![Some(0), Some(-5), Some(123), None])),
        Arc::new(decimals().with_data_type(DataType::Decimal128(9, 2))),
        Arc::new(decimals().with_data_type(DataType::Decimal128(12, 0))),
    ];
    let types = [
        DataType::Int32,
        DataType::Int64,
        DataType::Decimal128(9, 2),
        DataType::Decimal128(12, 2),
        DataType::Decimal128(38, 0),
        DataType::Decimal128(12, 3),
    ];
    let mut through = 0;
    for array in &arrays {
        for to in &types {
            let schema = Schema::new(vec![Field::new("k", array.data_type().clone(), true)]);
            let expr: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("k", 0), to.clone(), None));
            let looked_through = hashed(&expr, &schema).is::<Column>();
            let Ok(made) = cast(array, to) else { continue };
            let same = hash_array(array).unwrap() == hash_array(&made).unwrap();
            assert!(same || !looked_through, "{} to {to}", array.data_type());
            through += usize::from(looked_through);
            assert!(looked_through || !same || array.data_type() != to, "{to} to itself");
        }
    }
    // To itself, and to more digits.
    assert_eq!(through, 4);
}

#[test]
fn projections_carry_keys() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, true), Field::new("x", DataType::Int32, true)]));
    let input: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(Arc::clone(&schema)).with_partitions(3));
    let exchange = |by: Vec<Arc<dyn PhysicalExpr>>| -> Arc<dyn ExecutionPlan> {
        Arc::new(RepartitionExec::try_new(Arc::clone(&input), Partitioning::Hash(by, 4)).unwrap())
    };
    let project = |input: Arc<dyn ExecutionPlan>, items: Vec<(Arc<dyn PhysicalExpr>, String)>| {
        let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(items, input).unwrap());
        placement(&plan)
    };
    let item = |expr: Arc<dyn PhysicalExpr>, name: &str| (expr, name.to_string());
    let kept = project(
        exchange(vec![column("k", 0)]),
        vec![item(column("x", 1), "x"), item(column("k", 0), "a"), item(column("k", 0), "b")],
    );
    let Placement::By(key) = kept else { panic!("{kept:?}") };
    assert_eq!((&key.parts[0].exprs, key.partitions), (&vec![column("a", 1), column("b", 2)], 4));
    let lost = project(exchange(vec![column("k", 0), column("x", 1)]), vec![item(column("x", 1), "x")]);
    assert_eq!(lost, Placement::Unknown);
    // A key that is computed is so from what its columns became.
    let cast: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("k", 0), DataType::Int64, None));
    let computed =
        project(exchange(vec![Arc::clone(&cast)]), vec![item(column("x", 1), "x"), item(column("k", 0), "k")]);
    let Placement::By(key) = computed else { panic!("{computed:?}") };
    let moved: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("k", 1), DataType::Int64, None));
    assert_eq!((&key.parts[0].exprs, &key.parts[0].form), (&vec![moved], &DataType::Int64));
    // Claims alone are nothing.
    assert_eq!(placement(&input), Placement::Unknown);
}
