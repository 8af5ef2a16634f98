//! Baselines made of tasks, compared with each other and with tasks.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::similar_names,
    reason = "small numbers of a test"
)]

use super::watch::{Drift, key};
use super::*;
use crate::target::TargetKind;
use ambit_schemas::Timestamp;
use ambit_schemas::baseline::{Baseline, Measure, SignedBaseline};
use ambit_schemas::limits::BASELINE_TOOLS_MAX;
use ed25519_dalek::SigningKey;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const START_US: i64 = 1_795_510_800_000_000;
const HOUR_US: i64 = 3_600_000_000;

fn task(number: u32, agent: &str, calls: u32, reached: &[(&str, bool)]) -> Finished {
    let at = Timestamp::from_micros(START_US + i64::from(number) * HOUR_US);
    let mut episode = Episode::default();
    for call in 0..calls {
        let tool = if call == 0 { "send" } else { "read" };
        episode.call(tool, tool == "read", at.plus_micros(i64::from(call) * 1_000_000));
    }
    for (value, told) in reached {
        let (value, thing) = ((*value).to_owned(), Thing::Target(TargetKind::Host));
        episode.reach(Reached { thing, told: *told, value });
    }
    Finished {
        tenant: "acme".try_into().unwrap(),
        blueprint: "support@1".try_into().unwrap(),
        agent: agent.try_into().unwrap(),
        task: format!("task-{number}").try_into().unwrap(),
        purpose: "answer ticket of".into(),
        at,
        episode,
    }
}

fn baselines(tasks: impl IntoIterator<Item = Finished>, false_alerts_per_day: f64) -> Vec<Baseline> {
    let mut builder = Builder::default();
    for task in tasks {
        builder.add(task);
    }
    let from = Timestamp::from_micros(START_US);
    let settings = Settings {
        from,
        to: from.plus_micros(30 * 24 * HOUR_US),
        confidence: 0.999,
        false_alerts_per_day,
        tasks_min: 20,
    };
    builder.drafts(&settings)
}

fn baseline(tasks: impl IntoIterator<Item = Finished>) -> Baseline {
    baselines(tasks, 0.1).into_iter().find(|draft| draft.purpose.is_some()).unwrap()
}

fn whole(tasks: impl IntoIterator<Item = Finished>) -> Baseline {
    baselines(tasks, 0.1).into_iter().find(|draft| draft.purpose.is_none()).unwrap()
}

/// A task of three calls, give or take one.
fn usual(number: u32, rng: &mut SmallRng) -> Finished {
    task(number, if number.is_multiple_of(2) { "a" } else { "b" }, rng.random_range(2..=4), &[])
}

#[test]
fn a_baseline_says_what_its_tasks_did_and_how_sure_that_is() {
    let tasks = (0..200_u32).map(|number| {
        let reached: &[(&str, bool)] = if number.is_multiple_of(2) { &[("kb.example", false)] } else { &[] };
        task(number, "a", 1 + number % 4, reached)
    });
    let drafts = baselines(tasks, 0.1);
    assert_eq!(drafts.iter().map(|draft| draft.purpose.is_some()).collect::<Vec<_>>(), [false, true]);
    for draft in &drafts {
        draft.check().unwrap();
        assert_eq!((draft.tasks, draft.version, draft.approved_by.is_none()), (200, 1, true));
        let calls = draft.measures[&Measure::Calls];
        assert!((calls.mean * calls.per - 2.5).abs() < 1e-9 && calls.upper > calls.mean, "{calls:?}");
        let read = draft.tools["read"];
        assert!(
            (read.tasks.mean - 0.75).abs() < 1e-9 && (0.75..0.95).contains(&read.tasks.upper),
            "{read:?}"
        );
        assert_eq!(draft.known["host"], ["kb.example"]);
        assert!(!draft.known.contains_key("secret"), "{:?}", draft.known.keys());
        let (new, of_all) = (draft.new.get("told"), draft.purpose.is_none());
        assert!(new.map_or(!of_all, |level| of_all && level.upper < 0.05 && level.mean == 0.0), "{new:?}");
    }
    assert_ne!(drafts[0].id, drafts[1].id);
    let few = baselines((0..19).map(|number| task(number, "a", 2, &[])), 0.1);
    assert!(few.is_empty(), "too few tasks say nothing");
}

#[test]
fn new_is_what_no_other_agent_or_of_one_agent_no_other_task_has_reached() {
    let rate = |tasks: Vec<Finished>, class: &str| whole(tasks).new[class].mean;
    // Of 100 tasks of one agent, ten reach a host of their own.
    let hosts: Vec<String> = (0..100).map(|number| format!("h{number}.example")).collect();
    let alone = |agents: &[&str]| -> Vec<Finished> {
        (0..100_u32)
            .map(|number| {
                let host = [(hosts[number as usize].as_str(), true)];
                let agent = agents[number as usize % agents.len()];
                task(number, agent, 2, if number.is_multiple_of(10) { &host } else { &[] })
            })
            .collect()
    };
    assert!((rate(alone(&["a"]), "told") - 0.1).abs() < 1e-9);
    assert!((rate(alone(&["a"]), "told.host") - 0.1).abs() < 1e-9 && rate(alone(&["a"]), "other") == 0.0);
    // All reach the same: nothing is new. Unless only one agent of several does.
    let shared = |agents: &[&str]| -> Vec<Finished> {
        let agent = |number: u32| agents[number as usize % agents.len()];
        let host = |number| if agent(number) == "a" { &[("x.example", true)][..] } else { &[] };
        (0..100).map(|number| task(number, agent(number), 2, host(number))).collect()
    };
    assert!(rate(shared(&["a"]), "told") == 0.0);
    assert!((rate(shared(&["a", "b", "c", "d"]), "told") - 0.25).abs() < 1e-9);
}

#[test]
fn a_kind_of_which_every_task_reaches_another_is_not_tested() {
    let hosts: Vec<String> = (0..1_500).map(|number| format!("h{number}.example")).collect();
    let tasks = (0..1_500_u32).map(|number| task(number, "a", 2, &[(hosts[number as usize].as_str(), true)]));
    let draft = whole(tasks);
    assert!(!draft.known.contains_key("host") && !draft.new.contains_key("told.host"));
    assert!(draft.new["told"].mean == 0.0, "what is not tested is not counted in the broad class either");
    let profile = Profile::new(draft);
    let thing = Thing::Target(TargetKind::Host);
    assert!(!profile.is_new(&Reached { thing, told: true, value: "other.example".into() }));
}

#[test]
fn a_slow_roll_passes_from_one_version_to_the_next_and_is_caught_against_the_first() {
    let mut rng = SmallRng::seed_from_u64(3);
    // Each period, one task in twelve more makes twice the calls.
    let versions: Vec<Baseline> = (0..9_u32)
        .map(|period| {
            let tasks: Vec<Finished> = (0..400)
                .map(|number| {
                    let doubled = rng.random_range(0..12) < period;
                    let calls = rng.random_range(2..=4) * if doubled { 2 } else { 1 };
                    task(number, "a", calls, &[])
                })
                .collect();
            baseline(tasks)
        })
        .collect();
    let is_more = |drifted: &Drifted| matches!(drifted, Drifted::More { subject, .. } if subject == "Calls");
    for pair in versions.windows(2) {
        let drifted = compare(&pair[0], &pair[1]);
        assert!(!drifted.iter().any(is_more), "{drifted:?}");
    }
    let drifted = compare(&versions[0], &versions[8]);
    assert!(drifted.iter().any(is_more), "{drifted:?}");
    // Without a change nothing is said, whatever the luck of the draw.
    for _ in 0..20 {
        let tasks: Vec<Finished> = (0..400).map(|number| usual(number, &mut rng)).collect();
        let again: Vec<Finished> = (0..400).map(|number| usual(number, &mut rng)).collect();
        assert_eq!(compare(&baseline(tasks), &baseline(again)), []);
    }
}

#[test]
fn a_poisoned_baseline_shows_what_it_would_make_usual() {
    let mut rng = SmallRng::seed_from_u64(4);
    let clean = baseline((0..300).map(|number| usual(number, &mut rng)));
    let poisoned = baseline((0..300_u32).map(|number| {
        let reached: &[(&str, bool)] = if number.is_multiple_of(5) { &[("evil.example", true)] } else { &[] };
        task(number, if number.is_multiple_of(2) { "a" } else { "b" }, 3, reached)
    }));
    let told: Vec<String> = compare(&clean, &poisoned).iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line.contains("host: 1 that were not there: evil.example")), "{told:?}");
    let mut quiet = clean.clone();
    quiet.false_alerts_per_day /= 10.0;
    assert!(matches!(compare(&clean, &quiet)[..], [Drifted::Quieter { .. }]));
}

#[test]
fn the_tests_together_have_the_whole_budget_and_no_more() {
    let draft = baseline((0..300).map(|number| task(number, "a", 1 + number % 5, &[])));
    let (per_day, budget) = (300.0 / 30.0, draft.false_alerts_per_day);
    let profile = Profile::new(draft);
    let alerts: f64 = profile.tests.iter().map(|tested| per_day * (-tested.threshold).exp()).sum();
    assert!((alerts / budget - 1.0).abs() < 1e-6, "{alerts} of {budget} a day");
    assert!(profile.tests.len() < 8 + 3 * BASELINE_TOOLS_MAX);
}

#[test]
fn usual_tasks_are_no_evidence_and_keep_within_the_budget() {
    let mut rng = SmallRng::seed_from_u64(5);
    let tasks: Vec<Finished> = (0..400).map(|number| usual(number, &mut rng)).collect();
    // A budget of one false alert in about 300 tasks.
    let mut draft = baselines(tasks.clone(), 400.0 / 30.0 / 300.0).remove(1);
    draft.approved_by = Some("emma".try_into().unwrap());
    let profile = Profile::new(draft.clone());
    let evidence = |task: &Finished| profile.log_evidence(&profile.observe(&task.episode)).exp();
    let mean = tasks.iter().map(evidence).sum::<f64>() / 400.0;
    assert!(mean <= 1.0, "{mean}");
    let signed = SignedBaseline::sign(&draft, &SigningKey::from_bytes(&[7; 32])).unwrap();
    let mut drift = Drift::default();
    assert!(drift.take(&signed, draft));
    let of = key("acme", "support@1", Some("answer ticket of"));
    let mut alarms = 0;
    for number in 0..6_000_u32 {
        let task = usual(number, &mut rng);
        // A day each, so that no test is silent for having told.
        let at = Timestamp::from_micros(START_US + i64::from(number) * 24 * HOUR_US);
        alarms += drift.watch(of).unwrap().end(&task.episode, at).len();
    }
    assert!(alarms <= 20, "{alarms} false alarms in 6000 tasks, where 20 are accepted");
    // And a change is told.
    let told = (0..40).find(|number| {
        let task = task(*number, "a", 12, &[]);
        let at = Timestamp::from_micros(START_US + i64::from(7_000 + number) * 24 * HOUR_US);
        !drift.watch(of).unwrap().end(&task.episode, at).is_empty()
    });
    assert!(told.is_some_and(|after| after < 20), "{told:?}");
}
