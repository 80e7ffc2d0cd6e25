//! SHOW HISTORY.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::names::at;
use super::output::Output;
use super::running::Running;
use crate::catalog::Change;
use crate::common::{Error, Result};
use crate::sql::ast::ObjectName;

/// The versions that have changed a table, newest first: a row for each transaction.
pub(super) async fn show_history(running: &Running<'_>, name: &ObjectName, limit: Option<u64>) -> Result<Output> {
    if running.session.is_foreign(name, &running.pin) {
        let error =
            Error::unsupported(format!("\"{}\" is no table of the warehouse, and has no history", name.unquoted()));
        return Err(at(error, name.base()));
    }
    let place = running.place(name).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let id = place.table(&pin, name)?.def.id;
    let last = pin.base().version;
    let mut changes = match pin.base().table(id) {
        Some(_) => place.warehouse.inner.catalog.history(id, last).await?,
        // The transaction has made it.
        None => Vec::new(),
    };
    changes.reverse();
    changes.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    let user = |change: &Change| pin.users.get(&change.author).cloned().unwrap_or_else(|| change.author.to_string());
    let number = |of: fn(&Change) -> u64| -> ArrayRef {
        Arc::new(changes.iter().map(|c| i64::try_from(of(c)).unwrap_or(i64::MAX)).collect::<Int64Array>())
    };
    let text = |of: &dyn Fn(&Change) -> String| -> ArrayRef {
        Arc::new(changes.iter().map(|c| Some(of(c))).collect::<StringArray>())
    };
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = [
        ("version", DataType::Int64, number(|c| c.version.0)),
        (
            "time",
            time,
            Arc::new(changes.iter().map(|c| Some(c.time_us)).collect::<TimestampMicrosecondArray>()) as ArrayRef,
        ),
        ("user_name", DataType::Utf8, text(&user)),
        ("change", DataType::Utf8, text(&|c| c.what.to_string())),
        ("rows_added", DataType::Int64, number(|c| c.rows_added)),
        ("rows_removed", DataType::Int64, number(|c| c.rows_removed)),
        ("transaction_id", DataType::Utf8, text(&|c| c.transaction.to_string())),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, of, _)| Field::new(*name, of.clone(), false)).collect();
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    Ok(Output::batch("SHOW", RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?))
}
