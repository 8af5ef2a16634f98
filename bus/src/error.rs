//! What can go wrong between us and Kafka.

use ambit_schemas::Topic;
use rdkafka::error::KafkaError;

/// What can go wrong between us and Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A property that would break a guarantee.
    #[error("`kafka.properties` must not set `{0}`: Ambit's guarantees depend on its own value")]
    ReservedProperty(String),
    /// A secret among the properties cannot be had.
    #[error("`kafka.properties`, `{property}`: {why}")]
    Secret {
        /// The property.
        property: String,
        /// What is wrong.
        why: String,
    },
    /// librdkafka does not know a property, or not its value.
    #[error("`kafka.properties`, `{property}`: {why} (librdkafka's documentation lists all properties)")]
    Property {
        /// The property.
        property: String,
        /// What librdkafka says.
        why: String,
    },
    /// librdkafka refused the configuration.
    #[error("the Kafka client cannot be set up: check `kafka.properties`")]
    Client(#[source] KafkaError),
    /// The brokers do not answer.
    #[error(
        "Kafka at {servers} does not answer{reason}: check that it runs and that `kafka.bootstrap_servers` is right"
    )]
    Unreachable {
        /// Where we tried.
        servers: String,
        /// Why the last connection failed, in brackets, as far as librdkafka says.
        reason: String,
        /// What it led to.
        #[source]
        cause: Box<KafkaError>,
    },
    /// A topic could not be created.
    #[error("topic {topic} cannot be created: {why}")]
    CreateTopic {
        /// The topic.
        topic: Topic,
        /// What Kafka said.
        why: String,
    },
    /// A topic exists with another number of partitions.
    #[error(
        "topic {topic} has {found} partitions, the configuration says {expected}: set `kafka.partitions = {found}` \
         (a shard's history cannot be split)"
    )]
    Partitions {
        /// The topic.
        topic: Topic,
        /// What the configuration says.
        expected: u32,
        /// What Kafka has.
        found: usize,
    },
    /// A record could not be handed to Kafka, or Kafka did not take it.
    #[error("a record for {topic} did not reach Kafka: check that the brokers run and have room")]
    Produce {
        /// The topic.
        topic: Topic,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// The producer was shut down while a record was under way.
    #[error("a record for {topic} was still under way when the producer was shut down")]
    Abandoned {
        /// The topic.
        topic: Topic,
    },
    /// The topic of checkpoints.
    #[error("cannot {doing} checkpoints in Kafka: check that the brokers run")]
    Checkpoints {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        cause: KafkaError,
    },
    /// The consumer cannot go on.
    #[error("records cannot be read from Kafka")]
    Consume(#[source] KafkaError),
}
