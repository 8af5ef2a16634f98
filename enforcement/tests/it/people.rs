//! What people order, approve and stop, as the outbox takes it from `ambit.responses`.

use crate::support::{SHARD, at, finding, receiver_id, record, said};
use ambit_enforcement::{DeliveryState, Due, Incoming, Next, Outbox, Policy, Tried, WatchOptions};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{AttemptId, PrincipalId, ResponseId};
use ambit_schemas::order::{Order, Redrive, Ruling, Switch};
use ambit_schemas::response::{Action, Attempt, Target};
use ambit_schemas::{Body, Timestamp, decode};
use std::collections::BTreeSet;

const WATCH: WatchOptions =
    WatchOptions { confirm_after_seconds: 60, grace_seconds: 5, keep_watching_seconds: 3_600 };
const SMALL_BUDGET: &str = "[budget]\nrevocations_per_hour = 1\n[approval]\napprovals = 2\n\
    expires_after_seconds = 600\n[[rule]]\nname = \"end\"\naction = \"revoke_task\"";

struct World {
    dir: tempfile::TempDir,
    outbox: Outbox,
    policy: Policy,
    offset: u64,
}

impl World {
    fn new(policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&dir.path().join("outbox.sqlite")).unwrap();
        let policy = Policy::parse(policy, &[receiver_id("idp")]).unwrap();
        Self { dir, outbox, policy, offset: 0 }
    }

    fn find(&mut self, number: u32, second: i64) -> Finding {
        let found = finding(number);
        let incoming = Incoming { shard: SHARD, offset: u64::from(number), finding: Some(found.clone()) };
        self.outbox.take(&[incoming], &self.policy, at(second)).unwrap();
        found
    }

    /// Somebody's words come to stand in `ambit.responses`.
    fn say(&mut self, second: i64, body: Body) {
        let event = said(at(second), body);
        let record = record(&event, self.offset);
        self.offset += 1;
        self.outbox.follow(&[record], &WATCH).unwrap();
    }

    /// What the outbox has to tell comes to stand there too.
    fn echo(&mut self) -> Vec<Body> {
        let untold = self.outbox.untold(1_000).unwrap();
        let mut bodies = Vec::new();
        for (seq, outgoing) in untold {
            let record = crate::support::stored(outgoing, self.offset);
            self.offset += 1;
            bodies.push(decode(&record).unwrap().body);
            self.outbox.follow(&[record], &WATCH).unwrap();
            self.outbox.told(seq);
        }
        bodies
    }

    fn attend(&mut self, second: i64) {
        self.outbox.attend(&BTreeSet::from([SHARD.partition]), &self.policy, at(second)).unwrap();
    }

    fn due(&self, second: i64) -> Vec<Due> {
        self.outbox.due(&receiver_id("idp"), at(second), 100, &[]).unwrap()
    }

    fn actions(&self, second: i64) -> Vec<Action> {
        self.due(second).iter().map(|due| due.action).collect()
    }

    /// Everything local is lost, and read again from what stood in the two topics.
    fn forget(&mut self) {
        let path = self.dir.path().join(format!("again-{}.sqlite", self.offset));
        self.outbox = Outbox::open(&path).unwrap();
    }
}

fn ruling(response: &ResponseId, author: &str) -> Ruling {
    Ruling {
        response_id: response.clone(),
        author: PrincipalId::try_from(author).unwrap(),
        author_authenticated: true,
        reason: None,
    }
}

fn order(id: &str, action: Action, until: Option<Timestamp>) -> Body {
    let finding = finding(1);
    Body::ResponseOrdered(Box::new(Order {
        response_id: ResponseId::try_from(id).unwrap(),
        action,
        target: Target {
            agent_uid: finding.agent.map(|agent| agent.uid),
            task_id: finding.task.as_ref().map(|task| task.id.clone()),
            root_task_id: finding.task.map(|task| task.root),
            credentials: finding.credentials,
        },
        author: PrincipalId::try_from("sam").unwrap(),
        author_authenticated: true,
        reason: "it buys what nobody asked for".into(),
        until,
    }))
}

fn switch() -> Switch {
    Switch {
        author: PrincipalId::try_from("sam").unwrap(),
        author_authenticated: true,
        reason: "a rule went wrong".into(),
    }
}

/// The question that beyond the budget of one is asked of people.
fn question(world: &mut World) -> ResponseId {
    world.find(1, 0);
    world.find(2, 1);
    let asked = world.echo().into_iter().find_map(|body| match body {
        Body::ResponsePending(pending) => Some(*pending),
        _ => None,
    });
    let asked = asked.expect("people are asked");
    assert_eq!((asked.action, asked.reason.as_str(), asked.approvals), (Action::RevokeTask, "budget", 2));
    assert_eq!(world.actions(1), [Action::RevokeTask, Action::Notify], "the second is only told");
    asked.response_id
}

#[test]
fn beyond_the_budget_two_people_must_approve() {
    let mut world = World::new(SMALL_BUDGET);
    let asked = question(&mut world);
    world.say(10, Body::ResponseApproved(Box::new(ruling(&asked, "sam"))));
    world.say(11, Body::ResponseApproved(Box::new(ruling(&asked, "Sam"))));
    let agent = finding(2).agent.unwrap().uid.to_string();
    world.say(12, Body::ResponseApproved(Box::new(ruling(&asked, &agent))));
    world.attend(13);
    assert_eq!(
        world.outbox.question(&asked).unwrap().as_deref(),
        Some("waiting"),
        "one person, and the agent itself"
    );
    world.say(14, Body::ResponseApproved(Box::new(ruling(&asked, "alex"))));
    world.attend(15);
    assert_eq!(world.outbox.question(&asked).unwrap().as_deref(), Some("approved"));
    assert_eq!(world.actions(15), [Action::RevokeTask, Action::RevokeTask, Action::Notify]);
    let decided = world.echo().into_iter().find_map(|body| match body {
        Body::ResponseDecided(decided) => Some(*decided),
        _ => None,
    });
    let authors: Vec<String> = decided.unwrap().authors.iter().map(ToString::to_string).collect();
    assert_eq!(authors, ["sam", "alex"]);
    world.attend(16);
    assert_eq!(world.due(16).len(), 3, "once");
}

#[test]
fn one_no_is_enough_and_silence_lapses() {
    let mut world = World::new(SMALL_BUDGET);
    let asked = question(&mut world);
    for (second, body) in [
        (10, Body::ResponseApproved(Box::new(ruling(&asked, "sam")))),
        (11, Body::ResponseDenied(Box::new(ruling(&asked, "alex")))),
        (12, Body::ResponseApproved(Box::new(ruling(&asked, "kim")))),
    ] {
        world.say(second, body);
    }
    world.attend(13);
    assert_eq!(world.outbox.question(&asked).unwrap().as_deref(), Some("denied"));
    assert_eq!(world.actions(13), [Action::RevokeTask, Action::Notify]);

    let mut world = World::new(SMALL_BUDGET);
    let asked = question(&mut world);
    world.say(10, Body::ResponseApproved(Box::new(ruling(&asked, "sam"))));
    world.attend(600);
    assert_eq!(world.outbox.question(&asked).unwrap().as_deref(), Some("waiting"));
    world.say(602, Body::ResponseApproved(Box::new(ruling(&asked, "alex"))));
    world.attend(603);
    assert_eq!(
        world.outbox.question(&asked).unwrap().as_deref(),
        Some("expired"),
        "the second came too late"
    );
    assert!(world.echo().iter().any(|body| matches!(body, Body::ResponseExpired(_))));
    assert_eq!(world.actions(603), [Action::RevokeTask, Action::Notify]);
}

#[test]
fn an_order_is_carried_out_once_also_when_the_outbox_is_lost() {
    let mut world = World::new(SMALL_BUDGET);
    world.say(0, order("rsp-order", Action::RevokeTree, None));
    assert!(world.due(1).is_empty(), "by whoever owns the partition");
    world.attend(1);
    world.attend(2);
    let due = world.due(2);
    assert_eq!((due.len(), due[0].action, due[0].response_id.as_str()), (1, Action::RevokeTree, "rsp-order"));
    let body: serde_json::Value = serde_json::from_slice(&due[0].body).unwrap();
    assert_eq!(body["data"]["rule_id"], "ORDER");
    assert!(body["data"]["reason"].as_str().unwrap().contains("sam ordered revoke_tree"));
    let told = world.echo();
    assert!(matches!(&told[0], Body::ResponseDecided(decided) if decided.authors.len() == 1));
    // The file is lost after the decision was told and before the delivery: the delivery has the same id.
    world.forget();
    world.say(0, order("rsp-order", Action::RevokeTree, None));
    for body in told {
        world.say(1, body);
    }
    world.attend(5);
    assert_eq!((world.due(5).len(), &world.due(5)[0].delivery_id), (1, &due[0].delivery_id));
    assert!(world.echo().is_empty(), "it is decided already");
}

#[test]
fn a_pause_ends_by_itself_or_when_somebody_lifts_it() {
    let mut world = World::new(SMALL_BUDGET);
    world.say(0, order("rsp-pause", Action::Pause, Some(at(100))));
    world.attend(1);
    assert_eq!(world.actions(1), [Action::Pause]);
    let body: serde_json::Value = serde_json::from_slice(&world.due(1)[0].body).unwrap();
    assert!(body["data"]["until"].is_string(), "{body}");
    world.attend(99);
    assert_eq!(world.actions(99), [Action::Pause]);
    world.attend(101);
    assert_eq!(world.actions(101), [Action::Pause, Action::Restore]);
    world.attend(102);
    assert_eq!(world.due(102).len(), 2, "once");

    let mut world = World::new(SMALL_BUDGET);
    world.say(0, order("rsp-pause", Action::Pause, Some(at(100))));
    world.attend(1);
    world.say(50, order("rsp-lift", Action::Restore, None));
    world.attend(51);
    world.attend(200);
    assert_eq!(world.actions(200), [Action::Pause, Action::Restore], "lifted once");
}

#[test]
fn a_stop_turns_revocation_into_notice_and_holds_what_waits() {
    let mut world = World::new(SMALL_BUDGET);
    world.find(1, 0);
    assert_eq!(world.actions(0), [Action::RevokeTask]);
    world.say(1, Body::ResponsesStopped(switch()));
    assert!(world.outbox.stopped().unwrap().unwrap().contains("sam: a rule went wrong"));
    assert!(world.due(2).is_empty(), "what waits is held");
    world.find(2, 3);
    assert_eq!(world.actions(3), [Action::Notify]);
    let held = world.echo().into_iter().find_map(|body| match body {
        Body::ResponseDecided(decided) => decided.held_back,
        _ => None,
    });
    assert_eq!(held.unwrap().reason, "stop");
    // A person's order goes out all the same.
    world.say(4, order("rsp-order", Action::RevokeTask, None));
    world.attend(5);
    assert_eq!(world.actions(5), [Action::RevokeTask, Action::Notify]);
    world.say(6, Body::ResponsesResumed(switch()));
    assert_eq!(world.outbox.stopped().unwrap(), None);
    assert_eq!(world.due(7).len(), 3);
}

fn give_up(world: &mut World, due: &Due) {
    let attempt = Attempt {
        attempt_id: AttemptId::try_from("att-1").unwrap(),
        delivery_id: due.delivery_id.clone(),
        response_id: due.response_id.clone(),
        finding_id: due.finding.id.clone(),
        receiver: due.receiver.clone(),
        action: due.action,
        number: 1,
        started_at: at(1),
        duration_us: 1_000,
        http_status: Some(403),
        error: None,
        next_at: None,
    };
    let tried = Tried {
        due: due.clone(),
        attempt,
        next: Next::DeadLetter("refused"),
        ended_at: at(1),
        evidence: None,
    };
    world.outbox.record(&[tried]).unwrap();
}

#[test]
fn a_dead_letter_is_delivered_after_all_when_somebody_asks_for_it() {
    let mut world = World::new(SMALL_BUDGET);
    world.find(1, 0);
    let due = world.due(0).remove(0);
    give_up(&mut world, &due);
    world.echo();
    assert!(world.due(10).is_empty());
    let redrive = || {
        Body::DeliveryRedriven(Box::new(Redrive {
            delivery_id: due.delivery_id.clone(),
            author: PrincipalId::try_from("sam").unwrap(),
            author_authenticated: true,
            reason: "the secret was wrong".into(),
        }))
    };
    world.say(11, redrive());
    assert_eq!((world.due(11).len(), world.due(11)[0].attempts), (1, 0));
    assert_eq!(world.due(11)[0].delivery_id, due.delivery_id);
    // What was acknowledged is not sent again, whoever asks.
    world.outbox.settle(&[(due.delivery_id.clone(), DeliveryState::Acknowledged)]).unwrap();
    world.say(12, redrive());
    assert!(world.due(13).is_empty());
}

/// What another worker has decided and delivered, this one does not do again (INVARIANT E-2).
#[test]
fn what_another_worker_did_is_not_done_again() {
    let mut other = World::new(SMALL_BUDGET);
    other.find(1, 0);
    let mut told = other.echo();
    let taken = other.due(0).remove(0);
    let mut world = World::new("[[rule]]\nname = \"tell\"\naction = \"notify\"");
    for body in std::mem::take(&mut told) {
        world.say(1, body);
    }
    world.find(1, 5);
    let due = world.due(5);
    assert_eq!(
        (due.len(), due[0].action),
        (1, Action::RevokeTask),
        "as it was decided, under another policy"
    );
    assert_eq!((&due[0].delivery_id, &due[0].body), (&taken.delivery_id, &taken.body));
    assert!(world.echo().is_empty());
    world.outbox.settle(&[(taken.delivery_id, DeliveryState::Acknowledged)]).unwrap();
    assert!(world.due(6).is_empty());
    // What it revoked counts for the budget here too.
    let mut budget = World::new(SMALL_BUDGET);
    other.find(3, 2);
    other.forget();
    other.find(1, 0);
    for body in other.echo() {
        budget.say(1, body);
    }
    budget.find(2, 2);
    assert_eq!(budget.actions(2), [Action::Notify]);
}
