//! Columns' names and conditions as SQL, of expressions that know columns by their places.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal, NegativeExpr, NotExpr,
};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::{PhysicalSortExpr, ScalarFunctionExpr};
use datafusion::physical_plan::PhysicalExpr;

use crate::common::SqlType;
use crate::physical_plan::declared;
use crate::physical_plan::routed::RoutedFilter;

/// What an output column is called: a table's column, a name that the query gave, or an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    /// Of a table's own column.
    pub table: Option<Arc<str>>,
}

impl Name {
    pub fn computed(text: impl Into<String>) -> Self {
        Name { text: text.into(), table: None }
    }
}

/// The names of a node's output.
#[derive(Debug, Clone, Default)]
pub struct Names(pub Vec<Name>);

impl Names {
    /// A column's name, after its table's where another column is called the same.
    pub fn at(&self, index: usize) -> String {
        let Some(name) = self.0.get(index) else { return format!("column {index}") };
        let others = self.0.iter().enumerate().filter(|(i, n)| *i != index && n.text == name.text);
        match &name.table {
            Some(table) if others.count() > 0 => format!("{table}.{}", name.text),
            _ => name.text.clone(),
        }
    }

    fn qualified(&self, index: usize) -> String {
        match self.0.get(index) {
            Some(Name { text, table: Some(table) }) => format!("{table}.{text}"),
            _ => self.at(index),
        }
    }

    pub fn then(mut self, other: Names) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn project(self, projection: Option<&[usize]>) -> Self {
        match projection {
            Some(places) => Names(places.iter().filter_map(|at| self.0.get(*at).cloned()).collect()),
            None => self,
        }
    }

    pub fn expr(&self, expr: &Arc<dyn PhysicalExpr>) -> String {
        written(expr, &|index| self.at(index))
    }

    /// As a side of a join's condition.
    pub fn on_side(&self, side: &str, expr: &Arc<dyn PhysicalExpr>) -> String {
        let plain = |index: usize| self.0.get(index).map_or_else(|| self.at(index), |name| name.text.clone());
        written(expr, &|index| format!("\"{side}\".{}", plain(index)))
    }

    /// All conjuncts of some filters; `None` where there is nothing to tell before the query runs.
    pub fn condition<'a>(&self, filters: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Option<String> {
        let conjuncts = filters.into_iter().flat_map(split_conjunction);
        let told = conjuncts.filter(|e| !e.is::<DynamicFilterPhysicalExpr>() && !e.is::<RoutedFilter>());
        let told: Vec<String> = told.map(|e| bracketed(self.expr(e))).collect();
        match told.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(format!("({})", several.join(" AND "))),
        }
    }

    pub fn sort_keys<'a>(&self, keys: impl IntoIterator<Item = &'a PhysicalSortExpr>) -> String {
        let key = |key: &PhysicalSortExpr| {
            let direction = if key.options.descending { " DESC" } else { "" };
            format!("{}{direction}", self.expr(&key.expr))
        };
        keys.into_iter().map(key).collect::<Vec<_>>().join(", ")
    }

    pub fn list<'a>(&self, exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> String {
        exprs.into_iter().map(|e| self.expr(e)).collect::<Vec<_>>().join(", ")
    }

    /// What a projection's output is called: as the query calls it, where it does; else what is computed.
    pub fn projected(&self, expr: &Arc<dyn PhysicalExpr>, alias: &str) -> Name {
        // DataFusion's rules have words of their own.
        let made =
            alias == "alias1" || ["__", "group_alias_", "join_proj_push_down_"].iter().any(|of| alias.starts_with(of));
        let word = alias.chars().all(|c| c.is_alphanumeric() || c == '_') && !made;
        match expr.downcast_ref::<Column>() {
            Some(column) => match self.0.get(column.index()) {
                Some(name) if !word || alias == column.name() => name.clone(),
                _ => Name::computed(alias),
            },
            None if word => Name::computed(alias),
            // It stands in the condition of a join, among columns of other tables.
            None if made => Name::computed(written(expr, &|index| self.qualified(index))),
            None => Name::computed(self.expr(expr)),
        }
    }
}

pub fn bracketed(text: String) -> String {
    if text.starts_with('(') && text.ends_with(')') { text } else { format!("({text})") }
}

fn written(expr: &Arc<dyn PhysicalExpr>, column: &dyn Fn(usize) -> String) -> String {
    let sub = |e: &Arc<dyn PhysicalExpr>| written(e, column);
    let not = |negated: bool| if negated { "NOT " } else { "" };
    if let Some(c) = expr.downcast_ref::<Column>() {
        column(c.index())
    } else if let Some(literal) = expr.downcast_ref::<Literal>() {
        constant(literal.value())
    } else if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        match binary.op() {
            op @ (Operator::And | Operator::Or) => {
                let mut parts = Vec::new();
                chain(expr, *op, &mut parts);
                let parts: Vec<String> = parts.into_iter().map(sub).map(bracketed).collect();
                format!("({})", parts.join(&format!(" {op} ")))
            }
            Operator::NotEq => format!("({} <> {})", sub(binary.left()), sub(binary.right())),
            op => format!("({} {op} {})", sub(binary.left()), sub(binary.right())),
        }
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let named = declared::of_cast_target(cast.target_field());
        match named.or_else(|| SqlType::from_field(cast.target_field())) {
            // How text lies in memory is nobody's concern.
            None | Some(_) if named.is_none() && is_text(cast.cast_type()) => sub(cast.expr()),
            Some(sql_type) => format!("({})::{sql_type}", sub(cast.expr())),
            None => format!("({})::{}", sub(cast.expr()), cast.cast_type()),
        }
    } else if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        format!("({} IS NULL)", sub(null.arg()))
    } else if let Some(null) = expr.downcast_ref::<IsNotNullExpr>() {
        format!("({} IS NOT NULL)", sub(null.arg()))
    } else if let Some(negated) = expr.downcast_ref::<NotExpr>() {
        format!("(NOT {})", sub(negated.arg()))
    } else if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        format!("(- {})", sub(negative.arg()))
    } else if let Some(list) = expr.downcast_ref::<InListExpr>() {
        let values: Vec<String> = list.list().iter().map(sub).collect();
        format!("({} {}IN ({}))", sub(list.expr()), not(list.negated()), values.join(", "))
    } else if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let word = if like.case_insensitive() { "ILIKE" } else { "LIKE" };
        format!("({} {}{word} {})", sub(like.expr()), not(like.negated()), sub(like.pattern()))
    } else if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let mut text = "CASE".to_string();
        if let Some(operand) = case.expr() {
            text += &format!(" {}", sub(operand));
        }
        for (when, then) in case.when_then_expr() {
            text += &format!(" WHEN {} THEN {}", sub(when), sub(then));
        }
        if let Some(otherwise) = case.else_expr() {
            text += &format!(" ELSE {}", sub(otherwise));
        }
        text + " END"
    } else if let Some(subquery) = expr.downcast_ref::<ScalarSubqueryExpr>() {
        // There is no other way to tell which one it is.
        #[expect(deprecated)]
        let at = subquery.index().as_usize();
        format!("${at}")
    } else if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        let arguments: Vec<String> = function.args().iter().map(sub).collect();
        match (function.name(), arguments.as_slice()) {
            // A cast to a type with a length.
            ("declared", [value, to]) => format!("({value})::{}", to.trim_matches('\'')),
            (name, _) => format!("{name}({})", arguments.join(", ")),
        }
    } else {
        let named = Arc::clone(expr).transform(|e| {
            Ok(match e.downcast_ref::<Column>() {
                Some(c) => Transformed::yes(Arc::new(Named(column(c.index()), c.index()).column()) as _),
                None => Transformed::no(e),
            })
        });
        named.data().map_or_else(|_| expr.to_string(), |e| e.to_string())
    }
}

/// A column that an unknown expression writes as `name@place`.
struct Named(String, usize);

impl Named {
    fn column(self) -> Column {
        Column::new(&self.0, self.1)
    }
}

fn chain<'a>(expr: &'a Arc<dyn PhysicalExpr>, op: Operator, parts: &mut Vec<&'a Arc<dyn PhysicalExpr>>) {
    match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) if *binary.op() == op => {
            chain(binary.left(), op, parts);
            chain(binary.right(), op, parts);
        }
        _ => parts.push(expr),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn constant(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_string();
    }
    let text = value.to_array().and_then(|array| Ok(array_value_to_string(&array, 0)?));
    let text = text.unwrap_or_else(|_| value.to_string());
    let quoted = || format!("'{}'", text.replace('\'', "''"));
    match value.data_type() {
        t if is_text(&t) => quoted(),
        DataType::Date32 | DataType::Date64 => format!("{}::date", quoted()),
        DataType::Timestamp(_, None) => format!("'{}'::timestamp", text.replace('T', " ")),
        DataType::Timestamp(_, Some(_)) => format!("'{}'::timestamptz", text.replace('T', " ")),
        DataType::Interval(_) | DataType::Duration(_) => format!("{}::interval", quoted()),
        DataType::Time32(_) | DataType::Time64(_) => format!("{}::time", quoted()),
        t if t.is_numeric() || t == DataType::Boolean => text,
        _ => quoted(),
    }
}
