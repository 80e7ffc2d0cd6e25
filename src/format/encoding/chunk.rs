//! Encoding a chunk of one column: NULL slots filled, the encoding chosen, pages and dictionary written.

use super::bytedict::{self, Codes};
use super::words::{self, Kind};
use super::{VALIDITY_ALL_NULL, VALIDITY_BITMAP, VALIDITY_NO_NULLS};
use super::{alp, auto, az64, delta, fixed::Keys, fsst, fsstdict, lz4, mostly, raw, runlength, zstd};
use super::{stored_encoding, supports};
use crate::common::{EncodingName, Error, Result, Stored};
use crate::format::bytes::WriteLe;
use crate::format::column::{ByteValues, Column, Values};
use crate::format::stable::{EncodingId, Geometry};
use arrow::buffer::{BooleanBuffer, NullBuffer};

/// AUTO chooses again at a segment's start, and when bytes per row leave those of the chunk it chose by, by more than this share.
const DRIFT_PERCENT: usize = 20;

/// A symbol table serves further chunks of its segment while they take at most this, in percent of the bytes per byte
/// of the chunk that it was trained on.
const SYMBOLS_WEAR_PERCENT: usize = 115;

/// One column's chunk, encoded.
#[derive(Debug)]
pub struct EncodedChunk {
    /// What was stored, which is RAW where the encoding asked for cannot hold the chunk.
    pub encoding: EncodingId,
    pub dictionary: DictionaryUse,
    /// One per zone.
    pub pages: Vec<Vec<u8>>,
}

impl EncodedChunk {
    /// Bytes of pages and of a new dictionary.
    pub fn encoded_len(&self) -> usize {
        let dictionary = match &self.dictionary {
            DictionaryUse::New(bytes) => bytes.len(),
            DictionaryUse::None | DictionaryUse::Shared => 0,
        };
        dictionary + self.pages.iter().map(Vec::len).sum::<usize>()
    }
}

/// Which dictionary a chunk's pages need.
#[derive(Debug, PartialEq, Eq)]
pub enum DictionaryUse {
    None,
    New(Vec<u8>),
    /// The same bytes as the last New of this segment.
    Shared,
}

/// Encodes the chunks of one column, one after another.
#[derive(Debug)]
pub struct ChunkEncoder {
    stored: Stored,
    name: EncodingName,
    geometry: Geometry,
    light: bool,
    auto: Option<Choice>,
    last: Option<LastDictionary>,
}

/// AUTO's choice and how well it did on the chunk it was made by.
#[derive(Debug, Clone, Copy)]
struct Choice {
    encoding: EncodingId,
    milli_bytes_per_row: usize,
}

/// The segment's last new dictionary.
#[derive(Debug)]
enum LastDictionary {
    Values(EncodingId, Codes),
    Parts {
        encoding: EncodingId,
        encoder: PartEncoder,
        /// Compressed per 1,000 bytes, on the chunk that it was trained on.
        per_mille: usize,
    },
}

/// Encodes text by codes for parts of it, found in a chunk.
#[derive(Debug)]
enum PartEncoder {
    Symbols(Box<fsst::Encoder>),
    Words(words::Encoder),
}

impl PartEncoder {
    fn train(id: EncodingId, pages: &[&ByteValues]) -> Result<Self> {
        Ok(match id {
            EncodingId::Text255 => PartEncoder::Words(words::Encoder::train(Kind::Text255, pages)),
            EncodingId::Text32k => PartEncoder::Words(words::Encoder::train(Kind::Text32k, pages)),
            _ => PartEncoder::Symbols(Box::new(fsst::Encoder::train(pages)?)),
        })
    }

    fn table_bytes(&self) -> Vec<u8> {
        match self {
            PartEncoder::Symbols(encoder) => encoder.table_bytes(),
            PartEncoder::Words(encoder) => encoder.table_bytes(),
        }
    }

    fn encode(&self, values: &ByteValues, out: &mut Vec<u8>) -> Result<()> {
        match self {
            PartEncoder::Symbols(encoder) => encoder.encode(values, out),
            PartEncoder::Words(encoder) => encoder.encode(values, out),
        }
    }
}

/// An encoded chunk and, where its dictionary is new, what later chunks share once it is taken: AUTO may try an encoding
/// and not take it, and then no reader sees that dictionary.
type Attempt = (EncodedChunk, Option<LastDictionary>);

/// A page's values with NULL slots filled; `None` when all are NULL.
pub(super) struct Filled {
    pub values: Option<Values>,
    validity: Option<NullBuffer>,
}

impl ChunkEncoder {
    /// `name` should be [`super::allowed`] for the column's type.
    pub fn new(stored: Stored, name: EncodingName, geometry: Geometry) -> Self {
        ChunkEncoder { stored, name, geometry, light: false, auto: None, last: None }
    }

    /// Whether AUTO leaves out what is slower to read than to hold: see [`super::SMALL_TABLE_BYTES`].
    pub fn set_light(&mut self, light: bool) {
        self.light = light;
    }

    /// Begins another segment: its first dictionary is new, and AUTO chooses again (a RAW column would never be seen to
    /// drift).
    pub fn start_segment(&mut self) {
        self.last = None;
        self.auto = None;
    }

    /// Encodes 1 to `chunk_rows` rows.
    ///
    /// Errors: Unsupported for an encoding that is not stored; Invalid when a zone's text takes 4 GiB or more.
    pub fn encode(&mut self, chunk: &Column) -> Result<EncodedChunk> {
        if !chunk.fits(self.stored) || chunk.is_empty() || chunk.len() > self.geometry.chunk_rows() {
            return Err(Error::internal(format!("a chunk of {} rows of {:?}", chunk.len(), chunk.stored())));
        }
        let zone_rows = self.geometry.zone_rows();
        let pages: Vec<Filled> = (0..chunk.len())
            .step_by(zone_rows)
            .map(|start| fill(chunk.slice(start, zone_rows.min(chunk.len() - start))))
            .collect();
        if self.name == EncodingName::Auto {
            return self.encode_auto(&pages, chunk.len());
        }
        let id = stored_encoding(self.name)
            .filter(|id| supports(*id, self.stored))
            .ok_or_else(|| Error::unsupported(format!("encoding {} of {:?} values", self.name, self.stored)))?;
        match self.encode_as(id, &pages)? {
            Some(attempt) => Ok(self.accept(attempt)),
            None => self.encode_plain(EncodingId::Raw, &pages),
        }
    }

    fn accept(&mut self, (encoded, last): Attempt) -> EncodedChunk {
        if last.is_some() {
            self.last = last;
        }
        encoded
    }

    fn encode_auto(&mut self, pages: &[Filled], rows: usize) -> Result<EncodedChunk> {
        // A chunk of NULLs says nothing about the values.
        if pages.iter().all(|page| page.values.is_none()) {
            let id = self.auto.map_or(EncodingId::Raw, |choice| choice.encoding);
            return self.encode_plain(if has_dictionary(id) { EncodingId::Raw } else { id }, pages);
        }
        let per_row = |encoded: &EncodedChunk| encoded.encoded_len() * 1000 / rows;
        let mut tried = None;
        if let Some(choice) = self.auto
            && let Some(attempt) = self.encode_as(choice.encoding, pages)?
        {
            let (now, then) = (per_row(&attempt.0), choice.milli_bytes_per_row);
            if now.abs_diff(then) * 100 <= then * DRIFT_PERCENT {
                return Ok(self.accept(attempt));
            }
            tried = Some(attempt);
        }
        for id in auto::candidates(self.stored, self.light, pages, rows)? {
            let attempt = match tried.take_if(|(encoded, _)| encoded.encoding == id) {
                Some(attempt) => Some(attempt),
                None => self.encode_as(id, pages)?,
            };
            if let Some(attempt) = attempt {
                self.auto = Some(Choice { encoding: id, milli_bytes_per_row: per_row(&attempt.0) });
                return Ok(self.accept(attempt));
            }
        }
        Err(Error::internal("no encoding holds a chunk"))
    }

    /// `None` when the encoding cannot hold the chunk.
    fn encode_as(&self, id: EncodingId, pages: &[Filled]) -> Result<Option<Attempt>> {
        let all_null = pages.iter().all(|page| page.values.is_none());
        match id {
            EncodingId::ByteDict if !all_null => self.encode_by_value(id, bytedict::put_text, pages),
            EncodingId::FsstDict if !all_null => self.encode_by_value(id, fsstdict::put_text, pages),
            EncodingId::Fsst | EncodingId::Text255 | EncodingId::Text32k if !all_null => {
                self.encode_by_part(id, pages).map(Some)
            }
            _ => Ok(Some((self.encode_plain(id, pages)?, None))),
        }
    }

    fn encode_plain(&self, id: EncodingId, pages: &[Filled]) -> Result<EncodedChunk> {
        let pages = pages.iter().map(|page| {
            page.write(|values, out| match id {
                EncodingId::Raw => raw::encode(values, out),
                EncodingId::RunLength => runlength::encode(values, out),
                EncodingId::Zstd => zstd::encode(values, out),
                EncodingId::Az64 => match Keys::of(values) {
                    Some(Keys::Narrow(values)) => {
                        az64::encode(&values, out);
                        Ok(())
                    }
                    Some(Keys::Wide(values)) => {
                        az64::encode_wide(&values, out);
                        Ok(())
                    }
                    None => Err(Error::internal("AZ64 of text")),
                },
                EncodingId::Delta => delta::encode(values, 1, out),
                EncodingId::Delta32k => delta::encode(values, 2, out),
                EncodingId::Mostly8 => mostly::encode(values, 1, out),
                EncodingId::Mostly16 => mostly::encode(values, 2, out),
                EncodingId::Mostly32 => mostly::encode(values, 4, out),
                EncodingId::Lz4 => lz4::encode(values, out),
                EncodingId::Alp => alp::encode(values, out),
                EncodingId::ByteDict
                | EncodingId::FsstDict
                | EncodingId::Fsst
                | EncodingId::Text255
                | EncodingId::Text32k => Err(Error::internal("pages without their dictionary")),
            })
        });
        Ok(EncodedChunk { encoding: id, dictionary: DictionaryUse::None, pages: pages.collect::<Result<_>>()? })
    }

    /// BYTEDICT and FSSTDICT; `None` when there are too many values.
    fn encode_by_value(
        &self,
        encoding: EncodingId,
        put_text: bytedict::PutText,
        pages: &[Filled],
    ) -> Result<Option<Attempt>> {
        let shared = match &self.last {
            Some(LastDictionary::Values(of, codes)) if *of == encoding => Some(codes),
            _ => None,
        };
        let values: Vec<&Values> = pages.iter().filter_map(|page| page.values.as_ref()).collect();
        let Some(coded) = bytedict::encode(self.stored, &values, shared, put_text)? else {
            return Ok(None);
        };
        let mut codes = coded.pages.iter();
        let pages = pages
            .iter()
            .map(|page| {
                page.write(|_, out| {
                    let codes = codes.next().ok_or_else(|| Error::internal("a page without codes"))?;
                    bytedict::encode_page(codes, out);
                    Ok(())
                })
            })
            .collect::<Result<_>>()?;
        let (dictionary, last) = match coded.new {
            Some((bytes, codes)) => (DictionaryUse::New(bytes), Some(LastDictionary::Values(encoding, codes))),
            None => (DictionaryUse::Shared, None),
        };
        Ok(Some((EncodedChunk { encoding, dictionary, pages }, last)))
    }

    /// FSST, TEXT255 and TEXT32K.
    fn encode_by_part(&self, encoding: EncodingId, pages: &[Filled]) -> Result<Attempt> {
        let texts: Vec<&ByteValues> = pages
            .iter()
            .filter_map(|page| match &page.values {
                Some(Values::Bytes(text)) => Some(text),
                _ => None,
            })
            .collect();
        let plain: usize = texts.iter().map(|text| text.data_len()).sum();
        let write = |encoder: &PartEncoder| -> Result<(Vec<Vec<u8>>, usize)> {
            let write = |page: &Filled| {
                page.write(|values, out| match values {
                    Values::Bytes(text) => encoder.encode(text, out),
                    _ => Err(Error::internal("parts of what is not text")),
                })
            };
            let pages = pages.iter().map(write).collect::<Result<Vec<_>>>()?;
            let per_mille = pages.iter().map(Vec::len).sum::<usize>() * 1000 / plain.max(1);
            Ok((pages, per_mille))
        };
        if let Some(LastDictionary::Parts { encoding: of, encoder, per_mille }) = &self.last
            && *of == encoding
        {
            let (pages, now) = write(encoder)?;
            if now * 100 <= per_mille * SYMBOLS_WEAR_PERCENT {
                let dictionary = DictionaryUse::Shared;
                return Ok((EncodedChunk { encoding, dictionary, pages }, None));
            }
        }
        let encoder = PartEncoder::train(encoding, &texts)?;
        let (pages, per_mille) = write(&encoder)?;
        let dictionary = DictionaryUse::New(encoder.table_bytes());
        let last = LastDictionary::Parts { encoding, encoder, per_mille };
        Ok((EncodedChunk { encoding, dictionary, pages }, Some(last)))
    }
}

impl Filled {
    /// The page: validity, then what `payload` appends.
    fn write(&self, payload: impl FnOnce(&Values, &mut Vec<u8>) -> Result<()>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        match (&self.values, &self.validity) {
            (None, _) => {
                out.put_u8(VALIDITY_ALL_NULL);
                return Ok(out);
            }
            (Some(_), None) => out.put_u8(VALIDITY_NO_NULLS),
            (Some(_), Some(validity)) => {
                out.put_u8(VALIDITY_BITMAP);
                raw::put_bits(validity.inner(), &mut out);
            }
        }
        if let Some(values) = &self.values {
            payload(values, &mut out)?;
        }
        out.shrink_to_fit();
        Ok(out)
    }
}

fn has_dictionary(id: EncodingId) -> bool {
    use EncodingId as E;
    matches!(id, E::ByteDict | E::FsstDict | E::Fsst | E::Text255 | E::Text32k)
}

/// Fills a page's NULL slots with the value before them, those at the start with the first value.
fn fill(page: Column) -> Filled {
    let Some(validity) = page.validity else {
        return Filled { values: Some(page.values), validity: None };
    };
    let Some(first) = validity.valid_indices().next() else {
        return Filled { values: None, validity: None };
    };
    let mut last = first;
    let sources: Vec<usize> = (0..validity.len())
        .map(|i| {
            if validity.is_valid(i) {
                last = i;
            }
            last
        })
        .collect();
    Filled { values: Some(take(&page.values, &sources)), validity: Some(validity) }
}

pub(super) fn take(values: &Values, rows: &[usize]) -> Values {
    match values {
        Values::Bool(v) => Values::Bool(BooleanBuffer::collect_bool(rows.len(), |i| v.value(rows[i]))),
        Values::I16(v) => Values::I16(rows.iter().map(|i| v[*i]).collect()),
        Values::I32(v) => Values::I32(rows.iter().map(|i| v[*i]).collect()),
        Values::I64(v) => Values::I64(rows.iter().map(|i| v[*i]).collect()),
        Values::I128(v) => Values::I128(rows.iter().map(|i| v[*i]).collect()),
        Values::F32(v) => Values::F32(rows.iter().map(|i| v[*i]).collect()),
        Values::F64(v) => Values::F64(rows.iter().map(|i| v[*i]).collect()),
        Values::Bytes(v) => Values::Bytes(rows.iter().map(|i| v.value(*i)).collect()),
    }
}
