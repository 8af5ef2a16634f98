//! Tiles of a shard that another process on this disk may still be writing.
//!
//! Whoever lost a shard may not know it yet: it was paused between a commit and its checkpoint. Its tiles do no harm, for
//! it only ever appends leaves that are stored, so the same tile has the same bytes whoever writes it. Its checkpoint
//! would: a smaller one would take back what was published since. So a checkpoint is put in place under a lock, and
//! only if what stands there is not larger. The lock is held for a comparison and a rename, never while bytes are synced.

use crate::failpoint;
use ambit_ledger::{CHECKPOINT_PATH, FsTiles, TileStore};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The lock's file, in the shard's directory.
const LOCK: &str = ".lock";
/// How long another process may hold the lock: a thousand times what it needs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Another process has published more of this ledger: it owns the shard now.
#[derive(Debug, thiserror::Error)]
#[error("another process has published {published} leaves, this one would publish {own}")]
pub(crate) struct Superseded {
    published: u64,
    own: u64,
}

/// The tiles of one shard, on a disk that several processes share.
#[derive(Debug)]
pub(crate) struct SharedTiles {
    dir: PathBuf,
    inner: FsTiles,
}

impl SharedTiles {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { inner: FsTiles::new(&dir), dir }
    }

    fn lock(&self) -> io::Result<File> {
        let file = File::options().create(true).write(true).truncate(false).open(self.dir.join(LOCK))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let message =
                        format!("another process holds {}/{LOCK}: is it paused? End it", self.dir.display());
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
                }
            }
        }
    }

    /// Replaces the checkpoint, whose bytes are `old`, by one of the same tree with more signatures. Says whether it did:
    /// not when another one stands there by now. `unfinished` tells apart those who do this at the same time.
    pub(crate) fn replace_checkpoint(&self, old: &[u8], bytes: &[u8], unfinished: &str) -> io::Result<bool> {
        let name = format!(".{CHECKPOINT_PATH}.{}.{unfinished}", std::process::id());
        self.inner.write(&name, bytes)?;
        let (new, place) = (self.dir.join(&name), self.dir.join(CHECKPOINT_PATH));
        let lock = self.lock()?;
        let unchanged = self.inner.read(CHECKPOINT_PATH)?.as_deref() == Some(old);
        let placed = if unchanged { fs::rename(&new, &place) } else { fs::remove_file(&new) };
        drop(lock);
        placed?;
        File::open(&self.dir)?.sync_all()?;
        Ok(unchanged)
    }

    fn publish(&self, bytes: &[u8]) -> io::Result<()> {
        let name = format!(".{CHECKPOINT_PATH}.{}.new", std::process::id());
        // The bytes are durable before the name moves.
        self.inner.write(&name, bytes)?;
        failpoint::io("ledger-checkpoint")?;
        let (new, place) = (self.dir.join(&name), self.dir.join(CHECKPOINT_PATH));
        let lock = self.lock()?;
        let (own, published) = (size_of(bytes), self.inner.read(CHECKPOINT_PATH)?);
        let published = published.as_deref().map_or(0, size_of);
        let placed = if published > own {
            drop(fs::remove_file(&new));
            Err(io::Error::other(Superseded { published, own }))
        } else {
            fs::rename(&new, &place)
        };
        drop(lock);
        placed?;
        // INVARIANT L-3: nothing is called published before its name is durable.
        File::open(&self.dir)?.sync_all()
    }
}

/// The size that a checkpoint's text states: its second line (C2SP tlog-checkpoint).
fn size_of(note: &[u8]) -> u64 {
    let line = note.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    std::str::from_utf8(line).ok().and_then(|line| line.parse().ok()).unwrap_or_default()
}

/// Whether a write failed because the shard belongs to another process now.
pub(crate) fn superseded(mut error: &(dyn std::error::Error + 'static)) -> bool {
    loop {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Superseded>) {
            return true;
        }
        match error.source() {
            Some(source) => error = source,
            None => return false,
        }
    }
}

impl TileStore for SharedTiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if path == CHECKPOINT_PATH { self.publish(bytes) } else { self.inner.write(path, bytes) }
    }

    fn write_all(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        failpoint::io("ledger-tiles")?;
        self.inner.write_all(files)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_ledger::{CheckpointSigner, Ledger, Origin, TreeSize, leaf_hash};

    #[test]
    fn whoever_lost_the_shard_cannot_take_its_checkpoint_back() {
        let dir = tempfile::tempdir().unwrap();
        let signer = CheckpointSigner::from_seed("ambit.test", &[7; 32]).unwrap();
        let open = || {
            let tiles = SharedTiles::new(dir.path().to_owned());
            Ledger::open(Origin::new("ambit.test/s").unwrap(), tiles, signer.public_key().clone()).unwrap()
        };
        let leaves: Vec<_> = (0..600_u32).map(|number| leaf_hash(&number.to_le_bytes())).collect();
        let mut before = open();
        before.append(&leaves[..100]).unwrap();
        before.commit(&signer).unwrap();
        // Paused between the commit of 300 rows and their checkpoint; meanwhile another goes on to 600.
        before.append(&leaves[100..300]).unwrap();
        let mut after = open();
        after.append(&leaves[100..]).unwrap();
        after.commit(&signer).unwrap();
        let refused = before.commit(&signer).unwrap_err();
        assert!(superseded(&refused), "{refused}");
        let again = open();
        assert_eq!(again.size(), TreeSize(600));
        assert_eq!(again.published().check_tiles().unwrap(), TreeSize(600));
        assert!(!superseded(&io::Error::other("full")));
    }
}
