//! The customer's rules: what is refused where, what speaks, and who says which set is in force.

use crate::scenario::{SHARD, approver, options};
use ambit_analytics::sigma::{FIELDS, Level, RuleSet, check, run_examples};
use ambit_analytics::{Analyzer, finding_event};
use ambit_schemas::event::{AgentRef, Body, Event, TaskRef, ToolCall};
use ambit_schemas::finding::{Finding, Maturity};
use ambit_schemas::ruleset::{RuleDocument, RulesActivated};
use ambit_schemas::{Sequenced, Timestamp, encode};
use serde_json::value::RawValue;
use std::path::Path;
use std::time::{Duration, Instant};

pub fn document(text: impl Into<String>) -> RuleDocument {
    RuleDocument { path: "rules.yml".into(), text: text.into() }
}

/// A rule about requested calls of one tool.
pub fn on_tool(id: &str, tool: &str) -> String {
    format!(
        "title: Call of {tool}\nid: {id}\nname: {id}\nstatus: stable\nlevel: high\nlogsource: {{product: ambit, category: tool_call}}\n\
         detection:\n  selection:\n    kind: tool_call.requested\n    tool.name: {tool}\n  condition: selection\n"
    )
}

pub fn event(number: usize, seconds: i64, body: Body) -> Event {
    let task = TaskRef { id: "task-1".try_into().unwrap(), root: "task-1".try_into().unwrap(), parent: None };
    Event {
        agent: Some(AgentRef {
            uid: "spiffe://acme.example/agent/a".try_into().unwrap(),
            instance_uid: None,
            blueprint: None,
            name: None,
        }),
        task: Some(task),
        ..Event::new(
            format!("e-{number}").try_into().unwrap(),
            "gateway".try_into().unwrap(),
            Timestamp::from_micros(1_795_510_800_000_000 + seconds * 1_000_000),
            "acme".try_into().unwrap(),
            body,
        )
    }
}

pub fn call(number: usize, seconds: i64, tool: &str, arguments: &str) -> Event {
    let mut call = ToolCall::new(format!("c-{number}").try_into().unwrap(), tool.to_owned());
    call.arguments = Some(RawValue::from_string(arguments.to_owned()).unwrap());
    event(number, seconds, Body::ToolCallRequested(Box::new(call)))
}

pub fn activation(number: usize, documents: Vec<RuleDocument>, may_revoke: bool) -> Event {
    let set = RulesActivated::sign(documents, may_revoke, &approver()).unwrap();
    event(number, 0, Body::RulesActivated(Box::new(set)))
}

/// What the customer's rules tell.
pub fn told(analyzer: &mut Analyzer, events: &[Event]) -> Vec<Finding> {
    let mut all = Vec::new();
    for event in events {
        let offset = analyzer.next_offset();
        all.extend(analyzer.observe(&Sequenced { shard: SHARD, offset, item: event.clone() }));
    }
    all.retain(|finding| finding.rule.id.as_str().starts_with("R-"));
    all
}

#[test]
fn a_set_judges_from_where_it_stands_to_the_next_one() {
    let mut analyzer = Analyzer::new(SHARD, options());
    let findings = told(
        &mut analyzer,
        &[
            call(0, 0, "pay", "{}"),
            activation(1, vec![document(on_tool("pays", "pay"))], false),
            call(2, 2, "pay", "{}"),
            call(3, 3, "read", "{}"),
            activation(4, vec![document(on_tool("reads", "read"))], true),
            call(5, 5, "pay", "{}"),
            call(6, 6, "read", "{}"),
            activation(7, Vec::new(), false),
            call(8, 8, "read", "{}"),
        ],
    );
    let found: Vec<_> =
        findings.iter().map(|one| (one.rule.id.as_str(), one.events[0].offset, one.rule.maturity)).collect();
    // INVARIANT E-3: stable revokes only where the set says that it may.
    assert_eq!(found, [("R-pays", 2, Maturity::Incubating), ("R-reads", 6, Maturity::Stable)]);
    assert!(findings[0].reason.contains("selection") && findings[0].reason.contains("called pay"));
    assert_eq!(findings[0].observed.as_deref(), Some("kind=tool_call.requested, tool.name=pay"));
    assert_eq!(analyzer.rules_digest(), None);
}

// INVARIANT A-1
#[test]
fn the_same_history_gives_the_same_bytes_and_another_text_another_version() {
    let events = |text: String| [activation(0, vec![document(text)], false), call(1, 1, "pay", "{}")];
    let bytes = |text: &str| {
        let findings = told(&mut Analyzer::new(SHARD, options()), &events(text.to_owned()));
        findings.iter().map(|one| encode(&finding_event(one)).unwrap().value).collect::<Vec<_>>()
    };
    let text = on_tool("pays", "pay");
    assert_eq!(bytes(&text), bytes(&text));
    assert_eq!(bytes(&text).len(), 1);
    assert_ne!(bytes(&text), bytes(&text.replace("Call of", "A call of")));
}

#[test]
fn pinned_rules_are_not_changed_by_the_shard() {
    let mut analyzer = Analyzer::new(SHARD, options());
    analyzer.pin_rules(RuleSet::compile(&[document(on_tool("reads", "read"))], false).unwrap().into());
    let events = [
        activation(0, vec![document(on_tool("pays", "pay"))], false),
        call(1, 1, "pay", "{}"),
        call(2, 2, "read", "{}"),
    ];
    let findings = told(&mut analyzer, &events);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].rule.id.as_str(), "R-reads");
}

#[test]
fn nested_arguments_lists_and_texts_anywhere_are_found() {
    let rule = |detection: &str| {
        format!(
            "title: t\nid: r\nstatus: test\nlevel: low\nlogsource: {{product: ambit}}\ndetection:\n  s:\n{detection}\n  condition: s\n"
        )
    };
    let arguments = r#"{"to":["bob@acme.example","eve@elsewhere.example"],"order":{"amount":120.5,"lines":[{"sku":"a"},{"sku":"b"}]},"a.b":true}"#;
    for (detection, speaks) in [
        ("    arguments.to|endswith: '@elsewhere.example'", true),
        ("    arguments.to|endswith: '@nowhere.example'", false),
        ("    arguments.order.amount|gt: 100", true),
        ("    arguments.order.amount|gt: 200", false),
        ("    arguments.order.lines.sku: b", true),
        ("    arguments.a.b: true", true),
        ("    arguments.none|exists: false", true),
        ("    tool.effect: create", true),
        ("    event.time|hour: 9", true),
        ("    - elsewhere", true),
        ("    - nowhere", false),
        ("    agent.uid|re: ^spiffe://[a-z.]+/agent/a$", true),
    ] {
        let documents = vec![document(rule(detection))];
        let events = [activation(0, documents, false), call(1, 1, "send_email", arguments)];
        let findings = told(&mut Analyzer::new(SHARD, options()), &events);
        assert_eq!(findings.len() == 1, speaks, "{detection}");
    }
}

/// Where and how documents are refused.
#[test]
fn what_cannot_be_used_is_refused_with_file_and_line() {
    let good = on_tool("pays", "pay");
    let laughs = (1..10).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        format!("{text}a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 8].join(", "))
    });
    let correlation =
        |body: &str| format!("{good}---\ntitle: c\nid: c\nstatus: test\nlevel: low\ncorrelation:\n{body}");
    let cases = [
        (good.replace("id: pays\n", ""), 1, "needs an `id`"),
        (good.replace("level: high\n", ""), 1, "needs a `level`"),
        (good.replace("status: stable\n", ""), 1, "needs a `status`"),
        (good.replace("status: stable", "status: golden"), 1, "status"),
        (good.replace("tool.name: pay", "tool.nmae: pay"), 10, "`tool.nmae` is no field"),
        (good.replace("product: ambit", "product: windows"), 1, "product: ambit"),
        (good.replace("category: tool_call", "category: process_creation"), 1, "category"),
        (good.replace("condition: selection", "condition: selction"), 7, "selction"),
        (good.replace("condition: selection", "condition: selection and"), 11, "ondition"),
        (good.replace("tool.name: pay", "tool.name|re: '('"), 10, "regular expression"),
        (good.replace("tool.name: pay", "tool.name|re: '(\\w{200}){200}'"), 10, "regular expression"),
        (good.replace("tool.name: pay", "tool.name|expand: '%x%'"), 10, "placeholders"),
        (good.replace("tool.name: pay", "tool.name: [pay"), 0, "not YAML"),
        (format!("{good}---\n{good}"), 14, "another rule's already"),
        (format!("action: global\n{good}"), 1, "action"),
        (laughs, 0, "unfolds"),
        ("[".repeat(60_000), 1, "brackets"),
        (
            correlation(
                "  type: event_count\n  rules: [nobody]\n  group-by: [task.id]\n  timespan: 1m\n  condition: {gte: 2}\n",
            ),
            19,
            "no rule of this set",
        ),
        (
            correlation(
                "  type: event_count\n  rules: [pays]\n  group-by: [task.id]\n  timespan: 1m\n  condition: {gte: 501}\n",
            ),
            22,
            "at most 500",
        ),
        (
            correlation(
                "  type: event_count\n  rules: [pays]\n  group-by: [task.uid]\n  timespan: 1m\n  condition: {gte: 2}\n",
            ),
            13,
            "`task.uid` is no field",
        ),
        (
            correlation(
                "  type: value_sum\n  rules: [pays]\n  group-by: [task.id]\n  timespan: 1m\n  condition: {gte: 2, field: cost_micros}\n",
            ),
            18,
            "not supported",
        ),
        (
            correlation("  type: temporal\n  rules: [pays]\n  group-by: [task.id]\n  timespan: 1y\n"),
            21,
            "31 days",
        ),
        (
            correlation("  type: temporal\n  rules: [c]\n  group-by: [task.id]\n  timespan: 1h\n"),
            17,
            "waits for itself",
        ),
    ];
    for (text, line, words) in cases {
        let begun = Instant::now();
        let problems = check(&[document(text.clone())]);
        let errors: Vec<String> =
            problems.iter().filter(|one| one.level == Level::Error).map(ToString::to_string).collect();
        // Where within a document of many lines it goes wrong is the parser's to say.
        let place = if line == 0 { "rules.yml:".to_owned() } else { format!("rules.yml:{line}: ") };
        assert!(
            errors.iter().any(|error| error.starts_with(&place) && error.contains(words)),
            "{place}{words}: {errors:#?}\n{}",
            text.chars().take(600).collect::<String>()
        );
        assert!(begun.elapsed() < Duration::from_secs(3), "{words}: {:?}", begun.elapsed());
    }
    let large = document(format!("{good}# {}", "x".repeat(70_000)));
    assert!(check(&[large]).iter().any(|one| one.level == Level::Error && one.text.contains("65536")));
    assert!(check(&[document(good)]).iter().all(|one| one.level == Level::Warning));
}

#[test]
fn what_is_unwise_is_told_and_keeps_nothing_out() {
    let old = on_tool("pays", "pay").replace("status: stable", "status: deprecated");
    let problems = check(&[document(old.clone())]);
    assert!(
        problems.iter().any(|one| one.level == Level::Warning && one.text.contains("not used")),
        "{problems:?}"
    );
    assert!(RuleSet::compile(&[document(old)], false).unwrap().is_empty());
    let wide = on_tool("pays", "pay").replace("    kind: tool_call.requested\n", "");
    assert!(check(&[document(wide)]).iter().any(|one| one.text.contains("`kind`")));
}

#[test]
fn examples_that_are_wrong_are_told() {
    let rule = on_tool("pays", "pay");
    let tests = "ambit.tests:\n  - {name: yes, event: {type: tool_call.requested, tool_call: {name: pay}}, match: true}\n  \
                 - {name: wrong, event: {type: tool_call.requested, tool_call: {name: pay}}, match: false}\n  \
                 - {name: silent, event: {type: tool_call.requested, tool_call: {name: read}}, match: true}\n  \
                 - {name: none, event: {type: tool_call.imagined}, match: true}\n";
    let examples = run_examples(&[document(format!("{rule}{tests}"))]).unwrap();
    let failures: Vec<_> = examples.iter().map(|one| (one.name.as_str(), one.failure.is_some())).collect();
    assert_eq!(failures, [("yes", false), ("wrong", true), ("silent", true), ("none", true)]);
    let misspelt = format!("{rule}ambit.tests:\n  - {{evnt: {{}}, match: true}}\n");
    assert!(run_examples(&[document(misspelt)]).unwrap()[0].failure.is_some());
}

fn shipped() -> Vec<RuleDocument> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules/sigma");
    let mut documents: Vec<RuleDocument> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| RuleDocument {
            path: path.file_name().unwrap().to_string_lossy().into_owned(),
            text: std::fs::read_to_string(path).unwrap(),
        })
        .collect();
    documents.sort();
    documents
}

#[test]
fn the_rules_that_come_along_are_sound_and_do_what_their_examples_say() {
    let documents = shipped();
    assert_eq!(check(&documents), []);
    let examples = run_examples(&documents).unwrap();
    assert!(documents.len() >= 3 && examples.len() >= 15, "{} examples", examples.len());
    let wrong: Vec<_> = examples.iter().filter(|example| example.failure.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let tells: Vec<_> = RuleSet::compile(&documents, false)
        .unwrap()
        .summaries()
        .into_iter()
        .filter(|summary| summary.tells)
        .map(|summary| summary.kind)
        .collect();
    assert_eq!(tells, ["event_count", "detection", "temporal_ordered"]);
}

#[test]
fn every_field_stands_in_the_page_about_rules() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sigma.md")).unwrap();
    for field in FIELDS {
        let name = if field.name.ends_with('.') { format!("{}*", field.name) } else { field.name.to_owned() };
        let category = if field.category.is_empty() { "all" } else { field.category };
        let row = format!("| `{name}` | {category} | {} |", field.about);
        assert!(page.contains(&row), "docs/sigma.md lacks the row\n{row}");
    }
}
