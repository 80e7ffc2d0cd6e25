//! Files of many schemas, whole and damaged.

use std::io::{Cursor, Read, Write};

use super::*;
use crate::testing::rng::Rng;
use value::{Reader, Value};

/// With unions, arrays, maps, nested records, decimals and times.
const FILE: &[u8] = include_bytes!("../../tests/typed_files/fastavro.avro");

const SYNC: &[u8; 16] = b"0123456789abcdef";

/// The rows of a file, in a plain form.
fn rows(bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    let mut failed = None;
    let cut = cut(Cursor::new(bytes.to_vec()), &"f".into(), |records| {
        for block in &records.blocks {
            let read = records.header.codec.unpack(&block.bytes).and_then(|bytes| {
                let mut reader = Reader::new(&records.header.schema, &bytes);
                for _ in 0..block.rows {
                    let row: Value<'_> = reader.row(1 << 20)?;
                    rows.push(row.json(Some(b'?')).map_err(|refusal| refusal.reason)?);
                }
                match reader.is_at_end() {
                    true => Ok(()),
                    false => Err("more than its rows".into()),
                }
            });
            failed = failed.take().or(read.err());
        }
        failed.is_none()
    });
    match (cut, failed) {
        (Err(broken), _) => Err(broken.error.message().to_string()),
        (_, Some(reason)) => Err(reason),
        _ => Ok(rows),
    }
}

/// Whether a changed file is an error; what is cut off within a block has to be one.
fn fails(whole: &[u8], rng: &mut Rng) -> bool {
    let mut bytes = whole.to_vec();
    if rng.one_in(4) {
        bytes.truncate(rng.below(bytes.len()));
        let failed = rows(&bytes).is_err();
        assert!(failed || bytes.ends_with(&whole[whole.len() - SYNC.len()..]), "a part is read as a whole");
        return failed;
    }
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(bytes.len());
        bytes[at] = rng.next_u64() as u8;
    }
    rows(&bytes).is_err()
}

fn long(value: i64, to: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        to.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    to.push(bits as u8);
}

fn text(text: impl AsRef<[u8]>, to: &mut Vec<u8>) {
    long(text.as_ref().len() as i64, to);
    to.extend(text.as_ref());
}

fn header(schema: &str, codec: &str) -> Vec<u8> {
    let mut bytes = b"Obj\x01".to_vec();
    long(2, &mut bytes);
    [b"avro.schema", schema.as_bytes(), b"avro.codec", codec.as_bytes()].iter().for_each(|part| text(part, &mut bytes));
    long(0, &mut bytes);
    bytes.extend(SYNC);
    bytes
}

fn block(rows: usize, packed: &[u8], to: &mut Vec<u8>) {
    long(rows as i64, to);
    text(packed, to);
    to.extend(SYNC);
}

const CODECS: [&str; 5] = ["null", "deflate", "snappy", "zstandard", "bzip2"];

fn pack(codec: &str, plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    match codec {
        "null" => packed.extend(plain),
        "deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(&mut packed, flate2::Compression::fast());
            encoder.write_all(plain).unwrap();
        }
        "snappy" => {
            packed = snap::raw::Encoder::new().compress_vec(plain).unwrap();
            packed.extend(crc32fast::hash(plain).to_be_bytes());
        }
        "zstandard" => packed = zstd::encode_all(plain, 1).unwrap(),
        _ => {
            bzip2::read::BzEncoder::new(plain, bzip2::Compression::fast()).read_to_end(&mut packed).unwrap();
        }
    }
    packed
}

/// A type that is put together by chance.
enum Made {
    Null,
    Boolean,
    Int,
    Long,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum,
    Decimal,
    /// Whole hours.
    Time,
    Array(Box<Made>),
    Map(Box<Made>),
    /// Null, a number, a list of such, or the record around it.
    Union(Box<Made>),
    Record(Vec<Made>),
}

impl Made {
    fn any(rng: &mut Rng, depth: usize) -> Made {
        match rng.below(if depth == 0 { 11 } else { 15 }) {
            0 => Made::Null,
            1 => Made::Boolean,
            2 => Made::Int,
            3 => Made::Long,
            4 => Made::Double,
            5 => Made::Bytes,
            6 => Made::Text,
            7 => Made::Fixed(rng.below(5)),
            8 => Made::Enum,
            9 => Made::Decimal,
            10 => Made::Time,
            11 => Made::Array(Made::any(rng, depth - 1).into()),
            12 => Made::Map(Made::any(rng, depth - 1).into()),
            13 => Made::Union(Made::any(rng, depth - 1).into()),
            _ => Made::record(rng, depth - 1),
        }
    }

    fn record(rng: &mut Rng, depth: usize) -> Made {
        Made::Record((0..1 + rng.below(5)).map(|_| Made::any(rng, depth)).collect())
    }

    /// `names` is how many types have names so far.
    fn schema(&self, names: &mut usize, around: &str) -> String {
        let mut named = |kind: &str, rest: &str| {
            *names += 1;
            format!("{{\"type\": \"{kind}\", \"name\": \"n{names}\", {rest}}}")
        };
        match self {
            Made::Null => "\"null\"".into(),
            Made::Boolean => "\"boolean\"".into(),
            Made::Int => "\"int\"".into(),
            Made::Long => "\"long\"".into(),
            Made::Double => "\"double\"".into(),
            Made::Bytes => "\"bytes\"".into(),
            Made::Text => "\"string\"".into(),
            Made::Fixed(size) => named("fixed", &format!("\"size\": {size}")),
            Made::Enum => named("enum", "\"symbols\": [\"A\", \"B\"]"),
            Made::Decimal => {
                "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 10, \"scale\": 1}".into()
            }
            Made::Time => "{\"type\": \"long\", \"logicalType\": \"time-micros\"}".into(),
            Made::Array(items) => format!("{{\"type\": \"array\", \"items\": {}}}", items.schema(names, around)),
            Made::Map(values) => format!("{{\"type\": \"map\", \"values\": {}}}", values.schema(names, around)),
            Made::Union(items) => {
                let items = items.schema(names, around);
                format!("[\"null\", \"int\", {{\"type\": \"array\", \"items\": {items}}}, \"{around}\"]")
            }
            Made::Record(fields) => {
                *names += 1;
                let name = format!("n{names}");
                let field = |(at, field): (usize, &Made)| {
                    format!("{{\"name\": \"f{at}\", \"type\": {}}}", field.schema(names, &name))
                };
                let fields = fields.iter().enumerate().map(field).collect::<Vec<_>>().join(", ");
                format!("{{\"type\": \"record\", \"name\": \"{name}\", \"fields\": [{fields}]}}")
            }
        }
    }

    /// Appends a value, and gives it as JSON; `depth` is how many more may be in it.
    fn value(&self, around: &Made, rng: &mut Rng, depth: usize, to: &mut Vec<u8>) -> String {
        let within = depth.saturating_sub(1);
        match self {
            Made::Null => "null".into(),
            Made::Boolean => {
                let yes = rng.one_in(2);
                to.push(u8::from(yes));
                yes.to_string()
            }
            Made::Int => {
                let number = rng.next_u64() as i32;
                long(i64::from(number), to);
                number.to_string()
            }
            Made::Long => {
                let number = rng.next_u64() as i64 >> rng.below(64);
                long(number, to);
                number.to_string()
            }
            Made::Double => {
                let number = rng.below(1000) as f64 / 4.0;
                to.extend(number.to_le_bytes());
                format!("{number:?}")
            }
            Made::Bytes => {
                let bytes = vec![0xab; rng.below(9)];
                text(&bytes, to);
                format!("\"{}\"", "ab".repeat(bytes.len()))
            }
            Made::Text => {
                let word = "ä".repeat(rng.below(70));
                text(&word, to);
                format!("\"{word}\"")
            }
            Made::Fixed(size) => {
                to.extend(vec![0xcd; *size]);
                format!("\"{}\"", "cd".repeat(*size))
            }
            Made::Enum => {
                let at = rng.below(2);
                long(at as i64, to);
                ["\"A\"", "\"B\""][at].into()
            }
            Made::Decimal => {
                let unscaled = rng.next_u64() as i32;
                text(unscaled.to_be_bytes(), to);
                let sign = if unscaled < 0 { "-" } else { "" };
                format!("{sign}{}.{}", unscaled.unsigned_abs() / 10, unscaled.unsigned_abs() % 10)
            }
            Made::Time => {
                let hours = rng.below(24);
                long(hours as i64 * 3_600_000_000, to);
                format!("\"{hours:02}:00:00\"")
            }
            Made::Array(items) => {
                format!("[{}]", listed(rng, depth, to, |_, rng, to| items.value(around, rng, within, to)))
            }
            Made::Map(values) => {
                let entry = |at, rng: &mut Rng, to: &mut Vec<u8>| {
                    text([b'z' - at], to);
                    format!("\"{}\":{}", char::from(b'z' - at), values.value(around, rng, within, to))
                };
                format!("{{{}}}", listed(rng, depth, to, entry))
            }
            Made::Union(items) => {
                let branch = if depth == 0 { 0 } else { rng.below(4) };
                long(branch as i64, to);
                match branch {
                    0 => "null".into(),
                    1 => Made::Int.value(around, rng, within, to),
                    2 => format!("[{}]", listed(rng, within, to, |_, rng, to| items.value(around, rng, within, to))),
                    _ => around.value(around, rng, within, to),
                }
            }
            Made::Record(fields) => {
                let field = |(at, field): (usize, &Made)| format!("\"f{at}\":{}", field.value(self, rng, within, to));
                format!("{{{}}}", fields.iter().enumerate().map(field).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// Items in one block or in two, one of which says how long it is.
fn listed(
    rng: &mut Rng,
    depth: usize,
    to: &mut Vec<u8>,
    mut item: impl FnMut(u8, &mut Rng, &mut Vec<u8>) -> String,
) -> String {
    let mut items = Vec::new();
    let blocks = if depth == 0 { 0 } else { rng.below(3) };
    for at in 0..blocks {
        let mut bytes = Vec::new();
        let count = 1 + rng.below(2);
        for _ in 0..count {
            items.push(item(items.len() as u8, rng, &mut bytes));
        }
        if at == 0 {
            long(count as i64, to);
        } else {
            long(-(count as i64), to);
            long(bytes.len() as i64, to);
        }
        to.extend(bytes);
    }
    long(0, to);
    items.join(",")
}

/// The file of another writer, its one block not packed.
fn unpacked() -> Vec<u8> {
    let mut plain = Vec::new();
    cut(Cursor::new(FILE.to_vec()), &"f".into(), |records| {
        for block in &records.blocks {
            plain = records.header.codec.unpack(&block.bytes).unwrap().into_owned();
        }
        true
    })
    .unwrap();
    let codec = FILE.windows(7).position(|at| at == b"deflate").unwrap();
    // The codec's name, behind its length.
    let mut bytes = FILE[..codec - 1].to_vec();
    bytes.extend(b"\x08null");
    let rest = &FILE[codec + 7..];
    let sync = rest.windows(16).position(|at| at == SYNC).unwrap() + 16;
    bytes.extend(&rest[..sync]);
    block(3, &plain, &mut bytes);
    bytes
}

#[test]
fn no_bytes_end_the_process() {
    let plain = unpacked();
    let expected = rows(FILE).unwrap();
    assert_eq!((rows(&plain).unwrap(), expected.len()), (expected, 3));
    let mut rng = Rng::new(7);
    let failed = (0..20_000).filter(|round| fails(if round % 2 == 0 { FILE } else { &plain }, &mut rng)).count();
    assert!(failed > 5_000, "{failed}");
}

/// What is written is read, of each schema; what is changed is read otherwise, or an error.
#[test]
fn many_schemas_whole_and_damaged() {
    let mut rng = Rng::new(23);
    let (mut longest, mut failed) = (0, 0);
    for round in 0..1_000 {
        let made = Made::record(&mut rng, 3);
        let codec = CODECS[round % CODECS.len()];
        let mut bytes = header(&made.schema(&mut 0, ""), codec);
        let mut expected = Vec::new();
        for _ in 0..2 {
            let (mut plain, count) = (Vec::new(), rng.below(5));
            expected.extend((0..count).map(|_| made.value(&made, &mut rng, 12, &mut plain)));
            block(count, &pack(codec, &plain), &mut bytes);
        }
        assert_eq!(rows(&bytes).as_ref(), Ok(&expected), "{}", made.schema(&mut 0, ""));
        longest = longest.max(expected.iter().map(String::len).max().unwrap_or(0));
        failed += (0..25).filter(|_| fails(&bytes, &mut rng)).count();
    }
    assert!(longest > 1_000 && failed > 15_000, "{longest} {failed}");
}

/// Blocks without rows are no end, and are not all held.
#[test]
fn blocks_of_nothing() {
    let mut bytes =
        header("{\"type\": \"record\", \"name\": \"r\", \"fields\": [{\"name\": \"i\", \"type\": \"int\"}]}", "null");
    block(1, &[2], &mut bytes);
    (0..200_000).for_each(|_| block(0, &[], &mut bytes));
    block(1, &[4], &mut bytes);
    assert_eq!(rows(&bytes).unwrap(), ["{\"i\":1}", "{\"i\":2}"]);
    let mut most = 0;
    cut(Cursor::new(bytes.clone()), &"f".into(), |records| {
        most = most.max(records.blocks.len());
        true
    })
    .unwrap();
    assert!(most <= BLOCK_BYTES / size_of::<Block>(), "{most}");
    // The first byte of a count that has more of them.
    bytes.push(0x80);
    assert!(rows(&bytes).unwrap_err().contains("cut off"));
}

/// What other readers refuse: names and defaults that the specification forbids, text that is no UUID, decimals of no bytes.
#[test]
fn schemas_are_read_as_they_are() {
    for (field, value, expected) in [
        ("\"order-id\", \"type\": \"long\"", &[2u8][..], "{\"order-id\":1}"),
        ("\"a\", \"type\": \"long\", \"default\": \"0\"", &[2], "{\"a\":1}"),
        (
            "\"a\", \"type\": {\"type\": \"enum\", \"name\": \"my-type\", \"symbols\": [\"in progress\"]}",
            &[0],
            "{\"a\":\"in progress\"}",
        ),
        ("\"a\", \"type\": {\"type\": \"string\", \"logicalType\": \"uuid\"}", b"\x06abc", "{\"a\":\"abc\"}"),
        (
            "\"a\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 2, \"scale\": 1}",
            &[0],
            "{\"a\":0.0}",
        ),
        ("\"a\", \"type\": [{\"type\": \"long\", \"logicalType\": \"time-micros\"}, \"long\"]", &[2, 2], "{\"a\":1}"),
        (
            "\"a\", \"type\": {\"type\": \"map\", \"values\": \"int\"}",
            b"\x04\x02b\x02\x02a\x04\x00",
            "{\"a\":{\"b\":1,\"a\":2}}",
        ),
    ] {
        let mut bytes =
            header(&format!("{{\"type\": \"record\", \"name\": \"r\", \"fields\": [{{\"name\": {field}}}]}}"), "null");
        block(1, value, &mut bytes);
        assert_eq!(rows(&bytes).unwrap(), [expected], "{field}");
    }
}
