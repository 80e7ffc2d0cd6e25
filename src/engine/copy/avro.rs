//! Avro files of a COPY (Avro specification 1.12, "Object Container Files").
//!
//! A file is cut where its blocks end, as text is where lines do, and the blocks of all files are unpacked and decoded at the same
//! time. Rows go by the rules of text, value by value, so that every option holds that says how values are read.

mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use super::blocks::{BLOCK_BYTES, Broken, unreadable};
use super::infer::Found;
use super::refused::{Code, LoadError};
use crate::common::{Error, Result};
use schema::{Damage, Schema};
use value::zigzag;

/// The longest schema, with what else stands before the blocks.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The longest block, packed or not: it is held in memory.
const MAX_BLOCK_BYTES: u64 = 128 << 20;
/// Rows of blocks that are handed out together, about.
const ROWS: u64 = 64 << 10;

/// What stands before the blocks of a file.
#[derive(Debug)]
struct Header {
    schema: Schema,
    codec: Codec,
    sync: [u8; 16],
}

/// How blocks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
}

/// Blocks of a file that follow each other.
#[derive(Debug)]
pub struct Records {
    file: Arc<str>,
    header: Arc<Header>,
    /// Number of the first row, from 1.
    row: u64,
    /// Of the first block in the file, as it is decompressed.
    offset: u64,
    blocks: Vec<Block>,
}

/// Rows as the file has them, packed.
#[derive(Debug)]
struct Block {
    rows: u64,
    bytes: Vec<u8>,
}

/// Gives the file's blocks to `to`, until that wants no more. Blocks while the input does.
///
/// Errors: Invalid, code 1200, for what is no Avro, or damaged; what reading gives.
pub fn cut(input: impl Read, file: &Arc<str>, mut to: impl FnMut(Records) -> bool) -> Result<(), Broken> {
    let mut source = Source { input: BufReader::new(input), offset: 0 };
    let mut row = 1;
    let mut read = || {
        let header = Arc::new(source.header()?);
        loop {
            let (offset, first) = (source.offset, row);
            let (mut blocks, mut bytes) = (Vec::new(), 0);
            // What is packed becomes more.
            let wanted = if header.codec == Codec::Null { BLOCK_BYTES } else { BLOCK_BYTES / 4 };
            while bytes < wanted
                && row - first < ROWS
                && let Some(block) = source.block(&header)?
            {
                // Those of no bytes take room, too.
                bytes += block.bytes.len() + size_of::<Block>();
                row = row.checked_add(block.rows).ok_or_else(|| damage("its blocks have too many rows"))?;
                blocks.push(block);
            }
            let ends = blocks.is_empty();
            let records = Records { file: Arc::clone(file), header: Arc::clone(&header), row: first, offset, blocks };
            if ends || !to(records) {
                return Ok(());
            }
        }
    };
    let result = read();
    result.map_err(|e| {
        unreadable(file, e, |e| format!("as Avro: {e}"), |_, reason| unread(file, row, source.offset, reason))
    })
}

/// The columns that the file's records have.
pub fn columns(input: impl Read, file: &Arc<str>) -> Result<Vec<Found>> {
    let mut source = Source { input: BufReader::new(input), offset: 0 };
    let read = source.header().and_then(|header| match header.schema.fields() {
        None => Err(damage("it is not of records")),
        Some(fields) => {
            let found = |field: &schema::Field| Found {
                name: field.name.clone(),
                sql_type: header.schema.sql_type(field.node),
                in_order: false,
            };
            Ok(fields.iter().map(found).collect())
        }
    });
    let line = |_, reason| unread(file, 0, source.offset, reason);
    read.map_err(|e| unreadable(file, e, |e| format!("as Avro: {e}"), line).error)
}

/// A row that cannot be read, nor what follows it.
fn unread(file: &Arc<str>, row: u64, offset: u64, reason: String) -> LoadError {
    LoadError {
        file: Arc::clone(file),
        line: row,
        offset,
        column: None,
        position: 0,
        raw_line: String::new(),
        raw_value: String::new(),
        code: Code::UNKNOWN,
        reason,
        fields: Vec::new(),
    }
}

fn damage(what: impl Into<Damage>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// A file as it is read.
struct Source<R> {
    input: BufReader<R>,
    offset: u64,
}

impl<R: Read> Source<R> {
    fn header(&mut self) -> io::Result<Header> {
        const MAGIC: &[u8] = b"Obj\x01";
        let mut magic = [0; 4];
        let there = self.exactly(&mut magic).is_ok();
        if !there || magic != MAGIC {
            return Err(damage("it does not begin as such a file does"));
        }
        let mut metadata = HashMap::new();
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                let (key, value) = (self.text()?, self.text()?);
                metadata.insert(key, value);
            }
        }
        let mut sync = [0; 16];
        self.exactly(&mut sync)?;
        let schema = metadata.get(&b"avro.schema"[..]).ok_or_else(|| damage("it has no schema"))?;
        let codec = codec(metadata.get(&b"avro.codec"[..]).map_or(b"null", Vec::as_slice)).map_err(damage)?;
        Ok(Header { schema: Schema::parse(schema).map_err(damage)?, codec, sync })
    }

    /// The next block; `None` at the file's end.
    fn block(&mut self, header: &Header) -> io::Result<Option<Block>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let rows = u64::try_from(self.long()?).map_err(|_| damage("a block has a negative number of rows"))?;
        let length = u64::try_from(self.long()?).map_err(|_| damage("a block has a negative length"))?;
        if length > MAX_BLOCK_BYTES {
            return Err(damage(too_long()));
        }
        let bytes = self.bytes(length)?;
        let mut sync = [0; 16];
        self.exactly(&mut sync)?;
        match sync == header.sync {
            true => Ok(Some(Block { rows, bytes })),
            false => Err(damage("a block does not end where it says")),
        }
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let length = u64::try_from(self.long()?).map_err(|_| damage("its header has a negative length"))?;
        match self.offset.saturating_add(length) > MAX_HEADER_BYTES {
            true => Err(damage(format!("its header has more than {} MB", MAX_HEADER_BYTES >> 20))),
            false => self.bytes(length),
        }
    }

    /// So many bytes, for which there is no room before they are there.
    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(length).read_to_end(&mut bytes)? as u64;
        self.offset += read;
        match read == length {
            true => Ok(bytes),
            false => Err(damage("it is cut off")),
        }
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let read = self.bytes(bytes.len() as u64)?;
        bytes.copy_from_slice(&read);
        Ok(())
    }

    fn long(&mut self) -> io::Result<i64> {
        let mut byte = [0];
        zigzag(
            || {
                self.exactly(&mut byte)?;
                Ok(byte[0])
            },
            || damage("a number has more than 64 bits"),
        )
    }
}

fn codec(name: &[u8]) -> Result<Codec, Damage> {
    Ok(match name {
        b"null" => Codec::Null,
        b"deflate" => Codec::Deflate,
        b"snappy" => Codec::Snappy,
        b"zstandard" => Codec::Zstandard,
        b"bzip2" => Codec::Bzip2,
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(format!("its codec is \"{name}\", where null, deflate, snappy, zstandard and bzip2 are read"));
        }
    })
}

fn too_long() -> Damage {
    format!("a block of more than {} MB", MAX_BLOCK_BYTES >> 20)
}

impl Codec {
    /// What was packed.
    fn unpack(self, packed: &[u8]) -> Result<Cow<'_, [u8]>, Damage> {
        Ok(match self {
            Codec::Null => Cow::Borrowed(packed),
            Codec::Deflate => Cow::Owned(all(flate2::read::DeflateDecoder::new(packed))?),
            Codec::Bzip2 => Cow::Owned(all(bzip2::read::MultiBzDecoder::new(packed))?),
            Codec::Zstandard => Cow::Owned(all(zstd::stream::read::Decoder::new(packed).map_err(|e| e.to_string())?)?),
            Codec::Snappy => Cow::Owned(unsnap(packed)?),
        })
    }
}

fn all(unpacked: impl Read) -> Result<Vec<u8>, Damage> {
    let mut bytes = Vec::new();
    let read = unpacked.take(MAX_BLOCK_BYTES + 1).read_to_end(&mut bytes);
    match read {
        Err(e) => Err(format!("a block cannot be unpacked: {e}")),
        Ok(read) if read as u64 > MAX_BLOCK_BYTES => Err(too_long()),
        Ok(_) => Ok(bytes),
    }
}

/// Snappy has a checksum behind it.
fn unsnap(packed: &[u8]) -> Result<Vec<u8>, Damage> {
    let wrong = |e: snap::Error| format!("a block cannot be unpacked: {e}");
    let (packed, checksum) = packed.split_last_chunk().ok_or("a block cannot be unpacked: it has no checksum")?;
    if snap::raw::decompress_len(packed).map_err(wrong)? as u64 > MAX_BLOCK_BYTES {
        return Err(too_long());
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(packed).map_err(wrong)?;
    match crc32fast::hash(&bytes) == u32::from_be_bytes(*checksum) {
        true => Ok(bytes),
        false => Err("a block has another checksum than it says".into()),
    }
}

impl Records {
    /// The error of a row, which ends the load, since what follows cannot be found.
    fn broken(&self, row: u64, reason: Damage) -> Broken {
        let error: Error = super::damaged(&self.file, &format!("as Avro, at row {row}: {reason}"));
        Broken { error, line: Some(Box::new(unread(&self.file, row, self.offset, reason))) }
    }
}
