//! ALTER TABLE … RETAIN: rows that are older than a table keeps are deleted, in the background and by VACUUM.

use futures::future::BoxFuture;

use super::delete::{self, Target};
use super::names::{CATALOG, at, no_such_column};
use super::output::Output;
use super::query_log::Logged;
use super::running::Running;
use super::warehouse::Warehouse;
use crate::catalog::{PinnedSnapshot, Retention, TableDef};
use crate::common::calendar::Civil;
use crate::common::{Error, ErrorKind, Result, SqlState, SqlType, TableId};
use crate::sql::ast::AlterRetention;
use crate::sql::unparse::quote_ident;
use crate::sql::{self, Statement};

const DAY_US: i64 = 86_400_000_000;
/// How often the background looks for rows of a table that are too old.
const INTERVAL_US: i64 = 3_600_000_000;

/// Says how long rows are kept, or that they are kept for ever.
pub(super) async fn alter(running: &Running<'_>, alter: &AlterRetention) -> Result<Output> {
    let target = Target::find(running, &alter.table).await?;
    let mut def = TableDef::clone(&target.table.def);
    def.retain = match &alter.retain {
        None => None,
        Some((days, name)) => {
            if target.place.temporary {
                let error = Error::unsupported(format!("RETAIN of the temporary table \"{}\"", def.name));
                return Err(at(
                    error.with_hint("its rows go with the session; DELETE removes old ones"),
                    alter.table.base(),
                ));
            }
            let column = def.column_named(&name.value).ok_or_else(|| no_such_column(name, &def))?;
            if !Retention::fits(column.sql_type) {
                let message = format!("column \"{}\" of type {} tells no day", column.name, column.sql_type);
                return Err(at(
                    Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                        .with_hint("RETAIN goes by a DATE, a TIMESTAMP or a TIMESTAMPTZ"),
                    name,
                ));
            }
            Some(Retention { days: *days, column: column.id })
        }
    };
    if def.retain != target.table.def.retain {
        def.definition_version += 1;
        let mut transaction = target.transaction(running)?;
        transaction.alter_table(def);
        target.commit(running, transaction).await?;
    }
    Ok(Output::done("ALTER TABLE", None))
}

fn name_of(pin: &PinnedSnapshot, def: &TableDef) -> Option<String> {
    Some(format!("{}.{}", quote_ident(&pin.schemas.get(&def.schema)?.name), quote_ident(&def.name)))
}

impl Warehouse {
    /// Deletes the rows of a table that are older than it keeps; returns how many. Of a DATE all days before that many days ago
    /// are too old, of a time whatever is longer ago. Nothing where the table is gone, or keeps rows by another word than `retain`.
    /// Without `prune` all rows are read, which makes no other difference.
    ///
    /// Conflict where others changed the table or took the same rows meanwhile: nothing was deleted, and a later attempt goes by
    /// what the table says then.
    pub(super) async fn expire(&self, table: TableId, retain: Retention, prune: bool) -> Result<u64> {
        self.expire_at(self.pin_newest().await?, table, retain, prune).await
    }

    /// The same of what `pin` shows. The table is named and its rows are deleted as of that one version: a table that was altered
    /// since is a conflict, by which no row goes, and the name of another one leads nowhere.
    pub(super) fn expire_at(
        &self,
        pin: PinnedSnapshot,
        table: TableId,
        retain: Retention,
        prune: bool,
    ) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move {
            let Some(table) = pin.table(table).filter(|table| table.def.retain == Some(retain)) else { return Ok(0) };
            let def = &table.def;
            let Some(column) = def.column(retain.column) else { return Ok(0) };
            let Some(cutoff) = cutoff(column.sql_type, retain.days, self.inner.catalog.options().clock.now_us()) else {
                return Ok(0);
            };
            let name = name_of(&pin, def).ok_or_else(|| Error::internal("a table has no schema"))?;
            let text = format!("DELETE FROM {CATALOG}.{name} WHERE {} < {cutoff}", quote_ident(&column.name));
            let Statement::Delete(statement) = sql::parse_one(&text)? else {
                return Err(Error::internal("a DELETE is read as something else"));
            };
            let session = self.session();
            if !prune {
                session.sql("SET blueshift.pruning = false").await?;
            }
            let running = session.begin_at(pin)?;
            let logged = Logged::begin(&session, running.statement.query, running.statement.process, &text);
            let output = delete::delete(&running, &statement, None).await?;
            Ok(output.with_log(logged).changed.unwrap_or(0))
        })
    }

    /// The same in the background, not too often. Returns whether it has deleted rows.
    pub(super) async fn expire_now_and_then(&self, def: &TableDef) -> Result<bool> {
        let Some(retain) = def.retain else { return Ok(false) };
        let upkeep = &self.inner.upkeep;
        let now_us = self.inner.catalog.options().clock.now_us();
        if !upkeep.is_time_to_expire(def.id, def.definition_version, now_us, INTERVAL_US) {
            return Ok(false);
        }
        match self.expire(def.id, retain, true).await {
            Err(e) if e.kind() == ErrorKind::Conflict => {
                tracing::debug!("rows that are too old stay for now: {e}");
                upkeep.expire_again(def.id);
                Ok(false)
            }
            outcome => Ok(outcome? > 0),
        }
    }
}

/// What is too old is before it; `None` where that is before the first year, of which no literal can tell.
fn cutoff(of: SqlType, days: u32, now_us: i64) -> Option<String> {
    let from_us = now_us.saturating_sub(i64::from(days).saturating_mul(DAY_US));
    let Civil { year, month, day, .. } = Civil::from_micros(from_us);
    if year < 1 {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let time_us = from_us.rem_euclid(DAY_US);
    let seconds = time_us / 1_000_000;
    let time = format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, time_us % 1_000_000);
    Some(match of {
        SqlType::Date => format!("DATE '{date}'"),
        SqlType::TimestampTz => format!("TIMESTAMPTZ '{date} {time}+00'"),
        _ => format!("TIMESTAMP '{date} {time}'"),
    })
}
