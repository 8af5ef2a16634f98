//! The table is plain Delta: other programs read what we read, before and after compaction and retention.

use crate::common::{DAY, NOON, all_signed, event, open, shard, step, write_records};
use ambit_schemas::Timestamp;
use ambit_store::{Maintenance, Retention, Store};
use futures::StreamExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sets the readers up, or says why they cannot be had.
pub fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(root.join("scripts/venv.sh"))
        .arg(root.join("tests/readers/requirements.txt"))
        .output()
        .expect("the set-up script runs");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Some(PathBuf::from(said));
    }
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(
        std::env::var_os("CI").as_deref(),
        Some("true".as_ref()),
        "with CI=true a skipped lane is a failure"
    );
    eprintln!("SKIPPED: other readers of the table: {}", String::from_utf8_lossy(&output.stderr).trim());
    None
}

/// Rows, sum of offsets, sum of leaves, bytes of data, rows of one tenant.
async fn ours(store: &Store) -> String {
    let (mut rows, mut offsets, mut leaves, mut bytes, mut acme) = (0, 0, 0, 0, 0);
    for partition in 0..2 {
        let mut batches = std::pin::pin!(store.scan(shard(partition), 0));
        while let Some(batch) = batches.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let stored = ambit_schemas::columns::record_at(&batch, row).unwrap();
                let value = stored.record.value.unwrap();
                rows += 1;
                offsets += stored.record.offset;
                leaves += stored.leaf_index;
                bytes += value.len();
                acme += u64::from(value.windows(6).any(|window| window == b"\"acme\""));
            }
        }
    }
    format!("{rows} {offsets} {leaves} {bytes} {acme}")
}

fn theirs(python: &Path, table: &Path, reader: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(python)
        .arg(root.join("tests/readers/read.py"))
        .arg(reader)
        .arg(table)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{reader}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn deltalake_and_duckdb_read_what_we_read() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for round in 0..12_u64 {
        for partition in 0..2 {
            let offsets = round * 50..round * 50 + 50;
            let records: Vec<_> = offsets
                .clone()
                .map(|offset| {
                    event(shard(partition), offset, if offset % 3 == 0 { "acme" } else { "other" }, "a")
                })
                .collect();
            let files = write_records(&store, &records, NOON + i64::try_from(round / 6).unwrap() * DAY);
            store.commit(files, &[step(shard(partition), offsets.start, offsets.end)]).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    for stage in ["fresh", "compacted", "checkpointed", "retained"] {
        match stage {
            "compacted" => {
                let done = store.compact(&Maintenance::default(), i32::MAX, true).await.unwrap();
                assert_eq!((done.replaced, done.written), (24, 2));
            }
            "checkpointed" => assert!(store.checkpoint(1).await.unwrap().is_some()),
            "retained" => {
                let policy = Retention { default_days: 0, tenants: [("acme".to_owned(), 1)].into() };
                let now = Timestamp::from_micros(NOON + 2 * DAY);
                assert_eq!(
                    store.retain(&policy, &all_signed(), now, "test", false).await.unwrap().deleted,
                    200
                );
            }
            _ => {}
        }
        let expected = ours(&store).await;
        for reader in ["deltalake", "duckdb"] {
            assert_eq!(theirs(&python, dir.path(), reader), expected, "{stage}, {reader}");
        }
        seen.push(expected);
    }
    assert!(seen[0] == seen[2] && seen[0] != seen[3] && seen[0].starts_with("1200 "), "{seen:?}");
    eprintln!("deltalake and duckdb agree: {seen:?}");
    // What other programs do to it by mistake is refused.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let refused =
        Command::new(&python).arg(root.join("tests/readers/read.py")).arg("delete").arg(dir.path()).output();
    let refused = refused.unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("append-only"));
}
