//! What a verification found, for people and as JSON.

use serde::Serialize;

/// What is wrong with a shard: of all that was found, what concerns its earliest leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The leaf concerned.
    pub leaf_index: u64,
    /// Its offset in Kafka, when the row could be read.
    pub offset: Option<u64>,
    /// The event's id, when it has one.
    pub event_id: Option<String>,
    /// The data file, relative to the table, when one file is to blame.
    pub file: Option<String>,
    /// What is wrong, for people.
    pub what: String,
}

/// What was found in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// The shard.
    pub shard: String,
    /// The first leaf that was checked: what lies before was verified by an earlier run.
    pub from: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Leaves whose rows retention has deleted; their hashes are the ledger's.
    pub retired: u64,
    /// Leaves under the newest signed checkpoint.
    pub signed: u64,
    /// The root that was signed, hexadecimal.
    pub root: Option<String>,
    /// The fault of the earliest leaf.
    pub fault: Option<Fault>,
    /// How many faults there are.
    pub faults: u64,
}

impl ShardReport {
    /// Whether everything agrees.
    pub const fn intact(&self) -> bool {
        self.fault.is_none()
    }
}

/// A data file that cannot be read at all, so that nobody knows which rows it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFault {
    /// The data file, relative to the table.
    pub file: String,
    /// What is wrong, for people.
    pub what: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of the table that was read.
    pub table_version: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Every shard that was looked at.
    pub shards: Vec<ShardReport>,
    /// Files that could not be read at all.
    pub files: Vec<FileFault>,
}

impl Report {
    /// Whether everything agrees.
    pub fn intact(&self) -> bool {
        self.files.is_empty() && self.shards.iter().all(ShardReport::intact)
    }
}
