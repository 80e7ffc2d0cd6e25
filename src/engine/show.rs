//! SHOW of settings, views, and of what there is in databases: Redshift's manual, "SHOW DATABASES", "SHOW SCHEMAS", "SHOW
//! TABLES", "SHOW COLUMNS", "SHOW VIEW".

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::backup;
use super::describe::{Found, find, provider};
use super::history;
use super::names::{self, CATALOG, at};
use super::output::Output;
use super::running::Running;
use super::views;
use crate::common::{Error, Result, SqlState};
use crate::functions::settings::{self, Setting};
use crate::sql::ast::{Ident, ObjectName, Show, ShowFilter, ShowSetting, Statement};
use crate::sql::unparse::quote_literal;
use crate::{sql, system};

pub(super) async fn show(running: &Running<'_>, show: Show) -> Result<Output> {
    match show {
        Show::All => listed(settings::all(running.state.config_options())),
        Show::Setting(wanted) => setting(running, &wanted),
        Show::View(name) => view(running, &name).await,
        Show::Databases(filter) => {
            let columns = "database_name, database_owner, database_type, database_acl, database_options AS parameters, \
                           database_isolation_level";
            list(running, columns, "svv_redshift_databases", Vec::new(), "database_name", &filter).await
        }
        Show::Schemas { database, filter } => {
            let database = database_name(running, database.as_ref())?;
            let columns =
                "database_name, schema_name, schema_owner, schema_type, schema_acl, source_database, schema_option";
            let wanted = vec![equals("database_name", &database)];
            list(running, columns, "svv_all_schemas", wanted, "schema_name", &filter).await
        }
        Show::Tables { schema, filter } => {
            let columns = "database_name, schema_name, table_name, table_type, table_acl, remarks";
            let wanted = match schema {
                Some(name) => {
                    let (database, schema) = schema_of(running, &name).await?;
                    vec![equals("database_name", &database), equals("schema_name", &schema)]
                }
                None => {
                    let schemas = running.session.names.lookup(&running.pin).into_iter();
                    let schemas =
                        schemas.filter(|schema| schema != system::SCHEMA).map(|schema| quote_literal(&schema));
                    let schemas = schemas.collect::<Vec<_>>().join(", ");
                    vec![equals("database_name", CATALOG), format!("schema_name IN ({schemas})")]
                }
            };
            list(running, columns, "svv_all_tables", wanted, "table_name", &filter).await
        }
        Show::Backups(location) => backup::show_backups(running, &location).await,
        Show::History { table, limit } => history::show_history(running, &table, limit).await,
        Show::Columns { table, filter } => {
            let Found { database, schema, name } = find(running, &table).await?;
            let columns = "database_name, schema_name, table_name, column_name, ordinal_position, column_default, \
                           is_nullable, data_type, character_maximum_length, numeric_precision, numeric_scale, remarks";
            let wanted =
                vec![equals("database_name", &database), equals("schema_name", &schema), equals("table_name", &name)];
            list(running, columns, "svv_all_columns", wanted, "column_name", &filter).await
        }
    }
}

fn equals(column: &str, value: &str) -> String {
    format!("{column} = {}", quote_literal(value))
}

/// The rows of a system table that are `wanted` and whose column `name` is like the filter's pattern, in the order of names
/// or, of columns, of the table.
async fn list(
    running: &Running<'_>,
    columns: &str,
    table: &str,
    mut wanted: Vec<String>,
    name: &str,
    filter: &ShowFilter,
) -> Result<Output> {
    if let Some(pattern) = &filter.like {
        wanted.push(format!("{name} LIKE {}", quote_literal(pattern)));
    }
    let wanted = if wanted.is_empty() { String::new() } else { format!(" WHERE {}", wanted.join(" AND ")) };
    let limit = filter.limit.map(|rows| format!(" LIMIT {rows}")).unwrap_or_default();
    let order = match name {
        "column_name" => "ordinal_position",
        "table_name" => "schema_name, table_name",
        other => other,
    };
    let text = format!("SELECT {columns} FROM {CATALOG}.{}.{table}{wanted} ORDER BY {order}{limit}", system::SCHEMA);
    match sql::parse_one(&text)? {
        Statement::Query(query) => {
            let mut output = running.query(&query, None).await?;
            output.tag = "SHOW".into();
            Ok(output)
        }
        _ => Err(Error::internal(format!("{text} is no query"))),
    }
}

/// A database that the session sees; its own where none is named.
fn database_name(running: &Running<'_>, named: Option<&Ident>) -> Result<String> {
    let Some(named) = named else { return Ok(CATALOG.into()) };
    let known = running.state.catalog_list().catalog_names();
    match known.contains(&named.value) {
        true => Ok(named.value.clone()),
        false => Err(at(names::no_such_database(&named.value), named)),
    }
}

/// The database and the schema that `[database.]schema` names.
async fn schema_of(running: &Running<'_>, name: &ObjectName) -> Result<(String, String)> {
    let database = database_name(running, name.schema())?;
    let schema = name.base();
    let names = &running.session.names;
    if database == CATALOG && names.is_temp(&schema.value) {
        return Ok((database, names.temp_schema().to_string()));
    }
    let wanted = vec![equals("database_name", &database), equals("schema_name", &schema.value)];
    let none = ShowFilter { like: None, limit: None };
    let found = list(running, "schema_name", "svv_all_schemas", wanted, "schema_name", &none).await?.collect().await?;
    match found.iter().any(|batch| batch.num_rows() > 0) {
        true => Ok((database, schema.value.clone())),
        false => {
            Err(names::no_such_schema(schema).with_hint(format!("SHOW SCHEMAS FROM DATABASE {database} lists them")))
        }
    }
}

/// One column that is called as the setting.
fn setting(running: &Running<'_>, wanted: &ShowSetting) -> Result<Output> {
    let found = settings::find(running.state.config_options(), &wanted.name.value).map_err(|e| at(e, &wanted.name))?;
    if wanted.verbose {
        return listed(vec![found]);
    }
    let schema = Schema::new(vec![Field::new(&wanted.name.value, DataType::Utf8, true)]);
    let value = StringArray::from(vec![found.value]);
    Ok(Output::batch("SHOW", RecordBatch::try_new(Arc::new(schema), vec![Arc::new(value)])?))
}

/// As PostgreSQL's SHOW ALL.
fn listed(settings: Vec<Setting>) -> Result<Output> {
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("setting", DataType::Utf8, true),
        Field::new("description", DataType::Utf8, false),
    ]);
    let text = |value: fn(&Setting) -> Option<String>| Arc::new(settings.iter().map(value).collect::<StringArray>());
    let columns: Vec<arrow::array::ArrayRef> =
        vec![text(|s| Some(s.name.clone())), text(|s| s.value.clone()), text(|s| Some(s.description.clone()))];
    Ok(Output::batch("SHOW", RecordBatch::try_new(Arc::new(schema), columns)?))
}

/// One row: the statement that makes the view again.
async fn view(running: &Running<'_>, name: &ObjectName) -> Result<Output> {
    const COLUMN: &str = "Show View DDL statement";
    if running.session.is_foreign(name, &running.pin) {
        let definition =
            provider(running, name).await?.and_then(|view| view.get_table_definition().map(str::to_string));
        let Some(definition) = definition else {
            let message = format!("\"{}\" is not a view", name.unquoted());
            return Err(at(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message), name.base())
                .with_hint("it is a table of the session, of which nothing but its columns is known"));
        };
        return Ok(Output::text("SHOW", COLUMN, &format!("{definition};")));
    }
    let place = running.place(name).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let view = place.view(&pin, name)?;
    let schema = pin.schemas.get(&view.schema).map_or("", |schema| schema.name.as_str());
    Ok(Output::text("SHOW", COLUMN, &format!("{};", views::definition(schema, view))))
}
