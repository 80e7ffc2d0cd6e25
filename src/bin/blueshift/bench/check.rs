//! Whether two engines' results are the same.

use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use blueshift::common::Error;

use super::promise::Promise;
use crate::failure::Failure;

/// Floats that differ by less, relatively, are the same: sums depend on the order of their terms.
const TOLERANCE: f64 = 1e-9;

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    /// An exact number without trailing zeros after the point: digits and scale.
    Exact(i128, u32),
    Float(f64),
    Text(String),
}

impl Cell {
    fn exact(mut digits: i128, mut scale: u32) -> Self {
        while scale > 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        Cell::Exact(digits, scale)
    }

    fn as_float(&self) -> Option<f64> {
        match self {
            Cell::Exact(digits, scale) => Some(*digits as f64 / 10f64.powi(*scale as i32)),
            Cell::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub fn same(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Float(_), _) | (_, Cell::Float(_)) => match (self.as_float(), other.as_float()) {
                (Some(a), Some(b)) => a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
                _ => false,
            },
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("NULL"),
            Cell::Exact(digits, 0) => write!(f, "{digits}"),
            Cell::Exact(digits, scale) => write!(f, "{digits}e-{scale}"),
            Cell::Float(value) => write!(f, "{value}"),
            Cell::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// The first difference in words between two engines' rows of `statement`; `None` when they are the same. Rows that ORDER BY
/// leaves tied may stand in any order, and of those tied where LIMIT or OFFSET cuts, any may be there.
pub fn difference(statement: &str, ours: &[RecordBatch], theirs: &[RecordBatch]) -> Result<Option<String>, Failure> {
    let names = ours.first().map(|batch| batch.schema());
    let names: Vec<String> = names.iter().flat_map(|s| s.fields().iter().map(|f| f.name().clone())).collect();
    let promise = Promise::of(statement, &names);
    let (mut ours, mut theirs) = (rows(ours)?, rows(theirs)?);
    if ours.len() != theirs.len() {
        return Ok(Some(format!("{} rows instead of {}", ours.len(), theirs.len())));
    }
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        if a.len() != b.len() {
            return Ok(Some(format!("{} columns instead of {}", a.len(), b.len())));
        }
        if let Some(column) = promise.order.iter().find(|c| !a[**c].same(&b[**c])) {
            let (a, b) = (&a[*column], &b[*column]);
            return Ok(Some(format!("row {}, column {}: {a} instead of {b}", i + 1, column + 1)));
        }
    }
    promise.leave_sure(&mut ours);
    promise.leave_sure(&mut theirs);
    let key = |row: &Vec<Cell>| {
        let sortable = |cell: &Cell| cell.as_float().map_or_else(|| cell.to_string(), |v| format!("{v:.6e}"));
        row.iter().map(sortable).collect::<Vec<_>>()
    };
    ours.sort_by_cached_key(key);
    theirs.sort_by_cached_key(key);
    for (a, b) in ours.iter().zip(&theirs) {
        if let Some(column) = (0..a.len()).find(|c| !a[*c].same(&b[*c])) {
            let whole = |row: &[Cell]| row.iter().map(Cell::to_string).collect::<Vec<_>>().join(", ");
            return Ok(Some(format!("column {}: row ({}) instead of ({})", column + 1, whole(a), whole(b))));
        }
    }
    Ok(None)
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<Cell>>, Failure> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|c| cells(c.as_ref())).collect::<Result<Vec<_>, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()));
    }
    Ok(rows)
}

fn cells(array: &dyn Array) -> Result<Vec<Cell>, Failure> {
    let convert = |to: &DataType| cast(array, to).map_err(|e| Failure::from(Error::from(e)));
    Ok(match array.data_type() {
        t if t.is_integer() => {
            let array = convert(&DataType::Int64)?;
            let cell = |v: Option<i64>| v.map_or(Cell::Null, |v| Cell::exact(v.into(), 0));
            array.as_primitive::<Int64Type>().iter().map(cell).collect()
        }
        DataType::Decimal128(_, scale) if *scale >= 0 => {
            let cell = |v: Option<i128>| v.map_or(Cell::Null, |v| Cell::exact(v, *scale as u32));
            array.as_primitive::<Decimal128Type>().iter().map(cell).collect()
        }
        t if t.is_floating() => {
            let array = convert(&DataType::Float64)?;
            array.as_primitive::<Float64Type>().iter().map(|v| v.map_or(Cell::Null, Cell::Float)).collect()
        }
        _ => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array, &options).map_err(Error::from)?;
            let cell = |i| if array.is_null(i) { Cell::Null } else { Cell::Text(text.value(i).to_string()) };
            (0..array.len()).map(cell).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, StringViewArray};

    fn batch(columns: Vec<ArrayRef>) -> Vec<RecordBatch> {
        vec![RecordBatch::try_from_iter(["a", "b", "c"].into_iter().zip(columns)).unwrap()]
    }

    #[test]
    fn the_same_in_other_types_and_tied_order() {
        let query = "select a, b, c from t order by b";
        let a = batch(vec![
            Arc::new(StringViewArray::from(vec!["x", "y"])),
            Arc::new(Int32Array::from(vec![7, 7])),
            Arc::new(Float64Array::from(vec![0.1 + 0.2, 1.0])),
        ]);
        let b = batch(vec![
            Arc::new(StringViewArray::from(vec!["y", "x"])),
            Arc::new(Decimal128Array::from(vec![700, 700]).with_precision_and_scale(9, 2).unwrap()),
            Arc::new(Float64Array::from(vec![1.0, 0.3])),
        ]);
        assert_eq!(difference(query, &a, &b).unwrap(), None);
    }

    #[test]
    fn differences_are_found() {
        let query = "select a, b from t order by a";
        let numbers = |a: [i64; 2], b: [Option<i64>; 2]| {
            batch(vec![Arc::new(Int64Array::from(a.to_vec())), Arc::new(Int64Array::from(b.to_vec()))])
        };
        let base = numbers([1, 2], [Some(1), Some(2)]);
        assert!(difference(query, &base, &numbers([2, 1], [Some(2), Some(1)])).unwrap().is_some(), "order");
        assert!(difference(query, &base, &numbers([1, 3], [Some(1), Some(2)])).unwrap().is_some(), "value");
        assert!(difference(query, &base, &numbers([1, 2], [Some(1), None])).unwrap().is_some(), "NULL");
        assert!(difference(query, &base, &[]).unwrap().is_some(), "rows");
    }

    #[test]
    fn what_a_limit_cuts_may_be_any_of_those_tied() {
        let rows = |a: &[i64], b: &[&str]| {
            batch(vec![Arc::new(Int64Array::from(a.to_vec())), Arc::new(StringViewArray::from(b.to_vec()))])
        };
        let found = |statement: &str, ours: &[&str], theirs: &[&str]| {
            difference(statement, &rows(&[1, 2, 2], ours), &rows(&[1, 2, 2], theirs)).unwrap().is_some()
        };
        let limited = "select a, b from t order by a limit 3";
        assert!(!found(limited, &["x", "y", "z"], &["x", "v", "y"]), "tied with the last");
        assert!(found(limited, &["w", "y", "z"], &["x", "y", "z"]), "not tied");
        // The limit is not reached.
        assert!(found("select a, b from t order by a limit 4", &["x", "y", "z"], &["x", "v", "y"]));
        assert!(found("select a, b from t order by a", &["x", "y", "z"], &["x", "v", "y"]));
        // Nothing says which rows.
        assert!(!found("select a, b from t limit 3", &["x", "y", "z"], &["u", "v", "w"]));
        // Of rows tied with the first one others may have been left out.
        assert!(!found("select a, b from t order by a offset 5", &["w", "y", "z"], &["x", "y", "z"]));
    }
}
