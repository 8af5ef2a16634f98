//! A table that an older version wrote: new columns appear, nothing is rewritten.

use crate::common::{DAY, NOON, event, offsets, open, shard, step, write, write_records};
use ambit_schemas::columns::names;
use ambit_store::{Maintenance, Store};
use arrow::array::{Array, RecordBatch};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::Path;

/// Makes a table look as if it had been written before some columns were thought of: metadata and data files.
fn forget(dir: &Path, columns: &[&str]) {
    for entry in std::fs::read_dir(dir.join("_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        for column in columns {
            let field = format!(
                r#",{{\"name\":\"{column}\",\"type\":\"string\",\"nullable\":true,\"metadata\":{{}}}}"#
            );
            text = text.replace(&field, "");
        }
        // Older versions did not seal their entries.
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                if let Some(info) = line.get_mut("commitInfo").and_then(|info| info.as_object_mut()) {
                    info.remove("ambitDigest");
                    info.remove("ambitCommit");
                }
                line.to_string()
            })
            .collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
    }
    for day in std::fs::read_dir(dir).unwrap() {
        let day = day.unwrap().path();
        if !day.file_name().unwrap().to_str().unwrap().starts_with("day=") {
            continue;
        }
        for file in std::fs::read_dir(day).unwrap() {
            shorten(&file.unwrap().path(), dir, columns);
        }
    }
}

/// Writes a data file again without some columns, under a name as older versions gave.
fn shorten(path: &Path, table: &Path, columns: &[&str]) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let footer = builder.metadata().file_metadata().key_value_metadata().cloned();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let kept: Vec<usize> = batches[0]
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !columns.contains(&field.name().as_str()))
        .map(|(index, _)| index)
        .collect();
    let old_name = path.file_name().unwrap().to_str().unwrap();
    let new_name = format!("{}.parquet", &old_name[..41]);
    let target = path.with_file_name(&new_name);
    let schema = batches[0].project(&kept).unwrap().schema();
    let mut writer = ArrowWriter::try_new(File::create(&target).unwrap(), schema, None).unwrap();
    for batch in &batches {
        writer.write(&batch.project(&kept).unwrap()).unwrap();
    }
    for entry in footer.into_iter().flatten().filter(|entry| entry.key.starts_with("ambit.")) {
        writer.append_key_value_metadata(entry);
    }
    writer.close().unwrap();
    let (old_size, new_size) = (path.metadata().unwrap().len(), target.metadata().unwrap().len());
    std::fs::remove_file(path).unwrap();
    for entry in std::fs::read_dir(table.join("_delta_log")).unwrap() {
        let entry = entry.unwrap().path();
        let text = std::fs::read_to_string(&entry).unwrap().replace(old_name, &new_name);
        std::fs::write(entry, text.replace(&format!("\"size\":{old_size}"), &format!("\"size\":{new_size}")))
            .unwrap();
    }
}

async fn nulls_of(store: &Store, column: &str) -> Vec<bool> {
    let mut rows = std::pin::pin!(store.scan(shard(0), 0));
    let mut nulls = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        let found = batch.column_by_name(column).unwrap();
        nulls.extend((0..batch.num_rows()).map(|row| found.is_null(row)));
    }
    nulls
}

#[tokio::test]
async fn a_new_column_appears_without_rewriting() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let records: Vec<_> = (0..3).map(|offset| event(shard(0), offset, "acme", "a")).collect();
    store.commit(write_records(&store, &records, NOON), &[step(shard(0), 0, 3)]).await.unwrap();
    drop(store);
    forget(dir.path(), &[names::TOOL, names::STATUS]);
    let old = std::fs::read_dir(dir.path().join("day=2024-10-04")).unwrap().next().unwrap().unwrap().path();
    let before = std::fs::read(&old).unwrap();
    let store = open(dir.path()).await;
    assert_eq!(nulls_of(&store, names::TOOL).await, [true, true, true]);
    let records: Vec<_> = (3..5).map(|offset| event(shard(0), offset, "acme", "a")).collect();
    store.commit(write_records(&store, &records, NOON), &[step(shard(0), 3, 5)]).await.unwrap();
    assert_eq!(nulls_of(&store, names::TOOL).await, [true, true, true, false, false]);
    assert_eq!(std::fs::read(&old).unwrap(), before, "the old file is as it was");
    let since = store.columns_since().await.unwrap();
    assert_eq!(since.keys().map(String::as_str).collect::<Vec<_>>(), [names::STATUS, names::TOOL]);
    assert!(since[names::TOOL].micros() > NOON + DAY);
    let done = store.compact(&Maintenance::default(), i32::MAX, true).await.unwrap();
    assert_eq!((done.replaced, done.written), (2, 1), "old and new files become one: {done:?}");
    assert_eq!(nulls_of(&open(dir.path()).await, names::TOOL).await, [true, true, true, false, false]);
}

#[tokio::test]
async fn columns_of_a_newer_version_survive_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for round in 0..2_u64 {
        store
            .commit(write(&store, shard(0), round..round + 1, NOON), &[step(shard(0), round, round + 1)])
            .await
            .unwrap();
    }
    // A newer version has added a column; this one does not know it.
    let log = dir.path().join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    let status = r#"{\"name\":\"status\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}"#;
    let newer = format!("{status},{}", status.replace("status", "colour"));
    assert!(text.contains(status));
    std::fs::write(&log, text.replace(status, &newer)).unwrap();
    let store = open(dir.path()).await;
    store.compact(&Maintenance::default(), i32::MAX, true).await.unwrap();
    let file = store.snapshot().await.unwrap().files[0].path.clone();
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    assert!(builder.schema().field_with_name("colour").is_ok());
    assert_eq!(offsets(&store, shard(0), 0).await, [0, 1]);
}

#[tokio::test]
async fn a_field_of_another_type_does_not_fail_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut records: Vec<_> = (0..3).map(|offset| event(shard(0), offset, "acme", "a")).collect();
    let odd = r#"{"tenant_uid":"acme","ai_agent":{"uid":7},"tool_call":{"id":[],"name":{"x":1}},"new":{"deep":[1,"x"]}}"#;
    records[1].value = Some(bytes::Bytes::from_static(odd.as_bytes()));
    store.commit(write_records(&store, &records, NOON), &[step(shard(0), 0, 3)]).await.unwrap();
    assert_eq!(crate::common::leaves(&store, shard(0)).await, [0, 1, 2]);
    let mut rows = std::pin::pin!(store.scan(shard(0), 1));
    let batch = rows.next().await.unwrap().unwrap();
    let kept = ambit_schemas::columns::record_at(&batch, 0).unwrap();
    assert_eq!(kept.record, records[1], "byte for byte");
}
