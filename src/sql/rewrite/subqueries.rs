//! `x IN (SELECT …)` and `EXISTS (SELECT …)` in a select list, as counts: DataFusion runs them as joins only, which a
//! condition of WHERE, HAVING or ON is, and a value is not.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query, Select,
    SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
    visit_expressions, visit_expressions_mut,
};
use sqlparser::tokenizer::Span;

use super::build::{binary, call, case, copy, operand, position, take};
use crate::common::{Error, Result};
use crate::sql::depth;

/// What a subquery that is copied may hold.
const MAX_PARTS: usize = 1000;

/// The derived table that stands for the subquery, and its column; names that nobody types.
pub const TABLE: &str = "in (…)";
const COLUMN: &str = "in (…) value";

pub(super) fn select(select: &mut Select) -> Result<()> {
    set_apart(select);
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let mut values = Values { depth: 0, changed: false };
        let concerns = visit_expressions(&*expr, |e: &Expr| match e {
            Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        if concerns.is_continue() {
            continue;
        }
        let name = match expr {
            Expr::Exists { .. } => "exists".to_string(),
            _ => expr.to_string(),
        };
        if let ControlFlow::Break(error) = VisitMut::visit(expr, &mut values) {
            return Err(error);
        }
        if let SelectItem::UnnamedExpr(expr) = item
            && values.changed
        {
            *item = SelectItem::ExprWithAlias { expr: take(expr), alias: Ident::with_quote('"', name) };
        }
    }
    Ok(())
}

/// Names the column of `IN (SELECT max(a) …)`: beside OR, DataFusion 55.2 would make two columns of one name of it.
pub(super) fn name_column(expr: &mut Expr) {
    let Expr::InSubquery { subquery, .. } = expr else { return };
    let SetExpr::Select(select) = subquery.body.as_mut() else { return };
    if let [item @ SelectItem::UnnamedExpr(_)] = select.projection.as_mut_slice()
        && let SelectItem::UnnamedExpr(value) = item
        && !is_value(value)
    {
        *item = SelectItem::ExprWithAlias { expr: take(value), alias: Ident::with_quote('"', COLUMN) };
    }
}

/// Gives the rows of `value >= ALL (SELECT …)` and its kin a name of their own where a table of the subquery is called as one
/// outside: DataFusion 55.2 looks the value's columns up among those of the subquery.
fn set_apart(select: &mut Select) {
    let outside = called(select);
    let apart = |expr: &mut Expr| -> ControlFlow<()> {
        let (Expr::AnyOp { right, .. } | Expr::AllOp { right, .. }) = expr else { return ControlFlow::Continue(()) };
        let Expr::Subquery(subquery) = right.as_mut() else { return ControlFlow::Continue(()) };
        let SetExpr::Select(inner) = subquery.body.as_ref() else { return ControlFlow::Continue(()) };
        if inner.projection.len() == 1 && called(inner).iter().any(|name| outside.contains(name)) {
            let rows = derived(Query::clone(subquery));
            let column = Expr::CompoundIdentifier(vec![Ident::with_quote('"', TABLE), Ident::with_quote('"', COLUMN)]);
            **right = counting(column, rows, None);
        }
        ControlFlow::Continue(())
    };
    for condition in [&mut select.selection, &mut select.having].into_iter().flatten() {
        let _ = visit_expressions_mut(condition, apart);
    }
}

/// What the tables of FROM are called, in lower case.
fn called(select: &Select) -> BTreeSet<String> {
    let joined = |from: &TableWithJoins| -> Vec<TableFactor> {
        std::iter::once(from.relation.clone()).chain(from.joins.iter().map(|join| join.relation.clone())).collect()
    };
    let name = |table: TableFactor| match table {
        TableFactor::Table { alias: Some(alias), .. } => Some(alias.name.value),
        TableFactor::Table { name, .. } => {
            name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone())
        }
        TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.value),
        _ => None,
    };
    select.from.iter().flat_map(joined).filter_map(name).map(|name| name.to_lowercase()).collect()
}

/// Rewrites what is not within a subquery.
struct Values {
    depth: usize,
    changed: bool,
}

impl VisitorMut for Values {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let rewritten = match expr {
            Expr::InSubquery { expr: value, subquery, negated } => is_among(value, subquery, *negated),
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => match right.as_mut() {
                Expr::Subquery(subquery) => is_among(left, subquery, false),
                _ => return ControlFlow::Continue(()),
            },
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => match right.as_mut() {
                Expr::Subquery(subquery) => is_among(left, subquery, true),
                _ => return ControlFlow::Continue(()),
            },
            Expr::Exists { subquery, negated } => Ok(exists(subquery, *negated)),
            _ => return ControlFlow::Continue(()),
        };
        match rewritten {
            Ok(rewritten) => {
                *expr = rewritten;
                self.changed = true;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// TRUE where a row of the subquery equals the value; else NULL where one might, being NULL or compared with NULL; else
/// FALSE.
fn is_among(value: &mut Expr, subquery: &mut Query, negated: bool) -> Result<Expr> {
    if matches!(value, Expr::Tuple(_)) {
        // Refused by the planner, which says what is wrong with it.
        let (value, subquery) = (Box::new(take(value)), Box::new(subquery.clone()));
        return Ok(Expr::InSubquery { expr: value, subquery, negated });
    }
    let mut parts = 0;
    let small = visit_expressions(subquery, |_: &Expr| {
        parts += 1;
        if parts > MAX_PARTS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if small.is_break() {
        return Err(depth::too_complex(position(value)));
    }
    let column = || Expr::CompoundIdentifier(vec![Ident::with_quote('"', TABLE), Ident::with_quote('"', COLUMN)]);
    let equal = Expr::BinaryOp { left: Box::new(column()), op: BinaryOperator::Eq, right: operand(copy(value)?) };
    let found = more_than_none(counting(count_all(), derived(subquery.clone()), Some(equal)));
    let any = more_than_none(counting(count_all(), derived(subquery.clone()), None));
    let nulls = binary(count_all(), BinaryOperator::Minus, call("count", vec![column()], Span::empty()));
    let any_null = more_than_none(counting(nulls, derived(subquery.clone()), None));
    let unknown =
        binary(binary(Expr::IsNull(operand(take(value))), BinaryOperator::And, any), BinaryOperator::Or, any_null);
    let boolean = |value| Expr::value(Value::Boolean(value));
    let branches = vec![(found, boolean(!negated)), (unknown, Expr::value(Value::Null))];
    Ok(case(None, branches, Some(boolean(negated))))
}

fn exists(subquery: &mut Query, negated: bool) -> Expr {
    let plain = subquery.limit_clause.is_none() && subquery.fetch.is_none() && subquery.with.is_none();
    let counted = match subquery.body.as_mut() {
        SetExpr::Select(select) if plain && is_plain(select) => {
            select.projection = vec![SelectItem::UnnamedExpr(count_all())];
            subquery.order_by = None;
            Expr::Subquery(Box::new(subquery.clone()))
        }
        _ => counting(count_all(), table(subquery.clone(), Vec::new()), None),
    };
    let op = if negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
    binary(counted, op, zero())
}

/// Whether a SELECT gives a row for each of its FROM and WHERE.
fn is_plain(select: &Select) -> bool {
    let aggregates = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => !is_value(expr),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => false,
        _ => true,
    };
    select.distinct.is_none()
        && select.top.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, sets) if keys.is_empty() && sets.is_empty())
        && !select.projection.iter().any(aggregates)
}

/// A column or a literal, which is no aggregate for sure.
fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn zero() -> Expr {
    Expr::value(Value::Number("0".to_string(), false))
}

fn more_than_none(count: Expr) -> Expr {
    binary(count, BinaryOperator::Gt, zero())
}

fn count_all() -> Expr {
    let mut count = call("count", Vec::new(), Span::empty());
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut count {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    }
    count
}

/// The subquery, its one column under a name of its own.
fn derived(subquery: Query) -> TableFactor {
    let column = TableAliasColumnDef { name: Ident::with_quote('"', COLUMN), data_type: None };
    table(subquery, vec![column])
}

fn table(subquery: Query, columns: Vec<TableAliasColumnDef>) -> TableFactor {
    let alias = TableAlias { explicit: true, name: Ident::with_quote('"', TABLE), columns, at: None };
    TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias: Some(alias), sample: None }
}

/// `(SELECT value FROM table WHERE condition)`
fn counting(value: Expr, table: TableFactor, condition: Option<Expr>) -> Expr {
    let select = Select {
        select_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::UnnamedExpr(value)],
        exclude: None,
        into: None,
        from: vec![TableWithJoins { relation: table, joins: Vec::new() }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: condition,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: sqlparser::ast::SelectFlavor::Standard,
    };
    Expr::Subquery(Box::new(super::queries::plain(SetExpr::Select(Box::new(select)))))
}
