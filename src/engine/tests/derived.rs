//! Conditions on one side of a join's key reach the scans of the other sides, and no more of them than may.

use super::util::*;
use crate::engine::Session;
use crate::format::Geometry;

async fn filters(session: &Session, sql: &str) -> usize {
    let lines = ours(session, &format!("explain {sql}")).await;
    lines.iter().filter(|line| line.contains(" Filter: ") && !line.contains("Join Filter")).count()
}

#[tokio::test]
async fn conditions_reach_the_scans_that_they_may() {
    let session = warehouse(2, 2, Geometry::TINY).await.session();
    for (table, key) in [("a", "int"), ("b", "int"), ("c", "bigint"), ("d", "double precision"), ("e", "varchar(9)")] {
        session.sql(&format!("create table {table} (k {key}, x int) distkey(k) sortkey(k)")).await.unwrap();
        session.sql(&format!("insert into {table} select v, v % 5 from generate_series(1, 300) s(v)")).await.unwrap();
    }
    session.sql("insert into e values ('05', 1), ('5', 1)").await.unwrap();
    session.sql("create table n (k int) distkey(k) sortkey(k)").await.unwrap();
    session.sql("insert into n select v from generate_series(1, 300) s(v) union all select null").await.unwrap();
    for (sql, scans) in [
        ("select count(*) from a join b on a.k = b.k join c on b.k = c.k where a.k < 10", 3),
        ("select count(*) from a join b on a.k = b.k join c on b.k = c.k where c.k between 5 and 9", 3),
        (
            "select count(*) from a, b, b b2, a a2 where a.k = b.k and b.k = b2.k and b2.k = a2.k and a2.k in (7, 8, 9, 11)",
            4,
        ),
        ("select count(*) from a left join b on a.k = b.k left join b b2 on b.k = b2.k where a.k < 10", 3),
        ("select count(*) from a where k < 10 and exists (select 1 from b where b.k = a.k)", 2),
        ("select count(*) from a where k < 10 and not exists (select 1 from b where b.k = a.k)", 2),
        ("select count(*) from a where exists (select 1 from b where b.k = a.k and b.k < 10)", 2),
        (
            "select count(*) from (select k, count(*) from a group by k) g join b on g.k = b.k join b b2 on b2.k = g.k where b2.k > 7",
            3,
        ),
        // Rows that find no partner are kept.
        ("select count(*) from a left join (select * from b where k < 10) b on a.k = b.k", 1),
        ("select count(*) from a where not exists (select 1 from b where b.k = a.k and b.k < 10)", 1),
        ("select count(*) from (select * from a where k < 10) a full join b on a.k = b.k", 1),
        // NULL among the right side's keys counts.
        ("select count(*) from a where k < 10 and k not in (select k from b)", 1),
        // Other values may be one when they are cast.
        ("select count(*) from e join e e2 on cast(e.k as int) = cast(e2.k as int) where e.k = '05' and e2.x > 0", 2),
        // What is equal in one type may differ in the other, or have no such value.
        (
            "select count(*) from d d1 join d d2 on d1.k = d2.k join d d3 on d2.k = d3.k where d1.k > 0.5 and d3.x = 1",
            3,
        ),
        ("select count(*) from a join c on a.k = c.k where c.k < 5000000000", 1),
    ] {
        let found = filters(&session, sql).await;
        assert_eq!(found, scans, "{sql}\n{}", ours(&session, &format!("explain {sql}")).await.join("\n"));
    }
    for (sql, rows) in [
        ("select count(*) from e join e e2 on cast(e.k as int) = cast(e2.k as int) where e.k = '05'", 3),
        (
            "select count(*) from (select k from a where k < 9 except select k from b where k > 5) a join c on a.k = c.k",
            5,
        ),
        ("select count(*) from a left anti join (select * from a where k > 5) using (k) join c on a.k = c.k", 5),
        ("select count(*) from (select k from a union all select k from b) u join c on u.k = c.k where c.k < 4", 6),
        // Of 300 rows 296 have no partner, and meet the one NULL.
        (
            "select count(*) from (select b.k from a left join (select * from b where k < 5) b on a.k = b.k) s \
             join n on s.k is not distinct from n.k",
            300,
        ),
        (
            "select count(*) from (select k from a where k < 5 group by rollup(k)) g join n on g.k is not distinct from n.k",
            5,
        ),
        (
            "select count(*) from (select * from a limit 3) l join b on l.k = b.k join b b2 on b2.k = b.k where b2.k < 1000",
            3,
        ),
    ] {
        let answer = ours(&session, sql).await.join("");
        assert!(answer.contains(&format!("| {rows} ")), "{sql}\n{answer}");
    }
    let sql = "select count(*) from a join b on a.k = b.k join c on b.k = c.k where a.k < 10";
    session.sql("set blueshift.derived_predicates = false").await.unwrap();
    assert!(filters(&session, sql).await < 3);
}
