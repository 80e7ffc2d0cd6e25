//! Encodings: one file each, one shape.
//!
//! A *page* is one zone of one column: a validity prefix and the encoding's payload. Every encoding restarts at each
//! page, so that a page can be skipped or read alone, together with its chunk's dictionary where there is one.

use crate::format::mask::Mask;

/// Which of a page's rows to decode.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    All,
    /// The set bits, in order.
    Rows(&'a Mask),
}
