//! Identifiers. None is ever reused within a warehouse.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A table, for its whole life, through renames.
    TableId(u32)
);
id!(
    /// A schema (namespace).
    SchemaId(u32)
);
id!(
    /// A user; objects name their owner by it.
    UserId(u32)
);
id!(
    /// A column of one table; what segments store instead of names, so that RENAME and DROP COLUMN rewrite nothing.
    ColumnId(u32)
);
id!(
    /// A committed state of the warehouse: the number of its log entry.
    Version(u64)
);

impl Version {
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

/// A transaction's random identity: it decides whether a log entry found after a lost acknowledgement is one's own,
/// and stands in the names of the objects that the transaction wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(pub u128);

impl CommitId {
    pub fn random() -> Self {
        CommitId(uuid::Uuid::new_v4().as_u128())
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
