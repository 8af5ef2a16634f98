//! The table's upkeep beside ingest: compaction and checkpoints all the time, vacuum and retention now and then, a full
//! reading for damage once a day. Each pass reads the durable state and does what is due.

use crate::simulate::now;
use ambit_schemas::Shard;
use ambit_store::{Maintenance, Payloads, Store, fsck};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Who orders deletions that nobody orders by hand; stands in the table's log.
const AUTHOR: &str = "ambit ingest, by `[store.retention]`";

/// What maintenance has done.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files that compaction replaced.
    pub replaced: AtomicU64,
    /// Files that vacuum deleted.
    pub deleted_files: AtomicU64,
    /// Rows that retention deleted.
    pub deleted_rows: AtomicU64,
    /// Rows whose time is over but which a hold covers, as of the last look.
    pub held_rows: AtomicU64,
    /// Files of the newest version.
    pub active_files: AtomicU64,
    /// What is wrong with the table, for people.
    pub trouble: Mutex<Option<String>>,
}

impl Counters {
    /// What is wrong with the table, for people.
    pub fn trouble_now(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn trouble(&self, sentence: Option<String>) {
        if let Some(sentence) = &sentence {
            tracing::error!(trouble = sentence, "the table needs attention");
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }
}

/// The task.
#[derive(Debug, Clone)]
pub struct Maintain {
    /// What is kept.
    pub store: Store,
    /// Where it is, for the reading that trusts nothing.
    pub location: ambit_store::Options,
    /// What is signed, and so may go.
    pub ledgers: ambit_ingest::Ledgers,
    /// All shards.
    pub shards: Vec<Shard>,
    /// Where content lies that is too large for an event.
    pub payloads: Payloads,
    /// How.
    pub options: Maintenance,
    /// What it tells.
    pub counters: std::sync::Arc<Counters>,
}

impl Maintain {
    /// Works until `shutdown`. A pass that fails is tried again at the next turn by the supervisor.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let every = Duration::from_secs(self.options.every_seconds.max(1));
        let (mut vacuumed, mut scrubbed): (Option<Instant>, Option<Instant>) = (None, Some(Instant::now()));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(every) => {}
            }
            let due = |last: Option<Instant>, seconds: u64| {
                last.is_none_or(|last| last.elapsed().as_secs() >= seconds.max(1))
            };
            let pass = async {
                self.tidy().await?;
                if due(vacuumed, self.options.vacuum_every_seconds) {
                    self.sweep().await?;
                    vacuumed = Some(Instant::now());
                }
                if due(scrubbed, self.options.scrub_every_seconds) {
                    self.scrub().await?;
                    scrubbed = Some(Instant::now());
                }
                anyhow::Ok(())
            };
            // Every step may be broken off anywhere: what it left behind is vacuumed.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                done = pass => done?,
            }
        }
    }

    async fn tidy(&self) -> anyhow::Result<()> {
        let done = self.store.compact(&self.options, now().day(), false).await?;
        self.store.checkpoint(self.options.checkpoint_versions).await?;
        self.counters.replaced.fetch_add(done.replaced as u64, Ordering::Relaxed);
        let files = self.store.snapshot().await?.files.len();
        self.counters.active_files.store(files as u64, Ordering::Relaxed);
        if done.written > 0 {
            tracing::debug!(replaced = done.replaced, written = done.written, files, "compacted");
        }
        if let Some(first) = done.failed.first() {
            self.counters.trouble(Some(format!("files cannot be compacted: {first}")));
        }
        Ok(())
    }

    async fn sweep(&self) -> anyhow::Result<()> {
        if self.options.retention != ambit_store::Retention::default() {
            // A ledger that is behind for as long as rows are kept is in trouble, and must still be able to catch up.
            let signed = self.ledgers.signed(&self.shards)?.into_iter().collect();
            let done = self.store.retain(&self.options.retention, &signed, now(), AUTHOR, false).await?;
            self.counters.deleted_rows.fetch_add(done.deleted, Ordering::Relaxed);
            self.counters.held_rows.store(done.held, Ordering::Relaxed);
            if done.deleted > 0 {
                tracing::info!(rows = done.deleted, held = done.held, "retention deleted rows");
            }
            self.payloads.retain(&self.store, &self.options.retention, now()).await?;
        }
        self.store.clean_log().await?;
        let done = self.store.vacuum(false).await?;
        self.counters.deleted_files.fetch_add((done.replaced + done.orphans) as u64, Ordering::Relaxed);
        Ok(())
    }

    async fn scrub(&self) -> anyhow::Result<()> {
        let found = fsck(self.location.clone(), |_, _| {}).await?;
        let sentence = found.faults.first().map(|fault| {
            format!("{} files are damaged, the first is {}: {}", found.faults.len(), fault.file, fault.what)
        });
        self.counters.trouble(sentence);
        Ok(())
    }
}
