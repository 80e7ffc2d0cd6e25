//! Do fixed decodes, filters, queries and loads take more instructions than they took?
//!
//! Counts them by valgrind's callgrind and compares them with `benches/instructions.txt`: unlike times they are the same on a
//! busy machine. Prints the counts, the figures and their ratio; fails where a case takes over 5 % more than its figure, has
//! none, or a figure has no case. `BLUESHIFT_ACCEPT=1` writes the figures anew.
//!
//! Run with `cargo bench --bench instructions`. `cargo bench --bench instructions -- CASE` runs one case without counting, for
//! other tools; what callgrind found is kept in the target directory, for `callgrind_annotate`.
//!
//! The figures are of x86-64 with AVX2, which is the best that valgrind has: kernels for AVX-512 are not counted. Another
//! compiler, allocator or dependency moves them, too. What the kernel does, and waiting for memory, is no instruction here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use blueshift::catalog::CatalogOptions;
use blueshift::common::{Comparison, EncodingName, Predicate, Scalar, SqlType, Stored};
use blueshift::engine::{Session, Warehouse};
use blueshift::format::column::{ByteValues, Column, ColumnBuilder, Values};
use blueshift::format::encoding::{
    ChunkEncoder, Dictionary, DictionaryUse, EncodedChunk, Page, Selection, open_dictionary,
};
use blueshift::format::{Geometry, Mask};
use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tokio::runtime::Runtime;

const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// Where callgrind writes.
const PROFILES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/instructions");
/// How much more or less is told: hash seeds and addresses move counts by far less.
const TOLERANCE: f64 = 0.05;

/// What is counted, by name.
const CASES: [(&str, fn()); 13] = [
    ("decode_bits", || Pages::of(SqlType::BigInt, EncodingName::Az64, scattered()).decode(100)),
    ("decode_deltas", || Pages::of(SqlType::BigInt, EncodingName::Az64, ascending()).decode(100)),
    ("decode_dictionary", || Pages::of(SqlType::Varchar(25), EncodingName::ByteDict, instructions()).decode(100)),
    ("decode_fsst", || Pages::of(SqlType::Varchar(44), EncodingName::Fsst, comments()).decode(4)),
    ("filter_range", || {
        let range = Predicate::Between { low: Scalar::Int(8100), high: Scalar::Int(8464), negated: false };
        Pages::of(SqlType::Date, EncodingName::Az64, days()).filter(400, &range)
    }),
    ("filter_equal", || {
        let equal = Predicate::Compare(Comparison::Eq, Scalar::Bytes(b"NONE".to_vec()));
        Pages::of(SqlType::Varchar(25), EncodingName::ByteDict, instructions()).filter(400, &equal)
    }),
    ("filter_like", || {
        let like = Predicate::Like { pattern: "%ironic requests%".into(), case_insensitive: false, negated: false };
        Pages::of(SqlType::Varchar(44), EncodingName::Fsst, comments()).filter(5, &like)
    }),
    ("sum", || {
        let sql = "select sum(price * quantity) from sales \
                   where day between date '1994-01-01' and date '1994-12-31' and quantity < 24";
        query(20, sql)
    }),
    ("group_by_texts", || {
        let sql = "select flag, status, count(*), sum(quantity), sum(price) from sales \
                   where day <= date '1998-09-01' group by flag, status";
        query(5, sql)
    }),
    ("group_by_many", || {
        query(3, "select count(*), sum(s) from (select part, sum(price) as s from sales group by part) g")
    }),
    ("join", || {
        let sql = "select c.segment, count(*), sum(s.price) from sales s join customers c on s.customer = c.id \
                   where c.id % 3 < 2 group by c.segment";
        query(5, sql)
    }),
    ("lookup", lookup),
    ("load", load_counted),
];

fn main() -> ExitCode {
    let case = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let outcome = match case {
        Some(name) => run_case(&name).map(|()| true),
        None => check(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_case(name: &str) -> Result<(), String> {
    let found = CASES.iter().find(|(known, _)| *known == name);
    let (_, run) =
        found.ok_or_else(|| format!("no case {name}: there are {}", CASES.map(|(name, _)| name).join(", ")))?;
    run();
    Ok(())
}

/// Counts all cases and prints them beside their figures; whether all are as they were, or were accepted.
fn check() -> Result<bool, String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err("the figures are of Linux on x86-64".into());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err("instructions are counted by valgrind, which is not here: apt-get install valgrind".into());
    }
    let accept = std::env::var("BLUESHIFT_ACCEPT").is_ok_and(|value| value == "1");
    let mut figures = figures()?;
    let counts = counts()?;
    println!("{:<18} {:>14} {:>14} {:>7}", "case", "instructions", "figure", "ratio");
    let (mut right, mut accepted) = (true, String::new());
    for ((name, _), count) in CASES.iter().zip(counts) {
        writeln!(accepted, "{name:<18} {count:>12}").map_err(|e| e.to_string())?;
        let Some(figure) = figures.remove(*name) else {
            println!("{name:<18} {count:>14} {:>14} {:>7}  has no figure", "-", "-");
            right = false;
            continue;
        };
        let ratio = count as f64 / figure as f64;
        let said = match ratio {
            _ if ratio > 1.0 + TOLERANCE => "  has grown",
            _ if ratio < 1.0 - TOLERANCE => "  has shrunk: accept it",
            _ => "",
        };
        println!("{name:<18} {count:>14} {figure:>14} {ratio:>7.3}{said}");
        right &= ratio <= 1.0 + TOLERANCE;
    }
    for (name, figure) in figures {
        println!("{name:<18} {:>14} {figure:>14} {:>7}  is no case", "-", "-");
        right = false;
    }
    if accept {
        std::fs::write(FIGURES, accepted).map_err(|e| format!("{FIGURES}: {e}"))?;
        println!("accepted");
        return Ok(true);
    }
    if !right {
        println!("`callgrind_annotate {PROFILES}/CASE` tells where; BLUESHIFT_ACCEPT=1 takes these counts for figures");
    }
    Ok(right)
}

/// The figures checked in; none where there is no file.
fn figures() -> Result<BTreeMap<String, u64>, String> {
    let text = match std::fs::read_to_string(FIGURES) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(format!("{FIGURES}: {e}")),
    };
    let figure = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [name, count] => Some((name.to_string(), count.parse().ok().filter(|count| *count > 0)?)),
        _ => None,
    };
    text.lines().map(|line| figure(line).ok_or_else(|| format!("{FIGURES}: not a figure: {line}"))).collect()
}

/// What each case takes. As many are counted at a time as there are cores.
fn counts() -> Result<Vec<u64>, String> {
    let program = std::env::current_exe().map_err(|e| format!("this program's name: {e}"))?;
    std::fs::create_dir_all(PROFILES).map_err(|e| format!("{PROFILES}: {e}"))?;
    let counts = CASES.map(|_| OnceLock::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                while let Some((at, (name, _))) = CASES.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    counts[at].get_or_init(|| count(&program, name));
                }
            });
        }
    });
    counts.into_iter().map(|count| count.into_inner().unwrap_or_else(|| Err("a case was not counted".into()))).collect()
}

/// Runs a case in a process of its own; what it takes within [`counted`].
fn count(program: &Path, name: &str) -> Result<u64, String> {
    let profile = format!("{PROFILES}/{name}");
    let run = Command::new("valgrind")
        // Or else an instruction is counted for every byte that is copied or cleared, by those that repeat themselves.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS")
        .args(["-q", "--tool=callgrind", "--instr-atstart=no"])
        .arg(format!("--callgrind-out-file={profile}"))
        .arg(program)
        .arg(name)
        .output()
        .map_err(|e| format!("valgrind: {e}"))?;
    if !run.status.success() {
        return Err(format!("{name}: {}\n{}", run.status, String::from_utf8_lossy(&run.stderr).trim_end()));
    }
    let text = std::fs::read_to_string(&profile).map_err(|e| format!("{profile}: {e}"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.filter(|count| *count > 0).ok_or_else(|| format!("{profile}: nothing was counted"))
}

/// What callgrind is asked to do, by the numbers of `callgrind.h`.
#[derive(Clone, Copy)]
enum Request {
    Start = 0x4354_0004,
    Stop = 0x4354_0005,
}

/// Does the work that is counted, which gives some rows. What all threads take meanwhile counts: a load's rows are encoded by
/// another. Before and after it callgrind only runs the program, which is faster.
fn counted(work: impl FnOnce() -> usize) {
    ask(Request::Start);
    let rows = work();
    ask(Request::Stop);
    assert!(rows > 0, "nothing was done");
}

/// Asks callgrind, by instructions that it knows and that do nothing elsewhere (`valgrind.h`, `VALGRIND_DO_CLIENT_REQUEST`).
#[cfg(target_arch = "x86_64")]
fn ask(request: Request) {
    let arguments = [request as usize, 0, 0, 0, 0, 0];
    // SAFETY: rdi is rotated by 128 bits altogether, and rbx exchanged with itself. valgrind reads the six arguments that rax
    // points to, and leaves its answer in rdx.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") 0_usize => _,
            options(nostack),
        );
    }
}

/// The figures are of another architecture.
#[cfg(not(target_arch = "x86_64"))]
fn ask(_: Request) {}

/// Rows of a chunk.
const CHUNK: usize = 131_072;
/// Rows of each of its pages.
const ZONE: usize = 8192;

/// An encoded chunk.
struct Pages {
    ty: SqlType,
    stored: Stored,
    chunk: EncodedChunk,
    dictionary: Option<Dictionary>,
}

impl Pages {
    fn of(ty: SqlType, name: EncodingName, values: Values) -> Self {
        let stored = ty.stored();
        let column = Column::new(values, None);
        let chunk = ChunkEncoder::new(stored, name, Geometry::DEFAULT).encode(&column).expect("encoded");
        let dictionary = match &chunk.dictionary {
            DictionaryUse::New(bytes) => Some(open_dictionary(chunk.encoding, stored, bytes).expect("a dictionary")),
            _ => None,
        };
        Pages { ty, stored, chunk, dictionary }
    }

    fn opened(&self) -> impl Iterator<Item = Page<'_>> {
        let open = |bytes| Page::open(self.chunk.encoding, self.stored, ZONE, bytes, self.dictionary.as_ref());
        self.chunk.pages.iter().map(move |bytes| open(bytes).expect("a page"))
    }

    /// Counts decoding all of it so many times.
    fn decode(self, times: usize) {
        let decode = |mut page: Page<'_>| {
            let mut out = ColumnBuilder::new(self.ty, ZONE);
            page.decode(Selection::All, &mut out).expect("decoded");
            black_box(&out).len()
        };
        counted(|| (0..times).map(|_| self.opened().map(decode).sum::<usize>()).sum());
    }

    /// Counts looking for a predicate's rows so many times.
    fn filter(self, times: usize, predicate: &Predicate) {
        let filter = || {
            let prepared = self.dictionary.as_ref().map(|d| d.prepare(predicate).expect("prepared"));
            let filter = |mut page: Page<'_>| {
                let mut mask = Mask::all(ZONE);
                page.filter(predicate, prepared.as_ref(), &mut mask).expect("filtered");
                black_box(&mask).count()
            };
            self.opened().map(filter).sum::<usize>()
        };
        counted(|| (0..times).map(|_| filter()).sum());
    }
}

fn random(i: usize) -> u64 {
    let mut x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ x >> 32
}

/// Of 24 bits.
fn scattered() -> Values {
    Values::I64((0..CHUNK).map(|i| (random(i) % 10_000_000) as i64).collect())
}

/// As the keys of orders of four lines each.
fn ascending() -> Values {
    Values::I64((0..CHUNK).map(|i| 6_000_000_000 + (i / 4 * 1000) as i64 + (random(i / 4) % 700) as i64).collect())
}

/// Of 12 bits.
fn days() -> Values {
    Values::I32((0..CHUNK).map(day).collect())
}

/// Of four texts.
fn instructions() -> Values {
    let texts = ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"];
    Values::Bytes((0..CHUNK).map(|i| texts[random(i) as usize % 4].as_bytes()).collect::<ByteValues>())
}

fn comments() -> Values {
    let text = words();
    Values::Bytes((0..CHUNK).map(|i| comment(&text, i).as_bytes()).collect::<ByteValues>())
}

/// What comments are pieces of.
fn words() -> String {
    let words =
        ["carefully", "final", "deposits", "sleep", "furiously", "ironic", "requests", "haggle", "the", "among"];
    (0..20_000).map(|i| words[random(i) as usize % words.len()]).collect::<Vec<_>>().join(" ")
}

/// 10 to 43 bytes.
fn comment(text: &str, row: usize) -> &str {
    let at = random(3 * row) as usize % (text.len() - 43);
    &text[at..at + 10 + random(3 * row + 1) as usize % 34]
}

/// Of 1992 to 1998, since 1970.
fn day(row: usize) -> i32 {
    8035 + (random(row) % 2526) as i32
}

/// Rows of the table that queries read, and of those that are loaded.
const SALES: usize = 1 << 18;
const LOADED: usize = 1 << 16;
const CUSTOMERS: usize = 20_000;

const CREATE_SALES: &str = "create table sales (id bigint not null, customer integer not null, part bigint not null, \
     day date not null, quantity decimal(15, 2) not null, price decimal(15, 2) not null, flag varchar(10) not null, \
     status varchar(10) not null, comment varchar(44) not null) distkey (customer) sortkey (id)";
const CREATE_CUSTOMERS: &str =
    "create table customers (id integer not null, segment varchar(10) not null) distkey (id) sortkey (id)";

/// In no order; a power of two of them have each id below once.
fn sales(rows: usize) -> RecordBatch {
    let numbers = |f: &dyn Fn(usize) -> i64| Arc::new(Int64Array::from_iter_values((0..rows).map(f))) as ArrayRef;
    let decimals = |f: &dyn Fn(usize) -> i128| {
        let values = Decimal128Array::from_iter_values((0..rows).map(f));
        Arc::new(values.with_precision_and_scale(15, 2).expect("a type")) as ArrayRef
    };
    let texts =
        |f: &dyn Fn(usize) -> &'static str| Arc::new(StringArray::from_iter_values((0..rows).map(f))) as ArrayRef;
    let customers = Int32Array::from_iter_values((0..rows).map(|i| (random(5 * i) % CUSTOMERS as u64) as i32));
    let text = words();
    RecordBatch::try_from_iter([
        ("id", numbers(&|i| (i * 7919 % rows) as i64)),
        ("customer", Arc::new(customers)),
        ("part", numbers(&|i| (random(5 * i + 1) % 100_000) as i64)),
        ("day", Arc::new(Date32Array::from_iter_values((0..rows).map(day)))),
        ("quantity", decimals(&|i| 100 * (1 + random(5 * i + 2) % 50) as i128)),
        ("price", decimals(&|i| 90_000 + (random(5 * i + 3) % 10_000_000) as i128)),
        ("flag", texts(&|i| ["A", "N", "R"][random(5 * i + 4) as usize % 3])),
        ("status", texts(&|i| ["F", "O"][random(7 * i) as usize % 2])),
        ("comment", Arc::new(StringArray::from_iter_values((0..rows).map(|i| comment(&text, i))))),
    ])
    .expect("rows")
}

fn customers() -> RecordBatch {
    let segments = ["AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"];
    let segments = (0..CUSTOMERS).map(|i| segments[random(i) as usize % segments.len()]);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from_iter_values(0..CUSTOMERS as i32)) as ArrayRef),
        ("segment", Arc::new(StringArray::from_iter_values(segments))),
    ])
    .expect("rows")
}

/// Of one thread, and one more for what blocks: where work runs, and how much of it, is decided by nothing else.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().expect("a runtime")
}

/// Of a warehouse in memory that does nothing by itself, whatever the time and the machine.
async fn session() -> Session {
    let options = CatalogOptions { background: false, ..CatalogOptions::default() };
    let builder = Warehouse::builder().slices(4).threads(1).memory_limit(2 << 30).upkeep(false);
    let session = builder.catalog_options(options).open("memory://").await.expect("it opens").session();
    // No tasks of a plan's partitions, which would run where they please.
    rows(&session, "set datafusion.execution.target_partitions = 1").await;
    session
}

/// A session whose tables have their rows.
async fn filled() -> Session {
    let session = session().await;
    rows(&session, CREATE_SALES).await;
    load(&session, "sales", &sales(SALES)).await;
    rows(&session, CREATE_CUSTOMERS).await;
    load(&session, "customers", &customers()).await;
    session
}

async fn load(session: &Session, table: &str, rows: &RecordBatch) -> usize {
    const BATCH: usize = 8192;
    let starts = (0..rows.num_rows()).step_by(BATCH);
    let batches: Vec<Result<RecordBatch, DataFusionError>> =
        starts.map(|at| Ok(rows.slice(at, BATCH.min(rows.num_rows() - at)))).collect();
    let stream = RecordBatchStreamAdapter::new(rows.schema(), futures::stream::iter(batches));
    session.load(table, vec![Box::pin(stream)]).await.expect(table) as usize
}

/// Runs a statement; how many rows it returns.
async fn rows(session: &Session, sql: &str) -> usize {
    let batches = session.sql(sql).await.expect(sql).collect().await.expect(sql);
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Counts reading a query's rows so many times. It is planned before: planning would hide what a small table takes.
fn query(times: usize, sql: &str) {
    let runtime = runtime();
    let (_session, planned) = runtime.block_on(async {
        let session = filled().await;
        // Footers and dictionaries are read once.
        rows(&session, sql).await;
        let mut planned = Vec::new();
        for _ in 0..times {
            planned.push(session.sql(sql).await.expect(sql));
        }
        (session, planned)
    });
    counted(|| {
        runtime.block_on(async {
            let mut rows = 0;
            for output in planned {
                rows += output.collect().await.expect(sql).iter().map(RecordBatch::num_rows).sum::<usize>();
            }
            rows
        })
    });
}

/// Counts statements for one row each, from text to row.
fn lookup() {
    let sql =
        |i: usize| format!("select customer, price, comment from sales where id = {}", random(i) as usize % SALES);
    let runtime = runtime();
    let session = runtime.block_on(async {
        let session = filled().await;
        rows(&session, &sql(0)).await;
        session
    });
    counted(|| {
        runtime.block_on(async {
            let mut found = 0;
            for i in 1..=20 {
                found += rows(&session, &sql(i)).await;
            }
            found
        })
    });
}

/// Counts a load, which distributes, sorts and encodes.
fn load_counted() {
    let runtime = runtime();
    let batch = sales(LOADED);
    let session = runtime.block_on(async {
        let session = session().await;
        rows(&session, CREATE_SALES).await;
        session
    });
    counted(|| runtime.block_on(load(&session, "sales", &batch)));
}
