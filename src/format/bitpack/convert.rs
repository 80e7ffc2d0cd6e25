//! Unpacked vectors become values: by arithmetic, by a table, or at chosen rows.

use std::mem::MaybeUninit;

use super::{Isa, Lane, Lanes};
use crate::format::stable::VECTOR_ROWS;

/// Integers that a frame of reference decodes to: `base + scale * lane`, modulo 2^64.
pub trait Target: Copy {
    fn of(lane: u64, base: i64, scale: i64) -> Self;
    fn of_i64(value: i64) -> Self;
    /// Whether a vector is made as i64 first and then goes through [`Target::extend`].
    const EXTENDED: bool = false;
    /// Writes each of `values` to the same place of `out`, which is as long.
    fn extend(_isa: Isa, values: &[i64], out: &mut [MaybeUninit<Self>]) {
        for (slot, value) in out.iter_mut().zip(values) {
            slot.write(Self::of_i64(*value));
        }
    }
}

macro_rules! narrow_target {
    ($($target:ty),+) => {$(
        impl Target for $target {
            #[inline(always)]
            fn of(lane: u64, base: i64, scale: i64) -> Self {
                (lane as $target).wrapping_mul(scale as $target).wrapping_add(base as $target)
            }
            #[inline(always)]
            fn of_i64(value: i64) -> Self {
                value as $target
            }
        }
    )+};
}
narrow_target!(i16, i32, i64);

impl Target for i128 {
    #[inline(always)]
    fn of(lane: u64, base: i64, scale: i64) -> Self {
        i128::from(i64::of(lane, base, scale))
    }
    #[inline(always)]
    fn of_i64(value: i64) -> Self {
        i128::from(value)
    }
    // Compilers take the vector apart to extend its signs.
    const EXTENDED: bool = true;
    fn extend(isa: Isa, values: &[i64], out: &mut [MaybeUninit<Self>]) {
        extend_signs(isa, values, out);
    }
}

/// Writes each of `values` to the same place of `out`, which is as long.
fn extend_signs(isa: Isa, values: &[i64], out: &mut [MaybeUninit<i128>]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(values: &[[i64; 8]], out: &mut [[MaybeUninit<i128>; 8]]) {
        use std::arch::x86_64::*;
        let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
        for (eight, slots) in values.iter().zip(out) {
            // SAFETY: the arrays are 64 bytes to read and 128 to write.
            unsafe {
                let values = _mm512_loadu_si512(eight.as_ptr().cast());
                let signs = _mm512_srai_epi64::<63>(values);
                let to = slots.as_mut_ptr().cast::<__m512i>();
                _mm512_storeu_si512(to, _mm512_permutex2var_epi64(values, low, signs));
                _mm512_storeu_si512(to.add(1), _mm512_permutex2var_epi64(values, high, signs));
            }
        }
    }
    assert_eq!(values.len(), out.len());
    #[allow(unused_mut)]
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        let eights = values.as_chunks::<8>().0;
        // SAFETY: callers take the instruction set from `Isa::available`.
        unsafe { avx512(eights, out.as_chunks_mut::<8>().0) };
        done = eights.len() * 8;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    for (slot, value) in out[done..].iter_mut().zip(&values[done..]) {
        slot.write(i128::from(*value));
    }
}

/// Appends `base + scale * lane` for the first `rows` lanes.
pub fn widen<D: Target>(lanes: Lanes<'_>, rows: usize, base: i64, scale: i64, out: &mut Vec<D>) {
    widen_with(Isa::detect(), lanes, rows, base, scale, out);
}

/// [`widen`] by the given instruction set's kernel.
pub fn widen_with<D: Target>(isa: Isa, lanes: Lanes<'_>, rows: usize, base: i64, scale: i64, out: &mut Vec<D>) {
    assert!(rows <= VECTOR_ROWS);
    out.reserve(rows);
    let room = &mut out.spare_capacity_mut()[..rows];
    each_lane!(lanes, array => widen_lanes(isa, array, base, scale, room));
    // SAFETY: `widen_lanes` wrote all `rows` slots of the reserved room.
    unsafe { out.set_len(out.len() + rows) };
}

fn widen_lanes<L: Lane, D: Target>(
    isa: Isa,
    lanes: &[L; VECTOR_ROWS],
    base: i64,
    scale: i64,
    out: &mut [MaybeUninit<D>],
) {
    #[inline(always)]
    fn body<L: Lane, D: Target>(lanes: &[L], base: i64, scale: i64, out: &mut [MaybeUninit<D>]) {
        if scale == 1 {
            for (slot, lane) in out.iter_mut().zip(lanes) {
                slot.write(D::of(lane.widened(), base, 1));
            }
        } else {
            for (slot, lane) in out.iter_mut().zip(lanes) {
                slot.write(D::of(lane.widened(), base, scale));
            }
        }
    }
    let lanes = &lanes[..];
    if D::EXTENDED {
        fn narrow<L: Lane>(isa: Isa, lanes: &[L], base: i64, scale: i64, out: &mut [MaybeUninit<i64>]) {
            per_isa!(isa, [L: Lane] [L],
                body(lanes: &[L], base: i64, scale: i64, out: &mut [MaybeUninit<i64>]));
        }
        let mut values = [MaybeUninit::<i64>::uninit(); VECTOR_ROWS];
        let values = &mut values[..out.len()];
        narrow(isa, lanes, base, scale, values);
        // SAFETY: `body` wrote every slot of `values`, of which there are no more than lanes.
        D::extend(isa, unsafe { values.assume_init_ref() }, out);
        return;
    }
    per_isa!(isa, [L: Lane, D: Target] [L, D],
        body(lanes: &[L], base: i64, scale: i64, out: &mut [MaybeUninit<D>]));
}

/// Little-endian bytes of a narrow number, in two's complement.
pub trait Narrow: Copy {
    fn number(self) -> i64;
}

macro_rules! narrow {
    ($($bytes:literal: $type:ty),+) => {$(
        impl Narrow for [u8; $bytes] {
            #[inline(always)]
            fn number(self) -> i64 {
                i64::from(<$type>::from_le_bytes(self))
            }
        }
    )+};
}
narrow!(1: i8, 2: i16, 4: i32);

/// Appends the numbers of `values`, of which there are at most 1,024.
pub fn widen_signed<N: Narrow, D: Target>(values: &[N], out: &mut Vec<D>) {
    widen_signed_with(Isa::detect(), values, out);
}

/// [`widen_signed`] by the given instruction set's kernel.
pub fn widen_signed_with<N: Narrow, D: Target>(isa: Isa, values: &[N], out: &mut Vec<D>) {
    #[inline(always)]
    fn body<N: Narrow, D: Target>(values: &[N], out: &mut [MaybeUninit<D>]) {
        for (slot, value) in out.iter_mut().zip(values) {
            slot.write(D::of_i64(value.number()));
        }
    }
    fn run<N: Narrow, D: Target>(isa: Isa, values: &[N], out: &mut [MaybeUninit<D>]) {
        per_isa!(isa, [N: Narrow, D: Target] [N, D], body(values: &[N], out: &mut [MaybeUninit<D>]));
    }
    assert!(values.len() <= VECTOR_ROWS);
    out.reserve(values.len());
    let room = &mut out.spare_capacity_mut()[..values.len()];
    if D::EXTENDED {
        let mut wide = [MaybeUninit::<i64>::uninit(); VECTOR_ROWS];
        let wide = &mut wide[..values.len()];
        run(isa, values, wide);
        // SAFETY: `body` wrote every slot of `wide`, of which there are as many as values.
        D::extend(isa, unsafe { wide.assume_init_ref() }, room);
    } else {
        run(isa, values, room);
    }
    // SAFETY: every slot of the room was written, by `body` or by `extend`.
    unsafe { out.set_len(out.len() + values.len()) };
}

/// Appends `f(lane)` for the first `rows` lanes; `f` should be cheap and without branches, so that it is vectorised.
pub fn map_lanes<D, F: Fn(u64) -> D>(lanes: Lanes<'_>, rows: usize, f: &F, out: &mut Vec<D>) {
    map_lanes_with(Isa::detect(), lanes, rows, f, out);
}

/// [`map_lanes`] by the given instruction set's kernel.
pub fn map_lanes_with<D, F: Fn(u64) -> D>(isa: Isa, lanes: Lanes<'_>, rows: usize, f: &F, out: &mut Vec<D>) {
    #[inline(always)]
    fn body<L: Lane, D, F: Fn(u64) -> D>(lanes: &[L], f: &F, out: &mut [MaybeUninit<D>]) {
        for (slot, lane) in out.iter_mut().zip(lanes) {
            slot.write(f(lane.widened()));
        }
    }
    fn run<L: Lane, D, F: Fn(u64) -> D>(isa: Isa, lanes: &[L], f: &F, out: &mut [MaybeUninit<D>]) {
        per_isa!(isa, [L: Lane, D, F: Fn(u64) -> D] [L, D, F],
            body(lanes: &[L], f: &F, out: &mut [MaybeUninit<D>]));
    }
    out.reserve(rows);
    let room = &mut out.spare_capacity_mut()[..rows];
    each_lane!(lanes, array => run(isa, &array[..rows], f, room));
    // SAFETY: `body` wrote all `rows` slots of the reserved room, as many as there are lanes.
    unsafe { out.set_len(out.len() + rows) };
}

/// Appends `table[lane]` for the first `rows` lanes; `None` when a lane is beyond the table.
pub fn gather<S: Copy + Into<D>, D>(lanes: Lanes<'_>, rows: usize, table: &[S], out: &mut Vec<D>) -> Option<()> {
    fn run<L: Lane, S: Copy + Into<D>, D>(
        isa: Isa,
        lanes: &[L],
        table: &[S],
        out: &mut [MaybeUninit<D>],
    ) -> Option<()> {
        #[inline(always)]
        fn max<L: Lane>(lanes: &[L], most: &mut L) {
            *most = lanes.iter().fold(L::from_u64(0), |most, lane| if *lane > most { *lane } else { most });
        }
        #[inline(always)]
        fn body<L: Lane, S: Copy + Into<D>, D>(lanes: &[L], table: &[S], out: &mut [MaybeUninit<D>]) {
            for (slot, lane) in out.iter_mut().zip(lanes) {
                // SAFETY: `run` has found every lane to be less than the table's length.
                slot.write(unsafe { *table.get_unchecked(lane.widened() as usize) }.into());
            }
        }
        let mut most = L::from_u64(0);
        {
            let most = &mut most;
            per_isa!(isa, [L: Lane] [L], max(lanes: &[L], most: &mut L));
        }
        if most.widened() >= table.len() as u64 {
            return None;
        }
        per_isa!(isa, [L: Lane, S: Copy + Into<D>, D] [L, S, D],
            body(lanes: &[L], table: &[S], out: &mut [MaybeUninit<D>]));
        Some(())
    }
    out.reserve(rows);
    let room = &mut out.spare_capacity_mut()[..rows];
    each_lane!(lanes, array => run(Isa::detect(), &array[..rows], table, room))?;
    // SAFETY: `run` wrote all `rows` slots of the reserved room, as many as there are lanes.
    unsafe { out.set_len(out.len() + rows) };
    Some(())
}

/// The largest of the first `rows` lanes; 0 of none.
pub fn max_lane(lanes: Lanes<'_>, rows: usize) -> u64 {
    each_lane!(lanes, array => array[..rows].iter().max().map_or(0, |v| v.widened()))
}

/// Appends the `i`-th lane of each set bit in order, mapped.
pub fn lanes_at<D>(lanes: Lanes<'_>, rows: impl Iterator<Item = usize>, mut f: impl FnMut(u64) -> D, out: &mut Vec<D>) {
    each_lane!(lanes, array => out.extend(rows.map(|i| f(array[i].widened()))));
}
