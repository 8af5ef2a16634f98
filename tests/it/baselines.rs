//! From stored events to a baseline, by a human's hand into every shard, and back out of a replay.

use crate::harness::{Ambit, said};
use ambit::simulate::now;
use ambit_bus::testing::TestBroker;
use ambit_bus::{KafkaOptions, ensure_topics};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;

fn baseline(ambit: &Ambit, args: &[&str]) -> Output {
    ambit.command().arg("baseline").args(args).output().unwrap()
}

/// Plays tasks without attacks, and waits until all their events are stored.
async fn play(ambit: &Ambit, seed: &str, all: u64) {
    let args = ["simulate", "--attack-every", "0", "--events", "1200", "--seed", seed, "--run", seed];
    let played = ambit.command().args(args).output().unwrap();
    assert!(played.status.success(), "{}", said(&played));
    let events = |overview: &Value| {
        let kinds = overview["events_by_kind"].as_object().unwrap().iter();
        let of_agents =
            kinds.filter(|(kind, _)| !kind.starts_with("finding") && !kind.starts_with("response"));
        of_agents.map(|(_, count)| count.as_u64().unwrap()).sum::<u64>()
    };
    ambit.wait_for("/api/v1/overview", |overview| events(overview) >= all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_built_approved_into_every_shard_compared_and_replayed() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    ensure_topics(&broker.options()).await.unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let none = baseline(&ambit, &["show"]);
    assert!(said(&none).contains("no baseline was approved yet"), "{}", said(&none));
    play(&ambit, "11", 1_200).await;

    let (from, to) = (now().plus_micros(-3_600_000_000), now().plus_micros(86_400_000_000));
    let (from, to) = (from.to_string(), to.to_string());
    let out = dir.path().join("drafts");
    let out = out.to_str().unwrap();
    let built = baseline(&ambit, &["build", "--from", &from, "--to", &to, "--min-tasks", "10", "--out", out]);
    assert!(built.status.success(), "{}", said(&built));
    let mut drafts: Vec<PathBuf> =
        std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
    drafts.sort();
    assert!(drafts.len() >= 6, "{}", said(&built));
    let text = std::fs::read_to_string(&drafts[0]).unwrap();
    let draft: Value = serde_json::from_str(&text).unwrap();
    assert!(draft["tasks"].as_u64().unwrap() >= 10 && draft.get("approved_by").is_none(), "{text}");
    assert!(draft["measures"]["calls"]["mean"].as_f64().unwrap() > 0.0, "{text}");

    let paths: Vec<&str> = drafts.iter().map(|path| path.to_str().unwrap()).collect();
    let approved = baseline(&ambit, &[&["approve", "--author", "emma"], &paths[..]].concat());
    assert!(approved.status.success(), "{}", said(&approved));
    let copies = drafts.len() as u64 * u64::from(KafkaOptions::default().partitions);
    ambit
        .wait_for("/api/v1/overview", |overview| overview["events_by_kind"]["baseline.approved"] == copies)
        .await;
    let shown = said(&baseline(&ambit, &["show"]));
    assert_eq!(
        shown.lines().filter(|line| line.contains("approved by emma")).count(),
        drafts.len(),
        "{shown}"
    );

    // The next version is a draft that follows the first. One that allows more is named, and not approved by mistake.
    let built = baseline(&ambit, &["build", "--from", &from, "--to", &to, "--min-tasks", "10", "--out", out]);
    assert!(built.status.success(), "{}", said(&built));
    let second = PathBuf::from(paths[0].replace(".v1.", ".v2."));
    let mut wider: Value = serde_json::from_str(&std::fs::read_to_string(&second).unwrap()).unwrap();
    assert_eq!((&wider["version"], wider["previous"].as_str().unwrap().len()), (&Value::from(2), 64));
    let level = &mut wider["measures"]["calls"];
    level["per"] = (level["per"].as_f64().unwrap() * 10.0).into();
    std::fs::write(&second, wider.to_string()).unwrap();
    let second = second.to_str().unwrap();
    let told = said(&baseline(&ambit, &["diff", second]));
    assert!(told.contains("since version 1: Calls"), "{told}");
    let refused = baseline(&ambit, &["approve", "--author", "emma", second]);
    assert!(!refused.status.success() && said(&refused).contains("--accept-drift"), "{}", said(&refused));
    let accepted = baseline(&ambit, &["approve", "--author", "emma", "--accept-drift", second]);
    assert!(accepted.status.success(), "{}", said(&accepted));

    // INVARIANT A-1: what was known live is known to the replay.
    play(&ambit, "12", 2_400 + copies).await;
    ambit.stop();
    let replayed = ambit.command().arg("replay").output().unwrap();
    assert!(said(&replayed).contains("byte for byte"), "{}", said(&replayed));
}
