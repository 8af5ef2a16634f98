//! Records of other systems: imported from files as a user does it, found by the API; killed in the middle and resumed.

use crate::harness::{Ambit, PATIENCE, said};
use ambit_bus::testing::TestBroker;
use ambit_schemas::columns::record_at;
use ambit_schemas::{Shard, Topic, decode};
use ambit_store::Store;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A made-up record: a role session of task `ambit.<task>` uses its key.
pub(crate) fn record(number: usize, task: &str) -> Value {
    json!({
        "eventVersion": "1.08", "eventID": format!("e-{task}-{number}"), "eventTime": "2026-11-20T09:00:00Z",
        "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "readOnly": true,
        "userIdentity": {"type": "AssumedRole", "arn": format!("arn:aws:sts::111111111111:assumed-role/billing/ambit.{task}"),
            "accessKeyId": "ASIAEXAMPLEEXAMPLE22"},
        "requestParameters": {"bucketName": "invoices", "password": "made-up-1"},
        "recipientAccountId": "111111111111"
    })
}

fn gzip(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap();
}

/// What the store has of the topic of events, by kind: first sightings, and those marked as duplicates.
async fn stored(ambit: &Ambit) -> BTreeMap<String, (usize, usize)> {
    let store = Store::open(ambit_store::Options::durable(ambit.dir.join("data/store"))).await.unwrap();
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for partition in 0..4 {
        let mut rows = std::pin::pin!(store.scan(Shard::new(Topic::Events, partition), 0));
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let stored = record_at(&batch, row).unwrap();
                for redaction in decode(&stored.record).unwrap().redactions {
                    *kinds.entry(redaction.rule + " " + &redaction.pointer).or_default() = (1, 0);
                }
                let counts = kinds.entry(stored.kind).or_default();
                *(if stored.duplicate { &mut counts.1 } else { &mut counts.0 }) += 1;
            }
        }
    }
    kinds
}

pub(crate) async fn wait_until_stored(
    ambit: &Ambit,
    first: &[(&str, usize)],
) -> BTreeMap<String, (usize, usize)> {
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        let kinds = stored(ambit).await;
        if first.iter().all(|(kind, count)| kinds.get(*kind).is_some_and(|counts| counts.0 >= *count)) {
            return kinds;
        }
        assert!(Instant::now() < deadline, "{kinds:?}\n{}", ambit.log());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_as_they_lie_in_a_bucket_are_imported_once_and_found() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    let bucket = dir.path().join("bucket/AWSLogs/111111111111");
    let records: Vec<Value> = (0..40).map(|number| record(number, "task-1")).collect();
    gzip(&bucket.join("a.json.gz"), &serde_json::to_string_pretty(&json!({"Records": records})).unwrap());
    gzip(
        &bucket.join("b.json.gz"),
        &json!({"Records": [record(0, "task-2"), {"eventVersion": "1", "eventSource": "x",
        "eventName": "Heartbeat", "eventTime": "2026-11-20T09:00:00Z", "eventID": "h"}]})
        .to_string(),
    );
    let lines =
        format!("{}\n{{\"password\":\"made-up-2\", damaged\n\n{{\"hello\":1}}\n", record(1, "task-2"));
    std::fs::write(bucket.join("c.ndjson"), lines).unwrap();
    std::fs::write(bucket.join(".hidden"), "{").unwrap();
    let mut packed = Vec::new();
    let mut encoder = GzEncoder::new(&mut packed, Compression::fast());
    encoder.write_all(format!("{}\n", record(2, "task-2")).repeat(1_000).as_bytes()).unwrap();
    encoder.finish().unwrap();
    let import =
        |path: &Path| ambit.command().args(["import", "--tenant", "acme"]).arg(path).output().unwrap();
    let output = import(&bucket);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // 42 records of a session (two events each), one that is nobody's, one line that is no JSON, one unknown.
    assert!(text.starts_with("3 files (0 imported before), 45 records (0 sent before): 87 events"), "{text}");
    assert!(text.contains("of them 2 records kept as they are and 1 with a fault; 43 secrets"), "{text}");
    let kinds = wait_until_stored(
        &ambit,
        &[("credential.used", 42), ("tool_call.completed", 42), ("source.recorded", 3)],
    )
    .await;
    assert_eq!(kinds["credential.used"], (42, 0));
    // Again: the files are known.
    let output = import(&bucket);
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("3 files (3 imported before), 0 records"),
        "{}",
        said(&output)
    );
    // A damaged archive is told, after what can be read of it.
    let damaged = dir.path().join("damaged.gz");
    std::fs::write(&damaged, &packed[..packed.len() - 12]).unwrap();
    let output = import(&damaged);
    assert!(!output.status.success() && said(&output).contains("damaged.gz"), "{}", said(&output));
    // By the API, redacted.
    let wanted = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 40);
    let page =
        ambit.wait_for("/api/v1/events?root_task=task-1&kind=tool_call.completed&limit=100", wanted).await;
    let first = &page["items"][0];
    assert_eq!(first["agent"], "arn:aws:iam::111111111111:role/billing");
    assert_eq!((first["tool"].as_str(), first["tenant"].as_str()), (Some("s3:GetObject"), Some("acme")));
    assert!(!page.to_string().contains("made-up-1") && page.to_string().contains("redacted:hmac-sha256:"));
    let opaque = ambit.get("/api/v1/events?kind=source.recorded").await;
    assert!(!opaque.to_string().contains("made-up-2") && opaque.to_string().contains("not_json"), "{opaque}");
    let leaks = ambit
        .wait_for("/api/v1/findings?rule=C-SECRET&limit=100", |page| {
            !page["items"].as_array().unwrap().is_empty()
        })
        .await;
    assert_eq!(leaks["items"][0]["finding"]["severity"], "medium");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_goes_on_and_doubles_nothing() {
    const RECORDS: usize = 6_000;
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    let lines: Vec<String> = (0..RECORDS).map(|number| record(number, "task-3").to_string()).collect();
    let (file, state) = (dir.path().join("trail.gz"), dir.path().join("state.json"));
    gzip(&file, &lines.join("\n"));
    let command = || {
        let mut command = ambit.command();
        command.args(["import", "--tenant", "acme"]).arg("--state").arg(&state).arg(&file);
        command
    };
    let mut kills = 0;
    let noted = || -> u64 {
        let content: Value = std::fs::read(&state)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let files =
            content["files"].as_object().map(|files| files.values().next().cloned().unwrap_or_default());
        files.and_then(|progress| progress["records"].as_u64()).unwrap_or_default()
    };
    for _ in 0..2 {
        let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (before, deadline) = (noted(), Instant::now() + PATIENCE);
        while noted() < before + 1_000 && child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(kills, 2, "the import was over before it could be killed");
    let done = noted();
    assert!(done >= 2_000 && done < RECORDS as u64, "{done}");
    let output = command().output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("{} records ({done} sent before)", RECORDS as u64 - done)), "{text}");
    let kinds =
        wait_until_stored(&ambit, &[("credential.used", RECORDS), ("tool_call.completed", RECORDS)]).await;
    assert_eq!(kinds["credential.used"].0, RECORDS, "{kinds:?}");
    assert_eq!(kinds["tool_call.completed"].0, RECORDS, "{kinds:?}");
    eprintln!("two kills at {done} of {RECORDS} records: {kinds:?} (first sightings, duplicates)");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_records_of_cloudtrail_are_all_kept() {
    let data = std::env::var_os("AMBIT_DATA").map(std::path::PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let archive = data.join("cloudtrail/raw.tar.zst");
    if !archive.is_file() {
        eprintln!(
            "SKIPPED: CloudTrail records are not at {} (AMBIT_DATA names another place)",
            archive.display()
        );
        return;
    }
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    let raw = dir.path().join("raw");
    std::fs::create_dir(&raw).unwrap();
    let mut tar = Command::new("tar").arg("-x").arg("-C").arg(&raw).stdin(Stdio::piped()).spawn().unwrap();
    zstd::stream::copy_decode(std::fs::File::open(&archive).unwrap(), tar.stdin.take().unwrap()).unwrap();
    assert!(tar.wait().unwrap().success());
    let output = ambit.command().args(["import", "--tenant", "acme"]).arg(&raw).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{text}");
    assert!(text.contains(" 310 records (0 sent before)") && text.contains("and 0 with a fault"), "{text}");
    let kinds = wait_until_stored(
        &ambit,
        &[("credential.used", 309), ("source.recorded", 1), ("credential.issued", 11)],
    )
    .await;
    eprintln!("{kinds:?}");
    assert_eq!(kinds["credential.used"], (309, 0));
    // What the records themselves say: eight roles assumed, two keys made, one federation token.
    assert_eq!(kinds["credential.issued"], (11, 0));
}
