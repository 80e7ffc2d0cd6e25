//! Compression of text files, and how large a file may become of what was given so far.

use std::io::{self, Write};

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::sql::ast::UnloadCompression;

/// Takes bytes, and gives those of the file.
pub enum Packer {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Bzip2(BzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Packer {
    pub fn new(compression: Option<UnloadCompression>) -> io::Result<Self> {
        Ok(match compression {
            None => Packer::Plain(Vec::new()),
            Some(UnloadCompression::Gzip) => Packer::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Some(UnloadCompression::Bzip2) => Packer::Bzip2(BzEncoder::new(Vec::new(), bzip2::Compression::best())),
            Some(UnloadCompression::Zstd) => {
                Packer::Zstd(ZstdEncoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?)
            }
        })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Packer::Plain(out) => out.extend_from_slice(bytes),
            Packer::Gzip(encoder) => encoder.write_all(bytes)?,
            Packer::Bzip2(encoder) => encoder.write_all(bytes)?,
            Packer::Zstd(encoder) => encoder.write_all(bytes)?,
        }
        Ok(())
    }

    /// What has come out and was not taken yet.
    pub fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Packer::Plain(out) => out,
            Packer::Gzip(encoder) => encoder.get_mut(),
            Packer::Bzip2(encoder) => encoder.get_mut(),
            Packer::Zstd(encoder) => encoder.get_mut(),
        }
    }

    /// What was not taken yet, to the file's end.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Packer::Plain(out) => Ok(out),
            Packer::Gzip(encoder) => encoder.finish(),
            Packer::Bzip2(encoder) => encoder.finish(),
            Packer::Zstd(encoder) => encoder.finish(),
        }
    }

    /// The most bytes that may still come out of `given` bytes. Compressors hold a block back: of bzip2 900,000 bytes, of zstd
    /// 128 KiB, of zlib less. What cannot be compressed grows by less than a hundredth (bzip2's manual: 1 % and 600 bytes).
    pub fn at_most(&self, given: u64) -> u64 {
        let block = match self {
            Packer::Plain(_) => return 0,
            Packer::Gzip(_) | Packer::Zstd(_) => 256 << 10,
            Packer::Bzip2(_) => 1 << 20,
        };
        let held = given.min(block);
        held + held / 100 + 1024
    }
}
