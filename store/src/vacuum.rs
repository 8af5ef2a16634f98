//! Vacuum: deletes files that no version of the table has any more which can still be read.
//!
//! Kept are: the files of the newest version; those that it replaced within the history, for readers that began before;
//! those that any version has whose log entry is still there; and every file younger than the history, for its writer
//! may be about to commit it. A writer that was stopped for longer refuses by itself to commit ([`Error::Stale`]).

use crate::commit::milliseconds;
use crate::disk::PARTIAL;
use crate::error::Error;
use crate::head::log_error;
use crate::store::Store;
use ambit_schemas::columns::PARTITION_COLUMN;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What vacuum did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// Files that newer versions had replaced.
    pub replaced: usize,
    /// Files of writers that died before they committed.
    pub orphans: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Files that are kept though the newest version does not have them.
    pub kept: usize,
}

impl Store {
    /// Deletes what nobody can need any more; with `dry_run` only counts it.
    pub async fn vacuum(&self, dry_run: bool) -> Result<Vacuumed, Error> {
        let _one = self.maintaining.lock().await;
        let _turn = self.take_turn().await?;
        let objects = self.log.object_store(None);
        // Listed first: what is committed after this is too young to be deleted.
        let listed: Vec<ObjectMeta> = objects.list(None).try_collect().await.map_err(Error::Objects)?;
        let table = self.afresh().await?;
        let state = table.snapshot().map_err(log_error)?;
        let active: HashSet<String> = state.log_data().iter().map(|view| view.path().into_owned()).collect();
        let mut replaced = HashMap::new();
        let mut tombstones = state.all_tombstones(self.log.as_ref());
        while let Some(tombstone) = tombstones.next().await {
            let tombstone = tombstone.map_err(log_error)?;
            replaced
                .insert(tombstone.path().into_owned(), tombstone.deletion_timestamp().unwrap_or_default());
        }
        drop(tombstones);
        let history = i64::try_from(self.options.history.as_millis()).unwrap_or(i64::MAX);
        let horizon = milliseconds().saturating_sub(history);
        let readable_since = oldest_entry(&listed).unwrap_or(horizon).min(horizon);
        let mut done = Vacuumed::default();
        for meta in listed {
            let Some(name) = data_file(&meta.location) else { continue };
            if active.contains(name) {
                continue;
            }
            let tombstone = replaced.get(name);
            let young = meta.last_modified.timestamp_millis() >= horizon;
            if young || tombstone.is_some_and(|deleted| *deleted >= readable_since) {
                done.kept += 1;
                continue;
            }
            if !dry_run {
                objects.delete(&meta.location).await.map_err(Error::Objects)?;
            }
            done.bytes += meta.size;
            if tombstone.is_some() { done.replaced += 1 } else { done.orphans += 1 }
        }
        Ok(done)
    }
}

/// The name of a data file, finished or not, or of an unfinished object of the log.
fn data_file(location: &ObjectPath) -> Option<&str> {
    let name = location.as_ref();
    let ours = name.starts_with(PARTITION_COLUMN) && name.ends_with(".parquet");
    (ours || name.ends_with(PARTIAL)).then_some(name)
}

/// When the oldest version that can still be read was made, in milliseconds since 1970.
fn oldest_entry(listed: &[ObjectMeta]) -> Option<i64> {
    let entries = listed.iter().filter_map(|meta| {
        let name = meta.location.as_ref().strip_prefix("_delta_log/")?;
        let version: u64 = name.get(..20)?.parse().ok()?;
        Some((version, meta.last_modified.timestamp_millis()))
    });
    entries.min().map(|(_, modified)| modified)
}
