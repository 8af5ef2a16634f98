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
