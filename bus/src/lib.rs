//! Kafka as the rest of Ambit sees it: three topics, a producer that does not lose, a consumer of shards that starts
//! where its owner says.
//!
//! Positions of truth lie elsewhere (the Delta commit, a snapshot, the outbox); what is committed to Kafka is a hint
//! for lag monitors and is never read back (INVARIANT L-3), but for topics of others ([`ForeignConsumer`]), of which
//! nothing else remembers the position. Kafka transactions are not used: ids are stable and
//! whoever reads drops what it has seen.

mod assignment;
mod checkpoints;
mod consumer;
mod error;
mod foreign;
mod health;
mod logging;
mod options;
mod place;
mod producer;
mod secret;
#[cfg(feature = "testing")]
pub mod testing;
mod topics;

pub use assignment::ShardOwner;
pub use checkpoints::{CHECKPOINT_TOPIC, CheckpointSender, SentCheckpoint, newest_checkpoints};
pub use consumer::{Batch, FailureKind, Profile, ShardConsumer, ShardFailure, StartAt, examine};
pub use error::Error;
pub use foreign::{ForeignBatch, ForeignConsumer, ForeignGap, ForeignRecord, Place};
pub use health::{Health, HealthProbe};
pub use options::{KafkaOptions, Property};
pub use place::records_at;
pub use producer::{Linger, Pending, Producer};
pub use secret::SecretRef;
pub use topics::ensure_topics;
