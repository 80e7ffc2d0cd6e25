//! Formats, by the manual's tables and PostgreSQL's examples of them.

use super::format::Format;
use super::numbers::{Digits, NumberFormat};
use super::read::read;
use super::write::{Shown, Written, write};
use crate::common::Moment;
use crate::common::calendar::DAY_US;

fn at(text: &str) -> i64 {
    Moment::parse(text).unwrap().micros().unwrap()
}

fn written(text: &str, format: &str) -> String {
    let mut out = String::new();
    let value = Written { micros: at(text), zone: Some(Shown { name: "UTC", east: 0 }), is_time: false };
    write(&Format::compile(format).unwrap(), value, "to_char", &mut out).unwrap();
    out
}

#[test]
fn every_token_is_written() {
    let moment = "2009-12-31 23:15:59.123456";
    for (format, expected) in [
        ("MONTH-DY-DD-YYYY HH12:MIPM", "DECEMBER -THU-31-2009 11:15PM"),
        ("DDD", "365"),
        ("YYYY YYY YY Y", "2009 009 09 9"),
        ("Y,YYY", "2,009"),
        ("IYYY IYY IY I", "2009 009 09 9"),
        ("CC Q", "21 4"),
        ("Month|month|Mon|mon|MON", "December |december |Dec|dec|DEC"),
        ("FMMonth FMDay", "December Thursday"),
        ("Day|DAY|Dy", "Thursday |THURSDAY |Thu"),
        ("MM FMMM RM rm|", "12 12 XII  xii |"),
        ("W WW IW IDDD ID D", "5 53 53 368 4 5"),
        ("J", "2455197"),
        ("HH HH24 FMHH24", "11 23 23"),
        ("MS US", "123 123456"),
        ("AM am A.M. p.m.", "PM pm P.M. p.m."),
        ("BC bc B.C.", "AD ad A.D."),
        ("TZ tz OF", "UTC utc +00"),
        ("\"Day\" DDth, MMTH", "Day 31st, 12TH"),
        ("YYYY-MM-DDTHH24:MI:SS", "2009-12-31T23:15:59"),
        ("yyyy-mm-dd", "2009-12-31"),
        ("\"é\"MI — SS", "é15 — 59"),
    ] {
        assert_eq!(written(moment, format), expected, "{format}");
    }
    assert_eq!(written("2022-05-16 23:15:59", "ID"), "1");
    assert_eq!(written("2008-01-01 00:05:00", "HH12:MI am FMMM"), "12:05 am 1");
    for refused in ["FXYYYY", "SSSS", "TMMonth"] {
        assert!(Format::compile(refused).is_err(), "{refused}");
    }
}

#[test]
fn what_is_written_is_read() {
    for (text, format, expected) in [
        ("02 Oct 2001", "DD Mon YYYY", "2001-10-02"),
        ("20010631", "YYYYMMDD", "2001-07-01"),
        ("2011-12-18 24:38:15", "YYYY-MM-DD HH24:MI:SS", "2011-12-19 00:38:15"),
        ("2017", "YYYY", "2017-01-01"),
        ("2017", "YYYY-MM-DD", "2017-01-01"),
        ("", "YYYY", "0001-01-01"),
        ("2017/05/06", "YYYY-MM-DD", "2017-05-06"),
        ("2017-05-06 10:11:12", "YYYY-MM-DD", "2017-05-06"),
        ("December 5, 1999", "Month DD, YYYY", "1999-12-05"),
        ("05dec99", "DDMONYY", "1999-12-05"),
        ("5th of May 2020", "DDth \"of\" Mon YYYY", "2020-05-05"),
        ("11:15 PM 2020-01-02", "HH12:MI AM YYYY-MM-DD", "2020-01-02 23:15"),
        ("12:15 a.m. 2020-01-02", "HH:MI A.M. YYYY-MM-DD", "2020-01-02 00:15"),
        ("2020-060", "YYYY-DDD", "2020-02-29"),
        ("2020-53-4", "IYYY-IW-ID", "2020-12-31"),
        ("2455197", "J", "2009-12-31"),
        ("2020 iv 9", "YYYY RM DD", "2020-04-09"),
        ("2,009-01-02", "Y,YYY-MM-DD", "2009-01-02"),
        ("Thursday 31 12 2009", "Day DD MM YYYY", "2009-12-31"),
        ("2009-12-31 23:15:59.3", "YYYY-MM-DD HH24:MI:SS.MS", "2009-12-31 23:15:59.3"),
        ("2009-12-31 23:15:59.000123", "YYYY-MM-DD HH24:MI:SS.US", "2009-12-31 23:15:59.000123"),
        ("70 69", "YY DD", "1970-03-10"),
        ("69", "YY", "2069-01-01"),
        ("2020 02", "YYYY WW", "2020-01-08"),
    ] {
        let format = Format::compile(format).unwrap();
        assert_eq!(read(&format, text, false, "f").map_err(|e| e.to_string()), Ok(at(expected)), "{text}");
    }
    let strict = |text: &str, format: &str| read(&Format::compile(format).unwrap(), text, true, "f");
    assert!(strict("20010630", "YYYYMMDD").is_ok());
    for (text, format) in [
        ("20010631", "YYYYMMDD"),
        ("2001-13-01", "YYYY-MM-DD"),
        ("24:00", "HH24:MI"),
        ("13:00", "HH12:MI"),
        ("10:60", "HH24:MI"),
        ("0000-01-01", "YYYY-MM-DD"),
        ("2021-366", "YYYY-DDD"),
    ] {
        assert!(strict(text, format).is_err(), "{text}");
    }
    let error = |text: &str, format: &str| {
        read(&Format::compile(format).unwrap(), text, false, "f").unwrap_err().message().to_string()
    };
    assert_eq!(error("2001x10", "YYYY-MM"), "f: expected \"-\" at character 5 of \"2001x10\"");
    assert_eq!(error("2001-é", "YYYY-MM"), "f: expected a month at character 6 of \"2001-é\"");
    assert_eq!(error("Foo", "Mon"), "f: expected a month's name at character 1 of \"Foo\"");
    // 10 BC.
    let ten = read(&Format::compile("YYYY BC").unwrap(), "0010 BC", false, "f").unwrap();
    assert_eq!(crate::common::calendar::Civil::from_days(ten / DAY_US).year, -9);
}

fn number(value: &str, format: &str) -> String {
    let format = NumberFormat::compile(format).unwrap();
    let digits = match value.split_once('.') {
        Some((_, fraction)) => {
            let unscaled: i128 = value.replace('.', "").parse().unwrap();
            Digits::of_decimal(unscaled, fraction.len() as i8, format.places())
        }
        None => Digits::of_decimal(value.parse().unwrap(), 0, format.places()),
    };
    let mut out = String::new();
    format.write(&digits.unwrap(), &mut out);
    out
}

#[test]
fn numbers_are_written_as_by_postgresql() {
    for (value, format, expected) in [
        ("-0.1", "99.99", "  -.10"),
        ("-0.1", "FM9.99", "-.1"),
        ("0.1", "0.9", " 0.1"),
        ("12", "9990999.9", "    0012.0"),
        ("12", "FM9990999.9", "0012."),
        ("485", "999", " 485"),
        ("-485", "999", "-485"),
        ("485", "9 9 9", " 4 8 5"),
        ("1485", "9,999", " 1,485"),
        ("485", "9,999", "   485"),
        ("1485", "9G999", " 1,485"),
        ("148.5", "999.999", " 148.500"),
        ("148.5", "FM999.999", "148.5"),
        ("148.5", "FM999.990", "148.500"),
        ("148.5", "999D999", " 148.500"),
        ("3148.5", "9G999D999", " 3,148.500"),
        ("-485", "999S", "485-"),
        ("485", "S999", "+485"),
        ("-12", "S9999", "  -12"),
        ("-485", "999MI", "485-"),
        ("485", "999MI", "485 "),
        ("485", "FM999MI", "485"),
        ("485", "PL999", "+485"),
        ("485", "SG999", "+485"),
        ("-485", "SG999", "-485"),
        ("-485", "9SG99", "4-85"),
        ("-485", "999PR", "<485>"),
        ("485", "999PR", " 485 "),
        ("485", "L999", "$ 485"),
        ("485", "RN", "        CDLXXXV"),
        ("485", "FMRN", "CDLXXXV"),
        ("5", "FMrn", "v"),
        ("4000", "RN", "###############"),
        ("482", "999th", " 482nd"),
        ("485", "\"Good number:\"999", "Good number: 485"),
        ("0", "999", "   0"),
        ("0", "9.9", "  .0"),
        ("12345", "999", " ###"),
        ("125.8", "999D99S", "125.80+"),
        ("-125.8", "999D99S", "125.80-"),
        ("125.85", "999.9", " 125.9"),
        ("-125.85", "999.9", "-125.9"),
        ("-0.04", "9.9", "  .0"),
        ("999.96", "999.9", " ###.#"),
    ] {
        assert_eq!(number(value, format), expected, "{value} as {format}");
    }
    let double = |value: f64, places| Digits::of_double(value, places);
    assert_eq!(double(2.675, 2), Digits::of_decimal(268, 2, 2));
    assert_eq!(double(-99.996, 2), Digits::of_decimal(-10000, 2, 2));
    assert_eq!(double(f64::NAN, 2), None);
    assert_eq!(Digits::of_decimal(-5, -2, 1), Digits::of_decimal(-5000, 1, 1));
    for wrong in ["", "x", "9.9.9", "S9PR", "9S9", "9V9", "9EEEE", "CC9"] {
        assert!(NumberFormat::compile(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn numbers_are_read() {
    let read = |text: &str, format: &str| NumberFormat::compile(format).unwrap().read(text).ok();
    for (text, format, expected) in [
        ("12,454.8-", "99G999D9S", -124_548),
        ("$ 12,454.88", "L 99G999D99", 1_245_488),
        ("$ 2,012,454.88", "L 9,999,999.99", 201_245_488),
        ("454.8", "99G999D9S", 4548),
        ("-12", "S99", -12),
        ("12-", "99MI", -12),
        ("<12>", "99PR", -12),
        (" 7 ", "999D99", 700),
        ("-0.5", "9.9", -5),
    ] {
        assert_eq!(read(text, format), Some(expected), "{text} as {format}");
    }
    for (text, format) in [("123", "99"), ("x", "99"), ("", "99"), ("1.23", "9.9"), ("1é", "99"), ("é", "L9")] {
        assert_eq!(read(text, format), None, "{text} as {format}");
    }
}
