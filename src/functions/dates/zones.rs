//! Time zones: CONVERT_TIMEZONE, and TIMEZONE, which AT TIME ZONE becomes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Int64Array, StringViewArray};
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use datafusion::logical_expr::ScalarUDF;

use super::call::{Arguments, Call, Kind, timestamp};
use crate::common::calendar::{HOUR_US, MINUTE_US};
use crate::common::moment::{offset_minutes, zone_abbreviation};
use crate::common::{Error, Result, SqlState};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Call::new(
            "convert_timezone",
            &[&[Kind::Text, Kind::Moment], &[Kind::Text, Kind::Text, Kind::Moment]],
            |_| Ok(timestamp(false)),
            convert_timezone,
        )
        .function(),
        // A TIMESTAMP gets a zone, a TIMESTAMPTZ loses it.
        Call::new("timezone", &[&[Kind::Text, Kind::Moment]], |types| Ok(timestamp(!types.has_zone(1))), timezone)
            .function(),
    ]
}

/// A time zone: its distance from UTC, be it fixed or by rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// Microseconds east of UTC.
    Fixed(i64),
    Named(Tz),
}

impl Zone {
    /// A zone by its abbreviation, its name in the IANA database, or its distance from UTC, in whatever case. An
    /// offset counts to the west, as in POSIX: `UTC+8` and `<ABC>+8` are 8 hours behind UTC ("Time zone usage notes"
    /// under CONVERT_TIMEZONE).
    pub fn parse(name: &str) -> Option<Zone> {
        static NAMES: LazyLock<HashMap<String, Tz>> =
            LazyLock::new(|| TZ_VARIANTS.iter().map(|zone| (zone.name().to_ascii_lowercase(), *zone)).collect());
        let name = name.trim();
        if let Some(minutes) = zone_abbreviation(name) {
            return Some(Zone::Fixed(minutes * MINUTE_US));
        }
        if let Some(zone) = NAMES.get(&name.to_ascii_lowercase()) {
            return Some(Zone::Named(*zone));
        }
        let sign = name.rfind(['+', '-'])?;
        let (before, offset) = name.split_at(sign);
        let is_name = before.is_empty()
            || before.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).is_some_and(|rest| !rest.is_empty())
            || (before.len() >= 3 && before.bytes().all(|b| b.is_ascii_alphabetic()));
        let minutes = offset_minutes(&offset[1..]).filter(|_| is_name)?;
        let west = if offset.starts_with('-') { -minutes } else { minutes };
        Some(Zone::Fixed(-west * MINUTE_US))
    }

    /// What clocks of the zone show at a moment in UTC.
    pub fn local(self, utc: i64) -> Option<i64> {
        match self {
            Zone::Fixed(east) => utc.checked_add(east),
            Zone::Named(zone) => utc.checked_add(offset_at(zone, utc)?),
        }
    }

    /// The moment in UTC at which clocks of the zone show `local`.
    ///
    /// As in PostgreSQL: of an hour that clocks show twice the second is meant, standard time; an hour that they leave
    /// out goes on by the time before it.
    pub fn utc(self, local: i64) -> Option<i64> {
        let zone = match self {
            Zone::Fixed(east) => return local.checked_sub(east),
            Zone::Named(zone) => zone,
        };
        let east = match zone.offset_from_local_datetime(&naive(local)?) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => micros_of(offset.fix()),
            // No zone is more than a day from UTC, and no change of clocks follows another within a day.
            MappedLocalTime::None => offset_at(zone, local.checked_sub(24 * HOUR_US)?)?,
        };
        local.checked_sub(east)
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|utc| utc.naive_utc())
}

fn offset_at(zone: Tz, utc: i64) -> Option<i64> {
    Some(micros_of(zone.offset_from_utc_datetime(&naive(utc)?).fix()))
}

fn micros_of(offset: chrono::FixedOffset) -> i64 {
    TimeDelta::seconds(offset.local_minus_utc().into()).num_microseconds().unwrap_or(0)
}

fn zone_of(function: &str, name: &str) -> Result<Zone> {
    Zone::parse(name).ok_or_else(|| {
        Error::invalid(SqlState::INVALID_PARAMETER, format!("{function}: \"{name}\" is not a time zone")).with_hint(
            "write a name such as Europe/Paris, or a distance from UTC, west positive: UTC+8 for Los Angeles in winter",
        )
    })
}

/// The zones of a column of names, read anew where the name changes.
struct Zones<'a> {
    function: &'static str,
    names: &'a StringViewArray,
    known: Option<(&'a str, Zone)>,
}

impl<'a> Zones<'a> {
    fn of(args: &'a Arguments, i: usize) -> Result<Self> {
        Ok(Zones { function: args.name, names: args.text(i)?, known: None })
    }

    fn at(&mut self, row: usize) -> Result<Option<Zone>> {
        if self.names.is_null(row) {
            return Ok(None);
        }
        let name = self.names.value(row);
        if let Some((same, zone)) = self.known
            && same == name
        {
            return Ok(Some(zone));
        }
        let zone = zone_of(self.function, name)?;
        self.known = Some((name, zone));
        Ok(Some(zone))
    }
}

fn convert_timezone(args: &Arguments) -> Result<ArrayRef> {
    let last = args.len() - 1;
    let moments = args.micros(last)?;
    let mut targets = Zones::of(args, last - 1)?;
    // A TIMESTAMPTZ is in UTC whatever its source's zone.
    let mut sources = if last == 2 && !args.has_zone(last) { Some(Zones::of(args, 0)?) } else { None };
    let mut converted = Int64Array::builder(args.rows);
    for row in 0..args.rows {
        let source = match &mut sources {
            Some(zones) => zones.at(row)?,
            None => Some(Zone::Fixed(0)),
        };
        match (source, targets.at(row)?, moments.is_valid(row)) {
            (Some(source), Some(target), true) => {
                let local = source.utc(moments.value(row)).and_then(|utc| target.local(utc));
                converted.append_value(local.ok_or_else(|| args.out_of_range())?);
            }
            _ => converted.append_null(),
        }
    }
    args.temporal(converted.finish())
}

fn timezone(args: &Arguments) -> Result<ArrayRef> {
    let mut zones = Zones::of(args, 0)?;
    let moments = args.micros(1)?;
    let loses = args.has_zone(1);
    let mut converted = Int64Array::builder(args.rows);
    for row in 0..args.rows {
        match (zones.at(row)?, moments.is_valid(row)) {
            (Some(zone), true) => {
                let moment = moments.value(row);
                let other = if loses { zone.local(moment) } else { zone.utc(moment) };
                converted.append_value(other.ok_or_else(|| args.out_of_range())?);
            }
            _ => converted.append_null(),
        }
    }
    args.temporal(converted.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::Moment;

    fn at(text: &str) -> i64 {
        Moment::parse(text).unwrap().micros().unwrap()
    }

    #[test]
    fn zones_are_names_abbreviations_and_offsets() {
        for (name, winter) in [
            ("UTC", "2020-01-01 12:00"),
            ("America/New_York", "2020-01-01 07:00"),
            ("america/new_york", "2020-01-01 07:00"),
            ("Singapore", "2020-01-01 20:00"),
            ("PST", "2020-01-01 04:00"),
            ("UTC+8", "2020-01-01 04:00"),
            ("UTC-3", "2020-01-01 15:00"),
            ("GMT+5:30", "2020-01-01 06:30"),
            ("<BLUE>-2", "2020-01-01 14:00"),
            ("+2", "2020-01-01 10:00"),
        ] {
            let zone = Zone::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(zone.local(at("2020-01-01 12:00")), Some(at(winter)), "{name}");
            assert_eq!(zone.utc(at(winter)), Some(at("2020-01-01 12:00")), "{name}");
        }
        for wrong in ["", "Mars/Olympus", "UTC+", "UTC+99", "8", "U+1", "é+1", "IST"] {
            assert_eq!(Zone::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn clocks_that_change_are_read_as_by_postgresql() {
        let zone = Zone::parse("America/New_York").unwrap();
        // 02:30 does not come; 01:30 comes twice.
        assert_eq!(zone.utc(at("2021-03-14 02:30")), Some(at("2021-03-14 07:30")));
        assert_eq!(zone.utc(at("2021-11-07 01:30")), Some(at("2021-11-07 06:30")));
        assert_eq!(zone.utc(i64::MAX), None);
        assert_eq!(zone.local(i64::MIN), None);
    }
}
