//! Segments that come and go, rows that die, and rows that a vacuum has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;

use super::{Places, Resolver, violation};
use crate::catalog::apply::PROVISIONAL;
use crate::catalog::delete_vector;
use crate::catalog::entry::Action;
use crate::catalog::model::*;
use crate::catalog::positions::Positions;
use crate::catalog::ranks::RankMap;
use crate::catalog::transaction::{
    Blob, Changed, NewDeleteVector, NewSegment, RankChoice, Rewritten, RunChoice, Target,
};
use crate::common::{Error, Result};

impl Resolver<'_> {
    pub(super) fn append(
        &mut self,
        table: &Target,
        data_change: bool,
        changed: &Changed,
        segments: &[NewSegment],
    ) -> Result<()> {
        let state = self.table(table)?.clone();
        if data_change {
            self.own.keeping.adding(&state, changed);
        }
        let id = state.def.id;
        let version = self.snapshot.version;
        let before = self.own.segments.get(&id).map_or(0, Vec::len) as u64;
        let provisional = u64::from(PROVISIONAL) + before;
        let first = if self.is_open() { provisional } else { state.next_segment };
        // Other transactions of the same version have runs of their own.
        let newest = state.segments.iter().map(|s| s.run.0).max().unwrap_or(0);
        let own_run = RunId(if self.is_open() { first } else { first.max(newest + 1) });
        self.own.runs.insert((id, RunId(provisional)), own_run);
        let mut added = Vec::with_capacity(segments.len());
        for (next, segment) in (first..).zip(segments) {
            if segment.slice >= self.snapshot.info.slices {
                return Err(Error::internal(format!("slice {} does not exist", segment.slice)));
            }
            let run = match segment.run {
                RunChoice::Extend(run) => Some(self.own.runs.get(&(id, run)).copied().unwrap_or(run)),
                RunChoice::New | RunChoice::Into { .. } => None,
            };
            let run = run.filter(|run| self.can_extend(&state, segment.slice, *run)).unwrap_or(own_run);
            let (run, place) = match segment.run {
                RunChoice::Into { run, place } => (run, place),
                _ => (run, SegmentRef::place_of(SegmentId(next))),
            };
            self.own.extended.insert((id, segment.slice, run));
            let rank_map = match segment.ranked {
                RankChoice::Unranked => 0,
                RankChoice::By(version) if self.own.late_maps.contains(&(id, version)) => 0,
                RankChoice::By(version) => version,
                RankChoice::Brought => self.own.brought.get(&id).copied().unwrap_or(0),
            };
            added.push(Arc::new(SegmentRef {
                id: SegmentId(next),
                extent: self.place(&segment.blob),
                footer_len: segment.footer_len,
                slice: segment.slice,
                run,
                place,
                rows: segment.rows,
                added: segment.added.unwrap_or(version),
                columns: segment.columns.clone(),
                deleted: segment
                    .deleted
                    .as_ref()
                    .map(|(blob, rows)| DeleteVectorRef { extent: self.place(blob), rows: *rows }),
                rank_map,
                rank_counts: if rank_map == 0 { Vec::new() } else { segment.rank_counts.clone() },
            }));
        }
        self.own.segments.entry(id).or_default().extend(added.iter().map(|s| s.id));
        self.segments.push((id, added.iter().map(|s| s.id).collect()));
        self.act(Action::AddSegments { table: id, data_change, segments: added })?;
        self.uncover(id, &state)
    }

    /// Takes segments away, each as the transaction saw it; of those that a vacuum took, the rows where they are now.
    pub(super) fn remove(
        &mut self,
        table: &Target,
        data_change: bool,
        changed: &Changed,
        segments: &[(SegmentId, Option<DeleteVectorRef>)],
    ) -> Result<()> {
        let state = self.table(table)?.clone();
        self.own.keeping.removing(&state, changed);
        let present: BTreeMap<SegmentId, _> = state.segments.iter().map(|s| (s.id, s.deleted)).collect();
        let id = state.def.id;
        let mut gone = Vec::with_capacity(segments.len());
        let mut killed = BTreeMap::new();
        for (segment, expected) in segments {
            let lasting = self.lasting_segment(id, *segment)?;
            if !present.contains_key(&lasting) {
                let rows = self.living(&state, lasting, expected.as_ref())?;
                self.lead_on(&state, lasting, rows, &mut killed)?;
                continue;
            }
            let as_seen = match self.own.vectors.get(&(id, lasting)) {
                Some(own) => *own && present.contains_key(&lasting),
                None => present.get(&lasting) == Some(expected),
            };
            if !as_seen {
                return Err(violation(&table.name, &state, self.base));
            }
            gone.push(lasting);
        }
        if !killed.is_empty() {
            let vectors = self.killed(&state, killed)?;
            self.act(Action::SetDeleteVectors { table: id, data_change, vectors })?;
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.act(Action::RemoveSegments { table: id, data_change, segments: gone })
    }

    /// Kills rows, where they are now.
    pub(super) fn set_deletes(
        &mut self,
        table: &Target,
        data_change: bool,
        changed: &Changed,
        vectors: &[NewDeleteVector],
    ) -> Result<()> {
        let state = self.table(table)?.clone();
        self.own.keeping.removing(&state, changed);
        let present: BTreeMap<SegmentId, &Arc<SegmentRef>> = state.segments.iter().map(|s| (s.id, s)).collect();
        let id = state.def.id;
        let mut new = Vec::with_capacity(vectors.len());
        let mut killed = BTreeMap::new();
        for vector in vectors {
            let lasting = self.lasting_segment(id, vector.segment)?;
            match (present.get(&lasting), &vector.killed) {
                (Some(segment), _) => new.push((lasting, Some(self.thinned(&state, segment, vector)?))),
                (None, Some(rows)) => {
                    self.lead_on(&state, lasting, RoaringBitmap::clone(rows), &mut killed)?;
                }
                (None, None) => return Err(violation(&table.name, &state, self.base)),
            }
        }
        new.extend(self.killed(&state, killed)?);
        self.act(Action::SetDeleteVectors { table: id, data_change, vectors: new })
    }

    /// Whether a run still ends where the transaction saw it end.
    fn can_extend(&self, state: &TableState, slice: u32, run: RunId) -> bool {
        if self.own.extended.contains(&(state.def.id, slice, run)) {
            return true;
        }
        let of_run = || state.segments.iter().filter(|s| s.run == run);
        of_run().next().is_some() && of_run().all(|s| s.slice != slice || s.added <= self.base)
    }

    /// A segment's delete vector with the rows that the transaction has killed. Where others have killed rows since, theirs
    /// are in it, too, unless one is among its own.
    fn thinned(
        &mut self,
        table: &TableState,
        segment: &SegmentRef,
        vector: &NewDeleteVector,
    ) -> Result<DeleteVectorRef> {
        let key = (table.def.id, segment.id);
        let as_seen = match self.own.vectors.get(&key) {
            Some(own) => *own,
            None => segment.deleted == vector.expected || vector.segment.0 >= u64::from(PROVISIONAL),
        };
        self.own.vectors.insert(key, as_seen);
        if as_seen {
            if vector.rows > segment.rows {
                return Err(Error::internal(format!("{} of {} rows are deleted", vector.rows, segment.rows)));
            }
            return Ok(DeleteVectorRef { extent: self.place(&vector.blob), rows: vector.rows });
        }
        let killed = vector.killed.as_ref().ok_or_else(|| violation(&table.def.name, table, self.base))?;
        self.kill(table, segment, killed)
    }

    /// A segment's delete vector with more rows dead, all of which live.
    fn kill(&mut self, table: &TableState, segment: &SegmentRef, killed: &RoaringBitmap) -> Result<DeleteVectorRef> {
        let base = self.base;
        let conflict = || violation(&table.def.name, table, base);
        let mut dead = match &segment.deleted {
            Some(present) => self.dead(present, segment.rows)?.ok_or_else(conflict)?,
            None => RoaringBitmap::new(),
        };
        if !dead.is_disjoint(killed) {
            return Err(conflict());
        }
        dead |= killed;
        let rows = dead.len() as u32;
        let blob = Blob::Inline(Bytes::from(delete_vector::encode(&dead)?));
        Ok(DeleteVectorRef { extent: self.place(&blob), rows })
    }

    /// The rows of a segment that is gone that lived while its dead rows were `expected`.
    fn living(
        &mut self,
        table: &TableState,
        segment: SegmentId,
        expected: Option<&DeleteVectorRef>,
    ) -> Result<RoaringBitmap> {
        let (base, name) = (self.base, &table.def.name);
        let conflict = || violation(name, table, base);
        let moved = move_of(table, segment).ok_or_else(conflict)?;
        let positions = self.vectors.positions(moved).ok_or_else(conflict)?;
        let mut rows: RoaringBitmap = (0..positions.rows(segment)).collect();
        if let Some(expected) = expected {
            rows -= self.dead(expected, u32::MAX)?.ok_or_else(conflict)?;
        }
        Ok(rows)
    }

    /// Adds to `killed`, by segment, where rows of a segment that is gone stand now.
    fn lead_on(
        &mut self,
        table: &TableState,
        segment: SegmentId,
        rows: RoaringBitmap,
        killed: &mut BTreeMap<SegmentId, RoaringBitmap>,
    ) -> Result<()> {
        let (base, name) = (self.base, &table.def.name);
        let conflict = || violation(name, table, base);
        let mut open = vec![(segment, rows)];
        while let Some((segment, rows)) = open.pop() {
            if table.segment(segment).is_some() {
                *killed.entry(segment).or_default() |= rows;
                continue;
            }
            let moved = move_of(table, segment).ok_or_else(conflict)?;
            let positions = self.vectors.positions(moved).ok_or_else(conflict)?;
            let found = positions.of(segment, &rows).ok_or_else(conflict)?;
            open.extend(found.into_iter().filter_map(|(at, rows)| Some((*moved.to.get(at)?, rows))));
        }
        Ok(())
    }

    fn killed(
        &mut self,
        table: &TableState,
        killed: BTreeMap<SegmentId, RoaringBitmap>,
    ) -> Result<Vec<(SegmentId, Option<DeleteVectorRef>)>> {
        let mut vectors = Vec::with_capacity(killed.len());
        for (id, rows) in killed {
            let segment = table.segment(id).ok_or_else(|| Error::internal("a segment was there a moment ago"))?;
            vectors.push((id, Some(self.kill(table, segment, &rows)?)));
            self.own.vectors.insert((table.def.id, id), false);
        }
        Ok(vectors)
    }

    /// A vacuum's segments take the place of others.
    pub(super) fn rewrite(
        &mut self,
        table: &Target,
        removed: &[(SegmentId, Option<DeleteVectorRef>)],
        added: &[NewSegment],
        positions: &Positions,
        stored: Extent,
    ) -> Result<()> {
        let state = self.table(table)?.clone();
        let taken = || {
            Error::conflict(format!("segments of table \"{}\" were vacuumed by another process", table.name))
                .with_hint("vacuum it again")
        };
        if removed.iter().any(|(id, _)| state.segment(*id).is_none() && move_of(&state, *id).is_some()) {
            return Err(taken());
        }
        let (from, added) = self.replaced(&state, removed, added, positions)?.ok_or_else(taken)?;
        let id = state.def.id;
        self.act(Action::RemoveSegments { table: id, data_change: false, segments: from.clone() })?;
        self.append(table, false, &Changed::NOTHING, &added)?;
        let to = self.segments.last().map(|(_, ids)| ids.clone()).unwrap_or_default();
        self.act(Action::Moved { table: id, from, to, positions: stored })
    }

    /// Which of `removed` are there, and `added`, where those rows are dead that others have killed since or that are gone. `None`
    /// where it is not at hand who killed which.
    fn replaced(
        &mut self,
        state: &TableState,
        removed: &[(SegmentId, Option<DeleteVectorRef>)],
        added: &[NewSegment],
        positions: &Positions,
    ) -> Result<Option<(Vec<SegmentId>, Vec<NewSegment>)>> {
        let mut from = Vec::new();
        // All of them before any is looked at: so that what is not at hand is asked for at once.
        let mut killed = Vec::with_capacity(removed.len());
        for (id, read) in removed {
            killed.push(match state.segment(*id).cloned() {
                Some(segment) => {
                    from.push(*id);
                    self.killed_since(&segment, read.as_ref())?
                }
                // Somebody has killed all of them, or they stand elsewhere.
                None => Some(positions.living(*id)),
            });
        }
        let mut dead = BTreeMap::<usize, RoaringBitmap>::new();
        for ((id, _), rows) in removed.iter().zip(killed) {
            let Some(rows) = rows else { return Ok(None) };
            if rows.is_empty() {
                continue;
            }
            // Of a row that is dead and was not written, nothing is to be done.
            let rows = rows & positions.living(*id);
            let places = positions.of(*id, &rows).ok_or_else(|| Error::internal("a row is nowhere"))?;
            for (at, rows) in places {
                *dead.entry(at).or_default() |= rows;
            }
        }
        let mut added = added.to_vec();
        let mut at_hand = true;
        for (at, mut rows) in dead {
            let segment = added.get_mut(at).ok_or_else(|| Error::internal("a row is in no segment"))?;
            if let Some((Blob::Stored(extent), count)) = segment.deleted {
                // Dead rows that were copied with the others.
                match self.dead(&DeleteVectorRef { extent, rows: count }, segment.rows)? {
                    Some(before) => rows |= before,
                    None => at_hand = false,
                }
            }
            segment.deleted = Some((Blob::Inline(Bytes::from(delete_vector::encode(&rows)?)), rows.len() as u32));
        }
        Ok(at_hand.then_some((from, added)))
    }

    /// See [`Transaction::relayout`](crate::catalog::transaction::Transaction::relayout).
    pub(super) fn relayout(
        &mut self,
        table: &Target,
        def: &TableDef,
        map: Option<&Arc<RankMap>>,
        rewritten: &[Rewritten],
    ) -> Result<()> {
        let state = self.table(table)?.clone();
        let id = state.def.id;
        let came = || {
            Error::conflict(format!("rows came to table \"{}\" while it was written anew", table.name))
                .with_hint("run the statement again")
        };
        let known: BTreeSet<SegmentId> = rewritten.iter().flat_map(|r| r.removed.iter().map(|(id, _)| *id)).collect();
        if state.segments.iter().any(|s| !known.contains(&s.id)) {
            return Err(came());
        }
        let mut parts = Vec::with_capacity(rewritten.len());
        for Rewritten { removed, added, positions } in rewritten {
            let (from, mut added) = self.replaced(&state, removed, added, positions)?.ok_or_else(came)?;
            // Where a vacuum took all rows of a segment, what it made of them may have the same place.
            added.retain(|segment| segment.deleted.as_ref().is_none_or(|(_, rows)| *rows < segment.rows));
            parts.push((from, added));
        }
        let gone = parts.iter().flat_map(|(from, _)| from.iter().copied()).collect();
        self.act(Action::RemoveSegments { table: id, data_change: false, segments: gone })?;
        let mut def = TableDef { id, schema: state.def.schema, name: state.def.name.clone(), ..def.clone() };
        self.refer(&mut def)?;
        def.check_invariants()?;
        self.carry_states(&mut def)?;
        let altered = Target::from(&def);
        self.act(Action::AlterTable(def))?;
        if let Some(map) = map {
            let version = self.table(&altered)?.rank_version() + 1;
            self.own.brought.insert(id, version);
            let map = Arc::new(RankMap { version, ..RankMap::clone(map) });
            self.act(Action::SetRankMap { table: id, map })?;
        }
        for (_, added) in parts {
            self.append(&altered, false, &Changed::NOTHING, &added)?;
        }
        Ok(())
    }

    /// The rows that are dead in a segment and were not by the vector `read`; `None` where that is not at hand.
    fn killed_since(&mut self, segment: &SegmentRef, read: Option<&DeleteVectorRef>) -> Result<Option<RoaringBitmap>> {
        let Some(now) = segment.deleted.filter(|now| Some(now) != read) else { return Ok(Some(RoaringBitmap::new())) };
        let dead = self.dead(&now, segment.rows)?;
        let before = match read {
            Some(read) => self.dead(read, segment.rows)?,
            None => Some(RoaringBitmap::new()),
        };
        Ok(dead.zip(before).map(|(dead, before)| dead - before))
    }

    /// The dead rows of a segment of `rows` rows, as far as they are at hand.
    fn dead(&mut self, vector: &DeleteVectorRef, rows: u32) -> Result<Option<RoaringBitmap>> {
        if let Places::Log(blobs) = &self.places
            && vector.extent.object == ObjectId::Log(self.snapshot.version)
        {
            // Of another transaction in the same entry.
            let bytes =
                blobs.at(vector.extent.offset).ok_or_else(|| Error::internal("an entry lacks its own bytes"))?;
            return delete_vector::decode(bytes, vector.rows, rows).map(Some);
        }
        if let Some(bytes) = self.held.get(&vector.extent.object) {
            // Of an earlier statement of the same transaction.
            return delete_vector::decode(&bytes, vector.rows, rows).map(Some);
        }
        Ok(self.vectors.dead(vector, rows).map(|known| RoaringBitmap::clone(&known)))
    }
}

/// By which rows of a segment went elsewhere.
fn move_of(table: &TableState, segment: SegmentId) -> Option<&Arc<Move>> {
    table.moves.iter().rev().find(|m| m.from.contains(&segment))
}
