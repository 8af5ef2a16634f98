//! What drift costs the fold: the same events without a baseline, and against one made of them.

use crate::report::{Report, Target};
use ambit_analytics::drift::{Builder, Settings};
use ambit_analytics::{Analyzer, Options, Prepared, Preparer};
use ambit_schemas::baseline::SignedBaseline;
use ambit_schemas::envelope::{Envelope, SignedEnvelope};
use ambit_schemas::event::{AgentRef, Body, EnvelopeClosed, TaskRef, ToolCall};
use ambit_schemas::{Event, Sequenced, Shard, Timestamp, Topic};
use ed25519_dalek::SigningKey;
use serde_json::json;
use serde_json::value::to_raw_value;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

const SHARD: Shard = Shard::new(Topic::Events, 0);
const TASKS: i64 = 20_000;
/// What judgement must take on one core, with drift as without.
const TARGET: f64 = 300_000.0;
const TOOLS: [&str; 5] = ["read_ticket", "search_articles", "get_customer", "send_email", "close_ticket"];

fn event(name: String, task: &str, micros: i64, body: Body) -> Event {
    let task: TaskRef = serde_json::from_value(json!({"id": task, "root_id": task})).unwrap();
    let agent: AgentRef =
        serde_json::from_value(json!({"uid": "spiffe://acme/support-1", "blueprint": "support@1"})).unwrap();
    Event {
        agent: Some(agent),
        task: Some(task),
        ..Event::new(
            name.try_into().unwrap(),
            "bench".try_into().unwrap(),
            Timestamp::from_micros(1_795_510_800_000_000 + micros),
            "acme".try_into().unwrap(),
            body,
        )
    }
}

fn task(number: i64, key: &SigningKey) -> Vec<Event> {
    let (task, start) = (format!("task-{number}"), number * 60_000_000);
    let customer = format!("c{}@client.example", number % 200);
    let envelope: Envelope = serde_json::from_value(json!({
        "id": format!("env-{number}"), "version": 1, "task_id": task, "agent_uid": "spiffe://acme/support-1",
        "purpose": format!("Answer ticket {number}"), "approved_by": "emma",
        "tools": TOOLS.map(|name| json!({"name": name})), "unlisted_effects": ["read"]
    }))
    .unwrap();
    let closed =
        EnvelopeClosed { envelope_id: envelope.id.clone(), outcome: "completed".into(), reason: None };
    let signed = Box::new(SignedEnvelope::sign(&envelope, key).unwrap());
    let mut events = vec![event(format!("{task}-e"), &task, start, Body::EnvelopeApproved(signed))];
    for call in 0..8 {
        let tool = TOOLS[usize::try_from(call + number).unwrap() % TOOLS.len()];
        let id = format!("{task}-{call}");
        let requested = ToolCall {
            arguments: Some(to_raw_value(&json!({"to": customer, "ticket": number})).unwrap()),
            ..ToolCall::new(id.as_str().try_into().unwrap(), tool)
        };
        let completed =
            ToolCall { arguments: None, result: Some(format!("ticket of {customer}")), ..requested.clone() };
        let at = start + call * 1_000_000;
        events.push(event(format!("{id}-r"), &task, at, Body::ToolCallRequested(Box::new(requested))));
        events.push(event(format!("{id}-c"), &task, at + 1, Body::ToolCallCompleted(Box::new(completed))));
    }
    events.push(event(format!("{task}-x"), &task, start + 9_000_000, Body::EnvelopeClosed(closed)));
    events
}

fn sequenced(events: Vec<Event>) -> Vec<Sequenced<Event>> {
    (0..).zip(events).map(|(offset, item)| Sequenced { shard: SHARD, offset, item }).collect()
}

/// Events per second, and what the analyzer has counted and found.
fn judge(events: &[Sequenced<Event>], options: &Arc<Options>, counts: bool) -> (f64, Builder, usize) {
    let mut preparer = Preparer::new(Arc::clone(options));
    let ready: Vec<Prepared<'_>> =
        events.iter().map(|event| preparer.prepare(Cow::Borrowed(event))).collect();
    let (mut analyzer, mut builder, mut found) =
        (Analyzer::new(SHARD, Arc::clone(options)), Builder::default(), 0);
    if counts {
        analyzer.count_tasks();
    }
    let start = Instant::now();
    for event in &ready {
        found += analyzer.judge(event).len();
    }
    let rate = events.len() as f64 / start.elapsed().as_secs_f64();
    for finished in analyzer.take_finished() {
        builder.add(finished);
    }
    (rate, builder, found)
}

/// Measures both.
pub fn measure(report: &mut Report) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let options = Arc::new(Options { require_signature: false, ..Options::default() });
    let plain: Vec<Event> = (0..TASKS).flat_map(|number| task(number, &key)).collect();
    let events = sequenced(plain.clone());
    let (without, _, found) = judge(&events, &options, false);
    let (_, builder, _) = judge(&events, &options, true);
    let from = Timestamp::from_micros(1_795_510_800_000_000);
    let settings = Settings {
        from,
        to: from.plus_micros(TASKS * 60_000_000),
        confidence: 0.999,
        false_alerts_per_day: 0.1,
        tasks_min: 50,
    };
    let mut against: Vec<Event> = Vec::new();
    for (number, mut draft) in builder.drafts(&settings).into_iter().enumerate() {
        draft.approved_by = Some("emma".try_into().unwrap());
        let signed = Box::new(SignedBaseline::sign(&draft, &key).unwrap());
        let mut approved = event(format!("baseline-{number}"), "none", 0, Body::BaselineApproved(signed));
        (approved.agent, approved.task) = (None, None);
        against.push(approved);
    }
    assert_eq!(against.len(), 2, "a baseline of the blueprint and one of its purpose");
    against.extend(plain);
    let (with, _, found_with) = judge(&sequenced(against), &options, false);
    assert_eq!(found, found_with, "the events that a baseline was made of are no drift");
    report.judged("fold_without_baseline", "events_per_second", without, Target::AtLeast(TARGET));
    report.judged("fold_against_baseline", "events_per_second", with, Target::AtLeast(TARGET));
}
