//! The command line, run as a user runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `blueshift` in `directory`.
fn blueshift(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).stdin(Stdio::null()).output().unwrap()
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blueshift"));
    command.current_dir(directory).env("TMPDIR", directory).env("RUST_BACKTRACE", "0").args(arguments);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Standard output of a run that must succeed.
fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let output = blueshift(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_string()
}

/// Standard error of a run that must fail.
fn fails(directory: &Path, arguments: &[&str]) -> String {
    let output = blueshift(directory, arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded: {}", text(&output.stdout));
    text(&output.stderr).to_string()
}

#[test]
fn statements_of_all_sources_run_in_one_session() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("two.sql"), "insert into t values (2);\ninsert into t values (3);").unwrap();
    let create = "create table t (a integer); insert into t values (1)";
    let out = succeeds(dir.path(), &["sql", "-c", create, "-f", "two.sql", "-c", "select sum(a) as total from t"]);
    assert_eq!(
        out,
        "CREATE TABLE\nINSERT 0 1\nINSERT 0 1\nINSERT 0 1\n\
         +-------+\n| total |\n+-------+\n| 6     |\n+-------+\n(1 row)\n"
    );
    // Standard input when there is neither -c nor -f.
    let mut child = command(dir.path(), &["sql", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"set datafusion.execution.batch_size = 7; select 1 as a; -- end").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "a\r\n1\r\n");
    assert!(text(&output.stderr).contains("in memory"));
}

#[test]
fn csv_and_json_keep_every_value() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "select * from (values
            (1, 'a,b', 1.50, date '2020-01-02', timestamp '2020-01-02 03:04:05', true),
            (2, 'say \"hi\"', null, null, null, false),
            (3, '', 2, null, null, null),
            (4, null, 3, null, null, null),
            (5, 'two\nlines', -0.25, null, null, null)) v(a, b, \"c d\", e, f, g) order by a";
    let csv = succeeds(dir.path(), &["sql", "--format", "csv", "-c", rows]);
    assert_eq!(
        csv,
        "a,b,c d,e,f,g\r\n\
         1,\"a,b\",1.50,2020-01-02,2020-01-02 03:04:05,true\r\n\
         2,\"say \"\"hi\"\"\",,,,false\r\n\
         3,\"\",2.00,,,\r\n\
         4,,3.00,,,\r\n\
         5,\"two\nlines\",-0.25,,,\r\n"
    );
    let json = succeeds(dir.path(), &["sql", "--format", "json", "-c", rows, "-c", "select 1 as a where false"]);
    let first =
        "{\"a\": 1, \"b\": \"a,b\", \"c d\": 1.50, \"e\": \"2020-01-02\", \"f\": \"2020-01-02T03:04:05\", \"g\": true}";
    let last = "{\"a\": 5, \"b\": \"two\\nlines\", \"c d\": -0.25, \"e\": null, \"f\": null, \"g\": null}";
    assert!(json.starts_with(&format!("[\n  {first},\n")), "{json}");
    assert!(json.ends_with(&format!("  {last}\n]\n[]\n")), "{json}");
    assert!(json.contains("\"say \\\"hi\\\"\", \"c d\": null"), "{json}");
}

#[test]
fn an_error_ends_the_run_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let output = blueshift(
        dir.path(),
        &["sql", "-c", "select 1 as a", "-c", "select 2 as b;\nselect * from nope; select 3 as c"],
    );
    assert_eq!(output.status.code(), Some(1));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("| b |") && !out.contains("| c |"), "{out}");
    assert!(err.contains("ERROR: ") && err.contains("nope"), "{err}");
    assert!(err.contains("AT: line 2, column 15\n    select * from nope; select 3 as c\n                  ^"), "{err}");
    std::fs::write(dir.path().join("wrong.sql"), "\n  selct 1").unwrap();
    let err = fails(dir.path(), &["sql", "-f", "wrong.sql"]);
    assert!(err.contains("AT: wrong.sql, line 2, column 3"), "{err}");
    // A hint, and a notice of what succeeds.
    let twice = "create table t (a integer); drop table if exists u; create table t (a integer)";
    let err = fails(dir.path(), &["sql", "-c", twice]);
    assert!(err.contains("NOTICE: table \"u\" does not exist"), "{err}");
    assert!(err.contains("HINT: drop it first"), "{err}");
    // A file that is not there is found before anything runs.
    let err = fails(dir.path(), &["sql", "-w", "new", "-c", "select 1", "-f", "nope.sql"]);
    assert!(err.contains("nope.sql") && !dir.path().join("new").exists(), "{err}");
}

#[test]
fn a_warehouse_is_made_found_again_and_nothing_else_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let made =
        blueshift(dir.path(), &["sql", "-w", "new/house", "--slices", "3", "-c", "create table t as select 7 as a"]);
    assert!(text(&made.stderr).contains("Created a warehouse at new/house with 3 slices"), "{}", text(&made.stderr));
    let found =
        blueshift(dir.path(), &["sql", "-w", "new/house", "--format", "csv", "--timing", "-c", "select a from t"]);
    assert_eq!(text(&found.stdout), "a\r\n7\r\n");
    assert!(text(&found.stderr).starts_with("Time: "), "{}", text(&found.stderr));
    std::fs::create_dir(dir.path().join("other")).unwrap();
    std::fs::write(dir.path().join("other/letter.txt"), "dear").unwrap();
    let err = fails(dir.path(), &["sql", "-w", "other", "-c", "select 1"]);
    assert!(err.contains("ERROR: ") && err.contains("not a Blueshift warehouse"), "{err}");
}

#[test]
fn what_is_not_stored_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let made = ["sql", "-w", "house", "-c", "create table t (a int)", "-c", "create view v as select a from t"];
    let made = blueshift(dir.path(), &made);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let notice = "NOTICE: view \"v\" lasts as long as this session";
    assert!(text(&made.stderr).contains(notice), "{}", text(&made.stderr));
    let err = fails(dir.path(), &["sql", "-w", "house", "-c", "select * from v"]);
    assert!(err.contains("\"v\"") || err.contains("'dev.public.v'"), "{err}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let rows = ["sql", "--format", "csv", "-c", "select * from generate_series(1, 1000000)"];
    let mut child = command(dir.path(), &rows).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!text(&output.stderr).contains("ERROR"), "{}", text(&output.stderr));
}

#[test]
fn tpch_loads_once_runs_checks_and_reports() {
    let dir = tempfile::tempdir().unwrap();
    let tpch = |more: &[&str]| succeeds(dir.path(), &[&["tpch", "--scale", "0.001"], more].concat());
    let loaded = tpch(&["--load-only"]);
    assert!(loaded.contains("loaded 8 tables") && loaded.contains("lineitem: 6,005 rows"), "{loaded}");
    assert!(loaded.contains("blueshift-tpch/sf0.001"), "{loaded}");
    let ran = tpch(&["--queries", "1,6", "--iterations", "1", "--json", "figures.json"]);
    assert!(ran.contains("all tables are loaded already") && !ran.contains("rows/s"), "{ran}");
    let json = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    assert!(json.starts_with("{\n  \"scale\": 0.001,\n  \"engine\": \"blueshift\""), "{json}");
    for part in ["{\"query\": 1, \"median_s\": ", "{\"query\": 6, \"median_s\": ", "\"runs_s\": [", "\"rows\": 4, "] {
        assert!(json.contains(part), "{part}: {json}");
    }
    // All results are DataFusion's.
    let checked = tpch(&["--iterations", "1", "--check"]);
    assert_eq!(checked.matches("  ok\n").count(), 22, "{checked}");
    // Another scale's rows are neither used nor replaced.
    let err = fails(
        dir.path(),
        &["tpch", "--scale", "0.002", "-w", "blueshift-tpch/sf0.001", "--queries", "6", "--iterations", "1"],
    );
    assert!(err.contains("not those of scale 0.002"), "{err}");
}
