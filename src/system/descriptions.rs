//! pg_description: what COMMENT said.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::{Home, SystemContext};
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
    object: i32,
    class: i32,
    column: i32,
    kind: &'static str,
    schema: Option<String>,
    name: String,
    column_name: Option<String>,
}

/// One row a comment; `objsubid` is a column's place, from 1, as `attnum`. The columns from `object_type` on are our own.
pub(super) fn columns(context: &SystemContext) -> Vec<ArrayRef> {
    let rows: Vec<(Row, &String)> = context
        .homes()
        .flat_map(|home| home.snapshot.comments.iter().map(move |(on, text)| (home, on, text)))
        .filter_map(|(home, on, text)| Some((row(home, *on)?, text)))
        .collect();
    let int = |value: &dyn Fn(&Row) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(row, _)| value(row))))
    };
    let text = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|(row, _)| value(row)).collect::<StringArray>())
    };
    vec![
        int(&|r| r.object),
        int(&|r| r.class),
        int(&|r| r.column),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, text)| text))),
        text(&|r| Some(r.kind.into())),
        text(&|r| r.schema.clone()),
        text(&|r| Some(r.name.clone())),
        text(&|r| r.column_name.clone()),
    ]
}

/// What a comment is about; `None` of what does not exist, of which there are no comments.
fn row(home: &Home, on: CommentOn) -> Option<Row> {
    let snapshot: &Snapshot = &home.snapshot;
    Some(match on {
        CommentOn::Database => {
            Row { class: PG_DATABASE, kind: "database", name: snapshot.info.name.clone(), ..Row::default() }
        }
        CommentOn::Schema(id) => {
            let name = snapshot.schemas.get(&id)?.name.clone();
            Row { object: home.schema_oid(id), class: PG_NAMESPACE, kind: "schema", name, ..Row::default() }
        }
        CommentOn::Relation(id) => relation(home, id)?,
        CommentOn::Column(id, column) => {
            let (at, column_name) = match (snapshot.table(id), snapshot.view(id)) {
                (Some(table), _) => {
                    let at = table.def.columns.iter().position(|c| c.id == column)?;
                    (at, table.def.columns[at].name.clone())
                }
                (None, Some(view)) => {
                    let at = (column.0 as usize).checked_sub(1)?;
                    (at, view.columns.get(at)?.clone())
                }
                (None, None) => return None,
            };
            let relation = relation(home, id)?;
            Row { column: at as i32 + 1, kind: "column", column_name: Some(column_name), ..relation }
        }
    })
}

fn relation(home: &Home, id: TableId) -> Option<Row> {
    let snapshot: &Snapshot = &home.snapshot;
    let (kind, schema, name) = match (snapshot.table(id), snapshot.view(id)) {
        (Some(table), _) => ("table", table.def.schema, &table.def.name),
        (None, Some(view)) => ("view", view.schema, &view.name),
        (None, None) => return None,
    };
    let schema = snapshot.schemas.get(&schema).map(|s| s.name.clone());
    Some(Row { object: home.oid(id), class: PG_CLASS, kind, schema, name: name.clone(), ..Row::default() })
}
