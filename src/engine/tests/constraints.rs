//! Constraints that are RELY or VERIFIED: what proves them, what keeps them, and what plans make of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::util::*;
use crate::catalog::{ConstraintState, WarehouseStore};
use crate::common::{Error, SqlState};
use crate::engine::checks::{Checker, Keyed};
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::sql::{self, Statement};
use crate::testing::{Rng, seeds};

async fn run(session: &Session, statements: &[&str]) {
    for sql in statements {
        session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    }
}

async fn session() -> Session {
    warehouse(3, 2, Geometry::TINY).await.session()
}

/// The states of a table's constraints, by name.
async fn states(session: &Session, table: &str) -> BTreeMap<String, &'static str> {
    let (pin, state) = state(session.warehouse(), table).await;
    pin.check_invariants().unwrap();
    let words = state.def.constraints.iter().map(|c| match c.state {
        ConstraintState::NoRely => "norely",
        ConstraintState::Rely => "rely",
        ConstraintState::Verified { at } => {
            assert!(at <= pin.version);
            "verified"
        }
    });
    state.def.constraint_names().into_iter().zip(words).collect()
}

async fn all_are(session: &Session, table: &str, state: &str) {
    let states = states(session, table).await;
    assert!(!states.is_empty() && states.values().all(|of| *of == state), "{states:?}");
}

/// An error's state, and all that it tells.
fn told(error: &Error) -> (SqlState, String) {
    (error.state(), format!("{} | {}", error.message(), error.detail().unwrap_or_default()))
}

async fn count(session: &Session, sql: &str) -> String {
    let mut lines = ours(session, &format!("select 'n=' || count(*) as n from ({sql}) s")).await;
    lines.retain(|line| line.contains("n="));
    lines.remove(0).trim_matches(['|', ' ']).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_hold_is_told_with_an_example() {
    let session = session().await;
    run(
        &session,
        &[
            "create table p (id int, word varchar(9), primary key (id), unique (word, id))",
            "create table c (id bigint, p int, w varchar(9), foreign key (p) references p (id), unique (id))",
            "insert into p values (1, 'a'), (2, 'b'), (2, 'c'), (2, 'd'), (3, null), (3, null)",
            "insert into c select v, v % 4, 'w' from generate_series(1, 200) s(v)",
            "insert into c values (null, null, 'x'), (null, 2, 'x')",
        ],
    )
    .await;
    let (state, text) = told(&error(&session, "alter table p verify constraint p_pkey").await);
    assert_eq!(state, SqlState::UNIQUE_VIOLATION);
    assert!(text.contains("constraint \"p_pkey\" of table \"p\" does not hold"), "{text}");
    assert!(text.contains("At least 5 rows break it.") && text.contains("Key (id)=("), "{text}");
    // Rows with a NULL are none that repeat a UNIQUE key.
    run(&session, &["alter table p verify constraint p_word_id_key", "alter table c verify constraint c_id_key"]).await;
    let (state, text) = told(&error(&session, "alter table c verify constraint c_p_fkey").await);
    assert_eq!(state, SqlState::INVALID_FOREIGN_KEY);
    assert!(text.contains("is not a VERIFIED key"), "{text}");
    // Keys of another width, and none that is NULL.
    run(
        &session,
        &[
            "create table q (id int primary key)",
            "insert into q values (0), (1), (2)",
            "alter table q verify constraint q_pkey",
            "create table d (q bigint references q)",
            "insert into d select p from c",
        ],
    )
    .await;
    let (state, text) = told(&error(&session, "alter table d verify constraint d_q_fkey").await);
    assert_eq!(state, SqlState::FOREIGN_KEY_VIOLATION);
    assert!(text.contains("Key (q)=(3) is not present in table \"q\". At least 50 rows break it."), "{text}");
    run(&session, &["insert into q values (3)", "alter table d verify constraint d_q_fkey"]).await;
    all_are(&session, "d", "verified").await;
    // What is compared otherwise than it is grouped, or does not exist.
    run(&session, &["create table f (x double precision unique)"]).await;
    for sql in ["alter table f verify constraint f_x_key", "create table g (x real, unique (x) verified)"] {
        let e = error(&session, sql).await;
        assert_eq!(e.state(), SqlState::FEATURE_NOT_SUPPORTED, "{sql}: {e}");
    }
    let e = error(&session, "alter table f verify constraint nothing").await;
    assert_eq!(
        (e.state(), e.hint().unwrap_or_default()),
        (SqlState::UNDEFINED_OBJECT, "its constraints are \"f_x_key\"")
    );
    let e = error(&session, "create table h (q int, foreign key (q) references f (x) verified)").await;
    assert_eq!(e.state(), SqlState::FEATURE_NOT_SUPPORTED, "{e}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_keep_what_is_verified() {
    let session = session().await;
    run(
        &session,
        &[
            "create table p (id int primary key verified, w varchar(9) unique verified)",
            "create table c (id int unique verified, p int references p verified, up int, \
             foreign key (up) references c (id) verified)",
            "insert into p values (1, 'a'), (2, 'b'), (3, null), (4, null)",
            "insert into c values (1, 1, null), (2, null, 1), (3, 4, 3), (null, 1, null), (null, 1, 2)",
        ],
    )
    .await;
    for (sql, state, says) in [
        (
            "insert into p values (5, 'c'), (5, 'd')",
            SqlState::UNIQUE_VIOLATION,
            "\"p_pkey\" of table \"p\" | Key (id)=(5) is in 2",
        ),
        (
            "insert into p values (5, 'b')",
            SqlState::UNIQUE_VIOLATION,
            "\"p_w_key\" of table \"p\" | Key (w)=(b) already exists.",
        ),
        (
            "insert into p select v, null from generate_series(4, 900) s(v)",
            SqlState::UNIQUE_VIOLATION,
            "(id)=(4) already",
        ),
        (
            "insert into c values (9, 8, null)",
            SqlState::FOREIGN_KEY_VIOLATION,
            "\"c_p_fkey\" | Key (p)=(8) is not present in table \"p\"",
        ),
        (
            "insert into c values (9, 1, 10)",
            SqlState::FOREIGN_KEY_VIOLATION,
            "Key (up)=(10) is not present in table \"c\"",
        ),
        ("insert into c values (3, 1, null)", SqlState::UNIQUE_VIOLATION, "Key (id)=(3) already exists"),
    ] {
        let (found, text) = told(&error(&session, sql).await);
        assert_eq!(found, state, "{sql}: {text}");
        assert!(text.contains(says), "{sql}: {text}");
    }
    assert_eq!(count(&session, "select * from p").await, "n=4");
    assert_eq!(count(&session, "select * from c").await, "n=5");
    // Enough rows that AUTO moves those that are there.
    run(
        &session,
        &[
            "insert into p select v, 'w' || v from generate_series(5, 3000) s(v)",
            "insert into c select v, v, v - 1 from generate_series(4, 3000) s(v)",
            "insert into p select v, null from generate_series(3001, 3001) s(v) where v < 0",
        ],
    )
    .await;
    all_are(&session, "p", "verified").await;
    all_are(&session, "c", "verified").await;
    let e = error(&session, "insert into p select v, null from generate_series(2000, 9000) s(v)").await;
    assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION);
    // Rows of an application's streams.
    let more = batches(&session, "select cast(7 as int) as a, cast('x' as varchar(9)) as b").await;
    let rows = futures::stream::iter(more.clone().into_iter().map(Ok));
    let stream = Box::pin(RecordBatchStreamAdapter::new(more[0].schema(), rows));
    let e = session.load("p", vec![stream]).await.unwrap_err();
    assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_checked_too() {
    let session = session().await;
    let path = std::env::temp_dir().join(format!("blueshift-constraints-{}.csv", std::process::id()));
    std::fs::write(&path, "1,a\n2,b\n2,c\n").unwrap();
    run(&session, &["create table t (a int primary key verified, b varchar(9))"]).await;
    let e = error(&session, &format!("copy t from '{}' csv", path.display())).await;
    std::fs::write(&path, "1,a\n2,b\n").unwrap();
    run(&session, &[&format!("copy t from '{}' csv", path.display())]).await;
    let again = error(&session, &format!("copy t from '{}' csv", path.display())).await;
    std::fs::remove_file(&path).unwrap();
    assert!(told(&e).1.contains("Key (a)=(2) is in 2 of the new rows."), "{e:?}");
    assert_eq!((e.state(), again.state()), (SqlState::UNIQUE_VIOLATION, SqlState::UNIQUE_VIOLATION));
    assert_eq!(count(&session, "select * from t").await, "n=2");
}

/// More keys than there is memory for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_spill() {
    let open = |memory: usize| {
        Warehouse::builder().slices(2).threads(2).memory_limit(memory).load_memory(4 << 20).open("memory://")
    };
    let session = open(12 << 20).await.unwrap().session();
    let rows = "select 'a key of some length ' || v from generate_series(1, 200000) s(v)";
    run(
        &session,
        &[
            "create table p (k varchar(40) primary key) diststyle even",
            "create table c (k varchar(40) references p) diststyle even",
            &format!("insert into p {rows}"),
            &format!("insert into c {rows}"),
            "alter table p verify constraint p_pkey",
            "alter table c verify constraint c_k_fkey",
            "insert into c values ('a key of some length 7')",
        ],
    )
    .await;
    all_are(&session, "c", "verified").await;
    let e = error(&session, "insert into p values ('a key of some length 7')").await;
    assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION);
}

/// What a foreign key rests on goes, or loses its state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_a_key_falls_with_it() {
    let session = session().await;
    run(
        &session,
        &[
            "create table p (id int primary key verified)",
            "create table c (p int references p verified)",
            "insert into p values (1), (2)",
            "insert into c values (1), (2)",
        ],
    )
    .await;
    let done = session.sql("alter table p alter constraint p_pkey rely").await.unwrap();
    let notices = done.notices.join("\n");
    assert!(notices.contains("constraint \"c_p_fkey\" of table \"c\" is VERIFIED no longer"), "{notices}");
    all_are(&session, "p", "rely").await;
    all_are(&session, "c", "norely").await;
    run(&session, &["alter table p verify constraint p_pkey", "alter table c verify constraint c_p_fkey"]).await;
    // Rows leave the table that is referred to; its own key holds still.
    delete_where(session.warehouse(), "p", "id = 2", Place::LogEntry).await.unwrap();
    all_are(&session, "p", "verified").await;
    all_are(&session, "c", "norely").await;
    let e = error(&session, "alter table c verify constraint c_p_fkey").await;
    assert_eq!(e.state(), SqlState::FOREIGN_KEY_VIOLATION);
    // A key that is gone may come again.
    run(&session, &["insert into p values (2)", "alter table c verify constraint c_p_fkey"]).await;
    assert_eq!(error(&session, "drop table p").await.state(), SqlState::DEPENDENT_OBJECTS);
    run(&session, &["drop table p cascade"]).await;
    assert!(states(&session, "c").await.is_empty());
}

/// A version from before the proof, and one from after it was given up, believe nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_good_where_it_stands() {
    let session = session().await;
    run(
        &session,
        &[
            "create table t (a int primary key)",
            "insert into t values (1), (2)",
            "prepare p as select distinct a from t",
        ],
    )
    .await;
    let groups = async |at| {
        let running = session.begin_at(at).unwrap();
        let Statement::Query(query) = sql::parse_one("select distinct a from t").unwrap() else { panic!("a query") };
        let plan = running.plan(&query).await.unwrap();
        format!("{:?}", running.physical(&plan).await.unwrap()).contains("AggregateExec")
    };
    let newest = async || session.warehouse().pin_newest().await.unwrap();
    let before = newest().await;
    run(&session, &["alter table t verify constraint t_pkey"]).await;
    let proven = newest().await;
    run(&session, &["alter table t alter constraint t_pkey norely", "insert into t values (2)"]).await;
    assert!(groups(before).await);
    assert!(!groups(proven).await);
    assert!(groups(newest().await).await);
    // What is kept believes what is true when it is run.
    assert_eq!(ours(&session, "execute p").await.len(), 3);
    run(&session, &["create view v as select distinct a from t", "alter table t alter constraint t_pkey rely"]).await;
    // It was optimized when it was prepared.
    assert_eq!(ours(&session, "execute p").await.len(), 3);
    assert_eq!(count(&session, "select * from v").await, "n=3");
    run(&session, &["alter table t alter constraint t_pkey norely"]).await;
    assert_eq!(ours(&session, "execute p").await.len(), 3);
    assert_eq!(count(&session, "select * from v").await, "n=2");
}

/// Sessions of several processes on one warehouse.
async fn processes(n: usize) -> Vec<Session> {
    let objects = WarehouseStore::memory();
    let mut sessions = Vec::new();
    for _ in 0..n {
        let store = WarehouseStore::new(Arc::clone(objects.objects()));
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).store(store);
        sessions.push(builder.open("memory://").await.unwrap().session());
    }
    sessions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_one_time_never_bring_a_key_twice() {
    let mut sessions = processes(2).await;
    // Two sessions of each process.
    sessions.extend([sessions[0].warehouse().session(), sessions[1].warehouse().session()]);
    run(
        &sessions[0],
        &[
            "create table p (id int primary key verified, by int)",
            "create table c (id int unique verified, p int references p verified)",
        ],
    )
    .await;
    let mut tasks = Vec::new();
    for (by, session) in sessions.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            for id in 0..12 {
                match session.sql(&format!("insert into p values ({id}, {by})")).await {
                    Ok(_) => done += 1,
                    Err(e) => assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION, "{e:?}"),
                }
                // Whoever brought it, it is there.
                match session.sql(&format!("insert into c values ({id}, {id})")).await {
                    Ok(_) => done += 1,
                    Err(e) => assert_eq!(e.state(), SqlState::UNIQUE_VIOLATION, "{e:?}"),
                }
            }
            (done, session)
        }));
    }
    let mut done = 0;
    let mut last = None;
    for task in tasks {
        let (count, session) = task.await.unwrap();
        done += count;
        last = Some(session);
    }
    let session = last.unwrap();
    assert_eq!(done, 24);
    run(&session, &["set blueshift.constraints = false"]).await;
    for table in ["p", "c"] {
        assert_eq!(count(&session, &format!("select id from {table}")).await, "n=12");
        assert_eq!(count(&session, &format!("select distinct id from {table}")).await, "n=12");
        all_are(&session, table, "verified").await;
    }
}

/// VERIFY and INSERT at one time: whichever comes first, no key is there twice while the table says VERIFIED.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_proof_and_a_load_at_one_time() {
    let sessions = processes(2).await;
    run(&sessions[0], &["create table t (a int unique)", "insert into t select v from generate_series(1, 50) s(v)"])
        .await;
    for round in 0..8 {
        let (verify, insert) = tokio::join!(
            sessions[0].sql("alter table t verify constraint t_a_key"),
            sessions[1].sql("insert into t values (7)")
        );
        let twice = count(&sessions[1], "select a from t where a = 7").await != "n=1";
        let verified = states(&sessions[0], "t").await["t_a_key"] == "verified";
        assert!(verify.is_ok() || insert.is_ok(), "round {round}");
        assert_eq!(verify.is_ok(), verified);
        assert!(!(verified && twice), "round {round}");
        sessions[0].sql("alter table t alter constraint t_a_key norely").await.unwrap();
        delete_where(sessions[0].warehouse(), "t", "a = 7", Place::LogEntry).await.unwrap();
        sessions[0].sql("insert into t values (7)").await.unwrap();
    }
}

/// Looking keys up and grouping them finds the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_to_check_agree() {
    for seed in seeds(0, 6) {
        let mut rng = Rng::new(seed);
        let session = session().await;
        let (spread, text) = (20 + rng.below(300), rng.one_in(2));
        let key = if text { "'k' || (v * 7 % {}) " } else { "v * 7 % {}" };
        for table in ["a", "b"] {
            let column = if text { "varchar(9)" } else { "int" };
            run(&session, &[&format!("create table {table} (k {column}, l int)")]).await;
            let (rows, from) = (rng.below(60), rng.below(100));
            let key = key.replace("{}", &spread.to_string());
            let sql = format!(
                "insert into {table} select case when v % 11 = 0 then null else {key} end, v % 2 \
                 from generate_series({from}, {}) s(v)",
                from + rows
            );
            run(&session, &[&sql]).await;
        }
        let mut sides = Vec::new();
        for table in ["a", "b"] {
            let (_, state) = state(session.warehouse(), table).await;
            let columns = state.def.columns.iter().map(|c| c.id).take(1 + seed as usize % 2).collect();
            sides.push(Keyed { def: Arc::clone(&state.def), segments: state.segments.to_vec(), columns });
        }
        let pin = session.warehouse().pin_newest().await.unwrap();
        let checker = || Checker::new(session.warehouse(), pin.clone(), None, true);
        let (joins, groups) = (checker(), checker().grouping());
        let names = if seed % 2 == 0 { "k" } else { "k, l" };
        let no_null = format!("{} is not null", names.replace(", ", " is not null and "));
        let keys = |table: &str| format!("select {names} from {table} where {no_null}");
        let both = count(&session, &format!("select distinct * from ({} intersect {}) i", keys("a"), keys("b"))).await
            != "n=0";
        let lacks =
            count(&session, &format!("select distinct * from ({} except {}) i", keys("a"), keys("b"))).await != "n=0";
        for checker in [&joins, &groups] {
            assert_eq!(checker.in_both(&sides[0], &sides[1]).await.unwrap().is_some(), both, "seed {seed}");
            assert_eq!(checker.missing(&sides[0], &sides[1]).await.unwrap().is_some(), lacks, "seed {seed}");
        }
    }
}

/// With duplicates under a declared key, answers are right; with RELY some are Redshift's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_rely_gives_surprising_answers() {
    let session = session().await;
    run(
        &session,
        &[
            "create table t (a int primary key, b int)",
            "create table u (a int)",
            "insert into t values (1, 1), (1, 1), (1, 2), (2, 1)",
            "insert into u values (1), (2), (3)",
        ],
    )
    .await;
    let queries = [
        ("select distinct a from t", "n=2", "n=4"),
        ("select a, b, count(*) from t group by a, b", "n=3", "n=3"),
        ("select count(distinct a) as n from t having count(distinct a) = 2", "n=1", "n=1"),
        ("select u.a from u join t on u.a = t.a", "n=4", "n=4"),
        ("select u.a from u left join t on u.a = t.a", "n=5", "n=5"),
    ];
    for (sql, right, _) in queries {
        assert_eq!(count(&session, sql).await, right, "{sql}");
    }
    assert_eq!(ours(&session, "select u.a from u join t on u.a = t.a").await.len(), 5);
    run(&session, &["alter table t alter constraint t_pkey rely"]).await;
    assert_eq!(ours(&session, "select distinct a from t").await.len(), 5);
    // The join is a semi-join, if the key is one.
    assert_eq!(ours(&session, "select u.a from u join t on u.a = t.a").await.len(), 3);
    run(&session, &["set blueshift.constraints = false"]).await;
    for (sql, right, _) in queries {
        assert_eq!(count(&session, sql).await, right, "{sql}");
    }
}

/// Where every constraint that is believed holds, answers are those of plans that believe none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_where_constraints_hold() {
    let session = session().await;
    run(
        &session,
        &[
            "create table p (id int not null, u int not null, n int, w varchar(9), primary key (id), unique (id, u) verified, \
             unique (n)) distkey (u)",
            "create table c (id int, p int not null, u int not null, x int, foreign key (p, u) references p (id, u) verified) \
             distkey (u)",
            "create table e (id int primary key, g int)",
            "insert into p select v, v % 7, case when v % 3 = 0 then null else v end, 'w' || (v % 5) from generate_series(1, 60) s(v)",
            "insert into c select v, v % 60 + 1, (v % 60 + 1) % 7, v % 9 from generate_series(1, 150) s(v)",
            "insert into e select v, v % 6 from generate_series(1, 40) s(v)",
            "alter table p verify constraint p_pkey",
            "alter table p verify constraint p_n_key",
            "alter table e alter constraint e_pkey rely",
        ],
    )
    .await;
    let fixed = [
        "select distinct id from p",
        "select distinct n from p",
        "select n, w, count(*) from p group by n, w",
        "select id, w, count(*) from p group by id, w order by id, w",
        "select distinct i from (select p.id as i, c.x from p join c on p.id = c.p group by p.id, c.x) s",
        "select i, count(*) from (select p.id as i, c.x from p left join c on p.id = c.p group by p.id, c.x) s group by i",
        "select c.id from c join p on c.p = p.id",
        "select c.id from c left join p on c.p = p.id",
        "select e.g, count(*) from e left join p on e.id = p.id group by e.g",
        "select distinct p.id from p full join e on p.id = e.id",
        "select distinct id from (select id from p union all select id from e) s",
        "select id, count(*) from (select id, w from p union all select id, 'w' from e) s group by id",
        "select distinct n from e left join p on e.id = p.id",
        "select n, max(w) from e left join p on e.id = p.id group by n, p.id",
        "select id from p where id in (select p from c) group by id",
        "select distinct id, (select max(x) from c where c.p = q.id) as m from p q",
        "select p.id, row_number() over (order by p.id) as r from p order by 1, 2",
        "select distinct p.id from p, c where p.id = c.p and c.x > 1",
        "select p.n, c.x from p, c where c.p = p.id and p.u > 2",
        "select e.id, c.id from e left join (p join c on p.id = c.p) on e.id = p.id",
        "select w, id, sum(n) from p group by grouping sets ((w, id), (id), ())",
        "select count(distinct id), count(distinct w) from p",
        "select a.id from p a join p b on a.id = b.id join c on c.p = b.id",
        "select id from p intersect select p from c",
        "select id from p order by id, w, n limit 10",
    ];
    let mut queries: Vec<String> = fixed.map(String::from).to_vec();
    for seed in seeds(0, 60) {
        queries.push(query(&mut Rng::new(seed)));
    }
    for sql in &queries {
        run(&session, &["set blueshift.constraints = true"]).await;
        let with = ours(&session, sql).await;
        run(&session, &["set blueshift.constraints = false"]).await;
        assert_eq!(with, ours(&session, sql).await, "{sql}");
    }
}

/// A query over `p`, `c` and `e`: groups and joins, one above the other.
fn query(rng: &mut Rng) -> String {
    let leaf = |rng: &mut Rng| {
        [
            "select id as i, n as j from p",
            "select p as i, x as j from c",
            "select id as i, g as j from e",
            "select id as i, u as j from p",
        ][rng.below(4)]
        .to_string()
    };
    let mut sql = leaf(rng);
    for depth in 0..3 {
        let other = leaf(rng);
        sql = match rng.below(7) {
            0 => format!("select distinct i, j from ({sql}) d{depth}"),
            1 => format!("select i, max(j) as j from ({sql}) d{depth} group by i"),
            2 => format!("select i, j from ({sql}) d{depth} group by i, j"),
            3 => format!("select a.i, b.j from ({sql}) a join ({other}) b on a.i = b.i"),
            4 => format!("select a.i, a.j from ({sql}) a left join ({other}) b on a.i = b.i"),
            5 => format!("select b.i, a.j from ({sql}) a left join ({other}) b on a.j = b.i"),
            _ => format!("select i, j from ({sql}) d{depth} union all {other}"),
        };
    }
    match rng.below(3) {
        0 => format!("select distinct i from ({sql}) z"),
        1 => format!("select i, count(*) as n from ({sql}) z group by i, j"),
        _ => sql,
    }
}

/// DataFusion takes a part of what groups over a join for a key where a side is grouped itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groupings_over_joins_of_groupings() {
    let session = session().await;
    run(&session, &["create table c (p int, x int)", "insert into c values (1, 1), (1, 2), (2, 1), (null, 3), (1, 1)"])
        .await;
    let a = "(select p as i, count(*) as n from c group by p) a";
    for (sql, rows) in [
        (format!("select distinct i from (select a.i, b.x from {a} join c b on a.i = b.p group by a.i, b.x) s"), "n=2"),
        (format!("select i, count(*) from (select a.i, b.x from {a} join c b on a.i = b.p group by a.i, b.x) s group by i, x"), "n=3"),
        (format!("select distinct i from (select distinct a.i, b.x from {a} left join c b on a.i = b.p) s"), "n=3"),
        (format!("select a.i, b.x, sum(a.n) as n from {a}, c b where a.i = b.p group by 1, 2 order by 2, 1"), "n=3"),
        (format!("select a.i + 1, count(b.x) from {a} join c b on a.i = b.p group by a.i + 1 having count(*) > 1"), "n=1"),
        // What groups takes another form, and keeps its name: an alias.
        (format!("select distinct i from (select a.i, b.x + 1.5 as y from {a} join c b on a.i = b.p group by a.i, b.x + 1.5) s"), "n=2"),
        (format!("select i, y, count(*) from (select a.i, case when b.x = 1.0 then 2 end as y from {a} join c b on a.i = b.p group by 1, 2) s group by i, y"), "n=3"),
        ("select distinct r from (select distinct a.r, b.x from (select row_number() over (order by x) as r, p from c) a \
          join c b on a.p = b.p) s"
            .to_string(), "n=4"),
    ] {
        assert_eq!(count(&session, &sql).await, rows, "{sql}");
    }
}

async fn plan(session: &Session, sql: &str) -> String {
    ours(session, &format!("explain {sql}")).await.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distribution_keys_are_equal_where_it_is_proven() {
    let session = warehouse(4, 4, Geometry::DEFAULT).await.session();
    for setting in ["hash_join_single_partition_threshold", "hash_join_single_partition_threshold_rows"] {
        session.sql(&format!("set datafusion.optimizer.{setting} = 0")).await.unwrap();
    }
    let rows = "select v, v % 9, v % 5 from generate_series(1, 400) s(v)";
    run(
        &session,
        &[
            "create table orders (id int primary key, u int not null, o int, unique (id, u)) distkey (u)",
            "create table lines (id int not null, u int not null, x int, foreign key (id, u) references orders (id, u)) distkey (u)",
            &format!("insert into orders {rows}"),
            &format!("insert into lines {rows}"),
            &format!("insert into lines {rows}"),
            "analyze",
        ],
    )
    .await;
    let joins = [
        "select o.o, l.x from orders o join lines l on o.id = l.id",
        "select o.o, l.x from orders o, lines l where o.id = l.id and l.x > 1",
        "select o.o, l.x from orders o left join lines l on l.id = o.id",
    ];
    let steps = [
        "alter table orders verify constraint orders_pkey",
        "alter table orders verify constraint orders_id_u_key",
        "alter table lines alter constraint lines_id_u_fkey rely",
        "alter table lines verify constraint lines_id_u_fkey",
    ];
    let collocated = |text: &str| text.contains("Join DS_DIST_NONE");
    for sql in joins {
        assert!(!collocated(&plan(&session, sql).await), "{sql}");
    }
    let answers = [count(&session, joins[0]).await, count(&session, joins[1]).await, count(&session, joins[2]).await];
    for (i, step) in steps.iter().enumerate() {
        run(&session, &[step]).await;
        for (sql, answer) in joins.iter().zip(&answers) {
            let text = plan(&session, sql).await;
            assert_eq!(collocated(&text), i + 1 == steps.len(), "after {step}: {sql}\n{text}");
            assert_eq!(&count(&session, sql).await, answer);
        }
    }
    run(&session, &["set blueshift.constraints = false"]).await;
    assert!(!collocated(&plan(&session, joins[0]).await));
    run(&session, &["set blueshift.constraints = true", "alter table lines alter constraint lines_id_u_fkey norely"])
        .await;
    assert!(!collocated(&plan(&session, joins[0]).await));
    // One event may be of two users: the key is both columns, and nothing follows from one.
    run(
        &session,
        &[
            "create table events (event_id int, user_id int, primary key (event_id, user_id) verified) distkey (user_id)",
            "create table seen (event_id int not null, user_id int not null, x int, \
             foreign key (event_id, user_id) references events verified) distkey (user_id)",
            "insert into events values (1, 10), (1, 11), (2, 10)",
            "insert into seen values (1, 10, 0), (1, 11, 0), (2, 10, 0)",
        ],
    )
    .await;
    assert_eq!(count(&session, "select 1 from events e join seen s on e.event_id = s.event_id").await, "n=5");
    assert_eq!(count(&session, "select 1 from events e, seen s where e.event_id = s.event_id").await, "n=5");
    // A foreign key of which a part is NULL refers to nothing.
    run(
        &session,
        &[
            "create table loose (id int not null, u int, foreign key (id, u) references orders (id, u) verified) distkey (u)",
            "insert into loose values (1, null), (2, 2)",
        ],
    )
    .await;
    assert_eq!(count(&session, "select 1 from orders o join loose l on o.id = l.id").await, "n=2");
}
