//! Keeps the ledgers: after each commit the shard's new leaves are appended and a checkpoint is signed.
//!
//! The store is ahead, the ledger follows: after a crash the missing leaves are read from the store. The other way
//! round would be a rolled-back store, which is an alarm, not a repair.

use crate::error::Error;
use crate::handle::Handle;
use ambit_ledger::{CheckpointSigner, FsTiles, LeafHash, Ledger, Origin};
use ambit_schemas::Shard;
use ambit_schemas::columns::names;
use ambit_store::Store;
use arrow::array::AsArray;
use futures::StreamExt;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use tokio::runtime;

/// Leaves that are appended between two checkpoints when a ledger catches up.
const CATCH_UP_LEAVES: usize = 100_000;

/// Where ledgers are and who signs them.
#[derive(Debug, Clone)]
pub struct Ledgers {
    /// The directory; each shard has one below it.
    pub dir: PathBuf,
    /// First part of every origin.
    pub log_name: String,
    /// Who signs.
    pub signer: Arc<CheckpointSigner>,
}

/// The origin of a shard's ledger: `<log name>/<topic>/<partition>`.
pub fn origin(log_name: &str, shard: Shard) -> Result<Origin, ambit_ledger::OriginError> {
    Origin::new(&format!("{log_name}/{shard}"))
}

impl Ledgers {
    /// Where the tiles of a shard are.
    pub fn shard_dir(&self, shard: Shard) -> PathBuf {
        self.dir.join(shard.topic.name()).join(shard.partition.to_string())
    }

    fn open(&self, shard: Shard) -> Result<Ledger<FsTiles>, Error> {
        let tiles = FsTiles::new(self.shard_dir(shard));
        Ledger::open(origin(&self.log_name, shard)?, tiles, self.signer.public_key().clone())
            .map_err(|cause| Error::Ledger { shard, cause })
    }
}

/// What the committer tells the keeper.
pub(crate) enum ToKeeper {
    /// A shard with so many stored leaves is ours.
    Open(Shard, u64),
    /// Leaves that are durable in the store.
    Append(Shard, Vec<LeafHash>),
    /// A shard is no longer ours.
    Close(Shard),
}

pub(crate) struct Keeper {
    pub(crate) ledgers: Ledgers,
    pub(crate) store: Store,
    pub(crate) handle: Handle,
    pub(crate) runtime: runtime::Handle,
    pub(crate) open: HashMap<Shard, Ledger<FsTiles>>,
}

impl Keeper {
    /// Works until the committer is gone. What waits in the queue is appended under one checkpoint per shard.
    pub(crate) fn run(mut self, orders: &Receiver<ToKeeper>) -> Result<(), Error> {
        while let Ok(first) = orders.recv() {
            let mut changed = Vec::new();
            for order in std::iter::once(first).chain(orders.try_iter()) {
                match order {
                    ToKeeper::Open(shard, stored) => self.take(shard, stored)?,
                    ToKeeper::Append(shard, leaves) => {
                        self.append(shard, &leaves)?;
                        if !changed.contains(&shard) {
                            changed.push(shard);
                        }
                    }
                    ToKeeper::Close(shard) => {
                        self.commit(shard)?;
                        self.open.remove(&shard);
                        changed.retain(|other| *other != shard);
                    }
                }
            }
            for shard in changed {
                self.commit(shard)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, shard: Shard, leaves: &[LeafHash]) -> Result<(), Error> {
        let Some(ledger) = self.open.get_mut(&shard) else { return Ok(()) };
        for chunk in leaves.chunks(CATCH_UP_LEAVES) {
            ledger.append(chunk).map_err(|cause| Error::Ledger { shard, cause })?;
        }
        Ok(())
    }

    fn commit(&mut self, shard: Shard) -> Result<(), Error> {
        let Some(ledger) = self.open.get_mut(&shard) else { return Ok(()) };
        ledger.commit(&self.ledgers.signer).map_err(|cause| Error::Ledger { shard, cause })?;
        self.handle.checkpointed();
        Ok(())
    }

    /// Opens a shard's ledger and brings it up to the store.
    fn take(&mut self, shard: Shard, stored: u64) -> Result<(), Error> {
        let ledger = self.ledgers.open(shard)?;
        let signed = ledger.size().0;
        self.open.insert(shard, ledger);
        if signed > stored {
            return Err(Error::RolledBack { shard, signed, stored });
        }
        if signed < stored {
            tracing::info!(%shard, signed, stored, "the ledger catches up with the store");
            self.catch_up(shard, signed, stored)?;
        }
        Ok(())
    }

    fn catch_up(&mut self, shard: Shard, from: u64, stored: u64) -> Result<(), Error> {
        let (store, runtime) = (self.store.clone(), self.runtime.clone());
        let mut rows = Box::pin(store.scan(shard, from));
        let mut waiting = Vec::new();
        let mut next = from;
        while let Some(batch) = runtime.block_on(rows.next()) {
            let batch = batch?;
            let unreadable = |row| ambit_schemas::columns::UnreadableRow { row, column: names::LEAF_HASH };
            let hashes =
                batch.column_by_name(names::LEAF_HASH).and_then(|column| column.as_binary_opt::<i32>());
            let Some(hashes) = hashes else { return Err(Error::Row { shard, cause: unreadable(0) }) };
            for row in 0..batch.num_rows() {
                if next == stored {
                    break;
                }
                let Ok(bytes) = <[u8; 32]>::try_from(hashes.value(row)) else {
                    return Err(Error::Row { shard, cause: unreadable(row) });
                };
                waiting.push(LeafHash::from_bytes(bytes));
                next += 1;
            }
            if waiting.len() >= CATCH_UP_LEAVES {
                self.append(shard, &waiting)?;
                self.commit(shard)?;
                waiting.clear();
            }
        }
        self.append(shard, &waiting)?;
        self.commit(shard)
    }
}
