//! The columns of the store: one row per Kafka record, of all topics, malformed ones included.
//!
//! `key`, `headers` and `data` or `raw` are the record itself, byte for byte: [`record_at`] gives it back, and the
//! ledger's leaf is over it. Every other column is derived from the record by [`RowBuilder::append`], so a verifier can
//! derive it again and compare.

mod facts;
mod read;
mod records;

pub use read::{Stored, UnreadableRow, day_at, record_at};
pub use records::{RecordColumns, records_of};

use crate::codec::Malformed;
use crate::event::Event;
use crate::record::Record;
use crate::timestamp::Timestamp;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use facts::facts;
use std::sync::{Arc, LazyLock};

/// The kind that malformed records have in the store.
pub const DEAD_LETTER: &str = "dead_letter";

/// The table is partitioned by this column.
pub const PARTITION_COLUMN: &str = names::DAY;

macro_rules! columns {
    ($($(#[$doc:meta])* $constant:ident = $name:literal: $type:ident, $null:literal;)*) => {
        /// The columns' names.
        pub mod names { $($(#[$doc])* pub const $constant: &str = $name;)* }

        fn fields() -> Vec<Field> {
            vec![$(Field::new($name, data_type(Type::$type), $null),)*]
        }
    };
}

#[derive(Clone, Copy)]
enum Type {
    Day,
    Text,
    Bytes,
    Int,
    Long,
    Time,
    Flag,
}

fn data_type(kind: Type) -> DataType {
    match kind {
        Type::Day => DataType::Date32,
        Type::Text => DataType::Utf8,
        Type::Bytes => DataType::Binary,
        Type::Int => DataType::Int32,
        Type::Long => DataType::Int64,
        Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Flag => DataType::Boolean,
    }
}

columns! {
    /// Day of `recorded_at`: the partition.
    DAY = "day": Day, false;
    /// The record's topic.
    TOPIC = "topic": Text, false;
    /// The record's partition in Kafka.
    PARTITION = "partition": Int, false;
    /// The record's offset.
    OFFSET = "offset": Long, false;
    /// Its index in the shard's ledger, from 0 without gaps (INVARIANT L-1).
    LEAF_INDEX = "leaf_index": Long, false;
    /// SHA-256 leaf hash (RFC 6962) of the record.
    LEAF_HASH = "leaf_hash": Bytes, false;
    /// When ingest took it.
    RECORDED_AT = "recorded_at": Time, false;
    /// The broker's time of the record.
    BROKER_TIME = "broker_time": Time, false;
    /// The record's key.
    KEY = "key": Bytes, true;
    /// The record's headers, as `Headers::as_bytes` gives them.
    HEADERS = "headers": Bytes, false;
    /// The record's value, when it is UTF-8.
    DATA = "data": Text, true;
    /// The record's value, when it is not.
    RAW = "raw": Bytes, true;
    /// The event's kind, or `dead_letter`.
    KIND = "kind": Text, false;
    /// Why a dead letter is one.
    REASON = "reason": Text, true;
    /// The same `(source, id)` stood in the shard before.
    DUPLICATE = "duplicate": Flag, false;
    /// CloudEvents `id`.
    ID = "id": Text, true;
    /// CloudEvents `source`.
    SOURCE = "source": Text, true;
    /// When it happened.
    TIME = "time": Time, true;
    /// Whose it is.
    TENANT = "tenant": Text, true;
    /// Who did it.
    AGENT = "agent": Text, true;
    /// Which running copy.
    INSTANCE = "instance": Text, true;
    /// A copy of what.
    BLUEPRINT = "blueprint": Text, true;
    /// In what task.
    TASK = "task": Text, true;
    /// The top of its delegation tree.
    ROOT_TASK = "root_task": Text, true;
    /// The task that delegated it.
    PARENT_TASK = "parent_task": Text, true;
    /// The envelope it is about.
    ENVELOPE = "envelope": Text, true;
    /// The tool it is about.
    TOOL = "tool": Text, true;
    /// The tool call it is about.
    TOOL_CALL = "tool_call": Text, true;
    /// The credential it is about, or that was used.
    CREDENTIAL = "credential": Text, true;
    /// The finding it is about.
    FINDING = "finding": Text, true;
    /// The rule of the finding.
    RULE = "rule": Text, true;
    /// The severity of the finding.
    SEVERITY = "severity": Text, true;
    /// The response's action.
    ACTION = "action": Text, true;
    /// The receiver it is about.
    RECEIVER = "receiver": Text, true;
    /// How it went: `ok`, `error`, `denied`, an outcome, an HTTP status.
    STATUS = "status": Text, true;
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(fields())));

/// The schema of a row, in the order in which [`RowBuilder`] fills it.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// A record on its way into the store.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The record.
    pub record: &'a Record,
    /// What it was read as.
    pub decoded: Result<&'a Event, &'a Malformed>,
    /// Its index in the shard's ledger.
    pub leaf_index: u64,
    /// Its leaf hash.
    pub leaf_hash: [u8; 32],
    /// When ingest took it.
    pub recorded_at: Timestamp,
    /// Whether the same event stood in the shard before.
    pub duplicate: bool,
}

macro_rules! builder {
    ($($field:ident: $type:ty;)*) => {
        /// Collects rows into a record batch.
        #[derive(Debug)]
        pub struct RowBuilder {
            rows: usize,
            bytes: usize,
            $($field: $type,)*
        }

        impl RowBuilder {
            fn take_columns(&mut self) -> Vec<ArrayRef> {
                vec![$(Arc::new(self.$field.finish()),)*]
            }
        }
    };
}

builder! {
    day: Date32Builder; topic: StringBuilder; partition: Int32Builder; offset: Int64Builder;
    leaf_index: Int64Builder; leaf_hash: BinaryBuilder; recorded_at: TimestampMicrosecondBuilder;
    broker_time: TimestampMicrosecondBuilder; key: BinaryBuilder; headers: BinaryBuilder; data: StringBuilder;
    raw: BinaryBuilder; kind: StringBuilder; reason: StringBuilder; duplicate: BooleanBuilder; id: StringBuilder;
    source: StringBuilder; time: TimestampMicrosecondBuilder; tenant: StringBuilder; agent: StringBuilder;
    instance: StringBuilder; blueprint: StringBuilder; task: StringBuilder; root_task: StringBuilder;
    parent_task: StringBuilder; envelope: StringBuilder; tool: StringBuilder; tool_call: StringBuilder;
    credential: StringBuilder; finding: StringBuilder; rule: StringBuilder; severity: StringBuilder;
    action: StringBuilder; receiver: StringBuilder; status: StringBuilder;
}

impl RowBuilder {
    /// A builder with room for so many rows.
    pub fn new(rows: usize) -> Self {
        let text = || StringBuilder::with_capacity(rows, rows * 16);
        let bytes = || BinaryBuilder::with_capacity(rows, rows * 32);
        let time = || TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC");
        Self {
            rows: 0,
            bytes: 0,
            day: Date32Builder::with_capacity(rows),
            topic: text(),
            partition: Int32Builder::with_capacity(rows),
            offset: Int64Builder::with_capacity(rows),
            leaf_index: Int64Builder::with_capacity(rows),
            leaf_hash: bytes(),
            recorded_at: time(),
            broker_time: time(),
            key: bytes(),
            headers: bytes(),
            data: text(),
            raw: BinaryBuilder::new(),
            kind: text(),
            reason: StringBuilder::new(),
            duplicate: BooleanBuilder::with_capacity(rows),
            id: text(),
            source: text(),
            time: time(),
            tenant: text(),
            agent: text(),
            instance: text(),
            blueprint: text(),
            task: text(),
            root_task: text(),
            parent_task: StringBuilder::new(),
            envelope: StringBuilder::new(),
            tool: text(),
            tool_call: text(),
            credential: StringBuilder::new(),
            finding: StringBuilder::new(),
            rule: StringBuilder::new(),
            severity: StringBuilder::new(),
            action: StringBuilder::new(),
            receiver: StringBuilder::new(),
            status: StringBuilder::new(),
        }
    }

    /// How many rows are in it.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row is in it.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// About how many bytes of records are in it.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row.
    pub fn append(&mut self, row: Row<'_>) {
        self.rows += 1;
        self.bytes += row.record.size();
        self.append_record(&row);
        match row.decoded {
            Ok(event) => self.append_event(event),
            Err(malformed) => self.append_dead_letter(malformed),
        }
    }

    /// The rows so far as a batch of [`schema`]; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(schema(), self.take_columns())
    }

    fn append_record(&mut self, row: &Row<'_>) {
        let record = row.record;
        self.day.append_value(row.recorded_at.day());
        self.topic.append_value(record.shard.topic.name());
        self.partition.append_value(record.shard.partition.cast_signed());
        self.offset.append_value(record.offset.cast_signed());
        self.leaf_index.append_value(row.leaf_index.cast_signed());
        self.leaf_hash.append_value(row.leaf_hash);
        self.recorded_at.append_value(row.recorded_at.micros());
        self.broker_time.append_value(record.timestamp_us);
        self.key.append_option(record.key.as_deref());
        self.headers.append_value(record.headers.as_bytes());
        match record.value.as_deref().map(|value| (std::str::from_utf8(value), value)) {
            None => {
                self.data.append_null();
                self.raw.append_null();
            }
            Some((Ok(text), _)) => {
                self.data.append_value(text);
                self.raw.append_null();
            }
            Some((Err(_), bytes)) => {
                self.data.append_null();
                self.raw.append_value(bytes);
            }
        }
        self.duplicate.append_value(row.duplicate);
    }

    fn append_event(&mut self, event: &Event) {
        let (agent, task, facts) = (event.agent.as_ref(), event.task.as_ref(), facts(event));
        self.kind.append_value(event.kind().name());
        self.reason.append_null();
        self.id.append_value(event.id.as_str());
        self.source.append_value(event.source.as_str());
        self.time.append_value(event.time.micros());
        self.tenant.append_value(event.tenant.as_str());
        self.agent.append_option(agent.map(|agent| agent.uid.as_str()));
        self.instance.append_option(agent.and_then(|agent| agent.instance_uid.as_ref()).map(AsRef::as_ref));
        self.blueprint.append_option(agent.and_then(|agent| agent.blueprint.as_ref()).map(AsRef::as_ref));
        self.task.append_option(task.map(|task| task.id.as_str()));
        self.root_task.append_option(task.map(|task| task.root.as_str()));
        self.parent_task.append_option(task.and_then(|task| task.parent.as_ref()).map(AsRef::as_ref));
        self.envelope.append_option(facts.envelope);
        self.tool.append_option(facts.tool);
        self.tool_call.append_option(facts.tool_call);
        self.credential.append_option(facts.credential);
        self.finding.append_option(facts.finding);
        self.rule.append_option(facts.rule);
        self.severity.append_option(facts.severity);
        self.action.append_option(facts.action);
        self.receiver.append_option(facts.receiver);
        self.status.append_option(facts.status);
    }

    fn append_dead_letter(&mut self, malformed: &Malformed) {
        self.kind.append_value(DEAD_LETTER);
        self.reason.append_value(malformed.to_string());
        self.time.append_null();
        for column in [
            &mut self.id,
            &mut self.source,
            &mut self.tenant,
            &mut self.agent,
            &mut self.instance,
            &mut self.blueprint,
            &mut self.task,
            &mut self.root_task,
            &mut self.parent_task,
            &mut self.envelope,
            &mut self.tool,
            &mut self.tool_call,
            &mut self.credential,
            &mut self.finding,
            &mut self.rule,
            &mut self.severity,
            &mut self.action,
            &mut self.receiver,
            &mut self.status,
        ] {
            column.append_null();
        }
    }
}
