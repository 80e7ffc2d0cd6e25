//! How a catalog is opened and behaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::model::WarehouseInfo;
use crate::common::{Clock, CommitId, SystemClock, UserId};

/// Makes ids that nobody else makes.
pub trait IdSource: fmt::Debug + Send + Sync {
    fn next(&self) -> CommitId;
}

/// Random ids: two are never the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn next(&self) -> CommitId {
        CommitId::random()
    }
}

/// How a catalog behaves. All processes of a warehouse should have the same `lease_ttl`.
#[derive(Debug, Clone)]
pub struct CatalogOptions {
    pub clock: Arc<dyn Clock>,
    /// Names processes, log entries and transactions.
    pub ids: Arc<dyn IdSource>,
    /// Whoever commits a version that this divides writes a checkpoint of it; 0 is never. More often makes opening
    /// faster and writes more.
    pub checkpoint_every: u64,
    /// How long a process that vanished keeps old objects from being collected. It renews at a quarter, and checks
    /// its view of the log against the checkpoints once half has passed without a renewal.
    pub lease_ttl: Duration,
    /// Whether leases are renewed and checkpoints written by tasks of their own. Off, the application does both.
    pub background: bool,
    /// How often a commit is tried again when the store fails.
    pub retries: u32,
    /// The pause before the first of them; it doubles each time.
    pub retry_delay: Duration,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        CatalogOptions {
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            checkpoint_every: 64,
            lease_ttl: Duration::from_secs(600),
            background: true,
            retries: 5,
            retry_delay: Duration::from_millis(50),
        }
    }
}

/// What a new warehouse begins with.
#[derive(Debug, Clone)]
pub struct Genesis {
    pub info: WarehouseInfo,
    pub owner: UserId,
    pub owner_name: String,
    pub schemas: Vec<String>,
}

impl Genesis {
    /// The first user; Redshift numbers users from 100.
    pub const OWNER: UserId = UserId(100);

    /// A warehouse of the usual geometry, with the schema `public`.
    pub fn new(name: impl Into<String>, slices: u32) -> Self {
        Genesis {
            info: WarehouseInfo {
                uuid: CommitId::random().0,
                slices,
                name: name.into(),
                zone_rows: 8192,
                chunk_rows: 131_072,
            },
            owner: Self::OWNER,
            owner_name: "admin".into(),
            schemas: vec!["public".into()],
        }
    }
}

/// Whether a warehouse may be made where there is none.
#[derive(Debug, Clone)]
pub enum OpenMode {
    /// There must be a warehouse.
    Existing,
    /// An empty place becomes a warehouse.
    OpenOrCreate(Genesis),
    /// The place must be empty.
    Create(Genesis),
}
