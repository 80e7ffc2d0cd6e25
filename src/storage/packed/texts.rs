//! Text in few bytes: as it is, one after another, or as codes where few texts repeat.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};

use super::runs::Runs;
use crate::common::texts::{same, spread, spread_number};
use crate::format::column::{ByteValues, TextCodes, ViewBuilder};
use crate::storage::gather::ROOM;

/// Bytes of a text that a view holds itself, behind its length.
pub const IN_VIEW: usize = ViewBuilder::INLINE;
/// A column of text has codes when it has no more distinct texts in one unit.
pub const MAX_CODES: usize = 1 << u8::BITS;
/// Bytes of all texts together, at most.
pub const MAX_BYTES: usize = u32::MAX as usize - COPIED;

/// So many bytes are copied of a text that is no longer, in a few instructions.
const COPIED: usize = ROOM;

/// Byte strings one after another.
#[derive(Debug)]
pub struct Texts {
    /// Where each ends: 32 bits each.
    ends: Buffer,
    /// So that [`COPIED`] bytes can be read wherever a text begins.
    data: Buffer,
}

/// Rows with few texts: the code of each, and the texts that they stand for.
#[derive(Debug)]
pub struct Coded {
    codes: Buffer,
    texts: Texts,
}

/// Texts to be gathered from.
pub enum Part<'c> {
    Coded(&'c Coded),
    Texts(&'c Texts),
    Plain(&'c ByteValues),
}

impl Texts {
    /// Without copying, where nobody else has them. They are no longer than [`MAX_BYTES`].
    pub fn new(values: ByteValues) -> Self {
        let (first, last) = (values.offsets[0], values.offsets[values.len()]);
        if (first, last) != (0, values.data.len() as i64) {
            return (0..values.len()).map(|i| values.value(i)).collect();
        }
        let ByteValues { offsets, data, .. } = values;
        let mut data = data.into_vec().unwrap_or_else(|shared| shared.to_vec());
        data.extend_from_slice(&[0; COPIED]);
        Self::with_room(offsets[1..].iter().map(|end| *end as u32).collect(), data)
    }

    fn with_room(ends: Vec<u32>, data: Vec<u8>) -> Self {
        Texts { ends: Buffer::from_vec(ends), data: Buffer::from_vec(data) }
    }

    pub fn memory_bytes(&self) -> usize {
        self.data.len() + self.ends.len()
    }

    /// What holds them.
    pub fn buffers(&mut self) -> [&mut Buffer; 2] {
        [&mut self.ends, &mut self.data]
    }

    fn view(&self) -> TextsView<'_> {
        TextsView { ends: self.ends.typed_data(), data: &self.data }
    }
}

impl<'a> FromIterator<&'a [u8]> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Self {
        let (mut ends, mut data) = (Vec::new(), Vec::new());
        for value in values {
            data.extend_from_slice(value);
            ends.push(data.len() as u32);
        }
        data.extend_from_slice(&[0; COPIED]);
        Self::with_room(ends, data)
    }
}

/// [`Texts`] being read.
#[derive(Clone, Copy)]
struct TextsView<'t> {
    ends: &'t [u32],
    data: &'t [u8],
}

impl<'t> TextsView<'t> {
    #[inline]
    fn range(self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        start as usize..self.ends[i] as usize
    }

    #[inline]
    fn length(self, i: usize) -> usize {
        self.range(i).len()
    }

    fn value(self, i: usize) -> &'t [u8] {
        &self.data[self.range(i)]
    }

    /// Writes a text to where there is room for [`COPIED`] bytes, or for all of its own.
    #[inline]
    fn copy(self, i: usize, to: &mut [u8], at: usize) {
        let range = self.range(i);
        match range.len() {
            0..=COPIED => to[at..at + COPIED].copy_from_slice(&self.data[range.start..range.start + COPIED]),
            length => to[at..at + length].copy_from_slice(&self.data[range]),
        }
    }
}

impl Coded {
    /// The rows of arrays one after another, with the bytes of all their texts that views do not hold; `None` of other arrays
    /// than views, and where there are many texts.
    pub fn of_arrays(arrays: &[&dyn Array]) -> Option<(Self, usize)> {
        match arrays.first()?.data_type() {
            DataType::Utf8View => Self::of_views::<StringViewType>(arrays),
            DataType::BinaryView => Self::of_views::<BinaryViewType>(arrays),
            _ => None,
        }
    }

    fn of_views<T: ByteViewType>(arrays: &[&dyn Array]) -> Option<(Self, usize)> {
        let mut numbering = Numbering::new();
        let mut codes = Vec::with_capacity(arrays.iter().map(|array| array.len()).sum());
        let mut beyond_views = 0;
        for array in arrays {
            let array = array.as_byte_view_opt::<T>()?;
            let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
            for (row, view) in array.views().iter().enumerate() {
                // NULL is held as an empty text.
                let view = if nulls.is_some_and(|nulls| nulls.is_null(row)) { 0 } else { *view };
                let code = match view as u32 as usize {
                    0..=IN_VIEW => numbering.code(spread_number((view ^ (view >> u64::BITS)) as u64), (view, &[]))?,
                    length => {
                        beyond_views += length;
                        numbering.code_of_text(array.value(row).as_ref())?
                    }
                };
                codes.push(code);
            }
        }
        let views: Vec<[u8; 16]> = numbering.texts.iter().map(|(view, _)| view.to_le_bytes()).collect();
        let texts = numbering.texts.iter().zip(&views).map(|((view, text), bytes)| match *view {
            Numbering::NO_VIEW => *text,
            view => &bytes[4..4 + (view as u32 as usize)],
        });
        Some((Coded { texts: texts.collect(), codes: Buffer::from_vec(codes) }, beyond_views))
    }

    /// These rows.
    pub fn ordered(self, rows: &[u32]) -> Self {
        let codes: Vec<u8> = rows.iter().map(|row| self.codes[*row as usize]).collect();
        Coded { codes: Buffer::from_vec(codes), ..self }
    }

    pub fn memory_bytes(&self) -> usize {
        self.codes.len() + self.texts.memory_bytes()
    }

    /// What holds most of them.
    pub fn buffer(&mut self) -> &mut Buffer {
        &mut self.codes
    }
}

/// Few distinct texts, numbered as they come.
struct Numbering<'t> {
    /// Open addressing; it is filled to a quarter at most.
    places: [u16; Numbering::PLACES],
    /// Of each a view that holds it, or itself.
    texts: Vec<(u128, &'t [u8])>,
}

impl<'t> Numbering<'t> {
    const PLACES: usize = 4 * MAX_CODES;
    const FREE: u16 = u16::MAX;
    /// No view of a text.
    const NO_VIEW: u128 = u128::MAX;

    fn new() -> Self {
        Numbering { places: [Self::FREE; Self::PLACES], texts: Vec::new() }
    }

    /// `None` when there are too many.
    fn code_of_text(&mut self, text: &'t [u8]) -> Option<u8> {
        self.code(spread(text), (Self::NO_VIEW, text))
    }

    #[inline]
    fn code(&mut self, hash: usize, text: (u128, &'t [u8])) -> Option<u8> {
        let mut place = hash % Self::PLACES;
        loop {
            match self.places[place] {
                Self::FREE if self.texts.len() == MAX_CODES => return None,
                Self::FREE => {
                    let code = self.texts.len();
                    self.places[place] = code as u16;
                    self.texts.push(text);
                    return Some(code as u8);
                }
                code => {
                    let known = self.texts[code as usize];
                    if known.0 == text.0 && same(known.1, text.1) {
                        return Some(code as u8);
                    }
                    place = (place + 1) % Self::PLACES;
                }
            }
        }
    }
}

/// The chosen rows, with codes where all parts have them.
pub fn gather(parts: &[Part], chosen: &Runs) -> ByteValues {
    if let Some(values) = gather_coded(parts, chosen) {
        return values;
    }
    enum View<'c> {
        Coded(&'c [u8], TextsView<'c>),
        Texts(TextsView<'c>),
        Plain(&'c ByteValues),
    }
    let mut views = Vec::with_capacity(parts.len());
    for part in parts {
        views.push(match part {
            Part::Coded(coded) => View::Coded(&coded.codes, coded.texts.view()),
            Part::Texts(texts) => View::Texts(texts.view()),
            Part::Plain(values) => View::Plain(values),
        });
    }
    let mut offsets = Offsets::new(chosen.rows());
    for (part, rows) in chosen.iter() {
        match &views[part] {
            View::Coded(codes, texts) => offsets.extend(codes[rows].iter().map(|code| texts.length((*code).into()))),
            View::Texts(texts) => offsets.extend(rows.map(|row| texts.length(row))),
            View::Plain(values) => offsets.extend(rows.map(|row| values.value(row).len())),
        }
    }
    let (offsets, mut data) = offsets.with_room();
    let mut places = offsets.iter().map(|at| *at as usize);
    for (part, rows) in chosen.iter() {
        for (row, at) in rows.zip(&mut places) {
            match &views[part] {
                View::Coded(codes, texts) => texts.copy(codes[row].into(), &mut data, at),
                View::Texts(texts) => texts.copy(row, &mut data, at),
                View::Plain(values) => data[at..at + values.value(row).len()].copy_from_slice(values.value(row)),
            }
        }
    }
    data.truncate(data.len() - COPIED);
    ByteValues::new(offsets, data)
}

/// Of parts that have codes, with codes for all of them together; `None` where those do not suffice.
fn gather_coded(parts: &[Part], chosen: &Runs) -> Option<ByteValues> {
    let mut numbering = Numbering::new();
    // Numbered when a row of theirs is chosen: there may be many parts, and few that have one.
    let mut coded: Vec<Option<Box<[u8; MAX_CODES]>>> = vec![None; parts.len()];
    let mut codes: Vec<u8> = Vec::with_capacity(chosen.rows());
    for (part, rows) in chosen.iter() {
        let Part::Coded(Coded { codes: of_part, texts }) = &parts[part] else { return None };
        let code_of = match &mut coded[part] {
            Some(code_of) => code_of,
            unknown => {
                let mut code_of = Box::new([0u8; MAX_CODES]);
                let texts = texts.view();
                for (i, code) in code_of.iter_mut().enumerate().take(texts.ends.len()) {
                    *code = numbering.code_of_text(texts.value(i))?;
                }
                unknown.insert(code_of)
            }
        };
        codes.extend(of_part[rows].iter().map(|code| code_of[usize::from(*code)]));
    }
    let few: Vec<Vec<u8>> = numbering.texts.iter().map(|(_, text)| text.to_vec()).collect();
    let texts: Texts = few.iter().map(Vec::as_slice).collect();
    let texts = texts.view();
    let mut offsets = Offsets::new(codes.len());
    offsets.extend(codes.iter().map(|code| texts.length((*code).into())));
    let (offsets, mut data) = offsets.with_room();
    codes.iter().zip(&offsets).for_each(|(code, at)| texts.copy((*code).into(), &mut data, *at as usize));
    data.truncate(data.len() - COPIED);
    let codes = TextCodes { of_rows: codes.into(), texts: Arc::new(few) };
    Some(ByteValues { codes: Some(codes), ..ByteValues::new(offsets, data) })
}

/// Where texts stand one after another.
struct Offsets {
    offsets: Vec<i64>,
    end: i64,
}

impl Offsets {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Offsets { offsets, end: 0 }
    }

    fn extend(&mut self, lengths: impl Iterator<Item = usize>) {
        let mut end = self.end;
        self.offsets.extend(lengths.map(|length| {
            end += length as i64;
            end
        }));
        self.end = end;
    }

    /// With room for the texts, and for what is copied beyond the last.
    fn with_room(self) -> (Vec<i64>, Vec<u8>) {
        (self.offsets, vec![0; self.end as usize + COPIED])
    }
}
