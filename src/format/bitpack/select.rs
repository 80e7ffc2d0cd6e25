//! Which rows of an unpacked vector satisfy a condition, as bits.

use super::{Isa, Lane, Lanes};
use crate::common::Members;
use crate::format::stable::VECTOR_ROWS;

/// One bit per row of a vector.
pub type VectorBits = [u64; VECTOR_ROWS / 64];

/// Sets the bits of lanes within `low..=high`, clears the others.
pub fn range_bits(lanes: Lanes<'_>, low: u64, high: u64, bits: &mut VectorBits) {
    range_bits_with(Isa::detect(), lanes, low, high, bits);
}

/// [`range_bits`] by the given instruction set's kernel.
pub fn range_bits_with(isa: Isa, lanes: Lanes<'_>, low: u64, high: u64, bits: &mut VectorBits) {
    fn run<L: Lane>(isa: Isa, lanes: &[L; VECTOR_ROWS], low: u64, high: u64, bits: &mut VectorBits) {
        #[inline(always)]
        fn body<L: Lane>(lanes: &[L; VECTOR_ROWS], low: L, span: L, held: &mut [u8; VECTOR_ROWS]) {
            for (slot, lane) in held.iter_mut().zip(lanes) {
                *slot = u8::from(lane.minus(low) <= span);
            }
        }
        let max = L::max_value().widened();
        if low > high || low > max {
            bits.fill(0);
            return;
        }
        let (low, span) = (L::from_u64(low), L::from_u64(high.min(max) - low));
        let mut held = [0u8; VECTOR_ROWS];
        {
            let held = &mut held;
            per_isa!(isa, [L: Lane] [L],
                body(lanes: &[L; VECTOR_ROWS], low: L, span: L, held: &mut [u8; VECTOR_ROWS]));
        }
        gather_bits(isa, &held, bits);
    }
    each_lane!(lanes, array => run(isa, array, low, high, bits));
}

/// Sets the bits of lanes whose entry in `table` is 1, clears those whose entry is 0.
///
/// `table` has an entry for each lane value that occurs; `None` when it has not.
pub fn table_bits(lanes: Lanes<'_>, rows: usize, table: &[u8], bits: &mut VectorBits) -> Option<()> {
    let mut held = [0u8; VECTOR_ROWS];
    each_lane!(lanes, array => {
        for (slot, lane) in held.iter_mut().zip(&array[..rows]) {
            *slot = *table.get(lane.widened() as usize)?;
        }
    });
    gather_bits(Isa::detect(), &held, bits);
    Some(())
}

/// Sets the bits of lanes that `f` holds for.
pub fn bits_by(lanes: Lanes<'_>, rows: usize, f: impl Fn(u64) -> bool, bits: &mut VectorBits) {
    let mut held = [0u8; VECTOR_ROWS];
    each_lane!(lanes, array => {
        for (slot, lane) in held.iter_mut().zip(&array[..rows]) {
            *slot = u8::from(f(lane.widened()));
        }
    });
    gather_bits(Isa::detect(), &held, bits);
}

/// Sets the bits of lanes that are among `wanted` (ascending), where none is more than `max`; `bits` are clear before.
pub fn set_bits(lanes: Lanes<'_>, rows: usize, wanted: &[u64], max: u64, bits: &mut VectorBits) {
    const FEW: usize = 4;
    if wanted.len() <= FEW {
        let mut one = [0; VECTOR_ROWS / 64];
        for lane in wanted {
            range_bits(lanes, *lane, *lane, &mut one);
            bits.iter_mut().zip(one).for_each(|(all, one)| *all |= one);
        }
    } else if max < 1 << 16 {
        let mut table = vec![0u8; max as usize + 1];
        wanted.iter().for_each(|lane| table[*lane as usize] = 1);
        // A lane of `width` bits is at most `max`.
        bits_by(lanes, rows, |lane| table.get(lane as usize) == Some(&1), bits);
    } else {
        bits_by(lanes, rows, |lane| wanted.binary_search(&lane).is_ok(), bits);
    }
}

/// Sets the bits of lanes of which `number` may be among `members`, clears the others.
pub fn member_lanes(
    lanes: Lanes<'_>,
    rows: usize,
    members: &Members,
    number: impl Fn(u64) -> i64,
    bits: &mut VectorBits,
) {
    each_lane!(lanes, array => member_bits(&array[..rows], members, |lane| number(lane.widened()), bits));
}

/// As [`member_lanes`], of the lanes at `rows` only; `bits` are clear before.
pub fn member_bits_at(
    lanes: Lanes<'_>,
    rows: impl Iterator<Item = usize>,
    members: &Members,
    number: impl Fn(u64) -> i64,
    bits: &mut VectorBits,
) {
    each_lane!(lanes, array => {
        for row in rows {
            bits[row / 64] |= u64::from(members.may_hold(number(array[row].widened()))) << (row % 64);
        }
    });
}

/// Sets the bits of values of which `number` may be among `members`, of at most 1,024; clears the others.
pub fn member_bits<T: Copy>(values: &[T], members: &Members, number: impl Fn(T) -> i64, bits: &mut VectorBits) {
    let mut held = [0u8; VECTOR_ROWS];
    members.test(values, number, &mut held[..values.len()]);
    gather_bits(Isa::detect(), &held, bits);
}

/// Sets the bits of values that `f` holds for, of at most 1,024; clears the others.
pub fn values_bits<T: Copy>(values: &[T], f: &impl Fn(T) -> bool, bits: &mut VectorBits) {
    #[inline(always)]
    fn body<T: Copy, F: Fn(T) -> bool>(values: &[T], f: &F, held: &mut [u8; VECTOR_ROWS]) {
        for (slot, value) in held.iter_mut().zip(values) {
            *slot = u8::from(f(*value));
        }
    }
    fn run<T: Copy, F: Fn(T) -> bool>(isa: Isa, values: &[T], f: &F, held: &mut [u8; VECTOR_ROWS]) {
        per_isa!(isa, [T: Copy, F: Fn(T) -> bool] [T, F],
            body(values: &[T], f: &F, held: &mut [u8; VECTOR_ROWS]));
    }
    let isa = Isa::detect();
    let mut held = [0u8; VECTOR_ROWS];
    run(isa, values, f, &mut held);
    gather_bits(isa, &held, bits);
}

/// Gathers bytes that are 0 or 1 into bits.
pub fn gather_bits(isa: Isa, held: &[u8; VECTOR_ROWS], bits: &mut VectorBits) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(held: &[u8; VECTOR_ROWS], bits: &mut VectorBits) {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm256_movemask_epi8, _mm256_slli_epi16};
        for (word, bytes) in bits.iter_mut().zip(held.as_chunks::<64>().0) {
            let half = |at: usize| {
                // SAFETY: `at` is 0 or 32, so that 32 bytes lie within the 64.
                let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().add(at).cast()) };
                u64::from(_mm256_movemask_epi8(_mm256_slli_epi16::<7>(bytes)) as u32)
            };
            *word = half(0) | half(32) << 32;
        }
    }
    match isa {
        Isa::Portable => {
            for (word, bytes) in bits.iter_mut().zip(held.as_chunks::<64>().0) {
                *word = 0;
                for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
                    // Moves bit 0 of byte i to bit 56 + i: no two products meet.
                    let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                    *word |= gathered << (i * 8);
                }
            }
        }
        // SAFETY: callers take the instruction set from `Isa::available`, and AVX-512 is only there with AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => unsafe { avx2(held, bits) },
    }
}
