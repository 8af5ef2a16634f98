//! The records of a whole batch: the columns are looked up once, for whoever goes through millions of rows.

use super::names;
use super::read::UnreadableRow;
use crate::headers::Headers;
use crate::record::{LeafParts, Record, Shard, Topic};
use crate::timestamp::Timestamp;
use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;

/// The columns of a batch that hold the records, and what ingest added to them.
#[derive(Debug, Clone, Copy)]
pub struct RecordColumns<'a> {
    topic: &'a StringArray,
    partition: &'a Int32Array,
    offset: &'a Int64Array,
    leaf_index: &'a Int64Array,
    leaf_hash: &'a BinaryArray,
    recorded_at: &'a TimestampMicrosecondArray,
    broker_time: &'a TimestampMicrosecondArray,
    key: &'a BinaryArray,
    headers: &'a BinaryArray,
    data: &'a StringArray,
    raw: &'a BinaryArray,
    duplicate: &'a BooleanArray,
}

impl<'a> RecordColumns<'a> {
    /// Finds the columns.
    ///
    /// # Errors
    /// When one is absent, of another type, or has a null where there is none in a record; which row is said when it is
    /// a null.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, UnreadableRow> {
        let columns = Columns { batch };
        Ok(Self {
            topic: columns.get(names::TOPIC, false, |array| array.as_string_opt::<i32>())?,
            partition: columns.get(names::PARTITION, false, |array| array.as_primitive_opt::<Int32Type>())?,
            offset: columns.get(names::OFFSET, false, |array| array.as_primitive_opt::<Int64Type>())?,
            leaf_index: columns
                .get(names::LEAF_INDEX, false, |array| array.as_primitive_opt::<Int64Type>())?,
            leaf_hash: columns.get(names::LEAF_HASH, false, |array| array.as_binary_opt::<i32>())?,
            recorded_at: columns.time(names::RECORDED_AT)?,
            broker_time: columns.time(names::BROKER_TIME)?,
            key: columns.get(names::KEY, true, |array| array.as_binary_opt::<i32>())?,
            headers: columns.get(names::HEADERS, false, |array| array.as_binary_opt::<i32>())?,
            data: columns.get(names::DATA, true, |array| array.as_string_opt::<i32>())?,
            raw: columns.get(names::RAW, true, |array| array.as_binary_opt::<i32>())?,
            duplicate: columns.get(names::DUPLICATE, false, |array| array.as_boolean_opt())?,
        })
    }

    /// Which shard a row is of; nothing when its topic is not one of ours.
    pub fn shard(&self, row: usize) -> Option<Shard> {
        let topic = Topic::from_name(self.topic.value(row))?;
        Some(Shard::new(topic, self.partition.value(row).cast_unsigned()))
    }

    /// The row's offset in Kafka.
    pub fn offset(&self, row: usize) -> u64 {
        self.offset.value(row).cast_unsigned()
    }

    /// The row's index in the shard's ledger, as stored.
    pub fn leaf_index(&self, row: usize) -> u64 {
        self.leaf_index.value(row).cast_unsigned()
    }

    /// The row's leaf hash, as stored.
    pub fn leaf_hash(&self, row: usize) -> &'a [u8] {
        self.leaf_hash.value(row)
    }

    /// When ingest took it.
    pub fn recorded_at(&self, row: usize) -> Timestamp {
        Timestamp::from_micros(self.recorded_at.value(row))
    }

    /// Whether the same event stood in the shard before.
    pub fn duplicate(&self, row: usize) -> bool {
        self.duplicate.value(row)
    }

    /// What the row's leaf is hashed over.
    pub fn leaf_parts(&self, row: usize, shard: Shard) -> LeafParts<'a> {
        LeafParts {
            shard,
            offset: self.offset(row),
            timestamp_us: self.broker_time.value(row),
            key: (!self.key.is_null(row)).then(|| self.key.value(row)),
            headers: self.headers.value(row),
            value: self.value(row),
        }
    }

    /// The record of a row.
    ///
    /// # Errors
    /// When its headers are not what ingest writes.
    pub fn record(&self, row: usize, shard: Shard) -> Result<Record, UnreadableRow> {
        let parts = self.leaf_parts(row, shard);
        let unreadable = UnreadableRow { row, column: names::HEADERS };
        Ok(Record {
            shard,
            offset: parts.offset,
            timestamp_us: parts.timestamp_us,
            key: parts.key.map(Bytes::copy_from_slice),
            headers: Headers::from_bytes(Bytes::copy_from_slice(parts.headers)).ok_or(unreadable)?,
            value: parts.value.map(Bytes::copy_from_slice),
        })
    }

    fn value(&self, row: usize) -> Option<&'a [u8]> {
        if !self.data.is_null(row) {
            Some(self.data.value(row).as_bytes())
        } else if !self.raw.is_null(row) {
            Some(self.raw.value(row))
        } else {
            None
        }
    }
}

/// All records of a batch, in its order.
///
/// # Errors
/// When the batch is not of this layout, or a row is of no topic of ours.
pub fn records_of(batch: &RecordBatch) -> Result<Vec<Record>, UnreadableRow> {
    let columns = RecordColumns::of(batch)?;
    let record = |row| {
        let shard = columns.shard(row).ok_or(UnreadableRow { row, column: names::TOPIC })?;
        columns.record(row, shard)
    };
    (0..batch.num_rows()).map(record).collect()
}

#[derive(Clone, Copy)]
struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn get<T: Array>(
        self,
        column: &'static str,
        nullable: bool,
        cast: impl FnOnce(&'a dyn Array) -> Option<&'a T>,
    ) -> Result<&'a T, UnreadableRow> {
        let unreadable = |row| UnreadableRow { row, column };
        let array = self.batch.column_by_name(column).ok_or_else(|| unreadable(0))?;
        if !nullable && array.null_count() > 0 {
            let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or_default();
            return Err(unreadable(row));
        }
        cast(array.as_ref()).ok_or_else(|| unreadable(0))
    }

    fn time(self, column: &'static str) -> Result<&'a TimestampMicrosecondArray, UnreadableRow> {
        self.get(column, false, |array| array.as_primitive_opt::<TimestampMicrosecondType>())
    }
}
