//! Bad input: each record is kept with its reason, counted, shown, and stops nothing.

use crate::harness::Ambit;
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_schemas::{Headers, Outgoing, Topic, encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

/// The reason that is expected, the headers, the value.
type Case<'a> = (&'a str, Headers, Option<&'a [u8]>);

fn good() -> Outgoing {
    let options =
        ambit::simulate::Options { start: ambit::simulate::now(), ..ambit::simulate::Options::default() };
    let mut simulation = ambit::simulate::Simulation::new(options, SigningKey::from_bytes(&[7; 32]));
    let is_call =
        |event: &ambit_schemas::Event| matches!(event.body, ambit_schemas::Body::ToolCallRequested(_));
    encode(&simulation.find(|one| is_call(&one.event)).unwrap().event).unwrap()
}

fn header(outgoing: &Outgoing, name: &str, value: &str) -> Headers {
    outgoing.headers.replaced(name, value.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_record_is_kept_counted_and_shown() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let producer = Producer::new(&options, "hostile", Linger::None).unwrap();
    let good = good();
    let text = String::from_utf8(good.value.to_vec()).unwrap();
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let no_agent = text.replace("\"ai_agent\"", "\"nobody\"");
    let large = vec![b'x'; 10 << 20];
    let deep = format!("{{\"tenant_uid\":\"a\",\"tool_call\":{nested}}}");
    let cases: Vec<Case<'_>> = vec![
        ("not_json", good.headers.clone(), Some(b"{\"tenant_uid\":")),
        ("not_utf8", good.headers.clone(), Some(b"{\"a\":\"\xff\xfe\"}")),
        ("unknown_type", header(&good, "ce_type", "ambit.dream.had.v1"), Some(text.as_bytes())),
        ("unknown_version", header(&good, "ce_type", "ambit.tool_call.requested.v9"), Some(text.as_bytes())),
        ("missing_agent", good.headers.clone(), Some(no_agent.as_bytes())),
        ("too_large", good.headers.clone(), Some(&large)),
        ("too_deep", good.headers.clone(), Some(deep.as_bytes())),
        ("time", header(&good, "ce_time", "1970-01-01T00:00:00Z"), Some(text.as_bytes())),
        ("time", header(&good, "ce_time", "2100-01-01T00:00:00Z"), Some(text.as_bytes())),
        ("empty", good.headers.clone(), None),
        ("attribute", Headers::default(), Some(text.as_bytes())),
    ];
    let mut sent = BTreeMap::new();
    for (reason, headers, value) in &cases {
        let (shard, offset) =
            producer.send_raw(Topic::Events, Some(&good.key), headers, *value).await.unwrap();
        sent.insert(
            format!("{}:{}:{offset}", shard.topic, shard.partition),
            (*reason, value.unwrap_or_default().to_vec()),
        );
    }
    // After all of them, and before its envelope, a good event, twice.
    let (first, second) =
        (producer.send(good.clone()).await.unwrap(), producer.send(good.clone()).await.unwrap());

    let total = cases.len() as u64 + 2;
    let of_events = |overview: &serde_json::Value| {
        overview["events_by_kind"]["tool_call.requested"].as_u64().unwrap_or_default()
            + overview["dead_letters"].as_u64().unwrap_or_default()
    };
    ambit.wait_for("/api/v1/overview", |overview| of_events(overview) == total).await;
    let letters = ambit.get("/api/v1/dead-letters?limit=100").await;
    let letters = letters["items"].as_array().unwrap();
    assert_eq!(letters.len(), cases.len());
    for letter in letters {
        let (reason, value) = &sent[letter["ref"].as_str().unwrap()];
        assert_eq!(letter["reason"].as_str().unwrap(), *reason);
        assert_eq!(letter["size"].as_u64().unwrap(), value.len() as u64, "{reason}");
        let shown = BASE64.decode(letter["raw_base64"].as_str().unwrap()).unwrap();
        assert_eq!(shown, value[..value.len().min(4_096)], "{reason}");
    }
    let metrics = ambit.metrics().await;
    for reason in ["not_json", "not_utf8", "unknown_type", "too_large", "too_deep", "empty"] {
        assert!(
            metrics.contains(&format!("ambit_ingest_dead_letters_total{{reason=\"{reason}\"}} 1")),
            "{metrics}"
        );
    }
    assert!(metrics.contains("ambit_ingest_dead_letters_total{reason=\"time\"} 2"), "{metrics}");

    // The duplicate is stored where it stands, marked, and judged once: without an envelope, outside.
    let reference = |(shard, offset): (ambit_schemas::Shard, u64)| {
        format!("{}:{}:{offset}", shard.topic, shard.partition)
    };
    let detail = |at: String| format!("/api/v1/events/{at}");
    assert_eq!(ambit.get(&detail(reference(first))).await["event"]["duplicate"], false);
    assert_eq!(ambit.get(&detail(reference(second))).await["event"]["duplicate"], true);
    let findings = ambit
        .wait_for("/api/v1/findings", |findings| !findings["items"].as_array().unwrap().is_empty())
        .await;
    let findings = findings["items"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["finding"]["rule"]["id"], "E-NOENV");
    ambit.stop();
    assert!(ambit.command().arg("verify").output().unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_ledger_is_found() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let producer = Producer::new(&broker.options(), "t", Linger::None).unwrap();
    let (shard, _) = producer.send(good()).await.unwrap();
    ambit.wait_for("/api/v1/overview", |overview| overview["events"].as_u64().unwrap() >= 2).await;
    ambit.stop();
    let verify = || ambit.command().args(["verify", "--shard", &shard.to_string()]).output().unwrap();
    assert_eq!(verify().status.code(), Some(0));
    let tile = dir.path().join(format!("data/ledger/{}/{}/tile/0/000.p/1", shard.topic, shard.partition));
    let kept = std::fs::read(&tile).unwrap();
    let mut changed = kept.clone();
    changed[3] ^= 1;
    std::fs::write(&tile, &changed).unwrap();
    assert_eq!(verify().status.code(), Some(2));
    std::fs::write(&tile, &kept).unwrap();
    assert_eq!(verify().status.code(), Some(0));
}
