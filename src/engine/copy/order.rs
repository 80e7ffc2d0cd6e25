//! The order that files have: what CREATE TABLE … FROM takes for a sort key (our own choice).

use std::cmp::Ordering;

use super::infer::Found;
use crate::common::SqlType;

/// Whether the values of a column that were looked at never fall, file by file.
#[derive(Debug, Clone, Default)]
pub struct Order {
    rises: bool,
    falls: bool,
    seen: usize,
}

impl Order {
    /// Values that tell something: few are in order by chance.
    const LEAST: usize = 100;

    /// The next value that is not NULL, and how the one before in its file is against it.
    pub fn see(&mut self, before: Option<Ordering>) {
        self.seen += 1;
        self.rises |= before == Some(Ordering::Less);
        self.falls |= before == Some(Ordering::Greater);
    }

    pub fn is_told(&self) -> bool {
        self.rises && !self.falls && self.seen >= Self::LEAST
    }
}

/// How one text of a number, or of a time in ISO's order, is against another.
pub fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<i64>(), other.parse::<i64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Err(_), Err(_)) => one.cmp(other),
        _ => Ordering::Greater,
    }
}

/// The column that a table of these files is to be sorted by: of those that the files are in the order of, the first one of times,
/// else the first of whole numbers.
pub fn sort_key(found: &[Found]) -> Option<usize> {
    let first = |of: fn(SqlType) -> bool| found.iter().position(|column| column.in_order && of(column.sql_type));
    let is_time = |sql_type| matches!(sql_type, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz);
    let is_number = |sql_type| matches!(sql_type, SqlType::SmallInt | SqlType::Integer | SqlType::BigInt);
    first(is_time).or_else(|| first(is_number))
}
