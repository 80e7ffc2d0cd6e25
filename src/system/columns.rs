//! pg_table_def: the columns of tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::blocks::{Block, blocks_of};
use super::{CatalogSchema, Home, SystemContext, tables_of};
use crate::catalog::{ColumnDef, EffectiveDist, TableDef, TableState};
use crate::common::{EncodingName, Result, SortStyle, SqlType};
use crate::storage::segment::SegmentStore;

pub(super) fn schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Schema::new(vec![
        text("schemaname"),
        text("tablename"),
        text("column"),
        text("type"),
        text("encoding"),
        Field::new("distkey", DataType::Boolean, false),
        Field::new("sortkey", DataType::Int32, false),
        Field::new("notnull", DataType::Boolean, false),
    ])
}

/// The encoding shown for a column: the declared one (`none` for RAW); for AUTO the one that most of its values are
/// stored in, `auto` while there are none.
pub(super) fn shown_encoding(column: &ColumnDef, ordinal: usize, blocks: &[Block]) -> &'static str {
    match column.encoding {
        EncodingName::Raw => "none",
        EncodingName::Auto => {
            let mut values: BTreeMap<&'static str, u64> = BTreeMap::new();
            for block in blocks.iter().filter(|b| b.column == ordinal) {
                *values.entry(block.encoding).or_default() += block.bounds.rows;
            }
            values.into_iter().max_by_key(|(_, rows)| *rows).map_or("auto", |(encoding, _)| encoding)
        }
        declared => declared.as_str(),
    }
}

/// A column as `pg_table_def` and DESCRIBE show it.
#[derive(Debug, Clone)]
pub struct ShownColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub encoding: &'static str,
    pub distkey: bool,
    /// The position in the sort key, from 1; those of an interleaved key alternate in sign, as in Redshift. 0 for a column that
    /// is not in the key.
    pub sortkey: i32,
    pub not_null: bool,
    pub default: Option<String>,
}

/// A table's columns in their order. `distkey` also tells the key that AUTO chose.
pub async fn shown_columns(state: &TableState, segments: &SegmentStore) -> Result<Vec<ShownColumn>> {
    let def = &state.def;
    let auto = def.columns.iter().any(|c| c.encoding == EncodingName::Auto);
    let blocks = if auto { blocks_of(state, segments).await? } else { Vec::new() };
    let shown = def.columns.iter().enumerate().map(|(ordinal, column)| ShownColumn {
        name: column.name.clone(),
        sql_type: column.sql_type,
        encoding: shown_encoding(column, ordinal, &blocks),
        distkey: def.effective_dist == EffectiveDist::Key(column.id),
        sortkey: sort_position(def, column),
        not_null: !column.nullable,
        default: column.default_sql.clone(),
    });
    Ok(shown.collect())
}

/// See [`ShownColumn::sortkey`].
pub(super) fn sort_position(def: &TableDef, column: &ColumnDef) -> i32 {
    let Some(sort) = &def.sort else { return 0 };
    let Some(at) = sort.columns.iter().position(|id| *id == column.id) else { return 0 };
    let position = at as i32 + 1;
    if sort.style == SortStyle::Interleaved && position % 2 == 0 { -position } else { position }
}

/// The tables of the search path's schemas, in its order.
fn on_path(context: &SystemContext) -> impl Iterator<Item = (&Home, &CatalogSchema, &Arc<TableState>)> {
    let schemas = context.search_path.iter();
    schemas.flat_map(|schema| {
        let homes = context.homes();
        homes.flat_map(move |home| {
            tables_of(&home.snapshot, std::slice::from_ref(schema)).map(move |(schema, state)| (home, schema, state))
        })
    })
}

/// Columns of the search path's tables, the session's temporary ones included.
pub(super) async fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let (mut schemas, mut tables, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut encodings) = (Vec::new(), Vec::new());
    let (mut keys, mut sort, mut not_null) = (Vec::new(), Vec::new(), Vec::new());
    for (home, schema, state) in on_path(context) {
        for column in shown_columns(state, &home.segments).await? {
            schemas.push(schema.name.clone());
            tables.push(state.def.name.clone());
            names.push(column.name);
            types.push(column.sql_type.to_string());
            encodings.push(column.encoding);
            keys.push(column.distkey);
            sort.push(column.sortkey);
            not_null.push(column.not_null);
        }
    }
    Ok(vec![
        Arc::new(StringArray::from(schemas)),
        Arc::new(StringArray::from(tables)),
        Arc::new(StringArray::from(names)),
        Arc::new(StringArray::from(types)),
        Arc::new(StringArray::from(encodings)),
        Arc::new(BooleanArray::from(keys)),
        Arc::new(Int32Array::from(sort)),
        Arc::new(BooleanArray::from(not_null)),
    ])
}
