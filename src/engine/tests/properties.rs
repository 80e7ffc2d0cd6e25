//! Random tables, random rows, random layouts, random queries: the answers are those of plain DataFusion, and bounds
//! contain every value.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::util::*;
use crate::common::{Scalar, SqlType};
use crate::engine::catalog_provider::scan_table;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::testing::{Rng, seeds};

/// SQL type, Arrow type, and literals to draw values and comparisons from; the first values are the nasty ones.
struct Kind {
    sql: &'static str,
    arrow: DataType,
    literals: &'static [&'static str],
}

const LONG_BYTES: &str = concat!(
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
);
const LONGER_BYTES: &str = concat!(
    "80ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe01"
);

fn kinds() -> Vec<Kind> {
    use arrow::datatypes::TimeUnit;
    let kind = |sql, arrow, literals| Kind { sql, arrow, literals };
    vec![
        kind("boolean", DataType::Boolean, &["true", "false"]),
        kind("smallint", DataType::Int16, &["-32768", "32767", "0", "-1", "1", "7", "100"]),
        kind("int", DataType::Int32, &["-2147483648", "2147483647", "0", "-1", "1", "8", "1000000"]),
        kind(
            "bigint",
            DataType::Int64,
            &["-9223372036854775808", "9223372036854775807", "0", "-1", "1", "9", "5000000000"],
        ),
        kind(
            "decimal(9,2)",
            DataType::Decimal128(9, 2),
            &["9999999.99", "-9999999.99", "0.00", "0.01", "-0.01", "12.50"],
        ),
        kind(
            "decimal(38,5)",
            DataType::Decimal128(38, 5),
            &["999999999999999999999999999999999.99999", "-999999999999999999999999999999999.99999", "0", "1.5", "-7"],
        ),
        kind("real", DataType::Float32, &["NaN", "-0.0", "0.0", "inf", "-inf", "1.5", "-2.25", "3.4e38", "1e-45"]),
        kind(
            "double precision",
            DataType::Float64,
            &["NaN", "-0.0", "0.0", "inf", "-inf", "1.5", "-2.25", "1.7e308", "5e-324", "0.1"],
        ),
        kind(
            "varchar(80)",
            DataType::Utf8View,
            &[
                "",
                "a",
                "ab",
                "b",
                "äöü",
                "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz1",
                "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz2",
                "a%b_c",
                "\u{10ffff}\u{10ffff}",
            ],
        ),
        kind("char(6)", DataType::Utf8View, &["", "abc", "abcdef", "x", "X"]),
        kind("date", DataType::Date32, &["1970-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31"]),
        kind(
            "timestamp",
            DataType::Timestamp(TimeUnit::Microsecond, None),
            &["1970-01-01T00:00:00", "2024-02-29T12:34:56.789012", "1900-01-01T00:00:00", "9999-12-31T23:59:59.999999"],
        ),
        kind(
            "timestamptz",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            &[
                "1970-01-01T00:00:00Z",
                "2024-02-29T12:34:56.789012Z",
                "1900-01-01T00:00:00Z",
                "9999-12-31T23:59:59.999999Z",
            ],
        ),
        kind(
            "time",
            DataType::Time64(TimeUnit::Microsecond),
            &["00:00:00", "00:00:00.000001", "12:30:00", "23:59:59.999999"],
        ),
        // Hexadecimal digits; most are not UTF-8, and some as long as bounds are, and longer.
        kind(
            "varbyte(80)",
            DataType::BinaryView,
            &["", "00", "ff", "616263", "c3a9", "80ff", LONG_BYTES, LONGER_BYTES],
        ),
    ]
}

/// A literal as a value, and as SQL.
fn value(kind: &Kind, literal: &str) -> ScalarValue {
    if kind.arrow == DataType::BinaryView {
        let bytes = (0..literal.len()).step_by(2).map(|i| u8::from_str_radix(&literal[i..i + 2], 16).unwrap());
        return ScalarValue::BinaryView(Some(bytes.collect()));
    }
    ScalarValue::try_from_string(literal.to_string(), &kind.arrow).unwrap_or_else(|e| panic!("{literal}: {e}"))
}

fn sql_literal(kind: &Kind, literal: &str) -> String {
    match &kind.arrow {
        DataType::BinaryView => format!("arrow_cast(x'{literal}', 'BinaryView')"),
        DataType::Time64(_) => format!("arrow_cast('{literal}', 'Time64(Microsecond)')"),
        DataType::Timestamp(_, Some(_)) => {
            format!("arrow_cast('{literal}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
        }
        DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 => literal.to_string(),
        DataType::Utf8View => format!("'{literal}'"),
        // A cast goes by way of nanoseconds, which do not reach as far.
        DataType::Timestamp(..) => format!("arrow_cast('{literal}', 'Timestamp(Microsecond, None)')"),
        _ => format!("cast('{literal}' as {})", kind.sql),
    }
}

struct Case {
    rng: Rng,
    kinds: Vec<Kind>,
    /// Into `kinds`.
    columns: Vec<usize>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let kinds = kinds();
        let columns = (0..1 + rng.below(6)).map(|_| rng.below(kinds.len())).collect();
        Case { rng, kinds, columns }
    }

    fn kind(&self, column: usize) -> &Kind {
        &self.kinds[self.columns[column]]
    }

    fn literal(&mut self, column: usize) -> &'static str {
        let literals = self.kinds[self.columns[column]].literals;
        literals[self.rng.below(literals.len())]
    }

    fn rows(&mut self) -> RecordBatch {
        let rows = [0, 1, 5, 40, 200, 700][self.rng.below(6)];
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for column in 0..self.columns.len() {
            let nulls = [0, 0, 5, 2, 1][self.rng.below(5)];
            // Runs, few distinct values, or values that vary by little.
            let repeat = [1, 1, 10, 60][self.rng.below(4)];
            let small = self.rng.one_in(2);
            let null = ScalarValue::try_from(&self.kind(column).arrow).unwrap();
            let mut values = Vec::with_capacity(rows);
            while values.len() < rows {
                let next = if nulls > 0 && self.rng.one_in(nulls) {
                    null.clone()
                } else if small {
                    let n = self.rng.below(50);
                    match &self.kind(column).arrow {
                        DataType::Boolean => ScalarValue::Boolean(Some(n.is_multiple_of(3))),
                        DataType::Utf8View => ScalarValue::Utf8View(Some(format!("v{n}"))),
                        DataType::BinaryView => ScalarValue::BinaryView(Some(vec![0x80 | n as u8; n % 4])),
                        other => ScalarValue::Int16(Some(n as i16))
                            .cast_to(&match other {
                                DataType::Date32 => DataType::Int32,
                                DataType::Timestamp(..) | DataType::Time64(_) => DataType::Int64,
                                other => other.clone(),
                            })
                            .and_then(|v| v.cast_to(other))
                            .unwrap(),
                    }
                } else {
                    let literal = self.literal(column);
                    value(self.kind(column), literal)
                };
                let times = (1 + self.rng.below(repeat)).min(rows - values.len());
                values.extend(std::iter::repeat_n(next, times));
            }
            let arrow = self.kind(column).arrow.clone();
            arrays.push(match values.is_empty() {
                true => arrow::array::new_empty_array(&arrow),
                false => ScalarValue::iter_to_array(values).unwrap(),
            });
            fields.push(Field::new(format!("c{column}"), arrow, true));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn predicate(&mut self, depth: usize) -> String {
        if depth > 0 && self.rng.one_in(2) {
            let (a, b) = (self.predicate(depth - 1), self.predicate(depth - 1));
            return match self.rng.below(3) {
                0 => format!("({a} and {b})"),
                1 => format!("({a} or {b})"),
                _ => format!("(not {a})"),
            };
        }
        let column = self.rng.below(self.columns.len());
        let literal = |case: &mut Self| {
            let literal = case.literal(column);
            sql_literal(case.kind(column), literal)
        };
        let text = self.kind(column).arrow == DataType::Utf8View;
        let comparison = ["=", "<>", "<", "<=", ">", ">="][self.rng.below(6)];
        match self.rng.below(if text { 8 } else { 6 }) {
            0 => format!("c{column} is null"),
            1 => format!("c{column} is not null"),
            2 => format!("c{column} in ({}, {})", literal(self), literal(self)),
            3 => format!("c{column} not in ({}, {})", literal(self), literal(self)),
            4 => format!("c{column} between {} and {}", literal(self), literal(self)),
            5 => format!("c{column} {comparison} {}", literal(self)),
            6 => format!("c{column} like '{}'", ["%", "a%", "%b%", "v1_", "z%1", "", "_%"][self.rng.below(7)]),
            _ => format!("c{column} not like '{}'", ["a%", "%2", "v%"][self.rng.below(3)]),
        }
    }

    fn layout(&mut self) -> String {
        let keys: Vec<usize> =
            (0..self.columns.len()).filter(|c| self.kind(*c).arrow != DataType::BinaryView).collect();
        if keys.is_empty() {
            return ["diststyle even", "diststyle all", ""][self.rng.below(3)].to_string();
        }
        let column = |case: &mut Self| format!("c{}", keys[case.rng.below(keys.len())]);
        let mut layout = match self.rng.below(5) {
            0 => "diststyle even".to_string(),
            1 => "diststyle all".to_string(),
            2 => String::new(),
            _ => format!("distkey({})", column(self)),
        };
        if self.rng.one_in(2) {
            let (a, b) = (column(self), column(self));
            let keys = if a == b { a } else { format!("{a}, {b}") };
            write!(layout, " sortkey({keys})").unwrap();
        }
        layout
    }

    fn queries(&mut self) -> Vec<String> {
        let filter = self.predicate(2);
        let column = self.rng.below(self.columns.len());
        let few = self.rng.below(9);
        let direction = ["", " desc", " nulls first", " desc nulls last"][self.rng.below(4)];
        vec![
            format!("select * from t where {filter}"),
            format!("select c{column} from t where {} and {}", self.predicate(0), self.predicate(1)),
            format!("select count(*), count(c{column}) from t where {}", self.predicate(1)),
            format!("select count(*), min(c{column}), max(c{column}) from t"),
            format!("select min(c{column}), max(c{column}) from t where {}", self.predicate(1)),
            format!("select c{column}, count(*) from t group by c{column}"),
            format!("select c{column} from t where {} order by c{column}{direction} limit {few}", self.predicate(1)),
            format!("select count(*) from (select 1 from t where {} limit {few}) x", self.predicate(1)),
            format!(
                "select count(*) from t a join (select distinct c{column} from t where {}) b on a.c{column} = b.c{column}",
                self.predicate(0)
            ),
        ]
    }
}

async fn load(session: &Session, batch: &RecordBatch) {
    let stream = futures::stream::iter([Ok(batch.clone())]);
    let stream = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream));
    session.load("t", vec![stream]).await.unwrap_or_else(|e| panic!("{e:?}"));
}

/// What a value is in bounds.
fn scalar(value: &ScalarValue) -> Scalar {
    match value {
        ScalarValue::Boolean(Some(v)) => Scalar::Bool(*v),
        ScalarValue::Float32(Some(v)) => Scalar::Float((*v).into()),
        ScalarValue::Float64(Some(v)) => Scalar::Float(*v),
        ScalarValue::Utf8View(Some(v)) => Scalar::Bytes(v.clone().into_bytes()),
        ScalarValue::BinaryView(Some(v)) => Scalar::Bytes(v.clone()),
        ScalarValue::Time64Microsecond(Some(v)) => Scalar::Int((*v).into()),
        ScalarValue::Decimal128(Some(v), ..) => Scalar::Int(*v),
        ScalarValue::Int16(Some(v)) => Scalar::Int((*v).into()),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => Scalar::Int((*v).into()),
        ScalarValue::Int64(Some(v)) | ScalarValue::TimestampMicrosecond(Some(v), _) => Scalar::Int((*v).into()),
        other => panic!("{other:?}"),
    }
}

/// Every value lies within its zone's bounds and its segment's, and NULLs are counted.
async fn bounds_hold(warehouse: &Warehouse) {
    let (pin, state) = state(warehouse, "t").await;
    for segment in state.segments.iter() {
        let mut table = scan_table(warehouse, pin.clone(), &state).unwrap();
        table.segments = Arc::new(vec![Arc::clone(segment)]);
        let context = plain(1);
        context.register_table("t", HandMade::provider(table, warehouse.info().slices)).unwrap();
        let batches = context.table("t").await.unwrap().collect().await.unwrap();
        let rows = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(rows.num_rows(), segment.rows as usize);
        let open = warehouse.inner.segments.open(segment).await.unwrap();
        for (ordinal, column) in state.def.columns.iter().enumerate() {
            let stored = segment.columns.iter().find(|c| c.id == column.id).unwrap();
            let zones = open.footer.zone_map(open.ordinal(column.id).unwrap()).unwrap();
            let mut start = 0;
            for (zone, stats) in zones.iter().enumerate() {
                let array = rows.column(ordinal).slice(start, open.footer.zone_rows(zone));
                start += array.len();
                assert_eq!(stats.bounds.null_count, array.null_count() as u64);
                for i in (0..array.len()).filter(|i| array.is_valid(*i)) {
                    let value = scalar(&ScalarValue::try_from_array(&array, i).unwrap());
                    for bounds in [&stats.bounds, &stored.bounds] {
                        let (Some(min), Some(max)) = (&bounds.min, &bounds.max) else { continue };
                        let within = min.order(&value).unwrap().is_le() && max.order(&value).unwrap().is_ge();
                        assert!(within, "{value:?} of {} outside {bounds:?}", column.name);
                    }
                }
            }
            assert_eq!(stored.bounds.null_count as usize, rows.column(ordinal).null_count());
        }
    }
}

async fn run(seed: u64) {
    let mut case = Case::new(seed);
    let slices = 1 + case.rng.below(5) as u32;
    let threads = 1 + case.rng.below(4);
    let zone = [1, 4, 16, 100][case.rng.below(4)];
    let geometry = Geometry::new(zone, zone * [1, 3, 8][case.rng.below(3)]).unwrap();
    let warehouse = warehouse(slices, threads, geometry).await;
    let session = warehouse.session();
    let columns: Vec<String> = (0..case.columns.len()).map(|c| format!("c{c} {}", case.kind(c).sql)).collect();
    let create = format!("create table t ({}) {}", columns.join(", "), case.layout());
    session.sql(&create).await.unwrap_or_else(|e| panic!("seed {seed}: {create}\n{e:?}"));
    let batches: Vec<RecordBatch> = (0..1 + case.rng.below(3)).map(|_| case.rows()).collect();
    for batch in &batches {
        load(&session, batch).await;
    }
    bounds_hold(&warehouse).await;
    let context = plain(1 + case.rng.below(3));
    let schema = batches[0].schema();
    context.register_table("t", Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())).unwrap();
    for sql in case.queries() {
        let expected = theirs(&context, &sql).await;
        for pruning in [true, false] {
            session.sql(&format!("set blueshift.pruning = {pruning}")).await.unwrap();
            let answer = ours(&session, &sql).await;
            assert_eq!(
                answer, expected,
                "seed {seed}, {slices} slices, {threads} threads, {geometry:?}, pruning {pruning}\n{create}\n{sql}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_tables_answer_as_datafusion_does() {
    for seed in seeds(1, 120) {
        run(seed).await;
    }
}

/// Floats have an order of their own where zeros have signs and NaN is a number: DataFusion's.
#[tokio::test]
async fn comparisons_of_floats_are_datafusions() {
    for sql_type in ["real", "double precision"] {
        let session = warehouse(3, 2, Geometry::new(1, 4).unwrap()).await.session();
        session.sql(&format!("create table t (f {sql_type}, n int) distkey(f) sortkey(f)")).await.unwrap();
        let values = ["NaN", "-0", "0", "inf", "-inf", "1.5", "-1.5"];
        for (n, v) in values.iter().enumerate() {
            session.sql(&format!("insert into t values (cast('{v}' as {sql_type}), {n})")).await.unwrap();
        }
        session.sql("insert into t values (null, 99)").await.unwrap();
        let context = plain(1);
        copy_to(&session, "select * from t", &context, "t").await;
        for v in values {
            for op in ["=", "<>", "<", "<=", ">", ">=", "is distinct from"] {
                let sql = format!("select n from t where f {op} cast('{v}' as {sql_type})");
                assert_eq!(ours(&session, &sql).await, theirs(&context, &sql).await, "{sql_type}: {sql}");
            }
            for other in values {
                let sql =
                    format!("select n from t where f in (cast('{v}' as {sql_type}), cast('{other}' as {sql_type}))");
                assert_eq!(ours(&session, &sql).await, theirs(&context, &sql).await, "{sql_type}: {sql}");
            }
        }
        for sql in [
            "select min(f), max(f) from t",
            "select min(f), max(f) from t where n < 3",
            "select f, count(*) from t group by f",
            "select a.n, b.n from t a join t b on a.f = b.f",
            // A join takes zeros of either sign for each other, and so must the filter that it gives.
            "select a.n from t a join (select * from t where n = 2) b on a.f = b.f",
            "select a.n from t a join (select * from t where n < 2) b on a.f = b.f",
            "select a.n from t a join (select * from t where n in (1, 5)) b on a.f = b.f and a.n <> b.n",
            "select n from t order by f, n",
        ] {
            assert_eq!(ours(&session, sql).await, theirs(&context, sql).await, "{sql_type}: {sql}");
        }
    }
    // The types that the properties draw from are all there are.
    assert!(kinds().iter().all(|k| SqlType::from_arrow(&k.arrow).is_some()));
}
