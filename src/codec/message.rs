//! What travels: the messages, and the header that says how they are to be read.

use bytes::Bytes;
use prost::Message;

use crate::common::{Error, Result, SqlState};

/// Written at the head of each message, and raised with every change that an older reader would misread.
pub const FORMAT: u8 = 1;

const MAGIC: &[u8; 4] = b"BSPL";

/// Magic, format, kind, CRC-32C of the rest.
const HEADER: usize = 10;

/// What a whole plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    Logical = 1,
    Physical = 2,
}

/// A whole plan.
#[derive(Clone, PartialEq, Message)]
pub struct Plan {
    /// The time zone of the session that planned it, where its functions know one.
    #[prost(string, optional, tag = "1")]
    pub time_zone: Option<String>,
    /// DataFusion's message.
    #[prost(bytes = "vec", tag = "2")]
    pub plan: Vec<u8>,
}

/// An operator of ours.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(oneof = "Operator", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub operator: Option<Operator>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Operator {
    #[prost(message, tag = "1")]
    Scan(Scan),
    #[prost(message, tag = "2")]
    Exchange(Exchange),
    #[prost(message, tag = "3")]
    Broadcast(Broadcast),
    #[prost(message, tag = "4")]
    Abreast(Abreast),
    #[prost(message, tag = "5")]
    CollocatedJoin(CollocatedJoin),
    #[prost(message, tag = "6")]
    Load(Table),
    #[prost(message, tag = "7")]
    BuildKeys(BuildKeys),
    #[prost(message, tag = "8")]
    IntegerAggregate(IntegerAggregate),
    #[prost(message, tag = "9")]
    Spool(Spool),
}

/// A table, as a plan saw it.
#[derive(Clone, PartialEq, Message)]
pub struct Table {
    /// What the codec calls the warehouse.
    #[prost(string, tag = "1")]
    pub warehouse: String,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub uuid: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub table: u32,
    /// For messages.
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub columns: Vec<TableColumn>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableColumn {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    /// As SQL writes it.
    #[prost(string, tag = "3")]
    pub sql_type: String,
    #[prost(bool, tag = "4")]
    pub nullable: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scan {
    #[prost(message, optional, tag = "1")]
    pub table: Option<Table>,
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// A transaction's own writes over the version: the log entry that it would be.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub overlay: Option<Vec<u8>>,
    #[prost(uint32, tag = "4")]
    pub slices: u32,
    #[prost(uint32, tag = "5")]
    pub partitions: u32,
    /// Whether it claims to be placed by DataFusion's hash.
    #[prost(bool, tag = "6")]
    pub claim_hash: bool,
    #[prost(bool, tag = "7")]
    pub prune: bool,
    /// Ordinals of the table's columns.
    #[prost(uint32, repeated, tag = "8")]
    pub projection: Vec<u32>,
    /// DataFusion's messages, over the table's ordinals.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub filters: Vec<Vec<u8>>,
    #[prost(uint64, optional, tag = "10")]
    pub fetch: Option<u64>,
    #[prost(bool, tag = "11")]
    pub mistrust_bounds: bool,
    #[prost(message, optional, tag = "12")]
    pub wanted_first: Option<WantedFirst>,
    #[prost(string, optional, tag = "13")]
    pub alias: Option<String>,
    /// The query names the version.
    #[prost(bool, tag = "14")]
    pub past: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct WantedFirst {
    /// Ordinal in the table.
    #[prost(uint32, tag = "1")]
    pub column: u32,
    #[prost(bool, tag = "2")]
    pub descending: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exchange {
    /// DataFusion's messages, over the input's columns.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub keys: Vec<Vec<u8>>,
    #[prost(uint32, tag = "2")]
    pub partitions: u32,
    #[prost(bool, tag = "3")]
    pub keeps_order: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Broadcast {
    #[prost(uint32, tag = "1")]
    pub copies: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Abreast {}

/// Where the plan is read it has rows in common with no other.
#[derive(Clone, PartialEq, Message)]
pub struct Spool {
    #[prost(uint32, tag = "1")]
    pub number: u32,
}

/// What it fills is made anew where the plan is read.
#[derive(Clone, PartialEq, Message)]
pub struct BuildKeys {}

#[derive(Clone, PartialEq, Message)]
pub struct IntegerAggregate {
    /// DataFusion's message of the aggregation, over an input that has columns and no rows.
    #[prost(bytes = "vec", tag = "1")]
    pub aggregate: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CollocatedJoin {
    /// DataFusion's message of the join, over inputs that have columns and no rows.
    #[prost(bytes = "vec", tag = "1")]
    pub join: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub left_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub right_key: Vec<u8>,
}

/// An expression of ours; its children travel beside it.
#[derive(Clone, PartialEq, Message)]
pub struct Expression {
    #[prost(oneof = "ExpressionKind", tags = "1")]
    pub kind: Option<ExpressionKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ExpressionKind {
    #[prost(message, tag = "1")]
    Routed(Routed),
}

#[derive(Clone, PartialEq, Message)]
pub struct Routed {}

/// What a logical plan reads.
#[derive(Clone, PartialEq, Message)]
pub struct Provider {
    #[prost(oneof = "ProviderKind", tags = "1, 2")]
    pub kind: Option<ProviderKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ProviderKind {
    #[prost(message, tag = "1")]
    Table(NamedTable),
    #[prost(message, tag = "2")]
    System(SystemTable),
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedTable {
    #[prost(message, optional, tag = "1")]
    pub table: Option<Table>,
    #[prost(string, optional, tag = "2")]
    pub alias: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SystemTable {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A function whose name does not say which one it is.
#[derive(Clone, PartialEq, Message)]
pub struct Function {
    #[prost(string, tag = "1")]
    pub name: String,
    /// DataFusion's own, where Blueshift has another by that name.
    #[prost(bool, tag = "2")]
    pub datafusions: bool,
}

/// A message with its format.
pub fn write(message: &impl Message, to: &mut Vec<u8>) {
    to.push(FORMAT);
    // A vector takes all there is.
    let _ = message.encode(to);
}

/// What [`write`] gave.
///
/// Errors: Unsupported for another format, Corrupt for what is none.
pub fn read<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    let Some((format, rest)) = bytes.split_first() else {
        return Err(Error::corrupt(0, format!("a plan's {what} is empty")));
    };
    check_format(*format)?;
    M::decode(rest).map_err(|e| Error::corrupt(1, format!("a plan's {what} cannot be read: {e}")))
}

/// A whole plan with its header.
pub fn seal(kind: PlanKind, plan: &Plan) -> Bytes {
    let mut bytes = vec![0; HEADER];
    let _ = plan.encode(&mut bytes);
    let (header, rest) = bytes.split_at_mut(HEADER);
    header[..4].copy_from_slice(MAGIC);
    header[4] = FORMAT;
    header[5] = kind as u8;
    header[6..].copy_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    bytes.into()
}

/// What [`seal`] gave.
///
/// Errors: Corrupt for bytes that are no plan or damaged; Unsupported for another format; Invalid for a plan of the other
/// kind.
pub fn open(kind: PlanKind, bytes: &[u8]) -> Result<Plan> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(Error::corrupt(0, "the bytes are too few to be a plan"));
    };
    let [m0, m1, m2, m3, format, of, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != *MAGIC {
        return Err(Error::corrupt(0, "the bytes are no plan of Blueshift's"));
    }
    check_format(format)?;
    if u32::from_le_bytes([c0, c1, c2, c3]) != crc32c::crc32c(rest) {
        return Err(Error::corrupt(HEADER as u64, "the plan's bytes do not match their checksum"));
    }
    if of != kind as u8 {
        let message = match kind {
            PlanKind::Logical => "the plan is not a logical one",
            PlanKind::Physical => "the plan is not a physical one",
        };
        return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
            .with_hint("what encode gave is for decode, and what encode_physical gave for decode_physical"));
    }
    Plan::decode(rest).map_err(|e| Error::corrupt(HEADER as u64, format!("the plan cannot be read: {e}")))
}

fn check_format(format: u8) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    Err(Error::unsupported(format!("the plan is of format {format}; this Blueshift reads format {FORMAT}"))
        .with_hint("run the same version of Blueshift where plans are made and where they are run"))
}
