//! Reads a shard back in the order of its leaves: for proofs, replay and everything that is rebuilt.

use crate::error::Error;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::writer::SHARDS_KEY;
use ambit_schemas::Shard;
use ambit_schemas::columns::names;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use futures::stream::{self, Stream, StreamExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows of one batch of a scan.
const BATCH_ROWS: usize = 8_192;
/// Batches that wait for the reader of a scan.
const BATCHES_AHEAD: usize = 2;

impl Store {
    /// The rows of a shard from a leaf on, in order of leaves, as of the newest version. Columns are those of the
    /// data files: all but the partition. At most a few batches are in memory.
    pub fn scan(
        &self,
        shard: Shard,
        from_leaf: u64,
    ) -> impl Stream<Item = Result<RecordBatch, Error>> + Send + use<> {
        let store = self.clone();
        stream::once(async move {
            let snapshot = store.snapshot().await?;
            let files = blocking(move || files_of(&snapshot, shard, from_leaf)).await?;
            Ok::<_, Error>(read(files, shard, from_leaf))
        })
        .flat_map(|opened| match opened {
            Ok(rows) => rows.left_stream(),
            Err(error) => stream::once(async { Err(error) }).right_stream(),
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Cancelled))
}

/// Files that hold leaves of the shard from `from_leaf` on, in order. Each file says in its footer what it holds.
fn files_of(snapshot: &Arc<Snapshot>, shard: Shard, from_leaf: u64) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in &snapshot.files {
        if entry.leaf_index.is_some_and(|(_, last)| last < from_leaf) {
            continue;
        }
        if let Some((first, last)) = range_of(&entry.path, shard)?
            && last >= from_leaf
        {
            files.push((first, entry.path.clone()));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
    let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| Error::parquet("read", path, cause))
}

fn range_of(path: &Path, shard: Shard) -> Result<Option<(u64, u64)>, Error> {
    let reader = open(path)?;
    let footer = reader.metadata().file_metadata().key_value_metadata();
    let text = footer
        .into_iter()
        .flatten()
        .find(|entry| entry.key == SHARDS_KEY)
        .and_then(|entry| entry.value.clone());
    let Some(text) = text else {
        // Not written by us: it may hold anything, so it is read.
        return Ok(Some((0, u64::MAX)));
    };
    let ranges: BTreeMap<String, [u64; 2]> = serde_json::from_str(&text).unwrap_or_default();
    Ok(ranges.get(&shard.to_string()).map(|[first, last]| (*first, *last)))
}

/// A thread reads ahead, bounded by the channel; it ends when the reader is dropped.
fn read(
    files: Vec<PathBuf>,
    shard: Shard,
    from_leaf: u64,
) -> impl Stream<Item = Result<RecordBatch, Error>> + Send {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        for path in files {
            if let Err(error) = read_file(&path, shard, from_leaf, &sender) {
                // When nobody listens any more, nobody needs the error.
                drop(sender.blocking_send(Err(error)));
                return;
            }
            if sender.is_closed() {
                return;
            }
        }
    });
    stream::unfold((receiver, reading), |(mut receiver, reading)| async move {
        let next = receiver.recv().await?;
        Some((next, (receiver, reading)))
    })
}

type Sender = mpsc::Sender<Result<RecordBatch, Error>>;

fn read_file(path: &Path, shard: Shard, from_leaf: u64, sender: &Sender) -> Result<(), Error> {
    let rows = open(path)?.with_batch_size(BATCH_ROWS).build();
    for batch in rows.map_err(|cause| Error::parquet("read", path, cause))? {
        let batch = filter(&batch?, shard, from_leaf)?;
        if batch.num_rows() > 0 && sender.blocking_send(Ok(batch)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn filter(batch: &RecordBatch, shard: Shard, from_leaf: u64) -> Result<RecordBatch, Error> {
    let topics = batch.column_by_name(names::TOPIC).and_then(|column| column.as_string_opt::<i32>());
    let partitions =
        batch.column_by_name(names::PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
    let leaves =
        batch.column_by_name(names::LEAF_INDEX).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(topics), Some(partitions), Some(leaves)) = (topics, partitions, leaves) else {
        return Ok(batch.slice(0, 0));
    };
    let keep: BooleanArray = (0..batch.num_rows())
        .map(|row| {
            Some(
                topics.value(row) == shard.topic.name()
                    && partitions.value(row) == shard.partition.cast_signed()
                    && leaves.value(row).cast_unsigned() >= from_leaf,
            )
        })
        .collect();
    Ok(filter_record_batch(batch, &keep)?)
}
