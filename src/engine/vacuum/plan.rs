//! Which segments a vacuum writes anew, step by step: each is one commit, and as good as it is if no other follows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::{RunChoice, RunId, SegmentId, SegmentRef, Snapshot, TableState};
use crate::common::{ColumnId, Scalar, Version};
use crate::storage::rewrite::Job;

/// Places that are left between two segments of the sorted region, for those to come.
const ROOM: u64 = 256;

/// One step: jobs of several slices that are committed together.
#[derive(Debug, Default)]
pub struct Step {
    pub jobs: Vec<Job>,
    /// Of each job, where its segments go.
    pub places: Vec<Placing>,
}

impl Step {
    /// Rows that it reads, dead ones included.
    pub fn rows(&self) -> u64 {
        self.jobs.iter().flat_map(|job| job.segments()).map(|s| u64::from(s.rows)).sum()
    }

    fn push(&mut self, job: Job, placing: Placing) {
        self.jobs.push(job);
        self.places.push(placing);
    }

    fn unless_empty(self) -> Option<Self> {
        if self.jobs.is_empty() { None } else { Some(self) }
    }
}

/// Where the segments go that a job writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// A run of their own.
    Apart,
    /// Between two places of a run, which are not theirs.
    Between { run: RunId, after: u64, before: u64 },
}

impl Placing {
    /// The places of `count` segments; `None` where there is no room for so many.
    pub fn choices(self, count: usize) -> Option<Vec<RunChoice>> {
        let Placing::Between { run, after, before } = self else { return Some(vec![RunChoice::New; count]) };
        let apart = before.checked_sub(after)? / (count as u64 + 1);
        let place = |i: u64| RunChoice::Into { run, place: after + apart * i };
        (apart > 0).then(|| (1..=count as u64).map(place).collect())
    }
}

/// A table's segments in the order of their slices and runs.
pub struct Layout<'a> {
    table: &'a TableState,
    leading: Option<ColumnId>,
    /// Whether bounds of the leading column tell which segments may overlap.
    ranges: bool,
    sorted: Option<RunId>,
    /// Rows that a step reads, about.
    budget: u64,
}

/// What a vacuum does until it finds nothing more to do. What comes to the table meanwhile is left to the next one, so that it
/// ends.
#[derive(Debug)]
pub enum Work {
    Sort(Progress),
    Recluster(Progress),
    Reclaim {
        live: f64,
        below: u64,
    },
    Compact {
        full: u64,
        below: u64,
    },
    /// What pays by itself.
    Due {
        progress: Progress,
        full: u64,
        below: u64,
    },
}

impl Work {
    /// Of the rows of that version.
    pub fn sort(upto: &Snapshot) -> Self {
        Work::Sort(Progress { upto: upto.version, done: BTreeMap::new() })
    }

    pub fn recluster(upto: &Snapshot) -> Self {
        Work::Recluster(Progress { upto: upto.version, done: BTreeMap::new() })
    }

    /// Of the segments that the table has, until `live` percent of its rows live.
    pub fn reclaim(table: &TableState, live: f64) -> Self {
        Work::Reclaim { live, below: table.next_segment }
    }

    /// Of the segments that the table has; `full` is the most rows that one holds.
    pub fn compact(table: &TableState, full: u64) -> Self {
        Work::Compact { full, below: table.next_segment }
    }

    /// What is worth its cost, of the rows of that version.
    pub fn due(upto: &Snapshot, table: &TableState, full: u64) -> Self {
        let progress = Progress { upto: upto.version, done: BTreeMap::new() };
        Work::Due { progress, full, below: table.next_segment }
    }

    /// The next step; it is taken for done.
    pub fn next(&mut self, layout: &Layout<'_>) -> Option<Step> {
        match self {
            Work::Sort(progress) => layout.rank().or_else(|| layout.sort(progress)),
            Work::Recluster(progress) => layout.recluster(progress.upto),
            Work::Reclaim { live, below } => layout.reclaim(*live, 0.0, *below),
            Work::Compact { full, below } => layout.compact(*full, 2, *below),
            Work::Due { progress, full, below } => layout
                .gather(progress.upto)
                .or_else(|| layout.sort_if_cheap(progress))
                .or_else(|| layout.reclaim(100.0, DEAD_SHARE, *below))
                .or_else(|| layout.compact(*full, GROWTH as usize, *below)),
        }
    }

    /// The last step was not done.
    pub fn start_again(&mut self) {
        if let Work::Sort(progress) | Work::Due { progress, .. } = self {
            progress.done.clear();
        }
    }
}

/// How far a vacuum has sorted a table.
#[derive(Debug)]
pub struct Progress {
    /// What came later is left out.
    upto: Version,
    /// Of each slice, the place in the sorted region below which no row of the unsorted one belongs any more.
    done: BTreeMap<u32, u64>,
}

impl<'a> Layout<'a> {
    pub fn new(table: &'a TableState, budget: u64) -> Self {
        let key = table.def.sort.as_ref();
        Layout {
            table,
            leading: key.and_then(|key| key.columns.first().copied()),
            ranges: key.is_some() && table.def.interleaved().is_empty(),
            sorted: table.sorted_run(),
            budget,
        }
    }

    /// Rows of the sorted region, and all: by their share a vacuum sorts or does not.
    pub fn sorted_rows(&self) -> (u64, u64) {
        let rows = |s: &Arc<SegmentRef>| u64::from(s.rows);
        let sorted = self.table.segments.iter().filter(|s| Some(s.run) == self.sorted).map(rows).sum();
        (sorted, self.table.stored_rows())
    }

    /// Rows outside the sorted region.
    pub fn unsorted_rows(&self) -> u64 {
        let (sorted, all) = self.sorted_rows();
        if self.leading.is_some() { all - sorted } else { 0 }
    }

    /// Runs outside the sorted region.
    pub fn unsorted_runs(&self) -> usize {
        if self.leading.is_some() { self.runs().len().saturating_sub(1) } else { 0 }
    }

    /// Whether rows are in the order of a rank map that is no longer the table's: a REINDEX was cut off.
    pub fn has_old_ranks(&self) -> bool {
        let version = self.table.rank_version();
        self.table.segments.iter().any(|s| s.rank_map != 0 && s.rank_map != version)
    }

    /// Puts rows that are not in the order of the table's rank map into that, slice by slice.
    pub fn rank(&self) -> Option<Step> {
        let version = self.table.rank_version();
        let mut step = Step::default();
        for (slice, runs) in self.slices() {
            let others = |segments: &Vec<Arc<SegmentRef>>| segments.iter().any(|s| s.rank_map != version);
            let runs: Vec<_> = runs.into_values().filter(others).collect();
            if !runs.is_empty() {
                step.push(Job { slice, runs, before: None, sorts: true }, Placing::Apart);
                if step.rows() >= self.budget {
                    break;
                }
            }
        }
        step.unless_empty()
    }

    /// Merges the unsorted region with what it overlaps of the sorted one, from the lowest new key on. `progress` is as it is
    /// once that is committed.
    pub fn sort(&self, progress: &mut Progress) -> Option<Step> {
        let run = self.sorted?;
        let mut step = Step::default();
        for (slice, runs) in self.slices() {
            let known = |segments: &Vec<Arc<SegmentRef>>| -> Vec<Arc<SegmentRef>> {
                segments.iter().filter(|s| s.added <= progress.upto).cloned().collect()
            };
            let unsorted: Vec<_> = runs.iter().filter(|(id, _)| **id != run).map(|(_, s)| known(s)).collect();
            if unsorted.iter().all(Vec::is_empty) {
                continue;
            }
            let base = runs.get(&run).map_or(&[][..], |segments| segments.as_slice());
            let done = progress.done.entry(slice).or_default();
            let (job, placing) = self.merge(slice, run, base, &unsorted, *done);
            if let Some(before) = &job.before {
                *done = before.place;
            }
            step.push(job, placing);
            if step.rows() >= self.budget {
                break;
            }
        }
        step.unless_empty()
    }

    fn merge(
        &self,
        slice: u32,
        run: RunId,
        base: &[Arc<SegmentRef>],
        unsorted: &[Vec<Arc<SegmentRef>>],
        done: u64,
    ) -> (Job, Placing) {
        let new = || unsorted.iter().flatten();
        let end = self.end_place();
        if !self.ranges {
            let runs = std::iter::once(base.to_vec()).chain(unsorted.iter().cloned()).collect();
            return (Job { slice, runs, before: None, sorts: false }, Placing::Between { run, after: 0, before: end });
        }
        // Segments of the base that lie wholly below the new keys, or wholly above them, stay.
        let below = |s: &SegmentRef| s.place < done || new().all(|n| self.high(s).is_below(&self.low(n)));
        let above = |s: &SegmentRef| new().all(|n| self.high(n).is_below(&self.low(s)));
        let first = base.iter().position(|s| !below(s)).unwrap_or(base.len());
        let last = base.iter().rposition(|s| !above(s)).map_or(0, |i| i + 1).max(first);
        let mut rows: u64 = 0;
        let mut to = first;
        while to < last && (to == first || rows < self.budget) {
            rows += u64::from(base[to].rows);
            to += 1;
        }
        let place_after = |first: usize| first.checked_sub(1).map_or(0, |i| base[i].place);
        let place_before = |to: usize| base.get(to).map_or(end, |next| next.place);
        // Where many came between two, there is no room for more: those around are given other places, too.
        let mut first = first;
        let parts = |first: usize, to: usize| (to - first + new().count() + 1) as u64;
        while place_before(to) - place_after(first) < ROOM * parts(first, to) && (first > 0 || to < base.len()) {
            first = first.saturating_sub(1);
            to = (to + 1).min(base.len());
        }
        let before = if to < last { base.get(to).cloned() } else { None };
        let wanted = |s: &Arc<SegmentRef>| match &before {
            Some(before) => !self.low(before).is_below(&self.low(s)),
            None => true,
        };
        let mut runs = vec![base[first..to].to_vec()];
        for segments in unsorted {
            let wanted: Vec<_> = segments.iter().filter(|s| wanted(s)).cloned().collect();
            if !wanted.is_empty() {
                runs.push(wanted);
            }
        }
        let placing = Placing::Between { run, after: place_after(first), before: place_before(to) };
        (Job { slice, runs, before, sorts: false }, placing)
    }

    /// Merges the runs of the unsorted region into one: RECLUSTER.
    pub fn recluster(&self, upto: Version) -> Option<Step> {
        let old: BTreeSet<RunId> = self.table.segments.iter().filter(|s| s.added <= upto).map(|s| s.run).collect();
        let unsorted: Vec<RunId> = old.into_iter().filter(|run| Some(*run) != self.sorted).collect();
        self.together(&unsorted)
    }

    /// Merges such runs of about one size as there are many of, of the unsorted region: each row is merged again only when
    /// there are several times as many.
    pub fn gather(&self, upto: Version) -> Option<Step> {
        let mut sizes: BTreeMap<u32, Vec<RunId>> = BTreeMap::new();
        for (run, rows) in self.runs() {
            if self.leading.is_some() && Some(run) != self.sorted && self.is_known(run, upto) {
                sizes.entry(rows.max(1).ilog(GROWTH)).or_default().push(run);
            }
        }
        let many = sizes.into_values().find(|runs| runs.len() >= GROWTH as usize)?;
        self.together(&many)
    }

    /// Merges the unsorted region into the sorted one where that has not many more rows than are merged into it.
    pub fn sort_if_cheap(&self, progress: &mut Progress) -> Option<Step> {
        let (sorted, unsorted) = self.overlap();
        if !progress.done.is_empty() || (unsorted > 0 && sorted <= WORTHWHILE * unsorted) {
            return self.rank().or_else(|| self.sort(progress));
        }
        None
    }

    fn is_known(&self, run: RunId, upto: Version) -> bool {
        self.table.segments.iter().filter(|s| s.run == run).all(|s| s.added <= upto)
    }

    fn together(&self, of: &[RunId]) -> Option<Step> {
        if of.len() < 2 {
            return None;
        }
        let mut step = Step::default();
        for (slice, runs) in self.slices() {
            let runs: Vec<_> = of.iter().filter_map(|run| runs.get(run).cloned()).collect();
            if !runs.is_empty() {
                step.push(Job { slice, runs, before: None, sorts: false }, Placing::Apart);
            }
        }
        step.unless_empty()
    }

    /// Writes segments with dead rows anew, those with most of them first, until `live` of all rows, in percent, live; but none
    /// of which less than the share `worthwhile` is dead, and none whose number is not `below`.
    pub fn reclaim(&self, live: f64, worthwhile: f64, below: u64) -> Option<Step> {
        let dead = |s: &SegmentRef| u64::from(s.deleted.map_or(0, |d| d.rows));
        let share = |s: &SegmentRef| dead(s) as f64 / f64::from(s.rows.max(1));
        let stored = self.table.stored_rows();
        let mut left: u64 = self.table.segments.iter().map(|s| dead(s)).sum();
        let mut worst: Vec<_> =
            self.table.segments.iter().filter(|s| dead(s) > 0 && share(s) >= worthwhile && s.id.0 < below).collect();
        worst.sort_by(|a, b| share(b).total_cmp(&share(a)));
        let mut reclaimed = 0;
        let mut chosen = Vec::new();
        for segment in worst {
            let rows = (stored - reclaimed).max(1) as f64;
            if left == 0 || (rows - left as f64) * 100.0 / rows >= live {
                break;
            }
            left -= dead(segment);
            reclaimed += dead(segment);
            chosen.push(segment.id);
        }
        let mut step = Step::default();
        for (slice, runs) in self.slices() {
            for (run, segments) in &runs {
                for stretch in stretches(segments, |s| chosen.contains(&s.id)) {
                    step.push(
                        Job { slice, runs: vec![segments[stretch.clone()].to_vec()], before: None, sorts: false },
                        self.between(*run, segments, &stretch),
                    );
                    if step.rows() >= self.budget {
                        return Some(step);
                    }
                }
            }
        }
        step.unless_empty()
    }

    /// Puts small segments that follow each other together, where there are at least `many`. `full` is the most rows that one
    /// holds, and their numbers are `below`.
    pub fn compact(&self, full: u64, many: usize, below: u64) -> Option<Step> {
        let small = |s: &SegmentRef| u64::from(s.rows) * 2 <= full && s.id.0 < below;
        let mut step = Step::default();
        for (slice, runs) in self.slices() {
            // Without a sort key the rows of all runs are in any order.
            let runs: Vec<(Option<RunId>, Vec<Arc<SegmentRef>>)> = match self.leading {
                Some(_) => runs.into_iter().map(|(run, segments)| (Some(run), segments)).collect(),
                None => {
                    let all = runs.into_values().flatten();
                    vec![(None, all.filter(|s| small(s)).collect())]
                }
            };
            for (run, segments) in &runs {
                for stretch in stretches(segments, |s| small(s)) {
                    let rows: u64 = segments[stretch.clone()].iter().map(|s| u64::from(s.rows)).sum();
                    let largest = segments[stretch.clone()].iter().map(|s| u64::from(s.rows)).max().unwrap_or(0);
                    // A row is written again only when there are twice as many.
                    if stretch.len() < many || rows < 2 * largest {
                        continue;
                    }
                    let job = Job { slice, runs: vec![segments[stretch.clone()].to_vec()], before: None, sorts: false };
                    let placing = run.map_or(Placing::Apart, |run| self.between(run, segments, &stretch));
                    step.push(job, placing);
                    if step.rows() >= self.budget {
                        return Some(step);
                    }
                }
            }
        }
        step.unless_empty()
    }

    /// How many rows of the sorted region a sort would write anew, and how many there are outside of it.
    pub fn overlap(&self) -> (u64, u64) {
        let all = Layout { budget: u64::MAX, ..*self };
        let mut progress = Progress { upto: Version(u64::MAX), done: BTreeMap::new() };
        let Some(step) = all.sort(&mut progress) else { return (0, 0) };
        let count = |sorted: bool| {
            let segments = step.jobs.iter().flat_map(|job| job.segments());
            segments.filter(|s| (Some(s.run) == self.sorted) == sorted).map(|s| u64::from(s.rows)).sum()
        };
        (count(true), count(false))
    }

    fn between(&self, run: RunId, segments: &[Arc<SegmentRef>], stretch: &std::ops::Range<usize>) -> Placing {
        let after = stretch.start.checked_sub(1).map_or(0, |i| segments[i].place);
        let before = segments.get(stretch.end).map_or(self.end_place(), |next| next.place);
        Placing::Between { run, after, before }
    }

    /// Above the places of all segments, and not above those of any to come.
    fn end_place(&self) -> u64 {
        SegmentRef::place_of(SegmentId(self.table.next_segment))
    }

    /// Rows of each run.
    fn runs(&self) -> BTreeMap<RunId, u64> {
        let mut runs = BTreeMap::new();
        for segment in self.table.segments.iter() {
            *runs.entry(segment.run).or_default() += u64::from(segment.rows);
        }
        runs
    }

    fn slices(&self) -> BTreeMap<u32, BTreeMap<RunId, Vec<Arc<SegmentRef>>>> {
        let mut slices: BTreeMap<u32, BTreeMap<RunId, Vec<Arc<SegmentRef>>>> = BTreeMap::new();
        for segment in self.table.segments.iter() {
            slices.entry(segment.slice).or_default().entry(segment.run).or_default().push(Arc::clone(segment));
        }
        slices
    }

    fn low(&self, segment: &SegmentRef) -> Bound {
        match self.bounds(segment) {
            Some(bounds) if bounds.null_count == u64::from(segment.rows) => Bound::Null,
            Some(bounds) => bounds.min.clone().map_or(Bound::Lowest, Bound::Value),
            None => Bound::Lowest,
        }
    }

    fn high(&self, segment: &SegmentRef) -> Bound {
        match self.bounds(segment) {
            Some(bounds) if bounds.null_count > 0 => Bound::Null,
            Some(bounds) => bounds.max.clone().map_or(Bound::Null, Bound::Value),
            None => Bound::Null,
        }
    }

    fn bounds<'s>(&self, segment: &'s SegmentRef) -> Option<&'s crate::common::Bounds> {
        segment.columns.iter().find(|c| Some(c.id) == self.leading).map(|c| &c.bounds)
    }
}

/// Runs of one size that are merged into one, of which each such merge makes the next size.
const GROWTH: u64 = 8;
/// How many rows of the sorted region may be written anew for one that is merged into it, unasked (our own choice).
const WORTHWHILE: u64 = 4;
/// Which share of a segment's rows is dead before it is written anew, unasked (our own choice).
const DEAD_SHARE: f64 = 0.2;

/// The leading key of a segment's first or last row, as far as is known: NULL is the highest.
enum Bound {
    Lowest,
    Value(Scalar),
    Null,
}

impl Bound {
    fn is_below(&self, other: &Bound) -> bool {
        match (self, other) {
            (Bound::Null, _) | (_, Bound::Lowest) => false,
            (Bound::Lowest, _) | (_, Bound::Null) => true,
            (Bound::Value(a), Bound::Value(b)) => a.order(b) == Some(Ordering::Less),
        }
    }
}

/// Longest stretches of neighbours that are `chosen`.
fn stretches(
    segments: &[Arc<SegmentRef>],
    chosen: impl Fn(&SegmentRef) -> bool,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, _) in segments.iter().enumerate().filter(|(_, s)| chosen(s)) {
        match found.last_mut() {
            Some(stretch) if stretch.end == i => stretch.end += 1,
            _ => found.push(i..i + 1),
        }
    }
    found.into_iter()
}
