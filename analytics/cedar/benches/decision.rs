//! What a decision costs: the compiled envelope beside Cedar on the rendered one, over the same calls. Cedar's requests are
//! made beforehand, and so are the parsed arguments of ours; only the decisions are measured.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot be set up fails")]

use ambit_analytics::{Asked, Bounds};
use ambit_cedar::{Rendered, request};
use ambit_schemas::Timestamp;
use ambit_schemas::envelope::{Envelope, SignedEnvelope};
use ambit_schemas::event::Effect;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::hint::black_box;

/// In the window.
const NOW_US: i64 = 1_795_510_800_000_000;

/// An envelope as people write them: six tools, a few constraints, a window.
fn document() -> Value {
    json!({
        "id": "env", "version": 1, "task_id": "task", "agent_uid": "agent://billing-1", "approved_by": "emma",
        "purpose": "Pay the invoices of November", "unlisted_effects": ["read"],
        "effects": ["read", "create", "update", "execute"],
        "window": {"not_before": Timestamp::from_micros(NOW_US - 3_600_000_000).to_string(),
            "not_after": Timestamp::from_micros(NOW_US + 3_600_000_000).to_string()},
        "tools": [
            {"name": "read_invoice"},
            {"name": "list_*"},
            {"name": "send_money", "server": "bank", "arguments": [
                {"pointer": "/recipient", "check": {"in": ["DE1", "DE2", "DE3", "DE4"]}},
                {"pointer": "/amount", "check": {"range": {"min": 1, "max": 500}}},
                {"pointer": "/note", "check": {"prefix": "INV-"}, "optional": true}]},
            {"name": "send_email", "arguments": [{"pointer": "/to", "check": {"glob": "*@acme.example"}}]},
            {"name": "write_note"},
            {"name": "update_ticket", "arguments": [{"pointer": "/ticket", "check": {"equals": 4711}}]},
        ],
    })
}

/// Tool, server, effect, the effect as a text, arguments, and whether it is allowed.
type Call = (&'static str, Option<&'static str>, Effect, &'static str, Value, bool);

/// What is asked.
fn calls() -> Vec<Call> {
    let pay = |to: &str, amount: i64| json!({"recipient": to, "amount": amount, "note": "INV-7"});
    vec![
        ("read_invoice", None, Effect::Read, "read", json!({"id": "INV-7"}), true),
        ("list_accounts", None, Effect::Read, "read", json!({}), true),
        ("send_money", Some("bank"), Effect::Create, "create", pay("DE3", 120), true),
        ("send_money", Some("bank"), Effect::Create, "create", pay("US9", 120), false),
        ("send_money", Some("bank"), Effect::Create, "create", pay("DE3", 900), false),
        ("send_email", None, Effect::Create, "create", json!({"to": "kim@acme.example"}), true),
        ("update_ticket", None, Effect::Update, "update", json!({"ticket": 4711}), true),
        ("delete_account", None, Effect::Delete, "delete", json!({"id": "kim"}), false),
    ]
}

fn decisions(criterion: &mut Criterion) {
    let (document, calls) = (document(), calls());
    let envelope: Envelope = serde_json::from_value(document.clone()).unwrap();
    let signed = SignedEnvelope { document: to_raw_value(&envelope).unwrap(), signatures: Vec::new() };
    let (bounds, rendered) = (Bounds::new(&signed).unwrap(), Rendered::new(&document).unwrap());
    let asked: Vec<Asked<'_>> = calls
        .iter()
        .map(|(tool, server, effect, _, arguments, _)| Asked {
            at: Timestamp::from_micros(NOW_US),
            tool,
            server: *server,
            effect: *effect,
            arguments,
        })
        .collect();
    let requests: Vec<_> = calls
        .iter()
        .map(|(tool, server, _, effect, arguments, _)| {
            request(NOW_US, (tool, *server), effect, arguments).unwrap()
        })
        .collect();
    for ((asked, request), call) in asked.iter().zip(&requests).zip(&calls) {
        assert_eq!((bounds.allow(asked), rendered.allow(request)), (call.5, call.5), "{asked:?}");
    }
    for ((asked, request), call) in asked.iter().zip(&requests).zip(&calls) {
        let mut group =
            criterion.benchmark_group(format!("{} {}", call.0, if call.5 { "allowed" } else { "denied" }));
        group.bench_function("compiled", |bencher| bencher.iter(|| bounds.allow(black_box(asked))));
        group.bench_function("cedar", |bencher| bencher.iter(|| rendered.allow(black_box(request))));
        group.finish();
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
