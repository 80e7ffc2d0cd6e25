//! Interleaved sort keys: the rank map, the order of runs, and that neither changes an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;

use super::util::*;
use crate::catalog::{CatalogOptions, RankColumn, RankMap, RunId, SegmentRef, TableState, WarehouseStore};
use crate::common::SortStyle;
use crate::engine::load::Load;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::physical_plan::scan::ScanTable;
use crate::storage::merge::SegmentRows;
use crate::storage::sort::RowKey;
use crate::storage::writer::LoadLayout;

const ROWS: &str = "select v * 7919 % 4001 as a, case when v % 9 = 0 then null else v * 31 % 503 end as b, \
                    'http://www.example.com/a/common/prefix/' || (v * 17 % 1009) as c, v as n \
                    from generate_series(1, 4000) as s(v)";
const COLUMNS: &str = "(a bigint, b int, c varchar(80), n bigint)";

/// Fails unless the runs of the table's map stand in its order and count their rows by it, and others count nothing.
pub async fn ranks_hold(warehouse: &Warehouse, name: &str) {
    let (_, state) = state(warehouse, name).await;
    let Some(map) = &state.rank_map else {
        assert!(state.segments.iter().all(|s| s.rank_map == 0 && s.rank_counts.is_empty()));
        return;
    };
    assert!(is_in_order(warehouse, &state, map).await, "{name}");
}

/// Whether every run that says so is in the order of `map`. Their counts must be right.
async fn is_in_order(warehouse: &Warehouse, state: &TableState, map: &Arc<RankMap>) -> bool {
    let layout = LoadLayout::new(&state.def, warehouse.geometry().unwrap(), warehouse.info().slices, 0).unwrap();
    let layout = layout.ranked(Some(Arc::clone(map)));
    let encoder = layout.key_encoder().unwrap();
    let mut before: BTreeMap<(u32, RunId), RowKey> = BTreeMap::new();
    let mut right = true;
    for segment in state.segments.iter().filter(|s| s.rank_map == map.version) {
        let mut counts = vec![0u32; map.columns.len() * RankColumn::COARSE];
        let whole = SegmentRef { deleted: None, ..SegmentRef::clone(segment) };
        let mut rows = SegmentRows::open(whole, layout.clone(), warehouse.inner.segments.clone()).await.unwrap();
        while let Some(columns) = rows.next().await.unwrap() {
            let columns: Vec<_> = layout.sort_columns().iter().map(|c| Arc::clone(&columns[*c])).collect();
            let keys = encoder.encode(&columns).unwrap();
            for row in 0..keys.len() {
                let key = keys.key(row);
                if let Some(before) = before.insert((segment.slice, segment.run), keys.key(row)) {
                    right &= before <= key;
                }
                let z = keys.z(row).unwrap();
                for at in 0..map.columns.len() {
                    // The first four bits of each column's code are the first of the whole, the columns in turn.
                    let bits = 8 * map.columns.len();
                    let coarse = (0..4)
                        .fold(0, |rank, i| rank << 1 | (z >> (bits - 1 - (i * map.columns.len() + at)) & 1) as usize);
                    counts[at * RankColumn::COARSE + coarse] += 1;
                }
            }
        }
        assert_eq!(counts, segment.rank_counts);
    }
    right
}

async fn skews(session: &Session, name: &str) -> Vec<Option<i128>> {
    let sql = format!(
        "select interleaved_skew from svv_interleaved_columns \
         where tbl = (select distinct conrelid from (select table_id as conrelid from svv_table_info \
         where \"table\" = '{name}') t) order by col"
    );
    let rows = batches(session, &sql).await;
    rows.iter().flat_map(|b| b.column(0).as_primitive::<Decimal128Type>().iter()).collect()
}

async fn table(session: &Session, name: &str, layout: &str) {
    session.sql(&format!("create table {name} {COLUMNS} {layout}")).await.unwrap();
}

const QUESTIONS: [&str; 8] = [
    "select count(*), sum(a), sum(b), sum(n), min(c), max(c) from T",
    "select * from T where a between 100 and 130",
    "select * from T where b = 77 or b is null and a < 200",
    "select * from T where c like 'http://www.example.com/a/common/prefix/77%'",
    "select n from T where a > 3000 and b < 40 and c < 'http://www.example.com/a/common/prefix/5'",
    "select b, count(*) from T group by b",
    "select a, b from T order by a, b limit 7",
    "select c, n from T where b > 400 order by c desc, n limit 9",
];

/// The answers of an interleaved table are those of one without order.
async fn same_answers(session: &Session, name: &str, other: &str) {
    for question in QUESTIONS {
        // Under one name, which the answer's titles show.
        let of = |table: &str| question.replace("from T", &format!("from {table} as q"));
        let (found, expected) = (of(name), of(other));
        assert_eq!(ours(session, &found).await, ours(session, &expected).await, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_beyond_its_memory_is_one_run_of_one_map() {
    for slices in [1, 3] {
        let builder = Warehouse::builder().slices(slices).threads(2).geometry(Geometry::new(32, 128).unwrap());
        let warehouse = builder.load_memory(60_000).open("memory://").await.unwrap();
        let session = warehouse.session();
        table(&session, "plain", "diststyle even sortkey none").await;
        session.sql(&format!("insert into plain {ROWS}")).await.unwrap();
        for (name, layout, order) in [
            ("mixed", "distkey(a) interleaved sortkey(a, b, c)", "n"),
            // Those that fill the memory first have the least of the values.
            ("by_a", "diststyle even interleaved sortkey(a, b)", "a"),
            ("by_c", "diststyle all interleaved sortkey(c, a, n, b)", "c"),
        ] {
            table(&session, name, layout).await;
            session.sql(&format!("insert into {name} select * from plain order by {order}")).await.unwrap();
            let (_, state) = state(&warehouse, name).await;
            assert_eq!(state.stored_rows(), 4000);
            let (run, map) = (state.segments[0].run, state.rank_version());
            assert_eq!(map, 1);
            assert!(state.segments.iter().all(|s| s.run == run && s.rank_map == map));
            ranks_hold(&warehouse, name).await;
            assert_eq!(state.sorted_run(), Some(run));
            same_answers(&session, name, "plain").await;
            // The map was made of all rows.
            let skews = skews(&session, name).await;
            assert_eq!(skews.len(), state.def.interleaved().len());
            assert!(skews.iter().all(|skew| skew.is_some_and(|skew| skew <= 105)), "{name}: {skews:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_beyond_the_map_are_runs_that_skew() {
    let warehouse = warehouse(2, 2, Geometry::new(16, 64).unwrap()).await;
    let session = warehouse.session();
    table(&session, "plain", "diststyle even sortkey none").await;
    table(&session, "t", "distkey(n) interleaved sortkey(a, b)").await;
    let both = async |sql: &str| {
        for name in ["plain", "t"] {
            session.sql(&format!("insert into {name} {sql}")).await.unwrap();
        }
    };
    both(ROWS).await;
    assert_eq!(skews(&session, "t").await, [Some(100), Some(100)]);
    // As many rows again, of the same values: as even as before.
    both(ROWS).await;
    assert_eq!(skews(&session, "t").await, [Some(100), Some(100)]);
    // As many again as there are, beyond every bound of `a`, with other NULLs.
    both(&format!("select 1000000 + a, b, c, n from ({ROWS}) x")).await;
    both(&format!("select case when n % 2 = 0 then null else 2000000 end, b, c, n from ({ROWS}) x")).await;
    let found = skews(&session, "t").await;
    assert!(found[0] > Some(300) && found[1] == Some(100), "{found:?}");
    let (_, state) = state(&warehouse, "t").await;
    let runs: std::collections::BTreeSet<_> = state.segments.iter().map(|s| s.run).collect();
    assert_eq!((runs.len(), state.rank_version()), (4, 1));
    ranks_hold(&warehouse, "t").await;
    same_answers(&session, "t", "plain").await;
    assert_eq!(
        ours(&session, "select unsorted from svv_table_info where \"table\" = 't'").await,
        ours(&session, "select cast(75 as decimal(5,2)) as unsorted").await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_map_waits_for_a_zone_of_rows() {
    let warehouse = warehouse(2, 2, Geometry::new(1000, 4000).unwrap()).await;
    let session = warehouse.session();
    table(&session, "plain", "diststyle even sortkey none").await;
    table(&session, "t", "diststyle even interleaved sortkey(b, c)").await;
    for (rows, map) in [(10, 0), (999, 0), (4000, 1), (5, 1)] {
        for name in ["plain", "t"] {
            session.sql(&format!("insert into {name} select * from ({ROWS}) x limit {rows}")).await.unwrap();
        }
        let (_, state) = state(&warehouse, "t").await;
        assert_eq!(state.rank_version(), map);
        let newest = state.segments.iter().max_by_key(|s| s.run).unwrap();
        assert_eq!(newest.rank_map, map);
        // The sorted region is the first run in the order that rows come in now.
        let sorted = state.segments.iter().find(|s| Some(s.run) == state.sorted_run()).unwrap();
        assert_eq!(sorted.rank_map, map);
        ranks_hold(&warehouse, "t").await;
    }
    assert_eq!(skews(&session, "t").await, [Some(100), Some(100)]);
    // LIMIT may have taken other rows for each: only their number is the same.
    let count = "select count(*) from T";
    assert_eq!(ours(&session, &count.replace('T', "t")).await, ours(&session, &count.replace('T', "plain")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_processes_and_a_restart_keep_the_map() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("dw");
    let open = async || {
        let options = CatalogOptions { checkpoint_every: 2, ..CatalogOptions::default() };
        let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY).catalog_options(options);
        builder.open(place.to_str().unwrap()).await.unwrap()
    };
    let one = open().await;
    let session = one.session();
    table(&session, "plain", "diststyle even sortkey none").await;
    table(&session, "t", "distkey(a) interleaved sortkey(c, a)").await;
    session.sql(&format!("insert into plain {ROWS}")).await.unwrap();
    session.sql(&format!("insert into t {ROWS}")).await.unwrap();
    let (_, first) = state(&one, "t").await;
    let two = open().await;
    assert_eq!(state(&two, "t").await.1.rank_map, first.rank_map);
    let other = two.session();
    other.sql(&format!("insert into t {ROWS}")).await.unwrap();
    other.sql(&format!("insert into plain {ROWS}")).await.unwrap();
    for n in 0..5 {
        session.sql(&format!("insert into t values ({n}, {n}, 'z', {n})")).await.unwrap();
        other.sql(&format!("insert into plain values ({n}, {n}, 'z', {n})")).await.unwrap();
    }
    drop((session, other, one, two));
    let again = open().await;
    let (_, state) = state(&again, "t").await;
    assert_eq!(state.rank_map, first.rank_map);
    assert!(state.segments.iter().all(|s| s.rank_map == 1));
    ranks_hold(&again, "t").await;
    same_answers(&again.session(), "t", "plain").await;
}

/// Two loads at once each bring a map: the table keeps the first, and the rows of the second are in no order of its.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_maps_at_once_the_first_stays() {
    let objects = WarehouseStore::memory();
    let builder = Warehouse::builder().slices(2).threads(2).geometry(Geometry::TINY);
    let warehouse = builder.store(WarehouseStore::new(Arc::clone(objects.objects()))).open("memory://").await.unwrap();
    let session = warehouse.session();
    table(&session, "plain", "diststyle even sortkey none").await;
    table(&session, "t", "diststyle even interleaved sortkey(a, b)").await;
    let catalog = &warehouse.inner.catalog;
    let mut late = catalog.begin(warehouse.owner());
    let (_, before) = state(&warehouse, "t").await;
    let load = Load::new(&warehouse, &before, (0..4).collect(), &late).unwrap();
    let rows = batches(&session, &format!("select a + 5000, b, c, n from ({ROWS}) x")).await;
    let stream = futures::stream::iter(rows.clone().into_iter().map(Ok));
    load.take(vec![Box::pin(RecordBatchStreamAdapter::new(rows[0].schema(), stream))]).await.unwrap();
    session.sql(&format!("insert into t {ROWS}")).await.unwrap();
    let (_, first) = state(&warehouse, "t").await;
    assert_eq!(load.finish(&mut late).await.unwrap().0, 4000);
    catalog.commit(late).await.unwrap();
    let (_, both) = state(&warehouse, "t").await;
    assert_eq!(both.rank_map, first.rank_map);
    assert_eq!(
        both.segments.iter().map(|s| (s.run, s.rank_map)).collect::<BTreeMap<_, _>>().into_values().collect::<Vec<_>>(),
        [1, 0]
    );
    ranks_hold(&warehouse, "t").await;
    session.sql(&format!("insert into plain {ROWS}")).await.unwrap();
    session.sql(&format!("insert into plain select a + 5000, b, c, n from ({ROWS}) x")).await.unwrap();
    same_answers(&session, "t", "plain").await;
    // Later loads follow the map that is there.
    session.sql(&format!("insert into t {ROWS}")).await.unwrap();
    let (_, three) = state(&warehouse, "t").await;
    assert_eq!(three.segments.iter().max_by_key(|s| s.run).unwrap().rank_map, 1);
}

/// What would be wrong if a scan took the interleaved key for a compound one.
#[tokio::test]
async fn a_compound_order_that_is_claimed_is_noticed() {
    let warehouse = warehouse(4, 4, Geometry::TINY).await;
    let session = warehouse.session();
    table(&session, "t", "distkey(n) interleaved sortkey(a, b)").await;
    session.sql(&format!("insert into t {ROWS}")).await.unwrap();
    let context = async |alter: fn(&mut ScanTable)| {
        let context = plain(4);
        context.register_table("t", HandMade::of(&warehouse, "t", alter).await).unwrap();
        context
    };
    let sql = "select a from t order by a";
    let in_order = async |context: &SessionContext| {
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values()).is_sorted()
    };
    let honest = context(|_| {}).await;
    assert!(in_order(&honest).await);
    assert!(theirs(&honest, &format!("explain {sql}")).await.join("\n").contains("SortExec"));
    let lying = context(|t| {
        let def = Arc::make_mut(&mut t.def);
        def.sort.as_mut().unwrap().style = SortStyle::Compound;
    });
    assert!(!in_order(&lying.await).await);
}

/// What would be wrong if runs of one map were merged by another.
#[tokio::test]
async fn another_map_of_the_version_is_noticed() {
    let warehouse = warehouse(1, 1, Geometry::TINY).await;
    let session = warehouse.session();
    for (name, rows) in [("t", ROWS.to_string()), ("u", format!("select a / 40, b, c, n from ({ROWS}) x"))] {
        table(&session, name, "diststyle even interleaved sortkey(a, b)").await;
        session.sql(&format!("insert into {name} {rows}")).await.unwrap();
    }
    let ((_, t), (_, u)) = (state(&warehouse, "t").await, state(&warehouse, "u").await);
    let mut counted = TableState::clone(&t);
    assert!(is_in_order(&warehouse, &t, t.rank_map.as_ref().unwrap()).await);
    // What is counted by the other map is another thing: only the order is asked for.
    let other = u.rank_map.as_ref().unwrap();
    recount(&warehouse, &mut counted, other).await;
    assert!(!is_in_order(&warehouse, &counted, other).await);
}

/// Counts the rows of each segment by `map`.
async fn recount(warehouse: &Warehouse, state: &mut TableState, map: &Arc<RankMap>) {
    let layout = LoadLayout::new(&state.def, warehouse.geometry().unwrap(), warehouse.info().slices, 0).unwrap();
    let layout = layout.ranked(Some(Arc::clone(map)));
    let encoder = layout.key_encoder().unwrap();
    for segment in Arc::make_mut(&mut state.segments) {
        let mut counts = crate::storage::interleave::RankCounts::new(map.columns.len());
        let whole = SegmentRef::clone(segment);
        let mut rows = SegmentRows::open(whole, layout.clone(), warehouse.inner.segments.clone()).await.unwrap();
        while let Some(columns) = rows.next().await.unwrap() {
            let columns: Vec<_> = layout.sort_columns().iter().map(|c| Arc::clone(&columns[*c])).collect();
            let keys = encoder.encode(&columns).unwrap();
            (0..keys.len()).for_each(|row| counts.add(keys.z(row).unwrap()));
        }
        Arc::make_mut(segment).rank_counts = counts.take();
    }
}

/// A table's zones, and how many of them an equality on each set of its columns reads.
struct ZonesRead {
    all: usize,
    /// By the ordinals of the columns compared.
    read: Vec<(Vec<usize>, usize)>,
}

/// Of a table of `rows` rows, on one slice, whose columns have 1,000 values each, independent of each other.
async fn zones_read(rows: u64, geometry: Geometry, columns: usize, layout: &str) -> ZonesRead {
    let warehouse = warehouse(1, 1, geometry).await;
    let session = warehouse.session();
    // Multiples of irrational numbers, of which the fractions fill the cube evenly.
    // They are the golden ratio's and the roots of 2, 3 and 7: no few of each sum to a whole number, else a column would
    // follow from another.
    let steps = [2_654_435_769u64, 1_779_033_703, 3_144_134_277, 2_773_480_762];
    let names: Vec<String> = (0..columns).map(|c| format!("c{c}")).collect();
    let declared: Vec<String> = names.iter().map(|name| format!("{name} int")).collect();
    let key = layout.replace("KEY", &names.join(", "));
    session.sql(&format!("create table t ({}, n bigint) diststyle even {key}", declared.join(", "))).await.unwrap();
    let values: Vec<String> = steps[..columns].iter().map(|s| format!("v * {s} % 4294967296 / 4294968")).collect();
    let insert = format!("insert into t select {}, v from generate_series(1, {rows}) s(v)", values.join(", "));
    session.sql(&insert).await.unwrap();
    let mut found = ZonesRead { all: 0, read: Vec::new() };
    let mut subsets: Vec<Vec<usize>> =
        (1..1usize << columns).map(|set| (0..columns).filter(|c| set >> c & 1 == 1).collect()).collect();
    subsets.sort_by_key(|set| (set.len(), set.clone()));
    for subset in subsets {
        let filter: Vec<String> = subset.iter().map(|c| format!("c{c} = {}", 371 + 101 * c)).collect();
        let output = session.sql(&format!("select count(n) from t where {}", filter.join(" and "))).await.unwrap();
        let plan = Arc::clone(output.plan().unwrap());
        output.collect().await.unwrap();
        found.all = counted(&plan, "t", "zones");
        found.read.push((subset, found.all - counted(&plan, "t", "zones_pruned_static")));
    }
    found
}

#[tokio::test]
async fn every_column_of_the_key_prunes() {
    let geometry = Geometry::new(32, 512).unwrap();
    for columns in [2, 3] {
        let interleaved = zones_read(20_000, geometry, columns, "interleaved sortkey(KEY)").await;
        let compound = zones_read(20_000, geometry, columns, "compound sortkey(KEY)").await;
        assert_eq!((interleaved.all, compound.all), (625, 625));
        let wanted = |compared: usize| 625f64.powf((columns - compared) as f64 / columns as f64);
        for (subset, read) in &interleaved.read {
            let wanted = wanted(subset.len());
            // Zones do not end where cells of the Z-order do: each lies in a few.
            assert!((*read as f64) < 3.0 * wanted + 1.0, "{subset:?} of {columns}: {read}, not {wanted:.0}");
        }
        // A compound key's second column alone prunes nearly nothing.
        let second = compound.read.iter().find(|(subset, _)| subset == &[1]).unwrap().1;
        assert!(second > 400, "{second}");
    }
}

/// The figures of `benches/README.md`. Zones are counted, so that any build gives the same.
#[tokio::test]
#[ignore = "loads 9 million rows to print figures"]
async fn zones_by_key_and_predicate() {
    // As many zones as 8 million rows have in zones of 8,192.
    let (rows, geometry) = (1 << 20, Geometry::new(1024, 16384).unwrap());
    println!("| columns of the key | equality on | INTERLEAVED | COMPOUND | no key |\n|---|---|---|---|---|");
    for columns in 2..=4 {
        let mut found = Vec::new();
        for layout in ["interleaved sortkey(KEY)", "compound sortkey(KEY)", "sortkey none"] {
            found.push(zones_read(rows, geometry, columns, layout).await);
        }
        for (i, (subset, _)) in found[0].read.iter().enumerate() {
            let names: Vec<String> = subset.iter().map(|c| format!("{}", c + 1)).collect();
            let read: Vec<String> = found.iter().map(|f| f.read[i].1.to_string()).collect();
            println!("| {columns} | {} | {} |", names.join(", "), read.join(" | "));
        }
    }
}
