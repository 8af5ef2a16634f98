//! The resources of search over HTTP: positions of errors, forms of answers, provenance and proofs.

use crate::support::{Fixture, START, Told};
use crate::world::Log;
use ambit_ledger::CheckpointSigner;
use ambit_query_api::access::Access;
use ambit_query_api::trail::{Asked, Trail};
use ambit_query_api::{Ledgers, Options, Service, Sources};
use ambit_schemas::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Api {
    url: String,
    client: reqwest::Client,
    /// Stops serving when it is dropped.
    _serving: JoinSet<std::io::Result<()>>,
    /// What was asked, which nobody tells Kafka here.
    _asked: Receiver<Asked>,
    fixture: Fixture,
}

impl Api {
    async fn start() -> Self {
        let mut fixture = Fixture::new().await;
        fixture
            .append(&[
                Told::call(0, "billing-1", "t-1", "read_file", json!({"path": "/srv/a.csv"})),
                Told::call(5, "billing-1", "t-1", "send_email", json!({"to": "a.b@corp.example"})),
            ])
            .await;
        let signer =
            CheckpointSigner::load_or_create(&fixture.dir.path().join("ledger.key"), "ambit").unwrap();
        let options = Options::default();
        let (trail, asked) = Trail::new(options.audit.queue);
        let service = Service {
            options,
            engine: fixture.plain(),
            ledgers: Ledgers {
                dir: fixture.dir.path().join("ledger"),
                log_name: "ambit".into(),
                key: Arc::new(signer.public_key().clone()),
                shards: Vec::new(),
            },
            access: Arc::new(Access::new("secret", fixture.dir.path().join("api-tokens.json"), None)),
            trail,
            publish: Arc::new(Log::new(fixture.store.clone())),
            sources: Sources {
                timings: Arc::new(Vec::new),
                metrics: Arc::new(Vec::new),
                troubles: Arc::new(Vec::new),
                notices: Arc::new(Vec::new),
                now: Arc::new(|| Timestamp::from_micros(START + 60_000_000)),
            },
            closing: CancellationToken::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(service.run(listener, CancellationToken::new()));
        Self { url, client: reqwest::Client::new(), _serving: serving, _asked: asked, fixture }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, String, String) {
        let encode = |text: &str| text.bytes().fold(String::new(), |all, byte| all + &format!("%{byte:02X}"));
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = self.client.get(format!("{}{path}?{}", self.url, query.join("&")));
        said(request.bearer_auth("secret").send().await.unwrap()).await
    }

    async fn sql(&self, question: Value, accept: &str) -> (u16, String, String) {
        let request = self.client.post(format!("{}/sql", self.url)).json(&question).header("accept", accept);
        said(request.bearer_auth("secret").send().await.unwrap()).await
    }
}

async fn said(response: reqwest::Response) -> (u16, String, String) {
    let kind = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.unwrap())
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn a_wrong_query_is_pointed_at() {
    let api = Api::start().await;
    for path in ["/search", "/events", "/findings"] {
        let (status, kind, body) = api.get(path, &[("q", "  tool:x colour:red")]).await;
        assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{body}");
        assert_eq!(read(&body)["position"], 9, "{path}: {body}");
    }
    let (status, _, body) = api.get("/sequences", &[("q", "sequence by agent within 5m [ a ]")]).await;
    assert_eq!((status, read(&body)["position"].as_u64()), (400, Some(33)), "{body}");
    let (status, _, body) = api.get("/events", &[("q", "tool:x")]).await;
    assert_eq!((status, read(&body)["items"].as_array().map(Vec::len)), (200, Some(0)));
}

#[tokio::test]
async fn a_search_says_from_what_it_was_made() {
    let api = Api::start().await;
    let (_, _, body) = api.get("/search", &[("q", "tool:read_* since:1h"), ("proofs", "true")]).await;
    let page = read(&body);
    assert_eq!(page["items"][0]["ref"], "ambit.events:0:0", "{body}");
    assert_eq!(page["provenance"]["query"], "tool:read_* since:2026-11-24T08:01:00Z");
    assert_eq!(page["provenance"]["query_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(page["provenance"]["table_version"], api.fixture.store.snapshot().await.unwrap().version);
    // No checkpoint covers the event: that is said, not passed over.
    assert_eq!(page["proofs"], json!([{"ref": "ambit.events:0:0", "proof": null}]));
    let (_, _, body) = api.get("/search", &[("q", "tool:read_*")]).await;
    assert_eq!(read(&body)["proofs"], Value::Null);
}

#[tokio::test]
async fn answers_have_the_form_that_was_asked_for() {
    let api = Api::start().await;
    let question = json!({"query": "SELECT tool, at FROM events ORDER BY at"});
    let (status, kind, body) = api.sql(question.clone(), "application/x-ndjson").await;
    assert_eq!((status, kind.as_str()), (200, "application/x-ndjson"));
    assert_eq!(
        read(body.lines().next().unwrap()),
        json!({"tool": "read_file", "at": "2026-11-24T09:00:00Z"})
    );
    let (_, _, body) = api.sql(question, "*/*").await;
    assert_eq!(read(&body)["rows"][1], json!(["send_email", "2026-11-24T09:00:05Z"]));
    for wrong in [json!({"query": "DROP TABLE events"}), json!({}), json!({"query": "SELECT 1", "limit": 0})]
    {
        let (status, kind, body) = api.sql(wrong, "*/*").await;
        assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{body}");
    }

    for (format, kind, begins) in [
        ("dot", "text/vnd.graphviz; charset=utf-8", "digraph"),
        ("mermaid", "text/vnd.mermaid; charset=utf-8", "flowchart"),
    ] {
        for path in ["/tasks/t-1/chain", "/events/ambit.events:0:0/chain"] {
            let (status, found, body) = api.get(path, &[("format", format)]).await;
            assert_eq!((status, found.as_str()), (200, kind), "{body}");
            assert!(body.starts_with(begins), "{body}");
        }
    }
    for (path, name, value) in [
        ("/tasks/t-1/chain", "format", "png"),
        ("/tasks/t-1/chain", "depth", "1"),
        ("/events/ambit.events:0:0/chain", "direction", "sideways"),
        ("/events/nonsense/chain", "direction", "up"),
    ] {
        assert_eq!(api.get(path, &[(name, value)]).await.0, 400, "{path} {name}={value}");
    }
    let (status, _, body) = api.get("/tasks/t-1/holdings", &[]).await;
    assert_eq!((status, read(&body)["tools"]["read_file"].as_u64()), (200, Some(1)));
    let sequence = "sequence by task within 5m [ tool:read_* ] [ args:corp ]";
    let (_, _, body) = api.get("/sequences", &[("q", sequence)]).await;
    assert_eq!(read(&body)["items"][0]["events"].as_array().map(Vec::len), Some(2), "{body}");
    assert_eq!(api.get("/runs/compare", &[("left", "t-1"), ("right", "none")]).await.0, 404);
    let without = api.client.get(format!("{}/search?q=a", api.url)).send().await.unwrap();
    assert_eq!(without.status(), 401);
}
