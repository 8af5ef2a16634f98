//! Scenarios: an envelope, events as they stand on the wire, and the rules that must speak. One file per rule.

use ambit_analytics::{Analyzer, Options, Register};
use ambit_schemas::baseline::{Baseline, SignedBaseline};
use ambit_schemas::envelope::{Envelope, SignedEnvelope};
use ambit_schemas::finding::{Finding, Severity};
use ambit_schemas::ruleset::{RuleDocument, RulesActivated};
use ambit_schemas::{Event, Record, Sequenced, Shard, Timestamp, Topic, decode};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

pub const SHARD: Shard = Shard::new(Topic::Events, 3);
/// The task under which a scenario is usually played.
pub const USUAL_TASK: &str = "task-1";
/// The first second of every scenario: 2026-11-24T09:00:00Z.
pub const START_US: i64 = 1_795_510_800_000_000;

/// One file: a rule, cases in which it speaks, cases in which it must not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub rule: String,
    pub case: Vec<Case>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// The rules that speak, each as often as it does, in any order.
    pub told: Vec<String>,
    /// How bad the worst finding is.
    pub severity: Option<Severity>,
    /// The clause that the file's rule names.
    pub pointer: Option<String>,
    /// Words in the reason of the file's rule.
    pub reason: Option<String>,
    /// What differs from the usual envelope.
    #[serde(default)]
    pub envelope: toml::Table,
    /// The register of agents, where there is one.
    pub register: Option<Vec<String>>,
    /// Whether there is an envelope before the events.
    #[serde(default = "yes")]
    pub enveloped: bool,
    /// What differs from the usual baseline. Where it is given, the baseline comes first, and the agent has a blueprint.
    pub baseline: Option<toml::Table>,
    /// How often the events are played, each time as a task of its own, an hour later.
    #[serde(default = "once")]
    pub tasks: u32,
    pub events: Vec<toml::Table>,
}

const fn once() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

/// Every scenario, by file name.
pub fn all() -> Vec<File> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: std::path::PathBuf| {
        toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.into_iter().map(read).collect()
}

pub fn approver() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub fn options() -> Arc<Options> {
    Arc::new(Options { approver_keys: vec![approver().verifying_key()], ..Options::default() })
}

fn to_json(table: &toml::Table) -> Value {
    serde_json::to_value(table).unwrap()
}

fn from_json(value: &Value) -> toml::Table {
    toml::Table::try_from(value).unwrap()
}

/// Puts `over` over `base`: objects are merged, everything else is replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn envelope(differs: &toml::Table, task: &str, agent: &str) -> Value {
    let mut usual = json!({
        "id": format!("env-{task}"), "version": 1, "task_id": task, "agent_uid": agent,
        "purpose": "Answer the customer's ticket", "approved_by": "emma",
        "tools": [{"name": "read_ticket"}, {"name": "send_email"}],
        "unlisted_effects": ["read"]
    });
    merge(&mut usual, to_json(differs));
    usual
}

/// The document with a signature, as text: its bytes are what was signed. `by` is `approver`, `stranger`, or `nobody`.
fn signed(document: &Value, by: &str) -> String {
    let key = if by == "stranger" { SigningKey::from_bytes(&[9; 32]) } else { approver() };
    let Ok(envelope) = serde_json::from_value::<Envelope>(document.clone()) else {
        return json!({"document": document, "signatures": []}).to_string();
    };
    let mut signed = SignedEnvelope::sign(&envelope, &key).unwrap();
    if by == "nobody" {
        signed.signatures.clear();
    }
    serde_json::to_string(&signed).unwrap()
}

fn baseline(differs: &toml::Table, blueprint: &str) -> Value {
    let mut usual = json!({
        "id": "bl-1", "version": 1, "tenant_uid": "acme", "blueprint": blueprint, "from": "2026-10-01T00:00:00Z",
        "to": "2026-11-01T00:00:00Z", "approved_by": "emma", "tasks": 3100, "confidence": 0.999,
        "false_alerts_per_day": 0.1
    });
    merge(&mut usual, to_json(differs));
    usual
}

/// The same as [`signed`], of a baseline. An empty approver means none.
fn signed_baseline(document: &Value, by: &str) -> String {
    let key = if by == "stranger" { SigningKey::from_bytes(&[9; 32]) } else { approver() };
    let mut document = document.clone();
    if document["approved_by"] == json!("") {
        document.as_object_mut().unwrap().remove("approved_by");
    }
    let baseline: Baseline = serde_json::from_value(document).unwrap();
    serde_json::to_string(&SignedBaseline::sign(&baseline, &key).unwrap()).unwrap()
}

impl Case {
    /// What judgement depends on in this case.
    pub fn options(&self) -> Arc<Options> {
        let register = self.register.as_ref().map(|agents| Register::new(agents).unwrap());
        Arc::new(Options { register, ..Options::clone(&options()) })
    }

    /// The events of the case under tasks of its own. Under another task than the usual one, agents, credentials and
    /// sessions are others too: what happens to one of them concerns all its tasks.
    pub fn events(&self, task: &str) -> Vec<Event> {
        let names = (0..self.tasks)
            .map(|number| if self.tasks == 1 { task.to_owned() } else { format!("{task}.{number}") });
        let opening = self.baseline.as_ref().map(|_| {
            let fields =
                json!({"type": "baseline.approved", "at": -2, "event_id": "baseline", "task": false});
            self.event(0, fields, (task, task, 0), "")
        });
        let played = names.zip(0..).flat_map(|(name, hour)| self.task_events(task, &name, hour));
        opening.into_iter().chain(played).collect()
    }

    fn task_events(&self, case_task: &str, task: &str, hour: i32) -> Vec<Event> {
        let own = if case_task == USUAL_TASK { String::new() } else { format!("{case_task}-") };
        let agent = format!("spiffe://acme.example/agent/{own}support");
        let renamed = |value: Value| -> Value {
            let text = value.to_string().replace("@task", task).replace("/agent/", &format!("/agent/{own}"));
            let text = text
                .replace("\"jti-", &format!("\"{own}jti-"))
                .replace("\"session-", &format!("\"{own}session-"));
            serde_json::from_str(&text).unwrap()
        };
        let case = Self { envelope: from_json(&renamed(to_json(&self.envelope))), ..self.clone() };
        let approval = Map::from_iter([
            ("type".to_owned(), json!("task.envelope.approved")),
            ("at".to_owned(), json!(-1)),
        ]);
        let opening = self.enveloped.then_some(Value::Object(approval));
        let listed = self.events.iter().flat_map(|event| {
            let mut event = renamed(to_json(event));
            let times = event.as_object_mut().unwrap().remove("times").and_then(|times| times.as_u64());
            vec![event; usize::try_from(times.unwrap_or(1)).unwrap()]
        });
        opening
            .into_iter()
            .chain(listed)
            .enumerate()
            .map(|(index, event)| case.event(index, event, (case_task, task, hour), &agent))
            .collect()
    }

    fn event(
        &self,
        index: usize,
        event: Value,
        (case_task, task, hour): (&str, &str, i32),
        agent: &str,
    ) -> Event {
        let blueprint = format!("support.{case_task}@1");
        let Value::Object(mut fields) = event else { panic!("an event is a table") };
        let text = |value: Value| value.as_str().map(str::to_owned);
        let kind = fields.remove("type").and_then(text).unwrap_or_else(|| "tool_call.requested".to_owned());
        let seconds = fields.remove("at").and_then(|at| at.as_f64());
        #[expect(clippy::cast_precision_loss, reason = "a case has a handful of events")]
        let seconds = seconds.unwrap_or(index as f64) + 3_600.0 * f64::from(hour);
        let name = fields.remove("event_id").and_then(text).unwrap_or_else(|| index.to_string());
        let by = fields.remove("signed_by").and_then(text).unwrap_or_else(|| "approver".to_owned());
        let differs = fields.remove("envelope").map_or_else(toml::Table::new, |differs| {
            let mut both = self.envelope.clone();
            both.extend(toml::Table::try_from(differs).unwrap());
            both
        });
        let mut raw = fields.remove("arguments_json").and_then(text).map(|raw| ("\"@raw\"", raw));
        let mut data = json!({
            "tenant_uid": "acme", "ai_agent": {"uid": agent, "name": "support-1"},
            "task": {"id": task, "root_id": task}
        });
        if self.baseline.is_some() {
            data["ai_agent"]["blueprint"] = json!(blueprint);
        }
        match kind.as_str() {
            "task.envelope.approved" | "task.envelope.amended" => {
                let differs = if differs.is_empty() { &self.envelope } else { &differs };
                raw = Some(("\"@envelope\"", signed(&envelope(differs, task, agent), &by)));
                data["envelope"] = json!("@envelope");
            }
            "baseline.approved" => {
                let mut differs = self.baseline.clone().unwrap_or_default();
                if let Some(more) = fields.remove("baseline") {
                    differs.extend(toml::Table::try_from(more).unwrap());
                }
                raw = Some(("\"@baseline\"", signed_baseline(&baseline(&differs, &blueprint), &by)));
                data["baseline"] = json!("@baseline");
                data.as_object_mut().unwrap().remove("ai_agent");
            }
            "task.envelope.closed" => {
                data["closed"] = json!({"envelope_id": format!("env-{task}"), "outcome": "completed"});
            }
            "rules.activated" => {
                let documents = fields.remove("documents").unwrap_or_default();
                data["rules"] = activation(serde_json::from_value(documents).unwrap(), &by);
            }
            "tool_call.requested" | "tool_call.completed" => {
                data["tool_call"] = json!({"id": format!("call-{index}")});
            }
            _ => {}
        }
        merge(&mut data, Value::Object(fields));
        if data["task"] == json!(false) {
            data.as_object_mut().unwrap().remove("task");
        }
        let mut value = data.to_string();
        if let Some((place, raw)) = raw {
            value = value.replace(place, &raw);
        }
        read(&kind, &format!("{task}-{name}"), seconds, &value)
    }
}

/// A set of the customer's rules, signed.
fn activation(documents: Vec<RuleDocument>, by: &str) -> Value {
    let key = if by == "stranger" { SigningKey::from_bytes(&[9; 32]) } else { approver() };
    serde_json::to_value(RulesActivated::sign(documents, false, &key).unwrap()).unwrap()
}

fn read(kind: &str, id: &str, seconds: f64, value: &str) -> Event {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a scenario")]
    let time = Timestamp::from_micros(START_US + (seconds * 1e6) as i64);
    let header = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let record = Record {
        shard: SHARD,
        offset: 0,
        timestamp_us: time.micros(),
        key: None,
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", id),
            header("ce_source", "gateway"),
            header("ce_type", &format!("ambit.{kind}.v1")),
            header("ce_time", &time.to_string()),
        ]
        .into(),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    };
    decode(&record).unwrap_or_else(|malformed| panic!("{kind}: {malformed}: {value}"))
}

/// What an analyzer tells of some events.
pub fn judge(analyzer: &mut Analyzer, events: &[Event]) -> Vec<Finding> {
    let mut all = Vec::new();
    for event in events {
        let offset = analyzer.next_offset();
        all.extend(analyzer.observe(&Sequenced { shard: SHARD, offset, item: event.clone() }));
    }
    all
}
