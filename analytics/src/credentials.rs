//! Clauses about credentials: whose they are, and for how long.
//!
//! Issue, use and end of one credential are told by different systems and come in any order: each is judged against
//! those that are known, by the time at which it happened, and what comes later judges what came before.

use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::{Held, PER_TASK_MAX, Root, Use};
use ambit_schemas::event::Credential;
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{AgentId, CredentialId};
use ambit_schemas::{Event, Sequenced};

/// Users of a credential that are remembered: the latest use of each.
const USERS_MAX: usize = 16;

/// Credentials of which no issue was told: half of all, so that uses of what does not exist leave room for what does.
const UNISSUED_MAX: usize = PER_TASK_MAX / 2;

/// A verdict, and the use that it is about where that is an earlier event.
pub(crate) type Late = (Verdict, Use);

/// A credential was issued, or took another's place: whoever used it before that was told may have been another.
pub(crate) fn issued(event: &Event, credential: &Credential, root: &mut Root) -> Vec<Late> {
    if let Some(previous) = &credential.previous_uid {
        root.credentials.remove(previous);
    }
    let Some(held) = held(&credential.uid, root, PER_TASK_MAX) else { return Vec::new() };
    held.task = event.task.as_ref().map(|task| task.id.clone());
    held.agent = event.agent.as_ref().map(|agent| agent.uid.clone());
    // The end may have been told before the issue; an issue after the end is a new life.
    held.ended = held.ended.filter(|ended| *ended > event.time);
    let mut told = Vec::new();
    let (owner, uid) = (held.agent.clone(), &credential.uid);
    for (user, used) in held.uses.iter_mut().filter(|(_, used)| !used.foreign) {
        if let Some(verdict) = foreign(owner.as_ref(), user, user.as_str(), uid) {
            used.foreign = true;
            told.push((verdict, used.clone()));
        }
    }
    told
}

/// A credential is dead: whoever used it after that, as far as that was told before.
pub(crate) fn ended(event: &Event, credential: &Credential, root: &mut Root) -> Vec<Late> {
    let Some(held) = held(&credential.uid, root, UNISSUED_MAX) else { return Vec::new() };
    let ended = held.ended.map_or(event.time, |known| known.min(event.time));
    let known = held.ended.replace(ended);
    let unknown_then = |used: &Use| used.at > ended && known.is_none_or(|known| used.at <= known);
    held.uses
        .iter()
        .filter(|(_, used)| unknown_then(used))
        .map(|(user, used)| (revoked(user.as_str(), &credential.uid), used.clone()))
        .collect()
}

/// A credential was presented.
pub(crate) fn used(event: &Sequenced<Event>, credential: &Credential, root: &mut Root) -> Vec<Verdict> {
    let item = &event.item;
    let by = credential.presented_by.as_ref().or(item.agent.as_ref().map(|agent| &agent.uid));
    let mut verdicts = Vec::new();
    let Some(held) = held(&credential.uid, root, UNISSUED_MAX) else { return verdicts };
    if let Some(by) = by {
        let verdict = foreign(held.agent.as_ref(), by, &who(item), &credential.uid);
        let known = held.uses.get(by).is_some_and(|known| known.at >= item.time);
        if !known && (held.uses.len() < USERS_MAX || held.uses.contains_key(by)) {
            held.uses.insert(by.clone(), Use::of(event, verdict.is_some()));
        }
        verdicts.extend(verdict);
    }
    if held.ended.is_some_and(|ended| item.time >= ended) {
        verdicts.push(revoked(&who(item), &credential.uid));
    }
    let task = held.task.clone();
    let over = task.and_then(|task| root.tasks.get(&task)).is_some_and(|task| task.closed);
    if over {
        let reason =
            format!("{} used credential {} after the task that it was issued for", who(item), credential.uid);
        verdicts.push(Verdict::new(&rules::CREDENTIAL_AFTER_END, Severity::High, "", reason));
    }
    verdicts
}

/// What is known of a credential; `None` when it is new and the tree has `most` already.
fn held<'a>(uid: &CredentialId, root: &'a mut Root, most: usize) -> Option<&'a mut Held> {
    if !root.credentials.contains_key(uid) && root.credentials.len() >= most {
        return None;
    }
    Some(root.credentials.entry(uid.clone()).or_default())
}

fn foreign(owner: Option<&AgentId>, by: &AgentId, shown: &str, uid: &CredentialId) -> Option<Verdict> {
    let owner = owner.filter(|owner| *owner != by)?;
    let reason = format!("{shown} used credential {uid}, which was issued to another workload");
    let verdict = Verdict::new(&rules::CREDENTIAL_FOREIGN, Severity::Critical, "", reason);
    Some(verdict.seen(owner.as_str(), by.as_str()))
}

fn revoked(shown: &str, uid: &CredentialId) -> Verdict {
    let reason = format!("{shown} used credential {uid} after it was revoked");
    Verdict::new(&rules::CREDENTIAL_REVOKED, Severity::Critical, "", reason)
}
