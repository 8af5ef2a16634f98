//! Commit latency as the table grows: `cargo run -p ambit-store --example commit_latency -- 10000`
//!
//! Commits one small file after the other, with compaction, checkpoints, clean-up and vacuum beside it as in the ingest
//! role, and prints percentiles for every tenth of the run. fsync is on.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and ends at the first failure"
)]

use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode};
use ambit_store::{Advance, Maintenance, Options, Position, Store};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Rows of one commit.
const ROWS: u64 = 20;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn rows(shard: Shard, from: u64) -> arrow::array::RecordBatch {
    let mut builder = RowBuilder::new(16);
    for offset in from..from + ROWS {
        let value = Some(Bytes::from(format!("record {offset}")));
        let record = Record { shard, offset, timestamp_us: now(), key: None, headers: Vec::new(), value };
        let decoded = decode(&record);
        builder.append(Row {
            record: &record,
            decoded: decoded.as_ref(),
            leaf_index: offset,
            leaf_hash: [7; 32],
            recorded_at: Timestamp::from_micros(now()),
            duplicate: false,
        });
    }
    builder.finish().unwrap()
}

async fn keep(store: Store, over: Arc<AtomicBool>, most: Arc<AtomicUsize>) {
    let options = Maintenance::default();
    let mut turn = 0_u32;
    while !over.load(Ordering::Relaxed) {
        let today = Timestamp::from_micros(now()).day();
        store.compact(&options, today, false).await.unwrap();
        store.checkpoint(options.checkpoint_versions).await.unwrap();
        if turn % 100 == 99 {
            store.clean_log().await.unwrap();
            store.vacuum(false).await.unwrap();
        }
        turn += 1;
        most.fetch_max(store.snapshot().await.unwrap().files.len(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::main]
async fn main() {
    let commits: u64 = std::env::args().nth(1).map_or(1_000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::durable(dir.path().join("store"))).await.unwrap();
    let shard = Shard::new(Topic::Events, 0);
    let (over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(keep(store.clone(), Arc::clone(&over), Arc::clone(&most)));
    let mut writer = store.writer();
    let mut latencies = Vec::new();
    println!("commits   p50 ms   p99 ms   max ms   most active files");
    for number in 0..commits {
        let at = |count: u64| Position { next_offset: count * ROWS, tree_size: count * ROWS };
        writer.write(&rows(shard, number * ROWS)).unwrap();
        let files = writer.finish().unwrap();
        let began = Instant::now();
        store.commit(files, &[Advance { shard, from: at(number), to: at(number + 1) }]).await.unwrap();
        latencies.push(began.elapsed());
        if (number + 1) % (commits / 10).max(1) == 0 {
            latencies.sort_unstable();
            let ms = |index: usize| latencies.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3);
            let (count, files) = (latencies.len(), most.swap(0, Ordering::Relaxed));
            let (p50, p99, max) = (ms(count / 2), ms(count * 99 / 100), ms(count - 1));
            println!("{:>7}  {p50:>7.2}  {p99:>7.2}  {max:>7.2}   {files}", number + 1);
            latencies.clear();
        }
    }
    over.store(true, Ordering::Relaxed);
    tasks.join_all().await;
}
