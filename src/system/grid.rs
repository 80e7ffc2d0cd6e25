//! Rows made into columns, each named where it is made.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

/// A table under construction: its schema is that of one without rows.
pub(super) struct Grid<R> {
    rows: Vec<R>,
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl<R> Grid<R> {
    pub fn of(rows: Vec<R>) -> Self {
        Grid { rows, fields: Vec::new(), columns: Vec::new() }
    }

    pub fn schema(self) -> Schema {
        Schema::new(self.fields)
    }

    pub fn columns(self) -> Vec<ArrayRef> {
        self.columns
    }

    pub fn text(self, name: &str, value: impl Fn(&R) -> Option<String>) -> Self {
        let array = self.rows.iter().map(value).collect::<StringArray>();
        self.with(Field::new(name, DataType::Utf8, true), Arc::new(array))
    }

    pub fn word(self, name: &str, value: impl Fn(&R) -> String) -> Self {
        let array = StringArray::from_iter_values(self.rows.iter().map(value));
        self.with(Field::new(name, DataType::Utf8, false), Arc::new(array))
    }

    pub fn int(self, name: &str, value: impl Fn(&R) -> i32) -> Self {
        let array = Int32Array::from_iter_values(self.rows.iter().map(value));
        self.with(Field::new(name, DataType::Int32, false), Arc::new(array))
    }

    pub fn big(self, name: &str, value: impl Fn(&R) -> i64) -> Self {
        let array = Int64Array::from_iter_values(self.rows.iter().map(value));
        self.with(Field::new(name, DataType::Int64, false), Arc::new(array))
    }

    pub fn some_big(self, name: &str, value: impl Fn(&R) -> Option<i64>) -> Self {
        let array = self.rows.iter().map(value).collect::<Int64Array>();
        self.with(Field::new(name, DataType::Int64, true), Arc::new(array))
    }

    pub fn some_int(self, name: &str, value: impl Fn(&R) -> Option<i32>) -> Self {
        let array = self.rows.iter().map(value).collect::<Int32Array>();
        self.with(Field::new(name, DataType::Int32, true), Arc::new(array))
    }

    pub fn small(self, name: &str, value: impl Fn(&R) -> i16) -> Self {
        let array = Int16Array::from_iter_values(self.rows.iter().map(value));
        self.with(Field::new(name, DataType::Int16, false), Arc::new(array))
    }

    pub fn real(self, name: &str, value: impl Fn(&R) -> f32) -> Self {
        let array = Float32Array::from_iter_values(self.rows.iter().map(value));
        self.with(Field::new(name, DataType::Float32, false), Arc::new(array))
    }

    pub fn truth(self, name: &str, value: impl Fn(&R) -> bool) -> Self {
        let array = BooleanArray::from_iter(self.rows.iter().map(|row| Some(value(row))));
        self.with(Field::new(name, DataType::Boolean, false), Arc::new(array))
    }

    /// Microseconds of UTC.
    pub fn time(self, name: &str, value: impl Fn(&R) -> i64) -> Self {
        let array = TimestampMicrosecondArray::from_iter_values(self.rows.iter().map(value));
        self.with(Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), false), Arc::new(array))
    }

    /// Text that is always NULL.
    pub fn nothing(self, name: &str) -> Self {
        self.text(name, |_| None)
    }

    fn with(mut self, field: Field, array: ArrayRef) -> Self {
        self.fields.push(field);
        self.columns.push(array);
        self
    }
}
