//! Expressions made of expressions.

use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, Value, visit_expressions,
};
use sqlparser::tokenizer::Span;

use crate::common::Result;
use crate::common::error::Position;
use crate::sql::cursor::{START, at, invalid};
use crate::sql::depth;

/// Expressions that are written once and read several times may have so many parts: they are copied, and copying a deep
/// tree takes a deep stack.
const MAX_COPIED: usize = 100;

/// Takes an expression out of its place, to be put elsewhere.
pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

/// A copy. Errors: Invalid where the expression is too large for that.
pub(super) fn copy(expr: &Expr) -> Result<Expr> {
    let mut parts = 0;
    let counted = visit_expressions(expr, |_: &Expr| {
        parts += 1;
        if parts > MAX_COPIED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match counted {
        ControlFlow::Continue(()) => Ok(expr.clone()),
        ControlFlow::Break(()) => Err(depth::too_complex(position(expr))),
    }
}

/// Where an expression begins, as far as its leftmost part tells. `Spanned` would walk the whole tree, on a stack as deep.
pub(in crate::sql) fn position(expr: &Expr) -> Position {
    let mut leftmost = expr;
    loop {
        leftmost = match leftmost {
            Expr::BinaryOp { left: inner, .. }
            | Expr::Nested(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::Cast { expr: inner, .. }
            | Expr::Collate { expr: inner, .. }
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner) => inner,
            Expr::Identifier(name) => return place(name.span),
            Expr::CompoundIdentifier(names) => return names.first().map_or(START, |name| place(name.span)),
            Expr::Value(value) => return place(value.span),
            Expr::Function(function) => return name_position(&function.name),
            _ => return START,
        };
    }
}

/// Where a name begins.
pub(in crate::sql) fn name_position(name: &ObjectName) -> Position {
    name.0.first().and_then(ObjectNamePart::as_ident).map_or(START, |name| place(name.span))
}

/// The beginning of a span; that of the text where the span is of no place.
pub(in crate::sql) fn place(span: Span) -> Position {
    if span.start.line == 0 { START } else { at(span.start) }
}

/// An operand as it must be written: in parentheses, unless it is one word.
pub(super) fn operand(expr: Expr) -> Box<Expr> {
    Box::new(match expr {
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } | Expr::Case { .. } => Expr::Nested(Box::new(expr)),
        Expr::IsNull(_) | Expr::Like { .. } | Expr::Between { .. } | Expr::InList { .. } => {
            Expr::Nested(Box::new(expr))
        }
        _ => expr,
    })
}

/// `(left op right)`
pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: operand(left), op, right: operand(right) }))
}

/// `name(args)`; an error at the name stands at `span`.
pub(in crate::sql) fn call(name: &str, args: Vec<Expr>, span: Span) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(span, name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `CASE operand WHEN … THEN … ELSE … END`
pub(super) fn case(operand: Option<Expr>, branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    let conditions = branches.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect();
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: operand.map(Box::new),
        conditions,
        else_result: otherwise.map(Box::new),
    }
}

/// `CAST(expr AS data_type)`
pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A call of a function by its name alone, in lower case.
pub(super) struct Call {
    pub name: String,
    pub span: Span,
}

impl Call {
    pub fn of(function: &Function) -> Option<Call> {
        match function.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => {
                let text = match name.quote_style {
                    None => name.value.to_ascii_lowercase(),
                    Some(_) => name.value.clone(),
                };
                Some(Call { name: text, span: name.span })
            }
            _ => None,
        }
    }

    pub fn position(&self) -> Position {
        place(self.span)
    }

    /// An error that the function takes other arguments.
    pub fn takes(&self, what: &str) -> crate::common::Error {
        invalid(crate::common::SqlState::SYNTAX_ERROR, format!("{} takes {what}", self.name), self.position())
    }
}

/// The arguments, where they are plain ones: without names, DISTINCT and clauses.
pub(super) fn plain_arguments(function: &mut Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let plain = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
    let bare = list.duplicate_treatment.is_none() && list.clauses.is_empty() && list.args.iter().all(plain);
    if !bare || function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
        return None;
    }
    let args = std::mem::take(&mut list.args).into_iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    Some(args.collect())
}

/// How many arguments a call has.
pub(super) fn argument_count(function: &Function) -> usize {
    match &function.args {
        FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    }
}
