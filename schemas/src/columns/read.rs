//! From a stored row back to the record.

#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow has forty types, a column has one or two")]

use super::names;
use crate::headers::Headers;
use crate::record::{Record, Shard, Topic};
use crate::timestamp::Timestamp;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;

/// A record as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record, byte for byte.
    pub record: Record,
    /// Its index in the shard's ledger.
    pub leaf_index: u64,
    /// Its leaf hash, as stored.
    pub leaf_hash: Vec<u8>,
    /// When ingest took it.
    pub recorded_at: Timestamp,
    /// Whether the same event stood in the shard before.
    pub duplicate: bool,
    /// The event's kind, or `dead_letter`.
    pub kind: String,
}

/// A row that no [`RowBuilder`] wrote.
#[derive(Debug, thiserror::Error)]
#[error("row {row} of a stored batch cannot be read: column `{column}` is absent, null or of another type")]
pub struct UnreadableRow {
    /// Which row of the batch.
    pub row: usize,
    /// Which column.
    pub column: &'static str,
}

/// Gives back the record of a row. Columns may stand in any order; only those of the record are needed.
pub fn record_at(batch: &RecordBatch, row: usize) -> Result<Stored, UnreadableRow> {
    let reader = RowReader { batch, row };
    let topic = reader.text(names::TOPIC)?;
    let topic = Topic::from_name(&topic).ok_or(UnreadableRow { row, column: names::TOPIC })?;
    let partition = reader.int(names::PARTITION)?;
    let headers = reader.bytes(names::HEADERS)?;
    let value = match reader.optional_text(names::DATA)? {
        Some(text) => Some(Bytes::from(text)),
        None => reader.optional_bytes(names::RAW)?,
    };
    Ok(Stored {
        record: Record {
            shard: Shard::new(topic, partition.cast_unsigned()),
            offset: reader.long(names::OFFSET)?.cast_unsigned(),
            timestamp_us: reader.time(names::BROKER_TIME)?,
            key: reader.optional_bytes(names::KEY)?,
            headers: Headers::from_bytes(headers).ok_or(UnreadableRow { row, column: names::HEADERS })?,
            value,
        },
        leaf_index: reader.long(names::LEAF_INDEX)?.cast_unsigned(),
        leaf_hash: reader.bytes(names::LEAF_HASH)?.to_vec(),
        recorded_at: Timestamp::from_micros(reader.time(names::RECORDED_AT)?),
        duplicate: reader.flag(names::DUPLICATE)?,
        kind: reader.text(names::KIND)?,
    })
}

struct RowReader<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl RowReader<'_> {
    fn fail(&self, column: &'static str) -> UnreadableRow {
        UnreadableRow { row: self.row, column }
    }

    fn column(&self, column: &'static str) -> Result<&ArrayRef, UnreadableRow> {
        let array = self.batch.column_by_name(column).ok_or_else(|| self.fail(column))?;
        if self.row < array.len() { Ok(array) } else { Err(self.fail(column)) }
    }

    fn optional_text(&self, column: &'static str) -> Result<Option<String>, UnreadableRow> {
        let array = self.column(column)?;
        if array.is_null(self.row) {
            return Ok(None);
        }
        let text = match array.data_type() {
            DataType::Utf8View => array.as_string_view_opt().map(|array| array.value(self.row)),
            _ => array.as_string_opt::<i32>().map(|array| array.value(self.row)),
        };
        text.map(|text| Some(text.to_owned())).ok_or_else(|| self.fail(column))
    }

    fn text(&self, column: &'static str) -> Result<String, UnreadableRow> {
        self.optional_text(column)?.ok_or_else(|| self.fail(column))
    }

    fn optional_bytes(&self, column: &'static str) -> Result<Option<Bytes>, UnreadableRow> {
        let array = self.column(column)?;
        if array.is_null(self.row) {
            return Ok(None);
        }
        let bytes = match array.data_type() {
            DataType::BinaryView => array.as_binary_view_opt().map(|array| array.value(self.row)),
            _ => array.as_binary_opt::<i32>().map(|array| array.value(self.row)),
        };
        bytes.map(|bytes| Some(Bytes::copy_from_slice(bytes))).ok_or_else(|| self.fail(column))
    }

    fn bytes(&self, column: &'static str) -> Result<Bytes, UnreadableRow> {
        self.optional_bytes(column)?.ok_or_else(|| self.fail(column))
    }

    fn int(&self, column: &'static str) -> Result<i32, UnreadableRow> {
        let array = self.column(column)?.as_primitive_opt::<Int32Type>().ok_or_else(|| self.fail(column))?;
        if array.is_null(self.row) { Err(self.fail(column)) } else { Ok(array.value(self.row)) }
    }

    fn long(&self, column: &'static str) -> Result<i64, UnreadableRow> {
        let array = self.column(column)?.as_primitive_opt::<Int64Type>().ok_or_else(|| self.fail(column))?;
        if array.is_null(self.row) { Err(self.fail(column)) } else { Ok(array.value(self.row)) }
    }

    fn time(&self, column: &'static str) -> Result<i64, UnreadableRow> {
        let array = self
            .column(column)?
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| self.fail(column))?;
        if array.is_null(self.row) { Err(self.fail(column)) } else { Ok(array.value(self.row)) }
    }

    fn flag(&self, column: &'static str) -> Result<bool, UnreadableRow> {
        let array = self.column(column)?.as_boolean_opt().ok_or_else(|| self.fail(column))?;
        if array.is_null(self.row) { Err(self.fail(column)) } else { Ok(array.value(self.row)) }
    }
}

/// The day column of a row, for readers that prune by it.
pub fn day_at(batch: &RecordBatch, row: usize) -> Option<i32> {
    let array = batch.column_by_name(names::DAY)?.as_primitive_opt::<Date32Type>()?;
    (row < array.len() && !array.is_null(row)).then(|| array.value(row))
}
