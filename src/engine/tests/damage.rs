//! Objects that are damaged, swapped or gone: a scan says so, by kind, object and place, and never returns other rows.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::util::*;
use crate::catalog::{CatalogOptions, SegmentRef, WarehouseStore, paths};
use crate::common::{Error, ErrorKind, SqlState};
use crate::engine::error::from_datafusion;
use crate::engine::{Session, Warehouse};
use crate::format::Geometry;
use crate::format::stable::TRAILER_BYTES;
use crate::format::tests::Checksums;
use crate::storage::block_store::BlockStore;
use crate::storage::segment::SegmentStore;
use crate::testing::TestClock;

const COLUMNS: [(&str, &str); 5] = [
    ("k", "bigint encode az64"),
    ("r", "varchar(30) encode raw"),
    ("z", "varchar(30) encode zstd"),
    ("f", "varchar(30) encode fsst"),
    ("b", "varchar(30) encode bytedict"),
];

async fn open(store: &WarehouseStore) -> Warehouse {
    let geometry = Geometry::new(64, 256).unwrap();
    Warehouse::builder().slices(2).threads(2).geometry(geometry).store(store.clone()).open("memory://").await.unwrap()
}

/// A table `t` of two slices whose rows stand in an object.
async fn loaded(store: &WarehouseStore) -> Warehouse {
    let warehouse = open(store).await;
    let columns: Vec<String> = COLUMNS.iter().map(|(name, ty)| format!("{name} {ty}")).collect();
    let create = format!("create table t ({}) distkey(k) sortkey(k)", columns.join(", "));
    warehouse.session().sql(&create).await.unwrap();
    let rows = "select v, 'text ' || (v * 7919), 'text ' || (v * 7919), 'text ' || (v * 7919), 'text ' || (v % 50) \
                from generate_series(0, 7999) g(v)";
    warehouse.session().sql(&format!("insert into t {rows}")).await.unwrap();
    warehouse
}

/// A segment that does not begin its object, and the object's bytes.
struct Target {
    segment: Arc<SegmentRef>,
    path: Path,
    object: Vec<u8>,
}

impl Target {
    async fn of(warehouse: &Warehouse, store: &WarehouseStore) -> Target {
        let (_, state) = state(warehouse, "t").await;
        let segment = state.segments.iter().find(|s| s.extent.offset > 0).expect("segments share an object").clone();
        let path = paths::object(&segment.extent.object);
        let object = store.objects().get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        Target { segment, path, object }
    }

    /// Where in the object a page stands.
    async fn page(&self, warehouse: &Warehouse, column: usize, zone: usize) -> Range<usize> {
        let open = warehouse.inner.segments.open(&self.segment).await.unwrap();
        let range = open.page(column, zone).unwrap().range;
        let start = (self.segment.extent.offset + range.offset) as usize;
        start..start + range.len as usize
    }

    async fn put(&self, store: &WarehouseStore, object: Vec<u8>) {
        store.objects().put(&self.path, object.into()).await.unwrap();
    }

    /// The object with a byte changed, and the segment's checksums made right for it.
    fn with(&self, at: usize, byte: u8) -> Vec<u8> {
        let extent = self.segment.extent;
        let within = extent.offset as usize..(extent.offset + extent.len) as usize;
        let mut object = self.object.clone();
        let checksums = Checksums::of(&object[within.clone()]);
        object[at] = byte;
        checksums.repair(&mut object[within.clone()], at - within.start);
        object
    }
}

fn corrupt_within(e: &Error, path: &Path, place: Range<usize>, what: &str) {
    assert_eq!((e.kind(), e.object()), (ErrorKind::Corrupt, Some(path.as_ref())), "{what}: {e:?}");
    let offset = e.offset().unwrap() as usize;
    assert!(place.start <= offset && offset <= place.end, "{what}: {offset} is not in {place:?}: {e:?}");
}

async fn sums(session: &Session) -> Vec<String> {
    ours(session, "select count(*), sum(k), max(r), max(z), max(f), max(b) from t").await
}

#[tokio::test]
async fn what_comes_over_a_network_is_checked_every_time() {
    let store = WarehouseStore::memory();
    let warehouse = loaded(&store).await;
    let target = Target::of(&warehouse, &store).await;
    let session = warehouse.session();
    let answer = sums(&session).await;
    assert_eq!(sums(&session).await, answer);
    for (column, (name, _)) in COLUMNS.iter().enumerate() {
        let page = target.page(&warehouse, column, 3).await;
        let mut object = target.object.clone();
        object[page.end - 1] ^= 1;
        target.put(&store, object).await;
        let e = error(&session, &format!("select {name} from t")).await;
        corrupt_within(&e, &target.path, page, name);
    }
    target.put(&store, target.object.clone()).await;
    assert_eq!(sums(&session).await, answer);
}

#[tokio::test]
async fn errors_of_a_page_name_a_place_within_it() {
    let store = WarehouseStore::memory();
    let warehouse = loaded(&store).await;
    let target = Target::of(&warehouse, &store).await;
    for (column, (name, _)) in COLUMNS.iter().enumerate() {
        let page = target.page(&warehouse, column, 5).await;
        // The validity's form; what the encoding has in its header; in RAW, a byte that is no text's, known exactly.
        let header = if *name == "k" { 1 } else { 4 };
        let last = page.len() - 1;
        let damage = [(0, 9, true), (header, 0xff, false), (last, 0xff, true)];
        for (at, byte, exact) in damage.into_iter().filter(|(at, _, _)| *at < last || *name == "r") {
            target.put(&store, target.with(page.start + at, byte)).await;
            let place = if exact { page.start + at..page.start + at } else { page.clone() };
            let filter = if *name == "k" { "k % 3 = 1" } else { &format!("{name} like '%1%'") };
            for sql in [format!("select {name} from t"), format!("select count(*) from t where {filter}")] {
                let e = error(&open(&store).await.session(), &sql).await;
                corrupt_within(&e, &target.path, place.clone(), &format!("byte {at} of {}: {sql}", page.len()));
            }
        }
    }
}

#[tokio::test]
async fn a_footer_that_contradicts_the_catalog_is_corrupt() {
    let store = WarehouseStore::memory();
    let warehouse = loaded(&store).await;
    let target = Target::of(&warehouse, &store).await;
    let end = (target.segment.extent.offset + target.segment.extent.len) as usize;
    let trailer = end - TRAILER_BYTES;
    let queries = ["select * from t", "select k from t where r > 'text 3'", "select count(*) from stv_blocklist"];
    // The low bytes of zone_rows, chunk_rows, rows and slice.
    for (field, byte) in [(4, 128), (4, 32), (9, 2), (12, 7), (16, 7)] {
        target.put(&store, target.with(trailer + field, byte)).await;
        for sql in queries {
            let e = error(&open(&store).await.session(), sql).await;
            let segment = target.segment.extent.offset as usize..end;
            corrupt_within(&e, &target.path, segment, &format!("field {field}: {sql}"));
        }
    }
    // A footer that agrees with itself, in a warehouse of another geometry.
    target.put(&store, target.object.clone()).await;
    for (geometry, fits) in
        [(Geometry::new(64, 256).unwrap(), true), (Geometry::DEFAULT, false), (Geometry::TINY, false)]
    {
        let blocks = Arc::new(BlockStore::new(store.objects().clone(), None));
        let opened = SegmentStore::new(blocks, geometry, 1 << 20).open(&target.segment).await;
        match opened {
            Ok(_) => assert!(fits),
            Err(e) => {
                assert!(!fits && e.message().contains("geometry"), "{e:?}");
                corrupt_within(&e, &target.path, trailer..end, "geometry");
            }
        }
    }
}

#[tokio::test]
async fn an_object_that_was_collected_is_told_from_one_that_is_lost() {
    let store = WarehouseStore::memory();
    loaded(&store).await.close().await.unwrap();
    let clock = Arc::new(TestClock::at(1_000_000));
    let process = async || {
        let options = CatalogOptions {
            clock: clock.clone(),
            background: false,
            lease_ttl: Duration::from_secs(1),
            ..Default::default()
        };
        Warehouse::builder().catalog_options(options).store(store.clone()).open("memory://").await.unwrap()
    };
    let (reader, writer) = (process().await, process().await);
    let path = Target::of(&reader, &store).await.path;
    let lost = store.objects().get(&path).await.unwrap().bytes().await.unwrap();
    store.objects().delete(&path).await.unwrap();
    for sql in ["select sum(k) from t", "select count(*) from stv_blocklist"] {
        let e = error(&process().await.session(), sql).await;
        assert_eq!((e.kind(), e.object()), (ErrorKind::Corrupt, Some(path.as_ref())), "{sql}: {e:?}");
    }
    store.objects().put(&path, lost.into()).await.unwrap();

    // A reader sleeps past its lease; meanwhile its table goes, and what nobody else needs.
    let context = plain(2);
    context.register_table("t", HandMade::of(&reader, "t", |_| ()).await).unwrap();
    clock.advance(3600 * 1_000_000);
    writer.session().sql("drop table t").await.unwrap();
    assert!(writer.collect().await.unwrap().data_objects > 0);
    let e = context.sql("select sum(k) from t").await.unwrap().collect().await.unwrap_err();
    let e = from_datafusion(e);
    assert_eq!((e.kind(), e.state()), (ErrorKind::Conflict, SqlState::SNAPSHOT_TOO_OLD), "{e:?}");
    assert!(e.message().contains("too old") && e.hint().is_some(), "{e:?}");
    // Run again, it reads the present version.
    let e = error(&reader.session(), "select sum(k) from t").await;
    assert_eq!(e.state(), SqlState::UNDEFINED_TABLE, "{e:?}");
}
