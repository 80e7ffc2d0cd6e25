//! What AUTO takes for a chunk: by the sizes that a sample tells, weighed by how fast each encoding is read.
//!
//! Never taken are DELTA, DELTA32K and MOSTLY8 to 32, whose values AZ64 holds in no more bits and filters packed;
//! LZ4, which like ZSTD cannot skip within a page, and saves less; TEXT255 and TEXT32K, which save more than FSST only
//! where a few words make up all text.

use super::chunk::{Filled, take};
use super::{alp, az64, bytedict, fixed::Keys, fsst, raw, runlength, zstd};
use crate::common::{Result, Stored};
use crate::format::column::Values;
use crate::format::stable::{EncodingId, Geometry};

/// A table is small while what it has stored and the Arrow arrays of the load together take at most so many bytes. AUTO
/// then chooses among light encodings (RAW, AZ64, ALP, BYTEDICT, RUNLENGTH): such a table stays in memory, and is read
/// more often than it is written. Our own choice, of the order of a cache; Redshift's small tables were measured to be
/// read 62 to 90 % slower when compressed.
pub const SMALL_TABLE_BYTES: u64 = 8 << 20;

/// AUTO looks at this share of a chunk's rows (1/n), yet at least [`SAMPLE_MIN_ROWS`], in [`SAMPLE_RUNS`] runs of
/// consecutive rows spread over it (BtrBlocks: Kuschewski et al., SIGMOD 2023, who take 10 runs of 64 rows of 64,000).
const SAMPLE_SHARE: usize = 100;
const SAMPLE_MIN_ROWS: usize = 2048;
const SAMPLE_RUNS: usize = 8;

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
/// Bytes of a symbol table, about.
const SYMBOLS_BYTES: usize = 1024;
const COMPRESSED_OVER_RAW_PERCENT: usize = 90;
/// Zstandard decodes at about 1 GB/s, cannot skip within a page and cannot be filtered encoded.
const ZSTD_PERCENT: usize = 50;
/// … and for numbers it competes with encodings that are ten times as fast, and filtered encoded.
const ZSTD_OF_NUMBERS_PERCENT: usize = 25;
/// A compressed dictionary has to pay over both its parts, BYTEDICT and FSST: it is decompressed as a whole when it is
/// opened, if only once for all its pages.
const FSSTDICT_PERCENT: usize = 80;
/// ALP decodes a value in about a nanosecond; RAW is copied.
const ALP_OVER_RAW_PERCENT: usize = 75;

/// The encodings that AUTO would take, best first; the last holds any chunk. A `light` choice is among RAW, AZ64, ALP,
/// BYTEDICT and RUNLENGTH, which cost next to nothing to read.
pub(super) fn candidates(stored: Stored, light: bool, pages: &[Filled], rows: usize) -> Result<Vec<EncodingId>> {
    let sample = sample(pages);
    let sampled = sample.len();
    let scaled = |bytes: usize| bytes * rows / sampled;
    let raw = scaled(raw::encoded_len(&sample));
    let runs = runlength::analyze(&sample, SAMPLE_RUNS, rows, pages.len());
    let dictionary = (stored != Stored::Bool).then(|| bytedict::analyze(&sample, rows)).flatten();
    let at_most = |bytes: usize, percent: usize, of: usize| bytes * 100 <= of * percent;

    let (mut best, mut bytes) = (EncodingId::Raw, raw);
    let mut otherwise = EncodingId::Raw;
    match &sample {
        // Symbols and words are of text only.
        Values::Bytes(_) if stored == Stored::Binary => {
            if let Some((codes, values)) = dictionary
                && at_most(codes + values, COMPRESSED_OVER_RAW_PERCENT, raw)
            {
                (best, bytes) = (EncodingId::ByteDict, codes + values);
            }
        }
        Values::Bytes(text) => {
            let symbols = if light { raw } else { scaled(fsst::analyze(text)?) + SYMBOLS_BYTES };
            if at_most(symbols, COMPRESSED_OVER_RAW_PERCENT, raw) {
                (best, bytes) = (EncodingId::Fsst, symbols);
                otherwise = best;
            }
            if let Some((codes, values)) = dictionary {
                let plain = (EncodingId::ByteDict, codes + values);
                let compressed = codes + values * symbols / raw.max(1) + SYMBOLS_BYTES;
                let pays = at_most(compressed, FSSTDICT_PERCENT, plain.1.min(symbols));
                let dictionary = if !light && pays { (EncodingId::FsstDict, compressed) } else { plain };
                if at_most(dictionary.1, COMPRESSED_OVER_RAW_PERCENT, raw)
                    && !at_most(bytes, FSST_OVER_BYTEDICT_PERCENT, dictionary.1)
                {
                    (best, bytes) = dictionary;
                }
            }
        }
        _ => {
            let numbers = match (packed_len(&sample), alp::analyze(&sample)) {
                (Some(packed), _) => Some((EncodingId::Az64, scaled(packed), AZ64_OVER_RAW_PERCENT)),
                (None, Some(decimal)) => Some((EncodingId::Alp, scaled(decimal), ALP_OVER_RAW_PERCENT)),
                (None, None) => None,
            };
            if let Some((id, len, percent)) = numbers
                && at_most(len, percent, raw)
            {
                (best, bytes) = (id, len);
                otherwise = best;
            }
            if let Some((codes, values)) = dictionary
                && at_most(codes + values + rows / LEAST_SAVING_ROWS, BYTEDICT_OVER_AZ64_PERCENT, bytes)
            {
                (best, bytes) = (EncodingId::ByteDict, codes + values);
            }
        }
    }
    if at_most(runs + rows / LEAST_SAVING_ROWS, RUNLENGTH_PERCENT, bytes) {
        (best, bytes) = (EncodingId::RunLength, runs);
    }
    // Zstandard costs the most to try; what already is a byte a row or less has little to gain.
    let percent = if stored.is_bytes() { ZSTD_PERCENT } else { ZSTD_OF_NUMBERS_PERCENT };
    if !light && bytes > rows && at_most(scaled(zstd::analyze(&sample)?), percent, bytes) {
        best = EncodingId::Zstd;
    }
    Ok(vec![best, otherwise])
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
