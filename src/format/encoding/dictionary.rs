//! What a chunk's pages need beside their own bytes: values by code, or parts of text by code.

use super::bytedict::{CodeSet, Table};
use super::condition::Condition;
use super::fsst::SymbolTable;
use super::fsstdict;
use super::words::{Kind, WordTable};
use crate::common::{Error, Predicate, Result, Stored};
use crate::format::stable::EncodingId;

/// A dictionary that was read and checked; to be shared by the pages of all chunks that refer to it.
#[derive(Debug)]
pub struct Dictionary {
    stored: Stored,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Values(Table),
    Symbols(Box<SymbolTable>),
    Words(WordTable),
}

/// A predicate evaluated on a dictionary's values.
#[derive(Debug)]
pub struct PreparedPredicate {
    /// `None` where the dictionary does not hold values.
    pub(super) codes: Option<CodeSet>,
}

/// Opens the dictionary of chunks of encoding `id`.
///
/// Errors: Corrupt when the bytes are not what [`super::ChunkEncoder`] wrote; Unsupported when the encoding has no
/// dictionary.
pub fn open_dictionary(id: EncodingId, stored: Stored, bytes: &[u8]) -> Result<Dictionary> {
    let content = match id {
        EncodingId::ByteDict if stored != Stored::Bool => Content::Values(Table::open(stored, bytes)?),
        EncodingId::FsstDict if stored == Stored::Bytes => Content::Values(fsstdict::open(bytes)?),
        EncodingId::Fsst if stored == Stored::Bytes => Content::Symbols(Box::new(SymbolTable::open(bytes)?)),
        EncodingId::Text255 if stored == Stored::Bytes => Content::Words(WordTable::open(Kind::Text255, bytes)?),
        EncodingId::Text32k if stored == Stored::Bytes => Content::Words(WordTable::open(Kind::Text32k, bytes)?),
        _ => return Err(Error::unsupported(format!("{id:?} pages of {stored:?} have no dictionary"))),
    };
    Ok(Dictionary { stored, content })
}

impl Dictionary {
    /// Translates a predicate, once for all pages that use the dictionary.
    ///
    /// Errors: Internal when a literal has not the column's stored form.
    pub fn prepare(&self, predicate: &Predicate) -> Result<PreparedPredicate> {
        let codes = match (&self.content, Condition::new(predicate, self.stored)?) {
            (Content::Values(table), Some(condition)) => Some(table.evaluate(&condition)?),
            _ => None,
        };
        Ok(PreparedPredicate { codes })
    }

    /// The values in the order of their codes, where they are whole texts.
    pub fn texts(&self) -> Option<impl ExactSizeIterator<Item = &[u8]>> {
        match &self.content {
            Content::Values(table) => table.texts(),
            Content::Symbols(_) | Content::Words(_) => None,
        }
    }

    /// Bytes that it takes in memory, for caches.
    pub fn memory_size(&self) -> usize {
        size_of::<Self>()
            + match &self.content {
                Content::Values(table) => table.memory_size(),
                Content::Symbols(table) => size_of_val(&**table),
                Content::Words(table) => table.memory_size(),
            }
    }
}
