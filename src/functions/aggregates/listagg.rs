//! LISTAGG (Redshift's manual, "Aggregate functions").
//!
//! It sorts by itself, unlike DataFusion's `string_agg`, so that several in one query may have orders of their own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortColumn, SortOptions, concat, filter, is_not_null, lexsort_to_indices};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::PhysicalSortExpr;

use super::super::kernel::invalid;
use super::constant;

pub(super) fn listagg() -> AggregateUDF {
    ListAgg { signature: Signature::user_defined(Volatility::Immutable) }.into()
}

/// `listagg([DISTINCT] value [, separator] [ORDER BY …])`: the values as text, without NULLs; NULL where there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ListAgg {
    signature: Signature,
}

impl AggregateUDFImpl for ListAgg {
    fn name(&self) -> &str {
        "listagg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [value] | [value, _] if value.is_nested() || value.is_binary() => {
                plan_err!("listagg of {value} is not supported")
            }
            [_] | [_, _] => Ok(vec![DataType::Utf8View; given.len()]),
            _ => plan_err!("listagg takes a value and a separator"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let separator = match constant(&args, 1)? {
            None if args.exprs.len() < 2 => String::new(),
            Some(value) if value.is_null() => String::new(),
            Some(value) if value.try_as_str().is_some() => value.try_as_str().flatten().unwrap_or_default().to_string(),
            _ => return Err(invalid("listagg", "the separator must be a constant")),
        };
        // The columns that rows are ordered by come after the arguments.
        let key = |by: &PhysicalSortExpr| Ok((by.expr.data_type(args.schema)?, by.options));
        let sort = args.order_bys.iter().map(key).collect::<Result<_>>()?;
        Ok(Box::new(Texts {
            separator,
            distinct: args.is_distinct,
            first_key: args.exprs.len(),
            sort,
            rows: Vec::new(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |i: usize, of: DataType| -> FieldRef {
            let name = format!("{}[{i}]", args.name);
            Arc::new(Field::new_list(name, Field::new_list_field(of, true), true))
        };
        let keys = args.ordering_fields.iter().enumerate().map(|(i, key)| list(i + 1, key.data_type().clone()));
        Ok(std::iter::once(list(0, DataType::Utf8View)).chain(keys).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    /// It sorts in any case.
    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }
}

#[derive(Debug)]
struct Texts {
    separator: String,
    distinct: bool,
    /// Where the columns to order by begin among the arguments.
    first_key: usize,
    /// Their types, and which way.
    sort: Vec<(DataType, SortOptions)>,
    /// Batches of the text, which is never NULL, and of the columns to order by.
    rows: Vec<Vec<ArrayRef>>,
}

impl Texts {
    /// One batch of all rows; `None` where there are none.
    fn columns(&self) -> Result<Option<Vec<ArrayRef>>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let column = |i: usize| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> = self.rows.iter().filter_map(|row| row.get(i)).map(|a| a.as_ref()).collect();
            Ok(concat(&parts)?)
        };
        (0..=self.sort.len()).map(column).collect::<Result<_>>().map(Some)
    }

    fn sorted(&self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let (Some(texts), keys) = (columns.first(), columns.iter().skip(1)) else {
            return plan_err!("listagg takes a value and a separator");
        };
        let mut by: Vec<SortColumn> = keys
            .zip(&self.sort)
            .map(|(key, (_, options))| SortColumn { values: Arc::clone(key), options: Some(*options) })
            .collect();
        if by.is_empty() && !self.distinct {
            return Ok(Arc::clone(texts));
        }
        // Rows that are alike in the order then stand in one order, however they came.
        by.push(SortColumn { values: Arc::clone(texts), options: None });
        Ok(arrow::compute::take(texts, &lexsort_to_indices(&by, None)?, None)?)
    }
}

impl Accumulator for Texts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(texts) = values.first() else { return Ok(()) };
        let keys = values.iter().skip(self.first_key).take(self.sort.len());
        let row: Vec<ArrayRef> = std::iter::once(texts).chain(keys).map(Arc::clone).collect();
        let row = match texts.null_count() {
            0 => row,
            _ => {
                let given = is_not_null(texts)?;
                row.iter().map(|column| Ok(filter(column, &given)?)).collect::<Result<_>>()?
            }
        };
        if row.first().is_some_and(|texts| !texts.is_empty()) {
            self.rows.push(row);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = states.first().map_or(0, |lists| lists.len());
        for group in 0..groups {
            let lists = states.iter().map(|lists| lists.as_list::<i32>());
            let row: Vec<ArrayRef> = lists.filter(|l| l.is_valid(group)).map(|l| l.value(group)).collect();
            if row.len() == states.len() && row.first().is_some_and(|texts| !texts.is_empty()) {
                self.rows.push(row);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.columns()?;
        self.rows.clear();
        let list = |values: ArrayRef| -> Result<ScalarValue> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, values, None)?)))
        };
        match columns {
            Some(columns) => columns.into_iter().map(list).collect(),
            None => {
                let keys = self.sort.iter().map(|(key, _)| key);
                std::iter::once(&DataType::Utf8View).chain(keys).map(|t| list(new_empty_array(t))).collect()
            }
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(columns) = self.columns()? else { return Ok(ScalarValue::Utf8View(None)) };
        let sorted = self.sorted(&columns)?;
        let mut seen = std::collections::HashSet::new();
        let mut list = String::new();
        for (i, text) in sorted.as_string_view().iter().flatten().enumerate() {
            if self.distinct && !seen.insert(text) {
                continue;
            }
            if i > 0 {
                list.push_str(&self.separator);
            }
            list.push_str(text);
        }
        Ok(ScalarValue::Utf8View(Some(list)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.iter().flatten().map(|column| column.get_array_memory_size()).sum::<usize>()
    }
}
