//! A baseline, compiled: one test for everything it measures, with the evidence that each needs before it is told.

use super::bounds::float;
use super::episode::{Episode, Reached, Thing};
use super::evidence::Test;
use crate::rules::{self, RuleInfo};
use ambit_schemas::baseline::{Baseline, Level, Measure};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Bounds of the average run length that is asked for, as logarithms, in tasks.
const LOG_RUN_MIN: f64 = 4.6;
const LOG_RUN_MAX: f64 = 34.6;
/// How the budget of false alerts is divided: parts of each rule.
const PARTS: [(&str, f64); 7] = [
    (rules::DRIFT_NEW.id, 4.0),
    (rules::DRIFT_MIX.id, 2.0),
    (rules::DRIFT_DENIED.id, 2.0),
    (rules::DRIFT_VOLUME.id, 2.0),
    (rules::DRIFT_RATE.id, 1.0),
    (rules::DRIFT_FANOUT.id, 1.0),
    (rules::DRIFT_TEMPO.id, 1.0),
];
/// Within what is new, the broadest classes get more: there a change shows first.
const BROAD: [(&str, f64); 3] = [("told", 8.0), ("tool", 2.0), ("other", 2.0)];

/// What is tested.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// How much a task does.
    Measure(Measure),
    /// Whether it uses a tool.
    ToolTasks(String),
    /// How much of what it does is a tool.
    ToolCalls(String),
    /// Whether it reaches what no other has, by class.
    New(String),
}

/// One test of a baseline.
#[derive(Debug)]
pub struct Tested {
    /// The rule that tells.
    pub rule: &'static RuleInfo,
    /// What is tested.
    pub subject: Subject,
    /// The level by the baseline.
    pub level: Level,
    /// The test.
    pub test: Test,
    /// The logarithm of the evidence at which it is told.
    pub threshold: f64,
}

/// The tests of a tool: whether a task uses it, and how much.
#[derive(Debug, Default)]
struct OfTool {
    tasks: Option<usize>,
    calls: Option<usize>,
}

/// A baseline, compiled.
#[derive(Debug)]
pub struct Profile {
    /// The document.
    pub baseline: Baseline,
    /// Its tests.
    pub tests: Vec<Tested>,
    measures: Vec<(Measure, usize)>,
    tools: HashMap<String, OfTool>,
    classes: HashMap<String, usize>,
    known: HashMap<&'static str, HashSet<String>>,
}

impl Profile {
    /// Compiles a baseline.
    pub fn new(mut baseline: Baseline) -> Self {
        let mut known: HashMap<&'static str, HashSet<String>> = HashMap::new();
        for thing in Thing::ALL {
            if let Some(values) = baseline.known.remove(thing.name()) {
                known.insert(thing.name(), values.into_iter().collect());
            }
        }
        let mut tests = Vec::new();
        let mut add = |rule, subject, level: &Level| {
            tests.push(Tested {
                rule,
                subject,
                level: *level,
                test: Test::share(level.upper),
                threshold: 0.0,
            });
        };
        for (measure, level) in &baseline.measures {
            add(rule_of(*measure), Subject::Measure(*measure), level);
        }
        for (tool, usage) in &baseline.tools {
            add(&rules::DRIFT_MIX, Subject::ToolTasks(tool.clone()), &usage.tasks);
            add(&rules::DRIFT_MIX, Subject::ToolCalls(tool.clone()), &usage.calls);
        }
        for (class, level) in &baseline.new {
            add(&rules::DRIFT_NEW, Subject::New(class.clone()), level);
        }
        // A test that nothing could pass asks for no part of the budget.
        tests.retain(|tested: &Tested| tested.level.upper < 1.0);
        share_out(&mut tests, run_length(&baseline));
        let (mut measures, mut classes) = (Vec::new(), HashMap::new());
        let mut tools: HashMap<String, OfTool> = HashMap::new();
        for (index, tested) in tests.iter().enumerate() {
            match &tested.subject {
                Subject::Measure(measure) => measures.push((*measure, index)),
                Subject::ToolTasks(tool) => tools.entry(tool.clone()).or_default().tasks = Some(index),
                Subject::ToolCalls(tool) => tools.entry(tool.clone()).or_default().calls = Some(index),
                Subject::New(class) => drop(classes.insert(class.clone(), index)),
            }
        }
        Self { baseline, tests, measures, tools, classes, known }
    }

    /// Whether no task of the baseline has reached it. Nothing is new of a kind whose values the baseline does not list.
    pub fn is_new(&self, reached: &Reached) -> bool {
        let lacks =
            |thing: Thing| self.known.get(thing.name()).is_some_and(|known| !known.contains(&reached.value));
        match reached.thing {
            // What a tool does may be told in one way today and in another tomorrow.
            Thing::Tool | Thing::ReadTool => lacks(Thing::Tool) && lacks(Thing::ReadTool),
            Thing::Target(_) => lacks(reached.thing),
        }
    }

    /// The test of a class of what is new.
    pub(crate) fn test_of_class(&self, class: &str) -> Option<usize> {
        self.classes.get(class).copied()
    }

    /// The classes in which a task has reached what no task of the baseline has.
    pub fn new_classes(&self, episode: &Episode) -> BTreeSet<String> {
        let new = episode.reached.iter().filter(|reached| self.is_new(reached));
        new.flat_map(Reached::classes).collect()
    }

    /// What a task comes to in each test of what it does, where it comes to anything: from 0 to 1.
    pub fn observe(&self, episode: &Episode) -> Vec<(usize, f64)> {
        let measured = self.measures.iter().map(|(measure, index)| {
            let per = self.tests.get(*index).map_or(1.0, |tested| tested.level.per);
            (*index, (episode.measured(*measure) / per).min(1.0))
        });
        let used = episode.tools.keys().filter_map(|tool| Some((tool, self.tools.get(tool)?)));
        let used = used.flat_map(|(tool, OfTool { tasks, calls })| {
            [tasks.map(|index| (index, 1.0)), calls.map(|index| (index, episode.share_of(tool)))]
        });
        measured.chain(used.flatten()).filter(|(_, x)| *x > 0.0).collect()
    }

    /// The same, in each test of what is new.
    pub fn observe_new(&self, classes: &BTreeSet<String>) -> Vec<(usize, f64)> {
        classes.iter().filter_map(|class| Some((self.test_of_class(class)?, 1.0))).collect()
    }

    /// The logarithm of the evidence of one observation by itself: the mean of the tests' e-values, weighted as the budget
    /// is. Tests that are not named have seen nothing.
    pub fn log_evidence(&self, seen: &[(usize, f64)]) -> f64 {
        let seen: HashMap<usize, f64> = seen.iter().copied().collect();
        let run = run_length(&self.baseline);
        let tests = self.tests.iter().enumerate();
        let sum: f64 = tests
            .map(|(index, tested)| {
                let x = seen.get(&index).copied().unwrap_or_default();
                libm::exp(tested.test.log_e(x, 1.0) - (tested.threshold - run))
            })
            .sum();
        libm::log(sum.max(f64::MIN_POSITIVE))
    }
}

const fn rule_of(measure: Measure) -> &'static RuleInfo {
    match measure {
        Measure::Calls => &rules::DRIFT_RATE,
        Measure::Failed | Measure::Denied => &rules::DRIFT_DENIED,
        Measure::BytesOut | Measure::BytesIn => &rules::DRIFT_VOLUME,
        Measure::Delegations | Measure::Destinations => &rules::DRIFT_FANOUT,
        Measure::CallsPerMinute => &rules::DRIFT_TEMPO,
    }
}

/// The logarithm of the average number of tasks to a false alert that the baseline's budget asks for.
fn run_length(baseline: &Baseline) -> f64 {
    let per_day = float(baseline.tasks) / baseline.days().max(1e-6);
    libm::log(per_day / baseline.false_alerts_per_day).clamp(LOG_RUN_MIN, LOG_RUN_MAX)
}

/// Divides the budget over the tests: by rule, within a rule evenly. The sum of what each test may do is the budget,
/// however the tests depend on each other.
fn share_out(tests: &mut [Tested], run: f64) {
    let weight = |tested: &Tested| match &tested.subject {
        Subject::New(class) => BROAD.iter().find(|(name, _)| name == class).map_or(1.0, |(_, parts)| *parts),
        Subject::Measure(_) | Subject::ToolTasks(_) | Subject::ToolCalls(_) => 1.0,
    };
    let parts_of = |id: &str| PARTS.iter().find(|(rule, _)| *rule == id).map_or(1.0, |(_, parts)| *parts);
    let mut sums: HashMap<&str, f64> = HashMap::new();
    for tested in tests.iter() {
        *sums.entry(tested.rule.id).or_default() += weight(tested);
    }
    let whole: f64 = PARTS.iter().filter(|(rule, _)| sums.contains_key(rule)).map(|(_, parts)| parts).sum();
    for tested in tests {
        let within = weight(tested) / sums.get(tested.rule.id).copied().unwrap_or(1.0);
        tested.threshold = run - libm::log(within * parts_of(tested.rule.id) / whole);
    }
}
