//! TPC-H data and queries for both sides.

use std::sync::Arc;

use blueshift::engine::Session;
use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use tpchgen::generators::*;
use tpchgen_arrow::*;

pub const TABLES: [&str; 8] = ["nation", "region", "part", "supplier", "partsupp", "customer", "orders", "lineitem"];

/// Layouts of every kind: KEY with and without sort key, EVEN, ALL, AUTO.
const LAYOUTS: [(&str, &str); 8] = [
    ("nation", "diststyle all"),
    ("region", ""),
    ("part", "distkey(p_partkey) sortkey(p_partkey)"),
    ("supplier", "diststyle all sortkey(s_suppkey)"),
    ("partsupp", "distkey(ps_partkey)"),
    ("customer", "diststyle even"),
    ("orders", "distkey(o_orderkey) sortkey(o_orderdate)"),
    ("lineitem", "distkey(l_orderkey) sortkey(l_orderkey, l_linenumber)"),
];

pub struct Data {
    tables: Vec<(&'static str, Vec<RecordBatch>)>,
}

impl Data {
    pub fn generate(scale: f64) -> Self {
        fn all<E: std::fmt::Debug>(batches: impl Iterator<Item = Result<RecordBatch, E>>) -> Vec<RecordBatch> {
            batches.map(|b| b.expect("generated")).collect()
        }
        let tables = vec![
            ("nation", all(NationArrow::new(NationGenerator::new(scale, 1, 1)))),
            ("region", all(RegionArrow::new(RegionGenerator::new(scale, 1, 1)))),
            ("part", all(PartArrow::new(PartGenerator::new(scale, 1, 1)))),
            ("supplier", all(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)))),
            ("partsupp", all(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)))),
            ("customer", all(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)))),
            ("orders", all(OrderArrow::new(OrderGenerator::new(scale, 1, 1)))),
            ("lineitem", all(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)))),
        ];
        Data { tables }
    }

    /// Into plain DataFusion, as tables in memory.
    pub fn register(&self, context: &SessionContext) {
        for (name, batches) in &self.tables {
            let table = MemTable::try_new(batches[0].schema(), vec![batches.clone()]).expect("a table");
            context.register_table(*name, Arc::new(table)).expect("it registers");
        }
    }

    /// Into our warehouse, as tables of the same column types.
    pub async fn load(&self, session: &Session) {
        for ((name, batches), (layout_of, layout)) in self.tables.iter().zip(LAYOUTS) {
            assert_eq!(*name, layout_of);
            let schema = batches[0].schema();
            let columns: Vec<String> =
                schema.fields().iter().map(|f| format!("{} {}", f.name(), sql_type(f.data_type()))).collect();
            let create = format!("create table {name} ({}) {layout}", columns.join(", "));
            session.sql(&create).await.unwrap_or_else(|e| panic!("{create}\n{e:?}"));
            let stream = futures::stream::iter(batches.clone().into_iter().map(Ok));
            let stream = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
            session.load(name, vec![stream]).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
}

fn sql_type(data_type: &datafusion::arrow::datatypes::DataType) -> String {
    use datafusion::arrow::datatypes::DataType;
    match data_type {
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
        DataType::Date32 => "date".into(),
        DataType::Utf8 | DataType::Utf8View => "varchar(200)".into(),
        other => panic!("TPC-H has no {other}"),
    }
}

/// The 22 queries by number.
pub fn queries() -> Vec<(usize, &'static str)> {
    macro_rules! query {
        ($($number:literal),*) => {
            vec![$(include_str!(concat!("../../src/engine/tpch/queries/q", $number, ".sql"))),*]
        };
    }
    let texts = query!(
        "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "18",
        "19", "20", "21", "22"
    );
    texts.into_iter().enumerate().map(|(i, text)| (i + 1, text)).collect()
}
