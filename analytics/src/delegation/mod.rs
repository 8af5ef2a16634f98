//! Clauses about work that is handed on: how far, to whom, on whose word, and that a child may do no more than its
//! parent. Everything here is within one delegation tree, which is one shard, so nothing is out of sight.

mod attenuate;
mod chain;

pub(crate) use attenuate::enveloped;

use crate::compile::Compiled;
use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::{Root, TASKS_MAX, Task, Told};
use ambit_schemas::event::{Delegation, Event, TaskRef};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{AgentId, TaskId};
use ambit_schemas::{Sequenced, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How long an agent may act in a child task before its delegation is told, in microseconds of event time: the two are
/// told by different systems.
const ORPHAN_US: i64 = 30_000_000;

/// Work that was handed on: what is remembered of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// The task that handed it on.
    pub(crate) parent: TaskId,
    pub(crate) delegatee: AgentId,
    pub(crate) tools: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) revoked: Option<Timestamp>,
}

/// What follows from a delegation.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) verdicts: Vec<Verdict>,
    /// The envelope of whoever hands on.
    pub(crate) compiled: Option<Arc<Compiled>>,
    /// A verdict on the child's envelope, which was told before, with that envelope.
    pub(crate) child: Option<(Verdict, Arc<Compiled>)>,
}

/// Work is handed on.
pub(crate) fn granted(event: &Sequenced<Event>, delegation: &Delegation, root: &mut Root) -> Granted {
    let item = &event.item;
    let Some(task) = &item.task else { return Granted::default() };
    let compiled = root.compiled(&task.id);
    let mut verdicts = Vec::new();
    match &compiled {
        // INVARIANT A-3
        None => {
            let reason = format!("{} handed work on without an approved envelope", who(item));
            verdicts.push(Verdict::new(&rules::NO_ENVELOPE, Severity::High, "", reason));
        }
        Some(compiled) => {
            verdicts.extend(by_envelope(item, delegation, compiled));
            verdicts.extend(attenuate::handed_on(item, delegation, compiled));
        }
    }
    let is_circle = chain::judge(item, task, delegation, root, &mut verdicts);
    let child = &delegation.child_task_id;
    let is_new = !is_circle && !root.grants.contains_key(child);
    if is_new && root.grants.len() < TASKS_MAX {
        let grant = Grant {
            parent: task.id.clone(),
            delegatee: delegation.delegatee.clone(),
            tools: delegation.tools.clone(),
            scopes: delegation.scopes.clone(),
            expires: delegation.expires_at,
            revoked: None,
        };
        root.grants.insert(child.clone(), grant);
    }
    let child = attenuate::enveloped(item, child, root).filter(|_| is_new).zip(root.compiled(child));
    Granted { verdicts, compiled, child }
}

/// Work is taken back.
pub(crate) fn revoked(event: &Event, delegation: &Delegation, root: &mut Root) {
    if let Some(grant) = root.grants.get_mut(&delegation.child_task_id) {
        grant.revoked = Some(grant.revoked.map_or(event.time, |known| known.min(event.time)));
    }
}

/// What the delegator's own envelope says about the delegation as it was told.
fn by_envelope(item: &Event, delegation: &Delegation, compiled: &Compiled) -> Vec<Verdict> {
    let bounds = &compiled.envelope.delegation;
    let mut verdicts = Vec::new();
    if delegation.depth > bounds.max_depth {
        let reason = format!("{} handed work on further than its envelope allows", who(item));
        let verdict = Verdict::new(&rules::DELEGATION, Severity::High, "/delegation/max_depth", reason);
        verdicts
            .push(verdict.seen(format!("depth {}", bounds.max_depth), format!("depth {}", delegation.depth)));
    }
    if !compiled.may_delegate_to(delegation.delegatee.as_str()) {
        let reason = format!("{} handed work to an agent that its envelope does not name", who(item));
        let verdict = Verdict::new(&rules::DELEGATION, Severity::High, "/delegation/delegates", reason);
        verdicts.push(verdict.seen(bounds.delegates.join(", "), delegation.delegatee.as_str()));
    }
    verdicts
}

/// An agent acts in a task that was handed on. Costs a comparison when it acts in the root task.
pub(crate) fn acts(item: &Event, root: &mut Root) -> Vec<Verdict> {
    let Some(TaskRef { id, root: top, parent }) = item.task.as_ref().filter(|task| task.id != task.root)
    else {
        return Vec::new();
    };
    let grant = root.grants.get(id);
    let above = grant.map(|grant| &grant.parent).or(parent.as_ref()).unwrap_or(top);
    let ended = root.tasks.get(above).and_then(|task| task.closed).filter(|end| *end <= item.time);
    let over = grant.and_then(|grant| grant.expires.into_iter().chain(grant.revoked).min());
    let over = over.filter(|end| *end <= item.time);
    let told_parent = parent.as_ref().zip(grant).filter(|(parent, grant)| **parent != grant.parent);
    let other_parent = told_parent.map(|(parent, grant)| (grant.parent.clone(), parent.clone()));
    let agent = item.agent.as_ref().map(|agent| &agent.uid);
    let other_agent =
        grant.map(|grant| &grant.delegatee).filter(|delegatee| Some(*delegatee) != agent).cloned();
    let is_granted = grant.is_some();
    let Some(task) = root.tasks.get_mut(id) else { return Vec::new() };
    let first = *task.first_act.get_or_insert(item.time);
    let mut verdicts = Vec::new();
    if let Some(end) = ended.or(over)
        && task.told.first(Told::OUTLIVES)
    {
        verdicts.push(outlives(item, end, ended.is_some()));
    }
    if let Some((granted, told)) = other_parent
        && task.told.first(Told::CHAIN)
    {
        let reason = format!("{} acts in a task that another one than its parent handed on", who(item));
        let verdict = Verdict::new(&rules::CHAIN, Severity::High, "", reason);
        verdicts.push(verdict.seen(granted.as_str(), told.as_str()));
    }
    if let Some(delegatee) = other_agent
        && task.told.first(Told::DELEGATE)
    {
        verdicts.push(not_the_delegatee(item, &delegatee, agent));
    }
    if !is_granted && item.time.micros_since(first) >= ORPHAN_US && task.told.first(Told::ORPHAN) {
        verdicts.push(orphan(item));
    }
    verdicts
}

/// A child task is over, and nobody has told who handed it on.
pub(crate) fn closes(item: &Event, id: &TaskId, is_granted: bool, task: &mut Task) -> Option<Verdict> {
    let is_child = item.task.as_ref().is_some_and(|task| task.id != task.root && task.id == *id);
    let is_orphan = is_child && !is_granted && task.first_act.is_some();
    (is_orphan && task.told.first(Told::ORPHAN)).then(|| orphan(item))
}

fn orphan(item: &Event) -> Verdict {
    let reason = format!("{} acts in a task that nobody is known to have handed on", who(item));
    Verdict::new(&rules::ORPHAN, Severity::Medium, "", reason).seen("a delegation", "none")
}

fn outlives(item: &Event, end: Timestamp, parent: bool) -> Verdict {
    let what = if parent { "the task that handed it on was over" } else { "its delegation was over" };
    let reason = format!("{} goes on with a task after {what}", who(item));
    let verdict = Verdict::new(&rules::OUTLIVES, Severity::High, "", reason);
    verdict.seen(format!("before {end}"), item.time.to_string())
}

fn not_the_delegatee(item: &Event, delegatee: &AgentId, found: Option<&AgentId>) -> Verdict {
    let reason = format!("{} acts in a task that was handed to another agent", who(item));
    let verdict = Verdict::new(&rules::DELEGATE, Severity::Medium, "", reason);
    verdict.seen(delegatee.as_str(), found.map_or("nobody", |agent| agent.as_str()))
}
