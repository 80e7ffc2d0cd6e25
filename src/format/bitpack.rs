//! FastLanes bit-packing of vectors of 1,024 values, at the width of the machine's vector registers.
//!
//! Source: Afroozeh and Boncz, "The FastLanes Compression Layout", VLDB 2023; the loops are the `fastlanes` crate's
//! exported macros. That crate's own functions are compiled once, for the build's baseline (SSE2 on x86-64), and are
//! never inlined. Here the macros stand in inlined bodies that are instantiated once per instruction set, so that an
//! ordinary build uses AVX2 or AVX-512 where the machine has it.
//!
//! A width is packed in the smallest lane that holds it: 0 to 8 bits in u8, to 16 in u16, to 32 in u32, to 64 in u64.
//! The bytes do not depend on the instruction set.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use fastlanes::{FastLanes, pack, unpack};

use super::stable::VECTOR_ROWS;

/// Runs `$body` with `$lanes` bound to the array of whichever lane it is.
macro_rules! each_lane {
    ($lanes:expr, $array:ident => $body:expr) => {
        match $lanes {
            Lanes::U8($array) => $body,
            Lanes::U16($array) => $body,
            Lanes::U32($array) => $body,
            Lanes::U64($array) => $body,
        }
    };
}

/// Compiles an inlined body for each instruction set and chooses.
macro_rules! per_isa {
    ($isa:expr, [$($generics:tt)*] [$($given:tt)*], $body:ident($($arg:ident: $ty:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn avx2<$($generics)*>($($arg: $ty),*) {
            $body($($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512<$($generics)*>($($arg: $ty),*) {
            $body($($arg),*)
        }
        match $isa {
            Isa::Portable => $body($($arg),*),
            // SAFETY: callers take the instruction set from `Isa::available`.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2::<$($given)*>($($arg),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { avx512::<$($given)*>($($arg),*) },
        }
    }};
}

mod convert;
mod select;

pub use convert::{
    Narrow, Target, gather, lanes_at, map_lanes, map_lanes_with, max_lane, widen, widen_signed, widen_signed_with,
    widen_with,
};
pub use select::{
    VectorBits, bits_by, gather_bits, member_bits, member_bits_at, member_lanes, range_bits, range_bits_with, set_bits,
    table_bits, values_bits,
};

/// The instruction sets that the kernels exist for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best that this machine has; found once.
    #[inline]
    pub fn detect() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Isa::Portable))
    }

    /// All that this machine has, the best last.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut isas = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                isas.push(Isa::Avx2);
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    isas.push(Isa::Avx512);
                }
            }
        }
        isas
    }
}

/// Room for one unpacked vector in whatever lane its width has.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Scratch([u64; VECTOR_ROWS]);

impl Default for Scratch {
    fn default() -> Self {
        Scratch([0; VECTOR_ROWS])
    }
}

/// An unpacked vector. Slots beyond the vector's rows hold any value.
#[derive(Debug, Clone, Copy)]
pub enum Lanes<'a> {
    U8(&'a [u8; VECTOR_ROWS]),
    U16(&'a [u16; VECTOR_ROWS]),
    U32(&'a [u32; VECTOR_ROWS]),
    U64(&'a [u64; VECTOR_ROWS]),
}

/// Bits that hold `max`.
pub fn width_of(max: u64) -> u8 {
    (64 - max.leading_zeros()) as u8
}

/// Bits of the lane that a width is packed in.
fn lane_bits(width: u8) -> usize {
    match width {
        0..=8 => 8,
        9..=16 => 16,
        17..=32 => 32,
        _ => 64,
    }
}

/// Up to 1,024 packed values of one width.
///
/// A vector that is not full is stored plain, each value in as few bytes as hold its width, where that takes less
/// room than the padded vector does; [`Packed::stored_len`] decides, from width and rows alone.
///
/// Invariants: `width` ≤ 64; `rows` ≤ 1,024; `bytes.len()` is `stored_len(width, rows)`.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    width: u8,
    rows: u16,
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// `None` when the invariants do not hold.
    pub fn new(width: u8, rows: usize, bytes: &'a [u8]) -> Option<Self> {
        let sound = width <= 64 && rows <= VECTOR_ROWS && bytes.len() == Self::stored_len(width, rows);
        sound.then_some(Packed { width, rows: rows as u16, bytes })
    }

    /// Bytes that `rows` values take.
    pub fn stored_len(width: u8, rows: usize) -> usize {
        let padded = VECTOR_ROWS / 8 * width as usize;
        if rows == VECTOR_ROWS { padded } else { padded.min(rows * plain_bytes(width)) }
    }

    /// Appends `values`, of which each is less than 2^width.
    pub fn write(values: &[u64], width: u8, out: &mut Vec<u8>) {
        assert!(values.len() <= VECTOR_ROWS && width <= 64);
        debug_assert!(values.iter().all(|v| width_of(*v) <= width));
        if is_plain(width, values.len()) {
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()[..plain_bytes(width)]));
        } else {
            pack_vector(values, width, out);
        }
    }

    pub fn width(&self) -> u8 {
        self.width
    }

    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// All values.
    pub fn unpack<'s>(&self, scratch: &'s mut Scratch) -> Lanes<'s> {
        self.unpack_with(Isa::detect(), scratch)
    }

    /// All values, by the given instruction set's kernel.
    pub fn unpack_with<'s>(&self, isa: Isa, scratch: &'s mut Scratch) -> Lanes<'s> {
        let plain = is_plain(self.width, self.rows());
        macro_rules! lane {
            ($variant:ident, $lane:ty, $kernel:ident) => {{
                let out = scratch.lanes_mut::<$lane>();
                if plain {
                    let step = plain_bytes(self.width);
                    for (slot, bytes) in out.iter_mut().zip(self.bytes.chunks_exact(step.max(1))) {
                        let mut le = [0u8; size_of::<$lane>()];
                        le[..step].copy_from_slice(bytes);
                        *slot = <$lane>::from_le_bytes(le);
                    }
                } else {
                    let mut copy = Scratch::uninit();
                    let words = aligned::<$lane>(self.bytes, &mut copy);
                    $kernel(isa, self.width, words, out);
                }
                Lanes::$variant(out)
            }};
        }
        match lane_bits(self.width) {
            8 => lane!(U8, u8, dispatch_u8),
            16 => lane!(U16, u16, dispatch_u16),
            32 => lane!(U32, u32, dispatch_u32),
            _ => lane!(U64, u64, dispatch_u64),
        }
    }

    /// The value at `index`, which must be less than `rows`. Cheaper than [`Packed::unpack`] up to about ten values.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        assert!(index < self.rows());
        let width = self.width as usize;
        if width == 0 {
            return 0;
        }
        if is_plain(self.width, self.rows()) {
            let step = plain_bytes(self.width);
            let mut le = [0u8; 8];
            le[..step].copy_from_slice(&self.bytes[index * step..(index + 1) * step]);
            return u64::from_le_bytes(le);
        }
        // The inverse of the macros' order: index = FL_ORDER[row / 8] * 16 + row % 8 * 128 + lane.
        let bits = lane_bits(self.width);
        let lanes = VECTOR_ROWS / bits;
        let lane = index % lanes;
        let s = index / 128;
        let row = fastlanes::FL_ORDER[(index - s * 128 - lane) / 16] * 8 + s;
        let (word, shift) = (row * width / bits, row * width % bits);
        let read = |word: usize| {
            let at = (lanes * word + lane) * (bits / 8);
            let mut le = [0u8; 8];
            le[..bits / 8].copy_from_slice(&self.bytes[at..at + bits / 8]);
            u64::from_le_bytes(le)
        };
        let mut value = read(word) >> shift;
        if shift + width > bits {
            value |= read(word + 1) << (bits - shift);
        }
        value & (u64::MAX >> (64 - width))
    }
}

fn plain_bytes(width: u8) -> usize {
    (width as usize).div_ceil(8)
}

fn is_plain(width: u8, rows: usize) -> bool {
    rows < VECTOR_ROWS && rows * plain_bytes(width) < VECTOR_ROWS / 8 * width as usize
}

/// Integers without padding of which every bit pattern is a value: what [`Scratch`] can be seen as.
///
/// # Safety
/// Implemented only for unsigned integers of at most 8 bytes.
unsafe trait Lane: FastLanes + Default {
    fn from_u64(v: u64) -> Self;
    fn widened(self) -> u64;
    fn minus(self, other: Self) -> Self;
}

macro_rules! lane {
    ($($lane:ty),+) => {$(
        // SAFETY: an unsigned integer of at most 8 bytes.
        unsafe impl Lane for $lane {
            #[inline(always)]
            fn from_u64(v: u64) -> Self {
                v as $lane
            }
            #[inline(always)]
            fn widened(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
        }
    )+};
}
lane!(u8, u16, u32, u64);

impl Scratch {
    fn uninit() -> MaybeUninit<Scratch> {
        MaybeUninit::uninit()
    }

    fn lanes_mut<L: Lane>(&mut self) -> &mut [L; VECTOR_ROWS] {
        // SAFETY: `L` has at most 8 bytes and any bit pattern is a value (contract of `Lane`), so 1,024 of them lie
        // within the 8 KiB, which are aligned to 64 and borrowed for as long as the result.
        unsafe { &mut *self.0.as_mut_ptr().cast::<[L; VECTOR_ROWS]>() }
    }
}

/// `bytes` as lanes: themselves where they are aligned, else copied. At most 8 KiB.
fn aligned<'a, L: Lane>(bytes: &'a [u8], copy: &'a mut MaybeUninit<Scratch>) -> &'a [L] {
    assert!(bytes.len() <= size_of::<Scratch>() && cfg!(target_endian = "little"));
    let len = bytes.len() / size_of::<L>();
    let start = if bytes.as_ptr().cast::<L>().is_aligned() {
        bytes.as_ptr().cast::<L>()
    } else {
        let to = copy.as_mut_ptr().cast::<u8>();
        // SAFETY: the assertion above: the bytes fit the scratch, which is ours alone.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        to.cast::<L>().cast_const()
    };
    // SAFETY: `start` is aligned (checked, or the scratch's 64) and `len` lanes from it are initialised bytes of either
    // `bytes` or the copy; any bit pattern is a value (contract of `Lane`).
    unsafe { std::slice::from_raw_parts(start, len) }
}

macro_rules! unpack_body {
    ($name:ident, $lane:ident, $d:tt) => {
        #[inline(always)]
        fn $name<const W: usize, const B: usize>(input: &[$lane; B], output: &mut [$lane; VECTOR_ROWS]) {
            for lane in 0..$lane::LANES {
                unpack!($lane, W, input, lane, |$d idx, $d elem| {
                    output[$d idx] = $d elem
                });
            }
        }
    };
}
unpack_body!(unpack_u8, u8, $);
unpack_body!(unpack_u16, u16, $);
unpack_body!(unpack_u32, u32, $);
unpack_body!(unpack_u64, u64, $);

type Unpack<L> = unsafe fn(&[L], &mut [L; VECTOR_ROWS]);

/// Each width's function for one lane: the body compiled for each instruction set, a table of each, the choice.
macro_rules! unpack_dispatch {
    ($dispatch:ident, $lane:ident, $body:ident, $first:literal ..= $last:literal) => {
        fn $dispatch(isa: Isa, width: u8, input: &[$lane], output: &mut [$lane; VECTOR_ROWS]) {
            const COUNT: usize = $last - $first + 1;
            fn portable<const W: usize, const B: usize>(input: &[$lane], output: &mut [$lane; VECTOR_ROWS]) {
                $body::<W, B>(input.first_chunk().expect("a packed vector is whole"), output)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2<const W: usize, const B: usize>(input: &[$lane], output: &mut [$lane; VECTOR_ROWS]) {
                $body::<W, B>(input.first_chunk().expect("a packed vector is whole"), output)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<const W: usize, const B: usize>(input: &[$lane], output: &mut [$lane; VECTOR_ROWS]) {
                $body::<W, B>(input.first_chunk().expect("a packed vector is whole"), output)
            }
            macro_rules! table {
                                                ($function:ident) => {
                                                    seq_macro::seq!(W in $first..=$last {
                                                        [#($function::<W, { W * $lane::LANES }> as Unpack<$lane>,)*]
                                                    })
                                                };
                                            }
            static PORTABLE: [Unpack<$lane>; COUNT] = table!(portable);
            #[cfg(target_arch = "x86_64")]
            static AVX2: [Unpack<$lane>; COUNT] = table!(avx2);
            #[cfg(target_arch = "x86_64")]
            static AVX512: [Unpack<$lane>; COUNT] = table!(avx512);
            let table = match isa {
                Isa::Portable => &PORTABLE,
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => &AVX2,
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => &AVX512,
            };
            // SAFETY: the function needs the features of `isa`, which callers take from `Isa::available`; lengths are
            // checked within.
            unsafe { table[width as usize - $first](input, output) }
        }
    };
}
unpack_dispatch!(dispatch_u8, u8, unpack_u8, 0..=8);
unpack_dispatch!(dispatch_u16, u16, unpack_u16, 9..=16);
unpack_dispatch!(dispatch_u32, u32, unpack_u32, 17..=32);
unpack_dispatch!(dispatch_u64, u64, unpack_u64, 33..=64);

/// Packing runs at the build's baseline: loading spends its time elsewhere.
fn pack_vector(values: &[u64], width: u8, out: &mut Vec<u8>) {
    macro_rules! pack_lane {
        ($lane:ident, $d:tt, $first:literal ..= $last:literal) => {{
            fn pack_width<const W: usize>(input: &[$lane; VECTOR_ROWS], output: &mut [$lane; VECTOR_ROWS]) {
                for lane in 0..$lane::LANES {
                    pack!($lane, W, output, lane, |$d idx| { input[$d idx] });
                }
            }
            let mut input = [0 as $lane; VECTOR_ROWS];
            input.iter_mut().zip(values).for_each(|(slot, v)| *slot = *v as $lane);
            let mut output = [0 as $lane; VECTOR_ROWS];
            seq_macro::seq!(W in $first..=$last {
                match width {
                    #(W => pack_width::<W>(&input, &mut output),)*
                    _ => unreachable!("the lane was chosen by the width"),
                }
            });
            output[..$lane::LANES * width as usize].iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }};
    }
    match lane_bits(width) {
        8 => pack_lane!(u8, $, 0..=8),
        16 => pack_lane!(u16, $, 9..=16),
        32 => pack_lane!(u32, $, 17..=32),
        _ => pack_lane!(u64, $, 33..=64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: u8, rows: usize) -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ u64::from(width);
        let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state & mask
        };
        (0..rows).map(|i| if i == 3 { mask } else { next() }).collect()
    }

    #[test]
    fn every_width_comes_back_alike_on_every_instruction_set() {
        for width in 0..=64u8 {
            for rows in [1, 4, 100, 1023, 1024] {
                let values = sample(width, rows);
                // One byte ahead, so that lanes are read unaligned too.
                let mut bytes = vec![0xaa];
                Packed::write(&values, width, &mut bytes);
                assert_eq!(bytes.len() - 1, Packed::stored_len(width, rows));
                let packed = Packed::new(width, rows, &bytes[1..]).unwrap();
                for isa in Isa::available() {
                    let mut scratch = Scratch::default();
                    let lanes = packed.unpack_with(isa, &mut scratch);
                    let mut got = Vec::new();
                    lanes_at(lanes, 0..rows, |v| v, &mut got);
                    assert_eq!(got, values, "{isa:?} width {width}");

                    let (low, high) = (values[rows / 2].saturating_sub(5), values[rows / 2].saturating_add(99));
                    let mut bits = [0; 16];
                    range_bits_with(isa, lanes, low, high, &mut bits);
                    for (i, v) in values.iter().enumerate() {
                        assert_eq!(bits[i / 64] >> (i % 64) & 1 == 1, (low..=high).contains(v), "{isa:?}");
                    }
                    for (base, scale) in [(0, 1), (-17, 1), (i64::MIN, 100)] {
                        let expected: Vec<i64> =
                            values.iter().map(|v| (*v as i64).wrapping_mul(scale).wrapping_add(base)).collect();
                        let mut wide = Vec::<i64>::new();
                        widen_with(isa, lanes, rows, base, scale, &mut wide);
                        assert_eq!(wide, expected);
                        let mut wider = Vec::<i128>::new();
                        widen_with(isa, lanes, rows, base, scale, &mut wider);
                        assert!(wider.iter().zip(&expected).all(|(a, b)| *a == i128::from(*b)));
                        let mut narrow = Vec::<i16>::new();
                        widen_with(isa, lanes, rows, base, scale, &mut narrow);
                        assert!(narrow.iter().zip(&expected).all(|(a, b)| *a == *b as i16));
                    }
                }
                for (i, v) in values.iter().enumerate().step_by(7) {
                    assert_eq!(packed.get(i), *v);
                }
            }
        }
    }

    #[test]
    fn narrow_numbers_are_widened_alike_on_every_instruction_set() {
        for rows in [0, 1, 7, 100, 1023, 1024] {
            let bytes: Vec<u8> = sample(32, rows).iter().flat_map(|v| (*v as u32).to_le_bytes()).collect();
            let four = bytes.as_chunks::<4>().0;
            let two = &bytes.as_chunks::<2>().0[..rows];
            let one = &bytes.as_chunks::<1>().0[..rows];
            for isa in Isa::available() {
                let (mut wide, mut wider, mut narrow) = (Vec::<i64>::new(), Vec::<i128>::new(), Vec::<i16>::new());
                widen_signed_with(isa, four, &mut wide);
                widen_signed_with(isa, two, &mut wider);
                widen_signed_with(isa, one, &mut narrow);
                assert!(wide.iter().zip(four).all(|(v, le)| *v == i64::from(i32::from_le_bytes(*le))), "{isa:?}");
                assert!(wider.iter().zip(two).all(|(v, le)| *v == i128::from(i16::from_le_bytes(*le))), "{isa:?}");
                assert!(narrow.iter().zip(one).all(|(v, le)| *v == i16::from(i8::from_le_bytes(*le))), "{isa:?}");
                assert_eq!((wide.len(), wider.len(), narrow.len()), (rows, rows, rows));
            }
        }
    }

    #[test]
    fn lanes_are_mapped_alike_on_every_instruction_set() {
        // Products that are rounded, as ALP's are: to the same bits everywhere.
        let f = |lane: u64| ((lane as i32 - 500) as f64 * 1e3) * 1e-7;
        for (width, rows) in [(7, 1024), (13, 1000), (24, 1024), (40, 1024)] {
            let values = sample(width, rows);
            let mut bytes = Vec::new();
            Packed::write(&values, width, &mut bytes);
            let packed = Packed::new(width, rows, &bytes).unwrap();
            for isa in Isa::available() {
                let mut scratch = Scratch::default();
                let mut mapped = Vec::new();
                map_lanes_with(isa, packed.unpack_with(isa, &mut scratch), rows, &f, &mut mapped);
                let same = mapped.iter().zip(&values).all(|(v, lane)| v.to_bits() == f(*lane).to_bits());
                assert!(same && mapped.len() == rows, "{isa:?} width {width}");
            }
        }
    }

    #[test]
    fn full_vectors_have_the_crate_s_layout() {
        use fastlanes::BitPacking;
        let values: [u16; 1024] = std::array::from_fn(|i| (i * 31 % 2048) as u16);
        let mut expected = [0u16; 704];
        BitPacking::pack::<11, 704>(&values, &mut expected);
        let mut bytes = Vec::new();
        Packed::write(&values.map(u64::from), 11, &mut bytes);
        assert_eq!(bytes, expected.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    }
}
