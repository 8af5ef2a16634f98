//! Compaction: many small files become one, in the order in which people look things up.
//!
//! A commit per second makes a few files per second. Within a day they are merged level by level, each level `fan_in`
//! times as large as the one below, so that a row is rewritten a few times only; what is left of a day that is over
//! becomes one file, or as many of the full size as it needs. The commit says `dataChange = false`: the same rows, in
//! other files. Their leaf indices are in the rows, so every proof still holds. Appends are never in its way: it takes
//! the next version like anybody else. What it replaces stays on disk until vacuum.

use crate::commit::milliseconds;
use crate::datafile::{DataFile, Draft, Kind};
use crate::disk::Files;
use crate::error::Error;
use crate::head::RACES_MAX;
use crate::layout::SORTED_BY;
use crate::maintenance::Maintenance;
use crate::rows::{Reader, conform, without};
use crate::scan::unreadable;
use crate::snapshot::{FileEntry, Snapshot};
use crate::store::Store;
use ambit_schemas::columns::{PARTITION_COLUMN, names};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use deltalake::kernel::{Action, Remove};
use deltalake::protocol::DeltaOperation;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Bytes of the lowest level's files at most; each level above is `fan_in` times as large.
const LEVEL_BYTES: u64 = 256 << 10;
/// Rows that are written at once: few enough that the texts of large events fit one Arrow array.
const CHUNK_ROWS: usize = 1_024;
/// Most files that become one at once: bounds open readers and the length of the commit.
const GROUP_FILES: usize = 512;

/// What compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// Files that were replaced.
    pub replaced: usize,
    /// Files that replace them.
    pub written: usize,
    /// Rows in them.
    pub rows: u64,
    /// Groups that could not be compacted, and why: their files stay as they are.
    pub failed: Vec<String>,
}

impl Store {
    /// Compacts what is due. `today` is the day (since 1970) that is not over yet; `all` merges it too.
    pub async fn compact(&self, options: &Maintenance, today: i32, all: bool) -> Result<Compacted, Error> {
        let _one = self.maintaining.lock().await;
        let _turn = self.take_turn().await?;
        let snapshot = self.snapshot().await?;
        let mut done = Compacted::default();
        let listing = (self.reader(), Arc::clone(&snapshot), options.clone());
        let today = if all { i32::MAX } else { today };
        let planned = tokio::task::spawn_blocking(move || {
            let (reader, snapshot, options) = listing;
            let mut failed = Vec::new();
            (groups(&reader, &snapshot, &options, today, &mut failed), failed)
        })
        .await;
        let (planned, failed) = planned.map_err(|_| Error::Cancelled)?;
        done.failed = failed;
        for group in planned {
            match self.compact_group(&group).await {
                Ok(Some(file)) => {
                    done.replaced += group.len();
                    done.written += 1;
                    done.rows += file.rows as u64;
                }
                Ok(None) => {}
                // The files stay as they are: the next pass tries again, and other groups are not held up.
                Err(error @ (Error::Damaged { .. } | Error::Parquet { .. } | Error::Arrow(_))) => {
                    done.failed.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    async fn compact_group(&self, group: &[FileEntry]) -> Result<Option<DataFile>, Error> {
        let layout = without(self.columns().await?.as_ref(), PARTITION_COLUMN);
        let (files, table) = (self.files.clone(), self.options.path.clone());
        let (inputs, reader) = (group.to_vec(), self.reader());
        let merged =
            tokio::task::spawn_blocking(move || merge(&reader, &files, &table, &inputs, &layout)).await;
        let file = merged.map_err(|_| Error::Cancelled)??;
        let operation = DeltaOperation::Optimize { predicate: None, target_size: file.size.cast_signed() };
        let replaced = self.replace(group, std::slice::from_ref(&file), operation).await;
        match replaced {
            Ok(true) => Ok(Some(file)),
            not_committed => {
                if let Err(error) = self.files.remove(&file.path) {
                    tracing::debug!(%error, "a file that was not committed stays behind");
                }
                not_committed.map(|_| None)
            }
        }
    }

    /// Files take the place of others that hold the same rows. `false` when one of those is no longer in the table:
    /// another process was first.
    async fn replace(
        &self,
        old: &[FileEntry],
        new: &[DataFile],
        operation: DeltaOperation,
    ) -> Result<bool, Error> {
        self.check_age(new)?;
        self.upload(new).await?;
        // What can be read beforehand is: appends wait for as long as the head is held.
        self.snapshot().await?;
        let mut head = self.head.lock().await;
        for _ in 0..RACES_MAX {
            self.follow(&mut head).await?;
            if !self.all_active(head.version, old).await? {
                return Ok(false);
            }
            let now = milliseconds();
            let removes = old.iter().map(|entry| Action::Remove(remove(entry, now, false)));
            let adds = new.iter().map(|file| Action::Add(file.add(now, false)));
            let actions = removes.chain(adds).collect();
            let put = self.put_entry(&mut head, actions, operation.clone(), Vec::new(), &[]).await?;
            if put.is_some() {
                self.uploaded(new);
                return Ok(true);
            }
        }
        Err(Error::Crowded)
    }

    /// Whether the table has all of these files as of a version.
    pub(crate) async fn all_active(&self, version: u64, files: &[FileEntry]) -> Result<bool, Error> {
        let snapshot = self.snapshot().await?;
        debug_assert!(snapshot.version >= version, "readers are not behind the head");
        let active: HashSet<&str> = snapshot.files.iter().map(|entry| entry.name.as_str()).collect();
        Ok(files.iter().all(|entry| active.contains(entry.name.as_str())))
    }
}

pub(crate) fn remove(entry: &FileEntry, now_ms: i64, data_change: bool) -> Remove {
    let day = crate::datafile::day_text(entry.day);
    Remove {
        path: entry.name.clone(),
        data_change,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::from([(PARTITION_COLUMN.to_owned(), Some(day))])),
        size: Some(entry.size.cast_signed()),
        ..Remove::default()
    }
}

/// Groups of files that are to become one each. Days before `today` are over.
fn groups(
    reader: &Reader,
    snapshot: &Snapshot,
    options: &Maintenance,
    today: i32,
    failed: &mut Vec<String>,
) -> Vec<Vec<FileEntry>> {
    let full = (options.target_mb << 20) / 2;
    let memory = options.memory_mb << 20;
    let mut days: BTreeMap<i32, Vec<&FileEntry>> = BTreeMap::new();
    for entry in snapshot.files.iter().filter(|entry| entry.size < full) {
        days.entry(entry.day).or_default().push(entry);
    }
    let mut groups = Vec::new();
    for (day, mut entries) in days {
        entries.sort_by_key(|entry| (entry.recorded_at.map(|(from, _)| from), entry.name.clone()));
        let mut levels: BTreeMap<u32, Vec<&FileEntry>> = BTreeMap::new();
        for entry in entries {
            let level = if day < today { 0 } else { level(entry.size, options.fan_in) };
            levels.entry(level).or_default().push(entry);
        }
        let due = if day < today { 2 } else { options.fan_in.max(2) };
        for entries in levels.into_values().filter(|entries| entries.len() >= due) {
            groups.extend(split(reader, &entries, memory, failed));
        }
    }
    groups
}

fn level(size: u64, fan_in: usize) -> u32 {
    let (mut level, mut bound) = (0, LEVEL_BYTES);
    while size > bound {
        level += 1;
        bound = bound.saturating_mul(fan_in.max(2) as u64);
    }
    level
}

/// Cuts a list of files into groups that fit the memory; a file that stays alone, or cannot be read, stays as it is.
fn split(
    reader: &Reader,
    entries: &[&FileEntry],
    memory: u64,
    failed: &mut Vec<String>,
) -> Vec<Vec<FileEntry>> {
    let (mut groups, mut group, mut bytes) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let raw = match reader.footer(entry) {
            Ok(footer) => footer.raw_bytes,
            Err(error) => {
                failed.push(error.to_string());
                continue;
            }
        };
        if !group.is_empty() && (bytes + raw > memory || group.len() == GROUP_FILES) {
            groups.push(std::mem::take(&mut group));
            bytes = 0;
        }
        bytes += raw;
        group.push((*entry).clone());
    }
    groups.push(group);
    groups.retain(|group| group.len() > 1);
    groups
}

/// Reads files whole, puts their rows in order, and writes them as one.
fn merge(
    reader: &Reader,
    files: &Files,
    table: &Path,
    inputs: &[FileEntry],
    layout: &SchemaRef,
) -> Result<DataFile, Error> {
    let mut sorter = Sorter::new(layout)?;
    for entry in inputs {
        let before = sorter.rows.len();
        for batch in reader.open_checked(entry)?.reader {
            let batch = batch.map_err(|cause| unreadable(&entry.path, &cause))?;
            sorter.add(conform(&batch, layout, &entry.path)?)?;
        }
        let found = (sorter.rows.len() - before) as u64;
        if found != entry.rows {
            let what = format!("it holds {found} rows, the table says {}", entry.rows);
            return Err(Error::Damaged { path: entry.path.clone(), what });
        }
    }
    let day = inputs.first().map_or(0, |entry| entry.day);
    sorter.write(files, table, day, layout)
}

/// Rows that are put in order: tenant, agent, time, and for reproducible files topic, partition, leaf.
pub(crate) struct Sorter {
    converter: RowConverter,
    batches: Vec<RecordBatch>,
    rows: Vec<(OwnedRow, usize, usize)>,
}

impl Sorter {
    pub(crate) fn new(layout: &SchemaRef) -> Result<Self, Error> {
        let fields: Result<Vec<SortField>, Error> = Self::keys()
            .map(|name| Ok(SortField::new(layout.field_with_name(name)?.data_type().clone())))
            .collect();
        Ok(Self { converter: RowConverter::new(fields?)?, batches: Vec::new(), rows: Vec::new() })
    }

    fn keys() -> impl Iterator<Item = &'static str> {
        SORTED_BY.into_iter().chain([names::TOPIC, names::PARTITION, names::LEAF_INDEX])
    }

    pub(crate) fn add(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let keys: Vec<ArrayRef> =
            Self::keys().filter_map(|name| batch.column_by_name(name).map(Arc::clone)).collect();
        let keys = self.converter.convert_columns(&keys)?;
        let number = self.batches.len();
        self.rows.extend(keys.iter().enumerate().map(|(row, key)| (key.owned(), number, row)));
        self.batches.push(batch);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn write(
        mut self,
        files: &Files,
        table: &Path,
        day: i32,
        layout: &SchemaRef,
    ) -> Result<DataFile, Error> {
        self.rows.sort_unstable();
        let mut draft = Draft::create(files, table, day, Arc::clone(layout), Kind::Compacted)?;
        let all: Vec<&RecordBatch> = self.batches.iter().collect();
        let written = self.rows.chunks(CHUNK_ROWS).try_for_each(|chunk| {
            let picks: Vec<(usize, usize)> = chunk.iter().map(|(_, batch, row)| (*batch, *row)).collect();
            draft.write(&interleave_record_batch(&all, &picks)?)
        });
        match written {
            Ok(()) => draft.finish(files),
            Err(error) => {
                draft.discard(files);
                Err(error)
            }
        }
    }
}
