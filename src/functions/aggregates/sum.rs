//! SUM that says when its result is out of range, where DataFusion's wraps around.
//!
//! Of integers it is a BIGINT (Redshift's manual, "SUM function"), of DECIMAL(p,s) a DECIMAL(p + 10,s) of at most 38
//! digits. On the way there sums of integers are exact, so that the order of rows never decides between an answer and an
//! error; sums of DECIMAL stop beyond 127 bits. What cannot overflow for as many rows as there can be is DataFusion's.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs, Volatility,
};

use crate::common::{Error, SqlState};

pub(super) fn sum() -> AggregateUDF {
    Sum { signature: Signature::user_defined(Volatility::Immutable), other: sum_udaf() }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    signature: Signature,
    /// For what cannot overflow.
    other: Arc<AggregateUDF>,
}

/// Sums on their way.
const STATE: DataType = DataType::Decimal128(38, 0);

/// Values of fewer digits: as many rows as there can be stay within 38 digits.
const SAFE_DIGITS: u8 = 28;

const MOST: i128 = 10i128.pow(38);

/// What is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BigInt,
    Decimal { precision: u8, scale: i8 },
}

impl Kind {
    /// `None` of what is DataFusion's.
    fn of(fields: &[FieldRef]) -> Option<Kind> {
        match fields.first()?.data_type() {
            DataType::Int64 => Some(Kind::BigInt),
            DataType::Decimal128(precision, scale) if *precision > SAFE_DIGITS => {
                Some(Kind::Decimal { precision: 38, scale: *scale })
            }
            _ => None,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Kind::BigInt => DataType::Int64,
            Kind::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        }
    }

    fn beyond(self) -> DataFusionError {
        let (name, hint) = match self {
            Kind::BigInt => ("BIGINT".to_string(), "cast the values, as in sum(x::decimal(38,0))"),
            Kind::Decimal { precision, scale } => {
                (format!("DECIMAL({precision},{scale})"), "cast the values to DOUBLE PRECISION")
            }
        };
        let message = format!("sum: the result is out of the range of {name}");
        DataFusionError::External(Box::new(Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, message).with_hint(hint)))
    }

    fn add(self, left: i128, right: i128) -> Result<i128> {
        left.checked_add(right).ok_or_else(|| self.beyond())
    }

    fn scalar(self, sum: Option<i128>) -> Result<ScalarValue> {
        self.checked(sum.unwrap_or(0))?;
        Ok(match self {
            Kind::BigInt => ScalarValue::Int64(sum.map(|sum| sum as i64)),
            Kind::Decimal { precision, scale } => ScalarValue::Decimal128(sum, precision, scale),
        })
    }

    /// Errors: Invalid where the type does not hold the sum.
    fn checked(self, sum: i128) -> Result<i128> {
        let fits = match self {
            Kind::BigInt => i64::try_from(sum).is_ok(),
            Kind::Decimal { .. } => (-MOST + 1..MOST).contains(&sum),
        };
        if fits { Ok(sum) } else { Err(self.beyond()) }
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [value] = given else { return plan_err!("sum takes one argument") };
        if value.is_null() {
            return Ok(vec![DataType::Int64]);
        }
        if !value.is_numeric() && !matches!(value, DataType::Duration(_) | DataType::Interval(_)) {
            return plan_err!("sum of {value} is not supported; it takes a number");
        }
        let field = [Arc::new(Field::new("", value.clone(), true))];
        let fields = fields_with_udf(&field, self.other.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.other.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match Kind::of(args.input_fields) {
            None => self.other.state_fields(args),
            Some(kind) if args.is_distinct => {
                let values = Field::new_list_field(kind.data_type(), true);
                Ok(vec![Arc::new(Field::new_list(format!("{}[distinct]", args.name), values, true))])
            }
            Some(_) => Ok(vec![Arc::new(Field::new(format!("{}[sum]", args.name), STATE, true))]),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Kind::of(args.expr_fields) {
            None => self.other.accumulator(args),
            Some(kind) if args.is_distinct => Ok(Box::new(DistinctTotal { kind, counts: HashMap::new() })),
            Some(kind) => Ok(Box::new(Total { kind, sum: 0, count: 0 })),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Kind::of(args.expr_fields) {
            None => self.other.create_sliding_accumulator(args),
            Some(_) => self.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match Kind::of(args.expr_fields) {
            None => self.other.groups_accumulator_supported(args),
            Some(_) => !args.is_distinct,
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match Kind::of(args.expr_fields) {
            None => self.other.create_groups_accumulator(args),
            Some(kind) => Ok(Box::new(Totals::new(kind))),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.other.inner().set_monotonicity(data_type)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.other.inner().value_from_stats(statistics)
    }
}

/// The sum of values and how many there are.
fn total<T: ArrowPrimitiveType>(kind: Kind, values: &PrimitiveArray<T>) -> Result<(i128, i64)>
where
    T::Native: Into<i128>,
{
    let mut sum = 0i128;
    match values.null_count() {
        0 => {
            for value in values.values() {
                sum = kind.add(sum, (*value).into())?;
            }
        }
        _ => {
            for value in values.iter().flatten() {
                sum = kind.add(sum, value.into())?;
            }
        }
    }
    Ok((sum, (values.len() - values.null_count()) as i64))
}

/// As [`total`]; values that are small by far, as most are, are added without a look at each.
fn total_of_integers(values: &Int64Array) -> Result<(i128, i64)> {
    /// So many values of so many bits, and their signs, fit 63 bits.
    const MOST_VALUES: usize = 1 << 14;
    const BITS: u32 = 48;
    let counted = values.values();
    if values.null_count() == 0 && counted.len() <= MOST_VALUES {
        let (mut sum, mut bits) = (0i64, 0i64);
        for value in counted {
            sum = sum.wrapping_add(*value);
            // Of what lies within ±2^BITS it stays below 2^(BITS + 1).
            bits |= value.wrapping_add(1 << BITS);
        }
        if (0..1 << (BITS + 1)).contains(&bits) {
            return Ok((sum.into(), counted.len() as i64));
        }
    }
    total(Kind::BigInt, values)
}

/// One sum.
#[derive(Debug)]
struct Total {
    kind: Kind,
    sum: i128,
    /// Of nothing the sum is NULL.
    count: i64,
}

impl Total {
    fn total(&self, values: &[ArrayRef]) -> Result<(i128, i64)> {
        match (self.kind, values) {
            (Kind::BigInt, [values]) => total_of_integers(values.as_primitive()),
            (_, [values]) => total(self.kind, values.as_primitive::<Decimal128Type>()),
            _ => Ok((0, 0)),
        }
    }

    fn value(&self) -> Option<i128> {
        (self.count > 0).then_some(self.sum)
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = self.total(values)?;
        self.sum = self.kind.add(self.sum, sum)?;
        self.count += count;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = self.total(values)?;
        self.sum = self.sum.checked_sub(sum).ok_or_else(|| self.kind.beyond())?;
        self.count -= count;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let [sums] = states {
            let (sum, count) = total(self.kind, sums.as_primitive::<Decimal128Type>())?;
            self.sum = self.kind.add(self.sum, sum)?;
            self.count += count;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(self.value(), 38, 0)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.kind.scalar(self.value())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of different values.
#[derive(Debug)]
struct DistinctTotal {
    kind: Kind,
    /// How often each is within the window.
    counts: HashMap<i128, i64>,
}

impl DistinctTotal {
    fn values(&self, values: &[ArrayRef]) -> Vec<i128> {
        match (self.kind, values) {
            (Kind::BigInt, [values]) => values.as_primitive::<Int64Type>().iter().flatten().map(i128::from).collect(),
            (_, [values]) => values.as_primitive::<Decimal128Type>().iter().flatten().collect(),
            _ => Vec::new(),
        }
    }
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in self.values(values) {
            *self.counts.entry(value).or_default() += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in self.values(values) {
            if let Some(count) = self.counts.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&value);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let [lists] = states {
            for values in lists.as_list::<i32>().iter().flatten() {
                self.update_batch(&[values])?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.counts.keys().map(|value| self.kind.scalar(Some(*value))).collect::<Result<Vec<_>>>()?;
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.kind.data_type()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = None;
        for value in self.counts.keys() {
            sum = Some(self.kind.add(sum.unwrap_or(0), *value)?);
        }
        self.kind.scalar(sum)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(i128, i64)>()
    }
}

/// Sums by group: in 64 bits as long as those hold all of them, which most queries never leave.
#[derive(Debug)]
struct Totals {
    kind: Kind,
    narrow: Vec<i64>,
    /// In their place, once one was too large.
    wide: Option<Vec<i128>>,
    /// Which groups have a value; all of them as long as no value was left out.
    seen: Option<Vec<bool>>,
}

impl Totals {
    fn new(kind: Kind) -> Totals {
        let wide = (kind != Kind::BigInt).then(Vec::new);
        Totals { kind, narrow: Vec::new(), wide, seen: None }
    }

    fn groups(&self) -> usize {
        self.wide.as_ref().map_or(self.narrow.len(), Vec::len)
    }

    /// To `groups` of them; whether values may be left out among what follows.
    fn grow(&mut self, groups: usize, with_gaps: bool) {
        let before = self.groups();
        match &mut self.wide {
            Some(wide) => wide.resize(groups, 0),
            None => self.narrow.resize(groups, 0),
        }
        match &mut self.seen {
            Some(seen) => seen.resize(groups, false),
            seen if with_gaps => {
                let mut all = vec![true; before];
                all.resize(groups, false);
                *seen = Some(all);
            }
            _ => {}
        }
    }

    fn widen(&mut self) -> &mut Vec<i128> {
        let narrow = &mut self.narrow;
        self.wide.get_or_insert_with(|| std::mem::take(narrow).into_iter().map(i128::from).collect())
    }

    /// Adds values to their groups; `counts` says which of them.
    fn add<T: ArrowPrimitiveType>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        counts: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<()>
    where
        T::Native: Into<i128>,
    {
        let kind = self.kind;
        let mut rows = groups.iter().zip(values.values()).enumerate();
        if let Some(seen) = &mut self.seen {
            for (row, group) in groups.iter().enumerate() {
                seen[*group] |= counts.is_none_or(|counts| counts(row));
            }
        }
        if self.wide.is_none() {
            for (row, (group, value)) in rows.by_ref() {
                if counts.is_some_and(|counts| !counts(row)) {
                    continue;
                }
                let value: i128 = (*value).into();
                let sum = &mut self.narrow[*group];
                match i64::try_from(value).ok().and_then(|value| sum.checked_add(value)) {
                    Some(added) => *sum = added,
                    None => {
                        let sum = &mut self.widen()[*group];
                        *sum = kind.add(*sum, value)?;
                        break;
                    }
                }
            }
        }
        let Some(wide) = &mut self.wide else { return Ok(()) };
        for (row, (group, value)) in rows {
            if counts.is_none_or(|counts| counts(row)) {
                let sum = &mut wide[*group];
                *sum = kind.add(*sum, (*value).into())?;
            }
        }
        Ok(())
    }

    fn add_where<T: ArrowPrimitiveType>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()>
    where
        T::Native: Into<i128>,
    {
        if values.null_count() == 0 && filter.is_none() {
            self.grow(total, false);
            return self.add(values, groups, None);
        }
        self.grow(total, true);
        let counts = |row: usize| values.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        self.add(values, groups, Some(&counts))
    }

    fn take(&mut self, emit: EmitTo) -> (Vec<i128>, Option<Vec<bool>>) {
        let sums = match &mut self.wide {
            Some(wide) => emit.take_needed(wide),
            None => emit.take_needed(&mut self.narrow).into_iter().map(i128::from).collect(),
        };
        (sums, self.seen.as_mut().map(|seen| emit.take_needed(seen)))
    }
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        match (self.kind, values) {
            (Kind::BigInt, [values]) => self.add_where(values.as_primitive::<Int64Type>(), groups, filter, total),
            (_, [values]) => self.add_where(values.as_primitive::<Decimal128Type>(), groups, filter, total),
            _ => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        match states {
            [sums] => self.add_where(sums.as_primitive::<Decimal128Type>(), groups, None, total),
            _ => Ok(()),
        }
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let kind = self.kind;
        let (sums, seen) = self.take(emit);
        let nulls = seen.map(Into::into);
        let sums = sums.into_iter().map(|sum| kind.checked(sum));
        Ok(match kind {
            Kind::BigInt => {
                let sums = sums.map(|sum| sum.map(|sum| sum as i64)).collect::<Result<Vec<i64>>>()?;
                Arc::new(Int64Array::try_new(sums.into(), nulls)?)
            }
            Kind::Decimal { precision, scale } => {
                let sums = Decimal128Array::try_new(sums.collect::<Result<Vec<i128>>>()?.into(), nulls)?;
                Arc::new(sums.with_precision_and_scale(precision, scale)?)
            }
        })
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, seen) = self.take(emit);
        let sums = Decimal128Array::try_new(sums.into(), seen.map(Into::into))?;
        Ok(vec![Arc::new(sums.with_data_type(STATE))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let counts = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let rows = |i: usize, value: Option<i128>| value.filter(|_| counts(i));
        let sums: Decimal128Array = match (self.kind, values) {
            (Kind::BigInt, [values]) => {
                let values = values.as_primitive::<Int64Type>().iter().map(|v| v.map(i128::from));
                values.enumerate().map(|(i, value)| rows(i, value)).collect()
            }
            (_, [values]) => {
                let values = values.as_primitive::<Decimal128Type>().iter();
                values.enumerate().map(|(i, value)| rows(i, value)).collect()
            }
            _ => Decimal128Array::from(Vec::<i128>::new()),
        };
        Ok(vec![Arc::new(sums.with_data_type(STATE))])
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.narrow.capacity() * size_of::<i64>()
            + self.wide.as_ref().map_or(0, |wide| wide.capacity() * size_of::<i128>())
            + self.seen.as_ref().map_or(0, Vec::capacity)
    }
}
