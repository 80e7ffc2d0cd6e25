//! How buckets and web servers are reached.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How buckets and web servers are reached: where they are, with whose keys, and how long an unreliable one is asked.
///
/// Settings have the names and the meaning of environment variables, over which they have precedence: `AWS_ENDPOINT`,
/// `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_PROFILE`,
/// `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`, `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_BASE_URL`,
/// `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_ENDPOINT` and what else `object_store` reads there.
/// `Debug` shows their names alone.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// By name in lower case.
    settings: BTreeMap<String, String>,
    pub(crate) retry: Retry,
    pub(crate) part_bytes: usize,
}

/// How long is tried what fails for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retry {
    /// From the first failure, or from the last time that something came.
    pub give_up_after: Duration,
    /// Before the first repetition; it doubles each time, up to the longest.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// After this time without a byte a connection is held to be dead.
    pub stall: Duration,
}

impl Retry {
    /// Before the repetition of a request that was made so many times.
    pub fn pause(&self, tries: u32) -> Duration {
        let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_pause.saturating_mul(doubled).min(self.longest_pause)
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            settings: BTreeMap::new(),
            retry: Retry {
                give_up_after: Duration::from_secs(120),
                first_pause: Duration::from_millis(100),
                longest_pause: Duration::from_secs(10),
                stall: Duration::from_secs(30),
            },
            part_bytes: 8 << 20,
        }
    }
}

impl StoreOptions {
    /// As the environment says, and with the usual patience.
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting in place of the environment variable of that name.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_ascii_lowercase(), value.into());
        self
    }

    /// How long a request is repeated that the store refuses for now, or that fails on its way; 2 minutes by default. Reading
    /// counts from the last byte that came.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.retry.give_up_after = time;
        self
    }

    /// The pause before the first repetition, 100 ms by default. Pauses double up to a hundred times as much.
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.retry.first_pause = pause;
        self.retry.longest_pause = pause.saturating_mul(100);
        self
    }

    /// After how long without a byte a connection is given up and the rest asked for anew; 30 s by default.
    pub fn stall_after(mut self, time: Duration) -> Self {
        self.retry.stall = time;
        self
    }

    /// Bytes of a part of an upload, 8 MiB by default: files of UNLOAD that are larger are uploaded in parts, two of each file
    /// at a time. S3 wants 5 MiB at least.
    pub fn part_bytes(mut self, bytes: usize) -> Self {
        self.part_bytes = bytes.max(1);
        self
    }

    /// The setting of that name, else the environment's variable.
    #[cfg_attr(not(any(feature = "s3", feature = "gcs", feature = "azure")), expect(dead_code, reason = "of buckets"))]
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let set = self.settings.get(&name.to_ascii_lowercase()).cloned();
        set.or_else(|| std::env::var(name).ok()).filter(|value| !value.is_empty())
    }

    /// The settings whose names begin so, without the environment's.
    #[cfg_attr(not(any(feature = "s3", feature = "gcs", feature = "azure")), expect(dead_code, reason = "of buckets"))]
    pub(crate) fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let ours = self.settings.iter().filter(move |(name, _)| name.starts_with(prefix));
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.settings.keys().collect();
        f.debug_struct("StoreOptions")
            .field("settings", &names)
            .field("retry", &self.retry)
            .field("part_bytes", &self.part_bytes)
            .finish()
    }
}
