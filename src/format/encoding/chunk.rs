//! Encoding a chunk of one column: NULL slots filled, the encoding chosen, pages and dictionary written.

use super::bytedict::{self, Codes};
use super::{VALIDITY_ALL_NULL, VALIDITY_BITMAP, VALIDITY_NO_NULLS};
use super::{az64, fixed::Keys, fsst, raw, runlength, stored_encoding, supports, zstd};
use crate::common::{EncodingName, Error, Result, Stored};
use crate::format::bytes::WriteLe;
use crate::format::column::{ByteValues, Column, Values};
use crate::format::stable::{EncodingId, Geometry};
use arrow::buffer::{BooleanBuffer, NullBuffer};

/// AUTO looks at this share of a chunk's rows (1/n), yet at least [`SAMPLE_MIN_ROWS`], in [`SAMPLE_RUNS`] runs of
/// consecutive rows spread over it (BtrBlocks: Kuschewski et al., SIGMOD 2023, who take 10 runs of 64 rows of 64,000).
const SAMPLE_SHARE: usize = 100;
const SAMPLE_MIN_ROWS: usize = 2048;
const SAMPLE_RUNS: usize = 8;

/// AUTO chooses again at a segment's start, and when bytes per row leave those of the chunk it chose by, by more than this share.
const DRIFT_PERCENT: usize = 20;

/// What a slower encoding must come down to, in percent of the faster one's bytes, for AUTO to take it. Our choice:
/// AZ64 and RAW filter and decode in under a nanosecond a value; a dictionary's gather is nearly as fast; expanding
/// runs depends on their length, so only long runs pay.
const BYTEDICT_OVER_AZ64_PERCENT: usize = 70;
/// … and either has to save at least a byte for so many rows: a share of next to nothing is not worth it.
const LEAST_SAVING_ROWS: usize = 64;
const RUNLENGTH_PERCENT: usize = 50;
/// AZ64 that saves less than this over RAW is not worth unpacking.
const AZ64_OVER_RAW_PERCENT: usize = 95;
/// FSST decodes text at 1 to 3 GB/s, a dictionary gathers ready views.
const FSST_OVER_BYTEDICT_PERCENT: usize = 70;
const COMPRESSED_OVER_RAW_PERCENT: usize = 90;
/// Zstandard decodes at about 1 GB/s, cannot skip within a page and cannot be filtered encoded.
const ZSTD_PERCENT: usize = 50;
/// … and for numbers it competes with encodings that are ten times as fast, and filtered encoded.
const ZSTD_OF_NUMBERS_PERCENT: usize = 25;

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
    Values(Codes),
    Symbols {
        encoder: Box<fsst::Encoder>,
        /// Compressed per 1,000 bytes, on the chunk that it was trained on.
        per_mille: usize,
    },
}

/// An encoded chunk and, where its dictionary is new, what later chunks share once it is taken: AUTO may try an encoding
/// and not take it, and then no reader sees that dictionary.
type Attempt = (EncodedChunk, Option<LastDictionary>);

/// A page's values with NULL slots filled; `None` when all are NULL.
struct Filled {
    values: Option<Values>,
    validity: Option<NullBuffer>,
}

impl ChunkEncoder {
    /// `name` should be [`super::allowed`] for the column's type.
    pub fn new(stored: Stored, name: EncodingName, geometry: Geometry) -> Self {
        ChunkEncoder { stored, name, geometry, auto: None, last: None }
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
        for id in self.candidates(pages, rows)? {
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

    /// The encodings that AUTO would take, best first; the last holds any chunk.
    fn candidates(&self, pages: &[Filled], rows: usize) -> Result<Vec<EncodingId>> {
        let sample = sample(pages);
        let sampled = sample.len();
        let scaled = |bytes: usize| bytes * rows / sampled;
        let raw = scaled(raw::encoded_len(&sample));
        let runs = runlength::analyze(&sample, SAMPLE_RUNS, rows, pages.len());
        let dictionary = (self.stored != Stored::Bool).then(|| bytedict::analyze(&sample, rows)).flatten();
        let at_most = |bytes: usize, percent: usize, of: usize| bytes * 100 <= of * percent;

        let (mut best, mut bytes) = (EncodingId::Raw, raw);
        let mut otherwise = EncodingId::Raw;
        match &sample {
            Values::Bytes(_) if self.stored == Stored::Binary => {
                if let Some(dictionary) = dictionary
                    && at_most(dictionary, COMPRESSED_OVER_RAW_PERCENT, raw)
                {
                    (best, bytes) = (EncodingId::ByteDict, dictionary);
                }
            }
            Values::Bytes(text) => {
                let symbols = scaled(fsst::analyze(text)?) + 1024;
                if at_most(symbols, COMPRESSED_OVER_RAW_PERCENT, raw) {
                    (best, bytes) = (EncodingId::Fsst, symbols);
                    otherwise = best;
                }
                if let Some(dictionary) = dictionary
                    && at_most(dictionary, COMPRESSED_OVER_RAW_PERCENT, raw)
                    && !at_most(bytes, FSST_OVER_BYTEDICT_PERCENT, dictionary)
                {
                    (best, bytes) = (EncodingId::ByteDict, dictionary);
                }
            }
            _ => {
                if let Some(packed) = packed_len(&sample).map(scaled)
                    && at_most(packed, AZ64_OVER_RAW_PERCENT, raw)
                {
                    (best, bytes) = (EncodingId::Az64, packed);
                    otherwise = best;
                }
                if let Some(dictionary) = dictionary
                    && at_most(dictionary + rows / LEAST_SAVING_ROWS, BYTEDICT_OVER_AZ64_PERCENT, bytes)
                {
                    (best, bytes) = (EncodingId::ByteDict, dictionary);
                }
            }
        }
        if at_most(runs + rows / LEAST_SAVING_ROWS, RUNLENGTH_PERCENT, bytes) {
            (best, bytes) = (EncodingId::RunLength, runs);
        }
        // Zstandard costs the most to try; what already is a byte a row or less has little to gain.
        let percent = if self.stored.is_bytes() { ZSTD_PERCENT } else { ZSTD_OF_NUMBERS_PERCENT };
        if bytes > rows && at_most(scaled(zstd::analyze(&sample)?), percent, bytes) {
            best = EncodingId::Zstd;
        }
        Ok(vec![best, otherwise])
    }

    /// `None` when the encoding cannot hold the chunk.
    fn encode_as(&self, id: EncodingId, pages: &[Filled]) -> Result<Option<Attempt>> {
        let all_null = pages.iter().all(|page| page.values.is_none());
        match id {
            EncodingId::ByteDict if !all_null => self.encode_bytedict(pages),
            EncodingId::Fsst if !all_null => self.encode_fsst(pages).map(Some),
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
                EncodingId::ByteDict | EncodingId::Fsst => Err(Error::internal("pages without their dictionary")),
            })
        });
        Ok(EncodedChunk { encoding: id, dictionary: DictionaryUse::None, pages: pages.collect::<Result<_>>()? })
    }

    fn encode_bytedict(&self, pages: &[Filled]) -> Result<Option<Attempt>> {
        let shared = match &self.last {
            Some(LastDictionary::Values(codes)) => Some(codes),
            _ => None,
        };
        let values: Vec<&Values> = pages.iter().filter_map(|page| page.values.as_ref()).collect();
        let Some(coded) = bytedict::encode(self.stored, &values, shared)? else {
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
            Some((bytes, codes)) => (DictionaryUse::New(bytes), Some(LastDictionary::Values(codes))),
            None => (DictionaryUse::Shared, None),
        };
        Ok(Some((EncodedChunk { encoding: EncodingId::ByteDict, dictionary, pages }, last)))
    }

    fn encode_fsst(&self, pages: &[Filled]) -> Result<Attempt> {
        let texts: Vec<&ByteValues> = pages
            .iter()
            .filter_map(|page| match &page.values {
                Some(Values::Bytes(text)) => Some(text),
                _ => None,
            })
            .collect();
        let plain: usize = texts.iter().map(|text| text.data_len()).sum();
        let write = |encoder: &fsst::Encoder| -> Result<(Vec<Vec<u8>>, usize)> {
            let write = |page: &Filled| {
                page.write(|values, out| match values {
                    Values::Bytes(text) => encoder.encode(text, out),
                    _ => Err(Error::internal("FSST of what is not text")),
                })
            };
            let pages = pages.iter().map(write).collect::<Result<Vec<_>>>()?;
            let per_mille = pages.iter().map(Vec::len).sum::<usize>() * 1000 / plain.max(1);
            Ok((pages, per_mille))
        };
        if let Some(LastDictionary::Symbols { encoder, per_mille }) = &self.last {
            let (pages, now) = write(encoder)?;
            if now * 100 <= per_mille * SYMBOLS_WEAR_PERCENT {
                let dictionary = DictionaryUse::Shared;
                return Ok((EncodedChunk { encoding: EncodingId::Fsst, dictionary, pages }, None));
            }
        }
        let encoder = Box::new(fsst::Encoder::train(&texts)?);
        let (pages, per_mille) = write(&encoder)?;
        let dictionary = DictionaryUse::New(encoder.table_bytes());
        let last = LastDictionary::Symbols { encoder, per_mille };
        Ok((EncodedChunk { encoding: EncodingId::Fsst, dictionary, pages }, Some(last)))
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
    matches!(id, EncodingId::ByteDict | EncodingId::Fsst)
}

fn packed_len(values: &Values) -> Option<usize> {
    if matches!(values, Values::F32(_) | Values::F64(_) | Values::Bool(_)) {
        return None;
    }
    Some(match Keys::of(values)? {
        Keys::Narrow(values) => az64::analyze(&values),
        Keys::Wide(values) => match values.iter().map(|v| i64::try_from(*v)).collect::<Result<Vec<_>, _>>() {
            Ok(values) => az64::analyze(&values),
            Err(_) => values.len() * 16,
        },
    })
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

fn take(values: &Values, rows: &[usize]) -> Values {
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

/// Runs of consecutive rows spread over the pages that hold values; all rows of a small chunk.
fn sample(pages: &[Filled]) -> Values {
    let pages: Vec<&Values> = pages.iter().filter_map(|page| page.values.as_ref()).collect();
    let rows: usize = pages.iter().map(|page| page.len()).sum();
    // Positions within a sample fit 16 bits, as those of a zone do.
    let wanted = (rows / SAMPLE_SHARE).clamp(SAMPLE_MIN_ROWS, Geometry::MAX_ZONE_ROWS as usize).min(rows);
    let run = wanted.div_ceil(SAMPLE_RUNS);
    let mut picked: Vec<Vec<usize>> = vec![Vec::new(); pages.len()];
    for i in 0..SAMPLE_RUNS {
        // Runs of equal distance; those of a small chunk meet and cover it.
        let start = rows * i / SAMPLE_RUNS;
        let end = (start + run).min(rows * (i + 1) / SAMPLE_RUNS);
        let mut page = 0;
        let mut before = 0;
        for row in start..end {
            while row - before >= pages[page].len() {
                before += pages[page].len();
                page += 1;
            }
            picked[page].push(row - before);
        }
    }
    let parts: Vec<Values> =
        pages.iter().zip(&picked).filter(|(_, rows)| !rows.is_empty()).map(|(page, rows)| take(page, rows)).collect();
    concat(&parts)
}

fn concat(parts: &[Values]) -> Values {
    macro_rules! joined {
        ($variant:ident) => {
            Values::$variant(
                parts
                    .iter()
                    .flat_map(|part| match part {
                        Values::$variant(v) => v.iter().copied().collect::<Vec<_>>(),
                        _ => unreachable!("a chunk's pages have one stored form"),
                    })
                    .collect(),
            )
        };
    }
    match &parts[0] {
        Values::Bool(_) => Values::Bool(
            parts
                .iter()
                .flat_map(|part| match part {
                    Values::Bool(v) => v.iter().collect::<Vec<_>>(),
                    _ => unreachable!("a chunk's pages have one stored form"),
                })
                .collect(),
        ),
        Values::I16(_) => joined!(I16),
        Values::I32(_) => joined!(I32),
        Values::I64(_) => joined!(I64),
        Values::I128(_) => joined!(I128),
        Values::F32(_) => joined!(F32),
        Values::F64(_) => joined!(F64),
        Values::Bytes(_) => Values::Bytes(
            parts
                .iter()
                .flat_map(|part| match part {
                    Values::Bytes(v) => (0..v.len()).map(|i| v.value(i)).collect::<Vec<_>>(),
                    _ => unreachable!("a chunk's pages have one stored form"),
                })
                .collect(),
        ),
    }
}
