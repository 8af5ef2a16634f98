//! The consumer of shards. It blocks and lives on a thread of its own; records come in Kafka's order per shard, each
//! shard from where its owner says.

#![allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's error codes are an open list")]

use crate::assignment::{ASK_TIMEOUT, Context, ShardOwner, offset_at, shard};
use crate::error::Error;
use crate::logging::{Quiet, is_connection};
use crate::options::KafkaOptions;
use ambit_schemas::headers::Packed;
use ambit_schemas::{Record, Shard, Topic};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, Timestamp, TopicPartitionList};
use std::fmt;
use std::time::{Duration, Instant};

/// Pause between two tries to move within a shard.
const SEEK_PAUSE: Duration = Duration::from_millis(20);
/// How long a shard is read alone to learn what is wrong with it.
const EXAMINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that the headers of nearly every event fit into.
const HEADERS_ROOM: usize = 448;

/// What a consumer is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Large fetches: ingest.
    Throughput,
    /// Records as soon as they are there: judgement and consequence.
    Latency,
}

/// Where to read a shard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// From the earliest record that Kafka has.
    Earliest,
    /// From this offset. If Kafka no longer has it, the shard is read from the first that it has, and the batch says so
    /// before the first record ([`FailureKind::OutOfRange`]).
    Offset(u64),
    /// From the first record that Kafka had at this time or later: from the end, when it has none.
    Time(ambit_schemas::Timestamp),
}

/// Why a shard cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Kafka no longer has the wanted offset, or does not have it yet (INVARIANT L-4).
    OutOfRange,
    /// A batch does not agree with its checksum.
    Corrupt,
    /// Anything else; librdkafka tries again by itself.
    Other,
}

/// A shard that cannot be read.
#[derive(Debug, Clone)]
pub struct ShardFailure {
    /// The shard; absent when Kafka did not say which.
    pub shard: Option<Shard>,
    /// Why.
    pub kind: FailureKind,
    /// Where the shard is read on, when it is: the first offset that Kafka still has.
    pub resumes_at: Option<u64>,
    /// What Kafka said.
    pub detail: String,
}

/// What one poll gave.
#[derive(Debug, Default)]
pub struct Batch {
    /// Shards that are ours from here on.
    pub assigned: Vec<Shard>,
    /// Shards that are no longer ours, since [`ShardOwner::release`].
    pub revoked: Vec<Shard>,
    /// Records, in order within each shard.
    pub records: Vec<Record>,
    /// Shards that cannot be read.
    pub failures: Vec<ShardFailure>,
}

/// A member of a consumer group that reads shards.
pub struct ShardConsumer {
    inner: BaseConsumer<Context>,
}

impl fmt::Debug for ShardConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardConsumer").finish_non_exhaustive()
    }
}

impl ShardConsumer {
    /// Joins a group.
    pub fn subscribe(
        options: &KafkaOptions,
        group: &str,
        client_id: &str,
        topics: &[Topic],
        profile: Profile,
        owner: Box<dyn ShardOwner>,
    ) -> Result<Self, Error> {
        let mut config = options.member(group, client_id)?;
        config.set("fetch.error.backoff.ms", "100").set("enable.partition.eof", "false");
        tune(&mut config, profile);
        let context = Context::new(owner);
        let inner: BaseConsumer<Context> = config.create_with_context(context).map_err(Error::Client)?;
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        inner.subscribe(&names).map_err(Error::Consume)?;
        Ok(Self { inner })
    }

    /// Reads every shard of a topic, outside any group: whoever does so sees all that others wrote. Partitions that are
    /// added later are not seen.
    pub fn follow(
        options: &KafkaOptions,
        client_id: &str,
        topic: Topic,
        profile: Profile,
        owner: Box<dyn ShardOwner>,
    ) -> Result<Self, Error> {
        let mut config = options.member(client_id, client_id)?;
        config.set("fetch.error.backoff.ms", "100").set("enable.partition.eof", "false");
        tune(&mut config, profile);
        let inner: BaseConsumer<Context> =
            config.create_with_context(Context::new(owner)).map_err(Error::Client)?;
        let metadata = inner.fetch_metadata(Some(topic.name()), ASK_TIMEOUT).map_err(Error::Consume)?;
        let mut list = TopicPartitionList::new();
        for found in metadata.topics() {
            for partition in found.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
        if list.count() == 0 {
            let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
            return Err(Error::Consume(KafkaError::MetadataFetch(unknown)));
        }
        inner.context().begin(&inner, &mut list);
        inner.assign(&list).map_err(Error::Consume)?;
        Ok(Self { inner })
    }

    /// Waits up to `timeout` for the first record, then takes what is there, up to `max_records`.
    pub fn poll(&mut self, timeout: Duration, max_records: usize) -> Result<Batch, Error> {
        let mut batch = Batch::default();
        let mut wait = timeout;
        while batch.records.len() < max_records {
            let Some(polled) = self.inner.poll(wait) else { break };
            wait = Duration::ZERO;
            self.take_changes(&mut batch);
            match polled {
                Ok(message) => batch.records.extend(record_of(&message)),
                Err(error) if is_connection(&error) => tracing::debug!(%error, "kafka client"),
                Err(error) => batch.failures.push(failure_of(error)?),
            }
        }
        self.take_changes(&mut batch);
        Ok(batch)
    }

    /// Like [`Self::poll`], but counts records and drops them where librdkafka has them: the least that a consumer of
    /// this configuration can cost, for benchmarks. Returns records and the bytes of their keys and values.
    #[cfg(feature = "testing")]
    pub fn poll_and_drop(&mut self, timeout: Duration, max_records: usize) -> Result<(usize, usize), Error> {
        let (mut records, mut bytes, mut wait) = (0, 0, timeout);
        while records < max_records {
            let Some(polled) = self.inner.poll(wait) else { break };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    records += 1;
                    bytes += message.payload_len() + message.key_len();
                }
                Err(error) => drop(failure_of(error)?),
            }
        }
        Ok((records, bytes))
    }

    /// Moves changes of assignment into the batch. Records of shards that were taken away are dropped: they belong
    /// to another member now.
    fn take_changes(&self, batch: &mut Batch) {
        let changes = self.inner.context().take_changes();
        if !changes.revoked.is_empty() {
            batch.records.retain(|record| !changes.revoked.contains(&record.shard));
            batch.assigned.retain(|shard| !changes.revoked.contains(shard));
        }
        batch.failures.extend(changes.failures);
        batch.revoked.extend(changes.revoked);
        batch.assigned.extend(changes.assigned);
    }

    /// Tells Kafka how far a shard's data is durable, for lag monitors. Errors are of no consequence.
    pub fn commit_hint(&self, positions: &[(Shard, u64)]) {
        if positions.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (shard, next) in positions {
            let offset = Offset::Offset(next.cast_signed());
            if list.add_partition_offset(shard.topic.name(), shard.partition.cast_signed(), offset).is_err() {
                return;
            }
        }
        if let Err(error) = self.inner.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "positions were not noted in Kafka");
        }
    }

    /// Stops fetching shards while their owner cannot keep up.
    pub fn pause(&self, shards: &[Shard]) -> Result<(), Error> {
        self.inner.pause(&list_of(shards)).map_err(Error::Consume)
    }

    /// Fetches them again.
    pub fn resume(&self, shards: &[Shard]) -> Result<(), Error> {
        self.inner.resume(&list_of(shards)).map_err(Error::Consume)
    }

    /// Reads a shard again from another place.
    pub fn seek(&self, shard: Shard, start: StartAt) -> Result<(), Error> {
        let offset = match start {
            StartAt::Earliest => Offset::Beginning,
            StartAt::Offset(offset) => Offset::Offset(offset.cast_signed()),
            StartAt::Time(time) => offset_at(&self.inner, shard, time),
        };
        let deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            let sought =
                self.inner.seek(shard.topic.name(), shard.partition.cast_signed(), offset, ASK_TIMEOUT);
            match sought {
                // A shard that was assigned a moment ago is not being fetched yet.
                Err(KafkaError::Seek(_)) if Instant::now() < deadline => std::thread::sleep(SEEK_PAUSE),
                other => return other.map_err(Error::Consume),
            }
        }
    }

    /// The offset of the first record that Kafka had at a time or later; where the next will stand, when it has none.
    pub fn offset_at(&self, shard: Shard, time: ambit_schemas::Timestamp) -> Result<u64, Error> {
        match offset_at(&self.inner, shard, time) {
            Offset::Offset(offset) => Ok(offset.cast_unsigned()),
            _ => Ok(self.watermarks(shard)?.0),
        }
    }

    /// The first offset that Kafka has of a shard, and the first that it does not have yet.
    pub fn watermarks(&self, shard: Shard) -> Result<(u64, u64), Error> {
        let (low, high) = self
            .inner
            .fetch_watermarks(shard.topic.name(), shard.partition.cast_signed(), ASK_TIMEOUT)
            .map_err(Error::Consume)?;
        Ok((low.cast_unsigned(), high.cast_unsigned()))
    }
}

fn list_of(shards: &[Shard]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(shards.len());
    for shard in shards {
        list.add_partition(shard.topic.name(), shard.partition.cast_signed());
    }
    list
}

/// Reads a shard alone, outside the group, from an offset on: what is wrong with what stands there, if anything is. The
/// errors that a group's consumer gives do not say whose they are. Blocks for up to [`EXAMINE_TIMEOUT`].
pub fn examine(options: &KafkaOptions, shard: Shard, from: u64) -> Result<Option<FailureKind>, Error> {
    let mut config = options.client("ambit-examine")?;
    config
        .set("group.id", "ambit-examine")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer<Quiet> =
        config.create_with_context(Quiet::default()).map_err(Error::Client)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(
        shard.topic.name(),
        shard.partition.cast_signed(),
        Offset::Offset(from.cast_signed()),
    )
    .and_then(|()| consumer.assign(&list))
    .map_err(Error::Consume)?;
    let deadline = Instant::now() + EXAMINE_TIMEOUT;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        match consumer.poll(left) {
            Some(Ok(_)) => return Ok(None),
            Some(Err(error)) => {
                let kind = failure_of(error)?.kind;
                if kind != FailureKind::Other {
                    return Ok(Some(kind));
                }
            }
            None => break,
        }
    }
    Ok(None)
}

/// Settings of the two profiles.
fn tune(config: &mut ClientConfig, profile: Profile) {
    let settings: &[(&str, &str)] = match profile {
        Profile::Throughput => &[
            ("fetch.min.bytes", "65536"),
            ("fetch.wait.max.ms", "50"),
            ("fetch.message.max.bytes", "4194304"),
            ("fetch.max.bytes", "67108864"),
            ("queued.min.messages", "100000"),
            ("queued.max.messages.kbytes", "65536"),
            // The default of one second is a cliff in the tail as soon as the local queue is full.
            ("fetch.queue.backoff.ms", "20"),
        ],
        Profile::Latency => &[
            ("fetch.min.bytes", "1"),
            ("fetch.wait.max.ms", "10"),
            ("fetch.max.bytes", "67108864"),
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "65536"),
            ("fetch.queue.backoff.ms", "5"),
        ],
    };
    for (name, value) in settings {
        config.set(*name, *value);
    }
    // One record must fit into a fetch whatever the profile.
    config.set("receive.message.max.bytes", "134217728");
}

pub(crate) fn record_of(message: &BorrowedMessage<'_>) -> Option<Record> {
    let shard = shard(message.topic(), message.partition())?;
    let timestamp_us = match message.timestamp() {
        Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => {
            millis.max(0).saturating_mul(1_000)
        }
        Timestamp::NotAvailable => 0,
    };
    let headers = message.headers();
    let each = (0..headers.map_or(0, Headers::count)).map(|at| {
        headers
            .and_then(|headers| headers.try_get(at))
            .map_or(("", &b""[..]), |header| (header.key, header.value.unwrap_or_default()))
    });
    let (headers, key, value) = Packed::new(each, message.key(), message.payload(), HEADERS_ROOM).split();
    let offset = message.offset().cast_unsigned();
    Some(Record { shard, offset, timestamp_us, key, headers, value })
}

/// An error of one shard is for its owner to judge; an error of the client ends the loop.
pub(crate) fn failure_of(error: KafkaError) -> Result<ShardFailure, Error> {
    let code = match &error {
        KafkaError::MessageConsumption(code) | KafkaError::MessageConsumptionFatal(code) => *code,
        _ => return Err(Error::Consume(error)),
    };
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Err(Error::Consume(error));
    }
    let kind = match code {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => FailureKind::OutOfRange,
        RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage => FailureKind::Corrupt,
        _ => FailureKind::Other,
    };
    Ok(ShardFailure { shard: None, kind, resumes_at: None, detail: error.to_string() })
}
