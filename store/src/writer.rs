//! Turns batches of rows into durable Parquet files that are not yet part of the table.
//!
//! A file's name carries the SHA-256 of its bytes, so that whoever reads the table's log knows what the file must be:
//! one that was replaced, or whose bits rotted, is told from the one that was committed.

use crate::datafile::{DataFile, Draft, Kind};
use crate::disk::Files;
use crate::error::Error;
use crate::layout::file_schema;
use ambit_schemas::columns::PARTITION_COLUMN;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Date32Type;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Writes batches of rows. One per thread.
#[derive(Debug)]
pub struct Writer {
    table: PathBuf,
    files: Files,
    open: BTreeMap<i32, Draft>,
}

impl Writer {
    pub(crate) const fn new(table: PathBuf, files: Files) -> Self {
        Self { table, files, open: BTreeMap::new() }
    }

    /// Adds rows of the layout of `ambit_schemas::columns`. Rows of one shard must come in the order of their leaves.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut start = 0;
        while start < batch.num_rows() {
            let (day, end) = run_of_one_day(batch, start);
            let rows = without_partition(&batch.slice(start, end - start))?;
            if !self.open.contains_key(&day) {
                let draft = Draft::create(&self.files, &self.table, day, file_schema(), Kind::Fresh)?;
                self.open.insert(day, draft);
            }
            if let Some(draft) = self.open.get_mut(&day) {
                draft.write(&rows)?;
            }
            start = end;
        }
        Ok(())
    }

    /// Ends the files: they are durable when this returns, and the writer is empty.
    pub fn finish(&mut self) -> Result<Vec<DataFile>, Error> {
        let mut files = Vec::with_capacity(self.open.len());
        for (_, draft) in std::mem::take(&mut self.open) {
            files.push(draft.finish(&self.files)?);
        }
        Ok(files)
    }

    /// Forgets what was written since the last [`Writer::finish`].
    pub fn discard(&mut self) {
        for (_, draft) in std::mem::take(&mut self.open) {
            draft.discard(&self.files);
        }
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
