//! Fields of text into arrays of a table's types, by COPY's rules.

use std::borrow::Cow;
use std::str::Utf8Error;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};

use super::formats::Formats;
use super::infer::is_plain;
use super::refused::Code;
use super::replaced::replaced;
use crate::catalog::ColumnDef;
use crate::common::SqlType;
use crate::common::calendar::DAY_US;
use crate::common::moment::parse_time;
use crate::functions::semistructured::parse as to_super;
use crate::sql::ast::ValueRules;

/// Why a field is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
}

/// What fields are read by.
pub struct Rules {
    pub text: ValueRules,
    pub formats: Formats,
    /// The field that means NULL, if one does; which fields do is found out where they are parted.
    pub null_as: Option<Vec<u8>>,
    /// Of timestamps that say none.
    pub zone: Tz,
}

/// A value of a file that has types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed<'f> {
    /// Since 1970.
    Day(i32),
    /// Microseconds.
    TimeOfDay(i64),
    /// Microseconds since 1970 of no zone.
    Local(i64),
    /// The same in UTC.
    Instant(i64),
    Bytes(&'f [u8]),
}

/// A column's values so far.
pub struct Values {
    column: ColumnDef,
    builder: Builder,
}

enum Builder {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
}

impl Values {
    pub fn new(column: &ColumnDef) -> Self {
        let to = column.sql_type.arrow_type();
        let builder = match column.sql_type {
            SqlType::Boolean => Builder::Bool(BooleanBuilder::new()),
            SqlType::SmallInt => Builder::Int16(Int16Builder::new()),
            SqlType::Integer => Builder::Int32(Int32Builder::new()),
            SqlType::BigInt => Builder::Int64(Int64Builder::new()),
            SqlType::Real => Builder::Float32(Float32Builder::new()),
            SqlType::Double => Builder::Float64(Float64Builder::new()),
            SqlType::Decimal { .. } => Builder::Decimal(Decimal128Builder::new().with_data_type(to)),
            SqlType::Date => Builder::Date(Date32Builder::new()),
            SqlType::Time => Builder::Time(Time64MicrosecondBuilder::new()),
            SqlType::Timestamp | SqlType::TimestampTz => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(to))
            }
            SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Super => Builder::Text(StringViewBuilder::new()),
            SqlType::Varbyte(_) => Builder::Bytes(BinaryViewBuilder::new()),
        };
        Values { column: column.clone(), builder }
    }

    pub fn column(&self) -> &ColumnDef {
        &self.column
    }

    /// Appends the value of a field; `None` is NULL. A field that is refused counts as NULL.
    pub fn push(&mut self, field: Option<&[u8]>, rules: &Rules) -> std::result::Result<(), Refusal> {
        let pushed = match field {
            None => Ok(false),
            Some(field) => self.value(field, rules),
        };
        match pushed {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.push_null();
                match self.column.nullable {
                    true => Ok(()),
                    false => {
                        Err(Refusal { code: Code::NULL, reason: "NULL, where the column is NOT NULL".to_string() })
                    }
                }
            }
            Err(refusal) => {
                self.push_null();
                let code = if self.column.identity.is_some() { Code::IDENTITY } else { refusal.code };
                Err(Refusal { code, ..refusal })
            }
        }
    }

    /// Appends a value as it is; `None`, with nothing appended, where its text has to tell whether the column takes it.
    pub fn push_typed(&mut self, value: &Typed<'_>, rules: &Rules) -> Option<std::result::Result<(), Refusal>> {
        let sql_type = self.column.sql_type;
        let zoned = sql_type == SqlType::TimestampTz;
        match (&mut self.builder, value) {
            (Builder::Date(builder), Typed::Day(days)) => builder.append_value(*days),
            (Builder::Date(builder), Typed::Local(micros) | Typed::Instant(micros)) => {
                builder.append_value(micros.div_euclid(DAY_US).try_into().ok()?);
            }
            (Builder::Time(builder), Typed::TimeOfDay(micros @ 0..DAY_US)) => builder.append_value(*micros),
            (Builder::Timestamp(builder), Typed::Day(days)) if !zoned => {
                builder.append_value(i64::from(*days).checked_mul(DAY_US)?);
            }
            (Builder::Timestamp(builder), Typed::Local(micros)) if !zoned => builder.append_value(*micros),
            (Builder::Timestamp(builder), Typed::Instant(micros)) => builder.append_value(*micros),
            (Builder::Bytes(builder), Typed::Bytes(bytes)) => match cut(bytes, sql_type, &rules.text) {
                Ok(bytes) => builder.append_value(bytes),
                Err(refusal) => {
                    builder.append_null();
                    return Some(Err(refusal));
                }
            },
            _ => return None,
        }
        Some(Ok(()))
    }

    pub fn push_null(&mut self) {
        match &mut self.builder {
            Builder::Bool(b) => b.append_null(),
            Builder::Int16(b) => b.append_null(),
            Builder::Int32(b) => b.append_null(),
            Builder::Int64(b) => b.append_null(),
            Builder::Float32(b) => b.append_null(),
            Builder::Float64(b) => b.append_null(),
            Builder::Decimal(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Time(b) => b.append_null(),
            Builder::Timestamp(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Bytes(b) => b.append_null(),
        }
    }

    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Int16(b) => Arc::new(b.finish()),
            Builder::Int32(b) => Arc::new(b.finish()),
            Builder::Int64(b) => Arc::new(b.finish()),
            Builder::Float32(b) => Arc::new(b.finish()),
            Builder::Float64(b) => Arc::new(b.finish()),
            Builder::Decimal(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Time(b) => Arc::new(b.finish()),
            Builder::Timestamp(b) => Arc::new(b.finish()),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Bytes(b) => Arc::new(b.finish()),
        }
    }

    /// Appends a number or a date of the form that nearly all files have; `None`, with nothing appended, where
    /// [`Values::value`] has to look closer. What it appends is what that would.
    #[inline]
    fn plain(&mut self, field: &[u8], rules: &Rules) -> Option<()> {
        match &mut self.builder {
            Builder::Int16(builder) => builder.append_value(plain_whole(field)?.try_into().ok()?),
            Builder::Int32(builder) => builder.append_value(plain_whole(field)?.try_into().ok()?),
            Builder::Int64(builder) => builder.append_value(plain_whole(field)?),
            Builder::Decimal(builder) => {
                let SqlType::Decimal { precision, scale } = self.column.sql_type else { return None };
                builder.append_value(plain_decimal(field, precision, scale)?.into());
            }
            Builder::Date(builder) => builder.append_value(rules.formats.plain_date(field)?),
            _ => return None,
        }
        Some(())
    }

    /// Appends a value; false where the field means NULL.
    fn value(&mut self, field: &[u8], rules: &Rules) -> std::result::Result<bool, Refusal> {
        let of = &rules.text;
        if rules.null_as.as_deref() == Some(b"\0") && field.contains(&0) {
            let reason = "NULL AS '\\0' takes a NUL for NULL where it stands alone and without quotes".to_string();
            return Err(Refusal { code: Code::NUL, reason });
        }
        // Where nothing may be lost, more is asked of a number than that it can be read.
        if !of.exact && self.plain(field, rules).is_some() {
            return Ok(true);
        }
        let text = text_of(field, &self.column, rules)?;
        let sql_type = self.column.sql_type;
        if let Builder::Text(builder) = &mut self.builder
            && sql_type.is_text()
        {
            let mut text: &str = &text;
            if of.blanks_as_null && !text.is_empty() && text.trim().is_empty() {
                return Ok(false);
            }
            if of.trim_blanks && matches!(sql_type, SqlType::Varchar(_)) {
                text = text.trim_end();
            }
            if of.empty_as_null && text.is_empty() {
                return Ok(false);
            }
            builder.append_value(fitted(text, &self.column, of)?);
            return Ok(true);
        }
        let text = text.trim();
        if text.is_empty() {
            return Ok(false);
        }
        if of.exact && !is_plain(text, sql_type) {
            let reason = format!("\"{text}\" would be cut or changed as {sql_type}: name the column's type");
            return Err(Refusal { code: Code::TYPE, reason });
        }
        let refused = |code: Code| Refusal { code, reason: format!("\"{text}\" is not a value of type {sql_type}") };
        macro_rules! whole {
            ($builder:expr, $type:ty) => {
                $builder.append_value(whole::<$type>(text).map_err(refused)?)
            };
        }
        // ACCEPTANYDATE makes NULL of what is none.
        let known = |is_none: bool, code: Code| match is_none && !of.accept_any_date {
            true => Err(refused(code)),
            false => Ok(()),
        };
        match &mut self.builder {
            Builder::Bool(builder) => builder.append_value(boolean(text).ok_or_else(|| refused(Code::BOOLEAN))?),
            Builder::Int16(builder) => whole!(builder, i16),
            Builder::Int32(builder) => whole!(builder, i32),
            Builder::Int64(builder) => whole!(builder, i64),
            Builder::Float32(builder) => builder.append_value(float::<f32>(text).map_err(refused)?),
            Builder::Float64(builder) => builder.append_value(float::<f64>(text).map_err(refused)?),
            Builder::Decimal(builder) => {
                let SqlType::Decimal { precision, scale } = sql_type else { return Err(refused(Code::TYPE)) };
                builder.append_value(decimal(text, precision, scale, of).map_err(refused)?);
            }
            Builder::Date(builder) => {
                let read = rules.formats.date(text);
                known(read.is_none(), Code::DATE)?;
                match read {
                    Some(days) => builder.append_value(days),
                    None => return Ok(false),
                }
            }
            Builder::Time(builder) => {
                let read = parse_time(text).filter(|micros| *micros < DAY_US);
                known(read.is_none(), Code::TIMESTAMP)?;
                match read {
                    Some(micros) => builder.append_value(micros),
                    None => return Ok(false),
                }
            }
            Builder::Timestamp(builder) => {
                let read = match sql_type {
                    SqlType::TimestampTz => rules.formats.instant(text, rules.zone),
                    _ => rules.formats.timestamp(text),
                };
                known(read.is_none(), Code::TIMESTAMP)?;
                match read {
                    Some(micros) => builder.append_value(micros),
                    None => return Ok(false),
                }
            }
            Builder::Text(builder) => {
                builder.append_value(to_super(text).map_err(|_| refused(Code::SUPER))?);
            }
            Builder::Bytes(builder) => {
                let bytes = bytes_of_hex(text).ok_or_else(|| refused(Code::HEX))?;
                builder.append_value(cut(&bytes, sql_type, of)?);
            }
        }
        Ok(true)
    }
}

/// The field as text; with ACCEPTINVCHARS, bytes of VARCHAR that are none are replaced, each by one.
fn text_of<'f>(field: &'f [u8], column: &ColumnDef, rules: &Rules) -> std::result::Result<Cow<'f, str>, Refusal> {
    match (str::from_utf8(field), rules.text.replace_invalid) {
        (Ok(text), _) => Ok(text.into()),
        (Err(_), Some(by)) if matches!(column.sql_type, SqlType::Varchar(_)) => Ok(replaced(field, by).into()),
        (Err(e), _) => Err(not_text(field, e)),
    }
}

/// Of bytes that are not UTF-8.
pub fn not_text(field: &[u8], e: Utf8Error) -> Refusal {
    let byte = field[e.valid_up_to()];
    let reason = format!("not valid UTF-8: byte 0x{byte:02x} at {}", e.valid_up_to() + 1);
    Refusal { code: Code::INVALID_UTF8, reason }
}

/// Text within its column's length.
fn fitted<'t>(text: &'t str, column: &ColumnDef, rules: &ValueRules) -> std::result::Result<&'t str, Refusal> {
    let sql_type = column.sql_type;
    let is_char = matches!(sql_type, SqlType::Char(_));
    if is_char && !text.is_ascii() {
        let reason = format!("\"{text}\" has characters of more than one byte, which {sql_type} does not hold");
        return Err(Refusal { code: Code::CHAR, reason });
    }
    let Some(max) = sql_type.max_bytes() else { return Ok(text) };
    if text.len() <= max as usize {
        return Ok(text);
    }
    // The blanks at the end of a CHAR do not count.
    let counted = if is_char { text.trim_end_matches(' ').len() } else { text.len() };
    match counted > max as usize {
        false => Ok(text),
        true if rules.truncate => Ok(&text[..text.floor_char_boundary(max as usize)]),
        true => Err(too_long(counted, sql_type)),
    }
}

/// Bytes within their column's length.
fn cut<'b>(bytes: &'b [u8], sql_type: SqlType, rules: &ValueRules) -> std::result::Result<&'b [u8], Refusal> {
    match sql_type.max_bytes() {
        Some(max) if bytes.len() > max as usize && !rules.truncate => Err(too_long(bytes.len(), sql_type)),
        Some(max) => Ok(&bytes[..bytes.len().min(max as usize)]),
        None => Ok(bytes),
    }
}

fn too_long(bytes: usize, sql_type: SqlType) -> Refusal {
    Refusal { code: Code::RANGE, reason: format!("{bytes} bytes are too long for type {sql_type}") }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// So many decimal digits fit an i64, whichever they are.
const SAFE_DIGITS: usize = 18;

/// The powers of ten that those digits reach.
const POWERS: [i64; SAFE_DIGITS + 1] = {
    let mut powers = [1; SAFE_DIGITS + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

fn unsigned(field: &[u8]) -> (&[u8], bool) {
    match field {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    }
}

/// Digits alone, with a minus or without.
#[inline]
fn plain_whole(field: &[u8]) -> Option<i64> {
    let (digits, negative) = unsigned(field);
    if digits.is_empty() || digits.len() > SAFE_DIGITS {
        return None;
    }
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// The unscaled value of digits with a point among them or without, no more behind it than the scale has.
#[inline]
fn plain_decimal(field: &[u8], precision: u8, scale: u8) -> Option<i64> {
    let (text, negative) = unsigned(field);
    if text.len() > SAFE_DIGITS {
        return None;
    }
    let (mut value, mut point) = (0, None);
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        match digit {
            0..=9 => value = value * 10 + i64::from(digit),
            _ if *byte == b'.' && point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let digits = text.len() - usize::from(point.is_some());
    let behind = point.map_or(0, |point| text.len() - point - 1);
    let missing = usize::from(scale).checked_sub(behind)?;
    if digits == 0 || digits + missing > SAFE_DIGITS {
        return None;
    }
    value *= POWERS[missing];
    if POWERS.get(usize::from(precision)).is_some_and(|limit| value >= *limit) {
        return None;
    }
    Some(if negative { -value } else { value })
}

fn whole<T: TryFrom<i64>>(text: &str) -> std::result::Result<T, Code> {
    let (digits, negative) = match text.as_bytes() {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    if digits.is_empty() {
        return Err(Code::DIGIT);
    }
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Code::DIGIT);
        }
        let digit = i64::from(digit - b'0');
        // Towards the negative, which reaches further.
        value = value.checked_mul(10).and_then(|v| v.checked_sub(digit)).ok_or(Code::OVERFLOW)?;
    }
    let value = if negative { Some(value) } else { value.checked_neg() };
    value.and_then(|value| T::try_from(value).ok()).ok_or(Code::OVERFLOW)
}

/// Digits that are too large for the type would become infinite.
fn float<T: std::str::FromStr + Into<f64> + Copy>(text: &str) -> std::result::Result<T, Code> {
    let value: T = text.parse().map_err(|_| Code::FLOAT)?;
    let finite = value.into().is_finite() || !text.contains(|c: char| c.is_ascii_digit());
    if finite { Ok(value) } else { Err(Code::RANGE) }
}

/// The unscaled value; digits beyond the scale are cut, or rounded where `round` says so.
fn decimal(text: &str, precision: u8, scale: u8, rules: &ValueRules) -> std::result::Result<i128, Code> {
    let limit = 10i128.pow(u32::from(precision));
    let within = |value: i128| if value > -limit && value < limit { Ok(value) } else { Err(Code::RANGE) };
    if let Some((digits, exponent)) = text.split_once(['e', 'E']) {
        return decimal(&without_exponent(digits, exponent)?, precision, scale, rules);
    }
    let (digits, negative) = match text.as_bytes() {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    let mut value: i128 = 0;
    let mut after_point: Option<u8> = None;
    let (mut seen, mut up) = (false, false);
    for byte in digits {
        match (byte, after_point) {
            (b'.', None) => after_point = Some(0),
            (digit @ b'0'..=b'9', after) => {
                seen = true;
                match after {
                    Some(known) if known >= scale => {
                        if rules.exact && *digit != b'0' {
                            return Err(Code::DECIMAL);
                        }
                        up |= known == scale && *digit >= b'5';
                        after_point = Some(scale.saturating_add(1));
                        continue;
                    }
                    Some(known) => after_point = Some(known + 1),
                    None => {}
                }
                value =
                    value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0'))).ok_or(Code::RANGE)?;
            }
            _ => return Err(Code::DECIMAL),
        }
    }
    if !seen {
        return Err(Code::DECIMAL);
    }
    let missing = scale - after_point.unwrap_or(0).min(scale);
    value = value.checked_mul(10i128.pow(u32::from(missing))).ok_or(Code::RANGE)?;
    value = value.checked_add(i128::from(up && rules.round)).ok_or(Code::RANGE)?;
    within(if negative { -value } else { value })
}

/// A decimal number with its point moved by its exponent.
fn without_exponent(number: &str, exponent: &str) -> std::result::Result<String, Code> {
    let (sign, digits) = number.split_at(number.len() - number.trim_start_matches(['+', '-']).len());
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{before}{behind}");
    let is_number = !all.is_empty() && all.bytes().all(|byte| byte.is_ascii_digit()) && sign.len() <= 1;
    let mut signed = exponent.bytes();
    let exponent_is = matches!(signed.next(), Some(b'+' | b'-' | b'0'..=b'9')) && signed.all(|b| b.is_ascii_digit());
    if !is_number || !exponent_is || !exponent.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(Code::DECIMAL);
    }
    if all.bytes().all(|byte| byte == b'0') {
        return Ok("0".to_string());
    }
    // What needs more zeros than these is too large, or rounds to nothing, as with as many.
    const ZEROS: i64 = 2 * 38;
    let farthest = ZEROS + i64::try_from(all.len()).map_err(|_| Code::RANGE)?;
    let negative = exponent.starts_with('-');
    let moved = exponent.parse().unwrap_or(if negative { -farthest } else { farthest }).clamp(-farthest, farthest);
    let point = before.len() as i64 + moved;
    Ok(match usize::try_from(point) {
        Ok(point) if point <= all.len() => format!("{sign}{}.{}", &all[..point], &all[point..]),
        Ok(point) => format!("{sign}{all}{}", "0".repeat(point - all.len())),
        Err(_) => format!("{sign}0.{}{all}", "0".repeat(point.unsigned_abs() as usize)),
    })
}

/// The bytes that hexadecimal digits write, as COPY reads VARBYTE (Redshift manual, "VARBYTE type").
fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng::Rng;

    /// Digits, points, signs and others in any order, most of them numbers.
    fn fields() -> Vec<String> {
        let mut rng = Rng::new(11);
        let some = |rng: &mut Rng| {
            let length = rng.below(22);
            let byte = |rng: &mut Rng| match rng.below(40) {
                0 => '-',
                1..=3 => '.',
                4 => '+',
                5 => ' ',
                6 => 'e',
                _ => char::from(b'0' + rng.below(10) as u8),
            };
            let sign = if rng.one_in(3) { "-" } else { "" };
            format!("{sign}{}", (0..length).map(|_| byte(rng)).collect::<String>())
        };
        let mut all: Vec<String> = (0..50_000).map(|_| some(&mut rng)).collect();
        let limits = [i64::from(i16::MIN), i64::from(i32::MAX) + 1, i64::MAX, i64::MIN, 0].map(|v| v.to_string());
        all.extend(limits.into_iter().chain(["-0", "", "-", ".", "-.5", "5.", "00.10"].map(String::from)));
        all
    }

    #[test]
    fn plain_numbers_are_what_the_general_reading_has() {
        let (mut read, fields) = (0, fields());
        for field in &fields {
            if let Some(value) = plain_whole(field.as_bytes()) {
                assert_eq!(whole::<i64>(field), Ok(value), "{field}");
            }
            for (precision, scale) in [(18, 2), (15, 2), (5, 5), (4, 0), (38, 30), (38, 2), (1, 1)] {
                if let Some(value) = plain_decimal(field.as_bytes(), precision, scale) {
                    for round in [false, true] {
                        let rules = ValueRules { round, ..ValueRules::default() };
                        let general = decimal(field, precision, scale, &rules);
                        assert_eq!(general, Ok(i128::from(value)), "{field} as {precision},{scale}");
                    }
                    read += 1;
                }
            }
        }
        assert!(read > fields.len() / 2, "{read} of {}", fields.len());
        assert_eq!(plain_decimal(b"999.99", 5, 2), Some(99_999));
        assert_eq!(plain_decimal(b"1000", 5, 2), None);
    }

    #[test]
    fn exponents_move_the_point() {
        let rules = |round| ValueRules { round, ..ValueRules::default() };
        for (text, cut, rounded) in [
            ("1.5e2", 15_000, 15_000),
            ("1.239E0", 123, 124),
            ("-1.239e+0", -123, -124),
            ("12345e-3", 1_234, 1_235),
            ("5e-3", 0, 1),
            ("4e-3", 0, 0),
            ("9e-999999999999999999999", 0, 0),
            ("0e99999999999999999999", 0, 0),
            (".5e1", 500, 500),
            ("5.e1", 5_000, 5_000),
            ("+1e0", 100, 100),
            ("00001e0", 100, 100),
        ] {
            assert_eq!(decimal(text, 10, 2, &rules(false)), Ok(cut), "{text}");
            assert_eq!(decimal(text, 10, 2, &rules(true)), Ok(rounded), "{text}");
        }
        for text in ["1e", "e1", "1e+", "1e1.5", "1e1e1", "--1e1", "1.2.3e1", "1e 1", "e", "1e-+1"] {
            assert_eq!(decimal(text, 10, 2, &rules(false)), Err(Code::DECIMAL), "{text}");
        }
        for text in ["1e8", "99999999.99e1", "1e400", "1e99999999999999999999"] {
            assert_eq!(decimal(text, 10, 2, &rules(false)), Err(Code::RANGE), "{text}");
        }
        assert_eq!(decimal("1e37", 38, 0, &rules(false)), Ok(10i128.pow(37)));
    }

    #[test]
    fn short_integers_are_checked() {
        let column = |sql_type| ColumnDef {
            id: crate::common::ColumnId(1),
            name: "a".into(),
            sql_type,
            nullable: true,
            default_sql: None,
            absent: None,
            encoding: crate::common::EncodingName::Auto,
            identity: None,
        };
        let text = ValueRules::default();
        let formats = Formats::new(&text).unwrap();
        let rules = Rules { text, formats, null_as: None, zone: crate::functions::zones::utc() };
        for (sql_type, fits, not) in [
            (SqlType::SmallInt, "-32768", "32768"),
            (SqlType::Integer, "2147483647", "-2147483649"),
            (SqlType::BigInt, "-9223372036854775808", "9223372036854775808"),
        ] {
            let mut values = Values::new(&column(sql_type));
            assert_eq!(values.push(Some(fits.as_bytes()), &rules), Ok(()));
            assert_eq!(values.push(Some(not.as_bytes()), &rules).unwrap_err().code, Code::OVERFLOW);
            assert_eq!(values.finish().len(), 2);
        }
    }
}
