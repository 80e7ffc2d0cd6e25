//! svv_tables, svv_columns and their kin: what there is in all databases, and pg_tables and pg_views of the session's own.
//!
//! A database is the session's own, one that ATTACH named, or a catalog that the application registered. Privileges do not
//! exist yet: columns that would tell them are NULL.

use super::columns::shown_columns;
use super::context::{Database, Listed, Relation, RelationColumn, RelationKind, SystemContext};
use super::grid::Grid;
use crate::common::Result;

/// A relation with where it is.
pub(super) struct Row {
    database: String,
    schema: String,
    relation: Relation,
    owner: String,
}

fn rows(context: Option<&SystemContext>, wanted: impl Fn(&Database, &Relation) -> bool) -> Vec<Row> {
    let Some(context) = context else { return Vec::new() };
    let found = context.relations().filter(|(database, _, relation)| wanted(database, relation));
    let row = |(database, schema, relation): (&Database, &Listed, &Relation)| Row {
        database: database.name.clone(),
        schema: schema.name.clone(),
        owner: schema.owner.or(database.owner).map(|id| context.user(id)).unwrap_or_default(),
        relation: relation.clone(),
    };
    found.map(row).collect()
}

/// As the standard's `information_schema` has it.
pub(super) fn table_type(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Table => "BASE TABLE",
        RelationKind::Temporary => "LOCAL TEMPORARY",
        RelationKind::View | RelationKind::System => "VIEW",
        RelationKind::External => "EXTERNAL TABLE",
    }
}

pub(super) fn svv_tables(context: Option<&SystemContext>) -> Grid<Row> {
    Grid::of(rows(context, |_, _| true))
        .word("table_catalog", |r| r.database.clone())
        .word("table_schema", |r| r.schema.clone())
        .word("table_name", |r| r.relation.name.clone())
        .word("table_type", |r| match r.relation.kind {
            RelationKind::Temporary => "BASE TABLE".into(),
            kind => table_type(kind).into(),
        })
        .text("remarks", |r| r.relation.remarks.clone())
}

/// `TABLE`, `VIEW` or `EXTERNAL TABLE`.
fn short_type(kind: RelationKind) -> String {
    match kind {
        RelationKind::Table | RelationKind::Temporary => "TABLE".into(),
        other => table_type(other).into(),
    }
}

pub(super) fn svv_all_tables(context: Option<&SystemContext>) -> Grid<Row> {
    Grid::of(rows(context, |_, _| true))
        .word("database_name", |r| r.database.clone())
        .word("schema_name", |r| r.schema.clone())
        .word("table_name", |r| r.relation.name.clone())
        .nothing("table_acl")
        .word("table_type", |r| short_type(r.relation.kind))
        .text("remarks", |r| r.relation.remarks.clone())
}

/// Those of warehouses.
pub(super) fn svv_redshift_tables(context: Option<&SystemContext>) -> Grid<Row> {
    Grid::of(rows(context, |database, relation| database.local && relation.kind != RelationKind::External))
        .word("database_name", |r| r.database.clone())
        .word("schema_name", |r| r.schema.clone())
        .word("table_name", |r| r.relation.name.clone())
        .word("table_type", |r| short_type(r.relation.kind))
        .nothing("table_acl")
        .text("remarks", |r| r.relation.remarks.clone())
        .word("table_owner", |r| r.owner.clone())
}

/// A column with where it is; `number` counts from 1.
pub(super) struct ColumnRow {
    pub database: String,
    pub schema: String,
    pub table: String,
    oid: Option<i32>,
    pub number: i32,
    pub column: RelationColumn,
    encoding: Option<&'static str>,
    distkey: bool,
    sortkey: i32,
}

pub(super) fn column_rows(
    context: Option<&SystemContext>,
    wanted: impl Fn(&Database, &Relation) -> bool,
) -> Vec<ColumnRow> {
    let Some(context) = context else { return Vec::new() };
    let relations = context.relations().filter(|(database, _, relation)| wanted(database, relation));
    let columns = relations.flat_map(|(database, schema, relation)| {
        relation.columns.iter().zip(1..).map(move |(column, number)| ColumnRow {
            database: database.name.clone(),
            schema: schema.name.clone(),
            table: relation.name.clone(),
            oid: relation.oid,
            number,
            column: column.clone(),
            encoding: None,
            distkey: false,
            sortkey: 0,
        })
    });
    columns.collect()
}

pub(super) fn yes_or_no(yes: bool) -> String {
    if yes { "YES".into() } else { "NO".into() }
}

pub(super) fn svv_columns(context: Option<&SystemContext>) -> Grid<ColumnRow> {
    Grid::of(column_rows(context, |_, _| true))
        .word("table_catalog", |r| r.database.clone())
        .word("table_schema", |r| r.schema.clone())
        .word("table_name", |r| r.table.clone())
        .word("column_name", |r| r.column.name.clone())
        .int("ordinal_position", |r| r.number)
        .text("column_default", |r| r.column.default.clone())
        .word("is_nullable", |r| yes_or_no(r.column.nullable))
        .word("data_type", |r| r.column.data_type())
        .some_int("character_maximum_length", |r| r.column.length.map(|bytes| bytes as i32))
        .some_int("numeric_precision", |r| r.column.precision().map(|(precision, ..)| precision))
        .some_int("numeric_precision_radix", |r| r.column.precision().map(|(_, radix, _)| radix))
        .some_int("numeric_scale", |r| r.column.precision().and_then(|(.., scale)| scale))
        .some_int("datetime_precision", |r| r.column.fraction())
        .nothing("interval_type")
        .nothing("interval_precision")
        .nothing("character_set_catalog")
        .nothing("character_set_schema")
        .nothing("character_set_name")
        .nothing("collation_catalog")
        .nothing("collation_schema")
        .nothing("collation_name")
        .nothing("domain_name")
        .text("remarks", |r| r.column.remarks.clone())
}

pub(super) fn svv_all_columns(context: Option<&SystemContext>) -> Grid<ColumnRow> {
    Grid::of(column_rows(context, |_, _| true))
        .word("database_name", |r| r.database.clone())
        .word("schema_name", |r| r.schema.clone())
        .word("table_name", |r| r.table.clone())
        .word("column_name", |r| r.column.name.clone())
        .int("ordinal_position", |r| r.number)
        .text("column_default", |r| r.column.default.clone())
        .word("is_nullable", |r| yes_or_no(r.column.nullable))
        .word("data_type", |r| r.column.data_type())
        .some_int("character_maximum_length", |r| r.column.length.map(|bytes| bytes as i32))
        .some_int("numeric_precision", |r| r.column.precision().map(|(precision, ..)| precision))
        .some_int("numeric_scale", |r| r.column.precision().and_then(|(.., scale)| scale))
        .text("remarks", |r| r.column.remarks.clone())
}

/// The columns of warehouses' tables. `encoding` and keys are those of pg_table_def, of the session's own database only.
pub(super) async fn redshift_column_rows(context: &SystemContext) -> Result<Vec<ColumnRow>> {
    let mut rows =
        column_rows(Some(context), |database, relation| database.local && relation.kind != RelationKind::External);
    for (home, state) in context.tables() {
        let oid = home.oid(state.def.id);
        let shown = shown_columns(state, &home.segments).await?;
        for row in rows.iter_mut().filter(|row| row.oid == Some(oid)) {
            if let Some(shown) = shown.get(row.number as usize - 1) {
                row.encoding = Some(shown.encoding);
                row.distkey = shown.distkey;
                row.sortkey = shown.sortkey;
            }
        }
    }
    Ok(rows)
}

pub(super) fn svv_redshift_columns(rows: Vec<ColumnRow>) -> Grid<ColumnRow> {
    Grid::of(rows)
        .word("database_name", |r| r.database.clone())
        .word("schema_name", |r| r.schema.clone())
        .word("table_name", |r| r.table.clone())
        .word("column_name", |r| r.column.name.clone())
        .int("ordinal_position", |r| r.number)
        .word("data_type", |r| r.column.type_name.clone())
        .text("column_default", |r| r.column.default.clone())
        .word("is_nullable", |r| yes_or_no(r.column.nullable))
        .text("encoding", |r| r.encoding.map(Into::into))
        .truth("distkey", |r| r.distkey)
        .int("sortkey", |r| r.sortkey)
        .nothing("column_acl")
        .text("remarks", |r| r.column.remarks.clone())
}

pub(super) struct SchemaRow {
    database: String,
    schema: String,
    owner: i32,
    local: bool,
}

fn schema_rows(context: Option<&SystemContext>) -> Vec<SchemaRow> {
    let databases = context.into_iter().flat_map(|context| &context.databases);
    let rows = databases.flat_map(|database| {
        database.schemas.iter().map(|schema| SchemaRow {
            database: database.name.clone(),
            schema: schema.name.clone(),
            owner: schema.owner.or(database.owner).unwrap_or(1),
            local: database.local,
        })
    });
    rows.collect()
}

/// Schemas of warehouses are `local`, others `external`.
pub(super) fn svv_all_schemas(context: Option<&SystemContext>) -> Grid<SchemaRow> {
    Grid::of(schema_rows(context))
        .word("database_name", |r| r.database.clone())
        .word("schema_name", |r| r.schema.clone())
        .int("schema_owner", |r| r.owner)
        .word("schema_type", |r| if r.local { "local".into() } else { "external".into() })
        .nothing("schema_acl")
        .nothing("source_database")
        .nothing("schema_option")
}

pub(super) fn svv_redshift_schemas(context: Option<&SystemContext>) -> Grid<SchemaRow> {
    Grid::of(schema_rows(context).into_iter().filter(|row| row.local).collect())
        .word("database_name", |r| r.database.clone())
        .word("schema_name", |r| r.schema.clone())
        .int("schema_owner", |r| r.owner)
        .word("schema_type", |_| "local".into())
        .nothing("schema_acl")
        .nothing("schema_option")
}

/// The session's own database, and what is attached. `database_type` is `local` for a warehouse, else `external`; each
/// statement reads one version, which is `Snapshot Isolation`.
pub(super) fn svv_redshift_databases(context: Option<&SystemContext>) -> Grid<Database> {
    let databases = context.into_iter().flat_map(|context| context.databases.clone());
    Grid::of(databases.collect())
        .word("database_name", |d| d.name.clone())
        .int("database_owner", |d| d.owner.unwrap_or(1))
        .word("database_type", |d| if d.local { "local".into() } else { "external".into() })
        .nothing("database_acl")
        .nothing("database_options")
        .text("database_isolation_level", |d| d.local.then(|| "Snapshot Isolation".into()))
}

pub(super) fn pg_tables(context: Option<&SystemContext>) -> Grid<Row> {
    let own = context.map(|context| context.database.clone());
    let tables = |database: &Database, relation: &Relation| {
        own.as_ref() == Some(&database.name) && matches!(relation.kind, RelationKind::Table | RelationKind::Temporary)
    };
    Grid::of(rows(context, tables))
        .word("schemaname", |r| r.schema.clone())
        .word("tablename", |r| r.relation.name.clone())
        .word("tableowner", |r| r.owner.clone())
        .nothing("tablespace")
        .truth("hasindexes", |_| false)
        .truth("hasrules", |_| false)
        .truth("hastriggers", |_| false)
}

/// `definition` is the view's query; of a late-binding view it is the statement that made it, as in Redshift.
pub(super) fn pg_views(context: Option<&SystemContext>) -> Grid<Row> {
    let own = context.map(|context| context.database.clone());
    let views = |database: &Database, relation: &Relation| {
        own.as_ref() == Some(&database.name) && relation.kind == RelationKind::View
    };
    Grid::of(rows(context, views))
        .word("schemaname", |r| r.schema.clone())
        .word("viewname", |r| r.relation.name.clone())
        .word("viewowner", |r| r.owner.clone())
        .text("definition", |r| r.relation.query.clone().or_else(|| r.relation.definition.clone()))
}
