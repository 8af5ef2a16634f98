//! Compaction beside appenders: the same rows, in few files, in the order of look-ups; nobody is held up.

use crate::common::{DAY, NOON, offsets, open, shard, step, write};
use ambit_store::{Error, Maintenance, Options, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn today() -> i32 {
    i32::try_from(NOON / DAY).unwrap()
}

fn small() -> Maintenance {
    Maintenance { fan_in: 4, ..Maintenance::default() }
}

async fn commit(store: &Store, partition: u32, from: u64, to: u64, recorded_at: i64) {
    let files = write(store, shard(partition), from..to, recorded_at);
    store.commit(files, &[step(shard(partition), from, to)]).await.unwrap();
}

fn parquet_files(dir: &Path) -> usize {
    let day = std::fs::read_dir(dir).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("day=").then_some(path)
    });
    day.map(|day| std::fs::read_dir(day).unwrap().count()).sum()
}

#[tokio::test]
async fn compacted_rows_are_the_same_in_order_of_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for round in 0..12_u64 {
        for partition in 0..2 {
            commit(&store, partition, round * 5, round * 5 + 5, NOON).await;
        }
    }
    let done = store.compact(&small(), today(), false).await.unwrap();
    assert_eq!((done.replaced, done.written, done.rows), (24, 1, 120), "{done:?}");
    assert_eq!(store.snapshot().await.unwrap().files.len(), 1);
    for from in [0, 1, 31, 59, 60] {
        for partition in 0..2 {
            assert_eq!(offsets(&store, shard(partition), from).await, (from..60).collect::<Vec<_>>());
        }
    }
    commit(&store, 0, 60, 65, NOON).await;
    assert_eq!(offsets(&open(dir.path()).await, shard(0), 58).await, (58..65).collect::<Vec<_>>());
    assert_eq!(store.positions(&[shard(0)]).await.unwrap()[&shard(0)].tree_size, 65);
}

#[tokio::test]
async fn files_whose_leaves_overlap_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    // Leaves alternate between two days, so that each day's compacted file spans the other's.
    for round in 0..10_u64 {
        commit(&store, 0, round * 2, round * 2 + 2, NOON + i64::try_from(round % 2).unwrap() * DAY).await;
    }
    let done = store.compact(&small(), today() + 5, false).await.unwrap();
    assert_eq!((done.replaced, done.written), (10, 2));
    for from in 0..20 {
        assert_eq!(offsets(&store, shard(0), from).await, (from..20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn levels_bound_the_number_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut most = 0;
    for round in 0..200_u64 {
        commit(&store, 0, round, round + 1, NOON).await;
        if round % 5 == 4 {
            store.compact(&small(), today(), false).await.unwrap();
            most = most.max(store.snapshot().await.unwrap().files.len());
        }
    }
    assert!(most <= 12, "{most} files at most");
    assert_eq!(offsets(&store, shard(0), 0).await, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_file_is_named_and_stays_out_of_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for round in 0..4_u64 {
        commit(&store, 0, round, round + 1, NOON).await;
    }
    let victim = store.snapshot().await.unwrap().files[2].path.clone();
    let mut bytes = std::fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    let done = store.compact(&small(), today(), false).await.unwrap();
    assert_eq!(done.failed.len(), 1, "{done:?}");
    let name = victim.file_name().unwrap().to_str().unwrap();
    assert!(done.failed[0].contains(name), "{:?}", done.failed);
    assert!(store.snapshot().await.unwrap().files.iter().any(|file| file.path == victim));
}

#[tokio::test]
async fn compactors_that_race_replace_each_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for round in 0..8_u64 {
        commit(&store, 0, round, round + 1, NOON).await;
    }
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = open(dir.path()).await;
        racers.spawn(async move { store.compact(&small(), today(), false).await.unwrap().written });
    }
    assert_eq!(racers.join_all().await.into_iter().sum::<usize>(), 1);
    assert_eq!(offsets(&store, shard(0), 0).await, (0..8).collect::<Vec<_>>());
}

/// A short history, so that vacuum has something to do.
fn brief(dir: &Path, history: Duration) -> Options {
    Options { history, ..Options::durable(dir.to_owned()) }
}

#[tokio::test]
async fn vacuum_takes_what_nobody_can_read_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let history = Duration::from_secs(3);
    let store = Store::open(brief(dir.path(), history)).await.unwrap();
    for round in 0..4_u64 {
        commit(&store, 0, round, round + 1, NOON).await;
    }
    let orphan = write(&store, shard(0), 90..95, NOON);
    store.compact(&small(), today(), false).await.unwrap();
    assert_eq!(parquet_files(dir.path()), 6, "four old, one new, one orphan");
    let early = store.vacuum(false).await.unwrap();
    assert_eq!((early.replaced, early.orphans, early.kept), (0, 0, 5), "all are young");
    tokio::time::sleep(history + Duration::from_secs(1)).await;
    let late = store.vacuum(false).await.unwrap();
    assert_eq!(
        (late.replaced, late.orphans),
        (0, 1),
        "old versions can still be read from the log: {late:?}"
    );
    let refused = store.commit(orphan, &[step(shard(0), 4, 95)]).await.unwrap_err();
    assert!(matches!(refused, Error::Stale { .. }), "its writer slept too long: {refused}");
    store.checkpoint(1).await.unwrap().unwrap();
    tokio::time::sleep(history + Duration::from_secs(1)).await;
    commit(&store, 0, 4, 5, NOON).await;
    assert!(store.clean_log().await.unwrap() > 0);
    let last = store.vacuum(false).await.unwrap();
    assert_eq!((last.replaced + last.orphans, last.kept), (4, 0), "{last:?}");
    assert_eq!(parquet_files(dir.path()), 2);
    for store in [store, open(dir.path()).await] {
        assert_eq!(offsets(&store, shard(0), 0).await, (0..5).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn whoever_slept_through_the_clean_up_of_the_log_goes_on_at_its_head() {
    let dir = tempfile::tempdir().unwrap();
    let history = Duration::from_secs(1);
    let (sleeper, store) = (
        Store::open(brief(dir.path(), history)).await.unwrap(),
        Store::open(brief(dir.path(), history)).await.unwrap(),
    );
    for round in 0..6_u64 {
        commit(&store, 0, round, round + 1, NOON).await;
    }
    store.checkpoint(1).await.unwrap().unwrap();
    tokio::time::sleep(history * 2).await;
    commit(&store, 0, 6, 7, NOON).await;
    assert!(store.clean_log().await.unwrap() > 0);
    assert_eq!(sleeper.positions(&[shard(0)]).await.unwrap()[&shard(0)].next_offset, 7);
    assert_eq!(offsets(&sleeper, shard(0), 0).await, (0..7).collect::<Vec<_>>());
    commit(&sleeper, 1, 0, 2, NOON).await;
    assert_eq!(offsets(&store, shard(1), 0).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_appenders_go_on_while_files_are_replaced_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is kept for readers: a scan must find the rows in other files.
    let store = Store::open(brief(dir.path(), Duration::from_secs(1))).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let (keeping, over) = (store.clone(), Arc::clone(&stop));
    tasks.spawn(async move {
        let mut passes = 0;
        while !over.load(Ordering::Relaxed) {
            keeping.compact(&small(), today(), false).await.unwrap();
            keeping.checkpoint(10).await.unwrap();
            keeping.clean_log().await.unwrap();
            keeping.vacuum(false).await.unwrap();
            passes += 1;
        }
        passes
    });
    let (reading, over) =
        (Store::open(brief(dir.path(), Duration::from_secs(1))).await.unwrap(), Arc::clone(&stop));
    tasks.spawn(async move {
        let mut scans = 0;
        while !over.load(Ordering::Relaxed) {
            let found = offsets(&reading, shard(0), 0).await;
            assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>());
            scans += 1;
        }
        scans
    });
    let mut latencies = Vec::new();
    for round in 0..150_u64 {
        loop {
            let files = write(&store, shard(0), round..round + 1, NOON);
            let began = Instant::now();
            match store.commit(files, &[step(shard(0), round, round + 1)]).await {
                Ok(_) => latencies.push(began.elapsed()),
                // On a busy machine half a second may pass between writing and committing.
                Err(Error::Stale { .. }) => continue,
                Err(error) => panic!("{error}"),
            }
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let counts = tasks.join_all().await;
    assert!(counts.iter().all(|count| *count > 1), "passes and scans: {counts:?}");
    latencies.sort_unstable();
    eprintln!(
        "commit beside compaction: p50 {:?}, p99 {:?}, passes and scans {counts:?}",
        latencies[75], latencies[148]
    );
    assert!(latencies[148] < Duration::from_secs(2), "{:?}", latencies[148]);
    assert_eq!(offsets(&open(dir.path()).await, shard(0), 0).await, (0..150).collect::<Vec<_>>());
}
