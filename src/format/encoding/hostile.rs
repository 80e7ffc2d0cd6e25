//! Reading bytes that nobody wrote: what a fuzzer or a stored corpus of damaged pages calls.

use super::{Page, Selection, open_dictionary};
use crate::common::{Comparison, ErrorKind, Predicate, Scalar, SqlType};
use crate::format::column::ColumnBuilder;
use crate::format::mask::Mask;
use crate::format::stable::EncodingId;

/// All types; a replay's byte chooses among them, so that new ones stand at the end.
pub const TYPES: [SqlType; 16] = [
    SqlType::Boolean,
    SqlType::SmallInt,
    SqlType::Integer,
    SqlType::BigInt,
    SqlType::Decimal { precision: 18, scale: 2 },
    SqlType::Decimal { precision: 38, scale: 2 },
    SqlType::Real,
    SqlType::Double,
    SqlType::Varchar(SqlType::MAX_VARCHAR_BYTES),
    SqlType::Char(SqlType::MAX_CHAR_BYTES),
    SqlType::Date,
    SqlType::Timestamp,
    SqlType::Time,
    SqlType::TimestampTz,
    SqlType::Varbyte(SqlType::MAX_VARBYTE_BYTES),
    SqlType::Super,
];

/// Replays one input: encoding id, index into [`TYPES`], rows (u16), length of the dictionary (u32), dictionary, page.
///
/// Panics when reading raises anything but Corrupt at an offset within the page or dictionary (or Unsupported), or
/// decodes to another number of rows than asked for. An input too short to have a meaning is passed over.
pub fn replay(input: &[u8]) {
    let Some((header, rest)) = input.split_first_chunk::<8>() else {
        return;
    };
    let [id, ty, rows_low, rows_high, len @ ..] = *header;
    let Some(id) = EncodingId::from_byte(id) else {
        return;
    };
    let rows = usize::from(u16::from_le_bytes([rows_low, rows_high]));
    let len = (u32::from_le_bytes(len) as usize).min(rest.len());
    let (dictionary, page) = rest.split_at(len);
    read(id, TYPES[usize::from(ty) % TYPES.len()], rows, (len > 0).then_some(dictionary), page);
}

/// Opens, filters and decodes a page of `rows` rows, with and without a selection; panics as [`replay`] does.
pub fn read(id: EncodingId, ty: SqlType, rows: usize, dictionary: Option<&[u8]>, page: &[u8]) {
    let stored = ty.stored();
    let corrupt_within = |e: crate::common::Error, len: usize| {
        let within = e.offset().is_some_and(|at| at <= len as u64);
        let expected = if e.kind() == ErrorKind::Corrupt { within } else { e.kind() == ErrorKind::Unsupported };
        assert!(expected, "{len} damaged bytes raised {e:?}");
    };
    let corrupt = |e| corrupt_within(e, page.len());
    let dictionary_len = dictionary.map_or(0, <[u8]>::len);
    let dictionary = match dictionary.map(|bytes| open_dictionary(id, stored, bytes)).transpose() {
        Ok(dictionary) => dictionary,
        Err(e) => return corrupt_within(e, dictionary_len),
    };
    let open = || Page::open(id, stored, rows, page, dictionary.as_ref());
    if let Err(e) = open() {
        return corrupt(e);
    }
    for predicate in predicates(ty) {
        let mut mask = Mask::all(rows);
        let filtered = open().and_then(|mut page| {
            page.filter(&predicate, None, &mut mask)?;
            let mut out = ColumnBuilder::new(ty, 0);
            page.decode(Selection::Rows(&mask), &mut out)?;
            assert_eq!(out.len(), mask.count());
            out.finish()
        });
        filtered.map(drop).unwrap_or_else(corrupt);
    }
    let few = Mask::from_fn(rows, |i| i % 700 == 3);
    let many = Mask::from_fn(rows, |i| i % 3 != 1);
    for (selection, count) in
        [(Selection::All, rows), (Selection::Rows(&few), few.count()), (Selection::Rows(&many), many.count())]
    {
        let mut out = ColumnBuilder::new(ty, 0);
        let decoded = open().and_then(|mut page| {
            page.decode(selection, &mut out)?;
            assert_eq!(out.len(), count);
            out.finish()
        });
        decoded.map(drop).unwrap_or_else(corrupt);
    }
}

/// Some predicates that a column of `ty` can have.
fn predicates(ty: SqlType) -> Vec<Predicate> {
    let literals: Vec<Scalar> = match ty {
        SqlType::Boolean => vec![Scalar::Bool(false), Scalar::Bool(true)],
        SqlType::Real | SqlType::Double => vec![Scalar::Float(-1.5), Scalar::Float(7.0)],
        _ if ty.stored().is_bytes() => vec![Scalar::Bytes(b"a".to_vec()), Scalar::Bytes(b"mit".to_vec())],
        _ => vec![Scalar::Int(-3), Scalar::Int(5000)],
    };
    let mut predicates = vec![
        Predicate::IsNull,
        Predicate::IsNotNull,
        Predicate::Compare(Comparison::Gt, literals[0].clone()),
        Predicate::Compare(Comparison::NotEq, literals[1].clone()),
        Predicate::is_in(literals, false),
    ];
    if ty.stored() == crate::common::Stored::Bytes {
        predicates.push(Predicate::Like { pattern: "%a_".into(), case_insensitive: true, negated: true });
    }
    predicates
}
