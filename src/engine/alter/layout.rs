//! Rows written anew under another layout while everybody goes on, and exchanged for the old ones in one commit.
//!
//! All rows of one version are written first, then those that came meanwhile, until few are left: for the last ones other
//! transactions of this process wait at their commits. Rows that others delete are dead in the new segments, too. Until the
//! commit the table is what it was; what a killed ALTER has written is collected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use object_store::ObjectStoreExt;

use super::{Altered, check_alone};
use crate::catalog::paths;
use crate::catalog::{
    Blob, Catalog, ConstraintDef, ConstraintState, EffectiveDist, Fence, NewSegment, PinnedSnapshot, Positions,
    RankChoice, RankMap, Rewritten, RunChoice, SegmentId, SegmentRef, TableDef, TableState, Transaction, WarehouseInfo,
};
use crate::common::error::Position;
use crate::common::{
    ColumnId, DistStyle, EncodingName, Error, ErrorKind, Result, SortKey, SortStyle, SqlState, TableId,
};
use crate::engine::names::{Place, at, no_such_column};
use crate::engine::output::Output;
use crate::engine::running::Running;
use crate::engine::vacuum::{Altering, Ongoing, check_rows_anew};
use crate::engine::warehouse::Warehouse;
use crate::format::encoding::{self, SMALL_TABLE_BYTES};
use crate::format::segment::ColumnSpec;
use crate::sql::ast::{DistClause, Ident, KeyColumn, ObjectName, SortClause};
use crate::storage::reencode::{Absent, Taken, reencode};
use crate::storage::relayout::{relayout, trial};
use crate::storage::rewrite::sample;
use crate::storage::writer::{AUTO_ALL_MAX_BYTES, AUTO_ALL_MAX_ROWS, LoadLayout};

/// So few rows are written while others wait.
const FEW_ROWS: u64 = 10_000;
/// How often rows that came meanwhile are written before others wait for the rest.
const ROUNDS: usize = 5;
/// How often the commit is tried when other processes add rows at the same time.
const ATTEMPTS: usize = 20;

/// ALTER DISTSTYLE, DISTKEY, SORTKEY.
pub async fn keys(
    running: &Running<'_>,
    name: &ObjectName,
    dist: Option<&DistClause>,
    sort: Option<&SortClause>,
) -> Result<Output> {
    check_alone(running, "ALTER TABLE … ALTER DISTSTYLE, DISTKEY or SORTKEY")?;
    let place = running.place(name).await?;
    place.check_writable(name)?;
    let pin = place.warehouse.pin_newest().await?;
    let table = place.table(&pin, name)?;
    let mut def = TableDef { definition_version: table.def.definition_version + 1, ..TableDef::clone(&table.def) };
    if let Some(dist) = dist {
        (def.dist, def.effective_dist) = distribution(table, dist)?;
    }
    if let Some(sort) = sort {
        (def.sort, def.sort_auto) = sort_key(&table.def, sort)?;
    }
    def.check_invariants()?;
    alter(running, &place, &pin, table, def, Rewrite::Layout).await
}

fn distribution(table: &TableState, clause: &DistClause) -> Result<(DistStyle, EffectiveDist)> {
    Ok(match clause {
        DistClause::Even => (DistStyle::Even, EffectiveDist::Even),
        DistClause::All => (DistStyle::All, EffectiveDist::All),
        DistClause::Key(key) => {
            let id = key_column(&table.def, key, "DISTKEY")?;
            (DistStyle::Key(id), EffectiveDist::Key(id))
        }
        DistClause::Auto => {
            let bytes: u64 = table.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum();
            let small = table.live_rows() <= AUTO_ALL_MAX_ROWS && bytes <= AUTO_ALL_MAX_BYTES;
            let effective = match table.def.effective_dist {
                _ if small => EffectiveDist::All,
                EffectiveDist::All => EffectiveDist::Even,
                known => known,
            };
            (DistStyle::Auto, effective)
        }
    })
}

/// The sort key, and whether AUTO chooses it.
fn sort_key(def: &TableDef, clause: &SortClause) -> Result<(Option<SortKey>, bool)> {
    Ok(match clause {
        SortClause::Auto => (def.sort.clone().filter(|key| key.style == SortStyle::Compound), true),
        SortClause::None => (None, false),
        SortClause::Columns { style, columns } => {
            let columns = columns.iter().map(|key| key_column(def, key, "SORTKEY")).collect::<Result<_>>()?;
            (Some(SortKey { style: *style, columns }), false)
        }
    })
}

fn key_column(def: &TableDef, key: &KeyColumn, what: &str) -> Result<ColumnId> {
    let name = match key {
        KeyColumn::Name(name) => name,
        KeyColumn::Position { position, .. } => {
            return Err(Error::invalid(SqlState::SYNTAX_ERROR, format!("{what} takes column names"))
                .with_position(position.line, position.column));
        }
    };
    let column = def.column_named(&name.value).ok_or_else(|| no_such_column(name, def))?;
    if !column.sql_type.can_be_key() {
        let message = format!("column \"{}\" of type {} cannot be {what}", column.name, column.sql_type);
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message);
        return Err(at(error.with_hint("a key is a number, text, a BOOLEAN, a date or a time"), name));
    }
    Ok(column.id)
}

/// ALTER COLUMN … ENCODE.
pub async fn encode(running: &Running<'_>, name: &ObjectName, encodings: &[(Ident, EncodingName)]) -> Result<Output> {
    check_alone(running, "ALTER TABLE … ALTER COLUMN … ENCODE")?;
    let place = running.place(name).await?;
    place.check_writable(name)?;
    let pin = place.warehouse.pin_newest().await?;
    let table = place.table(&pin, name)?;
    let mut def = TableDef { definition_version: table.def.definition_version + 1, ..TableDef::clone(&table.def) };
    let mut anew = BTreeSet::new();
    for (ident, encoding) in encodings {
        let column = def.columns.iter_mut().find(|column| column.name == ident.value);
        let column = column.ok_or_else(|| no_such_column(ident, &table.def))?;
        encoding::allowed(*encoding, column.sql_type).map_err(|e| at(e, ident))?;
        if column.encoding != *encoding {
            column.encoding = *encoding;
            anew.insert(column.id);
        }
    }
    def.encode_auto &= def.columns.iter().all(|column| column.encoding == EncodingName::Auto);
    alter(running, &place, &pin, table, def, Rewrite::Encodings(anew)).await
}

/// ALTER ENCODE AUTO: what is stored stays as it is, AUTO chooses for rows to come.
pub async fn encode_auto(running: &Running<'_>, name: &ObjectName) -> Result<Output> {
    let mut attempts = 0;
    loop {
        let mut altered = Altered::begin(running, name).await?;
        altered.def.encode_auto = true;
        altered.def.columns.iter_mut().for_each(|column| column.encoding = EncodingName::Auto);
        if let Some(output) = altered.commit(running, &mut attempts).await? {
            return Ok(output);
        }
    }
}

/// ALTER WAREHOUSE SET SLICES: all tables whose rows are on more than one slice are written anew.
pub async fn set_slices(running: &Running<'_>, slices: u64, position: Position) -> Result<Output> {
    check_alone(running, "ALTER WAREHOUSE SET SLICES")?;
    let wrong = |message: String| {
        Error::invalid(SqlState::INVALID_PARAMETER, message).with_position(position.line, position.column)
    };
    let most = WarehouseInfo::MAX_SLICES;
    let slices = u32::try_from(slices).ok().filter(|slices| (1..=most).contains(slices));
    let slices = slices.ok_or_else(|| wrong(format!("a warehouse has 1 to {most} slices")))?;
    let warehouse = running.warehouse;
    if warehouse.info().slices == slices {
        return Ok(Output::done("ALTER WAREHOUSE", None));
    }
    let mut rewriting = Rewriting::new(running, warehouse, "ALTER WAREHOUSE", Tables::All { slices }).await?;
    let notices = rewriting.run().await?;
    Ok(Output::done("ALTER WAREHOUSE", None).with_notices(notices))
}

/// What changes of the rows.
#[derive(Debug, Clone)]
enum Rewrite {
    /// Where they are, or in which order.
    Layout,
    /// These columns are encoded anew.
    Encodings(BTreeSet<ColumnId>),
}

/// Gives a table of the version `pin` the definition `def`; its rows are written anew only where they are not as that wants them.
async fn alter(
    running: &Running<'_>,
    place: &Place,
    pin: &PinnedSnapshot,
    table: &TableState,
    def: TableDef,
    rewrite: Rewrite,
) -> Result<Output> {
    let done = |notices| Ok(Output::done("ALTER TABLE", None).with_notices(notices));
    let same = TableDef { definition_version: def.definition_version, ..TableDef::clone(&table.def) };
    if same == def {
        return done(Vec::new());
    }
    let as_wanted = match &rewrite {
        Rewrite::Layout => {
            stays(&table.def, &def, pin.info.slices, pin.info.slices)
                && keeps_order(table.def.sort.as_ref(), def.sort.as_ref())
        }
        Rewrite::Encodings(anew) => anew.is_empty(),
    };
    if as_wanted || table.segments.is_empty() {
        let mut transaction = place.warehouse.inner.catalog.begin_at(running.statement.user, pin);
        if !as_wanted {
            transaction.require_unchanged(&table.def);
        }
        transaction.alter_table(def);
        place.warehouse.inner.catalog.commit(transaction).await?;
        return done(Vec::new());
    }
    let tables = Tables::One { table: table.def.id, def: Box::new(def), rewrite };
    let mut rewriting = Rewriting::new(running, &place.warehouse, "ALTER TABLE", tables).await?;
    done(rewriting.run().await?)
}

/// Whether rows stay on their slices.
fn stays(old: &TableDef, new: &TableDef, before: u32, after: u32) -> bool {
    let all = |def: &TableDef| def.effective_dist == EffectiveDist::All;
    match (all(old), all(new)) {
        (true, true) => true,
        // On one slice nothing is elsewhere.
        (false, false) => before == after && (before == 1 || old.effective_dist == new.effective_dist),
        _ => before == 1 && after == 1,
    }
}

/// Whether rows in the order of `old` are in that of `new`.
fn keeps_order(old: Option<&SortKey>, new: Option<&SortKey>) -> bool {
    match (old, new) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(old), Some(new)) if old == new => true,
        (Some(old), Some(new)) => {
            old.style == SortStyle::Compound
                && new.style == SortStyle::Compound
                && old.columns.starts_with(&new.columns)
        }
    }
}

/// Which tables are written anew.
#[derive(Debug, Clone)]
enum Tables {
    One {
        table: TableId,
        def: Box<TableDef>,
        rewrite: Rewrite,
    },
    /// All that are on more than one slice.
    All {
        slices: u32,
    },
}

/// A table being written anew.
#[derive(Debug)]
struct Target {
    old: Arc<TableDef>,
    def: TableDef,
    rewrite: Rewrite,
    stays: bool,
    map: Option<Arc<RankMap>>,
    /// The segments that are written anew, or were taken by a vacuum since.
    covered: BTreeSet<SegmentId>,
    rewritten: Vec<Rewritten>,
}

struct Rewriting<'a> {
    running: &'a Running<'a>,
    warehouse: &'a Warehouse,
    what: &'static str,
    tables: Tables,
    targets: BTreeMap<TableId, Target>,
    /// Names the objects, and keeps what is read of the first version.
    transaction: Transaction,
    written: u64,
    /// What others see of it; also keeps them from vacuuming or altering the same.
    progress: Ongoing,
    _altering: Altering,
}

impl<'a> Rewriting<'a> {
    async fn new(
        running: &'a Running<'a>,
        warehouse: &'a Warehouse,
        what: &'static str,
        tables: Tables,
    ) -> Result<Rewriting<'a>> {
        let inner = &warehouse.inner;
        let (table, name) = match &tables {
            Tables::One { table, def, .. } => (Some(*table), def.name.clone()),
            Tables::All { .. } => (None, warehouse.info().name.clone()),
        };
        let altering = inner.upkeep.alter(table).ok_or_else(|| {
            Error::conflict(format!("\"{name}\" is being altered by another statement"))
                .with_hint("wait until that has ended; svv_vacuum_progress tells how far it is")
        })?;
        let pin = warehouse.pin_newest().await?;
        let now_us = inner.catalog.options().clock.now_us();
        Ok(Rewriting {
            running,
            warehouse,
            what,
            tables,
            targets: BTreeMap::new(),
            transaction: inner.catalog.begin_at(running.statement.user, &pin),
            written: 0,
            progress: Ongoing::begin(inner, &name, format!("Alter {name}"), now_us),
            _altering: altering,
        })
    }

    /// Does it all. Returns what is to be said of it.
    ///
    /// Errors: Conflict where others alter the table, or add rows from other processes faster than they can be written; those of
    /// the store, and of a statement that is cancelled. The table is then as it was, and what was written is deleted.
    async fn run(&mut self) -> Result<Vec<String>> {
        let began = Instant::now();
        let outcome = self.rewrite().await;
        match outcome {
            Ok(mut notices) => {
                if self.written == 0 {
                    return Ok(notices);
                }
                let bytes: u64 = self.parts().flat_map(|part| &part.added).map(stored_bytes).sum();
                let took = began.elapsed().as_secs_f64();
                notices.push(format!("{} rows were written anew, {} in {took:.1} s", self.written, shown(bytes)));
                Ok(notices)
            }
            Err(e) => {
                // The commit may have taken effect; then the objects are wanted.
                if e.state() != SqlState::OUTCOME_UNKNOWN {
                    self.clear_away().await;
                }
                Err(e)
            }
        }
    }

    async fn rewrite(&mut self) -> Result<Vec<String>> {
        let mut notices = Vec::new();
        let pin = self.warehouse.pin_newest().await?;
        self.find(&pin)?;
        if let Some(estimate) = self.estimate(&pin).await? {
            notices.extend(self.running.session.tell(estimate));
        }
        let mut fence: Option<Fence> = None;
        let mut rounds = 0;
        loop {
            let pin = self.warehouse.pin_newest().await?;
            self.find(&pin)?;
            let rows = self.catch_up(&pin).await?;
            rounds += 1;
            if fence.is_none() {
                if rows <= FEW_ROWS || rounds >= ROUNDS {
                    fence = Some(self.warehouse.inner.catalog.fence(match &self.tables {
                        Tables::One { table, .. } => Some(BTreeSet::from([*table])),
                        Tables::All { .. } => None,
                    }));
                }
                continue;
            }
            self.running.check_cancelled()?;
            match self.commit(fence.as_ref()).await {
                Err(e) if e.kind() == ErrorKind::Conflict && rounds < ROUNDS + ATTEMPTS => {}
                outcome => return outcome.map(|()| notices),
            }
        }
    }

    /// Brings the targets up to a version: tables that are to be written anew, as they are defined there.
    fn find(&mut self, pin: &PinnedSnapshot) -> Result<()> {
        let altered = |name: &str| {
            Error::conflict(format!("table \"{name}\" was altered or dropped meanwhile"))
                .with_hint("run the statement again")
        };
        match &self.tables {
            Tables::One { table, def, rewrite } => {
                let found = pin.table(*table).ok_or_else(|| altered(&def.name))?;
                if let Some(target) = self.targets.get_mut(table) {
                    return target.follow(&found.def).then_some(()).ok_or_else(|| altered(&def.name));
                }
                if found.def.definition_version + 1 != def.definition_version {
                    return Err(altered(&def.name));
                }
                let stays = stays(&found.def, def, pin.info.slices, pin.info.slices);
                let target = || Target::new(&found.def, TableDef::clone(def), rewrite.clone(), stays);
                self.targets.entry(*table).or_insert_with(target);
            }
            Tables::All { .. } => {
                let concerned = |table: &&Arc<TableState>| table.def.effective_dist != EffectiveDist::All;
                let tables: BTreeMap<TableId, _> =
                    pin.tables.values().filter(concerned).map(|t| (t.def.id, &t.def)).collect();
                // What was written of a table that is another now is for nothing.
                self.targets.retain(|id, target| tables.get(id).is_some_and(|def| target.follow(def)));
                for (id, found) in tables {
                    let version = found.definition_version + 1;
                    let def = || TableDef { definition_version: version, ..TableDef::clone(found) };
                    let target = || Target::new(found, def(), Rewrite::Layout, false);
                    self.targets.entry(id).or_insert_with(target);
                }
            }
        }
        Ok(())
    }

    /// Writes what came to the targets since the last time; returns how many rows that were.
    async fn catch_up(&mut self, pin: &PinnedSnapshot) -> Result<u64> {
        let mut all = 0;
        let mut left: u64 = self.left(pin);
        let ids: Vec<TableId> = self.targets.keys().copied().collect();
        for id in ids {
            let Some(table) = pin.table(id).cloned() else { continue };
            let Some(target) = self.targets.get(&id) else { continue };
            let new: Vec<Arc<SegmentRef>> =
                table.segments.iter().filter(|s| !target.covered.contains(&s.id)).cloned().collect();
            if new.is_empty() {
                continue;
            }
            let rows: u64 = new.iter().map(|s| u64::from(s.rows)).sum();
            check_rows_anew(&table.def.name, rows)?;
            let (part, map) = self.write(pin, &table, target, &new, left).await?;
            left = left.saturating_sub(rows);
            all += rows;
            self.written += part.added.iter().map(|s| u64::from(s.rows)).sum::<u64>();
            if let Some(target) = self.targets.get_mut(&id) {
                target.covered.extend(new.iter().map(|s| s.id));
                target.rewritten.push(part);
                target.map = map;
            }
        }
        Ok(all)
    }

    fn left(&self, pin: &PinnedSnapshot) -> u64 {
        let of = |(id, target): (&TableId, &Target)| {
            let segments = pin.table(*id).into_iter().flat_map(|table| table.segments.iter().cloned());
            let new = segments.filter(|s| !target.covered.contains(&s.id));
            new.map(|s| u64::from(s.rows)).sum::<u64>()
        };
        self.targets.iter().map(of).sum()
    }

    async fn write(
        &self,
        pin: &PinnedSnapshot,
        table: &TableState,
        target: &Target,
        new: &[Arc<SegmentRef>],
        left: u64,
    ) -> Result<(Rewritten, Option<Arc<RankMap>>)> {
        let resources = self.warehouse.resources(pin);
        let names = self.transaction.names();
        let done = std::sync::atomic::AtomicU64::new(0);
        let did = |rows: u64| {
            let before = done.fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
            self.progress.did(rows, left.saturating_sub(before + rows));
            self.running.check_cancelled()
        };
        if let Rewrite::Encodings(anew) = &target.rewrite {
            let columns = target.taken(anew);
            let made = reencode(new, &columns, is_small(table), &resources, &names, &did).await?;
            let mut positions = Positions::new(new.iter().map(|s| (s.id, s.rows)));
            for segment in new {
                positions.wrote((0..segment.rows).map(|row| (segment.id, row)))?;
            }
            let placed = made.into_iter().zip(new).map(|(made, old)| NewSegment {
                run: RunChoice::Into { run: old.run, place: old.place },
                ranked: match old.rank_map {
                    0 => RankChoice::Unranked,
                    version => RankChoice::By(version),
                },
                added: Some(old.added),
                // Dead rows are in it, too.
                deleted: old.deleted.map(|dead| (Blob::Stored(dead.extent), dead.rows)),
                ..made
            });
            let removed = new.iter().map(|s| (s.id, s.deleted)).collect();
            let part = Rewritten { removed, added: placed.collect(), positions: Arc::new(positions) };
            return Ok((part, None));
        }
        let layout = target.layout(self.warehouse, self.slices(pin))?.lightly(is_small(table));
        let interleaved = target.def.interleaved();
        let kept = table.rank_map.as_ref().filter(|_| table.def.sort == target.def.sort);
        let mut map = target.map.clone();
        if !interleaved.is_empty() && map.is_none() && kept.is_none() {
            let sampled = sample(new, &layout, interleaved, &resources).await?;
            map = (sampled.rows() > 0).then(|| Arc::new(sampled.map()));
        }
        let ranks = map.as_ref().or(kept);
        let ranked = match (&map, kept) {
            (Some(_), _) => RankChoice::Brought,
            (None, Some(kept)) => RankChoice::By(kept.version),
            (None, None) => RankChoice::Unranked,
        };
        let layout = layout.ranked(ranks.cloned());
        let (made, positions) = relayout(new, &layout, target.stays, &resources, &names, &did).await?;
        let added = new.iter().map(|s| s.added).max();
        let added = made.into_iter().map(|segment| NewSegment { added, ranked, ..segment }).collect();
        let removed = new.iter().map(|s| (s.id, s.deleted)).collect();
        Ok((Rewritten { removed, added, positions: Arc::new(positions) }, map))
    }

    async fn commit(&self, fence: Option<&Fence>) -> Result<()> {
        let catalog: &Catalog = &self.warehouse.inner.catalog;
        let mut attempt = self.transaction.part();
        if let Tables::All { slices } = &self.tables {
            attempt.set_slices(*slices);
        }
        for target in self.targets.values() {
            attempt.relayout(&target.old, target.def.clone(), target.map.clone(), target.rewritten.clone());
        }
        if let Some(fence) = fence {
            fence.passes(&mut attempt);
        }
        catalog.commit(attempt).await.map(|_| ())
    }

    /// How much room and time it takes, from a few of the rows.
    async fn estimate(&self, pin: &PinnedSnapshot) -> Result<Option<String>> {
        let resources = self.warehouse.resources(pin);
        let (mut rows, mut before, mut after, mut seconds) = (0, 0, 0, 0.0);
        for (id, target) in &self.targets {
            let Some(table) = pin.table(*id) else { continue };
            let stored: u64 = table.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum();
            let live = table.live_rows();
            let columns = match &target.rewrite {
                Rewrite::Layout => None,
                Rewrite::Encodings(anew) => Some(anew),
            };
            let layout = target.layout(self.warehouse, self.slices(pin))?.lightly(is_small(table));
            // Of the columns that are copied nothing is to be found out.
            let layout = columns.map_or(layout.clone(), |anew| layout.of_columns(anew));
            let stays = target.stays || columns.is_some();
            let Some(tried) = trial(&table.segments, &layout, stays, &resources).await? else { continue };
            let (bytes, took) = tried.scaled(live, self.warehouse.inner.threads);
            let copied = columns.map_or(0, |anew| {
                let others = table.segments.iter().flat_map(|s| &s.columns).filter(|c| !anew.contains(&c.id));
                others.map(|c| c.bytes).sum()
            });
            (rows, before, after, seconds) = (rows + live, before + stored, after + bytes + copied, seconds + took);
        }
        if rows == 0 {
            return Ok(None);
        }
        Ok(Some(format!(
            "{} writes {rows} rows anew: about {} besides the {} that they take now, in about {seconds:.1} s",
            self.what,
            shown(after),
            shown(before),
        )))
    }

    fn slices(&self, pin: &PinnedSnapshot) -> u32 {
        match &self.tables {
            Tables::One { .. } => pin.info.slices,
            Tables::All { slices } => *slices,
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Rewritten> {
        self.targets.values().flat_map(|target| &target.rewritten)
    }

    /// Deletes what was written for nothing. What cannot be deleted is collected later.
    async fn clear_away(&self) {
        for object in self.transaction.names().given() {
            let store = self.warehouse.inner.catalog.store().objects();
            if let Err(e) = store.delete(&paths::object(&object)).await {
                tracing::debug!(%object, error = %e, "an object was not deleted");
            }
        }
    }
}

impl Target {
    fn new(old: &Arc<TableDef>, def: TableDef, rewrite: Rewrite, stays: bool) -> Self {
        let (covered, rewritten) = (BTreeSet::new(), Vec::new());
        Target { old: Arc::clone(old), def, rewrite, stays, map: None, covered, rewritten }
    }

    /// Whether the table is, but for how far its constraints are believed, still the one that is written anew. Rows that come or
    /// go may change that, and no row's place.
    fn follow(&mut self, now: &Arc<TableDef>) -> bool {
        let believed = |def: &TableDef| {
            let states = |c: &ConstraintDef| ConstraintDef { state: ConstraintState::NoRely, ..c.clone() };
            TableDef { definition_version: 0, constraints: def.constraints.iter().map(states).collect(), ..def.clone() }
        };
        if self.old.definition_version == now.definition_version {
            return true;
        }
        if believed(&self.old) != believed(now) {
            return false;
        }
        self.def.constraints.clone_from(&now.constraints);
        self.def.definition_version = now.definition_version + 1;
        self.old = Arc::clone(now);
        true
    }

    fn layout(&self, warehouse: &Warehouse, slices: u32) -> Result<LoadLayout> {
        LoadLayout::new(&self.def, warehouse.geometry()?, slices, 0)
    }

    /// All columns, those `anew` encoded anew.
    fn taken(&self, anew: &BTreeSet<ColumnId>) -> Vec<Taken> {
        let columns = self.def.columns.iter().map(|column| Taken {
            spec: ColumnSpec { id: column.id, sql_type: column.sql_type, encoding: column.encoding },
            from: column.id,
            absent: Absent::Same(column.absent.clone()),
            anew: anew.contains(&column.id),
        });
        columns.collect()
    }
}

fn is_small(table: &TableState) -> bool {
    table.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum::<u64>() <= SMALL_TABLE_BYTES
}

fn stored_bytes(segment: &NewSegment) -> u64 {
    segment.columns.iter().map(|c| c.bytes).sum()
}

/// As `1.2 GB`.
fn shown(bytes: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let of = units.into_iter().find(|(unit, _)| bytes as f64 >= *unit);
    of.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{:.1} {name}", bytes as f64 / unit))
}
