//! COPY … BY NAME: columns of files are those of the table that are called like them, whatever their order.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::infer::{self, Found};
use super::text::shown_name;
use super::{CopyFiles, CopyFormat, Loading, Part, parquet};
use crate::catalog::TableDef;
use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};
use crate::engine::ddl;
use crate::engine::identity::explicit;
use crate::sql::ast::{ColumnSpec, CopyOptions, Ident};

/// Files whose first lines are read at the same time.
const OPEN: usize = 16;

/// The files by what columns they have.
///
/// Errors: Invalid where a file has a column that the table has not, unless a column list says which are wanted.
pub async fn parts(loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<Vec<Part>> {
    let names = match loading.copy.options.format {
        CopyFormat::Parquet => parquet_names(loading, groups).await?,
        _ => headers(&loading.copy.options, groups).await?,
    };
    let parts = of_files(groups, names, |file, name| target(loading, file, name))?;
    let filled = |name: &str| {
        let ordinal = loading.def.columns.iter().position(|column| column.name == name);
        parts.iter().any(|part| part.targets.contains(&ordinal))
    };
    match loading.copy.columns.iter().find(|column| !parts.is_empty() && !filled(&column.value)) {
        None => Ok(parts),
        Some(column) => {
            let message = format!("no file has a column \"{}\"", column.value);
            Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message)
                .with_hint("leave it out of the list: it gets its default")
                .with_position(column.position.line, column.position.column))
        }
    }
}

/// The columns that files have and the table has not.
pub async fn unknown(loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<Vec<Found>> {
    let options = &loading.copy.options;
    let found = match &options.format {
        CopyFormat::Parquet | CopyFormat::Avro(_) => infer::of_typed(loading.running, options, groups).await?,
        CopyFormat::Json(_) => infer::of_text(options, groups).await?.0,
        _ => infer::of_named(options, groups, &headers(options, groups).await?).await?,
    };
    let called = |column: &Found| infer::column_name(&column.name);
    let known = |found: &Found| {
        loading.def.columns.iter().any(|c| c.name == found.name || infer::column_name(&c.name) == called(found))
    };
    Ok(found.into_iter().filter(|column| !known(column)).collect())
}

/// The definition with such columns at its end, `None` where it has them all.
pub fn widened(def: &TableDef, added: &[Found]) -> Result<Option<TableDef>> {
    let position = Position { line: 1, column: 1 };
    let mut specs: Vec<ColumnSpec> = Vec::new();
    for column in added {
        let name = infer::column_name(&column.name);
        if def.column_named(&name).is_none() && specs.iter().all(|spec| spec.name.value != name) {
            specs.push(infer::spec(Ident { value: name, quoted: true, position }, column.sql_type));
        }
    }
    if specs.is_empty() {
        return Ok(None);
    }
    let def = TableDef { definition_version: def.definition_version + 1, ..def.clone() };
    ddl::with_columns(def, &specs, 0).map(Some)
}

/// The table's column for one of a file.
fn target(loading: &Loading<'_>, file: &str, name: &str) -> Result<Option<usize>> {
    let (def, copy) = (&loading.def, loading.copy);
    let called = infer::column_name(name);
    let exactly = def.columns.iter().position(|column| column.name == name);
    let found = exactly.or_else(|| def.columns.iter().position(|column| infer::column_name(&column.name) == called));
    let is_listed = |ordinal: usize| copy.columns.iter().any(|column| column.value == def.columns[ordinal].name);
    let listed = copy.columns.is_empty() || found.is_some_and(is_listed);
    let generated = def.identity().filter(|(_, identity)| !identity.by_default).map(|(ordinal, _)| ordinal);
    match found {
        Some(ordinal) if listed && Some(ordinal) == generated && copy.options.explicit_ids.is_none() => {
            Err(explicit(def).with_hint("say EXPLICIT_IDS, or name the other columns behind the table"))
        }
        Some(ordinal) if listed => Ok(Some(ordinal)),
        _ if !copy.columns.is_empty() => Ok(None),
        _ => {
            let message = format!("{file} has a column \"{name}\", which table \"{}\" has not", def.name);
            Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message).with_hint(
                "ADD COLUMNS gives the table such columns; a column list behind its name says which are wanted",
            ))
        }
    }
}

/// Names of columns, of each file.
pub type Names = Vec<Vec<(ObjectMeta, String, Vec<String>)>>;

async fn parquet_names(loading: &Loading<'_>, groups: &[CopyFiles]) -> Result<Names> {
    let mut names = Vec::with_capacity(groups.len());
    for group in groups {
        let schemas = parquet::schemas(loading.running, group).await;
        let schemas = schemas.map_err(|unread| unread.logged(loading.refused))?;
        let of =
            |schema: arrow::datatypes::SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect();
        let files = group.files.iter().cloned().zip(schemas);
        names.push(files.map(|(file, (name, schema))| (file, name, of(schema))).collect());
    }
    Ok(names)
}

/// The names in the first lines of text files.
pub async fn headers(options: &CopyOptions, groups: &[CopyFiles]) -> Result<Names> {
    let mut names = Vec::with_capacity(groups.len());
    for group in groups {
        // Boxed one by one: their lifetimes are not those of a closure's arguments.
        let mut read = Vec::with_capacity(group.files.len());
        for file in &group.files {
            read.push(named(options, group, file).boxed());
        }
        names.push(stream::iter(read).buffered(OPEN).try_collect().await?);
    }
    Ok(names)
}

async fn named(
    options: &CopyOptions,
    group: &CopyFiles,
    file: &ObjectMeta,
) -> Result<(ObjectMeta, String, Vec<String>)> {
    let header = infer::header(options, group, file).await?;
    Ok((file.clone(), shown_name(&group.base, file), header))
}

fn of_files(
    groups: &[CopyFiles],
    names: Names,
    target: impl Fn(&str, &str) -> Result<Option<usize>>,
) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for (group, files) in groups.iter().zip(names) {
        let first = parts.len();
        for (meta, file, names) in files {
            let targets: Vec<Option<usize>> = names.iter().map(|name| target(&file, name)).collect::<Result<_>>()?;
            let mut seen = targets.iter().flatten().collect::<Vec<_>>();
            seen.sort_unstable();
            if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
                let named = targets.iter().position(|target| target.as_ref() == Some(twice[0]));
                let name = named.map_or("", |at| names[at].as_str());
                return Err(Error::invalid(
                    SqlState::DUPLICATE_COLUMN,
                    format!("{file} has two columns named \"{name}\""),
                )
                .with_hint("leave BY NAME out, and name the columns in their order behind the table"));
            }
            match parts[first..].iter_mut().find(|part| part.targets == targets) {
                Some(part) => part.files.files.push(meta),
                None => parts.push(Part { files: CopyFiles { files: vec![meta], ..group.clone() }, targets }),
            }
        }
    }
    Ok(parts)
}
