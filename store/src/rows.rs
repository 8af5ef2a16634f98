//! Reads data files as rows of one layout, whichever version of Ambit wrote them.

use crate::datafile::digest_in_name;
use crate::error::Error;
use crate::ranges::{ORDER_KEY, SHARDS_KEY};
use crate::snapshot::FileEntry;
use ambit_schemas::Shard;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Rows of one batch.
const BATCH_ROWS: usize = 8_192;
/// Rows of one batch of a file with large values: texts of one Arrow array hold 2 GiB at most.
const BATCH_ROWS_LARGE: usize = 512;
/// Uncompressed bytes from which a file counts as having large values.
const LARGE_BYTES: i64 = 1 << 30;

/// Bytes that are read from the end of an object for its footer; when it is longer, it is read again.
const FOOTER_BYTES: u64 = 64 << 10;

/// An open data file.
pub(crate) struct Rows {
    pub(crate) reader: ParquetRecordBatchReader,
}

/// What the footer of a file says.
#[derive(Debug, Clone)]
pub(crate) struct Footer {
    /// Rows.
    pub(crate) rows: u64,
    /// Bytes of all columns before compression.
    pub(crate) raw_bytes: u64,
    /// Leaves of each shard, first and last; none when the file was not written by us.
    pub(crate) shards: Option<BTreeMap<String, [u64; 2]>>,
    /// Whether each shard's rows stand in the order of their leaves.
    pub(crate) by_leaf: bool,
}

impl Footer {
    pub(crate) fn of(metadata: &ParquetMetaData, path: &Path) -> Result<Self, Error> {
        let notes = metadata.file_metadata().key_value_metadata();
        let note = |key: &str| {
            let found = notes.into_iter().flatten().find(|entry| entry.key == key);
            found.and_then(|entry| entry.value.clone())
        };
        let shards = note(SHARDS_KEY)
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| damaged(path, "its footer does not say which leaves it holds"))?;
        let raw: i64 = metadata.row_groups().iter().map(RowGroupMetaData::total_byte_size).sum();
        Ok(Self {
            rows: metadata.file_metadata().num_rows().unsigned_abs(),
            raw_bytes: raw.unsigned_abs(),
            by_leaf: shards.is_some() && note(ORDER_KEY).is_none(),
            shards,
        })
    }

    /// Leaves of a shard that the file may hold.
    pub(crate) fn range_of(&self, shard: Shard) -> Option<(u64, u64)> {
        let Some(shards) = &self.shards else {
            // Not written by us: it may hold anything, so it is read.
            return Some((0, u64::MAX));
        };
        shards.get(&shard.to_string()).map(|[first, last]| (*first, *last))
    }
}

pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Error {
    Error::Damaged { path: path.to_owned(), what: what.into() }
}

/// Reads data files, wherever they are. Blocks.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    remote: Option<(Arc<dyn ObjectStore>, Handle)>,
}

impl Reader {
    pub(crate) fn new(remote: Option<(Arc<dyn ObjectStore>, Handle)>) -> Self {
        Self { remote }
    }

    /// What the footer of a file says.
    pub(crate) fn footer(&self, entry: &FileEntry) -> Result<Footer, Error> {
        let path = &entry.path;
        if self.remote.is_some() {
            let tail = self.fetch(entry, Some(FOOTER_BYTES))?;
            let mut reader = ParquetMetaDataReader::new();
            let parsed = match reader.try_parse_sized(&tail, entry.size) {
                Err(ParquetError::NeedMoreData(needed)) => {
                    let longer = self.fetch(entry, Some(needed as u64))?;
                    reader.try_parse_sized(&longer, entry.size)
                }
                parsed => parsed,
            };
            let metadata = parsed.and_then(|()| reader.finish());
            return Footer::of(&metadata.map_err(|cause| Error::parquet("read", path, cause))?, path);
        }
        let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|cause| Error::parquet("read", path, cause))?;
        Footer::of(reader.metadata(), path)
    }

    /// Opens a file for reading row by row.
    pub(crate) fn open(&self, entry: &FileEntry) -> Result<Rows, Error> {
        if self.remote.is_some() {
            return begin(self.fetch(entry, None)?, &entry.path);
        }
        let file = File::open(&entry.path).map_err(|cause| Error::io("open", &entry.path, cause))?;
        begin(file, &entry.path)
    }

    /// Opens a file that has been read whole and compared with the digest in its name, so that what is damaged goes no
    /// further.
    pub(crate) fn open_checked(&self, entry: &FileEntry) -> Result<Rows, Error> {
        begin(self.read_checked(entry)?, &entry.path)
    }

    /// Reads a file whole and compares it with the digest in its name.
    pub(crate) fn read_checked(&self, entry: &FileEntry) -> Result<Bytes, Error> {
        let bytes = self.fetch(entry, None)?;
        let name = entry.name.rsplit('/').next().unwrap_or_default();
        match digest_in_name(name) {
            Some(digest) if hex::encode(Sha256::digest(&bytes)) != digest => Err(damaged(
                &entry.path,
                "its bytes are not those that were committed: restore the file from a copy",
            )),
            _ => Ok(bytes),
        }
    }

    /// The bytes of a file, or so many from its end.
    fn fetch(&self, entry: &FileEntry, last: Option<u64>) -> Result<Bytes, Error> {
        let Some((objects, runtime)) = &self.remote else {
            let bytes = std::fs::read(&entry.path);
            return bytes.map(Bytes::from).map_err(|cause| Error::io("read", &entry.path, cause));
        };
        let range = last.map(|bytes| GetRange::Suffix(bytes.min(entry.size)));
        let location = ObjectPath::from(entry.name.as_str());
        runtime
            .block_on(async {
                let found =
                    objects.get_opts(&location, GetOptions { range, ..GetOptions::default() }).await?;
                found.bytes().await
            })
            .map_err(|cause| {
                if matches!(cause, object_store::Error::NotFound { .. }) {
                    return Error::io("read", &entry.path, io::ErrorKind::NotFound.into());
                }
                Error::Objects(cause)
            })
    }
}

fn begin<T: ChunkReader + 'static>(input: T, path: &Path) -> Result<Rows, Error> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(input)
        .map_err(|cause| Error::parquet("read", path, cause))?;
    let footer = Footer::of(builder.metadata(), path)?;
    let large = footer.raw_bytes >= LARGE_BYTES.unsigned_abs();
    let reader = builder
        .with_batch_size(if large { BATCH_ROWS_LARGE } else { BATCH_ROWS })
        .build()
        .map_err(|cause| Error::parquet("read", path, cause))?;
    Ok(Rows { reader })
}

/// Brings a batch into a layout: columns that the file lacks are null, columns that the layout lacks are left out.
pub(crate) fn conform(batch: &RecordBatch, layout: &SchemaRef, path: &Path) -> Result<RecordBatch, Error> {
    if batch.schema_ref() == layout {
        return Ok(batch.clone());
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(layout.fields().len());
    for field in layout.fields() {
        let column = match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => cast(column, field.data_type())?,
            None if field.is_nullable() => new_null_array(field.data_type(), batch.num_rows()),
            None => return Err(damaged(path, format!("it lacks column `{}`", field.name()))),
        };
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(layout), columns, &options)?)
}

/// A layout without one of its columns.
pub(crate) fn without(layout: &Schema, name: &str) -> SchemaRef {
    let fields: Vec<_> = layout.fields().iter().filter(|field| field.name() != name).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// Whether an error says that a file is not there.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
}
