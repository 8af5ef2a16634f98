//! Ingest: every record of every shard becomes one row of the store and one leaf of the shard's ledger.
//!
//! ```text
//! consumer thread --records--> workers (decode, hash, encode) --files--> committer --leaves--> ledger keeper
//!        ^                                                                   |
//!        +------------------------- bounded queues: back-pressure -----------+
//! ```
//! The consumer routes records to workers by shard, so that one commit holds a shard in one file. Every commit
//! interval each worker ends its file; the committer makes the files visible with the shards' new positions in one
//! Delta commit (INVARIANT L-2); the ledger keeper then appends the leaves and signs a checkpoint per shard. Nothing
//! is acknowledged before it is durable (INVARIANT L-3). Any failure ends the service; the next start reads the
//! positions from the store and goes on, so there is one path for a crash, for a full disk and for a process that was
//! paused while its shards went to others.
//!
//! What is missing or out of order is told by notices, events like all others ([`notices`]); what cannot be read stops
//! its shard and no other ([`intake`]).

mod committer;
pub mod cosigned;
mod dedupe;
pub mod disk;
mod error;
mod failpoint;
mod handle;
mod intake;
mod keeper;
mod notices;
mod options;
pub mod outside;
mod owner;
mod pipeline;
mod producers;
mod recent;
pub mod scrub;
mod service;
mod tiles;
pub mod verify;
mod worker;

pub use error::Error;
pub use handle::{Handle, Health};
pub use keeper::{Ledgers, origin};
pub use options::Options;
pub use service::Service;
