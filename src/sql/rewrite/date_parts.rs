//! Date parts that are written as bare words: `DATEADD(month, 1, d)`.

use sqlparser::ast::Expr;

use crate::common::Result;

pub(super) fn rewrite(_: &mut Expr) -> Result<()> {
    Ok(())
}
