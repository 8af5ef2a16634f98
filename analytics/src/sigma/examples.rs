//! Examples that rules bring with them: events, and whether the rule is to speak.

use super::fields::View;
use super::judge::fold;
use super::lint::TESTS;
use super::load::{InvalidSet, RuleSet, parse};
use super::source::Source;
use super::window::Windows;
use super::yaml;
use crate::options::Options;
use crate::prepare::Preparer;
use ambit_schemas::ruleset::RuleDocument;
use ambit_schemas::{Event, Record, Sequenced, Shard, Timestamp, Topic, decode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// When examples begin: 2026-01-01T00:00:00Z. An event says with `at` how many seconds later it is.
const START_US: i64 = 1_767_225_600_000_000;
/// Most events of one example.
const EVENTS_MAX: usize = 1_000;

/// How one example went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The file.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// Its name, or its number.
    pub name: String,
    /// What is wrong; `None` when it went as it says.
    pub failure: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    event: Option<Value>,
    #[serde(default)]
    events: Vec<Value>,
    #[serde(rename = "match")]
    speaks: bool,
}

/// Runs the examples of all rules. The events go the way that events go: read as they stand on the wire, prepared,
/// judged by the whole set.
pub fn run_examples(documents: &[RuleDocument]) -> Result<Vec<Example>, InvalidSet> {
    let set = RuleSet::compile(documents, false)?;
    let mut examples = Vec::new();
    for document in documents {
        for part in yaml::parts(&document.text) {
            let Ok(collection) = parse(Source { path: &document.path, part }) else { continue };
            let rules = collection.rules.iter().map(|rule| (&rule.id, &rule.custom_attributes));
            let correlations = collection.correlations.iter().map(|rule| (&rule.id, &rule.custom_attributes));
            for (id, attributes) in rules.chain(correlations) {
                let (Some(id), Some(tests)) = (id, attributes.get(TESTS)) else { continue };
                let id = format!("R-{id}");
                if !set.summaries().iter().any(|summary| summary.id == id) {
                    continue;
                }
                let example = |name: String, failure| Example {
                    path: document.path.clone(),
                    rule: id.clone(),
                    name,
                    failure,
                };
                match yaml_serde::from_value::<Vec<Test>>(tests.clone()) {
                    Err(error) => {
                        let failure =
                            format!("`{TESTS}` is a list of `event` or `events`, and `match`: {error}");
                        examples.push(example(TESTS.to_owned(), Some(failure)));
                    }
                    Ok(tests) => examples.extend(tests.into_iter().zip(1..).map(|(test, number)| {
                        let name = test.name.clone().unwrap_or_else(|| format!("example {number}"));
                        let failure = run(&set, &id, test).err();
                        example(name, failure)
                    })),
                }
            }
        }
    }
    Ok(examples)
}

fn run(set: &RuleSet, rule: &str, test: Test) -> Result<(), String> {
    let Test { event, events, speaks, .. } = test;
    let events: Vec<Value> = event.into_iter().chain(events).collect();
    if events.is_empty() || events.len() > EVENTS_MAX {
        return Err(format!("an example has 1 to {EVENTS_MAX} events, this one has {}", events.len()));
    }
    let (mut windows, mut preparer) = (Windows::default(), Preparer::new(Arc::new(Options::default())));
    let mut spoke = false;
    for (offset, event) in (0..).zip(events) {
        let item = read(event, offset)?;
        let event = Sequenced { shard: Shard::new(Topic::Events, 0), offset, item };
        let ready = preparer.prepare(Cow::Owned(event));
        let effect = ready.call.as_ref().map(|called| called.effect);
        let view = View::new(&ready.event().item, effect);
        let hits = fold(set, &mut windows, ready.event(), &view);
        spoke |= hits.iter().any(|hit| hit.info.id.as_str() == rule);
    }
    match (speaks, spoke) {
        (true, false) => Err("the rule is to match, and does not".into()),
        (false, true) => Err("the rule is not to match, and does".into()),
        _ => Ok(()),
    }
}

/// An event as it stands on the wire, with `type`, `at` and `id` beside its data; the rest of what an event needs is
/// put in.
fn read(event: Value, number: u64) -> Result<Event, String> {
    let Value::Object(mut fields) = event else { return Err("an event is a mapping".into()) };
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    let kind = text(fields.remove("type")).ok_or("an event needs a `type`, such as tool_call.requested")?;
    let seconds = fields.remove("at").and_then(|at| at.as_f64());
    #[expect(clippy::cast_precision_loss, reason = "an example has few events")]
    let seconds = seconds.unwrap_or(number as f64);
    #[expect(clippy::cast_possible_truncation, reason = "a cast to an integer stops at its ends")]
    let time = Timestamp::from_micros(START_US.saturating_add((seconds * 1e6) as i64));
    let id = text(fields.remove("id")).unwrap_or_else(|| format!("example-{number}"));
    let mut data = json!({
        "tenant_uid": "example", "ai_agent": {"uid": "spiffe://example/agent"},
        "task": {"id": "task-1", "root_id": "task-1"}
    });
    if kind.starts_with("tool_call.") {
        merge(&mut data, json!({"tool_call": {"id": format!("call-{number}"), "name": "tool"}}));
    } else if kind.starts_with("credential.") {
        let credential = json!({"uid": "credential-1", "credential_type": "oauth_access_token"});
        merge(&mut data, json!({"credential": credential}));
    }
    merge(&mut data, Value::Object(fields));
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "example"),
        ("ce_type", &format!("ambit.{kind}.v1")),
        ("ce_time", &time.to_string()),
    ];
    let headers = headers.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
    let record = Record {
        shard: Shard::new(Topic::Events, 0),
        offset: number,
        timestamp_us: 0,
        key: None,
        headers: headers.into(),
        value: Some(Bytes::from(data.to_string())),
    };
    decode(&record).map_err(|malformed| format!("event {number} is none: {malformed}"))
}

/// Puts `over` over `base`: objects are merged, everything else is replaced; `null` takes away.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    base.remove(&name);
                } else {
                    merge(base.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}
