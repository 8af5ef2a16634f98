//! Whether what was revoked is alive: what events say of it.

use crate::support::{at, finding, receiver_id};
use ambit_enforcement::{Alive, Sight, Watch, WatchOptions};
use ambit_schemas::event::{Body, Credential, Event, ToolCall};
use ambit_schemas::finding::EventRef;
use ambit_schemas::id::{CredentialId, EventId, EventSource, TaskId, TenantId, ToolCallId};
use ambit_schemas::response::{Action, Target};
use ambit_schemas::{Shard, Topic};

pub const OPTIONS: WatchOptions =
    WatchOptions { confirm_after_seconds: 60, grace_seconds: 5, keep_watching_seconds: 3_600 };

/// A revocation of `task-1` that was acknowledged at second 10.
pub fn watch(action: Action) -> Watch {
    let finding = finding(1);
    let task = finding.task.clone().unwrap();
    Watch {
        response_id: "rsp-1".parse().unwrap(),
        finding_id: finding.id.clone(),
        receiver: receiver_id("idp"),
        action,
        tenant: finding.tenant.clone(),
        target: Target {
            agent_uid: finding.agent.as_ref().map(|agent| agent.uid.clone()),
            task_id: Some(task.id.clone()),
            root_task_id: Some(task.root.clone()),
            credentials: finding.credentials.clone(),
        },
        agent: finding.agent.clone(),
        task: finding.task,
        partition: 1,
        decided_at: at(9),
        acked_at: at(10),
        round: 0,
        last_use: None,
        refused: 0,
        valid_until: None,
        asked: Vec::new(),
        until: None,
        shown: None,
    }
}

pub fn event(second: i64, body: Body) -> Event {
    let finding = finding(1);
    Event {
        agent: finding.agent,
        task: finding.task,
        ..Event::new(
            EventId::try_from(format!("e-{second}")).unwrap(),
            EventSource::try_from("gw").unwrap(),
            at(second),
            finding.tenant,
            body,
        )
    }
}

pub fn call(id: &str) -> Box<ToolCall> {
    serde_json::from_value(serde_json::json!({"id": id, "name": "send_money"})).unwrap()
}

pub fn used(uid: &str) -> Box<Credential> {
    serde_json::from_value(serde_json::json!({"uid": uid, "credential_type": "oauth_access_token"})).unwrap()
}

fn place(event: &Event) -> EventRef {
    EventRef {
        source: event.source.clone(),
        id: event.id.clone(),
        shard: Shard::new(Topic::Events, 1),
        offset: 7,
    }
}

/// When it is found alive, in seconds.
pub fn see(watch: &mut Watch, event: &Event) -> Option<i64> {
    let sight = watch.sight(event, None)?;
    watch.take(sight, place(event), &OPTIONS).map(|alive| seconds(&alive))
}

pub fn seconds(alive: &Alive) -> i64 {
    alive.at.micros_since(at(0)) / 1_000_000
}

#[test]
fn a_credential_presented_after_the_grace_is_alive_and_one_on_its_way_moves_the_effect() {
    let mut watch = watch(Action::RevokeTask);
    assert_eq!(
        see(&mut watch, &event(10, Body::CredentialUsed(used("jti-19")))),
        None,
        "with the acknowledgement"
    );
    assert_eq!(watch.effective_at(), at(10));
    assert_eq!(see(&mut watch, &event(14, Body::CredentialUsed(used("jti-19")))), None, "within the grace");
    assert_eq!((watch.effective_at(), watch.ripe_at(&OPTIONS)), (at(14), at(74)));
    assert_eq!(see(&mut watch, &event(16, Body::CredentialUsed(used("jti-19")))), Some(16));
}

#[test]
fn a_call_that_is_refused_is_a_sign_of_effect_and_one_that_is_answered_is_a_use() {
    let mut watch = watch(Action::RevokeTask);
    assert_eq!(see(&mut watch, &event(20, Body::ToolCallRequested(call("a")))), None);
    assert!(!watch.is_settled());
    assert_eq!(see(&mut watch, &event(21, Body::ToolCallDenied(call("a")))), None);
    assert!(watch.is_settled() && watch.refused == 1);
    assert!(watch.evidence(&OPTIONS, false).contains("1 refused"), "{}", watch.evidence(&OPTIONS, false));
    assert_eq!(see(&mut watch, &event(30, Body::ToolCallRequested(call("b")))), None);
    assert_eq!(
        see(&mut watch, &event(31, Body::ToolCallCompleted(call("b")))),
        Some(30),
        "when it was asked for"
    );
    // Neither refused nor answered: a use, once a refusal would have been told.
    assert_eq!(see(&mut watch, &event(40, Body::ToolCallRequested(call("c")))), None);
    assert_eq!(watch.overdue(at(49), &OPTIONS), None);
    assert_eq!(watch.overdue(at(51), &OPTIONS).map(|alive| seconds(&alive)), Some(40));
    assert_eq!(watch.overdue(at(99), &OPTIONS), None, "once");
}

#[test]
fn a_call_that_had_begun_before_is_no_use_when_it_ends_after() {
    let mut watch = watch(Action::RevokeTask);
    let mut long = call("a");
    long.duration_ms = Some(30_000);
    assert_eq!(see(&mut watch, &event(38, Body::ToolCallCompleted(long.clone()))), None, "began at second 8");
    assert_eq!(
        see(&mut watch, &event(39, Body::ToolCallCompleted(call("b")))),
        None,
        "nobody knows when it began"
    );
    assert_eq!(see(&mut watch, &event(46, Body::ToolCallCompleted(long))), Some(16));
    assert_eq!(
        see(&mut watch, &event(76, Body::ToolCallCompleted(call("b")))),
        Some(16),
        "no call lasts longer"
    );
    let mut failed = call("c");
    failed.is_error = true;
    assert_eq!(see(&mut watch, &event(99, Body::ToolCallCompleted(failed))), None, "it had no success");
}

#[test]
fn a_clock_that_is_ahead_does_not_make_a_revocation_fail() {
    let mut watch = watch(Action::RevokeTask);
    let ahead = event(300, Body::CredentialUsed(used("jti-19")));
    let sight = watch.sight(&ahead, Some(at(9))).unwrap();
    assert_eq!(sight, Sight::Use(at(9)), "Kafka had it before the acknowledgement");
    assert_eq!(watch.take(sight, place(&ahead), &OPTIONS), None);
    let sight = watch.sight(&ahead, Some(at(20))).unwrap();
    assert_eq!(sight, Sight::Use(at(20)));
}

#[test]
fn what_counts_depends_on_what_was_revoked() {
    use Action::{RevokeCredential, RevokeTask, RevokeTree};
    let elsewhere = |mut event: Event, task: &str, root: &str| {
        let of = event.task.as_mut().unwrap();
        (of.id, of.root) = (TaskId::try_from(task).unwrap(), TaskId::try_from(root).unwrap());
        event
    };
    let other_agent = |mut event: Event| {
        event.agent.as_mut().unwrap().uid = "spiffe://acme.example/agent/other".parse().unwrap();
        event
    };
    let calls = || event(20, Body::ToolCallRequested(call("a")));
    let presents = |mut event: Event, uid: &str| {
        event.credential_used = Some(CredentialId::try_from(uid).unwrap());
        event
    };
    let seen = |action: Action, event: &Event| watch(action).sight(event, None).is_some();
    for (event, credential, task, tree) in [
        (calls(), false, true, true),
        (presents(calls(), "jti-19"), true, true, true),
        (presents(calls(), "jti-20"), false, true, true),
        (other_agent(calls()), false, true, true),
        (elsewhere(calls(), "task-2", "task-1"), false, false, true),
        (elsewhere(calls(), "task-2", "task-2"), false, false, false),
        (presents(elsewhere(calls(), "task-2", "task-2"), "jti-19"), true, true, true),
        (elsewhere(event(20, Body::CredentialUsed(used("jti-19"))), "task-2", "task-2"), true, true, true),
        (elsewhere(event(20, Body::CredentialUsed(used("jti-20"))), "task-2", "task-2"), false, false, false),
    ] {
        let found = (seen(RevokeCredential, &event), seen(RevokeTask, &event), seen(RevokeTree, &event));
        assert_eq!(found, (credential, task, tree), "{event:?}");
    }
    // INVARIANT Q-3
    let mut other = presents(calls(), "jti-19");
    other.tenant = TenantId::try_from("other").unwrap();
    assert!(!seen(RevokeTree, &other));
    // An agent without a task: whatever it does, anywhere.
    let mut agent = watch(RevokeCredential);
    (agent.target.task_id, agent.target.root_task_id) = (None, None);
    agent.target.credentials.clear();
    assert!(agent.sight(&elsewhere(calls(), "task-9", "task-9"), None).is_some());
    assert!(agent.sight(&other_agent(calls()), None).is_none());
}

#[test]
fn calls_that_wait_are_bounded() {
    let mut watch = watch(Action::RevokeTask);
    for number in 0..1_000 {
        let call = ToolCallId::try_from(format!("c-{number}")).unwrap();
        let event = event(20, Body::ToolCallRequested(self::call("x")));
        assert_eq!(watch.take(Sight::Asked(&call, at(20)), place(&event), &OPTIONS), None);
    }
    assert!(watch.asked.len() < 100);
}

#[test]
fn residual_exposure_is_what_a_credential_outlives_its_revocation() {
    let mut watch = watch(Action::RevokeTask);
    assert_eq!((watch.residual_seconds(), watch.ends_at(&OPTIONS)), (None, at(3_610)));
    watch.valid_until = Some(at(310));
    assert_eq!((watch.residual_seconds(), watch.ends_at(&OPTIONS)), (Some(300), at(310)));
    watch.valid_until = Some(at(5));
    assert_eq!(
        (watch.residual_seconds(), watch.ends_at(&OPTIONS)),
        (None, at(70)),
        "never shorter than the watch"
    );
}
