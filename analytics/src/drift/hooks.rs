//! Where the fold meets drift: tasks begin to be counted, are counted, and end.

use super::episode::{Episode, Reached, Thing};
use super::purpose::kind_of_purpose;
use super::tell;
use super::watch::{Against, Alarm, BASELINES_MAX, Drift};
use crate::analyzer::Analyzer;
use crate::compile::Compiled;
use crate::describe::{Verdict, who};
use crate::flow::{self, Subject};
use crate::options::Options;
use crate::origin::Memory;
use crate::prepare::Called;
use crate::rules;
use crate::state::{Root, State, Task};
use crate::target::{TargetKind, targets_of};
use ambit_schemas::baseline::{Baseline, InvalidBaseline, SignedBaseline};
use ambit_schemas::event::{Effect, Event, ToolCall};
use ambit_schemas::finding::{BaselineRef, Finding, Severity};
use ambit_schemas::id::{AgentId, Blueprint, TaskId, TenantId};
use ambit_schemas::{Sequenced, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whether a task is counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) enum Watching {
    /// It has not called anything yet.
    #[default]
    Unknown,
    /// There is no baseline for it.
    Nobody,
    /// It is.
    Open(Box<Open>),
}

/// A task that is counted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Against which baselines.
    against: Option<Against>,
    purpose: String,
    episode: Episode,
}

/// A task that was counted to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Whose.
    pub tenant: TenantId,
    /// Of what its agent is a copy.
    pub blueprint: Blueprint,
    /// Who did it.
    pub agent: AgentId,
    /// The task.
    pub task: TaskId,
    /// Its kind of purpose: [`kind_of_purpose`].
    pub purpose: String,
    /// When it ended.
    pub at: Timestamp,
    /// What it did.
    pub episode: Episode,
}

/// A test that has told, and what it is about.
struct Told {
    watch: u128,
    alarm: Alarm,
    what: Option<String>,
}

impl Analyzer {
    /// From here on all tasks of agents with a blueprint are counted, for [`Analyzer::take_finished`].
    pub fn count_tasks(&mut self) {
        self.finished = Some(Vec::new());
    }

    /// The tasks that have ended since this was called last.
    pub fn take_finished(&mut self) -> Vec<Finished> {
        self.finished.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The usual case: there are no baselines, and nothing is to be done.
    fn is_watching(&self, event: &Event) -> bool {
        (!self.state.drift.is_empty() || self.finished.is_some())
            && event.agent.as_ref().is_some_and(|agent| agent.blueprint.is_some())
    }

    /// A baseline was approved.
    pub(crate) fn baseline(&mut self, event: &Sequenced<Event>, signed: &SignedBaseline) -> Vec<Finding> {
        let Err(why) = accept(&mut self.state.drift, &event.item, signed, &self.options) else {
            return Vec::new();
        };
        let reason = format!("a baseline cannot be used: {why}");
        self.tell(event, vec![Verdict::new(&rules::DRIFT_INVALID, Severity::Medium, "", reason)], None, None)
    }

    /// A call was made.
    pub(crate) fn drift_called(
        &mut self,
        event: &Sequenced<Event>,
        call: &ToolCall,
        called: &Called,
    ) -> Vec<Finding> {
        if !self.is_watching(&event.item) {
            return Vec::new();
        }
        let mut findings = Vec::new();
        if self.open_task(&event.item).is_some_and(|open| open.episode.is_over(event.item.time)) {
            findings = self.drift_ended(event);
        }
        let Some(told) = self.count(event, call, called) else { return findings };
        findings.extend(self.tell_drift(event, told, Some(call)));
        findings
    }

    fn count(&mut self, event: &Sequenced<Event>, call: &ToolCall, called: &Called) -> Option<Vec<Told>> {
        let item = &event.item;
        let (records, options) = (self.finished.is_some(), Arc::clone(&self.options));
        let State { roots, drift, .. } = &mut self.state;
        let Root { tasks, memory, .. } = roots.get_mut(&self.tree?)?;
        let Task { watching, envelope, closed, .. } = tasks.get_mut(&item.task.as_ref()?.id)?.as_mut();
        if closed.is_some() {
            return None;
        }
        let compiled = envelope.as_ref().and_then(|envelope| envelope.compiled.clone());
        if matches!(watching, Watching::Unknown) {
            *watching = begin(item, compiled.as_deref(), drift, records);
        }
        let Watching::Open(open) = watching else { return None };
        let Open { against, episode, .. } = open.as_mut();
        let narrow = against.as_ref().and_then(Against::narrow);
        let mut firsts: Vec<Reached> = Vec::new();
        firsts.extend(episode.call(&call.name, called.effect == Effect::Read, item.time));
        episode.bytes_out = episode.bytes_out.saturating_add(call.bytes_out.unwrap_or_default());
        if called.effect != Effect::Read
            && let Some(compiled) = &compiled
        {
            let is_known = |reached: &Reached| {
                let profile = narrow.filter(|_| !records).and_then(|key| drift.profile(key));
                profile.is_some_and(|profile| !profile.is_new(reached))
            };
            for reached in destinations(item, call, called, (compiled, memory), &options, is_known, episode) {
                firsts.extend(episode.reach(reached));
            }
        }
        let known = drift.profile(narrow?)?;
        firsts.retain(|first| known.is_new(first));
        let key = against.as_ref()?.blueprint?;
        let watch = drift.watch(key)?;
        let told = firsts.into_iter().filter_map(|first| {
            let alarm = watch.reached(&first, item.time)?;
            Some(Told { watch: key, alarm, what: Some(first.value) })
        });
        Some(told.collect())
    }

    /// A call was answered. `was_open`: it was requested before, so that what it sent was not counted yet.
    pub(crate) fn drift_answered(&mut self, event: &Event, call: &ToolCall, was_open: bool) {
        if !self.is_watching(event) {
            return;
        }
        let Some(open) = self.open_task(event) else { return };
        let episode = &mut open.episode;
        episode.failed = episode.failed.saturating_add(u32::from(call.is_error));
        let returned =
            call.result_bytes.unwrap_or_else(|| call.result.as_ref().map_or(0, |it| it.len() as u64));
        episode.bytes_in = episode.bytes_in.saturating_add(returned);
        if was_open {
            episode.bytes_out = episode.bytes_out.saturating_add(call.bytes_out.unwrap_or_default());
        }
    }

    /// A call was refused.
    pub(crate) fn drift_denied(&mut self, event: &Event) {
        if self.is_watching(event)
            && let Some(open) = self.open_task(event)
        {
            open.episode.denied = open.episode.denied.saturating_add(1);
        }
    }

    /// Work was handed on.
    pub(crate) fn drift_delegated(&mut self, event: &Event) {
        if self.is_watching(event)
            && let Some(open) = self.open_task(event)
        {
            open.episode.delegations = open.episode.delegations.saturating_add(1);
        }
    }

    /// A task has ended.
    pub(crate) fn drift_ended(&mut self, event: &Sequenced<Event>) -> Vec<Finding> {
        if !self.is_watching(&event.item) {
            return Vec::new();
        }
        let item = &event.item;
        let Some(open) = self.open_task(item) else { return Vec::new() };
        let (against, purpose) = (open.against, open.purpose.clone());
        let episode = std::mem::take(&mut open.episode);
        if episode.is_empty() {
            return Vec::new();
        }
        let told = against
            .map_or_else(Vec::new, |against| compare(&mut self.state.drift, &against, &episode, item.time));
        if let Some(finished) = &mut self.finished
            && let Some(agent) = &item.agent
            && let Some(blueprint) = agent.blueprint.clone()
            && let Some(task) = &item.task
        {
            finished.push(Finished {
                task: task.id.clone(),
                tenant: item.tenant.clone(),
                blueprint,
                agent: agent.uid.clone(),
                purpose,
                at: item.time,
                episode,
            });
        }
        self.tell_drift(event, told, None)
    }

    fn open_task(&mut self, event: &Event) -> Option<&mut Open> {
        let task = event.task.as_ref()?;
        let root = self.state.roots.get_mut(&self.tree?)?;
        match &mut root.tasks.get_mut(&task.id)?.watching {
            Watching::Open(open) => Some(open),
            Watching::Unknown | Watching::Nobody => None,
        }
    }

    fn tell_drift(&self, event: &Sequenced<Event>, told: Vec<Told>, call: Option<&ToolCall>) -> Vec<Finding> {
        let who = who(&event.item);
        let findings = told.into_iter().flat_map(|told| {
            let profile = self.state.drift.profile(told.watch);
            let verdict =
                profile.and_then(|profile| tell::verdict(profile, &told.alarm, &who, told.what.as_deref()));
            let mut findings = self.tell(event, verdict.into_iter().collect(), None, call);
            for finding in &mut findings {
                // INVARIANT A-4
                finding.baseline = profile.map(|profile| BaselineRef {
                    id: profile.baseline.id.as_str().to_owned(),
                    version: profile.baseline.version,
                });
            }
            findings
        });
        findings.collect()
    }
}

/// Begins to count a task, if there is a baseline for it or all are counted.
fn begin(event: &Event, compiled: Option<&Compiled>, drift: &Drift, records: bool) -> Watching {
    let purpose = compiled.map_or_else(String::new, |compiled| kind_of_purpose(&compiled.envelope.purpose));
    let against = drift.of(event, &purpose);
    if against.is_none() && !records {
        return Watching::Nobody;
    }
    Watching::Open(Box::new(Open { against, purpose, episode: Episode::default() }))
}

/// Compares a task that has ended with its baselines.
fn compare(drift: &mut Drift, against: &Against, episode: &Episode, now: Timestamp) -> Vec<Told> {
    let known = against.narrow().and_then(|key| drift.profile(key));
    let new = known.map(|profile| profile.new_classes(episode)).unwrap_or_default();
    let mut told = Vec::new();
    let mut add = |watch: u128, alarms: Vec<Alarm>| {
        told.extend(alarms.into_iter().map(|alarm| Told { watch, alarm, what: None }));
    };
    if let Some(key) = against.narrow()
        && let Some(watch) = drift.watch(key)
    {
        add(key, watch.end(episode, now));
    }
    if let Some(key) = against.blueprint
        && let Some(watch) = drift.watch(key)
    {
        add(key, watch.end_new(&new, now));
    }
    told
}

/// The destinations of a call that nobody has granted or named, but for those that the baseline knows: where these came
/// from need not be found out.
fn destinations(
    event: &Event,
    call: &ToolCall,
    called: &Called,
    (compiled, memory): (&Compiled, &Memory),
    options: &Options,
    is_known: impl Fn(&Reached) -> bool,
    episode: &mut Episode,
) -> Vec<Reached> {
    let Some(arguments) =
        call.arguments.as_ref().and_then(|raw| serde_json::from_str::<serde_json::Value>(raw.get()).ok())
    else {
        return Vec::new();
    };
    let reached =
        |kind, told, value: &str| Reached { thing: Thing::Target(kind), told, value: value.to_owned() };
    let mut targets = targets_of(called.reach, &arguments);
    targets.retain(|target| target.kind != TargetKind::Secret);
    for target in &targets {
        episode.destination(&target.value);
    }
    targets.retain(|target| !is_known(&reached(target.kind, false, &target.value)));
    if targets.is_empty() {
        return Vec::new();
    }
    let key = memory.has_fingerprints().then(|| options.fingerprint_key(&event.tenant)).flatten();
    let (grants, who) = (compiled.grants_of(&call.name), who(event));
    let subject = Subject {
        who: &who,
        tool: &call.name,
        reach: called.reach,
        grants: &grants,
        compiled,
        memory,
        has_strayed: false,
        arguments: &arguments,
    };
    let traced = flow::trace(targets, &subject, key.as_ref());
    let ungranted = traced.into_iter().filter(|traced| !traced.found.origin.is_granted());
    ungranted
        .map(|traced| reached(traced.target.kind, traced.found.origin.is_untrusted(), &traced.target.value))
        .collect()
}

/// Puts a baseline in force, unless something is wrong with it.
fn accept(
    drift: &mut Drift,
    event: &Event,
    signed: &SignedBaseline,
    options: &Options,
) -> Result<(), InvalidBaseline> {
    let refuse = |why: String| Err(InvalidBaseline::Content(why));
    let baseline: Baseline = signed.parse()?;
    if options.require_signature {
        signed.verify(&options.approver_keys)?;
    }
    if baseline.tenant != event.tenant {
        return refuse(format!("it is of tenant {}", baseline.tenant));
    }
    let agent = event.agent.as_ref().map(|agent| agent.uid.as_str());
    match &baseline.approved_by {
        None => return refuse("it is a draft: nobody has approved it".into()),
        Some(approver) if Some(approver.as_str()) == agent => {
            return refuse("an agent approved it for itself".into());
        }
        Some(_) => {}
    }
    if let Some((current, document)) = drift.in_force(&baseline) {
        if document == signed.document.get() {
            return Ok(());
        }
        if current.version >= baseline.version {
            let version = current.version;
            return refuse(format!("version {} came when version {version} was in force", baseline.version));
        }
    }
    if !drift.take(signed, baseline) {
        return refuse(format!("{BASELINES_MAX} others are in force"));
    }
    Ok(())
}
