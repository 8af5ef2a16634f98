//! Whether what was measured was also right: the store holds the records of Kafka, byte for byte, each once, in order,
//! and the ledger has signed all of them.

use crate::stage::{FromTheStart, LOG_NAME, kafka, open};
use ambit_bus::{Profile, ShardConsumer};
use ambit_ingest::verify::{Scope, Unwatched, Verification};
use ambit_schemas::columns::record_at;
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Record, Shard, Topic};
use anyhow::{Context, ensure};
use futures::StreamExt;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long Kafka may go without giving a record.
const PATIENCE: Duration = Duration::from_mins(1);

/// The leaf hash of each record, by its place.
pub(crate) type Leaves = HashMap<(Shard, u64), [u8; 32]>;

fn leaf(record: &Record, bytes: &mut Vec<u8>) -> [u8; 32] {
    leaf_bytes(record, bytes);
    *ambit_ledger::leaf_hash(bytes).as_bytes()
}

/// What Kafka has.
pub(crate) fn in_kafka(bootstrap: &str, events: usize) -> anyhow::Result<Leaves> {
    let (options, owner) = (kafka(bootstrap), Box::new(FromTheStart));
    let topics = [Topic::Events];
    let mut consumer =
        ShardConsumer::subscribe(&options, "bench-oracle", "bench", &topics, Profile::Throughput, owner)?;
    let (mut leaves, mut bytes) = (Leaves::with_capacity(events), Vec::new());
    let mut progress = Instant::now();
    while leaves.len() < events {
        for record in consumer.poll(Duration::from_millis(100), 10_000)?.records {
            leaves.insert((record.shard, record.offset), leaf(&record, &mut bytes));
            progress = Instant::now();
        }
        ensure!(progress.elapsed() < PATIENCE, "kafka has {} of {events} records", leaves.len());
    }
    Ok(leaves)
}

/// Checks a store and its ledger against Kafka. Leaves are hashed again from the stored rows.
pub(crate) async fn check(dir: &Path, shards: &[Shard], kafka: &Leaves) -> anyhow::Result<()> {
    let (store, ledgers) = open(dir).await?;
    let verification = Verification {
        store: store.clone(),
        ledger_dir: ledgers.dir.clone(),
        log_name: LOG_NAME.into(),
        key: ledgers.signer.public_key().clone(),
    };
    let (mut rows_in_all, mut bytes) = (0, Vec::new());
    for shard in shards {
        let scope = Scope { shards: vec![*shard], threads: 2, ..Scope::default() };
        let report = verification.run(&scope, Arc::new(Unwatched)).await?;
        let signed: u64 = report.shards.iter().map(|shard| shard.signed).sum();
        ensure!(report.intact() && signed == report.rows, "{shard} is not intact: {report:?}");
        let (mut rows, mut next) = (std::pin::pin!(store.scan(*shard, 0)), 0);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                let stored = record_at(&batch, row)?;
                // INVARIANT L-1
                ensure!(stored.leaf_index == next, "{shard}: leaf {next} is missing or comes twice");
                let place = (*shard, stored.record.offset);
                let expected = kafka
                    .get(&place)
                    .with_context(|| format!("kafka has no offset {} of {shard}", place.1))?;
                let same = leaf(&stored.record, &mut bytes) == *expected && stored.leaf_hash == *expected;
                ensure!(same, "{shard}, offset {}: the store has other bytes than kafka", place.1);
                next += 1;
            }
        }
        ensure!(next == report.rows, "{shard}: {next} rows were read, {} were verified", report.rows);
        rows_in_all += next;
    }
    ensure!(rows_in_all == kafka.len() as u64, "the store has {rows_in_all} rows, kafka {}", kafka.len());
    Ok(())
}
