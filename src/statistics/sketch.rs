//! How many distinct values there are, in a fixed number of bytes.
//!
//! HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, AofA 2007) over hashes of 64 bits, stored sparse while few registers
//! are set, as HyperLogLog++ does (Heule, Nunkesser and Hall, EDBT 2013), and read by the estimator of Ertl ("New
//! cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no tables of corrections and is right
//! for a handful of values, too.

use std::sync::OnceLock;

use super::bytes::{read_f6, write_f6};
use crate::common::Result;
use crate::common::texts::{same, spread};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{ByteValues, Column, Values};

/// The set of values seen, as far as it is needed to count them.
///
/// Guarantees:
/// 1. it depends only on the set: neither order nor repetition changes it, and [`DistinctSketch::merge`] gives the sketch
///    of the union;
/// 2. the standard error of [`DistinctSketch::estimate`] is [`DistinctSketch::ERROR`];
/// 3. equal values have equal hashes whatever stored form they have: integers by their value, also where one column is
///    wider than the other; decimals unscaled, which within one column is the same.
#[derive(Clone)]
pub struct DistinctSketch {
    /// The greatest rank seen of each register, 0 for none.
    registers: Box<[u8; DistinctSketch::REGISTERS]>,
    /// What was estimated of them: a plan asks many times.
    estimated: OnceLock<f64>,
}

impl PartialEq for DistinctSketch {
    fn eq(&self, other: &Self) -> bool {
        self.registers == other.registers
    }
}

/// Values that are looked for before one is hashed.
const RECENT: usize = 256;

impl DistinctSketch {
    const PRECISION: u32 = 11;
    pub const REGISTERS: usize = 1 << Self::PRECISION;
    /// Ranks count the zeros of so many bits, plus one.
    const BITS: u32 = 64 - Self::PRECISION;
    /// Standard error, as a fraction of the count.
    pub const ERROR: f64 = 0.023;
    /// Bytes of a full sketch, at most.
    pub const MAX_BYTES: usize = 1 + Self::REGISTERS * 6 / 8;

    /// Of no values.
    pub fn new() -> Self {
        DistinctSketch { registers: Box::new([0; Self::REGISTERS]), estimated: OnceLock::new() }
    }

    #[inline]
    fn insert_hash(&mut self, hash: u64) {
        let register = (hash >> Self::BITS) as usize;
        let rank = ((hash << Self::PRECISION).leading_zeros().min(Self::BITS) + 1) as u8;
        let greatest = &mut self.registers[register];
        *greatest = (*greatest).max(rank);
    }

    /// Adds the values that are not NULL.
    pub fn insert(&mut self, column: &Column) {
        self.estimated.take();
        let valid = |i: usize| column.is_valid(i);
        let all_valid = column.validity.is_none();
        match &column.values {
            Values::Bool(v) => self.insert_all(v.iter().map(u64::from).map(hash_u64), valid),
            Values::I16(v) if all_valid && self.insert_close(v) => {}
            Values::I32(v) if all_valid && self.insert_close(v) => {}
            Values::I64(v) if all_valid && self.insert_close(v) => {}
            Values::I16(v) => self.insert_integers(v.iter().map(|v| i64::from(*v)), valid),
            Values::I32(v) => self.insert_integers(v.iter().map(|v| i64::from(*v)), valid),
            Values::I64(v) => self.insert_integers(v.iter().copied(), valid),
            Values::I128(v) => self.insert_all(v.iter().map(|v| hash_integer(*v)), valid),
            Values::F32(v) => self.insert_all(v.iter().map(|v| hash_float(f64::from(*v))), valid),
            Values::F64(v) => self.insert_all(v.iter().map(|v| hash_float(*v)), valid),
            Values::Bytes(v) => match &v.codes {
                Some(codes) => {
                    let texts = codes.occurring(column.validity.as_ref());
                    texts.for_each(|(_, text)| self.insert_hash(hash_bytes(text)));
                }
                None => self.insert_texts(v, valid),
            },
        }
    }

    fn insert_all(&mut self, hashes: impl Iterator<Item = u64>, valid: impl Fn(usize) -> bool) {
        for (i, hash) in hashes.enumerate() {
            if valid(i) {
                self.insert_hash(hash);
            }
        }
    }

    /// Each distinct value once, where there are far fewer from the smallest to the largest than rows; whether that is so.
    fn insert_close<T: Copy + Into<i64>>(&mut self, values: &[T]) -> bool {
        let ends = values.iter().fold((i64::MAX, i64::MIN), |(min, max), value| {
            let value = (*value).into();
            (min.min(value), max.max(value))
        });
        let range = ends.1.wrapping_sub(ends.0) as u64;
        if values.is_empty() || range >= values.len() as u64 / 4 {
            return values.is_empty();
        }
        let mut seen = vec![false; range as usize + 1];
        values.iter().for_each(|value| seen[(*value).into().wrapping_sub(ends.0) as usize] = true);
        let values = seen.iter().zip(ends.0..=ends.1).filter(|(seen, _)| **seen);
        values.for_each(|(_, value)| self.insert_hash(hash_u64(value as u64)));
        true
    }

    /// Values that came a short while ago are not hashed again, which is most of few distinct ones.
    fn insert_integers(&mut self, values: impl Iterator<Item = i64>, valid: impl Fn(usize) -> bool) {
        // At first what no value of the place is: 0 is at place 0, and 1 is not.
        let mut recent = [0i64; RECENT];
        recent[0] = 1;
        for (i, value) in values.enumerate() {
            let place = &mut recent[value as usize % RECENT];
            if *place != value && valid(i) {
                self.insert_hash(hash_u64(value as u64));
                *place = value;
            }
        }
    }

    fn insert_texts(&mut self, values: &ByteValues, valid: impl Fn(usize) -> bool) {
        let mut recent: [Option<&[u8]>; RECENT] = [None; RECENT];
        for i in 0..values.len() {
            let value = values.value(i);
            let place = &mut recent[spread(value) % RECENT];
            if !place.is_some_and(|recent| same(recent, value)) && valid(i) {
                self.insert_hash(hash_bytes(value));
                *place = Some(value);
            }
        }
    }

    /// Adds all values of the other.
    pub fn merge(&mut self, other: &DistinctSketch) {
        self.estimated.take();
        for (own, theirs) in self.registers.iter_mut().zip(other.registers.iter()) {
            *own = (*own).max(*theirs);
        }
    }

    /// About how many distinct values there are: Ertl's algorithm 6.
    pub fn estimate(&self) -> f64 {
        *self.estimated.get_or_init(|| self.compute())
    }

    fn compute(&self) -> f64 {
        let mut counts = [0u32; Self::BITS as usize + 2];
        for rank in self.registers.iter() {
            counts[usize::from(*rank).min(Self::BITS as usize + 1)] += 1;
        }
        let m = Self::REGISTERS as f64;
        let mut z = m * tau(1.0 - f64::from(counts[Self::BITS as usize + 1]) / m);
        for count in counts[1..=Self::BITS as usize].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }

    /// Appends the stored form, the shorter of two: see FORMAT.md.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u8(SPARSE);
        let set: Vec<(usize, u8)> = self.registers.iter().copied().enumerate().filter(|(_, rank)| *rank > 0).collect();
        out.put_varint(set.len() as u64);
        let mut next = 0;
        for (register, rank) in set {
            out.put_varint((register - next) as u64);
            out.put_u8(rank);
            next = register + 1;
            if out.len() - start >= Self::MAX_BYTES {
                out.truncate(start);
                out.put_u8(DENSE);
                write_f6(self.registers.as_slice(), out);
                return;
            }
        }
    }

    /// Reads what [`DistinctSketch::write`] wrote. Corrupt when it is damaged.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut sketch = DistinctSketch::new();
        match reader.u8()? {
            SPARSE => {
                let count = reader.varint()?;
                if count > Self::REGISTERS as u64 {
                    return Err(reader.corrupt(format!("{count} registers")));
                }
                let mut next = 0usize;
                for _ in 0..count {
                    let gap = reader.varint()?;
                    let register = usize::try_from(gap).ok().and_then(|gap| next.checked_add(gap));
                    let Some(register) = register.filter(|register| *register < Self::REGISTERS) else {
                        return Err(reader.corrupt("a register beyond the last"));
                    };
                    sketch.registers[register] = reader.u8()?;
                    next = register + 1;
                }
            }
            DENSE => read_f6(reader.take(Self::MAX_BYTES - 1)?, sketch.registers.as_mut_slice()),
            other => return Err(reader.corrupt(format!("a sketch of unknown form {other}"))),
        }
        if sketch.registers.iter().any(|rank| u32::from(*rank) > Self::BITS + 1) {
            return Err(reader.corrupt("a rank beyond the last"));
        }
        Ok(sketch)
    }
}

impl Default for DistinctSketch {
    fn default() -> Self {
        DistinctSketch::new()
    }
}

impl std::fmt::Debug for DistinctSketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DistinctSketch(about {:.0})", self.estimate())
    }
}

const SPARSE: u8 = 0;
const DENSE: u8 = 1;

fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014), over values moved by its constant, so that 0 is not 0.
fn hash_u64(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hash_integer(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(value) => hash_u64(value as u64),
        Err(_) => hash_bytes(&value.to_le_bytes()),
    }
}

/// Both zeros are one value, and all NaNs are.
fn hash_float(value: f64) -> u64 {
    let value = match value {
        _ if value == 0.0 => 0.0,
        _ if value.is_nan() => f64::NAN,
        _ => value,
    };
    hash_u64(value.to_bits())
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    twox_hash::XxHash64::oneshot(0, bytes)
}
