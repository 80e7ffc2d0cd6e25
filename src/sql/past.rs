//! `FOR SYSTEM_TIME AS OF version | timestamp` behind a table's name.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident as SqlIdent, ObjectName as SqlName, Query, TableAlias, TableFactor, TableVersion, Visit, VisitMut,
    Visitor, VisitorMut,
};

use crate::common::error::Position;
use crate::common::{Error, Result};

use super::ast::ObjectName;
use super::cursor::{Cursor, syntax_error, unsupported};
use super::parser::name_of;
use super::rewrite::name_position;
use super::scope::{Scope, Scoped};
use super::view::object_name;

/// What stands for a table of the past between [`take_pasts`] and [`name_pasts`]; SQL cannot write it.
const TAKEN: &str = "\0past";

/// A table that a query reads as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PastTable {
    pub name: ObjectName,
    /// The version, or the time.
    pub at: Expr,
}

/// Takes each FOR SYSTEM_TIME AS OF out of a query; [`name_pasts`] is then to be told what their tables are called.
///
/// Errors: Invalid where it stands behind what is no table's name, Unsupported for other words than these.
pub fn take_pasts(query: &mut Query) -> Result<Vec<PastTable>> {
    if check_present(query, "").is_ok() {
        return Ok(Vec::new());
    }
    let mut taker = Taker { taken: Vec::new(), scope: Scope::default() };
    match VisitMut::visit(query, &mut taker) {
        ControlFlow::Continue(()) => Ok(taker.taken),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Gives the tables that [`take_pasts`] took out their names, one for each.
pub fn name_pasts(query: &mut Query, names: &[Vec<String>]) {
    let _: ControlFlow<()> = VisitMut::visit(query, &mut Namer { names });
}

/// Unsupported where a table is to be read as it was; `place` says why that cannot be.
pub fn check_present(query: &Query, place: &str) -> Result<()> {
    match Visit::visit(query, &mut Present) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(at) => Err(unsupported(format!("FOR SYSTEM_TIME AS OF {place}").trim_end(), at)
            .with_hint("CREATE TABLE … CLONE … FOR SYSTEM_TIME AS OF … keeps a past version as a table")),
    }
}

/// The name of a table that is to be changed.
pub(super) fn present_table(c: &mut Cursor) -> Result<ObjectName> {
    let name = c.object_name("a table name")?;
    match c.is("FOR SYSTEM_TIME") {
        false => Ok(name),
        true => Err(syntax_error("a past version of a table cannot be changed", c.position()).with_hint(
            "leave FOR SYSTEM_TIME AS OF out, or change a clone: CREATE TABLE … CLONE … FOR SYSTEM_TIME AS OF …",
        )),
    }
}

struct Present;

impl Visitor for Present {
    type Break = Position;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Position> {
        match factor {
            TableFactor::Table { version: Some(_), name, .. } => ControlFlow::Break(name_position(name)),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Taker {
    taken: Vec<PastTable>,
    scope: Scope,
}

impl Scoped for Taker {
    fn scope(&mut self) -> &mut Scope {
        &mut self.scope
    }
}

impl Taker {
    fn take(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, args, version, .. } = factor else { return Ok(()) };
        let Some(taken) = version.take() else { return Ok(()) };
        let at = name_position(name);
        let TableVersion::ForSystemTimeAsOf(time) = taken else {
            return Err(unsupported(format!("{taken} behind a table"), at).with_hint("write FOR SYSTEM_TIME AS OF"));
        };
        let read = match (args, object_name(name)) {
            (None, Some(read)) => name_of(name, read.position())?,
            _ => return Err(no_table("a function", at)),
        };
        if read.parts.len() == 1 && self.scope.contains(&read.parts[0].value) {
            return Err(no_table(&format!("\"{}\", which WITH defines", read.base().value), at));
        }
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: SqlIdent {
                span: name
                    .0
                    .last()
                    .and_then(|p| p.as_ident())
                    .map_or_else(sqlparser::tokenizer::Span::empty, |i| i.span),
                ..SqlIdent::with_quote('"', read.base().value.clone())
            },
            columns: Vec::new(),
            at: None,
        });
        let number = self.taken.len().to_string();
        *name = SqlName::from(vec![SqlIdent::with_quote('"', TAKEN), SqlIdent::with_quote('"', number)]);
        self.taken.push(PastTable { name: read, at: time });
        Ok(())
    }
}

fn no_table(what: &str, at: Position) -> Error {
    syntax_error(format!("FOR SYSTEM_TIME AS OF stands behind a table's name, not behind {what}"), at)
        .with_hint("put it behind the tables within")
}

impl VisitorMut for Taker {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.enter(query)
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.take(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

struct Namer<'a> {
    names: &'a [Vec<String>],
}

impl VisitorMut for Namer<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && let [taken, number] = name.0.as_slice()
            && taken.as_ident().is_some_and(|taken| taken.value == TAKEN)
            && let Some(names) = number.as_ident().and_then(|n| self.names.get(n.value.parse::<usize>().ok()?))
        {
            *name = SqlName::from(names.iter().map(|part| SqlIdent::with_quote('"', part)).collect::<Vec<_>>());
        }
        ControlFlow::Continue(())
    }
}
