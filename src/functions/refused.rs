//! Functions that Redshift has and that are not offered, with what to use instead.

/// Names in lower case, each with a hint.
const REFUSED: &[(&str, &str)] = &[
    // Dates and times.
    ("age", "subtract the timestamps, or use MONTHS_BETWEEN or DATEDIFF"),
    ("isfinite", "every date and timestamp is finite"),
    ("pg_timezone_abbrevs", "zones have the names of the IANA database, such as Europe/Paris"),
    ("pg_timezone_names", "zones have the names of the IANA database, such as Europe/Paris"),
];

/// What to do instead of calling `name`, if it is a function of Redshift's that is not offered.
pub fn hint(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| name.eq_ignore_ascii_case(refused)).map(|(_, hint)| *hint)
}
