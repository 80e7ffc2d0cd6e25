//! FarmHash's Fingerprint64, which is CityHash's successor and fixed for all time (Geoff Pike, Google, 2014).

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// The fingerprint of the bytes.
pub(super) fn fingerprint64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0..=16 => short(bytes),
        17..=32 => up_to_32(bytes),
        33..=64 => up_to_64(bytes),
        _ => long(bytes),
    }
}

/// Eight bytes from `at` on; those beyond the end are 0, which none of the callers asks for.
fn fetch(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn fetch32(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, |b| u64::from(u32::from_le_bytes(b)))
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

fn hash_16(low: u64, high: u64, by: u64) -> u64 {
    let a = shift_mix((low ^ high).wrapping_mul(by));
    shift_mix((high ^ a).wrapping_mul(by)).wrapping_mul(by)
}

/// Grows with the length.
fn multiplier(bytes: &[u8]) -> u64 {
    K2.wrapping_add(bytes.len() as u64 * 2)
}

fn short(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let by = multiplier(bytes);
    if length >= 8 {
        let a = fetch(bytes, 0).wrapping_add(K2);
        let b = fetch(bytes, length - 8);
        let c = b.rotate_right(37).wrapping_mul(by).wrapping_add(a);
        let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(by);
        return hash_16(c, d, by);
    }
    if length >= 4 {
        let a = fetch32(bytes, 0);
        return hash_16((length as u64).wrapping_add(a << 3), fetch32(bytes, length - 4), by);
    }
    match bytes {
        [] => K2,
        [first, .., last] | [first @ last] => {
            let middle = bytes.get(length / 2).copied().unwrap_or(*first);
            let y = u64::from(*first) + (u64::from(middle) << 8);
            let z = length as u64 + (u64::from(*last) << 2);
            shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
    }
}

fn up_to_32(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let by = multiplier(bytes);
    let a = fetch(bytes, 0).wrapping_mul(K1);
    let b = fetch(bytes, 8);
    let c = fetch(bytes, length - 8).wrapping_mul(by);
    let d = fetch(bytes, length - 16).wrapping_mul(K2);
    let low = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let high = a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c);
    hash_16(low, high, by)
}

fn up_to_64(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let by = multiplier(bytes);
    let a = fetch(bytes, 0).wrapping_mul(K2);
    let b = fetch(bytes, 8);
    let c = fetch(bytes, length - 8).wrapping_mul(by);
    let d = fetch(bytes, length - 16).wrapping_mul(K2);
    let y = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let z = hash_16(y, a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c), by);
    let e = fetch(bytes, 16).wrapping_mul(by);
    let f = fetch(bytes, 24);
    let g = y.wrapping_add(fetch(bytes, length - 32)).wrapping_mul(by);
    let h = z.wrapping_add(fetch(bytes, length - 24)).wrapping_mul(by);
    let low = e.wrapping_add(f).rotate_right(43).wrapping_add(g.rotate_right(30)).wrapping_add(h);
    let high = e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g);
    hash_16(low, high, by)
}

/// 32 bytes from `at` on, mixed into two seeds.
fn weak_32(bytes: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let z = fetch(bytes, at + 24);
    let a = a.wrapping_add(fetch(bytes, at));
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    let a = a.wrapping_add(fetch(bytes, at + 8)).wrapping_add(fetch(bytes, at + 16));
    (a.wrapping_add(z), b.wrapping_add(a.rotate_right(44)).wrapping_add(c))
}

/// 56 bytes of state.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Mixes in 64 bytes; the last ones weigh more.
    fn mix(&mut self, bytes: &[u8], at: usize, by: u64, weight: u64) {
        let State { x, y, z, v, w } = self;
        *x = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(fetch(bytes, at + 8)).rotate_right(37).wrapping_mul(by);
        *y = y.wrapping_add(v.1).wrapping_add(fetch(bytes, at + 48)).rotate_right(42).wrapping_mul(by);
        *x ^= w.1.wrapping_mul(weight);
        *y = y.wrapping_add(v.0.wrapping_mul(weight)).wrapping_add(fetch(bytes, at + 40));
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(by);
        *v = weak_32(bytes, at, v.1.wrapping_mul(by), x.wrapping_add(w.0));
        *w = weak_32(bytes, at + 32, z.wrapping_add(w.1), y.wrapping_add(fetch(bytes, at + 16)));
        std::mem::swap(z, x);
    }
}

fn long(bytes: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let z = shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2);
    let x = SEED.wrapping_mul(K2).wrapping_add(fetch(bytes, 0));
    let mut state = State { x, y, z, v: (0, 0), w: (0, 0) };
    let last = bytes.len() - 1;
    for block in 0..last / 64 {
        state.mix(bytes, block * 64, K1, 1);
    }
    let by = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add((last & 63) as u64);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.mix(bytes, bytes.len() - 64, by, 9);
    let State { x, y, z, v, w } = state;
    let low = hash_16(v.0, w.0, by).wrapping_add(shift_mix(y).wrapping_mul(K0)).wrapping_add(z);
    hash_16(low, hash_16(v.1, w.1, by).wrapping_add(x), by)
}

#[cfg(test)]
mod tests {
    use super::fingerprint64;

    /// The values are those of the published C++ code.
    #[test]
    fn every_length_has_its_fingerprint() {
        let bytes: Vec<u8> = (0..1000).map(|i| (i * 37 + 11) as u8).collect();
        for (length, fingerprint) in [
            (0, 0x9ae1_6a3b_2f90_404f),
            (1, 0x4271_b80e_2915_c76a),
            (2, 0xae88_b935_147a_3473),
            (3, 0x373a_2b2a_12e0_c581),
            (4, 0xcc1e_7781_37ae_6d69),
            (7, 0x9608_38fb_c6d9_c975),
            (8, 0x7d50_7025_ed4e_ecfd),
            (15, 0x834f_200c_fa7e_d95f),
            (16, 0xd836_4803_26a9_74d6),
            (17, 0x5cde_d6cb_65c9_dac6),
            (31, 0x52a4_67e8_7c92_d522),
            (32, 0xa033_00e1_b2be_6da7),
            (33, 0x8391_54ca_6781_5696),
            (63, 0x7cf6_4a4b_d1b2_b67e),
            (64, 0x000f_03ea_c52d_3535),
            (65, 0xfb36_0c50_23f6_0db6),
            (127, 0xd70e_348f_cbf6_4d04),
            (128, 0x33ef_435f_17af_1739),
            (129, 0xc30a_81b6_37d2_e4dd),
            (200, 0x5132_0a19_a60c_bd6e),
            (1000, 0xc6db_d344_bb8f_49f4),
        ] {
            assert_eq!(fingerprint64(&bytes[..length]), fingerprint, "{length} bytes");
        }
    }
}
