//! The command line, run as a user runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs `blueshift` in `directory`.
fn blueshift(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).stdin(Stdio::null()).output().unwrap()
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blueshift"));
    command.current_dir(directory).env_remove("CARGO_TARGET_DIR").env("RUST_BACKTRACE", "0").args(arguments);
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
    // A project that has a `_tmp` of its own, with files of names and ages like those that a warehouse sweeps.
    let other = dir.path().join("other");
    std::fs::create_dir_all(other.join("_tmp")).unwrap();
    let files = ["letter.txt", "_tmp/draft.txt", "_tmp/00000000000000000000000000000007"];
    for file in files {
        std::fs::write(other.join(file), "dear").unwrap();
        let written = std::fs::File::options().write(true).open(other.join(file)).unwrap();
        written.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    for (directory, warehouse) in [(dir.path(), "other"), (&other, ".")] {
        let err = fails(directory, &["sql", "-w", warehouse, "-c", "select 1"]);
        assert!(err.contains("ERROR: ") && err.contains("not a Blueshift warehouse"), "{err}");
        for file in files {
            assert_eq!(std::fs::read_to_string(other.join(file)).unwrap(), "dear", "{file}");
        }
        let entries = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
        assert_eq!((entries(&other), entries(&other.join("_tmp"))), (2, 2));
    }
}

/// A terminal: what is typed on the first file is read from the second.
#[cfg(unix)]
fn terminal() -> (std::fs::File, std::fs::File) {
    use std::ffi::{CStr, c_char, c_int};
    use std::os::fd::FromRawFd;
    // Of the C library, which std links.
    unsafe extern "C" {
        fn posix_openpt(flags: c_int) -> c_int;
        fn grantpt(fd: c_int) -> c_int;
        fn unlockpt(fd: c_int) -> c_int;
        fn ptsname(fd: c_int) -> *const c_char;
    }
    const READ_WRITE: c_int = 2;
    // SAFETY: `posix_openpt` gives a descriptor that nobody else owns; the others take it while it is open. The name is
    // read before anybody can ask for another: one test of this program opens a terminal.
    unsafe {
        let fd = posix_openpt(READ_WRITE);
        assert!(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
        let name = CStr::from_ptr(ptsname(fd)).to_str().unwrap();
        let typed = std::fs::File::from_raw_fd(fd);
        (typed, std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap())
    }
}

/// A shell at a terminal, and what it has shown so far.
#[cfg(unix)]
struct AtTerminal {
    shell: std::process::Child,
    typed: std::fs::File,
    shown: std::sync::Arc<std::sync::Mutex<String>>,
}

#[cfg(unix)]
impl AtTerminal {
    fn open(directory: &Path, arguments: &[&str]) -> Self {
        let (typed, end) = terminal();
        let copy = || end.try_clone().unwrap();
        let mut prompt = command(directory, arguments);
        prompt.env("BLUESHIFT_HISTORY", "history").env("TERM", "xterm");
        let shell = prompt.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
        let shown = std::sync::Arc::<std::sync::Mutex<String>>::default();
        let (mut reader, into) = (typed.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end is an error on Linux, when the last copy of the other end is closed.
            while let Ok(n @ 1..) = std::io::Read::read(&mut reader, &mut bytes) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        AtTerminal { shell, typed, shown }
    }

    /// Waits until `text` has been shown behind what was shown before, and returns what was shown up to then.
    fn wait_for(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            {
                let mut shown = self.shown.lock().unwrap();
                if let Some(at) = shown.find(text) {
                    let rest = shown.split_off(at + text.len());
                    return std::mem::replace(&mut *shown, rest);
                }
                assert!(began.elapsed() < Duration::from_secs(120), "no {text:?} in {:?}", *shown);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types at the prompt.
    fn type_in(&mut self, text: &str) {
        self.wait_for("blueshift=> ");
        self.typed.write_all(text.as_bytes()).unwrap();
    }

    fn end(mut self) {
        assert!(self.shell.wait().unwrap().success());
    }
}

#[cfg(unix)]
#[test]
fn the_shell_takes_statements_and_commands_and_goes_on_after_errors() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("more.sql"), "select 'of a file' as x;\n\\timing on\nselct 7;\nselect 8;\n")
        .unwrap();
    let mut shell = AtTerminal::open(dir.path(), &["sql"]);
    shell.type_in("create table t (a int, some_column varchar(9));\r");
    shell.wait_for("CREATE TABLE");
    // A statement goes on over lines until its semicolon.
    shell.type_in("insert into t\rvalues (1, 'x'),\r(2, null);\r");
    shell.wait_for("INSERT 0 2");
    // Tab completes a column of the table that is named.
    shell.type_in("select a, some_column from t where some_c\t = 'x';\r");
    let row = shell.wait_for("(1 row)");
    assert!(row.contains("where some_column") && row.contains("| x "), "{row}");
    shell.type_in("selct;\r");
    let error = shell.wait_for("^");
    assert!(error.contains("ERROR") && error.contains("line 1, column 1"), "{error}");
    shell.type_in("\\d t\r");
    let described = shell.wait_for("(1 row)");
    for word in ["some_column", "character varying(9)", "diststyle", "AUTO(ALL)", "skew of rows"] {
        assert!(described.contains(word), "{described}");
    }
    shell.wait_for("SORTKEY: AUTO");
    shell.type_in("\\dt\r");
    assert!(shell.wait_for("(1 row)").contains("public"));
    shell.type_in("\\x on\r");
    shell.type_in("select a, some_column from t order by a;\r");
    let records = shell.wait_for("(2 rows)");
    assert!(records.contains("-[ RECORD 2 ]") && records.contains("some_column | NULL"), "{records}");
    // An error ends a file, not the shell; what the file set stays set.
    shell.type_in("\\i more.sql\r");
    let file = shell.wait_for("^");
    assert!(file.contains("of a file") && file.contains("more.sql, line 3, column 1"), "{file}");
    shell.type_in("\\o out.txt\r");
    shell.type_in("select 'for the file';\r");
    shell.wait_for("Time: ");
    shell.type_in("\\o\r");
    shell.type_in("\\nothing\r");
    shell.wait_for("there is no command \\nothing");
    shell.type_in("\\q\r");
    shell.end();
    assert!(std::fs::read_to_string(dir.path().join("out.txt")).unwrap().contains("for the file"));
    let history = std::fs::read_to_string(dir.path().join("history")).unwrap();
    assert!(history.contains("values (1, 'x'),"), "{history}");
}

#[cfg(unix)]
#[test]
fn what_runs_is_cancelled_and_the_shell_goes_on() {
    unsafe extern "C" {
        fn kill(process: i32, signal: i32) -> i32;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut shell = AtTerminal::open(dir.path(), &["sql"]);
    shell.type_in("select count(*) from generate_series(1, 1000000000000) s(v) where v % 7 = 1;\r");
    std::thread::sleep(Duration::from_secs(2));
    // SAFETY: `kill` takes any numbers; the process is a child that has not been waited for. 2 is SIGINT.
    assert_eq!(unsafe { kill(shell.shell.id() as i32, 2) }, 0);
    shell.wait_for("the statement was cancelled");
    // Of a long result the shell shows both ends.
    shell.type_in("select v from generate_series(1, 1000) s(v);\r");
    let long = shell.wait_for("(1000 rows, 100 of them shown");
    assert!(long.contains(" 50 |") && !long.contains(" 51 |") && long.contains(" 951 |"), "{long}");
    shell.type_in("\u{4}");
    shell.end();
}

#[test]
fn a_column_with_nulls_written_as_csv_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let made = "create table t (a varchar(9)); \
                insert into t values (null), ('x'), (null), ('a\n\nb'), (null)";
    succeeds(dir.path(), &["sql", "-w", "house", "-c", made]);
    let csv = succeeds(dir.path(), &["sql", "-w", "house", "--format", "csv", "-c", "select a from t order by a"]);
    assert_eq!(csv, "a\r\n\"a\n\nb\"\r\nx\r\n\r\n\r\n\r\n");
    std::fs::write(dir.path().join("t.csv"), &csv).unwrap();
    let read = "create table back (like t); copy back from 't.csv' csv ignoreheader 1 emptyasnull";
    let told = succeeds(dir.path(), &["sql", "-w", "house", "-c", read]);
    assert!(told.ends_with("COPY 5\n"), "{told}");
    let again = "select a from back order by a";
    assert_eq!(succeeds(dir.path(), &["sql", "-w", "house", "--format", "csv", "-c", again]), csv);
    let counts = "select count(*) as rows, count(a) as known from back";
    assert_eq!(succeeds(dir.path(), &["sql", "-w", "house", "--format", "csv", "-c", counts]), "rows,known\r\n5,2\r\n");
}

#[test]
fn null_of_no_type_is_written_as_null() {
    let dir = tempfile::tempdir().unwrap();
    let select = |format| succeeds(dir.path(), &["sql", "--format", format, "-c", "select null as a, 'x' as b"]);
    assert_eq!(select("csv"), "a,b\r\n,x\r\n");
    let json: String = select("json").split_whitespace().collect();
    assert_eq!(json, r#"[{"a":null,"b":"x"}]"#);
}

#[test]
fn long_statements_of_many_lines_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..4000).map(|i| format!("({i})")).collect();
    let script = format!("create table t (a int);\ninsert into t values\n{};\n\\dt\n", rows.join(",\n"));
    std::fs::write(dir.path().join("many.sql"), script).unwrap();
    let told = succeeds(dir.path(), &["sql", "-f", "many.sql"]);
    in_order(&told, &["INSERT 0 4000", " t "]);
}

#[test]
fn views_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let made = ["sql", "-w", "house", "-c", "create table t (a int)", "-c", "create view v as select a from t"];
    let made = blueshift(dir.path(), &made);
    assert!(made.status.success(), "{}", text(&made.stderr));
    succeeds(dir.path(), &["sql", "-w", "house", "-c", "insert into t values (7)"]);
    let read = ["sql", "-w", "house", "--format", "csv", "-c", "select a from v"];
    assert_eq!(succeeds(dir.path(), &read), "a\r\n7\r\n");
}

#[test]
fn a_name_is_described_wherever_it_leads() {
    let dir = tempfile::tempdir().unwrap();
    let script = "create schema s;
create table parent (id int primary key, n int unique);
create table s.t (a int distkey, b int references parent, c int) interleaved sortkey (a, c);
insert into s.t values (1, 2, 3);
comment on table s.t is 'a table'; comment on column s.t.c is 'a column';
create view s.v as select a as x from s.t;
create view late as select a from s.gone with no schema binding;
create table t (only int);
create temp table t (k int sortkey, w varchar(7));
insert into t values (1, 'x'), (2, 'y');
create temp view here as select w from t;
";
    std::fs::write(dir.path().join("made.sql"), script).unwrap();
    let describe = |name: &str| succeeds(dir.path(), &["sql", "-f", "made.sql", "-c", &format!("\\d {name}")]);
    in_order(
        &describe("s.t"),
        &[
            "| a      | integer |",
            "| KEY(a) ",
            "DISTSTYLE: KEY(a)\nSORTKEY: INTERLEAVED (a, c)\n",
            "FOREIGN KEY t_b_fkey: (b) REFERENCES public.parent (id)\n",
            "Comment: a table\nComment on c: a column\n",
        ],
    );
    in_order(&describe("parent"), &["PRIMARY KEY parent_pkey: (id)\nUNIQUE parent_n_key: (n)\n"]);
    in_order(
        &describe("s.v"),
        &["| x      | integer |", "View definition:\nCREATE VIEW s.v (x) AS SELECT a AS x FROM \"s\".\"t\";\n"],
    );
    // The temporary table comes before the other of its name.
    let temporary = describe("t");
    in_order(&temporary, &["| k      | integer ", "| w      | character varying(7) ", "| 2 ", "SORTKEY: (k)\n"]);
    assert!(!temporary.contains("only"), "{temporary}");
    assert!(describe("public.t").contains("| only   | integer"));
    assert_eq!(describe("pg_temp.t"), temporary);
    in_order(&describe("here"), &["| w ", "View definition:\nCREATE TEMP VIEW here (w) AS SELECT w FROM t;\n"]);
    let tables = succeeds(dir.path(), &["sql", "-f", "made.sql", "-c", "\\dt"]);
    in_order(
        &tables,
        &["| pg_temp_1 | t      | temporary table |", "| public    | t      | table ", "| s         | t "],
    );
    let views = succeeds(dir.path(), &["sql", "-f", "made.sql", "-c", "\\dv"]);
    in_order(&views, &["| pg_temp_1 | here |", "| public    | late |", "| s         | v "]);
    // A view whose names lead nowhere tells its definition nevertheless.
    let late = describe("late");
    in_order(&late, &["View definition:\nCREATE VIEW public.late AS SELECT a FROM s.gone WITH NO SCHEMA BINDING;\n"]);
    let err = fails(dir.path(), &["sql", "-f", "made.sql", "-c", "\\d nowhere"]);
    assert!(err.contains("table \"nowhere\" does not exist"), "{err}");
    // It goes where results go.
    succeeds(dir.path(), &["sql", "-f", "made.sql", "-c", "\\o out.txt", "-c", "\\d s.v"]);
    assert!(std::fs::read_to_string(dir.path().join("out.txt")).unwrap().contains("View definition:"));
}

const PASSING: &str = "statement ok
create table t (a int, b varchar(9))

statement ok
insert into t values (1, 'x'), (2, null)

query IT rowsort
select * from t
----
1 x
2 NULL
";

#[test]
fn sqllogictest_files_pass_or_fail() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("files")).unwrap();
    std::fs::write(dir.path().join("files/good.slt"), PASSING).unwrap();
    let passed = succeeds(dir.path(), &["slt", "files"]);
    assert!(passed.starts_with("ok ") && passed.trim_end().ends_with("files/good.slt"), "{passed}");
    // One that fails does not keep the others from running.
    let wrong = PASSING.replace("2 NULL", "2 y");
    std::fs::write(dir.path().join("files/bad.slt"), &wrong).unwrap();
    let output = blueshift(dir.path(), &["slt", "files"]);
    assert_eq!(output.status.code(), Some(1));
    in_order(text(&output.stdout), &["FAILED", "files/bad.slt", "ok", "files/good.slt"]);
    in_order(text(&output.stderr), &["query result mismatch", "select * from t", "-   2 y", "+   2 NULL", "bad.slt:7"]);
    assert!(text(&output.stderr).contains("ERROR: 1 of 2 files failed"), "{}", text(&output.stderr));
    // What comes out is written instead of judged.
    std::fs::copy(dir.path().join("files/bad.slt"), dir.path().join("copy.slt")).unwrap();
    succeeds(dir.path(), &["slt", "--override", "copy.slt"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("copy.slt")).unwrap(), PASSING);
    assert_eq!(std::fs::read_to_string(dir.path().join("files/bad.slt")).unwrap(), wrong);
    succeeds(dir.path(), &["slt", "copy.slt"]);
    let err = fails(dir.path(), &["slt", "nowhere.slt"]);
    assert!(err.contains("cannot read nowhere.slt"), "{err}");
}

#[test]
fn sqllogictest_files_run_on_the_slices_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let count = "query I\nselect count(*) from stv_slices\n----\n";
    std::fs::write(dir.path().join("three.slt"), format!("{count}3\n")).unwrap();
    succeeds(dir.path(), &["slt", "--slices", "3", "three.slt"]);
    let err = fails(dir.path(), &["slt", "--slices", "2", "three.slt"]);
    assert!(err.contains("-   3") && err.contains("+   2"), "{err}");
    // In one warehouse, what the first file makes the second finds.
    std::fs::write(dir.path().join("1.slt"), "statement ok\ncreate table kept (a int)\n").unwrap();
    std::fs::write(dir.path().join("2.slt"), "query I\nselect count(*) from kept\n----\n0\n").unwrap();
    succeeds(dir.path(), &["slt", "--slices", "3", "-w", "house", "1.slt", "2.slt", "three.slt"]);
    assert!(fails(dir.path(), &["slt", "1.slt", "2.slt"]).contains("1 of 2 files failed"));
}

#[test]
fn tables_are_inspected() {
    let dir = tempfile::tempdir().unwrap();
    let made = "create table t (day date sortkey, word varchar(9), n int distkey);
        insert into t select date '2024-01-01' + cast(v / 100 as int), 'w' || (v % 7), v from generate_series(1, 20000) s(v);
        create table z (a int, \"b & <c>\" int) diststyle even interleaved sortkey (a, \"b & <c>\");
        insert into z select v, v % 10 from generate_series(1, 20000) s(v);
        create schema s; create table s.\"Other\" (a int) diststyle all;
        insert into s.\"Other\" values (1);
        create table empty (a int)";
    succeeds(dir.path(), &["sql", "-w", "house", "--slices", "2", "-c", made]);
    let inspect = |more: &[&str]| succeeds(dir.path(), &[&["inspect", "-w", "house"], more].concat());
    let all = inspect(&[]);
    assert!(all.starts_with("house: 2 slices, zones of 8192 rows, chunks of 131072\n"), "{all}");
    for row in ["| public.t ", "| KEY(n) ", "| public.z ", "| INTERLEAVED ", "| s.Other "] {
        assert!(all.contains(row), "{row} is not in\n{all}");
    }
    in_order(
        &inspect(&["t"]),
        &[
            "t: KEY(n), sort key day\n20000 rows, 0 of them deleted (0.0 %)",
            "Slices",
            "Columns, in the encodings that their zones have",
            "| day    | date ",
            "| word   | character varying(9) ",
            "| n      | integer ",
            "Runs",
            "| sorted |",
            "Zones over the range of day, from 2024-01-01 to 2024-07-19",
        ],
    );
    let interleaved = inspect(&["public.z", "--svg", "z.svg"]);
    assert!(interleaved.starts_with("public.z: EVEN, sort key INTERLEAVED (a, b & <c>)\n"), "{interleaved}");
    let drawing = std::fs::read_to_string(dir.path().join("z.svg")).unwrap();
    assert!(drawing.starts_with("<svg ") && drawing.trim_end().ends_with("</svg>"), "{drawing}");
    assert!(drawing.contains("sort key INTERLEAVED (a, b &amp; &lt;c&gt;)"), "{drawing}");
    for column in ["a (", "b &amp; &lt;c&gt; ("] {
        assert!(drawing.contains(&format!(">{column}")), "{column} is not in\n{drawing}");
    }
    assert!(inspect(&["s.\"Other\""]).starts_with("s.\"Other\": ALL, sort key none\n"));
    let err = fails(dir.path(), &["inspect", "-w", "house", "nowhere"]);
    assert!(err.contains("table \"nowhere\" does not exist"), "{err}");
    assert!(err.contains("tables with rows are public.t, public.z, s.\"Other\""), "{err}");
    // Nothing to show of a table without rows, and nothing wrong with it.
    assert_eq!(inspect(&["empty", "--svg", "empty.svg"]), "");
    assert!(!dir.path().join("empty.svg").exists(), "nothing was drawn");
    // An interleaved key's drawing shows each of its columns, and without a table all are drawn.
    for column in ["of a in one zone", "of b &amp; &lt;c&gt; in one zone"] {
        assert!(drawing.contains(column), "{column} is not in\n{drawing}");
    }
    inspect(&["--svg", "all.svg"]);
    let drawing = std::fs::read_to_string(dir.path().join("all.svg")).unwrap();
    for name in [">public.t<", ">public.z<", ">s.&quot;Other&quot;<"] {
        assert!(drawing.contains(name), "{name} is not in\n{drawing}");
    }
    assert!(fails(dir.path(), &["inspect", "-w", "nowhere"]).contains("ERROR: "));
    assert!(!dir.path().join("nowhere").exists(), "nothing was made");
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
    // It says where the rows are, which is here.
    assert!(loaded.contains("the warehouse is kept at") && loaded.contains("blueshift-tpch/sf0.001"), "{loaded}");
    assert!(dir.path().join("blueshift-tpch/sf0.001").is_dir());
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

#[test]
fn tpch_streams_run_beside_refresh_functions() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["tpch", "--scale", "0.001", "-w", "w", "--streams", "2", "--refresh", "--json", "figures.json"];
    let out = succeeds(dir.path(), &arguments);
    in_order(
        &out,
        &[
            "2 streams of 22 queries",
            "     1 ",
            "     2 ",
            "queries per hour: ",
            " alone, ",
            "2 pairs of refresh functions in ",
            "of 10 orders",
            "each of 88 versions read",
            "22 of 22 answers afterwards are plain DataFusion's",
        ],
    );
    let json = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    in_order(&json, &["\"streams\": {\"alone\": {", "\"refreshed\": {", "\"inserts_s\": [", "\"wrong\": []"]);
    // The tables are as they were loaded.
    let counts = "select (select count(*) from orders), (select count(*) from lineitem), count(*) from svv_all_tables \
                  where schema_name = 'tpch_streams'";
    let out = succeeds(dir.path(), &["sql", "-w", "w", "--format", "csv", "-c", counts]);
    assert!(out.ends_with("1500,6005,0\r\n"), "{out}");
    let err = fails(dir.path(), &["tpch", "--scale", "0.001", "--refresh"]);
    assert!(err.contains("--streams <N>"), "{err}");
    let err = fails(dir.path(), &["tpch", "--streams", "0"]);
    assert!(err.contains("0 is not in 1..=64"), "{err}");
    let err = fails(dir.path(), &["tpch", "--streams", "2", "--iterations", "2"]);
    assert!(err.contains("cannot be used with"), "{err}");
}

#[test]
fn tpcds_loads_once_and_checks() {
    let dir = tempfile::tempdir().unwrap();
    let tpcds =
        |more: &[&str]| succeeds(dir.path(), &[&["tpcds", "--scale", "0.01", "--iterations", "1"], more].concat());
    let out = tpcds(&["--queries", "3,39,98", "--check"]);
    in_order(&out, &["blueshift-tpcds/sf0.01", "loaded 24 tables: ", "stored: ", "    3 ", "   39 ", "   98 "]);
    assert_eq!(out.matches("  ok\n").count(), 3, "{out}");
    let out = tpcds(&["--queries", "7", "--json", "figures.json"]);
    assert!(out.contains("all tables are loaded already"), "{out}");
    let json = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    in_order(&json, &["\"scale\": 0.01", "\"benchmark\": \"TPC-DS\"", "{\"query\": 7, \"median_s\": "]);
    let err = fails(dir.path(), &["tpcds", "--scale", "0.02", "-w", "blueshift-tpcds/sf0.01", "--queries", "7"]);
    assert!(err.contains("not those of scale 0.02"), "{err}");
    let err = fails(dir.path(), &["tpcds", "--queries", "100"]);
    assert!(err.contains("\"100\" is none of the queries 1 to 99"), "{err}");
}

#[test]
fn bench_runs_the_scripts_of_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let suite = dir.path().join("lights");
    let write = |name: &str, text: &str| std::fs::write(suite.join(name), text).unwrap();
    std::fs::create_dir(&suite).unwrap();
    write("rows.csv", "1,red,0.5\n2,green,1.5\n3,,2.5\n4,red,3.5\n");
    write("schema.sql", "create table light (id int, colour varchar(9), size decimal(5,2)) sortkey (colour, id);\n");
    write("load.sql", "-- Beside this file.\ncopy light from 'rows.csv' csv emptyasnull;\nanalyze;\n");
    write(
        "queries.sql",
        "select colour, sum(size) from light group by 1 order by 1;\nselect * from light order by size limit 2;\n",
    );
    let bench = |more: &[&str]| succeeds(dir.path(), &[&["bench", "lights"], more].concat());
    let out = bench(&["--check", "--compare", "parquet", "--json", "figures.json", "--chart", "chart.svg"]);
    in_order(
        &out,
        &["lights: 2 queries", "blueshift-bench/lights", "COPY", "ANALYZE", "ratio", "    1 ", "    2 ", "chart.svg"],
    );
    assert_eq!(out.matches("  ok\n").count(), 2, "{out}");
    let chart = std::fs::read_to_string(dir.path().join("chart.svg")).unwrap();
    in_order(&chart, &["<svg", "lights: how many times as long as Blueshift", "DataFusion on Parquet", "</svg>"]);
    let json = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    in_order(&json, &["\"benchmark\": \"lights\"", "\"geomean_ratio\": ", "{\"query\": 1, ", "\"check\": \"ok\""]);
    // Figures of another comparison stand beside.
    let beside = "{\"duckdb\": \"2.0.0\", \"measured\": [{\"query\": \"2\", \"medians\": {\"blueshift\": 0.5, \"a\": 3, \"b\": 2}}]}";
    std::fs::write(dir.path().join("beside.json"), beside).unwrap();
    bench(&["--chart", "chart.svg", "--beside", "beside.json"]);
    let chart = std::fs::read_to_string(dir.path().join("chart.svg")).unwrap();
    assert!(chart.contains("DuckDB 2.0.0 on its own file") && !chart.contains("Parquet"), "{chart}");

    let out = bench(&["--sessions", "3", "--iterations", "2", "--json", "figures.json"]);
    in_order(
        &out,
        &["all tables are loaded already", "12 queries by 3 sessions in ", " a second; half of them within "],
    );
    let json = std::fs::read_to_string(dir.path().join("figures.json")).unwrap();
    in_order(&json, &["\"sessions\": {\"sessions\": 3, \"queries\": 12, \"seconds\": ", "\"p99_ms\": "]);

    // A query that fails is told, and the others run.
    write("queries.sql", "select 1/0 from light;\nselect count(*) from light;\n");
    let failed = blueshift(dir.path(), &["bench", "lights"]);
    assert!(!failed.status.success());
    in_order(text(&failed.stdout), &["    1  fails: division by zero", "    2 ", "total "]);
    assert!(text(&failed.stderr).contains("one query or check has failed"), "{}", text(&failed.stderr));
    // A warehouse of other tables, or one that was not loaded to the end, is refused.
    succeeds(dir.path(), &["sql", "-w", "other", "-c", "create table t (a int)"]);
    let err = fails(dir.path(), &["bench", "lights", "-w", "other"]);
    assert!(err.contains("has tables that this benchmark has not made") && err.contains("-w"), "{err}");
    write("load.sql", "copy light from 'nowhere.csv' csv;\n");
    let err = fails(dir.path(), &["bench", "lights", "-w", "new"]);
    assert!(err.contains("nowhere.csv") && err.contains("load.sql, line 1"), "{err}");
    let err = fails(dir.path(), &["bench", "lights", "-w", "new"]);
    assert!(err.contains("the tables of the benchmark lights, not loaded to the end"), "{err}");
    // Without scripts the tables are there already.
    std::fs::create_dir(dir.path().join("bare")).unwrap();
    std::fs::write(dir.path().join("bare/queries.sql"), "select count(*) from light").unwrap();
    let err = fails(dir.path(), &["bench", "bare"]);
    assert!(err.contains("say with -w which warehouse has its tables"), "{err}");
    assert!(bench_of(dir.path(), "bare", "blueshift-bench/lights").contains("total "));
}

fn bench_of(dir: &Path, suite: &str, warehouse: &str) -> String {
    succeeds(dir, &["bench", suite, "-w", warehouse])
}

/// Longer than an example takes in a debug build on a busy machine.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(180);

/// What `cargo test` has built of an example, run; its standard output. The example's own assertions are part of the
/// test.
fn example(name: &str, arguments: &[&str]) -> String {
    let built = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples").join(name);
    let built = built.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(built.exists(), "{} is not there: run `cargo build --examples` first", built.display());
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut child =
        Command::new(built).args(arguments).stdin(Stdio::null()).stdout(output.reopen().unwrap()).spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > EXAMPLE_LIMIT => {
                child.kill().unwrap();
                panic!("{name} has not ended within {EXAMPLE_LIMIT:?}");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let out = std::fs::read_to_string(output.path()).unwrap();
    assert!(status.success(), "{name}: {status}\n{out}");
    out
}

/// `parts` stand in `text`, one behind the other.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not where it belongs in\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn the_examples_run_and_show_what_they_promise() {
    let out = example("embedding", &[]);
    in_order(
        &out,
        &["A join of the application's table", "| Brazil  | 3334   | 20839583.75 |", "INSERT through", "| 2     |"],
    );
    in_order(&out, &["Orders of no known country", "| 10002 | 7       | 1.00   |"]);
    let out = example("star_join", &[]);
    in_order(&out, &["nothing is redistributed", "EVEN: its side is redistributed", "Exchange", "The star"]);
    in_order(&out, &["The star", "| business | city 0 | 600000.00  |", "| private  | city 4 | 2430000.00 |"]);
    let out = example("time_series", &[]);
    in_order(&out, &["| 518400 |", "| 8640 |", "zones", "all days", " 0 ", "one day"]);
}

/// Small: what the stories assert holds at any size.
#[test]
fn the_stories_of_the_seeds_hold() {
    let out = example("seeds", &["heap", "2"]);
    in_order(&out, &["(a) by the event's id", "(d) MERGE, by all keys", "all five tables have the same rows"]);
    let out = example("seeds", &["segment", "2"]);
    in_order(&out, &["DELETE, INSERT", "MERGE … REMOVE DUPLICATES", "… also by time"]);
    let out = example("seeds", &["claes", "2"]);
    in_order(
        &out,
        &["saw all rows", "copied in a transaction", "rows lost", "conflict, nothing done", "ALTER SORTKEY"],
    );
    let out = example("seeds", &["mobify", "3"]);
    in_order(&out, &["4 days", "project_id, date ", "date, project_id ", "by itself", "rewrites"]);
    in_order(&example("seeds", &["periscope", "2"]), &["SWAP WITH", "DROP and RENAME", "the views have followed"]);
}

/// As psql shows them.
#[test]
fn plans_are_plain_lines() {
    let dir = tempfile::tempdir().unwrap();
    let query = "select sum(amount) from sales where id < 7";
    let out = succeeds(dir.path(), &["sql", "-c", &format!("{SALES}explain {query}")]);
    let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with("CREATE")).collect();
    let [header, rule, first, .., filter, count] = lines[..] else { panic!("{out}") };
    assert_eq!((header.trim(), rule.trim_matches('-'), count), ("QUERY PLAN", "", "(3 rows)"), "{out}");
    let width = lines.iter().skip(2).filter(|line| line.starts_with(' ')).map(|line| line.len()).max().unwrap() + 1;
    assert_eq!(rule.len(), width, "{out}");
    assert!(first.starts_with(" XN Aggregate  (cost=") && filter == "         Filter: (id < 7)", "{out}");
    let csv = succeeds(dir.path(), &["sql", "--format", "csv", "-c", &format!("{SALES}explain {query}")]);
    assert!(csv.contains("QUERY PLAN\r\n") && csv.contains("XN Seq Scan on sales"), "{csv}");
}

const SALES: &str = "create table sales (id bigint distkey, day date, amount decimal(12,2), note varchar(5)); ";

/// What a new user gets wrong; each message says what, where as far as it is known, and what to do.
#[test]
fn mistakes_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    for (statement, said) in [
        (
            "select amont from sales",
            &["column \"amont\" does not exist", "AT: line 1", "DETAIL: there are", "sales.amount"][..],
        ),
        ("select * from sale", &["\"sale\" does not exist", "AT: line 1", "HINT: check the name and the schema"]),
        ("create table t (a int b int)", &["expected a column attribute, \",\" or \")\", found \"b\"", "AT: line 1"]),
        ("insert into sales values ('x')", &["column \"id\" of type bigint: \"x\" is no such value"]),
        (
            "insert into sales (id, amt) values (1, 2)",
            &["column \"amt\" of table \"sales\"", "HINT: its columns are id, day,"],
        ),
        (
            "insert into sales (amount) values (99999999999)",
            &["column \"amount\" of type numeric(12,2): 99999999999.00 is too"],
        ),
        (
            "create table t (a int encode zip)",
            &["unknown encoding \"zip\"", "AT: line 1", "HINT: encodings are AUTO, RAW"],
        ),
        (
            "copy sales from '/nowhere/x.csv' csv",
            &["no file matches \"/nowhere/x.csv\"", "AT: line 1", "HINT: check the path"],
        ),
        ("select 'abc", &["Unterminated string literal", "AT: line 1", "HINT: close it with '"]),
        ("select \"abc", &["AT: line 1", "HINT: close the name with \""]),
        ("select 1 / 0", &["ERROR: division by zero", "HINT: NULLIF(divisor, 0)"]),
        (
            "select 10 / (id - id) from (values (1), (2)) v(id)",
            &["ERROR: division by zero", "HINT: NULLIF(divisor, 0)"],
        ),
        ("selct 1", &["expected a statement, found \"selct\"", "AT: line 1"]),
        // Names that need quotes in SQL have one pair in a message.
        (
            "create table \"all\" (a int); create table \"all\" (a int)",
            &["table \"all\" already exists", "HINT: drop it"],
        ),
        ("drop table \"all\"", &["table \"all\" does not exist", "HINT: check the name"]),
        ("insert into public.\"Odd one\" values (1)", &["table \"public.Odd one\" does not exist"]),
        (
            "create table \"to\" (a int); insert into \"to\" values (1, 2)",
            &["1 columns of table \"to\"", "HINT: name the"],
        ),
        ("drop table if exists \"all\"; selct", &["NOTICE: table \"all\" does not exist, skipping"]),
    ] {
        let err = fails(dir.path(), &["sql", "-c", &format!("{SALES}{statement}")]);
        for part in said {
            assert!(err.contains(part), "{statement}: {part:?} is not in\n{err}");
        }
    }
    for (arguments, said) in [
        (&["--format", "xml"][..], "possible values: table, csv, json"),
        (
            &["-w", "/proc/nothing/here"],
            "cannot use the place: /proc/nothing/here: No such file or directory (os error 2)\nHINT: name a directory",
        ),
        (&["-w", "s3:/bucket"], "two slashes follow a URL's scheme\nHINT: use a path, file:///directory"),
        (&["-w", ""], "the location is empty\nHINT: use a path"),
    ] {
        let err = fails(dir.path(), &[&["sql", "-c", "select 1"], arguments].concat());
        assert!(err.contains(said), "{arguments:?}: {said:?} is not in\n{err}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was made");
}
