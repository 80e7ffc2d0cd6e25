//! Whole segments: bytes that must stay readable for ever, and bytes that nobody wrote.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;

use super::column::{ByteValues, TextCodes, Values};
use super::encoding::{self, Page, Selection, hostile, open_dictionary};
use super::footer::SegmentFooter;
use super::segment::{ColumnSpec, SegmentBuilder};
use super::stable::{Geometry, SECTION_ENTRY_BYTES, TRAILER_BYTES};
use super::{Column, ColumnBuilder};
use crate::common::{ColumnId, EncodingName, Error, ErrorKind, Result, SqlType};
use crate::testing::Rng;

const ROWS: usize = 11;
const GOLDEN: &[u8] = include_bytes!("corpus/segment-1.bin");
const NASTY: &str = include_str!("corpus/pages.hex");

/// One column of each type, its values chosen so that every encoding has something to do.
fn columns() -> Vec<(SqlType, ArrayRef)> {
    let some = |i: usize| !i.is_multiple_of(4);
    let ints = |f: fn(i64) -> i64| (0..ROWS as i64).map(f).collect::<Vec<_>>();
    let text = |f: fn(usize) -> String| (0..ROWS).map(f).collect::<Vec<_>>();
    let decimal = |values: Vec<Option<i128>>, p| {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(p, 2).unwrap()) as ArrayRef
    };
    vec![
        (SqlType::Boolean, Arc::new((0..ROWS).map(|i| some(i).then_some(i % 3 == 0)).collect::<BooleanArray>())),
        (SqlType::SmallInt, Arc::new(Int16Array::from_iter_values(ints(|i| i * 3 - 7).into_iter().map(|v| v as i16)))),
        (SqlType::Integer, Arc::new((0..ROWS).map(|i| some(i).then_some(i as i32 * -1000)).collect::<Int32Array>())),
        (SqlType::BigInt, Arc::new(Int64Array::from(ints(|i| if i == 5 { i64::MIN } else { i / 4 })))),
        (
            SqlType::Decimal { precision: 18, scale: 2 },
            decimal((0..ROWS).map(|i| some(i).then_some(1250)).collect(), 18),
        ),
        (
            SqlType::Decimal { precision: 38, scale: 2 },
            decimal((0..ROWS).map(|i| Some(10i128.pow(i as u32 * 3))).collect(), 38),
        ),
        (SqlType::Real, Arc::new(Float32Array::from_iter_values((0..ROWS).map(|i| [f32::NAN, -0.0, 1.5][i % 3])))),
        (SqlType::Double, Arc::new((0..ROWS).map(|i| some(i).then_some(i as f64 / 8.0)).collect::<Float64Array>())),
        (SqlType::Varchar(40), Arc::new(StringViewArray::from(text(|i| format!("a text that repeats {}", i % 4))))),
        (SqlType::Char(4), Arc::new((0..ROWS).map(|i| some(i).then_some("ab")).collect::<StringViewArray>())),
        (SqlType::Date, Arc::new(Date32Array::from_iter_values((0..ROWS).map(|i| 19_000 + i as i32)))),
        (
            SqlType::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(ints(|i| 1_700_000_000_000_000 + i * i * 1_000_003))),
        ),
    ]
}

/// Every type in every encoding that stores it.
fn specs() -> Vec<(ColumnSpec, ArrayRef)> {
    let mut specs = Vec::new();
    for (sql_type, array) in columns() {
        for encoding in EncodingName::ALL.into_iter().filter(|e| encoding::allowed(*e, sql_type).is_ok()) {
            let id = ColumnId(specs.len() as u32 + 1);
            specs.push((ColumnSpec { id, sql_type, encoding }, Arc::clone(&array)));
        }
    }
    specs
}

/// What the golden segment holds: every encoding on some types, and every type.
fn golden_specs() -> Vec<(ColumnSpec, ArrayRef)> {
    let stored = [
        EncodingName::Raw,
        EncodingName::Az64,
        EncodingName::ByteDict,
        EncodingName::RunLength,
        EncodingName::Zstd,
        EncodingName::Fsst,
    ];
    let thorough = |ty| matches!(ty, SqlType::Boolean | SqlType::BigInt | SqlType::Double | SqlType::Varchar(_));
    let wanted = |spec: &ColumnSpec| match thorough(spec.sql_type) {
        true => stored.contains(&spec.encoding),
        false => spec.encoding == EncodingName::Auto,
    };
    specs().into_iter().filter(|(spec, _)| wanted(spec)).collect()
}

fn write(specs: &[(ColumnSpec, ArrayRef)]) -> Vec<u8> {
    let geometry = Geometry::new(3, 6).unwrap();
    let plain: Vec<ColumnSpec> = specs.iter().map(|(spec, _)| *spec).collect();
    let mut builder = SegmentBuilder::new(geometry, 2, &plain);
    for start in (0..ROWS).step_by(6) {
        let rows = 6.min(ROWS - start);
        let chunk: Vec<Column> =
            specs.iter().map(|(spec, a)| Column::from_array(&a.slice(start, rows), spec.sql_type).unwrap()).collect();
        builder.push_chunk(&chunk).unwrap();
    }
    builder.finish().unwrap().parts.concat()
}

/// Texts whose codes are known are written as those of which they are not: the same bytes, in every encoding.
#[test]
fn codes_of_texts_change_nothing() {
    let mut rng = Rng::new(17);
    let geometry = Geometry::new(50, 200).unwrap();
    for round in 0..40 {
        let words: Vec<String> = match round % 4 {
            // As many as there are codes, the last one the largest.
            0 => (0..=u8::MAX).map(|code| format!("{code:03}")).collect(),
            _ => (0..1 + rng.below(6)).map(|i| "a word ".repeat(i) + &rng.below(9).to_string()).collect(),
        };
        let encodings = EncodingName::ALL.into_iter().filter(|e| encoding::allowed(*e, SqlType::Varchar(99)).is_ok());
        let spec = |(i, encoding)| ColumnSpec { id: ColumnId(i), sql_type: SqlType::Varchar(99), encoding };
        let specs: Vec<ColumnSpec> = (0..).zip(encodings).map(spec).collect();
        let (mut plain, mut coded) =
            (SegmentBuilder::new(geometry, 0, &specs), SegmentBuilder::new(geometry, 0, &specs));
        for rows in [200, 200, 1 + rng.below(200)] {
            let codes: Vec<u8> = (0..rows).map(|_| rng.below(words.len()) as u8).collect();
            let values: ByteValues = codes.iter().map(|code| words[usize::from(*code)].as_bytes()).collect();
            let nulls = rng.one_in(2).then(|| (0..rows).map(|_| !rng.one_in(9)).collect::<NullBuffer>());
            let texts = Arc::new(words.iter().map(|word| word.clone().into_bytes()).collect());
            let known = ByteValues { codes: Some(TextCodes { of_rows: codes.into(), texts }), ..values.clone() };
            let column = |values| Column::new(Values::Bytes(values), nulls.clone());
            plain.push_chunk(&vec![column(values); specs.len()]).unwrap();
            coded.push_chunk(&vec![column(known); specs.len()]).unwrap();
        }
        let bytes = |mut builder: SegmentBuilder| builder.finish().unwrap().parts.concat();
        assert_eq!(bytes(plain), bytes(coded), "{round}");
    }
}

/// A column's rows as text, read as a scan reads them.
fn read_column(footer: &SegmentFooter, bytes: &[u8], ordinal: usize, sql_type: SqlType) -> Result<String> {
    let directory = footer.directory(ordinal)?;
    directory.check_type(sql_type)?;
    assert_eq!(footer.zone_map(ordinal)?.len(), footer.zones());
    let of = |range: &super::footer::CheckedRange| -> Result<Vec<u8>> {
        let start = range.range.offset as usize;
        let bytes = bytes.get(start..start + range.range.len as usize).expect("ranges are within the segment");
        range.check(bytes)?;
        Ok(bytes.to_vec())
    };
    // An error of a page or dictionary lies within it.
    let located = |e: Error, range: &super::footer::CheckedRange| {
        let within = e.offset().is_some_and(|at| at <= u64::from(range.range.len));
        assert!(e.kind() != ErrorKind::Corrupt || within, "{range:?}: {e:?}");
        e.in_object("segment", range.range.offset)
    };
    let mut builder = ColumnBuilder::new(sql_type, 0);
    for (chunk, entry) in directory.chunks.iter().enumerate() {
        let dictionary = match &entry.dictionary {
            Some(range) => {
                let opened = open_dictionary(entry.encoding, directory.stored, &of(range)?);
                Some(opened.map_err(|e| located(e, range))?)
            }
            None => None,
        };
        for (i, range) in entry.pages.iter().enumerate() {
            let rows = footer.zone_rows(chunk * footer.geometry().zones_per_chunk() + i);
            let page = of(range)?;
            Page::open(entry.encoding, directory.stored, rows, &page, dictionary.as_ref())
                .and_then(|mut page| page.decode(Selection::All, &mut builder))
                .map_err(|e| located(e, range))?;
        }
    }
    assert_eq!(builder.len(), footer.rows());
    text(&builder.finish()?)
}

/// A line a row.
fn text(array: &ArrayRef) -> Result<String> {
    let row = |i| match array.is_null(i) {
        true => Ok("NULL".to_string()),
        false => array_value_to_string(array, i),
    };
    let rows: Vec<String> = (0..array.len()).map(row).collect::<std::result::Result<_, _>>().map_err(Error::from)?;
    Ok(rows.join("\n"))
}

fn read(bytes: &[u8], specs: &[(ColumnSpec, ArrayRef)]) -> Result<Vec<String>> {
    let footer = SegmentFooter::open(Bytes::copy_from_slice(bytes), bytes.len() as u64)?;
    if footer.column_count() > specs.len() {
        return Err(Error::corrupt(0, "more columns than the table has"));
    }
    (0..footer.column_count()).map(|ordinal| read_column(&footer, bytes, ordinal, specs[ordinal].0.sql_type)).collect()
}

fn expected(specs: &[(ColumnSpec, ArrayRef)]) -> Vec<String> {
    specs.iter().map(|(_, a)| text(a).unwrap()).collect()
}

/// An error that `len` damaged bytes may give: Corrupt at one of them or at their end, or Unsupported; anything else is
/// a defect.
fn tolerated(e: &Error, len: usize, what: &str) {
    match e.kind() {
        ErrorKind::Corrupt => assert!(e.offset().is_some_and(|at| at <= len as u64), "{what}: {e:?}"),
        kind => assert_eq!(kind, ErrorKind::Unsupported, "{what}: {e:?}"),
    }
}

fn from_hex(line: &str) -> Vec<u8> {
    let digits: Vec<u8> = line.bytes().filter(|b| b.is_ascii_hexdigit()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Written by the first version of the format. Never written anew: if this fails, stored warehouses are unreadable.
#[test]
fn a_segment_of_the_first_version_stays_readable() {
    let specs = golden_specs();
    let bytes = GOLDEN;
    assert!(bytes.len() > 1000 && bytes.len() < 10_000, "{} bytes", bytes.len());
    let footer = SegmentFooter::open(Bytes::from_static(bytes), bytes.len() as u64).unwrap();
    assert_eq!((footer.rows(), footer.slice(), footer.zones()), (ROWS, 2, 4));
    assert_eq!(read(bytes, &specs).unwrap(), expected(&specs));
}

/// A segment a column, so that each byte's turn takes little time.
/// Who does not know sketches, or finds them damaged, reads the rest.
#[test]
fn sketches_are_missed_alone() {
    let specs = golden_specs();
    let columns: Vec<ColumnSpec> = specs.iter().map(|(spec, _)| *spec).collect();
    let mut builder = SegmentBuilder::new(Geometry::TINY, 3, &columns);
    let chunk: Vec<Column> =
        specs.iter().map(|(spec, array)| Column::from_array(array, spec.sql_type).unwrap()).collect();
    builder.push_chunk(&chunk).unwrap();
    let section = b"sketches of some columns";
    let good = builder.finish_with(Some(section)).unwrap().parts.concat();
    let open = |bytes: &[u8]| SegmentFooter::open(Bytes::copy_from_slice(bytes), bytes.len() as u64).unwrap();
    assert_eq!(open(&good).sketches().unwrap(), Some(&section[..]));
    assert_eq!(read(&good, &specs).unwrap(), expected(&specs));
    assert_eq!(open(&write(&specs)).sketches().unwrap(), None);
    let at = good.windows(section.len()).position(|bytes| bytes == section).unwrap();
    let mut damaged = good.clone();
    damaged[at + 5] ^= 4;
    assert_eq!(open(&damaged).sketches().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(read(&damaged, &specs).unwrap(), expected(&specs));
}

fn each() -> impl Iterator<Item = (Vec<(ColumnSpec, ArrayRef)>, Vec<u8>)> {
    specs().into_iter().map(|spec| {
        let specs = vec![spec];
        let bytes = write(&specs);
        assert_eq!(read(&bytes, &specs).unwrap(), expected(&specs));
        (specs, bytes)
    })
}

#[test]
fn every_truncation_is_found() {
    for (specs, bytes) in each() {
        for len in 0..bytes.len() {
            let e = read(&bytes[..len], &specs).expect_err("a part of a segment");
            tolerated(&e, len, &format!("{len} of {} bytes", bytes.len()));
            // A tail that holds the footer is all that opening needs; a shorter one is refused.
            let tail = SegmentFooter::open(Bytes::copy_from_slice(&bytes[len + 1..]), bytes.len() as u64);
            let what = format!("without the first {} bytes", len + 1);
            tail.map(drop).unwrap_or_else(|e| tolerated(&e, bytes.len(), &what));
        }
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for (specs, bytes) in each() {
        for at in 0..bytes.len() {
            for bit in [at % 8, (at * 5 + 3) % 8] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let e = read(&damaged, &specs).expect_err("every byte is under a checksum");
                tolerated(&e, bytes.len(), &format!("bit {bit} of byte {at}"));
            }
        }
    }
}

/// Where a segment keeps its checksums.
pub(crate) struct Checksums {
    footer_at: usize,
    table_at: usize,
    /// Range of a section, and where its entry stands.
    sections: Vec<(std::ops::Range<usize>, usize)>,
    /// Range of a page or dictionary, and where its length and checksum stand.
    data: Vec<(std::ops::Range<usize>, usize)>,
}

impl Checksums {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let trailer = bytes.len() - TRAILER_BYTES;
        let count = u32_at(trailer) as usize;
        let table_at = trailer - count * SECTION_ENTRY_BYTES;
        let footer_at = bytes.len() - u32_at(bytes.len() - 16) as usize;
        let sections: Vec<_> = (0..count)
            .map(|i| {
                let entry = table_at + i * SECTION_ENTRY_BYTES;
                let start = footer_at + u32_at(entry + 8) as usize;
                (start..start + u32_at(entry + 12) as usize, entry)
            })
            .collect();
        let footer = SegmentFooter::open(Bytes::copy_from_slice(bytes), bytes.len() as u64).unwrap();
        let mut data = Vec::new();
        for ordinal in 0..footer.column_count() {
            let directory = footer.directory(ordinal).unwrap();
            let ranges = directory.chunks.iter().flat_map(|c| c.dictionary.iter().chain(&c.pages));
            for range in ranges {
                let start = range.range.offset as usize;
                let mut wanted = range.range.len.to_le_bytes().to_vec();
                wanted.extend(range.crc.to_le_bytes());
                // A pair of length and checksum; the first section of each column is its directory.
                let section = sections[ordinal * 2].0.clone();
                for at in section.clone().filter(|at| bytes[*at..].starts_with(&wanted)) {
                    data.push((start..start + range.range.len as usize, at));
                }
            }
        }
        Checksums { footer_at, table_at, sections, data }
    }

    /// Makes the checksums right again after a byte at `at` was changed.
    pub(crate) fn repair(&self, bytes: &mut [u8], at: usize) {
        let put = |bytes: &mut [u8], at: usize, crc: u32| bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        for (range, field) in self.data.iter().filter(|(range, _)| range.contains(&at)) {
            let crc = crc32c::crc32c(&bytes[range.clone()]);
            put(bytes, field + 4, crc);
        }
        for (range, entry) in &self.sections {
            let crc = crc32c::crc32c(&bytes[range.clone()]);
            if at < self.table_at {
                put(bytes, entry + 16, crc);
            }
        }
        let end = bytes.len() - 12;
        let crc = crc32c::crc32c(&bytes[self.table_at..end]);
        put(bytes, end, crc);
    }
}

/// Damage behind right checksums reaches every decoder. What comes of it is Corrupt, or rows: never a panic.
#[test]
fn damage_behind_right_checksums_is_survived() {
    let mut rng = Rng::new(1);
    let (mut refused, mut tried) = (0, 0);
    for (specs, bytes) in each() {
        let checksums = Checksums::of(&bytes);
        assert!(checksums.footer_at < checksums.table_at && checksums.data.len() >= 4);
        for at in 0..bytes.len() - 12 {
            let flips = (0..8).map(|bit| bytes[at] ^ 1 << bit);
            for byte in flips.chain([0, 0xff, rng.next_u64() as u8]) {
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                checksums.repair(&mut damaged, at);
                tried += 1;
                if let Err(e) = read(&damaged, &specs) {
                    refused += 1;
                    let what = format!("{:?}: byte {at} of {} = {byte:#x}", specs[0].0, bytes.len());
                    tolerated(&e, bytes.len(), &what);
                }
            }
        }
    }
    // A negative control: damage of structure is refused, damage of values cannot be.
    assert!(refused > tried / 20 && refused < tried * 19 / 20, "{refused} of {tried} refused");
}

/// Pages that were nasty once, and ones like them.
#[test]
fn the_stored_corpus_is_survived() {
    let mut replayed = 0;
    for line in NASTY.lines().filter(|l| !l.starts_with('#')) {
        hostile::replay(&from_hex(line));
        replayed += 1;
    }
    assert!(replayed >= 75, "{replayed}");
}

/// How the corpus came about: `BLUESHIFT_WRITE_CORPUS=<directory>` writes it there.
#[ignore = "writes what is stored for ever"]
#[test]
fn write_corpus() {
    let Ok(directory) = std::env::var("BLUESHIFT_WRITE_CORPUS") else { return };
    let directory = std::path::Path::new(&directory);
    let few = golden_specs();
    let bytes = write(&few);
    std::fs::write(directory.join("segment-1.bin"), &bytes).unwrap();
    let footer = SegmentFooter::open(Bytes::copy_from_slice(&bytes), bytes.len() as u64).unwrap();
    let mut rng = Rng::new(7);
    let mut out = String::from(
        "# Inputs of encoding::hostile::replay: encoding, type, rows, dictionary's length, dictionary, page.\n",
    );
    for (ordinal, (spec, _)) in few.iter().enumerate() {
        let directory = footer.directory(ordinal).unwrap();
        let chunk = &directory.chunks[0];
        let slice = |r: &super::footer::CheckedRange| bytes[r.range.offset as usize..][..r.range.len as usize].to_vec();
        let dictionary = chunk.dictionary.as_ref().map(slice).unwrap_or_default();
        let page = slice(&chunk.pages[0]);
        let ty = hostile::TYPES.iter().position(|t| t.stored() == spec.sql_type.stored()).unwrap() as u8;
        for variant in 0..3 {
            let (mut dictionary, mut page) = (dictionary.clone(), page.clone());
            let mut rows = 3u16;
            match variant {
                0 => page.truncate(rng.below(page.len() + 1)),
                1 if !dictionary.is_empty() => {
                    let at = rng.below(dictionary.len());
                    dictionary[at] ^= 1 << rng.below(8);
                }
                1 => rows = 0xffff,
                _ if !page.is_empty() => {
                    let at = rng.below(page.len().min(12));
                    page[at] = 0xff;
                }
                _ => {}
            }
            let mut input = vec![chunk.encoding as u8, ty, rows as u8, (rows >> 8) as u8];
            input.extend((dictionary.len() as u32).to_le_bytes());
            input.extend(dictionary);
            input.extend(page);
            out.push_str(&to_hex(&input));
            out.push('\n');
        }
    }
    std::fs::write(directory.join("pages.hex"), out).unwrap();
}
