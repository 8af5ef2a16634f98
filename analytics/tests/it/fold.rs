//! The fold: restarts, repetitions and strangers change nothing (INVARIANTS ).

use crate::scenario::{Case, SHARD, all, judge, options};
use ambit_analytics::{Analyzer, SnapshotError, finding_event};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::EventId;
use ambit_schemas::{Event, Sequenced, encode};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

fn cases() -> Vec<Case> {
    all().into_iter().flat_map(|file| file.case).collect()
}

fn bytes(findings: &[Finding]) -> Vec<Bytes> {
    findings.iter().map(|finding| encode(&finding_event(finding)).unwrap().value).collect()
}

/// Findings without the place of their events, which depends on what else is in the shard.
fn without_places(findings: &[Finding]) -> Vec<Finding> {
    let mut findings = findings.to_vec();
    for event in findings.iter_mut().flat_map(|finding| &mut finding.events) {
        event.offset = 0;
    }
    findings.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    findings
}

#[test]
fn a_restart_between_any_two_events_changes_nothing() {
    for case in cases() {
        let events = case.events("task-1");
        let expected = bytes(&judge(&mut Analyzer::new(SHARD, options()), &events));
        let mut analyzer = Analyzer::new(SHARD, options());
        let mut told = Vec::new();
        for event in &events {
            analyzer = Analyzer::restore(&analyzer.snapshot(), options()).unwrap();
            told.extend(judge(&mut analyzer, std::slice::from_ref(event)));
        }
        assert_eq!(bytes(&told), expected, "{}", case.name);
    }
}

#[test]
fn what_is_sent_twice_is_judged_once() {
    for case in cases() {
        let events = case.events("task-1");
        let twice: Vec<Event> = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
        let once = judge(&mut Analyzer::new(SHARD, options()), &events);
        let told = judge(&mut Analyzer::new(SHARD, options()), &twice);
        assert_eq!(without_places(&told), without_places(&once), "{}", case.name);
    }
}

#[test]
fn a_snapshot_that_was_changed_is_refused() {
    let mut analyzer = Analyzer::new(SHARD, options());
    judge(&mut analyzer, &cases()[0].events("task-1"));
    let good = analyzer.snapshot();
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(Analyzer::restore(&changed, options()).is_err(), "byte {at}");
    }
    assert!(matches!(Analyzer::restore(&good[..20], options()), Err(SnapshotError::Checksum)));
    assert!(matches!(Analyzer::restore(b"something else", options()), Err(SnapshotError::Format)));
    assert_eq!(Analyzer::restore(&good, options()).unwrap().next_offset(), analyzer.next_offset());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Whatever other delegation trees do in between, and wherever the process restarts: a tree's findings are its own.
    #[test]
    fn other_tasks_change_nothing(picks in prop::collection::vec(any::<prop::sample::Index>(), 2..6), order in any::<u64>(), restart_every in 1_usize..9) {
        let cases = cases();
        let lanes: Vec<Vec<Event>> = picks
            .iter()
            .enumerate()
            .map(|(lane, pick)| pick.get(&cases).events(&format!("task-{lane}")))
            .collect();
        let mut alone: Vec<Finding> = Vec::new();
        for lane in &lanes {
            alone.extend(judge(&mut Analyzer::new(SHARD, options()), lane));
        }
        let (mut analyzer, mut told) = (Analyzer::new(SHARD, options()), Vec::new());
        let mut queues: Vec<std::collections::VecDeque<Event>> = lanes.into_iter().map(Into::into).collect();
        let (mut state, mut number) = (order | 1, 0);
        while queues.iter().any(|queue| !queue.is_empty()) {
            // xorshift: any order will do, but the same for the same seed.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let lane = usize::try_from(state % queues.len() as u64).unwrap();
            let Some(event) = queues[lane].pop_front() else { continue };
            if number % restart_every == 0 {
                analyzer = Analyzer::restore(&analyzer.snapshot(), options()).unwrap();
            }
            number += 1;
            let offset = analyzer.next_offset();
            told.extend(analyzer.observe(&Sequenced { shard: SHARD, offset, item: event }));
        }
        prop_assert_eq!(without_places(&told), without_places(&alone));
    }
}

/// Issue, end and a stranger's use of one credential, told in every order: the same findings, of the same ids.
#[test]
fn what_is_said_of_a_credential_does_not_depend_on_who_speaks_first() {
    let case = |name: &str, order: &[&str]| -> Case {
        let credential = json!({"uid": "jti-1", "credential_type": "oauth_access_token"});
        let events: Vec<_> = order
            .iter()
            .map(|kind| match *kind {
                "used" => json!({"type": "credential.used", "at": 9, "credential": credential,
                    "ai_agent": {"uid": "spiffe://evil.example/agent/x"}}),
                "revoked" => json!({"type": "credential.revoked", "at": 5, "credential": credential}),
                _ => json!({"type": "credential.issued", "at": 1, "credential": credential}),
            })
            .collect();
        serde_json::from_value(json!({"name": name, "told": [], "events": events})).unwrap()
    };
    let mut seen = BTreeSet::new();
    for order in [
        ["issued", "revoked", "used"],
        ["issued", "used", "revoked"],
        ["revoked", "issued", "used"],
        ["revoked", "used", "issued"],
        ["used", "issued", "revoked"],
        ["used", "revoked", "issued"],
    ] {
        let mut events = case("any", &order).events("task-1");
        // One use is one event, wherever it stands.
        for (event, kind) in events.iter_mut().skip(1).zip(order) {
            event.id = EventId::try_from(kind).unwrap();
        }
        let told = judge(&mut Analyzer::new(SHARD, options()), &events);
        assert!(told.iter().all(|finding| finding.events[0].id.as_str() == "used"), "{order:?}: {told:#?}");
        let ids: BTreeSet<String> = told.iter().map(|told| format!("{} {}", told.rule.id, told.id)).collect();
        assert_eq!((ids.len(), told.len()), (2, 2), "{order:?}: {told:#?}");
        seen.insert(ids);
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
}

// INVARIANT Q-3
#[test]
fn another_tenant_with_the_same_names_changes_nothing() {
    for case in cases() {
        let events = case.events("task-1");
        let expected = bytes(&judge(&mut Analyzer::new(SHARD, options()), &events));
        let (mut analyzer, mut told) = (Analyzer::new(SHARD, options()), Vec::new());
        for event in &events {
            // The stranger says everything first, and ends the task too.
            let mut stranger = event.clone();
            stranger.tenant = "stranger".try_into().unwrap();
            judge(&mut analyzer, std::slice::from_ref(&stranger));
            told.extend(judge(&mut analyzer, std::slice::from_ref(event)));
        }
        for finding in told.iter_mut().flat_map(|finding| &mut finding.events) {
            finding.offset /= 2;
        }
        assert_eq!(bytes(&told), expected, "{}", case.name);
    }
}

/// All orders of a few things.
fn orders<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = things.split_first() else { return vec![Vec::new()] };
    let put = |order: Vec<T>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, first.clone());
            order
        })
    };
    orders(rest).into_iter().flat_map(put).collect()
}

/// What is told of some events in that order: rule and the event that it is about.
fn told_in_order(events: &[Event]) -> BTreeSet<String> {
    let told = judge(&mut Analyzer::new(SHARD, options()), events);
    told.iter().map(|told| format!("{} {}", told.rule.id, told.events[0].id.as_str())).collect()
}

fn case_of(events: &serde_json::Value) -> Vec<Event> {
    let case = json!({"name": "any order", "told": [], "envelope": {"delegation":
        {"max_depth": 1, "delegates": ["spiffe://acme.example/agent/mail*"]}}, "events": events});
    serde_json::from_value::<Case>(case).unwrap().events("task-1")
}

/// Issue with an expiry, uses by its owner, a stranger and another task, and the revocation, in all 120 orders.
#[test]
fn a_credentials_life_is_judged_the_same_in_every_order() {
    let credential = json!({"uid": "jti-1", "credential_type": "oauth_access_token"});
    let mut issue = credential.clone();
    issue["expires_at"] = json!("2026-11-24T09:00:10Z");
    let child = json!({"id": "@task.1", "root_id": "@task", "parent_id": "@task"});
    let events = case_of(&json!([
        {"event_id": "issued", "type": "credential.issued", "at": 1, "credential": issue},
        {"event_id": "used", "type": "credential.used", "at": 120, "credential": credential},
        {"event_id": "by another", "type": "credential.used", "at": 5, "credential": credential,
            "ai_agent": {"uid": "spiffe://evil.example/agent/x"}},
        {"event_id": "in another task", "type": "credential.used", "at": 4, "credential": credential, "task": child},
        {"event_id": "revoked", "type": "credential.revoked", "at": 60, "credential": credential},
    ]));
    let (opening, rest) = events.split_first().unwrap();
    let in_order = |rest: &Vec<Event>| {
        let events: Vec<Event> = std::iter::once(opening).chain(rest).cloned().collect();
        let told = told_in_order(&events);
        // Which of two uses without an issue came second depends on who spoke first: with the issue told it does not.
        told.into_iter().filter(|told| !told.starts_with("C-REUSE")).collect::<BTreeSet<_>>()
    };
    let all: BTreeSet<_> = orders(rest).iter().map(in_order).collect();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all.first().unwrap().len(), 3, "{all:#?}");
}

/// Calls from before the end of a task and of its parent, delegation and child, in all orders in which they may come.
#[test]
fn what_comes_late_is_judged_as_if_it_had_come_in_time() {
    let mailer = json!({"uid": "spiffe://acme.example/agent/mailer"});
    let child = json!({"id": "@task.1", "root_id": "@task", "parent_id": "@task"});
    let envelope = json!({"task_id": "@task.1", "agent_uid": "spiffe://acme.example/agent/mailer"});
    let events = case_of(&json!([
        {"event_id": "child", "type": "task.envelope.approved", "at": 1, "task": child, "ai_agent": mailer, "envelope": envelope},
        {"event_id": "granted", "type": "delegation.granted", "at": 1, "delegation": {"depth": 1, "child_task_id": "@task.1",
            "delegator": "spiffe://acme.example/agent/support", "delegatee": "spiffe://acme.example/agent/mailer"}},
        {"event_id": "fine", "at": 5, "tool_call": {"name": "send_email"}},
        {"event_id": "not granted", "at": 6, "tool_call": {"name": "create_api_key"}},
        {"event_id": "by the child", "at": 7, "task": child, "ai_agent": mailer, "tool_call": {"name": "send_money"}},
        {"event_id": "closed", "type": "task.envelope.closed", "at": 10},
    ]));
    // The envelopes stand, and the delegation comes before the parent's end is told; all else comes as it likes.
    let (standing, rest) = events.split_at(3);
    let mut all = BTreeSet::new();
    for order in orders(rest) {
        let events: Vec<Event> = standing.iter().cloned().chain(order).collect();
        all.insert(told_in_order(&events));
    }
    let expected = ["E-TOOL task-1-by the child", "E-TOOL task-1-not granted"].map(str::to_owned);
    assert_eq!(all, BTreeSet::from([BTreeSet::from(expected)]));
}
