//! Instants and the session's time zone: what TIMESTAMPTZ reads and shows (Redshift manual, "Datetime types").
//!
//! A TIMESTAMPTZ is stored as UTC. Text and timestamps without a zone are taken as local times of the session's zone; an
//! instant becomes a date, a time, a timestamp or text as that zone shows it. The zone is an argument, which the
//! planner's rule gives, so that a plan says what it computes.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use datafusion::common::{Result as DfResult, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

use super::Functions;
use crate::common::moment::parse_time;
use crate::common::sql_type::UTC;
use crate::common::{Error, Moment, Result, SqlState};

/// The zone of a session's setting: a name of the IANA time zone database, in any case, or an offset such as `+02:00`.
///
/// Errors: Invalid for what is neither.
pub fn zone(setting: Option<&str>) -> Result<Tz> {
    let name = setting.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(UTC);
    let known = || chrono_tz::TZ_VARIANTS.iter().find(|tz| tz.name().eq_ignore_ascii_case(name));
    let found = name.parse::<Tz>().ok().or_else(|| known().and_then(|tz| tz.name().parse().ok()));
    found.ok_or_else(|| {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{name}\" is no time zone"))
            .with_hint("give a name such as 'America/New_York' or 'UTC', or an offset such as '+02:00'")
    })
}

/// The zone of a session that has set none.
pub fn utc() -> Tz {
    chrono_tz::UTC.name().parse().unwrap_or_else(|_| unreachable!("Arrow knows UTC"))
}

/// What a zone is called at an instant, such as EST or EDT; a zone that has no such name by its own.
pub fn abbreviation(name: &str, micros: i64) -> String {
    let known = name.parse::<chrono_tz::Tz>().ok().zip(DateTime::from_timestamp_micros(micros));
    let found = known.and_then(|(zone, at)| {
        let offset = zone.offset_from_utc_datetime(&at.naive_utc());
        chrono_tz::OffsetName::abbreviation(&offset).map(str::to_string)
    });
    found.unwrap_or_else(|| name.to_string())
}

/// Instants, as `Timestamp(µs, "UTC")`, of text, dates and timestamps; local times are of `zone`.
///
/// Errors: Invalid at the first value that is none.
pub fn to_instants(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    let instants: TimestampMicrosecondArray = match array.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))?;
            return Ok(micros);
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(array, &DataType::Utf8View)?;
            let texts = texts.as_string_view();
            texts.iter().map(|text| text.map(|text| instant_of_text(text, zone)).transpose()).collect::<Result<_>>()?
        }
        DataType::Dictionary(_, value) => return to_instants(&cast(array, value)?, zone),
        _ => {
            let local = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let local = local.as_primitive::<TimestampMicrosecondType>();
            let instant = |micros: i64| {
                let local = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?;
                Ok(instant_of_local(local.naive_utc(), zone).timestamp_micros())
            };
            local.iter().map(|micros| micros.map(instant).transpose()).collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(instants.with_timezone(UTC)))
}

/// As [`to_instants`], NULL for text that is no instant.
fn to_instants_or_null(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    if !matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return to_instants(array, zone);
    }
    let texts = cast(array, &DataType::Utf8View)?;
    let instants = texts.as_string_view().iter().map(|text| instant_of_text(text?, zone).ok());
    Ok(Arc::new(instants.collect::<TimestampMicrosecondArray>().with_timezone(UTC)))
}

/// The local times of instants, as `Timestamp(µs)` without a zone.
pub fn to_local(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    let instants = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))?;
    let local = |micros: i64| Ok(local_of(micros, zone)?.0.and_utc().timestamp_micros());
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    let local: TimestampMicrosecondArray =
        instants.iter().map(|micros| micros.map(local).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(local))
}

/// Instants as text, such as `2024-07-01 12:00:00.5-04`.
pub fn to_text(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    let instants = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))?;
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    let text = |micros: i64| text_of(micros, zone);
    let texts: StringViewArray = instants.iter().map(|micros| micros.map(text).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(texts))
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, to, &CastOptions { safe: false, ..Default::default() })?)
}

fn out_of_range() -> Error {
    Error::invalid(SqlState::NUMERIC_OUT_OF_RANGE, "a timestamp is out of range")
}

/// Text with an offset or a zone of its own is an instant, other text a local time.
pub fn instant_of_text(text: &str, zone: Tz) -> Result<i64> {
    let hours = |hours: i32| FixedOffset::east_opt(hours * 3600).ok_or_else(|| Error::internal("an offset of hours"));
    let read = |offset: FixedOffset| string_to_datetime(&offset, text);
    let (Ok(here), Ok(there)) = (read(hours(0)?), read(hours(1)?)) else {
        let moment =
            Moment::parse(text).and_then(|moment| Some((moment, DateTime::from_timestamp_micros(moment.micros()?)?)));
        return match moment {
            Some((moment, instant)) if moment.offset.is_some() => Ok(instant.timestamp_micros()),
            Some((_, local)) => Ok(instant_of_local(local.naive_utc(), zone).timestamp_micros()),
            None => Err(no_timestamp(text, "timestamp with time zone")
                .with_hint("write it as 2024-07-01 12:00:00, with +02 or a zone's name behind it where it needs one")),
        };
    };
    // Only a local time depends on the offset that is assumed.
    let instant = if here == there { here.to_utc() } else { instant_of_local(here.naive_local(), zone) };
    Ok(instant.timestamp_micros())
}

fn no_timestamp(text: &str, of: &str) -> Error {
    Error::invalid(SqlState::INVALID_TEXT, format!("\"{text}\" is not a value of type {of}"))
}

/// Text as `Timestamp(µs)` without a zone: what Arrow reads as Arrow reads it, and Redshift's other forms, such as
/// `2024-07-01 12:00`.
pub fn timestamps_of_text(array: &ArrayRef) -> Result<ArrayRef> {
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    if let Ok(read) = cast(array, &local) {
        return Ok(read);
    }
    let read = |text: &str| match string_to_datetime(&Utc, text) {
        Ok(read) => Ok(read.timestamp_micros()),
        Err(_) => Moment::parse(text).and_then(Moment::micros).ok_or_else(|| {
            no_timestamp(text, "timestamp without time zone").with_hint("write it as 2024-07-01 12:00:00")
        }),
    };
    let texts = cast(array, &DataType::Utf8View)?;
    let texts = texts.as_string_view().iter();
    let read: TimestampMicrosecondArray = texts.map(|text| text.map(read).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(read))
}

/// Text as `Date32`, as [`timestamps_of_text`] reads it.
pub fn dates_of_text(array: &ArrayRef) -> Result<ArrayRef> {
    if let Ok(read) = cast(array, &DataType::Date32) {
        return Ok(read);
    }
    let days = |text: &str| i32::try_from(Moment::parse(text)?.days).ok();
    let read = |text: &str| {
        let read = Date32Type::parse(text).or_else(|| days(text));
        read.ok_or_else(|| no_timestamp(text, "date").with_hint("write it as 2024-07-01"))
    };
    let texts = cast(array, &DataType::Utf8View)?;
    let texts = texts.as_string_view().iter();
    let read: Date32Array = texts.map(|text| text.map(read).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(read))
}

/// Text as `Time64(µs)`. Arrow takes digits alone for a count of units.
pub fn times_of_text(array: &ArrayRef) -> Result<ArrayRef> {
    let read = |text: &str| {
        parse_time(text).ok_or_else(|| no_timestamp(text, "time without time zone").with_hint("write it as 12:00:00"))
    };
    let texts = cast(array, &DataType::Utf8View)?;
    let texts = texts.as_string_view().iter();
    let read: Time64MicrosecondArray = texts.map(|text| text.map(read).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(read))
}

/// The time of day of local times, as `Time64(µs)`. DataFusion 55.2 takes its cast to keep the order, as no day's end does.
pub fn times_of_day(array: &ArrayRef) -> Result<ArrayRef> {
    cast(array, &DataType::Time64(TimeUnit::Microsecond))
}

/// A time that clocks show twice is the later one, and one that they leave out is as if they had not been put forward
/// (PostgreSQL's rule: standard time).
pub fn instant_of_local(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let offset = match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset.fix(),
        LocalResult::None => {
            let before = local.checked_sub_signed(TimeDelta::hours(3)).unwrap_or(local);
            zone.offset_from_local_datetime(&before).earliest().map_or(Utc.fix(), |offset| offset.fix())
        }
    };
    let seconds = TimeDelta::seconds(i64::from(offset.local_minus_utc()));
    local.checked_sub_signed(seconds).unwrap_or(local).and_utc()
}

fn local_of(micros: i64, zone: Tz) -> Result<(NaiveDateTime, FixedOffset)> {
    let utc = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    let seconds = TimeDelta::seconds(i64::from(offset.local_minus_utc()));
    Ok((utc.checked_add_signed(seconds).ok_or_else(out_of_range)?, offset))
}

fn text_of(micros: i64, zone: Tz) -> Result<String> {
    let (local, offset) = local_of(micros, zone)?;
    let mut text = local.format("%Y-%m-%d %H:%M:%S").to_string();
    let fraction = micros.rem_euclid(1_000_000);
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    let minutes = offset.local_minus_utc() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    text.push_str(&format!("{sign}{:02}", minutes.abs() / 60));
    if minutes % 60 != 0 {
        text.push_str(&format!(":{:02}", minutes.abs() % 60));
    }
    Ok(text)
}

/// What a function makes of values in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zoned {
    /// [`to_instants`]
    Instants,
    /// The same, NULL where text is no instant.
    InstantsOrNull,
    /// [`to_local`]
    Local,
    /// [`to_text`]
    Text,
    /// [`timestamps_of_text`]
    TimestampOfText,
    /// [`dates_of_text`]
    DateOfText,
    /// [`times_of_text`]
    TimeOfText,
    /// [`times_of_day`]
    TimeOfDay,
}

/// `timestamptz_in_zone(value, 'zone')` and its kin: the functions that casts to and from TIMESTAMPTZ become.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct InZone {
    makes: Zoned,
    signature: Signature,
}

/// `value` through one of these functions, in the zone of a session's setting.
pub fn in_zone(makes: Zoned, value: Expr, setting: Option<&str>) -> Expr {
    let zone = lit(setting.unwrap_or(UTC));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(InZone::new(makes).into()), vec![value, zone]))
}

impl InZone {
    pub fn new(makes: Zoned) -> Self {
        InZone { makes, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for InZone {
    fn name(&self) -> &str {
        match self.makes {
            Zoned::Instants => "timestamptz_in_zone",
            Zoned::InstantsOrNull => "try_timestamptz_in_zone",
            Zoned::Local => "timestamp_in_zone",
            Zoned::Text => "text_in_zone",
            Zoned::TimestampOfText => "timestamp_of_text",
            Zoned::DateOfText => "date_of_text",
            Zoned::TimeOfText => "time_of_text",
            Zoned::TimeOfDay => "time_of_timestamp",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        internal_err!("the field tells more than its type")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DfResult<FieldRef> {
        let [value, _] = args.arg_fields else { return plan_err!("{} takes a value and a zone", self.name()) };
        let from = value.data_type();
        let text = matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fits = match self.makes {
            Zoned::Instants | Zoned::InstantsOrNull => {
                text || matches!(
                    from,
                    DataType::Timestamp(..)
                        | DataType::Date32
                        | DataType::Date64
                        | DataType::Null
                        | DataType::Dictionary(..)
                )
            }
            Zoned::TimestampOfText | Zoned::DateOfText | Zoned::TimeOfText => text,
            Zoned::TimeOfDay => matches!(from, DataType::Timestamp(_, None)),
            Zoned::Local | Zoned::Text => matches!(from, DataType::Timestamp(_, Some(_)) | DataType::Null),
        };
        if !fits {
            return plan_err!("{} does not take a value of type {from}", self.name());
        }
        let makes = match self.makes {
            Zoned::Instants | Zoned::InstantsOrNull => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Zoned::Local | Zoned::TimestampOfText => DataType::Timestamp(TimeUnit::Microsecond, None),
            Zoned::DateOfText => DataType::Date32,
            Zoned::Text => DataType::Utf8View,
            Zoned::TimeOfDay | Zoned::TimeOfText => DataType::Time64(TimeUnit::Microsecond),
        };
        let nullable = value.is_nullable() || self.makes == Zoned::InstantsOrNull;
        Ok(Arc::new(Field::new(self.name(), makes, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let [value, ColumnarValue::Scalar(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)))] =
            args.args.as_slice()
        else {
            return exec_err!("{} takes a value and the name of a zone", self.name());
        };
        let external = |e: Error| datafusion::common::DataFusionError::External(Box::new(e));
        let zone = zone(Some(name)).map_err(external)?;
        let make = |array: &ArrayRef| {
            match self.makes {
                Zoned::Instants => to_instants(array, zone),
                Zoned::InstantsOrNull => to_instants_or_null(array, zone),
                Zoned::Local => to_local(array, zone),
                Zoned::Text => to_text(array, zone),
                Zoned::TimestampOfText => timestamps_of_text(array),
                Zoned::DateOfText => dates_of_text(array),
                Zoned::TimeOfText => times_of_text(array),
                Zoned::TimeOfDay => times_of_day(array),
            }
            .map_err(external)
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(make(array)?)),
            ColumnarValue::Scalar(scalar) => {
                let made = make(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?))
            }
        }
    }
}

pub(super) fn additions(functions: &mut Functions) {
    use Zoned::{DateOfText, Instants, InstantsOrNull, Local, Text, TimeOfDay, TimeOfText, TimestampOfText};
    for makes in [Instants, InstantsOrNull, Local, Text, TimestampOfText, DateOfText, TimeOfText, TimeOfDay] {
        functions.scalar.push(Arc::new(ScalarUDF::from(InZone::new(makes))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str, name: &str) -> String {
        let zone = zone(Some(name)).unwrap();
        text_of(instant_of_text(text, zone).unwrap(), super::zone(None).unwrap()).unwrap()
    }

    #[test]
    fn text_without_a_zone_is_local() {
        let new_york = "america/new_york";
        assert_eq!(instant("2024-01-15 12:00:00", new_york), "2024-01-15 17:00:00+00");
        assert_eq!(instant("2024-07-15 12:00:00.25", new_york), "2024-07-15 16:00:00.25+00");
        assert_eq!(instant("2024-07-15", new_york), "2024-07-15 04:00:00+00");
        assert_eq!(instant("2024-07-15 12:00:00+02", new_york), "2024-07-15 10:00:00+00");
        assert_eq!(instant("2024-07-15 12:00:00 Asia/Tokyo", new_york), "2024-07-15 03:00:00+00");
        assert_eq!(instant("2024-07-15 12:00:00", "+05:30"), "2024-07-15 06:30:00+00");
        assert!(instant_of_text("noon", zone(None).unwrap()).is_err());
        assert!(zone(Some("Nowhere/Land")).is_err());
    }

    #[test]
    fn clocks_that_are_put_forward_and_back() {
        let new_york = "America/New_York";
        // Left out: 02:30 is 03:30 of summer time.
        assert_eq!(instant("2024-03-10 02:30:00", new_york), "2024-03-10 07:30:00+00");
        // Twice: the later one, standard time.
        assert_eq!(instant("2024-11-03 01:30:00", new_york), "2024-11-03 06:30:00+00");
        for micros in [0, -1, 1_710_054_000_000_000, 1_730_611_800_000_000, 1_730_615_400_000_001] {
            let zone = zone(Some(new_york)).unwrap();
            let text = text_of(micros, zone).unwrap();
            assert_eq!(instant_of_text(&text, zone).unwrap(), micros, "{text}");
        }
    }

    #[test]
    fn offsets_show_their_minutes_where_they_have_some() {
        assert_eq!(text_of(0, zone(Some("Asia/Kolkata")).unwrap()).unwrap(), "1970-01-01 05:30:00+05:30");
        assert_eq!(text_of(-1, zone(Some("America/New_York")).unwrap()).unwrap(), "1969-12-31 18:59:59.999999-05");
    }
}
