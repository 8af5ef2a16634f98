//! Correlations: what speaks, what does not, late events, restarts anywhere, bounds.

use crate::scenario::{SHARD, options};
use crate::sigma::{activation, call, document, on_tool, told};
use ambit_analytics::{Analyzer, finding_event};
use ambit_schemas::finding::Finding;
use ambit_schemas::{Event, encode};
use bytes::Bytes;
use proptest::prelude::*;

/// Three rules, and one correlation of them.
fn rules(correlation: &str) -> String {
    let lines: Vec<String> = correlation.lines().map(|line| format!("  {}", line.trim())).collect();
    let correlation = lines.join("\n") + "\n";
    let rule = |name| format!("{}---\n", on_tool(name, name));
    format!(
        "{}{}{}title: together\nid: together\nstatus: test\nlevel: high\ncorrelation:\n{correlation}",
        rule("a"),
        rule("b"),
        rule("c")
    )
}

/// A history in short: `a@3` is a call of `a` at second 3, `a@3/x` one whose arguments have `x` as `v`.
fn history(text: &str, short: &str) -> Vec<Event> {
    let mut events = vec![activation(0, vec![document(text)], false)];
    for (number, one) in (1..).zip(short.split_whitespace()) {
        let (tool, rest) = one.split_once('@').unwrap();
        let (at, value) = rest.split_once('/').unwrap_or((rest, "-"));
        events.push(call(number, at.parse().unwrap(), tool, &format!("{{\"v\":\"{value}\"}}")));
    }
    events
}

fn offsets(findings: &[Finding]) -> Vec<Vec<u64>> {
    findings.iter().map(|one| one.events.iter().map(|event| event.offset).collect()).collect()
}

const COUNT: &str =
    "type: event_count\nrules: [a, b]\ngroup-by: [task.root_id]\ntimespan: 10s\ncondition: {gte: 3}";
const VALUES: &str = "type: value_count\nrules: [a]\ngroup-by: [task.root_id]\ntimespan: 10s\ncondition: {field: arguments.v, gte: 3}";
const TOGETHER: &str = "type: temporal\nrules: [a, b, c]\ngroup-by: [task.root_id]\ntimespan: 10s";
const EITHER: &str =
    "type: temporal\nrules: [a, b, c]\ngroup-by: [task.root_id]\ntimespan: 10s\ncondition: a and (b or c)";
const ORDERED: &str = "type: temporal_ordered\nrules: [a, b, c]\ngroup-by: [task.root_id]\ntimespan: 10s";
const GROUPED: &str = "type: event_count\nrules: [a]\ngroup-by: [task.root_id, arguments.v]\ntimespan: 10s\ncondition: {gte: 2}";

#[test]
fn each_kind_speaks_where_it_should_and_only_there() {
    let cases: &[(&str, &str, &[&[u64]])] = &[
        (COUNT, "a@0 b@5 a@9", &[&[1, 2, 3]]),
        (COUNT, "a@0 b@5 a@10", &[]),
        (COUNT, "a@0 a@1 b@20 b@21", &[]),
        // Told once for a span, then again when as many have come again.
        (COUNT, "a@0 a@1 a@2 a@3 a@11 a@12 a@13", &[&[1, 2, 3], &[4, 5, 6]]),
        (COUNT, "a@0 a@1 a@2 a@20 a@21 a@22", &[&[1, 2, 3], &[4, 5, 6]]),
        // The second comes last: it belongs between the others.
        (COUNT, "a@0 a@9 a@4", &[&[1, 2, 3]]),
        (COUNT, "a@0 a@9 a@20", &[]),
        // Its own window is not full, one that it lies in is.
        (COUNT, "a@8 a@12 a@5", &[&[1, 2, 3]]),
        (VALUES, "a@0/x a@1/y a@2/z", &[&[1, 2, 3]]),
        (VALUES, "a@0/x a@1/x a@2/y a@3/x", &[]),
        (VALUES, "a@0/x a@5/y a@10/z", &[]),
        (TOGETHER, "c@0 a@1 b@2", &[&[1, 2, 3]]),
        (TOGETHER, "a@0 a@1 b@2", &[]),
        (TOGETHER, "a@0 b@5 c@10", &[]),
        (EITHER, "c@0 a@1", &[&[1, 2]]),
        (EITHER, "c@0 b@1", &[]),
        (ORDERED, "a@0 b@1 c@2", &[&[1, 2, 3]]),
        (ORDERED, "b@0 a@1 c@2", &[]),
        (ORDERED, "a@0 b@5 c@10", &[]),
        (ORDERED, "a@0 b@1 a@5 b@6 c@10", &[&[2, 3, 4, 5]]),
        (ORDERED, "a@0 c@2 b@1", &[&[1, 2, 3]]),
        (GROUPED, "a@0/x a@1/y a@2/x", &[&[1, 3]]),
        (GROUPED, "a@0/x a@1/y", &[]),
    ];
    for (correlation, short, expected) in cases {
        let findings = told(&mut Analyzer::new(SHARD, options()), &history(&rules(correlation), short));
        // The rules that it refers to are silent.
        assert!(findings.iter().all(|one| one.rule.id.as_str() == "R-together"), "{short}");
        assert_eq!(offsets(&findings), *expected, "{correlation}\n{short}");
    }
}

#[test]
fn a_correlation_may_rest_on_another_and_let_rules_speak() {
    let text = format!(
        "{}generate: true\n---\ntitle: above\nid: above\nstatus: test\nlevel: critical\ncorrelation:\n  type: temporal_ordered\n  \
         rules: [together, c]\n  group-by: [task.root_id]\n  timespan: 1m\n",
        rules(COUNT)
    );
    let findings = told(&mut Analyzer::new(SHARD, options()), &history(&text, "a@0 a@1 a@2 c@3"));
    let told: Vec<_> =
        findings.iter().map(|one| (one.rule.id.as_str(), one.events.last().unwrap().offset)).collect();
    assert_eq!(told, [("R-a", 1), ("R-a", 2), ("R-a", 3), ("R-above", 4)]);
}

#[test]
fn tenants_and_rules_that_stay_keep_their_windows() {
    let text = rules(COUNT);
    let mut events = history(&text, "a@0 a@1 a@2");
    events[2].tenant = "other".try_into().unwrap();
    assert!(told(&mut Analyzer::new(SHARD, options()), &events).is_empty(), "two and one are not three");
    let mut events = history(&text, "a@0 a@1 a@2");
    let more = format!("{text}---\n{}", on_tool("d", "d"));
    events.insert(3, activation(90, vec![document(more)], false));
    assert_eq!(
        told(&mut Analyzer::new(SHARD, options()), &events).len(),
        1,
        "the rule is the same in both sets"
    );
    let mut events = history(&text, "a@0 a@1 a@2");
    events.insert(3, activation(90, vec![document(text.replace("gte: 3", "gte: 2"))], false));
    let findings = told(&mut Analyzer::new(SHARD, options()), &events);
    assert!(findings.is_empty(), "another rule begins afresh");
}

#[test]
fn a_flood_of_one_step_does_not_push_out_another() {
    let flood: Vec<String> = (0..2_500).map(|_| "b@2".to_owned()).collect();
    let short = format!("a@0 {} c@3", flood.join(" "));
    let findings = told(&mut Analyzer::new(SHARD, options()), &history(&rules(TOGETHER), &short));
    assert_eq!(findings.len(), 1);
    let events = &findings[0].events;
    assert_eq!((events.len(), events.last().unwrap().offset), (64, 2_502));
}

#[test]
fn what_is_remembered_of_groups_is_bounded() {
    let text = rules(GROUPED);
    let mut analyzer = Analyzer::new(SHARD, options());
    told(&mut analyzer, &history(&text, ""));
    let empty = analyzer.snapshot().len();
    let short: Vec<String> = (0..3_000).map(|number| format!("a@0/{number}")).collect();
    assert!(told(&mut analyzer, &history(&text, &short.join(" "))).is_empty());
    let per_event = (analyzer.snapshot().len() - empty) / 3_000;
    // Among them what every event takes in a snapshot, whatever the rules.
    assert!(per_event < 400, "{per_event} bytes");
}

fn bytes(findings: &[Finding]) -> Vec<Bytes> {
    findings.iter().map(|one| encode(&finding_event(one)).unwrap().value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // INVARIANT A-1: a restart anywhere gives the same bytes.
    #[test]
    fn a_restart_anywhere_changes_nothing(
        kind in 0_usize..6,
        steps in prop::collection::vec((0_usize..3, -4_i64..9, 0_u8..3), 1..60),
        every in 1_usize..7,
    ) {
        let correlation = [COUNT, VALUES, TOGETHER, EITHER, ORDERED, GROUPED][kind];
        let mut now = 100;
        let short: Vec<String> = steps.iter().map(|(tool, ahead, value)| {
            now += ahead;
            format!("{}@{now}/{value}", ["a", "b", "c"][*tool])
        }).collect();
        let events = history(&rules(correlation), &short.join(" "));
        let expected = told(&mut Analyzer::new(SHARD, options()), &events);
        let (mut analyzer, mut findings) = (Analyzer::new(SHARD, options()), Vec::new());
        for (number, event) in events.iter().enumerate() {
            if number % every == 0 {
                analyzer = Analyzer::restore(&analyzer.snapshot(), options()).unwrap();
            }
            findings.extend(told(&mut analyzer, std::slice::from_ref(event)));
        }
        prop_assert_eq!(bytes(&findings), bytes(&expected));
    }
}
