//! The file layer: everything the store does to a disk goes through here, so that a test can stand in for one that
//! loses power.
//!
//! What a power cut leaves of a POSIX disk: of each file the bytes that were there at its last fsync, and of each
//! directory the names that were there at its last fsync. Neither implies the other, so both are asked for, in this
//! order: bytes, then name, then the names of the directories above.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// An open file of a [`Disk`].
pub trait DiskFile: Write + Send {
    /// Makes the bytes written so far durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A disk. The second implementation, beside the real one, is the test's that forgets what was not synced.
pub trait Disk: Debug + Send + Sync {
    /// A new file; fails when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A new directory; it may be there already.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// A second name for a file; fails when the name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Another name for a file, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            done => done,
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Durable operations on a disk. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    fsync: bool,
    /// Directories whose names this process has made durable. That a directory is there says nothing: whoever made it
    /// may have died, or may be about to sync it.
    durable_dirs: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>, fsync: bool) -> Self {
        Self { disk, fsync, durable_dirs: Arc::default() }
    }

    /// A new file. Its name is durable only after [`Files::sync_dir`] of its directory.
    pub(crate) fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    /// Makes a file's bytes durable.
    pub(crate) fn sync(&self, file: &mut dyn DiskFile) -> io::Result<()> {
        if self.fsync { file.sync() } else { Ok(()) }
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.fsync { self.disk.sync_dir(dir) } else { Ok(()) }
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    /// Makes a directory and those above it, and the names of all of them durable.
    pub(crate) fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let known = |dirs: &Mutex<HashSet<PathBuf>>| {
            dirs.lock().unwrap_or_else(PoisonError::into_inner).contains(dir)
        };
        let Some(parent) = dir.parent() else { return Ok(()) };
        if known(&self.durable_dirs) {
            return Ok(());
        }
        self.create_dir(parent)?;
        let existed = dir.is_dir();
        if !existed {
            self.disk.create_dir(dir)?;
        }
        match self.sync_dir(parent) {
            // A directory above ours that we may not read was not made by us.
            Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
        self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_owned());
        Ok(())
    }

    /// Writes bytes under a name that appears only once they are durable. With `create`, the name must be new.
    /// INVARIANT L-3
    pub(crate) fn put<B: AsRef<[u8]>>(&self, path: &Path, payload: &[B], create: bool) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        self.create_dir(parent)?;
        let partial = partial_path(path);
        let placed = self.write_partial(&partial, payload).and_then(|()| {
            if create { self.disk.link(&partial, path) } else { self.disk.rename(&partial, path) }
        });
        if create || placed.is_err() {
            // The second name of the same file, or what could not be finished; vacuum takes it if it stays.
            if let Err(error) = self.disk.remove(&partial) {
                tracing::debug!(%error, "a partial file stays behind");
            }
        }
        placed?;
        self.sync_dir(parent)
    }

    fn write_partial<B: AsRef<[u8]>>(&self, partial: &Path, payload: &[B]) -> io::Result<()> {
        let mut file = self.disk.create(partial)?;
        for bytes in payload {
            file.write_all(bytes.as_ref())?;
        }
        self.sync(file.as_mut())
    }
}

/// How names of unfinished objects end.
pub(crate) const PARTIAL: &str = ".partial";

fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("object");
    path.with_file_name(format!(".{name}.{}{PARTIAL}", Uuid::now_v7().simple()))
}
