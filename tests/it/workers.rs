//! Several enforcement workers in one group: whichever of them is killed, every finding is delivered at least once, and none
//! under two ids (INVARIANT E-2).

use crate::group::Member;
use crate::harness::Ambit;
use crate::oracle::rounds;
use crate::pipeline::receiver;
use ambit::demo::receiver::Taken;
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{EventId, EventSource, FindingId, TaskId};
use ambit_schemas::{Outgoing, encode};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Kills in the short form.
const KILLS: u32 = 6;
/// Kills in the long form: ten for each of its rounds, and no more than this.
const KILLS_MAX: u32 = 500;
/// Findings between two kills.
const FINDINGS: u32 = 12;
/// How long the last ones may take: a group waits for a member that is dead, and a worker reads what others did.
const PATIENCE: Duration = Duration::from_mins(3);
const POLICY: &str =
    "[budget]\nrevocations_per_hour = 1000000\n[[rule]]\nname = \"end\"\naction = \"revoke_task\"\n";

fn id(number: u32) -> String {
    format!("fnd-{number:032x}")
}

/// A finding of its own task.
fn finding(number: u32) -> Outgoing {
    let golden = include_str!("../../schemas/golden/v1/finding.created.json");
    let whole: Value = serde_json::from_str(golden).unwrap();
    let mut finding: Finding = serde_json::from_value(whole["data"]["finding"].clone()).unwrap();
    finding.id = FindingId::try_from(id(number)).unwrap();
    let task = TaskId::try_from(format!("task-{number}")).unwrap();
    let of = finding.task.as_mut().unwrap();
    (of.id, of.root) = (task.clone(), task);
    let event = Event {
        agent: finding.agent.clone(),
        task: finding.task.clone(),
        ..Event::new(
            EventId::try_from(id(number)).unwrap(),
            EventSource::try_from("ambit/analyzer").unwrap(),
            finding.time,
            finding.tenant.clone(),
            Body::FindingCreated(Box::new(finding)),
        )
    };
    encode(&event).unwrap()
}

/// What came: of each finding the responses that asked for something, and how many webhook ids it came under.
#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    responses: BTreeSet<String>,
    ids: usize,
}

/// By finding. `taken`: finding, response, and whether its webhook id had come before.
fn by_finding(taken: &[(String, String, bool)]) -> BTreeMap<String, Came> {
    let mut came: BTreeMap<String, Came> = BTreeMap::new();
    for (finding, response, again) in taken {
        let of = came.entry(finding.clone()).or_default();
        of.responses.insert(response.clone());
        of.ids += usize::from(!again);
    }
    came
}

/// What is wrong with what came of this many findings.
fn faults(taken: &[(String, String, bool)], sent: u32) -> Vec<String> {
    let came = by_finding(taken);
    let mut faults = Vec::new();
    for number in 0..sent {
        match came.get(&id(number)) {
            None => faults.push(format!("{} never came", id(number))),
            Some(of) if of.ids != 1 || of.responses.len() != 1 => {
                faults.push(format!("{} came as {of:?}", id(number)));
            }
            Some(_) => {}
        }
    }
    faults
}

fn of(taken: &[Taken]) -> Vec<(String, String, bool)> {
    let one = |one: &Taken| {
        (one.body.data.finding_id.to_string(), one.body.data.response_id.to_string(), one.again)
    };
    taken.iter().map(one).collect()
}

async fn killed_all_the_time(broker: TestBroker) {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let receiver = receiver(first.path()).await;
    let policy = first.path().join("policy.toml");
    std::fs::write(&policy, POLICY).unwrap();
    let config = format!("[enforcement]\npolicy_file = \"{}\"\n{}", policy.display(), receiver.config);
    // Each with an outbox of its own.
    let places = [&first, &second].map(|dir| Ambit::configure(&broker, dir.path(), &config));
    let start = |place: usize| Member::start(&places[place], "enforce", "worker", "");
    let mut workers = [Some(start(0)), Some(start(1))];
    let kills = match rounds(0) {
        0 => KILLS,
        rounds => rounds.saturating_mul(10).min(KILLS_MAX),
    };
    let mut sent = 0;
    for kill in 0..kills {
        let mut pending = Vec::new();
        for _ in 0..FINDINGS {
            pending.push(producer.enqueue(finding(sent)).unwrap());
            sent += 1;
        }
        // Now right after they were sent, now while they are decided and delivered, now later.
        tokio::time::sleep(Duration::from_millis(u64::from(kill * 137 % 900))).await;
        let place = usize::from(kill % 3 == 0);
        drop(workers[place].take());
        workers[place] = Some(start(place));
        for one in pending {
            one.await.unwrap();
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let taken = of(&receiver.taken.lock().unwrap());
        if by_finding(&taken).len() >= sent as usize {
            break;
        }
        let faults = faults(&taken, sent);
        let logs = || workers.iter().flatten().map(Member::log).collect::<String>();
        assert!(Instant::now() < deadline, "{faults:?}\n{}", logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What is on its way comes, and nothing under another id.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let taken = of(&receiver.taken.lock().unwrap());
    assert_eq!(faults(&taken, sent), Vec::<String>::new());
    workers.into_iter().flatten().for_each(Member::end);
    receiver.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_killed_workers_deliver_every_finding_under_one_id_embedded() {
    killed_all_the_time(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_killed_workers_deliver_every_finding_under_one_id_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        killed_all_the_time(broker).await;
    }
}

/// Negative control: what would be wrong is found.
#[test]
fn what_is_lost_or_comes_under_two_ids_is_noticed() {
    let one = |number, response: &str, again| (id(number), response.to_owned(), again);
    let good = [one(0, "rsp-0", false), one(0, "rsp-0", true), one(1, "rsp-1", false)];
    assert_eq!(faults(&good, 2), Vec::<String>::new());
    assert_eq!(faults(&good, 3).len(), 1, "lost");
    let two_ids = [one(0, "rsp-0", false), one(0, "rsp-0", false)];
    assert_eq!(faults(&two_ids, 1).len(), 1);
    let two_responses = [one(0, "rsp-0", false), one(0, "rsp-9", true)];
    assert_eq!(faults(&two_responses, 1).len(), 1);
}
