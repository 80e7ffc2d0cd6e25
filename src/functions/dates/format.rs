//! Formats of dates and times: "Datetime format strings" of Redshift's manual.

use crate::common::{Error, Result, SqlState};

/// A format, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(pub Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text as it stands.
    Literal(String),
    Field {
        field: Field,
        /// `FM`: without padding.
        fill: bool,
        suffix: Option<Case>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Upper,
    Capital,
    Lower,
}

impl Case {
    pub fn apply(self, text: &str) -> String {
        match self {
            Case::Upper => text.to_ascii_uppercase(),
            Case::Lower => text.to_ascii_lowercase(),
            Case::Capital => text.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `YYYY` to `Y`: so many of its last digits.
    Year(usize),
    /// `Y,YYY`
    YearWithComma,
    IsoYear(usize),
    Century,
    Quarter,
    Month,
    MonthName(Case),
    MonthShort(Case),
    MonthRoman(Case),
    WeekOfMonth,
    WeekOfYear,
    IsoWeek,
    DayOfYear,
    IsoDayOfYear,
    Day,
    /// 1 to 7 from Sunday.
    Weekday,
    /// 1 to 7 from Monday.
    IsoWeekday,
    DayName(Case),
    DayShort(Case),
    Julian,
    Hour24,
    Hour12,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    /// AM or PM; `true` with points.
    Meridian(Case, bool),
    /// BC or AD; `true` with points.
    Era(Case, bool),
    ZoneName(Case),
    ZoneOffset,
}

/// How a token is looked for.
enum Spelling {
    /// Any case.
    Any(Field),
    /// The case of its letters is that of the output.
    Cased(fn(Case) -> Field),
    /// Upper or lower case throughout.
    Whole(fn(Case) -> Field),
}

use Spelling::{Any, Cased, Whole};

/// The longer before what it begins with.
const TOKENS: [(&str, Spelling); 43] = [
    ("Y,YYY", Any(Field::YearWithComma)),
    ("YYYY", Any(Field::Year(4))),
    ("YYY", Any(Field::Year(3))),
    ("YY", Any(Field::Year(2))),
    ("Y", Any(Field::Year(1))),
    ("IYYY", Any(Field::IsoYear(4))),
    ("IYY", Any(Field::IsoYear(3))),
    ("IY", Any(Field::IsoYear(2))),
    ("IDDD", Any(Field::IsoDayOfYear)),
    ("ID", Any(Field::IsoWeekday)),
    ("IW", Any(Field::IsoWeek)),
    ("I", Any(Field::IsoYear(1))),
    ("CC", Any(Field::Century)),
    ("Q", Any(Field::Quarter)),
    ("MONTH", Cased(Field::MonthName)),
    ("MON", Cased(Field::MonthShort)),
    ("MM", Any(Field::Month)),
    ("MI", Any(Field::Minute)),
    ("MS", Any(Field::Millisecond)),
    ("RM", Whole(Field::MonthRoman)),
    ("WW", Any(Field::WeekOfYear)),
    ("W", Any(Field::WeekOfMonth)),
    ("DDD", Any(Field::DayOfYear)),
    ("DD", Any(Field::Day)),
    ("DAY", Cased(Field::DayName)),
    ("DY", Cased(Field::DayShort)),
    ("D", Any(Field::Weekday)),
    ("J", Any(Field::Julian)),
    ("HH24", Any(Field::Hour24)),
    ("HH12", Any(Field::Hour12)),
    ("HH", Any(Field::Hour12)),
    ("SS", Any(Field::Second)),
    ("US", Any(Field::Microsecond)),
    ("A.M.", Whole(|case| Field::Meridian(case, true))),
    ("P.M.", Whole(|case| Field::Meridian(case, true))),
    ("AM", Whole(|case| Field::Meridian(case, false))),
    ("PM", Whole(|case| Field::Meridian(case, false))),
    ("B.C.", Whole(|case| Field::Era(case, true))),
    ("A.D.", Whole(|case| Field::Era(case, true))),
    ("BC", Whole(|case| Field::Era(case, false))),
    ("AD", Whole(|case| Field::Era(case, false))),
    ("TZ", Whole(Field::ZoneName)),
    ("OF", Any(Field::ZoneOffset)),
];

/// Tokens of PostgreSQL that are not in Redshift's table: as text or as other tokens they would be read wrongly.
const REFUSED: [&str; 3] = ["SSSS", "FX", "TM"];

impl Format {
    /// Compiles a format. Letters that are no token are text, as is what stands in double quotes.
    pub fn compile(text: &str) -> Result<Format> {
        let mut items: Vec<Item> = Vec::new();
        let mut rest = text;
        let mut fill = false;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                let quoted = &rest[1..];
                let (inner, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                literal(&mut items, inner);
                rest = after;
                continue;
            }
            if let Some(after) = strip(rest, "FM") {
                fill = true;
                rest = after;
                continue;
            }
            if let Some(token) = REFUSED.iter().find(|token| strip(rest, token).is_some()) {
                let position = text.len() - rest.len() + 1;
                return Err(Error::unsupported(format!(
                    "{token}, at byte {position} of the format '{text}', is not supported yet"
                ))
                .with_hint("put text that is no token in double quotes"));
            }
            let Some((field, after)) = token(rest) else {
                let (text, after) = rest.split_at(first.len_utf8());
                literal(&mut items, text);
                rest = after;
                continue;
            };
            rest = after;
            // The T of `DDTHH24` is text.
            let suffix = match rest.get(..2) {
                Some("TH") if strip(rest, "THH").is_none() => Some(Case::Upper),
                Some("th") if strip(rest, "THH").is_none() => Some(Case::Lower),
                _ => None,
            }
            .filter(|_| field.is_number());
            if suffix.is_some() {
                rest = &rest[2..];
            }
            items.push(Item::Field { field, fill: std::mem::take(&mut fill), suffix });
        }
        Ok(Format(items))
    }

    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.iter().filter_map(|item| match item {
            Item::Field { field, .. } => Some(*field),
            Item::Literal(_) => None,
        })
    }
}

impl Field {
    fn is_number(self) -> bool {
        use Field::*;
        !matches!(
            self,
            MonthName(_)
                | MonthShort(_)
                | MonthRoman(_)
                | DayName(_)
                | DayShort(_)
                | Meridian(..)
                | Era(..)
                | ZoneName(_)
                | ZoneOffset
        )
    }

    /// Whether a time of day has it.
    pub fn is_of_time(self) -> bool {
        use Field::*;
        matches!(self, Hour24 | Hour12 | Minute | Second | Millisecond | Microsecond | Meridian(..))
    }

    /// The token.
    pub fn name(self) -> &'static str {
        match self {
            Field::Century => "CC",
            Field::Quarter => "Q",
            Field::ZoneName(_) => "TZ",
            Field::ZoneOffset => "OF",
            Field::WeekOfMonth => "W",
            Field::IsoDayOfYear => "IDDD",
            _ => "the token",
        }
    }
}

fn literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(before)) => before.push_str(text),
        _ => items.push(Item::Literal(text.to_string())),
    }
}

/// What follows `token` at the beginning of `text`, in whatever case.
fn strip<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    let head = text.get(..token.len())?;
    head.eq_ignore_ascii_case(token).then(|| &text[token.len()..])
}

fn token(text: &str) -> Option<(Field, &str)> {
    TOKENS.iter().find_map(|(name, spelling)| {
        let after = strip(text, name)?;
        let written = &text[..name.len()];
        let upper = |i: usize| written.as_bytes().get(i).is_some_and(u8::is_ascii_uppercase);
        let field = match spelling {
            Any(field) => *field,
            Whole(field) => field(if upper(0) { Case::Upper } else { Case::Lower }),
            Cased(field) => field(match (upper(0), upper(1)) {
                (true, true) => Case::Upper,
                (true, false) => Case::Capital,
                (false, _) => Case::Lower,
            }),
        };
        Some((field, after))
    })
}

/// What goes wrong with a format.
pub fn refused(function: &str, field: Field, why: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, format!("{function}: {} {why}", field.name()))
}
