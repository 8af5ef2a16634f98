//! Whatever the compiled envelope says of a call, Cedar says of the rendered one: the bounds that ask for a plain yes or
//! no, and the analyzer's clauses.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use ambit_analytics::{Analyzer, Asked, Bounds, Options};
use ambit_cedar::{Rendered, policies, request};
use ambit_schemas::envelope::{Envelope, SignedEnvelope};
use ambit_schemas::event::{AgentRef, Body, Effect, Event, TaskRef, ToolCall};
use ambit_schemas::{Sequenced, Shard, Timestamp, Topic};
use proptest::prelude::*;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;

/// Tools with what they do, as their names say.
const TOOLS: [(&str, &str, Effect); 5] = [
    ("read_a", "read", Effect::Read),
    ("write_a", "update", Effect::Update),
    ("write_b", "update", Effect::Update),
    ("delete_a", "delete", Effect::Delete),
    ("run_a", "execute", Effect::Execute),
];
const START_US: i64 = 1_795_510_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(START_US + second * 1_000_000)
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "ab", "b", "x.y", ""])
}

/// Checks that hold of arrays too: the rest has no rendering for each element of one.
fn of_any() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(|text| json!({"equals": text})),
        (-2_i64..3).prop_map(|number| json!({"equals": number})),
        prop::collection::vec(text(), 0..3).prop_map(|texts| json!({"in": texts})),
        (text(), -2_i64..3).prop_map(|(text, number)| json!({"in": [text, number]})),
    ]
}

fn of_one() -> impl Strategy<Value = Value> {
    let edge = || prop::option::of(-2_i64..3);
    prop_oneof![
        of_any(),
        text().prop_map(|text| json!({"prefix": text})),
        prop::sample::select(vec!["a*", "*", "**", "*.y", "ab"]).prop_map(|glob| json!({"glob": glob})),
        (edge(), edge()).prop_map(|(min, max)| {
            let mut range = json!({});
            for (name, edge) in [("min", min), ("max", max)] {
                if let Some(edge) = edge {
                    range[name] = json!(edge);
                }
            }
            json!({"range": range})
        }),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(|text| json!(text)),
        (-2_i64..3).prop_map(|number| json!(number)),
        any::<bool>().prop_map(|truth| json!(truth)),
    ]
}

fn constraint() -> impl Strategy<Value = Value> {
    let one = (prop::sample::select(vec!["/x", "/y", "/z/k"]), of_one());
    let many = (Just("/list"), of_any());
    let placed = prop_oneof![3 => one.prop_map(|(at, check)| (at, check)), 1 => many];
    (placed, any::<bool>()).prop_map(
        |((pointer, check), optional)| json!({"pointer": pointer, "check": check, "optional": optional}),
    )
}

fn grant() -> impl Strategy<Value = Value> {
    let name =
        prop::sample::select(vec!["read_a", "write_a", "write_b", "write_*", "*", "delete_*", "run_a"]);
    let server = prop::option::of(prop::sample::select(vec!["one", "two"]));
    (name, server, prop::collection::vec(constraint(), 0..3)).prop_map(|(name, server, constraints)| {
        let mut grant = json!({"name": name, "arguments": constraints});
        if let Some(server) = server {
            grant["server"] = json!(server);
        }
        grant
    })
}

fn document() -> impl Strategy<Value = Value> {
    let effects = || prop::sample::subsequence(vec!["read", "update", "delete", "execute"], 0..=4);
    let window = (prop::option::of(0_i64..20), prop::option::of(20_i64..40));
    (prop::collection::vec(grant(), 0..4), effects(), prop::option::of(effects()), window).prop_map(
        |(tools, unlisted, effects, (from, until))| {
            let mut document = json!({
                "id": "env", "version": 1, "task_id": "task", "agent_uid": "agent://a", "purpose": "anything",
                "approved_by": "emma", "tools": tools, "unlisted_effects": unlisted, "window": {}
            });
            if let Some(effects) = effects {
                document["effects"] = json!(effects);
            }
            for (name, second) in [("not_before", from), ("not_after", until)] {
                if let Some(second) = second {
                    document["window"][name] = json!(at(second).to_string());
                }
            }
            document
        },
    )
}

fn arguments() -> impl Strategy<Value = Value> {
    let list = prop_oneof![scalar(), prop::collection::vec(scalar(), 0..3).prop_map(Value::Array)];
    let maybe = || prop::option::weighted(0.7, scalar());
    (maybe(), maybe(), maybe(), prop::option::of(list)).prop_map(|(x, y, k, list)| {
        let mut all = json!({});
        for (name, value) in [("x", x), ("y", y), ("z", k.map(|k| json!({"k": k}))), ("list", list)] {
            if let Some(value) = value {
                all[name] = value;
            }
        }
        all
    })
}

fn event(id: &str, second: i64, body: Body) -> Event {
    let uid = "agent://a".try_into().unwrap();
    let task = || "task".try_into().unwrap();
    Event {
        agent: Some(AgentRef { uid, instance_uid: None, blueprint: None, name: None }),
        task: Some(TaskRef { id: task(), root: task(), parent: None }),
        ..Event::new(
            id.try_into().unwrap(),
            "cedar".try_into().unwrap(),
            at(second),
            "acme".try_into().unwrap(),
            body,
        )
    }
}

/// Whether the analyzer finds none of the clauses that are rendered broken.
fn judged(signed: &SignedEnvelope, call: ToolCall, second: i64) -> bool {
    let options = Options { require_signature: false, ..Options::default() };
    let mut analyzer = Analyzer::new(Shard::new(Topic::Events, 0), Arc::new(options));
    let approved = event("approved", 0, Body::EnvelopeApproved(Box::new(signed.clone())));
    let asked = event("asked", second, Body::ToolCallRequested(Box::new(call)));
    let mut told = Vec::new();
    for (offset, item) in (0..).zip([approved, asked]) {
        told.extend(analyzer.observe(&Sequenced { shard: analyzer.shard(), offset, item }));
    }
    let clauses = ["E-WINDOW", "E-EFFECT", "E-TOOL", "E-ARG", "E-INVALID", "X-ERROR"];
    !told.iter().any(|told| clauses.contains(&told.rule.id.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_compiled_envelope_decides_as_cedar_does(
        document in document(),
        tool in 0..TOOLS.len(),
        server in prop::option::of(prop::sample::select(vec!["one", "two"])),
        arguments in arguments(),
        second in 0_i64..40,
    ) {
        let (name, effect_name, effect) = TOOLS[tool];
        let envelope: Envelope = serde_json::from_value(document.clone()).unwrap();
        let signed = SignedEnvelope { document: to_raw_value(&envelope).unwrap(), signatures: Vec::new() };
        let asked = Asked { at: at(second), tool: name, server, effect, arguments: &arguments };
        let compiled = Bounds::new(&signed).unwrap().allow(&asked);
        let request = request(at(second).micros(), (name, server), effect_name, &arguments).unwrap();
        let cedar = Rendered::new(&document).unwrap().allow(&request);
        prop_assert_eq!(compiled, cedar, "{}", policies(&document).unwrap());
        let call = ToolCall {
            server: server.map(str::to_owned),
            arguments: Some(to_raw_value(&arguments).unwrap()),
            ..ToolCall::new("call".try_into().unwrap(), name)
        };
        prop_assert_eq!(judged(&signed, call, second), cedar, "{}", policies(&document).unwrap());
    }
}

/// The negative control: both say yes and no, so that agreeing means something.
#[test]
fn both_answers_come() {
    let document = json!({
        "id": "env", "version": 1, "task_id": "task", "agent_uid": "agent://a", "purpose": "anything",
        "approved_by": "emma", "tools": [{"name": "write_*", "arguments": [{"pointer": "/x", "check": {"range": {"max": 2}}}]}]
    });
    let rendered = Rendered::new(&document).unwrap();
    for (x, allowed) in [(json!(2), true), (json!(3), false), (json!("2"), false)] {
        let request = request(START_US, ("write_a", None), "update", &json!({"x": x})).unwrap();
        assert_eq!(rendered.allow(&request), allowed, "{x}");
    }
    for check in [json!({"regex": "a+"}), json!({"length": {"max": 2}}), json!({"glob": "a?"})] {
        let mut other = document.clone();
        other["tools"][0]["arguments"][0]["check"] = check;
        assert!(Rendered::new(&other).is_err(), "what Cedar cannot say is refused: {other}");
    }
}
