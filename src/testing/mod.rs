//! Stores that fail, a file system that forgets, a scheduler that a seed decides: for tests.

pub mod clock;

pub use clock::TestClock;
