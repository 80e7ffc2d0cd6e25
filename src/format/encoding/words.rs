//! TEXT255 and TEXT32K: text as codes for the words that a chunk uses most.
//!
//! | dictionary | content |
//! |---|---|
//! | 2 | number of words (u16) |
//! | words | each word's length (u8) |
//! | rest | the words' bytes |
//!
//! The payload is laid out as [FSST's](super::fsst), with other codes. A string's words are what stands between its
//! blanks (bytes 0x20), which are implied: a string of n blanks has n + 1 words, of which some may be empty; only the
//! empty string has none. A word of the dictionary is its number, in 1 byte (TEXT255, at most 245 words) or 2 (TEXT32K,
//! at most 32,768 bytes of words). Any other is an escape, 0xff or 0xffff, its length (varint) and its bytes. A word of
//! the dictionary is never escaped: equal strings have equal codes, so that an equality is decided on the codes.
//!
//! Source: the Redshift manual, "Text255 and text32k encodings", which take the first words of a block. Ours take those
//! that save the most.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::bytedict::LoadHasher;
use super::fsst::{Coder, write_coded};
use crate::common::{Error, Result, SqlState};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::ByteValues;

const BLANK: u8 = b' ';

/// A word of a dictionary has at most so many bytes, so that a page does not unpack to endlessly more.
const MAX_WORD: usize = 255;

/// Words up to this length, a blank behind them included, are copied as a whole.
const SHORT: usize = 16;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text255,
    Text32k,
}

impl Kind {
    /// TEXT255's words, at most.
    const WORDS: usize = 245;
    /// Bytes of TEXT32K's words, at most.
    const BYTES: usize = 32_768;

    fn code_bytes(self) -> usize {
        match self {
            Kind::Text255 => 1,
            Kind::Text32k => 2,
        }
    }

    fn escape(self) -> u16 {
        match self {
            Kind::Text255 => 0xff,
            Kind::Text32k => 0xffff,
        }
    }

    fn holds(self, words: usize, bytes: usize) -> bool {
        match self {
            Kind::Text255 => words <= Self::WORDS,
            // Of which one at most is empty.
            Kind::Text32k => words <= Self::BYTES + 1 && bytes <= Self::BYTES,
        }
    }
}

/// The words of a string.
fn words_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == BLANK).take(if text.is_empty() { 0 } else { usize::MAX })
}

/// Words and their numbers, found in a chunk.
#[derive(Debug)]
pub(super) struct Encoder {
    kind: Kind,
    words: Vec<Vec<u8>>,
    codes: HashMap<Vec<u8>, u16, BuildHasherDefault<LoadHasher>>,
}

impl Encoder {
    /// Chooses the words that save the most bytes.
    pub fn train(kind: Kind, pages: &[&ByteValues]) -> Self {
        let mut counts: HashMap<&[u8], usize, BuildHasherDefault<LoadHasher>> = HashMap::default();
        for page in pages {
            for i in 0..page.len() {
                words_of(page.value(i)).for_each(|word| *counts.entry(word).or_default() += 1);
            }
        }
        // Each time an escape, a length and the word are a code; once the word and its length stand in the dictionary.
        let saved = |word: &[u8], count: usize| ((1 + word.len()) * count).checked_sub(1 + word.len());
        let mut words: Vec<(usize, &[u8])> = counts
            .into_iter()
            .filter(|(word, _)| word.len() <= MAX_WORD)
            .filter_map(|(word, count)| Some((saved(word, count).filter(|saved| *saved > 0)?, word)))
            .collect();
        words.sort_unstable_by_key(|(saved, word)| (Reverse(*saved), *word));
        let mut taken: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        for (_, word) in words {
            if kind.holds(taken.len() + 1, bytes + word.len()) {
                bytes += word.len();
                taken.push(word.to_vec());
            } else if kind == Kind::Text255 {
                break;
            }
        }
        let codes = taken.iter().enumerate().map(|(i, word)| (word.clone(), i as u16)).collect();
        Encoder { kind, words: taken, codes }
    }

    /// The dictionary in stored form.
    pub fn table_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u16(self.words.len() as u16);
        self.words.iter().for_each(|word| out.put_u8(word.len() as u8));
        self.words.iter().for_each(|word| out.extend_from_slice(word));
        out
    }

    /// Appends one page's strings.
    pub fn encode(&self, values: &ByteValues, out: &mut Vec<u8>) -> Result<()> {
        let too_long = || Error::invalid(SqlState::STRING_TOO_LONG, "the text of one zone takes 4 GiB or more");
        let total = u32::try_from(values.data_len()).map_err(|_| too_long())?;
        let mut codes = Vec::with_capacity(values.data_len() / 2);
        let mut lengths = Vec::with_capacity(values.len());
        for i in 0..values.len() {
            let before = codes.len();
            put_codes(self.kind, values.value(i), |word| self.codes.get(word).copied(), &mut codes);
            lengths.push((codes.len() - before) as u64);
        }
        if u32::try_from(codes.len()).is_err() {
            return Err(too_long());
        }
        write_coded(total, &lengths, &codes, out);
        Ok(())
    }
}

fn put_codes<'t>(kind: Kind, text: &'t [u8], code_of: impl Fn(&'t [u8]) -> Option<u16>, out: &mut Vec<u8>) {
    for word in words_of(text) {
        let code = code_of(word);
        out.extend_from_slice(&code.unwrap_or(kind.escape()).to_le_bytes()[..kind.code_bytes()]);
        if code.is_none() {
            out.put_varint(word.len() as u64);
            out.extend_from_slice(word);
        }
    }
}

/// A dictionary that was read and checked.
///
/// Invariants: `spans` lie within `bytes` with [`SHORT`] bytes to spare; there are no more than [`Kind`] holds.
#[derive(Debug)]
pub(super) struct WordTable {
    kind: Kind,
    /// Each word with a blank behind it.
    bytes: Vec<u8>,
    /// Where each word begins, and its length with its blank.
    spans: Vec<(u32, u32)>,
}

impl WordTable {
    pub fn open(kind: Kind, stored: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(stored);
        let count = usize::from(reader.u16()?);
        let lengths = reader.take(count)?;
        let mut table = WordTable { kind, bytes: Vec::new(), spans: Vec::with_capacity(count) };
        for len in lengths {
            let word = reader.take(usize::from(*len))?;
            if word.contains(&BLANK) {
                return Err(reader.corrupt("a word has a blank"));
            }
            table.spans.push((table.bytes.len() as u32, u32::from(*len) + 1));
            table.bytes.extend_from_slice(word);
            table.bytes.push(BLANK);
        }
        if !kind.holds(count, table.bytes.len() - count) {
            return Err(reader.corrupt("a dictionary has too many words"));
        }
        reader.finish("words")?;
        table.bytes.extend_from_slice(&[0; SHORT]);
        Ok(table)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn memory_size(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<(u32, u32)>()
    }

    /// Writes the words of `codes` from `at` of `room`, whose last [`SHORT`] bytes are spare, a blank behind each;
    /// returns where the string ends, before the last blank.
    #[inline(always)]
    fn write(&self, codes: &[u8], room: &mut [u8], mut at: usize) -> Result<usize> {
        let corrupt = |what: &str| Error::corrupt(0, what);
        let longer = || corrupt("strings are longer than stated");
        let limit = room.len() - SHORT;
        let start = at;
        let mut rest = codes;
        while let Some((first, after)) = rest.split_first() {
            let mut code = u16::from(*first);
            rest = after;
            if self.kind == Kind::Text32k {
                let (second, after) = rest.split_first().ok_or_else(|| corrupt("half a code"))?;
                code |= u16::from(*second) << 8;
                rest = after;
            }
            if let Some((from, len)) = self.spans.get(usize::from(code)) {
                let (from, len) = (*from as usize, *len as usize);
                // The last word's blank goes beyond the string.
                if at + len > limit + 1 {
                    return Err(longer());
                }
                if len <= SHORT {
                    room[at..at + SHORT].copy_from_slice(&self.bytes[from..from + SHORT]);
                } else {
                    room[at..at + len].copy_from_slice(&self.bytes[from..from + len]);
                }
                at += len;
            } else if code == self.kind.escape() {
                let mut reader = Reader::new(rest);
                let len = usize::try_from(reader.varint()?).map_err(|_| longer())?;
                let word = reader.take(len)?;
                rest = reader.rest();
                if at + len > limit {
                    return Err(longer());
                }
                room[at..at + len].copy_from_slice(word);
                room[at + len] = BLANK;
                at += len + 1;
            } else {
                return Err(corrupt("a code without a word"));
            }
        }
        Ok(if at > start { at - 1 } else { at })
    }
}

impl Coder for WordTable {
    const MAX_RATIO: usize = MAX_WORD + 1;

    fn expand(&self, codes: &[u8], room: usize, out: &mut Vec<u8>) -> Result<()> {
        self.expand_all(codes, &[codes.len() as u32], room, out).map(drop)
    }

    fn expand_all(&self, codes: &[u8], ends: &[u32], room: usize, out: &mut Vec<u8>) -> Result<Vec<u32>> {
        let from = out.len();
        let room = room.min(codes.len().saturating_mul(Self::MAX_RATIO));
        out.resize(from + room + SHORT, 0);
        let mut text_ends = Vec::with_capacity(ends.len());
        let (mut start, mut at) = (0, from);
        for end in ends {
            at = self.write(&codes[start..*end as usize], out, at)?;
            text_ends.push((at - from) as u32);
            start = *end as usize;
        }
        out.truncate(at);
        Ok(text_ends)
    }

    fn compress(&self, text: &[u8]) -> Vec<u8> {
        let mut codes = Vec::new();
        let word = |(from, len): &(u32, u32)| &self.bytes[*from as usize..(*from + *len - 1) as usize];
        let code_of = |wanted: &[u8]| self.spans.iter().position(|span| word(span) == wanted).map(|i| i as u16);
        put_codes(self.kind, text, code_of, &mut codes);
        codes
    }
}
