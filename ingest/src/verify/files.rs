//! Goes through data files, row group by row group, on several threads.

use super::damage::{Damage, guarded, name_rows};
use super::report::FileFault;
use super::rows::{Checker, Place};
use super::shard::ShardState;
use super::watch::Watch;
use crate::error::Error;
use ambit_schemas::{Shard, Timestamp};
use ambit_store::{FileEntry, OpenFile};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Rows that are checked between two words to whoever watches.
const BATCH_ROWS: usize = 8_192;

/// A file whose footer was read.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) entry: FileEntry,
    pub(super) row_groups: Vec<u64>,
    /// Which leaves of which shards it holds; nothing when it does not say.
    pub(super) leaves: Option<BTreeMap<Shard, (u64, u64)>>,
}

impl Known {
    pub(super) fn rows(&self) -> u64 {
        self.row_groups.iter().sum()
    }

    /// Whether it may hold rows that are wanted of these shards.
    pub(super) fn concerns(&self, shards: &BTreeMap<Shard, ShardState>) -> bool {
        let Some(leaves) = &self.leaves else { return true };
        leaves.iter().any(|(shard, (first, last))| {
            shards.get(shard).is_some_and(|state| state.wants_any(*first..last.saturating_add(1)))
        })
    }
}

/// What is shared by the threads of one pass.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) table: &'a Path,
    pub(super) shards: &'a BTreeMap<Shard, ShardState>,
    pub(super) watch: &'a dyn Watch,
    pub(super) columns_since: &'a BTreeMap<String, Timestamp>,
    pub(super) faults: Mutex<Vec<FileFault>>,
    /// Files that are gone: a fault, unless the table does not name them any longer.
    pub(super) gone: Mutex<Vec<FileEntry>>,
}

impl Pass<'_> {
    /// Reads the footers.
    pub(super) fn open(&self, entries: &[FileEntry]) -> Result<Vec<Known>, Error> {
        let mut known = Vec::with_capacity(entries.len());
        for entry in entries {
            let opened = guarded(|| {
                let file = OpenFile::open(&entry.path)?;
                Ok((file.row_groups(), file.leaves()))
            });
            match opened {
                Ok((row_groups, leaves)) => known.push(Known { entry: entry.clone(), row_groups, leaves }),
                Err(damage) => self.unreadable(entry, damage)?,
            }
        }
        Ok(known)
    }

    /// Checks all rows that are wanted, with so many threads.
    pub(super) fn check(&self, files: &[Known], threads: usize) -> Result<(), Error> {
        let groups = |known: &'_ Known| 0..known.row_groups.len();
        let units: Vec<(&Known, usize)> =
            files.iter().flat_map(|known| groups(known).map(move |group| (known, group))).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let work = || -> Result<(), Error> {
                let mut checker = Checker::new(self.shards, self.columns_since);
                while let Some((known, group)) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    self.unit(&mut checker, known, *group)?;
                }
                Ok(())
            };
            let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or(Err(Error::Ended("a thread of the verification")))
            })
        })
    }

    fn unit(&self, checker: &mut Checker<'_>, known: &Known, group: usize) -> Result<(), Error> {
        let name = self.name(&known.entry);
        let place = Place { file: &name, day: known.entry.day, leaves: known.leaves.as_ref() };
        let file = match guarded(|| OpenFile::open(&known.entry.path)) {
            Ok(file) => file,
            Err(damage) => return self.unreadable(&known.entry, damage),
        };
        let mut rows = match guarded(|| file.rows(group, BATCH_ROWS, None)) {
            Ok(rows) => rows,
            Err(damage) => return self.damaged(&file, known, group, damage),
        };
        loop {
            let read = match guarded(|| rows.next().transpose()) {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(()),
                Err(damage) => return self.damaged(&file, known, group, damage),
            };
            match checker.batch(&read, place) {
                Ok(outcome) => {
                    if let Some(stray) = outcome.stray {
                        self.blame(&known.entry, stray);
                    }
                    self.watch.rows(outcome.rows).map_err(|_stopped| Error::Stopped)?;
                }
                Err(error) => self.blame(&known.entry, error.to_string()),
            }
        }
    }

    /// Part of a row group makes no sense.
    fn damaged(&self, file: &OpenFile, known: &Known, group: usize, damage: Damage) -> Result<(), Error> {
        if matches!(&damage, Damage::Error(error) if !error.is_damage()) {
            return self.unreadable(&known.entry, damage);
        }
        let name = self.name(&known.entry);
        let place = Place { file: &name, day: known.entry.day, leaves: known.leaves.as_ref() };
        let why = damage.text();
        if name_rows(file, group, place, self.shards, &why) == 0 {
            self.blame(&known.entry, format!("row group {group}: {why}"));
        }
        Ok(())
    }

    /// A file that cannot be read at all. What the disk refuses for the moment is no finding but an error.
    fn unreadable(&self, entry: &FileEntry, damage: Damage) -> Result<(), Error> {
        match damage {
            Damage::Error(error) if error.is_missing_file() => {
                self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
            }
            Damage::Error(error) if !error.is_damage() => return Err(error.into()),
            damage @ (Damage::Error(_) | Damage::Panic) => self.blame(entry, damage.text()),
        }
        Ok(())
    }

    fn blame(&self, entry: &FileEntry, what: String) {
        let fault = FileFault { file: self.name(entry), what };
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    fn name(&self, entry: &FileEntry) -> String {
        entry.path.strip_prefix(self.table).unwrap_or(&entry.path).display().to_string()
    }
}
