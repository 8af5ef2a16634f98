//! Clauses about an agent's life: who is paused or out of service does not act, and one task has one running copy.
//!
//! A step in an agent's life that names a task holds in that task's delegation tree, and is complete: the tree is one
//! shard. A step without a task holds for the agent wherever it acts in this shard; such events are keyed by the agent,
//! so that of several shards only the one that the agent's name falls on hears them.

use crate::bounded::Bounded;
use crate::describe::{Verdict, who};
use crate::prepare::hash;
use crate::rules;
use crate::state::{Root, State, Task, Told, TreeKey};
use ambit_schemas::Timestamp;
use ambit_schemas::event::{Event, Lifecycle};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{AgentId, InstanceId};
use serde::{Deserialize, Serialize};

/// Running copies of a task's agent that are remembered.
const COPIES_MAX: usize = 8;
/// How far clocks of two hosts may differ, in microseconds: two copies that are seen at once for less are one after the
/// other.
const AT_ONCE_US: i64 = 5_000_000;
/// Agents whose life is remembered per shard, and per delegation tree.
pub(crate) const AGENTS_MAX: usize = 65_536;
const AGENTS_PER_TREE_MAX: usize = 256;
/// Sessions that are remembered per shard.
pub(crate) const SESSIONS_MAX: usize = 65_536;

/// What is known of an agent's life.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Life {
    /// Since when it is paused, and since when it goes on: the latest of each.
    paused: Option<Timestamp>,
    resumed: Option<Timestamp>,
    /// Since when it is out of service.
    offboarded: Option<Timestamp>,
    /// When it was created, or came back.
    created: Option<Timestamp>,
}

/// Agents of the shard, by tenant and agent.
pub(crate) type Lives = Bounded<Life, AGENTS_MAX>;

/// Where a session was seen last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    tree: TreeKey,
}

/// Sessions of the shard, by tenant, agent and session.
pub(crate) type Sessions = Bounded<Session, SESSIONS_MAX>;

/// A running copy in a task, with the time between its first and its last action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Copy {
    instance: InstanceId,
    first: Timestamp,
    last: Timestamp,
}

/// A step in an agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Created,
    Cloned,
    Paused,
    Resumed,
    Offboarded,
}

impl Life {
    fn take(&mut self, step: Step, at: Timestamp) {
        let latest = |known: &mut Option<Timestamp>| *known = Some(known.map_or(at, |known| known.max(at)));
        match step {
            Step::Created => latest(&mut self.created),
            Step::Paused => latest(&mut self.paused),
            Step::Resumed => latest(&mut self.resumed),
            Step::Offboarded => latest(&mut self.offboarded),
            Step::Cloned => {}
        }
    }

    /// Since when it may not act, at that moment: by being out of service, or paused.
    fn at_rest(&self, at: Timestamp) -> Option<(Timestamp, bool)> {
        let holds = |since: Option<Timestamp>, back: Option<Timestamp>| {
            let since = since.filter(|since| *since <= at)?;
            let is_back = back.is_some_and(|back| back > since && back <= at);
            (!is_back).then_some(since)
        };
        let gone = holds(self.offboarded, self.created).map(|since| (since, true));
        gone.or_else(|| holds(self.paused, self.resumed.max(self.created)).map(|since| (since, false)))
    }
}

/// Takes in a step of an agent's life.
pub(crate) fn step(event: &Event, step: Step, tree: Option<TreeKey>, state: &mut State) {
    let Some(agent) = &event.agent else { return };
    let Some(tree) = tree else {
        state.lives.entry(key(event, &agent.uid), Life::default).take(step, event.time);
        return;
    };
    let root = state.root(tree);
    if root.lives.len() < AGENTS_PER_TREE_MAX || root.lives.contains_key(&agent.uid) {
        root.lives.entry(agent.uid.clone()).or_default().take(step, event.time);
    }
    if step == Step::Cloned
        && let Some(task) = event.task.as_ref().and_then(|task| root.task(&task.id))
    {
        task.told.first(Told::CLONE);
    }
}

/// An agent was given another task: what it still does in the old one comes from a session that should be over.
pub(crate) fn retasked(event: &Event, lifecycle: &Lifecycle, tree: Option<TreeKey>, state: &mut State) {
    let Some(previous) = &lifecycle.previous_task_id else { return };
    // The old task may be one of this tree, or a root task of this shard.
    let own = tree.filter(|tree| state.roots.get(tree).is_some_and(|root| root.tasks.contains_key(previous)));
    let tree = own.unwrap_or_else(|| TreeKey::of_root(&event.tenant, previous));
    let task = state.roots.get_mut(&tree).and_then(|root| root.tasks.get_mut(previous));
    if let Some(task) = task {
        task.left = Some(task.left.map_or(event.time, |known| known.min(event.time)));
    }
}

/// An agent acts: may it, at this moment?
pub(crate) fn acts(event: &Event, tree: Option<TreeKey>, state: &State) -> Option<Verdict> {
    let agent = event.agent.as_ref()?;
    let root = tree.and_then(|tree| state.roots.get(&tree));
    let in_tree = root.filter(|root| !root.lives.is_empty()).and_then(|root| root.lives.get(&agent.uid));
    let at_large = if state.lives.is_empty() { None } else { state.lives.get(key(event, &agent.uid)) };
    let rests = |life: Option<&Life>| life.and_then(|life| life.at_rest(event.time));
    let (since, gone) = match (rests(in_tree), rests(at_large)) {
        (Some(found), Some((since, true))) if !found.1 => (since, true),
        (found, other) => found.or(other)?,
    };
    let (rule, what) = if gone {
        (&rules::OFFBOARDED, "after it was taken out of service")
    } else {
        (&rules::PAUSED, "while it is paused")
    };
    let reason = format!("{} acts {what}", who(event));
    let verdict = Verdict::new(rule, Severity::High, "", reason);
    Some(verdict.seen(format!("nothing after {since}"), event.time.to_string()))
}

/// An agent acts in a task: from which running copy, and in which session?
pub(crate) fn in_task(event: &Event, tree: TreeKey, state: &mut State, registered: bool) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let Some((agent, at)) = event.agent.as_ref().zip(event.task.as_ref()) else { return verdicts };
    let mut is_new_session = false;
    if let Some(task) = state.roots.get_mut(&tree).and_then(|root: &mut Root| root.tasks.get_mut(&at.id)) {
        if let Some(instance) = &agent.instance_uid {
            verdicts.extend(copies(event, instance, task));
        }
        if task.left.is_some_and(|left| left <= event.time) && task.told.first(Told::LEFT) {
            let reason = format!("{} goes on with a task after it was given another one", who(event));
            verdicts.push(Verdict::new(&rules::STALE_SESSION, Severity::Medium, "", reason).about("left"));
        }
        if !registered && task.told.first(Told::UNREGISTERED) {
            let reason = format!("{} acts and stands in no register of agents", who(event));
            let verdict = Verdict::new(&rules::UNREGISTERED, Severity::Medium, "", reason);
            verdicts.push(verdict.seen("a registered agent", agent.uid.as_str()));
        }
        if let Some(session) =
            event.session.as_deref().filter(|session| task.session.as_deref() != Some(session))
        {
            task.session = Some(session.into());
            is_new_session = true;
        }
    }
    if is_new_session {
        verdicts.extend(session(event, &agent.uid, tree, state));
    }
    verdicts
}

/// A session that served another root task, which is over, goes on under this one.
fn session(event: &Event, agent: &AgentId, tree: TreeKey, state: &mut State) -> Option<Verdict> {
    let session = event.session.as_deref()?;
    let key = hash(&["session", event.tenant.as_str(), agent.as_str(), session]);
    let known = state.sessions.entry(key, || Session { tree });
    let before = std::mem::replace(&mut known.tree, tree);
    let is_over = before != tree
        && state.roots.get(&before).is_some_and(|root| root.closed.is_some_and(|end| end <= event.time));
    if !is_over {
        return None;
    }
    let reason = format!("{} goes on under a new task in the session of one that is over", who(event));
    Some(Verdict::new(&rules::STALE_SESSION, Severity::Low, "", reason))
}

/// Two running copies of an agent act in one task at the same time; told once.
fn copies(event: &Event, instance: &InstanceId, task: &mut Task) -> Option<Verdict> {
    let at = event.time;
    let has_room = task.copies.len() < COPIES_MAX;
    match task.copies.iter_mut().find(|copy| copy.instance == *instance) {
        Some(copy) => (copy.first, copy.last) = (copy.first.min(at), copy.last.max(at)),
        None if has_room => task.copies.push(Copy { instance: instance.clone(), first: at, last: at }),
        None => return None,
    }
    if task.copies.len() < 2 {
        return None;
    }
    let own = task.copies.iter().find(|copy| copy.instance == *instance)?;
    let at_once = |other: &&Copy| {
        let shared = own.last.min(other.last).micros_since(own.first.max(other.first));
        other.instance != *instance
            && (shared >= AT_ONCE_US || is_inside(own, other) || is_inside(other, own))
    };
    let other = task.copies.iter().find(at_once)?.instance.clone();
    if !task.told.first(Told::CLONE) {
        return None;
    }
    let reason = format!("{} acts in one task from two running copies at once", who(event));
    let verdict = Verdict::new(&rules::CLONE, Severity::High, "", reason);
    Some(verdict.seen(other.as_str(), instance.as_str()))
}

/// Whether one copy acted before and after all that the other did, by more than clocks may differ.
fn is_inside(inner: &Copy, outer: &Copy) -> bool {
    inner.first.micros_since(outer.first) >= AT_ONCE_US && outer.last.micros_since(inner.last) >= AT_ONCE_US
}

fn key(event: &Event, agent: &AgentId) -> u128 {
    hash(&["agent", event.tenant.as_str(), agent.as_str()])
}
