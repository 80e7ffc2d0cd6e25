//! A warehouse over a disk that forgets: power is cut before every change that a statement makes to the disk, and what was not
//! synced is lost, kept or torn. Afterwards there is what was acknowledged, and of the statement nothing or the whole.

use std::sync::Arc;
use std::time::Duration;

use super::util::*;
use crate::catalog::{CatalogOptions, LocalStore, WarehouseStore};
use crate::common::Result;
use crate::engine::{Warehouse, WarehouseBuilder};
use crate::format::Geometry;
use crate::testing::{Crash, SimDisk, SimFiles, TestClock, seeds};

const ROOT: &str = "/srv/house";

/// What is there before: rows in several runs, some of them dead.
const BEFORE: [&str; 6] = [
    "create table t (k int not null, v varchar(20), n bigint) distkey(k) sortkey(n)",
    "insert into t select g, 'v' || g % 5, g * 7 % 101 from generate_series(1, 150) s(g)",
    "insert into t select g, null, g * 11 % 103 from generate_series(151, 260) s(g)",
    "delete from t where k % 9 = 4",
    "create table s (k int, n bigint)",
    "insert into s select g * 10, -g from generate_series(1, 40) s(g)",
];

async fn open(files: Arc<SimFiles>) -> Result<Warehouse> {
    open_as(files, Warehouse::builder()).await
}

async fn open_as(files: Arc<SimFiles>, builder: WarehouseBuilder) -> Result<Warehouse> {
    let local = LocalStore::open_without(ROOT, files, Arc::new(TestClock::default()), None).await?;
    let options = CatalogOptions { background: false, retry_delay: Duration::ZERO, ..CatalogOptions::default() };
    let builder = builder.threads(1).load_memory(32 << 10).upkeep(false);
    builder.catalog_options(options).store(WarehouseStore::local(local)).open(ROOT).await
}

/// Everything that a user sees.
async fn content(warehouse: &Warehouse) -> Vec<String> {
    let session = warehouse.session();
    let mut all = ours(&session, "select table_name from svv_tables where table_schema = 'public' order by 1").await;
    for name in ["t", "s", "made"] {
        if all.iter().any(|line| line.trim_matches(['|', ' ']) == name) {
            all.extend(ours(&session, &format!("select * from {name}")).await);
            all.extend(ours(&session, &format!("show table {name}")).await);
        }
    }
    all
}

/// Cuts statements at every change that they make to the disk.
async fn cut_everywhere(what: &str, statements: &[&str]) {
    let disk = SimDisk::default();
    let made = Warehouse::builder().slices(2).geometry(Geometry::TINY);
    let warehouse = open_as(disk.process(None), made).await.unwrap();
    all(&warehouse.session(), &BEFORE).await;
    let mut states = vec![content(&warehouse).await];
    warehouse.close().await.unwrap();
    let disk = disk.crash(Crash::Kept);

    let whole = disk.crash(Crash::Kept);
    let files = whole.process(None);
    let warehouse = open(Arc::clone(&files)).await.unwrap();
    let opened = files.changes();
    let session = warehouse.session();
    for statement in statements {
        all(&session, &[statement]).await;
        states.push(content(&warehouse).await);
    }
    let changes = files.changes();
    assert!(changes > opened + 2, "{what}: {changes} changes");

    for cut in opened..=changes {
        let disk = disk.crash(Crash::Kept);
        let warehouse = open(disk.process(Some(cut))).await.unwrap();
        let session = warehouse.session();
        let mut told = 0;
        for statement in statements {
            let run = async { session.sql(statement).await?.collect().await };
            if run.await.is_err() {
                break;
            }
            told += 1;
        }
        let mixed = |seed: u64| Crash::Mixed(seed << 32 | cut as u64);
        for seed in seeds(0, 1) {
            let crash = if seed == 0 && cut % 2 == 0 { Crash::Lost } else { mixed(seed) };
            let context = format!("{what}, cut {cut} of {opened}..{changes}, {crash:?}");
            let warehouse = open(disk.crash(crash).process(None)).await;
            let warehouse = warehouse.unwrap_or_else(|e| panic!("{context}: {e:?}"));
            let found = content(&warehouse).await;
            // Of the statement that was not acknowledged there is nothing or the whole.
            let next = states.get(told + 1);
            assert!(found == states[told] || Some(&found) == next, "{context}, {told} acknowledged: {found:#?}");
            if cut % 4 > 0 {
                continue;
            }
            // It goes on from here: another vacuum, more rows.
            let more = ["insert into s values (-1, -1)", "vacuum t to 100 percent", "delete from s where k = -1"];
            all(&warehouse.session(), &more).await;
            assert_eq!(content(&warehouse).await, found, "{context}: afterwards");
        }
    }
}

#[tokio::test]
async fn loads_that_are_cut_leave_nothing_or_all() {
    let load = "insert into t select g, 'w', -g from generate_series(1000, 1400) s(g)";
    cut_everywhere("load", &[load]).await;
    cut_everywhere("ctas", &["create table made distkey(n) sortkey(k) as select n, k from t"]).await;
}

#[tokio::test]
async fn changes_that_are_cut_leave_nothing_or_all() {
    cut_everywhere("update", &["update t set n = n + 1000, k = k + 1 where k % 3 = 0"]).await;
    let merge = "merge into t using s on t.k = s.k when matched then update set n = s.n when not matched then insert values (s.k, 'm', s.n)";
    cut_everywhere("merge", &[merge]).await;
}

#[tokio::test]
async fn blocks_that_are_cut_leave_nothing_or_all() {
    let block = ["begin", "delete from t where n > 50", "truncate s", "create table made (x int)", "commit"];
    cut_everywhere("block", &block).await;
}

#[tokio::test]
async fn vacuums_that_are_cut_lose_no_row() {
    cut_everywhere("vacuum", &["set blueshift.vacuum_rows = 100", "vacuum t to 100 percent"]).await;
    cut_everywhere("vacuum delete only", &["vacuum delete only t to 100 percent"]).await;
}

#[tokio::test]
async fn alters_that_are_cut_leave_the_old_layout_or_the_new() {
    cut_everywhere("sort key", &["alter table t alter sortkey (v, k)"]).await;
    cut_everywhere("keys", &["alter table t alter distkey n, alter sortkey (k)"]).await;
    cut_everywhere("encode", &["alter table t alter column n encode zstd"]).await;
    cut_everywhere("slices", &["alter warehouse set slices 3"]).await;
    cut_everywhere("append", &["create table made (like t)", "alter table made append from t"]).await;
}
