//! FORMAT.md against the code: every table that states a constant is generated here and compared.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;

use crate::catalog::frame::{self, Magic};
use crate::catalog::{Blob, ObjectId, SegmentRef, WarehouseInfo, apply, paths};
use crate::common::{Bounds, ColumnId, CommitId, EncodingName, SqlType, Stored, TableId, Version};
use crate::distribution::{HASH_ID, SliceMap, hash_array};
use crate::format::encoding::supports;
use crate::format::segment::{ColumnSpec, SegmentBuilder};
use crate::format::stable::*;
use crate::format::{Column, Values};
use crate::statistics::bytes::{MAX_COLUMNS, MAX_VALUE_BYTES};
use crate::statistics::{DistinctSketch, Distribution, table as statistics_table};

const FORMAT: &str = include_str!("FORMAT.md");

/// The rows of the table whose header line begins with `header`, as they stand in the text.
fn table(header: &str) -> Vec<&'static str> {
    let mut lines = FORMAT.lines().skip_while(|l| !l.starts_with(header));
    assert!(lines.next().is_some(), "FORMAT.md has no table {header}");
    lines.skip(1).take_while(|l| l.starts_with('|')).collect()
}

/// The table below a heading.
fn table_below(heading: &str) -> Vec<&'static str> {
    let lines = FORMAT.lines().skip_while(|l| *l != heading);
    lines.skip_while(|l| !l.starts_with('|')).skip(2).take_while(|l| l.starts_with('|')).collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

fn compare(found: &[&str], expected: &[String]) {
    assert_eq!(found, expected, "FORMAT.md should say:\n{}", expected.join("\n"));
}

#[test]
fn constants() {
    let magic = std::str::from_utf8(&SEGMENT_MAGIC).unwrap();
    let statistics_magic = std::str::from_utf8(&statistics_table::MAGIC).unwrap();
    let rows: [(&str, &dyn std::fmt::Display); 30] = [
        ("segment magic", &magic),
        ("segment version", &SEGMENT_VERSION),
        ("known required segment features", &KNOWN_FEATURES),
        ("bytes of the segment trailer", &TRAILER_BYTES),
        ("bytes of a section table entry", &SECTION_ENTRY_BYTES),
        ("section flag: required", &SECTION_REQUIRED),
        ("rows of a vector", &VECTOR_ROWS),
        ("rows of a zone, default", &Geometry::DEFAULT.zone_rows()),
        ("rows of a chunk, default", &Geometry::DEFAULT.chunk_rows()),
        ("rows of a zone, at most", &Geometry::MAX_ZONE_ROWS),
        ("zones of a chunk, at most", &Geometry::MAX_ZONES_PER_CHUNK),
        ("chunks of a segment, at most", &Geometry::CHUNKS_PER_SEGMENT),
        ("target bytes of a block", &BLOCK_BYTES),
        ("bytes of a text bound, before rounding up", &Bounds::MAX_TEXT_BYTES),
        ("slice hash id", &HASH_ID),
        ("slices of a warehouse, at most", &WarehouseInfo::MAX_SLICES),
        ("bytes of a catalog frame's header", &frame::HEADER_BYTES),
        ("catalog format version", &frame::FORMAT_VERSION),
        ("known required catalog features", &frame::KNOWN_FEATURES),
        ("numbers of open transactions, from", &apply::PROVISIONAL),
        ("places between two segments", &SegmentRef::BETWEEN),
        ("bytes of a frame's blobs or body, at most", &frame::MAX_PART_BYTES),
        ("bytes of segments that a load stores inline, at most", &Blob::MAX_INLINE_BYTES),
        ("statistics magic", &statistics_magic),
        ("statistics version", &statistics_table::VERSION),
        ("registers of a sketch", &DistinctSketch::REGISTERS),
        ("columns that statistics tell of, at most", &MAX_COLUMNS),
        ("bytes of a value in statistics, at most", &MAX_VALUE_BYTES),
        ("common values of a column, at most", &Distribution::MAX_COMMON),
        ("parts of a histogram, at most", &Distribution::MAX_PARTS),
    ];
    let rows: Vec<String> = rows.iter().map(|(name, value)| format!("| {name} | {value} |")).collect();
    compare(&table("| constant"), &rows);
    assert_eq!(WarehouseInfo::MAX_SLICES, SliceMap::MAX_SLICES);
}

#[test]
fn object_names() {
    let abc = CommitId(0xabc);
    let names = [
        paths::log_entry(Version(42)),
        paths::checkpoint_root(Version(42)),
        paths::checkpoint_table(TableId(7), Version(40)),
        paths::lease(abc),
        paths::object(&ObjectId::Data { start: Version(41), txn: abc, sequence: 3 }),
        paths::system_log("queries", "name"),
    ];
    let found: Vec<String> = table("| name (an example)").iter().map(|row| cells(row)[0].replace('`', "")).collect();
    assert_eq!(found, names.map(|p| p.to_string()));
    assert!(FORMAT.contains(&format!("`{}`", paths::TEMPORARY)));
}

/// One of each SQL type; the compiler asks for a new one by [`hash_input`].
const TYPES: [SqlType; 16] = [
    SqlType::Boolean,
    SqlType::SmallInt,
    SqlType::Integer,
    SqlType::BigInt,
    SqlType::Real,
    SqlType::Double,
    SqlType::Decimal { precision: 18, scale: 4 },
    SqlType::Decimal { precision: 38, scale: 4 },
    SqlType::Char(10),
    SqlType::Varchar(256),
    SqlType::Date,
    SqlType::Timestamp,
    SqlType::Time,
    SqlType::TimestampTz,
    SqlType::Varbyte(64_000),
    SqlType::Super,
];

fn hash_input(sql_type: SqlType) -> &'static str {
    match sql_type {
        SqlType::Boolean => "0 or 1",
        SqlType::SmallInt => "16 bits, zero-extended to 64",
        SqlType::Integer | SqlType::Date => "32 bits, zero-extended to 64",
        SqlType::BigInt | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => "64 bits",
        SqlType::Real => "32 bits, zero-extended to 64; both zeros as 0",
        SqlType::Double => "64 bits; both zeros as 0",
        SqlType::Decimal { .. } => "unscaled, 128 bits",
        SqlType::Char(_) | SqlType::Varchar(_) => "up to 12 bytes: length and text as 128 bits; else the text",
        SqlType::Varbyte(_) | SqlType::Super => "never a key",
    }
}

fn stored_name(stored: Stored) -> String {
    format!("{stored:?}").to_lowercase()
}

#[test]
fn types() {
    // The catalog's numbers of types are private to it: they are read in its source.
    let convert = include_str!("../catalog/convert.rs");
    let rows: Vec<String> = TYPES
        .iter()
        .map(|sql_type| {
            let variant = format!("{sql_type:?}");
            let variant = variant.split([' ', '(']).next().unwrap();
            let line = convert.lines().find(|l| {
                let l = l.trim_start().strip_prefix("SqlType::").unwrap_or("");
                l.starts_with(variant) && !l[variant.len()..].starts_with(char::is_alphanumeric) && l.contains("=> (")
            });
            let line = line.unwrap_or_else(|| panic!("convert.rs does not number {variant}"));
            let kind = line.split("=> (").nth(1).unwrap().split(',').next().unwrap();
            let (size, scale) = match *sql_type {
                SqlType::Decimal { precision, scale } => (u32::from(precision), scale),
                other => (other.max_bytes().unwrap_or(0), 0),
            };
            format!(
                "| {sql_type} | {kind} | {size} | {scale} | {} | {} | {} |",
                sql_type.arrow_type(),
                stored_name(sql_type.stored()),
                hash_input(*sql_type)
            )
        })
        .collect();
    compare(&table("| SQL type"), &rows);
}

/// What the type table says of hash inputs: equal inputs of two types have equal hashes.
#[test]
fn hash_inputs() {
    let hash = |array: ArrayRef| hash_array(&array).unwrap()[0];
    let bits = |bits: u64| hash(Arc::new(Int64Array::from(vec![bits as i64])));
    let wide = |bits: u128| {
        let array = Decimal128Array::from(vec![bits as i128]).with_data_type(DataType::Decimal128(38, 0));
        hash(Arc::new(array))
    };
    assert_eq!(hash(Arc::new(BooleanArray::from(vec![true]))), bits(1));
    assert_eq!(hash(Arc::new(Int16Array::from(vec![-2]))), bits(0xfffe));
    assert_eq!(hash(Arc::new(Int32Array::from(vec![-2]))), bits(0xffff_fffe));
    assert_eq!(hash(Arc::new(Date32Array::from(vec![-2]))), bits(0xffff_fffe));
    assert_eq!(hash(Arc::new(TimestampMicrosecondArray::from(vec![-2]))), bits(u64::MAX - 1));
    assert_eq!(hash(Arc::new(Float32Array::from(vec![-1.5]))), bits(u64::from((-1.5f32).to_bits())));
    assert_eq!(hash(Arc::new(Float64Array::from(vec![-1.5]))), bits((-1.5f64).to_bits()));
    assert_eq!(hash(Arc::new(Float64Array::from(vec![-0.0]))), bits(0));
    assert_ne!(wide(u128::from(u64::MAX) << 32), bits(u64::MAX << 32));
    let text = |text: &str| hash(Arc::new(StringViewArray::from(vec![text])));
    assert_eq!(text("ab"), wide(u128::from(b'b') << 40 | u128::from(b'a') << 32 | 2));
    assert_eq!(hash_array(&Int64Array::from(vec![None])).unwrap(), [0]);
}

#[test]
fn stored_forms() {
    let rows: Vec<String> = (0..=u8::MAX)
        .map_while(|byte| stored_from_byte(byte).map(|stored| (byte, stored)))
        .map(|(byte, stored)| {
            let width = stored.width().map_or("-".to_string(), |w| w.to_string());
            let values = match stored {
                Stored::Bool => "a bit",
                Stored::I16 | Stored::I32 | Stored::I64 | Stored::I128 => "two's complement",
                Stored::F32 | Stored::F64 => "IEEE 754",
                Stored::Bytes => "UTF-8",
                Stored::Binary => "any bytes",
            };
            format!("| {} | {byte} | {width} | {values} |", stored_name(stored))
        })
        .collect();
    compare(&table("| stored form"), &rows);
}

#[test]
fn encodings_and_sections() {
    let forms = |id: EncodingId| -> Vec<String> {
        (0..=u8::MAX).map_while(stored_from_byte).filter(|s| supports(id, *s)).map(stored_name).collect()
    };
    let rows: Vec<String> = EncodingId::ALL
        .iter()
        .map(|id| {
            let dictionary = match id {
                EncodingId::ByteDict | EncodingId::FsstDict => "values",
                EncodingId::Fsst => "symbols",
                EncodingId::Text255 | EncodingId::Text32k => "words",
                EncodingId::Raw
                | EncodingId::Az64
                | EncodingId::RunLength
                | EncodingId::Zstd
                | EncodingId::Delta
                | EncodingId::Delta32k
                | EncodingId::Mostly8
                | EncodingId::Mostly16
                | EncodingId::Mostly32
                | EncodingId::Lz4
                | EncodingId::Alp => "none",
            };
            format!("| {id:?} | {} | {} | {dictionary} |", *id as u8, forms(*id).join(" "))
        })
        .collect();
    compare(&table("| encoding"), &rows);

    let rows = [SectionKind::Directory, SectionKind::ZoneMap, SectionKind::Sketches].map(|kind| {
        let content = match kind {
            SectionKind::Directory => "one column's blocks, chunks and pages",
            SectionKind::ZoneMap => "one column's zone map",
            SectionKind::Sketches => "what the segment's columns hold",
        };
        format!("| {} | {kind:?} | {content} |", kind as u16)
    });
    compare(&table("| section kind"), &rows);
}

/// Where a layout table puts a field: its offset and width.
fn field(rows: &[&str], name: &str) -> (usize, usize) {
    let row = rows.iter().find(|row| cells(row)[2].starts_with(name));
    let row = cells(row.unwrap_or_else(|| panic!("no field {name}")));
    (row[0].parse().unwrap(), row[1].parse().unwrap())
}

fn number(bytes: &[u8], (at, width): (usize, usize)) -> u64 {
    let mut le = [0; 8];
    le[..width].copy_from_slice(&bytes[at..at + width]);
    u64::from_le_bytes(le)
}

/// Fields follow each other, and end where the layout does.
fn check_offsets(rows: &[&str], end: usize) {
    let mut at = 0;
    for row in rows {
        let row = cells(row);
        assert_eq!(row[0].parse(), Ok(at), "{row:?}");
        at += row[1].parse::<usize>().unwrap();
    }
    assert_eq!(at, end);
}

#[test]
fn a_segments_end_is_as_described() {
    let spec = |id| ColumnSpec { id: ColumnId(id), sql_type: SqlType::Integer, encoding: EncodingName::Raw };
    let mut builder = SegmentBuilder::new(Geometry::TINY, 5, &[spec(1), spec(2)]);
    let column = || Column { values: Values::I32((0..10).collect()), validity: None };
    builder.push_chunk(&[column(), column()]).unwrap();
    let finished = builder.finish().unwrap();
    let bytes = finished.parts.concat();
    let trailer_at = bytes.len() - TRAILER_BYTES;
    let trailer = &bytes[trailer_at..];

    let rows = table_below("### Trailer");
    check_offsets(&rows, TRAILER_BYTES);
    let value = |name: &str| number(trailer, field(&rows, name));
    assert_eq!(value("number of sections"), 4);
    assert_eq!(value("rows of a zone"), 4);
    assert_eq!(value("rows of a chunk"), 16);
    assert_eq!(value("rows of the segment"), 10);
    assert_eq!(value("slice"), 5);
    assert_eq!(value("segment version"), u64::from(SEGMENT_VERSION));
    assert_eq!(value("bytes of the footer"), u64::from(finished.footer_len));
    assert_eq!(number(trailer, field(&rows, "magic")), u64::from_le_bytes(SEGMENT_MAGIC));
    let table_at = trailer_at - 4 * SECTION_ENTRY_BYTES;
    assert_eq!(value("checksum"), u64::from(crc32c::crc32c(&bytes[table_at..trailer_at + 44])));

    let rows = table_below("### Section table");
    check_offsets(&rows, SECTION_ENTRY_BYTES);
    let footer = &bytes[bytes.len() - finished.footer_len as usize..];
    for i in 0..4 {
        let entry = &bytes[table_at + i * SECTION_ENTRY_BYTES..];
        let value = |name: &str| number(entry, field(&rows, name));
        assert_eq!(value("kind"), 1 + i as u64 % 2);
        assert_eq!(value("flags"), u64::from(SECTION_REQUIRED));
        assert_eq!(value("the column's ordinal"), i as u64 / 2);
        let start = value("offset") as usize;
        let section = &footer[start..start + value("bytes") as usize];
        assert_eq!(value("checksum"), u64::from(crc32c::crc32c(section)));
    }
}

#[test]
fn catalog_frames_are_as_described() {
    let kinds = [
        (Magic::Log, "LogEntry"),
        (Magic::CheckpointRoot, "Root"),
        (Magic::CheckpointTable, "Table"),
        (Magic::Lease, "Lease"),
        (Magic::Backup, "Backup"),
    ];
    let layout = table_below("## Catalog frame");
    check_offsets(&layout[..layout.len() - 2], frame::HEADER_BYTES);
    let mut rows = Vec::new();
    for (magic, message) in kinds {
        let bytes = frame::encode(magic, &[bytes::Bytes::from_static(b"blob")], b"message").unwrap();
        let value = |name: &str| number(&bytes, field(&layout, name));
        assert_eq!(value("format version"), u64::from(frame::FORMAT_VERSION));
        assert_eq!(value("required features"), 0);
        assert_eq!((value("bytes of blobs"), value("bytes of body")), (4, 7));
        assert_eq!(value("checksum of the blobs"), u64::from(crc32c::crc32c(b"blob")));
        assert_eq!(value("checksum of the body"), u64::from(crc32c::crc32c(b"message")));
        assert_eq!(value("checksum of the bytes 0 to 44"), u64::from(crc32c::crc32c(&bytes[..44])));
        assert_eq!(&bytes[frame::HEADER_BYTES..], b"blobmessage");
        let word = std::str::from_utf8(&bytes[..8]).unwrap();
        rows.push(format!("| {magic:?} | {word} | {message} |"));
    }
    compare(&table("| kind"), &rows);
}

/// The messages' fields, from the attributes that say how they are stored.
#[test]
fn messages() {
    let mut rows = Vec::new();
    let mut message = String::new();
    let mut fields: Vec<String> = Vec::new();
    let mut attribute = "";
    for line in include_str!("../catalog/proto.rs").lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum ")) {
            message = rest.trim_end_matches(" {").to_string();
        } else if let Some(rest) = line.strip_prefix("#[prost(") {
            attribute = rest.trim_end_matches(")]");
        } else if line == "}" {
            rows.push(format!("| {message} | {} |", fields.join(", ")));
            fields.clear();
        } else if !attribute.is_empty() {
            fields.push(proto_field(attribute, line.trim_end_matches(',')));
            attribute = "";
        }
    }
    compare(&table("| message"), &rows);
}

/// As FORMAT.md shows a field: `declaration` is a struct's `pub name: Type` or an enum's `Name(Type)`.
fn proto_field(attribute: &str, declaration: &str) -> String {
    let parts: Vec<&str> = attribute.split(", ").collect();
    let (name, rust_type) = match declaration.strip_prefix("pub ") {
        Some(field) => field.split_once(": ").unwrap(),
        None => declaration.trim_end_matches(')').split_once('(').unwrap(),
    };
    let inner = rust_type.trim_end_matches('>').rsplit(['<', ' ']).next().unwrap();
    let stored = parts[0].split(" = ").next().unwrap();
    if stored == "oneof" {
        return format!("one of {inner}");
    }
    let tag = parts.iter().find_map(|p| p.strip_prefix("tag = \"")).unwrap().trim_end_matches('"');
    let label = match stored {
        _ if parts.contains(&"repeated") => "repeated ",
        "message" => "",
        _ if parts.contains(&"optional") => "optional ",
        _ => "",
    };
    format!("{tag} {name}: {label}{}", if stored == "message" { inner } else { stored })
}

/// The guard itself: a table that lacks a row, or says another number, does not pass.
#[test]
fn a_difference_is_found() {
    let expected = vec!["| a | 1 |".to_string()];
    for found in [vec!["| a | 2 |"], vec![], vec!["| a | 1 |", "| b | 2 |"]] {
        assert!(std::panic::catch_unwind(|| compare(&found, &expected)).is_err(), "{found:?}");
    }
    compare(&["| a | 1 |"], &expected);
}
