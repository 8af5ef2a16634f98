//! The orderly end, as a user asks for it.

use crate::harness::{Ambit, program, said};
use ambit_bus::testing::{TestBroker, free_port};
use std::time::{Duration, Instant};

/// What Ctrl-C may take when there is nothing left to do.
const STOP_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_quick_and_leaves_nothing_behind() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    ambit.get("/api/v1/overview").await;
    let asked = Instant::now();
    ambit.stop();
    let took = asked.elapsed();
    assert!(took < STOP_WITHIN, "{took:?}: {}", ambit.log());
    assert!(!ambit.log().contains("left behind"), "{}", ambit.log());
}

/// A second process on one data directory would write over the first one's outbox, snapshots and ledgers.
#[tokio::test(flavor = "multi_thread")]
async fn one_data_directory_has_one_process() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let other = dir.path().join("other.toml");
    let ports = ["api", "gateway"].map(|part| format!("[{part}]\nlisten = \"127.0.0.1:{}\"\n", free_port()));
    std::fs::write(&other, ports.concat()).unwrap();
    let pid = ambit.pid().to_string();
    for role in ["up", "ingest", "analyze", "enforce"] {
        let mut command = program();
        command.arg("--config").arg(&other).arg("--data-dir").arg(dir.path().join("data"));
        let output = command.args(["--bootstrap-servers", &broker.bootstrap(), role]).output().unwrap();
        let told = said(&output);
        assert!(!output.status.success(), "{role}: {told}");
        assert!(
            told.contains("is in use by process") && told.contains(&pid) && told.contains("data"),
            "{role}: {told}"
        );
    }
    // The lock goes with the process, however it ends.
    ambit.restart().await;
    ambit.stop();
    ambit.restart().await;
}

/// API and console need the data directory alone. Where nobody is told of findings, that is said.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_served_without_kafka_and_a_missing_receiver_is_told() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    for place in ["/readyz", "/api/v1/overview"] {
        let told = ambit.get(place).await;
        assert!(told["notices"][0].as_str().unwrap().contains("nothing is revoked"), "{told}");
    }
    assert!(ambit.log().contains("nothing is revoked"), "{}", ambit.log());
    let metrics = ambit.metrics().await;
    assert!(metrics.contains("ambit_receivers_missing 1\n"), "{metrics}");
    for family in ["ambit_ingest_last_commit_seconds", "ambit_task_healthy"] {
        assert!(metrics.contains(&format!("# HELP {family} ")), "{metrics}");
        assert!(metrics.contains(&format!("# TYPE {family} gauge")), "{metrics}");
    }
    let huge = ambit.try_get("/api/v1/findings?severity=huge").await.unwrap_err();
    assert!(huge.starts_with("400") && huge.contains("critical"), "{huge}");
    ambit.stop();
    drop(broker);

    let port = free_port();
    let config = dir.path().join("serve.toml");
    std::fs::write(&config, format!("[api]\nlisten = \"localhost:{port}\"\n")).unwrap();
    let mut command = program();
    command.arg("--config").arg(&config).arg("--data-dir").arg(dir.path().join("data"));
    let mut served = command.args(["--bootstrap-servers", "127.0.0.1:1", "serve"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while reqwest::get(format!("http://127.0.0.1:{port}/healthz")).await.is_err() {
        assert!(served.try_wait().unwrap().is_none() && Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let asked =
        std::process::Command::new("kill").args(["-TERM", &served.id().to_string()]).status().unwrap();
    assert!(asked.success() && served.wait().unwrap().success());
}
