//! Topics of other systems into the topic of events: parsed, redacted, keyed by root task.
//!
//! The position in a topic is committed only after Kafka has every event made of what stands before it (INVARIANT L-3),
//! and at least once per some thousand events. After a crash the rest is read and sent again under the same ids, which
//! ingest marks as duplicates and the analyzer judges once: nothing is lost, nothing counts twice.

use crate::config::SourceTopic;
use crate::import::{Item, Taker};
use crate::simulate::now;
use ambit_bus::{ForeignConsumer, ForeignGap, ForeignRecord, KafkaOptions, Pending, Place, Producer};
use ambit_schemas::encode;
use ambit_schemas::event::{Body, Notice};
use ambit_schemas::limits::RECORD_BYTES_MAX;
use ambit_schemas::notice::notice;
use ambit_schemas::redact::RedactionSecret;
use ambit_schemas::sources::{Class, Context as Source, ProtobufError, from_protobuf};
use ambit_store::Payloads;
use anyhow::Context;
use flate2::read::MultiGzDecoder;
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The consumer group.
const GROUP: &str = "ambit-sources";
/// Most records taken at once. Each may have sixteen mebibytes, and thousands of spans.
const RECORDS_MAX: usize = 256;
/// How long one poll waits for the first record.
const POLL: Duration = Duration::from_millis(200);
/// Events after which the position is committed: a fourth of what ingest remembers of a shard to tell duplicates.
const EVENTS_UNCOMMITTED_MAX: usize = 5_000;
/// How gzip begins (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What was done, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read.
    pub records: AtomicU64,
    /// Events made of them that Kafka has.
    pub events: AtomicU64,
    /// Records kept as they are for want of a kind.
    pub opaque: AtomicU64,
    /// Records kept as they are because something is wrong with them.
    pub faulty: AtomicU64,
    /// Offsets that were deleted before they were read.
    pub lost: AtomicU64,
}

/// What the loop needs. A cheap clone.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Kafka.
    pub kafka: KafkaOptions,
    /// How events reach Kafka.
    pub producer: Producer,
    /// Where content goes that is too large for an event.
    pub payloads: Payloads,
    /// What the keys of redaction are derived from.
    pub redaction: RedactionSecret,
    /// What is read.
    pub topics: Vec<SourceTopic>,
    /// What was done.
    pub counters: Arc<Counters>,
}

/// One topic, made ready.
struct Reader {
    topic: SourceTopic,
    taker: Taker,
    source: Source,
}

/// What is on its way to Kafka since the last commit.
#[derive(Default)]
struct UnderWay {
    pending: VecDeque<Pending>,
    /// The first offset of each partition of which nothing is on its way.
    positions: HashMap<Place, u64>,
}

impl Topics {
    /// The loop; blocks. Ends with an error when an event cannot be made durable or a position not be committed: the
    /// next start reads again from what was committed.
    pub fn run(self, runtime: &Handle, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut readers = HashMap::new();
        for topic in &self.topics {
            let tenant = topic.tenant()?;
            let taker = Taker::new(topic.reads(), self.redaction.clone(), &tenant);
            let source = Source { tenant, origin: topic.origin.clone(), received: now() };
            readers.insert(topic.name.clone(), Reader { topic: topic.clone(), taker, source });
        }
        let names: Vec<&str> = self.topics.iter().map(|topic| topic.name.as_str()).collect();
        let mut consumer = ForeignConsumer::subscribe(&self.kafka, GROUP, "ambit-sources", &names)
            .context("the topics of other systems cannot be subscribed to")?;
        let mut under_way = UnderWay::default();
        while !shutdown.is_cancelled() {
            let batch =
                consumer.poll(POLL, RECORDS_MAX).context("the topics of other systems cannot be read")?;
            for failure in &batch.failures {
                tracing::warn!(failure, "a topic of another system cannot be read at the moment");
            }
            for gap in &batch.gaps {
                self.tell_gap(gap, &readers, &mut under_way)?;
            }
            for record in &batch.records {
                let Some(reader) = readers.get_mut(&record.place.topic) else { continue };
                self.take(record, reader, &mut under_way, runtime)?;
                if under_way.pending.len() >= EVENTS_UNCOMMITTED_MAX {
                    self.settle(&mut under_way, &consumer, runtime)?;
                }
            }
            self.settle(&mut under_way, &consumer, runtime)?;
        }
        Ok(())
    }

    fn take(
        &self,
        record: &ForeignRecord,
        reader: &mut Reader,
        under_way: &mut UnderWay,
        runtime: &Handle,
    ) -> anyhow::Result<()> {
        reader.source.received = now();
        // A deletion mark says nothing.
        if let Some(value) = record.value.as_deref() {
            for item in reader.items(value) {
                self.count(&item);
                runtime.block_on(item.put_payloads(&self.payloads))?;
                for outgoing in item.outgoing {
                    let pending = self.producer.enqueue(outgoing);
                    under_way.pending.push_back(pending.context("an event cannot be sent to Kafka")?);
                }
            }
        }
        self.counters.records.fetch_add(1, Ordering::Relaxed);
        under_way.positions.insert(record.place.clone(), record.offset + 1);
        Ok(())
    }

    fn count(&self, item: &Item) {
        match item.class {
            Class::Mapped => {}
            Class::Opaque => drop(self.counters.opaque.fetch_add(1, Ordering::Relaxed)),
            Class::Dead => drop(self.counters.faulty.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Waits until Kafka has everything, then commits how far that is. INVARIANT L-3
    fn settle(
        &self,
        under_way: &mut UnderWay,
        consumer: &ForeignConsumer,
        runtime: &Handle,
    ) -> anyhow::Result<()> {
        while let Some(pending) = under_way.pending.pop_front() {
            runtime.block_on(pending).context("an event of another system did not reach Kafka")?;
            self.counters.events.fetch_add(1, Ordering::Relaxed);
        }
        let positions = under_way.positions.iter().map(|(place, next)| (place, *next));
        consumer.commit(positions).context("how far topics were read cannot be noted in Kafka")?;
        under_way.positions.clear();
        Ok(())
    }

    /// INVARIANT L-4: what was deleted before it was read is an event.
    fn tell_gap(
        &self,
        gap: &ForeignGap,
        readers: &HashMap<String, Reader>,
        under_way: &mut UnderWay,
    ) -> anyhow::Result<()> {
        let ForeignGap { place: Place { topic, partition }, from, to } = gap;
        tracing::error!(
            topic,
            partition,
            from,
            to,
            "records of another system were deleted before they were read"
        );
        self.counters.lost.fetch_add(to.saturating_sub(*from), Ordering::Relaxed);
        let Some(reader) = readers.get(topic) else { return Ok(()) };
        let text = if to >= from {
            format!("offsets {from} to {to} of {topic}/{partition} were deleted before they were read")
        } else {
            format!("{topic}/{partition} was made anew: {from} was to be read next, it begins with {to}")
        };
        let body = Body::GapDetected(Notice {
            from_offset: Some(*from),
            to_offset: Some(*to),
            missing: Some(to.saturating_sub(*from)),
            text,
            ..Notice::default()
        });
        let id = format!("gap-{topic}-{partition}-{from}-{to}");
        let mut event = notice("ambit/sources", &id, now(), body)?;
        event.tenant = reader.source.tenant.clone();
        let outgoing = encode(&event).context("the notice of a gap")?;
        let pending =
            self.producer.enqueue(outgoing).context("the notice of a gap cannot be sent to Kafka")?;
        under_way.pending.push_back(pending);
        // So that the same gap is not found again at the next start.
        under_way.positions.insert(gap.place.clone(), *to);
        Ok(())
    }
}

impl Reader {
    /// The records of a value: never none, for what cannot be read is kept too.
    fn items<'a>(&'a self, value: &[u8]) -> Box<dyn Iterator<Item = Item> + 'a> {
        let one = |item| Box::new(std::iter::once(item)) as Box<dyn Iterator<Item = Item>>;
        let unpacked;
        let plain = if value.starts_with(&GZIP) {
            match unpack(value) {
                Ok(plain) => {
                    unpacked = plain;
                    &unpacked
                }
                Err(reason) => return one(self.taker.text(value, reason, &self.source)),
            }
        } else {
            value
        };
        if let Some(signal) = self.topic.protobuf() {
            return match from_protobuf(plain, signal) {
                Ok(request) => self.taker.document(request, &self.source),
                Err(ProtobufError::TooMany) => one(self.taker.text(plain, "too_many", &self.source)),
                Err(_) => one(self.taker.text(plain, "not_protobuf", &self.source)),
            };
        }
        match serde_json::from_slice(plain) {
            Ok(document) => self.taker.document(document, &self.source),
            Err(_) => one(self.taker.text(plain, "not_json", &self.source)),
        }
    }
}

/// Decompresses at most as much as a record may have.
fn unpack(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(value).take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
    match read {
        Ok(_) if plain.len() <= RECORD_BYTES_MAX => Ok(plain),
        Ok(_) => Err("too_large"),
        Err(_) => Err("not_gzip"),
    }
}
