//! What every layer shares: errors, identifiers, SQL types and layout words, units, clock and checksum.

pub mod bloom;
pub mod bounds;
pub mod calendar;
pub mod clock;
pub mod date_part;
pub mod error;
pub mod ids;
pub mod interval;
pub mod layout;
pub mod members;
pub mod moment;
pub mod predicate;
pub mod source_types;
pub mod sql_type;
pub(crate) mod texts;

pub use bounds::Bounds;
pub use clock::{Clock, SystemClock};
pub use date_part::DatePart;
pub use error::{Error, ErrorKind, Result, SqlState};
pub use ids::{ColumnId, CommitId, SchemaId, TableId, UserId, Version};
pub use interval::Interval;
pub use layout::{DistStyle, EncodingName, SortKey, SortStyle};
pub use members::Members;
pub use moment::Moment;
pub use predicate::{Comparison, Predicate, Scalar};
pub use sql_type::{SqlType, Stored};
