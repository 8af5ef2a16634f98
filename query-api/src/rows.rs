//! From rows of an answer to plain values.

use crate::error::Error;
use ambit_schemas::Timestamp;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};

/// One row of an answer. Columns that are absent are null.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowView<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) row: usize,
}

/// All rows of an answer.
pub(crate) fn rows(batches: &[RecordBatch]) -> impl Iterator<Item = RowView<'_>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| RowView { batch, row }))
}

impl RowView<'_> {
    pub(crate) fn cell(&self, column: &str) -> Option<&ArrayRef> {
        self.batch.column_by_name(column).filter(|array| !array.is_null(self.row))
    }

    pub(crate) fn text(&self, column: &str) -> Option<String> {
        let array = cast(&self.cell(column)?.slice(self.row, 1), &DataType::Utf8).ok()?;
        Some(array.as_string_opt::<i32>()?.value(0).to_owned())
    }

    pub(crate) fn count(&self, column: &str) -> u64 {
        self.number(column).unwrap_or_default()
    }

    pub(crate) fn number(&self, column: &str) -> Option<u64> {
        let array = cast(&self.cell(column)?.slice(self.row, 1), &DataType::Int64).ok()?;
        Some(array.as_primitive_opt::<Int64Type>()?.value(0).cast_unsigned())
    }

    pub(crate) fn time(&self, column: &str) -> Option<Timestamp> {
        let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let array = cast(&self.cell(column)?.slice(self.row, 1), &wanted).ok()?;
        Some(Timestamp::from_micros(array.as_primitive_opt::<TimestampMicrosecondType>()?.value(0)))
    }

    /// The whole record of the row.
    pub(crate) fn record(&self) -> Result<ambit_schemas::columns::Stored, Error> {
        Ok(ambit_schemas::columns::record_at(self.batch, self.row)?)
    }
}
