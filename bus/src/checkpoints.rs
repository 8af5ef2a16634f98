//! The topic of signed checkpoints: a second memory of how far every ledger was signed. It is no shard: nothing in it is
//! stored or judged. The key is the ledger's origin, the value the signed note, and the topic is compacted, so that the
//! newest of each origin is there for good.

#![allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's error codes are an open list")]

use crate::error::Error;
use crate::logging::Quiet;
use crate::options::KafkaOptions;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The topic's name.
pub const CHECKPOINT_TOPIC: &str = "ambit.checkpoints";
/// It has one partition: a few records a second.
const PARTITION: i32 = 0;
/// How long the brokers may take to create it.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Records of one step backwards while the newest of each origin are looked for.
const STEP: i64 = 20_000;
/// Records that are read at most: a day of checkpoints of a hundred shards. What is older counts as not there.
const READ_MAX: i64 = 10_000_000;

/// Creates the topic when it is absent. The embedded broker does not compact: there it keeps all.
pub(crate) async fn ensure(admin: &AdminClient<Quiet>, options: &KafkaOptions) -> Result<(), Error> {
    let replication = i32::try_from(options.replication).unwrap_or(i32::MAX);
    let plain = || NewTopic::new(CHECKPOINT_TOPIC, 1, TopicReplication::Fixed(replication));
    let compacted = plain().set("cleanup.policy", "compact").set("segment.bytes", "67108864");
    match create(admin, &compacted).await? {
        Err(RDKafkaErrorCode::InvalidConfig) => {
            let kept = plain().set("cleanup.policy", "delete");
            create(admin, &kept).await?.map_err(failed_to_create)
        }
        created => created.map_err(failed_to_create),
    }
}

async fn create(
    admin: &AdminClient<Quiet>,
    topic: &NewTopic<'_>,
) -> Result<Result<(), RDKafkaErrorCode>, Error> {
    let ask = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)).request_timeout(Some(ASK_TIMEOUT));
    let results = admin.create_topics([topic], &ask).await.map_err(checkpoints("create the topic of"))?;
    Ok(match results.into_iter().next() {
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => Ok(()),
        Some(Err((_, code))) => Err(code),
    })
}

fn failed_to_create(code: RDKafkaErrorCode) -> Error {
    checkpoints("create the topic of")(rdkafka::error::KafkaError::AdminOp(code))
}

fn checkpoints(doing: &'static str) -> impl Fn(rdkafka::error::KafkaError) -> Error {
    move |cause| Error::Checkpoints { doing, cause }
}

/// Sends checkpoints. A cheap clone.
#[derive(Clone)]
pub struct CheckpointSender {
    inner: FutureProducer<Quiet>,
}

impl std::fmt::Debug for CheckpointSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointSender").finish_non_exhaustive()
    }
}

impl CheckpointSender {
    /// A sender. Connects when it is first used.
    pub fn new(options: &KafkaOptions) -> Result<Self, Error> {
        let mut config = options.client("ambit-checkpoints")?;
        config.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "30000");
        Ok(Self { inner: config.create_with_context(Quiet::default()).map_err(Error::Client)? })
    }

    /// Sends one and waits until Kafka has it.
    pub async fn send(&self, origin: &str, note: &str) -> Result<(), Error> {
        let record = FutureRecord::to(CHECKPOINT_TOPIC).partition(PARTITION).key(origin).payload(note);
        let sent = self.inner.send(record, ASK_TIMEOUT).await;
        sent.map(drop).map_err(|(cause, _)| checkpoints("send")(cause))
    }
}

/// A checkpoint as Kafka has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCheckpoint {
    /// The signed note. Nobody has checked it yet.
    pub note: Vec<u8>,
    /// The record's time, in seconds since 1970.
    pub at: u64,
}

/// The newest checkpoint of each of these origins, as far as Kafka has one. Blocks, at most for about `patience`.
pub fn newest_checkpoints(
    options: &KafkaOptions,
    origins: &[String],
    patience: Duration,
) -> Result<HashMap<String, SentCheckpoint>, Error> {
    let deadline = Instant::now() + patience;
    let mut config = options.client("ambit-checkpoints")?;
    config.set("group.id", "ambit-checkpoints").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("check.crcs", "true");
    let consumer: BaseConsumer<Quiet> =
        config.create_with_context(Quiet::default()).map_err(Error::Client)?;
    let (low, high) = match consumer.fetch_watermarks(CHECKPOINT_TOPIC, PARTITION, patience) {
        Ok(found) => found,
        Err(cause) if is_absent(&cause) => return Ok(HashMap::new()),
        Err(cause) => return Err(checkpoints("read")(cause)),
    };
    let mut wanted: HashSet<&str> = origins.iter().map(String::as_str).collect();
    let (mut newest, mut end) = (HashMap::new(), high);
    while end > low && high - end < READ_MAX && !wanted.is_empty() {
        let start = low.max(end - STEP);
        for (origin, sent) in read(&consumer, start, end, deadline)? {
            if wanted.remove(origin.as_str()) {
                newest.insert(origin, sent);
            }
        }
        end = start;
    }
    Ok(newest)
}

fn is_absent(cause: &rdkafka::error::KafkaError) -> bool {
    let code = cause.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
        )
    )
}

/// The last record of each key from `start` to before `end`.
fn read(
    consumer: &BaseConsumer<Quiet>,
    start: i64,
    end: i64,
    deadline: Instant,
) -> Result<HashMap<String, SentCheckpoint>, Error> {
    let mut place = TopicPartitionList::new();
    place
        .add_partition_offset(CHECKPOINT_TOPIC, PARTITION, Offset::Offset(start))
        .map_err(checkpoints("read"))?;
    consumer.assign(&place).map_err(checkpoints("read"))?;
    let mut last = HashMap::new();
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) if message.offset() < end => {
                let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
                if let (Some(key), Some(note)) = (key, message.payload()) {
                    let at =
                        message.timestamp().to_millis().unwrap_or_default().max(0).unsigned_abs() / 1_000;
                    last.insert(key.to_owned(), SentCheckpoint { note: note.to_vec(), at });
                }
                if message.offset() + 1 >= end {
                    return Ok(last);
                }
            }
            // Compaction may have taken the last ones before the end.
            Some(Ok(_) | Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(last),
            Some(Err(cause)) if Instant::now() > deadline => return Err(checkpoints("read")(cause)),
            None if Instant::now() > deadline => {
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(checkpoints("read")(rdkafka::error::KafkaError::MessageConsumption(code)));
            }
            Some(Err(_)) | None => {}
        }
    }
}
