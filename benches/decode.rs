//! How fast are values decoded and filtered, per encoding and type, and as a ratio to RAW?
//!
//! `cargo bench --bench decode [words]` prints only cases whose name has one of the words. Every figure is the median of
//! several runs over one chunk of 131,072 rows on one core; GB/s count Arrow bytes, text with its characters.

use std::hint::black_box;
use std::time::Instant;

use blueshift::common::{Comparison, EncodingName, Predicate, Scalar, SqlType};
use blueshift::format::column::{ByteValues, Column, ColumnBuilder, Values};
use blueshift::format::encoding::{ChunkEncoder, DictionaryUse, Page, Selection, allowed, open_dictionary};
use blueshift::format::stable::EncodingId;
use blueshift::format::{Geometry, Mask};

const ROWS: usize = 131_072;

struct Case {
    name: &'static str,
    ty: SqlType,
    column: Column,
    predicate: Predicate,
}

fn random(i: usize) -> u64 {
    let mut x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ x >> 32
}

fn cases() -> Vec<Case> {
    let money = SqlType::Decimal { precision: 15, scale: 2 };
    let i64s = |f: fn(usize) -> i64| Column::new(Values::I64((0..ROWS).map(f).collect()), None);
    let text = |f: &dyn Fn(usize) -> String| {
        let strings: Vec<String> = (0..ROWS).map(f).collect();
        Column::new(Values::Bytes(strings.iter().map(|s| s.as_bytes()).collect::<ByteValues>()), None)
    };
    let less = |v: i128| Predicate::Compare(Comparison::Lt, Scalar::Int(v));
    let words =
        ["carefully", "final", "deposits", "sleep", "furiously", "ironic", "requests", "haggle", "the", "among"];
    vec![
        Case {
            name: "date, 12 bits (l_shipdate)",
            ty: SqlType::Date,
            column: Column::new(Values::I32((0..ROWS).map(|i| 8000 + (random(i) % 2526) as i32).collect()), None),
            predicate: less(8900),
        },
        Case {
            name: "bigint, 6 bits",
            ty: SqlType::BigInt,
            column: i64s(|i| (random(i) % 50) as i64),
            predicate: less(24),
        },
        Case {
            name: "bigint, 24 bits",
            ty: SqlType::BigInt,
            column: i64s(|i| (random(i) % 10_000_000) as i64),
            predicate: less(100_000),
        },
        Case {
            name: "bigint, sorted (l_orderkey)",
            ty: SqlType::BigInt,
            column: i64s(|i| 6_000_000_000 + (i / 4 * 1000) as i64 + (random(i / 4) % 700) as i64),
            predicate: less(6_000_100_000),
        },
        Case {
            name: "decimal, 6 bits scaled (l_quantity)",
            ty: money,
            column: i64s(|i| 100 * (1 + random(i) % 50) as i64),
            predicate: less(2400),
        },
        Case {
            name: "decimal, 24 bits (l_extendedprice)",
            ty: money,
            column: i64s(|i| 90_000 + (random(i) % 10_000_000) as i64),
            predicate: less(1_000_000),
        },
        Case {
            name: "smallint, 5 bits, some outside",
            ty: SqlType::SmallInt,
            column: Column::new(
                Values::I16(
                    (0..ROWS)
                        .map(|i| if random(i).is_multiple_of(90) { 3000 } else { random(i) as i16 % 20 })
                        .collect(),
                ),
                None,
            ),
            predicate: less(10),
        },
        Case {
            name: "timestamp, every few seconds",
            ty: SqlType::Timestamp,
            column: i64s(|i| 1_600_000_000_000_000 + (i as i64) * 7000 + (random(i) % 5000) as i64),
            predicate: less(1_600_000_100_000_000),
        },
        Case {
            name: "decimal of 38 digits, 24 bits",
            ty: SqlType::Decimal { precision: 38, scale: 2 },
            column: Column::new(Values::I128((0..ROWS).map(|i| (random(i) % 10_000_000) as i128).collect()), None),
            predicate: less(100_000),
        },
        Case {
            name: "double, two decimals",
            ty: SqlType::Double,
            column: Column::new(
                Values::F64((0..ROWS).map(|i| (random(i) % 10_000_000) as f64 / 100.0).collect()),
                None,
            ),
            predicate: Predicate::Compare(Comparison::Lt, Scalar::Float(1700.0)),
        },
        Case {
            name: "double, any of one magnitude",
            ty: SqlType::Double,
            column: Column::new(
                Values::F64((0..ROWS).map(|i| 1.0 + random(i) as f64 / u64::MAX as f64).collect()),
                None,
            ),
            predicate: Predicate::Compare(Comparison::Lt, Scalar::Float(1.1)),
        },
        Case {
            name: "real, one decimal",
            ty: SqlType::Real,
            column: Column::new(Values::F32((0..ROWS).map(|i| (random(i) % 1000) as f32 / 10.0).collect()), None),
            predicate: Predicate::Compare(Comparison::Lt, Scalar::Float(17.0)),
        },
        Case {
            name: "double, eighths",
            ty: SqlType::Double,
            column: Column::new(Values::F64((0..ROWS).map(|i| (random(i) % 1000) as f64 / 8.0).collect()), None),
            predicate: Predicate::Compare(Comparison::Lt, Scalar::Float(17.0)),
        },
        Case {
            name: "text, 4 values (l_shipinstruct)",
            ty: SqlType::Varchar(25),
            column: text(&|i| {
                ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"][random(i) as usize % 4].into()
            }),
            predicate: Predicate::Compare(Comparison::Eq, Scalar::Bytes(b"TAKE BACK RETURN".to_vec())),
        },
        Case {
            name: "text, 3,000 long values",
            ty: SqlType::Varchar(100),
            column: text(&|i| format!("https://www.example.com/catalogue/{}/item.html", random(i) % 3000 * 7919)),
            predicate: Predicate::Compare(Comparison::Eq, Scalar::Bytes(b"https://www.example.com/".to_vec())),
        },
        Case {
            name: "text, 27 bytes (l_comment)",
            ty: SqlType::Varchar(44),
            column: text(&|i| {
                let word = |k: usize| words[random(i * 5 + k) as usize % 10];
                format!("{} {} {} {}", word(0), word(1), word(2), word(3))
            }),
            predicate: Predicate::Compare(Comparison::Eq, Scalar::Bytes(b"final deposits sleep furiously".to_vec())),
        },
    ]
}

fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn arrow_bytes(column: &Column, ty: SqlType) -> usize {
    match (&column.values, ty) {
        (Values::Bytes(v), _) => v.len() * 16 + v.data_len(),
        (_, SqlType::Decimal { .. }) => column.len() * 16,
        (Values::I16(v), _) => v.len() * 2,
        (Values::I32(v), _) => v.len() * 4,
        (Values::F32(v), _) => v.len() * 4,
        _ => column.len() * 8,
    }
}

/// A name that does not say what is stored is followed by that.
fn shown(name: EncodingName, stored: EncodingId) -> String {
    let stored = format!("{stored:?}").to_lowercase();
    if name.as_str() == stored { stored } else { format!("{name} ({stored})") }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    println!(
        "{:<36} {:<16} {:>7} | {:>9} {:>7} {:>6} | {:>9} {:>6} | {:>10} {:>6}",
        "case", "encoding", "bits/v", "decode/s", "GB/s", "x RAW", "filter/s", "x RAW", "sparse ns", "x RAW"
    );
    for case in cases().iter().filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(&word[..])))
    {
        let stored = case.ty.stored();
        let mut raw: Option<[f64; 3]> = None;
        // RAW first, by which the others are measured; AUTO last.
        let mut names = EncodingName::ALL;
        names.rotate_left(1);
        for name in names {
            if allowed(name, case.ty).is_err() {
                continue;
            }
            let started = Instant::now();
            let chunk = ChunkEncoder::new(stored, name, Geometry::DEFAULT).encode(&case.column).unwrap();
            let encode = started.elapsed().as_secs_f64();
            let dictionary = match &chunk.dictionary {
                DictionaryUse::New(bytes) => Some(open_dictionary(chunk.encoding, stored, bytes).unwrap()),
                _ => None,
            };
            let zone_rows = Geometry::DEFAULT.zone_rows();
            let open = |bytes| Page::open(chunk.encoding, stored, zone_rows, bytes, dictionary.as_ref()).unwrap();
            let decode = median(|| {
                for bytes in &chunk.pages {
                    let mut out = ColumnBuilder::new(case.ty, zone_rows);
                    open(bytes).decode(Selection::All, &mut out).unwrap();
                    black_box(&out);
                }
            });
            let filter = median(|| {
                let prepared = dictionary.as_ref().map(|d| d.prepare(&case.predicate).unwrap());
                for bytes in &chunk.pages {
                    let mut mask = Mask::all(zone_rows);
                    open(bytes).filter(&case.predicate, prepared.as_ref(), &mut mask).unwrap();
                    black_box(&mask);
                }
            });
            // Five rows of every vector.
            let few = Mask::from_fn(zone_rows, |i| i % 200 == 7);
            let sparse = median(|| {
                for bytes in &chunk.pages {
                    let mut out = ColumnBuilder::new(case.ty, few.count());
                    open(bytes).decode(Selection::Rows(&few), &mut out).unwrap();
                    black_box(&out);
                }
            });
            let raw = *raw.get_or_insert([decode, filter, sparse]);
            println!(
                "{:<36} {:<16} {:>7.2} | {:>7.2} G {:>7.1} {:>6.2} | {:>7.2} G {:>6.2} | {:>10.1} {:>6.2} | encode {:>5.1} M/s",
                case.name,
                shown(name, chunk.encoding),
                chunk.encoded_len() as f64 * 8.0 / ROWS as f64,
                ROWS as f64 / decode / 1e9,
                arrow_bytes(&case.column, case.ty) as f64 / decode / 1e9,
                raw[0] / decode,
                ROWS as f64 / filter / 1e9,
                raw[1] / filter,
                sparse * 1e9 / (few.count() * chunk.pages.len()) as f64,
                raw[2] / sparse,
                ROWS as f64 / encode / 1e6,
            );
        }
    }
}
