//! What the text of CREATE TABLE alone shows to be wrong.

use std::collections::HashSet;

use crate::common::error::Position;
use crate::common::{Error, Result, SortKey, SortStyle, SqlState, SqlType};

use super::ast::{ColumnSpec, Constraint, ConstraintKind, CreateTable, DistClause, Ident, KeyColumn, SortClause};
use super::create_table::{Attributes, Body, DistWord};
use super::cursor::invalid;

const MAX_COLUMNS: usize = 1600;
const MAX_SORT_COLUMNS: usize = 400;
/// Of the columns of fixed width, together.
const MAX_ROW_BYTES: usize = 65_535;

fn wrong(message: impl Into<String>, position: Position) -> Error {
    invalid(SqlState::INVALID_TABLE_DEFINITION, message, position)
}

/// No name stands twice.
pub(super) fn distinct(names: &[Ident]) -> Result<()> {
    let mut seen = HashSet::new();
    match names.iter().find(|n| !seen.insert(n.value.as_str())) {
        Some(n) => Err(invalid(
            SqlState::DUPLICATE_COLUMN,
            format!("column \"{}\" is given more than once", n.value),
            n.position,
        )
        .with_hint("rename or remove one of them")),
        None => Ok(()),
    }
}

/// Moves `body` and the layout into `table`, checked; see the guarantees of [`CreateTable`].
/// `told`: something else tells the columns, as a query does.
pub(super) fn complete(table: &mut CreateTable, body: Body, said: Attributes, told: bool) -> Result<()> {
    if let Some((like, position)) = body.like {
        if let Some(c) = body.constraints.first().or(body.column_constraints.first()) {
            return Err(wrong("LIKE does not go with constraints", c.position).with_hint("leave them out"));
        }
        if let Some(name) = body.names.first() {
            return Err(wrong("columns need a type", name.position).with_hint("write it behind the name"));
        }
        for (word, at) in body.keys.iter().flat_map(|k| [("DISTKEY", k.distkey), ("SORTKEY", k.sortkey)]) {
            if let Some(at) = at {
                return Err(not_with_like(word, at, position));
            }
        }
        refuse_attributes(&said, position)?;
        distinct(&body.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>())?;
        table.like = Some(like);
        table.columns = body.columns;
        return Ok(());
    }
    if !told && body.columns.is_empty() {
        return Err(
            wrong("a table needs at least one column", table.name.position()).with_hint("give a column with its type")
        );
    }
    // `None`: the query decides.
    let known: Option<Vec<Ident>> = if !body.columns.is_empty() {
        Some(body.columns.iter().map(|c| c.name.clone()).collect())
    } else if !body.names.is_empty() {
        Some(body.names.clone())
    } else {
        None
    };
    if let Some(names) = &known {
        if names.len() > MAX_COLUMNS {
            return Err(wrong(
                format!("a table has at most {MAX_COLUMNS} columns, here are {}", names.len()),
                names[MAX_COLUMNS].position,
            )
            .with_hint("split the table in two that share a key"));
        }
        distinct(names)?;
    }
    let resolver = Resolver { names: known, is_query: told };
    table.dist = dist(&body, said.dist_style, said.dist_key, &resolver)?;
    table.sort = sort(&body, said.sort, &resolver)?;
    table.columns = body.columns;
    table.column_names = body.names;
    table.constraints = body.constraints;
    table.constraints.extend(body.column_constraints);
    if !told {
        identities(&mut table.columns)?;
        row_width(&table.columns)?;
        constraints(table, &resolver)?;
    }
    Ok(())
}

/// One identity column a table, INTEGER or BIGINT, which it makes NOT NULL (Redshift manual, "CREATE TABLE").
fn identities(columns: &mut [ColumnSpec]) -> Result<()> {
    let mut before: Option<String> = None;
    for column in columns.iter_mut() {
        let Some(identity) = column.identity else { continue };
        let (name, position) = (&column.name.value, column.name.position);
        if let Some(first) = before.replace(name.clone()) {
            return Err(wrong(format!("columns \"{first}\" and \"{name}\" are both IDENTITY"), position)
                .with_hint("a table has one identity column"));
        }
        if column.default.is_some() {
            return Err(wrong(format!("column \"{name}\" has both DEFAULT and IDENTITY"), position)
                .with_hint("keep one of the two"));
        }
        let fits = match column.sql_type {
            SqlType::BigInt => true,
            SqlType::Integer => i32::try_from(identity.seed).is_ok() && i32::try_from(identity.step).is_ok(),
            other => {
                return Err(wrong(format!("IDENTITY column \"{name}\" is of type {other}"), position)
                    .with_hint("identity columns are INTEGER or BIGINT"));
            }
        };
        if !fits {
            return Err(invalid(
                SqlState::NUMERIC_OUT_OF_RANGE,
                format!("seed or step of IDENTITY column \"{name}\" is out of range for its type integer"),
                position,
            )
            .with_hint("make it a BIGINT"));
        }
        if column.not_null == Some(false) {
            return Err(wrong(format!("IDENTITY column \"{name}\" is NULL"), position).with_hint("leave NULL out"));
        }
        column.not_null = Some(true);
    }
    Ok(())
}

fn row_width(columns: &[ColumnSpec]) -> Result<()> {
    let width = |sql_type: SqlType| match sql_type {
        SqlType::Varchar(_) => 0,
        SqlType::Char(bytes) => bytes as usize,
        other => other.stored().width().unwrap_or(1),
    };
    let mut sum = 0;
    for column in columns {
        sum += width(column.sql_type);
        if sum > MAX_ROW_BYTES {
            return Err(wrong(
                format!(
                    "up to column \"{}\" a row has {sum} bytes of fixed width, more than {MAX_ROW_BYTES}",
                    column.name.value
                ),
                column.name.position,
            )
            .with_hint("use VARCHAR for long CHAR columns, or split the table in two that share a key"));
        }
    }
    Ok(())
}

/// LIKE takes everything from the parent.
fn refuse_attributes(said: &Attributes, like: Position) -> Result<()> {
    let places = [
        said.dist_style.as_ref().map(|(_, p)| ("DISTSTYLE", *p)),
        said.dist_key.as_ref().map(|(_, p)| ("DISTKEY", *p)),
        said.sort.as_ref().map(|(_, p)| ("SORTKEY", *p)),
        said.encode_auto.map(|p| ("ENCODE AUTO", p)),
        said.backup.map(|(_, p)| ("BACKUP", p)),
    ];
    match places.into_iter().flatten().next() {
        Some((word, position)) => Err(not_with_like(word, position, like)),
        None => Ok(()),
    }
}

fn not_with_like(word: &str, position: Position, like: Position) -> Error {
    wrong(format!("{word} does not go with LIKE"), position)
        .with_detail(format!("LIKE at line {}, column {} takes it from the parent", like.line, like.column))
        .with_hint(format!("leave {word} out, or write the columns instead of LIKE"))
}

struct Resolver {
    names: Option<Vec<Ident>>,
    is_query: bool,
}

impl Resolver {
    /// The column by name, where names are known.
    fn resolve(&self, key: KeyColumn, what: &str) -> Result<KeyColumn> {
        let missing = |column: String, position, names: &[Ident]| {
            let names: Vec<&str> = names.iter().take(20).map(|n| n.value.as_str()).collect();
            invalid(
                SqlState::UNDEFINED_COLUMN,
                format!("{what} names {column}, which the table does not have"),
                position,
            )
            .with_hint(format!("use one of the table's columns: {}", names.join(", ")))
        };
        match (key, &self.names) {
            (KeyColumn::Position { position, .. }, _) if !self.is_query => {
                Err(invalid(SqlState::SYNTAX_ERROR, format!("{what} takes column names"), position)
                    .with_hint("numbers stand for columns only in CREATE TABLE AS"))
            }
            (KeyColumn::Position { ordinal, position }, Some(names)) => match names.get(ordinal as usize - 1) {
                Some(name) => Ok(KeyColumn::Name(Ident { position, ..name.clone() })),
                None => Err(missing(format!("column {ordinal}"), position, names)),
            },
            (KeyColumn::Name(name), Some(names)) if !names.contains(&name) => {
                Err(missing(format!("column \"{}\"", name.value), name.position, names))
            }
            (key, _) => Ok(key),
        }
    }
}

fn dist(
    body: &Body,
    style: Option<(DistWord, Position)>,
    table_key: Option<(KeyColumn, Position)>,
    resolver: &Resolver,
) -> Result<Option<DistClause>> {
    let at_columns = body.columns.iter().zip(&body.keys).filter_map(|(c, k)| {
        k.distkey.map(|position| (KeyColumn::Name(Ident { position, ..c.name.clone() }), position))
    });
    let mut keys = at_columns.chain(table_key);
    let key = keys.next();
    if let Some((_, position)) = keys.next() {
        return Err(wrong("a table has one DISTKEY", position)
            .with_hint("keep the DISTKEY on the column that the largest joins use"));
    }
    match (style, key) {
        (None, None) => Ok(None),
        (Some((DistWord::Auto, _)), None) => Ok(Some(DistClause::Auto)),
        (Some((DistWord::Even, _)), None) => Ok(Some(DistClause::Even)),
        (Some((DistWord::All, _)), None) => Ok(Some(DistClause::All)),
        (Some((DistWord::Key, position)), None) => Err(wrong("DISTSTYLE KEY needs a DISTKEY", position)
            .with_hint("add DISTKEY (column), or choose DISTSTYLE AUTO, EVEN or ALL")),
        (None | Some((DistWord::Key, _)), Some((key, _))) => {
            Ok(Some(DistClause::Key(resolver.resolve(key, "DISTKEY")?)))
        }
        (Some((style, _)), Some((_, position))) => {
            let style = format!("{style:?}").to_ascii_uppercase();
            Err(wrong(format!("DISTKEY does not go with DISTSTYLE {style}"), position)
                .with_hint("write DISTSTYLE KEY, or leave DISTKEY out"))
        }
    }
}

fn sort(body: &Body, said: Option<(SortClause, Position)>, resolver: &Resolver) -> Result<Option<SortClause>> {
    let mut at_columns = body
        .columns
        .iter()
        .zip(&body.keys)
        .filter_map(|(c, k)| k.sortkey.map(|position| KeyColumn::Name(Ident { position, ..c.name.clone() })));
    let first = at_columns.next();
    if let Some(second) = at_columns.next() {
        return Err(wrong("only one column can have SORTKEY behind its type", second.position())
            .with_hint("write SORTKEY (column, …) behind the parentheses"));
    }
    match (first, said) {
        (Some(first), Some(_)) => Err(wrong("SORTKEY stands both at a column and at the table", first.position())
            .with_hint("keep the one behind the parentheses")),
        (Some(first), None) => Ok(Some(SortClause::Columns { style: SortStyle::Compound, columns: vec![first] })),
        (None, None) => Ok(None),
        (None, Some((said @ (SortClause::Auto | SortClause::None), _))) => Ok(Some(said)),
        (None, Some((SortClause::Columns { style, columns }, _))) => {
            check_sort(style, &columns)?;
            let columns = columns.into_iter().map(|c| resolver.resolve(c, "SORTKEY")).collect::<Result<Vec<_>>>()?;
            distinct_keys(&columns)?;
            Ok(Some(SortClause::Columns { style, columns }))
        }
    }
}

/// Not too many columns for a sort key.
pub(super) fn check_sort(style: SortStyle, columns: &[KeyColumn]) -> Result<()> {
    let (what, most, hint) = match style {
        SortStyle::Compound => ("SORTKEY", MAX_SORT_COLUMNS, "keep the first few: later ones hardly order anything"),
        SortStyle::Interleaved => (
            "INTERLEAVED SORTKEY",
            SortKey::MAX_INTERLEAVED,
            "keep the columns that filters name most: each further one makes all others coarser",
        ),
    };
    match columns.get(most) {
        Some(beyond) => {
            Err(wrong(format!("{what} has at most {most} columns, here are {}", columns.len()), beyond.position())
                .with_hint(hint))
        }
        None => Ok(()),
    }
}

pub(super) fn distinct_keys(columns: &[KeyColumn]) -> Result<()> {
    let mut names = HashSet::new();
    let mut ordinals = HashSet::new();
    let twice = columns.iter().find(|c| match c {
        KeyColumn::Name(name) => !names.insert(name.value.as_str()),
        KeyColumn::Position { ordinal, .. } => !ordinals.insert(*ordinal),
    });
    match twice {
        Some(key) => Err(invalid(SqlState::DUPLICATE_COLUMN, "SORTKEY names a column twice", key.position())
            .with_hint("name each column once")),
        None => Ok(()),
    }
}

/// Constraints name existing columns; the primary key's are NOT NULL.
fn constraints(table: &mut CreateTable, resolver: &Resolver) -> Result<()> {
    let mut primary: Option<&Constraint> = None;
    let mut names = HashSet::new();
    for constraint in &table.constraints {
        let (columns, what) = match &constraint.kind {
            ConstraintKind::PrimaryKey(columns) => (columns, "PRIMARY KEY"),
            ConstraintKind::Unique(columns) => (columns, "UNIQUE"),
            ConstraintKind::ForeignKey { columns, .. } => (columns, "FOREIGN KEY"),
        };
        for column in columns {
            resolver.resolve(KeyColumn::Name(column.clone()), what)?;
        }
        if let Some(name) = constraint.name.as_ref().filter(|name| !names.insert(name.value.as_str())) {
            return Err(wrong(format!("two constraints are named \"{}\"", name.value), name.position)
                .with_hint("name them differently, or leave the name out"));
        }
        match &constraint.kind {
            ConstraintKind::PrimaryKey(_) if primary.replace(constraint).is_some() => {
                return Err(wrong("a table has one PRIMARY KEY", constraint.position)
                    .with_hint("write PRIMARY KEY (column, …) once, or UNIQUE for the other"));
            }
            ConstraintKind::ForeignKey { columns, referenced, .. }
                if !referenced.is_empty() && referenced.len() != columns.len() =>
            {
                return Err(wrong(
                    format!("FOREIGN KEY has {} columns but refers to {}", columns.len(), referenced.len()),
                    constraint.position,
                )
                .with_hint("refer to one column for each"));
            }
            _ => {}
        }
    }
    let Some(Constraint { kind: ConstraintKind::PrimaryKey(key), position, .. }) = primary else { return Ok(()) };
    let position = *position;
    for column in table.columns.iter_mut().filter(|c| key.contains(&c.name)) {
        if column.not_null == Some(false) {
            let message = format!("column \"{}\" of the primary key is NULL", column.name.value);
            return Err(wrong(message, position).with_hint("leave NULL out"));
        }
        column.not_null = Some(true);
    }
    Ok(())
}
