//! Topics of others. They are read as a member of a group whose positions Kafka keeps: here nothing else remembers how
//! far they were read. A position is committed only when whoever reads says so, after what was made of the records is
//! durable; what was read since is read again after a crash.

#![allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's error codes are an open list")]

use crate::error::Error;
use crate::logging::{self, is_connection};
use crate::options::KafkaOptions;
use bytes::Bytes;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a question about positions may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// A partition of a topic that is not Ambit's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
}

/// A record of a topic that is not Ambit's.
#[derive(Debug, Clone)]
pub struct ForeignRecord {
    /// Where it stands.
    pub place: Place,
    /// At which offset.
    pub offset: u64,
    /// What it says; absent in a deletion mark.
    pub value: Option<Bytes>,
}

/// Offsets that Kafka no longer had when they were to be read (INVARIANT L-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignGap {
    /// Where.
    pub place: Place,
    /// The first offset that was not read.
    pub from: u64,
    /// The first offset that is there again. Below `from` when the topic was made anew.
    pub to: u64,
}

/// What one poll gave.
#[derive(Debug, Default)]
pub struct ForeignBatch {
    /// Records, in order within each partition.
    pub records: Vec<ForeignRecord>,
    /// What was lost before it could be read.
    pub gaps: Vec<ForeignGap>,
    /// What Kafka refuses at the moment, for the log: a topic that is not there, a coordinator that moves.
    pub failures: Vec<String>,
}

#[derive(Default)]
struct Context {
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    revoked: Vec<Place>,
    gaps: Vec<ForeignGap>,
    /// An assignment that was not taken: without it partitions would lie unread.
    fatal: Option<KafkaError>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        logging::log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.starts(consumer, list) {
                Ok(starts) if cooperative => consumer.incremental_assign(&starts),
                Ok(starts) => consumer.assign(&starts),
                Err(error) => Err(error),
            }
        } else {
            self.changes().revoked.extend(places(list));
            if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        if let Err(error) = result {
            self.changes().fatal.get_or_insert(error);
        }
    }
}

impl Context {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where each partition is read from: the committed position, the beginning where there is none, and the beginning,
    /// noted as a gap, where Kafka has deleted that position.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut starts = TopicPartitionList::with_capacity(list.count());
        let committed = consumer.committed_offsets(list.clone(), ASK_TIMEOUT)?;
        for element in committed.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let start = match element.offset() {
                Offset::Offset(next) => {
                    let (low, high) = consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT)?;
                    if (low..=high).contains(&next) {
                        Offset::Offset(next)
                    } else {
                        let place = Place { topic: topic.to_owned(), partition: partition.cast_unsigned() };
                        let (from, to) = (next.cast_unsigned(), low.cast_unsigned());
                        self.changes().gaps.push(ForeignGap { place, from, to });
                        Offset::Offset(low)
                    }
                }
                _ => Offset::Beginning,
            };
            starts.add_partition_offset(topic, partition, start)?;
        }
        Ok(starts)
    }
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    let place =
        |topic: &str, partition: i32| Place { topic: topic.to_owned(), partition: partition.cast_unsigned() };
    list.elements().iter().map(|element| place(element.topic(), element.partition())).collect()
}

/// A member of a group that reads topics of others.
pub struct ForeignConsumer {
    inner: BaseConsumer<Context>,
}

impl fmt::Debug for ForeignConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignConsumer").finish_non_exhaustive()
    }
}

impl ForeignConsumer {
    /// Joins a group.
    pub fn subscribe(
        options: &KafkaOptions,
        group: &str,
        client_id: &str,
        topics: &[&str],
    ) -> Result<Self, Error> {
        let mut config = options.member(group, client_id)?;
        config
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "65536")
            .set("receive.message.max.bytes", "134217728")
            // A topic that is made later is found within this time.
            .set("topic.metadata.refresh.interval.ms", "10000");
        let inner: BaseConsumer<Context> =
            config.create_with_context(Context::default()).map_err(Error::Client)?;
        inner.subscribe(topics).map_err(Error::Consume)?;
        Ok(Self { inner })
    }

    /// Waits up to `timeout` for the first record, then takes what is there, up to `max_records`. Fails when Kafka
    /// deleted what was to be read next, or partitions could not be taken over: a new member begins anew, and notes the
    /// gap.
    pub fn poll(&mut self, timeout: Duration, max_records: usize) -> Result<ForeignBatch, Error> {
        let mut batch = ForeignBatch::default();
        let mut wait = timeout;
        while batch.records.len() < max_records {
            let Some(polled) = self.inner.poll(wait) else { break };
            wait = Duration::ZERO;
            self.take_changes(&mut batch)?;
            match polled {
                Ok(message) => batch.records.push(ForeignRecord {
                    place: Place {
                        topic: message.topic().to_owned(),
                        partition: message.partition().cast_unsigned(),
                    },
                    offset: message.offset().cast_unsigned(),
                    value: message.payload().map(Bytes::copy_from_slice),
                }),
                Err(error) if is_connection(&error) => tracing::debug!(%error, "kafka client"),
                Err(error) => batch.failures.push(passing(error)?),
            }
        }
        self.take_changes(&mut batch)?;
        Ok(batch)
    }

    fn take_changes(&self, batch: &mut ForeignBatch) -> Result<(), Error> {
        let changes = std::mem::take(&mut *self.inner.context().changes());
        batch.records.retain(|record| !changes.revoked.contains(&record.place));
        batch.gaps.extend(changes.gaps);
        changes.fatal.map_or(Ok(()), |error| Err(Error::Consume(error)))
    }

    /// Notes in Kafka how far partitions were read. Fails when they belong to another member by now.
    pub fn commit<'a>(&self, positions: impl IntoIterator<Item = (&'a Place, u64)>) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for (place, next) in positions {
            let offset = Offset::Offset(next.cast_signed());
            list.add_partition_offset(&place.topic, place.partition.cast_signed(), offset)
                .map_err(Error::Consume)?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.inner.commit(&list, CommitMode::Sync).map_err(Error::Consume)
    }
}

/// What passes by itself, as text; what does not ends the reading.
fn passing(error: KafkaError) -> Result<String, Error> {
    match &error {
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::InvalidMessage,
        ) => Err(Error::Consume(error)),
        KafkaError::MessageConsumption(code) => Ok(code.to_string()),
        _ => Err(Error::Consume(error)),
    }
}
