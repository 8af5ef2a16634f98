//! Where tiles and checkpoints are kept: a few named byte strings, written whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name of the file that holds the newest signed checkpoint.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// A place for the files of one log. Names are relative, with `/` between their parts.
///
/// A store has one writer at a time (the owner of the shard) and any number of readers.
pub trait TileStore: Send + Sync {
    /// The bytes of a file, or nothing when there is no such file.
    ///
    /// # Errors
    /// When it cannot be known.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file as a whole. When this returns, the file survives a power failure; when it fails or never
    /// returns, a reader sees the old file or the new one.
    ///
    /// # Errors
    /// When the file may not be durable.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes files that belong together, in any order; when this returns all of them are durable.
    ///
    /// # Errors
    /// When any of them may not be durable.
    fn write_all(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        files.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }

    /// Removes all files under a directory that nobody needs any longer. Need not be durable.
    ///
    /// # Errors
    /// When some of them may still be there.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
}

macro_rules! forward {
    ($holder:ty) => {
        impl<T: TileStore + ?Sized> TileStore for $holder {
            fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
                (**self).read(path)
            }
            fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
                (**self).write(path, bytes)
            }
            fn write_all(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
                (**self).write_all(files)
            }
            fn remove_dir(&self, dir: &str) -> io::Result<()> {
                (**self).remove_dir(dir)
            }
        }
    };
}
forward!(&T);
forward!(Arc<T>);
forward!(Box<T>);

/// Tiles in memory: for evidence that arrives as one file, and for tests.
#[derive(Debug, Default)]
pub struct MemoryTiles {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryTiles {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of all files, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // Every change below is one map operation, so a panic elsewhere cannot leave the map half changed.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TileStore for MemoryTiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.lock().get(path).cloned())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.lock().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let prefix = format!("{dir}/");
        self.lock().retain(|path, _| !path.starts_with(&prefix));
        Ok(())
    }
}
