//! How ingest batches.

use serde::{Deserialize, Serialize};

/// How ingest batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Milliseconds between commits while records come.
    pub commit_every_ms: u64,
    /// Rows after which a commit does not wait for its time.
    pub commit_rows: usize,
    /// Bytes of records after which a commit does not wait for its time.
    pub commit_bytes: usize,
    /// Threads that decode, hash and encode. Shards are spread over them.
    pub workers: usize,
    /// How many of a shard's latest events are remembered to recognise duplicates.
    pub dedupe_window: usize,
    /// How many producers per shard are remembered, to notice that an event of theirs is missing.
    pub producers: usize,
    /// Milliseconds by which an event's time may differ from Kafka's before the producer's clock is noticed.
    pub clock_skew_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            commit_every_ms: 500,
            commit_rows: 250_000,
            commit_bytes: 256 << 20,
            workers: 2,
            dedupe_window: 20_000,
            producers: 10_000,
            clock_skew_ms: 300_000,
        }
    }
}
