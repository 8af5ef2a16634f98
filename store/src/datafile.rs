//! One Parquet file on its way into the table: first a draft under a partial name, then durable under its own.

use crate::disk::{DiskFile, Files, PARTIAL};
use crate::error::Error;
use crate::layout::{compacted_properties, fresh_properties};
use crate::ranges::{ORDER_KEY, Ranges, SHARDS_KEY};
use ambit_schemas::Timestamp;
use ambit_schemas::columns::PARTITION_COLUMN;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use uuid::Uuid;

/// The order of rows in compacted files.
pub(crate) const COMPACTED_ORDER: &str = "tenant,agent,time";

/// How a file came to be, which decides how it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Written by ingest: each shard's rows in the order of their leaves, written fast.
    Fresh,
    /// Written by compaction: ordered for those who look something up.
    Compacted,
}

/// A durable file that is not yet part of the table: [`crate::Store::commit`] makes it so.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Relative to the table, with the partition's folder.
    pub(crate) name: String,
    /// Where it lies on this machine.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) day: String,
    pub(crate) stats: String,
    pub(crate) rows: usize,
    pub(crate) finished: SystemTime,
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

    /// The action that makes it part of the table.
    pub(crate) fn add(&self, now_ms: i64, data_change: bool) -> Add {
        Add {
            path: self.name.clone(),
            partition_values: HashMap::from([(PARTITION_COLUMN.to_owned(), Some(self.day.clone()))]),
            size: self.size.cast_signed(),
            modification_time: now_ms,
            data_change,
            stats: Some(self.stats.clone()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }
    }
}

/// Hashes what goes through it.
struct Hashing {
    file: Box<dyn DiskFile>,
    hash: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        let (taken, _) = bytes.split_at(written.min(bytes.len()));
        self.hash.update(taken);
        self.size += taken.len() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is being written.
pub(crate) struct Draft {
    day: String,
    dir: PathBuf,
    stem: String,
    partial: PathBuf,
    inner: ArrowWriter<Hashing>,
    ranges: Ranges,
    rows: usize,
    kind: Kind,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("path", &self.partial).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A day, as the partition's folder has it.
pub(crate) fn day_text(day: i32) -> String {
    let midnight = Timestamp::from_micros(i64::from(day) * 86_400_000_000).to_string();
    midnight.split('T').next().unwrap_or_default().to_owned()
}

impl Draft {
    pub(crate) fn create(
        files: &Files,
        table: &Path,
        day: i32,
        schema: SchemaRef,
        kind: Kind,
    ) -> Result<Self, Error> {
        let day = day_text(day);
        let dir = table.join(format!("{PARTITION_COLUMN}={day}"));
        files.create_dir(&dir).map_err(|cause| Error::io("create", &dir, cause))?;
        let stem = format!("part-{}", Uuid::now_v7());
        let partial = dir.join(format!(".{stem}{PARTIAL}"));
        let file = files.create(&partial).map_err(|cause| Error::io("create", &partial, cause))?;
        let sink = Hashing { file, hash: Sha256::new(), size: 0 };
        let properties = match kind {
            Kind::Fresh => fresh_properties(),
            Kind::Compacted => compacted_properties(&schema),
        };
        let inner = ArrowWriter::try_new(sink, schema, Some(properties))
            .map_err(|cause| Error::parquet("begin", &partial, cause))?;
        Ok(Self { day, dir, stem, partial, inner, ranges: Ranges::default(), rows: 0, kind })
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.ranges.extend(rows);
        self.rows += rows.num_rows();
        self.inner.write(rows).map_err(|cause| Error::parquet("write", &self.partial, cause))
    }

    /// Bytes, then name: both are durable when this returns. INVARIANT L-3
    pub(crate) fn finish(mut self, files: &Files) -> Result<DataFile, Error> {
        self.inner.append_key_value_metadata(KeyValue::new(SHARDS_KEY.to_owned(), self.ranges.footer()));
        if self.kind == Kind::Compacted {
            let order = KeyValue::new(ORDER_KEY.to_owned(), COMPACTED_ORDER.to_owned());
            self.inner.append_key_value_metadata(order);
        }
        let partial = self.partial;
        let mut sink = self.inner.into_inner().map_err(|cause| Error::parquet("finish", &partial, cause))?;
        files.sync(sink.file.as_mut()).map_err(|cause| Error::io("fsync", &partial, cause))?;
        let file_name = format!("{}-{}.parquet", self.stem, hex::encode(sink.hash.finalize()));
        let path = self.dir.join(&file_name);
        files.rename(&partial, &path).map_err(|cause| Error::io("name", &path, cause))?;
        files.sync_dir(&self.dir).map_err(|cause| Error::io("fsync", &self.dir, cause))?;
        Ok(DataFile {
            name: format!("{PARTITION_COLUMN}={}/{file_name}", self.day),
            path,
            size: sink.size,
            stats: self.ranges.stats(self.rows),
            day: self.day,
            rows: self.rows,
            finished: SystemTime::now(),
        })
    }

    pub(crate) fn discard(self, files: &Files) {
        drop(self.inner);
        if let Err(error) = files.remove(&self.partial) {
            tracing::debug!(%error, "an unfinished data file stays behind");
        }
    }
}

/// The SHA-256 that a file's name says it has, hexadecimal; none in names that others gave.
pub(crate) fn digest_in_name(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".parquet")?;
    let (_, digest) = stem.rsplit_once('-')?;
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}
