//! CREATE VIEW, and the names that a view's query reads.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident as SqlIdent, ObjectName as SqlName, ObjectNamePart, Query, Select, SelectItem,
    Statement as SqlStatement, TableFactor, Visit, VisitMut, Visitor, VisitorMut, visit_expressions, visit_relations,
};
use sqlparser::tokenizer::Token;

use crate::common::{Result, SqlState};

use super::ast::{CreateView, Ident, ObjectName, Statement};
use super::cursor::{Cursor, at, syntax_error, unsupported};
use super::scope::{Scope, Scoped};
use super::{parser, past};

/// From behind `CREATE [OR REPLACE] [TEMP] VIEW`.
pub(super) fn create_view(c: &mut Cursor, or_replace: bool, temporary: bool) -> Result<Statement> {
    if c.is("IF NOT EXISTS") {
        return Err(unsupported("IF NOT EXISTS of a view", c.position()).with_hint("use CREATE OR REPLACE VIEW"));
    }
    let name = c.object_name("a view name")?;
    let columns = if *c.token(0) == Token::LParen { c.column_names()? } else { Vec::new() };
    c.expect("AS")?;
    let position = c.position();
    let query = parser::query(c)?;
    past::check_present(&query, "in a view")?;
    let late_binding = c.take("WITH NO SCHEMA BINDING");
    if c.is("WITH CHECK OPTION") || c.is("WITH LOCAL CHECK") || c.is("WITH CASCADED CHECK") {
        return Err(unsupported("WITH CHECK OPTION", c.position()).with_hint("leave it out: views are only read"));
    }
    if late_binding && temporary {
        return Err(syntax_error("WITH NO SCHEMA BINDING does not go with a temporary view", position)
            .with_hint("leave one of them out"));
    }
    Ok(Statement::CreateView(Box::new(CreateView { or_replace, temporary, name, columns, query, late_binding })))
}

/// Calls `see` for every table or view that a query names, common table expressions left out; what it gives replaces
/// the name.
pub fn map_relations(query: &mut Query, see: &mut dyn FnMut(&ObjectName) -> Result<Option<Vec<String>>>) -> Result<()> {
    let mut relations = Relations { see, scope: Scope::default() };
    match VisitMut::visit(query, &mut relations) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The query of a statement that has one.
pub fn query_of(statement: &mut SqlStatement) -> Option<&mut Query> {
    match statement {
        SqlStatement::Query(query) => Some(query),
        SqlStatement::Explain { statement, .. } | SqlStatement::Prepare { statement, .. } => query_of(statement),
        _ => None,
    }
}

/// The same, to look at.
pub fn query_in(statement: &SqlStatement) -> Option<&Query> {
    match statement {
        SqlStatement::Query(query) => Some(query),
        SqlStatement::Explain { statement, .. } | SqlStatement::Prepare { statement, .. } => query_in(statement),
        _ => None,
    }
}

/// Whether a query may mean one of several tables of one name: it names a column by its table's schema, or tables that are
/// called alike in several ways.
pub fn needs_full_names(query: &Query) -> bool {
    let by_schema = visit_expressions(query, |expr| match expr {
        Expr::CompoundIdentifier(parts) if parts.len() > 2 => ControlFlow::Break(()),
        Expr::QualifiedWildcard(SqlName(parts), _) if parts.len() > 1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let mut seen = Vec::new();
    let alike = visit_relations(query, |name| {
        let whole = name.to_string().to_lowercase();
        let last = name.0.last().map(|part| part.to_string().to_lowercase());
        if seen.iter().any(|(other, of)| *other != whole && *of == last) {
            return ControlFlow::Break(());
        }
        seen.push((whole, last));
        ControlFlow::Continue(())
    });
    by_schema.is_break() || alike.is_break()
}

/// Invalid where a FROM calls several tables by one name, and a column is named by that name alone:
/// DataFusion would take the first.
pub fn check_unambiguous(query: &Query) -> Result<()> {
    match Visit::visit(query, &mut Ambiguous) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Ambiguous;

impl Visitor for Ambiguous {
    type Break = crate::common::Error;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        let mut names = Vec::new();
        let mut twice = Vec::new();
        let factors = select
            .from
            .iter()
            .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        for factor in factors {
            let last = match factor {
                TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                    folded(&alias.name)
                }
                TableFactor::Table { name, args: None, .. } => match name.0.last() {
                    Some(ObjectNamePart::Identifier(last)) => folded(last),
                    _ => continue,
                },
                _ => continue,
            };
            if names.contains(&last) { twice.push(last) } else { names.push(last) }
        }
        if twice.is_empty() {
            return ControlFlow::Continue(());
        }
        visit_expressions(select, |expr| match expr {
            Expr::CompoundIdentifier(parts) if parts.len() == 2 && twice.contains(&folded(&parts[0])) => {
                let place = at(parts[0].span.start);
                let message = format!("table reference \"{}\" is ambiguous", parts[0].value);
                let error = crate::common::Error::invalid(SqlState::AMBIGUOUS_ALIAS, message);
                let hint = "write the column with its table's schema, or give the tables aliases";
                ControlFlow::Break(error.with_position(place.line, place.column).with_hint(hint))
            }
            _ => ControlFlow::Continue(()),
        })
    }
}

struct Relations<'a> {
    see: &'a mut dyn FnMut(&ObjectName) -> Result<Option<Vec<String>>>,
    scope: Scope,
}

impl Scoped for Relations<'_> {
    fn scope(&mut self) -> &mut Scope {
        &mut self.scope
    }
}

impl VisitorMut for Relations<'_> {
    type Break = crate::common::Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.enter(query)
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        let TableFactor::Table { name, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(read) = object_name(name) else { return ControlFlow::Continue(()) };
        if read.parts.len() == 1 && self.scope.contains(&read.parts[0].value) {
            return ControlFlow::Continue(());
        }
        match (self.see)(&read) {
            Ok(None) => {}
            Ok(Some(parts)) => {
                // Always in quotes: whatever reads the text then takes the name as it is.
                let part = |value: String| ObjectNamePart::Identifier(SqlIdent::with_quote('"', value));
                *name = SqlName(parts.into_iter().map(part).collect());
            }
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// A name as it is kept: in lower case unless it is quoted.
pub fn folded(name: &SqlIdent) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

/// As our own statements write it; `None` for a name that is computed.
pub(super) fn object_name(name: &SqlName) -> Option<ObjectName> {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(ident) => {
            Some(Ident { value: folded(ident), quoted: ident.quote_style.is_some(), position: at(ident.span.start) })
        }
        ObjectNamePart::Function(_) => None,
    };
    let parts = name.0.iter().map(part).collect::<Option<Vec<_>>>()?;
    (!parts.is_empty()).then_some(ObjectName { parts })
}

/// The words of a query that may name columns.
#[derive(Debug, Default)]
pub struct Mentioned {
    names: Vec<String>,
    /// All columns, by `*`, NATURAL or the like.
    all: bool,
}

impl Mentioned {
    /// What `query` may mention: too much rather than too little.
    pub fn in_query(query: &Query) -> Mentioned {
        let mut mentioned = Mentioned::default();
        let _ = Visit::visit(query, &mut mentioned);
        // What no expression shows: USING (a), NATURAL, window clauses.
        let text = query.to_string();
        let (tokens, _) = super::cursor::tokenize(&text, super::cursor::START);
        for token in &tokens {
            if let Token::Word(word) = &token.token {
                mentioned.all |= word.quote_style.is_none() && word.value.eq_ignore_ascii_case("natural");
                mentioned.names.push(if word.quote_style.is_some() {
                    word.value.clone()
                } else {
                    word.value.to_ascii_lowercase()
                });
            }
        }
        mentioned.names.sort();
        mentioned.names.dedup();
        mentioned
    }

    pub fn column(&self, name: &str) -> bool {
        self.all || self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok()
    }
}

impl Visitor for Mentioned {
    type Break = ();

    fn pre_visit_select(&mut self, select: &sqlparser::ast::Select) -> ControlFlow<()> {
        let wild = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        self.all |= select.projection.iter().any(wild);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        // A whole row, or `*` beyond a select list.
        self.all |= matches!(expr, Expr::Wildcard(_) | Expr::QualifiedWildcard(..));
        ControlFlow::Continue(())
    }
}
