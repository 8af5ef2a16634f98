//! How what people do becomes part of the record: through Kafka, by whoever holds a producer. INVARIANT Q-1

use ambit_schemas::{Event, Shard};
use futures::future::BoxFuture;

/// Writes events to Kafka.
pub trait Publish: std::fmt::Debug + Send + Sync {
    /// Writes an event and waits until Kafka has it: where it stands.
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(Shard, u64), PublishError>>;
}

/// An event that Kafka did not take.
#[derive(Debug, thiserror::Error)]
#[error("what you did was not recorded, so it is not done: {0}")]
pub struct PublishError(pub String);
