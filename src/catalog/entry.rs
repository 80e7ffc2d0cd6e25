//! A log entry: one version of the warehouse as a change to the one before.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::convert::{self, damaged};
use super::frame::{self, HEADER_BYTES, Magic};
use super::loads::Source;
use super::model::{DeleteVectorRef, Extent, Schema, SegmentId, SegmentRef, StatisticsRef, TableDef, WarehouseInfo};
use super::ranks::RankMap;
use super::view::{CommentOn, ViewDef};
use super::{paths, proto};
use crate::common::{CommitId, Error, Result, SchemaId, TableId, UserId, Version};

/// Who may run collection and background vacuum, and until when (microseconds since 1970, UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintenanceLease {
    pub holder: CommitId,
    pub until_us: i64,
}

/// One change. `data_change` says whether the table's rows are others than before (a vacuum's are not).
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The warehouse comes into being; the first action of entry 0 and of no other.
    Genesis(WarehouseInfo),
    CreateSchema(Schema),
    /// Another name or owner.
    AlterSchema(Schema),
    /// The schema holds no table and no view any more.
    DropSchema(SchemaId),
    CreateTable(TableDef),
    /// The whole definition as it is from now on.
    AlterTable(TableDef),
    DropTable(TableId),
    AddSegments {
        table: TableId,
        data_change: bool,
        segments: Vec<Arc<SegmentRef>>,
    },
    RemoveSegments {
        table: TableId,
        data_change: bool,
        segments: Vec<SegmentId>,
    },
    /// Each vector replaces the segment's former one.
    SetDeleteVectors {
        table: TableId,
        data_change: bool,
        vectors: Vec<(SegmentId, Option<DeleteVectorRef>)>,
    },
    SetHorizon(Version),
    /// How many slices the warehouse has from now on. What is added later in the entry is placed on these.
    SetSlices(u32),
    SetMaintenance(Option<MaintenanceLease>),
    DefineUser(UserId, String),
    /// The `count` values of the table's identity column that come after `given` others belong to somebody.
    ReserveIdentity {
        table: TableId,
        given: u64,
        count: u64,
    },
    CreateView(ViewDef),
    /// The whole definition as it is from now on.
    AlterView(ViewDef),
    DropView(TableId),
    /// `None` takes it away.
    SetComment(CommentOn, Option<String>),
    /// The map by which the table's later rows are ordered; its version is above the former one's.
    SetRankMap {
        table: TableId,
        map: Arc<RankMap>,
    },
    /// What is removed from the table, and what is added to it, are the same rows.
    Moved {
        table: TableId,
        from: Vec<SegmentId>,
        to: Vec<SegmentId>,
        positions: Extent,
    },
    /// They replace the table's former ones.
    SetStatistics {
        table: TableId,
        statistics: StatisticsRef,
    },
    /// What rows of the table were loaded from, beside what is known of that; `forget` ends that first.
    SetLoads {
        table: TableId,
        forget: bool,
        sources: Vec<Source>,
        /// When the newest of those was loaded that another table, of which this is a copy, has forgotten.
        forgotten_us: Option<i64>,
    },
}

impl Action {
    /// The feature bits that a reader must know to read it.
    fn required_features(&self) -> u64 {
        match self {
            Action::CreateTable(def) | Action::AlterTable(def) => def.required_features(),
            Action::ReserveIdentity { .. } => frame::FEATURE_TABLE_WORDS,
            Action::CreateView(_) | Action::AlterView(_) | Action::DropView(_) => frame::FEATURE_VIEWS,
            Action::SetComment(..) => frame::FEATURE_COMMENTS,
            Action::SetRankMap { .. } => frame::FEATURE_INTERLEAVED,
            Action::Moved { .. } => frame::FEATURE_MOVES,
            Action::SetSlices(_) => frame::FEATURE_SLICES,
            Action::SetLoads { .. } => frame::FEATURE_LOADS,
            Action::AddSegments { segments, .. } => segments.iter().fold(0, |features, s| {
                let ranked = if s.rank_map != 0 { frame::FEATURE_INTERLEAVED } else { 0 };
                let placed = if s.place != SegmentRef::place_of(s.id) { frame::FEATURE_MOVES } else { 0 };
                features | ranked | placed
            }),
            _ => 0,
        }
    }
}

/// A transaction within an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionRecord {
    pub commit: CommitId,
    /// The version it read.
    pub start: Version,
    pub author: UserId,
    pub actions: Vec<Action>,
}

/// A log entry.
///
/// Guarantees of every stored entry:
/// 1. `version` is the number in its name;
/// 2. `previous` is the `id` of the entry before it (zero in entry 0), so that a chain with a hole is recognised;
/// 3. `time_us` is not before its predecessor's;
/// 4. its transactions hold one after the other, each on the state that the ones before it left.
///
/// The stored form is a [`frame`] whose body is the message `LogEntry`. Inline rows stand in the frame's blobs: an
/// extent in `ObjectId::Log(version)` counts from the start of the entry's object.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub version: Version,
    /// Random: decides whether an entry found after a lost acknowledgement is one's own.
    pub id: CommitId,
    pub previous: CommitId,
    pub time_us: i64,
    pub transactions: Vec<TransactionRecord>,
}

/// The rows that stand inline in an entry being made.
#[derive(Debug, Default)]
pub struct Blobs {
    parts: Vec<Bytes>,
    bytes: usize,
}

impl Blobs {
    /// Adds bytes; returns their offset within the entry's object.
    pub fn push(&mut self, bytes: Bytes) -> u64 {
        let offset = (HEADER_BYTES + self.bytes) as u64;
        self.bytes += bytes.len();
        self.parts.push(bytes);
        offset
    }

    /// The bytes that were added at an offset of the entry's object.
    pub fn at(&self, offset: u64) -> Option<&Bytes> {
        let mut start = HEADER_BYTES as u64;
        self.parts.iter().find(|part| {
            let found = start == offset;
            start += part.len() as u64;
            found
        })
    }

    /// Forgets what was added since `len` was [`Blobs::len`].
    pub fn truncate(&mut self, len: usize) {
        for dropped in self.parts.drain(len.min(self.parts.len())..) {
            self.bytes -= dropped.len();
        }
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Entry {
    /// The entry's bytes. Unsupported when they would be too many.
    pub fn encode(&self, blobs: &Blobs) -> Result<Bytes> {
        let transaction = |t: &TransactionRecord| proto::Transaction {
            commit: convert::id_bytes(t.commit.0),
            start: t.start.0,
            author: t.author.0,
            actions: t.actions.iter().map(convert::action).collect(),
        };
        let message = proto::LogEntry {
            version: self.version.0,
            time_us: self.time_us,
            id: convert::id_bytes(self.id.0),
            previous: convert::id_bytes(self.previous.0),
            transactions: self.transactions.iter().map(transaction).collect(),
        };
        let actions = self.transactions.iter().flat_map(|t| &t.actions);
        let features = actions.fold(0, |features, action| features | action.required_features());
        frame::encode_with(Magic::Log, features, &blobs.parts, &message.encode_to_vec())
    }

    /// Reads the entry of `version`. Corrupt when its bytes are damaged or another version's; Unsupported when they
    /// are a later library's.
    pub fn decode(version: Version, bytes: &Bytes) -> Result<Entry> {
        let named = |e: Error, base: usize| e.in_object(paths::log_entry(version), base as u64);
        let frame = frame::decode(Magic::Log, bytes).map_err(|e| named(e, 0))?;
        let base = HEADER_BYTES + frame.blobs.len();
        Entry::decode_body(version, &frame).map_err(|e| named(e, base))
    }

    fn decode_body(version: Version, frame: &frame::Frame) -> Result<Entry> {
        let message = proto::LogEntry::decode(frame.body.clone()).map_err(|e| damaged(&e.to_string()))?;
        if message.version != version.0 {
            return Err(damaged(&format!("the entry is version {}'s", message.version)));
        }
        let transaction = |t: proto::Transaction| {
            Ok(TransactionRecord {
                commit: CommitId(convert::read_id(&t.commit)?),
                start: Version(t.start),
                author: UserId(t.author),
                actions: t.actions.into_iter().map(convert::read_action).collect::<Result<_>>()?,
            })
        };
        Ok(Entry {
            version,
            id: CommitId(convert::read_id(&message.id)?),
            previous: CommitId(convert::read_id(&message.previous)?),
            time_us: message.time_us,
            transactions: message.transactions.into_iter().map(transaction).collect::<Result<_>>()?,
        })
    }
}
