//! Stores that fail, a file system that forgets, a scheduler that a seed decides: for tests.
//!
//! Nothing here asks for the time or for randomness: the same seed gives the same run.

pub mod clock;
pub mod counting_store;
#[cfg(all(test, feature = "s3"))]
pub mod faulty_server;
pub mod faulty_store;
#[cfg(test)]
pub mod history;
#[cfg(test)]
pub mod long;
pub mod rng;
#[cfg(all(test, feature = "s3"))]
pub mod s3_server;
pub mod scheduler;
pub mod sim_files;
#[cfg(all(test, feature = "s3"))]
pub mod web_server;
pub mod wrapper;

pub use clock::TestClock;
pub use counting_store::CountingStore;
pub use faulty_store::{Fault, FaultyStore};
#[cfg(test)]
pub use long::seeds;
pub use rng::{CountedIds, Rng};
pub use scheduler::{ScheduledStore, Scheduler};
pub use sim_files::{Crash, SimDisk, SimFiles};
pub use wrapper::{Call, LatencyStore, StoreWrapper};
