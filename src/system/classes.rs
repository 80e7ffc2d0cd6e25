//! pg_class and its kin: relations, schemas, columns and types as PostgreSQL's clients look them up.
//!
//! Numbers are those of tables, views and schemas everywhere else (`table_id`, `tbl`, `conrelid`, `objoid`); those of
//! temporary ones stand above all others. System tables, and tables that no warehouse holds, have no number and are not
//! shown: `svv_tables` and `information_schema` have them. Of PostgreSQL's columns those are left out that say how PostgreSQL
//! stores things.

use std::collections::HashMap;

use super::context::{Home, RelationColumn, SystemContext};
use super::grid::Grid;
use super::slices::dist_code;
use crate::catalog::{ColumnDef, ConstraintKind, EffectiveDist, TableState, ViewDef};
use crate::common::{DistStyle, EncodingName, SqlType};

/// The schemas that are no warehouse's, above the numbers of all that are.
const PG_CATALOG: i32 = 2_000_000_011;
const INFORMATION_SCHEMA: i32 = 2_000_000_012;

/// A table or view.
pub(super) struct Class {
    oid: i32,
    name: String,
    schema: i32,
    owner: i32,
    kind: &'static str,
    pages: i32,
    rows: f32,
    columns: i16,
    primary_key: bool,
    foreign_keys: i16,
    unique_keys: i16,
    dist: i32,
    effective_dist: i32,
    created_us: i64,
}

/// `relkind` is `r` or `v`, `reltuples` counts rows that are not deleted, `relpages` MiB that are stored, and
/// `reldiststyle` is Redshift's code: 0 EVEN, 1 KEY, 8 ALL, 9 AUTO.
pub(super) fn pg_class(context: Option<&SystemContext>) -> Grid<Class> {
    classes(context)
        .small("relchecks", |_| 0)
        .small("relukeys", |c| c.unique_keys)
        .small("relfkeys", |c| c.foreign_keys)
        .truth("relhaspkey", |c| c.primary_key)
        .truth("relhasrules", |c| c.kind == "v")
        .nothing("relacl")
        .int("reldiststyle", |c| c.dist)
}

/// The same with what AUTO amounts to: `releffectivediststyle` is 10 for AUTO(ALL), 11 for AUTO(EVEN), 12 for AUTO(KEY).
pub(super) fn pg_class_info(context: Option<&SystemContext>) -> Grid<Class> {
    pg_class(context).int("releffectivediststyle", |c| c.effective_dist).time("relcreationtime", |c| c.created_us)
}

fn classes(context: Option<&SystemContext>) -> Grid<Class> {
    let mut rows = Vec::new();
    for home in context.into_iter().flat_map(SystemContext::homes) {
        rows.extend(home.snapshot.tables.values().map(|state| table(home, state)));
        rows.extend(home.snapshot.views.values().map(|def| view(home, def)));
    }
    Grid::of(rows)
        .int("oid", |c| c.oid)
        .word("relname", |c| c.name.clone())
        .int("relnamespace", |c| c.schema)
        .int("reltype", |_| 0)
        .int("relowner", |c| c.owner)
        .int("relam", |_| 0)
        .int("relfilenode", |c| c.oid)
        .int("reltablespace", |_| 0)
        .int("relpages", |c| c.pages)
        .real("reltuples", |c| c.rows)
        .truth("relhasindex", |_| false)
        .truth("relisshared", |_| false)
        .word("relkind", |c| c.kind.into())
        .small("relnatts", |c| c.columns)
}

fn table(home: &Home, state: &TableState) -> Class {
    let def = &state.def;
    let bytes: u64 = state.segments.iter().flat_map(|s| &s.columns).map(|c| c.bytes).sum();
    let count = |wanted: fn(&ConstraintKind) -> bool| def.constraints.iter().filter(|c| wanted(&c.kind)).count() as i16;
    let dist = match (def.dist, def.effective_dist) {
        (DistStyle::Auto, _) => 9,
        (_, EffectiveDist::Even) => 0,
        (_, EffectiveDist::Key(_)) => 1,
        (_, EffectiveDist::All) => 8,
    };
    Class {
        oid: home.oid(def.id),
        name: def.name.clone(),
        schema: home.schema_oid(def.schema),
        owner: def.owner.0 as i32,
        kind: "r",
        pages: i32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(i32::MAX),
        rows: state.live_rows() as f32,
        columns: def.columns.len() as i16,
        primary_key: def.primary_key().is_some(),
        foreign_keys: count(|kind| matches!(kind, ConstraintKind::ForeignKey { .. })),
        unique_keys: count(|kind| *kind == ConstraintKind::Unique),
        dist,
        effective_dist: dist_code(state),
        created_us: def.created_us,
    }
}

/// A late-binding view has the columns that its CREATE VIEW named.
fn view(home: &Home, def: &ViewDef) -> Class {
    Class {
        oid: home.oid(def.id),
        name: def.name.clone(),
        schema: home.schema_oid(def.schema),
        owner: def.owner.0 as i32,
        kind: "v",
        pages: 0,
        rows: 0.0,
        columns: def.columns.len() as i16,
        primary_key: false,
        foreign_keys: 0,
        unique_keys: 0,
        dist: 0,
        effective_dist: 0,
        created_us: def.created_us,
    }
}

pub(super) struct Namespace {
    oid: i32,
    name: String,
    owner: i32,
}

/// The schemas of the session's database, its temporary one, pg_catalog and information_schema.
pub(super) fn pg_namespace(context: Option<&SystemContext>) -> Grid<Namespace> {
    let mut rows = Vec::new();
    for home in context.into_iter().flat_map(SystemContext::homes) {
        rows.extend(home.snapshot.schemas.values().map(|schema| Namespace {
            oid: home.schema_oid(schema.id),
            name: schema.name.clone(),
            owner: schema.owner.0 as i32,
        }));
    }
    let system = [(PG_CATALOG, super::SCHEMA), (INFORMATION_SCHEMA, super::INFORMATION_SCHEMA)];
    rows.extend(system.map(|(oid, name)| Namespace { oid, name: name.into(), owner: 1 }));
    Grid::of(rows)
        .int("oid", |n| n.oid)
        .word("nspname", |n| n.name.clone())
        .int("nspowner", |n| n.owner)
        .nothing("nspacl")
}

/// A column of a table or view.
pub(super) struct Attribute {
    relation: i32,
    number: i16,
    column: RelationColumn,
    default: Option<String>,
    distkey: bool,
    sortkey: i32,
    encoding: EncodingName,
}

/// `attnum` counts from 1; `atttypid` and `atttypmod` are PostgreSQL's and Redshift's for the type. `attsortkeyord` is
/// `sortkey` of pg_table_def, and `attencodingtype` a number of our own for the declared encoding, -1 for AUTO and 0 for
/// RAW: `format_encoding` tells its name.
pub(super) fn pg_attribute(context: Option<&SystemContext>) -> Grid<Attribute> {
    Grid::of(attributes(context))
        .int("attrelid", |a| a.relation)
        .word("attname", |a| a.column.name.clone())
        .int("atttypid", |a| type_oid(a.column.sql_type))
        .int("attstattarget", |_| -1)
        .small("attlen", |a| type_length(a.column.sql_type))
        .small("attnum", |a| a.number)
        .int("attndims", |_| 0)
        .int("atttypmod", |a| type_modifier(&a.column))
        .truth("attnotnull", |a| !a.column.nullable)
        .truth("atthasdef", |a| a.default.is_some())
        .truth("attisdropped", |_| false)
        .truth("attislocal", |_| true)
        .int("attinhcount", |_| 0)
        .truth("attisdistkey", |a| a.distkey)
        .int("attsortkeyord", |a| a.sortkey)
        .small("attencodingtype", |a| a.encoding.number())
}

/// `adsrc` is the DEFAULT as it was written, or an identity's seed and step in Redshift's words; `adbin` is the same.
pub(super) fn pg_attrdef(context: Option<&SystemContext>) -> Grid<Attribute> {
    let rows = attributes(context).into_iter().filter(|a| a.default.is_some()).collect();
    Grid::of(rows)
        .int("adrelid", |a| a.relation)
        .small("adnum", |a| a.number)
        .text("adbin", |a| a.default.clone())
        .text("adsrc", |a| a.default.clone())
}

fn attributes(context: Option<&SystemContext>) -> Vec<Attribute> {
    let Some(context) = context else { return Vec::new() };
    let defs = context.homes().flat_map(|home| home.snapshot.tables.values().map(|t| (home.oid(t.def.id), &t.def)));
    let defs: HashMap<i32, _> = defs.collect();
    let mut rows = Vec::new();
    for (_, _, relation) in context.relations() {
        let Some(oid) = relation.oid else { continue };
        for (column, number) in relation.columns.iter().zip(1..) {
            let def = defs.get(&oid).copied();
            let stored: Option<&ColumnDef> = def.and_then(|def| def.columns.get(number as usize - 1));
            rows.push(Attribute {
                relation: oid,
                number,
                column: column.clone(),
                default: column.default.clone(),
                distkey: def.zip(stored).is_some_and(|(def, c)| def.effective_dist == EffectiveDist::Key(c.id)),
                sortkey: def.zip(stored).map_or(0, |(def, c)| super::columns::sort_position(def, c)),
                encoding: stored.map_or(EncodingName::Raw, |c| c.encoding),
            });
        }
    }
    rows.sort_by_key(|a| (a.relation, a.number));
    rows
}

pub(super) struct Type {
    oid: i32,
    name: &'static str,
    length: i16,
    category: &'static str,
}

/// The types that columns have. Numbers and names are PostgreSQL's, those of SUPER and VARBYTE Redshift's.
pub(super) fn pg_type() -> Grid<Type> {
    let rows = ALL_TYPES.into_iter().map(|sql_type| {
        let (oid, name) = type_entry(Some(sql_type));
        let category = match sql_type {
            SqlType::Boolean => "B",
            SqlType::Char(_) | SqlType::Varchar(_) => "S",
            SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => "D",
            SqlType::Varbyte(_) | SqlType::Super => "U",
            _ => "N",
        };
        Type { oid, name, length: type_length(Some(sql_type)), category }
    });
    let (oid, name) = type_entry(None);
    let unknown = Type { oid, name, length: -1, category: "X" };
    Grid::of(rows.chain([unknown]).collect())
        .int("oid", |t| t.oid)
        .word("typname", |t| t.name.into())
        .int("typnamespace", |_| PG_CATALOG)
        .int("typowner", |_| 1)
        .small("typlen", |t| t.length)
        .word("typtype", |_| "b".into())
        .word("typcategory", |t| t.category.into())
        .truth("typisdefined", |_| true)
        .word("typdelim", |_| ",".into())
        .int("typrelid", |_| 0)
        .int("typelem", |_| 0)
        .truth("typnotnull", |_| false)
        .int("typbasetype", |_| 0)
        .int("typtypmod", |_| -1)
}

/// One of each.
const ALL_TYPES: [SqlType; 15] = [
    SqlType::Boolean,
    SqlType::BigInt,
    SqlType::SmallInt,
    SqlType::Integer,
    SqlType::Real,
    SqlType::Double,
    SqlType::Char(1),
    SqlType::Varchar(1),
    SqlType::Date,
    SqlType::Time,
    SqlType::Timestamp,
    SqlType::TimestampTz,
    SqlType::Decimal { precision: 18, scale: 0 },
    SqlType::Super,
    SqlType::Varbyte(1),
];

fn type_entry(sql_type: Option<SqlType>) -> (i32, &'static str) {
    match sql_type {
        Some(SqlType::Boolean) => (16, "bool"),
        Some(SqlType::BigInt) => (20, "int8"),
        Some(SqlType::SmallInt) => (21, "int2"),
        Some(SqlType::Integer) => (23, "int4"),
        Some(SqlType::Real) => (700, "float4"),
        Some(SqlType::Double) => (701, "float8"),
        Some(SqlType::Char(_)) => (1042, "bpchar"),
        Some(SqlType::Varchar(_)) => (1043, "varchar"),
        Some(SqlType::Date) => (1082, "date"),
        Some(SqlType::Time) => (1083, "time"),
        Some(SqlType::Timestamp) => (1114, "timestamp"),
        Some(SqlType::TimestampTz) => (1184, "timestamptz"),
        Some(SqlType::Decimal { .. }) => (1700, "numeric"),
        Some(SqlType::Super) => (4000, "super"),
        Some(SqlType::Varbyte(_)) => (6551, "varbyte"),
        None => (705, "unknown"),
    }
}

fn type_oid(sql_type: Option<SqlType>) -> i32 {
    type_entry(sql_type).0
}

/// Bytes of a value, -1 where they vary.
fn type_length(sql_type: Option<SqlType>) -> i16 {
    match sql_type {
        Some(SqlType::Boolean) => 1,
        Some(SqlType::SmallInt) => 2,
        Some(SqlType::Integer | SqlType::Real | SqlType::Date) => 4,
        Some(SqlType::BigInt | SqlType::Double | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz) => 8,
        _ => -1,
    }
}

/// PostgreSQL's: 4 more than the length, or than precision and scale in 16 bits each.
fn type_modifier(column: &RelationColumn) -> i32 {
    match column.sql_type {
        Some(SqlType::Decimal { precision, scale }) => ((i32::from(precision) << 16) | i32::from(scale)) + 4,
        _ => column.length.map_or(-1, |bytes| bytes as i32 + 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_there_once() {
        let mut oids: Vec<i32> = ALL_TYPES.into_iter().map(|t| type_oid(Some(t))).collect();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), ALL_TYPES.len());
    }
}
