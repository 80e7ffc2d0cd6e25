//! DESCRIBE: the columns of a table, a view or anything else that has a name.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Field;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;

use super::error::from_datafusion;
use super::names;
use super::output::Output;
use super::session::Running;
use crate::common::{Result, SqlType};
use crate::sql::ast::ObjectName;
use crate::system::shown_columns;

/// `column`, `type` as `pg_table_def` shows it, `encoding`, `distkey`, `sortkey` (the position, 0 outside), `notnull`
/// and `default`. What is not a table of the warehouse has no encoding, no keys and no default.
pub(super) async fn describe(running: &Running<'_>, name: &ObjectName) -> Result<Output> {
    let mut rows: Vec<Row> = Vec::new();
    let (place, pin) = match running.place(name).await {
        Ok(place) => {
            let pin = running.pins.pin(&place.warehouse).await?;
            (Some(place), Some(pin))
        }
        // Of a database of files, or of none: whatever the name stands for in a query tells its columns.
        Err(_) => (None, None),
    };
    let stored = match (&place, &pin) {
        (Some(place), Some(pin)) => place.table(pin, name).map(|state| (place, pin, state)),
        _ => Err(names::no_such_table(&name.unquoted())),
    };
    match stored {
        Ok((place, pin, state)) => {
            let segments = place.warehouse.inner.segments.at(pin.clone());
            for column in shown_columns(state, &segments).await? {
                rows.push(Row {
                    name: column.name,
                    sql_type: column.sql_type.to_string(),
                    encoding: Some(column.encoding),
                    distkey: column.distkey,
                    sortkey: column.sortkey,
                    not_null: column.not_null,
                    default: column.default,
                });
            }
        }
        Err(no_such_table) => {
            let Some(provider) = provider(running, name).await? else { return Err(no_such_table) };
            rows.extend(provider.schema().fields().iter().map(|field| Row {
                name: field.name().clone(),
                sql_type: type_of(field),
                encoding: None,
                distkey: false,
                sortkey: 0,
                not_null: !field.is_nullable(),
                default: None,
            }));
        }
    }
    let text = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let truth = |value: &dyn Fn(&Row) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(value(row)))))
    };
    let batch = RecordBatch::try_from_iter([
        ("column", text(&|r| Some(r.name.clone()))),
        ("type", text(&|r| Some(r.sql_type.clone()))),
        ("encoding", text(&|r| r.encoding.map(str::to_string))),
        ("distkey", truth(&|r| r.distkey)),
        ("sortkey", Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.sortkey))) as ArrayRef),
        ("notnull", truth(&|r| r.not_null)),
        ("default", text(&|r| r.default.clone())),
    ])?;
    Ok(Output::batch("DESCRIBE", batch))
}

/// What the name stands for in a query; `None` where it stands for nothing.
pub(super) async fn provider(running: &Running<'_>, name: &ObjectName) -> Result<Option<Arc<dyn TableProvider>>> {
    let parts: Vec<&str> = name.parts.iter().map(|part| part.value.as_str()).collect();
    let reference = match parts[..] {
        [table] => TableReference::bare(table),
        [schema, table] => TableReference::partial(schema, table),
        [catalog, schema, table] => TableReference::full(catalog, schema, table),
        _ => return Ok(None),
    };
    match running.state.schema_for_ref(reference) {
        Ok(schema) => schema.table(&name.base().value).await.map_err(from_datafusion),
        Err(_) => Ok(None),
    }
}

/// A field's type as SQL names it; Arrow's own name for what SQL has no type for.
pub(super) fn type_of(field: &Field) -> String {
    SqlType::from_field(field).map_or_else(|| field.data_type().to_string(), |t| t.to_string())
}

struct Row {
    name: String,
    sql_type: String,
    encoding: Option<&'static str>,
    distkey: bool,
    sortkey: i32,
    not_null: bool,
    default: Option<String>,
}
