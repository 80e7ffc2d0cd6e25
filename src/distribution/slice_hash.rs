//! The slice hash: which slice a KEY table's row belongs to.
//!
//! It is the function by which DataFusion 55 repartitions (foldhash 0.2, fast variant, fixed seed 0), frozen here,
//! because DataFusion takes any two `Partitioning::Hash(_, n)` for the same function: a scan that claims Hash over
//! another function loses rows silently. foldhash disclaims a stable output, so its algorithm is written out here and
//! held by golden vectors; a session compares [`golden_arrays`] with the running DataFusion before it claims anything.
//!
//! The hash input is the Arrow form that queries see (`SqlType::arrow_type`): text is hashed as Utf8View does, DECIMAL
//! as its unscaled 128-bit value. NULL hashes to 0, hence to slice 0.
//!
//! Source: foldhash 0.2 by Orson Peters (zlib licence), read for its constants and order of operations; input forms
//! from `datafusion_common::hash_utils`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

use crate::common::sql_type::UTC;
use crate::common::{Error, Result};

/// This function's number in a table's definition. A change of the function is a new number.
pub const HASH_ID: u8 = 1;

/// The hash of each row of `array`, which is of one of the Arrow types of the type table.
pub fn hash_array(array: &dyn Array) -> Result<Vec<u64>> {
    fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, hash: impl Fn(T::Native) -> u64) -> Vec<u64> {
        let array = array.as_primitive::<T>();
        let mut hashes: Vec<u64> = array.values().iter().map(|v| hash(*v)).collect();
        clear_nulls(array, &mut hashes);
        hashes
    }
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            let mut hashes: Vec<u64> = array.values().iter().map(|v| hash_bits(u64::from(v))).collect();
            clear_nulls(array, &mut hashes);
            hashes
        }
        DataType::Int16 => primitive::<Int16Type>(array, |v| hash_bits(u64::from(v as u16))),
        DataType::Int32 => primitive::<Int32Type>(array, |v| hash_bits(u64::from(v as u32))),
        DataType::Date32 => primitive::<Date32Type>(array, |v| hash_bits(u64::from(v as u32))),
        DataType::Int64 => primitive::<Int64Type>(array, |v| hash_bits(v as u64)),
        DataType::Time64(TimeUnit::Microsecond) => primitive::<Time64MicrosecondType>(array, |v| hash_bits(v as u64)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(array, |v| hash_bits(v as u64))
        }
        DataType::Decimal128(_, _) => primitive::<Decimal128Type>(array, |v| hash_u128(v as u128)),
        // Both zeros are equal in SQL, so they share a hash.
        DataType::Float32 => {
            primitive::<Float32Type>(array, |v| hash_bits(u64::from(if v == 0.0 { 0 } else { v.to_bits() })))
        }
        DataType::Float64 => primitive::<Float64Type>(array, |v| hash_bits(if v == 0.0 { 0 } else { v.to_bits() })),
        DataType::Utf8View => {
            let array = array.as_string_view();
            (0..array.len()).map(|i| if array.is_null(i) { 0 } else { hash_view(array.value(i).as_bytes()) }).collect()
        }
        other => return Err(Error::internal(format!("no slice hash for Arrow type {other}"))),
    })
}

/// The slice of a row with this hash, of `slices`.
#[inline]
pub fn slice_of_hash(hash: u64, slices: u32) -> u32 {
    (hash % u64::from(slices)) as u32
}

/// Values of every type that can be hashed, with what [`hash_array`] gave when it was frozen.
pub fn golden_arrays() -> Vec<(ArrayRef, Vec<u64>)> {
    let texts = StringViewArray::from(GOLDEN_TEXTS.map(|t| t.map(str::to_string)).to_vec());
    vec![
        (Arc::new(BooleanArray::from(vec![Some(false), Some(true), None])), GOLDEN_BOOLEAN.to_vec()),
        (Arc::new(Int16Array::from(vec![Some(0), Some(1), Some(-1), Some(i16::MIN), None])), GOLDEN_INT16.to_vec()),
        (Arc::new(Int32Array::from(vec![Some(0), Some(1), Some(-1), Some(i32::MAX), None])), GOLDEN_INT32.to_vec()),
        (Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-1), Some(i64::MIN), None])), GOLDEN_INT64.to_vec()),
        (
            Arc::new(Float32Array::from(vec![Some(0.0), Some(-0.0), Some(1.5), Some(-2.25), None])),
            GOLDEN_FLOAT32.to_vec(),
        ),
        (
            Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(1.5), Some(-2.25), None])),
            GOLDEN_FLOAT64.to_vec(),
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![Some(0), Some(12_345), Some(-12_345), Some(i128::from(i64::MAX) * 7), None])
                    .with_data_type(DataType::Decimal128(38, 2)),
            ),
            GOLDEN_DECIMAL.to_vec(),
        ),
        (Arc::new(Date32Array::from(vec![Some(0), Some(19_000), Some(-1), None])), GOLDEN_DATE.to_vec()),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(1_700_000_000_000_000), Some(-1), None])),
            GOLDEN_TIMESTAMP.to_vec(),
        ),
        (
            Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), Some(1), None])),
            GOLDEN_TIME.to_vec(),
        ),
        (
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(0), Some(1_700_000_000_000_000), Some(-1), None])
                    .with_timezone(UTC),
            ),
            GOLDEN_TIMESTAMP.to_vec(),
        ),
        (Arc::new(texts), GOLDEN_TEXT_HASHES.to_vec()),
    ]
}

/// Text of each length class that the function treats differently: inline views, and each branch of [`hash_bytes`].
const GOLDEN_TEXTS: [Option<&str>; 9] = [
    Some(""),
    Some("a"),
    Some("exactly 12 b"),
    Some("thirteen byte"),
    Some("sixteen bytes ok"),
    Some("a text of forty bytes, no less, no more."),
    Some(concat!(
        "a text of more than one hundred and twenty-eight bytes, which takes the four-lane loop of the function, ",
        "and then some more bytes"
    )),
    Some(concat!(
        "a text of more than two hundred and fifty-six bytes, which takes the six-lane loop of the function; it needs ",
        "to be rather long, as one sees, and it says nothing at all that could be of any use to a reader who is not ",
        "the hash function; this ought to do, with a few more words"
    )),
    None,
];

const GOLDEN_BOOLEAN: [u64; 3] = [0x5fdf_1327_d2d8_911f, 0x9f63_3a9f_ad5c_2231, 0];
const GOLDEN_INT16: [u64; 5] =
    [0x5fdf_1327_d2d8_911f, 0x9f63_3a9f_ad5c_2231, 0x41a3_2bd5_d730_1c78, 0x68fb_2865_bb4b_71f5, 0];
const GOLDEN_INT32: [u64; 5] =
    [0x5fdf_1327_d2d8_911f, 0x9f63_3a9f_ad5c_2231, 0x99fc_9d42_4293_ef03, 0x82ba_f6dc_22f9_f467, 0];
const GOLDEN_INT64: [u64; 5] =
    [0x5fdf_1327_d2d8_911f, 0x9f63_3a9f_ad5c_2231, 0x5fdf_4a97_c2d3_115f, 0xbf89_7e4b_fe1a_b98d, 0];
const GOLDEN_FLOAT32: [u64; 5] =
    [0x5fdf_1327_d2d8_911f, 0x5fdf_1327_d2d8_911f, 0xd314_57f6_24bb_ec14, 0x187f_b7c9_1766_7c96, 0];
const GOLDEN_FLOAT64: [u64; 5] =
    [0x5fdf_1327_d2d8_911f, 0x5fdf_1327_d2d8_911f, 0xd7f9_6683_3046_9d82, 0xee95_f536_5d35_3f42, 0];
const GOLDEN_DECIMAL: [u64; 5] =
    [0x5fdf_1327_d2d8_911f, 0xf7be_32bf_e7ff_049c, 0x4650_44f7_d173_5b82, 0x0309_6963_82cc_ce2f, 0];
const GOLDEN_DATE: [u64; 4] = [0x5fdf_1327_d2d8_911f, 0x675d_4f47_546b_6804, 0x99fc_9d42_4293_ef03, 0];
const GOLDEN_TIMESTAMP: [u64; 4] = [0x5fdf_1327_d2d8_911f, 0xf04d_c157_fa13_fea1, 0x5fdf_4a97_c2d3_115f, 0];
const GOLDEN_TIME: [u64; 4] = [0x5fdf_1327_d2d8_911f, 0x13f2_eaec_7675_8fd7, 0x9f63_3a9f_ad5c_2231, 0];
const GOLDEN_TEXT_HASHES: [u64; 9] = [
    0x5fdf_1327_d2d8_911f,
    0xf74e_9725_ac23_d094,
    0xda57_c404_ce4e_0b54,
    0x3697_fcc8_fd96_f6b3,
    0x654a_ea18_d4aa_24e2,
    0x23e4_ede5_0d04_1aaa,
    0xb8bd_1cc7_bec4_371c,
    0x2278_d306_6f46_24f1,
    0,
];

/// The state before any input.
const START: u64 = 0x082e_fa98_ec4e_6c89;

/// The fixed shared seeds.
const SEEDS: [u64; 6] = [
    0xc0ac_29b7_c97c_50dd,
    0x3f84_d5b5_b547_0917,
    0x9216_d5d9_8979_fb1b,
    0xd131_0ba6_98df_b5ac,
    0x2ffd_72db_d01a_dfb7,
    0xb8e1_afed_6a26_7e96,
];

/// An integer of up to 64 bits, zero-extended.
#[inline]
fn hash_bits(bits: u64) -> u64 {
    fold(bits ^ START, SEEDS[0])
}

#[inline]
fn hash_u128(bits: u128) -> u64 {
    fold(bits as u64 ^ START, (bits >> 64) as u64 ^ SEEDS[0])
}

/// Text as a Utf8View hashes it: a view that holds its string inline by its 128 bits, a longer one by its bytes.
fn hash_view(bytes: &[u8]) -> u64 {
    if bytes.len() <= 12 {
        let mut view = [0u8; 16];
        view[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        view[4..4 + bytes.len()].copy_from_slice(bytes);
        hash_u128(u128::from_le_bytes(view))
    } else {
        let state = hash_bytes(bytes, START.rotate_right(bytes.len() as u32));
        fold(bytes.len() as u64 ^ state, SEEDS[0])
    }
}

fn hash_bytes(bytes: &[u8], state: u64) -> u64 {
    let at = |i: usize| {
        let mut word = [0u8; 8];
        word.copy_from_slice(&bytes[i..i + 8]);
        u64::from_le_bytes(word)
    };
    let end = bytes.len();
    // Only text longer than an inline view comes here.
    debug_assert!(end > 12);
    if end <= 16 {
        return fold(state ^ at(0), SEEDS[1] ^ at(end - 8));
    }
    let mut start = 0;
    let (mut s0, mut s1) = (state, state.wrapping_add(SEEDS[1]));
    if end > 128 {
        let (mut s2, mut s3) = (state.wrapping_add(SEEDS[2]), state.wrapping_add(SEEDS[3]));
        if end > 256 {
            let (mut s4, mut s5) = (state.wrapping_add(SEEDS[4]), state.wrapping_add(SEEDS[5]));
            while end - start > 256 {
                s0 = fold(at(start) ^ s0, at(start + 48) ^ SEEDS[0]);
                s1 = fold(at(start + 8) ^ s1, at(start + 56) ^ SEEDS[0]);
                s2 = fold(at(start + 16) ^ s2, at(start + 64) ^ SEEDS[0]);
                s3 = fold(at(start + 24) ^ s3, at(start + 72) ^ SEEDS[0]);
                s4 = fold(at(start + 32) ^ s4, at(start + 80) ^ SEEDS[0]);
                s5 = fold(at(start + 40) ^ s5, at(start + 88) ^ SEEDS[0]);
                start += 96;
            }
            s0 ^= s4;
            s1 ^= s5;
        }
        while end - start > 128 {
            s0 = fold(at(start) ^ s0, at(start + 32) ^ SEEDS[0]);
            s1 = fold(at(start + 8) ^ s1, at(start + 40) ^ SEEDS[0]);
            s2 = fold(at(start + 16) ^ s2, at(start + 48) ^ SEEDS[0]);
            s3 = fold(at(start + 24) ^ s3, at(start + 56) ^ SEEDS[0]);
            start += 64;
        }
        s0 ^= s2;
        s1 ^= s3;
    }
    let rest = end - start;
    s0 = fold(at(start) ^ s0, at(end - 16) ^ SEEDS[0]);
    s1 = fold(at(start + 8) ^ s1, at(end - 8) ^ SEEDS[0]);
    if rest >= 32 {
        s0 = fold(at(start + 16) ^ s0, at(end - 32) ^ SEEDS[0]);
        s1 = fold(at(start + 24) ^ s1, at(end - 24) ^ SEEDS[0]);
    }
    if rest >= 64 {
        s0 = fold(at(start + 32) ^ s0, at(end - 48) ^ SEEDS[0]);
        s1 = fold(at(start + 40) ^ s1, at(end - 40) ^ SEEDS[0]);
    }
    if rest >= 96 {
        s0 = fold(at(start + 48) ^ s0, at(end - 64) ^ SEEDS[0]);
        s1 = fold(at(start + 56) ^ s1, at(end - 56) ^ SEEDS[0]);
    }
    s0 ^ s1
}

/// The two halves of the 128-bit product, folded.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    product as u64 ^ (product >> 64) as u64
}

fn clear_nulls(array: &dyn Array, hashes: &mut [u64]) {
    if let Some(nulls) = array.nulls() {
        for (i, hash) in hashes.iter_mut().enumerate() {
            if nulls.is_null(i) {
                *hash = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors_hold() {
        for (array, golden) in golden_arrays() {
            assert_eq!(hash_array(&array).unwrap(), golden, "{}", array.data_type());
        }
    }

    #[test]
    fn null_lives_on_slice_0() {
        for (array, golden) in golden_arrays() {
            let last = array.len() - 1;
            assert!(array.is_null(last));
            assert_eq!(slice_of_hash(golden[last], 7), 0);
        }
    }

    /// The claim that everything rests on: DataFusion's own partitioner sends each row where we store it.
    #[cfg(feature = "engine")]
    #[test]
    fn datafusion_hashes_alike() {
        use datafusion::common::hash_utils::create_hashes;
        use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;
        for (array, _) in golden_arrays().into_iter().chain([random_texts(), random_numbers()]) {
            let mut theirs = vec![0; array.len()];
            create_hashes([&array], REPARTITION_RANDOM_STATE.random_state(), &mut theirs).unwrap();
            assert_eq!(hash_array(&array).unwrap(), theirs, "{}", array.data_type());
        }
    }

    #[cfg(feature = "engine")]
    fn random_texts() -> (ArrayRef, Vec<u64>) {
        let text =
            |len: usize| (0..len).map(|i| char::from(b' ' + ((i * 7 + len * 13) % 90) as u8)).collect::<String>();
        (Arc::new(StringViewArray::from_iter_values((0..700).map(text))), Vec::new())
    }

    #[cfg(feature = "engine")]
    fn random_numbers() -> (ArrayRef, Vec<u64>) {
        let number = |i: i64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
        (Arc::new(Int64Array::from_iter_values((-500..500).map(number))), Vec::new())
    }
}
