//! `OVER (w)` is `OVER w`. A window that goes on from another, `OVER (w ORDER BY a)`, is refused: DataFusion's planner
//! would leave the other's clauses out. Redshift has no WINDOW clause.

use sqlparser::ast::{Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Select, WindowSpec, WindowType};

use crate::common::Result;

use super::super::cursor::{at, unsupported};

pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    let Expr::Function(function) = expr else { return Ok(()) };
    if let Some(WindowType::WindowSpec(spec)) = &function.over
        && let Some(name) = alone(spec)?
    {
        function.over = Some(WindowType::NamedWindow(name));
    }
    Ok(())
}

/// The same of a SELECT's WINDOW clause.
pub(super) fn named(select: &mut Select) -> Result<()> {
    for NamedWindowDefinition(_, window) in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = window
            && let Some(name) = alone(spec)?
        {
            *window = NamedWindowExpr::NamedWindow(name);
        }
    }
    Ok(())
}

/// The other window's name, where nothing else is said.
fn alone(spec: &WindowSpec) -> Result<Option<Ident>> {
    let Some(name) = &spec.window_name else { return Ok(None) };
    if spec.partition_by.is_empty() && spec.order_by.is_empty() && spec.window_frame.is_none() {
        return Ok(Some(name.clone()));
    }
    Err(unsupported("a window that goes on from another", at(name.span.start))
        .with_hint(format!("write what \"{}\" stands for in its place", name.value)))
}
