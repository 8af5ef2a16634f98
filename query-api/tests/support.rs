//! What the tests share: a store with events in it, and engines over it.

use ambit_query_api::{
    Engine, EventFilter, IndexOptions, Keeper, Kept, Options, Order, Query, Scope, Session,
};
use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode};
use ambit_store::{Advance, Maintenance, Position, Store};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// When the first event happens, in microseconds since 1970: 2026-11-24T09:00:00Z.
pub(crate) const START: i64 = 1_795_510_800_000_000;
pub(crate) const SECOND: i64 = 1_000_000;

/// An event on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) topic: Topic,
    pub(crate) kind: String,
    pub(crate) time: i64,
    pub(crate) data: Value,
}

impl Told {
    /// An event of the agent `agent`, in the task `task`, so many seconds after the start.
    pub(crate) fn new(kind: &str, second: i64, agent: &str, task: &str, rest: Value) -> Self {
        let mut data = json!({
            "tenant_uid": "acme",
            "ai_agent": {"uid": format!("spiffe://acme.example/agent/{agent}"), "name": agent, "blueprint": format!("{agent}@1")},
            "task": {"id": task, "root_id": task},
        });
        merge(&mut data, rest);
        Self { topic: Topic::Events, kind: kind.to_owned(), time: START + second * SECOND, data }
    }

    pub(crate) fn call(second: i64, agent: &str, task: &str, tool: &str, arguments: Value) -> Self {
        let call = json!({"tool_call": {"id": format!("call-{agent}-{second}"), "name": tool, "arguments": arguments}});
        Self::new("tool_call.requested", second, agent, task, call)
    }

    pub(crate) fn tenant(mut self, tenant: &str) -> Self {
        self.data["tenant_uid"] = tenant.into();
        self
    }

    pub(crate) fn topic(mut self, topic: Topic) -> Self {
        self.topic = topic;
        self
    }
}

fn merge(into: &mut Value, from: Value) {
    let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) else { return };
    into.extend(from);
}

/// A store in a directory of its own.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    next: HashMap<Shard, u64>,
    count: u64,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options =
            ambit_store::Options { fsync: false, ..ambit_store::Options::durable(dir.path().join("store")) };
        let store = Store::open(options).await.unwrap();
        Self { dir, store, next: HashMap::new(), count: 0 }
    }

    /// Stores events in one commit, as one file, as ingest would.
    pub(crate) async fn append(&mut self, events: &[Told]) {
        let mut builder = RowBuilder::new(events.len());
        let (mut before, mut after): (HashMap<Shard, u64>, HashMap<Shard, u64>) = <_>::default();
        for told in events {
            let shard = Shard::new(told.topic, 0);
            let offset = self.next.entry(shard).or_default();
            before.entry(shard).or_insert(*offset);
            let record = record(shard, *offset, self.count, told);
            *offset += 1;
            self.count += 1;
            after.insert(shard, *offset);
            let mut leaf = Vec::new();
            leaf_bytes(&record, &mut leaf);
            let decoded = decode(&record);
            builder.append(Row {
                record: &record,
                decoded: decoded.as_ref(),
                leaf_index: record.offset,
                leaf_hash: [7; 32],
                recorded_at: Timestamp::from_micros(told.time + SECOND),
                duplicate: false,
            });
        }
        let mut writer = self.store.writer();
        writer.write(&builder.finish().unwrap()).unwrap();
        let files = writer.finish().unwrap();
        let at = |offset: u64| Position { next_offset: offset, tree_size: offset };
        let advances: Vec<Advance> = after
            .iter()
            .map(|(shard, to)| Advance { shard: *shard, from: at(before[shard]), to: at(*to) })
            .collect();
        self.store.commit(files, &advances).await.unwrap();
    }

    /// Makes one file of all.
    pub(crate) async fn compact(&self) {
        let options = Maintenance { fan_in: 2, ..Maintenance::default() };
        let done = self.store.compact(&options, i32::MAX, true).await.unwrap();
        assert!(done.written > 0, "{done:?}");
    }

    /// An engine that reads every row.
    pub(crate) fn plain(&self) -> Engine {
        Engine::new(self.store.clone(), &Options::default()).unwrap()
    }

    /// An engine with indexes, and who keeps them.
    pub(crate) fn indexed(&self) -> (Engine, Keeper, Arc<Kept>) {
        let engine = self.plain().with_index(self.dir.path().join("index"));
        let options = IndexOptions { min_rows: 1, memory_mb: 15, ..IndexOptions::default() };
        let kept = Arc::new(Kept::default());
        let keeper = Keeper::new(&engine, &options, Arc::clone(&kept)).unwrap();
        (engine, keeper, kept)
    }

    pub(crate) fn session(&self) -> Session {
        self.plain().session(Scope::all())
    }
}

fn record(shard: Shard, offset: u64, number: u64, told: &Told) -> Record {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let value = match &told.data {
        // What is no object is stored as it is: a dead letter.
        Value::String(text) => text.clone(),
        data @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            data.to_string()
        }
    };
    Record {
        shard,
        offset,
        timestamp_us: told.time,
        key: None,
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &format!("evt-{number}")),
            header("ce_source", "test"),
            header("ce_type", &format!("ambit.{}.v1", told.kind)),
            header("ce_time", &Timestamp::from_micros(told.time).to_string()),
        ]
        .into(),
        value: Some(Bytes::from(value)),
    }
}

/// The events that a query finds, oldest first, all pages.
pub(crate) async fn found(session: &Session, query: &str, now: i64) -> Vec<String> {
    let query = Query::parse(query).unwrap_or_else(|error| panic!("{}", error.marked(query)));
    let filter = EventFilter { query: Some((query, Timestamp::from_micros(now))), ..EventFilter::default() };
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = session.events(&filter, Order::Ascending, 37, cursor.as_deref()).await.unwrap();
        all.extend(page.items.into_iter().map(|event| event.reference));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return all;
        }
    }
}
