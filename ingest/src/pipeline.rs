//! The threads behind the consumer, and the bounded queues between them.

use crate::committer::{Committer, ToCommitter};
use crate::error::Error;
use crate::handle::Handle;
use crate::keeper::{Keeper, Ledgers, ToKeeper};
use crate::options::Options;
use crate::worker::{History, ToWorker, Worker};
use ambit_bus::Producer;
use ambit_schemas::{Event, Record, Shard};
use ambit_store::{Position, Store};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime;

/// Chunks of records that wait for one worker.
const CHUNKS_WAITING: usize = 4;
/// Epochs that wait for the committer: one is committed while the next is encoded.
const EPOCHS_WAITING: usize = 1;
/// Orders that wait for the ledger keeper.
const ORDERS_WAITING: usize = 64;

type Thread = JoinHandle<Result<(), Error>>;

pub(crate) struct Pipeline {
    options: Options,
    workers: Vec<SyncSender<ToWorker>>,
    committer: Option<SyncSender<ToCommitter>>,
    threads: Vec<Thread>,
    rows: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl Pipeline {
    pub(crate) fn start(
        options: &Options,
        store: &Store,
        ledgers: Ledgers,
        producer: Producer,
        handle: &Handle,
        runtime: &runtime::Handle,
    ) -> Result<Self, Error> {
        let (keeper, keeper_orders) = sync_channel(ORDERS_WAITING);
        let keeping = Keeper {
            ledgers,
            store: store.clone(),
            handle: handle.clone(),
            runtime: runtime.clone(),
            open: HashMap::new(),
        };
        let (handle_of_committer, runtime) = (handle.clone(), runtime.clone());
        let committing =
            Committer { store: store.clone(), handle: handle_of_committer, runtime, producer, keeper };
        let (committer, committer_orders) = sync_channel(EPOCHS_WAITING);
        let mut threads = vec![
            spawn("ledger-keeper", move || keeping.run(&keeper_orders))?,
            spawn("committer", move || committing.run(&committer_orders))?,
        ];
        let mut workers = Vec::new();
        for number in 0..options.workers.max(1) {
            let (orders, receiver): (_, Receiver<ToWorker>) = sync_channel(CHUNKS_WAITING);
            let worker = Worker::new(store.writer(), handle.clone());
            threads.push(spawn(&format!("ingest-{number}"), move || {
                worker.run(&receiver);
                Ok(())
            })?);
            workers.push(orders);
        }
        let (options, committer) = (options.clone(), Some(committer));
        Ok(Self { options, workers, committer, threads, rows: 0, bytes: 0, since: None })
    }

    /// A shard is ours from this position on.
    pub(crate) fn open(&self, shard: Shard, position: Position, history: History) -> Result<(), Error> {
        self.commit_order(ToCommitter::Keeper(ToKeeper::Open(shard, position.tree_size)))?;
        self.tell(self.worker_of(shard), ToWorker::Open(shard, position, Box::new(history)))
    }

    /// Shards are no longer ours. What was buffered of them is committed first.
    pub(crate) fn close(&mut self, shards: &[Shard]) -> Result<(), Error> {
        self.flush_and_wait()?;
        for worker in 0..self.workers.len() {
            self.tell(worker, ToWorker::Close(shards.to_vec()))?;
        }
        for shard in shards {
            self.commit_order(ToCommitter::Keeper(ToKeeper::Close(*shard)))?;
        }
        Ok(())
    }

    /// Kafka has deleted everything of a shard below an offset: the shard moves there once that is told.
    pub(crate) fn skip(&mut self, shard: Shard, to: u64) -> Result<(), Error> {
        self.since.get_or_insert_with(Instant::now);
        self.tell(self.worker_of(shard), ToWorker::Skip(shard, to))
    }

    /// Tells something that moves no shard.
    pub(crate) fn notice(&self, notice: Event) -> Result<(), Error> {
        self.commit_order(ToCommitter::Notice(Box::new(notice)))
    }

    /// Hands records to the workers of their shards; blocks when they cannot keep up.
    pub(crate) fn route(&mut self, records: Vec<Record>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        self.since.get_or_insert_with(Instant::now);
        self.rows += records.len();
        self.bytes += records.iter().map(Record::size).sum::<usize>();
        let mut parts: Vec<Vec<Record>> = vec![Vec::new(); self.workers.len()];
        for record in records {
            let worker = self.worker_of(record.shard);
            if let Some(part) = parts.get_mut(worker) {
                part.push(record);
            }
        }
        for (worker, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            self.tell(worker, ToWorker::Records(part))?;
        }
        Ok(())
    }

    /// Commits when it is time to, or when enough has been collected. A thread that failed is noticed here too, when
    /// nothing comes that would be sent to it.
    pub(crate) fn flush_when_due(&mut self) -> Result<(), Error> {
        if self.threads.iter().any(JoinHandle::is_finished) {
            return Err(Error::Ended("a thread of ingest"));
        }
        let every = Duration::from_millis(self.options.commit_every_ms);
        let due = self.since.is_some_and(|since| since.elapsed() >= every);
        if due || self.rows >= self.options.commit_rows || self.bytes >= self.options.commit_bytes {
            self.flush(None)?;
        }
        Ok(())
    }

    /// Commits what is buffered and waits until it is durable.
    pub(crate) fn flush_and_wait(&mut self) -> Result<(), Error> {
        let (done, waiting) = sync_channel(1);
        self.flush(Some(done))?;
        waiting.recv().map_err(|_| Error::Ended("the committer"))
    }

    fn flush(&mut self, done: Option<SyncSender<()>>) -> Result<(), Error> {
        let mut parts = Vec::with_capacity(self.workers.len());
        for worker in 0..self.workers.len() {
            let (reply, answer) = sync_channel(1);
            self.tell(worker, ToWorker::Flush(reply))?;
            parts.push(answer);
        }
        (self.rows, self.bytes, self.since) = (0, 0, None);
        self.commit_order(ToCommitter::Epoch { parts, done })
    }

    /// Ends the threads in order and returns the first failure among them, which is the cause of all others.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        self.workers.clear();
        self.committer = None;
        let mut result = Ok(());
        for thread in self.threads.drain(..).rev() {
            let ended = thread.join().unwrap_or(Err(Error::Ended("a thread of ingest panicked")));
            result = match (result, ended) {
                (Ok(()), ended) => ended,
                (Err(Error::Ended(_)), Err(cause)) => Err(cause),
                (result, _) => result,
            };
        }
        result
    }

    fn worker_of(&self, shard: Shard) -> usize {
        shard.partition as usize % self.workers.len().max(1)
    }

    fn tell(&self, worker: usize, order: ToWorker) -> Result<(), Error> {
        let sent = self.workers.get(worker).map(|orders| orders.send(order));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(Error::Ended("a worker")) }
    }

    fn commit_order(&self, order: ToCommitter) -> Result<(), Error> {
        let sent = self.committer.as_ref().map(|orders| orders.send(order));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(Error::Ended("the committer")) }
    }
}

fn spawn(name: &str, work: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Result<Thread, Error> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work().inspect_err(|error| tracing::error!(%error, "a part of ingest ended")))
        .map_err(|_| Error::Ended("a thread of ingest could not be started"))
}
