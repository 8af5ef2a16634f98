//! Topics of other systems on real brokers: what lies in them becomes events, once, whatever is killed.

use crate::harness::{Ambit, PATIENCE};
use crate::sources::{record, wait_until_stored};
use ambit_bus::testing::{TestBroker, create_topic, delete_values, send_values};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// A topic in the configuration.
fn topic(name: &str, format: &str, more: &str) -> String {
    format!("[[gateway.topics]]\nname = \"{name}\"\nformat = \"{format}\"\ntenant = \"acme\"\n{more}\n")
}

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/golden/sources");
    std::fs::read(folder.join(name)).unwrap()
}

fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_default()
}

async fn wait_for_metric(ambit: &Ambit, name: &str, least: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = metric(&ambit.metrics().await, name);
        if value >= least {
            return value;
        }
        assert!(Instant::now() < deadline, "{name} is {value}, not {least}\n{}", ambit.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn formats(broker: &TestBroker) {
    let options = broker.options();
    let mut config = topic("otlp_spans", "otlp_proto", "signal = \"traces\"");
    config += &topic("otlp_logs", "otlp_proto", "signal = \"logs\"");
    config += &topic("otlp_plain", "otlp_json", "origin = \"second\"");
    config += &topic("trail", "cloudtrail", "");
    config += &topic("mixed", "auto", "");
    for name in ["otlp_spans", "otlp_logs", "otlp_plain", "trail", "mixed"] {
        create_topic(&options, name, 2).await;
    }
    let traces: ExportTraceServiceRequest = serde_json::from_slice(&golden("otlp-traces.in.json")).unwrap();
    let logs: ExportLogsServiceRequest = serde_json::from_slice(&golden("otlp-logs.in.json")).unwrap();
    // What is wrong stands before what is right.
    let damaged = b"\xff\xff password=made-up-77 \xff".to_vec();
    send_values(&options, "otlp_spans", 0, &[damaged.clone(), traces.encode_to_vec()]).await;
    send_values(&options, "otlp_logs", 1, &[traces.encode_to_vec(), logs.encode_to_vec()]).await;
    send_values(&options, "otlp_plain", 0, &[golden("otlp-traces.in.json")]).await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let records: Vec<Value> = (1..4).map(|number| record(number, "task-9")).collect();
    packed.write_all(json!({"Records": records}).to_string().as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let cut = packed[..packed.len() / 2].to_vec();
    let plain = record(0, "task-9").to_string().into_bytes();
    send_values(&options, "trail", 0, &[b"{\"password\":\"made-up-78\",".to_vec(), cut, plain, packed]).await;
    let own = json!({"specversion": "1.0", "id": "e-1", "source": "mcp-gateway", "type": "ambit.tool_call.requested.v1",
        "time": "2026-11-24T09:00:00Z", "data": {"tenant_uid": "acme", "ai_agent": {"uid": "a"},
        "tool_call": {"id": "c", "name": "login", "arguments": {"password": "made-up-79"}}}});
    send_values(
        &options,
        "mixed",
        1,
        &[golden("vault.in.json"), b"{\"x\":1}".to_vec(), own.to_string().into()],
    )
    .await;
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(broker, dir.path(), &config).await;
    wait_for_metric(&ambit, "ambit_sources_records_total", 12).await;
    let first = [("tool_call.completed", 5 + 1 + 4), ("tool_call.requested", 1), ("source.recorded", 8)];
    let kinds = wait_until_stored(&ambit, &first).await;
    eprintln!("{kinds:?}");
    // Of each request of traces two calls; the same request from another origin is another source.
    assert!(kinds.values().all(|(_, duplicates)| *duplicates == 0), "{kinds:?}");
    let page = ambit.get("/api/v1/events?kind=source.recorded&limit=100").await;
    let reasons = |wanted: &str| {
        let items = page["items"].as_array().unwrap().iter();
        items.filter(|item| item["data"]["source_record"]["reason"] == wanted).count()
    };
    let counts = (reasons("not_protobuf"), reasons("not_json"), reasons("not_gzip"));
    assert_eq!(counts, (2, 1, 1), "{page:#}");
    let page = page.to_string();
    assert!(!page.contains("made-up-77") && !page.contains("made-up-78"), "{page}");
    let login = ambit.get("/api/v1/events?kind=tool_call.requested").await.to_string();
    assert!(login.contains("redacted:hmac-sha256:") && !login.contains("made-up-79"), "{login}");
    let metrics = ambit.metrics().await;
    assert!(metric(&metrics, "ambit_sources_faulty_total") >= 4, "{metrics}");
    assert_eq!(metric(&metrics, "ambit_sources_lost_total"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_other_systems_become_events() {
    formats(&TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_other_systems_become_events_on_apache_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        formats(&broker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_loses_and_doubles_nothing() {
    const RECORDS: usize = 3_000;
    let broker = TestBroker::embedded();
    let options = broker.options();
    create_topic(&options, "trail", 2).await;
    let values: Vec<Vec<u8>> =
        (0..RECORDS).map(|number| record(number, "task-5").to_string().into_bytes()).collect();
    let (one, other) = values.split_at(RECORDS / 3);
    send_values(&options, "trail", 0, one).await;
    send_values(&options, "trail", 1, other).await;
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), &topic("trail", "cloudtrail", "")).await;
    let mut read = Vec::new();
    for _ in 0..3 {
        // Somewhere within, at no special moment.
        read.push(wait_for_metric(&ambit, "ambit_sources_records_total", 300).await);
        ambit.kill();
        ambit.restart().await;
    }
    assert!(read.iter().sum::<u64>() < RECORDS as u64 * 2, "{read:?}: everything was read before the kills");
    let kinds =
        wait_until_stored(&ambit, &[("credential.used", RECORDS), ("tool_call.completed", RECORDS)]).await;
    assert_eq!(kinds["credential.used"].0, RECORDS, "{kinds:?}");
    assert_eq!(kinds["tool_call.completed"].0, RECORDS, "{kinds:?}");
    eprintln!("three kills after {read:?} records: {kinds:?} (first sightings, duplicates)");
    // An orderly end, and nothing is read again.
    ambit.stop();
    ambit.restart().await;
    send_values(&options, "trail", 0, &[record(RECORDS, "task-5").to_string().into_bytes()]).await;
    wait_until_stored(&ambit, &[("credential.used", RECORDS + 1)]).await;
    assert_eq!(metric(&ambit.metrics().await, "ambit_sources_records_total"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_before_it_was_read_is_an_event() {
    let Some(broker) = TestBroker::kafka() else { return };
    let options = broker.options();
    create_topic(&options, "trail", 1).await;
    let values = |from: usize| -> Vec<Vec<u8>> {
        (from..from + 10).map(|number| record(number, "task-6").to_string().into_bytes()).collect()
    };
    send_values(&options, "trail", 0, &values(0)).await;
    let dir = tempfile::tempdir().unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), &topic("trail", "cloudtrail", "")).await;
    wait_until_stored(&ambit, &[("credential.used", 10)]).await;
    ambit.stop();
    send_values(&options, "trail", 0, &values(10)).await;
    delete_values(&options, "trail", 0, 16).await;
    ambit.restart().await;
    let kinds = wait_until_stored(&ambit, &[("credential.used", 14), ("notice.gap", 1)]).await;
    assert_eq!((kinds["credential.used"], kinds["notice.gap"]), ((14, 0), (1, 0)));
    let page = ambit.get("/api/v1/events?kind=notice.gap").await;
    let notice = &page["items"][0]["data"]["notice"];
    assert_eq!(
        (notice["from_offset"].as_u64(), notice["to_offset"].as_u64()),
        (Some(10), Some(16)),
        "{page}"
    );
    assert_eq!(metric(&ambit.metrics().await, "ambit_sources_lost_total"), 6);
}
