//! BACKUP and RESTORE: what comes back is what was there, or an error says what is damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tempfile::TempDir;

use super::past::{HOUR, NEW_YEAR, one, quiet, run, version};
use super::util::*;
use crate::common::{ErrorKind, SqlState};
use crate::engine::{Session, Warehouse, backup};
use crate::format::Geometry;
use crate::sql::ast;
use crate::testing::TestClock;

/// version, tables, rows, bytes, copied, reused; checksum.
pub async fn report(session: &Session, sql: &str) -> (Vec<i64>, String) {
    let rows = batches(session, sql).await;
    let numbers = (0..6).map(|i| rows[0].column(i).as_primitive::<Int64Type>().value(0)).collect();
    (numbers, rows[0].column(6).as_string::<i32>().value(0).to_string())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// A warehouse with some of everything, and a folder for its backups.
struct Filled {
    clock: Arc<TestClock>,
    warehouse: Warehouse,
    session: Session,
    dir: TempDir,
}

async fn filled() -> Filled {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    fill(&session).await;
    Filled { clock, warehouse, session, dir: tempfile::tempdir().unwrap() }
}

async fn fill(session: &Session) {
    for sql in [
        "create schema s",
        "comment on schema s is 'a schema'",
        "create table s.p (k int not null, primary key (k) verified)",
        "insert into s.p values (1), (2), (3)",
        "create table t (id int identity(1, 1), k int not null, v varchar(64), d date default '2026-01-01', \
         constraint fk foreign key (k) references s.p (k) verified) distkey(id) sortkey(id)",
        "comment on column t.v is 'a column'",
        "insert into t (k, v) select i % 3 + 1, md5(cast(i as varchar)) || md5(cast(-i as varchar)) from generate_series(1, 3000) s(i)",
        "insert into t (k, v) values (1, 'inline')",
        "create table z (a int, b int) interleaved sortkey (a, b)",
        "insert into z select i % 10, i % 7 from generate_series(1, 500) s(i)",
        "create view s.w as select k, count(*) as n from t group by k",
        "create view v as select sum(n) as all_of from s.w",
        "create view late as select * from public.z with no schema binding",
        "delete from t where id % 5 = 0",
        "analyze t",
        "create table gone (k int)",
        "drop table gone",
    ] {
        run(session, sql).await;
    }
}

async fn same(one: &Session, other: &Session) {
    for sql in [
        "select * from t",
        "select * from z",
        "select * from s.p",
        "select * from v",
        "select * from s.w",
        "select * from late",
        "select schemaname, tablename, \"column\", type, encoding, distkey, sortkey from pg_table_def where schemaname in ('public', 's')",
        "show table t",
        "show table z",
        "show view v",
        "show schemas",
        "show columns from table public.t",
    ] {
        assert_eq!(ours(one, sql).await, ours(other, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn a_restored_warehouse_is_what_was_backed_up() {
    let Filled { clock, warehouse, session, dir } = filled().await;
    let to = dir.path().join("some/backups").to_str().unwrap().to_string();
    let (first, checksum) = report(&session, &format!("backup to '{to}'")).await;
    assert_eq!((first[0], first[1]), (version(&warehouse) as i64, 3));
    assert!(first[2] > 2900 && first[3] > 100_000 && first[4] > 5 && first[5] == 0, "{first:?}");

    let house = tempfile::tempdir().unwrap();
    let path = house.path().join("house").to_str().unwrap().to_string();
    let restored = quiet(&clock).open(&path).await.unwrap();
    let other = restored.session();
    let (report_, sum) = report(&other, &format!("restore from '{to}'")).await;
    assert_eq!((&report_[..4], &sum), (&first[..4], &checksum));
    same(&session, &other).await;
    let comments = |w: &Warehouse| w.inner.catalog.snapshot().comments.values().cloned().collect::<Vec<_>>();
    assert_eq!(comments(&warehouse), comments(&restored));
    restored.inner.catalog.snapshot().check_invariants().unwrap();
    // It lives: identities go on, constraints are kept, it is vacuumed, collected and opened again.
    run(&other, "insert into t (k, v) values (2, 'new')").await;
    assert_eq!(one(&other, "select count(distinct id) - count(*) from t").await, 0);
    let e = error(&other, "insert into t (k, v) values (77, 'no parent')").await;
    assert_eq!(e.kind(), ErrorKind::Invalid, "{e:?}");
    run(&other, "delete from t where v in ('new')").await;
    run(&other, "vacuum full t to 100 percent").await;
    restored.collect().await.unwrap();
    same(&session, &other).await;
    // A backup of what was restored has the same checksum as long as nobody changed it.
    drop(other);
    restored.close().await.unwrap();
    let again = quiet(&clock).open(&path).await.unwrap();
    same(&session, &again.session()).await;

    // Into a warehouse that has something: refused, and nothing has changed.
    let e = error(&again.session(), &format!("restore from '{to}'")).await;
    assert_eq!((e.kind(), e.state()), (ErrorKind::Invalid, SqlState::INVALID_PARAMETER));
    assert!(
        e.message().contains("the warehouse is not empty: it has table") && e.hint().unwrap().contains("new warehouse"),
        "{e:?}"
    );
    // One that lays out rows in another way.
    for other in [quiet(&clock).slices(3), quiet(&clock).geometry(Geometry::DEFAULT)] {
        let other = other.open("memory://").await.unwrap();
        let e = error(&other.session(), &format!("restore from '{to}'")).await;
        assert!(e.kind() == ErrorKind::Invalid && e.message().contains("the one that was backed up had"), "{e:?}");
    }
    // Another warehouse's backups have another place.
    let stranger = quiet(&clock).open("memory://").await.unwrap();
    run(&stranger.session(), "create table t (k int)").await;
    let e = error(&stranger.session(), &format!("backup to '{to}'")).await;
    assert!(e.kind() == ErrorKind::Invalid && e.message().contains("another warehouse"), "{e:?}");
    let e = error(&stranger.session(), &format!("backup to '{path}'")).await;
    assert!(e.kind() == ErrorKind::Invalid && e.message().contains("is a warehouse"), "{e:?}");
    for (sql, part) in [
        ("backup to 'memory://'", "in memory"),
        ("backup to 'ftp://x'", "not supported"),
        ("restore from '/nowhere/at/all'", "there is no backup at"),
        ("backup to", "expected a location"),
    ] {
        let e = error(&stranger.session(), sql).await;
        assert!(e.message().contains(part), "{sql}: {e:?}");
    }
    let session = stranger.session();
    run(&session, "begin").await;
    let e = error(&session, &format!("backup to '{to}'")).await;
    assert_eq!(e.state(), SqlState::ACTIVE_TRANSACTION);
}

#[tokio::test]
async fn what_is_there_is_not_copied_again_and_older_backups_stay() {
    let Filled { clock, session, dir, .. } = filled().await;
    let to = dir.path().to_str().unwrap().to_string();
    let (first, first_sum) = report(&session, &format!("backup to '{to}'")).await;
    assert_eq!(report(&session, &format!("backup to '{to}'")).await.0[4..], [0, first[4]], "it is there");
    clock.advance(HOUR);
    run(&session, "insert into z values (1, 2)").await;
    let (second, second_sum) = report(&session, &format!("backup to '{to}'")).await;
    // The log entry of the new row, and the state of its table.
    assert_eq!(second[4..], [2, first[4] - 1], "{first:?} {second:?}");
    assert_ne!(first_sum, second_sum);
    clock.advance(HOUR);
    // What was removed and comes back as a clone is copied where parts of it are not known.
    run(&session, "truncate t").await;
    report(&session, &format!("backup to '{to}'")).await;
    run(&session, &format!("create table back clone t for system_time as of {}", first[0])).await;
    let (fourth, _) = report(&session, &format!("backup to '{to}'")).await;
    assert_eq!(fourth[2], 2 + first[2] - 1, "{fourth:?}");
    // An attempt that was cut short has left something.
    std::fs::write(dir.path().join("data/0000000000000001-00000000000000000000000000000001-0000"), b"half").unwrap();
    let listed = ours(&session, &format!("show backups from '{to}'")).await;
    assert_eq!(listed.len(), 5);

    for (as_of, sum, rows) in [
        (format!(" as of {}", first[0]), Some(&first_sum), first[2]),
        (" as of timestamp '2026-01-01 00:30:00'".to_string(), Some(&first_sum), first[2]),
        (format!(" as of {}", second[0]), Some(&second_sum), second[2]),
        (" as of timestamp '2026-01-01 01:00:00'".to_string(), Some(&second_sum), second[2]),
        (String::new(), None, fourth[2]),
    ] {
        let restored = quiet(&clock).open("memory://").await.unwrap();
        let (report_, found) = report(&restored.session(), &format!("restore from '{to}'{as_of}")).await;
        assert_eq!(report_[2], rows, "{as_of}");
        assert!(sum.is_none_or(|sum| *sum == found), "{as_of}");
    }
    let restored = quiet(&clock).open("memory://").await.unwrap();
    for at in ["1", "timestamp '2025-01-01'"] {
        let e = error(&restored.session(), &format!("restore from '{to}' as of {at}")).await;
        assert!(e.kind() == ErrorKind::Invalid && e.message().contains("there is no backup of"), "{e:?}");
    }
}

#[tokio::test]
async fn damage_of_any_object_is_found_and_nothing_is_restored() {
    let Filled { clock, session, dir, .. } = filled().await;
    let to = dir.path().to_str().unwrap().to_string();
    report(&session, &format!("backup to '{to}'")).await;
    let all = files(dir.path());
    assert!(all.len() > 6);
    let restored = quiet(&clock).open("memory://").await.unwrap();
    let other = restored.session();
    for path in &all {
        let name = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_string();
        let whole = std::fs::read(path).unwrap();
        let mut flipped = whole.clone();
        let at = flipped.len() / 2;
        flipped[at] ^= 4;
        for (damaged, what) in
            [(Some(flipped), "flipped"), (Some(whole[..whole.len() - 1].to_vec()), "cut"), (None, "missing")]
        {
            match &damaged {
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
            let e = error(&other, &format!("restore from '{to}'")).await;
            let is_backup = name.starts_with("_backup/0");
            match is_backup && what == "missing" {
                true => assert!(e.message().contains("there is no backup"), "{e:?}"),
                false => {
                    assert_eq!(e.kind(), ErrorKind::Corrupt, "{name} {what}: {e:?}");
                    assert_eq!(e.object(), Some(name.as_str()), "{what}: {e:?}");
                }
            }
            let snapshot = restored.inner.catalog.snapshot();
            assert!(snapshot.tables.is_empty() && snapshot.schema_named("s").is_none());
            std::fs::write(path, &whole).unwrap();
        }
    }
    // The next backup goes round a damaged one.
    let backup = all.iter().find(|p| p.to_str().unwrap().contains("_backup/0")).unwrap();
    std::fs::write(backup, b"damaged").unwrap();
    run(&session, "insert into z values (1, 2)").await;
    let (made, _) = report(&session, &format!("backup to '{to}'")).await;
    assert_eq!(made[5], 0, "nothing is known of what is there");
    report(&other, &format!("restore from '{to}'")).await;
}

#[tokio::test]
async fn what_is_damaged_is_told_and_mended() {
    let Filled { clock, session, dir, .. } = filled().await;
    let to = dir.path().to_str().unwrap().to_string();
    let (first, checksum) = report(&session, &format!("backup to '{to}'")).await;
    let object = files(&dir.path().join("data")).remove(0);
    let whole = std::fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    std::fs::write(&object, &flipped).unwrap();
    run(&session, "insert into z values (1, 2)").await;
    // Names and lengths say enough, unless it is asked to read.
    let (second, _) = report(&session, &format!("backup to '{to}'")).await;
    assert_eq!(second[4], 2);
    let restored = quiet(&clock).open("memory://").await.unwrap();
    let other = restored.session();
    let e = error(&other, &format!("restore from '{to}'")).await;
    assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
    assert!(e.hint().unwrap().contains("VERIFY"), "{e:?}");
    let (mended, _) = report(&session, &format!("backup to '{to}' verify")).await;
    assert_eq!(mended[4..], [1, second[4] + second[5] - 1]);
    assert_eq!(std::fs::read(&object).unwrap(), whole);
    assert_eq!(report(&other, &format!("restore from '{to}' as of {}", first[0])).await.1, checksum);
    // A backup that is damaged is not one that is not there.
    let record = files(&dir.path().join("_backup")).remove(0);
    std::fs::write(record, b"damaged").unwrap();
    let empty = quiet(&clock).open("memory://").await.unwrap().session();
    for sql in [format!("restore from '{to}' as of 1"), format!("show backups from '{to}'")] {
        let e = error(&empty, &sql).await;
        assert!(e.kind() == ErrorKind::Corrupt && e.hint().unwrap().contains("no other backup"), "{sql}: {e:?}");
    }
}

#[tokio::test]
async fn backup_and_restore_are_cancelled() {
    let Filled { clock, warehouse, session, dir } = filled().await;
    let to = dir.path().to_str().unwrap().to_string();
    let running = session.begin_at(warehouse.pin_newest().await.unwrap()).unwrap();
    session.cancel();
    let wanted = ast::Backup { location: to.clone(), verify: false };
    let e = backup::backup(&running, &wanted).await.unwrap_err();
    assert_eq!(e.state(), SqlState::QUERY_CANCELED, "{e:?}");
    assert!(ours(&session, &format!("show backups from '{to}'")).await.len() <= 1);
    report(&session, &format!("backup to '{to}'")).await;
    let restored = quiet(&clock).open("memory://").await.unwrap();
    let other = restored.session();
    let running = other.begin_at(restored.pin_newest().await.unwrap()).unwrap();
    other.cancel();
    let e = backup::restore(&running, &ast::Restore { location: to.clone(), at: None }).await.unwrap_err();
    assert_eq!(e.state(), SqlState::QUERY_CANCELED, "{e:?}");
    assert!(restored.inner.catalog.snapshot().tables.is_empty());
}

/// What is restored is there to be read: no RETAIN takes it away again.
#[tokio::test]
async fn retain_is_not_restored() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int, \"a day\" date)").await;
    run(&session, "insert into t values (1, '2025-12-31')").await;
    run(&session, "alter table t retain 10 days on \"a day\"").await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    report(&session, &format!("backup to '{to}'")).await;
    clock.advance(30 * 24 * HOUR);
    let restored = quiet(&clock).open("memory://").await.unwrap();
    let other = restored.session();
    let output = other.sql(&format!("restore from '{to}'")).await.unwrap();
    let notices = ["table \"t\" keeps its rows: RETAIN 10 DAYS ON \"a day\" is not taken along"];
    assert_eq!(output.notices, notices);
    restored.maintain().await.unwrap();
    run(&other, "vacuum t").await;
    assert_eq!(one(&other, "select count(*) from t").await, 1);
}

/// The place cannot be written to: the error says so, and the session goes on.
#[tokio::test]
async fn a_place_that_refuses_is_an_error() {
    let clock = Arc::new(TestClock::at(NEW_YEAR));
    let warehouse = quiet(&clock).open("memory://").await.unwrap();
    let session = warehouse.session();
    run(&session, "create table t (k int)").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"not a directory").unwrap();
    let e = error(&session, &format!("backup to '{}'", file.join("below").display())).await;
    assert!(matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Invalid), "{e:?}");
    run(&session, "insert into t values (1)").await;
}
