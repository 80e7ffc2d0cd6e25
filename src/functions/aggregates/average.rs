//! AVG: of integers a BIGINT without what follows the point, as in Redshift; of other numbers DataFusion's.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

pub(super) fn average() -> AggregateUDF {
    let aliases = vec!["mean".to_string()];
    Average { signature: Signature::user_defined(Volatility::Immutable), aliases, other: avg_udaf() }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    signature: Signature,
    aliases: Vec<String>,
    /// For what is no integer.
    other: Arc<AggregateUDF>,
}

/// A sum of so many BIGINTs as memory holds fits.
const SUM: DataType = DataType::Decimal128(38, 0);

fn of_integers(fields: &[FieldRef]) -> bool {
    fields.first().is_some_and(|field| *field.data_type() == DataType::Int64)
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [value] = given else { return plan_err!("avg takes one argument") };
        Ok(vec![match value {
            DataType::UInt64 => DataType::Decimal128(20, 0),
            t if t.is_integer() => DataType::Int64,
            t if t.is_floating() || t.is_null() => DataType::Float64,
            t if t.is_decimal() || matches!(t, DataType::Duration(_)) => t.clone(),
            t => return plan_err!("avg of {t} is not supported; it takes a number"),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Int64] => Ok(DataType::Int64),
            _ => self.other.return_type(types),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !of_integers(args.input_fields) {
            return self.other.state_fields(args);
        }
        let name = args.name;
        if args.is_distinct {
            let values = Field::new_list_field(DataType::Int64, true);
            return Ok(vec![Arc::new(Field::new_list(format!("{name}[distinct]"), values, true))]);
        }
        Ok(vec![
            Arc::new(Field::new(format!("{name}[count]"), DataType::Int64, true)),
            Arc::new(Field::new(format!("{name}[sum]"), SUM, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match (of_integers(args.expr_fields), args.is_distinct) {
            (false, _) => self.other.accumulator(args),
            (true, true) => Ok(Box::<DistinctMean>::default()),
            (true, false) => Ok(Box::<Mean>::default()),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if of_integers(args.expr_fields) { self.accumulator(args) } else { self.other.create_sliding_accumulator(args) }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match of_integers(args.expr_fields) {
            true => !args.is_distinct,
            false => self.other.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match of_integers(args.expr_fields) {
            true => Ok(Box::<Means>::default()),
            false => self.other.create_groups_accumulator(args),
        }
    }
}

/// Without what follows the point; NULL of nothing. A mean of BIGINTs is one.
fn mean(sum: i128, count: i64) -> Option<i64> {
    sum.checked_div(i128::from(count)).and_then(|mean| i64::try_from(mean).ok())
}

fn sum_of(values: &Int64Array) -> (i128, i64) {
    let sum = match values.null_count() {
        0 => values.values().iter().map(|v| i128::from(*v)).sum(),
        _ => values.iter().flatten().map(i128::from).sum(),
    };
    (sum, (values.len() - values.null_count()) as i64)
}

#[derive(Debug, Default)]
struct Mean {
    sum: i128,
    count: i64,
}

impl Accumulator for Mean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let [values] = values {
            let (sum, count) = sum_of(values.as_primitive());
            self.sum += sum;
            self.count += count;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let [values] = values {
            let (sum, count) = sum_of(values.as_primitive());
            self.sum -= sum;
            self.count -= count;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let [counts, sums] = states {
            self.count += counts.as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
            self.sum += sums.as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.count)), ScalarValue::Decimal128(Some(self.sum), 38, 0)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(mean(self.sum, self.count)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[derive(Debug, Default)]
struct DistinctMean {
    values: HashSet<i64>,
}

impl Accumulator for DistinctMean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let [values] = values {
            self.values.extend(values.as_primitive::<Int64Type>().iter().flatten());
        }
        Ok(())
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
        let values: Vec<ScalarValue> = self.values.iter().map(|v| ScalarValue::Int64(Some(*v))).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.values.iter().map(|v| i128::from(*v)).sum();
        Ok(ScalarValue::Int64(mean(sum, self.values.len() as i64)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<i64>()
    }
}

/// Means by group.
#[derive(Debug, Default)]
struct Means {
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl Means {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }
}

impl GroupsAccumulator for Means {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let Some(values) = values.first() else { return Ok(()) };
        let values = values.as_primitive::<Int64Type>();
        if filter.is_none() && values.null_count() == 0 {
            for (group, value) in groups.iter().zip(values.values()) {
                self.sums[*group] += i128::from(*value);
                self.counts[*group] += 1;
            }
            return Ok(());
        }
        for (row, (group, value)) in groups.iter().zip(values).enumerate() {
            let counts = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if let Some(value) = value.filter(|_| counts) {
                self.sums[*group] += i128::from(value);
                self.counts[*group] += 1;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        if let [counts, sums] = states {
            let (counts, sums) = (counts.as_primitive::<Int64Type>(), sums.as_primitive::<Decimal128Type>());
            for (group, (count, sum)) in groups.iter().zip(counts.iter().zip(sums)) {
                self.counts[*group] += count.unwrap_or(0);
                self.sums[*group] += sum.unwrap_or(0);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        let means: Int64Array = sums.into_iter().zip(counts).map(|(sum, count)| mean(sum, count)).collect();
        Ok(Arc::new(means))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        Ok(vec![Arc::new(Int64Array::from(counts)), Arc::new(Decimal128Array::from(sums).with_data_type(SUM))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else { return plan_err!("avg takes one argument") };
        let rows = values.as_primitive::<Int64Type>().iter().enumerate().map(|(row, value)| {
            value.filter(|_| filter.is_none_or(|f| f.is_valid(row) && f.value(row))).map(i128::from)
        });
        let (counts, sums): (Vec<i64>, Vec<i128>) = rows.map(|v| (i64::from(v.is_some()), v.unwrap_or(0))).unzip();
        Ok(vec![Arc::new(Int64Array::from(counts)), Arc::new(Decimal128Array::from(sums).with_data_type(SUM))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}
