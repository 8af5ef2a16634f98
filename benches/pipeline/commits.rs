//! How long a commit takes when many came before it: small commits one after the other, every one fsynced, with
//! compaction, checkpoints and clean-up beside them as they are in operation.

use crate::report::{Benchmark, Target};
use crate::settings::Settings;
use crate::webhook::percentile;
use ambit::output::print;
use ambit::simulate::now;
use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::{Headers, Record, Shard, Topic, decode};
use ambit_store::{Advance, Maintenance, Options, Position, Store, Writer};
use anyhow::Context;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Rows of one commit.
const ROWS: u64 = 20;
/// The last so many commits are told.
const LAST: usize = 1_000;
/// Pause between two turns of upkeep.
const UPKEEP_EVERY: Duration = Duration::from_millis(300);
/// Turns of upkeep between two clean-ups.
const CLEAN_EVERY: u32 = 100;
/// What 99 of 100 commits must keep, in milliseconds.
const TARGET_MS: f64 = 100.0;
/// Files that are part of the table at any time.
const FILES_MAX: f64 = 100.0;

/// Commits, and tells the last ones beside the first.
pub(crate) fn benchmark(settings: &Settings, runtime: &Runtime) -> anyhow::Result<Benchmark> {
    let dir = tempfile::tempdir().context("cannot make a directory for the store")?;
    let (most, over) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let latencies = runtime.block_on(async {
        let store = Store::open(Options::durable(dir.path().join("store"))).await?;
        let mut upkeep = JoinSet::new();
        upkeep.spawn(keep(store.clone(), over.clone(), Arc::clone(&most)));
        let latencies = commit(&store, settings.commits as u64).await;
        over.cancel();
        while let Some(ended) = upkeep.join_next().await {
            ended.context("upkeep panicked")??;
        }
        latencies
    })?;
    let mut benchmark = Benchmark::new("commits");
    let last = latencies.len().saturating_sub(LAST);
    let (first, rest) =
        (latencies.get(..LAST).unwrap_or(&latencies), latencies.get(last..).unwrap_or_default());
    let unit = "milliseconds";
    benchmark.value("commits", "before", last as f64);
    benchmark.value("commit_first_p50", unit, percentile(first, 0.50));
    benchmark.value("commit_first_p99", unit, percentile(first, 0.99));
    benchmark.value("commit_last_p50", unit, percentile(rest, 0.50));
    benchmark.judged("commit_last_p99", unit, percentile(rest, 0.99), Target::AtMost(TARGET_MS));
    let files = most.load(Ordering::Relaxed) as f64;
    benchmark.judged("active_at_most", "files", files, Target::AtMost(FILES_MAX));
    Ok(benchmark)
}

async fn commit(store: &Store, commits: u64) -> anyhow::Result<Vec<f64>> {
    let (shard, mut writer) = (Shard::new(Topic::Events, 0), store.writer());
    let at = |count: u64| Position { next_offset: count * ROWS, tree_size: count * ROWS };
    let mut latencies = Vec::new();
    for number in 0..commits {
        write(&mut writer, shard, number * ROWS)?;
        let files = writer.finish()?;
        let began = Instant::now();
        store.commit(files, &[Advance { shard, from: at(number), to: at(number + 1) }]).await?;
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
        if (number + 1) % 2_500 == 0 {
            print(&format!("commits: {} of {commits}", number + 1));
        }
    }
    Ok(latencies)
}

fn write(writer: &mut Writer, shard: Shard, from: u64) -> anyhow::Result<()> {
    let mut builder = RowBuilder::new(32);
    for offset in from..from + ROWS {
        let (value, headers) = (Some(Bytes::from(format!("record {offset}"))), Headers::default());
        let record = Record { shard, offset, timestamp_us: now().micros(), key: None, headers, value };
        builder.append(Row {
            record: &record,
            decoded: decode(&record).as_ref(),
            leaf_index: offset,
            leaf_hash: [7; 32],
            recorded_at: now(),
            duplicate: false,
        });
    }
    Ok(writer.write(&builder.finish()?)?)
}

async fn keep(store: Store, over: CancellationToken, most: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let (options, mut turn) = (Maintenance::default(), 0_u32);
    while !over.is_cancelled() {
        store.compact(&options, now().day(), false).await?;
        store.checkpoint(options.checkpoint_versions).await?;
        turn += 1;
        if turn.is_multiple_of(CLEAN_EVERY) {
            store.clean_log().await?;
            store.vacuum(false).await?;
        }
        most.fetch_max(store.snapshot().await?.files.len(), Ordering::Relaxed);
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
    Ok(())
}
