//! Clones: a table that begins with the segments of another.

use std::sync::Arc;

use super::entry::Action;
use super::lease::PinnedSnapshot;
use super::model::{EffectiveDist, SegmentRef, TableDef, TableState};
use super::resolve::Resolver;
use super::view::CommentOn;
use crate::common::{Error, Result, SqlState};

impl Resolver<'_> {
    /// Creates `def` with the rows that `of` has in `version`.
    ///
    /// Segments keep their numbers, runs and places, and the versions that added them: what statistics tell of them and the
    /// orders that they are in go on to hold. Objects stay for as long as one of the two tables refers to them.
    pub(super) fn clone_table(&mut self, def: &TableDef, of: &Arc<TableState>, version: &PinnedSnapshot) -> Result<()> {
        // A collector that has passed the version may have taken what only it refers to.
        if version.version < self.snapshot.horizon {
            let message = format!(
                "snapshot too old: version {}, of which table \"{}\" is to be cloned, is older than the horizon {}",
                version.version, of.def.name, self.snapshot.horizon
            );
            return Err(Error::conflict(message)
                .with_state(SqlState::SNAPSHOT_TOO_OLD)
                .with_hint("clone a later version, or the present one"));
        }
        let (then, now) = (version.info.slices, self.snapshot.info.slices);
        if then != now && of.def.effective_dist != EffectiveDist::All {
            let message = format!(
                "the rows of table \"{}\" in version {} are on {then} slices, the warehouse has {now} now",
                of.def.name, version.version
            );
            return Err(Error::unsupported(message)
                .with_hint("copy the rows: CREATE TABLE … AS SELECT … FOR SYSTEM_TIME AS OF …"));
        }
        let id = self.create_table(def)?;
        if let Some(map) = &of.rank_map {
            self.act(Action::SetRankMap { table: id, map: Arc::clone(map) })?;
        }
        let mut segments: Vec<Arc<SegmentRef>> = of.segments.to_vec();
        segments.sort_by_key(|segment| segment.id);
        if !segments.is_empty() {
            self.act(Action::AddSegments { table: id, data_change: true, segments })?;
        }
        if of.identity_given > 0 && def.identity().is_some() {
            self.act(Action::ReserveIdentity { table: id, given: 0, count: of.identity_given })?;
        }
        if !of.loads.is_empty() {
            let sources = of.loads.iter().cloned().collect();
            let forgotten_us = of.loads.forgotten_us();
            self.act(Action::SetLoads { table: id, forget: false, sources, forgotten_us })?;
        }
        if let Some(statistics) = of.statistics {
            self.act(Action::SetStatistics { table: id, statistics })?;
        }
        for (on, text) in version.comments.iter() {
            let on = match *on {
                CommentOn::Relation(table) if table == of.def.id => CommentOn::Relation(id),
                CommentOn::Column(table, column) if table == of.def.id => CommentOn::Column(id, column),
                _ => continue,
            };
            self.act(Action::SetComment(on, Some(text.clone())))?;
        }
        Ok(())
    }
}
