//! From agents' actions to acknowledged revocations, on both brokers, with the program as a user starts it.

use crate::harness::{Ambit, PATIENCE, said};
use ambit::demo::receiver;
use ambit_analytics::{Analyzer, Options, finding_event};
use ambit_bus::testing::TestBroker;
use ambit_schemas::columns::record_at;
use ambit_schemas::{Sequenced, Shard, Topic, decode, encode};
use ambit_store::Store;
use base64::Engine as _;
use futures::StreamExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const EVENTS: u64 = 900;

/// A receiver of webhooks with its part of the configuration.
pub struct Receiver {
    pub config: String,
    pub taken: Arc<Mutex<Vec<receiver::Taken>>>,
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinSet<anyhow::Result<()>>,
}

pub async fn receiver(dir: &Path) -> Receiver {
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode([5; 32]));
    let path = dir.join("secret");
    std::fs::write(&path, &secret).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let config = format!(
        "[[enforcement.receivers]]\nid = \"idp\"\nurl = \"http://{}/hooks/ambit\"\nallow_private = true\n\
         secrets = [{{ file = \"{}\" }}]\n",
        listener.local_addr().unwrap(),
        path.display()
    );
    let (taken, shutdown) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
    let (sender, mut revoked) = mpsc::channel(64);
    let mut task = tokio::task::JoinSet::new();
    let (told, stop) = (Arc::clone(&taken), shutdown.clone());
    task.spawn(async move {
        let tell = move |one: &receiver::Taken| told.lock().unwrap().push(one.clone());
        receiver::run(listener, &secret, sender, tell, stop).await
    });
    task.spawn(async move {
        while revoked.recv().await.is_some() {}
        Ok(())
    });
    Receiver { config, taken, shutdown, task }
}

async fn whole_story(broker: TestBroker) {
    let dir = tempfile::tempdir().unwrap();
    let receiver = receiver(dir.path()).await;
    let mut ambit = Ambit::start(&broker, dir.path(), &receiver.config).await;
    let truth = dir.path().join("truth");
    let simulated = ambit
        .command()
        .args([
            "simulate",
            "--seed",
            "3",
            "--run",
            "it",
            "--attack-every",
            "5",
            "--events",
            &EVENTS.to_string(),
        ])
        .arg("--truth")
        .arg(&truth)
        .output()
        .unwrap();
    assert!(simulated.status.success(), "{}", said(&simulated));
    let attacks: Vec<Value> = std::fs::read_to_string(&truth)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(attacks.len() >= 5, "{attacks:?}");

    // All events are stored and every response has come to its end.
    let stored = |overview: &Value| {
        let kinds = overview["events_by_kind"].as_object().unwrap();
        let of = |prefix: &str| -> u64 {
            kinds
                .iter()
                .filter(|(kind, _)| kind.starts_with(prefix))
                .map(|(_, count)| count.as_u64().unwrap())
                .sum()
        };
        let own = of("finding.") + of("response.") + of("revocation.");
        let decided = overview["responses"]["decided"].as_u64().unwrap();
        let found = kinds.get("finding.created").and_then(Value::as_u64).unwrap_or_default();
        overview["events"].as_u64().unwrap() - own == EVENTS
            && found > 0
            && decided == found
            && overview["responses"]["acknowledged"].as_u64().unwrap() == decided
    };
    ambit.wait_for("/api/v1/overview", stored).await;
    check_attacks(&ambit, &attacks, &receiver).await;
    let before = ambit.get("/api/v1/overview").await;
    ambit.stop();
    let verified = ambit.command().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
    let found = ambit
        .command()
        .args(["search", "--kind", "finding.created", "--limit", "500", "--json"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&found.stdout).lines().count() >= attacks.len(), "{}", said(&found));
    a_task_is_found_with_and_without_those_below(&ambit);
    replay_gives_the_findings_that_were_given(&ambit.dir.join("data")).await;
    let replayed = ambit.command().arg("replay").output().unwrap();
    assert!(replayed.status.success(), "{}", said(&replayed));
    assert!(said(&replayed).contains("byte for byte"), "{}", said(&replayed));

    // A second start continues where the first stopped: nothing comes twice.
    ambit.restart().await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let after = ambit.get("/api/v1/overview").await;
    assert_eq!(after["events_by_kind"], before["events_by_kind"]);
    ambit.stop();
    receiver.shutdown.cancel();
    drop(receiver.task);
}

/// `--task` takes a root task with all below it, and also a task below one.
fn a_task_is_found_with_and_without_those_below(ambit: &Ambit) {
    let search = |args: &[&str]| -> Vec<Value> {
        let mut command = ambit.command();
        let found = command.args(["search", "--json", "--limit", "500"]).args(args).output().unwrap();
        assert!(found.status.success(), "{}", said(&found));
        let lines = String::from_utf8_lossy(&found.stdout);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = search(&["--kind", "tool_call.requested"]);
    let child = all.iter().find(|event| !event["task"].is_null() && event["task"] != event["root_task"]);
    let child = child.expect("the simulated fleet delegates");
    let (task, root) = (child["task"].as_str().unwrap(), child["root_task"].as_str().unwrap());
    let (of_task, of_root) = (search(&["--task", task]), search(&["--task", root]));
    assert!(!of_task.is_empty() && of_task.iter().all(|event| event["task"] == task));
    assert!(of_root.len() > of_task.len() && of_root.iter().all(|event| event["root_task"] == root));
    assert!(
        of_root.iter().any(|event| event["task"] == task)
            && of_root.iter().any(|event| event["task"] == root)
    );
}

async fn check_attacks(ambit: &Ambit, attacks: &[Value], receiver: &Receiver) {
    let deadline = Instant::now() + PATIENCE;
    for attack in attacks {
        let root = attack["root_task"].as_str().unwrap();
        let chain = ambit.get(&format!("/api/v1/tasks/{root}/chain")).await;
        let rules: BTreeSet<&str> = chain["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|view| view["finding"]["rule"]["id"].as_str().unwrap())
            .collect();
        let expected = attack["rules"].as_array().unwrap();
        let hit = expected.iter().any(|rule| rules.contains(rule.as_str().unwrap()));
        assert!(hit, "{attack} was told as {rules:?}");
        assert!(!chain["purpose"].as_str().unwrap().is_empty());
        assert!(!chain["edges"].as_array().unwrap().is_empty());
        // The call that completed the breach is proved, up to a signed checkpoint.
        let id = attack["event_id"].as_str().unwrap();
        let events = ambit.get(&format!("/api/v1/events?root_task={root}&limit=500")).await;
        let event = events["items"].as_array().unwrap().iter().find(|event| event["id"] == id).unwrap();
        let detail = ambit
            .wait_for(&format!("/api/v1/events/{}", event["ref"].as_str().unwrap()), |detail| {
                !detail["proof"].is_null()
            })
            .await;
        assert_eq!(detail["proof"]["verified"], true);
        assert!(Instant::now() < deadline);
        let taken = receiver.taken.lock().unwrap();
        let revoked = taken.iter().any(|one| {
            let root_task = one.body.data.target.root_task_id.as_ref();
            one.body.data.action.revokes() && root_task.is_some_and(|task| task.as_str() == root)
        });
        assert!(revoked, "no webhook revoked {root}: {attack}");
    }
    let taken = receiver.taken.lock().unwrap();
    // Good agents were left alone.
    let bad: BTreeSet<&str> = attacks.iter().map(|attack| attack["root_task"].as_str().unwrap()).collect();
    for one in taken.iter() {
        let root = one.body.data.target.root_task_id.as_ref().unwrap();
        assert!(bad.contains(root.as_str()), "{root} was innocent: {}", one.body.data.reason);
    }
}

// INVARIANT A-1
async fn replay_gives_the_findings_that_were_given(data: &Path) {
    let store = Store::open(ambit_store::Options::durable(data.join("store"))).await.unwrap();
    let approver = ambit::keys::approver_key(&data.join("keys/approver.pem")).unwrap();
    let options = Arc::new(Options { approver_keys: vec![approver.verifying_key()], ..Options::default() });
    let (mut replayed, mut given) = (BTreeMap::new(), BTreeMap::new());
    for partition in 0..4 {
        let shard = Shard::new(Topic::Events, partition);
        let mut analyzer = Analyzer::new(shard, Arc::clone(&options));
        let mut rows = std::pin::pin!(store.scan(shard, 0));
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let record = record_at(&batch, row).unwrap().record;
                let event = Sequenced { shard, offset: record.offset, item: decode(&record).unwrap() };
                // A restart in the middle changes nothing.
                if record.offset % 50 == 7 {
                    analyzer = Analyzer::restore(&analyzer.snapshot(), Arc::clone(&options)).unwrap();
                }
                for finding in analyzer.observe(&event) {
                    let outgoing = encode(&finding_event(&finding)).unwrap();
                    replayed.insert(finding.id.to_string(), (outgoing.value, outgoing.headers));
                }
            }
        }
        let mut rows = std::pin::pin!(store.scan(Shard::new(Topic::Findings, partition), 0));
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let record = record_at(&batch, row).unwrap().record;
                let id = decode(&record).unwrap().id.to_string();
                given.insert(id, (record.value.unwrap(), record.headers));
            }
        }
    }
    assert!(!given.is_empty());
    assert_eq!(replayed, given, "byte for byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_are_stored_judged_and_revoked_embedded() {
    whole_story(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_are_stored_judged_and_revoked_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        whole_story(broker).await;
    }
}
