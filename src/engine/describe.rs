//! DESCRIBE: the columns of a table, a view or anything else that has a name.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Field;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::TableType;

use super::error::from_datafusion;
use super::names::{self, CATALOG, Relation, at};
use super::output::Output;
use super::running::Running;
use super::views;
use crate::catalog::{CommentOn, ConstraintKind, ConstraintState, Snapshot, TableDef, TableState};
use crate::common::{ColumnId, Result, SortStyle, SqlType, TableId};
use crate::sql::ast::ObjectName;
use crate::sql::unparse::quote_ident;
use crate::system::{diststyle, shown_columns};

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

/// Where a name leads.
pub(super) struct Found {
    pub database: String,
    pub schema: String,
    pub name: String,
}

/// Where a name leads: by the search path, where it has no schema.
///
/// Errors: Invalid when it leads nowhere.
pub(super) async fn find(running: &Running<'_>, name: &ObjectName) -> Result<Found> {
    let names = &running.session.names;
    let base = name.base().value.clone();
    let database = name.database().map_or(CATALOG, |database| &database.value).to_string();
    let missing = || at(names::no_such_table(&name.unquoted()), name.base());
    if let Some(schema) = name.schema() {
        let own = database == CATALOG && names.is_temp(&schema.value);
        let schema = if own { names.temp_schema().to_string() } else { schema.value.clone() };
        provider_or_view(running, &database, &schema, &base).await?.then_some(()).ok_or_else(missing)?;
        return Ok(Found { database, schema, name: base });
    }
    for schema in names.lookup(&running.pin) {
        if provider_or_view(running, &database, &schema, &base).await? {
            return Ok(Found { database, schema, name: base });
        }
    }
    Err(missing())
}

/// Whether there is something of that name. A view is there whether or not its names lead anywhere.
async fn provider_or_view(running: &Running<'_>, database: &str, schema: &str, name: &str) -> Result<bool> {
    let Some(catalog) = running.state.catalog_list().catalog(database) else { return Ok(false) };
    let Some(schema) = catalog.schema(schema) else { return Ok(false) };
    Ok(schema.table_type(name).await.map_err(from_datafusion)?.is_some())
}

/// What a name leads to.
#[derive(Debug, Clone)]
pub struct Described {
    pub database: String,
    pub schema: String,
    pub name: String,
    /// The statement that makes a view again.
    pub view: Option<String>,
    /// What there is to say beside its columns, a line each: how a table's rows lie, its constraints, comments.
    pub notes: Vec<String>,
}

pub(super) async fn described(running: &Running<'_>, name: &ObjectName) -> Result<Described> {
    let Found { database, schema, name: base } = find(running, name).await?;
    let mut described = Described { database, schema, name: base, view: None, notes: Vec::new() };
    if running.session.is_foreign(name, &running.pin) {
        let provider = provider(running, name).await?;
        described.view = provider
            .filter(|table| table.table_type() == TableType::View)
            .and_then(|table| table.get_table_definition().map(|text| format!("{text};")));
        return Ok(described);
    }
    let Ok(place) = running.place(name).await else { return Ok(described) };
    let pin = running.pins.pin(&place.warehouse).await?;
    let snapshot: &Snapshot = &pin;
    let (id, columns): (TableId, Vec<(ColumnId, String)>) = match place.relation(snapshot, name) {
        Ok(Relation::Table(table)) => {
            described.notes = table_notes(snapshot, table);
            (table.def.id, table.def.columns.iter().map(|c| (c.id, c.name.clone())).collect())
        }
        Ok(Relation::View(view)) => {
            described.view = Some(format!("{};", views::definition(&described.schema, view)));
            (view.id, (1..).map(ColumnId).zip(view.columns.iter().cloned()).collect())
        }
        // A system table, or one of a catalog that the application registered.
        Err(_) => return Ok(described),
    };
    if let Some(comment) = snapshot.comment(CommentOn::Relation(id)) {
        described.notes.push(format!("Comment: {comment}"));
    }
    for (column, name) in columns {
        if let Some(comment) = snapshot.comment(CommentOn::Column(id, column)) {
            described.notes.push(format!("Comment on {}: {comment}", quote_ident(&name)));
        }
    }
    Ok(described)
}

/// How a table's rows lie, and what it declares of them.
fn table_notes(snapshot: &Snapshot, table: &TableState) -> Vec<String> {
    let def = &table.def;
    let list = |def: &TableDef, ids: &[ColumnId]| {
        let names = ids.iter().filter_map(|id| def.column(*id)).map(|c| quote_ident(&c.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let mut notes = vec![format!("DISTSTYLE: {}", diststyle(table))];
    let key = def.sort.as_ref().map(|key| {
        let style = if key.style == SortStyle::Interleaved { "INTERLEAVED " } else { "" };
        format!("{style}({})", list(def, &key.columns))
    });
    notes.push(match (key, def.sort_auto) {
        (Some(key), true) => format!("SORTKEY: AUTO{key}"),
        (Some(key), false) => format!("SORTKEY: {key}"),
        (None, true) => "SORTKEY: AUTO".to_string(),
        (None, false) => "SORTKEY: none".to_string(),
    });
    for (constraint, name) in def.constraints.iter().zip(def.constraint_names()) {
        let columns = list(def, &constraint.columns);
        let (kind, of) = match &constraint.kind {
            ConstraintKind::PrimaryKey => ("PRIMARY KEY", String::new()),
            ConstraintKind::Unique => ("UNIQUE", String::new()),
            ConstraintKind::ForeignKey { table, referenced } => {
                let parent = snapshot.table(*table).map(|parent| &parent.def);
                let of = parent.map(|parent| {
                    let schema = snapshot.schemas.get(&parent.schema).map_or("", |schema| schema.name.as_str());
                    let (schema, table) = (quote_ident(schema), quote_ident(&parent.name));
                    format!(" REFERENCES {schema}.{table} ({})", list(parent, referenced))
                });
                ("FOREIGN KEY", of.unwrap_or_default())
            }
        };
        let state = match constraint.state {
            ConstraintState::NoRely => "",
            ConstraintState::Rely => " RELY",
            ConstraintState::Verified { .. } => " VERIFIED",
        };
        notes.push(format!("{kind} {}: ({columns}){of}{state}", quote_ident(&name)));
    }
    notes
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
