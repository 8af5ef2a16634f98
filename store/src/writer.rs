//! Turns batches of rows into durable Parquet files that are not yet part of the table.

use crate::durable::{create_dir_durably, sync_dir};
use crate::error::Error;
use crate::layout::{file_schema, writer_properties};
use ambit_schemas::columns::{PARTITION_COLUMN, names};
use ambit_schemas::{Shard, Timestamp, Topic};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Footer key under which a file says which leaves of which shards it holds.
pub(crate) const SHARDS_KEY: &str = "ambit.shards";

/// A durable file that is not yet part of the table: [`crate::Store::commit`] makes it so.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Relative to the table, with the partition's folder.
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) day: String,
    pub(crate) stats: String,
    pub(crate) rows: usize,
}

impl DataFile {
    /// Rows in the file.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the file.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// Writes batches of rows. One per thread.
#[derive(Debug)]
pub struct Writer {
    table: PathBuf,
    fsync: bool,
    open: BTreeMap<i32, OpenFile>,
}

struct OpenFile {
    day: String,
    path: PathBuf,
    inner: ArrowWriter<File>,
    ranges: Ranges,
    rows: usize,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) const fn new(table: PathBuf, fsync: bool) -> Self {
        Self { table, fsync, open: BTreeMap::new() }
    }

    /// Adds rows of the layout of `ambit_schemas::columns`. Rows of one shard must come in the order of their leaves.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut start = 0;
        while start < batch.num_rows() {
            let (day, end) = run_of_one_day(batch, start);
            let rows = batch.slice(start, end - start);
            self.write_day(day, &rows)?;
            start = end;
        }
        Ok(())
    }

    /// Ends the files: they are durable when this returns, and the writer is empty.
    pub fn finish(&mut self) -> Result<Vec<DataFile>, Error> {
        let mut files = Vec::with_capacity(self.open.len());
        for (_, file) in std::mem::take(&mut self.open) {
            files.push(file.finish(self.fsync)?);
        }
        Ok(files)
    }

    /// Forgets what was written since the last [`Writer::finish`].
    pub fn discard(&mut self) {
        for (_, file) in std::mem::take(&mut self.open) {
            drop(file.inner);
            if let Err(error) = fs::remove_file(&file.path) {
                tracing::debug!(%error, "an unfinished data file stays behind");
            }
        }
    }

    fn write_day(&mut self, day: i32, rows: &RecordBatch) -> Result<(), Error> {
        if !self.open.contains_key(&day) {
            let file = OpenFile::create(&self.table, day, self.fsync)?;
            self.open.insert(day, file);
        }
        let Some(file) = self.open.get_mut(&day) else { return Ok(()) };
        file.ranges.extend(rows);
        file.rows += rows.num_rows();
        let projected = without_partition(rows)?;
        file.inner.write(&projected).map_err(|cause| Error::parquet("write", &file.path, cause))
    }
}

fn run_of_one_day(batch: &RecordBatch, start: usize) -> (i32, usize) {
    let days =
        batch.column_by_name(PARTITION_COLUMN).and_then(|column| column.as_primitive_opt::<Date32Type>());
    let Some(days) = days else { return (0, batch.num_rows()) };
    let day = days.value(start);
    let end = (start..batch.num_rows()).find(|row| days.value(*row) != day).unwrap_or(batch.num_rows());
    (day, end)
}

fn without_partition(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let keep: Vec<usize> = batch
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| field.name() != PARTITION_COLUMN)
        .map(|(index, _)| index)
        .collect();
    Ok(batch.project(&keep)?)
}

impl OpenFile {
    fn create(table: &Path, day: i32, fsync: bool) -> Result<Self, Error> {
        let midnight = Timestamp::from_micros(i64::from(day) * 86_400_000_000).to_string();
        let day = midnight.split('T').next().unwrap_or_default().to_owned();
        let dir = table.join(format!("{PARTITION_COLUMN}={day}"));
        create_dir_durably(&dir, fsync).map_err(|cause| Error::io("create", &dir, cause))?;
        let path = dir.join(format!("part-{}.parquet", Uuid::now_v7()));
        let file = File::create_new(&path).map_err(|cause| Error::io("create", &path, cause))?;
        let inner = ArrowWriter::try_new(file, file_schema(), Some(writer_properties()))
            .map_err(|cause| Error::parquet("begin", &path, cause))?;
        Ok(Self { day, path, inner, ranges: Ranges::default(), rows: 0 })
    }

    fn finish(mut self, fsync: bool) -> Result<DataFile, Error> {
        self.inner.append_key_value_metadata(KeyValue::new(SHARDS_KEY.to_owned(), self.ranges.footer()));
        let path = self.path;
        let file = self.inner.into_inner().map_err(|cause| Error::parquet("finish", &path, cause))?;
        if fsync {
            file.sync_all().map_err(|cause| Error::io("fsync", &path, cause))?;
        }
        if let Some(dir) = path.parent() {
            sync_dir(dir, fsync).map_err(|cause| Error::io("fsync", dir, cause))?;
        }
        let size = file.metadata().map_err(|cause| Error::io("read the size of", &path, cause))?.len();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Ok(DataFile {
            name: format!("{PARTITION_COLUMN}={}/{name}", self.day),
            size,
            stats: self.ranges.stats(self.rows),
            day: self.day,
            rows: self.rows,
        })
    }
}

/// Which leaves of which shards a file holds, and the span of its times.
#[derive(Debug, Default)]
struct Ranges {
    shards: BTreeMap<Shard, (i64, i64)>,
    time: Option<(i64, i64)>,
    recorded_at: Option<(i64, i64)>,
    no_time: usize,
}

impl Ranges {
    fn extend(&mut self, batch: &RecordBatch) {
        let topics = batch.column_by_name(names::TOPIC).and_then(|column| column.as_string_opt::<i32>());
        let partitions =
            batch.column_by_name(names::PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let leaves =
            batch.column_by_name(names::LEAF_INDEX).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(topics), Some(partitions), Some(leaves)) = (topics, partitions, leaves) else { return };
        for row in 0..batch.num_rows() {
            let Some(topic) = Topic::from_name(topics.value(row)) else { continue };
            let shard = Shard::new(topic, partitions.value(row).cast_unsigned());
            let leaf = leaves.value(row);
            let range = self.shards.entry(shard).or_insert((leaf, leaf));
            *range = (range.0.min(leaf), range.1.max(leaf));
        }
        self.time = span(self.time, batch, names::TIME);
        self.recorded_at = span(self.recorded_at, batch, names::RECORDED_AT);
        self.no_time += batch.column_by_name(names::TIME).map_or(0, Array::null_count);
    }

    /// `{"ambit.events/0": [first, last], ...}`
    fn footer(&self) -> String {
        let map: BTreeMap<String, [i64; 2]> =
            self.shards.iter().map(|(shard, (first, last))| (shard.to_string(), [*first, *last])).collect();
        json!(map).to_string()
    }

    /// Per-file statistics as the Delta protocol has them. Times are milliseconds there: the span is widened to them.
    fn stats(&self, rows: usize) -> String {
        let (mut least, mut most) = (serde_json::Map::new(), serde_json::Map::new());
        let keys: Vec<&Shard> = self.shards.keys().collect();
        if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
            least.insert(names::TOPIC.into(), json!(first.topic.name()));
            most.insert(names::TOPIC.into(), json!(last.topic.name()));
            least.insert(names::PARTITION.into(), json!(keys.iter().map(|shard| shard.partition).min()));
            most.insert(names::PARTITION.into(), json!(keys.iter().map(|shard| shard.partition).max()));
            least.insert(names::LEAF_INDEX.into(), json!(self.shards.values().map(|range| range.0).min()));
            most.insert(names::LEAF_INDEX.into(), json!(self.shards.values().map(|range| range.1).max()));
        }
        for (name, times) in [(names::TIME, self.time), (names::RECORDED_AT, self.recorded_at)] {
            if let Some((from, to)) = times {
                let floor = from.div_euclid(1_000) * 1_000;
                let ceiling = (to.div_euclid(1_000) + 1) * 1_000;
                least.insert(name.into(), json!(Timestamp::from_micros(floor)));
                most.insert(name.into(), json!(Timestamp::from_micros(ceiling)));
            }
        }
        let nulls = json!({names::TIME: self.no_time, names::RECORDED_AT: 0, names::LEAF_INDEX: 0});
        json!({"numRecords": rows, "minValues": least, "maxValues": most, "nullCount": nulls}).to_string()
    }
}

fn span(so_far: Option<(i64, i64)>, batch: &RecordBatch, name: &str) -> Option<(i64, i64)> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let least = arrow::compute::min(column);
    let most = arrow::compute::max(column);
    match (so_far, least, most) {
        (Some((from, to)), Some(least), Some(most)) => Some((from.min(least), to.max(most))),
        (None, Some(least), Some(most)) => Some((least, most)),
        (so_far, _, _) => so_far,
    }
}
