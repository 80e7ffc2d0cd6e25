use proptest::prelude::*;

use crate::sql::{Statement, is_complete, parse, split};
use crate::testing::seeds;

use super::refused;

fn all(sql: &str) {
    let _ = is_complete(sql);
    let pieces = split(sql);
    for piece in &pieces {
        let _ = piece.parse();
    }
    if let Ok(statements) = parse(sql) {
        assert!(statements.len() <= pieces.len(), "{sql}");
        let parsed: Vec<_> = pieces.iter().map(|p| p.parse().unwrap()).collect();
        assert_eq!(parsed.len(), statements.len(), "{sql}");
    }
}

const WORDS: &[&str] = &[
    "select",
    "from",
    "where",
    "create",
    "table",
    "temp",
    "t",
    "\"Q\"",
    "(",
    ")",
    "(",
    ")",
    ",",
    ";",
    ".",
    "int",
    "varchar",
    "max",
    "1",
    "2",
    "'s'",
    "''",
    "'",
    "\"",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    "distkey",
    "sortkey",
    "diststyle",
    "key",
    "even",
    "encode",
    "auto",
    "az64",
    "not",
    "null",
    "default",
    "primary",
    "unique",
    "references",
    "like",
    "as",
    "insert",
    "into",
    "values",
    "copy",
    "csv",
    "format",
    "parquet",
    "delimiter",
    "iam_role",
    "drop",
    "schema",
    "if",
    "exists",
    "explain",
    "analyze",
    "compression",
    "comprows",
    "for",
    "+",
    "-",
    "*",
    "::",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "and",
    "or",
    "case",
    "when",
    "end",
    "interval",
    "union",
    "with",
    "é",
    "\u{0}",
    "\\",
    "@",
    "#",
    "E'\\",
    "q'[",
    "/*!",
    "show",
    "set",
    "=",
    "prepare",
    "view",
    "external",
    "\r\n",
    "\t",
    "\u{2003}",
    "with",
    "time",
    "zone",
    "timestamp",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(0, 500).count() as u32, ..ProptestConfig::default() })]

    #[test]
    fn random_text_does_not_panic(sql in "\\PC{0,80}") {
        all(&sql);
    }

    #[test]
    fn random_words_do_not_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..40), glue in "[ ]?") {
        all(&words.join(&glue));
    }

    #[test]
    fn statements_with_a_word_changed_do_not_panic(
        at in 0usize..60, word in prop::sample::select(WORDS), which in 0usize..4, cut in any::<bool>(),
    ) {
        let sql = [
            "create temp table if not exists a.b ( c int not null default 1 encode az64 distkey , d varchar ( 5 ) , \
             primary key ( c ) ) diststyle key compound sortkey ( c , d ) encode auto backup no",
            "copy t ( a , b ) from 's3://x' iam_role default csv quote as '%' delimiter ',' null as 'x' ignoreheader 1",
            "insert into t ( a , b ) values ( 1 , default ) , ( 2 , 'x' ) ; drop table a , b cascade",
            "create table t ( a , b ) distkey ( 2 ) sortkey ( 1 ) as with x as ( select 1 ) select * from x",
        ][which];
        let mut words: Vec<&str> = sql.split(' ').collect();
        let at = at % words.len();
        words[at] = word;
        if cut {
            words.truncate(at + 1);
        }
        all(&words.join(" "));
    }
}

/// Each of these is as deep as it is long, and would overflow a stack if it were read or dropped.
#[test]
fn deep_nesting_is_an_error() {
    for (before, repeated) in [
        ("select ", "("),
        ("select ", "1 + "),
        ("select ", "- "),
        ("select ", "not "),
        ("select ", "interval "),
        ("select ", "case when "),
        ("select ", "["),
        ("select ", "{'a': "),
        ("select ", "f("),
        ("select ", "cast("),
        ("select x", "::int"),
        ("select x::int", "[]"),
        ("select x", "[1]"),
        ("select x is null", " and x"),
        ("select x::", "array<"),
        ("select x::", "struct<a "),
        ("select x::", "map("),
        ("select x::", "nullable("),
        ("select x", " || x"),
        ("select x", " collate y"),
        ("select x", " is null"),
        ("select 1", " union select 1, 2"),
        ("", "("),
        ("select * from ", "("),
        ("select * from ", "(select * from "),
        ("select * from t", " pivot (sum(a) for b in (1, 2))"),
        ("", "with a as ("),
        ("", "explain "),
        ("", "explain analyze "),
        ("", "prepare p as "),
        ("", "prepare p (decimal(1, 2)) as "),
        ("create table t (a int default ", "("),
        ("create table t (a int default 1", " + 1"),
        ("insert into t values (", "("),
        ("insert into t values (1", " + 1"),
        ("create table t as ", "("),
        ("copy t from 'x' ", "("),
        ("select * from a", " join b"),
        ("select prior ", "prior "),
        ("select exists ", "(select exists "),
        ("select a", ".b"),
        ("select ", "@"),
        ("select ", "!"),
        ("select ", "~"),
        ("select ", "any "),
        ("select ", "distinct "),
        ("select ", "interval - "),
        ("select lambda ", "x -> "),
        ("from t", " |> where a"),
    ] {
        // Little enough for our own bounds, then for none.
        for (n, tail) in [(35, ""), (90, " 1"), (1_900, ""), (6_000, " 1")] {
            let sql = format!("{before}{}{tail}", repeated.repeat(n));
            if let Err(e) = parse(&sql) {
                assert!(e.position().is_some(), "{before}{repeated}: {e}");
            }
            split(&sql);
        }
    }
    assert_eq!(refused(&format!("select {}1", "1 + ".repeat(30_000))).state().0, "54001");
    assert_eq!(refused(&format!("select {}1", "(".repeat(60))).state().0, "54001");
}

/// What generated queries do, which is long but not deep, or not very deep.
#[test]
fn long_statements_are_read() {
    let list = |item: &str, n: usize| vec![item; n].join(", ");
    for sql in [
        format!("select {}", list("1 + 1", 20_000)),
        format!("select * from t where a in ({})", list("-1", 20_000)),
        format!("insert into t values {}", list("(1, -2.5, 'x', default)", 20_000)),
        format!("select 1 where {} true", "a = 1 or ".repeat(1_500)),
        format!("select case {} end", "when a = 1 and b = 2 then c + 1 ".repeat(5_000)),
        format!("select {}1{}", "(".repeat(20), ")".repeat(20)),
        format!("select 1 {}", "union all select 1 ".repeat(400)),
        "select 1 + 1;".repeat(5_000),
    ] {
        if let Err(e) = parse(&sql) {
            panic!("{}: {e}", &sql[..60]);
        }
    }
}

/// Dropping happens by itself; DDL and errors show statements as text.
#[test]
fn deepest_accepted_expressions_can_be_dropped_and_shown() {
    let operators = crate::sql::depth::MAX_OPERATORS - 1;
    for repeated in [" + 1", " or 1", "::int", " is null"] {
        let statements = parse(&format!("select 1{}", repeated.repeat(operators))).unwrap();
        let Statement::Query(query) = &statements[0] else { panic!() };
        assert!(query.to_string().len() > operators);
        let e = refused(&format!("select 1{}", repeated.repeat(operators + 2)));
        assert_eq!(e.state().0, "54001");
    }
}

/// Words that may be names as well: reading them both ways at every level would take for ever.
#[test]
fn broken_constructs_within_constructs_take_no_time() {
    for word in [
        "array",
        "case",
        "cast",
        "ceil",
        "convert",
        "current_timestamp",
        "exists",
        "extract",
        "floor",
        "interval",
        "join",
        "map",
        "not",
        "overlay",
        "position",
        "prior",
        "struct",
        "substring",
        "trim",
        "try_cast",
        "unnest",
    ] {
        for glue in ["(", " [", " - ", "(1, ", "{'a': ", "(select ", " x and ", " when "] {
            for before in ["select ", "select x::", "select 1 from t ", "create table t (a int default "] {
                let _ = parse(&format!("{before}{}", format!("{word}{glue}").repeat(40)));
            }
        }
    }
}
