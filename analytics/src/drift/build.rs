//! Makes baselines of tasks that have ended.

use super::bounds::{float, mean_upper, share_upper};
use super::episode::{Reached, Thing};
use super::hooks::Finished;
use ambit_schemas::Timestamp;
use ambit_schemas::baseline::{Baseline, Level, Measure, ToolUse};
use ambit_schemas::finding::stable_id;
use ambit_schemas::id::{BaselineId, Blueprint, TenantId};
use ambit_schemas::limits::{BASELINE_BYTES_MAX, BASELINE_TOOLS_MAX};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Tasks of one blueprint that are taken in; a baseline does not get better with more.
const TASKS_MAX: usize = 200_000;
/// Values of one kind that a baseline holds. A kind with more of them is not tested: there something new is usual.
const KNOWN_MAX: usize = 1_000;
/// Hours of one part of the day, and the tasks that it must have to count by itself.
const PART_HOURS: u8 = 6;
const PART_TASKS_MIN: usize = 50;
/// How sure the bound of one part of the day is.
const PART_CONFIDENCE: f64 = 0.95;
const MEASURES: [Measure; 8] = [
    Measure::Calls,
    Measure::Failed,
    Measure::Denied,
    Measure::BytesOut,
    Measure::BytesIn,
    Measure::Delegations,
    Measure::Destinations,
    Measure::CallsPerMinute,
];

/// What is asked of baselines.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// From when the tasks are.
    pub from: Timestamp,
    /// Until when, exclusively.
    pub to: Timestamp,
    /// How sure the upper bounds are to be, such as 0.999.
    pub confidence: f64,
    /// How many false alerts a day are accepted of each baseline.
    pub false_alerts_per_day: f64,
    /// Tasks that a kind of purpose must have for a baseline of its own.
    pub tasks_min: usize,
}

/// Collects tasks.
#[derive(Debug, Default)]
pub struct Builder {
    tasks: BTreeMap<(TenantId, Blueprint), Vec<Finished>>,
    /// Tasks that were left out, as there were too many of their blueprint.
    pub left_out: u64,
}

impl Builder {
    /// Takes a task in.
    pub fn add(&mut self, finished: Finished) {
        let key = (finished.tenant.clone(), finished.blueprint.clone());
        let tasks = self.tasks.entry(key).or_default();
        if tasks.len() < TASKS_MAX {
            tasks.push(finished);
        } else {
            self.left_out += 1;
        }
    }

    /// A draft for every kind of purpose with enough tasks, and one for all purposes of each blueprint with enough. The
    /// version is 1 and nobody has approved them.
    pub fn drafts(&self, settings: &Settings) -> Vec<Baseline> {
        let mut drafts = Vec::new();
        for ((tenant, blueprint), tasks) in &self.tasks {
            if tasks.len() < settings.tasks_min.max(1) {
                continue;
            }
            let mut by_purpose: BTreeMap<&str, Vec<&Finished>> = BTreeMap::new();
            for task in tasks {
                by_purpose.entry(&task.purpose).or_default().push(task);
            }
            let of = (tenant, blueprint);
            let all: Vec<&Finished> = tasks.iter().collect();
            // How often something is new is learnt from all purposes, and tested over all: one alone has too few tasks. It
            // is asked as it will be: of the purpose where that will have a baseline, else of the whole blueprint.
            let has_own = |purpose: &str, tasks: &[&Finished]| {
                tasks.len() >= settings.tasks_min.max(1) && !purpose.is_empty()
            };
            let (own, rest): (Vec<_>, Vec<_>) =
                by_purpose.into_iter().partition(|(purpose, tasks)| has_own(purpose, tasks));
            let rest: Vec<&Finished> = rest.into_iter().flat_map(|(_, tasks)| tasks).collect();
            let groups: Vec<Vec<&Finished>> =
                own.iter().map(|(_, tasks)| tasks.clone()).chain(std::iter::once(rest)).collect();
            let mut whole = draft(of, None, &all, settings);
            let kinds: HashSet<&str> = whole.known.keys().map(String::as_str).collect();
            whole.new = news(&groups, &kinds, settings.confidence);
            drafts.push(whole);
            drafts.extend(own.into_iter().map(|(purpose, tasks)| draft(of, Some(purpose), &tasks, settings)));
        }
        drafts
    }
}

fn draft(
    (tenant, blueprint): (&TenantId, &Blueprint),
    purpose: Option<&str>,
    tasks: &[&Finished],
    settings: &Settings,
) -> Baseline {
    let (scope, kind) = purpose.map_or(("any", ""), |purpose| ("one", purpose));
    let id = stable_id("ambit-baseline/v1", &[tenant.as_str(), blueprint.as_str(), scope, kind]);
    let level = |of: &dyn Fn(&Finished) -> f64, per: f64| {
        let values: Vec<(u8, f64)> =
            tasks.iter().map(|task| (hour(task.at), (of(task) / per).min(1.0))).collect();
        Level { mean: mean_of(&values), upper: upper_by_time(&values, settings.confidence), per }
    };
    let measures = MEASURES.into_iter().map(|measure| {
        let per = per_of(measure, tasks);
        (measure, level(&|task| task.episode.measured(measure), per))
    });
    let tools = most_used(tasks).into_iter().map(|tool| {
        let uses = |task: &Finished| f64::from(u8::from(task.episode.tools.contains_key(tool)));
        let usage =
            ToolUse { tasks: level(&uses, 1.0), calls: level(&|task| task.episode.share_of(tool), 1.0) };
        (tool.to_owned(), usage)
    });
    let mut baseline = Baseline {
        id: BaselineId::try_from(format!("bl-{id}")).unwrap_or_else(|_| unreachable!("a digest is an id")),
        version: 1,
        tenant: tenant.clone(),
        blueprint: blueprint.clone(),
        purpose: purpose.map(str::to_owned),
        from: settings.from,
        to: settings.to,
        previous: None,
        approved_by: None,
        tasks: tasks.len() as u64,
        confidence: settings.confidence,
        false_alerts_per_day: settings.false_alerts_per_day,
        measures: measures.collect(),
        tools: tools.collect(),
        known: known(tasks),
        new: BTreeMap::new(),
    };
    shrink(&mut baseline);
    baseline
}

/// What counts as 1: twice what nine of ten tasks stay below, at least what 99 of 100 do.
fn per_of(measure: Measure, tasks: &[&Finished]) -> f64 {
    let least = match measure {
        Measure::Failed | Measure::Denied => return 1.0,
        Measure::BytesOut | Measure::BytesIn => 1_024.0,
        Measure::Calls | Measure::CallsPerMinute => 4.0,
        Measure::Delegations | Measure::Destinations => 2.0,
    };
    let mut values: Vec<f64> = tasks.iter().map(|task| task.episode.measured(measure)).collect();
    values.sort_by(f64::total_cmp);
    let quantile = |hundredths: usize| {
        values.get(values.len().saturating_sub(1) * hundredths / 100).copied().unwrap_or_default()
    };
    (2.0 * quantile(90)).max(quantile(99)).max(least)
}

fn most_used<'a>(tasks: &[&'a Finished]) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for tool in tasks.iter().flat_map(|task| task.episode.tools.keys()) {
        *counts.entry(tool).or_default() += 1;
    }
    let mut tools: Vec<(&str, usize)> = counts.into_iter().collect();
    tools.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    tools.into_iter().take(BASELINE_TOOLS_MAX).map(|(tool, _)| tool).collect()
}

/// All that was reached, by kind, but for kinds with too many values.
fn known(tasks: &[&Finished]) -> BTreeMap<String, Vec<String>> {
    let mut known: BTreeMap<String, Vec<String>> =
        Thing::ALL.iter().map(|thing| (thing.name().to_owned(), Vec::new())).collect();
    for reached in tasks.iter().flat_map(|task| &task.episode.reached) {
        if let Some(values) = known.get_mut(reached.thing.name()) {
            values.push(reached.value.clone());
        }
    }
    known.retain(|_, values| {
        values.sort_unstable();
        values.dedup();
        values.len() <= KNOWN_MAX
    });
    known
}

/// Leaves out the largest kinds of values until the document is small enough to travel.
fn shrink(baseline: &mut Baseline) {
    let size = |values: &Vec<String>| values.iter().map(|value| value.len() + 3).sum::<usize>();
    // The rest of a document is far smaller than a quarter of what it may have.
    while baseline.known.values().map(size).sum::<usize>() > BASELINE_BYTES_MAX / 4 * 3 {
        let largest =
            baseline.known.iter().max_by_key(|(_, values)| size(values)).map(|(kind, _)| kind.clone());
        let Some(largest) = largest else { return };
        baseline.known.remove(&largest);
    }
}

/// How often a task reaches what the others of its purpose have not, by class. Where a purpose has several agents, the
/// others are those of other agents: copies of one agent resemble each other more than a new one will.
fn news(groups: &[Vec<&Finished>], kinds: &HashSet<&str>, confidence: f64) -> BTreeMap<String, Level> {
    let mut hits: BTreeMap<String, u64> = classes(kinds).map(|class| (class, 0)).collect();
    let mut tasks = 0;
    for group in groups.iter().filter(|group| group.len() > 1) {
        let agents: HashSet<&str> = group.iter().map(|task| task.agent.as_str()).collect();
        // Of each value, by whom: the number of the only agent or task, or that there are several.
        let mut owners: HashMap<(&str, &str), Option<usize>> = HashMap::new();
        let numbers: HashMap<&str, usize> =
            agents.iter().enumerate().map(|(at, agent)| (*agent, at)).collect();
        let owner_of = |at: usize, task: &Finished| match numbers.get(task.agent.as_str()) {
            Some(number) if agents.len() > 1 => *number,
            _ => at,
        };
        for (at, task) in group.iter().enumerate() {
            for reached in &task.episode.reached {
                let owner = owner_of(at, task);
                let owners = owners.entry(name_of(reached)).or_insert(Some(owner));
                if *owners != Some(owner) {
                    *owners = None;
                }
            }
        }
        for task in group {
            tasks += 1;
            let alone = |reached: &&Reached| {
                kinds.contains(reached.thing.name())
                    && owners.get(&name_of(reached)).is_some_and(Option::is_some)
            };
            let new: HashSet<String> =
                task.episode.reached.iter().filter(alone).flat_map(Reached::classes).collect();
            for class in new {
                *hits.entry(class).or_default() += 1;
            }
        }
    }
    let level = |hits: u64| Level {
        mean: float(hits) / float(tasks.max(1)),
        upper: share_upper(hits, tasks, confidence),
        per: 1.0,
    };
    hits.into_iter().map(|(class, hits)| (class, level(hits))).collect()
}

/// Tools are the same whether they were thought to change something or not.
fn name_of(reached: &Reached) -> (&str, &str) {
    let kind = match reached.thing {
        Thing::Tool | Thing::ReadTool => Thing::Tool,
        Thing::Target(_) => reached.thing,
    };
    (kind.name(), &reached.value)
}

/// All classes of the kinds.
fn classes<'a>(kinds: &'a HashSet<&str>) -> impl Iterator<Item = String> + 'a {
    let things = Thing::ALL.into_iter().filter(|thing| kinds.contains(thing.name()));
    things
        .flat_map(|thing| [false, true].map(|told| Reached { thing, told, value: String::new() }.classes()))
        .flatten()
}

/// The upper confidence bound of the mean of values from 0 to 1, each with the hour of its day (UTC): that of the whole,
/// or that of the busiest part of the day where it is larger, so that what is usual at noon is no alarm at noon.
pub fn upper_by_time(values: &[(u8, f64)], confidence: f64) -> f64 {
    let is_binary = values.iter().all(|(_, value)| *value == 0.0 || (*value - 1.0).abs() < f64::EPSILON);
    let whole = if is_binary {
        let hits = values.iter().filter(|(_, value)| *value > 0.0).count();
        share_upper(hits as u64, values.len() as u64, confidence)
    } else {
        mean_upper(mean_of(values), values.len() as u64, confidence)
    };
    let parts = (0..24 / PART_HOURS).filter_map(|part| {
        let of_part: Vec<(u8, f64)> =
            values.iter().filter(|(hour, _)| hour / PART_HOURS == part).copied().collect();
        (of_part.len() >= PART_TASKS_MIN)
            .then(|| mean_upper(mean_of(&of_part), of_part.len() as u64, PART_CONFIDENCE))
    });
    parts.fold(whole, f64::max)
}

fn mean_of(values: &[(u8, f64)]) -> f64 {
    values.iter().map(|(_, value)| value).sum::<f64>() / float(values.len().max(1) as u64)
}

/// The hour of the day, UTC.
fn hour(at: Timestamp) -> u8 {
    u8::try_from(at.micros().div_euclid(3_600_000_000).rem_euclid(24)).unwrap_or_default()
}
