//! OTLP over HTTP as exporters send it: protobuf and JSON, plain and gzip; first what is wrong.

use crate::harness::Ambit;
use crate::sources::wait_until_stored;
use ambit_bus::testing::TestBroker;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use reqwest::Response;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// What a request looks like.
#[derive(Clone, Copy)]
struct Sent<'a> {
    path: &'a str,
    media_type: &'a str,
    gzip: bool,
    tenant: &'a str,
}

const JSON: Sent<'_> =
    Sent { path: "/v1/traces", media_type: "application/json", gzip: false, tenant: "acme" };
const PROTOBUF: Sent<'_> = Sent { media_type: "application/x-protobuf", ..JSON };

struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Client {
    fn of(dir: &Path) -> Self {
        let config: toml::Table = std::fs::read_to_string(dir.join("ambit.toml")).unwrap().parse().unwrap();
        let base = format!("http://{}", config["gateway"]["listen"].as_str().unwrap());
        let token = std::fs::read_to_string(dir.join("data/keys/gateway.token")).unwrap();
        Self { base, token: token.trim().to_owned(), http: reqwest::Client::new() }
    }

    async fn send(&self, sent: Sent<'_>, body: Vec<u8>) -> Response {
        let request = self.http.post(format!("{}{}", self.base, sent.path)).bearer_auth(&self.token);
        let request = request.header("content-type", sent.media_type).header("ambit-tenant", sent.tenant);
        let request = if sent.gzip { request.header("content-encoding", "gzip") } else { request };
        request.body(body).send().await.unwrap()
    }

    async fn status(&self, sent: Sent<'_>, body: Vec<u8>) -> u16 {
        self.send(sent, body).await.status().as_u16()
    }
}

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/golden/sources");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_in_the_encoding_it_came_in() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    let client = Client::of(dir.path());
    let logs = Sent { path: "/v1/logs", ..JSON };
    let packed = Sent { gzip: true, ..logs };
    // A bomb of 64 MiB in 64 KiB, what is no gzip, no JSON, no request; more spans than are read at once.
    assert_eq!(client.status(packed, pack(&vec![b' '; 64 << 20])).await, 413);
    assert_eq!(client.status(packed, b"plain".to_vec()).await, 400);
    assert_eq!(client.status(logs, b"{".to_vec()).await, 400);
    assert_eq!(client.status(logs, b"{\"a\":1}".to_vec()).await, 400);
    assert_eq!(client.status(logs, b"\xff\xfe".to_vec()).await, 400);
    let many = json!({"resourceSpans": [{"scopeSpans": [{"spans": vec![json!({}); 20_001]}]}]});
    assert_eq!(client.status(JSON, many.to_string().into_bytes()).await, 413);
    // A resource of a mebibyte would be repeated with each of a hundred spans.
    let resource = json!({"attributes": [{"key": "k", "value": {"stringValue": "x".repeat(1 << 20)}}]});
    let spans = vec![json!({}); 100];
    let wide = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    assert_eq!(client.status(JSON, wide.to_string().into_bytes()).await, 413);
    let other = Sent { media_type: "application/x-ndjson", ..JSON };
    assert_eq!(client.status(other, Vec::new()).await, 415);
    assert_eq!(client.status(Sent { tenant: "no tenant", ..JSON }, b"{}".to_vec()).await, 400);
    // Protobuf: cut off, the other signal, a status as the protocol has it.
    let traces: ExportTraceServiceRequest = serde_json::from_str(&golden("otlp-traces.in.json")).unwrap();
    let bytes = traces.encode_to_vec();
    assert_eq!(client.status(PROTOBUF, bytes[..bytes.len() - 3].to_vec()).await, 400);
    let answer = client.send(Sent { path: "/v1/logs", ..PROTOBUF }, bytes).await;
    assert_eq!(answer.status().as_u16(), 400);
    assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
    let status = answer.bytes().await.unwrap();
    assert!(status.starts_with(&[8, 3, 18]), "{status:?}: not google.rpc.Status of INVALID_ARGUMENT");
    let answer = Client { token: "wrong".into(), ..client }.send(JSON, b"{}".to_vec()).await;
    assert_eq!(answer.status().as_u16(), 401);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], 16);
    // Nothing is stored but what Ambit says of itself.
    let stored = ambit.get("/api/v1/events?limit=10").await;
    let of_others = stored["items"].as_array().unwrap().iter().filter(|item| item["topic"] == "ambit.events");
    assert_eq!(of_others.count(), 0, "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_protobuf_and_json_become_the_same_events() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    let client = Client::of(dir.path());
    let (traces, logs) = (golden("otlp-traces.in.json"), golden("otlp-logs.in.json"));
    let typed_traces: ExportTraceServiceRequest = serde_json::from_str(&traces).unwrap();
    let typed_logs: ExportLogsServiceRequest = serde_json::from_str(&logs).unwrap();
    let answer = client.send(PROTOBUF, typed_traces.encode_to_vec()).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
    assert!(answer.bytes().await.unwrap().is_empty());
    let packed_logs = Sent { path: "/v1/logs", gzip: true, ..PROTOBUF };
    assert_eq!(client.status(packed_logs, pack(&typed_logs.encode_to_vec())).await, 200);
    let first = [("tool_call.completed", 5), ("approval.denied", 1), ("source.recorded", 3)];
    let kinds = wait_until_stored(&ambit, &first).await;
    assert_eq!(kinds["tool_call.completed"], (5, 0), "{kinds:?}");
    // In JSON the same: duplicates of what is there.
    let answer = client.send(JSON, traces.into_bytes()).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.text().await.unwrap(), "{\"partialSuccess\":{}}");
    let packed = Sent { path: "/v1/logs", gzip: true, ..JSON };
    assert_eq!(client.status(packed, pack(logs.as_bytes())).await, 200);
    let other = Sent { tenant: "other", ..PROTOBUF };
    assert_eq!(client.status(other, typed_traces.encode_to_vec()).await, 200);
    let per_tenant = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 3);
    let page =
        ambit.wait_for("/api/v1/events?root_task=task-7&kind=tool_call.completed&limit=50", per_tenant).await;
    let of = |tenant: &str, duplicate: bool| {
        let items = page["items"].as_array().unwrap().iter();
        items.filter(|item| item["tenant"] == tenant && item["duplicate"] == duplicate).count()
    };
    assert_eq!((of("acme", false), of("acme", true)), (1, 1), "{page:#}");
    // What one tenant sent says nothing of what another sends (INVARIANT Q-3).
    assert_eq!((of("other", false), of("other", true)), (1, 0), "{page:#}");
    assert_eq!(page["items"][0]["agent"], "spiffe://acme.example/agent/billing");
}

/// A result of two mebibytes, and a record of another system of two: the events hold what they begin with or a
/// reference, the object store the whole, without the secrets.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_an_event_lies_beside_the_store() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let ambit = Ambit::start(&broker, dir.path(), "").await;
    let client = Client::of(dir.path());
    let pair = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let text = format!("password=made-up-90 {}", "word ".repeat(400_000));
    let span = |id: &str, operation: &str| {
        json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "name": "s",
            "endTimeUnixNano": "1795507200000000000", "attributes": [pair("gen_ai.operation.name", operation),
            pair("gen_ai.agent.id", "a"), pair("gen_ai.tool.name", "read"), pair("gen_ai.tool.call.result", &text)]})
    };
    let spans = [span("eee19b7ec3c1b174", "execute_tool"), span("eee19b7ec3c1b175", "chat")];
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    assert_eq!(client.status(JSON, request.into_bytes()).await, 200);
    let kinds = wait_until_stored(&ambit, &[("tool_call.completed", 1), ("source.recorded", 1)]).await;
    assert_eq!(kinds["tool_call.completed"], (1, 0));
    let fetch = |tenant: &str, sha256: &str| {
        ambit.command().args(["store", "payload", "--tenant", tenant, sha256]).output().unwrap()
    };
    let found = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 1);
    let call = ambit.wait_for("/api/v1/events?kind=tool_call.completed", found).await;
    let call = &call["items"][0]["data"]["tool_call"];
    assert_eq!(call["result"].as_str().unwrap().len(), 64 << 10);
    let whole = fetch("acme", call["result_digest"].as_str().unwrap());
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(whole.stdout.len() as u64, call["result_bytes"].as_u64().unwrap());
    let whole = String::from_utf8(whole.stdout).unwrap();
    assert!(
        whole.len() > 2_000_000 && !whole.contains("made-up-90") && whole.contains("redacted:hmac-sha256:")
    );
    assert!(!fetch("other", call["result_digest"].as_str().unwrap()).status.success(), "another tenant's");
    let record = ambit.wait_for("/api/v1/events?kind=source.recorded", found).await;
    let record = &record["items"][0]["data"]["source_record"];
    let reference = &record["original"]["$payload"];
    assert_eq!((&reference["sha256"], &reference["bytes"]), (&record["sha256"], &record["bytes"]));
    let whole: Value =
        serde_json::from_slice(&fetch("acme", reference["sha256"].as_str().unwrap()).stdout).unwrap();
    assert_eq!(whole["attributes"]["gen_ai.operation.name"], "chat");
}
