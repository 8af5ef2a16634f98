//! The topics, created when they are absent.

use crate::error::Error;
use crate::logging::{Asking, Quiet};
use crate::options::KafkaOptions;
use ambit_schemas::Topic;
use ambit_schemas::limits::RECORD_BYTES_MAX;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long one question to the brokers may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long brokers may take to know a topic that they have created.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);

struct Admin {
    client: AdminClient<Quiet>,
    asking: Asking,
}

impl Admin {
    fn new(options: &KafkaOptions) -> Result<Self, Error> {
        let client = options.client("ambit-admin")?.create_with_context(Quiet::default());
        Ok(Self { client: client.map_err(Error::Client)?, asking: Asking::new(options, "ambit-admin")? })
    }

    fn unreachable(&self, options: &KafkaOptions, cause: KafkaError) -> Error {
        let reason = self.asking.reason().map_or_else(String::new, |reason| format!(" ({reason})"));
        Error::Unreachable { servers: options.bootstrap_servers.clone(), reason, cause: Box::new(cause) }
    }
}

/// Creates the topics that are absent and checks the others: records of [`RECORD_BYTES_MAX`], time of the producer.
pub async fn ensure_topics(options: &KafkaOptions) -> Result<(), Error> {
    let admin = Admin::new(options)?;
    let max_bytes = (RECORD_BYTES_MAX + 4_096).to_string();
    let replication = i32::try_from(options.replication).unwrap_or(i32::MAX);
    let partitions = i32::try_from(options.partitions).unwrap_or(i32::MAX);
    for topic in Topic::ALL {
        if let Some(found) = count(&admin, options, topic)? {
            check(options, topic, found)?;
            continue;
        }
        let new = NewTopic::new(topic.name(), partitions, TopicReplication::Fixed(replication))
            .set("max.message.bytes", &max_bytes)
            .set("cleanup.policy", "delete");
        let ask = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)).request_timeout(Some(ASK_TIMEOUT));
        let results = admin.client.create_topics([&new], &ask).await;
        let results = results.map_err(|cause| admin.unreachable(options, cause))?;
        for result in results {
            match result {
                // Another process was quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(Error::CreateTopic { topic, why: code.to_string() }),
            }
        }
        settle(&admin, options, topic).await?;
    }
    crate::checkpoints::ensure(&admin.client, options).await
}

async fn settle(admin: &Admin, options: &KafkaOptions, topic: Topic) -> Result<(), Error> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        match count(admin, options, topic)? {
            Some(found) => return check(options, topic, found),
            None if Instant::now() > deadline => {
                return Err(Error::CreateTopic {
                    topic,
                    why: "the brokers do not show it after its creation".into(),
                });
            }
            None => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn check(options: &KafkaOptions, topic: Topic, found: usize) -> Result<(), Error> {
    if usize::try_from(options.partitions) == Ok(found) {
        Ok(())
    } else {
        Err(Error::Partitions { topic, expected: options.partitions, found })
    }
}

/// How many partitions a topic has; `None` when it is absent or has no leader yet.
fn count(admin: &Admin, options: &KafkaOptions, topic: Topic) -> Result<Option<usize>, Error> {
    // All topics are asked for: asking for one by name may create it.
    let metadata = admin.asking.metadata(None, ASK_TIMEOUT);
    let metadata = metadata.map_err(|cause| admin.unreachable(options, cause))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic.name()) else {
        return Ok(None);
    };
    let led = found.error().is_none() && found.partitions().iter().all(|partition| partition.leader() >= 0);
    Ok((led && !found.partitions().is_empty()).then(|| found.partitions().len()))
}
