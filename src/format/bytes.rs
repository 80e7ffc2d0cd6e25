//! Little-endian reading and writing of bytes that may be damaged: every read is checked before it is made.

use crate::common::{Error, Result};

/// Reads from the front of a slice; an error names the offset from the slice's start.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! read_number {
    ($($name:ident -> $type:ty),+ $(,)?) => {
        $(#[inline]
        pub fn $name(&mut self) -> Result<$type> {
            let bytes = self.take(size_of::<$type>())?;
            // `take` returned exactly as many bytes as the number has.
            let mut array = [0u8; size_of::<$type>()];
            array.copy_from_slice(bytes);
            Ok(<$type>::from_le_bytes(array))
        })+
    };
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.remaining() {
            return Err(self.corrupt(format!("{len} bytes wanted, {} left", self.remaining())));
        }
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    read_number!(u8 -> u8, u16 -> u16, u32 -> u32, u64 -> u64, i64 -> i64, i128 -> i128, u128 -> u128);

    /// An unsigned LEB128 number of at most 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let at = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::corrupt(at as u64, "a number has more than 64 bits"))
    }

    /// A signed number, zigzag in LEB128.
    pub fn signed_varint(&mut self) -> Result<i64> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A u32 that is to be used as a length of at most `max`.
    pub fn len_u32(&mut self, max: usize, what: &str) -> Result<usize> {
        let at = self.at;
        let len = self.u32()? as usize;
        if len > max {
            return Err(Error::corrupt(at as u64, format!("{what} {len} is more than {max}")));
        }
        Ok(len)
    }

    /// Fails unless everything was read.
    pub fn finish(&self, what: &str) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.corrupt(format!("{} bytes after {what}", self.remaining()))) }
    }

    /// An error at the present offset.
    pub fn corrupt(&self, message: impl Into<String>) -> Error {
        Error::corrupt(self.at as u64, message)
    }
}

/// Appends little-endian numbers.
pub trait WriteLe {
    fn put_u8(&mut self, v: u8);
    fn put_u16(&mut self, v: u16);
    fn put_u32(&mut self, v: u32);
    fn put_u64(&mut self, v: u64);
    fn put_i128(&mut self, v: i128);
    /// Unsigned LEB128.
    fn put_varint(&mut self, v: u64);
    /// Zigzag, then unsigned LEB128.
    fn put_signed_varint(&mut self, v: i64) {
        self.put_varint((v << 1 ^ v >> 63) as u64);
    }
}

impl WriteLe for Vec<u8> {
    fn put_u8(&mut self, v: u8) {
        self.push(v);
    }
    fn put_u16(&mut self, v: u16) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_u32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_u64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_i128(&mut self, v: i128) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.push(v as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_long_ones_are_refused() {
        for v in [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            bytes.put_signed_varint(v);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.signed_varint().unwrap(), v);
            assert!(reader.is_empty());
        }
        assert!(Reader::new(&[0xff; 20]).varint().is_err());
        assert!(Reader::new(&[0x80; 5]).varint().is_err());
    }
}
