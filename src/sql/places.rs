//! Where in a query something stands that an error names: DataFusion's planner tells places of some faults only.

use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, GroupByExpr, JoinConstraint, JoinOperator, LimitClause, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Value, Visit, Visitor,
};

use crate::common::error::Position;

use super::cursor::START;
use super::rewrite::{name_position, place, position_of};
use super::view::folded;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought<'a> {
    /// A call of a function.
    Call(&'a str),
    /// A column, by the name that the text has for it or its last part.
    Column(&'a str),
    /// A table or view in FROM, by the last part of its name.
    Relation(&'a str),
    /// A type that is no built-in one.
    Type(&'a str),
    /// An operator between two operands.
    Operator(&'a str),
    /// A number in ORDER BY, in GROUP BY.
    OrderBy(&'a str),
    GroupBy(&'a str),
    /// The first key of an ORDER BY.
    Order,
    /// A call in a WHERE; its condition where there is none.
    Where,
    /// `name.*`
    Wildcard(&'a str),
    /// A subquery that is a value.
    Subquery,
    /// A call with OVER in a WHERE or HAVING.
    WindowInCondition,
    Limit,
    Offset,
    /// The second table that FROM calls so.
    SecondTable(&'a str),
    /// The second query of a set operation.
    SetOperation,
    /// A joined table without a condition.
    Join,
    Parameter(&'a str),
}

/// Where it stands; `None` where it does not, or where several could be meant.
pub fn find(query: &Query, sought: &Sought<'_>) -> Option<Position> {
    let mut finder = Finder { sought, found: Vec::new() };
    let _ = Visit::visit(query, &mut finder);
    // What was made while the text was read stands nowhere; nothing that is sought begins a text.
    finder.found.retain(|at| *at != START);
    let (first, more) = finder.found.split_first()?;
    let each_is_wrong =
        matches!(sought, Sought::Column(_) | Sought::Relation(_) | Sought::Parameter(_) | Sought::Type(_));
    (each_is_wrong || more.is_empty()).then_some(*first)
}

struct Finder<'a> {
    sought: &'a Sought<'a>,
    found: Vec<Position>,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(order) = &query.order_by
            && let OrderByKind::Expressions(keys) = &order.kind
        {
            for key in keys {
                match self.sought {
                    Sought::Order => self.found.push(position_of(&key.expr)),
                    Sought::OrderBy(number) => self.number(&key.expr, number),
                    _ => {}
                }
            }
        }
        if let (Sought::SetOperation, SetExpr::SetOperation { right, .. }) = (self.sought, query.body.as_ref()) {
            self.found.extend(select_of(right));
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            match self.sought {
                Sought::Limit => self.found.extend(limit.as_ref().map(position_of)),
                Sought::Offset => self.found.extend(offset.as_ref().map(|offset| position_of(&offset.value))),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        match self.sought {
            Sought::GroupBy(number) => {
                if let GroupByExpr::Expressions(keys, _) = &select.group_by {
                    keys.iter().for_each(|key| self.number(key, number));
                }
            }
            Sought::Where => {
                if let Some(condition) = &select.selection {
                    self.found.push(first_call(condition, false).unwrap_or_else(|| position_of(condition)));
                }
            }
            Sought::WindowInCondition => {
                let conditions = select.selection.iter().chain(&select.having);
                self.found.extend(conditions.filter_map(|condition| first_call(condition, true)));
            }
            Sought::Wildcard(name) => {
                for item in &select.projection {
                    if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) = item
                        && of.to_string().eq_ignore_ascii_case(name)
                    {
                        self.found.push(name_position(of));
                    }
                }
            }
            Sought::SecondTable(name) => {
                let named = |factor: &TableFactor| match factor {
                    TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                        (folded(&alias.name) == *name).then(|| place(alias.name.span))
                    }
                    TableFactor::Table { name: table, .. } => {
                        let last = table.0.last().and_then(|part| part.as_ident())?;
                        (folded(last) == *name).then(|| place(last.span))
                    }
                    _ => None,
                };
                let joined = |from: &sqlparser::ast::TableWithJoins| -> Vec<Position> {
                    let all = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
                    all.filter_map(named).collect()
                };
                let all: Vec<Position> = select.from.iter().flat_map(joined).collect();
                self.found.extend(all.get(1));
            }
            Sought::Join => {
                for join in select.from.iter().flat_map(|from| &from.joins) {
                    let bare = matches!(
                        &join.join_operator,
                        JoinOperator::Join(JoinConstraint::None)
                            | JoinOperator::Inner(JoinConstraint::None)
                            | JoinOperator::Left(JoinConstraint::None)
                            | JoinOperator::LeftOuter(JoinConstraint::None)
                            | JoinOperator::Right(JoinConstraint::None)
                            | JoinOperator::RightOuter(JoinConstraint::None)
                            | JoinOperator::FullOuter(JoinConstraint::None)
                    );
                    if let (true, TableFactor::Table { name, .. }) = (bare, &join.relation) {
                        self.found.push(name_position(name));
                    }
                }
            }
            Sought::Column(name) => {
                for join in select.from.iter().flat_map(|from| &from.joins) {
                    let (JoinOperator::Join(JoinConstraint::Using(columns))
                    | JoinOperator::Inner(JoinConstraint::Using(columns))
                    | JoinOperator::Left(JoinConstraint::Using(columns))
                    | JoinOperator::LeftOuter(JoinConstraint::Using(columns))
                    | JoinOperator::Right(JoinConstraint::Using(columns))
                    | JoinOperator::RightOuter(JoinConstraint::Using(columns))
                    | JoinOperator::FullOuter(JoinConstraint::Using(columns))) = &join.join_operator
                    else {
                        continue;
                    };
                    let same = |column: &&sqlparser::ast::ObjectName| {
                        column.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| folded(ident) == *name)
                    };
                    self.found.extend(columns.iter().filter(same).map(name_position));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let (Sought::Relation(relation), TableFactor::Table { name, .. }) = (self.sought, factor)
            && name.0.last().and_then(|part| part.as_ident()).is_some_and(|last| folded(last) == *relation)
        {
            self.found.push(name_position(name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match (self.sought, expr) {
            (Sought::Call(name), Expr::Function(function)) => {
                let last = function.name.0.last().and_then(|part| part.as_ident());
                if last.is_some_and(|ident| folded(ident) == *name) {
                    self.found.push(name_position(&function.name));
                }
            }
            (Sought::Column(name), Expr::Identifier(ident)) if folded(ident) == *name => {
                self.found.push(place(ident.span));
            }
            (Sought::Column(name), Expr::CompoundIdentifier(parts)) => {
                let whole = parts.iter().map(folded).collect::<Vec<_>>().join(".");
                if let (true, Some(first)) = (whole == *name, parts.first()) {
                    self.found.push(place(first.span));
                }
            }
            (Sought::Type(name), Expr::Cast { data_type: DataType::Custom(of, _), .. })
                if of.to_string().eq_ignore_ascii_case(name) =>
            {
                self.found.push(name_position(of));
            }
            (Sought::Operator(operator), Expr::BinaryOp { left, op, .. }) if op.to_string() == *operator => {
                self.found.push(position_of(left));
            }
            (Sought::Operator("LIKE"), Expr::Like { expr, .. } | Expr::ILike { expr, .. }) => {
                self.found.push(position_of(expr));
            }
            (Sought::Operator("NOT" | "-"), Expr::UnaryOp { op, expr }) => {
                if matches!(self.sought, Sought::Operator(sought) if op.to_string() == *sought) {
                    self.found.push(position_of(expr));
                }
            }
            (Sought::Subquery, Expr::Subquery(query) | Expr::Exists { subquery: query, .. }) => {
                self.found.extend(select_of(&query.body));
            }
            (Sought::Subquery, Expr::InSubquery { expr, .. }) => self.found.push(position_of(expr)),
            (Sought::Parameter(name), Expr::Value(value)) => {
                if matches!(&value.value, Value::Placeholder(placeholder) if placeholder == name) {
                    self.found.push(place(value.span));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
    fn number(&mut self, key: &Expr, number: &str) {
        if let Expr::Value(value) = key
            && matches!(&value.value, Value::Number(digits, _) if digits == number)
        {
            self.found.push(place(value.span));
        }
    }
}

fn select_of(body: &SetExpr) -> Option<Position> {
    match body {
        SetExpr::Select(select) => Some(place(select.select_token.0.span)),
        _ => None,
    }
}

fn first_call(expr: &Expr, with_over: bool) -> Option<Position> {
    let found = sqlparser::ast::visit_expressions(expr, |e: &Expr| match e {
        Expr::Function(function) if !with_over || function.over.is_some() => {
            ControlFlow::Break(name_position(&function.name))
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value()
}
