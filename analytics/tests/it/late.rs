//! Events out of order: within five minutes of event time they change nothing, beyond that they are judged and marked late.

use crate::scenario::{Case, SHARD, judge, options};
use ambit_analytics::Analyzer;
use ambit_schemas::Event;
use ambit_schemas::finding::Finding;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The longest delay that changes nothing, in seconds.
const BOUND: i64 = 300;
/// When the tasks are closed, in seconds from their beginning.
const END: i64 = 900;

fn events(task: &str, events: &Value) -> Vec<Event> {
    let case = json!({"name": "late", "told": [], "envelope": {"delegation":
        {"max_depth": 1, "delegates": ["spiffe://acme.example/agent/mail*"]}}, "events": events});
    serde_json::from_value::<Case>(case).unwrap().events(task)
}

/// Rule and the event that it is about.
fn named(told: &[Finding]) -> BTreeSet<String> {
    told.iter().map(|told| format!("{} {}", told.rule.id, told.events[0].id.as_str())).collect()
}

/// The events in the order in which they arrive, each so many seconds after it happened.
fn delayed(events: &[Event], delays: &[i64]) -> Vec<Event> {
    let mut arriving: Vec<(i64, Event)> = events
        .iter()
        .zip(delays.iter().cycle())
        .map(|(event, delay)| (event.time.micros() + delay * 1_000_000, event.clone()))
        .collect();
    arriving.sort_by_key(|(at, _)| *at);
    arriving.into_iter().map(|(_, event)| event).collect()
}

/// Judges what stands and then the rest.
fn told_of(standing: &[Event], rest: &[Event]) -> Vec<Finding> {
    let events: Vec<Event> = standing.iter().chain(rest).cloned().collect();
    judge(&mut Analyzer::new(SHARD, options()), &events)
}

/// Two tasks, the second handed on by the first; calls of both at these seconds, every other one not granted; at the end
/// both are closed, the child first.
fn tasks(seconds: &[i64]) -> Vec<Event> {
    let mailer = json!({"uid": "spiffe://acme.example/agent/mailer"});
    let child = json!({"id": "@task.1", "root_id": "@task", "parent_id": "@task"});
    let envelope = json!({"task_id": "@task.1", "agent_uid": "spiffe://acme.example/agent/mailer"});
    let mut all = vec![
        json!({"event_id": "child", "type": "task.envelope.approved", "at": 1, "task": child, "ai_agent": mailer, "envelope": envelope}),
        json!({"event_id": "granted", "type": "delegation.granted", "at": 1, "delegation": {"depth": 1, "child_task_id": "@task.1",
            "delegator": "spiffe://acme.example/agent/support", "delegatee": "spiffe://acme.example/agent/mailer"}}),
    ];
    for (number, second) in seconds.iter().enumerate() {
        let tool = ["send_email", "create_api_key", "read_ticket", "send_money"][number % 4];
        let mut call =
            json!({"event_id": format!("call {number}"), "at": second, "tool_call": {"name": tool}});
        if number % 3 == 0 {
            call["task"] = child.clone();
            call["ai_agent"] = mailer.clone();
        }
        all.push(call);
    }
    all.push(json!({"event_id": "closed child", "type": "task.envelope.closed", "at": END, "task": child, "ai_agent": mailer}));
    all.push(json!({"event_id": "closed", "type": "task.envelope.closed", "at": END}));
    events("task-1", &json!(all))
}

/// A credential that is issued, used by its owner and a stranger, and revoked, at these seconds.
fn credential(seconds: &[i64]) -> Vec<Event> {
    let credential = json!({"uid": "jti-1", "credential_type": "oauth_access_token"});
    let mut issue = credential.clone();
    issue["expires_at"] = json!("2026-11-24T09:10:00Z");
    let mut all = vec![
        json!({"event_id": "issued", "type": "credential.issued", "at": 1, "credential": issue}),
        json!({"event_id": "revoked", "type": "credential.revoked", "at": 450, "credential": credential}),
    ];
    for (number, second) in seconds.iter().enumerate() {
        let mut used = json!({"event_id": format!("use {number}"), "type": "credential.used", "at": second, "credential": credential});
        if number % 3 == 2 {
            used["ai_agent"] = json!({"uid": "spiffe://evil.example/agent/x"});
        }
        all.push(used);
    }
    events("task-1", &json!(all))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tasks_and_calls_within_the_bound_may_come_in_any_order(
        seconds in prop::collection::vec(5..END, 1..12),
        delays in prop::collection::vec(0..BOUND, 16),
    ) {
        let all = tasks(&seconds);
        // Bounds and who was given work stand before the work: nobody can wait for what may never come.
        let (standing, rest) = all.split_at(3);
        let in_time = told_of(standing, &delayed(rest, &[0]));
        let late = told_of(standing, &delayed(rest, &delays));
        prop_assert_eq!(named(&late), named(&in_time));
        prop_assert!(late.iter().chain(&in_time).all(|told| told.late_seconds.is_none()));
        prop_assert_eq!(in_time.is_empty(), seconds.len() < 2, "the negative control: something is told");
    }

    #[test]
    fn a_credentials_life_within_the_bound_may_come_in_any_order(
        seconds in prop::collection::vec(5..END, 3..8),
        delays in prop::collection::vec(0..BOUND, 16),
    ) {
        let all = credential(&seconds);
        let (standing, rest) = all.split_at(1);
        let in_time = told_of(standing, &delayed(rest, &[0]));
        let late = told_of(standing, &delayed(rest, &delays));
        // The use that is told is one of several by the same workload: which one, depends on who spoke first.
        let rules = |told: &[Finding]| told.iter().map(|told| told.rule.id.to_string()).collect::<BTreeSet<_>>();
        prop_assert_eq!(rules(&late), rules(&in_time));
        prop_assert!(rules(&in_time).contains("C-FOREIGN"), "the negative control: something is told");
        prop_assert!(late.iter().all(|told| told.late_seconds.is_none()));
    }

    /// Beyond the bound an event is judged all the same, and what is told of it says by how much it came late.
    #[test]
    fn beyond_the_bound_it_is_judged_and_marked(by in 1_i64..5_000) {
        let all = events("task-1", &json!([
            {"event_id": "on time", "at": 10, "tool_call": {"name": "create_api_key"}},
            {"event_id": "far", "at": 10 + by, "tool_call": {"name": "read_ticket"}},
            {"event_id": "behind", "at": 10, "tool_call": {"name": "create_api_key"}},
        ]));
        let told = judge(&mut Analyzer::new(SHARD, options()), &all);
        let late = |event: &str| {
            let of = |told: &&Finding| told.rule.id.as_str() == "E-TOOL" && told.events[0].id.as_str() == event;
            told.iter().find(of).map(|told| told.late_seconds)
        };
        prop_assert_eq!(late("task-1-on time"), Some(None));
        let expected = (by > BOUND).then(|| u64::try_from(by).unwrap());
        prop_assert_eq!(late("task-1-behind"), Some(expected));
    }
}

/// After the bounds of an ended task are gone, a call from before its end is told as after it, late, and says so.
#[test]
fn a_call_whose_bounds_are_gone_says_that_it_came_late() {
    let mut analyzer = Analyzer::new(SHARD, options());
    let of = events(
        "task-1",
        &json!([
            {"event_id": "closed", "type": "task.envelope.closed", "at": 100},
            {"event_id": "behind", "at": 50, "tool_call": {"name": "send_email"}},
            {"event_id": "after", "at": 900, "tool_call": {"name": "read_ticket"}},
        ]),
    );
    let later = events("task-2", &json!([{"event_id": "later", "type": "task.envelope.closed", "at": 900}]));
    for told in [judge(&mut analyzer, &of[..2]), judge(&mut analyzer, &later), judge(&mut analyzer, &of[3..])]
    {
        assert!(told.iter().all(|told| told.late_seconds.is_none()), "{told:#?}");
    }
    let told = judge(&mut analyzer, &of[2..3]);
    let closed = told.iter().find(|told| told.rule.id.as_str() == "E-CLOSED").unwrap();
    assert_eq!(closed.late_seconds, Some(850), "{closed:#?}");
    assert!(closed.reason.contains("so late that its bounds are gone"), "{}", closed.reason);
    assert!(analyzer.coverage().late_beyond_bound == 1 && analyzer.coverage().told_late == 1);
}
