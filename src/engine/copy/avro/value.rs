//! Values of Avro (Avro specification 1.12, "Binary Encoding"), and how they look as text and as JSON.

use std::borrow::Cow;
use std::fmt::Write;

use arrow::datatypes::i256;

use super::schema::{Damage, Field, Node, Schema};
use crate::common::calendar::Civil;
use crate::engine::copy::replaced::replaced;
use crate::engine::copy::values::{Refusal, Typed, not_text};
use crate::functions::semistructured::quote;

/// A value, as it stands in its block.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'b> {
    Null,
    Bool(bool),
    Whole(i64),
    Float(f32),
    Double(f64),
    Bytes(&'b [u8]),
    /// Text, which may be none.
    Text(&'b [u8]),
    /// Big-endian, and the digits behind the point.
    Decimal(&'b [u8], usize),
    /// Days since 1970.
    Date(i32),
    /// Of the day, so many a second.
    TimeOfDay(i64, i64),
    /// Since 1970.
    Timestamp {
        count: i64,
        per_second: i64,
        instant: bool,
    },
    Uuid(&'b [u8]),
    /// Months, days, milliseconds.
    Duration([u32; 3]),
    Array(Vec<Value<'b>>),
    Map(Vec<(&'b [u8], Value<'b>)>),
    Record(&'b [Field], Vec<Value<'b>>),
}

/// How deep records, arrays and maps may stand in each other.
const DEPTH: usize = 200;
/// Values of no bytes that a block may have: as many as somebody likes take no room in the file.
const EMPTY_VALUES: usize = 1 << 22;

/// Reads the values of a block.
pub struct Reader<'b> {
    schema: &'b Schema,
    rest: &'b [u8],
    /// How many more values may have no bytes.
    empty: usize,
}

impl<'b> Reader<'b> {
    pub fn new(schema: &'b Schema, block: &'b [u8]) -> Self {
        Reader { schema, rest: block, empty: EMPTY_VALUES }
    }

    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value of the schema's, of so many bytes at most.
    pub fn row(&mut self, most: usize) -> Result<Value<'b>, Damage> {
        let all = self.rest;
        self.rest = &all[..all.len().min(most)];
        let read = self.value(self.schema.root(), 0);
        let taken = all.len().min(most) - self.rest.len();
        self.rest = &all[taken..];
        match read {
            Err(reason) if all.len() > most && reason == CUT_OFF => {
                Err(format!("a row of more than {} MB", most >> 20))
            }
            read => read,
        }
    }

    fn value(&mut self, node: usize, depth: usize) -> Result<Value<'b>, Damage> {
        if depth > DEPTH {
            return Err(format!("values are more than {DEPTH} deep in each other"));
        }
        let schema = self.schema;
        Ok(match schema.node(node) {
            Node::Null => {
                self.take_empty()?;
                Value::Null
            }
            Node::Boolean => match self.take(1)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err("a boolean is neither 0 nor 1".into()),
            },
            Node::Int => Value::Whole(i64::from(self.int()?)),
            Node::Long => Value::Whole(self.long()?),
            Node::Float => Value::Float(f32::from_le_bytes(self.array()?)),
            Node::Double => Value::Double(f64::from_le_bytes(self.array()?)),
            Node::Bytes => Value::Bytes(self.bytes()?),
            Node::String => Value::Text(self.bytes()?),
            Node::Fixed(size) => {
                if *size == 0 {
                    self.take_empty()?;
                }
                Value::Bytes(self.take(*size)?)
            }
            Node::Enum(symbols) => {
                let at = usize::try_from(self.int()?).ok();
                let symbol = at.and_then(|at| symbols.get(at)).ok_or("an enum is none of its symbols")?;
                Value::Text(symbol.as_bytes())
            }
            Node::Array(items) => {
                let mut elements = Vec::new();
                self.blocks(|reader| {
                    elements.push(reader.value(*items, depth + 1)?);
                    Ok(())
                })?;
                Value::Array(elements)
            }
            Node::Map(values) => {
                let mut entries = Vec::new();
                self.blocks(|reader| {
                    entries.push((reader.bytes()?, reader.value(*values, depth + 1)?));
                    Ok(())
                })?;
                Value::Map(entries)
            }
            Node::Union(branches) => {
                let at = usize::try_from(self.long()?).ok();
                let branch = at.and_then(|at| branches.get(at)).ok_or("a value of a union is none of its types")?;
                self.value(*branch, depth + 1)?
            }
            Node::Record(fields) => {
                if fields.is_empty() {
                    self.take_empty()?;
                }
                let values = fields.iter().map(|field| self.value(field.node, depth + 1));
                Value::Record(fields, values.collect::<Result<_, _>>()?)
            }
            Node::Date => Value::Date(self.int()?),
            // The one of milliseconds is an int.
            Node::TimeOfDay(per_second) => Value::TimeOfDay(self.long()?, *per_second),
            Node::Timestamp { per_second, instant } => {
                Value::Timestamp { count: self.long()?, per_second: *per_second, instant: *instant }
            }
            Node::Decimal { scale, size, .. } => {
                let unscaled = match size {
                    Some(size) => self.take(*size)?,
                    None => self.bytes()?,
                };
                match significant(unscaled).len() <= size_of::<i256>() {
                    true => Value::Decimal(unscaled, *scale),
                    false => return Err("a decimal has more than 256 bits".into()),
                }
            }
            Node::Uuid => Value::Uuid(self.take(16)?),
            Node::Duration => {
                let parts = [self.array()?, self.array()?, self.array()?];
                Value::Duration(parts.map(u32::from_le_bytes))
            }
        })
    }

    /// The items of an array or a map, which stand in blocks.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Damage>) -> Result<(), Damage> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // How many bytes they are serves who leaves them out.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }

    fn take_empty(&mut self) -> Result<(), Damage> {
        self.empty = self.empty.checked_sub(1).ok_or("a block has too many values of no bytes")?;
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<&'b [u8], Damage> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Result<&'b [u8], Damage> {
        let length = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(length)
    }

    fn int(&mut self) -> Result<i32, Damage> {
        i32::try_from(self.long()?).map_err(|_| "an int has more than 32 bits".into())
    }

    fn long(&mut self) -> Result<i64, Damage> {
        let mut bytes = self.rest.iter();
        let read = zigzag(|| bytes.next().copied().ok_or_else(cut_off), || "a number has more than 64 bits".into());
        self.rest = bytes.as_slice();
        read
    }
}

const CUT_OFF: &str = "a value is cut off";

fn cut_off() -> Damage {
    CUT_OFF.into()
}

/// A number of seven bits a byte, the lowest first; even ones are positive.
pub fn zigzag<E>(mut next: impl FnMut() -> Result<u8, E>, too_long: impl FnOnce() -> E) -> Result<i64, E> {
    let (mut bits, mut shift) = (0u64, 0);
    loop {
        let byte = next()?;
        let low = u64::from(byte & 0x7f);
        if shift > 63 || (shift == 63 && low > 1) {
            return Err(too_long());
        }
        bits |= low << shift;
        if byte & 0x80 == 0 {
            return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
        }
        shift += 7;
    }
}

/// Without the bytes at the front that say its sign again.
fn significant(unscaled: &[u8]) -> &[u8] {
    let mut rest = unscaled;
    while let [sign @ (0 | 0xff), second, ..] = rest
        && sign & 0x80 == second & 0x80
    {
        rest = &rest[1..];
    }
    rest
}

impl<'b> Value<'b> {
    /// As it is in a column of a type of its own.
    pub fn typed(&self) -> Option<Typed<'b>> {
        const MICROS: i64 = 1_000_000;
        // Of nanoseconds, those of a microsecond are left out.
        let micros = |count: i64, per_second: i64| match per_second > MICROS {
            true => Some(count.div_euclid(per_second / MICROS)),
            false => count.checked_mul(MICROS / per_second),
        };
        Some(match self {
            Value::Bytes(bytes) => Typed::Bytes(bytes),
            Value::Date(days) => Typed::Day(*days),
            Value::TimeOfDay(count, per_second) => Typed::TimeOfDay(micros(*count, *per_second)?),
            Value::Timestamp { count, per_second, instant: true } => Typed::Instant(micros(*count, *per_second)?),
            Value::Timestamp { count, per_second, instant: false } => Typed::Local(micros(*count, *per_second)?),
            _ => return None,
        })
    }

    /// The number that a date or a time is.
    pub fn count(&self) -> Option<i64> {
        match self {
            Value::Date(days) => Some(i64::from(*days)),
            Value::TimeOfDay(count, _) | Value::Timestamp { count, .. } => Some(*count),
            _ => None,
        }
    }

    /// As text, `None` of NULL: what stands in other values is JSON.
    ///
    /// Errors: a refusal of text within JSON that is none, unless its bytes are to be replaced.
    pub fn text(&self, replace: Option<u8>) -> Result<Option<Cow<'b, [u8]>>, Refusal> {
        let text = match self {
            Value::Null => return Ok(None),
            Value::Text(text) => return Ok(Some(Cow::Borrowed(text))),
            Value::Bool(yes) => yes.to_string(),
            Value::Whole(number) => number.to_string(),
            // The shortest digits that give it back.
            Value::Float(number) => format!("{number:?}"),
            Value::Double(number) => format!("{number:?}"),
            Value::Bytes(bytes) => hex(bytes),
            Value::Decimal(unscaled, scale) => decimal(unscaled, *scale),
            Value::Date(days) => date(i64::from(*days)),
            Value::TimeOfDay(count, per_second) => time(*count, *per_second),
            Value::Timestamp { count, per_second, instant } => {
                let day = per_second * SECONDS_A_DAY;
                let time = time(count.rem_euclid(day), *per_second);
                format!("{} {time}{}", date(count.div_euclid(day)), if *instant { "+00" } else { "" })
            }
            Value::Uuid(bytes) => {
                let digits = hex(bytes);
                let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
                format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
            }
            Value::Duration([months, days, millis]) => {
                format!("P{months}M{days}DT{}.{:03}S", millis / 1000, millis % 1000)
            }
            Value::Array(_) | Value::Map(_) | Value::Record(..) => self.json(replace)?,
        };
        Ok(Some(Cow::Owned(text.into_bytes())))
    }

    /// As JSON.
    pub fn json(&self, replace: Option<u8>) -> Result<String, Refusal> {
        let mut json = String::new();
        self.write_json(replace, &mut json)?;
        Ok(json)
    }

    fn write_json(&self, replace: Option<u8>, to: &mut String) -> Result<(), Refusal> {
        match self {
            Value::Null => to.push_str("null"),
            // JSON has no words for these.
            Value::Float(number) if !number.is_finite() => to.push_str(&quote(&format!("{number:?}"))),
            Value::Double(number) if !number.is_finite() => to.push_str(&quote(&format!("{number:?}"))),
            Value::Bool(_) | Value::Whole(_) | Value::Float(_) | Value::Double(_) | Value::Decimal(..) => {
                to.push_str(&String::from_utf8_lossy(&self.text(replace)?.unwrap_or_default()));
            }
            Value::Array(elements) => {
                to.push('[');
                for (at, element) in elements.iter().enumerate() {
                    to.push_str(if at > 0 { "," } else { "" });
                    element.write_json(replace, to)?;
                }
                to.push(']');
            }
            Value::Map(entries) => {
                let members = entries.iter().map(|(key, value)| (*key, value));
                write_members(members, replace, to)?;
            }
            Value::Record(fields, values) => {
                let members = fields.iter().map(|field| field.name.as_bytes()).zip(values);
                write_members(members, replace, to)?;
            }
            other => to.push_str(&quote(&as_text(&other.text(replace)?.unwrap_or_default(), replace)?)),
        }
        Ok(())
    }
}

fn write_members<'v, 'b: 'v>(
    members: impl Iterator<Item = (&'v [u8], &'v Value<'b>)>,
    replace: Option<u8>,
    to: &mut String,
) -> Result<(), Refusal> {
    to.push('{');
    for (at, (key, value)) in members.enumerate() {
        to.push_str(if at > 0 { "," } else { "" });
        to.push_str(&quote(&as_text(key, replace)?));
        to.push(':');
        value.write_json(replace, to)?;
    }
    to.push('}');
    Ok(())
}

fn as_text(bytes: &[u8], replace: Option<u8>) -> Result<Cow<'_, str>, Refusal> {
    match (str::from_utf8(bytes), replace) {
        (Ok(text), _) => Ok(text.into()),
        (Err(_), Some(by)) => Ok(replaced(bytes, by).into()),
        (Err(e), None) => Err(not_text(bytes, e)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn decimal(unscaled: &[u8], scale: usize) -> String {
    let unscaled = significant(unscaled);
    let fill = if unscaled.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    let mut bytes = [fill; size_of::<i256>()];
    let from = bytes.len().saturating_sub(unscaled.len());
    bytes[from..].copy_from_slice(&unscaled[..unscaled.len().min(size_of::<i256>())]);
    let all = i256::from_be_bytes(bytes).to_string();
    let (sign, digits) = all.strip_prefix('-').map_or(("", all.as_str()), |digits| ("-", digits));
    match scale {
        0 => all,
        _ => {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, after) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{after}")
        }
    }
}

const SECONDS_A_DAY: i64 = 86_400;

fn date(days: i64) -> String {
    let Civil { year, month, day } = Civil::from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// With the digits of a second that are there.
fn time(count: i64, per_second: i64) -> String {
    let (seconds, fraction) = (count.div_euclid(per_second), count.rem_euclid(per_second));
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => time,
        _ => {
            let digits = format!("{fraction:0width$}", width = per_second.ilog10() as usize);
            format!("{time}.{}", digits.trim_end_matches('0'))
        }
    }
}
