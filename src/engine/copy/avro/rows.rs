//! Records of Avro as rows.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::Records;
use super::schema::Field;
use super::value::{Reader, Value};
use crate::common::{Result, SqlType};
use crate::engine::copy::blocks::MAX_LINE_BYTES;
use crate::engine::copy::formats::Formats;
use crate::engine::copy::json::{Shape, Step};
use crate::engine::copy::lines::Line;
use crate::engine::copy::refused::{Code, FieldText, LoadError, raw};
use crate::engine::copy::text::TextFiles;
use crate::engine::copy::values::{Refusal, Rules, Values};
use crate::sql::ast::ValueRules;

/// Where in a row each column is.
enum Places<'s> {
    /// Fields of the row, `None` of columns that it has not.
    Fields(Vec<Option<usize>>),
    Paths(&'s [Vec<Step>]),
    /// Rows that have no fields.
    Nowhere,
}

impl TextFiles {
    /// The rows of blocks; those that are refused are left out.
    ///
    /// Errors: Invalid for blocks that are damaged; too many rows that are refused.
    pub fn parse_records(&self, records: &Records, shape: &Shape) -> Result<RecordBatch> {
        let mut values: Vec<Values> = self.columns.iter().map(Values::new).collect();
        let places = Places::of(shape, records.header.schema.fields());
        let iso = self.iso()?;
        let mut kept = Vec::new();
        let mut row = records.row;
        for block in &records.blocks {
            let broken = |row: u64, reason| self.refused.broken(records.broken(row, reason));
            let bytes = records.header.codec.unpack(&block.bytes).map_err(|reason| broken(row, reason))?;
            let mut reader = Reader::new(&records.header.schema, &bytes);
            for _ in 0..block.rows {
                let value = reader.row(MAX_LINE_BYTES).map_err(|reason| broken(row, reason))?;
                kept.push(self.take_record(records, row, &value, &places, &iso, &mut values)?);
                row += 1;
            }
            if !reader.is_at_end() {
                return Err(broken(row, "a block has more than its rows".into()));
            }
        }
        self.refused.read(&records.file, row - records.row, kept.iter().filter(|kept| **kept).count() as u64);
        self.batch(values, kept)
    }

    /// The rules for dates and times, which do not look as the statement says that those of text do.
    fn iso(&self) -> Result<Rules> {
        let formats = Formats::new(&ValueRules::default())?;
        Ok(Rules { text: self.rules.text.clone(), formats, null_as: None, zone: self.rules.zone })
    }

    /// Appends a row; false where it is refused.
    fn take_record(
        &self,
        records: &Records,
        row: u64,
        record: &Value<'_>,
        places: &Places<'_>,
        iso: &Rules,
        values: &mut [Values],
    ) -> Result<bool> {
        let mut refused = None;
        for (at, values) in values.iter_mut().enumerate() {
            if refused.is_some() {
                values.push_null();
                continue;
            }
            let pushed = match places.find(record, at) {
                Ok(found) => push(found.unwrap_or(&Value::Null), values, &self.rules, iso),
                Err(refusal) => {
                    values.push_null();
                    Err(refusal)
                }
            };
            refused = pushed.err().map(|refusal| (at, refusal));
        }
        let text = || record.json(Some(b'?')).unwrap_or_default().into_bytes();
        let Some((at, refusal)) = refused else {
            if self.rules.text.replace_invalid.is_some() {
                let text = text();
                let line = Line { text: &text, number: row, offset: records.offset };
                self.note_replaced(&records.file, line, |at| match places.find(record, at) {
                    Ok(Some(Value::Text(text))) => Some(text),
                    _ => None,
                });
            }
            return Ok(true);
        };
        let text = text();
        let line = Line { text: &text, number: row, offset: records.offset };
        let shown = |at| {
            let found = places.find(record, at).ok().flatten()?;
            found.text(Some(b'?')).ok().flatten().map(|text: Cow<'_, [u8]>| raw(&text))
        };
        self.refused.add(LoadError {
            raw_value: shown(at).unwrap_or_default(),
            fields: (0..self.columns.len())
                .map(|at| FieldText { value: shown(at), column: Some(self.column(at)) })
                .collect(),
            ..self.error(&records.file, line, Some(at), refusal)
        })?;
        Ok(false)
    }
}

/// Appends a value to a column.
fn push(value: &Value<'_>, values: &mut Values, rules: &Rules, iso: &Rules) -> Result<(), Refusal> {
    let sql_type = values.column().sql_type;
    if let Some(pushed) = value.typed().and_then(|typed| values.push_typed(&typed, rules)) {
        return pushed;
    }
    let replace = rules.text.replace_invalid.filter(|_| matches!(sql_type, SqlType::Varchar(_)));
    let text = match (value, value.count(), sql_type) {
        (Value::Null, ..) => Ok(None),
        (_, _, SqlType::Super) => value.json(None).map(|json| Some(Cow::Owned(json.into_bytes()))),
        // Which the file has, whatever else it says of it.
        (_, Some(count), SqlType::SmallInt | SqlType::Integer | SqlType::BigInt) => {
            Ok(Some(Cow::Owned(count.to_string().into_bytes())))
        }
        _ => value.text(replace),
    };
    match text {
        Ok(text) => values.push(text.as_deref(), if value.count().is_some() { iso } else { rules }),
        Err(refusal) => {
            values.push_null();
            Err(refusal)
        }
    }
}

impl<'s> Places<'s> {
    fn of(shape: &'s Shape, fields: Option<&[Field]>) -> Places<'s> {
        match (shape, fields) {
            (Shape::Paths(paths), _) => Places::Paths(paths),
            (Shape::Keys { names, keys }, Some(fields)) => {
                let place = |name: &String| fields.iter().rposition(|field| keys.match_name(name, &field.name));
                Places::Fields(names.iter().map(place).collect())
            }
            (Shape::Keys { .. }, None) | (Shape::Whole, _) => Places::Nowhere,
        }
    }

    /// The value of a column; `None` where the row has none.
    fn find<'v, 'b>(&self, row: &'v Value<'b>, column: usize) -> Result<Option<&'v Value<'b>>, Refusal> {
        match (self, row) {
            (Places::Fields(fields), Value::Record(_, values)) => {
                Ok(fields.get(column).copied().flatten().and_then(|field| values.get(field)))
            }
            (Places::Paths(paths), row) => follow(row, paths.get(column).map_or(&[][..], Vec::as_slice)),
            _ => Err(bad("a record is expected, whose fields are called like columns")),
        }
    }
}

fn bad(reason: impl Into<String>) -> Refusal {
    Refusal { code: Code::BAD_LINE, reason: reason.into() }
}

fn follow<'v, 'b>(value: &'v Value<'b>, path: &[Step]) -> Result<Option<&'v Value<'b>>, Refusal> {
    let mut value = value;
    for step in path {
        let found = match (step, value) {
            (Step::Key(wanted), Value::Record(fields, values)) => {
                fields.iter().position(|field| field.name == *wanted).and_then(|at| values.get(at))
            }
            (Step::Key(wanted), Value::Map(entries)) => {
                entries.iter().rfind(|(key, _)| *key == wanted.as_bytes()).map(|(_, value)| value)
            }
            (Step::Index(wanted), Value::Array(elements)) => match elements.get(*wanted) {
                None => return Err(bad(format!("the array has no element {wanted}"))),
                found => found,
            },
            _ => None,
        };
        match found {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}
