//! Retention and legal holds: what is over goes, what is held stays, what went is written down.

use crate::common::{DAY, NOON, all_signed, event, leaves, open, shard, step, write_records};
use ambit_schemas::Timestamp;
use ambit_store::{Cover, Error, Hold, Maintenance, Options, Release, Retention, Store, fsck};
use std::collections::BTreeMap;
use std::path::Path;

/// Four days of ten events each; the tenants take turns, the agents too.
async fn filled(dir: &Path) -> Store {
    let store = open(dir).await;
    for day in 0..4_u64 {
        let offsets = day * 10..day * 10 + 10;
        let records: Vec<_> = offsets
            .clone()
            .map(|offset| {
                let tenant = if offset % 2 == 0 { "acme" } else { "other" };
                event(shard(0), offset, tenant, &format!("agent-{}", offset % 5))
            })
            .collect();
        let files = write_records(&store, &records, NOON + i64::try_from(day).unwrap() * DAY);
        store.commit(files, &[step(shard(0), offsets.start, offsets.end)]).await.unwrap();
    }
    store
}

fn after(days: i64) -> Timestamp {
    Timestamp::from_micros(NOON + days * DAY)
}

fn policy(default_days: u32, acme: Option<u32>) -> Retention {
    let tenants = acme.map(|days| ("acme".to_owned(), days)).into_iter().collect();
    Retention { default_days, tenants }
}

fn hold(id: &str, covers: Cover) -> Hold {
    let (reason, author) = ("case 17".into(), "counsel".into());
    Hold { id: id.into(), reason, author, placed_at: after(0), covers, released: None }
}

fn history(dir: &Path) -> String {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.iter().map(|path| std::fs::read_to_string(path).unwrap().trim_end().to_owned() + "\n\n").collect()
}

#[tokio::test]
async fn what_is_over_goes_and_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let planned = store.retain(&policy(2, None), &all_signed(), after(4), "test", true).await.unwrap();
    assert_eq!(
        (planned.deleted, leaves(&store, shard(0)).await.len()),
        (20, 40),
        "a dry run deletes nothing"
    );
    let done = store.retain(&policy(2, None), &all_signed(), after(4), "test", false).await.unwrap();
    assert_eq!((done.deleted, done.files_removed, done.files_rewritten), (20, 2, 0));
    assert_eq!(done.tenants, BTreeMap::from([("acme".into(), 10), ("other".into(), 10)]));
    for store in [store.clone(), open(dir.path()).await] {
        assert_eq!(leaves(&store, shard(0)).await, (20..40).collect::<Vec<_>>());
        let retired = store.retired().await.unwrap();
        assert_eq!(retired.of(shard(0)).all(), [(0, 19)]);
        assert_eq!((retired.runs().len(), retired.runs()[0].author.as_str()), (1, "test"));
    }
    let again = store.retain(&policy(2, None), &all_signed(), after(4), "test", false).await.unwrap();
    assert_eq!(again.deleted, 0);
    let checked = fsck(Options::durable(dir.path().into()), |_, _| ()).await.unwrap();
    assert_eq!((checked.faults.as_slice(), checked.rows, checked.retired), (&[][..], 20, 20));
    assert_eq!(store.positions(&[shard(0)]).await.unwrap()[&shard(0)].tree_size, 40, "offsets stay");
}

#[tokio::test]
async fn a_tenants_rows_go_out_of_files_that_others_share() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let done = store.retain(&policy(0, Some(1)), &all_signed(), after(3), "test", false).await.unwrap();
    assert_eq!((done.deleted, done.files_removed, done.files_rewritten), (10, 0, 2));
    let expected: Vec<u64> = (0..40).filter(|leaf| leaf % 2 == 1 || *leaf >= 20).collect();
    assert_eq!(leaves(&store, shard(0)).await, expected);
    let retired = store.retired().await.unwrap().of(shard(0));
    assert_eq!((retired.count(), retired.last_from(4), retired.last_from(5)), (10, Some(4), None));
    store.compact(&Maintenance::default(), i32::MAX, true).await.unwrap();
    assert_eq!(leaves(&open(dir.path()).await, shard(0)).await, expected);
    let checked = fsck(Options::durable(dir.path().into()), |_, _| ()).await.unwrap();
    assert_eq!(checked.faults, []);
}

#[tokio::test]
async fn a_hold_pins_what_it_covers_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let covers = Cover { agent: Some("agent-3".into()), to: Some(after(1)), ..Cover::default() };
    store.place_hold(hold("case-17", covers)).await.unwrap();
    let twice = store.place_hold(hold("case-17", Cover::default())).await.unwrap_err();
    assert!(matches!(twice, Error::Refused(_)), "{twice}");
    assert!(store.place_hold(Hold { reason: " ".into(), ..hold("x", Cover::default()) }).await.is_err());
    let done = store.retain(&policy(1, None), &all_signed(), after(9), "test", false).await.unwrap();
    assert_eq!((done.deleted, done.held), (38, 2));
    assert_eq!(leaves(&store, shard(0)).await, [3, 8]);
    let release = Release { at: after(9), author: "counsel".into(), reason: "settled".into() };
    store.release_hold("case-17", release.clone()).await.unwrap();
    assert!(store.release_hold("case-17", release.clone()).await.is_err());
    let holds = open(dir.path()).await.holds().await.unwrap();
    assert_eq!((holds.len(), holds[0].released.as_ref()), (1, Some(&release)), "the record stays");
    assert_eq!(
        store.retain(&policy(1, None), &all_signed(), after(9), "test", false).await.unwrap().deleted,
        2
    );
    assert_eq!(leaves(&store, shard(0)).await, Vec::<u64>::new());
}

#[tokio::test]
async fn rows_whose_leaves_are_not_signed_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let nothing = ambit_store::Signed::default();
    let done = store.retain(&policy(1, None), &nothing, after(9), "test", false).await.unwrap();
    assert_eq!((done.deleted, done.unsigned, leaves(&store, shard(0)).await.len()), (0, 40, 40));
    let some = [(shard(0), 13), (shard(1), u64::MAX)].into_iter().collect();
    let done = store.retain(&policy(1, None), &some, after(9), "test", false).await.unwrap();
    assert_eq!((done.deleted, done.unsigned), (13, 27));
    assert_eq!(leaves(&store, shard(0)).await, (13..40).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_hold_covers_rows_of_which_it_is_not_known_whose_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let files = crate::common::write(&store, shard(0), 0..3, NOON);
    store.commit(files, &[step(shard(0), 0, 3)]).await.unwrap();
    let covers = Cover { tenant: Some("acme".into()), ..Cover::default() };
    store.place_hold(hold("acme", covers)).await.unwrap();
    let done = store.retain(&policy(1, None), &all_signed(), after(9), "test", false).await.unwrap();
    assert_eq!((done.deleted, done.held), (0, 3), "dead letters may be acme's");
}

#[tokio::test]
async fn rows_are_deleted_only_while_the_log_says_that_they_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    store.retain(&policy(2, None), &all_signed(), after(4), "the-author", false).await.unwrap();
    let (mut append_only, mut deletions) = (true, 0);
    for entry in history(dir.path()).split("\n\n") {
        let lines = entry.lines().filter(|line| !line.is_empty());
        let lines: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.iter().any(|line| line["remove"]["dataChange"] == true) {
            assert!(!append_only, "deleted while append-only: {entry}");
            let info = lines.iter().find(|line| !line["commitInfo"].is_null()).unwrap();
            assert_eq!(info["commitInfo"]["ambitNote"]["retention"]["by"], "the-author");
            deletions += 1;
        }
        for line in &lines {
            if let Some(value) = line["metaData"]["configuration"]["delta.appendOnly"].as_str() {
                append_only = value == "true";
            }
        }
    }
    assert!(append_only && deletions == 2);
}

#[tokio::test]
async fn a_table_left_open_is_closed_by_whoever_opens_it_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    store.retain(&policy(2, None), &all_signed(), after(4), "test", false).await.unwrap();
    // As if the process had died between the two commits of the last deletion.
    let log = dir.path().join("_delta_log");
    let mut entries: Vec<_> = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    std::fs::remove_file(entries.last().unwrap()).unwrap();
    let again = open(dir.path()).await;
    let text = history(dir.path());
    let last = text.rfind("delta.appendOnly\":\"").map(|at| &text[at..at + 24]).unwrap();
    assert!(last.contains("true"), "{last}");
    assert_eq!(
        again.retain(&policy(2, None), &all_signed(), after(4), "test", false).await.unwrap().deleted,
        10
    );
    assert_eq!(leaves(&again, shard(0)).await, (20..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_while_retention_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let other = open(dir.path()).await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        for offset in 0..40_u64 {
            let files = write_records(&other, &[event(shard(1), offset, "acme", "a")], NOON + 30 * DAY);
            other.commit(files, &[step(shard(1), offset, offset + 1)]).await.unwrap();
        }
    });
    let done = store.retain(&policy(2, None), &all_signed(), after(30), "test", false).await.unwrap();
    assert_eq!(done.deleted, 40);
    tasks.join_all().await;
    assert_eq!(leaves(&store, shard(1)).await, (0..40).collect::<Vec<_>>());
    assert_eq!(store.retired().await.unwrap().of(shard(0)).all(), [(0, 39)]);
}
