//! A clock that stands still until it is moved.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::common::Clock;

/// Time as the test wants it, in microseconds since 1970.
#[derive(Debug, Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn at(us: i64) -> Self {
        TestClock(AtomicI64::new(us))
    }

    pub fn advance(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }

    pub fn set(&self, us: i64) {
        self.0.store(us, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
