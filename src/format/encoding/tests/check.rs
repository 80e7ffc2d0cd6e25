//! Writing a chunk, reading it in every way, and comparing with the oracle.

use arrow::array::{Array, BooleanArray};
use arrow::compute::filter;

use super::super::*;
use super::oracle::{assert_same, evaluate, expected};
use super::values::Random;
use crate::common::Predicate;
use crate::format::Geometry;
use crate::format::column::{Column, ColumnBuilder};

/// A segment's chunk read back zone by zone.
pub struct Written {
    pub chunk: EncodedChunk,
    pub dictionary: Option<Dictionary>,
}

pub fn write(encoder: &mut ChunkEncoder, stored: Stored, column: &Column) -> Written {
    let chunk = encoder.encode(column).unwrap();
    let dictionary = match &chunk.dictionary {
        DictionaryUse::None => None,
        DictionaryUse::New(bytes) => Some(open_dictionary(chunk.encoding, stored, bytes).unwrap()),
        DictionaryUse::Shared => panic!("the first chunk of a segment shares nothing"),
    };
    Written { chunk, dictionary }
}

pub fn page(written: &Written, stored: Stored, zone: usize, rows: usize) -> Page<'_> {
    let bytes = &written.chunk.pages[zone];
    Page::open(written.chunk.encoding, stored, rows, bytes, written.dictionary.as_ref()).unwrap()
}

pub fn encodings(ty: SqlType) -> Vec<EncodingName> {
    EncodingName::ALL.into_iter().filter(|name| allowed(*name, ty).is_ok()).collect()
}

/// Encodes, decodes all and selections of it, and filters by each predicate; all must be as Arrow has it.
pub fn check(
    ty: SqlType,
    name: EncodingName,
    geometry: Geometry,
    column: &Column,
    predicates: &[Predicate],
    seed: u64,
) {
    let stored = ty.stored();
    let mut encoder = ChunkEncoder::new(stored, name, geometry);
    let written = write(&mut encoder, stored, column);
    assert_eq!(written.chunk.pages.len(), column.len().div_ceil(geometry.zone_rows()));
    let mut random = Random(seed | 1);
    let want = expected(ty, column);
    let mut all = ColumnBuilder::new(ty, column.len());
    for zone in 0..written.chunk.pages.len() {
        let start = zone * geometry.zone_rows();
        let rows = geometry.zone_rows().min(column.len() - start);
        let want = want.slice(start, rows);
        let what = format!("{ty} {name} zone {zone} of {rows} rows");
        page(&written, stored, zone, rows).decode(Selection::All, &mut all).unwrap();

        // Half of the rows, few, perhaps one; none at all; each next to a zone's end.
        let chances = [2, 40, 3000].map(|chance| Mask::from_fn(rows, |_| random.below(chance) == 0));
        let ends = [Mask::none(rows), Mask::from_fn(rows, |i| i == 0), Mask::from_fn(rows, |i| i + 1 == rows)];
        for mask in chances.iter().chain(&ends) {
            let mut some = ColumnBuilder::new(ty, 0);
            page(&written, stored, zone, rows).decode(Selection::Rows(mask), &mut some).unwrap();
            let bits = BooleanArray::new(mask.to_buffer(), None);
            assert_same(&some.finish().unwrap(), &filter(&want, &bits).unwrap(), &what);
        }
        for predicate in predicates {
            let held = evaluate(ty, predicate, &want);
            let before = Mask::from_fn(rows, |_| random.below(8) != 0);
            let mut right = before.clone();
            right.and(&Mask::from_buffer(&held));

            let mut page = page(&written, stored, zone, rows);
            let mut mask = before.clone();
            page.filter(predicate, None, &mut mask).unwrap();
            assert_eq!(mask, right, "{what}: {predicate:?} on {want:?}");
            if let Some(dictionary) = &written.dictionary {
                let prepared = dictionary.prepare(predicate).unwrap();
                let mut mask = before.clone();
                page.filter(predicate, Some(&prepared), &mut mask).unwrap();
                assert_eq!(mask, right, "{what}: {predicate:?} prepared");
            }
            // What the filter has decoded serves the rows that are left.
            let mut rest = ColumnBuilder::new(ty, 0);
            page.decode(Selection::Rows(&mask), &mut rest).unwrap();
            let bits = BooleanArray::new(mask.to_buffer(), None);
            assert_same(&rest.finish().unwrap(), &filter(&want, &bits).unwrap(), &what);
        }
    }
    assert_same(&all.finish().unwrap(), &want, &format!("{ty} {name}"));
}
