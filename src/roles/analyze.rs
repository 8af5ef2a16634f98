//! The analyzer's loop: the only place where judgement meets Kafka.
//!
//! One state per shard. It starts from the shard's snapshot, or, when there is none, from the stored events; it then
//! reads on from Kafka. Findings are a function of the events, so reading some of them twice after a crash gives the
//! same findings with the same ids (INVARIANT A-1). A snapshot is written only once all findings of the events it
//! covers are durable in Kafka, so none can be lost.

pub(crate) mod intake;
mod recover;
mod rules;

use self::intake::Intake;
use self::recover::Alarms;
use self::rules::Activations;
use crate::roles::snapshots::{SnapshotWriter, Snapshots, settle};
use crate::rules::{Folder, Watch};
use ambit_analytics::{Analyzer, Coverage, Options, Prepared, finding_event};
use ambit_bus::{Pending, Producer, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_schemas::{Record, Shard, Timestamp, Topic, encode};
use ambit_store::Store;
use anyhow::Context;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The consumer group.
const GROUP: &str = "ambit-analyze";
/// Most records taken from Kafka at once.
const RECORDS_MAX: usize = 4_096;
/// How long one poll waits for the first record.
const POLL: Duration = Duration::from_millis(100);
/// Most findings on their way into Kafka; above it the loop waits for them.
const PENDING_MAX: usize = 10_000;

/// What the analyzer has done, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events judged.
    pub events: AtomicU64,
    /// Records that are not events.
    pub skipped: AtomicU64,
    /// Findings given.
    pub findings: AtomicU64,
    /// Sets of the customer's rules that were written into shards.
    pub rule_sets: AtomicU64,
    /// Snapshots written.
    pub snapshots: AtomicU64,
    /// Events that were not judged, because neither Kafka nor the store has them.
    pub unjudged: AtomicU64,
    /// What each shard's state has judged and passed over, as of the last batch.
    pub coverage: Mutex<BTreeMap<Shard, Coverage>>,
    /// What people should know.
    pub alarms: Alarms,
}

impl Counters {
    fn cover(&self, states: &HashMap<Shard, Analyzer>) {
        let mut coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        coverage.extend(states.iter().map(|(shard, state)| (*shard, state.coverage())));
    }

    /// What was judged and what was not, over all shards that this process had.
    pub fn covered(&self) -> BTreeMap<&'static str, u64> {
        let coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = BTreeMap::new();
        for (what, count) in coverage.values().flat_map(Coverage::parts) {
            *sums.entry(what).or_default() += count;
        }
        sums
    }
}

/// What the loop needs. A cheap clone.
#[derive(Debug, Clone)]
pub struct Analyze {
    /// Kafka.
    pub kafka: ambit_bus::KafkaOptions,
    /// How findings reach Kafka.
    pub producer: Producer,
    /// For rebuilding a state without a snapshot.
    pub store: Store,
    /// The analyzer's options.
    pub options: Arc<Options>,
    /// Where snapshots are.
    pub snapshots: Snapshots,
    /// How often they are written.
    pub snapshot_every: Duration,
    /// What was done.
    pub counters: Arc<Counters>,
    /// The customer's rules.
    pub rules: Folder,
    /// The machine's clock, for notices. Judgement has none (INVARIANT A-2).
    pub clock: fn() -> Timestamp,
}

/// States and the findings that are on their way, shared with the consumer's callbacks.
#[derive(Debug)]
struct Work {
    states: HashMap<Shard, Analyzer>,
    pending: VecDeque<Pending>,
    writer: SnapshotWriter,
    activations: Activations,
}

impl Work {
    /// Has the state of a shard written, once all findings so far are durable. Returns the offset after the last event
    /// it covers, if there is anything new.
    fn save(&mut self, shard: Shard) -> anyhow::Result<Option<u64>> {
        let Some(analyzer) = self.states.get(&shard) else { return Ok(None) };
        let is_new = self.writer.save(analyzer, &mut self.pending)?;
        Ok(is_new.then(|| analyzer.next_offset()))
    }

    /// The states of some shards are written when this returns.
    fn save_all(&mut self, shards: &[Shard]) -> anyhow::Result<()> {
        for shard in shards {
            self.save(*shard)?;
        }
        self.writer.flush()
    }
}

#[derive(Clone)]
struct Owner {
    analyze: Analyze,
    runtime: Handle,
    work: Arc<Mutex<Work>>,
}

impl Analyze {
    /// The loop; blocks. Ends with an error when a finding cannot be made durable: the next start reads the events
    /// again.
    pub fn run(self, runtime: &Handle, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let snapshot_every = self.snapshot_every;
        let kafka = self.kafka.clone();
        let counters = Arc::clone(&self.counters);
        let written = move || {
            counters.snapshots.fetch_add(1, Ordering::Relaxed);
        };
        let writer = SnapshotWriter::start(self.snapshots.clone(), runtime, written)?;
        let watch = Watch::start(self.rules.clone())?;
        let activations = Activations::default();
        let work = Work { states: HashMap::new(), pending: VecDeque::new(), writer, activations };
        let owner = Owner { analyze: self, runtime: runtime.clone(), work: Arc::new(Mutex::new(work)) };
        let mut consumer = ShardConsumer::subscribe(
            &kafka,
            GROUP,
            "ambit-analyze",
            &[Topic::Events],
            Profile::Latency,
            Box::new(owner.clone()),
        )
        .context("the analyzer cannot subscribe to events")?;
        let mut intake = Intake::new(&owner.analyze.options);
        let (mut last_snapshot, mut due) = (Instant::now(), Vec::new());
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, RECORDS_MAX).context("the analyzer cannot read events")?;
            owner.heed(&consumer, &batch.failures)?;
            let prepared = intake.prepare(&batch.records);
            let mut work = owner.work();
            owner.analyze.activate(&watch, &mut work)?;
            for (record, prepared) in batch.records.iter().zip(&prepared) {
                if work.states.get(&record.shard).is_some_and(|state| record.offset > state.next_offset()) {
                    owner.recover(&consumer, record.shard, &mut work)?;
                }
                owner.analyze.judge(record, prepared.as_ref(), &mut work)?;
            }
            owner.analyze.counters.cover(&work.states);
            if work.pending.len() > PENDING_MAX {
                settle(runtime, std::mem::take(&mut work.pending))?;
            }
            if last_snapshot.elapsed() >= snapshot_every && due.is_empty() {
                due.extend(work.states.keys().copied());
                last_snapshot = Instant::now();
            }
            // One at a time: what comes in meanwhile waits for one state to be copied, not for all.
            if let Some(shard) = due.pop()
                && let Some(next) = work.save(shard)?
            {
                drop(work);
                consumer.commit_hint(&[(shard, next)]);
            }
        }
        let mut work = owner.work();
        let shards: Vec<Shard> = work.states.keys().copied().collect();
        work.save_all(&shards)
    }

    fn judge(&self, record: &Record, prepared: Option<&Prepared<'_>>, work: &mut Work) -> anyhow::Result<()> {
        let Some(analyzer) = work.states.get_mut(&record.shard) else { return Ok(()) };
        if record.offset < analyzer.next_offset() {
            return Ok(());
        }
        self.observe(analyzer, record.offset, prepared, &mut work.pending)
    }

    fn observe(
        &self,
        analyzer: &mut Analyzer,
        offset: u64,
        prepared: Option<&Prepared<'_>>,
        pending: &mut VecDeque<Pending>,
    ) -> anyhow::Result<()> {
        let Some(prepared) = prepared else {
            // Ingest keeps it as a dead letter, by the same predicate.
            analyzer.skip(offset);
            self.counters.skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let findings = analyzer.judge(prepared);
        self.counters.events.fetch_add(1, Ordering::Relaxed);
        for finding in findings {
            let outgoing = encode(&finding_event(&finding)).context("a finding cannot be written")?;
            pending.push_back(self.producer.enqueue(outgoing).context("a finding cannot be sent to Kafka")?);
            self.counters.findings.fetch_add(1, Ordering::Relaxed);
            tracing::info!(finding = %finding.id, rule = %finding.rule.id, severity = finding.severity.name(), "finding");
        }
        Ok(())
    }
}

impl Owner {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state after all stored events of a shard (INVARIANT Q-2). Their findings are given again, with the same
    /// ids: whoever has them already drops them.
    fn rebuild(&self, shard: Shard, pending: &mut VecDeque<Pending>) -> Analyzer {
        let mut analyzer = Analyzer::new(shard, Arc::clone(&self.analyze.options));
        let replayed = self.replay(&mut analyzer, 0, pending);
        if let Err(error) = replayed {
            tracing::warn!(%shard, "the state is not rebuilt from the store, but from Kafka: {error:#}");
            self.analyze.counters.alarms.raise(
                shard,
                format!(
                    "{shard} is judged afresh from what Kafka has, the store could not be read: {error:#}"
                ),
            );
            return Analyzer::new(shard, Arc::clone(&self.analyze.options));
        }
        analyzer
    }
}

impl ShardOwner for Owner {
    fn take(&self, shard: Shard) -> StartAt {
        let mut work = self.work();
        let analyzer = match self.analyze.snapshots.load(shard, &self.analyze.options) {
            Ok(Some(analyzer)) => analyzer,
            Ok(None) => self.rebuild(shard, &mut work.pending),
            Err(error) => {
                tracing::warn!(%shard, "the snapshot cannot be used, the state is rebuilt: {error:#}");
                self.rebuild(shard, &mut work.pending)
            }
        };
        let next = analyzer.next_offset();
        tracing::info!(%shard, offset = next, "judging from here");
        work.states.insert(shard, analyzer);
        work.activations.forget(&[shard]);
        if next == 0 { StartAt::Earliest } else { StartAt::Offset(next) }
    }

    fn release(&self, shards: &[Shard]) {
        let mut work = self.work();
        if let Err(error) = work.save_all(shards) {
            // The next owner judges the events again, with the same findings.
            tracing::warn!(
                "snapshots were not written before their shards went to another member: {error:#}"
            );
        }
        work.states.retain(|shard, _| !shards.contains(shard));
        self.analyze.counters.alarms.let_go(shards);
    }
}
