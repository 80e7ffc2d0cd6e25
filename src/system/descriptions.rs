//! pg_description: what COMMENT said.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::SystemContext;
use crate::catalog::{CommentOn, Snapshot};
use crate::common::TableId;

/// PostgreSQL's numbers of the catalogs that hold relations, schemas and databases.
const PG_CLASS: i32 = 1259;
const PG_NAMESPACE: i32 = 2615;
const PG_DATABASE: i32 = 1262;

pub(super) fn schema() -> Schema {
    let int = |name: &str| Field::new(name, DataType::Int32, false);
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        int("objoid"),
        int("classoid"),
        int("objsubid"),
        text("description", false),
        text("object_type", false),
        text("schema_name", true),
        text("object_name", false),
        text("column_name", true),
    ])
}

#[derive(Default)]
struct Row {
    object: u32,
    class: i32,
    column: u32,
    kind: &'static str,
    schema: Option<String>,
    name: String,
    column_name: Option<String>,
}

/// One row a comment. The columns from `object_type` on are our own.
pub(super) fn columns(context: &SystemContext) -> Vec<ArrayRef> {
    let snapshot = &context.snapshot;
    let rows: Vec<(Row, &String)> =
        snapshot.comments.iter().filter_map(|(on, text)| Some((row(snapshot, *on)?, text))).collect();
    let int = |value: &dyn Fn(&Row) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(row, _)| value(row))))
    };
    let text = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|(row, _)| value(row)).collect::<StringArray>())
    };
    vec![
        int(&|r| r.object as i32),
        int(&|r| r.class),
        int(&|r| r.column as i32),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, text)| text))),
        text(&|r| Some(r.kind.into())),
        text(&|r| r.schema.clone()),
        text(&|r| Some(r.name.clone())),
        text(&|r| r.column_name.clone()),
    ]
}

/// What a comment is about; `None` of what does not exist, of which there are no comments.
fn row(snapshot: &Snapshot, on: CommentOn) -> Option<Row> {
    Some(match on {
        CommentOn::Database => {
            Row { class: PG_DATABASE, kind: "database", name: snapshot.info.name.clone(), ..Row::default() }
        }
        CommentOn::Schema(id) => {
            let name = snapshot.schemas.get(&id)?.name.clone();
            Row { object: id.0, class: PG_NAMESPACE, kind: "schema", name, ..Row::default() }
        }
        CommentOn::Relation(id) => relation(snapshot, id)?,
        CommentOn::Column(id, column) => {
            let column_name = match (snapshot.table(id), snapshot.view(id)) {
                (Some(table), _) => table.def.column(column)?.name.clone(),
                (None, Some(view)) => view.columns.get((column.0 as usize).checked_sub(1)?)?.clone(),
                (None, None) => return None,
            };
            let relation = relation(snapshot, id)?;
            Row { column: column.0, kind: "column", column_name: Some(column_name), ..relation }
        }
    })
}

fn relation(snapshot: &Snapshot, id: TableId) -> Option<Row> {
    let (kind, schema, name) = match (snapshot.table(id), snapshot.view(id)) {
        (Some(table), _) => ("table", table.def.schema, &table.def.name),
        (None, Some(view)) => ("view", view.schema, &view.name),
        (None, None) => return None,
    };
    let schema = snapshot.schemas.get(&schema).map(|s| s.name.clone());
    Some(Row { object: id.0, class: PG_CLASS, kind, schema, name: name.clone(), ..Row::default() })
}
