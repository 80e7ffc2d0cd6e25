//! A partition of a scan takes its own branch of a partitioned join's filter, and no other.

use arrow::array::{ArrayRef, Int64Array};
use datafusion::common::Result;
use datafusion::physical_expr::expressions::{case, in_list, lit};
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

use super::*;
use crate::distribution::hash_array;

const PARTITIONS: u64 = 4;
const TYPES: [SqlType; 2] = [SqlType::BigInt, SqlType::BigInt];

fn column_at(index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(["k", "n"][index], index))
}

fn partition_of(key: i64) -> u64 {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![key]));
    hash_array(&keys).unwrap()[0] % PARTITIONS
}

/// The build side's keys.
fn keys() -> impl Iterator<Item = i64> {
    (0..40).map(|v| v * 7)
}

/// What a hash join on `on` into [`PARTITIONS`] partitions pushes to its probe side.
fn join_filter(on: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
    let schema = arrow::datatypes::Schema::new(
        ["k", "n"].map(|name| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Int64, true)).to_vec(),
    );
    let hash: Arc<dyn PhysicalExpr> = Arc::new(HashExpr::new(on, REPARTITION_RANDOM_STATE, "hash_join".into()));
    let modulo = Arc::new(BinaryExpr::new(hash, Operator::Modulo, lit(PARTITIONS)));
    let branches = (0..PARTITIONS)
        .map(|partition| {
            let own = keys().filter(|key| partition_of(*key) == partition).map(lit).collect();
            Ok((lit(partition), in_list(column_at(0), own, &false, &schema)?))
        })
        .collect::<Result<Vec<_>>>()?;
    case(Some(modulo), branches, Some(lit(false)))
}

fn compiled(filter: &Arc<dyn PhysicalExpr>, partition: usize, partitions: usize, key: Option<usize>) -> CompiledFilter {
    let routing = Routing { partition, partitions, key };
    FilterCompiler::new(vec![Arc::clone(filter)], TYPES.to_vec(), routing, BoundsTrust::None).compile().unwrap()
}

#[test]
fn each_partition_takes_its_own_branch() {
    let filter = join_filter(vec![column_at(0)]).unwrap();
    for partition in 0..PARTITIONS as usize {
        let compiled = compiled(&filter, partition, PARTITIONS as usize, Some(0));
        assert!(compiled.residual.is_empty() && !compiled.never);
        let [EncodedConjunct { column: 0, predicate, .. }] = compiled.encoded.as_slice() else {
            panic!("{compiled:?}");
        };
        for key in keys() {
            // Were it another partition's branch, the rows that match would be lost.
            let own = partition_of(key) == partition as u64;
            assert_eq!(predicate.holds(&Scalar::Int(key.into())), Some(own), "key {key} in partition {partition}");
        }
    }
}

#[test]
fn a_filter_that_is_not_routed_as_the_rows_are_is_evaluated() {
    let by_key = join_filter(vec![column_at(0)]).unwrap();
    let partitions = PARTITIONS as usize;
    for (filter, partitions, key, why) in [
        (&by_key, partitions, None, "rows are not placed by a hash"),
        (&by_key, partitions, Some(1), "rows are placed by another column"),
        (&by_key, partitions * 2, Some(0), "other partitions"),
        (&join_filter(vec![column_at(0), column_at(1)]).unwrap(), partitions, Some(0), "two keys"),
        (&join_filter(vec![column_at(1)]).unwrap(), partitions, Some(0), "another key"),
    ] {
        let compiled = compiled(filter, 1, partitions, key);
        assert!(compiled.encoded.is_empty() && compiled.residual.len() == 1, "{why}: {compiled:?}");
    }
}

/// Bounds of any branch may hold of a row, wherever it is: only what is outside of all is out.
#[test]
fn a_filter_that_is_evaluated_still_tells_what_no_row_of_any_partition_is() {
    let filter = join_filter(vec![column_at(0)]).unwrap();
    let compiled = compiled(&filter, 1, PARTITIONS as usize, None);
    let needs = compiled.residual[0].needs.clone().unwrap();
    let holds = |key: i64| needs.may_hold(&|_, predicate| predicate.holds(&Scalar::Int(key.into())) != Some(false));
    assert!(keys().all(holds));
    assert!(!(1..7).any(holds));
    // A branch of which nothing is known lets all pass.
    let unknown: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(column_at(0), Operator::Eq, column_at(1)));
    for (otherwise, known) in [(Some(lit(false)), true), (None, true), (Some(lit(true)), false), (Some(unknown), false)]
    {
        let own: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(column_at(0), Operator::Gt, lit(5_i64)));
        let case = case(Some(column_at(1)), vec![(lit(1_i64), own)], otherwise).unwrap();
        assert_eq!(Needs::of(&case, &TYPES).is_some(), known, "{case}");
    }
}
