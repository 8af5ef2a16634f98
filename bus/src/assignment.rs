//! Changes of assignment: who owns which shard, told to the owner while Kafka's group waits for the answer.

use crate::consumer::{FailureKind, ShardFailure, StartAt};
use crate::logging;
use ambit_schemas::{Shard, Timestamp, Topic};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a commit of positions to Kafka, or a question about them, may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever owns the durable state of shards. All are called while a change of assignment waits for them, on the
/// thread that polls; none may call back into the consumer.
pub trait ShardOwner: Send + Sync {
    /// A shard is ours from here on: where is it to be read from? May block, but not for longer than the group's
    /// patience (`max.poll.interval.ms`, five minutes).
    fn take(&self, shard: Shard) -> StartAt;

    /// Shards are about to belong to another member: what is buffered of them must be durable, or given up, before
    /// this returns.
    fn release(&self, shards: &[Shard]);

    /// Shards were given to another member while this process was not heard (it was paused, or its disk was): the other
    /// may have moved them on already. What is buffered of them is to be given up.
    fn lost(&self, shards: &[Shard]) {
        self.release(shards);
    }
}

pub(crate) struct Context {
    owner: Box<dyn ShardOwner>,
    changes: Mutex<Changes>,
}

/// What has changed since the last poll.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) assigned: Vec<Shard>,
    pub(crate) revoked: Vec<Shard>,
    pub(crate) failures: Vec<ShardFailure>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        logging::log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Lost connections come by themselves and go by themselves; what must be told surfaces in the lag and in poll.
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let shards = shards_of(list);
        let result = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.begin(consumer, list);
            if cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) }
        } else {
            if consumer.assignment_lost() {
                self.owner.lost(&shards);
            } else {
                self.owner.release(&shards);
            }
            self.changes().revoked.extend(&shards);
            if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        if let Err(error) = result {
            tracing::error!(%error, "a change of shards was not taken by the client");
        }
    }
}

impl Context {
    pub(crate) fn new(owner: Box<dyn ShardOwner>) -> Self {
        Self { owner, changes: Mutex::default() }
    }

    fn changes(&self) -> std::sync::MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_changes(&self) -> Changes {
        std::mem::take(&mut *self.changes())
    }

    /// Shards are ours from here on.
    pub(crate) fn begin(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        self.set_positions(consumer, list);
        // Before the first record can come: whoever polls learns of the assignment first.
        self.changes().assigned.extend(shards_of(list));
    }

    /// INVARIANT L-3: the start comes from whoever owns durable data, not from Kafka's committed offsets.
    fn set_positions(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        for shard in shards_of(list) {
            let offset = match self.owner.take(shard) {
                StartAt::Earliest => Offset::Beginning,
                StartAt::Time(time) => offset_at(consumer, shard, time),
                StartAt::Offset(offset) => {
                    let failure = out_of_range(consumer, shard, offset);
                    let start = failure.as_ref().and_then(|failure| failure.resumes_at).unwrap_or(offset);
                    self.changes().failures.extend(failure);
                    Offset::Offset(start.cast_signed())
                }
            };
            let set = list.set_partition_offset(shard.topic.name(), shard.partition.cast_signed(), offset);
            if let Err(error) = set {
                tracing::error!(%error, %shard, "the start of a shard could not be set");
            }
        }
    }
}

/// INVARIANT L-4: whether Kafka still has an offset is asked, because not every broker says so by itself.
fn out_of_range(consumer: &BaseConsumer<Context>, shard: Shard, offset: u64) -> Option<ShardFailure> {
    let asked = consumer.fetch_watermarks(shard.topic.name(), shard.partition.cast_signed(), ASK_TIMEOUT);
    let (low, high) = asked.ok()?;
    let wanted = offset.cast_signed();
    (wanted < low || wanted > high).then(|| ShardFailure {
        shard: Some(shard),
        kind: FailureKind::OutOfRange,
        resumes_at: (wanted < low).then(|| low.cast_unsigned()),
        detail: format!("offset {offset} is wanted, kafka has {low} to {high}"),
    })
}

/// Where a shard stood at a time; its beginning when Kafka does not say, so that nothing is passed over.
pub(crate) fn offset_at(consumer: &BaseConsumer<Context>, shard: Shard, time: Timestamp) -> Offset {
    let mut asked = TopicPartitionList::new();
    let partition = shard.partition.cast_signed();
    let since = Offset::Offset(time.micros().div_euclid(1_000).max(0));
    if asked.add_partition_offset(shard.topic.name(), partition, since).is_err() {
        return Offset::Beginning;
    }
    let found = consumer.offsets_for_times(asked, ASK_TIMEOUT);
    let found = found
        .ok()
        .and_then(|list| list.find_partition(shard.topic.name(), partition).map(|element| element.offset()));
    match found {
        Some(Offset::Offset(offset)) => Offset::Offset(offset),
        // Said as a number, so that what comes before the first fetch is not passed over.
        Some(Offset::End) => consumer
            .fetch_watermarks(shard.topic.name(), partition, ASK_TIMEOUT)
            .map_or(Offset::Beginning, |(_, high)| Offset::Offset(high)),
        _ => Offset::Beginning,
    }
}

pub(crate) fn shards_of(list: &TopicPartitionList) -> Vec<Shard> {
    list.elements().iter().filter_map(|element| shard(element.topic(), element.partition())).collect()
}

pub(crate) fn shard(topic: &str, partition: i32) -> Option<Shard> {
    Some(Shard::new(Topic::from_name(topic)?, partition.cast_unsigned()))
}
