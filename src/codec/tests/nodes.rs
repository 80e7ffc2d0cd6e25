//! Operators, functions and tables, each by itself.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::dml::InsertOp;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};

use super::*;
use crate::common::ErrorKind;
use crate::physical_plan::load::LoadExec;

async fn tables(session: &Session) {
    run(
        session,
        &[
            "create table t (k bigint, g int, c char(6), v varchar(20), d decimal(12,2), ts timestamp, z timestamptz, \
             day date, b varbyte(8), s super, f double precision, ok boolean) distkey(k) sortkey(k)",
            "insert into t select v, v % 7, 'c' || (v % 5), 'text ' || v, v * 1.25, \
             timestamp '2024-03-10 00:30:00' + v * interval '1 hour', \
             (timestamp '2024-03-10 06:30:00' + v * interval '1 hour')::timestamptz, \
             date '2024-01-01' + v, to_varbyte('ab' || v % 9, 'utf8'), \
             json_parse('{\"a\": [' || v || ', 2], \"b\": \"x\"}'), v / 3.0, v % 2 = 0 \
             from generate_series(1, 500) n(v)",
            "create table e (k int, w varchar(9)) diststyle even",
            "insert into e select v, 'w' || v from generate_series(1, 100) n(v)",
            "create table u (k bigint, g int) distkey(k)",
            "insert into u select v, v % 7 from generate_series(1, 100) n(v)",
            "create view seen as select g, count(*) n, max(v) m from t group by g",
            "analyze",
        ],
    )
    .await;
}

const QUERIES: &[&str] = &[
    // Declared types, and what goes by them.
    "select k, v::char(3) a, octet_length(c) b, len(c) l, (v || 'x')::varchar(4) w from t where k < 9",
    "select pg_typeof(c) a, pg_typeof(v::varchar(2)) b, pg_typeof(s) c, pg_typeof(z) d from t limit 1",
    "select k, c || '|' joined from t where c = 'c3    ' and v::char(6) > 'text 4'",
    "select k::varbyte(4) a, b from t where k < 5",
    // Time zones: those of the session that planned.
    "select k, z::varchar(40) a, z::timestamp b, ts::timestamptz c, z::date d from t where k < 30",
    "select date_trunc('day', z) a, count(*) n from t group by 1",
    "select k from t where z > '2024-03-10 12:00:00' and z < '2024-03-11'",
    "select convert_timezone('America/New_York', ts) a, date_part('hour', z) h, to_char(z, 'HH24:MI TZ') s from t where k < 9",
    // Dates, numbers, text, JSON, SUPER.
    "select dateadd('month', 1, day) a, datediff('week', day, ts) b, last_day(day) c, months_between(ts, day) m from t",
    "select k + g a, k * 3 - g b, -k c, k / 7 d, d * 1.5 e, round(d, 1) f from t",
    "select initcap(v) a, lpad(v, 12, '*') b, regexp_substr(v, '[0-9]+') c, strtol('ff', 16) d, md5(v) e from t where k < 20",
    "select json_extract_path_text('{\"a\": {\"b\": ' || k || '}}', 'a', 'b') a, is_valid_json(v) b from t where k < 20",
    "select s.a[0]::int a, s.b b, json_serialize(s) c, is_array(s.a) d from t where k < 20",
    "select v like 'text 1%' a, v similar to '%(7|8)' b, v ilike 'TEXT%' c, k in (1, 2, 900) d from t",
    "select case when g = 0 then null else 100 / g end a, nvl(null, v) b, case g when 1 then 'one' else 'other' end c from t",
    // Aggregates and windows.
    "select g, sum(k) a, avg(d) b, listagg(c, ',' order by k) l, bool_and(ok) o, count(distinct c) n \
     from t group by g",
    "select median(k) m, percentile_cont(0.3) within group (order by d) p, \
     percentile_disc(0.3) within group (order by k) q from t",
    "select k, ratio_to_report(k) over (partition by g) r, row_number() over (partition by g order by k) n, \
     sum(d) over (partition by g order by k rows between 2 preceding and current row) s, lag(v) over (order by k) l \
     from t",
    "select g, stddev_samp(f) s, var_pop(f) v from t where k < 3 group by g",
    // Shapes of plans.
    "select t.k, w from t join e on t.k = e.k and t.g = e.k % 7 where w <> 'w3'",
    "select t.k, u.g from t join u on t.k = u.k and t.g = u.g where t.v like '%1%'",
    "select t.g, count(*) n from t join u on t.k = u.k and t.g = u.g join e on e.k = u.g group by t.g",
    "select a.g, count(*) n from t a join u b on a.g = b.g and a.k = b.k + 1 group by a.g",
    "select k, v from t order by v desc, k limit 7",
    "select k, v from t order by upper(v) desc, k limit 7",
    "select k from t order by k desc limit 5",
    "select k from t limit 1000",
    "select g, (select max(w) from e) m from t where k > (select avg(k) from e) group by g",
    "select k from t where exists (select 1 from e where e.k = t.k) and g not in (select k from e where k > 5)",
    "select k from t where k < 9 union all select k from e where k < 4 union select g from t",
    "select n, m from seen where n > 70",
    "select a.k, b.k from e a, e b where a.k < b.k and b.k < 6",
    "select t.k, e.w from t full join e on t.k = e.k where t.k < 5 or e.k > 98",
    "select distinct c, g from t",
    "select g, c, sum(k) from t group by rollup (g, c)",
    "select current_date = current_date a, current_database() b, current_user c, version() is null d",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_and_operators_travel() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    run(&session, &["set timezone to 'America/New_York'"]).await;
    let queries: Vec<_> = QUERIES.iter().enumerate().map(|(at, sql)| (format!("n{at}"), sql.to_string())).collect();
    let plans = travel(directory.path(), &session, &queries).await.join("\n");
    for node in ["SliceScan", "Exchange", "Broadcast", "CollocatedJoinExec", "DynamicFilter", " by "] {
        assert!(plans.contains(node), "no plan has {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_plans_take_their_values_where_they_are_run() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    let state = session.context().state();
    let plan = state.create_logical_plan("select k, v from t where k = $1 and v like $2").await.unwrap();
    let bytes = BlueshiftCodec::new(session.warehouse()).encode(&plan).unwrap();
    // Of another handle on the same warehouse, after more rows came.
    let other = open(directory.path()).await;
    run(&other.session(), &["insert into t (k, v) values (600, 'text new')"]).await;
    let (reader, codec) = (other.session(), BlueshiftCodec::new(&other));
    for (k, rows) in [(7, 1), (600, 1), (601, 0)] {
        let plan = codec.decode(&bytes, &reader.context().task_ctx()).unwrap();
        assert_eq!(plan.get_parameter_types().unwrap().len(), 2);
        let values = vec![ScalarValue::Int64(Some(k)), ScalarValue::from("text%")];
        let plan = plan.with_param_values(values).unwrap();
        let found = logical_answer(&reader, plan).await.unwrap();
        assert_eq!(found.lines().filter(|l| l.contains("text")).count(), rows, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_travels() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    let rows = physical(&session, "select k::int + 1000 k, v::varchar(9) w from t where k <= 5").await;
    let table = session.warehouse().table("e").await.unwrap();
    let plan = table.insert_into(&session.context().state(), rows, InsertOp::Append).await.unwrap();
    assert!(plan.is::<LoadExec>());
    let bytes = BlueshiftCodec::new(session.warehouse()).encode_physical(&plan).unwrap();
    let other = open(directory.path()).await;
    let (reader, codec) = (other.session(), BlueshiftCodec::new(&other));
    let plan = codec.decode_physical(&bytes, &reader.context().task_ctx()).unwrap();
    assert!(answer(&reader, plan).await.unwrap().contains('5'));
    let found = physical(&reader, "select count(*) n from e where k > 1000").await;
    assert!(answer(&reader, found).await.unwrap().contains('5'));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_travel_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    run(&session, &["create temporary table mine (a int)", "insert into mine values (1)"]).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let e = codec.encode(&logical(&session, "select * from mine").await).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    assert!(e.message().contains("\"mine\"") && e.hint().is_some(), "{e:?}");
    let e = codec.encode_physical(&physical(&session, "select * from mine").await).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
    assert!(e.message().contains("\"mine\""), "{e:?}");
    let numbers = physical(&session, "select v from generate_series(1, 9) n(v) where v > 3").await;
    let context = session.context().task_ctx();
    let decoded = codec.decode_physical(&codec.encode_physical(&numbers).unwrap(), &context).unwrap();
    assert_eq!(answer(&session, decoded).await.unwrap(), answer(&session, numbers).await.unwrap());
    let recursive = "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select n from r";
    let e = codec.encode_physical(&physical(&session, recursive).await).unwrap_err();
    assert!(e.kind() == ErrorKind::Unsupported && e.message().contains("RecursiveQueryExec"), "{e:?}");
    let chain = (0..200).map(|at| format!("a + {at} > 0")).collect::<Vec<_>>().join(" or ");
    let deep = physical(&session, &format!("select 1 from (select a from mine where {chain}) where a > 0")).await;
    assert_eq!(codec.encode_physical(&deep).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_tables_travel() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    let sql = "select \"column\", type from pg_table_def where tablename = 't'".to_string();
    travel(directory.path(), &session, &[("system".into(), sql)]).await;
}

/// With DataFusion's own converter functions would lose what their fields tell: they fail instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_converter_functions_fail() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let context = session.context().task_ctx();
    let plan = physical(&session, "select octet_length(v::char(9)) a from t where k = 3").await;
    let bytes = physical_plan_to_bytes_with_extension_codec(plan, &codec).unwrap();
    let plan = physical_plan_from_bytes_with_extension_codec(&bytes, &context, &codec).unwrap();
    let e = answer(&session, plan).await.unwrap_err();
    assert!(e.message().contains("decode_physical"), "{e:?}");
    let plan = physical(&session, "select k, v from t where k < 5 order by k").await;
    let expected = answer(&session, Arc::clone(&plan)).await.unwrap();
    let bytes = physical_plan_to_bytes_with_extension_codec(plan, &codec).unwrap();
    let plan = physical_plan_from_bytes_with_extension_codec(&bytes, &context, &codec).unwrap();
    assert_eq!(answer(&session, plan).await.unwrap(), expected);
}

/// The zone of the session that planned, in functions that read it from their settings and in those that keep it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_keep_their_time_zone() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    run(&session, &["set timezone to 'America/New_York'"]).await;
    let elsewhere = session.warehouse().session();
    let codec = BlueshiftCodec::new(session.warehouse());
    for sql in
        ["select to_timestamp_seconds(k * 1000000) a from t where k < 4", "select z::varchar(40) a from t where k < 4"]
    {
        let plan = physical(&session, sql).await;
        let bytes = codec.encode_physical(&plan).unwrap();
        let decoded =
            codec.decode_physical(&bytes, &elsewhere.context().task_ctx()).unwrap_or_else(|e| panic!("{e:?}"));
        let expected = answer(&session, plan).await.unwrap();
        assert_eq!(answer(&elsewhere, decoded).await.unwrap(), expected, "{sql}");
        let there = physical(&elsewhere, sql).await;
        assert_ne!(answer(&elsewhere, there).await.unwrap(), expected, "{sql}");
    }
}

/// What a join has built reaches the scans below it, also where the plan came from elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamic_filters_are_filled_where_a_plan_runs() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    tables(&session).await;
    let (codec, context) = (BlueshiftCodec::new(session.warehouse()), session.context().task_ctx());
    for sql in [
        "select t.v from t join u on t.k = u.k where u.g = 3",
        "select t.v from t join u on t.k = u.k and t.g = u.g where u.g = 3",
        "select k, v from t order by k desc limit 3",
    ] {
        let plan = physical(&session, sql).await;
        let bytes = codec.encode_physical(&plan).unwrap();
        let decoded = codec.decode_physical(&bytes, &context).unwrap();
        let scans = |plan: &Arc<dyn ExecutionPlan>| {
            let lines: Vec<String> =
                shown(plan).lines().filter(|line| line.contains("DynamicFilter")).map(str::to_string).collect();
            assert!(lines.iter().any(|line| line.contains("SliceScan")), "{sql}\n{lines:?}");
            lines.join("\n")
        };
        assert!(scans(&decoded).contains("DynamicFilter [ empty ]"), "{}", scans(&decoded));
        assert_eq!(answer(&session, Arc::clone(&decoded)).await.unwrap(), answer(&session, plan).await.unwrap());
        assert!(!scans(&decoded).contains("DynamicFilter [ empty ]"), "{}", scans(&decoded));
        // Of one that has run the filter travels as it stands, and no longer is anybody's but its own.
        let again = codec.decode_physical(&codec.encode_physical(&decoded).unwrap(), &context);
        let again = answer(&session, again.unwrap()).await.unwrap();
        assert_eq!(again, answer(&session, physical(&session, sql).await).await.unwrap());
    }
}
