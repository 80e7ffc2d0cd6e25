//! COPY … MERGE ON: rows of files take the place of those with their keys.
//!
//! The files are loaded into a table of the session's own first, which is where rows that come twice are told apart without
//! memory for all of them; then one MERGE changes the target.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::TryStreamExt;

use super::{Loading, parts};
use crate::catalog::{Source, TableDef};
use crate::common::{Error, ErrorKind, Result, SqlState};
use crate::engine::error::from_datafusion;
use crate::engine::files::CopyFiles;
use crate::engine::names::no_such_column;
use crate::engine::running::Running;
use crate::engine::{ddl, merge};
use crate::sql::ast::{ColumnSpec, Copy, CreateTable, Ident, MergeOn, ObjectName, Statement, Within};
use crate::sql::parse_one;
use crate::sql::unparse::quote_ident;

/// Loads the files, and returns how many rows they had, and notices.
pub async fn upsert(loading: &Loading<'_>, groups: &[CopyFiles], on: &MergeOn) -> Result<(u64, Vec<String>)> {
    let running = loading.running;
    let (chosen, skipped) = super::chosen_files(loading, groups)?;
    let columns = columns(loading, &chosen, on).await?;
    let staging = Staging::make(loading, &columns).await?;
    let merged = async {
        let rows = staging.fill(loading, &chosen).await?;
        let sources = super::sources(loading, &chosen);
        // Others may change the table while it looks for the rows' partners.
        let place = running.place(&loading.copy.table).await?;
        let again = |e: &Error| e.kind() == ErrorKind::Conflict;
        let told = running.retry_while(again, || async {
            if running.statement.block.is_none() {
                place.warehouse.inner.catalog.refresh().await?;
                running.pins.forget(&place.warehouse);
            }
            staging.merge(loading, on, sources.clone()).await
        });
        Ok::<_, Error>((rows, told.await?))
    }
    .await;
    // Also when it has failed: nobody else has any use for the rows.
    let dropped = staging.drop(running).await;
    let (rows, told) = merged?;
    if let Err(e) = dropped {
        tracing::warn!("rows that were merged still take their room: {e}");
    }
    Ok((rows, skipped.into_iter().chain(told).collect()))
}

/// The ordinals of the columns that the files fill.
///
/// Errors: Invalid where a key, or the column of WITHIN, is none of them, or where files differ.
async fn columns(loading: &Loading<'_>, groups: &[CopyFiles], on: &MergeOn) -> Result<Vec<usize>> {
    let mut columns: Option<Vec<usize>> = None;
    for part in parts(loading, groups).await? {
        let mut filled: Vec<usize> = part.targets.iter().flatten().copied().collect();
        filled.sort_unstable();
        if columns.as_ref().is_some_and(|columns| *columns != filled) {
            return Err(Error::invalid(SqlState::BAD_COPY_FILE, "the files have different columns").with_hint(
                "what a row lacks would be lost of the one whose place it takes: COPY … MERGE them one by one",
            ));
        }
        columns = Some(filled);
    }
    let columns = columns.unwrap_or_else(|| loading.targets.clone());
    let within = on.within.iter().map(|within| &within.column);
    for ident in on.keys.iter().chain(within) {
        let found = loading.def.columns.iter().position(|c| c.name == ident.value);
        let ordinal = found.ok_or_else(|| no_such_column(ident, &loading.def))?;
        if !columns.contains(&ordinal) {
            let message = format!("column \"{}\" is none of those that are loaded", ident.value);
            return Err(Error::invalid(SqlState::INVALID_PARAMETER, message)
                .with_hint("rows are told apart by columns that the files have")
                .with_position(ident.position.line, ident.position.column));
        }
    }
    Ok(columns)
}

/// The table that holds the files' rows.
struct Staging {
    name: ObjectName,
    /// Of the target's columns, which it has, in their order.
    columns: Vec<usize>,
    /// The same by name.
    names: Vec<String>,
}

impl Staging {
    async fn make(loading: &Loading<'_>, columns: &[usize]) -> Result<Self> {
        let running = loading.running;
        let position = loading.copy.table.position();
        let ident = |value: String| Ident { value, quoted: true, position };
        let base = format!("blueshift_copy_{}", running.statement.query);
        let name = ObjectName { parts: vec![ident(running.session.names.temp_schema().to_string()), ident(base)] };
        let of = |ordinal: &usize| &loading.def.columns[*ordinal];
        let spec = |ordinal: &usize| ColumnSpec {
            name: ident(of(ordinal).name.clone()),
            sql_type: of(ordinal).sql_type,
            not_null: Some(!of(ordinal).nullable),
            default: None,
            identity: None,
            encode: None,
            distkey: false,
            sortkey: false,
        };
        let specs = columns.iter().map(spec).collect();
        let create = CreateTable { temporary: true, columns: specs, ..CreateTable::named(name.clone()) };
        ddl::create_table(running, create).await?;
        running.changed_temporary();
        let names = columns.iter().map(|ordinal| quote_ident(&of(ordinal).name)).collect();
        Ok(Staging { name, columns: columns.to_vec(), names })
    }

    async fn fill(&self, loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<u64> {
        let copy = Copy { table: self.name.clone(), columns: Vec::new(), ..loading.copy.clone() };
        let (rows, _) = ddl::load_into(loading.running, &self.name, |load| {
            let (copy, def) = (&copy, Arc::clone(load.def()));
            async move {
                let at = |ordinal: usize| self.columns.iter().position(|column| *column == ordinal);
                for part in parts(loading, groups).await? {
                    let targets = part.targets.iter().map(|target| target.and_then(at)).collect();
                    let staged = Loading { copy, def: Arc::clone(&def), ..loading.clone() };
                    super::load_part(&staged, &super::Part { targets, ..part }, &load).await?;
                }
                Ok(load)
            }
        })
        .await?;
        loading.running.changed_temporary();
        Ok(rows)
    }

    async fn merge(&self, loading: &Loading<'_>, on: &MergeOn, sources: Vec<Source>) -> Result<Vec<String>> {
        let running = loading.running;
        let keys: Vec<String> = on.keys.iter().map(|key| quote_ident(&key.value)).collect();
        let mut conditions: Vec<String> =
            keys.iter().map(|key| format!("blueshift_target.{key} = blueshift_source.{key}")).collect();
        let mut newest = String::new();
        if let Some(within) = &on.within {
            let column = quote_ident(&within.column.value);
            if let Some((low, high)) = self.bounds(running, within, &loading.def).await? {
                conditions.push(format!("blueshift_target.{column} >= {low} and blueshift_target.{column} <= {high}"));
            }
            // Rows without a whole key are nobody's like.
            let without: Vec<String> = keys.iter().map(|key| format!("{key} is null")).collect();
            newest = format!(
                " qualify {} or rank() over (partition by {} order by {column} desc nulls last) = 1",
                without.join(" or "),
                keys.join(", ")
            );
        }
        let all = self.names.join(", ");
        let source = format!("select distinct {all} from {}{newest}", self.name);
        let set = self
            .names
            .iter()
            .filter(|name| !keys.contains(name))
            .map(|name| format!("{name} = blueshift_source.{name}"));
        let set: Vec<String> = set.collect();
        let update = match set.is_empty() {
            // Rows of keys alone are what they were.
            true => format!("{} = blueshift_source.{}", keys[0], keys[0]),
            false => set.join(", "),
        };
        self.check_once(running, on, &keys, &source).await?;
        let values: Vec<String> = self.names.iter().map(|name| format!("blueshift_source.{name}")).collect();
        let text = format!(
            "merge into {} as blueshift_target using ({source}) as blueshift_source on {} when matched then update set {update} \
             when not matched then insert ({all}) values ({})",
            loading.copy.table,
            conditions.join(" and "),
            values.join(", ")
        );
        let position = |e: Error| e.with_position(on.position.line, on.position.column);
        let Statement::Merge(merge) = parse_one(&text).map_err(position)? else {
            return Err(Error::internal("a MERGE is read as something else"));
        };
        let from = (sources, loading.copy.options.skip_loaded);
        merge::merge_from(running, &merge, from).await.map_err(|e| match e.state() {
            SqlState::CARDINALITY_VIOLATION => twice(on).with_position(on.position.line, on.position.column),
            _ => position(e),
        })
    }

    /// No two rows that differ have one key: a MERGE would add both where the target has none.
    async fn check_once(&self, running: &Running<'_>, on: &MergeOn, keys: &[String], source: &str) -> Result<()> {
        let given: Vec<String> = keys.iter().map(|key| format!("{key} is not null")).collect();
        let text = format!(
            "select 1 from ({source}) as s where {} group by {} having count(*) > 1 limit 1",
            given.join(" and "),
            keys.join(", ")
        );
        match self.query(running, &text).await?.iter().all(|batch| batch.num_rows() == 0) {
            true => Ok(()),
            false => Err(twice(on).with_position(on.position.line, on.position.column)),
        }
    }

    async fn query(&self, running: &Running<'_>, text: &str) -> Result<Vec<RecordBatch>> {
        let Statement::Query(query) = parse_one(text)? else {
            return Err(Error::internal("a query is read as something else"));
        };
        let plan = running.plan(&query).await?;
        running.run(&plan).await?.try_collect().await.map_err(from_datafusion)
    }

    /// Between which values of the column rows of the target are looked for, as literals; `None` where the files' rows have none.
    async fn bounds(&self, running: &Running<'_>, within: &Within, def: &TableDef) -> Result<Option<(String, String)>> {
        let (column, distance) = (quote_ident(&within.column.value), &within.distance);
        let found = def.column_named(&within.column.value).ok_or_else(|| no_such_column(&within.column, def))?;
        let sql_type = found.sql_type;
        let text = format!(
            "select cast(cast(min({column}) - ({distance}) as {sql_type}) as varchar), \
             cast(cast(max({column}) + ({distance}) as {sql_type}) as varchar) from {}",
            self.name
        );
        let placed = |e: Error| {
            let hint = "WITHIN takes what can be added to the column: INTERVAL '7 days' to a date or time, a number to a number";
            e.with_hint(hint).with_position(within.column.position.line, within.column.position.column)
        };
        let batches = self.query(running, &text).await.map_err(placed)?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let value = |at: usize| {
            let text = cast(batch.column(at), &DataType::Utf8)?;
            let text = text.as_string::<i32>();
            let literal = |text: &str| format!("cast('{}' as {sql_type})", text.replace('\'', "''"));
            Ok::<_, Error>(text.iter().next().flatten().map(literal))
        };
        Ok(value(0)?.zip(value(1)?))
    }

    async fn drop(&self, running: &Running<'_>) -> Result<()> {
        let text = format!("drop table {}", self.name);
        match parse_one(&text)? {
            Statement::DropTable(drop) => ddl::drop_table(running, drop).await.map(|_| running.changed_temporary()),
            _ => Err(Error::internal("a DROP TABLE is read as something else")),
        }
    }
}

fn twice(on: &MergeOn) -> Error {
    let keys: Vec<&str> = on.keys.iter().map(|key| key.value.as_str()).collect();
    let message = format!("the files have several rows of one key ({}) that differ", keys.join(", "));
    let hint = match on.within {
        None => "WITHIN distance ON column takes the one with the greatest value of the column",
        Some(_) => "they have the same value in the column of WITHIN, too: only one of them can take the place",
    };
    Error::invalid(SqlState::CARDINALITY_VIOLATION, message).with_hint(hint)
}
