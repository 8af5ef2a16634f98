//! Single records, read outside any group: what stands at a place now.

use crate::assignment::ASK_TIMEOUT;
use crate::consumer::{failure_of, record_of};
use crate::error::Error;
use crate::logging::{Quiet, is_connection};
use crate::options::KafkaOptions;
use ambit_schemas::{Record, Shard};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::Instant;

/// The records that stand at these offsets, at most one offset of each shard. One that Kafka no longer has, or does not
/// have yet, or that cannot be read within five seconds, is left out.
///
/// # Errors
/// When Kafka cannot be asked what it has.
pub fn records_at(options: &KafkaOptions, places: &[(Shard, u64)]) -> Result<Vec<Record>, Error> {
    let mut config = options.client("ambit-place")?;
    config
        .set("group.id", "ambit-place")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "10")
        // One record of each shard is wanted: what comes after it is read and thrown away.
        .set("fetch.message.max.bytes", "65536")
        .set("receive.message.max.bytes", "134217728");
    let consumer: BaseConsumer<Quiet> =
        config.create_with_context(Quiet::default()).map_err(Error::Client)?;
    let (mut wanted, mut list) = (HashMap::new(), TopicPartitionList::new());
    for (shard, offset) in places {
        let (topic, partition, at) =
            (shard.topic.name(), shard.partition.cast_signed(), offset.cast_signed());
        let (low, high) = consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT).map_err(Error::Consume)?;
        if (low..high).contains(&at) {
            list.add_partition_offset(topic, partition, Offset::Offset(at)).map_err(Error::Consume)?;
            wanted.insert(*shard, *offset);
        }
    }
    let mut found = Vec::with_capacity(wanted.len());
    if wanted.is_empty() {
        return Ok(found);
    }
    consumer.assign(&list).map_err(Error::Consume)?;
    let deadline = Instant::now() + ASK_TIMEOUT;
    while !wanted.is_empty()
        && let Some(left) = deadline.checked_duration_since(Instant::now())
    {
        match consumer.poll(left) {
            Some(Ok(message)) => {
                let Some(record) = record_of(&message) else { continue };
                if wanted.remove(&record.shard) == Some(record.offset) {
                    found.push(record);
                }
            }
            Some(Err(error)) if is_connection(&error) => tracing::debug!(%error, "kafka client"),
            Some(Err(error)) => {
                let failure = failure_of(error)?;
                tracing::debug!(detail = failure.detail, "a place could not be read");
            }
            None => break,
        }
    }
    Ok(found)
}
