//! MEDIAN, PERCENTILE_CONT and PERCENTILE_DISC, exact for exact numbers (Redshift's manual, "Aggregate functions").
//!
//! `percentile_cont(p) WITHIN GROUP (ORDER BY x)`, or as a call `percentile_cont(x, p [, descending])`, which also stands
//! before OVER. The result of DECIMAL and integers has as many more digits after the point as `p` has, for MEDIAN one,
//! so that nothing is rounded (our own choice; Redshift's manual says DECIMAL).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{SortOptions, cast, concat, filter, is_not_null, sort_to_indices};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::super::kernel::invalid;
use super::constant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Median,
    Continuous,
    Discrete,
}

pub(super) fn median() -> AggregateUDF {
    Percentile::udaf(Kind::Median)
}

pub(super) fn continuous() -> AggregateUDF {
    Percentile::udaf(Kind::Continuous)
}

pub(super) fn discrete() -> AggregateUDF {
    Percentile::udaf(Kind::Discrete)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    kind: Kind,
    aliases: Vec<String>,
    signature: Signature,
}

/// The digits after the point that are kept of a percentile that is a DOUBLE.
const DOUBLE_DIGITS: i8 = 4;

/// As many are kept of any: a percentile of them times as many rows as there can be stays within an `i128`.
const MOST_DIGITS: i8 = 18;

impl Percentile {
    fn udaf(kind: Kind) -> AggregateUDF {
        let aliases = if kind == Kind::Continuous { vec!["quantile_cont".to_string()] } else { Vec::new() };
        Percentile { kind, aliases, signature: Signature::user_defined(Volatility::Immutable) }.into()
    }

    /// The digits that interpolation adds.
    fn digits(&self, types: &[DataType]) -> u8 {
        match (self.kind, types.get(1)) {
            (Kind::Continuous, Some(DataType::Decimal128(_, scale))) => u8::try_from(*scale).unwrap_or(0).max(1),
            _ => 1,
        }
    }

    fn fraction(&self, args: &AccumulatorArgs) -> Result<Fraction> {
        let name = self.name();
        if self.kind == Kind::Median {
            return Ok(Fraction { numerator: 1, denominator: 2 });
        }
        match constant(args, 1)? {
            Some(ScalarValue::Decimal128(Some(value), _, scale)) => {
                let denominator = u32::try_from(scale).ok().and_then(|scale| 10i128.checked_pow(scale)).unwrap_or(1);
                if value < 0 || value > denominator {
                    return Err(invalid(name, "the percentile must be between 0 and 1"));
                }
                Ok(Fraction { numerator: value, denominator })
            }
            _ => Err(invalid(name, "the percentile must be a constant between 0 and 1")),
        }
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Median => "median",
            Kind::Continuous => "percentile_cont",
            Kind::Discrete => "percentile_disc",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let most = if self.kind == Kind::Median { 1 } else { 3 };
        if given.len() > most || given.len() < most.min(2) {
            return match self.kind {
                Kind::Median => plan_err!("median takes one argument"),
                _ => plan_err!("{name} is written {name}(percentile) WITHIN GROUP (ORDER BY value)"),
            };
        }
        let value = match &given[0] {
            t if t.is_decimal() && !matches!(t, DataType::Decimal128(..)) => match t {
                DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
                _ => return plan_err!("{name} of {t} is not supported"),
            },
            DataType::UInt64 => DataType::Decimal128(20, 0),
            t if t.is_integer() && self.kind != Kind::Discrete => DataType::Int64,
            DataType::Float16 | DataType::Float32 if self.kind != Kind::Discrete => DataType::Float64,
            DataType::Null => DataType::Float64,
            t if t.is_string() && self.kind != Kind::Discrete => return plan_err!("{name} of text has no meaning"),
            DataType::Boolean if self.kind != Kind::Discrete => return plan_err!("{name} of BOOLEAN has no meaning"),
            t if t.is_string() || *t == DataType::Boolean => t.clone(),
            t if t.is_primitive() && !matches!(t, DataType::Interval(_)) => t.clone(),
            t => return plan_err!("{name} of {t} is not supported"),
        };
        let mut types = vec![value];
        if let Some(percentile) = given.get(1) {
            types.push(match percentile {
                DataType::Decimal128(_, scale) if *scale > MOST_DIGITS => {
                    DataType::Decimal128(MOST_DIGITS as u8 + 1, MOST_DIGITS)
                }
                decimal @ DataType::Decimal128(_, 0..) => decimal.clone(),
                t if t.is_integer() => DataType::Decimal128(20, 0),
                t if t.is_numeric() => DataType::Decimal128(DOUBLE_DIGITS as u8 + 6, DOUBLE_DIGITS),
                t => return plan_err!("{name}: the percentile is of type {t}, not a number"),
            });
        }
        types.extend(given.get(2).map(|_| DataType::Boolean));
        Ok(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let digits = self.digits(types);
        let decimal = |precision: u8, scale: u8| {
            let scale = (scale + digits).min(37);
            DataType::Decimal128((precision + digits).min(38), scale as i8)
        };
        Ok(match types.first() {
            Some(value) if self.kind == Kind::Discrete => value.clone(),
            Some(DataType::Decimal128(precision, scale)) => decimal(*precision, u8::try_from(*scale).unwrap_or(0)),
            Some(DataType::Int64) => decimal(19, 0),
            Some(other) => other.clone(),
            None => return plan_err!("{} takes arguments", self.name()),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(value) = args.expr_fields.first() else { return plan_err!("{} takes arguments", self.name()) };
        let ordered_down = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        let called_down = constant(&args, 2)? == Some(ScalarValue::Boolean(Some(true)));
        Ok(Box::new(Values {
            function: self.name().to_string(),
            discrete: self.kind == Kind::Discrete,
            fraction: self.fraction(&args)?,
            descending: ordered_down || called_down,
            distinct: args.is_distinct,
            value_type: value.data_type().clone(),
            return_type: args.return_field.data_type().clone(),
            parts: Vec::new(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = args.input_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(vec![Arc::new(Field::new_list(format!("{}[values]", args.name), Field::new_list_field(value, true), true))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        self.kind != Kind::Median
    }
}

/// Invariant: 0 ≤ numerator ≤ denominator.
#[derive(Debug, Clone, Copy)]
struct Fraction {
    numerator: i128,
    denominator: i128,
}

/// All values of a group, sorted when they are asked for.
struct Values {
    function: String,
    discrete: bool,
    fraction: Fraction,
    descending: bool,
    distinct: bool,
    value_type: DataType,
    return_type: DataType,
    parts: Vec<ArrayRef>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("function", &self.function).field("parts", &self.parts.len()).finish()
    }
}

impl Values {
    fn take(&mut self) -> Result<Option<ArrayRef>> {
        let parts = std::mem::take(&mut self.parts);
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        Ok(if parts.is_empty() { None } else { Some(concat(&parts)?) })
    }

    fn sorted(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let sorted = arrow::compute::take(values, &sort_to_indices(values, Some(options), None)?, None)?;
        if !self.distinct {
            return Ok(sorted);
        }
        let first_of_run = arrow::compute::partition(std::slice::from_ref(&sorted))?.ranges();
        let places = arrow::array::UInt64Array::from_iter_values(first_of_run.iter().map(|run| run.start as u64));
        Ok(arrow::compute::take(&sorted, &places, None)?)
    }

    fn between(&self, low: ArrayRef, high: ArrayRef, part: i128) -> Result<ScalarValue> {
        let Fraction { denominator, .. } = self.fraction;
        let overflow = || invalid(&self.function, "the result is out of the range of its type");
        match &self.value_type {
            DataType::Int64 | DataType::Decimal128(..) => {
                let scale = match &self.value_type {
                    DataType::Decimal128(_, scale) => *scale,
                    _ => 0,
                };
                let DataType::Decimal128(precision, to) = self.return_type else { return Err(overflow()) };
                let value = |array: &ArrayRef| -> Result<i128> {
                    Ok(cast(array, &DataType::Decimal128(38, scale))?.as_primitive::<Decimal128Type>().value(0))
                };
                let (low, high) = (value(&low)?, value(&high)?);
                // low + (high - low) × part ÷ denominator, at the result's scale.
                let up = u32::try_from(to - scale).ok().and_then(|digits| 10i128.checked_pow(digits));
                let exact = |up: i128| -> Option<i128> {
                    let step = high.checked_sub(low)?.checked_mul(part)?.checked_mul(up)?;
                    low.checked_mul(up)?.checked_add(rounded(step, denominator))
                };
                let result = up.and_then(exact).ok_or_else(overflow)?;
                Ok(ScalarValue::Decimal128(Some(result), precision, to))
            }
            DataType::Float64 => {
                let value = |array: &ArrayRef| array.as_primitive::<Float64Type>().value(0);
                let (low, high) = (value(&low), value(&high));
                let share = part as f64 / denominator as f64;
                // Two infinities have no difference.
                let result = if part == 0 || low == high { low } else { low + (high - low) * share };
                Ok(ScalarValue::Float64(Some(result)))
            }
            _ => {
                let value = |array: &ArrayRef| -> Result<i128> {
                    let wide = match array.data_type() {
                        DataType::Date32 | DataType::Time32(_) => {
                            cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?
                        }
                        _ => cast(array, &DataType::Int64)?,
                    };
                    Ok(i128::from(wide.as_primitive::<Int64Type>().value(0)))
                };
                let (low, high) = (value(&low)?, value(&high)?);
                let result = low + rounded((high - low) * part, denominator);
                let result = i64::try_from(result).map_err(|_| overflow())?;
                ScalarValue::Int64(Some(result)).cast_to(&self.value_type)
            }
        }
    }
}

/// The quotient, half away from zero.
fn rounded(numerator: i128, denominator: i128) -> i128 {
    let (quotient, rest) = (numerator / denominator, numerator % denominator);
    match (rest.abs() * 2).cmp(&denominator) {
        Ordering::Less => quotient,
        _ => quotient + numerator.signum(),
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        let kept = match values.null_count() {
            0 => Arc::clone(values),
            _ => filter(values, &is_not_null(values)?)?,
        };
        if !kept.is_empty() {
            self.parts.push(kept);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else { return Ok(()) };
        for values in lists.as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.take()?.unwrap_or_else(|| arrow::array::new_empty_array(&self.value_type));
        let field = Arc::new(Field::new_list_field(self.value_type.clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
        Ok(vec![ScalarValue::List(Arc::new(arrow::array::ListArray::try_new(field, offsets, values, None)?))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(values) = self.take()? else { return ScalarValue::try_from(&self.return_type) };
        let values = {
            let sorted = self.sorted(&values)?;
            // A window asks again as it grows.
            self.parts.push(values);
            sorted
        };
        let Fraction { numerator, denominator } = self.fraction;
        let count = values.len() as i128;
        if self.discrete {
            // The first value whose share of the rows up to it is not less than the percentile.
            let rank = (numerator * count + denominator - 1) / denominator;
            return ScalarValue::try_from_array(&values, (rank.max(1) - 1) as usize);
        }
        let scaled = numerator * (count - 1);
        let (place, part) = ((scaled / denominator) as usize, scaled % denominator);
        let above = if part == 0 { place } else { place + 1 };
        self.between(values.slice(place, 1), values.slice(above, 1), part)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.parts.iter().map(|part| part.get_array_memory_size()).sum::<usize>()
    }
}
