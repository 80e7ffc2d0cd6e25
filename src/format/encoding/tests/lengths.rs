//! Every length at which something ends: a vector, a zone, a chunk, a segment.
//!
//! What 0 rows mean: a chunk of none is not encoded and a page of none is not opened, so a load of none makes no segment
//! (`storage::writer` and the engine test that); of none selected, every encoding decodes none ([`check`] tests that).

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::hostile::TYPES;
use super::super::*;
use super::check::{check, encodings};
use super::oracle::{assert_same, expected, predicates, scalar_at};
use super::values::{Random, SHAPES, Shape, column};
use crate::common::{ColumnId, Comparison, ErrorKind, Predicate};
use crate::format::Geometry;
use crate::format::column::{Column, ColumnBuilder};
use crate::format::footer::{CheckedRange, SegmentFooter};
use crate::format::segment::{ColumnSpec, SegmentBuilder};
use crate::testing::seeds;

/// Shapes of values and, in tenths, how many are NULL: none, few, some, all.
const PATTERNS: [(Shape, u64); 5] =
    [(Shape::Few, 0), (Shape::Sorted, 0), (Shape::Outliers, 1), (Shape::Any, 3), (Shape::Runs, 10)];

#[test]
fn small_zones_come_back_in_every_encoding() {
    let strategy = (0..TYPES.len(), 0..SHAPES.len(), 1..=16usize, 0..=10u64, any::<u64>());
    let seeds = seeds(0, 600);
    let config = Config { cases: (seeds.end - seeds.start) as u32, failure_persistence: None, ..Config::default() };
    let mut start = [7; 32];
    start[..8].copy_from_slice(&seeds.start.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &start))
        .run(&strategy, |(ty, shape, rows, nulls, seed)| {
            let ty = TYPES[ty];
            let column = column(ty, SHAPES[shape], rows, nulls, seed);
            let predicates = predicates(ty, &column, &mut Random(seed | 1));
            for name in encodings(ty) {
                check(ty, name, Geometry::TINY, &column, &predicates, seed);
            }
            Ok(())
        })
        .unwrap();
}

/// A chunk alone: around every vector, zone and chunk of two geometries.
#[test]
fn every_length_comes_back() {
    let vectors = Geometry::new(2048, 4096).unwrap();
    for ty in TYPES {
        for (shape, nulls) in PATTERNS {
            for name in encodings(ty) {
                for rows in [1, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096] {
                    check(ty, name, vectors, &column(ty, shape, rows, nulls, rows as u64), &[], 7);
                }
                for rows in [1, 3, 4, 5, 15, 16] {
                    check(ty, name, Geometry::TINY, &column(ty, shape, rows, nulls, rows as u64), &[], 7);
                }
            }
        }
    }
}

#[test]
fn a_chunk_of_no_rows_or_too_many_is_not_encoded() {
    for ty in TYPES {
        for name in encodings(ty) {
            let mut encoder = ChunkEncoder::new(ty.stored(), name, Geometry::TINY);
            for rows in [0, 17] {
                let e = encoder.encode(&column(ty, Shape::Few, rows, 0, 1)).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Internal, "{ty} {name} {rows}");
            }
        }
        let e = Page::open(EncodingId::Raw, ty.stored(), 0, &[VALIDITY_NO_NULLS], None).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{ty}");
    }
}

/// The bytes of a segment that holds `column` alone.
fn segment(ty: SqlType, encoding: EncodingName, geometry: Geometry, column: &Column) -> Vec<u8> {
    let spec = ColumnSpec { id: ColumnId(1), sql_type: ty, encoding };
    let mut builder = SegmentBuilder::new(geometry, 0, &[spec]);
    for start in (0..column.len()).step_by(geometry.chunk_rows()) {
        let rows = geometry.chunk_rows().min(column.len() - start);
        builder.push_chunk(&[column.slice(start, rows)]).unwrap();
    }
    assert_eq!(builder.is_full(), column.len() > geometry.segment_rows() - geometry.chunk_rows());
    builder.finish().unwrap().parts.concat()
}

/// Writes a segment and reads it, whole and in part.
fn check_segment(ty: SqlType, name: EncodingName, geometry: Geometry, column: &Column) {
    let what = format!("{ty} {name}, {} rows", column.len());
    let bytes = segment(ty, name, geometry, column);
    let footer = SegmentFooter::open(Bytes::copy_from_slice(&bytes), bytes.len() as u64).unwrap();
    assert_eq!(footer.rows(), column.len(), "{what}");
    assert_eq!(footer.chunks(), column.len().div_ceil(geometry.chunk_rows()), "{what}");
    let directory = footer.directory(0).unwrap();
    let of = |range: &CheckedRange| {
        let Range { start, end } = range.range.offset as usize..range.range.offset as usize + range.range.len as usize;
        range.check(&bytes[start..end]).unwrap();
        &bytes[start..end]
    };
    let mut all = ColumnBuilder::new(ty, 0);
    let mut last = ColumnBuilder::new(ty, 0);
    for (chunk, entry) in directory.chunks.iter().enumerate() {
        let dictionary =
            entry.dictionary.as_ref().map(|d| open_dictionary(entry.encoding, directory.stored, of(d)).unwrap());
        for (i, range) in entry.pages.iter().enumerate() {
            let rows = footer.zone_rows(chunk * geometry.zones_per_chunk() + i);
            let open = || Page::open(entry.encoding, directory.stored, rows, of(range), dictionary.as_ref()).unwrap();
            open().decode(Selection::All, &mut all).unwrap();
            let mask = Mask::from_fn(rows, |row| row + 1 == rows);
            open().decode(Selection::Rows(&mask), &mut last).unwrap();
        }
    }
    let want = expected(ty, column);
    assert_same(&all.finish().unwrap(), &want, &what);
    let zone_ends = (0..column.len()).map(|row| (row + 1) % geometry.zone_rows() == 0 || row + 1 == column.len());
    let want = arrow::compute::filter(&want, &zone_ends.map(Some).collect()).unwrap();
    assert_same(&last.finish().unwrap(), &want, &what);
}

/// Several chunks: around the end of one, of two, and of the last that a segment takes.
#[test]
fn every_length_comes_back_through_a_segment() {
    let tiny = [1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 239, 240, 241, 255, 256];
    assert_eq!(*tiny.last().unwrap(), Geometry::TINY.segment_rows());
    for ty in TYPES {
        for (shape, nulls) in PATTERNS {
            for name in encodings(ty) {
                for rows in tiny {
                    check_segment(ty, name, Geometry::TINY, &column(ty, shape, rows, nulls, rows as u64));
                }
            }
        }
    }
}

/// Zones of whole vectors, in chunks of two.
#[test]
fn every_type_comes_back_beyond_a_chunk_of_vectors() {
    let vectors = Geometry::new(1024, 2048).unwrap();
    for ty in TYPES {
        for (shape, nulls) in [(Shape::Few, 0), (Shape::Any, 3)] {
            for name in encodings(ty) {
                for rows in [2047, 2048, 2049] {
                    check_segment(ty, name, vectors, &column(ty, shape, rows, nulls, rows as u64));
                }
            }
        }
    }
}

/// As AUTO stores them; some in every encoding.
#[test]
fn chunks_of_the_default_geometry_come_back() {
    let geometry = Geometry::DEFAULT;
    for ty in TYPES {
        for rows in [131_071, 131_072, 131_073] {
            check_segment(ty, EncodingName::Auto, geometry, &column(ty, Shape::Few, rows, 1, 5));
        }
    }
    for (ty, name) in [
        (SqlType::BigInt, EncodingName::Az64),
        (SqlType::Decimal { precision: 12, scale: 2 }, EncodingName::Auto),
        (SqlType::Varchar(100), EncodingName::Auto),
        (SqlType::Boolean, EncodingName::RunLength),
    ] {
        for rows in [8191, 8192, 8193, 131_071, 131_072] {
            let shape = if rows > 10_000 { Shape::Few } else { Shape::Any };
            let column = column(ty, shape, rows, 1, 5);
            let predicates = [Predicate::Compare(Comparison::GtEq, scalar_at(&column, 17))];
            check(ty, name, geometry, &column, &predicates, 5);
        }
    }
}

#[test]
fn the_largest_zones_come_back() {
    let geometry = Geometry::new(Geometry::MAX_ZONE_ROWS, Geometry::MAX_ZONE_ROWS).unwrap();
    let rows = Geometry::MAX_ZONE_ROWS as usize;
    for (ty, shape) in [(SqlType::Integer, Shape::Runs), (SqlType::Varchar(100), Shape::Few)] {
        let column = column(ty, shape, rows, 1, 3);
        for name in encodings(ty) {
            check(ty, name, geometry, &column, &[Predicate::Compare(Comparison::LtEq, scalar_at(&column, 99))], 3);
        }
    }
}
