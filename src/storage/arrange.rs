//! Rows on their way into a load's sorter: each row's slice is found, and units of some hundred thousand rows are put into the
//! order of the sort key.
//!
//! A chunk of a sorted slice takes some rows of every unit that the load holds. Where each unit is in order by itself, these
//! follow each other in it, so that gathering a chunk reads every unit from front to back; of rows in another order it would
//! wait for memory at every value.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{BinaryViewType, ByteViewType, Field, Schema, StringViewType};

use super::packed::{Order, PackedColumn, move_together};
use super::sort::{KeyEncoder, SortKeys, sort_rows};
use super::writer::{LoadLayout, Placement};
use crate::common::Result;
use crate::format::segment::ColumnSpec;

/// Arranges rows, on any thread. Equal rows of a slice keep their order.
#[derive(Debug, Clone)]
pub struct Arranger {
    pub(super) layout: Arc<LoadLayout>,
    pub(super) keys: Arc<KeyEncoder>,
    /// The rows arranged so far: whose turn it is by EVEN.
    pub(super) turn: Arc<AtomicU64>,
}

/// Some rows of a load, arranged.
#[derive(Debug)]
pub struct Arranged {
    /// What they were arranged by.
    pub(super) layout: Arc<LoadLayout>,
    pub(super) unit: Unit,
}

/// Rows in the order of the sort key, slice by slice; without a sort key as they came.
#[derive(Debug)]
pub(super) struct Unit {
    pub columns: Vec<PackedColumn>,
    /// None without a sort key.
    pub keys: Option<SortKeys>,
    /// Whether the keys, if there are any, ascend on each slice.
    pub in_order: bool,
    pub places: Places,
    pub rows: usize,
    /// Where each of the batches ends that they came in.
    ends: Vec<usize>,
}

/// Which rows of a unit are on which slice.
#[derive(Debug)]
pub(super) struct Places {
    /// The rows slice by slice; `None` where that is the unit's order.
    order: Option<Vec<u32>>,
    /// Of each slice, where its rows end in that order.
    ends: Vec<u32>,
}

/// Batches until they are enough for a unit.
#[derive(Debug)]
pub struct Pending {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    most_bytes: usize,
}

impl Pending {
    /// Rows of a unit. Of each key more rows follow each other in a larger one, which is worth more than that a core's cache
    /// holds less of it (measured from 65,536 on).
    const ROWS: usize = 1 << 18;

    /// For units of at most so many bytes, unless one batch has more.
    pub fn new(most_bytes: usize) -> Self {
        Pending { batches: Vec::new(), rows: 0, bytes: 0, most_bytes }
    }

    /// Takes a batch; gives all of them when they are enough.
    pub fn push(&mut self, batch: RecordBatch) -> Option<Vec<RecordBatch>> {
        self.rows += batch.num_rows();
        self.bytes += batch.columns().iter().map(own_bytes).sum::<usize>();
        self.batches.push(batch);
        (self.rows >= Self::ROWS || self.bytes >= self.most_bytes).then(|| self.take())
    }

    /// What there is.
    pub fn take(&mut self) -> Vec<RecordBatch> {
        (self.rows, self.bytes) = (0, 0);
        std::mem::take(&mut self.batches)
    }
}

impl Arranger {
    /// Takes batches whose columns are the table's, in its order and of its Arrow types.
    pub fn arrange(&self, batches: &[RecordBatch]) -> Result<Arranged> {
        let layout = Arc::clone(&self.layout);
        let mut ends = Vec::with_capacity(batches.len());
        let mut rows = 0;
        for batch in batches {
            rows += batch.num_rows();
            ends.push(rows);
        }
        let mut turn = self.turn.fetch_add(rows as u64, Ordering::Relaxed);
        let mut of_slices: Vec<Vec<(u32, u32)>> = vec![Vec::new(); layout.slices as usize];
        for (at, batch) in batches.iter().enumerate() {
            let row = |row: usize| (at as u32, row as u32);
            match layout.place(batch.columns(), batch.num_rows(), turn)? {
                Placement::One(slice) => of_slices[slice as usize].extend((0..batch.num_rows()).map(row)),
                Placement::Each(slices) => {
                    slices.into_iter().enumerate().for_each(|(i, slice)| of_slices[slice as usize].push(row(i)));
                }
            }
            turn += batch.num_rows() as u64;
        }
        if layout.sort_columns().is_empty() {
            // AUTO may yet look at the order that rows come in.
            let places = Places::within(&of_slices, &ends);
            let unit = Unit {
                columns: columns(&layout, batches, &Order::in_turn(&ends))?,
                keys: None,
                in_order: true,
                places,
                rows,
                ends,
            };
            return Ok(Arranged { layout, unit: unit.moved_together() });
        }
        let keys = batches.iter().map(|batch| self.keys.encode(&layout.key_columns(batch)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let all_keys: Vec<&SortKeys> = keys.iter().collect();
        let places = Places::in_turn(&of_slices);
        of_slices.iter_mut().for_each(|rows| sort_rows(&all_keys, rows));
        let order = Order::new(of_slices.concat(), &ends);
        let keys = Some(self.keys.gather(&keys, order.rows()));
        let columns = columns(&layout, batches, &order)?;
        Ok(Arranged { unit: Unit { columns, keys, in_order: true, places, rows, ends }.moved_together(), layout })
    }
}

impl Unit {
    /// The rows as they are held.
    pub fn batch(&self, layout: &LoadLayout) -> Result<RecordBatch> {
        let arrays = (0..self.columns.len()).map(|at| self.array(layout, at)).collect::<Result<Vec<_>>>()?;
        let field = |(at, array): (usize, &ArrayRef)| Field::new(at.to_string(), array.data_type().clone(), true);
        let schema = Schema::new(arrays.iter().enumerate().map(field).collect::<Vec<_>>());
        Ok(RecordBatch::try_new(Arc::new(schema), arrays)?)
    }

    pub fn array(&self, layout: &LoadLayout, ordinal: usize) -> Result<ArrayRef> {
        self.columns[ordinal].to_array(layout.columns[ordinal].sql_type)
    }

    /// The batches that it came in, as ranges of rows; they are, where there is no sort key.
    pub fn came_as(&self) -> impl Iterator<Item = Range<usize>> {
        self.ends.iter().scan(0, |start, end| Some(std::mem::replace(start, *end)..*end))
    }

    pub fn arrow_bytes(&self) -> usize {
        // With a row's place and key.
        self.columns.iter().map(PackedColumn::arrow_bytes).sum::<usize>() + self.rows * 24
    }

    fn moved_together(mut self) -> Self {
        let keys = self.keys.as_mut().and_then(SortKeys::buffer);
        move_together(self.columns.iter_mut().flat_map(PackedColumn::buffers).chain(keys).collect());
        self
    }

    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(PackedColumn::memory_bytes).sum();
        let order = self.places.order.as_ref().map_or(0, |order| order.len() * size_of::<u32>());
        // Rows of one key are sorted at once, a place for each.
        let sorting = self.keys.as_ref().map_or(0, |keys| keys.memory_bytes() + self.rows * size_of::<(u32, u32)>());
        columns + sorting + order
    }
}

impl Places {
    /// Of rows that stand slice by slice.
    fn in_turn(of_slices: &[Vec<(u32, u32)>]) -> Self {
        let ends = of_slices.iter().scan(0, |end, rows| {
            *end += rows.len() as u32;
            Some(*end)
        });
        Places { order: None, ends: ends.collect() }
    }

    /// Of rows that stand as they came, in batches with these ends.
    fn within(of_slices: &[Vec<(u32, u32)>], batch_ends: &[usize]) -> Self {
        let start = |batch: u32| batch.checked_sub(1).map_or(0, |before| batch_ends[before as usize] as u32);
        let mut used = of_slices.iter().filter(|rows| !rows.is_empty());
        let one = used.next().is_none() || used.next().is_none();
        let order = (!one).then(|| of_slices.iter().flatten().map(|(batch, row)| start(*batch) + row).collect());
        Places { order, ..Self::in_turn(of_slices) }
    }

    pub fn count(&self, slice: usize) -> usize {
        self.range(slice).len()
    }

    /// The rows at these places.
    pub fn rows(&self, places: Range<usize>) -> impl Iterator<Item = u32> + '_ {
        places.map(|at| self.order.as_ref().map_or(at as u32, |order| order[at]))
    }

    /// The places of a slice's rows, which keep their order.
    pub fn range(&self, slice: usize) -> Range<usize> {
        let start = slice.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[slice] as usize
    }
}

/// Bytes of an array's own rows: it may share its buffers with others.
fn own_bytes(array: &ArrayRef) -> usize {
    fn of_views<T: ByteViewType>(array: &ArrayRef) -> Option<usize> {
        let views = array.as_byte_view_opt::<T>()?.views();
        Some(views.iter().map(|view| size_of_val(view) + *view as u32 as usize).sum())
    }
    let views = || of_views::<StringViewType>(array).or_else(|| of_views::<BinaryViewType>(array));
    match array.data_type().primitive_width() {
        Some(width) => array.len() * width,
        None => views().unwrap_or_else(|| array.get_array_memory_size()),
    }
}

/// The columns of the rows of all batches.
fn columns(layout: &LoadLayout, batches: &[RecordBatch], order: &Order) -> Result<Vec<PackedColumn>> {
    let column = |(ordinal, spec): (usize, &ColumnSpec)| {
        let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(ordinal).as_ref()).collect();
        PackedColumn::of_arrays(&arrays, order, spec.sql_type)
    };
    layout.columns.iter().enumerate().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_within_a_slice() {
        let of_slices = [vec![(0, 1), (1, 1)], vec![(1, 0)], vec![(0, 0), (0, 2)], vec![]];
        let places = Places::within(&of_slices, &[3, 5]);
        let rows = |places: &Places, slice| places.rows(places.range(slice)).collect::<Vec<_>>();
        assert_eq!([0, 1, 2, 3].map(|s| rows(&places, s)), [vec![1, 4], vec![3], vec![0, 2], vec![]]);
        let places = Places::in_turn(&of_slices);
        assert_eq!([0, 1, 2, 3].map(|s| rows(&places, s)), [vec![0, 1], vec![2], vec![3, 4], vec![]]);
        let one = Places::within(&[vec![], vec![(0, 0), (0, 1), (1, 0)], vec![]], &[2, 3]);
        assert_eq!([0, 1, 2].map(|s| one.count(s)), [0, 3, 0]);
        assert_eq!(rows(&one, 1), [0, 1, 2]);
    }

    #[test]
    fn units_are_bounded() {
        let batch = |rows: usize| {
            let array: ArrayRef = Arc::new(arrow::array::Int32Array::from_iter_values(0..rows as i32));
            RecordBatch::try_from_iter([("a", array)]).unwrap()
        };
        let mut pending = Pending::new(1 << 30);
        assert!(pending.push(batch(Pending::ROWS / 2)).is_none());
        assert_eq!(pending.push(batch(Pending::ROWS / 2)).unwrap().len(), 2);
        assert!(pending.take().is_empty());
        // A slice has few bytes of its own.
        let mut pending = Pending::new(1000);
        assert!(pending.push(batch(1000).slice(7, 10)).is_none());
        assert_eq!(pending.push(batch(1000)).unwrap().len(), 2);
    }
}
