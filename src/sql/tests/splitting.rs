use crate::sql::{is_complete, split};

fn texts(sql: &str) -> Vec<&str> {
    split(sql).into_iter().map(|s| s.text).collect()
}

#[test]
fn semicolons_separate_only_where_they_mean_to() {
    assert_eq!(texts("a; b ;; c"), ["a", "b", "c"]);
    assert_eq!(
        texts("select ';', \";\", $$;$$, $x$ ; $x$ -- ;\n, 2; b"),
        ["select ';', \";\", $$;$$, $x$ ; $x$ -- ;\n, 2", "b"]
    );
    assert_eq!(texts("/* ; /* ; */ ; */ a; -- b;\n"), ["a"]);
    assert_eq!(texts("select 'it''s; ok'; select E'it\\'s; ok'"), ["select 'it''s; ok'", "select E'it\\'s; ok'"]);
    assert_eq!(texts("select '\\'; b"), ["select '\\'", "b"]);
    assert!(texts(" ;\n-- nothing\n;").is_empty());
    assert!(texts("").is_empty());
}

#[test]
fn each_statement_has_its_place() {
    let sql = "-- first\nselect 'é';\r\n  /* x */ select\n2;select 3";
    let found: Vec<_> = split(sql).iter().map(|s| (s.text, s.position.line, s.position.column)).collect();
    assert_eq!(found, [("select 'é'", 2, 1), ("select\n2", 3, 11), ("select 3", 4, 3)]);
    let e = split("select 1;\n x; select\n +").last().unwrap().parse().unwrap_err();
    assert_eq!(e.position().map(|p| (p.line, p.column)), Some((3, 3)));
    let e = split("select 1;  create table t (a money)")[1].parse().unwrap_err();
    assert_eq!(e.position().map(|p| (p.line, p.column)), Some((1, 30)));
    let e = split("select 1;  create view v as select 'x")[1].parse().unwrap_err();
    assert_eq!(e.position().map(|p| (p.line, p.column)), Some((1, 36)));
}

#[test]
fn a_broken_end_is_the_last_statement() {
    assert_eq!(texts("a; select 'b; c"), ["a", "select 'b; c"]);
    assert_eq!(texts("a; 'b; c"), ["a", "'b; c"]);
    assert_eq!(texts("a; /* b; c"), ["a", "/* b; c"]);
    for broken in split("a; select 'b; c; d").iter().skip(1) {
        assert!(broken.parse().is_err());
    }
}

#[test]
fn completeness() {
    for sql in ["select 1;", "select 1; -- done", "", "  \n", "-- note", "select ';';", "a; b;"] {
        assert!(is_complete(sql), "{sql}");
    }
    for sql in [
        "select 1",
        "select 1 -- ;",
        "select ';",
        "select \"a;",
        "/* ; ",
        "/* /* */ ;",
        "select $$ ;",
        "a; b",
        "select $x$ ; $y$ ;",
        "select E'\\';",
        "select 'a\n;",
    ] {
        assert!(!is_complete(sql), "{sql}");
    }
}
