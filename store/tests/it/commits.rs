//! The table on a real disk: commits, fencing, what survives, what readers see.

use crate::common::{DAY, NOON, at, offsets, open, shard, step, write};
use ambit_store::{Advance, Error, Options, Store};
use std::path::Path;

// INVARIANT L-2
#[tokio::test]
async fn rows_and_offsets_become_visible_together_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let files = write(&store, shard(0), 0..5, NOON);
    assert_eq!(offsets(&store, shard(0), 0).await, Vec::<u64>::new(), "written, not committed");
    assert_eq!(store.positions(&[shard(0)]).await.unwrap()[&shard(0)], at(0));
    store.commit(files, &[step(shard(0), 0, 5)]).await.unwrap();
    for store in [store, open(dir.path()).await] {
        assert_eq!(offsets(&store, shard(0), 0).await, [0, 1, 2, 3, 4]);
        assert_eq!(offsets(&store, shard(0), 3).await, [3, 4]);
        assert_eq!(offsets(&store, shard(1), 0).await, Vec::<u64>::new());
        let found = store.positions(&[shard(0), shard(1)]).await.unwrap();
        assert_eq!((found[&shard(0)], found[&shard(1)]), (at(5), at(0)));
    }
}

// INVARIANT L-1
#[tokio::test]
async fn whoever_has_been_overtaken_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(dir.path()).await, open(dir.path()).await);
    let files = write(&first, shard(0), 0..5, NOON);
    let late = write(&second, shard(0), 0..3, NOON);
    first.commit(files, &[step(shard(0), 0, 5)]).await.unwrap();
    let refused = second.commit(late, &[step(shard(0), 0, 3)]).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { expected: 0, found: 5, .. }), "{refused}");
    let backwards = second.commit(Vec::new(), &[Advance { shard: shard(0), from: at(5), to: at(4) }]).await;
    assert!(matches!(backwards, Err(Error::Fenced { .. })));
    let other = write(&second, shard(1), 0..2, NOON);
    second.commit(other, &[step(shard(1), 0, 2)]).await.unwrap();
    assert_eq!(offsets(&first, shard(0), 0).await, [0, 1, 2, 3, 4]);
    assert_eq!(offsets(&first, shard(1), 0).await, [0, 1]);
}

#[tokio::test]
async fn of_many_at_once_exactly_one_moves_a_shard() {
    let dir = tempfile::tempdir().unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = open(dir.path()).await;
        let files = write(&store, shard(0), 0..4, NOON);
        racers.spawn(async move { store.commit(files, &[step(shard(0), 0, 4)]).await.is_ok() });
    }
    let won = racers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    assert_eq!(offsets(&open(dir.path()).await, shard(0), 0).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn scans_follow_the_leaves_over_files_days_and_shards() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (index, start) in [0_u64, 10, 20, 30].into_iter().enumerate() {
        let recorded_at = NOON + i64::try_from(index).unwrap() * DAY;
        let mut files = write(&store, shard(0), start..start + 10, recorded_at);
        files.extend(write(&store, shard(1), start..start + 10, recorded_at - DAY));
        let steps = [step(shard(0), start, start + 10), step(shard(1), start, start + 10)];
        store.commit(files, &steps).await.unwrap();
    }
    for from in [0, 5, 10, 39, 40] {
        assert_eq!(offsets(&store, shard(1), from).await, (from..40).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_snapshot_knows_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let files = write(&store, shard(0), 0..5, NOON);
    store.commit(files, &[step(shard(0), 0, 5)]).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let [file] = snapshot.files.as_slice() else { panic!("{snapshot:?}") };
    assert_eq!((file.rows, file.day, file.leaf_index), (5, 20_000, Some((0, 4))));
    assert_eq!(file.path.metadata().unwrap().len(), file.size);
    let (from, to) = file.recorded_at.unwrap();
    assert!(from.micros() <= NOON && NOON <= to.micros());
    assert!(file.has_no_time && file.time.is_none());
    let other = open(dir.path()).await;
    let more = write(&other, shard(0), 5..6, NOON);
    other.commit(more, &[step(shard(0), 5, 6)]).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().files.len(), 2, "another process committed");
}

#[tokio::test]
async fn commits_stay_quick_and_checkpoints_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut last = std::time::Duration::ZERO;
    for offset in 0..120 {
        let files = write(&store, shard(0), offset..offset + 1, NOON);
        let started = std::time::Instant::now();
        store.commit(files, &[step(shard(0), offset, offset + 1)]).await.unwrap();
        last = started.elapsed();
    }
    assert!(last < std::time::Duration::from_secs(2), "{last:?}");
    assert!(store.checkpoint(100).await.unwrap().is_some());
    assert_eq!(store.checkpoint(100).await.unwrap(), None, "it is not due again");
    assert!(dir.path().join("_delta_log/_last_checkpoint").is_file());
    assert_eq!(offsets(&open(dir.path()).await, shard(0), 100).await.len(), 20);
}

// The short form of the benchmark `commits`: what a commit costs does not depend on how large the table is.
#[tokio::test]
async fn a_commit_costs_the_same_whatever_the_number_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut latencies = Vec::new();
    for offset in 0..400 {
        let files = write(&store, shard(0), offset..offset + 1, NOON);
        let started = std::time::Instant::now();
        store.commit(files, &[step(shard(0), offset, offset + 1)]).await.unwrap();
        latencies.push(started.elapsed());
    }
    let median = |part: &[std::time::Duration]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let (early, late) = (median(&latencies[10..60]), median(&latencies[350..]));
    assert!(
        late < early * 3 + std::time::Duration::from_millis(5),
        "{early:?} at first, {late:?} with 400 files"
    );
}

#[tokio::test]
async fn a_table_of_another_layout_is_refused_with_the_column() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    let log = dir.path().join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    let changed = text.replace(
        r#"\"name\":\"root_task\",\"type\":\"string\""#,
        r#"\"name\":\"root_task\",\"type\":\"long\""#,
    );
    assert_ne!(changed, text);
    std::fs::write(&log, changed).unwrap();
    let refused = Store::open(Options::durable(dir.path().to_owned())).await.unwrap_err();
    assert!(matches!(&refused, Error::Layout { column, .. } if column == "root_task"), "{refused}");
}

/// What a power cut leaves: of each file and directory only what was fsynced. `strace` shows what was.
fn fsynced(dir: &Path, fsync: bool) -> Vec<String> {
    let trace = dir.join("trace");
    let status = std::process::Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "commits::child_that_commits", "--nocapture", "--include-ignored"])
        .env("AMBIT_TEST_TABLE", dir.join("table"))
        .env("AMBIT_TEST_FSYNC", fsync.to_string())
        .stdout(std::process::Stdio::null())
        .status();
    match status {
        Ok(status) => assert!(status.success()),
        Err(_) => return Vec::new(),
    }
    let text = std::fs::read_to_string(trace).unwrap();
    text.lines().filter_map(|line| Some(line.split_once('<')?.1.split_once('>')?.0.to_owned())).collect()
}

#[tokio::test]
async fn child_that_commits() {
    let Some(dir) = std::env::var_os("AMBIT_TEST_TABLE") else { return };
    let fsync = std::env::var_os("AMBIT_TEST_FSYNC").is_some_and(|text| text == "true");
    let store = Store::open(Options { fsync, ..Options::durable(dir.into()) }).await.unwrap();
    let files = write(&store, shard(0), 0..5, NOON);
    store.commit(files, &[step(shard(0), 0, 5)]).await.unwrap();
}

// INVARIANT L-3, with its negative control
#[test]
fn every_file_and_directory_of_a_commit_is_fsynced() {
    for fsync in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let synced = fsynced(dir.path(), fsync);
        if synced.is_empty() && fsync {
            eprintln!("SKIPPED: strace is not installed, fsync is not observed");
            return;
        }
        let root = dir.path().join("table").canonicalize().unwrap();
        let (mut needed, mut missing) = (0, Vec::new());
        for entry in walk(&root) {
            needed += 1;
            let name = entry.display().to_string();
            // Files are written under another name, and get their own when they are durable.
            let name_only = entry.file_name().unwrap().to_str().unwrap();
            let stem = name_only.get(..41).filter(|_| name_only.starts_with("part-")).unwrap_or(name_only);
            if !synced.iter().any(|path| *path == name || path.contains(&format!("/.{stem}."))) {
                missing.push(name);
            }
        }
        assert!(needed >= 5);
        assert_eq!(missing.is_empty(), fsync, "fsync = {fsync}, not synced: {missing:?}");
    }
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
