//! Select lists that give several columns one name, which SQL allows and DataFusion's plans do not.
//!
//! What cannot keep its name gets one that tells it apart ([`tell_apart`]), from which [`shown_name`] makes the name that
//! the statement's reader is shown. To know which names collide, each item is planned alone first ([`items`]).

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, Expr, GroupByExpr, Ident, ObjectName, ObjectNamePart, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
    WildcardAdditionalOptions, With,
};

use crate::common::error::Position;
use crate::common::{Error, Result, SqlState};

use super::cursor::{START, invalid};
use super::rewrite::{call, plain_query, position_of};
use super::view::folded;

/// Between a column's name and the number that tells it apart; no name that is typed has it.
const APART: char = '\u{1f}';

/// The function that a cast is put into, so that its type is part of the names made of it.
pub const AS_TYPE: &str = "as_type";

/// The name that a column has for whoever reads it.
pub fn shown_name(name: &str) -> &str {
    match name.rsplit_once(APART) {
        Some((shown, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => shown,
        _ => name,
    }
}

/// A message without what tells names apart.
pub fn shown_message(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for (n, part) in message.split(APART).enumerate() {
        shown.push_str(if n == 0 { part } else { part.trim_start_matches(|c: char| c.is_ascii_digit()) });
    }
    shown
}

/// An item of a select list.
#[derive(Debug)]
pub struct Item {
    /// A query whose columns are the item's.
    pub alone: Query,
    /// What the item is called where that query cannot be planned, as one that groups cannot.
    pub text: String,
}

/// A column that an item gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// The parts of its table's name; none of an expression.
    pub table: Vec<String>,
    pub name: String,
}

/// The items of each SELECT whose rows are the query's: one, or those of a set operation's branches in order.
pub fn items(query: &Query) -> Vec<Vec<Item>> {
    let mut found = Vec::new();
    let mut around = Vec::new();
    items_of(query, &mut around, &mut found);
    found
}

fn items_of(query: &Query, around: &mut Vec<Option<With>>, found: &mut Vec<Vec<Item>>) {
    around.push(query.with.clone());
    each_select(&query.body, &mut |body| match body {
        SetExpr::Select(select) => {
            found.push(select.projection.iter().map(|item| alone(select, item, around)).collect())
        }
        SetExpr::Query(inner) => items_of(inner, around, found),
        _ => {}
    });
    around.pop();
}

/// Calls `see` for the SELECTs and the queries in parentheses that a set operation is made of.
fn each_select(body: &SetExpr, see: &mut dyn FnMut(&SetExpr)) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            each_select(left, see);
            each_select(right, see);
        }
        other => see(other),
    }
}

fn alone(select: &Select, item: &SelectItem, around: &[Option<With>]) -> Item {
    let (item, text) = match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
            (SelectItem::UnnamedExpr(expr.clone()), expr.to_string())
        }
        other => (other.clone(), other.to_string()),
    };
    let select = Select {
        distinct: None,
        top: None,
        projection: vec![item],
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        having: None,
        qualify: None,
        ..select.clone()
    };
    let query = |with: Option<With>, body: SetExpr| Query { with, ..plain_query(body) };
    let mut around = around.iter().rev();
    let innermost = around.next().cloned().flatten();
    let mut whole = query(innermost, SetExpr::Select(Box::new(select)));
    for with in around {
        whole = query(with.clone(), SetExpr::Query(Box::new(whole)));
    }
    Item { alone: whole, text }
}

/// Gives columns that would share a name others, where `columns` are those of each of [`items`]. `readable` are names that
/// are shown as they are.
///
/// Invalid where the query orders by a name that several different columns have.
pub fn tell_apart(query: &mut Query, columns: &[Vec<Vec<Column>>], readable: bool) -> Result<()> {
    let mut lists = columns.iter();
    in_query(query, &mut lists, readable).map(|_| ())
}

type Lists<'a> = std::slice::Iter<'a, Vec<Vec<Column>>>;

/// The names that several different columns of the query have.
fn in_query(query: &mut Query, lists: &mut Lists<'_>, readable: bool) -> Result<HashSet<String>> {
    let repeated = in_body(&mut query.body, lists, readable)?;
    if let Some(order) = &query.order_by
        && let OrderByKind::Expressions(keys) = &order.kind
    {
        for key in keys {
            if let Expr::Identifier(name) = &key.expr
                && repeated.contains(&folded(name))
            {
                let message = format!("ORDER BY \"{}\" is ambiguous", name.value);
                return Err(invalid(SqlState::AMBIGUOUS_COLUMN, message, position_of(&key.expr)).with_hint(
                    "several columns of the result have that name: order by a column's number, as in ORDER BY 1",
                ));
            }
        }
    }
    Ok(repeated)
}

fn in_body(body: &mut SetExpr, lists: &mut Lists<'_>, readable: bool) -> Result<HashSet<String>> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            let repeated = in_body(left, lists, readable)?;
            in_body(right, lists, readable)?;
            // The first branch names the columns.
            Ok(repeated)
        }
        SetExpr::Query(query) => in_query(query, lists, readable),
        SetExpr::Select(select) => {
            Ok(lists.next().map(|columns| in_select(select, columns, readable)).unwrap_or_default())
        }
        _ => Ok(HashSet::new()),
    }
}

fn in_select(select: &mut Select, columns: &[Vec<Column>], readable: bool) -> HashSet<String> {
    write_out(select, columns);
    let columns = match select.projection.len() == columns.len() {
        true => columns.to_vec(),
        // Of what was written out each item is one column.
        false => written_out(columns, &select.projection),
    };
    let mut named: HashMap<String, Vec<Column>> = HashMap::new();
    let mut wild = HashSet::new();
    for (item, columns) in select.projection.iter().zip(&columns) {
        for column in columns {
            let name = own_name(item).unwrap_or_else(|| column.name.clone());
            if is_wildcard(item) {
                wild.insert(name.clone());
            }
            named.entry(name).or_default().push(column.clone());
        }
    }
    let mut seen = HashSet::new();
    let mut number = 1;
    for (item, columns) in select.projection.iter_mut().zip(&columns) {
        let ([column], false) = (columns.as_slice(), is_wildcard(item)) else { continue };
        let name = own_name(item).unwrap_or_else(|| column.name.clone());
        if seen.insert(name.clone()) && !wild.contains(&name) {
            continue;
        }
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        number += 1;
        let apart = if readable { format!("{name} ({number})") } else { format!("{name}{APART}{number}") };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', apart) };
    }
    named.retain(|_, columns| columns.iter().any(|column| *column != columns[0]));
    named.into_keys().collect()
}

/// Puts a wildcard's columns in its place where an earlier one gives some of them: a wildcard's columns cannot be renamed.
fn write_out(select: &mut Select, columns: &[Vec<Column>]) {
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(select.projection.len());
    for (item, columns) in std::mem::take(&mut select.projection).into_iter().zip(columns) {
        if !is_wildcard(&item) {
            items.push(item);
            continue;
        }
        let again = columns.iter().any(|column| seen.contains(column));
        seen.extend(columns.iter().cloned());
        if again && is_plain(&item) {
            items.extend(columns.iter().map(|column| SelectItem::UnnamedExpr(column_expr(column))));
        } else {
            items.push(item);
        }
    }
    select.projection = items;
}

/// The columns of each item, once [`write_out`] has been there.
fn written_out(columns: &[Vec<Column>], items: &[SelectItem]) -> Vec<Vec<Column>> {
    let mut all = columns.iter();
    let mut left: Vec<Column> = Vec::new();
    items
        .iter()
        .map(|item| {
            if !left.is_empty() {
                return vec![left.remove(0)];
            }
            let Some(columns) = all.next() else { return Vec::new() };
            if is_wildcard(item) || columns.len() < 2 {
                return columns.clone();
            }
            left = columns.clone();
            vec![left.remove(0)]
        })
        .collect()
}

fn column_expr(column: &Column) -> Expr {
    let part = |part: &String| Ident::with_quote('"', part.clone());
    let mut parts: Vec<Ident> = column.table.iter().map(part).collect();
    if parts.is_empty() {
        return Expr::Identifier(part(&column.name));
    }
    parts.push(part(&column.name));
    Expr::CompoundIdentifier(parts)
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// Whether a wildcard stands alone.
fn is_plain(item: &SelectItem) -> bool {
    match item {
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            let WildcardAdditionalOptions { opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, .. } = options;
            opt_ilike.is_none()
                && opt_exclude.is_none()
                && opt_except.is_none()
                && opt_replace.is_none()
                && opt_rename.is_none()
        }
        _ => false,
    }
}

fn own_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

/// Makes its type part of each cast: DataFusion names an aggregate by what it is of, and leaves casts out of it, so that
/// `sum(a::int)` and `sum(a::bigint)` are called the same.
pub fn tell_casts_apart(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Casts);
}

struct Casts;

impl VisitorMut for Casts {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: value, data_type, .. } = expr
            && !matches!(**value, Expr::Value(_))
        {
            let told = Expr::value(Value::SingleQuotedString(data_type.to_string()));
            let value = std::mem::replace(expr, Expr::value(Value::Null));
            *expr = call(AS_TYPE, vec![value, told], sqlparser::tokenizer::Span::empty());
        }
        ControlFlow::Continue(())
    }
}

/// Names what has no name of its own, as DataFusion would: for queries whose expressions are about to be changed.
pub fn name_all(query: &mut Query, columns: &[Vec<Vec<Column>>]) {
    name_body(&mut query.body, &mut columns.iter());
}

fn name_body(body: &mut SetExpr, lists: &mut Lists<'_>) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, lists);
            name_body(right, lists);
        }
        SetExpr::Query(query) => name_body(&mut query.body, lists),
        SetExpr::Select(select) => {
            for (item, columns) in select.projection.iter_mut().zip(lists.next().into_iter().flatten()) {
                if let (SelectItem::UnnamedExpr(expr), [column]) = (&*item, columns.as_slice())
                    && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                {
                    let alias = Ident::with_quote('"', column.name.clone());
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        _ => {}
    }
}

/// Gives `t.*` the whole name under which FROM has the table, as in `SELECT t.* FROM s.t`: DataFusion takes a wildcard's
/// table for no other than the one that is written so.
pub fn qualify_wildcards(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Wildcards);
}

struct Wildcards;

impl VisitorMut for Wildcards {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(short), _) = item else {
                continue;
            };
            let mut meant = Vec::new();
            for from in &select.from {
                tables_called(&from.relation, short, &mut meant);
                from.joins.iter().for_each(|join| tables_called(&join.relation, short, &mut meant));
            }
            if let [whole] = meant.as_slice() {
                *short = whole.clone();
            }
        }
        ControlFlow::Continue(())
    }
}

/// The tables of a FROM that a name may mean.
fn tables_called(factor: &TableFactor, short: &ObjectName, found: &mut Vec<ObjectName>) {
    match factor {
        TableFactor::Table { name, alias: None, args: None, .. } => {
            let (name_parts, short_parts) = (&name.0, &short.0);
            let same = |(a, b): (&ObjectNamePart, &ObjectNamePart)| match (a.as_ident(), b.as_ident()) {
                (Some(a), Some(b)) => folded(a) == folded(b),
                _ => false,
            };
            let end = name_parts.iter().rev().zip(short_parts.iter().rev());
            if name_parts.len() >= short_parts.len() && end.into_iter().all(same) {
                found.push(name.clone());
            }
        }
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            if let [part] = short.0.as_slice()
                && part.as_ident().is_some_and(|short| folded(short) == folded(&alias.name))
            {
                found.push(short.clone());
            }
        }
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            tables_called(&table_with_joins.relation, short, found);
            table_with_joins.joins.iter().for_each(|join| tables_called(&join.relation, short, found));
        }
        _ => {}
    }
}

/// The error of a subquery of which two columns have one name.
pub fn repeated_column(query: &Query) -> Error {
    let mut finder = Repeated { found: None };
    let _ = Visit::visit(query, &mut finder);
    let hint = "give one a name of its own, as in a AS b: only a result's own columns may share a name";
    let error = |message: String| Error::invalid(SqlState::DUPLICATE_COLUMN, message).with_hint(hint);
    match finder.found {
        // No column begins a text: that place stands for none.
        Some((name, START)) => error(format!("column \"{name}\" is given more than once")),
        Some((name, at)) => {
            error(format!("column \"{name}\" is given more than once")).with_position(at.line, at.column)
        }
        None => error("two columns of a subquery have the same name".to_string()),
    }
}

/// Finds a name that a select list gives twice, as far as the text tells.
struct Repeated {
    found: Option<(String, Position)>,
}

impl Visitor for Repeated {
    type Break = ();

    fn post_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let mut seen = HashSet::new();
        for item in &select.projection {
            let (name, expr) = match item {
                SelectItem::ExprWithAlias { expr, alias } => (folded(alias), expr),
                SelectItem::UnnamedExpr(expr) => match expr {
                    Expr::Identifier(name) => (folded(name), expr),
                    Expr::CompoundIdentifier(parts) => (parts.last().map(folded).unwrap_or_default(), expr),
                    other => (other.to_string(), expr),
                },
                _ => continue,
            };
            if !seen.insert(name.clone()) {
                self.found = Some((name, position_of(expr)));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
