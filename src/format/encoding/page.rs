//! Reading one page: validity, then the encoding's payload.

use super::condition::Condition;
use super::dictionary::{Content, Dictionary, PreparedPredicate};
use super::fixed::wrong_builder;
use super::fsst::SymbolTable;
use super::words::{Kind, WordTable};
use super::{Selection, VALIDITY_ALL_NULL, VALIDITY_BITMAP, VALIDITY_NO_NULLS};
use super::{alp, az64, bytedict, delta, fsst, lz4, mostly, raw, runlength, supports, zstd};
use crate::common::{Error, Predicate, Result, Stored};
use crate::format::bytes::Reader;
use crate::format::column::{BuilderValues, ColumnBuilder};
use crate::format::mask::Mask;
use crate::format::stable::{EncodingId, Geometry};

/// One zone of one column.
///
/// Guarantees, whatever the bytes are:
/// 1. no method panics on them, and what they allocate is bounded by a multiple of the bytes and rows given (1,024 for
///    ZSTD, less for all others);
/// 2. [`Page::decode`] appends exactly the selected rows or fails; after a failure the builder is unusable;
/// 3. text that was appended is UTF-8: bytes that need not be are never appended to a builder of text.
#[derive(Debug)]
pub struct Page<'a> {
    rows: usize,
    stored: Stored,
    /// Rows that are not NULL; `None` when all are not.
    validity: Option<Mask>,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    AllNull,
    Raw(raw::Page<'a>),
    Az64(az64::Page<'a>),
    ByteDict(bytedict::Page<'a>, &'a bytedict::Table),
    RunLength(runlength::Page<'a>),
    Fsst(fsst::Page<'a, SymbolTable>),
    Words(fsst::Page<'a, WordTable>),
    Delta(delta::Page<'a>),
    Mostly(mostly::Page<'a>),
    Alp(alp::Page<'a>),
}

impl<'a> Page<'a> {
    /// Reads headers and checks lengths; values are decoded by the methods. `dictionary` is the chunk's, where the
    /// encoding has one.
    ///
    /// Errors: Corrupt when the bytes are not what [`super::ChunkEncoder`] wrote.
    pub fn open(
        id: EncodingId,
        stored: Stored,
        rows: usize,
        bytes: &'a [u8],
        dictionary: Option<&'a Dictionary>,
    ) -> Result<Page<'a>> {
        if rows == 0 || rows > Geometry::MAX_ZONE_ROWS as usize {
            return Err(Error::corrupt(0, format!("a page of {rows} rows")));
        }
        if !supports(id, stored) {
            return Err(Error::corrupt(0, format!("{id:?} does not hold {stored:?} values")));
        }
        let mut reader = Reader::new(bytes);
        let validity = match reader.u8()? {
            VALIDITY_NO_NULLS => None,
            VALIDITY_ALL_NULL => {
                reader.finish("a page of NULLs")?;
                return Ok(Page { rows, stored, validity: Some(Mask::none(rows)), body: Body::AllNull });
            }
            VALIDITY_BITMAP => Some(raw::read_bits(reader.take(rows.div_ceil(8))?, rows)),
            other => return Err(Error::corrupt(0, format!("validity form {other}"))),
        };
        let missing = || Error::corrupt(0, format!("a page of {id:?} without its dictionary"));
        let body = match id {
            EncodingId::Raw => Body::Raw(raw::Page::open(stored, rows, &mut reader)?),
            EncodingId::Az64 => Body::Az64(az64::Page::open(stored, rows, &mut reader)?),
            EncodingId::RunLength => Body::RunLength(runlength::Page::open(stored, rows, &mut reader)?),
            EncodingId::Zstd => Body::Raw(zstd::open(stored, rows, &mut reader)?),
            EncodingId::Lz4 => Body::Raw(lz4::open(stored, rows, &mut reader)?),
            EncodingId::Delta => Body::Delta(delta::Page::open(stored, 1, rows, &mut reader)?),
            EncodingId::Delta32k => Body::Delta(delta::Page::open(stored, 2, rows, &mut reader)?),
            EncodingId::Mostly8 => Body::Mostly(mostly::Page::open(stored, 1, rows, &mut reader)?),
            EncodingId::Mostly16 => Body::Mostly(mostly::Page::open(stored, 2, rows, &mut reader)?),
            EncodingId::Mostly32 => Body::Mostly(mostly::Page::open(stored, 4, rows, &mut reader)?),
            EncodingId::Alp => Body::Alp(alp::Page::open(stored, rows, &mut reader)?),
            EncodingId::ByteDict | EncodingId::FsstDict => match dictionary.map(|d| &d.content) {
                Some(Content::Values(table)) if table.holds(stored) => {
                    Body::ByteDict(bytedict::Page::open(rows, &mut reader)?, table)
                }
                _ => return Err(missing()),
            },
            EncodingId::Fsst => match dictionary.map(|d| &d.content) {
                Some(Content::Symbols(table)) => Body::Fsst(fsst::Page::open(rows, &**table, &mut reader)?),
                _ => return Err(missing()),
            },
            EncodingId::Text255 | EncodingId::Text32k => match dictionary.map(|d| &d.content) {
                Some(Content::Words(table)) if (table.kind() == Kind::Text255) == (id == EncodingId::Text255) => {
                    Body::Words(fsst::Page::open(rows, table, &mut reader)?)
                }
                _ => return Err(missing()),
            },
        };
        Ok(Page { rows, stored, validity, body })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Clears the bits of rows that do not satisfy `predicate`, on encoded data where the encoding allows. `mask` has
    /// one bit per row; `prepared` is the dictionary's answer to the same predicate, made here when it is not given.
    ///
    /// Errors: Corrupt; Internal when a literal has not the column's stored form.
    pub fn filter(
        &mut self,
        predicate: &Predicate,
        prepared: Option<&PreparedPredicate>,
        mask: &mut Mask,
    ) -> Result<()> {
        self.check_mask(mask)?;
        match (predicate, &self.validity) {
            (Predicate::IsNull, Some(valid)) => mask.and_not(valid),
            (Predicate::IsNull, None) => mask.clear_all(),
            (_, Some(valid)) => mask.and(valid),
            (_, None) => {}
        }
        if !mask.any() {
            return Ok(());
        }
        // Prepared code sets make the literals' translation unnecessary.
        if let (Body::ByteDict(page, table), Some(PreparedPredicate { codes: Some(codes) })) = (&self.body, prepared) {
            return page.filter(table, codes, mask);
        }
        let Some(condition) = Condition::new(predicate, self.stored)? else {
            return Ok(());
        };
        match &mut self.body {
            Body::AllNull => Ok(()),
            Body::Raw(page) => page.filter(&condition, mask),
            Body::Az64(page) => page.filter(&condition, mask),
            Body::RunLength(page) => page.filter(&condition, mask),
            Body::Fsst(page) => page.filter(&condition, mask),
            Body::Words(page) => page.filter(&condition, mask),
            Body::Delta(page) => page.filter(&condition, mask),
            Body::Mostly(page) => page.filter(&condition, mask),
            Body::Alp(page) => page.filter(&condition, mask),
            Body::ByteDict(page, table) => page.filter(table, &table.evaluate(&condition)?, mask),
        }
    }

    /// Appends the selected rows to `out`, a builder of the column's type.
    ///
    /// Errors: Corrupt; Internal when the builder has another form.
    pub fn decode(&mut self, selection: Selection<'_>, out: &mut ColumnBuilder) -> Result<()> {
        let count = self.selected(selection)?;
        if count == 0 {
            return Ok(());
        }
        // A full mask is no selection: whole vectors are decoded without looking at it.
        let selection = if count == self.rows { Selection::All } else { selection };
        // Before any value: a builder of text does not check what pages of text have checked.
        let binary = self.stored == Stored::Binary;
        if matches!(&out.values, BuilderValues::Views(views) if views.is_binary() != binary) {
            return Err(wrong_builder());
        }
        let before = out.len();
        if let Body::AllNull = self.body {
            out.append_nulls(count);
            return Ok(());
        }
        self.decode_values(selection, &mut out.values)?;
        debug_assert_eq!(out.len(), before + count);
        match (&self.validity, selection) {
            (None, _) => out.validity.append_n_non_nulls(count),
            (Some(valid), Selection::All) => {
                out.validity.append_buffer(&arrow::buffer::NullBuffer::new(valid.to_buffer()));
            }
            (Some(valid), Selection::Rows(mask)) => mask.ones().for_each(|i| out.validity.append(valid.get(i))),
        }
        Ok(())
    }

    /// Appends the selected rows' integers, of a column whose stored form is one of at most 64 bits; those of NULL rows are
    /// any.
    ///
    /// Errors: Corrupt; Internal when the column has another form.
    pub fn decode_integers(&mut self, selection: Selection<'_>, out: &mut Vec<i64>) -> Result<()> {
        let count = self.selected(selection)?;
        if let Body::AllNull = self.body {
            out.resize(out.len() + count, 0);
            return Ok(());
        }
        match self.stored {
            Stored::I64 => {
                let mut values = BuilderValues::I64(std::mem::take(out));
                self.decode_values(selection, &mut values)?;
                if let BuilderValues::I64(values) = values {
                    *out = values;
                }
            }
            Stored::I32 => {
                let mut values = BuilderValues::I32(Vec::with_capacity(count));
                self.decode_values(selection, &mut values)?;
                if let BuilderValues::I32(values) = values {
                    out.extend(values.iter().map(|v| i64::from(*v)));
                }
            }
            Stored::I16 => {
                let mut values = BuilderValues::I16(Vec::with_capacity(count));
                self.decode_values(selection, &mut values)?;
                if let BuilderValues::I16(values) = values {
                    out.extend(values.iter().map(|v| i64::from(*v)));
                }
            }
            _ => return Err(wrong_builder()),
        }
        Ok(())
    }

    /// Appends for each selected row what `table` has at the place of the row's value in the dictionary ([`Dictionary::texts`]);
    /// for NULL rows anything of it. `false` where the page refers to no dictionary of whole values, or is all NULL.
    ///
    /// Errors: Corrupt when a value is beyond the table.
    pub fn look_up(&mut self, table: &[u32], selection: Selection<'_>, out: &mut Vec<u32>) -> Result<bool> {
        self.selected(selection)?;
        match &self.body {
            Body::ByteDict(page, _) => page.gather(table, selection, out).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Which rows are not NULL; `None` where all are not.
    pub fn validity(&self) -> Option<&Mask> {
        self.validity.as_ref()
    }

    fn selected(&self, selection: Selection<'_>) -> Result<usize> {
        match selection {
            Selection::All => Ok(self.rows),
            Selection::Rows(mask) => {
                self.check_mask(mask)?;
                Ok(mask.count())
            }
        }
    }

    /// Appends the values of the selected rows, of which there are some, of a page that is not all NULL.
    fn decode_values(&mut self, selection: Selection<'_>, out: &mut BuilderValues) -> Result<()> {
        match &mut self.body {
            Body::AllNull => Err(wrong_builder()),
            Body::Raw(page) => page.decode(selection, out),
            Body::Az64(page) => page.decode(selection, out),
            Body::RunLength(page) => page.decode(selection, out),
            Body::Fsst(page) => page.decode(selection, out),
            Body::Words(page) => page.decode(selection, out),
            Body::Delta(page) => page.decode(selection, out),
            Body::Mostly(page) => page.decode(selection, out),
            Body::Alp(page) => page.decode(selection, out),
            Body::ByteDict(page, table) => page.decode(table, selection, out),
        }
    }

    fn check_mask(&self, mask: &Mask) -> Result<()> {
        if mask.len() == self.rows {
            Ok(())
        } else {
            Err(Error::internal(format!("a mask of {} rows for a page of {}", mask.len(), self.rows)))
        }
    }
}
