//! The names of a result's columns, which `.slt` files do not show.

use super::util::*;
use crate::format::Geometry;

#[tokio::test]
async fn columns_of_one_name_keep_it() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    session.sql("create table t (a int, b int)").await.unwrap();
    session.sql("insert into t values (1, 2)").await.unwrap();
    for (query, expected) in [
        ("select a, a from t", vec!["a", "a"]),
        ("select a, b as a, b from t", vec!["a", "a", "b"]),
        ("select *, a, t.* from t", vec!["a", "b", "a", "a", "b"]),
        ("select count(*), count(*) from t", vec!["count(*)", "count(*)"]),
        ("select a::int, a::bigint from t", vec!["t.a", "t.a"]),
        ("select sum(a::int), sum(a::bigint) from t", vec!["sum(t.a)", "sum(t.a)"]),
        ("select a as x, b as x from t union all select 1, 2", vec!["x", "x"]),
        ("select * from generate_series(1, 2)", vec!["generate_series"]),
        ("select generate_series(1, 2)", vec!["generate_series"]),
        ("select exists (select 1 from t)", vec!["exists"]),
    ] {
        let output = session.sql(query).await.unwrap();
        let schema = output.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, expected, "{query}");
        // What is planned ahead and what rows say is the same.
        let prepared = session.prepare(query).await.unwrap().schema();
        let ahead: Vec<&str> = prepared.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(ahead, names, "{query}");
        for batch in output.collect().await.unwrap() {
            assert_eq!(batch.schema(), schema, "{query}");
        }
    }
}
