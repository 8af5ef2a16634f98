//! The compiled envelope against a plain reading of its document: whatever the tables and automata say of a call, a
//! reader with the JSON in hand says the same.

use crate::scenario::{SHARD, START_US, approver, judge, options};
use ambit_analytics::Analyzer;
use ambit_schemas::envelope::{Envelope, SignedEnvelope};
use ambit_schemas::event::{AgentRef, Body, TaskRef, ToolCall};
use ambit_schemas::{Event, Timestamp};
use proptest::prelude::*;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Tools with what they do, as their names say.
const TOOLS: [(&str, &str); 5] = [
    ("read_a", "read"),
    ("write_a", "update"),
    ("write_b", "update"),
    ("delete_a", "delete"),
    ("run_a", "execute"),
];

/// A call, as far as these clauses look at it.
#[derive(Debug, Clone)]
struct Asked {
    tool: usize,
    server: Option<&'static str>,
    arguments: Value,
    second: i64,
}

fn check() -> impl Strategy<Value = Value> {
    let text = || prop::sample::select(vec!["a", "ab", "b", "x/y"]);
    let edge = || prop::option::of(-2_i64..3);
    prop_oneof![
        text().prop_map(|text| json!({"equals": text})),
        (-2_i64..3).prop_map(|number| json!({"equals": number})),
        prop::collection::vec(text(), 0..3).prop_map(|texts| json!({"in": texts})),
        (prop::collection::vec(text(), 1..2), -2_i64..3)
            .prop_map(|(texts, number)| json!({"in": [texts[0], number]})),
        text().prop_map(|text| json!({"prefix": text})),
        prop::sample::select(vec!["a*", "*", "**", "x/*", "?"]).prop_map(|glob| json!({"glob": glob})),
        (edge(), edge()).prop_map(|(min, max)| json!({"range": bounds(min, max)})),
        (edge(), edge())
            .prop_map(|(min, max)| json!({"length": bounds(min.map(i64::abs), max.map(i64::abs))})),
    ]
}

fn bounds(min: Option<i64>, max: Option<i64>) -> Value {
    let mut bounds = json!({});
    if let Some(min) = min {
        bounds["min"] = json!(min);
    }
    if let Some(max) = max {
        bounds["max"] = json!(max);
    }
    bounds
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = || {
        prop_oneof![
            prop::sample::select(vec!["a", "ab", "b", "x/y", ""]).prop_map(|text| json!(text)),
            (-2_i64..3).prop_map(|number| json!(number)),
            Just(json!(true)),
            Just(Value::Null),
        ]
    };
    prop_oneof![leaf(), prop::collection::vec(leaf(), 0..3).prop_map(Value::Array)]
}

fn grant() -> impl Strategy<Value = Value> {
    let name =
        prop::sample::select(vec!["read_a", "write_a", "write_b", "write_*", "*", "delete_?", "run_a"]);
    let server = prop::option::of(prop::sample::select(vec!["one", "two"]));
    let constraint = (prop::sample::select(vec!["/x", "/y", "/z/0"]), check(), any::<bool>()).prop_map(
        |(pointer, check, optional)| json!({"pointer": pointer, "check": check, "optional": optional}),
    );
    (name, server, prop::collection::vec(constraint, 0..3)).prop_map(|(name, server, constraints)| {
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

fn asked() -> impl Strategy<Value = Asked> {
    let server = prop::option::of(prop::sample::select(vec!["one", "two"]));
    let arguments = prop::collection::btree_map(prop::sample::select(vec!["x", "y", "z"]), value(), 0..4);
    (0..TOOLS.len(), server, arguments, 0_i64..40).prop_map(|(tool, server, arguments, second)| Asked {
        tool,
        server,
        arguments: json!(arguments),
        second,
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(START_US + second * 1_000_000)
}

/// A glob as it is documented: `?` is one character, `*` any number, neither a slash; `**` alone is anything.
fn matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) if rest == ['*'] => true,
        (Some(('*', rest)), None) => matches(rest, text),
        (Some(('*', rest)), Some((c, others))) => {
            matches(rest, text) || (*c != '/' && matches(pattern, others))
        }
        (Some(('?', rest)), Some((c, others))) => *c != '/' && matches(rest, others),
        (Some((p, rest)), Some((c, others))) => p == c && matches(rest, others),
        (Some(_) | None, _) => false,
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

/// Whether a check holds of a value, read from the document.
fn holds(check: &Value, value: &Value) -> bool {
    let (kind, with) = check.as_object().unwrap().iter().next().unwrap();
    let within = |number: f64| {
        with["min"].as_f64().is_none_or(|min| number >= min)
            && with["max"].as_f64().is_none_or(|max| number <= max)
    };
    #[allow(clippy::cast_precision_loss, reason = "a few characters")]
    if kind == "length" {
        let length = value.as_str().map(|text| text.chars().count()).or(value.as_array().map(Vec::len));
        return length.is_some_and(|length| within(length as f64));
    }
    if let Value::Array(items) = value {
        return items.iter().all(|item| holds(check, item));
    }
    let text = value.as_str();
    match kind.as_str() {
        "equals" => value == with,
        "in" => with.as_array().unwrap().contains(value),
        "prefix" => text.is_some_and(|text| text.starts_with(with.as_str().unwrap())),
        "glob" => text.is_some_and(|text| glob(with.as_str().unwrap(), text)),
        "range" => value.as_f64().is_some_and(within),
        other => panic!("{other}"),
    }
}

/// The rules that must speak, by the document alone.
fn expected(document: &Value, asked: &Asked) -> BTreeSet<&'static str> {
    let (name, effect) = TOOLS[asked.tool];
    let mut told = BTreeSet::new();
    let moment = |name: &str| document["window"][name].as_str().map(|text| Timestamp::parse(text).unwrap());
    let now = at(asked.second);
    if moment("not_before").is_some_and(|from| now < from)
        || moment("not_after").is_some_and(|until| now >= until)
    {
        told.insert("E-WINDOW");
    }
    let lists = |list: &Value| list.as_array().unwrap().contains(&json!(effect));
    if document.get("effects").is_some_and(|effects| !lists(effects)) {
        told.insert("E-EFFECT");
    }
    let named: Vec<&Value> = document["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|grant| glob(grant["name"].as_str().unwrap(), name))
        .collect();
    let of_server =
        |grant: &&&Value| grant.get("server").is_none_or(|server| server.as_str() == asked.server);
    let there: Vec<&&Value> = named.iter().filter(of_server).collect();
    if there.is_empty() {
        if !(named.is_empty() && lists(&document["unlisted_effects"])) {
            told.insert("E-TOOL");
        }
        return told;
    }
    let satisfied = |grant: &Value| {
        grant["arguments"].as_array().unwrap().iter().all(|constraint| {
            match asked.arguments.pointer(constraint["pointer"].as_str().unwrap()) {
                Some(value) => holds(&constraint["check"], value),
                None => constraint["optional"].as_bool().unwrap(),
            }
        })
    };
    if !there.iter().any(|grant| satisfied(grant)) {
        told.insert("E-ARG");
    }
    told
}

fn event(id: &str, second: i64, body: Body) -> Event {
    let text = |text: &str| text.try_into().unwrap();
    Event {
        agent: Some(AgentRef {
            uid: "agent://a".try_into().unwrap(),
            instance_uid: None,
            blueprint: None,
            name: None,
        }),
        task: Some(TaskRef { id: text("task"), root: text("task"), parent: None }),
        ..Event::new(
            id.try_into().unwrap(),
            "oracle".try_into().unwrap(),
            at(second),
            "acme".try_into().unwrap(),
            body,
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_compiled_envelope_says_what_its_document_says(document in document(), asked in asked()) {
        let envelope: Envelope = serde_json::from_value(document.clone()).unwrap();
        let signed = SignedEnvelope::sign(&envelope, &approver()).unwrap();
        let call = ToolCall {
            server: asked.server.map(str::to_owned),
            arguments: Some(to_raw_value(&asked.arguments).unwrap()),
            ..ToolCall::new("call".try_into().unwrap(), TOOLS[asked.tool].0)
        };
        let events = [
            event("approved", 0, Body::EnvelopeApproved(Box::new(signed))),
            event("asked", asked.second, Body::ToolCallRequested(Box::new(call))),
        ];
        let told = judge(&mut Analyzer::new(SHARD, options()), &events);
        let clauses = ["E-WINDOW", "E-EFFECT", "E-TOOL", "E-ARG", "E-INVALID"];
        let told: BTreeSet<&str> =
            told.iter().map(|told| told.rule.id.as_str()).filter(|rule| clauses.contains(rule)).collect();
        prop_assert_eq!(told, expected(&document, &asked));
    }
}
