//! Compares baselines: one that was made of bad days, or that follows a slow change step by step, shows in what it
//! allows that an earlier one did not.

use ambit_schemas::baseline::{Baseline, Level};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// What an earlier baseline did not allow.
#[derive(Debug, Clone, PartialEq)]
pub enum Drifted {
    /// Something is more than the earlier upper bound.
    More {
        /// What.
        subject: String,
        /// Its level then.
        before: f64,
        /// The upper bound then.
        allowed: f64,
        /// Its level now.
        after: f64,
    },
    /// Values of a kind that were not there.
    New {
        /// The kind.
        kind: String,
        /// Which.
        values: Vec<String>,
    },
    /// The budget of false alerts is smaller: it takes longer until anything is told.
    Quieter {
        /// False alerts a day then.
        before: f64,
        /// Now.
        after: f64,
    },
}

impl fmt::Display for Drifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More { subject, before, allowed, after } => {
                write!(f, "{subject}: {after:.4}, was {before:.4} and at most {allowed:.4}")
            }
            Self::New { kind, values } => {
                let shown: Vec<&str> = values.iter().take(5).map(String::as_str).collect();
                let more = values.len().saturating_sub(shown.len());
                write!(f, "{kind}: {} that were not there: {}", values.len(), shown.join(", "))?;
                if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Self::Quieter { before, after } => {
                write!(f, "false alerts a day: {after}, were {before}: changes are told later")
            }
        }
    }
}

/// What a later baseline allows beyond an earlier one of the same blueprint and purpose. Empty when all that it says lies
/// within the earlier one's confidence.
pub fn compare(earlier: &Baseline, later: &Baseline) -> Vec<Drifted> {
    let (before, after) = (levels(earlier), levels(later));
    let mut drifted: Vec<Drifted> = after
        .into_iter()
        .filter_map(|(subject, level)| {
            // What was not measured was not there.
            let was = before.get(&subject).copied().unwrap_or(Level { mean: 0.0, upper: 0.0, per: 1.0 });
            let (mean, allowed, now) = (was.mean * was.per, was.upper * was.per, level.mean * level.per);
            (now > allowed).then_some(Drifted::More { subject, before: mean, allowed, after: now })
        })
        .collect();
    for (kind, values) in &later.known {
        let was: HashSet<&String> = earlier.known.get(kind).into_iter().flatten().collect();
        let new: Vec<String> = values.iter().filter(|value| !was.contains(value)).cloned().collect();
        if !new.is_empty() {
            drifted.push(Drifted::New { kind: kind.clone(), values: new });
        }
    }
    if later.false_alerts_per_day < earlier.false_alerts_per_day {
        drifted.push(Drifted::Quieter {
            before: earlier.false_alerts_per_day,
            after: later.false_alerts_per_day,
        });
    }
    drifted
}

/// Everything that has a level, by name.
fn levels(baseline: &Baseline) -> BTreeMap<String, Level> {
    let measures = baseline.measures.iter().map(|(measure, level)| (format!("{measure:?}"), *level));
    let tools = baseline.tools.iter().flat_map(|(tool, usage)| {
        [(format!("tasks with {tool}"), usage.tasks), (format!("calls of {tool}"), usage.calls)]
    });
    let new = baseline.new.iter().map(|(class, level)| (format!("new: {class}"), *level));
    measures.chain(tools).chain(new).collect()
}
