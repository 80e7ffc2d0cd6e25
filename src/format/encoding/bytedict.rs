//! BYTEDICT: each distinct value of a chunk once, and per row its number.
//!
//! | dictionary | content |
//! |---|---|
//! | 4 | number of values (u32), at most 65,536 |
//! | rest | the values, ascending, as RAW holds them |
//!
//! | payload | content |
//! |---|---|
//! | 1 | bits per code (u8), at most 16 |
//! | rest | the codes, packed, per vector of 1,024 rows |
//!
//! Source: the Redshift manual, "Byte-dictionary encoding", which has at most 256 values per block. Ours packs codes to
//! their width and sorts the values, so that an order comparison is a range of codes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;

use super::Selection;
use super::condition::Condition;
use super::fixed::{Fixed, Keys, by_form, put_key, wrong_builder};
use super::raw;
use super::text::Text;
use crate::common::texts::{same, spread};
use crate::common::{Error, Result, Stored};
use crate::format::bitpack::{self, Packed, Scratch};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{BuilderValues, ByteValues, Values, ViewBuilder, inline_view, long_view};
use crate::format::mask::Mask;
use crate::format::stable::VECTOR_ROWS;

/// The most values of a dictionary: codes have at most 16 bits.
pub(super) const MAX_VALUES: usize = 1 << 16;

/// A hash for values that are counted while loading: speed before resistance (the distinct values are bounded).
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LoadHasher(u64);

impl LoadHasher {
    #[inline]
    fn add(&mut self, v: u64) {
        const K: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ v ^ 0x5851_f42d_4c95_7f2d) * u128::from(K);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for LoadHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }
    fn write_i64(&mut self, v: i64) {
        self.add(v as u64);
    }
    fn write_i128(&mut self, v: i128) {
        self.add(v as u64);
        self.add((v >> 64) as u64);
    }
    fn write_usize(&mut self, v: usize) {
        self.add(v as u64);
    }
    fn write_u8(&mut self, v: u8) {
        self.add(u64::from(v));
    }
}

type CodeMap<K> = HashMap<K, u32, BuildHasherDefault<LoadHasher>>;

/// The values of the dictionary that a segment's chunks share, and their codes.
#[derive(Debug)]
pub(super) enum Codes {
    Narrow(CodeMap<i64>),
    Wide(CodeMap<i128>),
    Text(CodeMap<Vec<u8>>),
}

/// Codes of each page, and the dictionary when it is a new one.
pub(super) struct Coded {
    pub pages: Vec<Vec<u32>>,
    pub new: Option<(Vec<u8>, Codes)>,
}

/// How a dictionary holds its strings: appends them.
pub(super) type PutText = fn(&ByteValues, &mut Vec<u8>) -> Result<()>;

/// BYTEDICT's own: as RAW holds them.
pub(super) fn put_text(values: &ByteValues, out: &mut Vec<u8>) -> Result<()> {
    raw::encode(&Values::Bytes(values.clone()), out)
}

/// The codes of each page's values: those of `shared` if it has them all, else of a new dictionary; `None` when that
/// would have more than [`MAX_VALUES`].
pub(super) fn encode(
    stored: Stored,
    pages: &[&Values],
    shared: Option<&Codes>,
    put_text: PutText,
) -> Result<Option<Coded>> {
    if stored.is_bytes() {
        let texts: Vec<&ByteValues> = pages
            .iter()
            .map(|page| match page {
                Values::Bytes(v) => v,
                _ => unreachable!("a chunk's pages have its stored form"),
            })
            .collect();
        let old = match shared {
            Some(Codes::Text(map)) => Some(map),
            _ => None,
        };
        if let Some(map) = old
            && let Some(pages) = code_text(&texts, |v| map.get(v).copied())
        {
            return Ok(Some(Coded { pages, new: None }));
        }
        let Some((values, pages)) = number(texts.iter().map(|text| (0..text.len()).map(|i| text.value(i)))) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        bytes.put_u32(values.len() as u32);
        put_text(&values.iter().copied().collect(), &mut bytes)?;
        let codes = Codes::Text(values.iter().enumerate().map(|(i, v)| (v.to_vec(), i as u32)).collect());
        return Ok(Some(Coded { pages, new: Some((bytes, codes)) }));
    }
    let mut narrow = Vec::new();
    let mut wide = Vec::new();
    for page in pages {
        match Keys::of(page) {
            Some(Keys::Narrow(keys)) => narrow.push(keys),
            Some(Keys::Wide(keys)) => wide.push(keys),
            None => unreachable!("only text has no keys"),
        }
    }
    Ok(if stored == Stored::I128 {
        let old = match shared {
            Some(Codes::Wide(map)) => Some(map),
            _ => None,
        };
        code_keys(stored, &wide, old, |k| k, Codes::Wide)
    } else {
        let old = match shared {
            Some(Codes::Narrow(map)) => Some(map),
            _ => None,
        };
        code_keys(stored, &narrow, old, i128::from, Codes::Narrow)
    })
}

/// The distinct values, ascending, and each row's place among them; `None` when they are too many.
fn number<K: Copy + Eq + Hash + Ord>(
    pages: impl Iterator<Item = impl Iterator<Item = K>>,
) -> Option<(Vec<K>, Vec<Vec<u32>>)> {
    let mut map: CodeMap<K> = CodeMap::default();
    let mut values = Vec::new();
    let mut coded = Vec::new();
    // First numbered as they come, so that every row is looked up once.
    for page in pages {
        let mut codes = Vec::with_capacity(page.size_hint().0);
        for value in page {
            let next = values.len() as u32;
            let code = *map.entry(value).or_insert_with(|| {
                values.push(value);
                next
            });
            codes.push(code);
        }
        if values.len() > MAX_VALUES {
            return None;
        }
        coded.push(codes);
    }
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by_key(|i| values[*i as usize]);
    let mut place = vec![0u32; values.len()];
    order.iter().enumerate().for_each(|(at, i)| place[*i as usize] = at as u32);
    coded.iter_mut().flatten().for_each(|code| *code = place[*code as usize]);
    Some((order.iter().map(|i| values[*i as usize]).collect(), coded))
}

/// Texts that are looked for before one is in the dictionary.
const RECENT: usize = 256;

fn code_text(texts: &[&ByteValues], code: impl Fn(&[u8]) -> Option<u32>) -> Option<Vec<Vec<u32>>> {
    // Of what came a short while ago, which is most of few distinct texts, the code is known.
    let mut recent: [Option<(&[u8], u32)>; RECENT] = [None; RECENT];
    let mut pages = Vec::with_capacity(texts.len());
    for text in texts {
        if let Some(few) = &text.codes {
            let mut code_of = [0; 1 << u8::BITS];
            for (at, value) in few.occurring(None) {
                code_of[at as usize] = code(value)?;
            }
            pages.push(few.of_rows.iter().map(|at| code_of[*at as usize]).collect());
            continue;
        }
        let mut codes = Vec::with_capacity(text.len());
        for i in 0..text.len() {
            let value = text.value(i);
            let place = &mut recent[spread(value) % RECENT];
            codes.push(match *place {
                Some((known, code)) if same(known, value) => code,
                _ => {
                    let code = code(value)?;
                    *place = Some((value, code));
                    code
                }
            });
        }
        pages.push(codes);
    }
    Some(pages)
}

fn code_keys<K: Copy + Eq + Hash + Ord>(
    stored: Stored,
    pages: &[Vec<K>],
    shared: Option<&CodeMap<K>>,
    wide: impl Fn(K) -> i128,
    codes: impl Fn(CodeMap<K>) -> Codes,
) -> Option<Coded> {
    let code = |map: &CodeMap<K>| -> Option<Vec<Vec<u32>>> {
        pages.iter().map(|page| page.iter().map(|key| map.get(key).copied()).collect()).collect()
    };
    if let Some(pages) = shared.and_then(code) {
        return Some(Coded { pages, new: None });
    }
    let (values, pages) = number(pages.iter().map(|page| page.iter().copied()))?;
    let mut bytes = Vec::new();
    bytes.put_u32(values.len() as u32);
    values.iter().for_each(|key| put_key(stored, wide(*key), &mut bytes));
    let map = values.iter().enumerate().map(|(i, key)| (*key, i as u32)).collect();
    Some(Coded { pages, new: Some((bytes, codes(map))) })
}

/// Appends one page's codes.
pub(super) fn encode_page(codes: &[u32], out: &mut Vec<u8>) {
    let width = bitpack::width_of(codes.iter().copied().max().map_or(0, u64::from));
    out.put_u8(width);
    for vector in codes.chunks(VECTOR_ROWS) {
        let codes: Vec<u64> = vector.iter().map(|code| u64::from(*code)).collect();
        Packed::write(&codes, width, out);
    }
}

/// Distinct values among `values`, and how many of them occur once.
pub(super) fn distinct(values: &Values) -> (usize, usize) {
    fn count<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> (usize, usize) {
        let mut counts: HashMap<K, u32, BuildHasherDefault<LoadHasher>> = HashMap::default();
        keys.for_each(|key| *counts.entry(key).or_insert(0) += 1);
        (counts.len(), counts.values().filter(|n| **n == 1).count())
    }
    match (values, Keys::of(values)) {
        (Values::Bytes(v), _) => count((0..v.len()).map(|i| v.value(i))),
        (_, Some(Keys::Narrow(keys))) => count(keys.into_iter()),
        (_, Some(Keys::Wide(keys))) => count(keys.into_iter()),
        (_, None) => (0, 0),
    }
}

/// Bytes that the codes and the values of a chunk of `rows` rows would take, of which `sample` is a part: the distinct
/// values are estimated by Chao's estimator (1984) from those seen once and more often. `None` when they are too many.
pub(super) fn analyze(sample: &Values, rows: usize) -> Option<(usize, usize)> {
    let len = match sample {
        Values::Bytes(v) => v.len(),
        _ => Keys::of(sample).map_or(0, |keys| match keys {
            Keys::Narrow(keys) => keys.len(),
            Keys::Wide(keys) => keys.len(),
        }),
    };
    let (distinct, once) = distinct(sample);
    let unseen = if len >= rows { 0 } else { once * once / (2 * (distinct - once).max(1)) };
    let values = (distinct + unseen).min(rows);
    if values > MAX_VALUES {
        return None;
    }
    let width = bitpack::width_of(values.saturating_sub(1) as u64) as usize;
    let value_len = raw::encoded_len(sample).div_ceil(len.max(1));
    Some((rows * width / 8, values * value_len))
}

/// A dictionary that was read and checked.
#[derive(Debug)]
pub(super) enum Table {
    /// Aligned values.
    Fixed { stored: Stored, count: usize, values: Buffer },
    /// Views of the values, those of long ones into `buffer` as buffer 0; it is empty when none is long.
    Text { stored: Stored, text: Text<'static>, views: Vec<u128>, buffer: Buffer },
}

impl Table {
    pub fn open(stored: Stored, bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let count = reader.len_u32(MAX_VALUES, "dictionary values")?;
        let at = reader.offset();
        // A copy, so that the values are aligned and text can be shared with the batches that refer to it.
        let values = Buffer::from(reader.rest());
        let page = raw::Page::of_buffer(stored, count, values.clone(), at)?;
        if !stored.is_bytes() {
            return Ok(Table::Fixed { stored, count, values });
        }
        Self::of_text(stored, page.into_text()?, at)
    }

    /// `at` is where the strings stand.
    pub fn of_text(stored: Stored, text: Text<'static>, at: usize) -> Result<Self> {
        let buffer = text.to_buffer();
        if buffer.len() > i32::MAX as usize {
            return Err(Error::corrupt(at as u64, "a dictionary's text is too long"));
        }
        let view = |i: usize| {
            let (start, end) = text.bounds(i);
            let value = text.value(i);
            if end - start <= ViewBuilder::INLINE { inline_view(value) } else { long_view(value, 0, start) }
        };
        let views: Vec<u128> = (0..text.len()).map(view).collect();
        let long = views.iter().any(|view| *view as u32 as usize > ViewBuilder::INLINE);
        Ok(Table::Text { stored, text, views, buffer: if long { buffer } else { Buffer::from_vec(Vec::<u8>::new()) } })
    }

    pub fn len(&self) -> usize {
        match self {
            Table::Fixed { count, .. } => *count,
            Table::Text { views, .. } => views.len(),
        }
    }

    pub fn holds(&self, form: Stored) -> bool {
        match self {
            Table::Fixed { stored, .. } => *stored == form,
            Table::Text { stored, .. } => *stored == form,
        }
    }

    pub fn memory_size(&self) -> usize {
        match self {
            Table::Fixed { values, .. } => values.len(),
            Table::Text { text, views, .. } => text.data().len() + views.len() * (16 + 4),
        }
    }

    /// The values in the order of their codes, where they are text.
    pub fn texts(&self) -> Option<impl ExactSizeIterator<Item = &[u8]>> {
        match self {
            Table::Fixed { .. } => None,
            Table::Text { text, .. } => Some((0..text.len()).map(|i| text.value(i))),
        }
    }

    /// Which codes' values satisfy a condition.
    pub fn evaluate(&self, condition: &Condition<'_>) -> Result<CodeSet> {
        let mut mask = Mask::all(self.len());
        match self {
            Table::Fixed { stored, count, values } => {
                raw::Page::of_buffer(*stored, *count, values.clone(), 0)?.filter(condition, &mut mask)?;
            }
            Table::Text { text, .. } => condition.text()?.filter(text, &mut mask)?,
        }
        Ok(CodeSet::new(&mask))
    }
}

/// A set of codes, as a predicate over the dictionary gives it.
#[derive(Debug)]
pub(super) enum CodeSet {
    /// First and last, none when the first is greater.
    Range(u64, u64),
    /// 1 for each code that belongs to it.
    Table(Vec<u8>),
}

impl CodeSet {
    fn new(mask: &Mask) -> Self {
        let count = mask.count();
        let (first, last) = (mask.ones().next(), mask.ones().last());
        match (first, last) {
            (Some(first), Some(last)) if last - first + 1 == count => CodeSet::Range(first as u64, last as u64),
            (Some(_), _) => CodeSet::Table((0..mask.len()).map(|i| u8::from(mask.get(i))).collect()),
            (None, _) => CodeSet::Range(1, 0),
        }
    }
}

/// An opened payload.
#[derive(Debug)]
pub(super) struct Page<'a> {
    rows: usize,
    vectors: Vec<Packed<'a>>,
    at: usize,
}

impl<'a> Page<'a> {
    pub fn open(rows: usize, reader: &mut Reader<'a>) -> Result<Self> {
        let at = reader.offset();
        let width = reader.u8()?;
        if width > 16 {
            return Err(Error::corrupt(at as u64, format!("codes of {width} bits")));
        }
        let vectors = packed_vectors(width, rows, reader)?;
        reader.finish("codes")?;
        Ok(Page { rows, vectors, at })
    }

    fn beyond(&self) -> Error {
        Error::corrupt(self.at as u64, "a code is beyond its dictionary")
    }

    pub fn filter(&self, table: &Table, set: &CodeSet, mask: &mut Mask) -> Result<()> {
        let mut scratch = Scratch::default();
        for (vector, words) in self.vectors.iter().zip(mask.words_mut().chunks_mut(VECTOR_ROWS / 64)) {
            if words.iter().all(|word| *word == 0) {
                continue;
            }
            let mut bits = [0; VECTOR_ROWS / 64];
            match set {
                CodeSet::Range(first, last) if first > last => {}
                CodeSet::Range(0, last) if *last as usize + 1 == table.len() => bits.fill(u64::MAX),
                CodeSet::Range(first, last) => {
                    bitpack::range_bits(vector.unpack(&mut scratch), *first, *last, &mut bits);
                }
                CodeSet::Table(held) => {
                    bitpack::table_bits(vector.unpack(&mut scratch), vector.rows(), held, &mut bits)
                        .ok_or_else(|| self.beyond())?;
                }
            }
            words.iter_mut().zip(bits).for_each(|(word, held)| *word &= held);
        }
        Ok(())
    }

    pub fn decode(&self, table: &Table, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        fn fixed<S: Fixed + ArrowNativeType + Into<D>, D>(
            out: &mut Vec<D>,
            page: &Page<'_>,
            values: &Buffer,
            selection: Selection<'_>,
        ) -> Result<()> {
            page.gather::<S, D>(values.typed_data(), selection, out)
        }
        match (table, out) {
            (Table::Text { views, buffer, .. }, BuilderValues::Views(out)) => {
                let slot = if buffer.is_empty() { 0 } else { out.share(buffer) };
                if slot == 0 {
                    return self.gather(views, selection, &mut out.views);
                }
                let start = out.views.len();
                self.gather(views, selection, &mut out.views)?;
                for view in &mut out.views[start..] {
                    if *view as u32 as usize > ViewBuilder::INLINE {
                        *view |= u128::from(slot) << 64;
                    }
                }
                Ok(())
            }
            (Table::Text { .. }, _) => Err(wrong_builder()),
            (Table::Fixed { stored, values, .. }, out) => by_form!(*stored, out, fixed(self, values, selection)),
        }
    }

    /// Appends the selected rows' entries of `values`.
    pub fn gather<S: Copy + Into<D>, D>(&self, values: &[S], selection: Selection<'_>, out: &mut Vec<D>) -> Result<()> {
        const SINGLE_ROWS: usize = 10;
        let mut scratch = Scratch::default();
        let all = Mask::all(self.rows);
        let mask = match selection {
            Selection::All => &all,
            Selection::Rows(mask) => mask,
        };
        for (vector, words) in self.vectors.iter().zip(mask.words().chunks(VECTOR_ROWS / 64)) {
            let hits = words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
            let ones = || super::ones_of(words);
            if hits == 0 {
                continue;
            }
            if hits <= SINGLE_ROWS {
                for row in ones() {
                    let value = *values.get(vector.get(row) as usize).ok_or_else(|| self.beyond())?;
                    out.push(value.into());
                }
                continue;
            }
            let lanes = vector.unpack(&mut scratch);
            if hits == vector.rows() {
                bitpack::gather(lanes, hits, values, out).ok_or_else(|| self.beyond())?;
                continue;
            }
            if bitpack::max_lane(lanes, vector.rows()) as usize >= values.len() {
                return Err(self.beyond());
            }
            bitpack::lanes_at(lanes, ones(), |code| values[code as usize].into(), out);
        }
        Ok(())
    }
}

/// `rows` packed values, vector by vector.
pub(super) fn packed_vectors<'a>(width: u8, rows: usize, reader: &mut Reader<'a>) -> Result<Vec<Packed<'a>>> {
    (0..rows.div_ceil(VECTOR_ROWS))
        .map(|i| {
            let rows = (rows - i * VECTOR_ROWS).min(VECTOR_ROWS);
            let bytes = reader.take(Packed::stored_len(width, rows))?;
            Packed::new(width, rows, bytes).ok_or_else(|| reader.corrupt("packed values out of range"))
        })
        .collect()
}
