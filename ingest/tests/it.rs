//! Verification against a real store and ledger: whatever is changed is found, and named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use ambit_ingest::verify::{ShardReport, verify_shard};
use ambit_ingest::{Ledgers, origin};
use ambit_ledger::{CheckpointSigner, FsTiles, Ledger, leaf_hash};
use ambit_schemas::columns::{Row, RowBuilder, names};
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode};
use ambit_store::{Advance, Options, Position, Store};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SHARD: Shard = Shard::new(Topic::Events, 0);
const ROWS: u64 = 6;
const LOG: &str = "ambit.test";

fn record(offset: u64) -> Record {
    let header = |name: &str, value: &str| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    let data = format!(
        r#"{{"tenant_uid":"acme","ai_agent":{{"uid":"agent-{offset}"}},"tool_call":{{"id":"c{offset}","name":"read_file"}}}}"#
    );
    Record {
        shard: SHARD,
        offset,
        timestamp_us: 1_795_683_600_000_000,
        key: Some(Bytes::from_static(b"root")),
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &format!("event-{offset}")),
            header("ce_source", "test"),
            header("ce_type", "ambit.tool_call.requested.v1"),
            header("ce_time", "2026-11-24T09:00:00Z"),
        ],
        value: Some(Bytes::from(data)),
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
    ledgers: Ledgers,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::durable(dir.path().join("store"))).await.unwrap();
        let signer = Arc::new(CheckpointSigner::from_seed(LOG, &[7; 32]).unwrap());
        let ledgers = Ledgers { dir: dir.path().join("ledger"), log_name: LOG.into(), signer };
        let (mut rows, mut leaves, mut bytes) = (RowBuilder::new(8), Vec::new(), Vec::new());
        for offset in 0..ROWS {
            let record = record(offset);
            leaf_bytes(&record, &mut bytes);
            leaves.push(leaf_hash(&bytes));
            let event = decode(&record).unwrap();
            rows.append(Row {
                record: &record,
                decoded: Ok(&event),
                leaf_index: offset,
                leaf_hash: *leaves.last().unwrap().as_bytes(),
                recorded_at: Timestamp::from_micros(1_795_683_601_000_000),
                duplicate: false,
            });
        }
        let mut writer = store.writer();
        writer.write(&rows.finish().unwrap()).unwrap();
        let to = Position { next_offset: ROWS, tree_size: ROWS };
        let advance = Advance { shard: SHARD, from: Position::default(), to };
        store.commit(writer.finish().unwrap(), &[advance]).await.unwrap();
        let tiles = FsTiles::new(ledgers.shard_dir(SHARD));
        let key = ledgers.signer.public_key().clone();
        let mut ledger = Ledger::open(origin(LOG, SHARD).unwrap(), tiles, key).unwrap();
        ledger.append(&leaves).unwrap();
        ledger.commit(&ledgers.signer).unwrap();
        Self { dir, store, ledgers }
    }

    async fn verify(&self) -> ShardReport {
        let key = self.ledgers.signer.public_key();
        verify_shard(&self.store, &self.ledgers.dir, LOG, key, SHARD, |_| ()).await.unwrap()
    }

    /// Writes the data file again with one changed column, as somebody with access to the disk could.
    fn change(&self, column: &str, change: impl Fn(&ArrayRef) -> ArrayRef) {
        let path = data_file(&self.dir.path().join("store"));
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let footer = builder.metadata().file_metadata().key_value_metadata().cloned();
        let batch = builder.build().unwrap().next().unwrap().unwrap();
        let index = batch.schema().index_of(column).unwrap();
        let mut columns = batch.columns().to_vec();
        columns[index] = change(&columns[index]);
        let changed = RecordBatch::try_new(batch.schema(), columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&changed).unwrap();
        for entry in footer.into_iter().flatten() {
            writer.append_key_value_metadata(entry);
        }
        writer.close().unwrap();
    }
}

fn data_file(dir: &Path) -> PathBuf {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            return data_file(&path);
        }
        if path.extension().is_some_and(|ending| ending == "parquet") {
            return path;
        }
    }
    panic!("no data file below {}", dir.display());
}

/// The texts of a column with one byte of one row flipped.
fn flip(row: usize) -> impl Fn(&ArrayRef) -> ArrayRef {
    move |column| {
        let texts = column.as_string::<i32>();
        let changed = texts.iter().enumerate().map(|(index, text)| {
            let mut bytes = text?.as_bytes().to_vec();
            if index == row {
                let last = bytes.len() - 8;
                bytes[last] ^= 1;
            }
            Some(String::from_utf8(bytes).unwrap())
        });
        Arc::new(changed.collect::<StringArray>())
    }
}

#[tokio::test]
async fn what_was_not_changed_is_intact() {
    let report = Fixture::new().await.verify().await;
    assert!(report.intact(), "{report:?}");
    assert_eq!((report.rows, report.signed), (ROWS, ROWS));
}

#[tokio::test]
async fn a_flipped_byte_is_named_with_its_event() {
    let fixture = Fixture::new().await;
    fixture.change(names::DATA, flip(3));
    let fault = fixture.verify().await.fault.unwrap();
    assert_eq!(
        (fault.leaf_index, fault.offset, fault.event_id.as_deref()),
        (3, Some(3), Some("event-3")),
        "{fault:?}"
    );
}

#[tokio::test]
async fn a_derived_column_cannot_lie() {
    let fixture = Fixture::new().await;
    fixture.change(names::SOURCE, |column| {
        let mut texts: Vec<Option<String>> =
            column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect();
        texts[1] = Some("somebody else".into());
        Arc::new(StringArray::from(texts))
    });
    let fault = fixture.verify().await.fault.unwrap();
    assert!(fault.leaf_index == 1 && fault.what.contains("source"), "{fault:?}");
}

#[tokio::test]
async fn a_row_and_its_hash_cannot_be_replaced_together() {
    let fixture = Fixture::new().await;
    let mut other = record(2);
    other.value = Some(Bytes::from(
        String::from_utf8(other.value.unwrap().to_vec()).unwrap().replace("agent-2", "agent-9"),
    ));
    let mut bytes = Vec::new();
    leaf_bytes(&other, &mut bytes);
    let hash = *leaf_hash(&bytes).as_bytes();
    let text = String::from_utf8(other.value.unwrap().to_vec()).unwrap();
    fixture.change(names::DATA, |column| {
        let mut texts: Vec<Option<String>> =
            column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect();
        texts[2] = Some(text.clone());
        Arc::new(StringArray::from(texts))
    });
    fixture.change(names::LEAF_HASH, |column| {
        let hashes = column.as_binary::<i32>();
        let changed: Vec<&[u8]> =
            (0..hashes.len()).map(|row| if row == 2 { hash.as_slice() } else { hashes.value(row) }).collect();
        Arc::new(BinaryArray::from(changed))
    });
    let fault = fixture.verify().await.fault.unwrap();
    assert!(fault.leaf_index == 2 && fault.what.contains("signed"), "{fault:?}");
}

#[tokio::test]
async fn rows_that_are_gone_are_missed() {
    let fixture = Fixture::new().await;
    std::fs::remove_file(data_file(&fixture.dir.path().join("store"))).unwrap();
    let key = fixture.ledgers.signer.public_key();
    let checked = verify_shard(&fixture.store, &fixture.ledgers.dir, LOG, key, SHARD, |_| ()).await;
    assert!(checked.is_err(), "a data file is gone");
    let empty = Store::open(Options::durable(fixture.dir.path().join("other"))).await.unwrap();
    let report = verify_shard(&empty, &fixture.ledgers.dir, LOG, key, SHARD, |_| ()).await.unwrap();
    assert!(report.fault.unwrap().what.contains("the store holds 0"));
}

#[tokio::test]
async fn proofs_survive_compaction_and_retention_is_told_from_loss() {
    let fixture = Fixture::new().await;
    let now = Timestamp::from_micros(1_795_683_601_000_000 + 10 * 86_400_000_000);
    fixture.store.compact(&ambit_store::Maintenance::default(), i32::MAX, true).await.unwrap();
    assert!(fixture.verify().await.intact());
    let covers = ambit_store::Cover { agent: Some("agent-3".into()), ..ambit_store::Cover::default() };
    let hold = ambit_store::Hold {
        id: "h".into(),
        reason: "test".into(),
        author: "test".into(),
        placed_at: now,
        covers,
        released: None,
    };
    fixture.store.place_hold(hold).await.unwrap();
    let policy = ambit_store::Retention { default_days: 1, ..ambit_store::Retention::default() };
    let done = fixture.store.retain(&policy, now, "test", false).await.unwrap();
    assert_eq!((done.deleted, done.held), (ROWS - 1, 1));
    let report = fixture.verify().await;
    assert_eq!((report.fault.as_ref(), report.rows, report.retired), (None, 1, ROWS - 1));
    assert_eq!(report.signed, ROWS, "the root is still that over all leaves");
    // What is gone without having been written down is a fault.
    let dir = fixture.dir.path().join("store/_ambit");
    let documents = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let document = documents.into_iter().find(|path| path.to_str().unwrap().contains("retired-")).unwrap();
    let text = std::fs::read_to_string(&document).unwrap();
    std::fs::write(&document, text.replace("[0,2]", "[0,1]")).unwrap();
    let key = fixture.ledgers.signer.public_key();
    let forged = verify_shard(&fixture.store, &fixture.ledgers.dir, LOG, key, SHARD, |_| ()).await;
    assert!(forged.is_err(), "a changed record of what was deleted is not believed: {forged:?}");
}
