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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            commit_every_ms: 500,
            commit_rows: 250_000,
            commit_bytes: 256 << 20,
            workers: 2,
            dedupe_window: 20_000,
        }
    }
}
