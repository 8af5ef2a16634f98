//! Kafka goes away while everything runs, and comes back.

use crate::harness::{Ambit, PATIENCE};
use ambit_bus::testing::TestBroker;
use serde_json::json;
use std::time::{Duration, Instant};

/// Within this an agent's gateway must know that its event was not taken.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

fn event(number: u32) -> serde_json::Value {
    let golden = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/golden/v1/tool_call.requested.json"
    ));
    let golden: serde_json::Value = serde_json::from_str(&golden.unwrap()).unwrap();
    let mut event = json!({"data": golden["data"]});
    for header in golden["headers"].as_array().unwrap() {
        if let Some(name) = header[0].as_str().unwrap().strip_prefix("ce_") {
            event[name] = header[1].clone();
        }
    }
    event["id"] = json!(format!("outage-{number}"));
    event
}

/// How long the gateway took, and what it said.
async fn post(ambit: &Ambit, number: u32) -> (Duration, reqwest::Response) {
    let config: toml::Table =
        toml::from_str(&std::fs::read_to_string(ambit.dir.join("ambit.toml")).unwrap()).unwrap();
    let url = format!("http://{}/v1/events", config["gateway"]["listen"].as_str().unwrap());
    let token = std::fs::read_to_string(ambit.dir.join("data/keys/gateway.token")).unwrap();
    let begun = Instant::now();
    let sent = reqwest::Client::new()
        .post(url)
        .bearer_auth(token)
        .header("content-type", "application/cloudevents+json")
        .body(event(number).to_string())
        .timeout(PATIENCE)
        .send()
        .await
        .unwrap();
    (begun.elapsed(), sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_kafka_is_told_and_ends_by_itself() {
    let mut broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    assert_eq!(post(&ambit, 0).await.1.status(), 202);
    assert!(ambit.metrics().await.contains("ambit_kafka_up 1\n"));
    broker.kill();

    // At once, before anybody has noticed, and later.
    for number in 1..4 {
        let (took, answer) = post(&ambit, number).await;
        assert_eq!(answer.status(), 503, "{took:?}");
        assert!(took < ANSWER_WITHIN, "{took:?}");
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(15);
    let told = loop {
        match ambit.try_get("/readyz").await {
            Err(told) if told.contains("kafka") => break told,
            answer => assert!(Instant::now() < deadline, "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(told.starts_with("503") && told.contains(&broker.bootstrap()), "{told}");
    assert!(told.contains("check that they run") && told.contains("since 20"), "{told}");
    assert!(told.contains("onnect") && told.contains("refused"), "why: {told}");
    assert!(ambit.metrics().await.contains("ambit_kafka_up 0\n"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let log = ambit.log();
    let lines = log.lines().filter(|line| line.contains("has answered since")).count();
    assert_eq!(lines, 1, "one line per change of state: {log}");
    assert!(!log.contains("brokers are down"), "{log}");
    assert_eq!(log.matches("Connect to").count(), 1, "{log}");
    assert!(
        log.lines().count() <= 6,
        "an outage of half a minute is told in {} lines: {log}",
        log.lines().count()
    );

    broker.restart();
    let deadline = Instant::now() + PATIENCE;
    while post(&ambit, 9).await.1.status() != 202 {
        assert!(Instant::now() < deadline, "{}", ambit.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let stored = |page: &serde_json::Value| page["items"].to_string().contains("\"outage-9\"");
    ambit.wait_for("/api/v1/events?kind=tool_call.requested", stored).await;
    ambit.wait_for("/readyz", |_| true).await;
    ambit.stop();
}
