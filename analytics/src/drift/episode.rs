//! What a task has done so far, as far as baselines measure it. The same counters make a baseline and are tested
//! against it, so that both mean the same.

use crate::target::TargetKind;
use ambit_schemas::Timestamp;
use ambit_schemas::baseline::Measure;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Tools that are counted by name in one task.
const TOOLS_MAX: usize = 256;
/// Destinations that are remembered of one task.
const REACHED_MAX: usize = 128;
/// Calls after which a task that goes on counts as a new one; so does one that has lasted a day.
const CALLS_MAX: u32 = 2_000;
const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;

/// A kind of thing that tasks reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Thing {
    /// A tool that changes something.
    Tool,
    /// A tool that only looks.
    ReadTool,
    /// A destination of an effectful call.
    Target(TargetKind),
}

impl Thing {
    /// The name in baseline documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::ReadTool => "read_tool",
            Self::Target(kind) => match kind {
                TargetKind::Host => "host",
                TargetKind::Email => "email",
                TargetKind::Account => "account",
                TargetKind::Person => "person",
                TargetKind::Path => "path",
                TargetKind::Record => "record",
                TargetKind::Secret => "secret",
                TargetKind::Repository => "repository",
                TargetKind::Title => "title",
            },
        }
    }

    /// All kinds that are remembered. Secrets are not: a baseline must not hold any.
    pub const ALL: [Self; 10] = [
        Self::Tool,
        Self::ReadTool,
        Self::Target(TargetKind::Host),
        Self::Target(TargetKind::Email),
        Self::Target(TargetKind::Account),
        Self::Target(TargetKind::Person),
        Self::Target(TargetKind::Path),
        Self::Target(TargetKind::Record),
        Self::Target(TargetKind::Repository),
        Self::Target(TargetKind::Title),
    ];
}

/// A thing that a task has reached and that neither its envelope nor its purpose names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reached {
    /// What it is.
    pub thing: Thing,
    /// A text that may have been planted has told it.
    pub told: bool,
    /// Which.
    pub value: String,
}

impl Reached {
    /// The classes in which it counts when nobody has reached it before, the broadest first.
    pub fn classes(&self) -> [String; 2] {
        let name = self.thing.name();
        match self.thing {
            Thing::Tool | Thing::ReadTool => [name.to_owned(), name.to_owned()],
            Thing::Target(_) if self.told => ["told".to_owned(), format!("told.{name}")],
            Thing::Target(_) => ["other".to_owned(), format!("other.{name}")],
        }
    }
}

/// What a task has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
    pub(crate) denied: u32,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) delegations: u32,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) tools: BTreeMap<String, u32>,
    pub(crate) reached: BTreeSet<Reached>,
    pub(crate) destinations: BTreeSet<String>,
}

impl Episode {
    /// Takes in a call. Returns the tool when the task uses it for the first time.
    pub(crate) fn call(&mut self, tool: &str, is_read: bool, at: Timestamp) -> Option<Reached> {
        self.calls = self.calls.saturating_add(1);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if let Some(count) = self.tools.get_mut(tool) {
            *count = count.saturating_add(1);
            return None;
        }
        if self.tools.len() >= TOOLS_MAX {
            return None;
        }
        self.tools.insert(tool.to_owned(), 1);
        let thing = if is_read { Thing::ReadTool } else { Thing::Tool };
        self.reach(Reached { thing, told: false, value: tool.to_owned() })
    }

    /// Takes in a destination, whoever named it.
    pub(crate) fn destination(&mut self, value: &str) {
        if self.destinations.len() < REACHED_MAX {
            self.destinations.insert(value.to_owned());
        }
    }

    /// Takes in what was reached without anybody having named it. Returns it when it is the first time.
    pub(crate) fn reach(&mut self, reached: Reached) -> Option<Reached> {
        let is_first = self.reached.len() < REACHED_MAX + TOOLS_MAX && self.reached.insert(reached.clone());
        is_first.then_some(reached)
    }

    /// Whether it has done anything.
    pub const fn is_empty(&self) -> bool {
        self.calls == 0 && self.denied == 0
    }

    /// Whether what the task does from here on is to count as another one's.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.calls >= CALLS_MAX || self.first.is_some_and(|first| now.micros_since(first) >= DAY_US)
    }

    /// The value of a measure.
    #[expect(clippy::cast_precision_loss, reason = "counts of one task are far below 2^53")]
    pub fn measured(&self, measure: Measure) -> f64 {
        let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        match measure {
            Measure::Calls => f64::from(self.calls),
            Measure::Failed => share(self.failed, self.calls),
            Measure::Denied => share(self.denied, self.calls.saturating_add(self.denied)),
            Measure::BytesOut => self.bytes_out as f64,
            Measure::BytesIn => self.bytes_in as f64,
            Measure::Delegations => f64::from(self.delegations),
            Measure::Destinations => self.destinations.len() as f64,
            Measure::CallsPerMinute => {
                let took = self.last.zip(self.first).map_or(0, |(last, first)| last.micros_since(first));
                f64::from(self.calls) * MINUTE_US as f64 / took.max(MINUTE_US) as f64
            }
        }
    }

    /// The share of its calls that are of a tool.
    pub(crate) fn share_of(&self, tool: &str) -> f64 {
        f64::from(self.tools.get(tool).copied().unwrap_or_default()) / f64::from(self.calls.max(1))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal means equal")]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_new_once_and_tempo_is_never_of_less_than_a_minute() {
        let (mut episode, start) = (Episode::default(), Timestamp::from_micros(1_795_510_800_000_000));
        assert_eq!(episode.call("send", false, start).unwrap().classes(), ["tool", "tool"]);
        assert!(episode.call("send", false, start.plus_micros(5)).is_none());
        assert_eq!(episode.measured(Measure::CallsPerMinute), 2.0);
        episode.call("get", true, start.plus_micros(4 * MINUTE_US));
        assert_eq!(episode.measured(Measure::CallsPerMinute), 0.75);
        assert!((episode.share_of("send") - 2.0 / 3.0).abs() < 1e-12 && episode.share_of("none") == 0.0);
        assert!(!episode.is_over(start) && episode.is_over(start.plus_micros(DAY_US)));
    }

    #[test]
    fn what_a_text_has_told_counts_in_a_class_of_its_own() {
        let host = |told| Reached { thing: Thing::Target(TargetKind::Host), told, value: "x.example".into() };
        assert_eq!(host(true).classes(), ["told", "told.host"]);
        assert_eq!(host(false).classes(), ["other", "other.host"]);
        let mut episode = Episode::default();
        assert!(episode.reach(host(true)).is_some() && episode.reach(host(true)).is_none());
    }
}
