//! Keeps the ledgers: after each commit the shard's new leaves are appended and a checkpoint is signed.
//!
//! The store is ahead, the ledger follows: after a crash the missing leaves are read from the store. The other way
//! round would be a rolled-back store, which is an alarm, not a repair. So is a ledger that does not hold what is
//! remembered of it elsewhere: nothing is signed then, for a second history under the same key cannot be taken back.

use crate::error::Error;
use crate::handle::Handle;
use crate::outside::{Board, Outside, Remembered};
use crate::tiles::{SharedTiles, superseded};
use ambit_ledger::{CheckpointSigner, FsTiles, LeafHash, Ledger, Origin, PublishedTree, TreeVerifier};
use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Topic};
use ambit_store::Store;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
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
    /// Where every new checkpoint is posted.
    pub board: Board,
    /// Who remembers checkpoints.
    pub outside: Outside,
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

    /// The origins of all logs that Kafka may remember.
    fn origins(&self) -> Result<Vec<Origin>, ambit_ledger::OriginError> {
        let partitions = self.outside.kafka.as_ref().map_or(0, |kafka| kafka.partitions);
        let shards =
            Topic::ALL.into_iter().flat_map(|topic| (0..partitions).map(move |n| Shard::new(topic, n)));
        shards.map(|shard| origin(&self.log_name, shard)).collect()
    }

    /// How many leaves of each shard are under a signed checkpoint that is kept here.
    pub fn signed(&self, shards: &[Shard]) -> Result<Vec<(Shard, u64)>, Error> {
        let size = |shard: Shard| {
            let (origin, tiles) = (origin(&self.log_name, shard)?, FsTiles::new(self.shard_dir(shard)));
            let tree = PublishedTree::open(origin, tiles, self.signer.public_key())
                .map_err(|cause| Error::Ledger { shard, cause })?;
            Ok((shard, tree.checkpoint().map_or(0, |signed| signed.checkpoint().size.0)))
        };
        shards.iter().map(|shard| size(*shard)).collect()
    }

    fn open(&self, shard: Shard) -> Result<Ledger<SharedTiles>, Error> {
        let tiles = SharedTiles::new(self.shard_dir(shard));
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
    pub(crate) open: HashMap<Shard, Ledger<SharedTiles>>,
}

impl Keeper {
    /// Works until the committer is gone. What waits in the queue is appended under one checkpoint per shard.
    pub(crate) fn run(mut self, orders: &Receiver<ToKeeper>) -> Result<(), Error> {
        while let Ok(first) = orders.recv() {
            let mut changed = Vec::new();
            for order in std::iter::once(first).chain(orders.try_iter()) {
                match order {
                    ToKeeper::Open(shard, stored) => self.open(shard, stored)?,
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
        let signed = match ledger.commit(&self.ledgers.signer) {
            Ok(signed) => signed,
            Err(cause) if superseded(&cause) => {
                // The shard is another's by now, and what was to be signed here is signed there.
                tracing::warn!(%shard, %cause, "another process keeps this ledger now");
                self.open.remove(&shard);
                return Ok(());
            }
            Err(cause) => return Err(Error::Ledger { shard, cause }),
        };
        self.ledgers.board.post(shard, &signed);
        self.handle.checkpointed();
        Ok(())
    }

    /// Takes over a shard's ledger. Whoever had the shard before may have committed and signed once more since its
    /// position was read: then it is read again, before anybody is accused.
    fn open(&mut self, shard: Shard, mut stored: u64) -> Result<(), Error> {
        loop {
            let accused = match self.take(shard, stored) {
                Err(accused @ (Error::RolledBack { .. } | Error::Contradicted { .. })) => accused,
                other => return other,
            };
            let positions = self.runtime.block_on(self.store.positions(&[shard]))?;
            let now = positions.get(&shard).map_or(0, |position| position.tree_size);
            if now <= stored {
                return Err(accused);
            }
            stored = now;
        }
    }

    /// Opens a shard's ledger and brings it up to the store.
    fn take(&mut self, shard: Shard, stored: u64) -> Result<(), Error> {
        let ledger = self.ledgers.open(shard)?;
        let signed = ledger.size().0;
        self.open.insert(shard, ledger);
        if signed > stored {
            return Err(Error::RolledBack { shard, signed, stored });
        }
        self.recall(shard, stored)?;
        if signed < stored {
            tracing::info!(%shard, signed, stored, "the ledger catches up with the store");
            self.catch_up(shard, signed, stored)?;
        } else if let Some(newest) = self.open.get(&shard).and_then(|ledger| ledger.published().checkpoint())
        {
            // Whoever remembers may have died before it heard of this one.
            self.ledgers.board.post(shard, newest);
        }
        Ok(())
    }

    /// Compares the ledger with what is remembered of it elsewhere, before anything is signed.
    fn recall(&mut self, shard: Shard, stored: u64) -> Result<(), Error> {
        let (outside, key) = (&self.ledgers.outside, self.ledgers.signer.public_key());
        let origin = origin(&self.ledgers.log_name, shard)?;
        let mut remembered = Vec::new();
        // A memory that cannot be asked is no reason to stop recording: it is said, and asked again at the next start.
        match outside.in_mirror(&origin, key) {
            Ok(found) => remembered.extend(found),
            Err(error) => {
                tracing::error!(%shard, %error, "whether the ledger was rolled back cannot be known");
            }
        }
        match outside.in_kafka(&self.ledgers.origins()?, key) {
            Ok(mut found) => remembered.extend(found.remove(origin.as_str())),
            Err(error) => tracing::warn!(%shard, %error, "the topic of checkpoints was not asked"),
        }
        for remembered in remembered {
            let Some(ledger) = self.open.get(&shard) else { return Ok(()) };
            let size = remembered.checkpoint.size.0;
            // Tiles that were lost are rebuilt from the store; so it is the store that must have what was signed.
            let what = if ledger.size().0 < size && size <= stored {
                self.store_contradicts(shard, &remembered)?
            } else {
                remembered.contradicts(ledger.published())
            };
            if let Some(what) = what {
                self.open.remove(&shard);
                return Err(Error::Contradicted { shard, what });
            }
        }
        Ok(())
    }

    /// What is wrong when the store should give the root that is remembered; nothing when it does.
    fn store_contradicts(&self, shard: Shard, remembered: &Remembered) -> Result<Option<String>, Error> {
        let failed = |cause| Error::Ledger { shard, cause };
        let mut verifier = TreeVerifier::expecting(vec![remembered.checkpoint.clone()]).map_err(failed)?;
        let mut wrong = None;
        let size = remembered.checkpoint.size.0;
        read_leaves(&self.store, &self.runtime, shard, 0, size, |leaves| {
            for leaf in leaves {
                wrong = wrong.take().or(verifier.push(leaf).err().map(|error| error.to_string()));
            }
            Ok(())
        })?;
        Ok(wrong.map(|wrong| format!("{wrong} ({})", remembered.place)))
    }

    fn catch_up(&mut self, shard: Shard, from: u64, stored: u64) -> Result<(), Error> {
        let mut chunks = Vec::new();
        let (store, runtime) = (self.store.clone(), self.runtime.clone());
        read_leaves(&store, &runtime, shard, from, stored, |leaves| {
            chunks.extend(leaves);
            if chunks.len() >= CATCH_UP_LEAVES {
                self.append(shard, &std::mem::take(&mut chunks))?;
                self.commit(shard)?;
            }
            Ok(())
        })?;
        self.append(shard, &chunks)?;
        self.commit(shard)
    }
}

/// The stored leaf hashes of a shard, in order, batch by batch.
fn read_leaves(
    store: &Store,
    runtime: &runtime::Handle,
    shard: Shard,
    from: u64,
    to: u64,
    mut take: impl FnMut(Vec<LeafHash>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = Box::pin(store.scan(shard, from));
    let mut next = from;
    while next < to
        && let Some(batch) = runtime.block_on(rows.next())
    {
        let batch = batch?;
        let unreadable = |row| ambit_schemas::columns::UnreadableRow { row, column: names::LEAF_HASH };
        let hashes = batch.column_by_name(names::LEAF_HASH).and_then(|column| column.as_binary_opt::<i32>());
        let indices = batch.column_by_name(names::LEAF_INDEX);
        let indices = indices.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(hashes), Some(indices)) = (hashes, indices) else {
            return Err(Error::Row { shard, cause: unreadable(0) });
        };
        let mut leaves = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            if next == to {
                break;
            }
            // INVARIANT L-1: a row that retention deleted must not be taken for one that never was.
            if indices.value(row).cast_unsigned() != next {
                return Err(Error::LeafGone { shard, leaf: next });
            }
            let Ok(bytes) = <[u8; 32]>::try_from(hashes.value(row)) else {
                return Err(Error::Row { shard, cause: unreadable(row) });
            };
            leaves.push(LeafHash::from_bytes(bytes));
            next += 1;
        }
        take(leaves)?;
    }
    if next < to { Err(Error::LeafGone { shard, leaf: next }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_ledger::leaf_hash;
    use ambit_schemas::columns::{Row, RowBuilder};
    use ambit_schemas::record::leaf_bytes;
    use ambit_schemas::{Record, Timestamp, decode};
    use ambit_store::{Advance, Position, Retention};

    const SHARD: Shard = Shard::new(Topic::Events, 0);
    const DAY_US: i64 = 86_400_000_000;
    const ROWS: u64 = 10;

    async fn store(dir: &std::path::Path) -> Store {
        let store = Store::open(ambit_store::Options::durable(dir.join("store"))).await.unwrap();
        let (mut rows, mut bytes) = (RowBuilder::new(16), Vec::new());
        for offset in 0..ROWS {
            let value = Some(bytes::Bytes::from(offset.to_string()));
            let record = Record {
                shard: SHARD,
                offset,
                timestamp_us: DAY_US,
                key: None,
                headers: ambit_schemas::Headers::default(),
                value,
            };
            leaf_bytes(&record, &mut bytes);
            rows.append(Row {
                record: &record,
                decoded: decode(&record).as_ref(),
                leaf_index: offset,
                leaf_hash: *leaf_hash(&bytes).as_bytes(),
                recorded_at: Timestamp::from_micros(DAY_US),
                duplicate: false,
            });
        }
        let mut writer = store.writer();
        writer.write(&rows.finish().unwrap()).unwrap();
        let to = Position { next_offset: ROWS, tree_size: ROWS };
        let advance = Advance { shard: SHARD, from: Position::default(), to };
        store.commit(writer.finish().unwrap(), &[advance]).await.unwrap();
        store
    }

    fn keeper(dir: &std::path::Path, store: &Store) -> Keeper {
        let signer = Arc::new(CheckpointSigner::from_seed("ambit.test", &[7; 32]).unwrap());
        let (board, outside) = (Board::default(), Outside::default());
        let (dir, log_name) = (dir.join("ledger"), "ambit.test".into());
        let (handle, runtime) = (Handle::default(), runtime::Handle::current());
        let ledgers = Ledgers { dir, log_name, signer, board, outside };
        Keeper { ledgers, store: store.clone(), handle, runtime, open: HashMap::new() }
    }

    fn take(mut keeper: Keeper) -> Result<(), Error> {
        tokio::task::block_in_place(move || keeper.open(SHARD, ROWS))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_that_are_gone_are_not_skipped_when_a_ledger_catches_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        let policy = Retention { default_days: 1, ..Retention::default() };
        let now = Timestamp::from_micros(9 * DAY_US);
        let retain = async |signed: Vec<(Shard, u64)>| {
            store.retain(&policy, &signed.into_iter().collect(), now, "test", false).await.unwrap().deleted
        };
        let signed = || keeper(dir.path(), &store).ledgers.signed(&[SHARD]).unwrap();
        assert_eq!(retain(signed()).await, 0, "nothing is signed yet");
        take(keeper(dir.path(), &store)).unwrap();
        assert_eq!(signed(), [(SHARD, ROWS)]);
        // Negative control: without the ledger's directory, what retention deleted cannot be signed again.
        assert_eq!(retain(vec![(SHARD, 4)]).await, 4);
        std::fs::remove_dir_all(dir.path().join("ledger")).unwrap();
        let refused = take(keeper(dir.path(), &store));
        assert!(matches!(refused, Err(Error::LeafGone { leaf: 0, .. })), "{refused:?}");
        assert_eq!(signed(), [(SHARD, 0)]);
    }
}
