//! One data file by row groups: for verification and scrubbing, which read files beside each other and in any order.

use crate::error::Error;
use crate::ranges::SHARDS_KEY;
use ambit_schemas::Shard;
use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A data file whose footer was read.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
}

impl OpenFile {
    /// Opens a data file and reads its footer.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|cause| Error::parquet("read the footer of", path, cause))?;
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    /// Rows of each row group.
    pub fn row_groups(&self) -> Vec<u64> {
        let groups = self.metadata.metadata().row_groups().iter();
        groups.map(|group| group.num_rows().unsigned_abs()).collect()
    }

    /// First and last leaf of each shard in the file, as its footer says; nothing when it was not written by us.
    pub fn leaves(&self) -> Option<BTreeMap<Shard, (u64, u64)>> {
        let footer = self.metadata.metadata().file_metadata().key_value_metadata();
        let text = footer.into_iter().flatten().find(|entry| entry.key == SHARDS_KEY)?.value.as_deref()?;
        let ranges: BTreeMap<String, (u64, u64)> = serde_json::from_str(text).ok()?;
        ranges.into_iter().map(|(shard, range)| Some((shard.parse().ok()?, range))).collect()
    }

    /// The rows of a row group in the order of the file, in batches of at most `batch_rows`; only these columns, or all.
    pub fn rows(&self, row_group: usize, batch_rows: usize, columns: Option<&[&str]>) -> Result<Rows, Error> {
        let unreadable = |cause| Error::parquet("read", &self.path, cause);
        let file = self.file.try_clone().map_err(|cause| Error::io("open", &self.path, cause))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = match columns {
            Some(columns) => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
            None => ProjectionMask::all(),
        };
        let reader = builder
            .with_row_groups(vec![row_group])
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(unreadable)?;
        Ok(Rows { path: self.path.clone(), reader })
    }
}

/// Batches of one row group. Ends after the first error.
#[derive(Debug)]
pub struct Rows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|cause| {
            let cause = parquet::errors::ParquetError::ArrowError(cause.to_string());
            Error::parquet("read", &self.path, cause)
        }))
    }
}
