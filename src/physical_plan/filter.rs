//! Scan filters: which conjuncts zone maps and encoded data can answer, and which must see decoded rows.
//!
//! Conjuncts refer to a table's columns by their ordinal in its definition.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, DynamicFilterPhysicalExpr, DynamicFilterTracking, InListExpr, IsNotNullExpr,
    IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::joins::{HashExpr, HashTableLookupExpr};
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

use super::key_filter::KeyLookup;
use super::routed::RoutedFilter;
use crate::common::sql_type::UTC;
use crate::common::{Comparison, Predicate, Scalar, SqlType, Stored};

/// Where a conjunct came from; metrics tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterKind {
    /// The query's text.
    Static,
    /// A join's build side, a TopK's heap, an aggregate's bound: known only while the query runs.
    Dynamic,
}

/// A conjunct that encoded data answers.
#[derive(Debug, Clone)]
pub struct EncodedConjunct {
    pub column: usize,
    pub predicate: Predicate,
    pub kind: FilterKind,
}

/// A conjunct that decoded rows answer.
#[derive(Debug, Clone)]
pub struct ResidualConjunct {
    pub expr: Arc<dyn PhysicalExpr>,
    /// Ordinals of the columns that it reads, ascending.
    pub columns: Vec<usize>,
    pub kind: FilterKind,
    /// What must hold of a row for it to pass, as far as zone maps can tell.
    pub needs: Option<Needs>,
}

/// What bounds can disprove of an expression that only evaluation answers, such as `a IS NULL OR a > 7`.
#[derive(Debug, Clone, PartialEq)]
pub enum Needs {
    Predicate(usize, Predicate),
    All(Vec<Needs>),
    /// Of none at all, nothing can hold.
    Any(Vec<Needs>),
}

impl Needs {
    /// `None` when nothing is known.
    fn of(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<Self> {
        if let Some(case) = expr.downcast_ref::<CaseExpr>() {
            // Whichever is taken; without ELSE that may be NULL, of which no row passes.
            let taken = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
            return taken.map(|branch| Self::of(branch, types)).collect::<Option<Vec<_>>>().map(Needs::Any);
        }
        match expr.downcast_ref::<BinaryExpr>().map(|b| (b.op(), b)) {
            Some((Operator::And, and)) => {
                let known: Vec<Needs> =
                    [and.left(), and.right()].into_iter().filter_map(|e| Self::of(e, types)).collect();
                (!known.is_empty()).then_some(Needs::All(known))
            }
            Some((Operator::Or, or)) => {
                Some(Needs::Any(vec![Self::of(or.left(), types)?, Self::of(or.right(), types)?]))
            }
            _ => match translate(expr, types) {
                Translated::Encoded(column, predicate) => Some(Needs::Predicate(column, predicate)),
                Translated::Never => Some(Needs::Any(Vec::new())),
                Translated::Always | Translated::Residual => None,
            },
        }
    }

    /// `false` only where no row passes; `may` tells so of one predicate.
    pub fn may_hold(&self, may: &dyn Fn(usize, &Predicate) -> bool) -> bool {
        match self {
            Needs::Predicate(column, predicate) => may(*column, predicate),
            Needs::All(all) => all.iter().all(|n| n.may_hold(may)),
            Needs::Any(any) => any.iter().any(|n| n.may_hold(may)),
        }
    }
}

/// A scan's filters as they stand at one moment.
#[derive(Debug, Clone, Default)]
pub struct CompiledFilter {
    /// No row satisfies it.
    pub never: bool,
    pub encoded: Vec<EncodedConjunct>,
    /// In written order; those of the query's text before dynamic ones.
    pub residual: Vec<ResidualConjunct>,
}

/// What is known of the partition that filters are compiled for.
#[derive(Debug, Clone, Copy)]
pub struct Routing {
    pub partition: usize,
    pub partitions: usize,
    /// The distribution key's ordinal, where the scan's rows are placed by its hash.
    pub key: Option<usize>,
}

/// Compiles filters, again whenever a dynamic one has moved.
#[derive(Debug)]
pub struct FilterCompiler {
    filters: Vec<Arc<dyn PhysicalExpr>>,
    types: Vec<SqlType>,
    routing: Routing,
    trust: BoundsTrust,
    tracking: Vec<DynamicFilterTracking>,
}

/// Whether dynamic bounds (`a < 7`, `a < 7 OR b > 9`) are believed.
///
/// DataFusion's MIN and MAX without GROUP BY push their bounds to scans, but not soundly: an aggregate of an expression,
/// and one that has seen only NULL so far, has no part in the OR, though it needs the rows. A TopK's bounds look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundsTrust {
    /// No aggregate pushes bounds: `enable_aggregate_dynamic_filter_pushdown` is off, as in our sessions.
    All,
    /// Bounds may be an aggregate's, and are left out.
    None,
}

impl FilterCompiler {
    /// `filters` are conjuncts over columns of `types`.
    pub fn new(filters: Vec<Arc<dyn PhysicalExpr>>, types: Vec<SqlType>, routing: Routing, trust: BoundsTrust) -> Self {
        let tracking = filters.iter().map(DynamicFilterTracking::classify).collect();
        FilterCompiler { filters, types, routing, trust, tracking }
    }

    /// Whether a dynamic filter has moved since the last call.
    pub fn changed(&mut self) -> bool {
        // Every watcher is asked, or a change already seen elsewhere would be reported again.
        self.tracking.iter_mut().filter_map(DynamicFilterTracking::watcher).map(|w| u32::from(w.changed())).sum::<u32>()
            > 0
    }

    /// The filters as they stand.
    pub fn compile(&self) -> datafusion::common::Result<CompiledFilter> {
        let mut compiled = CompiledFilter::default();
        let (mut dynamic, mut known) = (Vec::new(), Vec::new());
        for (filter, tracking) in self.filters.iter().zip(&self.tracking) {
            if tracking.contains_dynamic_filter() {
                dynamic.push(filter);
            } else {
                self.add(filter, FilterKind::Static, &mut compiled, &mut known)?;
            }
        }
        for filter in dynamic {
            self.add(filter, FilterKind::Dynamic, &mut compiled, &mut known)?;
        }
        leave_out_lookups(known, &mut compiled.residual)?;
        Ok(compiled)
    }

    fn add(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        kind: FilterKind,
        out: &mut CompiledFilter,
        known: &mut Vec<Keys>,
    ) -> datafusion::common::Result<()> {
        for conjunct in split_conjunction(expr) {
            if let Some(dynamic) = conjunct.downcast_ref::<DynamicFilterPhysicalExpr>() {
                let current = dynamic.current()?;
                if self.trust == BoundsTrust::All || !is_bounds(&current) {
                    self.add(&current, FilterKind::Dynamic, out, known)?;
                }
            } else if let Some(routed) = conjunct.downcast_ref::<RoutedFilter>() {
                self.add(&routed.current()?, FilterKind::Dynamic, out, known)?;
            } else if let Some(branch) = self.own_branch(conjunct) {
                self.add(&branch, kind, out, known)?;
            } else if kind == FilterKind::Dynamic && self.blurs_floats(conjunct, expr) {
                // Left out: its producer drops what it must.
            } else {
                known.extend(conjunct.downcast_ref::<KeyLookup>().map(|lookup| lookup.keys().to_vec()));
                match translate(conjunct, &self.types) {
                    Translated::Always => {}
                    Translated::Never => out.never = true,
                    Translated::Encoded(column, predicate) => {
                        out.encoded.push(EncodedConjunct { column, predicate, kind });
                    }
                    Translated::Residual => {
                        let columns: BTreeSet<usize> = collect_columns(conjunct).iter().map(Column::index).collect();
                        out.residual.push(ResidualConjunct {
                            expr: Arc::clone(conjunct),
                            columns: columns.into_iter().collect(),
                            kind,
                            needs: Needs::of(conjunct, &self.types),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether `conjunct`, of the dynamic filter `whole`, tests a float where zeros or NaNs take part. A join takes -0.0
    /// for 0.0 and each NaN for every other, while comparison and IN go by the total order: rows that match would be
    /// dropped.
    fn blurs_floats(&self, conjunct: &Arc<dyn PhysicalExpr>, whole: &Arc<dyn PhysicalExpr>) -> bool {
        let float = |c: &Column| matches!(self.types.get(c.index()), Some(SqlType::Real | SqlType::Double));
        if !collect_columns(conjunct).iter().any(float) {
            return false;
        }
        let special = |value: &ScalarValue| match value {
            ScalarValue::Float32(Some(v)) => *v == 0.0 || v.is_nan(),
            ScalarValue::Float64(Some(v)) => *v == 0.0 || v.is_nan(),
            // Several keys together.
            ScalarValue::Struct(_) => true,
            _ => false,
        };
        whole.exists(|e| Ok(e.downcast_ref::<Literal>().is_some_and(|l| special(l.value())))).unwrap_or(true)
    }

    /// The branch that holds for this partition of a filter of the form `CASE hash(key) % n WHEN i THEN …`, which a
    /// partitioned hash join gives. Only where the hash is the one that placed our rows, of the column that placed
    /// them, into as many partitions; a join on further keys routes by another hash.
    fn own_branch(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        let case = expr.downcast_ref::<CaseExpr>()?;
        let modulo = case.expr()?.downcast_ref::<BinaryExpr>().filter(|b| *b.op() == Operator::Modulo)?;
        let hash = modulo.left().downcast_ref::<HashExpr>()?;
        let key = self.routing.key?;
        let [hashed] = hash.on_columns() else { return None };
        let ours = hash.seed() == REPARTITION_RANDOM_STATE.seed()
            && hashed.downcast_ref::<Column>().is_some_and(|c| c.index() == key)
            && literal_u64(modulo.right()) == Some(self.routing.partitions as u64);
        if !ours {
            return None;
        }
        for (when, then) in case.when_then_expr() {
            if literal_u64(when)? == self.routing.partition as u64 {
                return Some(Arc::clone(then));
            }
        }
        case.else_expr().map(Arc::clone)
    }
}

/// A join's keys, over the table's columns.
type Keys = Vec<Arc<dyn PhysicalExpr>>;

/// Leaves out lookups in a join's hash table where a filter of the same keys is known: it says nearly the same, for less.
fn leave_out_lookups(mut known: Vec<Keys>, residual: &mut Vec<ResidualConjunct>) -> datafusion::common::Result<()> {
    let mut kept = Vec::with_capacity(residual.len());
    for conjunct in residual.drain(..) {
        let looked_up = looked_up(&conjunct.expr)?;
        match known.iter().position(|keys| Some(keys) == looked_up.as_ref()) {
            // Each filter stands for the lookup of its own join.
            Some(at) => drop(known.swap_remove(at)),
            None => kept.push(conjunct),
        }
    }
    *residual = kept;
    Ok(())
}

/// What a conjunct looks up in a join's hash table, or in that of each row's partition; `None` of all else.
fn looked_up(conjunct: &Arc<dyn PhysicalExpr>) -> datafusion::common::Result<Option<Keys>> {
    let mut keys = None;
    if conjunct.is::<HashTableLookupExpr>() || conjunct.is::<CaseExpr>() {
        conjunct.apply(|expr| {
            if expr.is::<HashTableLookupExpr>() {
                keys = Some(expr.children().into_iter().cloned().collect());
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(keys)
}

/// Whether `expr` is of the form that an aggregate's bounds have: strict comparisons with a literal, in ORs. A join's
/// bounds are not strict.
fn is_bounds(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| match binary.op() {
        Operator::Or => is_bounds(binary.left()) && is_bounds(binary.right()),
        Operator::Lt | Operator::Gt => binary.right().is::<Literal>(),
        _ => false,
    })
}

/// What a conjunct amounts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Translated {
    /// TRUE of every row.
    Always,
    /// TRUE of no row.
    Never,
    /// Column ordinal and what encoded data can test.
    Encoded(usize, Predicate),
    /// Only evaluation tells.
    Residual,
}

/// Translates a conjunct over columns of `types`.
pub fn translate(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Translated {
    try_translate(expr, types).unwrap_or(Translated::Residual)
}

fn try_translate(expr: &Arc<dyn PhysicalExpr>, types: &[SqlType]) -> Option<Translated> {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return match literal.value() {
            ScalarValue::Boolean(Some(true)) => Some(Translated::Always),
            ScalarValue::Boolean(_) => Some(Translated::Never),
            _ => None,
        };
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return translate_comparison(binary, types);
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        return translate_in_list(list, types);
    }
    if let Some(is_null) = expr.downcast_ref::<IsNullExpr>() {
        return Some(Translated::Encoded(column(is_null.arg())?, Predicate::IsNull));
    }
    if let Some(is_not_null) = expr.downcast_ref::<IsNotNullExpr>() {
        return Some(Translated::Encoded(column(is_not_null.arg())?, Predicate::IsNotNull));
    }
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let column = column(like.expr())?;
        let pattern = match like.pattern().downcast_ref::<Literal>()?.value() {
            ScalarValue::Utf8(p) | ScalarValue::Utf8View(p) | ScalarValue::LargeUtf8(p) => p.clone(),
            _ => return None,
        };
        let Some(pattern) = pattern else { return Some(Translated::Never) };
        return (types.get(column)?.stored() == Stored::Bytes).then(|| {
            Translated::Encoded(
                column,
                Predicate::Like { pattern, case_insensitive: like.case_insensitive(), negated: like.negated() },
            )
        });
    }
    if let Some(lookup) = expr.downcast_ref::<KeyLookup>() {
        let [key] = lookup.keys() else { return None };
        let column = column(key)?;
        let sql_type = types.get(column)?;
        return Some(match lookup.members(&sql_type.arrow_type())? {
            Some(members) => Translated::Encoded(column, Predicate::Among(Arc::clone(members))),
            None => Translated::Never,
        });
    }
    // A BOOLEAN column by itself, or negated.
    let (operand, wanted) = match expr.downcast_ref::<NotExpr>() {
        Some(not) => (not.arg(), false),
        None => (expr, true),
    };
    let column = column(operand)?;
    (*types.get(column)? == SqlType::Boolean)
        .then_some(Translated::Encoded(column, Predicate::Compare(Comparison::Eq, Scalar::Bool(wanted))))
}

fn translate_comparison(binary: &BinaryExpr, types: &[SqlType]) -> Option<Translated> {
    let (column_at, literal, swapped) = match (column(binary.left()), column(binary.right())) {
        (Some(column), None) => (column, binary.right(), false),
        (None, Some(column)) => (column, binary.left(), true),
        _ => return None,
    };
    let comparison = match (binary.op(), swapped) {
        (Operator::Eq, _) => Comparison::Eq,
        (Operator::NotEq, _) => Comparison::NotEq,
        (Operator::Lt, false) | (Operator::Gt, true) => Comparison::Lt,
        (Operator::LtEq, false) | (Operator::GtEq, true) => Comparison::LtEq,
        (Operator::Gt, false) | (Operator::Lt, true) => Comparison::Gt,
        (Operator::GtEq, false) | (Operator::LtEq, true) => Comparison::GtEq,
        _ => return None,
    };
    let value = literal.downcast_ref::<Literal>()?.value();
    if value.is_null() {
        return Some(Translated::Never);
    }
    let scalar = to_scalar(value, *types.get(column_at)?)?;
    Some(Translated::Encoded(column_at, Predicate::Compare(comparison, scalar)))
}

fn translate_in_list(list: &InListExpr, types: &[SqlType]) -> Option<Translated> {
    let column = column(list.expr())?;
    let sql_type = *types.get(column)?;
    let mut values = Vec::with_capacity(list.list().len());
    for item in list.list() {
        let value = item.downcast_ref::<Literal>()?.value();
        if value.is_null() {
            // `x NOT IN (…, NULL)` is never TRUE; `x IN (…, NULL)` is TRUE as without the NULL.
            if list.negated() {
                return Some(Translated::Never);
            }
            continue;
        }
        values.push(to_scalar(value, sql_type)?);
    }
    if values.is_empty() && !list.negated() {
        return Some(Translated::Never);
    }
    Some(Translated::Encoded(column, Predicate::is_in(values, list.negated())))
}

fn column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

fn literal_u64(expr: &Arc<dyn PhysicalExpr>) -> Option<u64> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::UInt64(value) => *value,
        _ => None,
    }
}

/// A literal of exactly the column's Arrow type in stored form. `None` also for floats that are zero or not a number,
/// whose order is the kernels' affair.
pub fn to_scalar(value: &ScalarValue, sql_type: SqlType) -> Option<Scalar> {
    let text = sql_type.is_text();
    let binary = matches!(sql_type, SqlType::Varbyte(_));
    if value.data_type() != sql_type.arrow_type() && !text && !binary {
        return None;
    }
    match value {
        ScalarValue::Boolean(v) => v.map(Scalar::Bool),
        ScalarValue::Int16(v) => v.map(|v| Scalar::Int(v.into())),
        ScalarValue::Int32(v) | ScalarValue::Date32(v) => v.map(|v| Scalar::Int(v.into())),
        ScalarValue::Int64(v) | ScalarValue::TimestampMicrosecond(v, _) | ScalarValue::Time64Microsecond(v) => {
            v.map(|v| Scalar::Int(v.into()))
        }
        ScalarValue::Decimal128(v, _, _) => v.map(Scalar::Int),
        ScalarValue::Float32(v) => v.filter(|v| *v != 0.0 && !v.is_nan()).map(|v| Scalar::Float(v.into())),
        ScalarValue::Float64(v) => v.filter(|v| *v != 0.0 && !v.is_nan()).map(Scalar::Float),
        ScalarValue::Utf8(v) | ScalarValue::Utf8View(v) | ScalarValue::LargeUtf8(v) if text => {
            v.as_ref().map(|v| Scalar::Bytes(v.clone().into_bytes()))
        }
        ScalarValue::Binary(v) | ScalarValue::BinaryView(v) | ScalarValue::LargeBinary(v) if binary => {
            v.clone().map(Scalar::Bytes)
        }
        _ => None,
    }
}

/// A stored value as the literal that queries see.
pub fn from_scalar(scalar: &Scalar, sql_type: SqlType) -> Option<ScalarValue> {
    Some(match (scalar, sql_type) {
        (Scalar::Bool(v), SqlType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (Scalar::Int(v), SqlType::SmallInt) => ScalarValue::Int16(Some(i16::try_from(*v).ok()?)),
        (Scalar::Int(v), SqlType::Integer) => ScalarValue::Int32(Some(i32::try_from(*v).ok()?)),
        (Scalar::Int(v), SqlType::Date) => ScalarValue::Date32(Some(i32::try_from(*v).ok()?)),
        (Scalar::Int(v), SqlType::BigInt) => ScalarValue::Int64(Some(i64::try_from(*v).ok()?)),
        (Scalar::Int(v), SqlType::Timestamp) => ScalarValue::TimestampMicrosecond(Some(i64::try_from(*v).ok()?), None),
        (Scalar::Int(v), SqlType::Time) => ScalarValue::Time64Microsecond(Some(i64::try_from(*v).ok()?)),
        (Scalar::Int(v), SqlType::TimestampTz) => {
            ScalarValue::TimestampMicrosecond(Some(i64::try_from(*v).ok()?), Some(UTC.into()))
        }
        (Scalar::Int(v), SqlType::Decimal { precision, scale }) => {
            ScalarValue::Decimal128(Some(*v), precision, scale as i8)
        }
        (Scalar::Float(v), SqlType::Real) => ScalarValue::Float32(Some(*v as f32)),
        (Scalar::Float(v), SqlType::Double) => ScalarValue::Float64(Some(*v)),
        (Scalar::Bytes(v), SqlType::Varbyte(_)) => ScalarValue::BinaryView(Some(v.clone())),
        (Scalar::Bytes(v), SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Super) => {
            ScalarValue::Utf8View(Some(String::from_utf8(v.clone()).ok()?))
        }
        _ => return None,
    })
}
