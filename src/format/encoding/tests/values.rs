//! Columns to encode: every type, spread in every way, with NULLs or without.

use arrow::buffer::{BooleanBuffer, NullBuffer};

use crate::common::{SqlType, Stored};
use crate::format::column::{ByteValues, Column, Values};

/// A small, repeatable source of numbers.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// How values are spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Constant,
    /// Few distinct values in any order.
    Few,
    /// Ascending with small steps.
    Sorted,
    /// Long runs.
    Runs,
    /// A narrow range, some far outside.
    Outliers,
    /// Multiples of 100.
    Scaled,
    Any,
    /// The extremes of the type.
    Extremes,
}

pub const SHAPES: [Shape; 8] = [
    Shape::Constant,
    Shape::Few,
    Shape::Sorted,
    Shape::Runs,
    Shape::Outliers,
    Shape::Scaled,
    Shape::Any,
    Shape::Extremes,
];

pub fn integers(shape: Shape, rows: usize, low: i128, high: i128, random: &mut Random) -> Vec<i128> {
    let mut at = 1000i128;
    let wide = |random: &mut Random| (random.next() as i64 as i128) << 62 | random.next() as i128;
    (0..rows)
        .map(|i| {
            let v = match shape {
                Shape::Constant => 42,
                Shape::Few => [3, -7, 1000, 77][random.below(4) as usize],
                Shape::Sorted => {
                    at += random.below(5) as i128;
                    at
                }
                Shape::Runs => (i as i128 / 37) % 11,
                Shape::Outliers if random.below(50) == 0 => wide(random),
                Shape::Outliers => 500 + random.below(200) as i128,
                Shape::Scaled => 100 * (random.below(60) as i128 - 30),
                Shape::Any => wide(random),
                Shape::Extremes => [low, high, 0, -1, low + 1, high - 1][random.below(6) as usize],
            };
            if v < low || v > high { low + (v - low).rem_euclid((high - low).max(1)) } else { v }
        })
        .collect()
}

pub fn strings(shape: Shape, rows: usize, random: &mut Random) -> Vec<String> {
    (0..rows)
        .map(|i| match shape {
            Shape::Constant => "the same text, longer than a view holds".into(),
            Shape::Few => ["DELIVER IN PERSON", "NONE", "", "TAKE BACK RETURN"][random.below(4) as usize].into(),
            Shape::Sorted => format!("Customer#{i:09}"),
            Shape::Runs => format!("run {}", i / 37),
            Shape::Outliers if random.below(60) == 0 => "x".repeat(random.below(900) as usize),
            Shape::Outliers => format!("{:x}", random.below(4096)),
            Shape::Scaled => format!("http://www.example.com/{}/{}", random.below(9), random.below(1 << 20)),
            Shape::Any => (0..random.below(20))
                .map(|_| ["ab", "é", "%_\\", "漢字", "𝄞", " ", "\0", "Zz"][random.below(8) as usize])
                .collect(),
            Shape::Extremes => ["", "\u{10ffff}", "\0", "a", "aa", "twelve bytes"][random.below(6) as usize].into(),
        })
        .collect()
}

/// Rows of `ty`, each NULL with a chance of `nulls` in ten.
pub fn column(ty: SqlType, shape: Shape, rows: usize, nulls: u64, seed: u64) -> Column {
    let mut random = Random(seed | 1);
    let random = &mut random;
    let ints = |low, high, random: &mut Random| integers(shape, rows, low, high, random);
    let float = |v: i128, i: usize| match (shape, i % 7) {
        (Shape::Extremes, 0) => f64::NAN,
        (Shape::Extremes, 1) => -0.0,
        (Shape::Extremes, 2) => f64::NEG_INFINITY,
        (Shape::Extremes, 3) => -f64::NAN,
        (Shape::Extremes, 4) => 0.0,
        _ => v as f64 / 8.0,
    };
    let values = match ty.stored() {
        Stored::Bool => Values::Bool(ints(-32768, 32767, random).iter().map(|v| v & 1 == 1).collect()),
        Stored::I16 => Values::I16(ints(-32768, 32767, random).iter().map(|v| *v as i16).collect()),
        Stored::I32 => Values::I32(ints(i32::MIN.into(), i32::MAX.into(), random).iter().map(|v| *v as i32).collect()),
        Stored::I64 => {
            let (low, high) = match ty {
                SqlType::Decimal { .. } => (-999_999_999_999_999_999, 999_999_999_999_999_999),
                _ => (i64::MIN.into(), i64::MAX.into()),
            };
            Values::I64(ints(low, high, random).iter().map(|v| *v as i64).collect())
        }
        Stored::I128 => {
            let most = 10i128.pow(38) - 1;
            Values::I128(ints(-most, most, random).into())
        }
        Stored::F32 => {
            let ints = ints(-1 << 40, 1 << 40, random);
            Values::F32(ints.iter().enumerate().map(|(i, v)| float(*v, i) as f32).collect())
        }
        Stored::F64 => {
            let ints = ints(-1 << 60, 1 << 60, random);
            Values::F64(ints.iter().enumerate().map(|(i, v)| float(*v, i)).collect())
        }
        Stored::Binary => {
            // The strings, their bytes turned so that few are UTF-8.
            let strings = strings(shape, rows, random);
            let turned: Vec<Vec<u8>> = strings.iter().map(|s| s.bytes().map(|b| b ^ 0xa5).collect()).collect();
            Values::Bytes(turned.iter().map(Vec::as_slice).collect::<ByteValues>())
        }
        Stored::Bytes => {
            let strings = strings(shape, rows, random);
            Values::Bytes(strings.iter().map(|s| s.as_bytes()).collect::<ByteValues>())
        }
    };
    let valid: BooleanBuffer = (0..rows).map(|_| random.below(10) >= nulls).collect();
    Column::new(values, Some(NullBuffer::new(valid)))
}
