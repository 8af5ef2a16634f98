//! Health and metrics: of roles that run alone, on an address of their own.

use crate::harness::{Ambit, PATIENCE};
use ambit_bus::testing::{TestBroker, free_port};
use ambit_bus::{Linger, Producer, ensure_topics};
use reqwest::StatusCode;
use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// One role.
struct Role(Child);

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(ambit: &Ambit, role: &str) -> Role {
    let log = File::options().create(true).append(true).open(ambit.dir.join("log")).unwrap();
    Role(ambit.command().arg(role).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// The answer once there is one that is wanted.
async fn wait_for(ambit: &Ambit, url: &str, wanted: impl Fn(StatusCode, &str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = match reqwest::get(url).await {
            Ok(answer) => {
                let (status, text) = (answer.status(), answer.text().await.unwrap());
                if wanted(status, &text) {
                    return text;
                }
                format!("{status}: {text}")
            }
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < deadline, "{url}: {told}\n{}", ambit.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_run_alone_tell_how_they_are() {
    let broker = TestBroker::embedded();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    for (role, histogram) in [
        ("ingest", Some("ambit_ingest_commit_seconds")),
        ("analyze", None),
        ("enforce", Some("ambit_enforcement_attempt_seconds")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let ambit =
            Ambit::configure(&broker, dir.path(), &format!("[monitoring]\nlisten = \"127.0.0.1:{port}\""));
        let running = start(&ambit, role);
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        wait_for(&ambit, &url("/readyz"), |status, text| status == 200 && text.contains("ready")).await;
        wait_for(&ambit, &url("/healthz"), |status, text| status == 200 && text.contains("ok")).await;
        let metrics = wait_for(&ambit, &url("/metrics"), |status, _| status == 200).await;
        assert!(metrics.contains("ambit_kafka_up 1"), "{metrics}");
        assert!(!metrics.contains("ambit_api_answer_seconds"), "there is no API here");
        if let Some(name) = histogram {
            assert!(metrics.contains(&format!("# TYPE {name} histogram")), "{metrics}");
            assert!(metrics.contains(&format!("{name}_bucket{{le=\"+Inf\"}}")), "{metrics}");
        }
        let other = reqwest::get(url("/api/v1/events")).await.unwrap();
        assert_eq!(other.status(), StatusCode::NOT_FOUND, "nothing else is served there");
        if role == "ingest" {
            let producer = Producer::new(&options, "test", Linger::None).unwrap();
            crate::oracle::send(&producer, "m", 20).await;
            let counted = |_, text: &str| {
                text.lines().any(|line| {
                    line.strip_prefix("ambit_ingest_commit_seconds_count ").is_some_and(|count| count != "0")
                })
            };
            wait_for(&ambit, &url("/metrics"), counted).await;
        }
        drop(running);
    }
}

/// The control: without an address nothing listens, and an address that is taken is told at the start.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_monitoring_that_is_taken_is_told_at_once() {
    let broker = TestBroker::embedded();
    ensure_topics(&broker.options()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ambit = Ambit::configure(&broker, dir.path(), &format!("[monitoring]\nlisten = \"{address}\""));
    let output = ambit.command().arg("analyze").output().unwrap();
    let told = crate::harness::said(&output);
    assert!(!output.status.success() && told.contains("monitoring.listen"), "{told}");
}
