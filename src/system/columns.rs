//! pg_table_def: the columns of tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::SystemContext;
use super::blocks::{Block, blocks_of};
use crate::catalog::{ColumnDef, EffectiveDist, TableDef};
use crate::common::{EncodingName, Result, SortStyle};

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

/// The column's position in the sort key, from 1; those of an interleaved key alternate in sign, as in Redshift. 0 for
/// a column that is not in the key.
fn sort_position(def: &TableDef, column: &ColumnDef) -> i32 {
    let Some(sort) = &def.sort else { return 0 };
    let Some(at) = sort.columns.iter().position(|id| *id == column.id) else { return 0 };
    let position = at as i32 + 1;
    if sort.style == SortStyle::Interleaved && position % 2 == 0 { -position } else { position }
}

/// Tables of the search path's schemas, each column's in its order. `distkey` also tells the key that AUTO chose.
pub(super) async fn columns(context: &SystemContext) -> Result<Vec<ArrayRef>> {
    let snapshot = &context.snapshot;
    let (mut schemas, mut tables, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut encodings) = (Vec::new(), Vec::new());
    let (mut keys, mut sort, mut not_null) = (Vec::new(), Vec::new(), Vec::new());
    for schema in context.search_path.iter().filter_map(|name| snapshot.schema_named(name)) {
        for state in snapshot.table_names(schema.id).filter_map(|(_, id)| snapshot.table(id)) {
            let def = &state.def;
            let auto = def.columns.iter().any(|c| c.encoding == EncodingName::Auto);
            let blocks = if auto { blocks_of(state, &context.segments).await? } else { Vec::new() };
            for (ordinal, column) in def.columns.iter().enumerate() {
                schemas.push(schema.name.clone());
                tables.push(def.name.clone());
                names.push(column.name.clone());
                types.push(column.sql_type.to_string());
                encodings.push(shown_encoding(column, ordinal, &blocks));
                keys.push(def.effective_dist == EffectiveDist::Key(column.id));
                sort.push(sort_position(def, column));
                not_null.push(!column.nullable);
            }
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
