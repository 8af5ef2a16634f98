//! What the tests share: leaves, a second way to compute a root, and stores that fail.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ambit_ledger::{
    CHECKPOINT_PATH, CheckpointKey, CheckpointSigner, LeafHash, Ledger, LedgerError, MemoryTiles, Origin,
    PublishedTree, TileStore, TreeHash, leaf_hash,
};
use sha2::{Digest as _, Sha256};

pub(crate) fn origin() -> Origin {
    Origin::new("test.local/ambit.events/0").unwrap()
}

pub(crate) fn signer() -> CheckpointSigner {
    CheckpointSigner::from_seed("test.local", &[42; 32]).unwrap()
}

pub(crate) fn key() -> CheckpointKey {
    signer().public_key().clone()
}

pub(crate) fn leaves(count: u64) -> Vec<LeafHash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

pub(crate) fn open<T: TileStore>(tiles: T) -> Result<Ledger<T>, LedgerError> {
    Ledger::open(origin(), tiles, key())
}

pub(crate) fn published<T: TileStore>(tiles: T) -> Result<PublishedTree<T>, LedgerError> {
    PublishedTree::open(origin(), tiles, &key())
}

/// A store with a log of `count` leaves, committed at each of `commits` sizes on the way.
pub(crate) fn log_of(count: u64, commits: &[u64]) -> Arc<MemoryTiles> {
    let tiles = Arc::new(MemoryTiles::new());
    let mut ledger = open(Arc::clone(&tiles)).unwrap();
    let all = leaves(count);
    for end in commits.iter().copied().chain([count]) {
        let start = usize::try_from(ledger.size().0).unwrap();
        ledger.append(&all[start..usize::try_from(end).unwrap()]).unwrap();
        ledger.commit(&signer()).unwrap();
    }
    tiles
}

pub(crate) fn copy_of(tiles: &MemoryTiles) -> MemoryTiles {
    let copy = MemoryTiles::new();
    for path in tiles.paths() {
        copy.write(&path, &tiles.read(&path).unwrap().unwrap()).unwrap();
    }
    copy
}

/// The root by the text of RFC 6962, section 2.1: slow, recursive, and nothing of the crate in it.
pub(crate) fn root_by_definition(leaves: &[LeafHash]) -> TreeHash {
    fn hash(leaves: &[LeafHash]) -> [u8; 32] {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one.as_bytes(),
            many => {
                let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
                Sha256::new()
                    .chain_update([1])
                    .chain_update(hash(left))
                    .chain_update(hash(right))
                    .finalize()
                    .into()
            }
        }
    }
    TreeHash::from_bytes(hash(leaves))
}

/// What a dying machine does to the write it dies in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LastWrite {
    /// Nothing of it is there afterwards.
    Lost,
    /// Half of it is there; a checkpoint is replaced whole or not at all, as the contract of a store demands.
    Torn,
}

/// A store whose machine dies after some writes: every later call fails.
#[derive(Debug)]
pub(crate) struct DyingTiles {
    pub(crate) disk: Arc<MemoryTiles>,
    left: AtomicU64,
    last: LastWrite,
}

impl DyingTiles {
    pub(crate) fn new(disk: Arc<MemoryTiles>, writes: u64, last: LastWrite) -> Self {
        Self { disk, left: AtomicU64::new(writes), last }
    }
}

impl TileStore for DyingTiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        match self.left.load(Ordering::Relaxed) {
            0 => Err(io::Error::other("the machine is off")),
            1 => {
                self.left.store(0, Ordering::Relaxed);
                if matches!(self.last, LastWrite::Torn) && path != CHECKPOINT_PATH {
                    self.disk.write(path, &bytes[..bytes.len() / 2])?;
                }
                Err(io::Error::other("the machine went off"))
            }
            left => {
                self.left.store(left - 1, Ordering::Relaxed);
                self.disk.write(path, bytes)
            }
        }
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Err(io::Error::other("the machine is off"));
        }
        self.disk.remove_dir(dir)
    }
}

/// A store that does what this crate must never do: the checkpoint reaches the disk before `tiles` of the tiles.
#[derive(Debug)]
pub(crate) struct CheckpointFirst {
    pub(crate) disk: Arc<MemoryTiles>,
    pub(crate) tiles: usize,
    /// How many tiles it was told to write.
    pub(crate) told: AtomicUsize,
}

impl TileStore for CheckpointFirst {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(path, bytes)
    }

    fn write_all(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        self.told.store(files.len(), Ordering::Relaxed);
        files.iter().take(self.tiles).try_for_each(|(path, bytes)| self.disk.write(path, bytes))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
}
