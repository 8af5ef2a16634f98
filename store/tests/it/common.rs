//! What the tests share: rows, commits, scans.

use ambit_schemas::columns::{Row, RowBuilder, record_at};
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode};
use ambit_store::{Advance, DataFile, Options, Position, Signed, Store};
use bytes::Bytes;
use futures::StreamExt;
use std::path::Path;

pub const DAY: i64 = 86_400_000_000;
pub const NOON: i64 = 20_000 * DAY + DAY / 2;

pub fn shard(partition: u32) -> Shard {
    Shard::new(Topic::Events, partition)
}

pub fn record(shard: Shard, offset: u64) -> Record {
    Record {
        shard,
        offset,
        timestamp_us: NOON,
        key: None,
        headers: vec![("h", "v")].into(),
        value: Some(Bytes::from(format!("record {offset} of {shard}"))),
    }
}

/// As if every leaf were under a signed checkpoint.
pub fn all_signed() -> Signed {
    (0..16).map(|partition| (shard(partition), u64::MAX)).collect()
}

/// An event of a tenant and an agent.
pub fn event(shard: Shard, offset: u64, tenant: &str, agent: &str) -> Record {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let data = format!(
        r#"{{"tenant_uid":"{tenant}","ai_agent":{{"uid":"{agent}"}},"tool_call":{{"id":"c{offset}","name":"read_file"}}}}"#
    );
    Record {
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &format!("{shard}-{offset}")),
            header("ce_source", "test"),
            header("ce_type", "ambit.tool_call.requested.v1"),
            header("ce_time", "2024-10-04T09:00:00Z"),
        ]
        .into(),
        value: Some(Bytes::from(data)),
        ..record(shard, offset)
    }
}

/// Writes records as ingest does; each one's leaf is its offset.
pub fn write_records(store: &Store, records: &[Record], recorded_at: i64) -> Vec<DataFile> {
    let mut builder = RowBuilder::new(16);
    for record in records {
        let decoded = decode(record);
        builder.append(Row {
            record,
            decoded: decoded.as_ref(),
            leaf_index: record.offset,
            leaf_hash: [7; 32],
            recorded_at: Timestamp::from_micros(recorded_at),
            duplicate: false,
        });
    }
    let mut writer = store.writer();
    writer.write(&builder.finish().unwrap()).unwrap();
    writer.finish().unwrap()
}

pub fn write(store: &Store, shard: Shard, offsets: std::ops::Range<u64>, recorded_at: i64) -> Vec<DataFile> {
    let records: Vec<Record> = offsets.map(|offset| record(shard, offset)).collect();
    write_records(store, &records, recorded_at)
}

/// The leaves of a shard that are in the store, in the order in which they come.
pub async fn leaves(store: &Store, shard: Shard) -> Vec<u64> {
    let mut found = Vec::new();
    let mut rows = std::pin::pin!(store.scan(shard, 0));
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        found.extend((0..batch.num_rows()).map(|row| record_at(&batch, row).unwrap().leaf_index));
    }
    found
}

pub const fn at(offset: u64) -> Position {
    Position { next_offset: offset, tree_size: offset }
}

pub fn step(shard: Shard, from: u64, to: u64) -> Advance {
    Advance { shard, from: at(from), to: at(to) }
}

pub async fn open(dir: &Path) -> Store {
    Store::open(Options::durable(dir.to_owned())).await.unwrap()
}

pub async fn offsets(store: &Store, shard: Shard, from: u64) -> Vec<u64> {
    let mut found = Vec::new();
    let mut rows = std::pin::pin!(store.scan(shard, from));
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            let stored = record_at(&batch, row).unwrap();
            assert_eq!(stored.record, record(shard, stored.leaf_index));
            found.push(stored.record.offset);
        }
    }
    found
}
