//! The outbox: what it has taken it keeps, and what comes twice counts once.

use crate::support::{SHARD, at, finding, receiver_id};
use ambit_enforcement::{BUILT_IN, DeliveryState, Due, Incoming, Next, Outbox, Policy, Tried};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::AttemptId;
use ambit_schemas::response::{Action, Attempt};
use ambit_schemas::{Body, Outgoing, Record, Shard, Topic, decode};
use std::path::Path;
use std::time::Duration;

fn policy() -> Policy {
    Policy::parse(BUILT_IN, &[receiver_id("chat"), receiver_id("idp")]).unwrap()
}

fn open(dir: &Path) -> Outbox {
    Outbox::open(&dir.join("outbox.sqlite")).unwrap()
}

fn incoming(offset: u64, finding: Finding) -> Incoming {
    Incoming { shard: SHARD, offset, finding: Some(finding) }
}

fn due(outbox: &Outbox, receiver: &str, seconds: i64) -> Vec<Due> {
    outbox.due(&receiver_id(receiver), at(seconds), 100, &[]).unwrap()
}

fn tried(due: &Due, next: Next, seconds: i64) -> Tried {
    let number = due.attempts + 1;
    let attempt = Attempt {
        attempt_id: AttemptId::try_from(format!("att-{number}")).unwrap(),
        delivery_id: due.delivery_id.clone(),
        response_id: due.response_id.clone(),
        finding_id: due.finding.id.clone(),
        receiver: due.receiver.clone(),
        action: due.action,
        number,
        started_at: at(seconds),
        duration_us: 1_000,
        http_status: Some(200),
        error: None,
        next_at: None,
    };
    Tried { due: due.clone(), attempt, next, ended_at: at(seconds), evidence: None }
}

/// The kinds of events that wait to be told.
fn untold(outbox: &Outbox) -> Vec<String> {
    let kind = |outgoing: Outgoing| {
        let record = Record {
            shard: Shard::new(Topic::Responses, 0),
            offset: 0,
            timestamp_us: at(60).micros(),
            key: Some(outgoing.key),
            headers: outgoing.headers,
            value: Some(outgoing.value),
        };
        decode(&record).unwrap().kind().to_string()
    };
    outbox.untold(100).unwrap().into_iter().map(|(_, outgoing)| kind(outgoing)).collect()
}

// INVARIANT E-2
#[test]
fn a_finding_that_comes_twice_is_decided_once_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(dir.path());
    assert!(outbox.is_new().unwrap());
    assert_eq!(outbox.take(&[incoming(4, finding(1))], &policy(), at(0)).unwrap(), 1);
    let first = due(&outbox, "idp", 1);
    assert_eq!((first.len(), first[0].action), (1, Action::RevokeTask));
    drop(outbox);
    let mut outbox = open(dir.path());
    assert_eq!((outbox.is_new().unwrap(), outbox.position(SHARD).unwrap()), (false, Some(5)));
    assert_eq!(outbox.take(&[incoming(9, finding(1))], &policy(), at(5)).unwrap(), 0);
    let again = due(&outbox, "idp", 6);
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].delivery_id, &again[0].body), (&first[0].delivery_id, &first[0].body));
    assert_eq!(outbox.position(SHARD).unwrap(), Some(10));
    assert_eq!(untold(&outbox).iter().filter(|kind| *kind == "response.decided").count(), 1);
}

#[test]
fn each_receiver_has_its_own_delivery_and_revocations_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(dir.path());
    let mut mild = finding(1);
    mild.severity = ambit_schemas::finding::Severity::Low;
    outbox.take(&[incoming(0, mild), incoming(1, finding(2))], &policy(), at(0)).unwrap();
    for receiver in ["idp", "chat"] {
        let actions: Vec<Action> = due(&outbox, receiver, 1).iter().map(|due| due.action).collect();
        assert_eq!(actions, [Action::RevokeTask, Action::Notify], "{receiver}");
    }
    let on_its_way = due(&outbox, "idp", 1)[0].delivery_id.clone();
    let rest = outbox.due(&receiver_id("idp"), at(1), 100, &[on_its_way]).unwrap();
    assert_eq!(rest.len(), 1);
    assert_ne!(due(&outbox, "idp", 1)[0].delivery_id, due(&outbox, "chat", 1)[0].delivery_id);
}

#[test]
fn a_task_is_revoked_once_and_the_budget_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(dir.path());
    let text = "[budget]\nrevocations_per_hour = 2\n[[rule]]\nname = \"end\"\naction = \"revoke_task\"";
    let policy = Policy::parse(text, &[receiver_id("idp")]).unwrap();
    let mut same_task = finding(3);
    same_task.task = finding(1).task;
    // What an agent says of time buys it nothing: the hour is one of the machine's clock.
    let mut says_later = finding(5);
    says_later.time = at(4_000);
    let findings = [finding(1), same_task, finding(4), says_later];
    let incoming: Vec<Incoming> =
        findings.into_iter().zip(0..).map(|(finding, offset)| incoming(offset, finding)).collect();
    outbox.take(&incoming, &policy, at(0)).unwrap();
    outbox.take(&[self::incoming(9, finding(6))], &policy, at(3_601)).unwrap();
    let mut revoked: Vec<String> = due(&outbox, "idp", 3_601)
        .into_iter()
        .filter(|due| due.action.revokes())
        .map(|due| due.finding.task.unwrap().id.to_string())
        .collect();
    revoked.sort();
    assert_eq!(revoked, ["task-1", "task-4", "task-6"], "task-1 once, task-5 beyond the budget of the hour");
}

#[test]
fn tries_are_kept_with_what_follows_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(dir.path());
    outbox.take(&[incoming(0, finding(1))], &policy(), at(0)).unwrap();
    let (idp, chat) = (due(&outbox, "idp", 0).remove(0), due(&outbox, "chat", 0).remove(0));
    outbox
        .record(&[
            tried(&idp, Next::Retry(Duration::from_secs(5)), 1),
            tried(&chat, Next::DeadLetter("gone"), 1),
        ])
        .unwrap();
    assert!(due(&outbox, "idp", 5).is_empty() && due(&outbox, "chat", 1_000).is_empty());
    assert_eq!(outbox.next_due(at(2)).unwrap(), Some(at(6)));
    drop(outbox);
    let mut outbox = open(dir.path());
    let again = due(&outbox, "idp", 6).remove(0);
    assert_eq!(again.attempts, 1);
    outbox.record(&[tried(&again, Next::Acknowledged, 7)]).unwrap();
    assert!(due(&outbox, "idp", 10_000).is_empty());
    assert_eq!(outbox.counts().unwrap(), [("acknowledged".to_owned(), 1), ("dead".to_owned(), 1)]);
    let told = untold(&outbox);
    for (kind, times) in
        [("response.attempted", 3), ("response.acknowledged", 1), ("response.dead_lettered", 1)]
    {
        assert_eq!(told.iter().filter(|told| *told == kind).count(), times, "{told:?}");
    }
    let last = outbox.untold(100).unwrap().last().unwrap().0;
    outbox.told(last);
    assert!(untold(&outbox).is_empty());
    outbox.tidy().unwrap();
}

// INVARIANT Q-2
#[test]
fn a_new_outbox_does_not_send_again_what_came_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(dir.path());
    outbox.take(&[incoming(0, finding(1))], &policy(), at(0)).unwrap();
    let settled = due(&outbox, "idp", 0).remove(0).delivery_id;
    drop(outbox);
    for name in ["outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"] {
        drop(std::fs::remove_file(dir.path().join(name)));
    }
    let mut outbox = open(dir.path());
    outbox.settle(&[(settled, DeliveryState::Acknowledged)]).unwrap();
    outbox.take(&[incoming(0, finding(1))], &policy(), at(0)).unwrap();
    assert!(due(&outbox, "idp", 1).is_empty());
    assert_eq!(due(&outbox, "chat", 1).len(), 1);
}

#[test]
fn a_webhook_says_what_is_asked_for_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = open(dir.path());
    outbox.take(&[incoming(0, finding(1))], &policy(), at(0)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&due(&outbox, "idp", 0)[0].body).unwrap();
    assert_eq!(body["type"], "ambit.response.revoke_task");
    assert_eq!(body["data"]["target"]["root_task_id"], "task-1");
    assert_eq!(body["data"]["target"]["credentials"][0], "jti-19");
    assert_eq!(body["data"]["reason"], finding(1).reason);
    let decided = matches!(decode_first(&outbox), Body::ResponseDecided(decided) if decided.action == Action::RevokeTask);
    assert!(decided);
}

fn decode_first(outbox: &Outbox) -> Body {
    let (_, outgoing) = outbox.untold(1).unwrap().remove(0);
    let record = Record {
        shard: Shard::new(Topic::Responses, 0),
        offset: 0,
        timestamp_us: at(60).micros(),
        key: None,
        headers: outgoing.headers,
        value: Some(outgoing.value),
    };
    decode(&record).unwrap().body
}
