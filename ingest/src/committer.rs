//! The committer: one epoch of all workers' files after the other becomes visible, then its leaves go to the keeper.

use crate::disk::{self, Disk};
use crate::error::Error;
use crate::failpoint;
use crate::handle::Handle;
use crate::keeper::ToKeeper;
use crate::notices;
use crate::worker::Flushed;
use ambit_bus::Producer;
use ambit_schemas::Event;
use ambit_store::Store;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};
use tokio::runtime;

/// How often a commit that the disk refuses is tried before the service ends and starts afresh.
const TRIES: u32 = 5;
/// Pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// What the committer is told.
pub(crate) enum ToCommitter {
    /// Answers of all workers to one flush; whoever waits for the commit is told on `done`.
    Epoch { parts: Vec<Receiver<Result<Flushed, Error>>>, done: Option<SyncSender<()>> },
    /// Something to be told that moves no shard.
    Notice(Box<Event>),
    /// Passed on to the keeper, in order with the commits.
    Keeper(ToKeeper),
}

pub(crate) struct Committer {
    pub(crate) store: Store,
    pub(crate) handle: Handle,
    pub(crate) runtime: runtime::Handle,
    pub(crate) producer: Producer,
    pub(crate) keeper: SyncSender<ToKeeper>,
}

impl Committer {
    /// Works until the pipeline is gone.
    pub(crate) fn run(self, orders: &Receiver<ToCommitter>) -> Result<(), Error> {
        while let Ok(order) = orders.recv() {
            match order {
                ToCommitter::Keeper(order) => self.tell(order)?,
                ToCommitter::Notice(notice) => notices::send(&self.producer, &self.runtime, &[*notice])?,
                ToCommitter::Epoch { parts, done } => {
                    self.epoch(parts)?;
                    if let Some(done) = done {
                        // Whoever waited may have given up: then there is nobody to tell.
                        done.send(()).unwrap_or_default();
                    }
                }
            }
        }
        Ok(())
    }

    fn epoch(&self, parts: Vec<Receiver<Result<Flushed, Error>>>) -> Result<(), Error> {
        let (mut files, mut advances, mut leaves, mut noticed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let flushed = part.recv().map_err(|_| Error::Ended("a worker"))??;
            files.extend(flushed.files);
            advances.extend(flushed.advances);
            leaves.extend(flushed.leaves);
            noticed.extend(flushed.notices);
        }
        // INVARIANT L-4: before the shards move past what was noticed.
        notices::send(&self.producer, &self.runtime, &noticed)?;
        if advances.is_empty() {
            return Ok(());
        }
        failpoint::io("commit-before")?;
        let started = Instant::now();
        let mut pause = PAUSE;
        for attempt in 1.. {
            match self.runtime.block_on(self.store.commit(files.clone(), &advances)) {
                Ok(version) => {
                    tracing::debug!(version, files = files.len(), "committed");
                    break;
                }
                // After a failed sync nobody knows what the disk holds: only a fresh look at it does.
                Err(error)
                    if error.is_transient() && attempt < TRIES && disk::of(&error) != Some(Disk::Failing) =>
                {
                    self.handle.trouble(format!("commits to the store fail and are tried again: {error}"));
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                Err(error) => {
                    if matches!(error, ambit_store::Error::Fenced { .. } | ambit_store::Error::Stale { .. }) {
                        self.handle.fenced();
                    }
                    return Err(error.into());
                }
            }
        }
        failpoint::io("commit-after")?;
        let positions = advances.iter().map(|advance| (advance.shard, advance.to.next_offset));
        self.handle.committed(started.elapsed(), positions);
        for (shard, leaves) in leaves {
            self.tell(ToKeeper::Append(shard, leaves))?;
        }
        Ok(())
    }

    fn tell(&self, order: ToKeeper) -> Result<(), Error> {
        self.keeper.send(order).map_err(|_| Error::Ended("the ledger keeper"))
    }
}
