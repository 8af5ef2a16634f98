//! Pauses are watched like revocations, until they are over.

use crate::alive::{OPTIONS, call, event, seconds, see, used, watch};
use crate::closed_loop::{World, confirmed, failed, found, uses};
use crate::running::{bodies, carrying, now};
use crate::support::at;
use ambit_enforcement::{RULE_ALIVE, Watch};
use ambit_schemas::Topic;
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::EventId;
use ambit_schemas::order::Order;
use ambit_schemas::response::{Action, Target};
use std::time::{Duration, Instant};

const POLICY: &str = "[escalation]\nrounds = 1\n[[rule]]\nname = \"wait\"\naction = \"pause\"\n\
    pause_seconds = 3600\n";

/// A pause of `task-1` that was acknowledged at second 10.
fn pause(until: Option<i64>) -> Watch {
    Watch { until: until.map(at), ..watch(Action::Pause) }
}

#[test]
fn a_use_in_a_pause_counts_once_a_restore_would_have_been_heard_of() {
    let mut watch = pause(None);
    assert_eq!(see(&mut watch, &event(14, Body::CredentialUsed(used("jti-19")))), None, "within the grace");
    assert_eq!(see(&mut watch, &event(16, Body::CredentialUsed(used("jti-19")))), None);
    assert!(!watch.is_settled());
    assert_eq!(watch.overdue(at(26), &OPTIONS), None);
    assert_eq!(watch.overdue(at(27), &OPTIONS).map(|alive| seconds(&alive)), Some(16));
    assert!(watch.is_settled());
    // Word of a restore at second 15 came in time.
    assert_eq!(see(&mut watch, &event(16, Body::CredentialUsed(used("jti-19")))), None);
    watch.until = Some(at(15));
    assert_eq!(watch.overdue(at(99), &OPTIONS), None);
}

#[test]
fn calls_in_a_pause_are_uses_and_after_it_are_none() {
    let mut watch = pause(Some(100));
    assert_eq!(see(&mut watch, &event(50, Body::ToolCallRequested(call("a")))), None);
    assert_eq!(see(&mut watch, &event(51, Body::ToolCallDenied(call("a")))), None);
    assert!(watch.is_settled() && watch.refused == 1, "it was stopped");
    assert_eq!(see(&mut watch, &event(101, Body::ToolCallRequested(call("b")))), None);
    assert_eq!(see(&mut watch, &event(102, Body::ToolCallCompleted(call("b")))), None);
    assert_eq!(watch.overdue(at(200), &OPTIONS), None, "the pause is over");
    assert_eq!(see(&mut watch, &event(98, Body::ToolCallRequested(call("c")))), None);
    assert_eq!(see(&mut watch, &event(99, Body::ToolCallCompleted(call("c")))), None);
    assert_eq!(watch.overdue(at(200), &OPTIONS).map(|alive| seconds(&alive)), Some(98));
}

#[test]
fn a_pause_stops_an_agent_and_ends_no_credential() {
    let watch = pause(None);
    let seen = |event: &Event| watch.sight(event, None).is_some();
    let mut other = event(20, Body::CredentialUsed(used("jti-19")));
    assert!(seen(&other));
    other.agent.as_mut().unwrap().uid = "spiffe://acme.example/agent/other".parse().unwrap();
    assert!(!seen(&other), "who is not paused may use what it holds");
    let mut elsewhere = event(20, Body::ToolCallRequested(call("a")));
    elsewhere.task.as_mut().unwrap().id = "task-2".parse().unwrap();
    assert!(!seen(&elsewhere), "paused in one task");
    // Without an agent it is the whole task that is paused.
    let mut whole = pause(None);
    whole.target.agent_uid = None;
    assert!(whole.sight(&other, None).is_some() && whole.sight(&elsewhere, None).is_none());
}

#[test]
fn a_short_pause_is_judged_when_it_is_over() {
    let short = pause(Some(30));
    assert_eq!((short.ripe_at(&OPTIONS), short.ends_at(&OPTIONS)), (at(30), at(30)));
    assert_eq!(short.evidence(&OPTIONS, false), "no use until the pause was over");
    let long = pause(Some(500));
    assert_eq!((long.ripe_at(&OPTIONS), long.ends_at(&OPTIONS)), (at(70), at(500)));
    assert_eq!(long.evidence(&OPTIONS, false), "no use in 60 s of stream time");
    assert_eq!(long.residual_seconds(), None);
}

async fn wait_asked(world: &World, what: &[&str]) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while world.asked() != what {
        assert!(Instant::now() < deadline, "{:?}", world.asked());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_acts_although_it_is_paused_is_a_finding_and_asks_for_more() {
    let world = World::new().await;
    let running = world.start(POLICY);
    let finding = found(1);
    world.send(&carrying(&finding)).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    world.send(&uses(&finding, "use-1")).await;
    running.wait_for("ambit_enforcement_ineffective_total", 1).await;
    wait_asked(&world, &["ambit.response.pause", "ambit.response.revoke_credential"]).await;
    let told = world.responses("failed", |bodies| !failed(bodies).is_empty());
    let of = failed(&told)[0];
    assert_eq!((of.action, of.uses.len(), of.until.is_some()), (Some(Action::Pause), 1, true));
    let findings = tokio::task::block_in_place(|| {
        bodies(&world.broker, Topic::Findings, "findings", |bodies| bodies.len() >= 2)
    });
    let alive: Vec<&Finding> = findings
        .iter()
        .filter_map(|body| match body {
            Body::FindingCreated(found) if found.rule.id.as_str() == RULE_ALIVE => Some(&**found),
            _ => None,
        })
        .collect();
    assert_eq!(alive.len(), 1);
    assert!(alive[0].reason.starts_with("pause was acknowledged by idp and had no effect"), "{:?}", alive[0]);
    running.stop().await;
}

/// The same use, but somebody had let the agent go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_acts_after_it_was_restored_is_no_finding() {
    let world = World::new().await;
    let running = world.start(POLICY);
    let finding = found(1);
    world.send(&carrying(&finding)).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    let order = Order {
        response_id: "ord-1".parse().unwrap(),
        action: Action::Restore,
        target: Target {
            agent_uid: finding.agent.as_ref().map(|agent| agent.uid.clone()),
            task_id: finding.task.as_ref().map(|task| task.id.clone()),
            ..Target::default()
        },
        author: "sam".parse().unwrap(),
        author_authenticated: true,
        reason: "it was a mistake".into(),
        until: None,
    };
    let body = Body::ResponseOrdered(Box::new(order));
    world
        .send(&Event { id: EventId::try_from("order-1").unwrap(), time: now(), body, ..carrying(&finding) })
        .await;
    let asked = ["ambit.response.pause", "ambit.response.restore"];
    wait_asked(&world, &asked).await;
    world.send(&uses(&finding, "use-1")).await;
    running.wait_for("ambit_enforcement_confirmed_total", 1).await;
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert!(running.handle.counters().contains(&("ambit_enforcement_ineffective_total", 0)));
    assert_eq!(world.asked(), asked);
    let told = world.responses("confirmed", |bodies| !confirmed(bodies).is_empty());
    assert_eq!(confirmed(&told)[0].evidence.as_deref(), Some("no use until the pause was over"));
    assert!(failed(&told).is_empty());
    // What becomes of a pause is no time to effective revocation.
    assert!(running.handle.effectiveness().is_empty());
    running.stop().await;
}
