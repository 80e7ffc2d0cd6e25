//! CREATE TABLE in its three forms.

use std::str::FromStr;

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{EncodingName, Result, SortStyle, SqlState};

use super::ast::{
    CloneTable, ColumnSpec, Constraint, ConstraintKind, ConstraintState, CreateFrom, CreateTable, Ident,
    IdentityClause, KeyColumn, Like, ObjectName, SortClause, Statement,
};
use super::cursor::{Cursor, invalid, syntax_error, unsupported};
use super::{copy, data_type, parser, validate};

/// What the table's own attributes say, each with its place.
#[derive(Default)]
pub(super) struct Attributes {
    pub dist_style: Option<(DistWord, Position)>,
    pub dist_key: Option<(KeyColumn, Position)>,
    pub sort: Option<(SortClause, Position)>,
    pub encode_auto: Option<Position>,
    pub backup: Option<(bool, Position)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DistWord {
    Auto,
    Even,
    Key,
    All,
}

/// The words of a column that the table's layout comes from, each with its place.
#[derive(Default, Clone, Copy)]
pub(super) struct ColumnKeys {
    pub distkey: Option<Position>,
    pub sortkey: Option<Position>,
}

/// What stands between the parentheses.
#[derive(Default)]
pub(super) struct Body {
    pub columns: Vec<ColumnSpec>,
    /// One for each column.
    pub keys: Vec<ColumnKeys>,
    pub constraints: Vec<Constraint>,
    pub column_constraints: Vec<Constraint>,
    pub like: Option<(Like, Position)>,
    pub names: Vec<Ident>,
}

/// From behind `CREATE [TEMP] TABLE`.
pub(super) fn create_table(c: &mut Cursor, temporary: bool) -> Result<Statement> {
    c.take_cut();
    let if_not_exists = c.take("IF NOT EXISTS");
    let name = c.object_name("a table name")?;
    if c.take("CLONE") {
        let source = c.object_name("the name of the table to clone")?;
        let at = if c.take("FOR SYSTEM_TIME AS OF") { Some(c.with(|p| p.parse_expr())?) } else { None };
        let temporary = temporary || name.base().value.starts_with('#');
        return Ok(Statement::CloneTable(Box::new(CloneTable { temporary, if_not_exists, name, source, at })));
    }
    let mut body = Body::default();
    let with_body = *c.token(0) == Token::LParen;
    if with_body {
        c.skip();
        loop {
            element(c, &mut body)?;
            if !c.take_token(&Token::Comma) {
                break;
            }
        }
        if !c.take_token(&Token::RParen) {
            return Err(c.expected("\",\" or \")\""));
        }
    }
    let attributes = attributes(c)?;
    let as_position = c.position();
    if !with_body && c.take("FROM") {
        let mut table = CreateTable {
            temporary: temporary || name.base().value.starts_with('#'),
            if_not_exists,
            encode_auto: attributes.encode_auto.is_some(),
            backup: attributes.backup.map(|(backup, _)| backup),
            cut_names: c.take_cut(),
            ..CreateTable::named(name.clone())
        };
        validate::complete(&mut table, body, attributes, true)?;
        let files = copy::files(c, name, Vec::new())?;
        return Ok(Statement::CreateFrom(Box::new(CreateFrom { table, files })));
    }
    let as_query = if c.take("AS") { Some(parser::query(c)?) } else { None };
    if as_query.is_none() && !c.at_end() {
        let what = if with_body { "a table attribute or the statement's end" } else { "\"(\", AS or FROM" };
        return Err(c.expected(what).with_hint(
            "table attributes are BACKUP, DISTSTYLE, DISTKEY (column), [COMPOUND | INTERLEAVED] SORTKEY (column, …), \
             SORTKEY AUTO, SORTKEY NONE, ENCODE AUTO",
        ));
    }
    if as_query.is_none() && (!with_body || !body.names.is_empty()) {
        let position = body.names.first().map_or(as_position, |n| n.position);
        let message = if with_body { "columns need a type" } else { "expected \"(\" or AS, found the statement's end" };
        return Err(
            syntax_error(message, position).with_hint("write the type behind each column name, or AS and a query")
        );
    }
    if as_query.is_some() && with_body && body.names.is_empty() {
        return Err(syntax_error("CREATE TABLE AS takes column names only, without types or constraints", as_position)
            .with_hint("leave the types out; cast in the query"));
    }
    if as_query.is_some() && !(body.columns.is_empty() && body.constraints.is_empty()) {
        return Err(syntax_error("either all columns have a type or none", body.names[0].position)
            .with_hint("in CREATE TABLE AS leave the types out"));
    }
    let temporary = temporary || name.base().value.starts_with('#');
    let mut table = CreateTable {
        temporary,
        if_not_exists,
        encode_auto: attributes.encode_auto.is_some(),
        backup: attributes.backup.map(|(backup, _)| backup),
        cut_names: c.take_cut(),
        as_query,
        ..CreateTable::named(name)
    };
    let told = table.as_query.is_some();
    validate::complete(&mut table, body, attributes, told)?;
    Ok(Statement::CreateTable(Box::new(table)))
}

/// One of the comma-separated parts between the parentheses.
pub(super) fn element(c: &mut Cursor, body: &mut Body) -> Result<()> {
    let position = c.position();
    if c.take("LIKE") {
        let parent = c.object_name("a table name")?;
        let including_defaults = c.take("INCLUDING DEFAULTS");
        if !including_defaults {
            c.take("EXCLUDING DEFAULTS");
        }
        if body.like.is_some() {
            return Err(
                unsupported("LIKE of two tables", position).with_hint("write the columns of one of them instead")
            );
        }
        if let Some(name) = body.names.first() {
            return Err(syntax_error("columns need a type", name.position).with_hint("write it behind the name"));
        }
        body.like = Some((Like { parent, including_defaults, at: body.columns.len() }, position));
        return Ok(());
    }
    let constraint_name = if c.take("CONSTRAINT") { Some(c.ident("a constraint name")?) } else { None };
    let kind = if c.take("PRIMARY KEY") {
        Some(ConstraintKind::PrimaryKey(c.column_names()?))
    } else if c.is("UNIQUE") && *c.token(1) == Token::LParen {
        c.skip();
        Some(ConstraintKind::Unique(c.column_names()?))
    } else if c.take("FOREIGN KEY") {
        let columns = c.column_names()?;
        c.expect("REFERENCES")?;
        let (table, referenced) = references(c)?;
        Some(ConstraintKind::ForeignKey { columns, table, referenced })
    } else if c.is("CHECK") {
        return Err(unsupported("CHECK", position));
    } else {
        None
    };
    match kind {
        Some(kind) => {
            let state = constraint_state(c);
            body.constraints.push(Constraint { name: constraint_name, kind, state, position });
        }
        None if constraint_name.is_some() => return Err(c.expected("PRIMARY KEY, UNIQUE or FOREIGN KEY")),
        None => {
            let name = c.ident("a column name")?;
            if c.at_end() || matches!(c.token(0), Token::Comma | Token::RParen) {
                body.names.push(name);
            } else {
                column(c, name, body)?;
            }
        }
    }
    Ok(())
}

/// Behind REFERENCES.
fn references(c: &mut Cursor) -> Result<(ObjectName, Vec<Ident>)> {
    let table = c.object_name("a table name")?;
    let referenced = if *c.token(0) == Token::LParen { c.column_names()? } else { Vec::new() };
    let refused = ["ON DELETE", "ON UPDATE", "MATCH", "DEFERRABLE", "NOT DEFERRABLE", "INITIALLY"];
    match refused.into_iter().find(|words| c.is(words)) {
        Some(words) => Err(unsupported(words, c.position())
            .with_hint("leave it out: foreign keys are not enforced, so that nothing follows from a change")),
        None => Ok((table, referenced)),
    }
}

fn column(c: &mut Cursor, name: Ident, body: &mut Body) -> Result<()> {
    let mut spec = ColumnSpec {
        sql_type: data_type::data_type(c)?,
        name,
        not_null: None,
        default: None,
        identity: None,
        encode: None,
        distkey: false,
        sortkey: false,
    };
    let mut keys = ColumnKeys::default();
    while !c.at_end() && !matches!(c.token(0), Token::Comma | Token::RParen) {
        let position = c.position();
        let twice = |word: &str| {
            Err(syntax_error(format!("{word} is given twice for column \"{}\"", spec.name.value), position)
                .with_hint("give it once"))
        };
        if c.take("DEFAULT") {
            if spec.default.is_some() {
                return twice("DEFAULT");
            }
            let default = c.with(|p| p.parse_expr())?;
            if matches!(default, Expr::Collate { .. }) {
                return Err(unsupported("COLLATE", position));
            }
            spec.default = Some(default);
        } else if c.take("ENCODE") {
            if spec.encode.is_some() {
                return twice("ENCODE");
            }
            spec.encode = Some(encoding(c)?);
        } else if c.take("DISTKEY") {
            if keys.distkey.replace(position).is_some() {
                return twice("DISTKEY");
            }
            spec.distkey = true;
        } else if c.take("SORTKEY") {
            if keys.sortkey.replace(position).is_some() {
                return twice("SORTKEY");
            }
            spec.sortkey = true;
        } else if c.is("NOT NULL") || c.is("NULL") {
            let not_null = c.take("NOT");
            c.skip();
            if spec.not_null.is_some_and(|before| before != not_null) {
                return Err(syntax_error(
                    format!("column \"{}\" is both NULL and NOT NULL", spec.name.value),
                    position,
                )
                .with_hint("give one of the two"));
            }
            spec.not_null = Some(not_null);
        } else if let Some(constraint) = column_constraint(c, &spec.name)? {
            body.column_constraints.push(constraint);
        } else if let Some(identity) = identity(c)? {
            if spec.identity.replace(identity).is_some() {
                return twice("IDENTITY");
            }
        } else if c.is("COLLATE") || c.is("CHECK") {
            let word = c.upper_word(0).unwrap_or_default();
            return Err(unsupported(word, position));
        } else {
            return Err(c.expected("a column attribute, \",\" or \")\"").with_hint(
                "column attributes are DEFAULT, IDENTITY, ENCODE, DISTKEY, SORTKEY, NOT NULL, NULL, UNIQUE, PRIMARY KEY, \
                 REFERENCES",
            ));
        }
    }
    body.columns.push(spec);
    body.keys.push(keys);
    Ok(())
}

/// `IDENTITY (seed, step)` or `GENERATED BY DEFAULT AS IDENTITY (seed, step)`
fn identity(c: &mut Cursor) -> Result<Option<IdentityClause>> {
    let position = c.position();
    if c.is("GENERATED ALWAYS") {
        return Err(
            unsupported("GENERATED ALWAYS", position).with_hint("write IDENTITY (seed, step), which means the same")
        );
    }
    let by_default = c.take("GENERATED");
    if by_default {
        c.expect("BY DEFAULT AS IDENTITY")?;
    } else if !c.take("IDENTITY") {
        return Ok(None);
    }
    c.expect_token(&Token::LParen)?;
    let seed = signed(c, "the seed, a whole number")?;
    c.expect_token(&Token::Comma)?;
    let place = c.position();
    let step = signed(c, "the step, a whole number")?;
    c.expect_token(&Token::RParen)?;
    if step == 0 {
        return Err(invalid(SqlState::INVALID_TABLE_DEFINITION, "the step of an IDENTITY is 0", place)
            .with_hint("use a step such as 1"));
    }
    Ok(Some(IdentityClause { seed, step, by_default }))
}

fn signed(c: &mut Cursor, what: &str) -> Result<i64> {
    let position = c.position();
    let negative = c.take_token(&Token::Minus);
    if !negative {
        c.take_token(&Token::Plus);
    }
    let number = i128::from(c.number(what)?);
    i64::try_from(if negative { -number } else { number }).map_err(|_| {
        invalid(SqlState::NUMERIC_OUT_OF_RANGE, "a number of an IDENTITY is out of range", position)
            .with_hint("it must fit a BIGINT")
    })
}

fn column_constraint(c: &mut Cursor, column: &Ident) -> Result<Option<Constraint>> {
    let position = c.position();
    let name = if c.take("CONSTRAINT") { Some(c.ident("a constraint name")?) } else { None };
    let columns = vec![Ident { position, ..column.clone() }];
    let kind = if c.take("PRIMARY KEY") {
        ConstraintKind::PrimaryKey(columns)
    } else if c.take("UNIQUE") {
        ConstraintKind::Unique(columns)
    } else if c.take("REFERENCES") {
        let (table, referenced) = references(c)?;
        ConstraintKind::ForeignKey { columns, table, referenced }
    } else if name.is_some() {
        return Err(c.expected("PRIMARY KEY, UNIQUE or REFERENCES"));
    } else {
        return Ok(None);
    };
    Ok(Some(Constraint { name, kind, state: constraint_state(c), position }))
}

/// `[RELY | NORELY | VERIFIED]`
fn constraint_state(c: &mut Cursor) -> ConstraintState {
    if c.take("RELY") {
        ConstraintState::Rely
    } else if c.take("VERIFIED") {
        ConstraintState::Verified
    } else {
        c.take("NORELY");
        ConstraintState::NoRely
    }
}

/// Behind ENCODE.
pub(super) fn encoding(c: &mut Cursor) -> Result<EncodingName> {
    let position = c.position();
    let Some(word) = c.word(0) else { return Err(c.expected("an encoding")) };
    let name = EncodingName::from_str(&word.value).map_err(|e| e.with_position(position.line, position.column))?;
    c.skip();
    Ok(name)
}

fn attributes(c: &mut Cursor) -> Result<Attributes> {
    let mut said = Attributes::default();
    loop {
        let position = c.position();
        let twice = |word: &str| {
            Err(invalid(SqlState::INVALID_TABLE_DEFINITION, format!("{word} is given twice"), position)
                .with_hint("give it once"))
        };
        if c.take("BACKUP") {
            let backup = c.take("YES");
            if !backup && !c.take("NO") {
                return Err(c.expected("YES or NO"));
            }
            if said.backup.replace((backup, position)).is_some() {
                return twice("BACKUP");
            }
        } else if c.take("DISTSTYLE") {
            let style = match c.upper_word(0).as_deref() {
                Some("AUTO") => DistWord::Auto,
                Some("EVEN") => DistWord::Even,
                Some("KEY") => DistWord::Key,
                Some("ALL") => DistWord::All,
                _ => return Err(c.expected("AUTO, EVEN, KEY or ALL")),
            };
            c.skip();
            if said.dist_style.replace((style, position)).is_some() {
                return twice("DISTSTYLE");
            }
        } else if c.take("DISTKEY") {
            let mut columns = c.parens(key_column)?;
            if columns.len() > 1 {
                return Err(invalid(
                    SqlState::INVALID_TABLE_DEFINITION,
                    "DISTKEY takes one column",
                    columns[1].position(),
                )
                .with_hint("choose the column that the largest joins use"));
            }
            if said.dist_key.replace((columns.remove(0), position)).is_some() {
                return twice("DISTKEY");
            }
        } else if c.take("INTERLEAVED SORTKEY") {
            let sort = SortClause::Columns { style: SortStyle::Interleaved, columns: c.parens(key_column)? };
            if said.sort.replace((sort, position)).is_some() {
                return twice("SORTKEY");
            }
        } else if c.take("COMPOUND SORTKEY") || c.take("SORTKEY") {
            let sort = if c.take("AUTO") {
                SortClause::Auto
            } else if c.take("NONE") {
                SortClause::None
            } else {
                SortClause::Columns { style: SortStyle::Compound, columns: c.parens(key_column)? }
            };
            if said.sort.replace((sort, position)).is_some() {
                return twice("SORTKEY");
            }
        } else if c.take("ENCODE") {
            c.expect("AUTO")?;
            if said.encode_auto.replace(position).is_some() {
                return twice("ENCODE AUTO");
            }
        } else {
            return Ok(said);
        }
    }
}

pub(super) fn key_column(c: &mut Cursor) -> Result<KeyColumn> {
    let position = c.position();
    if !matches!(c.token(0), Token::Number(..)) {
        return Ok(KeyColumn::Name(c.ident("a column name")?));
    }
    let ordinal = c.number("a column's number")?;
    match u32::try_from(ordinal) {
        Ok(ordinal @ 1..) => Ok(KeyColumn::Position { ordinal, position }),
        _ => Err(invalid(SqlState::UNDEFINED_COLUMN, format!("there is no column {ordinal}"), position)
            .with_hint("columns are counted from 1")),
    }
}
