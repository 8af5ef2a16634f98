//! `fsck`: whether the table on disk is what was committed, file by file, without trusting any of it.
//!
//! Log entries carry their own digest, data files and documents have theirs in their names, checkpoints have theirs
//! beside. What is missing, longer, shorter or changed is named. Last the rows of each shard are counted: with those that
//! retention has deleted they must be as many as were committed.

use crate::control::DIR;
use crate::error::Error;
use crate::head::{Head, log_error};
use crate::hold::Holds;
use crate::retention::APPEND_ONLY;
use crate::retired::Retired;
use crate::rows::{Footer, Reader};
use crate::seal;
use crate::snapshot::FileEntry;
use crate::store::{Options, Store};
use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Topic};
use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that is not as it was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file concerned, relative to the table.
    pub file: String,
    /// What is wrong with it, for people.
    pub what: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The newest version, when the log could be read.
    pub version: Option<u64>,
    /// Log entries that were read.
    pub entries: usize,
    /// Data files that were read.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows that retention has deleted.
    pub retired: u64,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

impl Checked {
    fn fault(&mut self, table: &Path, path: &Path, what: impl Into<String>) {
        let file = path.strip_prefix(table).unwrap_or(path).display().to_string();
        self.faults.push(Fault { file, what: what.into() });
    }
}

/// Reads the whole table. `progress` hears of every data file: how many have been read, and of how many.
pub async fn fsck(options: Options, progress: impl Fn(usize, usize) + Send) -> Result<Checked, Error> {
    let table =
        std::path::absolute(&options.path).map_err(|cause| Error::io("resolve", &options.path, cause))?;
    let mut found = Checked::default();
    check_log(objects(&options, &table)?.as_ref(), &table, &mut found).await?;
    let store = match Store::open(options).await {
        Ok(store) => store,
        Err(error) => {
            found.fault(&table, &table.join("_delta_log"), chain(&error));
            return Ok(found);
        }
    };
    let snapshot = store.snapshot().await?;
    found.version = Some(snapshot.version);
    let mut counts: BTreeMap<Shard, u64> = BTreeMap::new();
    for (index, entry) in snapshot.files.iter().enumerate() {
        progress(index, snapshot.files.len());
        let (of, reader) = (entry.clone(), store.reader());
        let counted = tokio::task::spawn_blocking(move || check_file(&reader, &of)).await;
        match counted.map_err(|_| Error::Cancelled)? {
            Ok(shards) => {
                found.files += 1;
                found.rows += shards.values().sum::<u64>();
                found.bytes += entry.size;
                for (shard, rows) in shards {
                    *counts.entry(shard).or_default() += rows;
                }
            }
            Err(error) => found.fault(&table, &entry.path, chain(&error)),
        }
    }
    if found.faults.is_empty() {
        store.check_counts(&table, &counts, &mut found).await?;
    }
    Ok(found)
}

/// An error with its causes, as one sentence.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// The table's objects, before anything of it is believed.
fn objects(options: &Options, table: &Path) -> Result<Arc<dyn ObjectStore>, Error> {
    Ok(match &options.s3 {
        Some(s3) => Arc::new(PrefixStore::new(s3.connect()?, s3.prefix())),
        None => Arc::new(LocalFileSystem::new_with_prefix(table).map_err(Error::Objects)?),
    })
}

async fn fetch(objects: &dyn ObjectStore, name: &str) -> Result<bytes::Bytes, object_store::Error> {
    objects.get(&ObjectPath::from(name)).await?.bytes().await
}

/// Entries, checkpoints, and that no entry is missing between them.
async fn check_log(objects: &dyn ObjectStore, table: &Path, found: &mut Checked) -> Result<(), Error> {
    let log = ObjectPath::from("_delta_log");
    let listed: Vec<_> = objects.list(Some(&log)).try_collect().await.map_err(Error::Objects)?;
    let (mut entries, mut checkpoints): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    for meta in listed {
        let path = table.join(meta.location.as_ref());
        let Some(name) = meta.location.filename() else { continue };
        let Some(version) = name.get(..20).and_then(|digits| digits.parse().ok()) else { continue };
        let entry = name.get(20..) == Some(".json");
        if !entry && name.get(20..) != Some(".checkpoint.parquet") {
            continue;
        }
        if entry {
            entries.push(version);
        } else {
            checkpoints.push(version);
        }
        match fetch(objects, meta.location.as_ref()).await {
            Ok(bytes) if entry => check_entry(table, &path, &bytes, found),
            Ok(bytes) => {
                let digest = fetch(objects, &checkpoint_digest(version)).await.ok();
                check_checkpoint(table, &path, bytes, digest, found);
            }
            // Cleaned up while this was reading.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => found.fault(table, &path, format!("it cannot be read: {error}")),
        }
    }
    entries.sort_unstable();
    found.entries = entries.len();
    let from = checkpoints.iter().min().map_or(0, |oldest| oldest + 1);
    let last = entries.last().copied().unwrap_or_default();
    for version in (from..=last).filter(|version| entries.binary_search(version).is_err()) {
        let path = table.join(format!("_delta_log/{version:020}.json"));
        found.fault(table, &path, "it is missing: restore it from a copy");
    }
    let hint = "_delta_log/_last_checkpoint";
    if let Ok(text) = fetch(objects, hint).await {
        let version = serde_json::from_slice::<serde_json::Value>(&text)
            .ok()
            .and_then(|hint| hint.get("version")?.as_u64());
        match version {
            Some(version) if checkpoints.contains(&version) => {}
            Some(version) => {
                found.fault(table, &table.join(hint), format!("checkpoint {version} is missing"));
            }
            None => found.fault(table, &table.join(hint), "it is not JSON with a version: delete it"),
        }
    }
    Ok(())
}

fn check_entry(table: &Path, path: &Path, bytes: &[u8], found: &mut Checked) {
    if !seal::holds(bytes) {
        return found.fault(
            table,
            path,
            "its bytes are not those that were committed: restore it from a copy",
        );
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for line in lines {
        if let Err(error) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line) {
            return found.fault(table, path, format!("it is not JSON: {error}"));
        }
    }
    if bytes.trim_ascii().is_empty() {
        found.fault(table, path, "it is empty");
    }
}

/// Where the digest of a checkpoint lies.
pub(crate) fn checkpoint_digest(version: u64) -> String {
    format!("{DIR}/checkpoint-{version:020}.sha256")
}

fn check_checkpoint(
    table: &Path,
    path: &Path,
    bytes: bytes::Bytes,
    digest: Option<bytes::Bytes>,
    found: &mut Checked,
) {
    match digest {
        Some(digest) if digest.trim_ascii() != hex::encode(Sha256::digest(&bytes)).as_bytes() => {
            found.fault(table, path, "its bytes are not those that were written: delete it, or restore it");
        }
        Some(_) => {}
        // Written by another program: reading all of it is the best that can be done.
        None => {
            let rows = ParquetRecordBatchReaderBuilder::try_new(bytes)
                .and_then(ParquetRecordBatchReaderBuilder::build);
            let read = rows.map_err(|error| error.to_string()).and_then(|mut rows| {
                rows.try_for_each(|batch| batch.map(|_| ())).map_err(|error| error.to_string())
            });
            if let Err(what) = read {
                found.fault(table, path, what);
            }
        }
    }
}

/// Reads a data file and counts the rows of each shard in it.
fn check_file(reader: &Reader, entry: &FileEntry) -> Result<BTreeMap<Shard, u64>, Error> {
    let path: &PathBuf = &entry.path;
    let wrong = |what: String| Error::Damaged { path: path.clone(), what };
    let bytes = reader.read_checked(entry)?;
    if bytes.len() as u64 != entry.size {
        return Err(wrong(format!("it has {} bytes, the table says {}", bytes.len(), entry.size)));
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .map_err(|cause| Error::parquet("read", path, cause))?;
    let footer = Footer::of(builder.metadata(), path)?;
    if footer.rows != entry.rows {
        return Err(wrong(format!("it has {} rows, the table says {}", footer.rows, entry.rows)));
    }
    let trusted = crate::datafile::digest_in_name(&entry.name).is_some();
    let columns = [names::TOPIC, names::PARTITION];
    let mask = if trusted {
        ProjectionMask::columns(builder.parquet_schema(), columns)
    } else {
        ProjectionMask::all()
    };
    let reader =
        builder.with_projection(mask).build().map_err(|cause| Error::parquet("read", path, cause))?;
    let mut counts: BTreeMap<Shard, u64> = BTreeMap::new();
    for batch in reader {
        let batch = batch.map_err(|cause| wrong(cause.to_string()))?;
        let topics = batch.column_by_name(names::TOPIC).and_then(|column| column.as_string_opt::<i32>());
        let partitions =
            batch.column_by_name(names::PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(topics), Some(partitions)) = (topics, partitions) else {
            return Err(wrong("it does not say of which shard its rows are".into()));
        };
        for row in 0..batch.num_rows() {
            let topic = Topic::from_name(topics.value(row))
                .ok_or_else(|| wrong(format!("it has rows of topic `{}`", topics.value(row))))?;
            let shard = Shard::new(topic, partitions.value(row).cast_unsigned());
            *counts.entry(shard).or_default() += 1;
        }
    }
    Ok(counts)
}

impl Store {
    /// INVARIANT L-1: as many rows as leaves, less those that retention has deleted.
    async fn check_counts(
        &self,
        table: &Path,
        counts: &BTreeMap<Shard, u64>,
        found: &mut Checked,
    ) -> Result<(), Error> {
        let metadata = self.newest().await?.snapshot().map_err(log_error)?.metadata().clone();
        let documents = table.join(DIR);
        if let Err(error) = self.document::<Holds>(&metadata).await {
            found.fault(table, &documents, chain(&error));
        }
        let retired: Retired = match self.document(&metadata).await {
            Ok(retired) => retired,
            Err(error) => {
                found.fault(table, &documents, chain(&error));
                return Ok(());
            }
        };
        let log = table.join("_delta_log");
        if metadata.configuration().get(APPEND_ONLY).is_none_or(|value| value != "true") {
            found.fault(table, &log, "the table may be deleted from: `delta.appendOnly` is not set");
        }
        let mut head = Head::new(metadata_version(self).await?);
        let known = retired.shards().keys().filter_map(|text| text.parse().ok());
        let shards: std::collections::BTreeSet<Shard> = counts.keys().copied().chain(known).collect();
        for shard in shards {
            let gone = retired.of(shard).count();
            found.retired += gone;
            let rows = counts.get(&shard).copied().unwrap_or_default();
            let leaves = self.position(&mut head, shard).await?.tree_size;
            if rows + gone != leaves {
                let what =
                    format!("shard {shard} has {rows} rows and {gone} deleted ones, {leaves} were committed");
                found.fault(table, &log, what);
            }
        }
        Ok(())
    }
}

async fn metadata_version(store: &Store) -> Result<u64, Error> {
    Ok(store.newest().await?.version().unwrap_or_default())
}
