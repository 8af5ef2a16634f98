//! Bits that flip, files that are cut, replaced or deleted: each is found and named.

use crate::common::{NOON, open, shard, step, write};
use ambit_store::{Checked, Maintenance, Options, Store, fsck};
use std::path::{Path, PathBuf};

/// Mutations of each file, unless `AMBIT_FAULT_ROUNDS` says how many.
const ROUNDS: u64 = 4;

fn rounds() -> u64 {
    std::env::var_os("AMBIT_FAULT_ROUNDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(ROUNDS)
}

/// A table with every kind of file: entries, a checkpoint, fresh and compacted data files, documents.
async fn filled(dir: &Path) -> Store {
    let store = open(dir).await;
    for round in 0..6_u64 {
        let files = write(&store, shard(0), round * 20..round * 20 + 20, NOON);
        store.commit(files, &[step(shard(0), round * 20, round * 20 + 20)]).await.unwrap();
        if round == 3 {
            store.compact(&Maintenance::default(), i32::MAX, true).await.unwrap();
            store.checkpoint(1).await.unwrap().unwrap();
        }
    }
    store
}

async fn check(dir: &Path) -> Checked {
    fsck(Options::durable(dir.to_owned()), |_, _| ()).await.unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, target).unwrap();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

fn named(checked: &Checked, path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    checked.faults.iter().any(|fault| fault.file.contains(name) || fault.what.contains(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_every_damaged_file_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let sound = check(dir.path()).await;
    assert_eq!((sound.faults.as_slice(), sound.rows, sound.files), (&[][..], 120, 3));
    let active: Vec<PathBuf> =
        store.snapshot().await.unwrap().files.iter().map(|file| file.path.clone()).collect();
    let (mut random, mut mutations) = (Random(17), 0_u64);
    for path in files(dir.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let data = path.extension().is_some_and(|ending| ending == "parquet");
        let first = name == "00000000000000000000.json";
        // Replaced files are nobody's any more; the first entry is written by the library, without a digest of ours.
        let of_interest = active.contains(&path) || path.parent().unwrap().ends_with("_delta_log") && !first;
        if !of_interest || name == "_last_checkpoint" {
            continue;
        }
        let original = std::fs::read(&path).unwrap();
        for round in 0..rounds() {
            let mut bytes = original.clone();
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            match round % 4 {
                0 | 1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at),
                _ if data => {
                    bytes = std::fs::read(active.iter().find(|other| **other != path).unwrap()).unwrap();
                }
                _ => bytes.insert(at, b' '),
            }
            let damaged = tempfile::tempdir().unwrap();
            copy(dir.path(), damaged.path());
            let victim = damaged.path().join(path.strip_prefix(dir.path()).unwrap());
            std::fs::write(&victim, &bytes).unwrap();
            let checked = check(damaged.path()).await;
            assert!(named(&checked, &victim), "{name}, round {round}, at {at}: {:?}", checked.faults);
            mutations += 1;
        }
    }
    assert!(mutations >= 10 * rounds(), "only {mutations} mutations");
    eprintln!("corruption: {mutations} mutations, all found and named");
}

#[tokio::test]
async fn faults_a_deleted_file_is_found_by_readers_and_by_fsck() {
    for what in ["data", "entry", "checkpoint"] {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path()).await;
        let victim = match what {
            "data" => store.snapshot().await.unwrap().files[1].path.clone(),
            "entry" => dir.path().join("_delta_log/00000000000000000006.json"),
            _ => files(&dir.path().join("_delta_log"))
                .into_iter()
                .find(|path| path.to_str().unwrap().ends_with(".checkpoint.parquet"))
                .unwrap(),
        };
        std::fs::remove_file(&victim).unwrap();
        let checked = check(dir.path()).await;
        let version = victim.file_name().unwrap().to_str().unwrap()[..20].trim_start_matches('0').to_owned();
        let told =
            named(&checked, &victim) || checked.faults.iter().any(|fault| fault.what.contains(&version));
        assert!(told, "{what}: {:?}", checked.faults);
        if what == "data" {
            let mut rows = std::pin::pin!(store.scan(shard(0), 0));
            let mut failure = None;
            while let Some(batch) = futures::StreamExt::next(&mut rows).await {
                failure = batch.err().or(failure);
            }
            let failure = failure.expect("a scan does not pass over it").to_string();
            assert!(failure.contains(victim.file_name().unwrap().to_str().unwrap()), "{failure}");
        }
    }
}

#[tokio::test]
async fn faults_a_table_that_was_rolled_back_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let last = store.snapshot().await.unwrap().version;
    // Somebody takes the rows of the last commit away, and keeps its offsets.
    let entry = dir.path().join(format!("_delta_log/{last:020}.json"));
    let text = std::fs::read_to_string(&entry).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"add\"")).collect();
    std::fs::write(&entry, lines.join("\n")).unwrap();
    assert!(named(&check(dir.path()).await, &entry), "its digest is not that of its bytes");
    let bare: Vec<String> =
        lines.iter().map(|line| line.replace("ambitDigest", "x").replace("ambitCommit", "y")).collect();
    std::fs::write(&entry, bare.join("\n")).unwrap();
    let checked = check(dir.path()).await;
    assert!(
        checked.faults.iter().any(|fault| fault.what.contains("120 were committed")),
        "{:?}",
        checked.faults
    );
}
