//! What ALP needs of REAL and DOUBLE.

use crate::format::encoding::fixed::Fixed;

/// A float with decimal powers.
pub(in crate::format::encoding) trait Float: Fixed + PartialOrd {
    const BYTES: usize;
    /// The greatest e.
    const MAX_EXPONENT: u8;
    /// d is at least −2^this, and less than 2^this.
    const INTEGER_BITS: u8;
    /// Of the right part of a split: the left one has 1 to 16 bits.
    const RIGHT_BITS: std::ops::RangeInclusive<u8>;

    /// 1.5 × 2^mantissa. A whole number in range, added to its bits, is added to its value, and the other way round:
    /// instruction sets before AVX-512 cannot convert an i64.
    const MAGIC: Self;

    /// 10^i, i at most [`Float::MAX_EXPONENT`].
    fn power(i: u8) -> Self;
    /// 10^−i.
    fn inverse(i: u8) -> Self;
    /// `(d × up) × down`; any value where d is out of range.
    fn of_integer(d: i64, up: Self, down: Self) -> Self;
    /// The d that gives exactly this value.
    fn to_integer(self, e: u8, f: u8) -> Option<i64>;
    fn bits(self) -> u64;
    fn of_bits(bits: u64) -> Self;
}

macro_rules! float {
    ($float:ident, $bits:ident, $signed:ident, $mantissa:literal, [$($power:literal),+], [$($inverse:literal),+]) => {
        impl Float for $float {
            const BYTES: usize = size_of::<$float>();
            const MAX_EXPONENT: u8 = [$($power),+].len() as u8 - 1;
            const INTEGER_BITS: u8 = $mantissa - 1;
            const RIGHT_BITS: std::ops::RangeInclusive<u8> = (<$bits>::BITS as u8 - 16)..=(<$bits>::BITS as u8 - 1);

            const MAGIC: $float = 1.5 * (1u64 << $mantissa) as $float;

            #[inline]
            fn power(i: u8) -> Self {
                const POWERS: [$float; [$($power),+].len()] = [$($power),+];
                POWERS[i as usize]
            }
            #[inline]
            fn inverse(i: u8) -> Self {
                const INVERSES: [$float; [$($inverse),+].len()] = [$($inverse),+];
                INVERSES[i as usize]
            }
            #[inline(always)]
            fn of_integer(d: i64, up: Self, down: Self) -> Self {
                let shifted = $float::from_bits(Self::MAGIC.to_bits().wrapping_add(d as $bits));
                (shifted - Self::MAGIC) * up * down
            }
            #[inline]
            fn to_integer(self, e: u8, f: u8) -> Option<i64> {
                let scaled = self * Self::power(e) * Self::inverse(f);
                let limit = (1u64 << Self::INTEGER_BITS) as $float;
                if !(scaled >= -limit && scaled < limit - 1.0) {
                    return None;
                }
                let d = ((scaled + Self::MAGIC).to_bits() as $signed).wrapping_sub(Self::MAGIC.to_bits() as $signed);
                let d = i64::from(d);
                let back = Self::of_integer(d, Self::power(f), Self::inverse(e));
                (back.to_bits() == self.to_bits()).then_some(d)
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            #[inline(always)]
            fn of_bits(bits: u64) -> Self {
                $float::from_bits(bits as $bits)
            }
        }
    };
}
float!(
    f64,
    u64,
    i64,
    52,
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18],
    [
        1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16,
        1e-17, 1e-18
    ]
);
float!(
    f32,
    u32,
    i32,
    23,
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10],
    [1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10]
);
