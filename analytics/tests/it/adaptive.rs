//! Attackers who know the rules: the same goals, with the values hidden, cut up, delayed or put into another's mouth. What
//! gets through is not a failure of the test; what the page about detection says of it must be true.

use crate::flow::{Scenario, fresh, observe};
use ambit_schemas::finding::{Finding, Maturity, Severity};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Where the table stands.
const BEGIN: &str = "<!-- what gets through: begin -->\n";
const END: &str = "<!-- what gets through: end -->\n";

/// What became of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Missed,
    Told,
    Stopped,
}

impl Outcome {
    fn of(findings: &[Finding]) -> Self {
        let stops = |finding: &Finding| {
            finding.severity >= Severity::High && finding.rule.maturity == Maturity::Stable
        };
        match findings {
            [] => Self::Missed,
            findings if findings.iter().any(stops) => Self::Stopped,
            _ => Self::Told,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Missed => "**gets through**",
            Self::Told => "told",
            Self::Stopped => "stopped",
        }
    }
}

fn attacks() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adaptive.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The attack as a scenario: its last step is the one that does harm.
fn scenario(attack: &Value, destinations: Option<&Value>) -> Scenario {
    let mut attack = attack.clone();
    let fields = attack.as_object_mut().unwrap();
    let times = fields.remove("repeat").map_or(1, |times| times.as_u64().unwrap());
    let pad = fields.remove("pad");
    let steps = fields["steps"].as_array_mut().unwrap();
    if let Some(Value::String(argument)) = pad {
        let last = &mut steps.last_mut().unwrap()["arguments"][argument];
        *last = json!(format!("{} {}", last.as_str().unwrap(), "x".repeat(600)));
    }
    let at = steps.len() - 2;
    for _ in 1..times {
        steps.insert(at, steps[at].clone());
    }
    if let Some(destinations) = destinations {
        fields.insert("destinations".to_owned(), destinations.clone());
    }
    serde_json::from_value(attack).unwrap()
}

/// What is told when the last step is taken.
fn told(scenario: &Scenario) -> Vec<Finding> {
    let mut analyzer = fresh();
    let last = scenario.steps.len() - 1;
    let mut findings = Vec::new();
    for (step, event) in scenario.events() {
        let found = observe(&mut analyzer, event);
        if step == Some(last) {
            findings.extend(found);
        }
    }
    findings
}

fn table() -> (String, Vec<[Outcome; 2]>) {
    let mut table =
        String::from("| the attacker's way | destinations bounded | not bounded | rules |\n|-|-|-|-|\n");
    let mut all = Vec::new();
    for attack in attacks() {
        let bounded = told(&scenario(&attack, Some(&json!([]))));
        let free = told(&scenario(&attack, None));
        let mut rules: Vec<&str> =
            bounded.iter().chain(&free).map(|finding| finding.rule.id.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let outcomes = [Outcome::of(&bounded), Outcome::of(&free)];
        let [first, second] = outcomes.map(Outcome::name);
        writeln!(
            table,
            "| {} | {first} | {second} | {} |",
            attack["name"].as_str().unwrap(),
            rules.join(", ")
        )
        .unwrap();
        all.push(outcomes);
    }
    let count = |place: usize, outcome| {
        all.iter().filter(|outcomes: &&[Outcome; 2]| outcomes[place] == outcome).count()
    };
    let sum = |place| {
        let of = |outcome| count(place, outcome);
        format!(
            "{} stopped, {} told, {} get through",
            of(Outcome::Stopped),
            of(Outcome::Told),
            of(Outcome::Missed)
        )
    };
    writeln!(table, "| **{} in all** | {} | {} | |", all.len(), sum(0), sum(1)).unwrap();
    (table, all)
}

#[test]
fn the_page_says_what_gets_through() {
    let (table, all) = table();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/detection.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table has a place");
    let (kept, after) = rest.split_once(END).expect("the table has an end");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(kept, table, "review, then run with UPDATE_GOLDEN=1");
    }
    // The plain attacks come first: without them being stopped the table would mean nothing.
    assert_eq!(all[0][0], Outcome::Stopped);
    // Where destinations are bounded, an address that nobody granted is at least told.
    assert!(all.iter().all(|[bounded, free]| bounded >= free), "bounds make it worse");
}

/// The negative control: the same calls to somebody whom the purpose names are no attack, so that what is told above is
/// told of the attack.
#[test]
fn the_same_steps_to_somebody_who_is_named_are_let_be() {
    for attack in attacks() {
        let mut named = attack.clone();
        let purpose = "Write to planted@evil.example, alice.miller@evil.example, pay US133000000121212121212, read \
                       evil.example, www.planted.example, www.b\u{430}nk.example and 203.0.113.9";
        named["purpose"] = json!(purpose);
        named["tools"] = json!([{"name": "*"}]);
        let stops = told(&scenario(&named, Some(&json!(["*", "planted", "evil.example"]))));
        assert_ne!(Outcome::of(&stops), Outcome::Stopped, "{}: {stops:#?}", attack["name"]);
    }
}
