//! The producer: idempotent, acknowledged by all replicas, bounded.

use crate::error::Error;
use crate::logging::Quiet;
use crate::options::KafkaOptions;
use ambit_schemas::limits::RECORD_BYTES_MAX;
use ambit_schemas::{Headers, Outgoing, Shard, Topic};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most records that wait for Kafka in one producer.
const QUEUE_RECORDS_MAX: &str = "100000";
/// Most bytes that wait for Kafka in one producer, in KiB.
const QUEUE_KIBIBYTES_MAX: &str = "131072";
/// How long a record may wait for Kafka before it counts as failed.
const DELIVERY_TIMEOUT_MS: &str = "60000";
/// How long to wait before a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// How long records may wait for company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linger {
    /// Not at all: a finding must reach enforcement at once.
    None,
    /// As long as librdkafka lets them by itself: what a host of agents does that nobody has tuned.
    Short,
    /// For more milliseconds: larger batches, more throughput.
    Throughput,
}

/// Where a record goes: without a partition, the key chooses it.
#[derive(Debug, Clone, Copy)]
struct Place {
    topic: Topic,
    partition: Option<i32>,
}

/// Sends records to Kafka. A cheap clone.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer<Quiet>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("in_flight", &self.inner.in_flight_count()).finish()
    }
}

impl Producer {
    /// A producer. Connects when it is first used.
    pub fn new(options: &KafkaOptions, client_id: &str, linger: Linger) -> Result<Self, Error> {
        let mut config = options.client(client_id)?;
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", (RECORD_BYTES_MAX + 2_048).to_string())
            .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX)
            .set("queue.buffering.max.kbytes", QUEUE_KIBIBYTES_MAX)
            .set(
                "linger.ms",
                match linger {
                    Linger::None => "0",
                    Linger::Short => "5",
                    Linger::Throughput => "10",
                },
            );
        Ok(Self { inner: config.create_with_context(Quiet::default()).map_err(Error::Client)? })
    }

    /// Sends a record and waits until Kafka has it: where it stands.
    pub async fn send(&self, outgoing: Outgoing) -> Result<(Shard, u64), Error> {
        self.send_raw(outgoing.topic, Some(&outgoing.key), &outgoing.headers, Some(&outgoing.value)).await
    }

    /// The same, into a partition of choice: for what every shard must know.
    pub async fn send_to(&self, partition: u32, outgoing: Outgoing) -> Result<(Shard, u64), Error> {
        let Outgoing { topic, key, headers, value } = outgoing;
        let place = Place { topic, partition: Some(i32::try_from(partition).unwrap_or(i32::MAX)) };
        self.send_placed(place, Some(&key), &headers, Some(&value)).await
    }

    /// Sends any bytes, also what is no event: for tests of what bad producers do.
    pub async fn send_raw(
        &self,
        topic: Topic,
        key: Option<&[u8]>,
        headers: &Headers,
        value: Option<&[u8]>,
    ) -> Result<(Shard, u64), Error> {
        self.send_placed(Place { topic, partition: None }, key, headers, value).await
    }

    async fn send_placed(
        &self,
        place: Place,
        key: Option<&[u8]>,
        headers: &Headers,
        value: Option<&[u8]>,
    ) -> Result<(Shard, u64), Error> {
        loop {
            match self.try_enqueue(place, key, headers, value)? {
                Some(pending) => return pending.await,
                None => tokio::time::sleep(QUEUE_PAUSE).await,
            }
        }
    }

    /// Hands a record over and returns at once; the result says when Kafka has it. Blocks for a moment when the queue
    /// is full: that is back-pressure, not an error.
    pub fn enqueue(&self, outgoing: Outgoing) -> Result<Pending, Error> {
        self.enqueue_placed(Place { topic: outgoing.topic, partition: None }, outgoing)
    }

    /// The same, into a partition of choice.
    pub fn enqueue_to(&self, partition: u32, outgoing: Outgoing) -> Result<Pending, Error> {
        let partition = Some(i32::try_from(partition).unwrap_or(i32::MAX));
        self.enqueue_placed(Place { topic: outgoing.topic, partition }, outgoing)
    }

    fn enqueue_placed(&self, place: Place, outgoing: Outgoing) -> Result<Pending, Error> {
        let Outgoing { topic: _, key, headers, value } = outgoing;
        loop {
            match self.try_enqueue(place, Some(&key), &headers, Some(&value))? {
                Some(pending) => return Ok(pending),
                None => std::thread::sleep(QUEUE_PAUSE),
            }
        }
    }

    fn try_enqueue(
        &self,
        Place { topic, partition }: Place,
        key: Option<&[u8]>,
        headers: &Headers,
        value: Option<&[u8]>,
    ) -> Result<Option<Pending>, Error> {
        let headers =
            headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (name, value)| {
                all.insert(Header { key: name, value: Some(value) })
            });
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic.name()).headers(headers);
        record.key = key;
        record.payload = value;
        record.partition = partition;
        match self.inner.send_result(record) {
            Ok(future) => Ok(Some(Pending { topic, future })),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(None),
            Err((cause, _)) => Err(Error::Produce { topic, cause }),
        }
    }

    /// Waits until everything handed over has reached Kafka or failed. Blocks.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        self.inner.flush(timeout).map_err(|cause| Error::Produce { topic: Topic::Events, cause })
    }
}

/// A record on its way. Dropping it does not stop the record.
pub struct Pending {
    topic: Topic,
    future: DeliveryFuture,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Future for Pending {
    type Output = Result<(Shard, u64), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let topic = self.topic;
        Pin::new(&mut self.future).poll(context).map(|result| match result {
            Ok(Ok(delivery)) => {
                let shard = Shard::new(topic, delivery.partition.cast_unsigned());
                Ok((shard, delivery.offset.cast_unsigned()))
            }
            Ok(Err((cause, _))) => Err(Error::Produce { topic, cause }),
            Err(_) => Err(Error::Abandoned { topic }),
        })
    }
}
