//! Judges the use of a credential: by whom, in which task, and whether it was still good.

use super::held::{Held, InTask, Use, reference};
use super::{LEEWAY_US, Late, UNISSUED_MAX, after_expiry, after_revocation, after_task, foreign, held};
use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::{Root, State, TreeKey};
use ambit_schemas::Sequenced;
use ambit_schemas::event::{Credential, Event};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{CredentialId, TaskId};
use serde::{Deserialize, Serialize};

/// Users of a credential that are remembered: the latest use of each.
const USERS_MAX: usize = 16;
/// Tasks in which a credential was used that are remembered.
const TASKS_MAX: usize = 16;
/// Uses after which a credential whose issue nobody told is told itself, if no task ended before.
const UNKNOWN_USES: u32 = 100;

/// The delegation tree in which a credential is at home.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Home {
    tree: TreeKey,
    /// Whether it was issued there, or only used there first.
    issued: bool,
    /// The other tree of which it was told last.
    told: Option<TreeKey>,
}

/// A credential was presented.
pub(crate) fn used(event: &Sequenced<Event>, credential: &Credential, root: &mut Root) -> Vec<Verdict> {
    let item = &event.item;
    let by = credential.presented_by.as_ref().or(item.agent.as_ref().map(|agent| &agent.uid));
    let mut verdicts = Vec::new();
    let may_be_unknown =
        |held: &Held| held.since.is_none() && !held.told_unknown && held.used >= UNKNOWN_USES - 1;
    let hears_issuers = root.credentials.get(&credential.uid).is_some_and(may_be_unknown)
        && root.credentials.values().any(|held| held.since.is_some());
    let Some(held) = held(&credential.uid, root, UNISSUED_MAX) else { return verdicts };
    held.used = held.used.saturating_add(1);
    if let Some(by) = by {
        let verdict = foreign(held.agent.as_ref(), by, &who(item), &credential.uid);
        let known = held.uses.get(by).is_some_and(|known| known.at >= item.time);
        if !known && (held.uses.len() < USERS_MAX || held.uses.contains_key(by)) {
            held.uses.insert(by.clone(), Use::of(event, verdict.is_some()));
        }
        verdicts.extend(verdict);
    }
    if held.revoked.is_some_and(|ended| item.time >= ended) {
        verdicts.push(after_revocation(&who(item), &credential.uid));
    }
    if let Some(end) = held.expires.filter(|end| item.time >= end.plus_micros(LEEWAY_US)) {
        verdicts.push(after_expiry(&who(item), &credential.uid, end, item.time));
    }
    verdicts.extend(in_another_task(event, &credential.uid, held));
    if hears_issuers {
        held.told_unknown = true;
        verdicts.push(unknown(&who(item), &credential.uid, held.used));
    }
    let task = held.task.clone();
    let end = task.and_then(|task| root.tasks.get(&task)).and_then(|task| task.closed);
    if end.is_some_and(|end| item.time >= end) {
        verdicts.push(after_task(&who(item), &credential.uid));
    }
    verdicts
}

/// A call says with which credential it was made: what is known of that one is held against it. Remembers nothing: the
/// presentation itself is told by whoever took the credential.
pub(crate) fn presented(item: &Event, root: &Root) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let Some(uid) = &item.credential_used else { return verdicts };
    let Some(held) = root.credentials.get(uid) else { return verdicts };
    let by = item.agent.as_ref().map(|agent| &agent.uid).filter(|by| held.agent.as_ref() != Some(*by));
    if let Some(by) = by {
        verdicts.extend(foreign(held.agent.as_ref(), by, &who(item), uid));
    }
    if held.revoked.is_some_and(|ended| item.time >= ended) {
        verdicts.push(after_revocation(&who(item), uid));
    }
    if let Some(end) = held.expires.filter(|end| item.time >= end.plus_micros(LEEWAY_US)) {
        verdicts.push(after_expiry(&who(item), uid, end, item.time));
    }
    verdicts
}

/// A credential that was issued for one task, or used in one before, is used in another of the same tree.
fn in_another_task(event: &Sequenced<Event>, uid: &CredentialId, held: &mut Held) -> Option<Verdict> {
    let task = &event.item.task.as_ref()?.id;
    if held.tasks.iter().any(|known| known.task == *task) || held.tasks.len() >= TASKS_MAX {
        return None;
    }
    let owner =
        if held.since.is_some() { held.task.as_ref() } else { held.tasks.first().map(|first| &first.task) };
    let verdict =
        owner.filter(|owner| *owner != task).map(|owner| reused(&who(&event.item), uid, owner, task));
    held.tasks.push(InTask { task: task.clone(), event: reference(event), told: verdict.is_some() });
    verdict
}

/// Uses in other tasks than the one that it turns out to have been issued for.
pub(super) fn in_other_tasks(held: &mut Held, uid: &CredentialId) -> Vec<Late> {
    let Some(owner) = &held.task else { return Vec::new() };
    let unknown_then = held.tasks.iter_mut().filter(|used| !used.told && used.task != *owner);
    unknown_then
        .map(|used| {
            used.told = true;
            (reused("an agent", uid, owner, &used.task), used.event.clone())
        })
        .collect()
}

/// Notes in which delegation tree a credential was issued or used. Told when it is used in another one of this shard.
pub(crate) fn elsewhere(
    event: &Event,
    (tree, key): (TreeKey, u128),
    issued: bool,
    credential: &Credential,
    state: &mut State,
) -> Option<Verdict> {
    let home = state.homes.entry(key, || Home { tree, issued, told: None });
    if issued {
        (home.tree, home.issued, home.told) = (tree, true, None);
    }
    if home.tree == tree || home.told == Some(tree) {
        return None;
    }
    home.told = Some(tree);
    let how = if home.issued { "was issued for" } else { "was used in" };
    let reason = format!(
        "{} used credential {}, which {how} a task of another delegation tree",
        who(event),
        credential.uid
    );
    let severity = if home.issued { Severity::High } else { Severity::Medium };
    Some(Verdict::new(&rules::CREDENTIAL_REUSE, severity, "", reason))
}

fn reused(shown: &str, uid: &CredentialId, owner: &TaskId, task: &TaskId) -> Verdict {
    let reason = format!("{shown} used credential {uid} of task {owner} in task {task}");
    let verdict = Verdict::new(&rules::CREDENTIAL_REUSE, Severity::Medium, "", reason);
    verdict.seen(owner.as_str(), task.as_str())
}

/// A credential that nobody is known to have issued.
pub(super) fn unknown(shown: &str, uid: &CredentialId, uses: u32) -> Verdict {
    let reason = format!("{shown} used credential {uid}, of which no issue was ever told");
    let verdict = Verdict::new(&rules::CREDENTIAL_UNKNOWN, Severity::Low, "", reason);
    verdict.seen("an issue", format!("{uses} uses"))
}
