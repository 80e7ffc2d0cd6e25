//! Rows into a table: taken from any number of streams, placed, sorted, encoded, committed.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use datafusion::common::runtime::JoinSet;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::SendableRecordBatchStream;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt};
use object_store::ObjectStore;
use tokio::sync::Mutex;

use super::auto;
use super::coerce::{Coercion, Misfit, Refused};
use super::ddl::default_encoding;
use super::error::from_datafusion;
use super::identity::{Generate, Identities};
use super::kept::{Kept, Replacing, Thinned, has_verified};
use super::names;
use super::statement::StatementState;
use super::warehouse::Warehouse;
use crate::catalog::{
    Blob, Changed, EffectiveDist, Extent, LoadHistory, NewSegment, ObjectNames, RankChoice, RunChoice, SegmentRef,
    Source, TableDef, TableState, Telling, Transaction,
};
use crate::common::{ColumnId, DistStyle, EncodingName, Error, Result, UserId};
use crate::format::encoding::SMALL_TABLE_BYTES;
use crate::physical_plan::load::RowSink;
use crate::physical_plan::scan::table_schema;
use crate::sql::ast::CompUpdate;
use crate::statistics::SegmentSketches;
use crate::storage::arrange::{Arranged, Arranger, Pending};
use crate::storage::interleave::KeySample;
use crate::storage::loader::{choose_run, emptiest_slice, put_bytes, store_rows};
use crate::storage::merge::{SegmentRows, as_reference, merge_runs};
use crate::storage::runs::StoredRuns;
use crate::storage::segment::SegmentStore;
use crate::storage::statistics::renewed;
use crate::storage::writer::{LoadLayout, SliceSorter};

/// How often a statement is tried when other transactions come in between.
const ATTEMPTS: usize = 5;
/// The skew of all rows of a load by the map that was made of those that filled its memory first, above which they are
/// ordered anew: that of which the manual says that it is worth a REINDEX.
const MAX_SKEW: f64 = 1.4;

/// One load in progress: rows are gathered, then stored and added to a transaction.
///
/// Guarantee: the rows added form one run, sorted within each slice, however many there are. By an interleaved key they are
/// sorted by the table's rank map, which the first load that fills a zone makes.
#[derive(Debug)]
pub struct Load {
    coercion: Arc<Coercion>,
    identities: Option<Arc<Identities>>,
    gathered: Arc<Mutex<Gathered>>,
    /// Whether the transaction is to create the table.
    creates: bool,
    /// Of which it is part, if it is of one.
    statement: Option<StatementState>,
    /// Whether reads for checks prune.
    pruning: bool,
    /// What the rows come from, and whether nobody else may have loaded it.
    sources: (Vec<Source>, bool),
    /// What to tell when it has ended.
    notices: Vec<String>,
}

/// Rows that a stream has and that are not arranged take this share (1/n) of a load's memory at most, unless it is one batch.
const PENDING_SHARE: usize = 16;
/// Those of all streams together take this one.
const ALL_PENDING_SHARE: usize = 4;

/// Rows that are read back to be placed anew.
#[derive(Debug, Default)]
struct Moved {
    /// Those of the table were, too: its segments go.
    table: bool,
    rows: u64,
}

#[derive(Debug)]
struct Gathered {
    warehouse: Warehouse,
    table: TableState,
    /// As the table will be.
    def: TableDef,
    sorter: SliceSorter,
    /// Reads the runs again.
    segments: SegmentStore,
    /// Stored when memory ran short.
    runs: StoredRuns,
    names: ObjectNames,
    /// What CREATE TABLE AS orders by.
    ordered_by: Vec<ColumnId>,
    moved: Moved,
    /// Of the rows that are to make the table's rank map; none where it has one or needs none.
    sample: Option<KeySample>,
    /// What all rows are like.
    sketches: SegmentSketches,
    /// What AUTO chose, and why.
    chosen: Vec<String>,
    /// Whether that is only right for the table as the transaction saw it.
    requires_unchanged: bool,
    /// Whether AUTO may choose.
    chooses: bool,
    /// In which columns the rows have values that those which go for them have not.
    changed: Changed,
    /// Whether the table's statistics are to tell of the rows.
    describes: bool,
}

impl Load {
    /// Into the existing `table`; `source[i]` is the streams' column for the table's `i`-th.
    pub fn new(
        warehouse: &Warehouse,
        table: &TableState,
        source: Vec<usize>,
        transaction: &Transaction,
    ) -> Result<Self> {
        Self::of(warehouse, table.clone(), source, Vec::new(), transaction, false)
    }

    /// Into the existing `table`, which the transaction gives the definition `def`: that has all of its columns, and more at the
    /// end. The streams' columns are those.
    pub fn widened(
        warehouse: &Warehouse,
        table: &TableState,
        def: TableDef,
        transaction: &Transaction,
    ) -> Result<Self> {
        let source = (0..def.columns.len()).collect();
        let wide = TableState { def: Arc::new(def), ..table.clone() };
        let load = Self::of(warehouse, wide, source, Vec::new(), transaction, false)?;
        let held = || Error::internal("a load begins before it is told what its rows are");
        {
            let mut gathered = load.gathered.try_lock().map_err(|_| held())?;
            gathered.table = table.clone();
            // Another column of that name may come meanwhile.
            gathered.requires_unchanged = true;
        }
        Ok(load)
    }

    /// Into a table that `transaction` is to create; the streams' columns are the table's. SORTKEY AUTO is `ordered_by`,
    /// if that is not empty.
    pub fn create(
        warehouse: &Warehouse,
        def: TableDef,
        ordered_by: Vec<ColumnId>,
        transaction: &Transaction,
    ) -> Result<Self> {
        let source = (0..def.columns.len()).collect();
        let table = TableState {
            def: Arc::new(def),
            segments: Arc::default(),
            next_segment: 0,
            identity_given: 0,
            rank_map: None,
            statistics: None,
            moves: Arc::default(),
            loads: Arc::default(),
            changed: transaction.base(),
            data_changed: transaction.base(),
        };
        Self::of(warehouse, table, source, ordered_by, transaction, true)
    }

    fn of(
        warehouse: &Warehouse,
        table: TableState,
        source: Vec<usize>,
        ordered_by: Vec<ColumnId>,
        transaction: &Transaction,
        creates: bool,
    ) -> Result<Self> {
        let unread = || Error::internal("a load is of a transaction that was begun by a catalog");
        let slices = transaction.snapshot().ok_or_else(unread)?.info.slices;
        let sorter = SliceSorter::new(layout(warehouse, &table, &table.def, slices)?)?;
        let coercion = Arc::new(Coercion::new(Arc::clone(&table.def), source));
        let identities = Identities::of(warehouse, &table).map(Arc::new);
        let key = table.def.interleaved();
        let sample = (!key.is_empty() && table.rank_map.is_none()).then(|| KeySample::new(key));
        let gathered = Gathered {
            warehouse: warehouse.clone(),
            def: TableDef::clone(&table.def),
            table,
            sorter,
            segments: match transaction.pin() {
                Some(pin) => warehouse.inner.segments.at(pin.clone()),
                None => warehouse.inner.segments.clone(),
            },
            runs: StoredRuns::new(Arc::clone(warehouse.inner.catalog.store().objects())),
            names: transaction.names(),
            ordered_by,
            moved: Moved::default(),
            sample,
            sketches: SegmentSketches::default(),
            chosen: Vec::new(),
            requires_unchanged: false,
            chooses: true,
            changed: Changed::All,
            describes: true,
        };
        Ok(Load {
            coercion,
            identities,
            gathered: Arc::new(Mutex::new(gathered)),
            creates,
            statement: None,
            pruning: true,
            sources: (Vec::new(), false),
            notices: Vec::new(),
        })
    }

    /// Says which rows, of those taken from now on, get values of the identity column; none do unless this is called.
    pub fn generating(mut self, generate: Generate) -> Self {
        self.coercion = Arc::new(self.coercion.generating(generate));
        self
    }

    /// With a session's time zone instead of UTC.
    pub fn in_zone(self, zone: Tz) -> Self {
        let coercion = Arc::new(Coercion::clone(&self.coercion).in_zone(zone));
        Load { coercion, ..self }
    }

    /// As part of a statement, whose memory and cancelling the checks of its constraints share.
    pub fn of_statement(self, statement: StatementState, pruning: bool) -> Self {
        Load { statement: Some(statement), pruning, ..self }
    }

    /// Of rows of which some or all take the place of others in the table, which keeps its layout. Where all do, `changed` says
    /// in which columns they have other values.
    pub fn in_place(self, changed: Changed) -> Result<Self> {
        let held = || Error::internal("a load begins before it is told what its rows are");
        {
            let mut gathered = self.gathered.try_lock().map_err(|_| held())?;
            (gathered.chooses, gathered.changed) = (false, changed);
        }
        Ok(self)
    }

    /// Says what the rows come from, for the table to remember; where that is to be loaded `once`, two loads of it conflict.
    pub fn from(self, sources: Vec<Source>, once: bool) -> Self {
        Load { sources: (sources, once), ..self }
    }

    /// With something to tell when the load has ended.
    pub fn with_notices(mut self, notices: impl IntoIterator<Item = String>) -> Self {
        self.notices.extend(notices);
        self
    }

    /// Encodes an empty table's columns as COMPUPDATE says (Redshift manual, "COPY", COMPUPDATE): with ON, all but those of the
    /// sort key as AUTO finds best for each block; with PRESET by their types.
    pub fn encoding(self, update: CompUpdate) -> Result<Self> {
        {
            let held = || Error::internal("a load begins before it is told how columns are encoded");
            let mut gathered = self.gathered.try_lock().map_err(|_| held())?;
            gathered.encode(update)?;
        }
        Ok(self)
    }

    /// Whether the table's statistics are to tell of the rows.
    pub fn describing(self, describes: bool) -> Self {
        if let Ok(mut gathered) = self.gathered.try_lock() {
            gathered.describes = describes;
        }
        self
    }

    /// The rows that were taken so far.
    pub fn rows(&self) -> u64 {
        self.gathered.try_lock().map_or(0, |gathered| gathered.sorter.total_rows() - gathered.moved.rows)
    }

    /// What was loaded into the table before.
    pub async fn history(&self) -> Arc<LoadHistory> {
        Arc::clone(&self.gathered.lock().await.table.loads)
    }

    /// Whether its rows are checked before they are committed.
    pub async fn is_checked(&self) -> bool {
        let gathered = self.gathered.lock().await;
        has_verified(&gathered.def, &gathered.changed)
    }

    /// The table's definition, for which the streams' rows are checked.
    pub fn def(&self) -> &Arc<TableDef> {
        self.coercion.def()
    }

    /// Takes all rows of all streams, each on a task of its own.
    pub async fn take(&self, streams: Vec<SendableRecordBatchStream>) -> Result<(), Refused> {
        self.take_generating(streams, self.coercion.generate()).await
    }

    /// The same, of rows of which others get values of the identity column than [`Load::generating`] said.
    pub async fn take_generating(
        &self,
        streams: Vec<SendableRecordBatchStream>,
        generate: Generate,
    ) -> Result<(), Refused> {
        let coercion = Arc::new(self.coercion.generating(generate));
        let pending_share = PENDING_SHARE.max(ALL_PENDING_SHARE * streams.len());
        let mut tasks: JoinSet<Result<(), Refused>> = JoinSet::new();
        for mut stream in streams {
            let types: Vec<_> = stream.schema().fields().iter().map(|f| f.data_type().clone()).collect();
            coercion.check_types(&types)?;
            let (coercion, gathered) = (Arc::clone(&coercion), Arc::clone(&self.gathered));
            let identities = self.identities.clone();
            tasks.spawn(async move {
                let mut before = 0;
                let (mut arranger, samples, mut pending) = {
                    let gathered = gathered.lock().await;
                    let most_bytes = gathered.warehouse.inner.load_memory / pending_share;
                    (gathered.sorter.arranger(), gathered.sample.is_some(), Pending::new(most_bytes))
                };
                while let Some(batch) = stream.next().await {
                    let batch = batch.map_err(from_datafusion)?;
                    let mut columns = coercion.coerce(&batch).map_err(|e| e.after(before))?;
                    if let Some(identities) = &identities {
                        let filled = identities.fill(&mut columns, &batch, coercion.generate()).await;
                        filled.map_err(|e| e.after(before))?;
                    }
                    let rows = coercion.rows(columns)?;
                    before += rows.num_rows() as u64;
                    if samples {
                        gathered.lock().await.look_at(&rows)?;
                    }
                    // Streams hash and order their rows at the same time; only what is arranged is taken in turn.
                    if let Some(rows) = pending.push(rows) {
                        let arranged = arranger.arrange(&rows)?;
                        arranger = gathered.lock().await.push(arranged).await?;
                    }
                }
                let rest = pending.take();
                if !rest.is_empty() {
                    let arranged = arranger.arrange(&rest)?;
                    gathered.lock().await.push(arranged).await?;
                }
                Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.map_err(|e| Error::internal(format!("a load's task: {e}")))??;
        }
        Ok(())
    }

    /// The first row of a stream that is not taken, if there is one; nothing is taken here.
    pub async fn first_misfit(&self, mut stream: SendableRecordBatchStream) -> Result<Option<Misfit>> {
        let mut before = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(from_datafusion)?;
            match self.coercion.coerce(&batch).map_err(|e| e.after(before)) {
                Ok(_) => before += batch.num_rows() as u64,
                Err(Refused::Value(misfit)) => return Ok(Some(misfit)),
                Err(Refused::Other(e)) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Stores the rows, adds them to `transaction` and commits it, once they are found to keep the table's VERIFIED
    /// constraints. Returns how many rows there were, and notices.
    ///
    /// Invalid, with SQLSTATE 23505 or 23503, when they do not.
    pub async fn commit(self, mut transaction: Transaction) -> Result<(u64, Vec<String>)> {
        let (rows, mut notices, kept) = self.replace(&mut transaction, Thinned::new()).await?;
        let committed = kept.commit(transaction).await?;
        notices.extend(committed.demoted.iter().map(super::verify::demoted));
        Ok((rows, notices))
    }

    /// Stores the rows and adds them, with the table that is new, to `transaction`. Returns how many rows there were, and
    /// notices.
    pub async fn finish(self, transaction: &mut Transaction) -> Result<(u64, Vec<String>)> {
        let (rows, notices, _) = self.replace(transaction, Thinned::new()).await?;
        Ok((rows, notices))
    }

    /// The same where `transaction` removes other rows of the table, and what is to commit it: that checks the rows.
    pub(super) async fn replace(
        self,
        transaction: &mut Transaction,
        thinned: Thinned,
    ) -> Result<(u64, Vec<String>, Kept)> {
        let mut gathered = Arc::into_inner(self.gathered)
            .ok_or_else(|| Error::internal("a load's task still holds its rows"))?
            .into_inner();
        let mut segments = gathered.store().await?;
        let kept = Kept::of(
            &gathered.warehouse,
            &gathered.table,
            &segments,
            Replacing { changed: gathered.changed.clone(), thinned },
            gathered.moved.table,
            gathered.requires_unchanged,
            (self.statement, self.pruning),
        )?;
        let statistics = gathered.statistics(&segments).await;
        let rows = gathered.sorter.total_rows() - gathered.moved.rows;
        let notices = gathered.notice().into_iter().chain(self.notices).collect();
        if gathered.requires_unchanged && !self.creates {
            transaction.require_unchanged(&gathered.table.def);
        }
        let mut def = gathered.def;
        if self.creates {
            def.id = transaction.create_table(def.clone());
        } else if def != *gathered.table.def {
            transaction.alter_table(def.clone());
        }
        let run = match gathered.moved.table {
            true => {
                let old = gathered.table.segments.iter().map(|s| (s.id, s.deleted)).collect();
                transaction.remove_moved(&def, old);
                RunChoice::New
            }
            false => choose_run(&gathered.table, &segments),
        };
        let ranked = match (&gathered.sample, gathered.sorter.layout().ranks()) {
            (_, None) => RankChoice::Unranked,
            (None, Some(map)) => RankChoice::By(map.version),
            (Some(_), Some(map)) => {
                transaction.set_rank_map(&def, gathered.table.rank_version(), Arc::clone(map));
                RankChoice::Brought
            }
        };
        segments.iter_mut().for_each(|s| (s.run, s.ranked) = (run, ranked));
        if !segments.is_empty() {
            transaction.append_changed(&def, segments, gathered.changed);
        }
        let (sources, once) = self.sources;
        if !sources.is_empty() {
            transaction.loaded(&def, sources, once);
        }
        if let Some(identities) = &self.identities {
            identities.reserve_own(transaction).await;
        }
        if let Some(extent) = statistics {
            let replaced = gathered.table.statistics.map(|s| s.extent);
            let telling = Telling::Loaded { replaced, live_rows: gathered.table.live_rows() };
            transaction.set_statistics(&def, Blob::Stored(extent), telling);
        }
        Ok((rows, notices, kept))
    }
}

impl Gathered {
    /// Tells the sample for a rank map of rows to come.
    fn look_at(&mut self, rows: &arrow::array::RecordBatch) -> Result<()> {
        match &mut self.sample {
            Some(sample) => sample.add(&self.sorter.layout().key_columns(rows)),
            None => Ok(()),
        }
    }

    /// Takes rows, and tells what the next ones are to be arranged by.
    async fn push(&mut self, rows: Arranged) -> Result<Arranger> {
        self.sorter.take(rows)?;
        if self.sorter.memory_bytes() > self.warehouse.inner.load_memory {
            self.settle_ranks()?;
            self.settle_auto().await?;
            let run = self.store_gathered(false).await?;
            self.runs.push(run);
        }
        Ok(self.sorter.arranger())
    }

    /// Everything taken, as segments of one run.
    async fn store(&mut self) -> Result<Vec<NewSegment>> {
        self.settle_ranks()?;
        self.settle_auto().await?;
        self.rank_anew().await?;
        if self.runs.is_empty() {
            if self.stored_bytes() + self.sorter.arrow_bytes() as u64 <= SMALL_TABLE_BYTES {
                self.sorter.set_light();
            }
            // Rows that are checked are read again, from objects.
            return self.store_gathered(!has_verified(&self.def, &self.changed)).await;
        }
        let last = self.store_gathered(false).await?;
        self.runs.push(last);
        let runs = self.runs.split_off();
        let store = self.objects();
        let threads = self.warehouse.inner.threads;
        let memory = self.warehouse.inner.load_memory / 2;
        merge_runs(runs, self.sorter.layout(), &self.segments, &store, &self.names, threads, memory).await
    }

    /// What was gathered since the last run, as a run; a few rows `inline`, where that is wanted.
    async fn store_gathered(&mut self, inline: bool) -> Result<Vec<NewSegment>> {
        let sorter = self.sorter.split_off();
        let (store, threads) = (self.objects(), self.warehouse.inner.threads);
        store_rows(sorter, &store, &self.names, threads, inline, &mut self.sketches).await
    }

    /// Stores the table's statistics anew, where the load's rows leave too many out of them. A load does not fail for
    /// them: what goes wrong is a warning.
    async fn statistics(&mut self, new: &[NewSegment]) -> Option<Extent> {
        if !self.describes {
            return None;
        }
        let rows = new.iter().map(|s| u64::from(s.rows)).sum();
        let zone_rows = self.sorter.layout().geometry.zone_rows() as u64;
        let table = match self.moved.table {
            // All of its rows are among the new ones.
            true => TableState { segments: Arc::default(), statistics: None, ..self.table.clone() },
            false => self.table.clone(),
        };
        let stored = async {
            let Some(new) = renewed(&self.segments, &table, &self.sketches, rows, zone_rows).await? else {
                return Ok(None);
            };
            put_bytes(&self.objects(), self.names.next_object(), new.encode().into()).await.map(Some)
        };
        stored.await.unwrap_or_else(|e: Error| {
            tracing::warn!(table = self.def.name, error = %e, "a load leaves the table's statistics as they are");
            None
        })
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(self.warehouse.inner.catalog.store().objects())
    }

    /// Encoded bytes of the table's rows and of the runs.
    fn stored_bytes(&self) -> u64 {
        let before = self.table.segments.iter().flat_map(|s| &s.columns);
        let runs = self.runs.segments().flat_map(|s| &s.columns);
        before.chain(runs).map(|c| c.bytes).sum()
    }

    fn encode(&mut self, update: CompUpdate) -> Result<()> {
        if matches!(update, CompUpdate::Unsaid | CompUpdate::Off) {
            return Ok(());
        }
        if !self.table.segments.is_empty() {
            return Ok(());
        }
        let keys: Vec<ColumnId> = self.def.sort.iter().flat_map(|key| key.columns.clone()).collect();
        for column in &mut self.def.columns {
            let in_key = keys.contains(&column.id);
            match update {
                CompUpdate::Preset => column.encoding = default_encoding(column.sql_type, in_key),
                _ if !in_key => column.encoding = EncodingName::Auto,
                _ => {}
            }
        }
        self.def.encode_auto = self.def.columns.iter().all(|column| column.encoding == EncodingName::Auto);
        if self.def == *self.table.def {
            return Ok(());
        }
        // Rows that another load adds meanwhile are encoded otherwise.
        self.requires_unchanged = true;
        self.def.definition_version = self.table.def.definition_version + 1;
        let layout = layout(&self.warehouse, &self.table, &self.def, self.sorter.layout().slices)?;
        let ranks = self.sorter.layout().ranks().cloned();
        self.sorter.replace_layout(layout.ranked(ranks))
    }

    /// What AUTO makes of the table, before rows are placed and sorted: a sort key while it is empty, another
    /// distribution when it outgrows ALL.
    async fn settle_auto(&mut self) -> Result<()> {
        if !self.chooses {
            return Ok(());
        }
        let mut changed = false;
        let empty = self.table.segments.is_empty() && self.runs.is_empty();
        if self.def.sort_auto && self.def.sort.is_none() && empty {
            let chosen = auto::sort_key(&self.def, &self.ordered_by, &self.sorter)?;
            if let Some((key, why)) = chosen {
                let name = |id: &ColumnId| self.def.column(*id).map_or("?", |c| c.name.as_str());
                let names: Vec<&str> = key.columns.iter().map(name).collect();
                self.chosen.push(format!("SORTKEY ({}), {why}", names.join(", ")));
                self.def.sort = Some(key);
                // Rows that another load adds meanwhile are in another order.
                self.requires_unchanged = true;
                changed = true;
            }
        }
        if self.def.dist == DistStyle::Auto && self.def.effective_dist == EffectiveDist::All {
            let rows = self.table.stored_rows() + self.sorter.total_rows();
            let stored = self.stored_bytes();
            let (mut now, mut why) = auto::distribution(&self.def, rows, stored + self.sorter.arrow_bytes() as u64);
            if matches!(now, EffectiveDist::Key(_)) && !self.can_move() {
                (now, why) = (EffectiveDist::Even, "it has outgrown ALL");
            }
            if now != self.def.effective_dist {
                self.chosen.push(format!("DISTSTYLE {} ({rows} rows), since {why}", dist_word(&self.def, now)));
                self.def.effective_dist = now;
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        self.def.definition_version = self.table.def.definition_version + 1;
        let layout = layout(&self.warehouse, &self.table, &self.def, self.sorter.layout().slices)?;
        let ranks = self.sorter.layout().ranks().cloned();
        self.sorter.replace_layout(layout.ranked(ranks))?;
        match self.def.effective_dist {
            EffectiveDist::Key(_) => self.place_all_anew().await,
            _ => Ok(()),
        }
    }

    /// Makes the table's rank map before the first rows are stored, if they fill a zone: fewer are read together in any
    /// order, and say little of those to come (our own choice).
    fn settle_ranks(&mut self) -> Result<()> {
        match &self.sample {
            Some(sample)
                if self.runs.is_empty() && self.is_enough(sample) && self.sorter.layout().ranks().is_none() =>
            {
                self.sorter.rank_by(Arc::new(sample.map()))
            }
            _ => Ok(()),
        }
    }

    fn is_enough(&self, sample: &KeySample) -> bool {
        sample.rows() >= self.sorter.layout().geometry.zone_rows() as u64
    }

    /// Orders the rows of a load beyond its memory by a map of all of them, where that of the first ones fits the others
    /// badly, as when they come in the order of a key column.
    async fn rank_anew(&mut self) -> Result<()> {
        let Some(sample) = self.sample.as_ref().filter(|sample| !self.runs.is_empty() && self.is_enough(sample)) else {
            return Ok(());
        };
        if self.sorter.layout().ranks().is_some_and(|map| sample.skew(map) <= MAX_SKEW) {
            return Ok(());
        }
        let map = sample.map();
        self.sorter.rank_by(Arc::new(map))?;
        let runs = self.runs.split_off();
        let stored = runs.segments().map(as_reference).collect::<Result<_>>()?;
        self.place_anew(stored).await
    }

    /// Whether the table's rows can be read back: columns that were added later are in none of its older segments.
    fn can_move(&self) -> bool {
        let has = |segment: &SegmentRef, id| segment.columns.iter().any(|c| c.id == id);
        self.table.segments.iter().all(|segment| self.def.columns.iter().all(|column| has(segment, column.id)))
    }

    /// Rows that stood on slice 0 go where the distribution key says: those of this load, and the table's, as its scans
    /// are going to say where rows are.
    async fn place_all_anew(&mut self) -> Result<()> {
        self.requires_unchanged = true;
        let runs = self.runs.split_off();
        let mut old: Vec<SegmentRef> = self.table.segments.iter().map(|s| SegmentRef::clone(s)).collect();
        self.moved.table = !old.is_empty();
        for segment in runs.segments() {
            old.push(as_reference(segment)?);
        }
        self.place_anew(old).await
    }

    /// Takes the rows of stored segments once more.
    async fn place_anew(&mut self, old: Vec<SegmentRef>) -> Result<()> {
        let schema = Arc::new(table_schema(&self.def));
        for segment in old {
            let mut rows = SegmentRows::open(segment, self.sorter.layout().clone(), self.segments.clone()).await?;
            while let Some(columns) = rows.next().await? {
                let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns)?;
                self.moved.rows += batch.num_rows() as u64;
                self.sorter.push(batch)?;
                if self.sorter.memory_bytes() > self.warehouse.inner.load_memory {
                    let run = self.store_gathered(false).await?;
                    self.runs.push(run);
                }
            }
        }
        Ok(())
    }

    /// What AUTO chose, why, and how to choose otherwise.
    fn notice(&self) -> Option<String> {
        let (table, chosen) = (&self.def.name, self.chosen.join("; "));
        (!chosen.is_empty()).then(|| {
            format!("AUTO chose for table \"{table}\": {chosen}. Name a DISTSTYLE or SORTKEY to decide it yourself")
        })
    }
}

fn layout(warehouse: &Warehouse, table: &TableState, def: &TableDef, slices: u32) -> Result<LoadLayout> {
    Ok(LoadLayout::new(def, warehouse.geometry()?, slices, emptiest_slice(table, slices))?
        .ranked(table.rank_map.clone()))
}

/// `EVEN`, `ALL` or `KEY(column)`.
fn dist_word(def: &TableDef, dist: EffectiveDist) -> String {
    match dist {
        EffectiveDist::Even => "EVEN".into(),
        EffectiveDist::All => "ALL".into(),
        EffectiveDist::Key(id) => format!("KEY({})", def.column(id).map_or("?", |c| c.name.as_str())),
    }
}

/// Takes rows that a DataFusion plan inserts, in a transaction of their own.
#[derive(Debug)]
pub struct TableSink {
    warehouse: Warehouse,
    /// As the plan saw it.
    def: Arc<TableDef>,
}

impl TableSink {
    pub fn new(warehouse: Warehouse, def: Arc<TableDef>) -> Self {
        TableSink { warehouse, def }
    }

    async fn load_once(&self, streams: Vec<SendableRecordBatchStream>) -> Result<u64> {
        self.warehouse.inner.catalog.refresh().await?;
        let transaction = self.warehouse.inner.catalog.begin(self.author());
        let table = transaction
            .snapshot()
            .and_then(|s| s.table(self.def.id).cloned())
            .ok_or_else(|| names::dropped(&self.def.name))?;
        // The plan's rows have the columns that it saw, in their order.
        if table.def.columns != self.def.columns {
            return Err(Error::conflict(format!("table \"{}\" was altered since it was looked up", self.def.name))
                .with_hint("plan the statement again"));
        }
        let load = Load::new(&self.warehouse, &table, (0..table.def.columns.len()).collect(), &transaction)?;
        // DataFusion's INSERT gives NULL for columns that it leaves out.
        let load = load.generating(Generate::Nulls);
        load.take(streams).await?;
        let (rows, _) = load.commit(transaction).await?;
        Ok(rows)
    }

    fn author(&self) -> UserId {
        self.warehouse.owner()
    }
}

impl RowSink for TableSink {
    fn table(&self) -> String {
        self.def.name.clone()
    }

    fn target(&self) -> Option<(u128, Arc<TableDef>)> {
        Some((self.warehouse.info().uuid, Arc::clone(&self.def)))
    }

    fn load(&self, streams: Vec<SendableRecordBatchStream>) -> BoxFuture<'_, DfResult<u64>> {
        self.load_once(streams).map_err(|e| DataFusionError::External(Box::new(e))).boxed()
    }
}

/// Runs a statement of its own transaction again while it fails in a way that another attempt may not.
pub async fn retry_while<T, F: Future<Output = Result<T>>>(
    passing: impl Fn(&Error) -> bool,
    mut statement: impl FnMut() -> F,
) -> Result<T> {
    let mut attempt = 1;
    loop {
        match statement().await {
            Err(e) if passing(&e) && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}
