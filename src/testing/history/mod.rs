//! Histories of transactions, and what is wrong with them.
//!
//! Whoever runs transactions records what each read and wrote; [`check`] says which anomalies the record proves. It knows
//! nothing of how the transactions were run. The terms are those of Adya ("Weak Consistency", 1999) and of Elle (Kingsbury
//! and Alvaro, VLDB 2020); what snapshot isolation forbids is as Cerone and Gotsman have it (PODC 2016): cycles of
//! dependencies in which no two anti-dependencies follow one another.
//!
//! Rows are lists: each write of a row appends a token that nobody else writes, so that whoever reads the row knows all of
//! its versions, and their order. A row is born by its first token; when it is deleted it does not come back.

mod check;
mod cycles;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

pub use check::check;
pub use text::{parse, write};

/// What a write leaves in a row; a history has it once in each row that the statement wrote.
pub type Token = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub table: u32,
    pub id: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// All rows of a table whose ids are in the range, as often as they were returned.
    Read {
        table: u32,
        ids: RangeInclusive<u64>,
        rows: Vec<(u64, Vec<Token>)>,
    },
    /// A token behind those that the row has. `born`: the row was not there before.
    Append {
        row: Row,
        token: Token,
        born: bool,
    },
    Delete {
        row: Row,
    },
}

/// A statement, and when it began and ended: by a clock that all transactions share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub op: Op,
    pub begun: u64,
    pub ended: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    Aborted,
    /// Whoever committed it was not told.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub name: String,
    pub events: Vec<Event>,
    /// When the commit, or the rollback, began and ended; of a statement alone, the statement itself.
    pub finish: (u64, u64),
    pub outcome: Outcome,
}

/// What a history is to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Each transaction reads the last version that was committed before it began, or a later one; of two that write a row at
    /// the same time, one fails.
    Snapshot,
    /// Besides, there is an order in which the transactions could have run one after the other.
    Serializable,
}

/// What a history proves to have gone wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A value that nobody wrote, or a row that is there twice.
    Unwritten,
    /// What was read was committed later, or is still open.
    DirtyRead,
    AbortedRead,
    /// A version that its transaction itself overwrote.
    IntermediateRead,
    /// One transaction read a row twice, and differently.
    NonRepeatableRead,
    /// A part of a transaction was read, another part not.
    FracturedRead,
    /// A transaction did not find what it had written itself.
    OwnWriteMissing,
    /// Two transactions wrote over the same version of a row.
    LostUpdate,
    /// Two transactions, each of which read what the other did not see yet.
    LongFork,
    /// Each of several transactions did not see what the next wrote; this is legal under snapshot isolation.
    WriteSkew,
    /// Two transactions wrote rows in different orders.
    WriteCycle,
    /// Transactions that read in a circle what the others wrote.
    InformationCycle,
    /// Any other cycle that snapshot isolation forbids.
    OtherCycle,
    /// What was acknowledged before the reader began was not read, though others did.
    StaleRead,
    /// Nothing of a transaction that was acknowledged is there.
    LostCommit,
    /// A part of a transaction is there, another part not.
    HalfCommit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    pub kind: Kind,
    /// Who and what.
    pub detail: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

/// The kinds of anomalies, each once.
pub fn kinds(anomalies: &[Anomaly]) -> Vec<Kind> {
    anomalies.iter().map(|a| a.kind).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Transaction {
    /// When its first statement began: from then on it may not miss what was acknowledged before.
    fn begun(&self) -> u64 {
        self.events.first().map_or(self.finish.0, |event| event.begun)
    }
}

#[cfg(test)]
mod tests;
