//! The bytes of a file: fetched ahead, decompressed, as UTF-8.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;

use crate::sql::ast::{Compression, TextEncoding};

/// Pieces that are fetched ahead of the reader.
const AHEAD: usize = 8;

/// The content of an object, fetched by a task of its own. To be read where blocking is allowed.
pub fn fetch(store: Arc<dyn ObjectStore>, location: Path) -> impl Read + Send {
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let read = async {
            let mut stream = store.get(&location).await?.into_stream();
            while let Some(piece) = stream.try_next().await? {
                if sender.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok::<(), object_store::Error>(())
        };
        if let Err(e) = read.await {
            // The reader may be gone already; then nobody asks.
            let _ = sender.send(Err(io::Error::other(e))).await;
        }
    });
    Pieces { pieces, current: Bytes::new() }
}

/// As it was before it was compressed.
pub fn plain(input: impl Read + Send + 'static, compression: Compression) -> io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(input)?),
    })
}

/// As UTF-8 text without byte-order mark.
pub fn text(
    input: impl Read + Send + 'static,
    compression: Compression,
    encoding: TextEncoding,
) -> io::Result<Box<dyn Read + Send>> {
    let plain = plain(input, compression)?;
    let big_endian = match encoding {
        TextEncoding::Utf8 => return Ok(Box::new(Unmarked { input: plain, start: Start::Unread })),
        TextEncoding::Utf16 => None,
        TextEncoding::Utf16Le => Some(false),
        TextEncoding::Utf16Be => Some(true),
    };
    Ok(Box::new(Utf16 {
        input: plain,
        big_endian,
        marked: false,
        units: Vec::new(),
        rest: None,
        text: Vec::new(),
        at: 0,
    }))
}

/// Reads what another task sends, piece by piece. Blocks until the next piece is there.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

/// UTF-8 without the mark that some editors put before it.
struct Unmarked<R> {
    input: R,
    start: Start,
}

enum Start {
    Unread,
    /// What was read to look for the mark, and how much of it was handed out.
    Held(Vec<u8>, usize),
    Passed,
}

impl<R: Read> Read for Unmarked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if let Start::Unread = self.start {
            let mut first = Vec::with_capacity(MARK.len());
            self.input.by_ref().take(MARK.len() as u64).read_to_end(&mut first)?;
            if first == MARK {
                first.clear();
            }
            self.start = Start::Held(first, 0);
        }
        if let Start::Held(first, at) = &mut self.start {
            let n = buffer.len().min(first.len() - *at);
            if n > 0 {
                buffer[..n].copy_from_slice(&first[*at..*at + n]);
                *at += n;
                return Ok(n);
            }
            self.start = Start::Passed;
        }
        self.input.read(buffer)
    }
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    input: R,
    /// Not known before the mark.
    big_endian: Option<bool>,
    marked: bool,
    /// Units that are read, the first half of a pair among them.
    units: Vec<u16>,
    /// The first byte of a unit.
    rest: Option<u8>,
    text: Vec<u8>,
    at: usize,
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.text.len() - self.at);
        buffer[..n].copy_from_slice(&self.text[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// What is wrong with bytes that are not of the encoding that they are read in.
#[derive(Debug)]
pub struct NotEncoded(&'static str);

impl fmt::Display for NotEncoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotEncoded {}

impl<R: Read> Utf16<R> {
    /// Whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        let damaged = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, NotEncoded(what));
        let mut bytes = vec![0; 64 << 10];
        let read = self.input.read(&mut bytes)?;
        bytes.truncate(read);
        if read == 0 {
            return match self.rest.is_none() && self.units.is_empty() {
                true => Ok(false),
                false => Err(damaged("the last character of UTF-16 is cut")),
            };
        }
        let all: Vec<u8> = self.rest.take().into_iter().chain(bytes).collect();
        let (pairs, rest) = all.as_chunks::<2>();
        self.rest = rest.first().copied();
        for pair in pairs {
            let little = u16::from_le_bytes(*pair);
            if !self.marked {
                self.marked = true;
                match (little, self.big_endian) {
                    (0xfeff, None | Some(false)) => {
                        self.big_endian = Some(false);
                        continue;
                    }
                    (0xfffe, None | Some(true)) => {
                        self.big_endian = Some(true);
                        continue;
                    }
                    (_, None) => {
                        return Err(damaged(
                            "UTF16 needs a byte-order mark: say UTF16LE or UTF16BE where there is none",
                        ));
                    }
                    (0xfeff | 0xfffe, Some(_)) => return Err(damaged("its byte-order mark is of the other UTF-16")),
                    _ => {}
                }
            }
            self.units.push(if self.big_endian == Some(true) { little.swap_bytes() } else { little });
        }
        (self.text, self.at) = (Vec::with_capacity(self.units.len() * 2), 0);
        let half = self.units.last().copied().filter(|unit| (0xd800..0xdc00).contains(unit));
        let whole = self.units.len() - usize::from(half.is_some());
        for read in char::decode_utf16(self.units[..whole].iter().copied()) {
            let character = read.map_err(|_| damaged("half a pair of UTF-16"))?;
            self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.units = half.into_iter().collect();
        Ok(true)
    }
}
