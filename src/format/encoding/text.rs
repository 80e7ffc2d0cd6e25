//! A page's text, or byte strings, in decoded form: one run of bytes and where each string ends.

use arrow::array::LargeStringArray;
use arrow::buffer::{Buffer, OffsetBuffer};

use super::Selection;
use crate::common::{Error, Result, Stored};
use crate::format::column::ViewBuilder;

/// Strings one after another.
///
/// Invariants, held by [`Text::checked`]: `ends` ascends, its last is `data`'s length; unless `binary`, `data` is UTF-8
/// and each string starts and ends at a character.
#[derive(Debug)]
pub(super) struct Text<'a> {
    binary: bool,
    ends: Vec<u32>,
    data: TextData<'a>,
}

#[derive(Debug)]
pub(super) enum TextData<'a> {
    Borrowed(&'a [u8]),
    Owned(Buffer),
}

impl TextData<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            TextData::Borrowed(bytes) => bytes,
            TextData::Owned(buffer) => buffer,
        }
    }
}

impl<'a> Text<'a> {
    /// Errors: Corrupt when the invariants do not hold, `at` being where the text stands, or what it was made of.
    pub fn checked(ends: Vec<u32>, data: TextData<'a>, at: usize, stored: Stored) -> Result<Self> {
        let binary = stored == Stored::Binary;
        let bytes = data.as_slice();
        let corrupt = |what: &str| Error::corrupt(at as u64, what);
        if ends.last().copied().unwrap_or(0) as usize != bytes.len() || !ends.is_sorted() {
            return Err(corrupt("strings' ends do not fit their bytes"));
        }
        if !binary && !bytes.is_ascii() {
            let place = |valid: usize| if matches!(data, TextData::Borrowed(_)) { at + valid } else { at };
            std::str::from_utf8(bytes)
                .map_err(|e| Error::corrupt(place(e.valid_up_to()) as u64, "text is not valid UTF-8"))?;
            let continues = |end: &u32| bytes.get(*end as usize).is_some_and(|b| b & 0xc0 == 0x80);
            if ends.iter().any(continues) {
                return Err(corrupt("a string ends within a character"));
            }
        }
        Ok(Text { binary, ends, data })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn data(&self) -> &[u8] {
        self.data.as_slice()
    }

    #[inline]
    pub fn bounds(&self, i: usize) -> (usize, usize) {
        (if i == 0 { 0 } else { self.ends[i - 1] as usize }, self.ends[i] as usize)
    }

    #[inline]
    pub fn value(&self, i: usize) -> &[u8] {
        let (start, end) = self.bounds(i);
        &self.data()[start..end]
    }

    /// The bytes of all; without copying where they are owned.
    pub fn to_buffer(&self) -> Buffer {
        match &self.data {
            TextData::Borrowed(bytes) => Buffer::from(*bytes),
            TextData::Owned(buffer) => buffer.clone(),
        }
    }

    /// As Arrow's array, for its kernels; without copying where the bytes are owned.
    ///
    /// Errors: Internal when they are not text.
    pub fn to_array(&self) -> Result<LargeStringArray> {
        if self.binary {
            return Err(Error::internal("a test of text on bytes"));
        }
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0i64);
        offsets.extend(self.ends.iter().map(|end| i64::from(*end)));
        // SAFETY: the invariants, which `checked` has established: offsets ascend within the data, which is UTF-8 in
        // every string, since it is not `binary`.
        Ok(unsafe { LargeStringArray::new_unchecked(OffsetBuffer::new(offsets.into()), self.to_buffer(), None) })
    }

    /// Appends the selected strings.
    pub fn append(&self, selection: Selection<'_>, out: &mut ViewBuilder) {
        match selection {
            // SAFETY: the invariants: every string is UTF-8, unless both are of bytes (`Page::decode`).
            Selection::All => unsafe { out.extend_unchecked(self.data(), &self.ends) },
            Selection::Rows(mask) => {
                for i in mask.ones() {
                    // SAFETY: as above.
                    unsafe { out.push_unchecked(self.value(i)) };
                }
            }
        }
    }
}
