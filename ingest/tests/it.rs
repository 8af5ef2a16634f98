//! Verification against a real store and ledger: whatever is changed is found, and named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use ambit_ingest::outside::{Board, Outside};
use ambit_ingest::verify::{Report, Scope, ShardReport, Unwatched, Verification};
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
const RECORDED_AT: i64 = 1_795_683_601_000_000;
const LOG: &str = "ambit.test";

fn record(offset: u64) -> Record {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
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
        ]
        .into(),
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
        let ledgers = Ledgers {
            dir: dir.path().join("ledger"),
            log_name: LOG.into(),
            signer,
            board: Board::default(),
            outside: Outside::default(),
        };
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
                recorded_at: Timestamp::from_micros(RECORDED_AT),
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

    fn verification(&self) -> Verification {
        Verification {
            store: self.store.clone(),
            ledger_dir: self.ledgers.dir.clone(),
            log_name: LOG.into(),
            key: self.ledgers.signer.public_key().clone(),
        }
    }

    async fn report(&self, scope: Scope) -> Report {
        self.verification().run(&scope, Arc::new(Unwatched)).await.unwrap()
    }

    async fn verify(&self) -> ShardReport {
        let report = self.report(Scope { shards: vec![SHARD], threads: 2, ..Scope::default() }).await;
        assert!(report.files.is_empty(), "{report:?}");
        report.shards.into_iter().next().unwrap()
    }

    /// Writes the data file again with one changed column, as somebody with access to the disk could.
    fn change(&self, column: &str, change: impl Fn(&ArrayRef) -> ArrayRef) {
        self.change_rows(|batch| {
            let index = batch.schema().index_of(column).unwrap();
            let mut columns = batch.columns().to_vec();
            columns[index] = change(&columns[index]);
            RecordBatch::try_new(batch.schema(), columns).unwrap()
        });
    }

    fn change_rows(&self, change: impl Fn(&RecordBatch) -> RecordBatch) {
        let path = data_file(&self.dir.path().join("store"));
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let footer = builder.metadata().file_metadata().key_value_metadata().cloned();
        let batch = builder.build().unwrap().next().unwrap().unwrap();
        let changed = change(&batch);
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
    let path = data_file(&fixture.dir.path().join("store"));
    std::fs::remove_file(&path).unwrap();
    let scope = || Scope { shards: vec![SHARD], threads: 1, ..Scope::default() };
    let report = fixture.report(scope()).await;
    assert!(!report.intact(), "{report:?}");
    assert!(path.ends_with(&report.files[0].file) && report.files[0].what.contains("gone"), "{report:?}");
    let fault = report.shards[0].fault.as_ref().unwrap();
    assert!(fault.leaf_index == 0 && fault.what.contains("up to leaf 5"), "{fault:?}");

    let empty = Store::open(Options::durable(fixture.dir.path().join("other"))).await.unwrap();
    let verification = Verification { store: empty, ..fixture.verification() };
    let report = verification.run(&scope(), Arc::new(Unwatched)).await.unwrap();
    let fault = report.shards[0].fault.as_ref().unwrap();
    assert!(fault.what.contains("the table holds 0") && fault.what.contains("rolled back"), "{fault:?}");
}

/// Every byte of the file, one after the other: nothing that is read is wrong and nothing is passed over.
#[tokio::test]
async fn a_byte_that_flips_on_disk_is_found_wherever_it_is() {
    let fixture = Fixture::new().await;
    let path = data_file(&fixture.dir.path().join("store"));
    let good = std::fs::read(&path).unwrap();
    let (mut named, mut unread, mut harmless) = (0, 0, 0);
    for place in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let report = fixture.report(Scope { shards: vec![SHARD], threads: 1, ..Scope::default() }).await;
        match &report.shards[0].fault {
            Some(fault) => {
                let by_name = fault.file.as_deref().is_some_and(|file| path.ends_with(file));
                named += usize::from(by_name && fault.offset.is_some());
                unread += usize::from(!by_name);
                assert!(by_name || !report.files.is_empty(), "{place}: {report:?}");
            }
            // Statistics, bloom filters and the like: no row is other than it was.
            None => harmless += usize::from(report.files.is_empty()),
        }
    }
    std::fs::write(&path, &good).unwrap();
    assert!(named > 100 && unread > 5 && harmless > 0, "{named} {unread} {harmless}");
    assert!(fixture.verify().await.intact());
}

#[tokio::test]
async fn a_day_is_checked_by_itself() {
    let fixture = Fixture::new().await;
    let day = Timestamp::from_micros(RECORDED_AT).day();
    let scope = |day| Scope { shards: vec![SHARD], day: Some(day), threads: 1, ..Scope::default() };
    let report = fixture.report(scope(day)).await;
    assert!(report.intact() && report.rows == ROWS, "{report:?}");
    let report = fixture.report(scope(day + 1)).await;
    assert!(report.intact() && report.rows == 0, "{report:?}");
    fixture.change(names::DATA, flip(3));
    let report = fixture.report(scope(day)).await;
    assert_eq!(report.shards[0].fault.as_ref().unwrap().leaf_index, 3);
    assert!(fixture.report(scope(day + 1)).await.intact());
}

#[tokio::test]
async fn a_later_run_reads_only_what_came_after_the_first() {
    let fixture = Fixture::new().await;
    let scope = |from| Scope {
        shards: vec![SHARD],
        from: [(SHARD, ambit_ledger::TreeSize(from))].into(),
        threads: 1,
        ..Scope::default()
    };
    let report = fixture.report(scope(4)).await;
    assert!(report.intact() && report.rows == 2, "{report:?}");
    fixture.change(names::DATA, flip(3));
    assert!(fixture.report(scope(4)).await.intact());
    assert_eq!(fixture.report(scope(3)).await.shards[0].fault.as_ref().unwrap().leaf_index, 3);
}

#[tokio::test]
async fn a_leaf_that_is_stored_twice_is_named_and_one_that_was_retired_is_not_missed() {
    let fixture = Fixture::new().await;
    fixture.change_rows(|batch| {
        let rows = [0, 1, 2, 3, 4, 2];
        let rows = arrow::array::UInt32Array::from_iter_values(rows);
        arrow::compute::take_record_batch(batch, &rows).unwrap()
    });
    let report = fixture.verify().await;
    assert_eq!(report.faults, 2, "leaf 2 is there twice, leaf 5 is not there: {report:?}");
    assert!(report.fault.unwrap().what.contains("twice"));
    fixture.change_rows(|batch| batch.slice(0, 5));
    let fault = fixture.verify().await.fault.unwrap();
    assert!(fault.leaf_index == 5 && fault.what.contains("was signed"), "{fault:?}");
    let retired = [(SHARD, std::iter::once(5..6).collect())].into();
    let scope = Scope { shards: vec![SHARD], retired, threads: 1, ..Scope::default() };
    assert!(fixture.report(scope).await.intact());
}

#[tokio::test]
async fn rows_may_lie_in_any_order() {
    let fixture = Fixture::new().await;
    fixture.change_rows(|batch| {
        let rows = arrow::array::UInt32Array::from_iter_values([5, 0, 3, 1, 4, 2]);
        arrow::compute::take_record_batch(batch, &rows).unwrap()
    });
    let report = fixture.verify().await;
    assert!(report.intact() && report.rows == ROWS, "{report:?}");
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
    let signed = fixture.ledgers.signed(&[SHARD]).unwrap().into_iter().collect();
    let policy = ambit_store::Retention { default_days: 1, ..ambit_store::Retention::default() };
    let done = fixture.store.retain(&policy, &signed, now, "test", false).await.unwrap();
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
    let scope = Scope { shards: vec![SHARD], threads: 1, ..Scope::default() };
    let forged = fixture.verification().run(&scope, Arc::new(Unwatched)).await;
    assert!(forged.is_err(), "a changed record of what was deleted is not believed: {forged:?}");
}
