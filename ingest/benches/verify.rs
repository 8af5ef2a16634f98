//! How many events a second one core verifies: hashed again, compared with what was signed, derived again.
//!
//! `cargo bench -p ambit-ingest --bench verify [-- EVENTS]`. Seconds are those of the processor, so that neighbours on
//! the machine do not count.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench ends by panicking")]

use ambit_ingest::outside::{Board, Outside};
use ambit_ingest::verify::{Scope, Unwatched, Verification};
use ambit_ingest::{Ledgers, origin};
use ambit_ledger::{CheckpointSigner, FsTiles, Ledger, leaf_hash};
use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode};
use ambit_store::{Advance, Options, Position, Store};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// Events when the command line does not say.
const EVENTS: u64 = 1_000_000;
/// Rows of one data file.
const FILE_ROWS: u64 = 250_000;
/// Rows of one batch.
const BATCH_ROWS: u64 = 10_000;
const LOG: &str = "ambit.bench";
const SHARD: Shard = Shard::new(Topic::Events, 0);

/// A tool call as gateways send it: about 600 bytes.
fn record(offset: u64) -> Record {
    let header = |name: &str, value: String| (name.to_owned(), Bytes::from(value));
    let (agent, task) = (offset % 97, offset / 40);
    let data = format!(
        r#"{{"tenant_uid":"acme","ai_agent":{{"uid":"spiffe://acme.example/agent/{agent}","instance_uid":"i-{agent}-{task}","name":"invoice-bot","version":"3.1.4","blueprint":"invoice-bot"}},"task":{{"id":"task-{task}","root_id":"root-{task}"}},"credential_uid":"cred-{task}","tool_call":{{"id":"call-{offset}","name":"http_request","arguments":{{"url":"https://api.example.com/v1/invoices/{offset}","method":"GET","headers":{{"accept":"application/json"}},"note":"{noise:x}"}},"is_error":false}}}}"#,
        noise = u128::from(offset).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
    );
    let at = Timestamp::from_micros(1_795_683_600_000_000 + offset.cast_signed() * 1_000);
    Record {
        shard: SHARD,
        offset,
        timestamp_us: at.micros(),
        key: Some(Bytes::from(format!("root-{task}"))),
        headers: vec![
            header("ce_specversion", "1.0".into()),
            header("ce_id", format!("0199f2a0-0000-7000-8000-{offset:012x}")),
            header("ce_source", "gateway/eu-1".into()),
            header("ce_type", "ambit.tool_call.requested.v1".into()),
            header("ce_time", at.to_string()),
        ],
        value: Some(Bytes::from(data)),
    }
}

async fn fill(dir: &Path, events: u64) -> (Store, Ledgers) {
    let store = Store::open(Options { fsync: false, ..Options::durable(dir.join("store")) }).await.unwrap();
    let signer = Arc::new(CheckpointSigner::from_seed(LOG, &[7; 32]).unwrap());
    let ledgers = Ledgers {
        dir: dir.join("ledger"),
        log_name: LOG.into(),
        signer,
        board: Board::default(),
        outside: Outside::default(),
    };
    let (tiles, key) = (FsTiles::new(ledgers.shard_dir(SHARD)), ledgers.signer.public_key().clone());
    let mut ledger = Ledger::open(origin(LOG, SHARD).unwrap(), tiles, key).unwrap();
    let (mut next, mut bytes) = (0, Vec::new());
    while next < events {
        let (from, end) = (next, (next + FILE_ROWS).min(events));
        let (mut writer, mut leaves) = (store.writer(), Vec::new());
        while next < end {
            let mut rows = RowBuilder::new(8_192);
            for offset in next..(next + BATCH_ROWS).min(end) {
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
            next = (next + BATCH_ROWS).min(end);
            writer.write(&rows.finish().unwrap()).unwrap();
        }
        let at = |leaf| Position { next_offset: leaf, tree_size: leaf };
        let advance = Advance { shard: SHARD, from: at(from), to: at(next) };
        store.commit(writer.finish().unwrap(), &[advance]).await.unwrap();
        ledger.append(&leaves).unwrap();
        ledger.commit(&ledgers.signer).unwrap();
    }
    (store, ledgers)
}

/// Seconds of processor time of this process (`proc(5)`: fields 14 and 15, in hundredths).
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let events = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(EVENTS);
    let dir = tempfile::tempdir().unwrap();
    let (store, ledgers) = fill(dir.path(), events).await;
    let size: u64 = store.snapshot().await.unwrap().files.iter().map(|file| file.size).sum();
    println!("{events} events in {} MiB", size >> 20);
    let verification = Verification {
        store,
        ledger_dir: ledgers.dir.clone(),
        log_name: LOG.into(),
        key: ledgers.signer.public_key().clone(),
    };
    for _ in 0..3 {
        let (began, wall) = (processor_seconds(), std::time::Instant::now());
        let scope = Scope { shards: vec![SHARD], threads: 1, ..Scope::default() };
        let report = verification.run(&scope, Arc::new(Unwatched)).await.unwrap();
        assert!(report.intact() && report.rows == events, "{report:?}");
        let seconds = processor_seconds() - began;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 rows")]
        let rate = report.rows as f64 / seconds;
        println!(
            "verified {rate:.0} events/s per core ({seconds:.2} s of processor, {:.2} s of wall)",
            wall.elapsed().as_secs_f64()
        );
    }
}
