//! What ingest tells others: counters for metrics, a sentence for people.

use ambit_schemas::{MalformedReason, Shard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A cheap clone; survives restarts of the service.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    events: AtomicU64,
    duplicates: AtomicU64,
    offset_gaps: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
    last_commit_us: AtomicU64,
    checkpoints: AtomicU64,
    scrubbed_rows: AtomicU64,
    scrubs: AtomicU64,
    integrity_faults: AtomicU64,
    integrity: Mutex<Option<String>>,
    dead_letters: Mutex<BTreeMap<&'static str, u64>>,
    positions: Mutex<BTreeMap<Shard, u64>>,
    trouble: Mutex<Option<String>>,
}

/// How ingest is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Good,
    /// It waits for something, and goes on by itself; the sentence says for what.
    Degraded(String),
}

impl Handle {
    pub(crate) fn event(&self, bytes: usize) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn dead_letter(&self, reason: MalformedReason) {
        *self
            .0
            .dead_letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(reason.code())
            .or_default() += 1;
    }

    pub(crate) fn duplicate(&self) {
        self.0.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn gap(&self, offsets: u64) {
        self.0.offset_gaps.fetch_add(offsets, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, took: Duration, positions: impl IntoIterator<Item = (Shard, u64)>) {
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.last_commit_us.store(micros, Ordering::Relaxed);
        self.0.positions.lock().unwrap_or_else(PoisonError::into_inner).extend(positions);
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        *self.0.integrity.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What the last pass of the scrubber found to be wrong with stored events; nothing when all agreed.
    pub fn integrity(&self) -> Option<String> {
        self.0.integrity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn trouble(&self, sentence: String) {
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence);
    }

    /// How ingest is doing.
    pub fn health(&self) -> Health {
        let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        trouble.map_or(Health::Good, Health::Degraded)
    }

    /// Rows that are durable, by shard: the next offset.
    pub fn positions(&self) -> BTreeMap<Shard, u64> {
        self.0.positions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Dead letters since the start, by reason.
    pub fn dead_letters(&self) -> BTreeMap<&'static str, u64> {
        self.0.dead_letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counters since the start, with the names and units that metrics have.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("ambit_ingest_records_total", read(&self.0.events)),
            ("ambit_ingest_bytes_total", read(&self.0.bytes)),
            ("ambit_ingest_duplicates_total", read(&self.0.duplicates)),
            ("ambit_ingest_offset_gaps_total", read(&self.0.offset_gaps)),
            ("ambit_ingest_commits_total", read(&self.0.commits)),
            ("ambit_ingest_last_commit_microseconds", read(&self.0.last_commit_us)),
            ("ambit_ledger_checkpoints_total", read(&self.0.checkpoints)),
            ("ambit_scrub_rows_total", read(&self.0.scrubbed_rows)),
            ("ambit_scrub_passes_total", read(&self.0.scrubs)),
            ("ambit_integrity_faults_total", read(&self.0.integrity_faults)),
        ]
    }
}
