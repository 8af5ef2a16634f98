//! Snapshots of the analyzer's state: one file per shard, replaced as a whole. Deletable (INVARIANT Q-2).

use ambit_analytics::{Analyzer, Options};
use ambit_bus::Pending;
use ambit_schemas::Shard;
use anyhow::{Context, anyhow};
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use tokio::runtime::Handle;

/// Snapshots that wait to be written: judgement waits when the disk is so far behind.
const ORDERS_WAITING: usize = 2;

/// The folder of snapshots. A cheap clone.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    /// Uses, and if need be makes, a folder.
    pub fn open(dir: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self { dir })
    }

    fn path(&self, shard: Shard) -> PathBuf {
        self.dir.join(format!("{}-{}.snapshot", shard.topic, shard.partition))
    }

    /// The state of a shard, if there is a snapshot. An error means that there is one, but it cannot be used.
    pub fn load(&self, shard: Shard, options: &Arc<Options>) -> anyhow::Result<Option<Analyzer>> {
        let path = self.path(shard);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let analyzer = Analyzer::restore(&bytes, Arc::clone(options))
            .with_context(|| format!("{} is not a usable snapshot", path.display()))?;
        Ok(Some(analyzer))
    }

    /// Writes a shard's state: durable when this returns.
    fn write(&self, shard: Shard, snapshot: &[u8]) -> anyhow::Result<()> {
        let (path, partial) = (self.path(shard), self.path(shard).with_extension("partial"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&partial)?;
            file.write_all(snapshot)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("cannot write snapshot {}: is the disk full?", path.display()))
    }
}

/// What the writer is told.
enum Order {
    /// Write this state of a shard once these findings are durable in Kafka.
    Write { shard: Shard, snapshot: Vec<u8>, findings: VecDeque<Pending> },
    /// Say when everything before is written.
    Flush(SyncSender<()>),
}

/// Writes snapshots on a thread of its own: judgement waits neither for the disk nor for Kafka's acknowledgements.
#[derive(Debug)]
pub struct SnapshotWriter {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    /// The offset after the last event in each shard's latest snapshot.
    covered: HashMap<Shard, u64>,
}

impl SnapshotWriter {
    /// Starts the thread.
    pub fn start(
        snapshots: Snapshots,
        runtime: &Handle,
        written: impl Fn() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (orders, receiver): (_, Receiver<Order>) = sync_channel(ORDERS_WAITING);
        let runtime = runtime.clone();
        let work = move || {
            while let Ok(order) = receiver.recv() {
                match order {
                    Order::Write { shard, snapshot, findings } => {
                        settle(&runtime, findings)?;
                        snapshots.write(shard, &snapshot)?;
                        written();
                    }
                    // Whoever asked may be gone.
                    Order::Flush(done) => done.send(()).unwrap_or_default(),
                }
            }
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("snapshots".into())
            .spawn(work)
            .context("the thread that writes snapshots cannot be started")?;
        Ok(Self { orders: Some(orders), thread: Some(thread), covered: HashMap::new() })
    }

    /// Hands a shard's state over, unless nothing was judged since the last time. `findings` are those that have to be
    /// durable before; they are taken along. Returns whether it was handed over.
    pub fn save(&mut self, analyzer: &Analyzer, findings: &mut VecDeque<Pending>) -> anyhow::Result<bool> {
        let (shard, next) = (analyzer.shard(), analyzer.next_offset());
        if self.covered.get(&shard) == Some(&next) {
            return Ok(false);
        }
        let findings = std::mem::take(findings);
        self.send(Order::Write { shard, snapshot: analyzer.snapshot(), findings })?;
        self.covered.insert(shard, next);
        Ok(true)
    }

    /// Waits until everything handed over is written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let (done, waiting) = sync_channel(1);
        self.send(Order::Flush(done))?;
        if waiting.recv().is_err() {
            return self.failure();
        }
        Ok(())
    }

    fn send(&mut self, order: Order) -> anyhow::Result<()> {
        match self.orders.as_ref().map(|orders| orders.send(order)) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => self.failure(),
        }
    }

    /// Why the thread has ended.
    fn failure(&mut self) -> anyhow::Result<()> {
        self.orders = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(error),
            Some(Ok(Ok(())) | Err(_)) | None => Err(anyhow!("snapshots are no longer written")),
        }
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that writes snapshots panicked");
        }
    }
}

/// Waits until findings are durable in Kafka.
pub(super) fn settle(runtime: &Handle, findings: VecDeque<Pending>) -> anyhow::Result<()> {
    runtime.block_on(async {
        for delivery in findings {
            delivery
                .await
                .context("a finding did not reach Kafka: its event is judged again after the restart")?;
        }
        Ok(())
    })
}
