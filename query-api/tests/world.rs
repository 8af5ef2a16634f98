//! A served API over a temporary store, and what goes into it.

use ambit_ledger::CheckpointSigner;
use ambit_query_api::access::{Access, Fetch, Role, TokenList, TokenRecord};
use ambit_query_api::trail::{Asked, Trail};
use ambit_query_api::{Engine, Ledgers, OidcOptions, Options, Publish, PublishError, Service, Sources};
use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::event::{AgentRef, Body, Event, TaskRef, ToolCall};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::PrincipalId;
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode, encode};
use ambit_store::{Advance, Position, Store};
use futures::future::BoxFuture;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// 2026-11-24T12:00:00Z.
pub const NOON: i64 = 1_795_521_600_000_000;
/// The token of the first start.
pub const FIRST: &str = "0123456789abcdef0123456789abcdef";

pub fn id<T: for<'a> TryFrom<&'a str>>(text: &str) -> T {
    T::try_from(text).unwrap_or_else(|_| panic!("`{text}` is an id"))
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(NOON + second * 1_000_000)
}

/// What would stand in Kafka and be ingested, put into the store at once.
#[derive(Debug, Clone)]
pub struct Log {
    store: Store,
    next: Arc<Mutex<HashMap<Shard, u64>>>,
}

impl Log {
    /// A log into a store that is empty so far.
    pub fn new(store: Store) -> Self {
        Self { store, next: Arc::default() }
    }

    /// Stores events, all in one commit. Where the last one stands.
    pub async fn put(&self, events: &[Event]) -> (Shard, u64) {
        let mut next = self.next.lock().await;
        let (mut builder, mut steps, mut last) = (RowBuilder::new(16), HashMap::new(), None);
        let mut records = Vec::new();
        for event in events {
            let outgoing = encode(event).unwrap();
            let shard = Shard::new(outgoing.topic, 0);
            let offset = next.entry(shard).or_default();
            steps.entry(shard).or_insert((*offset, *offset)).1 = *offset + 1;
            records.push(Record {
                shard,
                offset: *offset,
                timestamp_us: event.time.micros(),
                key: Some(outgoing.key),
                headers: outgoing.headers,
                value: Some(outgoing.value),
            });
            last = Some((shard, *offset));
            *offset += 1;
        }
        // In a file, rows of one shard stand in the order of their leaves.
        records.sort_by_key(|record| (record.shard, record.offset));
        for record in &records {
            builder.append(Row {
                record,
                decoded: decode(record).as_ref(),
                leaf_index: record.offset,
                leaf_hash: [7; 32],
                recorded_at: Timestamp::from_micros(record.timestamp_us),
                duplicate: false,
            });
        }
        let mut writer = self.store.writer();
        writer.write(&builder.finish().unwrap()).unwrap();
        let position = |offset| Position { next_offset: offset, tree_size: offset };
        let steps: Vec<Advance> = steps
            .into_iter()
            .map(|(shard, (from, to))| Advance { shard, from: position(from), to: position(to) })
            .collect();
        self.store.commit(writer.finish().unwrap(), &steps).await.unwrap();
        last.unwrap()
    }
}

impl Publish for Log {
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(Shard, u64), PublishError>> {
        Box::pin(async move { Ok(self.put(&[event]).await) })
    }
}

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Setup {
    pub options: Options,
    pub oidc: Option<(OidcOptions, Arc<dyn Fetch>)>,
}

/// A served API.
pub struct World {
    pub log: Log,
    pub url: String,
    pub asked: Mutex<Receiver<Asked>>,
    pub clock: Arc<AtomicI64>,
    pub closing: CancellationToken,
    tokens: PathBuf,
    shutdown: CancellationToken,
    serving: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(ambit_store::Options::durable(dir.path().join("store"))).await.unwrap();
        let log = Log::new(store.clone());
        let clock = Arc::new(AtomicI64::new(NOON));
        let told = Arc::clone(&clock);
        let signer = CheckpointSigner::load_or_create(&dir.path().join("ledger.key"), "ambit").unwrap();
        let tokens = dir.path().join("api-tokens.json");
        let closing = CancellationToken::new();
        let (trail, asked) = Trail::new(setup.options.audit.queue);
        let service = Service {
            engine: Engine::new(store, &setup.options).unwrap(),
            options: setup.options,
            ledgers: Ledgers {
                dir: dir.path().join("ledger"),
                log_name: "ambit".into(),
                key: Arc::new(signer.public_key().clone()),
                shards: Topic::ALL.map(|topic| Shard::new(topic, 0)).to_vec(),
            },
            access: Arc::new(Access::new(FIRST, tokens.clone(), setup.oidc)),
            trail,
            publish: Arc::new(log.clone()),
            sources: Sources {
                metrics: Arc::new(Vec::new),
                timings: Arc::new(Vec::new),
                troubles: Arc::new(Vec::new),
                notices: Arc::new(Vec::new),
                now: Arc::new(move || Timestamp::from_micros(told.load(Ordering::Relaxed))),
            },
            closing: closing.clone(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let mut serving = JoinSet::new();
        let stop = shutdown.clone();
        serving.spawn(async move { service.run(listener, stop).await.unwrap() });
        Self { log, url, asked: Mutex::new(asked), clock, closing, tokens, shutdown, serving, _dir: dir }
    }

    /// Lets seconds pass.
    pub fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// Makes a token of that text; a running API notices within two seconds of its clock.
    pub fn grant(&self, token: &str, role: Role, tenant: Option<&str>) {
        let mut list = TokenList::read(&self.tokens).unwrap();
        let now = Timestamp::from_micros(self.clock.load(Ordering::Relaxed));
        let name: PrincipalId = id(token.trim_start_matches("amb_"));
        list.tokens.push(TokenRecord::new(token, name, role, tenant.map(id), now));
        self.keep(&list);
    }

    /// Replaces the file of tokens.
    pub fn keep(&self, list: &TokenList) {
        let unfinished = self.tokens.with_extension("tmp");
        std::fs::write(&unfinished, serde_json::to_vec(list).unwrap()).unwrap();
        std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(unfinished, &self.tokens).unwrap();
        self.pass(2);
    }

    pub fn tokens(&self) -> TokenList {
        TokenList::read(&self.tokens).unwrap()
    }

    pub fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let client = reqwest::Client::new();
        client.request(method, format!("{}{path}", self.url)).bearer_auth(token)
    }

    pub async fn ask(&self, path: &str, token: &str) -> Response {
        self.request(Method::GET, path, token).send().await.unwrap()
    }

    /// The answer to a question that must be answered.
    pub async fn get(&self, path: &str, token: &str) -> Value {
        let response = self.ask(path, token).await;
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "GET {path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Sends JSON; status and answer.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> (StatusCode, Value) {
        let sent = self.request(Method::POST, path, token).json(body).send().await.unwrap();
        let (status, text) = (sent.status(), sent.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What was recorded of questions so far.
    pub async fn trail(&self) -> Vec<Asked> {
        // An answer is recorded when its last byte is handed over, which may be after it was read.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let mut asked = self.asked.lock().await;
        std::iter::from_fn(|| asked.try_recv().ok()).collect()
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.serving.join_next().await.unwrap().unwrap();
    }
}

fn plain(name: &str, tenant: &str, second: i64, body: Body) -> Event {
    Event {
        agent: Some(AgentRef {
            uid: id(&format!("spiffe://{tenant}.example/agent")),
            instance_uid: None,
            blueprint: None,
            name: None,
        }),
        task: Some(TaskRef {
            id: id(&format!("task-{tenant}")),
            root: id(&format!("task-{tenant}")),
            parent: None,
        }),
        ..Event::new(id(name), id("gateway-1"), at(second), id(tenant), body)
    }
}

/// A call of a tool.
pub fn call(name: &str, tenant: &str, second: i64) -> Event {
    let call: ToolCall = serde_json::from_value(json!({
        "id": format!("call-{name}"), "name": "send_money",
        "arguments": {"recipient": format!("account of {tenant}"), "note": "a, \"b\"\nc"}
    }))
    .unwrap();
    plain(name, tenant, second, Body::ToolCallRequested(Box::new(call)))
}

/// A finding about such a call.
pub fn finding(name: &str, tenant: &str, second: i64, rule: &str) -> Event {
    let event = call(name, tenant, second);
    let golden = include_str!("../../schemas/golden/v1/finding.created.json");
    let whole: Value = serde_json::from_str(golden).unwrap();
    let mut finding: Finding = serde_json::from_value(whole["data"]["finding"].clone()).unwrap();
    (finding.id, finding.tenant, finding.rule.id) = (id(name), id(tenant), id(rule));
    (finding.agent, finding.task, finding.time) = (event.agent, event.task, event.time);
    plain(&format!("finding-{name}"), tenant, second, Body::FindingCreated(Box::new(finding)))
}
