//! The closed loop, on a real broker: acknowledged is not effective (INVARIANT E-2).

use crate::running::{Running, bodies, carrying, now, options};
use crate::support::{Receiver, finding, status};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_enforcement::{Options, RULE_ALIVE, WatchOptions};
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::EventId;
use ambit_schemas::response::{Action, Revocation};
use ambit_schemas::{Topic, encode};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

pub const WATCH: WatchOptions =
    WatchOptions { confirm_after_seconds: 3, grace_seconds: 1, keep_watching_seconds: 3_600 };

/// A finding of now, so that its time is that of the events around it.
pub fn found(number: u32) -> Finding {
    Finding { time: now(), ..finding(number) }
}

/// The agent of a finding presents the credential that it holds.
pub fn uses(finding: &Finding, id: &str) -> Event {
    let credential = json!({"uid": "jti-19", "credential_type": "oauth_access_token"});
    let body = Body::CredentialUsed(serde_json::from_value(credential).unwrap());
    Event { id: EventId::try_from(id).unwrap(), time: now(), body, ..carrying(finding) }
}

pub struct World {
    pub broker: TestBroker,
    pub dir: tempfile::TempDir,
    producer: Producer,
    receiver: Receiver,
}

impl World {
    pub async fn new() -> Self {
        let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
        ensure_topics(&broker.options()).await.unwrap();
        let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
        let receiver = Receiver::start(&[&status("204 No Content", "")]).await;
        Self { broker, dir, producer, receiver }
    }

    pub fn start(&self, policy: &str) -> Running {
        let path = self.dir.path().join("policy.toml");
        std::fs::write(&path, policy).unwrap();
        let options = options(self.dir.path(), &[("idp", &self.receiver.url)]);
        let options = Options { watch: WATCH, policy_file: Some(path), ..options };
        Running::start(&self.broker, self.dir.path(), options)
    }

    pub async fn send(&self, event: &Event) {
        self.producer.send(encode(event).unwrap()).await.unwrap();
    }

    pub fn responses(&self, group: &str, enough: impl Fn(&[Body]) -> bool) -> Vec<Body> {
        tokio::task::block_in_place(|| bodies(&self.broker, Topic::Responses, group, enough))
    }

    /// What the receiver was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        let of = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
        let requests = self.receiver.requests();
        requests.iter().map(|request| of(&request.body)["type"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn confirmed(bodies: &[Body]) -> Vec<&Revocation> {
    bodies
        .iter()
        .filter_map(|body| if let Body::RevocationConfirmed(of) = body { Some(&**of) } else { None })
        .collect()
}

pub fn failed(bodies: &[Body]) -> Vec<&Revocation> {
    bodies
        .iter()
        .filter_map(|body| if let Body::RevocationFailed(of) = body { Some(&**of) } else { None })
        .collect()
}

fn remove_outbox(dir: &Path) {
    for name in ["outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"] {
        drop(std::fs::remove_file(dir.join(name)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_after_which_nothing_is_used_is_confirmed_and_measured() {
    let world = World::new().await;
    let running = world.start("[[rule]]\nname = \"end\"\naction = \"revoke_task\"");
    let finding = found(1);
    // The credential is known to be valid for ten minutes more: the watcher reads from its own start on.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut issued = uses(&finding, "issued");
    let until = now().plus_micros(600_000_000);
    let credential = json!({"uid": "jti-19", "credential_type": "svid_jwt", "expires_at": until});
    issued.body = Body::CredentialIssued(serde_json::from_value(credential).unwrap());
    world.send(&issued).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = Instant::now();
    world.send(&carrying(&finding)).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
    let acknowledged = asked.elapsed();
    running.wait_for("ambit_enforcement_confirmed_total", 1).await;
    assert!(asked.elapsed() >= acknowledged + Duration::from_secs(2), "it was not waited for");
    let told = world.responses("confirmed", |bodies| !confirmed(bodies).is_empty());
    let of = confirmed(&told)[0];
    assert_eq!(of.effective_at, of.acknowledged_at, "no use was on its way");
    assert!(of.evidence.as_ref().unwrap().contains("the stream being idle"), "{of:?}");
    assert!((590..=600).contains(&of.residual_seconds.unwrap()), "{of:?}");
    let measured = running.handle.effectiveness();
    assert_eq!((measured.len(), measured[0].count), (1, 1));
    assert!(measured[0].p99_us < 5_000_000, "{measured:?}");
    assert!(failed(&told).is_empty());
    assert_eq!(world.asked(), ["ambit.response.revoke_task"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_without_effect_is_a_finding_and_asks_for_more_until_people_must() {
    let world = World::new().await;
    let policy = "[escalation]\nrounds = 1\n[[rule]]\nname = \"end\"\naction = \"revoke_task\"";
    let running = world.start(policy);
    let finding = found(1);
    world.send(&carrying(&finding)).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    world.send(&uses(&finding, "use-1")).await;
    running.wait_for("ambit_enforcement_ineffective_total", 1).await;
    // The next stronger, after a finding of its own.
    running.wait_for("ambit_enforcement_acknowledged_total", 2).await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    world.send(&uses(&finding, "use-2")).await;
    running.wait_for("ambit_enforcement_ineffective_total", 2).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 3).await;
    world.send(&uses(&finding, "use-3")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = ["ambit.response.revoke_task", "ambit.response.revoke_tree", "ambit.response.notify"];
    assert_eq!(world.asked(), asked, "one round, then people");
    let told = world.responses("failed", |bodies| failed(bodies).len() >= 2);
    let rounds: Vec<(u32, Option<Action>)> = failed(&told).iter().map(|of| (of.round, of.action)).collect();
    assert_eq!(rounds, [(0, Some(Action::RevokeTask)), (1, Some(Action::RevokeTree))]);
    assert!(failed(&told).iter().all(|of| of.uses.len() == 1 && of.effective_at.is_none()), "{told:?}");
    assert!(confirmed(&told).is_empty());
    let held = told.iter().find_map(|body| match body {
        Body::ResponseDecided(decided) => decided.held_back.clone(),
        _ => None,
    });
    assert_eq!(held.unwrap().reason, "rounds");
    let findings = tokio::task::block_in_place(|| {
        bodies(&world.broker, Topic::Findings, "findings", |bodies| bodies.len() >= 3)
    });
    let alive: Vec<&Finding> = findings
        .iter()
        .filter_map(|body| match body {
            Body::FindingCreated(found) if found.rule.id.as_str() == RULE_ALIVE => Some(&**found),
            _ => None,
        })
        .collect();
    assert_eq!(alive.len(), 2);
    assert!(alive[0].reason.contains("acknowledged by idp and had no effect"), "{}", alive[0].reason);
    running.stop().await;

    // Everything local is lost: nothing is sent, found or judged again.
    remove_outbox(world.dir.path());
    let running = world.start(policy);
    running.wait_for("ambit_enforcement_findings_total", 3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.asked(), asked);
    let counters = running.handle.counters();
    for name in ["ambit_enforcement_ineffective_total", "ambit_enforcement_confirmed_total"] {
        assert!(counters.contains(&(name, 0)), "{counters:?}");
    }
    running.stop().await;
}

/// The process is gone between the acknowledgement and the use: who comes after it reads on from where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_use_while_nobody_watched_is_found_afterwards_also_without_the_outbox() {
    for lost in [false, true] {
        let world = World::new().await;
        let policy = "[escalation]\nrounds = 0\n[[rule]]\nname = \"end\"\naction = \"revoke_task\"";
        let running = world.start(policy);
        let finding = found(1);
        world.send(&carrying(&finding)).await;
        running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
        running.stop().await;
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        world.send(&uses(&finding, "use-1")).await;
        if lost {
            remove_outbox(world.dir.path());
        }
        let running = world.start(policy);
        running.wait_for("ambit_enforcement_ineffective_total", 1).await;
        let told = world.responses("failed", |bodies| !failed(bodies).is_empty());
        assert_eq!(failed(&told).len(), 1);
        assert!(confirmed(&told).is_empty(), "lost: {lost}: {told:?}");
        running.stop().await;
    }
}

/// Confirmed is not for ever: a use afterwards is told as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_revocation_is_watched_on() {
    let world = World::new().await;
    let running = world.start("[escalation]\nrounds = 0\n[[rule]]\nname = \"end\"\naction = \"revoke_task\"");
    let finding = found(1);
    world.send(&carrying(&finding)).await;
    running.wait_for("ambit_enforcement_confirmed_total", 1).await;
    world.send(&uses(&finding, "late")).await;
    running.wait_for("ambit_enforcement_ineffective_total", 1).await;
    running.stop().await;
}
