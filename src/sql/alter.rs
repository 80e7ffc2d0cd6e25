//! ALTER TABLE and ALTER WAREHOUSE.

use sqlparser::tokenizer::Token;

use crate::common::error::Position;
use crate::common::{Result, SortStyle, SqlState};

use super::ast::{AlterConstraint, AlterTable, ConstraintState, DistClause, Extra, SortClause, Statement, TableChange};
use super::create_table::{Body, element, encoding, key_column};
use super::cursor::{Cursor, invalid, syntax_error, unsupported};
use super::data_type::data_type;
use super::{retention, validate};

/// What follows the table's name and is not offered, by its first words (Redshift manual, "ALTER TABLE").
const REFUSED: [&str; 5] = ["ADD PARTITION", "DROP PARTITION", "ROW LEVEL SECURITY", "SET", "MASKING"];

/// What may follow, for errors.
const FORMS: &str = "the forms are RENAME, ADD and DROP COLUMN, ALTER COLUMN … TYPE and ENCODE, ALTER DISTSTYLE, DISTKEY and SORTKEY, \
                     ADD and DROP CONSTRAINT, ALTER and VERIFY CONSTRAINT, OWNER TO, APPEND FROM, SWAP WITH";

/// `ALTER TABLE table …`; what may follow is [`TableChange`] and [`AlterConstraint`].
pub(super) fn alter_table(c: &mut Cursor) -> Result<Statement> {
    let start = c.position();
    c.expect("ALTER TABLE")?;
    let table = c.object_name("a table name")?;
    if c.is("RETAIN") {
        return retention::retain(c, table);
    }
    if c.take("VERIFY CONSTRAINT") {
        let name = c.ident("a constraint name")?;
        return Ok(Statement::AlterConstraint(AlterConstraint { table, name, state: ConstraintState::Verified }));
    }
    if c.take("ALTER CONSTRAINT") {
        let name = c.ident("a constraint name")?;
        let state = match () {
            _ if c.take("RELY") => ConstraintState::Rely,
            _ if c.take("NORELY") => ConstraintState::NoRely,
            _ => return Err(c.expected("RELY or NORELY").with_hint("what holds is told by VERIFY CONSTRAINT")),
        };
        return Ok(Statement::AlterConstraint(AlterConstraint { table, name, state }));
    }
    if let Some(words) = REFUSED.iter().find(|words| c.is(words)) {
        return Err(unsupported(format!("ALTER TABLE … {words}"), start));
    }
    let change = change(c)?;
    Ok(Statement::AlterTable(Box::new(AlterTable { table, change })))
}

/// `ALTER WAREHOUSE SET SLICES n`
pub(super) fn alter_warehouse(c: &mut Cursor) -> Result<Statement> {
    c.expect("ALTER WAREHOUSE")?;
    c.expect("SET SLICES")?;
    let position = c.position();
    let slices = c.number("the number of slices")?;
    Ok(Statement::SetSlices { slices, position })
}

fn change(c: &mut Cursor) -> Result<TableChange> {
    let start = c.position();
    if c.take("RENAME TO") {
        return Ok(TableChange::Rename(c.ident("the new name")?));
    }
    if c.take("RENAME") {
        c.take("COLUMN");
        let from = c.ident("a column name")?;
        c.expect("TO")?;
        return Ok(TableChange::RenameColumn { from, to: c.ident("the new name")? });
    }
    if c.take("ADD") {
        return add(c, start);
    }
    if c.take("DROP CONSTRAINT") {
        return Ok(TableChange::DropConstraint { name: c.ident("a constraint name")?, cascade: cascade(c) });
    }
    if c.take("DROP") {
        c.take("COLUMN");
        return Ok(TableChange::DropColumn { name: c.ident("a column name")?, cascade: cascade(c) });
    }
    if c.take("OWNER TO") {
        return Ok(TableChange::Owner(c.ident("a user's name")?));
    }
    if c.take("APPEND FROM") {
        let source = c.object_name("a table name")?;
        let extra = match () {
            _ if c.take("IGNOREEXTRA") => Some(Extra::Ignore),
            _ if c.take("FILLTARGET") => Some(Extra::Fill),
            _ => None,
        };
        return Ok(TableChange::Append { source, extra });
    }
    if c.take("SWAP WITH") {
        return Ok(TableChange::Swap(c.object_name("a table name")?));
    }
    if c.is("ALTER") {
        return alterations(c);
    }
    Err(c.expected("a change of the table").with_hint(FORMS))
}

fn cascade(c: &mut Cursor) -> bool {
    let cascade = c.take("CASCADE");
    if !cascade {
        c.take("RESTRICT");
    }
    cascade
}

/// Behind ADD.
fn add(c: &mut Cursor, start: Position) -> Result<TableChange> {
    let of_column = c.take("COLUMN");
    if of_column && c.is("CONSTRAINT") {
        return Err(c.expected("a column name"));
    }
    let mut body = Body::default();
    element(c, &mut body)?;
    if let Some((_, position)) = &body.like {
        return Err(syntax_error("LIKE is of CREATE TABLE only", *position).with_hint("add one column at a time"));
    }
    if let Some(name) = body.names.first() {
        return Err(syntax_error("a column needs a type", name.position).with_hint("write the type behind its name"));
    }
    if let Some(constraint) = body.constraints.pop() {
        return Ok(TableChange::AddConstraint(constraint));
    }
    let wrong = |what: &str, position: Position, hint: &str| {
        let message = format!("a column that is added cannot have {what}");
        Err(invalid(SqlState::INVALID_TABLE_DEFINITION, message, position).with_hint(hint))
    };
    if let Some(constraint) = body.column_constraints.first() {
        return wrong("a constraint", constraint.position, "add the column, then ADD CONSTRAINT");
    }
    let keys = body.keys.first().copied().unwrap_or_default();
    if let Some(position) = keys.distkey {
        return wrong("DISTKEY", position, "add the column, then ALTER DISTKEY");
    }
    if let Some(position) = keys.sortkey {
        return wrong("SORTKEY", position, "add the column, then ALTER SORTKEY");
    }
    match body.columns.pop() {
        Some(spec) if spec.identity.is_some() => {
            wrong("IDENTITY", spec.name.position, "make a new table with it, and INSERT the rows there")
        }
        Some(_) if *c.token(0) == Token::Comma => {
            Err(syntax_error("one column is added at a time", c.position()).with_hint("write a statement for each"))
        }
        Some(spec) => Ok(TableChange::AddColumn(Box::new(spec))),
        None => Err(syntax_error("a column or a constraint is missing", start).with_hint(FORMS)),
    }
}

/// One or several of `ALTER …`, which go together if they are of columns' encodings, or of the layout.
fn alterations(c: &mut Cursor) -> Result<TableChange> {
    let (mut dist, mut sort): (Option<DistClause>, Option<SortClause>) = (None, None);
    let mut encodings = Vec::new();
    loop {
        let position = c.position();
        c.expect("ALTER")?;
        let twice = |what: &str| {
            Err(invalid(SqlState::SYNTAX_ERROR, format!("{what} is given twice"), position).with_hint("give it once"))
        };
        let alone = |c: &Cursor, what: &str| match dist.is_none() && sort.is_none() && encodings.is_empty() {
            true if *c.token(0) != Token::Comma => Ok(()),
            _ => Err(syntax_error(format!("{what} goes with no other change"), position)
                .with_hint("write a statement for each")),
        };
        if c.take("ENCODE") {
            c.expect("AUTO")?;
            alone(c, "ENCODE AUTO")?;
            return Ok(TableChange::EncodeAuto);
        } else if c.is("DISTSTYLE") || c.is("DISTKEY") {
            if dist.replace(distribution(c)?).is_some() {
                return twice("the distribution");
            }
        } else if c.is("SORTKEY") || c.is("COMPOUND SORTKEY") || c.is("INTERLEAVED SORTKEY") {
            if sort.replace(sort_key(c)?).is_some() {
                return twice("SORTKEY");
            }
        } else {
            c.take("COLUMN");
            let name = c.ident("COLUMN, DISTSTYLE, DISTKEY, SORTKEY or ENCODE AUTO")?;
            if c.take("TYPE") {
                let sql_type = data_type(c)?;
                alone(c, "TYPE")?;
                return Ok(TableChange::Type { name, sql_type });
            }
            if !c.take("ENCODE") {
                return Err(c.expected("TYPE or ENCODE"));
            }
            let encoding = encoding(c)?;
            if encodings.iter().any(|(other, _)| *other == name) {
                return twice(&format!("column \"{}\"", name.value));
            }
            encodings.push((name, encoding));
        }
        let of_layout = dist.is_some() || sort.is_some();
        if of_layout && !encodings.is_empty() {
            let error = syntax_error("encodings and keys are not altered by one statement", position);
            return Err(error.with_hint("write a statement for each"));
        }
        if !c.take_token(&Token::Comma) {
            return Ok(if of_layout { TableChange::Layout { dist, sort } } else { TableChange::Encode(encodings) });
        }
    }
}

/// `DISTSTYLE {ALL | EVEN | AUTO | KEY DISTKEY column}` or `DISTKEY column`
fn distribution(c: &mut Cursor) -> Result<DistClause> {
    if c.take("DISTSTYLE") {
        let style = match () {
            _ if c.take("ALL") => DistClause::All,
            _ if c.take("EVEN") => DistClause::Even,
            _ if c.take("AUTO") => DistClause::Auto,
            _ if c.is("KEY") => {
                c.skip();
                if !c.is("DISTKEY") {
                    return Err(c.expected("DISTKEY and a column"));
                }
                return distribution(c);
            }
            _ => return Err(c.expected("AUTO, EVEN, KEY or ALL")),
        };
        return Ok(style);
    }
    c.expect("DISTKEY")?;
    let column = match *c.token(0) {
        Token::LParen => {
            let mut columns = c.parens(key_column)?;
            if let Some(second) = columns.get(1) {
                let error = invalid(SqlState::INVALID_TABLE_DEFINITION, "DISTKEY takes one column", second.position());
                return Err(error.with_hint("choose the column that the largest joins use"));
            }
            columns.remove(0)
        }
        _ => key_column(c)?,
    };
    Ok(DistClause::Key(column))
}

/// `[COMPOUND | INTERLEAVED] SORTKEY (column, …)` or `SORTKEY {AUTO | NONE}`
fn sort_key(c: &mut Cursor) -> Result<SortClause> {
    let interleaved = c.take("INTERLEAVED");
    let compound = c.take("COMPOUND");
    c.expect("SORTKEY")?;
    if !interleaved && !compound {
        if c.take("AUTO") {
            return Ok(SortClause::Auto);
        }
        if c.take("NONE") {
            return Ok(SortClause::None);
        }
    }
    let style = if interleaved { SortStyle::Interleaved } else { SortStyle::Compound };
    let columns = c.parens(key_column)?;
    validate::check_sort(style, &columns)?;
    validate::distinct_keys(&columns)?;
    Ok(SortClause::Columns { style, columns })
}
