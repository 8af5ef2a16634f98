//! Reads a shard back in the order of its leaves: for proofs, replay and everything that is rebuilt.
//!
//! Files that ingest wrote hold each shard's rows in that order and are streamed. Compacted files are in another order:
//! their rows of the shard are put back in order in memory, one file at a time unless their ranges overlap. When a
//! file has gone because it was compacted and vacuumed meanwhile, the scan goes on from its next leaf over the newest
//! version: the rows are the same, in other files.

use crate::error::Error;
use crate::layout::file_schema;
use crate::rows::{Reader, conform, is_absent};
use crate::snapshot::{FileEntry, Snapshot};
use crate::store::Store;
use ambit_schemas::Shard;
use ambit_schemas::columns::names;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use futures::stream::{self, Stream};
use std::path::Path;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Batches that wait for the reader of a scan.
const BATCHES_AHEAD: usize = 2;
/// Rows of one batch that was put back in order: few enough that the texts of large events fit one Arrow array.
const ORDERED_ROWS: usize = 1_024;
/// How often a scan takes up a newer version because a file has gone, before it says so.
const RESTARTS_MAX: u32 = 8;

/// A file that holds leaves of the shard.
struct Piece {
    first: u64,
    last: u64,
    entry: FileEntry,
    by_leaf: bool,
}

struct Scan {
    store: Store,
    shard: Shard,
    next_leaf: u64,
    restarts: u32,
    rows: Option<Opened>,
}

struct Opened {
    rows: mpsc::Receiver<Result<RecordBatch, Error>>,
    reading: JoinHandle<()>,
}

impl Store {
    /// The rows of a shard from a leaf on, in order of leaves, as of the newest version. Columns are those of the
    /// data files: all but the partition; what an older file lacks is null.
    pub fn scan(
        &self,
        shard: Shard,
        from_leaf: u64,
    ) -> impl Stream<Item = Result<RecordBatch, Error>> + Send + use<> {
        let scan = Scan { store: self.clone(), shard, next_leaf: from_leaf, restarts: 0, rows: None };
        stream::unfold(Some(scan), |scan| async move {
            let mut scan = scan?;
            match scan.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(scan))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl Scan {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let opened = match &mut self.rows {
                Some(opened) => match opened.rows.recv().await {
                    // A reader that broke off must not look like one that came to the end.
                    None => (&mut opened.reading).await.err().map(|_| Err(Error::Cancelled)),
                    next => next,
                },
                None => match self.begin().await {
                    Ok(()) => continue,
                    Err(error) => Some(Err(error)),
                },
            };
            match opened.transpose() {
                Ok(Some(batch)) => {
                    self.next_leaf = last_leaf(&batch).map_or(self.next_leaf, |leaf| leaf + 1);
                    return Ok(Some(batch));
                }
                Ok(None) => return Ok(None),
                Err(error) if is_absent(&error) && self.restarts < RESTARTS_MAX => {
                    self.restarts += 1;
                    self.rows = None;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A thread reads ahead, bounded by the channel; it ends when the scan is dropped.
    async fn begin(&mut self) -> Result<(), Error> {
        let snapshot = self.store.snapshot().await?;
        let (shard, from_leaf) = (self.shard, self.next_leaf);
        let (reader, files) = (self.store.reader(), self.store.reader());
        let listed = tokio::task::spawn_blocking(move || pieces(&files, &snapshot, shard, from_leaf)).await;
        let pieces = listed.map_err(|_| Error::Cancelled)??;
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut reading = Reading { shard, from_leaf, reader, sender };
            if let Err(error) = reading.run(&pieces) {
                // When nobody listens any more, nobody needs the error.
                drop(reading.sender.blocking_send(Err(error)));
            }
        });
        self.rows = Some(Opened { rows: receiver, reading });
        Ok(())
    }
}

fn last_leaf(batch: &RecordBatch) -> Option<u64> {
    let leaves = batch.column_by_name(names::LEAF_INDEX)?.as_primitive_opt::<Int64Type>()?;
    leaves.values().last().map(|leaf| leaf.cast_unsigned())
}

/// Files that hold leaves of the shard from `from_leaf` on, in order. Each file says in its footer what it holds.
fn pieces(reader: &Reader, snapshot: &Snapshot, shard: Shard, from_leaf: u64) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    for entry in &snapshot.files {
        if entry.leaf_index.is_some_and(|(_, last)| last < from_leaf) {
            continue;
        }
        let footer = reader.footer(entry)?;
        if let Some((first, last)) = footer.range_of(shard).filter(|(_, last)| *last >= from_leaf) {
            pieces.push(Piece { first, last, entry: entry.clone(), by_leaf: footer.by_leaf });
        }
    }
    pieces.sort_by_key(|piece| (piece.first, piece.last));
    Ok(pieces)
}

struct Reading {
    shard: Shard,
    from_leaf: u64,
    reader: Reader,
    sender: mpsc::Sender<Result<RecordBatch, Error>>,
}

impl Reading {
    fn run(&mut self, pieces: &[Piece]) -> Result<(), Error> {
        let mut pool = Pool::default();
        for (index, piece) in pieces.iter().enumerate() {
            let next_first = pieces.get(index + 1).map_or(u64::MAX, |next| next.first);
            if pool.rows.is_empty() && piece.by_leaf && piece.last < next_first {
                self.stream(&piece.entry)?;
            } else {
                self.load(&piece.entry, &mut pool)?;
                for batch in pool.below(next_first) {
                    self.send(batch?);
                }
            }
            if self.sender.is_closed() {
                return Ok(());
            }
        }
        for batch in pool.below(u64::MAX) {
            self.send(batch?);
        }
        Ok(())
    }

    /// Whoever listened may have gone: the caller looks before the next file.
    fn send(&self, batch: RecordBatch) {
        drop(self.sender.blocking_send(Ok(batch)));
    }

    fn stream(&self, entry: &FileEntry) -> Result<(), Error> {
        let path = &entry.path;
        let layout = file_schema();
        for batch in self.reader.open(entry)?.reader {
            let batch =
                conform(&self.filter(&batch.map_err(|cause| unreadable(path, &cause))?)?, &layout, path)?;
            if batch.num_rows() > 0 && self.sender.blocking_send(Ok(batch)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn load(&self, entry: &FileEntry, pool: &mut Pool) -> Result<(), Error> {
        let path = &entry.path;
        let layout = file_schema();
        for batch in self.reader.open(entry)?.reader {
            let batch = self.filter(&batch.map_err(|cause| unreadable(path, &cause))?)?;
            pool.add(conform(&batch, &layout, path)?);
        }
        Ok(())
    }

    fn filter(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
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
                    topics.value(row) == self.shard.topic.name()
                        && partitions.value(row) == self.shard.partition.cast_signed()
                        && leaves.value(row).cast_unsigned() >= self.from_leaf,
                )
            })
            .collect();
        Ok(filter_record_batch(batch, &keep)?)
    }
}

pub(crate) fn unreadable(path: &Path, cause: &arrow::error::ArrowError) -> Error {
    Error::Damaged { path: path.to_owned(), what: cause.to_string() }
}

/// Rows of files whose order is not that of the leaves.
#[derive(Default)]
struct Pool {
    batches: Vec<RecordBatch>,
    /// Leaf, batch, row.
    rows: Vec<(u64, usize, usize)>,
}

impl Pool {
    fn add(&mut self, batch: RecordBatch) {
        let leaves =
            batch.column_by_name(names::LEAF_INDEX).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(leaves) = leaves.filter(|leaves| !leaves.is_empty()) else { return };
        let number = self.batches.len();
        let rows = leaves.values().iter().enumerate();
        self.rows.extend(rows.map(|(row, leaf)| (leaf.cast_unsigned(), number, row)));
        self.batches.push(batch);
    }

    /// Takes out, in order, the rows of all leaves below a bound: no file that is still to come holds any of them.
    fn below(&mut self, bound: u64) -> impl Iterator<Item = Result<RecordBatch, Error>> + use<> {
        self.rows.sort_unstable();
        let rest = self.rows.split_off(self.rows.partition_point(|(leaf, ..)| *leaf < bound));
        let ready = std::mem::replace(&mut self.rows, rest);
        let batches =
            if self.rows.is_empty() { std::mem::take(&mut self.batches) } else { self.batches.clone() };
        let mut at = 0;
        std::iter::from_fn(move || {
            let chunk =
                ready.get(at..ready.len().min(at + ORDERED_ROWS)).filter(|chunk| !chunk.is_empty())?;
            at += chunk.len();
            let all: Vec<&RecordBatch> = batches.iter().collect();
            let picks: Vec<(usize, usize)> = chunk.iter().map(|(_, batch, row)| (*batch, *row)).collect();
            Some(interleave_record_batch(&all, &picks).map_err(Error::from))
        })
    }
}
