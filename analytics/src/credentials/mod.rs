//! Clauses about credentials: whose they are, what for, and for how long.
//!
//! Issue, use and end of one credential are told by different systems and come in any order: each is judged against
//! those that are known, by the time at which it happened, and what comes later judges what came before.

mod held;
mod issue;
mod stand;
mod usage;

pub(crate) use held::{Held, Use, reference};
pub(crate) use issue::{approved, issued, without_task};
pub(crate) use stand::{ended, task_closed};
pub(crate) use usage::{Home, elsewhere, presented, used};

use crate::describe::Verdict;
use crate::rules;
use crate::state::{PER_TASK_MAX, Root};
use ambit_schemas::event::Credential;
use ambit_schemas::finding::{EventRef, Severity};
use ambit_schemas::id::{AgentId, CredentialId};
use ambit_schemas::{Event, Timestamp};

/// Credentials of which no issue was told: half of all, so that uses of what does not exist leave room for what does.
const UNISSUED_MAX: usize = PER_TASK_MAX / 2;
/// How long after its expiry a use is put down to clocks that differ, in microseconds: RFC 7519 section 4.1.4 allows
/// "no more than a few minutes".
const LEEWAY_US: i64 = 60_000_000;

/// A verdict on an earlier event.
pub(crate) type Late = (Verdict, EventRef);

/// A credential is dead by revocation: whoever used it after that, as far as that was told before.
pub(crate) fn revoked(event: &Event, credential: &Credential, root: &mut Root) -> Vec<Late> {
    let Some(held) = held(&credential.uid, root, UNISSUED_MAX) else { return Vec::new() };
    let ended = held.revoked.map_or(event.time, |known| known.min(event.time));
    let known = held.revoked.replace(ended);
    let unknown_then = |used: &Use| used.at > ended && known.is_none_or(|known| used.at <= known);
    held.uses
        .iter()
        .filter(|(_, used)| unknown_then(used))
        .map(|(user, used)| (after_revocation(user.as_str(), &credential.uid), used.event.clone()))
        .collect()
}

/// A credential's time was over.
pub(crate) fn expired(event: &Event, credential: &Credential, root: &mut Root) -> Vec<Late> {
    let Some(held) = held(&credential.uid, root, UNISSUED_MAX) else { return Vec::new() };
    expires(held, &credential.uid, event.time)
}

/// Takes in when a credential's time is over: whoever used it after that, as far as that was told before.
fn expires(held: &mut Held, uid: &CredentialId, at: Timestamp) -> Vec<Late> {
    let end = held.expires.map_or(at, |known| known.min(at));
    let known = held.expires.replace(end);
    let unknown_then = |used: &Use| {
        let is_over = |end: Timestamp| used.at >= end.plus_micros(LEEWAY_US);
        is_over(end) && !known.is_some_and(is_over)
    };
    held.uses
        .iter()
        .filter(|(_, used)| unknown_then(used))
        .map(|(user, used)| (after_expiry(user.as_str(), uid, end, used.at), used.event.clone()))
        .collect()
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

fn after_revocation(shown: &str, uid: &CredentialId) -> Verdict {
    let reason = format!("{shown} used credential {uid} after it was revoked");
    Verdict::new(&rules::CREDENTIAL_REVOKED, Severity::Critical, "", reason)
}

fn after_expiry(shown: &str, uid: &CredentialId, end: Timestamp, at: Timestamp) -> Verdict {
    let reason = format!("{shown} used credential {uid} after its time was over");
    let verdict = Verdict::new(&rules::CREDENTIAL_EXPIRED, Severity::High, "", reason);
    verdict.seen(format!("before {end}"), at.to_string())
}

fn after_task(shown: &str, uid: &CredentialId) -> Verdict {
    let reason = format!("{shown} used credential {uid} after the task that it was issued for");
    Verdict::new(&rules::CREDENTIAL_AFTER_END, Severity::High, "", reason)
}
