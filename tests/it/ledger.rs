//! The ledger against those who change or roll back what was recorded, with the program as a user starts it.

use crate::harness::{Ambit, copy_dir, said};
use ambit_bus::testing::TestBroker;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

fn verify(ambit: &Ambit, args: &[&str]) -> Output {
    ambit.command().arg("verify").args(args).output().unwrap()
}

async fn record(ambit: &Ambit, run: &str, at_least: u64) {
    let simulated = ambit.command().args(["simulate", "--run", run, "--events", "300"]).output().unwrap();
    assert!(simulated.status.success(), "{}", said(&simulated));
    let signed = |answer: &serde_json::Value| {
        let shards = answer["shards"].as_array().unwrap();
        let sum = |name: &str| shards.iter().map(|shard| shard[name].as_u64().unwrap()).sum::<u64>();
        sum("tree_size") >= at_least && sum("tree_size") == sum("checkpoint_size")
    };
    ambit.wait_for("/api/v1/overview", signed).await;
    // The mirror and Kafka hear of it within their own pace.
    tokio::time::sleep(Duration::from_secs(5)).await;
}

/// An older data directory is really copied back: the mirror and Kafka remember more.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_data_directory_is_recognised() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mirror = dir.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    let config = format!("[ledger]\nmirror = \"{}\"\nmirror_every_seconds = 1\n", mirror.display());
    let mut ambit = Ambit::start(&broker, dir.path(), &config).await;
    record(&ambit, "first", 300).await;
    let old_checkpoint = checkpoint_of(&ambit, dir.path()).await;
    ambit.stop();
    assert!(verify(&ambit, &[]).status.success());
    let (data, old) = (dir.path().join("data"), dir.path().join("old"));
    copy_dir(&data, &old);
    ambit.restart().await;
    record(&ambit, "second", 600).await;
    ambit.stop();

    // What is there now is intact, continues what was verified, and begins with the checkpoint that was kept.
    let later = verify(&ambit, &["--incremental"]);
    assert!(later.status.success() && said(&later).contains("from leaf"), "{}", said(&later));
    let consistent = verify(&ambit, &["--consistency", old_checkpoint.to_str().unwrap()]);
    assert!(consistent.status.success(), "{}", said(&consistent));

    fs::rename(&data, dir.path().join("newest")).unwrap();
    copy_dir(&old, &data);
    let rolled_back = verify(&ambit, &[]);
    let told = said(&rolled_back);
    assert_eq!(rolled_back.status.code(), Some(2), "{told}");
    for place in ["mirror ", "topic ambit.checkpoints"] {
        assert!(told.contains(place), "{place}: {told}");
    }
    assert!(told.contains("ambit.events/") && told.contains("rolled back"), "{told}");
    assert!(told.contains("leaves were signed by 20"), "sizes and times: {told}");

    // Without its memories nobody would know: the copy is intact in itself.
    let plain = dir.path().join("plain.toml");
    fs::write(&plain, "").unwrap();
    let unaware = crate::harness::program()
        .args(["--config", plain.to_str().unwrap(), "--bootstrap-servers", "127.0.0.1:1", "--data-dir"])
        .arg(&data)
        .arg("verify")
        .output()
        .unwrap();
    assert!(unaware.status.success(), "{}", said(&unaware));

    // A start signs nothing for such a shard, and says why.
    ambit.restart().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ready = ambit.try_get("/readyz").await.unwrap_err();
    assert!(ready.contains("rolled back"), "{ready}");
}

/// Whoever removes the ledger removes what vouches for the rows: that is no intact store.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_ledger_are_not_intact() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    record(&ambit, "gone", 300).await;
    ambit.stop();
    let data = dir.path().join("data");
    // Kafka is not there to remember: what remains must be enough.
    let plain = |args: &[&str]| {
        let mut command = crate::harness::program();
        command.args(["--bootstrap-servers", "127.0.0.1:1", "--data-dir"]).arg(&data).arg("verify");
        command.args(args).output().unwrap()
    };
    let (ledger, aside, marks) = (data.join("ledger"), dir.path().join("aside"), data.join("verified.json"));
    let none = plain(&["--shard", "ambit.events/99"]);
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(said(&none).contains("there is no shard ambit.events/99"), "{}", said(&none));

    fs::rename(&ledger, &aside).unwrap();
    let gone = plain(&[]);
    assert_eq!(gone.status.code(), Some(2), "{}", said(&gone));
    assert!(said(&gone).contains("no checkpoint covers these"), "{}", said(&gone));
    assert!(
        !marks.exists() || !fs::read_to_string(&marks).unwrap().contains("ambit.events"),
        "nothing was verified"
    );

    // A ledger that was verified before and is gone now contradicts what was noted then, in a full run too.
    fs::rename(&aside, &ledger).unwrap();
    let intact = plain(&[]);
    assert!(intact.status.success(), "{}", said(&intact));
    assert!(!said(&intact).contains("librdkafka") && !said(&intact).contains("FAIL"), "{}", said(&intact));
    fs::rename(&ledger, &aside).unwrap();
    for args in [&[][..], &["--incremental"]] {
        let gone = plain(args);
        assert_eq!(gone.status.code(), Some(2), "{}", said(&gone));
        assert!(said(&gone).contains("verified up to leaf"), "{args:?}: {}", said(&gone));
    }
    fs::rename(&aside, &ledger).unwrap();

    // Without its key nothing can be checked, and none is made.
    let (key, kept) = (data.join("keys/ledger.key"), dir.path().join("kept.key"));
    fs::rename(&key, &kept).unwrap();
    let keyless = plain(&[]);
    assert_eq!(keyless.status.code(), Some(1), "{}", said(&keyless));
    assert!(said(&keyless).contains("ledger.key") && !key.exists(), "{}", said(&keyless));
    fs::rename(&kept, &key).unwrap();

    // What is stored and not signed yet is told.
    copy_dir(&ledger, &aside);
    fs::remove_file(&marks).unwrap();
    ambit.restart().await;
    record(&ambit, "more", 600).await;
    ambit.stop();
    fs::remove_dir_all(&ledger).unwrap();
    fs::rename(&aside, &ledger).unwrap();
    let tail = plain(&[]);
    assert!(tail.status.success() && said(&tail).contains("not signed yet"), "{}", said(&tail));
}

/// The newest checkpoint of the first shard that has one, in a file.
async fn checkpoint_of(ambit: &Ambit, dir: &Path) -> std::path::PathBuf {
    let checkpoints = ambit.get("/api/v1/checkpoints").await;
    let newest = &checkpoints["items"].as_array().unwrap()[0];
    let (shard, size) = (newest["shard"].as_str().unwrap(), newest["size"].as_u64().unwrap());
    let path = dir.join("old-checkpoint");
    fs::write(&path, newest["text"].as_str().unwrap()).unwrap();
    // Over HTTP the same is proved, and served as files.
    let proof = ambit.get(&format!("/api/v1/ledger/{}/consistency?from=1", shard.replace('/', ":"))).await;
    assert!(proof["verified"] == true && proof["to"].as_u64() >= Some(size), "{proof}");
    let backwards = format!("/api/v1/ledger/{}/consistency?from=9&to=8", shard.replace('/', ":"));
    assert!(ambit.try_get(&backwards).await.unwrap_err().starts_with("400"));
    let served = ambit.try_get(&format!("/ledger/{shard}/checkpoint")).await.unwrap_err();
    assert!(served.contains(&format!("/{shard}\n")), "{served}");
    let hidden = ambit.try_get(&format!("/ledger/{shard}/tile/0/..%2F..%2Fcheckpoint")).await.unwrap_err();
    assert!(hidden.starts_with("404"), "{hidden}");
    path
}

/// The largest data file below a directory.
fn data_file(dir: &Path) -> std::path::PathBuf {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            if metadata.is_dir() && !path.ends_with("_delta_log") {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "parquet") {
                files.push((metadata.len(), path));
            }
        }
    }
    files.into_iter().max().unwrap().1
}

/// A byte of a data file flips while everything runs: it becomes an event, a metric and red health, and `ambit verify`
/// names file and event.
#[tokio::test(flavor = "multi_thread")]
async fn the_scrubber_tells_of_a_flipped_byte() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let config = "[ledger]\nscrub_every_seconds = 1\nscrub_rows_per_second = 1000000\n";
    let mut ambit = Ambit::start(&broker, dir.path(), config).await;
    record(&ambit, "scrub", 300).await;
    assert!(ambit.try_get("/readyz").await.is_ok());
    assert!(ambit.metrics().await.contains("ambit_integrity_faults_total 0\n"));

    let path = data_file(&dir.path().join("data/store"));
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, bytes).unwrap();

    let told = ambit
        .wait_for("/api/v1/events?kind=notice.integrity", |page| {
            !page["items"].as_array().unwrap().is_empty()
        })
        .await;
    let file = path.file_name().unwrap().to_str().unwrap();
    assert!(told.to_string().contains(file), "{told}");
    let ready = ambit.try_get("/readyz").await.unwrap_err();
    assert!(ready.starts_with("503") && ready.contains("integrity"), "{ready}");
    assert!(!ambit.metrics().await.contains("ambit_integrity_faults_total 0\n"));
    ambit.stop();
    let verified = verify(&ambit, &[]);
    assert_eq!(verified.status.code(), Some(2), "{}", said(&verified));
    assert!(said(&verified).contains(file) && said(&verified).contains("leaf "), "{}", said(&verified));
}
