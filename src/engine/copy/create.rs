//! CREATE TABLE … FROM files: they tell its columns, and are loaded.

use parking_lot::Mutex;

use super::by_name::{self, Names};
use super::infer::{self, Found};
use super::order;
use super::{CopyFormat, Output, Running, Watch, files, load_files};
use crate::common::{Error, Result, SortStyle, SqlState};
use crate::engine::ddl;
use crate::engine::files::CopyFiles;
use crate::sql::ast::{ColumnSpec, Copy, CopyOptions, CreateFrom, CreateTable, Ident, KeyColumn, SortClause};
use crate::sql::unparse::quote_ident;

pub(in crate::engine) async fn create_from(running: &Running<'_>, create: CreateFrom) -> Result<Output> {
    let CreateFrom { mut table, files: mut copy } = create;
    let options = &copy.options;
    let only_copy = [("MERGE ON", options.merge.is_some()), ("NOLOAD", options.no_load), ("BY NAME", options.by_name)];
    if let Some((word, _)) = only_copy.iter().find(|(_, said)| *said) {
        return Err(Error::invalid(SqlState::SYNTAX_ERROR, format!("{word} does not go with CREATE TABLE"))
            .with_hint("it is for COPY into a table that is there"));
    }
    if let Err(there) = ddl::new_table(running, &table).await? {
        return Ok(there);
    }
    let groups = files(running, &copy).await.map_err(|unfound| unfound.error)?;
    infer::guess_format(&mut copy.options, &copy.from, &groups)?;
    let found = columns(running, &mut copy, &groups).await?;
    table.columns = specs(&table, &found)?;
    check_keys(&table)?;
    let key = order::sort_key(&found).filter(|_| table.sort.is_none()).map(|at| table.columns[at].name.clone());
    let told = told(&table, &copy, key.as_ref());
    if let Some(key) = key {
        table.sort = Some(SortClause::Columns { style: SortStyle::Compound, columns: vec![KeyColumn::Name(key)] });
    }
    let place = running.place_of_new(&table.name, table.temporary).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let watch = Mutex::new(None);
    let made = ddl::create_loaded(running, &table, |load| {
        let (copy, groups, watch) = (&copy, &groups, &watch);
        let begun = Watch::begin(running, &place, &pin, load.def(), copy);
        async move {
            let targets = (0..load.def().columns.len()).collect();
            let history = load.history().await;
            let loaded = load_files(&begun.loading(running, copy, load.def(), targets, &history), groups, load).await;
            *watch.lock() = Some(begun);
            loaded
        }
    })
    .await;
    let watch = watch.into_inner();
    let (outcome, there) = match made {
        Ok(Ok(made)) => (Ok(made), None),
        Ok(Err(there)) => (Ok((0, Vec::new())), Some(there)),
        Err(e) => (Err(e), None),
    };
    let (rows, notices) = match watch {
        Some(watch) => watch.end(running, outcome)?,
        None => outcome?,
    };
    Ok(there.unwrap_or_else(|| {
        let notices = [told].into_iter().chain(notices).collect();
        Output::done(format!("COPY {rows}"), Some(rows)).with_notices(notices)
    }))
}

/// What the files tell; the options get what follows for their reading.
async fn columns(running: &Running<'_>, copy: &mut Copy, groups: &[CopyFiles]) -> Result<Vec<Found>> {
    let options = &mut copy.options;
    if let CopyFormat::Parquet | CopyFormat::Avro(_) = options.format {
        // Each may have its columns in another order, or lack some.
        options.by_name = true;
        return infer::of_typed(running, options, groups).await;
    }
    options.values.exact = true;
    let (found, named) = infer::of_text(options, groups).await?;
    match named {
        false => {
            options.by_name = options.format.mapping().is_some();
            Ok(found)
        }
        true => {
            let names = by_name::headers(options, groups).await?;
            check_alike(options, &names)?;
            options.by_name = true;
            options.values.ignore_header = options.values.ignore_header.max(1);
            infer::of_named(options, groups, &names).await
        }
    }
}

/// Where nobody has said that there are names, the first lines of all files are of the same, or some file has none.
fn check_alike(options: &CopyOptions, names: &Names) -> Result<()> {
    let mut files = names.iter().flatten();
    let Some((_, first, expected)) = files.next().filter(|_| !options.header_said) else { return Ok(()) };
    let sorted = |names: &[String]| {
        let mut names: Vec<String> = names.iter().map(|name| infer::column_name(name)).collect();
        names.sort_unstable();
        names
    };
    match files.find(|(_, _, names)| sorted(names) != sorted(expected)) {
        None => Ok(()),
        Some((_, other, _)) => {
            let message = format!("{other} does not begin with the names of columns with which {first} does");
            Err(Error::invalid(SqlState::BAD_COPY_FILE, message)
                .with_hint("IGNOREHEADER 1 takes the first line of each for names; IGNOREHEADER 0 for a row"))
        }
    }
}

fn specs(table: &CreateTable, found: &[Found]) -> Result<Vec<ColumnSpec>> {
    let position = table.name.position();
    let mut specs: Vec<ColumnSpec> = Vec::with_capacity(found.len());
    for column in found {
        let name = infer::column_name(&column.name);
        if specs.iter().any(|spec| spec.name.value == name) {
            return Err(Error::invalid(
                SqlState::DUPLICATE_COLUMN,
                format!("the files have two columns named \"{name}\""),
            )
            .with_hint("create the table with other names, and COPY into it by position"));
        }
        specs.push(infer::spec(Ident { value: name, quoted: true, position }, column.sql_type));
    }
    Ok(specs)
}

/// DISTKEY and SORTKEY name columns that the files have.
fn check_keys(table: &CreateTable) -> Result<()> {
    let has = |name: &Ident| table.columns.iter().any(|spec| spec.name.value == name.value);
    match table.key_names().find(|name| !has(name)) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = table.columns.iter().map(|spec| spec.name.value.as_str()).collect();
            let message = format!("the files have no column \"{}\"", name.value);
            Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message)
                .with_hint(format!("they have {}", known.join(", ")))
                .with_position(name.position.line, name.position.column))
        }
    }
}

fn told(table: &CreateTable, copy: &Copy, key: Option<&Ident>) -> String {
    let columns: Vec<String> =
        table.columns.iter().map(|spec| format!("{} {}", quote_ident(&spec.name.value), spec.sql_type)).collect();
    let header = match copy.options.values.ignore_header {
        1 if !copy.options.header_said && copy.options.by_name => {
            "; the first line is taken for names, IGNOREHEADER 0 says otherwise"
        }
        _ => "",
    };
    let order = key.map_or(String::new(), |key| {
        format!("; the rows are in the order of \"{}\", which is its sort key, SORTKEY AUTO says otherwise", key.value)
    });
    format!("table \"{}\" has the columns ({}){order}{header}", table.name.unquoted(), columns.join(", "))
}
