use sqlparser::ast::{Expr, Statement as SqlStatement};

use crate::sql::ast::{InsertSource, InsertValue, Matched, MergeAction, Objective, Statement};
use crate::sql::{parse, parse_one};

use super::{invalid, refused, unsupported};

fn query(sql: &str) -> SqlStatement {
    match parse_one(sql) {
        Ok(Statement::Query(statement)) => *statement,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn tpch() {
    const QUERIES: [&str; 22] = [
        include_str!("../../engine/tpch/queries/q01.sql"),
        include_str!("../../engine/tpch/queries/q02.sql"),
        include_str!("../../engine/tpch/queries/q03.sql"),
        include_str!("../../engine/tpch/queries/q04.sql"),
        include_str!("../../engine/tpch/queries/q05.sql"),
        include_str!("../../engine/tpch/queries/q06.sql"),
        include_str!("../../engine/tpch/queries/q07.sql"),
        include_str!("../../engine/tpch/queries/q08.sql"),
        include_str!("../../engine/tpch/queries/q09.sql"),
        include_str!("../../engine/tpch/queries/q10.sql"),
        include_str!("../../engine/tpch/queries/q11.sql"),
        include_str!("../../engine/tpch/queries/q12.sql"),
        include_str!("../../engine/tpch/queries/q13.sql"),
        include_str!("../../engine/tpch/queries/q14.sql"),
        include_str!("../../engine/tpch/queries/q15.sql"),
        include_str!("../../engine/tpch/queries/q16.sql"),
        include_str!("../../engine/tpch/queries/q17.sql"),
        include_str!("../../engine/tpch/queries/q18.sql"),
        include_str!("../../engine/tpch/queries/q19.sql"),
        include_str!("../../engine/tpch/queries/q20.sql"),
        include_str!("../../engine/tpch/queries/q21.sql"),
        include_str!("../../engine/tpch/queries/q22.sql"),
    ];
    for sql in QUERIES {
        assert!(matches!(query(sql), SqlStatement::Query(_)), "{sql}");
        query(&format!("explain analyze verbose {sql}"));
    }
    assert_eq!(parse(&QUERIES.concat()).unwrap().len(), 22);
}

/// What DataFusion's own dialect reads to a tree, ours reads to the same.
#[test]
fn queries_read_as_datafusion_reads_them() {
    for sql in [
        "select interval '1' day, interval '1 day', date '1994-01-01', timestamp '1994-01-01 00:00:00'",
        "select extract(year from x), substring(x from 1 for 2), position('a' in x), trim(both 'x' from y) from t",
        "select x::int::text, cast(x as decimal(10, 2)), try_cast(x as int) from t",
        "select * from t where a ilike 'x%' and b not like 'y\\_%' and d ~ 'e'",
        "select sum(x) over (partition by y order by z rows between 1 preceding and current row) from t",
        "select rank() over w, sum(x) filter (where y > 1) from t window w as (order by z)",
        "select * from 'file.parquet'",
        "select * from 'dir/*.csv' as f",
        "select [1, 2, 3], a[1], array[1, 2], a[1:2], {'a': 1}, map {'a': 1}",
        "select * exclude (a) from t",
        "select a, count(*) from t group by grouping sets ((a), ()), rollup (b), cube (c)",
        "with recursive r as (select 1 union all select 1 from r) select * from r",
        "select * from a left join b using (x) cross join c natural join d",
        "select * from t, lateral (select 1) as l, unnest([1, 2]) as u",
        "select * from generate_series(1, 10)",
        "values (1, 'a'), (2, 'b')",
        "select 1 union all select 2 except select 3 order by 1 limit 1 offset 2",
        "select a not in (1, 2), b not between 1 and 2, c is not null, d is distinct from e, not f",
        "select case a when 1 then 2 else 3 end, coalesce(a, b), nullif(a, b) from \"T\" as \"U\"",
        "select $1, $name, E'it\\'s', X'ff', 'a''b', 'a\\'",
        "(select 1) union (select 2)",
        "from t",
        "select a -> 'b', a ->> 'b', a || b, a % b, a & b, a | b, a << 1 from t",
        "select distinct on (a) a, b from t order by a nulls first",
        "select count(distinct a), string_agg(a, ',' order by b) from t qualify row_number() over () = 1",
        "select * from t where (a, b) in (select 1, 2) and exists (select 1) and a > all (select 1)",
        "select a as b, 1 c, t.* from s.t t tablesample bernoulli (10)",
        "select current_date, current_timestamp, now(), x at time zone 'utc'",
        "show functions",
        "set datafusion.execution.batch_size = 100",
        "set x to 'y'",
        "execute p (1)",
        "deallocate p",
        "prepare p (int) as select $1",
    ] {
        let mut generic =
            sqlparser::parser::Parser::parse_sql(&sqlparser::dialect::GenericDialect, sql).unwrap().remove(0);
        crate::sql::rewrite(&mut generic).unwrap();
        assert_eq!(query(sql), generic, "{sql}");
    }
    assert_eq!(query("select 'a'\n'b'").to_string(), "SELECT 'ab'");
    for (redshift, datafusion) in [
        ("select -2 ^ 2 * 3", "SELECT -2 ^ 2 * 3"),
        ("select a like b escape '\\', a not like b escape '!'", "SELECT a LIKE b, a NOT LIKE like_pattern(b, '!')"),
        ("select a not similar to b", "SELECT NOT similar_to(a, b)"),
        ("select nvl(a, b), mod(a + 1, b), |/ a, ~ a", "SELECT coalesce(a, b), ((a + 1) % b), sqrt(a), (a # (-1))"),
        ("select approximate count(distinct a)", "SELECT CAST(approx_distinct(a) AS BIGINT)"),
        ("select top 2 a from t minus select b", "(SELECT a FROM t LIMIT 2) EXCEPT SELECT b"),
    ] {
        assert_eq!(query(redshift).to_string(), datafusion);
    }
}

#[test]
fn explain() {
    for sql in
        ["explain select 1", "EXPLAIN ANALYZE VERBOSE WITH a AS (SELECT 1) SELECT * FROM a", "explain values (1)"]
    {
        assert!(matches!(query(sql), SqlStatement::Explain { .. }));
    }
    assert!(matches!(query("describe select 1"), SqlStatement::Explain { .. }));
    for sql in
        ["explain format tree select 1", "EXPLAIN (ANALYZE, FORMAT tree) SELECT 1", "explain format pgjson select 1"]
    {
        let Statement::DataFusion { sql: text, .. } = parse_one(&format!(" {sql};")).unwrap() else { panic!("{sql}") };
        assert_eq!(text, sql);
    }
    assert!(matches!(query("explain (select 1)"), SqlStatement::Explain { .. }));
    for (sql, analyze, verbose) in [
        ("explain insert into t values (1)", false, false),
        ("explain analyze create table t as select 1", true, false),
        ("explain verbose with a as (select 1) update t set x = 1 from a", false, true),
        ("explain delete from t", false, false),
        ("explain merge into t using u on t.a = u.a remove duplicates", false, false),
    ] {
        let Ok(Statement::Explain(explain)) = parse_one(sql) else { panic!("{sql}") };
        assert_eq!((explain.analyze, explain.verbose), (analyze, verbose), "{sql}");
    }
    unsupported("explain create table t (a int)", "EXPLAIN of CREATE TABLE", 1, 9);
    unsupported("explain create view v as select 1", "EXPLAIN of CREATE", 1, 9);
    unsupported("explain explain delete from t", "EXPLAIN of EXPLAIN", 1, 9);
    unsupported("explain truncate t", "EXPLAIN of TRUNCATE", 1, 9);
    unsupported("explain copy t from 'f'", "EXPLAIN of COPY", 1, 9);
    unsupported("explain unload ('select 1') to 'f'", "EXPLAIN of UNLOAD", 1, 9);
    unsupported("explain (analyze) delete from t", "EXPLAIN of DELETE", 1, 19);
    invalid("explain t", "expected a query", 1, 9);
    invalid("explain select 1 +", "expected", 1, 19);
}

#[test]
fn statements_not_offered_are_named() {
    for (sql, what) in [
        ("alter table t row level security on", "ALTER TABLE … ROW LEVEL SECURITY"),
        ("alter schema s", "ALTER SCHEMA"),
        ("grant select on t to u", "GRANT"),
        ("revoke select on t from u", "REVOKE"),
        ("create materialized view v as select 1", "CREATE MATERIALIZED VIEW"),
        ("create function f()", "CREATE FUNCTION"),
        ("create external schema s", "CREATE EXTERNAL SCHEMA"),
        ("drop function f", "DROP FUNCTION"),
        ("with a as (select 1) insert into t values (1)", "INSERT … VALUES after WITH"),
        ("select 1 union select 2 into t", "SELECT … INTO here"),
        ("select 1 into unlogged t", "UNLOGGED"),
        ("insert overwrite t select 1", "INSERT OVERWRITE"),
        ("prepare p as drop table t", "PREPARE of anything but a query, INSERT, UPDATE, DELETE and MERGE"),
        (
            "prepare p as prepare q as delete from t",
            "PREPARE of anything but a query, INSERT, UPDATE, DELETE and MERGE",
        ),
    ] {
        unsupported(sql, what, 1, 1);
    }
    unsupported("select 1;\n  grant t", "GRANT", 2, 3);
}

#[test]
fn passed_on_as_text() {
    for sql in [
        "create external table t stored as parquet location 'x;' -- no; end",
        "create unbounded external table t stored as csv location 'x'",
        "reset datafusion.execution.batch_size",
    ] {
        let text = sql.split(" -- ").next().unwrap();
        let statements = parse(&format!("select 1;\n\n é; {sql}\n; select 2").replace(" é;", "")).unwrap();
        let Statement::DataFusion { sql: found, position } = &statements[1] else { panic!("{statements:?}") };
        assert_eq!((found.as_str(), position.line, position.column), (text, 3, 2));
    }
}

#[test]
fn insert() {
    let insert = |sql: &str| match parse_one(sql) {
        Ok(Statement::Insert(insert)) => insert,
        other => panic!("{sql}: {other:?}"),
    };
    let i = insert("insert into s.T (a, \"B\") values (1, default), (DEFAULT, 'x' || 'y')");
    assert_eq!(i.table.to_string(), "s.t");
    assert_eq!(i.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    let InsertSource::Values(rows) = &i.source else { panic!() };
    assert!(matches!(&rows[0][1], InsertValue::Default(p) if p.column == 37), "{rows:?}");
    assert!(matches!(&rows[1][0], InsertValue::Default(_)));
    let with_defaults = i.source.into_query(|field| Expr::value(sqlparser::ast::Value::Placeholder(field.to_string())));
    assert_eq!(with_defaults.unwrap().to_string(), "VALUES (1, 1), (0, 'x' || 'y')");
    assert!(matches!(insert("insert into t default values").source, InsertSource::DefaultValues));
    for sql in [
        "insert into t select * from u",
        "insert into t (a) with x as (select 1) select * from x",
        "insert into t (select 1)",
        "insert into t (with x as (select 1) select * from x)",
        "insert into t ((select 1) union (select 2))",
        "insert into t values (1) limit 1",
        "insert into t values (1) union all values (2)",
    ] {
        let i = insert(sql);
        assert!(i.columns.is_empty() || i.columns.len() == 1);
        assert!(matches!(i.source, InsertSource::Query(_)), "{sql}");
    }
    let InsertSource::Values(rows) = insert("insert into t values (\"default\")").source else { panic!() };
    assert!(matches!(&rows[0][0], InsertValue::Expr(_)));
    invalid("insert into t values (1), (1, 2)", "row 2 has 2", 1, 15);
    invalid("insert into t (a, b) values (1)", "names 2 columns but gives 1", 1, 22);
    invalid("insert into t (a, A) values (1, 2)", "more than once", 1, 19);
    invalid("insert into t (a) default values", "column list", 1, 16);
    invalid("insert t values (1)", "expected INTO", 1, 8);
    invalid("insert into t set a = 1", "VALUES, DEFAULT VALUES or a query", 1, 15);
}

#[test]
fn syntax_errors_have_their_place() {
    invalid("select 1 +", "expected", 1, 11);
    invalid("select 1;\nselect * from t where ()", "expected", 2, 24);
    invalid("selekt 1", "expected a statement, found \"selekt\"", 1, 1);
    invalid("select 1 2", "the statement's end, found \"2\"", 1, 10);
    invalid("select 'abc", "Unterminated string literal", 1, 8);
    invalid("select é, from t where )", "expected", 1, 24);
    invalid("select 1 + -- nothing\n; select 2", "found the statement's end", 1, 11);
    invalid("select 1,\n 'a' /* b\nc ", "Unterminated comment", 2, 6);
    invalid("select 1,\n $a$ b\nc$$ ", "Unterminated dollar-quoted string", 2, 2);
    invalid("insert into t values (1, ", "expected", 1, 25);
    assert!(refused("select 1 +").message().ends_with("found the statement's end"));
    assert!(parse("").unwrap().is_empty());
    assert!(parse(" ; ; -- nothing\n").unwrap().is_empty());
    assert!(parse_one("select 1; select 2").is_err());
    assert!(parse_one("").is_err());
}

#[test]
fn spellings_are_rewritten_once() {
    for (sql, expected) in [
        ("select dateadd(mon, 1, d)", "SELECT dateadd('month', 1, d)"),
        ("select DATE_PART('Y', d), datediff(qtr, a, b)", "SELECT DATE_PART('year', d), datediff('quarter', a, b)"),
        ("select extract(dw from d)", "SELECT extract('dayofweek', d)"),
        ("select extract(isodow from d)", "SELECT EXTRACT(ISODOW FROM d)"),
        ("select sysdate, t.sysdate, \"sysdate\"", "SELECT sysdate(), t.sysdate, \"sysdate\""),
        ("select - - 1, -(-a), - - -b", "SELECT -(-1), -(-a), -(-(-b))"),
        ("select 1 minus (select 2 minus select 3)", "SELECT 1 EXCEPT (SELECT 2 EXCEPT SELECT 3)"),
        ("select d at time zone 'EST'", "SELECT timezone('EST', d)"),
        ("select interval '1 year 2 mons', interval '0'", "SELECT INTERVAL '14 months', INTERVAL '0 days'"),
        ("select interval '-1:30' hour to minute", "SELECT INTERVAL '-5400000000 microseconds'"),
        ("select interval '1.5 days'", "SELECT INTERVAL '1 days 43200000000 microseconds'"),
        ("select date '12-31-2008', date '2008-12-31'", "SELECT DATE '2008-12-31', DATE '2008-12-31'"),
        ("select '31-Dec-2008'::date, 'x'::date", "SELECT '2008-12-31'::DATE, 'x'::DATE"),
        ("select timestamp '20081231 10:00'", "SELECT TIMESTAMP '2008-12-31 10:00:00.000000'"),
        ("select date_trunc(p.part, d), other(month, d)", "SELECT date_trunc(p.part, d), other(month, d)"),
    ] {
        let once = query(sql).to_string();
        assert_eq!(once, expected, "{sql}");
        assert_eq!(query(&once).to_string(), expected, "{sql}");
    }
    for (sql, column) in [
        ("select dateadd(foo, 1, d)", 16),
        ("select dateadd('foo', 1, d)", 16),
        ("select datediff(epoch, a, b)", 17),
        ("select extract(foo from d)", 16),
        ("select interval '1 foo'", 17),
        ("select interval '99999999999 years'", 17),
        ("select interval '400 years' hour to minute", 17),
        ("select localtimestamp", 8),
    ] {
        let error = crate::sql::parse_one(sql).unwrap_err();
        assert_eq!(error.position().map(|at| at.column), Some(column), "{sql}: {error}");
    }
}

/// As many branches as one likes, on an ordinary thread.
#[test]
fn a_long_union_is_no_tower() {
    let branches: Vec<String> = (0..500).map(|i| format!("SELECT {i} AS a")).collect();
    let sql = branches.join(" UNION ALL ");
    let query = parse_one(&sql).unwrap();
    let Statement::Query(again) = parse_one(&sql).unwrap().clone() else { panic!("{sql}") };
    assert_eq!(again.to_string(), sql);
    assert_eq!(query, Statement::Query(again));
    let distinct = sql.replace("UNION ALL SELECT 499", "UNION SELECT 499");
    let Statement::Query(read) = parse_one(&distinct).unwrap() else { panic!("{distinct}") };
    assert_eq!(read.to_string(), distinct);
}

#[test]
fn analyze() {
    let analyze = |sql: &str| match parse_one(sql) {
        Ok(Statement::Analyze(analyze)) => analyze,
        other => panic!("{sql}: {other:?}"),
    };
    let every = analyze("ANALYZE;");
    assert_eq!((every.verbose, every.table, every.predicate_columns), (false, None, false));
    assert!(analyze("analyze verbose").verbose && analyze("analyze verbose predicate columns").predicate_columns);
    assert_eq!(analyze("analyze all columns").table, None);
    let one = analyze("analyze verbose s.T (A, \"B\")");
    assert_eq!(one.table.map(|t| t.to_string()), Some("s.t".to_string()));
    assert_eq!(one.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert!(analyze("analyze t predicate columns").predicate_columns);
    assert!(!analyze("analyze t all columns").predicate_columns);
    // No reserved words: what does not go on as the statement does is a table's name.
    for table in ["compressions", "predicate", "\"all\"", "\"verbose\"", "\"compression\"", "columns"] {
        let named = analyze(&format!("analyze {table}")).table.map(|t| t.base().value.clone());
        assert_eq!(named.as_deref(), Some(table.trim_matches('"')));
    }
    invalid("analyze t (a, A)", "more than once", 1, 15);
    invalid("analyze t ()", "expected a column name", 1, 12);
    invalid("analyze (a)", "expected a table name, PREDICATE COLUMNS, ALL COLUMNS or the statement's end", 1, 9);
    invalid("analyze t (a) all columns", "says already which are analyzed", 1, 15);
    invalid("analyze t columns", "expected the statement's end", 1, 11);
    invalid("analyze t u", "expected the statement's end", 1, 11);
    invalid("analyze t predicate", "expected the statement's end", 1, 11);
}

#[test]
fn analyze_threshold_percent() {
    let set = |sql: &str| match parse_one(sql) {
        Ok(Statement::Query(statement)) => statement.to_string(),
        other => panic!("{sql}: {other:?}"),
    };
    let setting = "blueshift.analyze_threshold_percent";
    for sql in ["set analyze_threshold_percent to 0.01", "set session ANALYZE_THRESHOLD_PERCENT = '0.01'"] {
        assert_eq!(set(sql), format!("SET {setting} = 0.01"));
    }
    assert_eq!(set("set analyze_threshold_percent to default"), format!("SET {setting} = 10"));
    assert_eq!(set("reset analyze_threshold_percent"), format!("SET {setting} = 10"));
    let show = parse_one("show analyze_threshold_percent").unwrap();
    assert_eq!(show, Statement::ShowParameter("analyze_threshold_percent"));
    invalid("set analyze_threshold_percent to 100.5", "100.5 must be a number between 0 and 100", 1, 34);
    invalid("set analyze_threshold_percent to -1", "-1 must be a number between 0 and 100", 1, 34);
    invalid("set analyze_threshold_percent to 'much'", "much must be a number between 0 and 100", 1, 34);
    invalid("set analyze_threshold_percent to much", "expected a number or DEFAULT", 1, 34);
    invalid("set analyze_threshold_percent 5", "expected", 1, 31);
}

#[test]
fn error_on_nondeterministic_update() {
    let set = |sql: &str| match parse_one(sql) {
        Ok(Statement::Query(statement)) => statement.to_string(),
        other => panic!("{sql}: {other:?}"),
    };
    let setting = "blueshift.error_on_nondeterministic_update";
    for value in ["on", "TRUE", "'on'", "1"] {
        assert_eq!(set(&format!("set error_on_nondeterministic_update to {value}")), format!("SET {setting} = true"));
    }
    for sql in ["set error_on_nondeterministic_update = off", "reset error_on_nondeterministic_update"] {
        assert_eq!(set(sql), format!("SET {setting} = false"));
    }
    let message = "invalid value for setting \"error_on_nondeterministic_update\": \"maybe\"";
    invalid("set error_on_nondeterministic_update = maybe", message, 1, 40);
    invalid("set error_on_nondeterministic_update =", "expected on, off or DEFAULT", 1, 39);
}

#[test]
fn prepared_changes() {
    for (sql, types) in [
        ("prepare p as insert into t values ($1, 2)", 0),
        ("prepare P (int, varchar(10)) as update t set a = $1 where b = $2", 2),
        ("prepare p (decimal(5, 2)) as with x as (select $1 as a) delete from t using x where t.a = x.a", 1),
        ("prepare p as merge into t using (select $1 as a) s on t.a = s.a when matched then delete", 0),
    ] {
        let Ok(Statement::Prepare(prepare)) = parse_one(sql) else { panic!("{sql}") };
        assert_eq!((prepare.name.value.as_str(), prepare.parameters), ("p", types), "{sql}");
    }
    assert!(matches!(parse_one("prepare p as with x as (select 1) select * from x"), Ok(Statement::Query(_))));
}

#[test]
fn merge() {
    let merge = |sql: &str| match parse_one(sql) {
        Ok(Statement::Merge(merge)) => *merge,
        other => panic!("{sql}: {other:?}"),
    };
    let read = merge("merge into T as a using S.u on a.x = u.x when matched then update set y = 1, a.z = default");
    assert_eq!((read.table.unquoted().as_str(), read.alias.unwrap().value.as_str()), ("t", "a"));
    assert_eq!((read.source.unwrap().unquoted().as_str(), read.called.unwrap().value.as_str()), ("s.u", "u"));
    let MergeAction::When { matched: Some(Matched::Update(set)), not_matched: None } = read.action else { panic!() };
    assert_eq!(set.iter().map(|(column, _)| column.value.as_str()).collect::<Vec<_>>(), ["y", "z"]);
    let read =
        merge("merge into t using (select 1 as x) on true when not matched then insert (b, a) values (x, default)");
    assert!(read.source.is_none() && read.called.is_some());
    let MergeAction::When { matched: None, not_matched: Some(insert) } = read.action else { panic!() };
    assert_eq!((insert.columns.len(), insert.values.len()), (2, 2));
    assert_eq!(merge("merge into t using u on t.a = u.a remove duplicates").action, MergeAction::RemoveDuplicates);
    for (sql, message, column) in [
        ("merge t using u on true remove duplicates", "expected MERGE INTO", 1),
        ("merge into t using u", "expected ON", 21),
        ("merge into t using u on t.a = u.a", "expected WHEN MATCHED, WHEN NOT MATCHED or REMOVE DUPLICATES", 34),
        ("merge into t using t on true remove duplicates", "are both called \"t\"", 20),
        ("merge into t using u on true when matched then insert values (1)", "expected UPDATE or DELETE", 48),
        ("merge into t using u on true when not matched then delete", "expected INSERT", 52),
        ("merge into t using u on true when not matched then insert select 1", "expected VALUES", 59),
        ("merge into t using u on true when not matched then insert (a, b) values (1)", "names 2 columns", 66),
        ("merge into t using u on true when matched then update set a = 1, A = 2", "column \"a\" is set twice", 66),
        ("merge into t using u on true when matched then update set (a, b) = (1)", "2 columns are set to 1", 59),
        ("merge into t using u on true when matched then delete when matched then delete", "two clauses", 55),
    ] {
        invalid(sql, message, 1, column);
    }
    for (sql, what, column) in [
        ("merge into t using u on true when matched and u.a > 1 then delete", "a condition behind MATCHED", 43),
        ("merge into t using u on true when not matched by source then delete", "WHEN NOT MATCHED BY", 30),
        ("update t set (a, b) = (select 1, 2)", "a subquery that gives several columns their values", 23),
    ] {
        unsupported(sql, what, 1, column);
    }
}

#[test]
fn analyze_compression() {
    let analyze = |sql: &str| match parse_one(sql) {
        Ok(Statement::AnalyzeCompression(analyze)) => analyze,
        other => panic!("{sql}: {other:?}"),
    };
    let every = analyze("ANALYZE COMPRESSION");
    assert_eq!((every.table, every.rows, every.objective), (None, None, Objective::Space));
    assert_eq!(analyze("analyze compression for speed;").objective, Objective::Speed);
    let one = analyze("analyze compression s.T (A, \"B\") comprows 1000000000 for space");
    assert_eq!(one.table.map(|t| t.to_string()), Some("s.t".to_string()));
    assert_eq!(one.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert_eq!((one.rows, one.objective), (Some(1_000_000_000), Objective::Space));
    // The words are no reserved ones.
    for table in ["comprows", "speed", "\"for\"", "compression"] {
        let named = analyze(&format!("analyze compression {table} for speed")).table.map(|t| t.base().value.clone());
        assert_eq!(named.as_deref(), Some(table.trim_matches('"')));
    }
    invalid("analyze compression t (a, A)", "more than once", 1, 27);
    invalid("analyze compression t ()", "expected a column name", 1, 24);
    invalid("analyze compression t comprows 999", "COMPROWS 999 must be between 1000 and 1000000000", 1, 32);
    invalid("analyze compression t comprows -5000", "expected a number of rows", 1, 32);
    invalid("analyze compression comprows 5000", "COMPROWS needs a table", 1, 21);
    invalid("analyze compression t for", "expected SPACE or SPEED", 1, 26);
    invalid("analyze compression t for speed comprows 5000", "expected the statement's end", 1, 33);
    invalid("analyze compression t u", "expected the statement's end", 1, 23);
    invalid("analyze compression (a)", "expected a table name, FOR or the statement's end", 1, 21);
}
