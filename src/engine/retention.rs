//! ALTER TABLE … RETAIN: rows that are older than a table keeps are deleted, in the background and by VACUUM.

use super::delete::Target;
use super::names::{at, no_such_column};
use super::output::Output;
use super::running::Running;
use super::warehouse::Warehouse;
use crate::catalog::{PinnedSnapshot, Retention, TableDef, TableState};
use crate::common::calendar::Civil;
use crate::common::{Error, Result, SqlState, SqlType};
use crate::engine::names::CATALOG;
use crate::sql::ast::AlterRetention;
use crate::sql::unparse::quote_ident;

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
    /// are too old, of a time whatever is longer ago.
    /// Without `prune` all rows are read, which makes no other difference.
    pub(super) async fn expire(&self, pin: &PinnedSnapshot, table: &TableState, prune: bool) -> Result<u64> {
        let def = &table.def;
        let Some((retain, column)) = def.retain.as_ref().and_then(|r| Some((r, def.column(r.column)?))) else {
            return Ok(0);
        };
        let now_us = self.inner.catalog.options().clock.now_us();
        let from_us = now_us.saturating_sub(i64::from(retain.days).saturating_mul(DAY_US));
        let Civil { year, month, day, .. } = Civil::from_micros(from_us);
        let date = format!("{year:04}-{month:02}-{day:02}");
        let time_us = from_us.rem_euclid(DAY_US);
        let seconds = time_us / 1_000_000;
        let time =
            format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, time_us % 1_000_000);
        let cutoff = match column.sql_type {
            SqlType::Date => format!("DATE '{date}'"),
            SqlType::TimestampTz => format!("TIMESTAMPTZ '{date} {time}+00'"),
            _ => format!("TIMESTAMP '{date} {time}'"),
        };
        let name = name_of(pin, def).ok_or_else(|| Error::internal("a table has no schema"))?;
        let sql = format!("DELETE FROM {CATALOG}.{name} WHERE {} < {cutoff}", quote_ident(&column.name));
        let session = self.session();
        if !prune {
            session.sql("SET blueshift.pruning = false").await?;
        }
        Ok(session.sql(&sql).await?.changed.unwrap_or(0))
    }

    /// The same in the background, not too often. Returns whether it has deleted rows.
    pub(super) async fn expire_now_and_then(&self, pin: &PinnedSnapshot, table: &TableState) -> Result<bool> {
        if table.def.retain.is_none() {
            return Ok(false);
        }
        let now_us = self.inner.catalog.options().clock.now_us();
        if !self.inner.upkeep.is_time_to_expire(table.def.id, table.def.definition_version, now_us, INTERVAL_US) {
            return Ok(false);
        }
        Ok(self.expire(pin, table, true).await? > 0)
    }
}
