//! The scrubber: reads everything stored again, over and over, slowly, and compares it with the ledger. Disks forget and
//! people change files; without it nobody would know before an auditor asks.

use crate::error::Error;
use crate::handle::Handle;
use crate::notices;
use crate::verify::{Fault, Report, Scope, Stop, Verification, Watch};
use ambit_bus::Producer;
use ambit_schemas::event::Notice;
use ambit_schemas::{Body, Event, Shard, Timestamp, encode};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Faults that wait to be told. More are counted, and found again by the next pass.
const FAULTS_WAITING: usize = 64;
/// Notices of one pass: a lost disk is told by a few, not by a million.
const NOTICES_MAX: usize = 100;
/// Longest sleep without a look at whether to stop.
const NAP: Duration = Duration::from_millis(200);

/// Reads everything again.
#[derive(Debug, Clone)]
pub struct Scrubber {
    /// What is read.
    pub verification: Verification,
    /// Which shards.
    pub shards: Vec<Shard>,
    /// How long from the beginning of one pass to that of the next; a pass may take longer.
    pub every: Duration,
    /// Most rows a second.
    pub rows_per_second: u64,
    /// Where faults are told.
    pub producer: Producer,
    /// What it counts.
    pub handle: Handle,
    /// The machine's clock.
    pub clock: fn() -> Timestamp,
}

impl Scrubber {
    /// Works until `shutdown`.
    ///
    /// # Errors
    /// When the store cannot be read, or a fault cannot be told; the next start begins a new pass.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            match self.pass(&shutdown).await {
                Err(Error::Stopped) => return Ok(()),
                // Compaction was quicker than the reader: the next pass sees the new files.
                Err(Error::Moving) => {}
                other => drop(other?),
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.every.saturating_sub(began.elapsed())) => {}
            }
        }
        Ok(())
    }

    async fn pass(&self, shutdown: &CancellationToken) -> Result<Report, Error> {
        let (sender, mut faults) = mpsc::channel(FAULTS_WAITING);
        let pace = Pace::new(self.rows_per_second, shutdown.clone(), sender, self.handle.clone());
        let scope = Scope { shards: self.shards.clone(), threads: 1, ..Scope::default() };
        let reading = self.verification.run(&scope, Arc::new(pace));
        let telling = async {
            let mut told = BTreeSet::new();
            while let Some((shard, fault)) = faults.recv().await {
                if told.len() < NOTICES_MAX && told.insert((shard, fault.leaf_index)) {
                    self.tell(shard, &fault).await?;
                }
            }
            Ok::<_, Error>(told)
        };
        let (report, told) = tokio::join!(reading, telling);
        let (report, told) = (report?, told?);
        // What was found after all rows were read, such as rows that are gone, or did not fit into the queue.
        for found in &report.shards {
            if let (Some(fault), Ok(shard)) = (&found.fault, found.shard.parse::<Shard>())
                && !told.contains(&(shard, fault.leaf_index))
            {
                self.tell(shard, fault).await?;
            }
        }
        let broken =
            report.shards.iter().filter_map(|shard| shard.fault.as_ref().map(|fault| (&shard.shard, fault)));
        let first =
            broken.map(|(shard, fault)| format!("{shard}, leaf {}: {}", fault.leaf_index, fault.what)).next();
        let first =
            first.or_else(|| report.files.first().map(|file| format!("{}: {}", file.file, file.what)));
        self.handle.scrubbed(first);
        Ok(report)
    }

    /// Produces an `integrity` event. The same fault has the same id: a second pass adds a duplicate, not another event.
    async fn tell(&self, shard: Shard, fault: &Fault) -> Result<(), Error> {
        tracing::error!(%shard, leaf = fault.leaf_index, what = fault.what, "what is stored is not what was signed");
        let event = notice(shard, fault, (self.clock)())?;
        let outgoing = encode(&event).map_err(|_| Error::Ended("the notice of a fault"))?;
        self.producer.send(outgoing).await?;
        Ok(())
    }
}

fn notice(shard: Shard, fault: &Fault, now: Timestamp) -> Result<Event, Error> {
    let digest = Sha256::digest(format!("{shard}\n{}\n{}", fault.leaf_index, fault.what));
    let id = format!("integrity-{}", hex::encode(digest.get(..16).unwrap_or_default()));
    let file = fault.file.as_deref().map(|file| format!(", file {file}")).unwrap_or_default();
    let event = fault.event_id.as_deref().map(|id| format!(", event {id}")).unwrap_or_default();
    let text = format!("leaf {}{event}{file}: {}", fault.leaf_index, fault.what);
    let body = Body::IntegrityBroken(Notice {
        shard: Some(shard),
        from_offset: fault.offset,
        to_offset: fault.offset.map(|offset| offset + 1),
        text,
        ..Notice::default()
    });
    notices::event("ambit/scrubber", &id, now, body)
}

/// Slows the reading down, and hands on what is found.
#[derive(Debug)]
struct Pace {
    rows_per_second: u64,
    shutdown: CancellationToken,
    faults: mpsc::Sender<(Shard, Fault)>,
    handle: Handle,
    read: Mutex<(Instant, u64)>,
}

impl Pace {
    fn new(
        rows_per_second: u64,
        shutdown: CancellationToken,
        faults: mpsc::Sender<(Shard, Fault)>,
        handle: Handle,
    ) -> Self {
        let read = Mutex::new((Instant::now(), 0));
        Self { rows_per_second: rows_per_second.max(1), shutdown, faults, handle, read }
    }
}

impl Watch for Pace {
    fn rows(&self, count: u64) -> Result<(), Stop> {
        self.handle.scrubbed_rows(count);
        let due = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.1 += count;
            let millis = read.1.saturating_mul(1_000) / self.rows_per_second;
            read.0 + Duration::from_millis(millis)
        };
        loop {
            if self.shutdown.is_cancelled() {
                return Err(Stop);
            }
            match due.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(NAP)),
                _ => return Ok(()),
            }
        }
    }

    fn fault(&self, shard: Shard, fault: &Fault) {
        self.handle.integrity_fault();
        // A full queue: the fault is counted, and the first of each shard is told at the end of the pass.
        self.faults.try_send((shard, fault.clone())).unwrap_or_default();
    }
}
