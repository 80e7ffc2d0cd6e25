//! CREATE and DROP of tables and schemas.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::{Expr, Query};

use super::constraints::{Parents, constraints};
use super::ctas::{fill_layout, ordered_by};
use super::error::from_datafusion;
use super::load::Load;
use super::names::{self, Place, at};
use super::output::Output;
use super::running::Running;
use super::temporary_views::{self, Source};
use super::warehouse::Warehouse;
use crate::catalog::{ColumnDef, EffectiveDist, Identity, Snapshot, TableDef, TableState, Transaction};
use crate::common::{
    ColumnId, DistStyle, EncodingName, Error, ErrorKind, Result, SchemaId, SortKey, SqlState, SqlType, TableId,
};
use crate::distribution::HASH_ID;
use crate::format::encoding;
use crate::sql::ast::{
    ColumnSpec, ConstraintState, CreateSchema, CreateTable, DistClause, DropSchema, DropTable, Ident, KeyColumn,
    ObjectName, SortClause,
};
use crate::sql::select_list::shown_name;
use crate::system::table_ddl;

const MAX_COLUMNS: usize = 1600;

pub(super) async fn create_table(running: &Running<'_>, create: CreateTable) -> Result<Output> {
    let New { place, schema, notices } = match new_table(running, &create).await? {
        Ok(new) => new,
        Err(there) => return Ok(there),
    };
    let name = create.name.base();
    if let Some(query) = &create.as_query {
        return create_table_as(running, &place, &create, query, schema, notices).await;
    }
    let def = match &create.like {
        Some(like) => {
            let of = running.place(&like.parent).await?;
            let pin = running.pins.pin(&of.warehouse).await?;
            let parent = of.table(&pin, &like.parent)?;
            check_defaults(running, &create.columns)?;
            let def = like_table(&parent.def, name, schema, like.including_defaults, running);
            with_columns(def, &create.columns, like.at)?
        }
        None => {
            check_defaults(running, &create.columns)?;
            let parents = Parents::find(running, &create, &place, schema).await?;
            plain_if_temporary(&place, &create, define(running, &create, &create.columns, schema, &parents)?)
        }
    };
    let (mut transaction, _) = running.transaction(&place.warehouse)?;
    transaction.create_table(def);
    match running.commit(&place.warehouse, transaction).await {
        Ok(_) => Ok(Output::done("CREATE TABLE", None).with_notices(notices)),
        Err(e) if made_meanwhile(&create, &e) => Ok(table_is_there(&create)),
        Err(e) => Err(at(e, name)),
    }
}

/// Makes the table of `create`, which names its columns, with rows that `load` takes. Returns their number, and notices; an
/// answer where the table is there already and may be.
pub(super) async fn create_loaded<G>(
    running: &Running<'_>,
    create: &CreateTable,
    load: impl FnOnce(Load) -> G,
) -> Result<std::result::Result<(u64, Vec<String>), Output>>
where
    G: Future<Output = Result<Load>>,
{
    let New { place, schema, mut notices } = match new_table(running, create).await? {
        Ok(new) => new,
        Err(there) => return Ok(Err(there)),
    };
    let parents = Parents::find(running, create, &place, schema).await?;
    let def = plain_if_temporary(&place, create, define(running, create, &create.columns, schema, &parents)?);
    let (mut transaction, _) = running.transaction(&place.warehouse)?;
    let empty = Load::create(&place.warehouse, def, Vec::new(), &transaction)?.in_zone(running.zone()?);
    let loaded = load(empty.of_statement(running.statement.clone(), running.prunes())).await?;
    let (rows, said) = loaded.finish(&mut transaction).await?;
    notices.extend(said);
    match running.commit(&place.warehouse, transaction).await {
        Ok(_) => Ok(Ok((rows, notices))),
        Err(e) if made_meanwhile(create, &e) => Ok(Err(table_is_there(create))),
        Err(e) => Err(at(e, create.name.base())),
    }
}

/// A table that is to be made, under a name that is free.
pub(super) struct New {
    place: Place,
    schema: SchemaId,
    notices: Vec<String>,
}

/// Where the table of `create` is to be, and what to say of it; what to answer where it is there already and may be.
pub(super) async fn new_table(running: &Running<'_>, create: &CreateTable) -> Result<std::result::Result<New, Output>> {
    let place = running.place_of_new(&create.name, create.temporary).await?;
    place.check_writable(&create.name)?;
    let name = create.name.base();
    let pin = running.pins.pin(&place.warehouse).await?;
    let schema = place.schema(&pin, &create.name)?.id;
    if pin.view_named(schema, &name.value).is_some() && !create.if_not_exists {
        return Err(at(
            Error::invalid(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{}\" already exists", create.name.unquoted()),
            )
            .with_hint("it is a view: choose another name"),
            name,
        ));
    }
    if pin.table_named(schema, &name.value).is_some() || pin.view_named(schema, &name.value).is_some() {
        if create.if_not_exists {
            return Ok(Err(table_is_there(create)));
        }
        return Err(at(
            Error::invalid(SqlState::DUPLICATE_TABLE, format!("table \"{}\" already exists", create.name.unquoted()))
                .with_hint("drop it first, or use IF NOT EXISTS"),
            name,
        ));
    }
    let mut notices = Vec::new();
    if !create.constraints.is_empty() {
        notices.extend(not_enforced(create).map(String::from));
    }
    if create.backup.is_some() {
        notices.push("BACKUP has no effect: a warehouse is backed up as a whole".to_string());
    }
    let cut = |name: &Ident| format!("name \"{}\" was cut to {} bytes", name.value, Ident::MAX_BYTES);
    notices.extend(create.cut_names.iter().map(cut));
    if create.encode_auto && create.columns.iter().any(|c| c.encode.is_some()) {
        notices.push("a column names its encoding, so that ENCODE AUTO is off".to_string());
    }
    Ok(Ok(New { place, schema, notices }))
}

/// Columns of temporary tables are RAW unless something else was said (Redshift manual, "CREATE TABLE", TEMPORARY).
fn plain_if_temporary(place: &Place, create: &CreateTable, mut def: TableDef) -> TableDef {
    if place.temporary && def.encode_auto && !create.encode_auto {
        def.encode_auto = false;
        def.columns.iter_mut().for_each(|column| column.encoding = EncodingName::Raw);
    }
    def
}

/// The session's temporary table of that name.
pub(super) fn temporary_table(running: &Running<'_>, name: &str) -> Option<Arc<TableState>> {
    let names = &running.session.names;
    let snapshot = names.newest(names.temp()?);
    snapshot.table_named(snapshot.schema_named(names.temp_schema())?.id, name).cloned()
}

/// What to say of constraints that nothing keeps.
fn not_enforced(create: &CreateTable) -> Option<&'static str> {
    let has = |state| create.constraints.iter().any(|c| c.state == state);
    match () {
        _ if has(ConstraintState::NoRely) => Some(
            "constraints that are not VERIFIED inform only: rows are not checked, and no answer depends on them unless \
             they are RELY",
        ),
        _ if has(ConstraintState::Rely) => {
            Some("rows are not checked, but answers depend on constraints that are RELY")
        }
        _ => None,
    }
}

/// Whether another session made the table since the statement looked, and the statement does not mind.
fn made_meanwhile(create: &CreateTable, e: &Error) -> bool {
    create.if_not_exists && e.state() == SqlState::DUPLICATE_TABLE
}

fn table_is_there(create: &CreateTable) -> Output {
    let notice = format!("table \"{}\" already exists, skipping", create.name.unquoted());
    Output::done("CREATE TABLE", None).with_notices(vec![notice])
}

async fn create_table_as(
    running: &Running<'_>,
    place: &Place,
    create: &CreateTable,
    query: &Query,
    schema: SchemaId,
    mut notices: Vec<String>,
) -> Result<Output> {
    let statement = datafusion::sql::sqlparser::ast::Statement::Query(Box::new(query.clone()));
    let plan = running.plan(&statement).await?;
    // Types are what the rules make of casts.
    let columns = columns_of_query(&running.analyzed(&plan)?, create)?;
    let parents = Parents::find(running, create, place, schema).await?;
    let mut layout = create.clone();
    let ordered_by = ordered_by(&plan);
    notices.extend(fill_layout(&mut layout, &plan));
    let def = plain_if_temporary(place, create, define(running, &layout, &columns, schema, &parents)?);
    let ordered_by = ordered_by.into_iter().filter_map(|ordinal| Some(def.columns.get(ordinal)?.id)).collect();
    let (mut transaction, _) = running.transaction(&place.warehouse)?;
    let load = Load::create(&place.warehouse, def, ordered_by, &transaction)?.in_zone(running.zone()?);
    load.take(running.run_partitions(&plan).await?).await?;
    let (rows, said) = load.finish(&mut transaction).await?;
    notices.extend(said);
    match running.commit(&place.warehouse, transaction).await {
        Ok(_) => Ok(Output::done(format!("SELECT {rows}"), Some(rows)).with_notices(notices)),
        Err(e) if made_meanwhile(create, &e) => Ok(table_is_there(create)),
        Err(e) => Err(at(e, create.name.base())),
    }
}

/// The columns that a CTAS's table gets.
fn columns_of_query(plan: &LogicalPlan, create: &CreateTable) -> Result<Vec<ColumnSpec>> {
    let schema: &ArrowSchema = plan.schema().as_arrow();
    let position = create.name.position();
    if !create.column_names.is_empty() && create.column_names.len() != schema.fields().len() {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("{} column names for a query of {} columns", create.column_names.len(), schema.fields().len()),
        )
        .with_position(position.line, position.column));
    }
    let mut seen = BTreeSet::new();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (i, field) in schema.fields().iter().enumerate() {
        let name = match create.column_names.get(i) {
            Some(name) => name.clone(),
            None => Ident { value: shown_name(field.name()).to_string(), quoted: true, position },
        };
        if !seen.insert(name.value.clone()) {
            return Err(Error::invalid(
                SqlState::DUPLICATE_COLUMN,
                format!("the query has two columns named \"{}\"", name.value),
            )
            .with_hint("give one an alias, or name the columns after the table's name")
            .with_position(position.line, position.column));
        }
        let sql_type = declared_type(field).ok_or_else(|| {
            Error::unsupported(format!(
                "column \"{}\" has type {}, which tables cannot hold",
                name.value,
                field.data_type()
            ))
            .with_hint("cast it to a type that CREATE TABLE knows")
            .with_position(position.line, position.column)
        })?;
        columns.push(ColumnSpec {
            name,
            sql_type,
            // A query hands on names and types, no constraints.
            not_null: None,
            default: None,
            identity: None,
            encode: None,
            distkey: false,
            sortkey: false,
        });
    }
    Ok(columns)
}

fn declared_type(field: &arrow::datatypes::Field) -> Option<SqlType> {
    match field.data_type() {
        // A literal NULL column is text of the default length, as in Redshift.
        DataType::Null => Some(SqlType::Varchar(256)),
        _ => SqlType::from_field(field),
    }
}

fn define(
    running: &Running<'_>,
    create: &CreateTable,
    specs: &[ColumnSpec],
    schema: SchemaId,
    parents: &Parents,
) -> Result<TableDef> {
    let columns: Vec<ColumnDef> = specs.iter().zip(1..).map(|(spec, id)| column(spec, ColumnId(id))).collect();
    let find = |key: &KeyColumn| -> Result<ColumnId> {
        let found = match key {
            KeyColumn::Name(ident) => columns.iter().find(|c| c.name == ident.value),
            KeyColumn::Position { ordinal, .. } => (*ordinal as usize).checked_sub(1).and_then(|i| columns.get(i)),
        };
        found.map(|c| c.id).ok_or_else(|| {
            let what = match key {
                KeyColumn::Name(ident) => format!("column \"{}\" does not exist", ident.value),
                KeyColumn::Position { ordinal, .. } => format!("there is no column {ordinal}"),
            };
            Error::invalid(SqlState::UNDEFINED_COLUMN, format!("{what} in table \"{}\"", create.name.unquoted()))
                .with_position(key.position().line, key.position().column)
        })
    };
    let dist = match &create.dist {
        None | Some(DistClause::Auto) => DistStyle::Auto,
        Some(DistClause::Even) => DistStyle::Even,
        Some(DistClause::All) => DistStyle::All,
        Some(DistClause::Key(key)) => DistStyle::Key(find(key)?),
    };
    let effective_dist = match dist {
        DistStyle::Auto | DistStyle::All => EffectiveDist::All,
        DistStyle::Even => EffectiveDist::Even,
        DistStyle::Key(id) => EffectiveDist::Key(id),
    };
    let sort = match &create.sort {
        None | Some(SortClause::Auto | SortClause::None) => None,
        Some(SortClause::Columns { style, columns }) => {
            Some(SortKey { style: *style, columns: columns.iter().map(find).collect::<Result<_>>()? })
        }
    };
    let keys = match &create.sort {
        Some(SortClause::Columns { columns, .. }) => columns.iter().map(|key| ("SORTKEY", key)).collect(),
        _ => Vec::new(),
    };
    let keys = keys.into_iter().chain(match &create.dist {
        Some(DistClause::Key(key)) => Some(("DISTKEY", key)),
        _ => None,
    });
    for (what, key) in keys {
        let id = find(key)?;
        if let Some(column) = columns.iter().find(|c| c.id == id && !c.sql_type.can_be_key()) {
            let message = format!("column \"{}\" of type {} cannot be {what}", column.name, column.sql_type);
            return Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message)
                .with_hint("a key is a number, text, a BOOLEAN, a date or a time")
                .with_position(key.position().line, key.position().column));
        }
    }
    // A column that names its encoding switches ENCODE AUTO off.
    let encode_auto = specs.iter().all(|s| s.encode.is_none());
    let constraints = constraints(parents, create, &columns)?;
    let mut def = TableDef {
        id: TableId(0),
        schema,
        name: create.name.base().value.clone(),
        owner: running.statement.user,
        next_column: ColumnId(columns.len() as u32 + 1),
        columns,
        dist,
        effective_dist,
        sort,
        sort_auto: matches!(create.sort, None | Some(SortClause::Auto)),
        encode_auto,
        definition_version: 1,
        created_us: 0,
        hash_id: HASH_ID,
        constraints,
        backup: create.backup != Some(false),
        retain: None,
    };
    for (spec, i) in specs.iter().zip(0..) {
        let encoding = match spec.encode {
            Some(name) => {
                encoding::allowed(name, spec.sql_type).map_err(|e| at(e, &spec.name))?;
                name
            }
            None if encode_auto => EncodingName::Auto,
            None => {
                let in_sort_key = def.sort.as_ref().is_some_and(|s| s.columns.contains(&def.columns[i].id));
                default_encoding(spec.sql_type, in_sort_key)
            }
        };
        def.columns[i].encoding = encoding;
    }
    def.check_invariants()?;
    parents.check_verified(&def)?;
    Ok(def)
}

fn column(spec: &ColumnSpec, id: ColumnId) -> ColumnDef {
    ColumnDef {
        id,
        name: spec.name.value.clone(),
        sql_type: spec.sql_type,
        nullable: spec.not_null != Some(true),
        default_sql: spec.default.as_ref().map(Expr::to_string),
        absent: None,
        encoding: EncodingName::Auto,
        identity: spec.identity.map(|i| Identity { seed: i.seed, step: i.step, by_default: i.by_default }),
    }
}

/// What a column without ENCODE gets in a table where another column has one (Redshift manual, "Compression
/// encodings").
pub(super) fn default_encoding(sql_type: SqlType, in_sort_key: bool) -> EncodingName {
    match sql_type {
        _ if in_sort_key => EncodingName::Raw,
        SqlType::Boolean | SqlType::Real | SqlType::Double => EncodingName::Raw,
        SqlType::SmallInt | SqlType::Integer | SqlType::BigInt | SqlType::Decimal { .. } => EncodingName::Az64,
        SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz => EncodingName::Az64,
        SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Varbyte(_) | SqlType::Super => EncodingName::Lzo,
    }
}

/// Each DEFAULT must be a constant of the column's type.
pub(super) fn check_defaults(running: &Running<'_>, columns: &[ColumnSpec]) -> Result<()> {
    for spec in columns {
        let Some(default) = &spec.default else { continue };
        let planned = running.state.create_logical_expr(&default.to_string(), &DFSchema::empty());
        let expr = planned.map_err(|e| {
            let reason = from_datafusion(e);
            let message = format!("the DEFAULT of column \"{}\": {}", spec.name.value, reason.message());
            at(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message), &spec.name)
                .with_hint("a DEFAULT is an expression without columns and subqueries")
        })?;
        if has_subquery(&expr).map_err(from_datafusion)? {
            let message = format!("the DEFAULT of column \"{}\" has a subquery", spec.name.value);
            return Err(at(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message), &spec.name)
                .with_hint("a DEFAULT is an expression without columns and subqueries"));
        }
        if has_aggregate(&expr).map_err(from_datafusion)? {
            let message =
                format!("the DEFAULT of column \"{}\" has an aggregate or a window function", spec.name.value);
            return Err(at(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message), &spec.name)
                .with_hint("a DEFAULT is worked out for one row"));
        }
        use datafusion::logical_expr::ExprSchemable;
        let found = expr.get_type(&DFSchema::empty()).map_err(from_datafusion)?;
        let to = spec.sql_type.arrow_type();
        if found != DataType::Null && !arrow::compute::can_cast_types(&found, &to) {
            return Err(at(
                Error::invalid(
                    SqlState::DATATYPE_MISMATCH,
                    format!("the DEFAULT of column \"{}\" is of type {found}, not {}", spec.name.value, spec.sql_type),
                ),
                &spec.name,
            ));
        }
        if let datafusion::logical_expr::Expr::Literal(value, _) = &expr
            && to.is_numeric()
            && value.cast_to(&to).is_err()
        {
            let message = format!("the DEFAULT of column \"{}\", {value}, is no {}", spec.name.value, spec.sql_type);
            return Err(at(Error::invalid(SqlState::DATATYPE_MISMATCH, message), &spec.name)
                .with_hint("write a value that the column's type holds"));
        }
    }
    Ok(())
}

fn has_aggregate(expr: &datafusion::logical_expr::Expr) -> datafusion::common::Result<bool> {
    use datafusion::common::tree_node::TreeNode;
    use datafusion::logical_expr::Expr as DfExpr;
    expr.exists(|e| Ok(matches!(e, DfExpr::AggregateFunction(_) | DfExpr::WindowFunction(_))))
}

fn has_subquery(expr: &datafusion::logical_expr::Expr) -> datafusion::common::Result<bool> {
    use datafusion::common::tree_node::TreeNode;
    use datafusion::logical_expr::Expr as DfExpr;
    expr.exists(|e| {
        Ok(matches!(
            e,
            DfExpr::ScalarSubquery(_) | DfExpr::InSubquery(_) | DfExpr::Exists(_) | DfExpr::SetComparison(_)
        ))
    })
}

/// Names, types, NOT NULL, encodings, keys and BACKUP are the parent's; constraints are not (Redshift manual, "CREATE
/// TABLE"). DEFAULT and IDENTITY, which Redshift keeps among the defaults, are where it says INCLUDING DEFAULTS.
fn like_table(
    parent: &TableDef,
    name: &Ident,
    schema: SchemaId,
    including_defaults: bool,
    running: &Running<'_>,
) -> TableDef {
    let mut def = parent.clone();
    def.id = TableId(0);
    def.schema = schema;
    def.name = name.value.clone();
    def.owner = running.statement.user;
    def.definition_version = 1;
    def.constraints.clear();
    def.retain = None;
    if def.dist == DistStyle::Auto {
        def.effective_dist = EffectiveDist::All;
    }
    if def.sort_auto {
        def.sort = None;
    }
    for column in &mut def.columns {
        column.absent = None;
        if !including_defaults {
            column.default_sql = None;
            column.identity = None;
        }
    }
    def
}

/// With columns of the statement's own, of which `before` stand before those of the parent.
pub(super) fn with_columns(mut def: TableDef, specs: &[ColumnSpec], before: usize) -> Result<TableDef> {
    if def.columns.len() + specs.len() > MAX_COLUMNS {
        let message = format!("a table has at most {MAX_COLUMNS} columns");
        let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message);
        return Err(match specs.last() {
            Some(spec) => at(error.with_hint("leave some out"), &spec.name),
            None => error,
        });
    }
    if def.encode_auto && specs.iter().any(|spec| spec.encode.is_some()) {
        def.encode_auto = false;
        let keys: Vec<ColumnId> = def.sort.iter().flat_map(|key| key.columns.clone()).collect();
        for column in &mut def.columns {
            column.encoding = default_encoding(column.sql_type, keys.contains(&column.id));
        }
    }
    for (i, spec) in specs.iter().enumerate() {
        if def.columns.iter().any(|c| c.name == spec.name.value) {
            let message = format!("column \"{}\" is given more than once", spec.name.value);
            let error = Error::invalid(SqlState::DUPLICATE_COLUMN, message);
            return Err(at(error.with_hint("LIKE gives a column of that name: rename this one"), &spec.name));
        }
        if spec.identity.is_some() && def.identity().is_some() {
            let message = "a table has one IDENTITY column at most";
            let error = Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message);
            return Err(at(error.with_hint("leave INCLUDING DEFAULTS out, or this one"), &spec.name));
        }
        let mut column = column(spec, def.next_column);
        column.encoding = match spec.encode {
            Some(name) => {
                encoding::allowed(name, spec.sql_type).map_err(|e| at(e, &spec.name))?;
                name
            }
            None if def.encode_auto => EncodingName::Auto,
            None => default_encoding(spec.sql_type, false),
        };
        def.next_column = ColumnId(def.next_column.0 + 1);
        let place = if i < before { i } else { def.columns.len() };
        def.columns.insert(place, column);
    }
    def.check_invariants()?;
    Ok(def)
}

pub(super) async fn drop_table(running: &Running<'_>, drop: DropTable) -> Result<Output> {
    let named = temporary_views::sort(running, &drop.names, false)?;
    let readers = temporary_views::dropped_with(running, &named, drop.cascade).await?;
    let notices =
        drop_relations(running, drop.if_exists, &named.stored, "table", |transaction, place, snapshot, name| {
            transaction.drop_table(&place.table(snapshot, name)?.def, drop.cascade);
            Ok(())
        });
    let notices = notices.await?;
    temporary_views::forget(running, &named.foreign, &readers);
    // What temporary tables held is needed by nobody else.
    if let Some(temp) = running.session.names.temp()
        && let Err(e) = temp.collect().await
    {
        tracing::warn!("dropped temporary tables still take their room: {e}");
    }
    Ok(Output::done("DROP TABLE", None).with_notices(notices))
}

/// Drops tables or views, those of one warehouse in one transaction. Returns the notices.
pub(super) async fn drop_relations(
    running: &Running<'_>,
    if_exists: bool,
    names: &[&ObjectName],
    kind: &str,
    drop_one: impl Fn(&mut Transaction, &Place, &Snapshot, &ObjectName) -> Result<()>,
) -> Result<Vec<String>> {
    // What another session drops first is missing at the next attempt.
    running
        .retry_while(
            |e| if_exists && missing(e),
            || async {
                let mut notices = Vec::new();
                let mut open: Vec<(Warehouse, Transaction, Arc<Snapshot>)> = Vec::new();
                for name in names {
                    let place = running.place(name).await?;
                    place.check_writable(name)?;
                    let at = match open.iter().position(|(of, ..)| Arc::ptr_eq(&of.inner, &place.warehouse.inner)) {
                        Some(at) => at,
                        None => {
                            let (transaction, snapshot) = running.transaction(&place.warehouse)?;
                            open.push((place.warehouse.clone(), transaction, snapshot));
                            open.len() - 1
                        }
                    };
                    let (_, transaction, snapshot) = &mut open[at];
                    match drop_one(transaction, &place, snapshot, name) {
                        Err(e) if if_exists && missing(&e) => {
                            notices.push(format!("{kind} \"{}\" does not exist, skipping", name.unquoted()));
                        }
                        outcome => outcome?,
                    }
                }
                for (warehouse, transaction, _) in open {
                    running.commit(&warehouse, transaction).await?;
                }
                Ok(notices)
            },
        )
        .await
}

/// The column of SHOW TABLE, named as Redshift's.
pub(super) fn show_table_schema() -> SchemaRef {
    Arc::new(ArrowSchema::new(vec![Field::new("Show Table DDL statement", DataType::Utf8, false)]))
}

/// One row: the statement that makes the table again.
pub(super) async fn show_table(running: &Running<'_>, name: &ObjectName) -> Result<Output> {
    let place = running.place(name).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let ddl: ArrayRef = Arc::new(StringArray::from(vec![table_ddl(&pin, &place.table(&pin, name)?.def)?]));
    let schema = show_table_schema();
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![ddl])?;
    let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(rows)]));
    Ok(Output::rows("SHOW", Box::pin(stream)))
}

/// Drops what is named, in one transaction. `drop_one` is told the ids that are dropped already. Returns the notices.
async fn drop_all<N>(
    running: &Running<'_>,
    if_exists: bool,
    names: &[N],
    what: impl Fn(&N) -> String,
    drop_one: impl Fn(&mut Transaction, &Snapshot, &N, &mut BTreeSet<u32>) -> Result<()>,
) -> Result<Vec<String>> {
    // What another session drops first is missing at the next attempt.
    running
        .retry_while(
            |e| if_exists && missing(e),
            || async {
                let mut notices = Vec::new();
                let (mut transaction, snapshot) = running.transaction(running.warehouse)?;
                let mut dropped = BTreeSet::new();
                for name in names {
                    match drop_one(&mut transaction, &snapshot, name, &mut dropped) {
                        Err(e) if if_exists && missing(&e) => {
                            notices.push(format!("{} does not exist, skipping", what(name)));
                        }
                        outcome => outcome?,
                    }
                }
                running.commit(running.warehouse, transaction).await?;
                Ok(notices)
            },
        )
        .await
}

fn missing(e: &Error) -> bool {
    e.state() == SqlState::UNDEFINED_TABLE || e.state() == SqlState::UNDEFINED_SCHEMA
}

pub(super) async fn create_schema(running: &Running<'_>, create: CreateSchema) -> Result<Output> {
    let name = single(&create.name)?;
    if let Some(user) = &create.authorization {
        return Err(at(
            Error::unsupported("AUTHORIZATION is not supported yet: schemas belong to their creator"),
            user,
        ));
    }
    let reserved = name.value.starts_with("pg_") || name.value == "information_schema";
    if reserved {
        return Err(at(
            Error::invalid(SqlState::INVALID_PARAMETER, format!("schema name \"{}\" is reserved", name.value)),
            name,
        ));
    }
    let (mut transaction, now) = running.transaction(running.warehouse)?;
    let skipped = || {
        let notice = format!("schema \"{}\" already exists, skipping", name.value);
        Ok(Output::done("CREATE SCHEMA", None).with_notices(vec![notice]))
    };
    // A wish that is not granted would be a block's end.
    if create.if_not_exists && now.schema_named(&name.value).is_some() {
        return skipped();
    }
    transaction.create_schema(&name.value, running.statement.user);
    match running.commit(running.warehouse, transaction).await {
        Ok(_) => Ok(Output::done("CREATE SCHEMA", None)),
        // Another transaction has made it since.
        Err(e) if create.if_not_exists && e.state() == SqlState::DUPLICATE_SCHEMA => skipped(),
        Err(e) => Err(at(e, name)),
    }
}

pub(super) async fn drop_schema(running: &Running<'_>, drop: DropSchema) -> Result<Output> {
    let names = drop.names.iter().map(single).collect::<Result<Vec<&Ident>>>()?;
    let what = |name: &&Ident| format!("schema \"{}\"", name.value);
    let mut held = Vec::new();
    for schema in names.iter().filter_map(|name| running.pin.schema_named(&name.value)).filter(|_| drop.cascade) {
        let relations = running.pin.table_names(schema.id).chain(running.pin.view_names(schema.id));
        held.extend(relations.map(|(name, id)| (Source::Stored(running.warehouse.clone(), id), name.to_string())));
    }
    let readers = temporary_views::readers(running, held, drop.cascade)?;
    let notices = drop_all(running, drop.if_exists, &names, what, |transaction, snapshot, name, dropped| {
        let schema = snapshot.schema_named(&name.value).ok_or_else(|| names::no_such_schema(name))?;
        if dropped.insert(schema.id.0) {
            transaction.drop_schema(schema, drop.cascade);
        }
        Ok(())
    });
    let notices = notices.await?;
    temporary_views::forget(running, &[], &readers);
    Ok(Output::done("DROP SCHEMA", None).with_notices(notices))
}

/// A schema's name, which has no schema before it.
fn single(name: &ObjectName) -> Result<&Ident> {
    match name.parts.as_slice() {
        [ident] => Ok(ident),
        _ => {
            let position = name.position();
            Err(Error::invalid(SqlState::SYNTAX_ERROR, format!("\"{}\" is not the name of a schema", name.unquoted()))
                .with_position(position.line, position.column))
        }
    }
}

/// Runs a load into an existing table as a transaction of its own, again when another one changed the table's
/// definition meanwhile. `load` takes the rows, which have the columns of [`Load::def`]: the table may be another than the
/// statement's version shows. Returns their number, and notices.
pub(super) async fn load_into<F, G>(running: &Running<'_>, name: &ObjectName, load: F) -> Result<(u64, Vec<String>)>
where
    F: Fn(Load) -> G,
    G: Future<Output = Result<Load>>,
{
    load_into_as(running, name, |_| Ok(None), load).await
}

/// The same where the load gives the table another definition, with more columns at its end.
pub(super) async fn load_into_as<D, F, G>(
    running: &Running<'_>,
    name: &ObjectName,
    widened: D,
    load: F,
) -> Result<(u64, Vec<String>)>
where
    D: Fn(&TableDef) -> Result<Option<TableDef>>,
    F: Fn(Load) -> G,
    G: Future<Output = Result<Load>>,
{
    running
        .retry_while(
            // What was read is not read again here.
            |e| {
                let reads = running.statement.reads.as_ref();
                e.kind() == ErrorKind::Conflict && reads.is_none_or(|reads| reads.is_empty())
            },
            || async {
                let place = running.place(name).await?;
                place.check_writable(name)?;
                let (transaction, snapshot) = running.transaction(&place.warehouse)?;
                let table = place.table(&snapshot, name)?;
                let empty = match widened(&table.def)? {
                    Some(def) => Load::widened(&place.warehouse, table, def, &transaction)?,
                    None => {
                        let columns = (0..table.def.columns.len()).collect();
                        Load::new(&place.warehouse, table, columns, &transaction)?
                    }
                };
                let empty = empty.in_zone(running.zone()?);
                load(empty.of_statement(running.statement.clone(), running.prunes())).await?.commit(transaction).await
            },
        )
        .await
}
