//! `Session::prepare`.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::scalar::ScalarValue;

use super::util::*;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Prepared, Session, Warehouse};
use crate::format::Geometry;

async fn session() -> Session {
    let session = warehouse(3, 2, Geometry::TINY).await.session();
    session.sql("create table t (k int distkey, v varchar(5), d decimal(8,2), at timestamp)").await.unwrap();
    session
}

fn int(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

async fn rows(prepared: &Prepared<'_>, values: Vec<ScalarValue>) -> Vec<String> {
    lines(&prepared.execute(values).await.unwrap().collect().await.unwrap())
}

fn types(prepared: &Prepared<'_>) -> Vec<Option<DataType>> {
    let names: Vec<&str> = prepared.parameters().iter().map(|(name, _)| name.as_str()).collect();
    let numbered: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
    assert_eq!(names, numbered);
    prepared.parameters().iter().map(|(_, data_type)| data_type.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_query_tells_types_and_sees_later_commits() {
    let session = session().await;
    let prepared = session.prepare("select v, k + 1 as next from t where k > $2 and v <> $1 order by k").await.unwrap();
    assert_eq!(types(&prepared), [Some(DataType::Utf8View), Some(DataType::Int32)]);
    let schema = prepared.schema();
    let columns: Vec<_> = schema.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
    assert_eq!(columns, [("v", DataType::Utf8View), ("next", DataType::Int64)]);
    assert!(rows(&prepared, vec![text("x"), int(0)]).await.iter().all(|line| line.contains("next")));
    session.sql("insert into t values (1, 'one', 1, null), (2, 'x', 2, null)").await.unwrap();
    let output = prepared.execute(vec![text("x"), int(0)]).await.unwrap();
    assert_eq!((output.tag.as_str(), output.changed), ("SELECT", None));
    let batches = output.collect().await.unwrap();
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(rows(&prepared, vec![text("y"), int(0)]).await.len(), 3);
    assert_eq!(rows(&prepared, vec![text("y"), ScalarValue::Int64(Some(1))]).await.len(), 2);
    session.sql("drop table t").await.unwrap();
    assert_eq!(prepared.execute(vec![text("y"), int(0)]).await.unwrap_err().state(), SqlState::UNDEFINED_TABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_another_number_or_kind_are_refused() {
    let session = session().await;
    session.sql("insert into t values (1, 'one', 1, null)").await.unwrap();
    let prepared = session.prepare("select v from t where k = $1 and at is null or at = $2").await.unwrap();
    for values in [vec![], vec![int(1)], vec![int(1), int(2), int(3)]] {
        let error = prepared.execute(values).await.unwrap_err();
        assert_eq!((error.kind(), error.state()), (ErrorKind::Invalid, SqlState::INVALID_PARAMETER));
    }
    for wrong in [text("one"), ScalarValue::Boolean(Some(true)), ScalarValue::Date32(Some(1))] {
        let error = prepared.execute(vec![wrong, ScalarValue::Null]).await.unwrap_err();
        assert_eq!(error.state(), SqlState::DATATYPE_MISMATCH, "{error:?}");
        assert!(error.message().contains("$1"), "{error:?}");
    }
    // Text that reads as the type is as good as a value of it.
    assert_eq!(rows(&prepared, vec![text("1"), text("2026-11-21 10:00:00")]).await.len(), 2);
    // A parameter left out of the text has a number all the same.
    let prepared = session.prepare("select $2::int as two").await.unwrap();
    assert_eq!(types(&prepared).len(), 2);
    assert!(rows(&prepared, vec![ScalarValue::Null, int(7)]).await.join("").contains('7'));
    assert_eq!(session.prepare("select $name").await.unwrap_err().state(), SqlState::INVALID_PARAMETER);
    let prepared = session.prepare("create table u (a int)").await.unwrap();
    assert!(prepared.parameters().is_empty() && prepared.schema().fields().is_empty());
    assert_eq!(prepared.execute(vec![]).await.unwrap().tag, "CREATE TABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_insert_takes_values() {
    let session = session().await;
    let prepared = session.prepare("insert into t values ($1, $2, $3, $4)").await.unwrap();
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    let expected = [DataType::Int32, DataType::Utf8View, DataType::Decimal128(8, 2), at];
    assert_eq!(types(&prepared), expected.map(Some));
    assert!(prepared.schema().fields().is_empty());
    for k in 1..=3 {
        let values = vec![int(k), text("v"), ScalarValue::Float64(Some(2.345)), text("2026-11-21 10:00:00")];
        let output = prepared.execute(values).await.unwrap();
        assert_eq!((output.tag.as_str(), output.changed), ("INSERT 0 1", Some(1)));
    }
    let answer = ours(&session, "select count(*), sum(k), min(d), max(at) from t").await.join("");
    assert!(answer.contains("| 3 ") && answer.contains("2.35") && answer.contains("2026-11-21T10:00:00"), "{answer}");
    // As an INSERT, too, in what does not fit.
    let nothing = || vec![ScalarValue::Null; 2];
    let error = prepared.execute([vec![int(1), text("too long")], nothing()].concat()).await.unwrap_err();
    assert_eq!(error.state(), SqlState::STRING_TOO_LONG);
    let error = prepared.execute([vec![text("x"), text("v")], nothing()].concat()).await.unwrap_err();
    assert_eq!(error.state(), SqlState::DATATYPE_MISMATCH);
    assert_eq!(prepared.execute(nothing()).await.unwrap_err().state(), SqlState::INVALID_PARAMETER);
    assert_eq!(ours(&session, "select 1 from t").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_of_an_insert_keep_their_values() {
    let session = session().await;
    // Rows and columns of other types beside them change nothing.
    let prepared = session.prepare("insert into t (d, k) values (1, $1 + 1), ($2, default)").await.unwrap();
    let decimal = Some(DataType::Decimal128(8, 2));
    assert_eq!(types(&prepared)[1], decimal);
    let fraction = ScalarValue::Decimal128(Some(25), 3, 1);
    assert_eq!(prepared.execute(vec![int(4), fraction.clone()]).await.unwrap().changed, Some(2));
    let answer = ours(&session, "select k, d from t").await.join("");
    assert!(answer.contains("2.50") && answer.contains("| 5 ") && answer.contains("1.00"), "{answer}");
    let prepared = session.prepare("insert into t (d, k, v) select $1, k + 10, $2 from t where k = $3").await.unwrap();
    assert_eq!(types(&prepared), [decimal, Some(DataType::Utf8View), Some(DataType::Int32)]);
    assert_eq!(prepared.execute(vec![fraction, text("p"), int(5)]).await.unwrap().changed, Some(1));
    let answer = ours(&session, "select k, d, v from t where k = 15").await.join("");
    assert!(answer.contains("2.50") && answer.contains("| p "), "{answer}");
    for wrong in
        ["insert into nope values ($1)", "insert into t (nope) values ($1)", "insert into t values (1,2,3,4,$1)"]
    {
        assert_eq!(session.prepare(wrong).await.unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
    }
}

/// A text parameter that stands for an instant is read in the session's time zone, bytes and times as they are.
#[tokio::test]
async fn parameters_of_times_and_bytes() {
    let session = Warehouse::open("memory://").await.unwrap().session();
    session.sql("create table z (tz timestamptz, ti time, b varbyte(9))").await.unwrap();
    session.sql("set timezone to 'America/New_York'").await.unwrap();
    let insert = session.prepare("insert into z values ($1, $2, $3)").await.unwrap();
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_string()));
    let values = vec![text("2024-07-01 08:00:00"), text("12:30:00"), ScalarValue::Binary(Some(vec![0xff, 0]))];
    insert.execute(values).await.unwrap();
    let count = async |sql: &str, value: ScalarValue| {
        let found = session.prepare(sql).await.unwrap().execute(vec![value]).await.unwrap().collect().await.unwrap();
        found.iter().map(|batch| batch.num_rows()).sum::<usize>()
    };
    session.sql("set timezone to 'UTC'").await.unwrap();
    assert_eq!(count("select 1 from z where tz = $1", text("2024-07-01 12:00:00")).await, 1);
    assert_eq!(count("select 1 from z where tz = $1", text("2024-07-01 08:00:00")).await, 0);
    assert_eq!(count("select 1 from z where ti = $1", text("12:30:00")).await, 1);
    assert_eq!(count("select 1 from z where b = $1", ScalarValue::Binary(Some(vec![0xff, 0]))).await, 1);
}
