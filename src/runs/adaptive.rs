//! Attackers who know the rules: the same goals, with the values hidden, cut up, delayed or put into another's mouth. What
//! gets through is told as it is; docs/detection.md shows the same table.

mod script;

use ambit_analytics::{Analyzer, FingerprintSecret, Options};
use ambit_schemas::finding::{Finding, Maturity, Severity};
use ambit_schemas::{Sequenced, Shard, Topic};
use anyhow::Context;
use ed25519_dalek::SigningKey;
use script::Attack;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

/// The attacks.
const ATTACKS: &str = include_str!("adaptive/attacks.json");

/// What became of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    GetsThrough,
    /// A finding on the last step that does not revoke by itself.
    Told,
    /// A finding on the last step that may (INVARIANT E-3).
    Stopped,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Stopped, Self::Told, Self::GetsThrough];

    fn of(findings: &[Finding]) -> Self {
        let stops = |finding: &Finding| {
            finding.severity >= Severity::High && finding.rule.maturity == Maturity::Stable
        };
        match findings {
            [] => Self::GetsThrough,
            findings if findings.iter().any(stops) => Self::Stopped,
            _ => Self::Told,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::GetsThrough => "gets through",
            Self::Told => "told",
            Self::Stopped => "stopped",
        }
    }
}

/// An attack and what became of it.
#[derive(Debug)]
struct Row {
    name: String,
    /// The envelope grants no destination.
    bounded: Outcome,
    /// The envelope does not bound destinations.
    free: Outcome,
    /// Rules that spoke on the last step.
    rules: BTreeSet<String>,
}

/// The suite, played.
#[derive(Debug)]
pub struct Adaptive {
    rows: Vec<Row>,
}

impl Adaptive {
    /// Plays every attack through the analyzer, as live.
    pub fn play(approver: &SigningKey) -> anyhow::Result<Self> {
        let mut rows = Vec::new();
        for attack in attacks()? {
            let bounded = told(&attack, Some(&[]), approver)?;
            let free = told(&attack, None, approver)?;
            let rules = bounded.iter().chain(&free).map(|finding| finding.rule.id.to_string()).collect();
            let (bounded, free) = (Outcome::of(&bounded), Outcome::of(&free));
            rows.push(Row { name: attack.name, bounded, free, rules });
        }
        Ok(Self { rows })
    }

    fn count(&self, column: fn(&Row) -> Outcome, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| column(row) == outcome).count()
    }

    fn sum(&self, column: fn(&Row) -> Outcome) -> String {
        let [stopped, told, through] = Outcome::ALL.map(|outcome| self.count(column, outcome));
        format!("{stopped} stopped, {told} told, {through} get through")
    }

    /// A table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: [&str; 4]| {
            let [name, bounded, free, rules] = cells;
            // Writing to a string does not fail.
            writeln!(text, "{name:<56} {bounded:<20} {free:<20} {rules}").unwrap_or_default();
        };
        line(["the attacker's way", "destinations bounded", "not bounded", "rules"]);
        for row in &self.rows {
            let rules: Vec<&str> = row.rules.iter().map(String::as_str).collect();
            line([&row.name, row.bounded.name(), row.free.name(), &rules.join(", ")]);
        }
        let (all, bounded, free) = (self.rows.len(), self.sum(|row| row.bounded), self.sum(|row| row.free));
        writeln!(text, "{all} in all; destinations bounded: {bounded}; not bounded: {free}")
            .unwrap_or_default();
        text
    }

    /// `{"attacks": [{name, outcomes, rules}], "destinations_bounded": {outcome: count}, "not_bounded": ..}`.
    pub fn json(&self) -> Value {
        let counts = |column: fn(&Row) -> Outcome| {
            let count =
                |outcome: Outcome| (outcome.name().replace(' ', "_"), json!(self.count(column, outcome)));
            Value::Object(Outcome::ALL.into_iter().map(count).collect())
        };
        let attack = |row: &Row| {
            json!({
                "name": row.name,
                "destinations_bounded": row.bounded.name(),
                "not_bounded": row.free.name(),
                "rules": row.rules,
            })
        };
        json!({
            "attacks": self.rows.iter().map(attack).collect::<Vec<_>>(),
            "destinations_bounded": counts(|row| row.bounded),
            "not_bounded": counts(|row| row.free),
        })
    }
}

fn attacks() -> anyhow::Result<Vec<Attack>> {
    serde_json::from_str(ATTACKS).context("the suite of attacks cannot be read")
}

/// What is told when the last step is taken.
fn told(
    attack: &Attack,
    destinations: Option<&[String]>,
    approver: &SigningKey,
) -> anyhow::Result<Vec<Finding>> {
    let options = Options {
        approver_keys: vec![approver.verifying_key()],
        fingerprint_secret: Some(FingerprintSecret::new(b"adaptive")),
        ..Options::default()
    };
    let mut analyzer = Analyzer::new(Shard::new(Topic::Events, 0), Arc::new(options));
    let (before, harm) = attack.events(destinations, approver).with_context(|| attack.name.clone())?;
    let mut observe = |item| {
        let (shard, offset) = (analyzer.shard(), analyzer.next_offset());
        analyzer.observe(&Sequenced { shard, offset, item })
    };
    for event in before {
        observe(event);
    }
    Ok(harm.into_iter().flat_map(observe).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Where the table stands.
    const BEGIN: &str = "<!-- what gets through: begin -->\n";
    const END: &str = "<!-- what gets through: end -->\n";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn markdown(played: &Adaptive) -> String {
        let shown = |outcome: Outcome| match outcome {
            Outcome::GetsThrough => "**gets through**",
            Outcome::Told | Outcome::Stopped => outcome.name(),
        };
        let mut table =
            String::from("| the attacker's way | destinations bounded | not bounded | rules |\n|-|-|-|-|\n");
        for row in &played.rows {
            let rules: Vec<&str> = row.rules.iter().map(String::as_str).collect();
            let (bounded, free) = (shown(row.bounded), shown(row.free));
            writeln!(table, "| {} | {bounded} | {free} | {} |", row.name, rules.join(", ")).unwrap();
        }
        let (bounded, free) = (played.sum(|row| row.bounded), played.sum(|row| row.free));
        writeln!(table, "| **{} in all** | {bounded} | {free} | |", played.rows.len()).unwrap();
        table
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "whether to write the page anew is no setting of the product"
    )]
    fn the_page_says_what_gets_through() {
        let played = Adaptive::play(&key()).unwrap();
        let table = markdown(&played);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/detection.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the table has a place");
        let (kept, after) = rest.split_once(END).expect("the table has an end");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        } else {
            assert_eq!(kept, table, "review, then run with UPDATE_GOLDEN=1");
        }
        // The plain attacks come first: without them being stopped the table would mean nothing.
        assert_eq!(played.rows[0].bounded, Outcome::Stopped);
        // Where destinations are bounded, an address that nobody granted is at least told.
        assert!(played.rows.iter().all(|row| row.bounded >= row.free), "bounds make it worse");
    }

    #[test]
    fn people_and_programs_are_told_the_same() {
        let played = Adaptive::play(&key()).unwrap();
        let (text, json) = (played.table(), played.json());
        let counts = &json["destinations_bounded"];
        let sum: u64 =
            ["stopped", "told", "gets_through"].map(|name| counts[name].as_u64().unwrap()).iter().sum();
        assert_eq!(sum, played.rows.len() as u64);
        assert!(text.contains(&format!("{} get through; not bounded", counts["gets_through"])), "{text}");
        assert_eq!(text.lines().count(), played.rows.len() + 2);
    }

    /// The negative control: the same calls to somebody whom the purpose names are no attack, so that what is told above
    /// is told of the attack.
    #[test]
    fn the_same_steps_to_somebody_who_is_named_are_let_be() {
        let granted = ["*", "planted", "evil.example"].map(str::to_owned);
        for mut attack in attacks().unwrap() {
            attack.purpose =
                "Write to planted@evil.example, alice.miller@evil.example, pay US133000000121212121212, \
                              read evil.example, www.planted.example, www.b\u{430}nk.example and 203.0.113.9"
                    .to_owned();
            attack.tools = serde_json::from_value(json!([{"name": "*"}])).unwrap();
            let told = told(&attack, Some(&granted), &key()).unwrap();
            assert_ne!(Outcome::of(&told), Outcome::Stopped, "{}: {told:#?}", attack.name);
        }
    }
}
