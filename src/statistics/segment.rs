//! What a segment's footer says of its columns' values: distinct values, and what they take in memory.

use super::bytes::{MAX_COLUMNS, read_count};
use super::sketch::DistinctSketch;
use crate::common::{ColumnId, Result};
use crate::format::bytes::{Reader, WriteLe};
use crate::format::column::{Column, Values};

/// The version of the section's layout; another says nothing to this build.
const VERSION: u8 = 1;

/// One column's values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnSketch {
    pub distinct: DistinctSketch,
    /// Rows looked at, NULL or not.
    pub rows: u64,
    /// Bytes beside the fixed part of a row in Arrow's form: text and bytes that do not fit their view.
    pub payload: u64,
}

impl ColumnSketch {
    /// The bytes of a text that an Arrow view holds itself.
    const IN_VIEW: usize = 12;

    pub fn add(&mut self, column: &Column) {
        self.distinct.insert(column);
        self.rows += column.len() as u64;
        if let Values::Bytes(values) = &column.values {
            let lengths = (0..values.len()).filter(|i| column.is_valid(*i)).map(|i| values.value(i).len());
            self.payload += lengths.filter(|len| *len > Self::IN_VIEW).map(|len| len as u64).sum::<u64>();
        }
    }

    /// Adds another's rows. Where some are the same, they are counted twice in `rows` and `payload`, of which only the
    /// ratio is used.
    pub fn merge(&mut self, other: &ColumnSketch) {
        self.distinct.merge(&other.distinct);
        self.rows = self.rows.saturating_add(other.rows);
        self.payload = self.payload.saturating_add(other.payload);
    }

    /// Bytes of payload per row.
    pub fn payload_per_row(&self) -> f64 {
        self.payload as f64 / self.rows.max(1) as f64
    }
}

/// The columns of some rows: of a segment, or of a load.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SegmentSketches {
    pub columns: Vec<(ColumnId, ColumnSketch)>,
}

impl SegmentSketches {
    /// Of no rows yet.
    pub fn new(columns: impl IntoIterator<Item = ColumnId>) -> Self {
        SegmentSketches { columns: columns.into_iter().map(|id| (id, ColumnSketch::default())).collect() }
    }

    /// Adds rows, of the same columns in their order.
    pub fn add(&mut self, chunk: &[Column]) {
        for ((_, sketch), column) in self.columns.iter_mut().zip(chunk) {
            sketch.add(column);
        }
    }

    /// What was added since the last time.
    pub fn take(&mut self) -> SegmentSketches {
        let fresh = SegmentSketches::new(self.columns.iter().map(|(id, _)| *id));
        std::mem::replace(self, fresh)
    }

    /// Adds the rows of other segments, which may have other columns.
    pub fn merge(&mut self, other: &SegmentSketches) {
        for (id, theirs) in &other.columns {
            match self.columns.iter_mut().find(|(own, _)| own == id) {
                Some((_, sketch)) => sketch.merge(theirs),
                None => self.columns.push((*id, theirs.clone())),
            }
        }
    }

    /// The section of a segment's footer.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_varint(self.columns.len() as u64);
        for (id, sketch) in &self.columns {
            out.put_varint(u64::from(id.0));
            out.put_varint(sketch.payload);
            sketch.distinct.write(&mut out);
        }
        out
    }

    /// Reads the section of a segment of `rows` rows; `None` where a later version wrote it.
    ///
    /// Errors: Corrupt.
    pub fn decode(bytes: &[u8], rows: u64) -> Result<Option<Self>> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Ok(None);
        }
        let count = read_count(&mut reader, MAX_COLUMNS)?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let id = u32::try_from(reader.varint()?).map_err(|_| reader.corrupt("an impossible column"))?;
            let payload = reader.varint()?;
            let distinct = DistinctSketch::read(&mut reader)?;
            columns.push((ColumnId(id), ColumnSketch { distinct, rows, payload }));
        }
        reader.finish("the sketches")?;
        Ok(Some(SegmentSketches { columns }))
    }
}
