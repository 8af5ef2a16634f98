//! Keeps the indexes: builds what is missing, checks what is there, deletes what no file needs any more.
//!
//! One process on a machine does it at a time; others use what it has built. It may be stopped anywhere: what is not
//! finished has another name and is deleted by the next.

use super::build::Build;
use super::index::{FileIndex, IndexError};
use super::shelf::{Shelf, index_name, source_of};
use crate::engine::Engine;
use crate::error::Error;
use ambit_store::FileEntry;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Batches that wait to be indexed.
const BATCHES_AHEAD: usize = 2;
/// What is not finished has a name that ends so.
const PARTIAL: &str = ".partial";
/// Held by the process that keeps the indexes.
const LOCK: &str = "lock";

/// How text is indexed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndexOptions {
    /// Whether indexes are built and used. Without them every search reads the rows.
    pub enabled: bool,
    /// Seconds between looks at what is to be indexed.
    pub every_seconds: u64,
    /// Files with fewer rows are not indexed: they are read as quickly, and soon become part of a larger one.
    pub min_rows: u64,
    /// Megabytes that an index under construction may hold.
    pub memory_mb: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { enabled: true, every_seconds: 5, min_rows: 4_096, memory_mb: 64 }
    }
}

/// What was done, and how far it is.
#[derive(Debug, Default)]
pub struct Kept {
    /// Data files that have an index.
    pub indexed_files: AtomicU64,
    /// Data files that are large enough for one and have none yet.
    pub pending_files: AtomicU64,
    /// Indexes built since the start.
    pub built: AtomicU64,
    /// Indexes deleted since the start because their files are gone.
    pub removed: AtomicU64,
    /// Indexes that were found damaged since the start, and those that could not be built.
    pub failed: AtomicU64,
}

/// Keeps the indexes of an engine.
#[derive(Debug, Clone)]
pub struct Keeper {
    engine: Engine,
    shelf: Arc<Shelf>,
    options: IndexOptions,
    kept: Arc<Kept>,
}

impl Keeper {
    /// A keeper of the engine's indexes; none when the engine uses none.
    pub fn new(engine: &Engine, options: &IndexOptions, kept: Arc<Kept>) -> Option<Self> {
        let shelf = engine.shelf()?;
        Some(Self { engine: engine.clone(), shelf, options: options.clone(), kept })
    }

    /// Works until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let every = Duration::from_secs(self.options.every_seconds.max(1));
        let mut lock = None;
        loop {
            if lock.is_none() {
                lock = self.take_turn()?;
            }
            if lock.is_some() {
                // Broken off anywhere, it leaves nothing but a folder that the next pass deletes.
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    done = self.pass() => done?,
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Whether this process is the one that keeps the indexes, for as long as the file is held.
    fn take_turn(&self) -> Result<Option<File>, Error> {
        let dir = self.shelf.dir();
        let failed = |cause| Error::IndexFolder { path: dir.to_owned(), cause };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let path = dir.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    /// Does what is due. The newest files come first: they are what people ask about.
    pub async fn pass(&self) -> Result<(), Error> {
        let dir = self.shelf.dir();
        std::fs::create_dir_all(dir).map_err(|cause| Error::IndexFolder { path: dir.to_owned(), cause })?;
        self.shelf.begin_keeping();
        let snapshot = self.engine.snapshot().await?;
        let due: Vec<&FileEntry> =
            snapshot.files.iter().rev().filter(|file| file.rows >= self.options.min_rows.max(1)).collect();
        let wanted: HashSet<String> = due.iter().map(|file| index_name(file)).collect();
        self.sweep(&wanted)?;
        self.count(&wanted);
        for file in due {
            let name = index_name(file);
            if self.shelf.is_approved(&name) {
                continue;
            }
            match self.provide(&name, file).await {
                Ok(index) => self.shelf.approve(&name, index),
                Err(error) => {
                    tracing::warn!(%error, cause = source_of(&error), "a data file stays without an index for now");
                    self.kept.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.count(&wanted);
        }
        Ok(())
    }

    fn count(&self, wanted: &HashSet<String>) {
        let ready = wanted.iter().filter(|name| self.shelf.is_approved(name)).count();
        self.kept.indexed_files.store(ready as u64, Ordering::Relaxed);
        self.kept.pending_files.store((wanted.len() - ready) as u64, Ordering::Relaxed);
    }

    /// Deletes what no file needs, and what was not finished.
    fn sweep(&self, wanted: &HashSet<String>) -> Result<(), Error> {
        let dir = self.shelf.dir();
        let failed = |cause| Error::IndexFolder { path: dir.to_owned(), cause };
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == LOCK || wanted.contains(&name) {
                continue;
            }
            self.shelf.forget(&name);
            remove(&entry.path())?;
            if !name.ends_with(PARTIAL) {
                self.kept.removed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The index of a file: the one that is there, if it is whole, or a new one.
    async fn provide(&self, name: &str, file: &FileEntry) -> Result<FileIndex, IndexError> {
        let dir = self.shelf.dir().join(name);
        if dir.is_dir() {
            match open(dir.clone(), file.clone()).await {
                Ok(index) => return Ok(index),
                Err(error) => {
                    tracing::warn!(%error, cause = source_of(&error), "a text index is built anew");
                    self.kept.failed.fetch_add(1, Ordering::Relaxed);
                    self.shelf.forget(name);
                    let io = |cause| IndexError::Io { path: dir.clone(), cause };
                    std::fs::remove_dir_all(&dir).map_err(io)?;
                }
            }
        }
        self.build(&dir, file).await?;
        self.kept.built.fetch_add(1, Ordering::Relaxed);
        open(dir, file.clone()).await
    }

    async fn build(&self, dir: &Path, file: &FileEntry) -> Result<(), IndexError> {
        let columns: Vec<&str> = super::build::columns().collect();
        let partial = dir.with_extension(PARTIAL.trim_start_matches('.'));
        let mut rows = self.engine.file_rows(file, &columns).map_err(IndexError::Rows)?;
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let (memory, name, target) = (self.options.memory_mb << 20, file.name.clone(), dir.to_owned());
        let at = partial.clone();
        let building = tokio::task::spawn_blocking(move || {
            let mut build = Build::begin(&at, memory)?;
            while let Some(batch) = receiver.blocking_recv() {
                let Some(batch) = batch else {
                    build.finish(&name)?;
                    let io = |cause| IndexError::Io { path: target.clone(), cause };
                    return std::fs::rename(&at, &target).map_err(io);
                };
                build.add(&batch)?;
            }
            // Nobody said that this was all.
            Err(IndexError::BrokeOff { path: at })
        });
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(IndexError::Rows)?;
            if sender.send(Some(batch)).await.is_err() {
                break;
            }
        }
        // A builder that has failed tells by its result.
        drop(sender.send(None).await);
        building.await.map_err(|_| IndexError::BrokeOff { path: partial })?
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    gone.map_err(|cause| Error::IndexFolder { path: path.to_owned(), cause })
}

async fn open(dir: PathBuf, file: FileEntry) -> Result<FileIndex, IndexError> {
    let path = dir.clone();
    let opened = tokio::task::spawn_blocking(move || FileIndex::open(&dir, &file.name, file.rows, true));
    opened.await.map_err(|_| IndexError::BrokeOff { path })?
}
