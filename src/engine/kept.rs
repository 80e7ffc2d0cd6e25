//! Loads keep VERIFIED constraints: new rows are checked against themselves and against the table, without the rows that they
//! take the place of; and when others commit first, against what these brought.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checks::{Broken, Checker, Keyed};
use super::statement::{StatementState, cancelled};
use super::warehouse::Warehouse;
use crate::catalog::{
    Changed, Committed, ConstraintDef, ConstraintKind, DeleteVectorRef, NewSegment, PinnedSnapshot, RunId, SegmentId,
    SegmentRef, Snapshot, TableDef, TableState, Transaction,
};
use crate::common::{ColumnId, Error, ErrorKind, Result, SqlState};
use crate::storage::merge::as_reference;

/// How often a load checks what others committed meanwhile before it gives up.
const ROUNDS: usize = 1000;

/// Whether rows that come into the table are checked, which have new values in the columns `changed`.
pub(super) fn has_verified(def: &TableDef, changed: &Changed) -> bool {
    def.constraints.iter().any(|constraint| concerns(constraint, changed))
}

fn concerns(constraint: &ConstraintDef, changed: &Changed) -> bool {
    constraint.is_verified() && changed.touches(&constraint.columns)
}

/// What becomes of segments of which a statement's transaction removes rows: the delete vector that each had, and the one that
/// it gets; `None` where no row of it lives on.
pub(super) type Thinned = BTreeMap<SegmentId, (Option<DeleteVectorRef>, Option<DeleteVectorRef>)>;

/// The rows of a statement, beside which and in which place they come.
#[derive(Debug)]
pub(super) struct Replacing {
    /// In what columns they have other values than those in whose place they come.
    pub changed: Changed,
    pub thinned: Thinned,
}

impl Default for Replacing {
    /// Of rows that come beside all others.
    fn default() -> Self {
        Replacing { changed: Changed::All, thinned: Thinned::new() }
    }
}

/// The rows of a load, and what they are to keep.
pub(super) struct Kept {
    warehouse: Warehouse,
    def: Arc<TableDef>,
    /// In objects that no version refers to yet; none where there is nothing to keep.
    new: Vec<Arc<SegmentRef>>,
    replacing: Replacing,
    /// The table's own rows are among them.
    moved: bool,
    /// No other transaction may come in between.
    alone: bool,
    statement: Option<StatementState>,
    pruning: bool,
}

impl Kept {
    /// Of `segments` that are to come into `table`.
    pub fn of(
        warehouse: &Warehouse,
        table: &TableState,
        segments: &[NewSegment],
        replacing: Replacing,
        moved: bool,
        alone: bool,
        (statement, pruning): (Option<StatementState>, bool),
    ) -> Result<Self> {
        let mut new = Vec::new();
        if has_verified(&table.def, &replacing.changed) {
            for (id, segment) in (table.next_segment..).zip(segments) {
                let run = RunId(table.next_segment);
                new.push(Arc::new(SegmentRef { id: SegmentId(id), run, ..as_reference(segment)? }));
            }
        }
        let (warehouse, def) = (warehouse.clone(), Arc::clone(&table.def));
        Ok(Kept { warehouse, def, new, replacing, moved, alone, statement, pruning })
    }

    /// Commits `transaction`, which adds the rows, once they are checked.
    ///
    /// Invalid, with SQLSTATE 23505 or 23503, when they break a constraint.
    pub async fn commit(self, mut transaction: Transaction) -> Result<Committed> {
        let catalog = &self.warehouse.inner.catalog;
        let with_reads = |transaction| match &self.statement {
            Some(statement) => statement.with_reads(&self.warehouse, transaction),
            None => Ok(transaction),
        };
        let block = self.statement.as_ref().and_then(|statement| statement.block.as_ref());
        if let Some(block) = block {
            // Against what others commit meanwhile it is checked no more: that is a conflict when the block commits.
            if !self.new.is_empty() {
                self.check(&block.pin(&self.warehouse).await?, None).await?;
            }
            transaction.checked(&self.def, transaction.base());
            return block.add(&self.warehouse, transaction);
        }
        if self.new.is_empty() {
            // Without rows, there is nothing that a check could find.
            transaction.checked(&self.def, transaction.base());
            return catalog.commit(with_reads(transaction)?).await;
        }
        let same = |snapshot: &Snapshot| {
            snapshot.table(self.def.id).is_some_and(|t| t.def.definition_version == self.def.definition_version)
        };
        let mut before: Option<PinnedSnapshot> = None;
        let mut rounds = 0;
        loop {
            let pin = self.warehouse.pin_newest().await?;
            if !self.replaces_as_seen(&pin) {
                let message =
                    format!("rows of table \"{}\" are replaced where others have gone or moved", self.def.name);
                return Err(Error::conflict(message).with_hint("run the statement again"));
            }
            if !same(&pin) {
                // The commit tells what has become of the table.
                return catalog.commit(with_reads(transaction)?).await;
            }
            self.check(&pin, before.as_ref()).await?;
            if self.statement.as_ref().is_some_and(|statement| statement.cancel.is_cancelled()) {
                return Err(cancelled());
            }
            transaction.checked(&self.def, pin.version);
            rounds += 1;
            match catalog.commit(with_reads(transaction.again())?).await {
                Err(e) if e.kind() == ErrorKind::Conflict && !self.alone && rounds < ROUNDS => {
                    let newest = catalog.refresh().await?;
                    // What the statement has read stays changed.
                    let read = self.statement.as_ref().and_then(|statement| statement.reads.as_ref());
                    if read.is_some_and(|reads| !reads.is_empty())
                        || !same(&newest)
                        || !self.replaces_as_seen(&newest)
                        || newest.version <= pin.version
                    {
                        return Err(e);
                    }
                    before = Some(pin);
                }
                outcome => return outcome,
            }
        }
    }

    /// Checks all constraints at `pin`, where they were found to hold at `before`.
    async fn check(&self, pin: &PinnedSnapshot, before: Option<&PinnedSnapshot>) -> Result<()> {
        let Some(table) = pin.table(self.def.id) else { return Ok(()) };
        let checker = Checker::new(&self.warehouse, pin.clone(), self.statement.clone(), self.pruning);
        let stay = self.staying(table);
        let old: Vec<Arc<SegmentRef>> = match before {
            None => stay.clone(),
            Some(before) => stay.iter().filter(|s| s.added > before.version).cloned().collect(),
        };
        let keyed = |segments: &[Arc<SegmentRef>], columns: &[ColumnId]| Keyed {
            def: Arc::clone(&self.def),
            segments: segments.to_vec(),
            columns: columns.to_vec(),
        };
        let names = self.def.constraint_names();
        let concerned = |(c, _): &(&ConstraintDef, String)| concerns(c, &self.replacing.changed);
        for (constraint, name) in self.def.constraints.iter().zip(names).filter(concerned) {
            let new = keyed(&self.new, &constraint.columns);
            let ConstraintKind::ForeignKey { table: parent, referenced } = &constraint.kind else {
                if before.is_none()
                    && let Some(broken) = checker.repeated(&new).await?
                {
                    return Err(repeated(&self.def, &name, &broken));
                }
                if !old.is_empty()
                    && let Some(broken) = checker.in_both(&new, &keyed(&old, &constraint.columns)).await?
                {
                    return Err(exists(&self.def, &name, &broken));
                }
                continue;
            };
            let Some(parent) = pin.table(*parent) else { continue };
            let was = before.and_then(|before| before.table(parent.def.id));
            if was.is_some_and(|was| has_all_of(parent, was)) {
                continue;
            }
            let mut held = parent.segments.to_vec();
            if parent.def.id == self.def.id {
                held = stay.iter().chain(&self.new).cloned().collect();
            }
            let parent = Keyed { def: Arc::clone(&parent.def), segments: held, columns: referenced.clone() };
            if let Some(broken) = checker.missing(&new, &parent).await? {
                return Err(missing(&self.def, &name, &parent.def, &broken));
            }
        }
        Ok(())
    }

    /// Whether the rows that are replaced are where the statement found them.
    fn replaces_as_seen(&self, snapshot: &Snapshot) -> bool {
        let table = snapshot.table(self.def.id);
        let deleted = |id: &SegmentId| table.and_then(|table| table.segment(*id)).map(|segment| segment.deleted);
        self.replacing.thinned.iter().all(|(id, (seen, _))| deleted(id) == Some(*seen))
    }

    /// The rows that the table keeps beside the new ones.
    fn staying(&self, table: &TableState) -> Vec<Arc<SegmentRef>> {
        if self.moved {
            return Vec::new();
        }
        let stay = |segment: &Arc<SegmentRef>| match self.replacing.thinned.get(&segment.id) {
            None => Some(Arc::clone(segment)),
            Some((_, deleted @ Some(_))) => {
                Some(Arc::new(SegmentRef { deleted: *deleted, ..SegmentRef::clone(segment) }))
            }
            Some((_, None)) => None,
        };
        table.segments.iter().filter_map(stay).collect()
    }
}

/// Whether a table lost no row since it was `was`.
fn has_all_of(now: &TableState, was: &TableState) -> bool {
    let held: BTreeMap<SegmentId, _> = now.segments.iter().map(|s| (s.id, s.deleted)).collect();
    was.segments.iter().all(|s| held.get(&s.id) == Some(&s.deleted))
}

fn violation(def: &TableDef, name: &str) -> Error {
    let message = format!("duplicate key value violates unique constraint \"{name}\" of table \"{}\"", def.name);
    Error::invalid(SqlState::UNIQUE_VIOLATION, message)
        .with_hint(format!("load each key once, or ALTER TABLE … ALTER CONSTRAINT {name} NORELY"))
}

fn repeated(def: &TableDef, name: &str, broken: &Broken) -> Error {
    violation(def, name).with_detail(format!("Key {} is in {} of the new rows.", broken.key, broken.times))
}

fn exists(def: &TableDef, name: &str, broken: &Broken) -> Error {
    violation(def, name).with_detail(format!("Key {} already exists.", broken.key))
}

fn missing(def: &TableDef, name: &str, parent: &TableDef, broken: &Broken) -> Error {
    let message = format!("insert on table \"{}\" violates foreign key constraint \"{name}\"", def.name);
    Error::invalid(SqlState::FOREIGN_KEY_VIOLATION, message)
        .with_detail(format!("Key {} is not present in table \"{}\".", broken.key, parent.name))
        .with_hint(format!("load that table first, or ALTER TABLE … ALTER CONSTRAINT {name} NORELY"))
}
