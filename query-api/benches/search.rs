//! Ten questions of an investigation over generated events, with text indexes. Writes what another engine needs to be
//! asked the same (`benches/search_duckdb.py`): the data files, the parameters, our answers and times.
//!
//! `cargo bench -p ambit-query-api --bench search -- --events 1000000 --repeat 100 --dir DIR`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::too_many_lines,
    reason = "figures of a benchmark are small"
)]
#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use ambit_query_api::{
    Direction, Engine, EventFilter, IndexOptions, Keeper, Kept, Options, Order, Query, Scope, SequenceQuery,
    Session,
};
use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::{Record, Shard, Timestamp, Topic, decode};
use ambit_store::{Advance, Maintenance, Position, Store};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const START: i64 = 1_795_510_800_000_000;
const STEP_MICROS: i64 = 50_000;
const COMMIT_ROWS: u64 = 50_000;
const AGENTS: u64 = 500;
const TOOLS: [&str; 6] = ["read_secret", "read_file", "search", "write_file", "send_email", "http_post"];

struct Asked {
    events: u64,
    repeat: usize,
    dir: PathBuf,
}

fn asked() -> Asked {
    let mut asked = Asked { events: 20_000, repeat: 5, dir: std::env::temp_dir().join("ambit-search-bench") };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        match name.as_str() {
            "--events" => asked.events = args.next().unwrap().parse().unwrap(),
            "--repeat" => asked.repeat = args.next().unwrap().parse().unwrap(),
            "--dir" => asked.dir = args.next().unwrap().into(),
            // Cargo says which kind of run it is.
            _ => {}
        }
    }
    asked
}

/// A number that looks random and is the same in every run (SplitMix64).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn event(number: u64) -> Record {
    let random = |salt: u64| mix(number.wrapping_mul(31).wrapping_add(salt));
    // Few agents do much: the square of an even choice.
    let even = random(1) % AGENTS;
    let agent = even * even / AGENTS;
    let root = format!("task-{}", number / 60);
    let depth = random(2) % 4;
    let task = if depth == 0 { root.clone() } else { format!("{root}.{depth}") };
    let parent = (depth > 0).then(|| if depth == 1 { root.clone() } else { format!("{root}.{}", depth - 1) });
    let tool = TOOLS[(random(3) % 6) as usize];
    let denied = random(4).is_multiple_of(100);
    let word = match random(5) % 1_000 {
        0 => "needle",
        1..=50 => "quarterly",
        _ => "report",
    };
    let folder = if random(6).is_multiple_of(200) { "finance" } else { "home" };
    let mut data = json!({
        "tenant_uid": format!("tenant-{}", agent % 20),
        "ai_agent": {"uid": format!("spiffe://acme.example/agent/agent-{agent}"), "blueprint": "worker@1"},
        "task": {"id": task, "root_id": root},
        "tool_call": {"id": format!("call-{number}"), "name": tool, "arguments": {
            "path": format!("/srv/{folder}/{}.csv", random(7) % 10_000),
            "text": format!("the {word} of customer {} for review", random(8) % 5_000),
            "sha256": format!("{:016x}{:016x}", random(9), random(10)),
        }},
    });
    if let Some(parent) = parent {
        data["task"]["parent_id"] = parent.into();
    }
    let time = START + i64::try_from(number).unwrap() * STEP_MICROS;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let kind = if denied { "denied" } else { "requested" };
    Record {
        shard: Shard::new(Topic::Events, 0),
        offset: number,
        timestamp_us: time,
        key: None,
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &format!("evt-{number}")),
            header("ce_source", "bench"),
            header("ce_type", &format!("ambit.tool_call.{kind}.v1")),
            header("ce_time", &Timestamp::from_micros(time).to_string()),
        ]
        .into(),
        value: Some(Bytes::from(data.to_string())),
    }
}

async fn fill(store: &Store, events: u64) {
    let at = |offset| Position { next_offset: offset, tree_size: offset };
    let shard = Shard::new(Topic::Events, 0);
    let mut from = 0;
    while from < events {
        let to = events.min(from + COMMIT_ROWS);
        let mut builder = RowBuilder::new(COMMIT_ROWS as usize);
        for number in from..to {
            let record = event(number);
            let decoded = decode(&record);
            assert!(decoded.is_ok(), "{decoded:?}");
            let recorded_at = Timestamp::from_micros(record.timestamp_us);
            let (leaf_index, leaf_hash) = (number, [0; 32]);
            builder.append(Row {
                record: &record,
                decoded: decoded.as_ref(),
                leaf_index,
                leaf_hash,
                recorded_at,
                duplicate: false,
            });
        }
        let mut writer = store.writer();
        writer.write(&builder.finish().unwrap()).unwrap();
        let files = writer.finish().unwrap();
        store.commit(files, &[Advance { shard, from: at(from), to: at(to) }]).await.unwrap();
        from = to;
    }
    store.compact(&Maintenance::default(), i32::MAX, true).await.unwrap();
}

/// The digest of rows in any order.
fn digest(mut rows: Vec<String>) -> String {
    rows.sort();
    Sha256::digest(rows.join("\n")).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

struct Bench {
    session: Session,
    repeat: usize,
    results: Vec<Value>,
}

impl Bench {
    /// Asks a question again and again; `parameter` says what another engine is to be asked.
    async fn ask<F: Future<Output = Vec<String>>>(
        &mut self,
        name: &str,
        parameter: Value,
        question: impl Fn(Session) -> F,
    ) {
        let mut millis = Vec::new();
        let mut rows = Vec::new();
        for _ in 0..self.repeat.max(1) {
            let began = Instant::now();
            rows = question(self.session.clone()).await;
            millis.push(began.elapsed().as_secs_f64() * 1e3);
        }
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| millis[((millis.len() - 1) as f64 * share).round() as usize];
        println!("{name:<28} {:>8} rows  p50 {:>9.2} ms  p95 {:>9.2} ms", rows.len(), at(0.5), at(0.95));
        self.results
            .push(json!({"name": name, "parameter": parameter, "rows": rows.len(), "sha256": digest(rows),
            "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}));
    }

    async fn search(&mut self, name: &str, query: &str, sql: &str, pages: usize) {
        let parsed = Query::parse(query).unwrap();
        self.ask(name, json!({"sql": sql, "column": 0}), |session| {
            let filter = EventFilter {
                query: Some((parsed.clone(), Timestamp::from_micros(START))),
                ..EventFilter::default()
            };
            async move {
                let (mut ids, mut cursor) = (Vec::new(), None);
                for _ in 0..pages {
                    let page =
                        session.events(&filter, Order::Descending, 100, cursor.as_deref()).await.unwrap();
                    ids.extend(page.items.into_iter().filter_map(|event| event.id));
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                ids
            }
        })
        .await;
    }

    async fn sql(&mut self, name: &str, ours: &str, theirs: &str) {
        self.ask(name, json!({"sql": theirs}), |session| async move {
            let answer = session.sql(ours, 10_000).await.unwrap();
            let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            answer.rows.iter().map(|row| row.iter().map(shown).collect::<Vec<_>>().join("|")).collect()
        })
        .await;
    }
}

async fn questions(bench: &mut Bench, events: u64) {
    let (middle, agent) = (events / 2, "spiffe://acme.example/agent/agent-7");
    let top = "ORDER BY at DESC, \"offset\" DESC";
    bench
        .search(
            "1 one event",
            &format!("id:evt-{middle}"),
            &format!("SELECT id FROM events WHERE id = 'evt-{middle}'"),
            1,
        )
        .await;
    let of_agent = format!("SELECT id FROM events WHERE agent = '{agent}' {top}");
    bench
        .search("2 timeline, page 1", &format!("agent:\"{agent}\""), &format!("{of_agent} LIMIT 100"), 1)
        .await;
    bench
        .search("2 timeline, 5 pages", &format!("agent:\"{agent}\""), &format!("{of_agent} LIMIT 500"), 5)
        .await;
    for (name, word) in [("3 rare word", "needle"), ("3 word", "quarterly"), ("3 frequent word", "report")] {
        let sql = format!("SELECT id FROM events WHERE data ILIKE '%{word}%' {top} LIMIT 100");
        bench.search(name, &format!("args:{word}"), &sql, 1).await;
    }
    let phrase = format!("SELECT id FROM events WHERE data ILIKE '%needle of customer%' {top} LIMIT 100");
    bench.search("3 phrase", "args:\"needle of customer\"", &phrase, 1).await;
    let denied = "SELECT agent, tool, count(*) AS n FROM events WHERE status = 'denied' GROUP BY agent, tool ORDER BY n DESC, agent, tool LIMIT 20";
    bench.sql("4 denied by agent and tool", denied, denied).await;
    let sequence = SequenceQuery::parse(
        "sequence by task within 60s [ tool:read_secret ] [ tool:(send_email OR http_post) ]",
    )
    .unwrap();
    let theirs = "SELECT s.id FROM events s WHERE s.tool IN ('send_email', 'http_post') AND EXISTS (SELECT 1 FROM events r WHERE \
        r.task = s.task AND r.tool = 'read_secret' AND (r.at, r.\"offset\") < (s.at, s.\"offset\") AND s.at - r.at <= INTERVAL 60 SECOND)";
    bench
        .ask("5 secret, then out", json!({"sql": theirs}), |session| {
            let sequence = sequence.clone();
            async move {
                let (mut ids, mut cursor) = (Vec::new(), None);
                loop {
                    let now = Timestamp::from_micros(START);
                    let page = session.sequences(&sequence, now, 500, cursor.as_deref()).await.unwrap();
                    ids.extend(page.items.into_iter().filter_map(|found| found.events.last()?.id.clone()));
                    cursor = page.next_cursor;
                    // The first thousand is what an analyst looks at; the rest would only repeat the scan.
                    if cursor.is_none() || ids.len() >= 1_000 {
                        return ids;
                    }
                }
            }
        })
        .await;
    let reference = format!("ambit.events:0:{middle}");
    bench
        .ask("6 chain, up and down", json!({"reference": reference}), |session| {
            let reference = reference.clone();
            async move {
                let chain = session.chain_of(&reference, Direction::Both, 20, 5_000).await.unwrap();
                chain.nodes.into_iter().map(|node| node.id).collect()
            }
        })
        .await;
    let tree = format!("SELECT id FROM events WHERE root_task = 'task-{}' {top} LIMIT 100", middle / 60);
    bench.search("6 tree of an event", &format!("root_task:task-{}", middle / 60), &tree, 1).await;
    let first = "SELECT DISTINCT e.agent, e.tool FROM events e LEFT JOIN (SELECT DISTINCT agent, tool FROM events WHERE \"offset\" < 1000) o \
        ON e.agent = o.agent AND e.tool = o.tool WHERE e.\"offset\" >= 1000 AND o.agent IS NULL AND e.agent LIKE '%-1_'";
    bench.sql("7 first seen", first, first).await;
    let bytes = "SELECT agent, date_trunc('hour', at) AS hour, sum(length(data)) AS bytes FROM events GROUP BY agent, date_trunc('hour', at)";
    let ours = format!("SELECT agent, bytes FROM ({bytes}) x ORDER BY bytes DESC, agent LIMIT 20");
    bench.sql("8 bytes by agent and hour", &ours, &ours).await;
    let theirs = "SELECT DISTINCT agent FROM events WHERE data LIKE '%/srv/finance/%'";
    bench
        .sql(
            "9 who touched a folder",
            "SELECT DISTINCT agent FROM events WHERE match(data, '\"srv finance\"', 'args')",
            theirs,
        )
        .await;
    let export = format!("SELECT id FROM events WHERE tenant = 'tenant-3' {top} LIMIT 1000");
    bench.search("10 export of a tenant", "tenant:tenant-3", &export, 10).await;
}

async fn run(asked: Asked) {
    let table = asked.dir.join("store");
    let fresh = !table.exists();
    let store = Store::open(ambit_store::Options::durable(table)).await.unwrap();
    if fresh {
        fill(&store, asked.events).await;
    }
    let options = Options { query_timeout_ms: 600_000, ..Options::default() };
    let engine = Engine::new(store.clone(), &options).unwrap().with_index(asked.dir.join("index"));
    let began = Instant::now();
    let index = IndexOptions { min_rows: 1, ..IndexOptions::default() };
    Keeper::new(&engine, &index, Arc::new(Kept::default())).unwrap().pass().await.unwrap();
    println!("indexed in {:.2} s, {} bytes", began.elapsed().as_secs_f64(), size(&asked.dir.join("index")));
    let mut bench =
        Bench { session: engine.session(Scope::all()), repeat: asked.repeat, results: Vec::new() };
    questions(&mut bench, asked.events).await;
    let files: Vec<String> =
        store.snapshot().await.unwrap().files.iter().map(|file| file.path.display().to_string()).collect();
    let answers = json!({"events": asked.events, "files": files, "results": bench.results});
    std::fs::write(asked.dir.join("ours.json"), serde_json::to_vec_pretty(&answers).unwrap()).unwrap();
}

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(
            |entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() },
        )
        .sum()
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run(asked()));
}
