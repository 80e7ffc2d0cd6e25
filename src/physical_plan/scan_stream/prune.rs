//! What the filters prove to hold no row: slices, segments, zones.

use std::collections::{BTreeSet, VecDeque};

use datafusion::common::{Result, ScalarValue};

use super::{Current, ScanStream, external};
use crate::catalog::model::{ColumnDef, SegmentRef, TableDef};
use crate::common::{Bounds, Comparison, Predicate};
use crate::distribution::{hash_array, slice_of_hash};
use crate::physical_plan::filter::{CompiledFilter, FilterKind, ResidualConjunct, from_scalar};
use crate::physical_plan::scan::WantedFirst;
use crate::physical_plan::work::Parts;
use crate::storage::segment::OpenSegment;

impl ScanStream {
    /// The slices that equality or IN on the distribution key leaves; of dynamic filters if `dynamic`. `None` where the
    /// filters do not tell, or the rows were placed by a hash that this build does not know.
    pub(super) fn possible_slices(&self, filter: &CompiledFilter, dynamic: bool) -> Result<Option<BTreeSet<u32>>> {
        let hashed = self.options.prune && self.table.def.hash_is_known();
        let Some(key) = self.key.filter(|_| hashed) else { return Ok(None) };
        let sql_type = self.table.def.columns[key].sql_type;
        let mut possible: Option<BTreeSet<u32>> = None;
        for conjunct in filter.encoded.iter().filter(|c| c.column == key) {
            if conjunct.kind == FilterKind::Dynamic && !dynamic {
                continue;
            }
            let values = match &conjunct.predicate {
                Predicate::Compare(Comparison::Eq, value) => std::slice::from_ref(value),
                Predicate::In { values, negated: false, .. } => values.as_slice(),
                _ => continue,
            };
            let literals: Option<Vec<ScalarValue>> = values.iter().map(|v| from_scalar(v, sql_type)).collect();
            let Some(literals) = literals.filter(|l| !l.is_empty()) else { continue };
            let hashes = hash_array(&ScalarValue::iter_to_array(literals)?).map_err(external)?;
            let slices: BTreeSet<u32> =
                hashes.into_iter().map(|h| slice_of_hash(h, self.options.slices.slices())).collect();
            possible = Some(match possible {
                Some(known) => known.intersection(&slices).copied().collect(),
                None => slices,
            });
        }
        Ok(possible)
    }

    /// The kind of filter by which the catalog alone proves that no row of the segment passes.
    pub(super) fn prunes_segment(&self, segment: &SegmentRef) -> Option<FilterKind> {
        let excluded = |slices: &Option<BTreeSet<u32>>| slices.as_ref().is_some_and(|s| !s.contains(&segment.slice));
        if excluded(&self.filter.static_slices) {
            return Some(FilterKind::Static);
        }
        if excluded(&self.filter.slices) {
            return Some(FilterKind::Dynamic);
        }
        self.filter.filter.refuted_of(&self.table.def, segment)
    }

    pub(super) fn prunes_zone(&self, segment: &OpenSegment, zone: usize) -> Result<Option<FilterKind>> {
        if !self.options.prune {
            return Ok(None);
        }
        let filter = &self.filter.filter;
        // Read before the closure, which cannot fail.
        let residual = filter.residual.iter().filter(|c| c.needs.is_some()).flat_map(|c| c.columns.iter().copied());
        for column in filter.encoded.iter().map(|c| c.column).chain(residual) {
            if let Some(ordinal) = segment.ordinal(self.table.def.columns[column].id) {
                segment.zone_map(ordinal).map_err(external)?;
            }
        }
        Ok(filter.refuted(&|column, predicate| {
            let ordinal = segment.ordinal(self.table.def.columns[column].id);
            let zones = ordinal.and_then(|ordinal| segment.zone_map(ordinal).ok());
            zones.is_none_or(|zones| zones[zone].bounds.may_satisfy(predicate))
        }))
    }

    /// The conjuncts on encoded data that the zone map does not already prove to hold of every row.
    pub(super) fn undecided(&self, current: &Current, zone: usize) -> Result<Vec<usize>> {
        let mut undecided = Vec::with_capacity(self.filter.filter.encoded.len());
        for (i, conjunct) in self.filter.filter.encoded.iter().enumerate() {
            let proven = match current.segment.ordinal(self.table.def.columns[conjunct.column].id) {
                Some(ordinal) if self.options.prune => {
                    let zones = current.segment.zone_map(ordinal).map_err(external)?;
                    zones[zone].bounds.all_satisfy(&conjunct.predicate)
                }
                _ => false,
            };
            if !proven {
                undecided.push(i);
            }
        }
        Ok(undecided)
    }

    /// Puts the zones that reach furthest to the wanted end of a column first.
    pub(super) fn bring_forward(
        &self,
        segment: &OpenSegment,
        zones: &mut VecDeque<usize>,
        wanted: WantedFirst,
    ) -> Result<()> {
        let Some(ordinal) = segment.ordinal(self.table.def.columns[wanted.column].id) else { return Ok(()) };
        let map = segment.zone_map(ordinal).map_err(external)?;
        zones.make_contiguous().sort_by(|a, b| {
            let (a, b) = (&map[*a].bounds, &map[*b].bounds);
            let (nearer, further) = if wanted.descending { (&b.max, &a.max) } else { (&a.min, &b.min) };
            match (nearer, further) {
                (Some(nearer), Some(further)) => nearer.order(further).unwrap_or(std::cmp::Ordering::Equal),
                (nearer, further) => nearer.is_some().cmp(&further.is_some()),
            }
        });
        Ok(())
    }

    /// Counts zones that `kind` pruned, and what they leave nothing of.
    pub(super) fn count_pruned(&self, parts: &Parts, kind: FilterKind, zones: usize) {
        self.metrics.zones_pruned.add(kind, zones);
        for (part, pruned) in [
            (&parts.slice, &self.metrics.slices_pruned),
            (&parts.segment, &self.metrics.segments_pruned),
            (&parts.chunk, &self.metrics.chunks_pruned),
        ] {
            if let Some(kind) = part.prune(kind, zones) {
                pruned.add(kind, 1);
            }
        }
        self.table.store.count_pruned(zones);
    }
}

impl CompiledFilter {
    /// Whether the catalog alone proves that no row of the segment passes.
    pub(in crate::physical_plan) fn refutes_segment(&self, def: &TableDef, segment: &SegmentRef) -> bool {
        self.refuted_of(def, segment).is_some()
    }

    /// The kind of a conjunct of which the catalog proves that no row of the segment passes it.
    fn refuted_of(&self, def: &TableDef, segment: &SegmentRef) -> Option<FilterKind> {
        self.refuted(&|column, predicate| {
            let column = &def.columns[column];
            match segment.columns.iter().find(|c| c.id == column.id) {
                Some(stored) => stored.bounds.may_satisfy(predicate),
                None => absent_bounds(column, segment.rows).may_satisfy(predicate),
            }
        })
    }

    /// Whether the catalog alone proves that each row of the segment passes the conjuncts that encoded data answers.
    pub(in crate::physical_plan) fn holds_of_all(&self, def: &TableDef, segment: &SegmentRef) -> bool {
        self.encoded.iter().all(|conjunct| {
            let column = &def.columns[conjunct.column];
            match segment.columns.iter().find(|c| c.id == column.id) {
                Some(stored) => stored.bounds.must_satisfy(&conjunct.predicate),
                None => absent_bounds(column, segment.rows).must_satisfy(&conjunct.predicate),
            }
        })
    }

    /// The kind of a conjunct of which `may` proves that no row passes it.
    fn refuted(&self, may: &dyn Fn(usize, &Predicate) -> bool) -> Option<FilterKind> {
        let encoded = self.encoded.iter().find(|c| !may(c.column, &c.predicate)).map(|c| c.kind);
        let refuted = |c: &&ResidualConjunct| c.needs.as_ref().is_some_and(|needs| !needs.may_hold(may));
        encoded.or_else(|| self.residual.iter().find(refuted).map(|c| c.kind))
    }
}

/// What rows written before a column existed hold of it.
fn absent_bounds(column: &ColumnDef, rows: u32) -> Bounds {
    let rows = u64::from(rows);
    match &column.absent {
        Some(value) => Bounds::of_values(value.clone(), value.clone(), 0, rows),
        None => Bounds { exact: true, ..Bounds::unknown(rows, rows) },
    }
}
