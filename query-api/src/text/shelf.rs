//! Where the indexes of data files lie, and which of them are open.

use super::bits::Bits;
use super::condition::Condition;
use super::index::{FileIndex, IndexError};
use ambit_store::FileEntry;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most indexes that are open at once: each maps its files and holds a few kilobytes.
const OPEN_MAX: usize = 256;

/// The indexes. Shared by everybody who asks and by the one who keeps them.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<String, Opened>,
    turn: u64,
    /// Those that could not be used: they are not tried again until they have been built anew.
    broken: HashSet<String>,
    /// Where somebody keeps them, only those that he has checked are used.
    checked: Option<HashSet<String>>,
}

#[derive(Debug)]
struct Opened {
    index: Arc<FileIndex>,
    used: u64,
}

/// The name of a file's index: the file's own, which has its digest; of a foreign name a digest.
pub(super) fn index_name(file: &FileEntry) -> String {
    let name = file.name.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".parquet").unwrap_or(name);
    let plain = stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain && !stem.is_empty() {
        return stem.to_owned();
    }
    crate::provenance::digest(&file.name)
}

impl Shelf {
    /// The indexes in a folder, which need not be there.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, state: Mutex::default() }
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of a file that may fulfil all conditions (see [`FileIndex::search`]); `None` when it has no index that can be
    /// used. Reads from disk.
    pub(crate) fn search(&self, file: &FileEntry, conditions: &[Condition]) -> Option<Bits> {
        let name = index_name(file);
        // The library may panic over bytes that it did not write.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let index = self.open(&name, file)?;
            index.search(conditions)
        }));
        match answer.map_err(|_| IndexError::BrokeOff { path: self.dir.join(&name) }) {
            Ok(Ok(rows)) => Some(rows),
            Ok(Err(IndexError::Absent)) => None,
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(%error, cause = source_of(&error), "the rows are read instead");
                self.condemn(&name);
                None
            }
        }
    }

    fn open(&self, name: &str, file: &FileEntry) -> Result<Arc<FileIndex>, IndexError> {
        {
            let mut state = self.state();
            state.turn += 1;
            let turn = state.turn;
            if let Some(opened) = state.open.get_mut(name) {
                opened.used = turn;
                return Ok(Arc::clone(&opened.index));
            }
            let unchecked = state.checked.as_ref().is_some_and(|checked| !checked.contains(name));
            if unchecked || state.broken.contains(name) {
                return Err(IndexError::Absent);
            }
        }
        let dir = self.dir.join(name);
        if !dir.is_dir() {
            return Err(IndexError::Absent);
        }
        let index = Arc::new(FileIndex::open(&dir, &file.name, file.rows, false)?);
        self.insert(name, Arc::clone(&index));
        Ok(index)
    }

    fn insert(&self, name: &str, index: Arc<FileIndex>) {
        let mut state = self.state();
        let used = state.turn;
        state.open.insert(name.to_owned(), Opened { index, used });
        while state.open.len() > OPEN_MAX {
            let oldest =
                state.open.iter().min_by_key(|(_, opened)| opened.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { break };
            state.open.remove(&oldest);
        }
    }

    /// From now on somebody keeps them.
    pub(super) fn begin_keeping(&self) {
        self.state().checked.get_or_insert_with(HashSet::new);
    }

    /// It was checked, byte by byte.
    pub(super) fn approve(&self, name: &str, index: FileIndex) {
        self.insert(name, Arc::new(index));
        let mut state = self.state();
        state.broken.remove(name);
        state.checked.get_or_insert_with(HashSet::new).insert(name.to_owned());
    }

    /// Whether it was checked and has not failed since.
    pub(super) fn is_approved(&self, name: &str) -> bool {
        let state = self.state();
        !state.broken.contains(name) && state.checked.as_ref().is_some_and(|checked| checked.contains(name))
    }

    /// It cannot be used.
    fn condemn(&self, name: &str) {
        let mut state = self.state();
        state.open.remove(name);
        state.broken.insert(name.to_owned());
    }

    /// It is about to be deleted.
    pub(super) fn forget(&self, name: &str) {
        let mut state = self.state();
        state.open.remove(name);
        state.broken.remove(name);
        if let Some(checked) = &mut state.checked {
            checked.remove(name);
        }
    }
}

pub(super) fn source_of(error: &IndexError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
