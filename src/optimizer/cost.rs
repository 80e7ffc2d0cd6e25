//! What joins cost: the work of building and probing hash tables, and of moving rows to where they meet.
//!
//! A unit is the work of probing with one row.

use super::join_order::Kind;
use crate::physical_plan::config::BlueshiftOptions;

/// A column, or all columns that a query equates, by number.
pub type Key = usize;

/// Where the rows of a relation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Spread in no way that a join could use.
    Anywhere,
    /// In the slice of a key.
    By(Key),
    /// In every slice.
    Everywhere,
}

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    pub rows: f64,
    /// Bytes of a row.
    pub width: f64,
    pub placed: Placement,
}

/// Bytes of a row in a hash table, beside its own: a hash, a place and room to grow.
const TABLE_ROW: f64 = 24.0;

/// What a hash table of so many rows takes, in bytes: of two sides the smaller one is built.
pub fn table_bytes(rows: f64, width: f64) -> f64 {
    rows * (width + TABLE_ROW)
}

/// One way to join two sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    pub cost: f64,
    pub placed: Placement,
    pub movement: Movement,
}

/// Which sides of a join move, as EXPLAIN labels it (Redshift manual, "Evaluating the query plan").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// DS_DIST_NONE: the sides meet where they are.
    None,
    /// DS_DIST_ALL_NONE: one side is in every slice.
    AllNone,
    /// DS_BCAST_INNER: one side goes to every slice.
    Broadcast,
    /// The left side goes where the other is.
    Left,
    Right,
    /// DS_DIST_BOTH.
    Both,
}

/// The shares of a join's work.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinCosts {
    /// Of putting a row into a hash table.
    pub build: f64,
    pub probe: f64,
    /// Of giving a row of a join's output.
    pub output: f64,
    /// Of moving a row, and of moving a byte.
    pub moved_row: f64,
    pub moved_byte: f64,
    /// Of comparing two rows that no key brings together.
    pub compare: f64,
    /// Partitions that work at once: a table that all probe is built by one.
    pub partitions: f64,
}

impl JoinCosts {
    /// As the settings have them.
    pub fn of(options: &BlueshiftOptions, partitions: usize) -> Self {
        JoinCosts {
            build: options.cost_build,
            probe: 1.0,
            output: options.cost_output,
            moved_row: options.cost_moved_row,
            moved_byte: options.cost_moved_byte,
            compare: options.cost_compare,
            partitions: partitions as f64,
        }
    }

    /// The ways to join two sides by keys that are equal in pairs, giving `rows` of `width` bytes.
    pub fn ways(&self, kind: Kind, sides: [Input; 2], keys: &[(Key, Key)], rows: f64, width: f64) -> Vec<Way> {
        let [left, right] = sides;
        let output = self.output * rows * (1.0 + width / 256.0);
        let table = |side: Input| table_bytes(side.rows, side.width);
        let smaller = if table(left) <= table(right) { left } else { right };
        let larger_rows = left.rows + right.rows - smaller.rows;
        if keys.is_empty() {
            let cost = self.build * smaller.rows * self.partitions + self.compare * left.rows * right.rows + output;
            return vec![Way { cost, placed: Placement::Anywhere, movement: Movement::Broadcast }];
        }
        let divided = self.build * smaller.rows + self.probe * larger_rows + output;
        let moved = |side: Input| side.rows * (self.moved_row + self.moved_byte * side.width);
        let mut ways = Vec::new();
        // One table that all partitions probe; the other side stays where it is.
        let shared = |build: Input, probe: Input| Way {
            cost: self.build * build.rows * self.partitions + self.probe * probe.rows + output,
            // Rows of the preserved side that match nothing come from no place of the other's.
            placed: if probe.placed == Placement::Everywhere { Placement::Anywhere } else { probe.placed },
            movement: match build.placed {
                Placement::Everywhere => Movement::AllNone,
                _ => Movement::Broadcast,
            },
        };
        ways.push(shared(right, left));
        if kind == Kind::Inner {
            ways.push(shared(left, right));
        } else {
            // The kept side's unmatched rows leave by one partition.
            ways.push(Way { placed: Placement::Anywhere, ..shared(left, right) });
        }
        for (of_left, of_right) in keys {
            let (stays_left, stays_right) =
                (left.placed == Placement::By(*of_left), right.placed == Placement::By(*of_right));
            let (cost, movement) = match (stays_left, stays_right) {
                (true, true) => (divided, Movement::None),
                (true, false) => (divided + moved(right), Movement::Right),
                (false, true) => (divided + moved(left), Movement::Left),
                (false, false) => (divided + moved(left) + moved(right), Movement::Both),
            };
            ways.push(Way { cost, placed: Placement::By(*of_left), movement });
        }
        ways
    }
}
