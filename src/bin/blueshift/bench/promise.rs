//! What the text of a statement promises of its rows: their order, and whether it is the only answer.

use sqlparser::ast::{Expr, LimitClause, OrderByKind, Query, SelectItem, SetExpr, Statement, Value};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::check::Cell;

/// A statement that cannot be read promises nothing but its rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The columns, counted from 0, that rows are ordered by, up to the first expression that is no column.
    pub order: Vec<usize>,
    limit: Option<usize>,
    /// Whether the first rows are left out.
    offset: bool,
}

impl Promise {
    /// Of a statement whose columns are `names`.
    pub fn of(statement: &str, names: &[String]) -> Promise {
        let Ok(parsed) = Parser::parse_sql(&PostgreSqlDialect {}, statement) else { return Promise::default() };
        let [Statement::Query(query)] = &parsed[..] else { return Promise::default() };
        let mut promise = Promise::default();
        if let Some(OrderByKind::Expressions(items)) = query.order_by.as_ref().map(|order| &order.kind) {
            promise.order = items.iter().map_while(|item| column(&item.expr, query, names)).collect();
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            promise.limit = limit.as_ref().and_then(number);
            promise.offset = offset.is_some();
        }
        promise
    }

    /// Removes the rows in whose place others could stand: where a limit is reached, those that are tied with the last one, and
    /// behind an offset those tied with the first.
    pub fn leave_sure(&self, rows: &mut Vec<Vec<Cell>>) {
        let mut ends = Vec::new();
        ends.extend(rows.last().filter(|_| self.limit.is_some_and(|limit| rows.len() >= limit)).cloned());
        ends.extend(rows.first().filter(|_| self.offset).cloned());
        let tied = |row: &[Cell], end: &[Cell]| self.order.iter().all(|column| row[*column].same(&end[*column]));
        rows.retain(|row| !ends.iter().any(|end| tied(row, end)));
    }
}

/// The column that an item of ORDER BY means.
fn column(item: &Expr, query: &Query, names: &[String]) -> Option<usize> {
    if let Some(place) = number(item) {
        return place.checked_sub(1).filter(|place| *place < names.len());
    }
    let name = match item {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    let named = |name: &str| {
        let mut places = (0..names.len()).filter(|place| names[*place].eq_ignore_ascii_case(name));
        let first = places.next()?;
        places.next().is_none().then_some(first)
    };
    name.and_then(|name| named(&name.value)).or_else(|| {
        // The same expression as one that is selected.
        let SetExpr::Select(select) = query.body.as_ref() else { return None };
        if select.projection.len() != names.len() {
            return None;
        }
        select.projection.iter().position(|selected| match selected {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr == item,
            _ => false,
        })
    })
}

fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use blueshift::engine::tpch::QUERIES;

    use super::*;

    fn promise(statement: &str) -> (Vec<usize>, Option<usize>, bool) {
        let Promise { order, limit, offset } = Promise::of(statement, &["a", "b", "n"].map(String::from));
        (order, limit, offset)
    }

    #[test]
    fn items_are_columns_by_name_place_or_expression() {
        assert_eq!(promise("select a, b, n from t order by n desc, 1 limit 10"), (vec![2, 0], Some(10), false));
        assert_eq!(promise("select a, t.b, count(*) n from t group by 1, 2 order by count(*), t.b").0, [2, 1]);
        assert_eq!(
            promise("with t as (select 1) select * from t order by a nulls first offset 3"),
            (vec![0], None, true)
        );
        // What follows an unknown item is no promise.
        assert_eq!(promise("select a, b, n from t order by b, a + 1, n").0, [1]);
        assert_eq!(
            promise("select a, b, n from t where a in (select x from u order by y limit 1)"),
            (vec![], None, false)
        );
        assert_eq!(promise("no statement"), (vec![], None, false));
    }

    #[test]
    fn the_queries_of_tpch_promise_what_is_known_of_them() {
        for query in QUERIES {
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, query.sql);
            let Ok([Statement::Query(parsed)]) = parsed.as_deref() else { panic!("query {}", query.number) };
            let SetExpr::Select(select) = parsed.body.as_ref() else { panic!("query {}", query.number) };
            let names: Vec<String> = select
                .projection
                .iter()
                .map(|item| match item {
                    SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                    other => other.to_string(),
                })
                .collect();
            assert_eq!(Promise::of(query.sql, &names).order, query.order, "query {}", query.number);
        }
    }
}
