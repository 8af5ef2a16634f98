//! The customer's rules from folder to finding: put in force, changed while events flow, the same in a replay.

use crate::harness::{Ambit, PATIENCE, program, said};
use ambit_bus::testing::TestBroker;
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

fn rule(id: &str, condition: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nstatus: stable\nlevel: high\nlogsource: {{product: ambit, category: tool_call}}\n\
         detection:\n  selection:\n    kind: tool_call.requested\n    {condition}\n  condition: selection\n"
    )
}

pub(crate) fn simulate(ambit: &Ambit, seed: &str) {
    let arguments = ["simulate", "--seed", seed, "--run", seed, "--attack-every", "9", "--events", "300"];
    let done = ambit.command().args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

/// Waits until so many events of agents are stored, and as many sets of rules as are told.
pub(crate) async fn stored(ambit: &Ambit, events: u64, sets: u64) {
    let is_there = |overview: &Value| {
        let of = |kind: &str| overview["events_by_kind"][kind].as_u64().unwrap_or_default();
        let all: u64 = overview["events_by_kind"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(kind, _)| {
                ["finding.", "response.", "revocation.", "rules.", "query.", "notice."]
                    .iter()
                    .all(|own| !kind.starts_with(own))
            })
            .filter_map(|(_, count)| count.as_u64())
            .sum();
        all >= events && of("rules.activated") >= sets
    };
    ambit.wait_for("/api/v1/overview", is_there).await;
}

pub(crate) fn replay(ambit: &Ambit, more: &[&str]) -> Output {
    ambit.command().arg("replay").args(more).output().unwrap()
}

// INVARIANT A-1
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_put_in_force_changed_and_replayed() {
    let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("a.yml"), rule("one", "tool.name|exists: true")).unwrap();
    let extra = format!("rules_dir = \"{}\"\nrules_every_seconds = 1\n", rules.display());
    let mut ambit = Ambit::start(&broker, dir.path(), &extra).await;
    stored(&ambit, 0, 1).await;
    simulate(&ambit, "1");
    stored(&ambit, 300, 1).await;

    // What cannot be used is told, and changes nothing; what can is put in force beside what flows, also over a crash.
    std::fs::write(rules.join("b.yml"), "title: half\n").unwrap();
    let begun = Instant::now();
    while !ambit.troubles().await.contains("b.yml:1") {
        assert!(begun.elapsed() < PATIENCE, "{}", ambit.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    std::fs::write(rules.join("b.yml"), rule("two", "tool.effect: read")).unwrap();
    ambit.restart().await;
    simulate(&ambit, "2");
    stored(&ambit, 600, 2).await;
    simulate(&ambit, "3");
    stored(&ambit, 900, 2).await;
    ambit.stop();

    let same = replay(&ambit, &[]);
    let text = said(&same);
    assert!(same.status.success() && text.contains("byte for byte"), "{text}");
    assert!(text.contains("R-one") && text.contains("R-two"), "{text}");

    let candidate = dir.path().join("candidate");
    std::fs::create_dir(&candidate).unwrap();
    std::fs::write(candidate.join("c.yml"), rule("three", "tool.name|exists: true")).unwrap();
    let other = replay(&ambit, &["--rules", candidate.to_str().unwrap(), "--may-revoke", "--json"]);
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    let told: Value = serde_json::from_slice(&other.stdout).unwrap();
    let (new, gone) = (&told["rules"]["R-three"], &told["rules"]["R-one"]);
    assert!(new["new"].as_u64().unwrap() > 0 && new["stops"] == new["new"], "{told}");
    assert!(gone["gone"].as_u64().unwrap() > 0 && gone["same"] == 0, "{told}");
}

fn rules_command(command: &str, dir: &Path) -> Output {
    program().arg("rules").arg(command).arg(dir).output().unwrap()
}

#[test]
fn rules_are_checked_and_listed() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules/sigma");
    let checked = rules_command("check", &shipped);
    assert!(
        checked.status.success() && said(&checked).contains("0 errors, 0 warnings"),
        "{}",
        said(&checked)
    );
    let listed = rules_command("list", &shipped);
    assert!(listed.status.success() && said(&listed).contains("temporal_ordered"), "{}", said(&listed));
    let dir = tempfile::tempdir().unwrap();
    let empty = rules_command("check", dir.path());
    assert_eq!(empty.status.code(), Some(1), "{}", said(&empty));
    let wrong = rule("one", "tool.nmae: x");
    std::fs::write(dir.path().join("a.yml"), format!("# one\n---\n{wrong}")).unwrap();
    let refused = rules_command("check", dir.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("a.yml:11: error: `tool.nmae` is no field"), "{}", said(&refused));
    let tests = "ambit.tests:\n  - {event: {type: tool_call.requested}, match: false}\n";
    std::fs::write(dir.path().join("a.yml"), rule("one", "tool.name|exists: true") + tests).unwrap();
    let failed = rules_command("check", dir.path());
    assert_eq!(failed.status.code(), Some(2));
    assert!(said(&failed).contains("R-one: example 1: the rule is not to match"), "{}", said(&failed));
}
