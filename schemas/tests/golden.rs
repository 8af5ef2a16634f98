//! Every released wire example is read for ever, and today's writer gives exactly these bytes.

use crate::examples;
use ambit_schemas::{Kind, Outgoing, Record, Shard, decode, encode};
use bytes::Bytes;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Compares a text with a committed file, or writes the file when asked to.
pub fn check(relative: &str, text: &str) {
    let path = path(relative);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{relative} differs from what the code gives; review, then run with UPDATE_GOLDEN=1"
    );
}

pub fn record(outgoing: &Outgoing) -> Record {
    Record {
        shard: Shard::new(outgoing.topic, 1),
        offset: 41,
        timestamp_us: 1_795_683_604_000_000,
        key: Some(outgoing.key.clone()),
        headers: outgoing.headers.clone(),
        value: Some(outgoing.value.clone()),
    }
}

fn text(outgoing: &Outgoing) -> String {
    let headers: Vec<Value> = outgoing
        .headers
        .iter()
        .map(|(name, value)| json!([name, std::str::from_utf8(value).unwrap()]))
        .collect();
    let data: Value = serde_json::from_slice(&outgoing.value).unwrap();
    let key = std::str::from_utf8(&outgoing.key).unwrap();
    let whole = json!({"topic": outgoing.topic.name(), "key": key, "headers": headers, "data": data});
    format!("{}\n", serde_json::to_string_pretty(&whole).unwrap())
}

#[test]
fn every_kind_is_written_as_its_golden_file() {
    for kind in Kind::ALL {
        check(&format!("golden/v1/{kind}.json"), &text(&encode(&examples::event(*kind)).unwrap()));
    }
}

// INVARIANT S-1
#[test]
fn every_golden_file_is_still_read() {
    let mut seen = 0;
    for entry in fs::read_dir(path("golden/v1")).unwrap() {
        let whole: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let headers = whole["headers"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let record = Record {
            shard: Shard::new(ambit_schemas::Topic::from_name(whole["topic"].as_str().unwrap()).unwrap(), 0),
            offset: 0,
            timestamp_us: 0,
            key: None,
            headers: headers.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect::<Vec<_>>().into(),
            value: Some(Bytes::from(whole["data"].to_string())),
        };
        decode(&record).unwrap();
        seen += 1;
    }
    assert_eq!(seen, Kind::ALL.len());
}

#[test]
fn what_is_written_is_read_back_and_written_the_same() {
    for kind in Kind::ALL {
        let first = encode(&examples::event(*kind)).unwrap();
        let event = decode(&record(&first)).unwrap();
        assert_eq!(event.kind(), *kind);
        assert_eq!(encode(&event).unwrap(), first, "{kind}");
    }
}

#[cfg(feature = "arrow")]
#[test]
fn a_row_gives_back_the_record_byte_for_byte() {
    use ambit_schemas::columns::{Row, RowBuilder, record_at};
    let mut builder = RowBuilder::new(64);
    let mut records = Vec::new();
    for (index, kind) in Kind::ALL.iter().enumerate() {
        let record = record(&encode(&examples::event(*kind)).unwrap());
        let event = decode(&record).unwrap();
        let (leaf_index, recorded_at) = (index as u64, event.time);
        let row = Row {
            record: &record,
            decoded: Ok(&event),
            leaf_index,
            leaf_hash: [3; 32],
            recorded_at,
            duplicate: false,
        };
        builder.append(row);
        records.push(record);
    }
    for value in
        [None, Some(Bytes::new()), Some(Bytes::from_static(b"\xff\xfe")), Some(Bytes::from_static(b"{]"))]
    {
        let record = Record { key: None, value, ..records[0].clone() };
        let malformed = decode(&record).unwrap_err();
        let leaf_index = records.len() as u64;
        let recorded_at = ambit_schemas::Timestamp::from_micros(7);
        let row = Row {
            record: &record,
            decoded: Err(&malformed),
            leaf_index,
            leaf_hash: [3; 32],
            recorded_at,
            duplicate: true,
        };
        builder.append(row);
        records.push(record);
    }
    let batch = builder.finish().unwrap();
    assert!(builder.is_empty());
    for (index, record) in records.iter().enumerate() {
        let stored = record_at(&batch, index).unwrap();
        assert_eq!(&stored.record, record);
        assert_eq!(stored.leaf_index, index as u64);
        assert_eq!(stored.kind == "dead_letter", stored.duplicate);
    }
    assert!(record_at(&batch, records.len()).is_err());
}
