//! Random tables that are unloaded and loaded again: whatever the schema, the values and the options, the same rows come back.

use std::fmt::Write;
use std::path::Path;

use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::util::{all, batches, warehouse};
use crate::engine::Session;
use crate::format::Geometry;
use crate::testing::rng::Rng;

/// How rows leave and come back.
struct Way {
    unload: String,
    copy: String,
    /// Which values its files can hold.
    holds: Holds,
    /// Values that it cannot protect may be told in a notice.
    may_notice: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Holds {
    All,
    /// Of JSON's null there is one.
    OneNull,
    /// Text without blanks at its ends and line ends within, none that is empty.
    Words,
}

/// A column: its type as SQL writes it, and what its values are made of.
struct Column {
    sql_type: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Integer(u32),
    Decimal { precision: usize, scale: usize },
    Real,
    Double,
    Boolean,
    Char(usize),
    Varchar(usize),
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Bytes(usize),
    Super,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unloaded_rows_come_back() {
    let warehouse = warehouse(2, 2, Geometry::default()).await;
    let session = warehouse.session();
    let rounds = if std::env::var_os("BLUESHIFT_LONG").is_some() { 2_000 } else { 160 };
    let mut told = 0;
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let fixed = seed % 10 == 9;
        let columns = schema(&mut rng);
        let way = if fixed { fixed_width(&columns) } else { way(seed, &mut rng) };
        let rows: Vec<String> = (0..1 + rng.below(60)).map(|i| row(i, &columns, way.holds, &mut rng)).collect();
        let names: Vec<String> = columns.iter().zip(0..).map(|(c, at)| format!("c{at} {}", c.sql_type)).collect();
        let types = format!("(i int, {})", names.join(", "));
        let statements = [
            "drop table if exists t".to_string(),
            "drop table if exists u".to_string(),
            format!("create table t {types}"),
            format!("create table u {types}"),
            format!("insert into t values {}", rows.join(", ")),
        ];
        all(&session, &statements.each_ref().map(String::as_str)).await;
        told += usize::from(!there_and_back(&session, &way, seed).await);
    }
    assert!(told > 0 && told < rounds as usize / 2, "{told} of {rounds} tell that values are not protected");
}

/// COPY takes empty fields that are no text for NULL, so UNLOAD tells of such values; Parquet has them.
#[tokio::test]
async fn values_without_bytes_are_told() {
    let session = warehouse(1, 1, Geometry::default()).await.session();
    let made = ["create table t (x varbyte(9))", "create table u (x varbyte(9))"];
    all(&session, &made).await;
    all(&session, &["insert into t values (to_varbyte('', 'hex')), (null), (to_varbyte('00', 'hex'))"]).await;
    for (unload, copy, kept) in [
        ("", "", false),
        ("csv", "csv", false),
        ("addquotes", "removequotes", false),
        ("json", "json 'auto'", false),
        ("parquet", "parquet", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("f").display().to_string();
        let done = session.sql(&format!("unload ('select * from t') to '{to}' {unload}")).await.unwrap();
        let told = "1 value of VARBYTE without bytes: COPY reads NULL, unless files are written with PARQUET";
        assert_eq!(done.notices, if kept { vec![] } else { vec![told] }, "{unload}");
        all(&session, &["truncate u", &format!("copy u from '{to}' {copy}")]).await;
        assert_eq!(values(&session, "u").await == values(&session, "t").await, kept, "{unload}");
    }
}

/// Whether the rows of `t` must be, and are, those of `u` after the way there.
async fn there_and_back(session: &Session, way: &Way, seed: u64) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("f");
    let unload = format!("unload ('select * from t') to '{}' {}", to.display(), way.unload);
    let done = session.sql(&unload).await.unwrap_or_else(|e| panic!("seed {seed}: {unload}: {e:?}"));
    if !done.notices.is_empty() {
        assert!(way.may_notice, "seed {seed}: {unload}: {:?}", done.notices);
        return false;
    }
    let from = from(&to, &way.unload);
    let copy = format!("copy u from '{from}' {}", way.copy);
    let copied = session.sql(&copy).await;
    copied.unwrap_or_else(|e| panic!("seed {seed}: {unload}: {copy}: {e:?}"));
    let (before, after) = (values(session, "t").await, values(session, "u").await);
    assert!(before == after, "seed {seed}: {unload}: {copy}\n{}", differing(&before, &after));
    true
}

fn from(to: &Path, unload: &str) -> String {
    match () {
        _ if unload.contains("manifest") && unload.contains("partition") => format!("{}/manifest", to.display()),
        _ if unload.contains("manifest") => format!("{}manifest", to.display()),
        _ if unload.contains("partition") => format!("{}/", to.display()),
        _ => to.display().to_string(),
    }
}

/// Each row as text that tells all values apart.
async fn values(session: &Session, table: &str) -> Vec<String> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches(session, &format!("select * from {table}")).await {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let mut text = String::new();
            for (values, column) in columns.iter().zip(batch.columns()) {
                match column.is_null(row) {
                    true => text.push_str("NULL "),
                    false => write!(text, "{:?} ", values.value(row).to_string()).unwrap(),
                }
            }
            rows.push(text);
        }
    }
    rows.sort();
    rows
}

fn differing(before: &[String], after: &[String]) -> String {
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|row| !those.contains(row)).take(3).cloned().collect::<Vec<_>>().join("\n")
    };
    format!(
        "{} rows, {} came back\nlost:\n{}\nnew:\n{}",
        before.len(),
        after.len(),
        only(before, after),
        only(after, before)
    )
}

fn one<'a, T: ?Sized>(of: &[&'a T], rng: &mut Rng) -> &'a T {
    of[rng.below(of.len())]
}

fn way(seed: u64, rng: &mut Rng) -> Way {
    let null = one(&["\\N", "@@", "NULL", "~", "-"], rng);
    let delimiter = one(&["|", ",", ";", "\\t", "^", "#", ":", "~~"], rng).replace("~~", "!");
    let (mut holds, mut may_notice) = (Holds::All, false);
    let (mut unload, mut copy): (String, String);
    match seed % 10 {
        0 | 1 => {
            (unload, copy) = (
                format!("csv delimiter '{delimiter}' null as '{null}'"),
                format!("csv delimiter '{delimiter}' null as '{null}'"),
            );
        }
        2 => (unload, copy) = ("parquet".into(), "parquet".into()),
        3 => {
            (unload, copy) = ("json".into(), "json 'auto'".into());
            holds = Holds::OneNull;
        }
        4 | 5 => {
            unload = format!("delimiter '{delimiter}' null as '{null}'");
            copy = unload.clone();
            may_notice = true;
        }
        6 => {
            unload = format!("delimiter '{delimiter}' escape null as '{null}'");
            copy = unload.clone();
            may_notice = true;
        }
        _ => {
            unload = format!("delimiter '{delimiter}' addquotes escape null as '{null}'");
            copy = format!("delimiter '{delimiter}' removequotes escape null as '{null}'");
        }
    }
    let text = !unload.contains("parquet");
    if text {
        let packed = one(&["", "", "gzip", "bzip2", "zstd"], rng);
        write!(unload, " {packed}").unwrap();
        write!(copy, " {packed}").unwrap();
    }
    if text && holds == Holds::All && rng.one_in(3) {
        unload.push_str(" header");
        copy.push_str(" ignoreheader 1");
    }
    unload.push_str(one(&["", " parallel off", " parallel on"], rng));
    if rng.one_in(4) {
        unload.push_str(" partition by (c0) include");
    }
    if rng.one_in(4) {
        unload.push_str(" manifest");
        copy.push_str(" manifest");
    }
    Way { unload, copy, holds, may_notice }
}

/// Wide enough for all values, counted in characters.
fn fixed_width(columns: &[Column]) -> Way {
    let widths: Vec<String> = columns.iter().zip(0..).map(|(_, at)| format!("c{at}:400")).collect();
    let form = format!("fixedwidth 'i:11,{}'", widths.join(","));
    let copy = format!("{form} trimblanks emptyasnull blanksasnull");
    Way { unload: form, copy, holds: Holds::Words, may_notice: false }
}

fn schema(rng: &mut Rng) -> Vec<Column> {
    let column = |rng: &mut Rng| {
        let precision = 1 + rng.below(38);
        let scale = rng.below(precision.min(37) + 1);
        let kinds = [
            (Kind::Integer(16), "smallint".to_string()),
            (Kind::Integer(32), "int".into()),
            (Kind::Integer(64), "bigint".into()),
            (Kind::Decimal { precision, scale }, format!("decimal({precision},{scale})")),
            (Kind::Real, "real".into()),
            (Kind::Double, "double precision".into()),
            (Kind::Boolean, "boolean".into()),
            (Kind::Char(9), "char(9)".into()),
            (Kind::Varchar(80), "varchar(80)".into()),
            (Kind::Varchar(80), "varchar(80)".into()),
            (Kind::Date, "date".into()),
            (Kind::Time, "time".into()),
            (Kind::Timestamp, "timestamp".into()),
            (Kind::TimestampTz, "timestamptz".into()),
            (Kind::Bytes(12), "varbyte(12)".into()),
            (Kind::Super, "super".into()),
        ];
        let (kind, sql_type) = kinds[rng.below(kinds.len())].clone();
        Column { sql_type, kind }
    };
    // Folders are named by the first one.
    let mut columns: Vec<Column> = (0..1 + rng.below(7)).map(|_| column(rng)).collect();
    if matches!(columns[0].kind, Kind::Bytes(_) | Kind::Super) {
        columns.insert(0, Column { sql_type: "varchar(80)".into(), kind: Kind::Varchar(80) });
    }
    columns
}

fn row(i: usize, columns: &[Column], holds: Holds, rng: &mut Rng) -> String {
    let values = columns.iter().map(|column| match rng.one_in(6) {
        true => "null".to_string(),
        false => literal(column, holds, rng),
    });
    format!("({i}, {})", values.collect::<Vec<_>>().join(", "))
}

fn literal(column: &Column, holds: Holds, rng: &mut Rng) -> String {
    let value = value(column.kind, holds, rng).replace('\'', "''");
    let sql_type = &column.sql_type;
    match column.kind {
        Kind::Date | Kind::Timestamp | Kind::TimestampTz if value.starts_with(['+', '-']) => {
            // SQL has no such literals.
            let (year, rest) = value[1..].split_once('-').unwrap();
            let years = format!("{}{year}", &value[..1]).parse::<i32>().unwrap() - 2000;
            format!("dateadd(year, {years}, '2000-{rest}'::{sql_type})::{sql_type}")
        }
        Kind::Bytes(_) => format!("to_varbyte('{value}', 'hex')"),
        Kind::Super => format!("json_parse('{value}')"),
        _ => format!("'{value}'::{sql_type}"),
    }
}

fn value(kind: Kind, holds: Holds, rng: &mut Rng) -> String {
    let sign = |rng: &mut Rng| if rng.one_in(2) { "-" } else { "" };
    match kind {
        Kind::Integer(bits) => {
            let (least, most) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
            [least, most, 0, -1, rng.next_u64() as i64 >> (64 - bits)][rng.below(5)].to_string()
        }
        Kind::Decimal { precision, scale } => {
            let digit = |rng: &mut Rng| char::from(b'0' + rng.below(10) as u8);
            let digits: String = match rng.below(4) {
                0 => "9".repeat(precision),
                1 => "0".repeat(precision - 1) + "1",
                _ => (0..precision).map(|_| digit(rng)).collect(),
            };
            let (whole, after) = digits.split_at(precision - scale);
            let point = if scale > 0 { "." } else { "" };
            format!("{}{}{point}{after}", sign(rng), if whole.is_empty() { "0" } else { whole })
        }
        Kind::Real => {
            let any = f32::from_bits(rng.next_u64() as u32);
            let all = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -0.0, 0.1, f32::INFINITY, f32::NAN, any];
            format!("{:e}", all[rng.below(all.len())]).replace("inf", "Infinity")
        }
        Kind::Double => {
            let any = f64::from_bits(rng.next_u64());
            let all = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -0.0, 0.1, f64::NEG_INFINITY, f64::NAN, any];
            format!("{:e}", all[rng.below(all.len())]).replace("inf", "Infinity")
        }
        Kind::Boolean => rng.one_in(2).to_string(),
        Kind::Char(most) => text(&["x", "Y", "-", "7", "@"], 1, most, holds, rng),
        Kind::Varchar(most) => {
            const LETTERS: [&str; 26] = [
                "a", "B", " ", ",", ";", "\"", "'", "|", "\n", "\r", "é", "日", "7", "\\", "\t", "😀", "^", "#", ":",
                "!", "@", "~", "N", "-", "\u{7f}", "/",
            ];
            match holds {
                Holds::Words => text(&["a", "é", "日", "😀", "\\", "|", "\"", ",", "7"], 4, most, holds, rng),
                _ if rng.one_in(8) => {
                    one(&["", " ", "\\N", "@@", "NULL", "~", "-", "\\", "\"", "\"\"", "\\\\", "'", "\n", "."], rng)
                        .to_string()
                }
                _ => text(&LETTERS, 4, most, holds, rng),
            }
        }
        Kind::Date => date(rng),
        Kind::Time => time(rng),
        Kind::Timestamp => format!("{} {}", date(rng), time(rng)),
        Kind::TimestampTz => format!("{} {}{}", date(rng), time(rng), one(&["+00", "+02", "-08", "+05:30"], rng)),
        Kind::Bytes(most) => {
            // One without bytes comes back as NULL, which is told: see the test below.
            (0..1 + rng.below(most)).map(|_| format!("{:02x}", rng.below(256))).collect()
        }
        Kind::Super => {
            let all = [
                "1.50",
                "123456789012345678901234567890",
                "{\"a\":[true,\"x,y|\\n\\\\\"]}",
                "\"text\"",
                "[]",
                "{\"é\":{\"\":null}}",
                "\"\\\"\"",
                "false",
                "null",
            ];
            let known = if holds == Holds::All { all.len() } else { all.len() - 1 };
            all[rng.below(known)].to_string()
        }
    }
}

/// Of so many bytes at most, of letters of `widest` at most.
fn text(letters: &[&str], widest: usize, most: usize, holds: Holds, rng: &mut Rng) -> String {
    let least = usize::from(holds == Holds::Words);
    (0..least + rng.below(most / widest - least + 1)).map(|_| one(letters, rng)).collect()
}

fn date(rng: &mut Rng) -> String {
    let year = match rng.below(8) {
        0 => one(&["0001", "9999", "1582", "1970", "0000", "-0001", "-4712", "+10000", "+200000"], rng).to_string(),
        _ => format!("{:04}", 1 + rng.below(9999)),
    };
    match rng.below(6) {
        0 => format!("{year}-12-31"),
        1 => format!("{year}-01-01"),
        _ => format!("{year}-{:02}-{:02}", 1 + rng.below(12), 1 + rng.below(28)),
    }
}

fn time(rng: &mut Rng) -> String {
    match rng.below(6) {
        0 => "00:00:00".to_string(),
        1 => "23:59:59.999999".to_string(),
        2 => format!("{:02}:{:02}:{:02}", rng.below(24), rng.below(60), rng.below(60)),
        _ => format!("{:02}:{:02}:{:02}.{:06}", rng.below(24), rng.below(60), rng.below(60), rng.below(1_000_000)),
    }
}
