//! Records of other systems from files into Kafka: resumable, and harmless to repeat.
//!
//! A thread reads, redacts and maps (that is what takes the time); here events go to Kafka, and what Kafka has is noted
//! in a state file. After a kill the import goes on from there: what was sent since the last note is sent again under
//! the same ids, and ingest marks it as duplicates.

mod reader;
mod state;
mod take;

pub use reader::{Input, inputs};
pub use state::State;
pub use take::Taker;

use ambit_bus::{Pending, Producer};
use ambit_schemas::Outgoing;
use ambit_schemas::id::TenantId;
use ambit_schemas::payload::Payload;
use ambit_schemas::redact::RedactionSecret;
use ambit_schemas::sources::{Class, Format};
use ambit_store::Payloads;
use anyhow::Context;
use indicatif::ProgressBar;
use std::collections::VecDeque;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Records between reader and producer. Each may be a mebibyte.
const QUEUE_RECORDS_MAX: usize = 64;
/// Most events on their way into Kafka.
const PENDING_MAX: usize = 4_000;
/// Records after which it is noted how far a file is.
const NOTE_EVERY: u64 = 100;

/// How files are read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The format of every record; without one, each is told by its fields.
    pub reads: Reads,
    /// Whose records they are.
    pub tenant: TenantId,
    /// Which of several installations of one system they are from.
    pub origin: Option<String>,
    /// What the keys of redaction are derived from.
    pub secret: RedactionSecret,
}

/// What a record is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// What its fields tell.
    Auto,
    /// A record of that format.
    Foreign(Format),
    /// A canonical event, as CloudEvents in JSON.
    CloudEvents,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files read.
    pub files: u64,
    /// Files that were imported before.
    pub files_done: u64,
    /// Records read and sent.
    pub records: u64,
    /// Records that an earlier run sent.
    pub records_done: u64,
    /// Events that Kafka has.
    pub events: u64,
    /// Records kept as they are for want of a kind.
    pub opaque: u64,
    /// Records kept as they are because something is wrong with them.
    pub dead: u64,
    /// Secrets taken out.
    pub redactions: u64,
    /// Contents that were too large for an event, and lie in the object store.
    pub payloads: u64,
}

/// What became of an import.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done.
    pub counts: Counts,
    /// Files that could not be read to their end, and why. What came before the fault was imported.
    pub failed: Vec<(PathBuf, anyhow::Error)>,
}

/// A record on its way to Kafka.
#[derive(Debug)]
pub struct Item {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its events.
    pub outgoing: Vec<Outgoing>,
    /// What became of it.
    pub class: Class,
    /// How many secrets were taken out.
    pub redacted: u64,
    /// What is too large for its events.
    pub payloads: Vec<Payload>,
}

impl Item {
    /// Makes what is too large for its events durable: before any of them is sent. INVARIANT L-3
    pub async fn put_payloads(&self, payloads: &Payloads) -> anyhow::Result<()> {
        for payload in &self.payloads {
            let put = payloads.put(&self.tenant, payload).await;
            put.context("content that is too large for an event cannot be kept in the object store")?;
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Message {
    /// A file with this digest begins; so many of its records were sent before.
    Begin {
        digest: String,
        skipped: u64,
    },
    Record(Item),
    End {
        path: PathBuf,
        fault: Option<anyhow::Error>,
    },
    /// The file was imported to its end before.
    Known,
    /// The file cannot be read at all.
    Unreadable {
        path: PathBuf,
        fault: anyhow::Error,
    },
}

/// Imports files. Notes in `state` what Kafka has; whoever calls saves it, whatever the outcome.
pub async fn run(
    inputs: Vec<Input>,
    options: Options,
    state: &mut State,
    (producer, payloads): (&Producer, &Payloads),
    bar: &ProgressBar,
) -> anyhow::Result<Outcome> {
    let (sender, mut messages) = mpsc::channel(QUEUE_RECORDS_MAX);
    let (done, reading) = (state.clone(), bar.clone());
    let mut reader = JoinSet::new();
    reader.spawn_blocking(move || reader::read_all(&inputs, &options, &done, &reading, &sender));
    let mut outcome = Outcome::default();
    let mut sending = Sending::default();
    while let Some(message) = messages.recv().await {
        match message {
            Message::Begin { digest, skipped } => {
                outcome.counts.files += 1;
                outcome.counts.records_done += skipped;
                sending = Sending {
                    digest,
                    sent: skipped,
                    delivered: skipped,
                    noted: skipped,
                    ..Sending::default()
                };
            }
            Message::Unreadable { path, fault } => {
                outcome.counts.files += 1;
                outcome.failed.push((path, fault));
            }
            Message::Known => outcome.counts.files_done += 1,
            Message::Record(item) => {
                let counts = &mut outcome.counts;
                counts.records += 1;
                counts.redactions += item.redacted;
                counts.events += item.outgoing.len() as u64;
                counts.opaque += u64::from(item.class == Class::Opaque);
                counts.dead += u64::from(item.class == Class::Dead);
                counts.payloads += item.payloads.len() as u64;
                item.put_payloads(payloads).await?;
                sending.send(item, producer)?;
                sending.settle(PENDING_MAX, state).await?;
            }
            Message::End { path, fault } => {
                sending.settle(0, state).await?;
                state.note(&sending.digest, sending.delivered, fault.is_none())?;
                outcome.failed.extend(fault.map(|fault| (path, fault)));
            }
        }
    }
    while let Some(ended) = reader.join_next().await {
        ended.context("the reader of the import failed")?;
    }
    Ok(outcome)
}

/// The records of one file that Kafka does not have yet.
#[derive(Debug, Default)]
struct Sending {
    digest: String,
    /// Records handed over.
    sent: u64,
    /// Records that Kafka has, and all before them.
    delivered: u64,
    noted: u64,
    events: usize,
    pending: VecDeque<(u64, Vec<Pending>)>,
}

impl Sending {
    fn send(&mut self, item: Item, producer: &Producer) -> anyhow::Result<()> {
        self.sent += 1;
        let deliveries: Result<Vec<Pending>, _> =
            item.outgoing.into_iter().map(|outgoing| producer.enqueue(outgoing)).collect();
        let deliveries = deliveries.context("a record cannot be sent to Kafka")?;
        self.events += deliveries.len();
        self.pending.push_back((self.sent, deliveries));
        Ok(())
    }

    /// Waits until at most so many events are on their way, and notes how far Kafka is.
    async fn settle(&mut self, most: usize, state: &mut State) -> anyhow::Result<()> {
        while self.events > most {
            let Some((record, deliveries)) = self.pending.pop_front() else { break };
            self.events -= deliveries.len();
            for delivery in deliveries {
                delivery
                    .await
                    .context("an event did not reach Kafka: is it running? Run the import again")?;
            }
            self.delivered = record;
            if self.delivered - self.noted >= NOTE_EVERY {
                state.note(&self.digest, self.delivered, false)?;
                self.noted = self.delivered;
            }
        }
        Ok(())
    }
}
