//! What a transaction has read, which a later one may not have changed when it commits.

use std::fmt;
use std::sync::Arc;

use super::model::*;
use crate::common::{Bounds, ColumnId, TableId};

/// What a transaction has read of a table; of a view, how it is defined.
#[derive(Debug, Clone)]
pub struct Read {
    /// The version that it read.
    pub base: Arc<Snapshot>,
    pub table: TableId,
    pub name: String,
    pub rows: Arc<dyn RowsRead>,
}

/// Which rows of a table were read.
pub trait RowsRead: fmt::Debug + Send + Sync {
    /// Whether the segment may hold such a row.
    fn may_hold(&self, segment: &SegmentRef) -> bool;

    /// Whether it matters when such rows go; that they come does always.
    fn minds_loss(&self) -> bool {
        true
    }
}

/// Every row.
#[derive(Debug)]
pub struct AllRows;

impl RowsRead for AllRows {
    fn may_hold(&self, _: &SegmentRef) -> bool {
        true
    }
}

/// Rows with such keys as a transaction adds, which were not there.
#[derive(Debug)]
pub(super) struct Absent {
    /// Of each segment that is added, the bounds of the key's columns.
    pub added: Vec<Vec<(ColumnId, Bounds)>>,
}

impl RowsRead for Absent {
    fn may_hold(&self, segment: &SegmentRef) -> bool {
        let may_meet = |(id, own): &(ColumnId, Bounds)| {
            segment.columns.iter().find(|c| c.id == *id).is_none_or(|column| column.bounds.may_meet(own))
        };
        self.added.iter().any(|bounds| bounds.iter().all(may_meet))
    }

    fn minds_loss(&self) -> bool {
        false
    }
}
