//! Revocations and what people have to say of them, with the program as a user starts it.

use crate::harness::{Ambit, PATIENCE, said};
use crate::oracle::call;
use crate::pipeline::{Receiver, receiver};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_schemas::Outgoing;
use bytes::Bytes;
use serde_json::Value;
use std::time::{Duration, Instant};

const WATCH: &str = "[enforcement.watch]\nconfirm_after_seconds = 3\ngrace_seconds = 1\n";

/// A call with effect, without an envelope: of high severity.
fn pays(number: u32) -> Outgoing {
    let mut outgoing = call(number, &format!("task-{number}"));
    let text = String::from_utf8(outgoing.value.to_vec()).unwrap();
    let paying = text.replace(r#""name":"read_file""#, r#""name":"send_money","activity":"create""#);
    assert_ne!(text, paying);
    outgoing.value = Bytes::from(paying);
    outgoing
}

/// The agent of that call presents a credential in the same task.
fn presents(number: u32, key: &str) -> Outgoing {
    let mut outgoing = call(number, key);
    let headers = outgoing.headers.replaced("ce_type", b"ambit.credential.used.v1");
    outgoing.headers = headers.replaced("ce_id", format!("use-{number}").as_bytes());
    outgoing.value = Bytes::from(format!(
        r#"{{"tenant_uid":"acme","ai_agent":{{"uid":"agent"}},"task":{{"id":"task-{number}","root_id":"task-{number}"}},"credential":{{"uid":"key-{number}","credential_type":"api_key"}}}}"#
    ));
    outgoing
}

/// Who said something, whether anybody knows that, and through what.
fn said_by(event: &Value, word: &str) -> (String, bool, String) {
    let of = &event["data"][word];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&of["author"]), of["author_authenticated"].as_bool().unwrap(), text(&event["source"]))
}

struct World {
    ambit: Ambit,
    receiver: Receiver,
    producer: Producer,
    _dir: tempfile::TempDir,
    _broker: TestBroker,
}

impl World {
    async fn new() -> Self {
        let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
        ensure_topics(&broker.options()).await.unwrap();
        let receiver = receiver(dir.path()).await;
        let config = format!("{WATCH}{}", receiver.config);
        let ambit = Ambit::start(&broker, dir.path(), &config).await;
        let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
        Self { ambit, receiver, producer, _dir: dir, _broker: broker }
    }

    /// What the receiver was asked for of a task: actions and rules.
    fn asked(&self, task: &str) -> Vec<(String, String)> {
        let taken = self.receiver.taken.lock().unwrap();
        let of = taken
            .iter()
            .filter(|one| one.body.data.task.as_ref().is_some_and(|of| of.id.as_str() == task) && !one.again);
        of.map(|one| (one.body.data.action.name().to_owned(), one.body.data.rule_id.to_string())).collect()
    }

    async fn wait_asked(&self, task: &str, action: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.asked(task).iter().any(|(asked, _)| asked == action) {
            assert!(Instant::now() < deadline, "{action}: {:?}\n{}", self.asked(task), self.ambit.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn wait_stored(&self, kind: &str, count: usize) -> Vec<Value> {
        let path = format!("/api/v1/events?kind={kind}&limit=100");
        let found = self.ambit.wait_for(&path, |page| page["items"].as_array().unwrap().len() >= count).await;
        found["items"].as_array().unwrap().clone()
    }

    /// What `ambit respond` says on standard error, and whether it was done.
    fn told(&self, token: Option<&str>, args: &[&str]) -> (bool, String) {
        let mut command = self.ambit.command();
        if let Some(token) = token {
            command.env("AMBIT_TOKEN", token);
        }
        let output = command.arg("respond").args(args).output().unwrap();
        (output.status.success(), said(&output))
    }

    /// Runs `ambit respond`.
    fn respond(&self, args: &[&str]) -> String {
        let output = self.ambit.command().arg("respond").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn end(mut self) {
        self.ambit.stop();
        self.receiver.shutdown.cancel();
        drop(self.receiver.task);
    }
}

/// `kill -9` between acknowledgement and use: the use is found, once, and what follows from it happens once.
#[tokio::test(flavor = "multi_thread")]
async fn faults_a_use_after_a_revocation_is_found_although_the_watcher_was_killed() {
    let mut world = World::new().await;
    world.producer.send(pays(1)).await.unwrap();
    world.wait_asked("task-1", "revoke_task").await;
    world.wait_stored("revocation.delivered", 1).await;
    world.ambit.kill();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    world.producer.send(presents(1, "task-1")).await.unwrap();
    for _ in 0..3 {
        world.ambit.restart().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        world.ambit.kill();
    }
    world.ambit.restart().await;
    world.wait_asked("task-1", "revoke_tree").await;
    let failed = world.wait_stored("revocation.failed", 1).await;
    assert_eq!(failed[0]["data"]["revocation"]["uses"].as_array().unwrap().len(), 1, "{failed:?}");
    let ids: std::collections::BTreeSet<&str> =
        failed.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1, "told again is told with the same id: {failed:?}");
    let asked = world.asked("task-1");
    let times = |action: &str| asked.iter().filter(|(asked, _)| asked == action).count();
    assert_eq!((times("revoke_task"), times("revoke_tree")), (1, 1), "{asked:?}");
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_plan_order_stop_and_resume_from_the_command_line() {
    let world = World::new().await;
    world.respond(&["stop", "--reason", "a rule went wrong"]);
    let stopped = world.wait_stored("response.stopped", 1).await;
    // The API knew by its token who said so, whatever the account is called.
    assert_eq!(said_by(&stopped[0], "switch"), ("console".into(), true, "ambit/api".into()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.producer.send(presents(2, "task-2")).await.unwrap();
    world.producer.send(pays(2)).await.unwrap();
    world.wait_asked("task-2", "notify").await;
    assert!(
        world.asked("task-2").iter().all(|(action, _)| action == "notify"),
        "{:?}",
        world.asked("task-2")
    );
    assert!(world.ambit.metrics().await.contains("ambit_enforcement_stopped 1\n"));
    world.wait_stored("credential.used", 1).await;
    let plan = world.respond(&["plan", "--task", "task-2", "--tenant", "acme"]);
    for words in ["task-2 (running)", "key-2 (api_key, valid", "agents       1"] {
        assert!(plan.contains(words), "{plan}");
    }
    let missing = world.ambit.command().args(["respond", "plan", "--task", "task-9"]).output().unwrap();
    assert!(!missing.status.success() && said(&missing).contains("task-9"), "{}", said(&missing));
    // A person's order goes out although everything automatic stands still.
    let words = ["revoke", "--task", "task-2", "--tenant", "acme", "--as", "sam", "--reason", "enough"];
    let told = world.respond(&words);
    assert!(told.contains("ordered revoke_task as ord-") && told.contains("by console"), "{told}");
    world.wait_asked("task-2", "revoke_task").await;
    assert!(world.asked("task-2").contains(&("revoke_task".into(), "ORDER".into())));
    let confirmed = world.wait_stored("revocation.confirmed", 1).await;
    let target = &confirmed[0]["data"]["revocation"]["target"];
    assert_eq!((&target["task_id"], &target["credentials"][0]), (&"task-2".into(), &"key-2".into()));
    world.respond(&["resume", "--reason", "the rule is repaired"]);
    world.wait_stored("response.resumed", 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.producer.send(pays(3)).await.unwrap();
    world.wait_asked("task-3", "revoke_task").await;
    assert!(world.respond(&["dead", "list"]).contains("there are none"));
    assert!(world.respond(&["pending"]).contains("nothing waits"));
    world.end();
}

/// Through the API the author is whom the token names; past it a name that was given, and the record tells both apart.
#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_can_tell_who_was_known_from_who_said_so() {
    let mut world = World::new().await;
    world.producer.send(pays(4)).await.unwrap();
    world.wait_asked("task-4", "revoke_task").await;
    let token = |role: &str| {
        let output =
            world.ambit.command().args(["token", "create", "--name", role, "--role", role]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (kim, ana) = (token("responder"), token("analyst"));
    // The API looks at the file of tokens every two seconds.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let pause = ["pause", "--task", "task-4", "--tenant", "acme", "--as", "sam", "--reason", "wait"];
    let (done, told) = world.told(Some(&kim), &pause);
    assert!(done && told.contains("by responder") && !told.contains("BREAK GLASS"), "{told}");
    let ordered = world.wait_stored("response.ordered", 1).await;
    assert_eq!(said_by(&ordered[0], "order"), ("responder".into(), true, "ambit/api".into()));
    // Who may not is refused, and nothing is written past the API instead.
    for (token, words) in [(ana.as_str(), "responder or an admin"), ("amb_wrong", "status 401")] {
        let (done, told) = world.told(Some(token), &pause);
        assert!(!done && told.contains(words) && !told.contains("BREAK GLASS"), "{told}");
    }
    let mut broken = pause.to_vec();
    broken.push("--break-glass");
    let (done, told) = world.told(None, &broken);
    assert!(done && told.contains("BREAK GLASS") && told.contains("`sam`"), "{told}");
    let ordered = world.wait_stored("response.ordered", 2).await;
    assert_eq!(ordered.len(), 2, "who was refused has ordered nothing");
    assert_eq!(said_by(&ordered[0], "order"), ("sam".into(), false, "ambit/respond".into()));
    // An API that was named and is not there: nothing is written past it unasked.
    world.ambit.kill();
    let mut elsewhere = pause.to_vec();
    elsewhere.extend(["--url", "http://127.0.0.1:9", "--token", "amb_any"]);
    let (done, told) = world.told(None, &elsewhere);
    assert!(!done && told.contains("--break-glass"), "{told}");
    // The API of this machine does not run: loudly, to Kafka.
    let (done, told) = world.told(None, &pause);
    assert!(done && told.contains("BREAK GLASS: the API of this machine does not run"), "{told}");
    world.ambit.restart().await;
    let ordered = world.wait_stored("response.ordered", 3).await;
    let known = ordered.iter().filter(|event| said_by(event, "order").1).count();
    assert_eq!((ordered.len(), known), (3, 1));
    world.end();
}
