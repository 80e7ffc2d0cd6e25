//! BACKUP, RESTORE and SHOW BACKUPS.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::location::Location;
use super::output::Output;
use super::past;
use super::running::Running;
use crate::catalog::{AsOf, BackedUp, Backup, MakeOptions, WarehouseStore};
use crate::common::{Error, ErrorKind, Result, SqlState};
use crate::sql::ast::{self, Restore};
use crate::sql::unparse::quote_ident;

/// Copies the version that the statement reads to a place, as far as it is not there.
pub(super) async fn backup(running: &Running<'_>, wanted: &ast::Backup) -> Result<Output> {
    let (location, place) = open(running, &wanted.location).await?;
    let options = MakeOptions { verify: wanted.verify, check: &|| running.check_cancelled() };
    let made = Backup::make(running.warehouse.inner.catalog.store(), &running.pin, &place, options).await;
    let BackedUp { backup, copied, reused } = made.map_err(|e| e.context(format!("backup to {location}")))?;
    report("BACKUP", &backup, copied, reused)
}

/// Makes an empty database what a backup holds, in one commit.
pub(super) async fn restore(running: &Running<'_>, restore: &Restore) -> Result<Output> {
    let (location, place) = open(running, &restore.location).await?;
    let as_of = match &restore.at {
        Some(at) => Some(past::as_of(running, at).await?),
        None => None,
    };
    let context = |e: Error| {
        let e = match e.kind() {
            ErrorKind::Corrupt => e.with_hint(format!(
                "BACKUP TO '{location}' VERIFY copies anew what is damaged there, as far as the warehouse still has it"
            )),
            _ => e,
        };
        e.context(format!("restore from {location}"))
    };
    let backup = Backup::find(&place, as_of).await.map_err(context)?;
    let Some(backup) = backup else { return Err(no_backup(&location, &place, as_of).await) };
    let (transaction, _) = running.transaction(running.warehouse)?;
    let check = || running.check_cancelled();
    let restored =
        running.warehouse.inner.catalog.restore(&place, &backup, transaction, &check).await.map_err(context)?;
    let notices = restored.retained.iter().filter_map(|def| {
        let retain = def.retain.as_ref()?;
        let column = quote_ident(&def.column(retain.column)?.name);
        let word = format!("RETAIN {} DAYS ON {column}", retain.days);
        Some(format!("table \"{}\" keeps its rows: {word} is not taken along", def.name))
    });
    Ok(report("RESTORE", &backup, backup.objects, 0)?.with_notices(notices.collect()))
}

/// The backups of a place, newest first.
pub(super) async fn show_backups(running: &Running<'_>, location: &str) -> Result<Output> {
    let (location, place) = open(running, location).await?;
    let mut backups = all(&location, &place).await?;
    backups.reverse();
    let times = backups.iter().map(|b| Some(b.time_us)).collect::<TimestampMicrosecondArray>();
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let number = |of: fn(&Backup) -> u64| numbers(backups.iter().map(of));
    table(
        "SHOW",
        vec![
            ("version", DataType::Int64, number(|b| b.version.0)),
            ("time", time, Arc::new(times)),
            ("tables", DataType::Int64, number(|b| b.tables as u64)),
            ("rows", DataType::Int64, number(|b| b.rows)),
            ("bytes", DataType::Int64, number(|b| b.bytes)),
            ("objects", DataType::Int64, number(|b| b.objects as u64)),
            ("checksum", DataType::Utf8, Arc::new(backups.iter().map(|b| Some(checksum(b))).collect::<StringArray>())),
        ],
    )
}

async fn open(running: &Running<'_>, location: &str) -> Result<(Location, WarehouseStore)> {
    let location = Location::parse(location)?;
    if location == Location::Memory {
        return Err(Error::invalid(SqlState::INVALID_PARAMETER, "a backup in memory would be gone with the statement")
            .with_hint("name a directory, or a bucket as s3://bucket/prefix"));
    }
    let (place, _) = location.open(&running.warehouse.inner.stores).await.map_err(|e| e.context(&location))?;
    Ok((location, place))
}

async fn all(location: &Location, place: &WarehouseStore) -> Result<Vec<Backup>> {
    Backup::all(place).await.map_err(|e| {
        let e = match e.kind() {
            ErrorKind::Corrupt => e.with_hint("delete the damaged object: no other backup needs it"),
            _ => e,
        };
        e.context(format!("backups at {location}"))
    })
}

async fn no_backup(location: &Location, place: &WarehouseStore, as_of: Option<AsOf>) -> Error {
    let all = match all(location, place).await {
        Ok(all) => all,
        Err(e) => return e,
    };
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return Error::invalid(SqlState::UNDEFINED_FILE, format!("there is no backup at {location}"))
            .with_hint("check the location; BACKUP TO makes one");
    };
    let wanted = match as_of {
        Some(AsOf::Version(version)) => format!("of version {version}"),
        _ => "of that time or before it".to_string(),
    };
    let there = format!("those from version {} to version {} are", first.version, last.version);
    Error::invalid(SqlState::INVALID_PARAMETER, format!("there is no backup {wanted} at {location}: {there}"))
        .with_hint(format!("SHOW BACKUPS FROM '{location}' lists them"))
}

fn report(tag: &str, backup: &Backup, copied: usize, reused: usize) -> Result<Output> {
    let one = |number: u64| numbers([number].into_iter());
    table(
        tag,
        vec![
            ("version", DataType::Int64, one(backup.version.0)),
            ("tables", DataType::Int64, one(backup.tables as u64)),
            ("rows", DataType::Int64, one(backup.rows)),
            ("bytes", DataType::Int64, one(backup.bytes)),
            ("objects_copied", DataType::Int64, one(copied as u64)),
            ("objects_reused", DataType::Int64, one(reused as u64)),
            ("checksum", DataType::Utf8, Arc::new(StringArray::from(vec![checksum(backup)]))),
        ],
    )
}

fn checksum(backup: &Backup) -> String {
    format!("{:08x}", backup.checksum)
}

fn numbers(numbers: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(numbers.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).collect::<Int64Array>())
}

fn table(tag: &str, columns: Vec<(&str, DataType, ArrayRef)>) -> Result<Output> {
    let fields: Vec<Field> = columns.iter().map(|(name, of, _)| Field::new(*name, of.clone(), false)).collect();
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    Ok(Output::batch(tag, RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?))
}
