//! Rows chosen from several columns.

use std::ops::Range;

/// Chosen rows, as runs of some that follow each other: of rows in order by a key that repeats, most do.
#[derive(Debug, Default)]
pub struct Runs {
    /// Of which column, and which rows of it.
    runs: Vec<(u32, Range<u32>)>,
    rows: usize,
}

impl Runs {
    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.runs.iter().map(|(column, rows)| (*column as usize, rows.start as usize..rows.end as usize))
    }
}

/// Of column and row of each.
impl FromIterator<(u32, u32)> for Runs {
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(rows: I) -> Self {
        let mut chosen = Runs::default();
        for (column, row) in rows {
            chosen.rows += 1;
            match chosen.runs.last_mut() {
                Some((last, rows)) if *last == column && rows.end == row => rows.end += 1,
                _ => chosen.runs.push((column, row..row + 1)),
            }
        }
        chosen
    }
}
