//! Arithmetic on whole numbers of 64 bits, where the bounds of columns prove that it never leaves them.
//!
//! DECIMAL is computed by DataFusion in 128 bits, checked row by row. Here a DECIMAL is the integer that it is stored as, and
//! what bounds cannot prove is not translated.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_plan::PhysicalExpr;

use super::origin::{Integers, Source};
use crate::catalog::model::ColumnDef;
use crate::common::{Scalar, SqlType, Stored};
use crate::format::mask::Mask;
use crate::functions::whole_numbers::operation;
use crate::physical_plan::scan::ScanTable;

/// Some expressions over a table's columns; equal ones are computed once.
///
/// Invariant: operands stand before what uses them.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    nodes: Vec<Node>,
}

/// One of the expressions, by its place.
pub type Number = usize;

#[derive(Debug, Clone, PartialEq)]
struct Node {
    what: What,
    /// No value is outside, both included; within 64 bits.
    bounds: (i128, i128),
    nullable: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// As the source calls it.
    Column(usize),
    Constant(i64),
    /// `left * by.0 + right * by.1`
    Sum {
        left: Number,
        right: Number,
        by: (i64, i64),
    },
    Product {
        left: Number,
        right: Number,
    },
}

impl Numbers {
    /// Adds an expression over the columns of a source. `None` of what may leave 64 bits and of what is no arithmetic.
    pub fn add(&mut self, expr: &Arc<dyn PhysicalExpr>, input: &Schema, source: Source<'_>) -> Option<Number> {
        let before = self.nodes.len();
        let added = Translation { numbers: self, input, source }.add(expr);
        if added.is_none() {
            self.nodes.truncate(before);
        }
        added
    }

    /// As [`Numbers::add`], for a sum of the values, which are the number's, times the first factor, and the second more. A number
    /// and a constant are not added row by row.
    pub fn add_linear(
        &mut self,
        expr: &Arc<dyn PhysicalExpr>,
        input: &Schema,
        source: Source<'_>,
    ) -> Option<(Number, i64, i64)> {
        let before = self.nodes.len();
        let number = self.add(expr, input, source)?;
        let What::Sum { left, right, by } = self.nodes[number].what else { return Some((number, 1, 0)) };
        let constant = |number: Number| match self.nodes[number].what {
            What::Constant(value) => Some(value),
            _ => None,
        };
        let linear = match (constant(left), constant(right)) {
            (None, Some(c)) => by.1.checked_mul(c).map(|more| (left, by.0, more)),
            (Some(c), None) => by.0.checked_mul(c).map(|more| (right, by.1, more)),
            _ => None,
        };
        // Nothing else has asked for it.
        if linear.is_some() && number >= before && number + 1 == self.nodes.len() {
            self.nodes.truncate(number);
        }
        Some(linear.unwrap_or((number, 1, 0)))
    }

    /// A column of 64 bits, as the source calls it.
    #[cfg(test)]
    pub fn of_column(&mut self, column: usize, bounds: (i128, i128), nullable: bool) -> Number {
        self.push(What::Column(column), bounds, nullable).expect("bounds are of 64 bits")
    }

    fn push(&mut self, what: What, bounds: (i128, i128), nullable: bool) -> Option<Number> {
        if i64::try_from(bounds.0).is_err() || i64::try_from(bounds.1).is_err() {
            return None;
        }
        let node = Node { what, bounds, nullable };
        let known = self.nodes.iter().position(|other| *other == node);
        known.or_else(|| {
            self.nodes.push(node);
            Some(self.nodes.len() - 1)
        })
    }

    /// The farthest that a value is from 0.
    pub fn most(&self, number: Number) -> u128 {
        let (low, high) = self.nodes[number].bounds;
        low.unsigned_abs().max(high.unsigned_abs())
    }

    pub fn nullable(&self, number: Number) -> bool {
        self.nodes[number].nullable
    }

    pub fn is_constant(&self, number: Number) -> bool {
        matches!(self.nodes[number].what, What::Constant(_))
    }

    /// Between what the values lie, both included.
    pub fn bounds(&self, number: Number) -> (i128, i128) {
        self.nodes[number].bounds
    }

    /// The columns that are read, as the source calls them.
    pub fn columns(&self) -> impl Iterator<Item = (Number, usize)> + '_ {
        self.nodes.iter().enumerate().filter_map(|(number, node)| match node.what {
            What::Column(column) => Some((number, column)),
            _ => None,
        })
    }
}

struct Translation<'a> {
    numbers: &'a mut Numbers,
    input: &'a Schema,
    source: Source<'a>,
}

impl Translation<'_> {
    fn add(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Option<Number> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            let Integers { column, bounds, nullable } = self.source.integers(column.index())?;
            return self.numbers.push(What::Column(column), bounds, nullable);
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            let value = integer_of(literal.value())?;
            return self.numbers.push(What::Constant(i64::try_from(value).ok()?), (value, value), false);
        }
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            let (from, to) = (cast.expr().data_type(self.input).ok()?, cast.data_type(self.input).ok()?);
            let by = widening(&from, &to)?;
            let number = self.add(cast.expr())?;
            return self.times(number, by);
        }
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
            return self.whole_numbers(call);
        }
        let binary = expr.downcast_ref::<BinaryExpr>()?;
        let of = |e: &Arc<dyn PhysicalExpr>| e.data_type(self.input).ok();
        let (left, right, result) = (of(binary.left())?, of(binary.right())?, of(expr)?);
        let (DataType::Decimal128(_, left), DataType::Decimal128(_, right), DataType::Decimal128(_, scale)) =
            (left, right, result)
        else {
            return None;
        };
        let (l, r) = (self.add(binary.left())?, self.add(binary.right())?);
        match binary.op() {
            Operator::Plus | Operator::Minus if scale == left.max(right) => {
                let sign = if *binary.op() == Operator::Minus { -1 } else { 1 };
                let by = (power(scale - left)?, sign * power(scale - right)?);
                self.sum(l, r, by)
            }
            Operator::Multiply if scale == left + right => self.product(l, r),
            _ => None,
        }
    }

    /// An operator of whole numbers, which is an error where it leaves its type: it must be proven that it does not.
    fn whole_numbers(&mut self, call: &ScalarFunctionExpr) -> Option<Number> {
        let operator = operation(call.fun())?;
        let [left, right] = call.args() else { return None };
        let (l, r) = (self.add(left)?, self.add(right)?);
        let number = match operator {
            Operator::Plus => self.sum(l, r, (1, 1)),
            Operator::Minus => self.sum(l, r, (1, -1)),
            Operator::Multiply => self.product(l, r),
            _ => None,
        }?;
        let (low, high) = self.numbers.bounds(number);
        let fits = match call.return_type() {
            DataType::Int16 => i16::try_from(low).is_ok() && i16::try_from(high).is_ok(),
            DataType::Int32 => i32::try_from(low).is_ok() && i32::try_from(high).is_ok(),
            // Within 64 bits all numbers are.
            DataType::Int64 => true,
            _ => false,
        };
        fits.then_some(number)
    }

    fn times(&mut self, number: Number, by: i64) -> Option<Number> {
        if by == 1 {
            return Some(number);
        }
        let by = self.numbers.push(What::Constant(by), (by.into(), by.into()), false)?;
        self.product(number, by)
    }

    fn sum(&mut self, left: Number, right: Number, by: (i64, i64)) -> Option<Number> {
        let (l, r) = (scaled(self.numbers.nodes[left].bounds, by.0)?, scaled(self.numbers.nodes[right].bounds, by.1)?);
        let nullable = self.numbers.nodes[left].nullable || self.numbers.nodes[right].nullable;
        self.numbers.push(What::Sum { left, right, by }, (l.0 + r.0, l.1 + r.1), nullable)
    }

    fn product(&mut self, left: Number, right: Number) -> Option<Number> {
        let (l, r) = (&self.numbers.nodes[left], &self.numbers.nodes[right]);
        let nullable = l.nullable || r.nullable;
        // Of two numbers of 64 bits each is within 128.
        let corners =
            [l.bounds.0 * r.bounds.0, l.bounds.0 * r.bounds.1, l.bounds.1 * r.bounds.0, l.bounds.1 * r.bounds.1];
        let bounds = (corners.into_iter().min()?, corners.into_iter().max()?);
        self.numbers.push(What::Product { left, right }, bounds, nullable)
    }
}

/// Bounds times a number, within 64 bits.
fn scaled((low, high): (i128, i128), by: i64) -> Option<(i128, i128)> {
    let (a, b) = (low * i128::from(by), high * i128::from(by));
    let fits = |v: i128| i64::try_from(v).is_ok();
    (fits(a) && fits(b)).then_some((a.min(b), a.max(b)))
}

fn power(digits: i8) -> Option<i64> {
    10i64.checked_pow(u32::try_from(digits).ok()?)
}

/// What values of one type are multiplied by to be those of another that holds them all.
fn widening(from: &DataType, to: &DataType) -> Option<i64> {
    use DataType as T;
    let digits = |t: &DataType| match t {
        T::Int16 => Some(5),
        T::Int32 => Some(10),
        T::Int64 => Some(19),
        _ => None,
    };
    match (from, to) {
        (T::Int16, T::Int16 | T::Int32 | T::Int64) | (T::Int32, T::Int32 | T::Int64) | (T::Int64, T::Int64) => Some(1),
        (T::Decimal128(p, s), T::Decimal128(to_p, to_s)) => {
            let more = i16::from(*to_s) - i16::from(*s);
            (more >= 0 && i16::from(*to_p) >= i16::from(*p) + more).then(|| power(more as i8))?
        }
        (from, T::Decimal128(to_p, to_s)) if *to_s >= 0 => {
            (i16::from(*to_p) >= digits(from)? + i16::from(*to_s)).then(|| power(*to_s))?
        }
        _ => None,
    }
}

fn integer_of(value: &ScalarValue) -> Option<i128> {
    match value {
        ScalarValue::Int16(v) => v.map(i128::from),
        ScalarValue::Int32(v) => v.map(i128::from),
        ScalarValue::Int64(v) => v.map(i128::from),
        ScalarValue::Decimal128(v, _, _) => *v,
        _ => None,
    }
}

/// Whether a column's values are integers of at most 64 bits.
pub fn is_integer(sql_type: SqlType) -> bool {
    matches!(sql_type.stored(), Stored::I16 | Stored::I32 | Stored::I64)
}

/// Between what a column's values lie, by the bounds of all segments, and whether one may be NULL. `None` where they are
/// no integers.
pub fn column_bounds(table: &ScanTable, ordinal: usize) -> Option<((i128, i128), bool)> {
    let column = table.def.columns.get(ordinal)?;
    if !is_integer(column.sql_type) {
        return None;
    }
    let widest = widest(column);
    let (mut bounds, mut nullable): (Option<(i128, i128)>, _) = (None, false);
    let mut meet = |(low, high): (i128, i128)| {
        let (l, h) = bounds.unwrap_or((low, high));
        bounds = Some((l.min(low), h.max(high)));
    };
    for segment in table.segments.iter() {
        match segment.columns.iter().find(|c| c.id == column.id).map(|c| &c.bounds) {
            Some(stored) => {
                nullable |= stored.null_count > 0;
                match (&stored.min, &stored.max) {
                    (Some(Scalar::Int(low)), Some(Scalar::Int(high))) => meet((*low, *high)),
                    _ if stored.all_null() => {}
                    _ => meet(widest),
                }
            }
            None => match &column.absent {
                Some(Scalar::Int(value)) => meet((*value, *value)),
                Some(_) => meet(widest),
                None => nullable = true,
            },
        }
    }
    Some((bounds.unwrap_or((0, 0)), nullable))
}

/// What a column's type holds.
fn widest(column: &ColumnDef) -> (i128, i128) {
    match column.sql_type.stored() {
        Stored::I16 => (i16::MIN.into(), i16::MAX.into()),
        Stored::I32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

/// Room for the values of all expressions, used again for each zone.
#[derive(Debug, Default)]
pub struct Computed {
    slots: Vec<Slot>,
}

/// The values of one expression; those of NULL rows are any.
#[derive(Debug, Default)]
pub struct Slot {
    pub values: Vec<i64>,
    /// Set where a row is not NULL; `None` where none is.
    pub valid: Option<Mask>,
}

impl Computed {
    /// Where a column's values go, before [`Computed::compute`].
    pub fn slot(&mut self, numbers: &Numbers, number: Number) -> &mut Slot {
        self.slots.resize_with(numbers.nodes.len(), Slot::default);
        &mut self.slots[number]
    }

    /// Computes the expressions of `rows` rows from the columns, of which all have their values.
    pub fn compute(&mut self, numbers: &Numbers, rows: usize) {
        self.slots.resize_with(numbers.nodes.len(), Slot::default);
        for (at, node) in numbers.nodes.iter().enumerate() {
            let (before, this) = self.slots.split_at_mut(at);
            let operand = |number: Number| match numbers.nodes[number].what {
                What::Constant(value) => Operand::Constant(value),
                _ => Operand::Values(&before[number].values),
            };
            let Slot { values, valid } = &mut this[0];
            let (left, right) = match node.what {
                What::Column(_) | What::Constant(_) => continue,
                What::Sum { left, right, .. } | What::Product { left, right } => (left, right),
            };
            values.clear();
            let (l, r) = (operand(left), operand(right));
            match node.what {
                What::Sum { by: (1, 1), .. } => combine(l, r, rows, values, i64::wrapping_add),
                What::Sum { by: (by, -1), .. } => {
                    combine(l, r, rows, values, |a, b| a.wrapping_mul(by).wrapping_sub(b))
                }
                What::Sum { by: (by, other), .. } => {
                    combine(l, r, rows, values, |a, b| a.wrapping_mul(by).wrapping_add(b.wrapping_mul(other)));
                }
                _ => combine(l, r, rows, values, i64::wrapping_mul),
            }
            *valid = both(&before[left].valid, &before[right].valid);
        }
    }

    /// The values of an expression that is no constant.
    pub fn values(&self, number: Number) -> &[i64] {
        &self.slots[number].values
    }

    pub fn valid(&self, number: Number) -> Option<&Mask> {
        self.slots[number].valid.as_ref()
    }
}

enum Operand<'a> {
    Constant(i64),
    Values(&'a [i64]),
}

fn combine(left: Operand<'_>, right: Operand<'_>, rows: usize, out: &mut Vec<i64>, with: impl Fn(i64, i64) -> i64) {
    match (left, right) {
        (Operand::Values(left), Operand::Values(right)) => {
            out.extend(left.iter().zip(right).map(|(a, b)| with(*a, *b)));
        }
        (Operand::Constant(a), Operand::Values(right)) => out.extend(right.iter().map(|b| with(a, *b))),
        (Operand::Values(left), Operand::Constant(b)) => out.extend(left.iter().map(|a| with(*a, b))),
        (Operand::Constant(a), Operand::Constant(b)) => out.resize(rows, with(a, b)),
    }
}

fn both(left: &Option<Mask>, right: &Option<Mask>) -> Option<Mask> {
    match (left, right) {
        (Some(left), Some(right)) => {
            let mut both = left.clone();
            both.and(right);
            Some(both)
        }
        (one, other) => one.clone().or_else(|| other.clone()),
    }
}
