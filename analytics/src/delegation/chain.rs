//! Who handed work to whom: the chain must lead up to the root task (`act` of RFC 8693), without circles, and be no
//! longer than the envelopes on it allow.

use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::Root;
use ambit_schemas::event::{Delegation, Event, TaskRef};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{AgentId, TaskId};
use ambit_schemas::limits::ACTOR_DEPTH_MAX;

/// Judges where a delegation stands in its tree. Returns whether it leads back to a task above.
pub(super) fn judge(
    item: &Event,
    task: &TaskRef,
    delegation: &Delegation,
    root: &Root,
    verdicts: &mut Vec<Verdict>,
) -> bool {
    let above = ancestors(task, root);
    depth(item, &above, delegation, root, verdicts);
    cycle(item, &above, delegation, root, verdicts);
    let child = &delegation.child_task_id;
    let chain = |reason: String, expected: &str, observed: &str| {
        Verdict::new(&rules::CHAIN, Severity::High, "", reason).seen(expected, observed)
    };
    let speaker = item.agent.as_ref().map(|agent| &agent.uid);
    let owner = agent_of(&task.id, root);
    if let Some(owner) = owner.filter(|owner| **owner != delegation.delegator) {
        let reason = format!("{} handed work on in the name of an agent whose task it is not", who(item));
        verdicts.push(chain(reason, owner.as_str(), delegation.delegator.as_str()));
    } else if speaker.is_some_and(|speaker| *speaker != delegation.delegator) {
        let reason = format!("{} handed work on in the name of another agent", who(item));
        let found = speaker.map_or("nobody", |speaker| speaker.as_str());
        verdicts.push(chain(reason, found, delegation.delegator.as_str()));
    }
    if let Some(known) = root.grants.get(child).filter(|known| known.parent != task.id) {
        let reason = format!("{} handed on a task that another task had handed on before", who(item));
        verdicts.push(chain(reason, known.parent.as_str(), task.id.as_str()));
    }
    above.contains(&child)
}

/// The task that hands on, and those above it, up to the root as far as is known.
fn ancestors<'a>(task: &'a TaskRef, root: &'a Root) -> Vec<&'a TaskId> {
    let mut chain = vec![&task.id];
    let mut told = task.parent.as_ref();
    while chain.len() <= ACTOR_DEPTH_MAX {
        let Some(last) = chain.last().copied().filter(|last| **last != task.root) else { break };
        let above = root.grants.get(last).map(|grant| &grant.parent).or(told.take());
        // A task whose parent nobody told hangs from the root.
        let above = above.unwrap_or(&task.root);
        if chain.contains(&above) {
            break;
        }
        chain.push(above);
    }
    chain
}

/// Whose task it is: the agent of its envelope, or else whoever it was handed to.
fn agent_of<'a>(task: &TaskId, root: &'a Root) -> Option<&'a AgentId> {
    let envelope = root.tasks.get(task).and_then(|task| task.envelope.as_ref()?.compiled.as_ref());
    let of_envelope = envelope.map(|compiled| &compiled.envelope.agent_uid);
    of_envelope.or_else(|| root.grants.get(task).map(|grant| &grant.delegatee))
}

/// How many hands the work has really been through. What the delegation says of itself is E-DELEG's to judge.
fn depth(item: &Event, above: &[&TaskId], delegation: &Delegation, root: &Root, verdicts: &mut Vec<Verdict>) {
    let hands = u32::try_from(above.len()).unwrap_or(u32::MAX);
    let bound = |task: &&TaskId| {
        let compiled = root.tasks.get(*task)?.envelope.as_ref()?.compiled.as_ref()?;
        Some(compiled.envelope.delegation.max_depth)
    };
    let own = above.first().and_then(bound);
    let is_told = own.is_some_and(|own| delegation.depth > own);
    // A bound counts from the root: an ancestor's holds for all that comes of it.
    let least = above.iter().filter_map(bound).min();
    if let Some(least) = least.filter(|least| hands > *least && !is_told) {
        let reason = format!(
            "{} handed on work that has been through more hands than an envelope above allows",
            who(item)
        );
        let verdict = Verdict::new(&rules::DEPTH, Severity::High, "", reason);
        verdicts.push(
            verdict.seen(format!("depth {least}"), format!("depth {hands}, told as {}", delegation.depth)),
        );
    } else if delegation.depth != hands && !is_told {
        let reason = format!("{} told another depth of its delegation than the tree has", who(item));
        let verdict = Verdict::new(&rules::CHAIN, Severity::Low, "", reason).about("depth");
        verdicts.push(verdict.seen(format!("depth {hands}"), format!("depth {}", delegation.depth)));
    }
}

/// Work that comes back to a task or an agent above.
fn cycle(item: &Event, above: &[&TaskId], delegation: &Delegation, root: &Root, verdicts: &mut Vec<Verdict>) {
    let child = &delegation.child_task_id;
    if above.contains(&child) {
        let reason = format!("{} handed work to a task from which it came", who(item));
        let verdict = Verdict::new(&rules::CYCLE, Severity::High, "", reason);
        verdicts.push(verdict.seen("a new task", child.as_str()));
        return;
    }
    // An agent may cut its own work into parts; handing it to somebody further up is a circle.
    let further_up = above.iter().skip(1).filter_map(|task| agent_of(task, root));
    let is_own = delegation.delegatee == delegation.delegator;
    if !is_own && further_up.into_iter().any(|agent| *agent == delegation.delegatee) {
        let reason = format!("{} handed work to an agent from which it came", who(item));
        let verdict = Verdict::new(&rules::CYCLE, Severity::Medium, "", reason);
        verdicts.push(verdict.seen("an agent that is not above", delegation.delegatee.as_str()));
    }
}
