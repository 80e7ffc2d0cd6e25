//! Segments of which every row passes a scan's filters: whoever only wants to know which rows these are need not read them.

use std::sync::Arc;

use datafusion::common::Result;

use super::filter::{BoundsTrust, FilterCompiler, FilterKind, Routing};
use super::scan::{ScanTable, SliceScan};
use crate::catalog::SegmentRef;

impl SliceScan {
    /// The same scan without the segments of which the catalog proves that each row passes, and these. `None` where there are
    /// none.
    ///
    /// It is proven where all filters are conditions of one column with constants, whose opposite no value between the
    /// segment's bounds meets, and of which no row is NULL. What is dead in a segment counts as a row of it.
    pub fn without_whole(&self) -> Result<Option<(SliceScan, Vec<Arc<SegmentRef>>)>> {
        let def = &self.table().def;
        if !self.options().prune || self.limit().is_some() || self.has_key_filters() {
            return Ok(None);
        }
        let routing = Routing { partition: 0, partitions: 1, key: None };
        let types = def.columns.iter().map(|c| c.sql_type).collect();
        let filter = FilterCompiler::new(self.filters().to_vec(), types, routing, BoundsTrust::All).compile()?;
        let plain = !filter.never
            && filter.residual.is_empty()
            && filter.encoded.iter().all(|conjunct| conjunct.kind == FilterKind::Static);
        if !plain {
            return Ok(None);
        }
        let (whole, rest): (Vec<_>, Vec<_>) =
            self.table().segments.iter().cloned().partition(|segment| filter.holds_of_all(def, segment));
        if whole.is_empty() {
            return Ok(None);
        }
        let rest = ScanTable { segments: Arc::new(rest), ..ScanTable::clone(self.table()) };
        Ok(Some((self.over(Arc::new(rest)), whole)))
    }
}
