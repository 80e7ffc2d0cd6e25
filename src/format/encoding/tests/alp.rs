//! ALP's modes, and that no bit is lost in any.

use super::super::*;
use super::check::{check, page, write};
use super::values::Random;
use crate::common::{Comparison, Predicate, Scalar};
use crate::format::Geometry;
use crate::format::column::{BuilderValues, Column, ColumnBuilder, Values};

const DECIMAL: u8 = 0;
const RAW: u8 = 1;
const SPLIT: u8 = 2;

fn doubles(f: impl FnMut(u64) -> f64) -> Values {
    Values::F64((0..3000).map(f).collect())
}

fn reals(f: impl FnMut(u64) -> f32) -> Values {
    Values::F32((0..3000).map(f).collect())
}

fn bits(values: &BuilderValues) -> Vec<u64> {
    match values {
        BuilderValues::F32(v) => v.iter().map(|v| u64::from(v.to_bits())).collect(),
        BuilderValues::F64(v) => v.iter().map(|v| v.to_bits()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_come_back_bit_for_bit_in_every_mode() {
    let mut random = Random(77);
    let random = &mut random;
    let any: Vec<u64> = (0..3000).map(|_| random.next()).collect();
    let unit = |i: usize| any[i] as f64 / u64::MAX as f64;
    let special = |i: u64| match i % 9 {
        0 => f64::from_bits(0x7ff0_0000_0000_0001 | i << 8),
        1 => f64::from_bits(0xfff8_0000_0000_0000 | i),
        2 => -0.0,
        3 => f64::INFINITY,
        4 => f64::NEG_INFINITY,
        5 => f64::MIN_POSITIVE / 8.0,
        6 => f64::MAX,
        7 => 9_007_199_254_740_993.0,
        _ => i as f64 / 100.0,
    };
    let cases = [
        (doubles(|i| i as f64 / 100.0 - 7.0), DECIMAL),
        (doubles(|i| if i % 50 == 0 { special(i) } else { i as f64 * 0.001 }), DECIMAL),
        (doubles(|i| (i * i) as f64 * 1e5), DECIMAL),
        (doubles(special), SPLIT),
        (doubles(|i| 1.0 + unit(i as usize)), SPLIT),
        (doubles(|i| f64::from_bits(any[i as usize])), RAW),
        (reals(|i| i as f32 / 10.0), DECIMAL),
        (reals(|i| if i % 60 == 0 { f32::from_bits(0x7f80_0001 + i as u32) } else { i as f32 }), DECIMAL),
        (reals(|i| 1.0 + unit(i as usize) as f32), SPLIT),
        (reals(|i| f32::from_bits(any[i as usize] as u32)), RAW),
    ];
    for (n, (values, mode)) in cases.into_iter().enumerate() {
        let ty = if matches!(values, Values::F32(_)) { SqlType::Real } else { SqlType::Double };
        let want = match &values {
            Values::F32(v) => v.iter().map(|v| u64::from(v.to_bits())).collect(),
            Values::F64(v) => v.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let column = Column::new(values, None);
        let mut encoder = ChunkEncoder::new(ty.stored(), EncodingName::Alp, Geometry::DEFAULT);
        let written = write(&mut encoder, ty.stored(), &column);
        assert_eq!(written.chunk.pages[0][1], mode, "case {n}");
        let raw = want.len() * ty.stored().width().unwrap();
        assert!(written.chunk.encoded_len() <= raw + 2, "case {n} takes {}", written.chunk.encoded_len());
        let mut all = ColumnBuilder::new(ty, 0);
        page(&written, ty.stored(), 0, 3000).decode(Selection::All, &mut all).unwrap();
        assert_eq!(bits(&all.values), want, "case {n}");
        // Few of a vector, and half.
        for step in [300, 2] {
            let mask = Mask::from_fn(3000, |i| i % step == 1);
            let mut some = ColumnBuilder::new(ty, 0);
            page(&written, ty.stored(), 0, 3000).decode(Selection::Rows(&mask), &mut some).unwrap();
            assert_eq!(bits(&some.values), mask.ones().map(|i| want[i]).collect::<Vec<_>>(), "case {n}");
        }
        let literals = [0.0, -0.0, 12.34, 12.345, 5.0, 29.99, f64::NAN, f64::NEG_INFINITY, 1.5, 1e300, -1e-300];
        let mut predicates = Vec::new();
        for literal in literals.map(Scalar::Float) {
            for op in [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::GtEq] {
                // A REAL is compared with the double it equals: only such literals have an oracle.
                if ty == SqlType::Double || matches!(literal, Scalar::Float(v) if f64::from(v as f32) == v) {
                    predicates.push(Predicate::Compare(op, literal.clone()));
                }
            }
        }
        let fives = (0..9).map(|i| Scalar::Float(f64::from(i) * 5.0)).collect();
        predicates.push(Predicate::is_in(fives, n % 2 == 0));
        check(ty, EncodingName::Alp, Geometry::new(2048, 4096).unwrap(), &column, &predicates, 5);
    }
}
