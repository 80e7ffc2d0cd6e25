//! Short texts, compared and spread over tables without a call or a loop over their bytes.

/// Whether both are the same bytes.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && ends(a) == ends(b) && (a.len() <= 16 || a == b)
}

/// A number by which texts are told apart in tables of what came a short while ago: of equal texts it is equal. Texts of which it
/// is equal can be made; who uses it looks at the texts, too.
#[inline]
pub fn spread(text: &[u8]) -> usize {
    let (first, last) = ends(text);
    spread_number(first ^ last.rotate_left(29) ^ text.len() as u64)
}

/// The same of a number.
#[inline]
pub fn spread_number(number: u64) -> usize {
    // The product's highest bits, in which every bit of the number has a part, become the lowest, which tables take.
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(20) as usize
}

/// Its first and its last eight bytes, which are all of up to 16; of fewer than eight, of each half.
#[inline]
fn ends(text: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    match *text {
        [a] => (a.into(), 0),
        [a, b] => (a.into(), b.into()),
        [a, b, c] => (u64::from(a) << 8 | u64::from(b), c.into()),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_told_apart_by_every_byte() {
        for length in 0..40usize {
            let text: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(7)).collect();
            assert!(same(&text, &text.clone()) && !same(&text, &[&text[..], b"x"].concat()), "{length}");
            for i in 0..length {
                let mut other = text.clone();
                other[i] ^= 1;
                assert!(!same(&text, &other), "{length}, {i}");
                assert!(length > 16 || spread(&text) != spread(&other), "{length}, {i}");
            }
        }
    }
}
