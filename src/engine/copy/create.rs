//! CREATE TABLE … FROM files: they tell its columns, and are loaded.

use super::infer::{self, Found};
use super::{CopyFormat, Output, Part, Running, Watch, check_options, chosen_files, files, load_part, sources};
use crate::common::{Error, Result, SqlState};
use crate::engine::ddl;
use crate::engine::files::CopyFiles;
use crate::sql::ast::{ColumnSpec, Copy, CreateFrom, CreateTable, Ident, Mapping};
use crate::sql::unparse::quote_ident;

pub(in crate::engine) async fn create_from(running: &Running<'_>, create: CreateFrom) -> Result<Output> {
    let CreateFrom { mut table, files: mut copy } = create;
    let options = &copy.options;
    let only_copy = [("MERGE ON", options.merge.is_some()), ("NOLOAD", options.no_load), ("BY NAME", options.by_name)];
    if let Some((word, _)) = only_copy.iter().find(|(_, said)| *said) {
        return Err(Error::invalid(SqlState::SYNTAX_ERROR, format!("{word} does not go with CREATE TABLE"))
            .with_hint("it is for COPY into a table that is there"));
    }
    check_options(&copy)?;
    let groups = files(running, &copy).await?;
    infer::guess_format(&mut copy.options, &copy.from, &groups)?;
    let found = columns(running, &mut copy, &groups).await?;
    table.columns = specs(&table, &found)?;
    check_keys(&table)?;
    let told = told(&table, &copy);
    let place = running.place_of_new(&table.name, table.temporary).await?;
    let pin = running.pins.pin(&place.warehouse).await?;
    let made = ddl::create_loaded(running, &table, |load| {
        let watch = Watch::begin(running, &place, &pin, load.def(), &copy);
        let (copy, groups) = (&copy, &groups);
        async move {
            let targets = (0..load.def().columns.len()).collect();
            let history = load.history().await;
            let loaded = async {
                let loading = watch.loading(running, copy, load.def(), targets, &history);
                let (chosen, _) = chosen_files(&loading, groups)?;
                for part in parts(&loading.targets, running, copy, &chosen).await? {
                    load_part(&loading, &part, &load).await?;
                }
                Ok::<_, Error>(sources(&loading, &chosen))
            }
            .await;
            match loaded {
                Ok(sources) => {
                    let rows = sources.iter().map(|source| source.rows).sum();
                    let (_, notices) = watch.end(running, Ok((rows, Vec::new())))?;
                    Ok(load.from(sources, copy.options.skip_loaded).with_notices(notices))
                }
                Err(e) => Err(watch.end(running, Err(e)).err().unwrap_or_else(|| Error::internal("a load ends twice"))),
            }
        }
    })
    .await?;
    match made {
        Ok((rows, mut notices)) => {
            notices.insert(0, told);
            Ok(Output::done(format!("COPY {rows}"), Some(rows)).with_notices(notices))
        }
        Err(there) => Ok(there),
    }
}

/// The files by their columns: those of Parquet may have them in any order, or lack some.
async fn parts(targets: &[usize], running: &Running<'_>, copy: &Copy, groups: &[CopyFiles]) -> Result<Vec<Part>> {
    if copy.options.format != CopyFormat::Parquet {
        let targets: Vec<Option<usize>> = targets.iter().copied().map(Some).collect();
        return Ok(groups.iter().map(|files| Part { files: files.clone(), targets: targets.clone() }).collect());
    }
    let all: Vec<String> = infer::of_parquet(running, groups).await?.into_iter().map(|column| column.name).collect();
    super::by_name::of_parquet(running, groups, |name| Ok(all.iter().position(|known| known == name))).await
}

async fn columns(running: &Running<'_>, copy: &mut Copy, groups: &[CopyFiles]) -> Result<Vec<Found>> {
    if copy.options.format == CopyFormat::Parquet {
        return infer::of_parquet(running, groups).await;
    }
    let (found, header) = infer::of_text(&copy.options, groups).await?;
    if header {
        copy.options.values.ignore_header = 1;
    }
    if let CopyFormat::Json(Mapping::Auto { ignore_case }) = &mut copy.options.format {
        *ignore_case = true;
    }
    copy.options.values.exact = true;
    Ok(found)
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

fn told(table: &CreateTable, copy: &Copy) -> String {
    let columns: Vec<String> =
        table.columns.iter().map(|spec| format!("{} {}", quote_ident(&spec.name.value), spec.sql_type)).collect();
    let header = match copy.options.values.ignore_header {
        1 if !copy.options.header_said => "; the first line is taken for names, IGNOREHEADER 0 says otherwise",
        _ => "",
    };
    format!("table \"{}\" has the columns ({}){header}", table.name.unquoted(), columns.join(", "))
}
