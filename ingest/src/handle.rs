//! What ingest tells others: counters for metrics, a sentence for people.

use ambit_schemas::measure::{Histogram, Taken};
use ambit_schemas::{MalformedReason, Shard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the loss of records in Kafka is an alarm. The notice of it is stored for ever.
const GAP_ALARM: Duration = Duration::from_hours(1);

/// A cheap clone; survives restarts of the service.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    events: AtomicU64,
    duplicates: AtomicU64,
    offset_gaps: AtomicU64,
    sequence_gaps: AtomicU64,
    clock_skews: AtomicU64,
    fenced: AtomicU64,
    full: AtomicBool,
    lost_assignments: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
    last_commit_us: AtomicU64,
    commit_times: Histogram,
    checkpoints: AtomicU64,
    scrubbed_rows: AtomicU64,
    scrubs: AtomicU64,
    integrity_faults: AtomicU64,
    integrity: Mutex<Option<String>>,
    dead_letters: Mutex<BTreeMap<&'static str, u64>>,
    positions: Mutex<BTreeMap<Shard, u64>>,
    trouble: Mutex<Option<String>>,
    gaps: Mutex<BTreeMap<Shard, (Instant, String)>>,
    halted: Mutex<BTreeMap<Shard, String>>,
}

/// How ingest is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Good,
    /// It waits for something, and goes on by itself; the sentence says for what.
    Degraded(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    pub(crate) fn event(&self, bytes: usize) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn dead_letter(&self, reason: MalformedReason) {
        *lock(&self.0.dead_letters).entry(reason.code()).or_default() += 1;
    }

    pub(crate) fn duplicate(&self) {
        self.0.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn gap(&self, offsets: u64) {
        self.0.offset_gaps.fetch_add(offsets, Ordering::Relaxed);
    }

    /// Records that Kafka lost before they were stored: an alarm for a while.
    pub(crate) fn lost_in_kafka(&self, shard: Shard, sentence: String) {
        lock(&self.0.gaps).insert(shard, (Instant::now(), sentence));
    }

    pub(crate) fn sequence_gap(&self) {
        self.0.sequence_gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn clock_skew(&self) {
        self.0.clock_skews.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fenced(&self) {
        self.0.fenced.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn assignment_lost(&self) {
        self.0.lost_assignments.fetch_add(1, Ordering::Relaxed);
    }

    /// A shard stands still until somebody acts; the others go on.
    pub(crate) fn halt(&self, shard: Shard, why: String) {
        lock(&self.0.halted).insert(shard, why);
    }

    /// Shards that are no longer ours are no longer our trouble.
    pub(crate) fn unhalt(&self, shards: &[Shard]) {
        lock(&self.0.halted).retain(|shard, _| !shards.contains(shard));
    }

    /// Whether the service ended because the disk was full.
    pub(crate) fn full(&self, full: bool) {
        self.0.full.store(full, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// The service begins anew.
    pub(crate) fn begin(&self) {
        lock(&self.0.halted).clear();
    }

    pub(crate) fn committed(&self, took: Duration, positions: impl IntoIterator<Item = (Shard, u64)>) {
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.last_commit_us.store(micros, Ordering::Relaxed);
        self.0.commit_times.observe(took);
        lock(&self.0.positions).extend(positions);
        *lock(&self.0.trouble) = None;
    }

    /// How long commits took.
    pub fn commit_times(&self) -> Taken {
        self.0.commit_times.taken()
    }

    pub(crate) fn checkpointed(&self) {
        self.0.checkpoints.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn scrubbed_rows(&self, rows: u64) {
        self.0.scrubbed_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn integrity_fault(&self) {
        self.0.integrity_faults.fetch_add(1, Ordering::Relaxed);
    }

    /// A pass of the scrubber has ended, with the first fault if there was one.
    pub(crate) fn scrubbed(&self, fault: Option<String>) {
        self.0.scrubs.fetch_add(1, Ordering::Relaxed);
        *lock(&self.0.integrity) = fault;
    }

    /// What the last pass of the scrubber found to be wrong with stored events; nothing when all agreed.
    pub fn integrity(&self) -> Option<String> {
        lock(&self.0.integrity).clone()
    }

    pub(crate) fn trouble(&self, sentence: String) {
        *lock(&self.0.trouble) = Some(sentence);
    }

    /// How ingest is doing.
    pub fn health(&self) -> Health {
        let mut sentences: Vec<String> = lock(&self.0.trouble).iter().cloned().collect();
        sentences
            .extend(lock(&self.0.halted).iter().map(|(shard, why)| format!("{shard} stands still: {why}")));
        let mut gaps = lock(&self.0.gaps);
        gaps.retain(|_, (since, _)| since.elapsed() < GAP_ALARM);
        sentences.extend(gaps.values().map(|(_, sentence)| sentence.clone()));
        if sentences.is_empty() { Health::Good } else { Health::Degraded(sentences.join("; ")) }
    }

    /// Rows that are durable, by shard: the next offset.
    pub fn positions(&self) -> BTreeMap<Shard, u64> {
        lock(&self.0.positions).clone()
    }

    /// Dead letters since the start, by reason.
    pub fn dead_letters(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0.dead_letters).clone()
    }

    /// Counters since the start, with the names and units that metrics have.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("ambit_ingest_records_total", read(&self.0.events)),
            ("ambit_ingest_bytes_total", read(&self.0.bytes)),
            ("ambit_ingest_duplicates_total", read(&self.0.duplicates)),
            ("ambit_ingest_offset_gaps_total", read(&self.0.offset_gaps)),
            ("ambit_ingest_sequence_gaps_total", read(&self.0.sequence_gaps)),
            ("ambit_ingest_clock_skews_total", read(&self.0.clock_skews)),
            ("ambit_ingest_fenced_total", read(&self.0.fenced)),
            ("ambit_ingest_lost_assignments_total", read(&self.0.lost_assignments)),
            ("ambit_ingest_halted_shards", lock(&self.0.halted).len() as u64),
            ("ambit_ingest_commits_total", read(&self.0.commits)),
            ("ambit_ingest_last_commit_microseconds", read(&self.0.last_commit_us)),
            ("ambit_ledger_checkpoints_total", read(&self.0.checkpoints)),
            ("ambit_scrub_rows_total", read(&self.0.scrubbed_rows)),
            ("ambit_scrub_passes_total", read(&self.0.scrubs)),
            ("ambit_integrity_faults_total", read(&self.0.integrity_faults)),
        ]
    }
}
