//! Judges the issue of a credential: its life, its scopes, how many there are, and what it says about earlier uses.

use super::held::{Held, Issue};
use super::{Late, after_task, expires, foreign, held, usage};
use crate::compile::{Compiled, CredentialBound};
use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::{PER_TASK_MAX, Root};
use ambit_schemas::event::{Credential, Event};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{CredentialId, TaskId};
use ambit_schemas::{Sequenced, Timestamp};

/// Live credentials of one task, where its envelope does not say how many.
const LIVE_MAX: usize = 16;
/// Credentials whose place another has taken that are remembered per delegation tree.
const REPLACED_MAX: usize = 64;

/// What follows from an issue.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    /// Verdicts on the issue itself.
    pub(crate) now: Vec<Verdict>,
    /// Verdicts on uses that were told before it.
    pub(crate) late: Vec<Late>,
}

/// A credential was issued, or took another's place: whoever used it before that was told may have been another.
pub(crate) fn issued(event: &Sequenced<Event>, credential: &Credential, root: &mut Root) -> Issued {
    let item = &event.item;
    if let Some(previous) = &credential.previous_uid {
        replace(previous, root);
    }
    let (task, uid) = (item.task.as_ref().map(|task| &task.id), &credential.uid);
    let Some(held) = held(uid, root, PER_TASK_MAX) else { return Issued::default() };
    let issue = Issue::of(event, credential);
    held.task = task.cloned();
    held.agent = item.agent.as_ref().map(|agent| agent.uid.clone());
    let is_again = held.since.is_some();
    held.since = Some(held.since.map_or(issue.since, |known| known.min(issue.since)));
    held.is_replaced = false;
    // The end may have been told before the issue; an issue after the end is a new life.
    held.revoked = held.revoked.filter(|ended| *ended > item.time);
    held.expires = held.expires.filter(|ended| *ended > item.time);
    let mut late = by_others(held, uid);
    match (issue.expires, held.expires.filter(|_| is_again)) {
        // Issued again under the same name, such as by a refresh: it lives as long as the longer of both.
        (Some(end), Some(known)) => held.expires = Some(known.max(end)),
        (Some(end), None) => late.extend(expires(held, uid, end)),
        (None, _) => {}
    }
    late.extend(usage::in_other_tasks(held, uid));
    held.unjudged = Some(Box::new(issue));
    let Some(of) = task.and_then(|task| root.tasks.get(task)) else {
        return Issued { now: Vec::new(), late };
    };
    if let (Some(end), Some(held)) = (of.closed, root.credentials.get(uid)) {
        let after = held.uses.iter().filter(|(_, used)| used.at >= end);
        late.extend(after.map(|(user, used)| (after_task(user.as_str(), uid), used.event.clone())));
    }
    let Some(compiled) = of.envelope.as_ref().and_then(|envelope| envelope.compiled.clone()) else {
        return Issued { now: Vec::new(), late };
    };
    let unjudged = root.credentials.get_mut(uid).and_then(|held| held.unjudged.take());
    let mut now = unjudged.map_or_else(Vec::new, |issue| against(&issue, uid, &who(item), &compiled));
    now.extend(accumulated(item, root, &compiled));
    Issued { now, late }
}

/// An envelope is in force: credentials that were issued for its task before are compared with it.
pub(crate) fn approved(event: &Event, task: &TaskId, compiled: &Compiled, root: &mut Root) -> Vec<Late> {
    let mut late = Vec::new();
    for (uid, held) in &mut root.credentials {
        if held.task.as_ref() != Some(task) {
            continue;
        }
        let Some(issue) = held.unjudged.take() else { continue };
        let verdicts = against(&issue, uid, &who(event), compiled);
        late.extend(verdicts.into_iter().map(|verdict| (verdict, issue.event.clone())));
    }
    late
}

/// A credential was issued to an agent outside of any task: all of its life is standing privilege.
pub(crate) fn without_task(event: &Event, credential: &Credential) -> Option<Verdict> {
    if event.task.is_some() || event.agent.is_none() {
        return None;
    }
    let reason = format!("{} was issued credential {} without a task", who(event), credential.uid);
    let verdict = Verdict::new(&rules::CREDENTIAL_NO_TASK, Severity::Low, "", reason);
    let since = credential.not_before.unwrap_or(event.time);
    let life = credential.expires_at.map_or_else(
        || "valid until it is revoked".to_owned(),
        |end| format!("valid for {} s, none of them in a task", seconds(since, end)),
    );
    Some(verdict.seen("a credential of a task", life))
}

/// Uses by workloads that it was not issued to.
fn by_others(held: &mut Held, uid: &CredentialId) -> Vec<Late> {
    let owner = held.agent.clone();
    let unknown_then = held.uses.iter_mut().filter(|(_, used)| !used.foreign);
    unknown_then
        .filter_map(|(user, used)| {
            let verdict = foreign(owner.as_ref(), user, user.as_str(), uid)?;
            used.foreign = true;
            Some((verdict, used.event.clone()))
        })
        .collect()
}

/// A credential whose place another has taken counts no longer as one that the task holds.
fn replace(previous: &CredentialId, root: &mut Root) {
    let Some(held) = root.credentials.get_mut(previous).filter(|held| !held.is_replaced) else { return };
    held.is_replaced = true;
    root.replaced.push_back(previous.clone());
    if root.replaced.len() > REPLACED_MAX
        && let Some(oldest) = root.replaced.pop_front()
        && root.credentials.get(&oldest).is_some_and(|held| held.is_replaced)
    {
        root.credentials.remove(&oldest);
    }
}

/// What the envelope says about a credential: who may issue it, with which scopes, for how long.
fn against(issue: &Issue, uid: &CredentialId, who: &str, compiled: &Compiled) -> Vec<Verdict> {
    let grants = &compiled.credentials;
    if grants.is_empty() {
        return Vec::new();
    }
    // Where it is not told who issued it, any of them may have.
    let may_be_of = |grant: &CredentialBound| issue.issuer.as_ref().is_none_or(|issuer| grant.is_of(issuer));
    let fits: Vec<_> = grants.iter().enumerate().filter(|(_, grant)| may_be_of(grant)).collect();
    let granted = &compiled.envelope.credentials;
    let Some((first, _)) = fits.first() else {
        let reason = format!("{who} holds credential {uid} of an issuer that its envelope does not name");
        let verdict = Verdict::new(&rules::CREDENTIAL_SCOPE, Severity::High, "/credentials", reason);
        let issuers: Vec<&str> = granted.iter().take(8).map(|grant| grant.issuer.as_str()).collect();
        return vec![
            verdict.seen(issuers.join(", "), issue.issuer.as_deref().unwrap_or("an unnamed issuer")),
        ];
    };
    let breaks = |index: usize| {
        let bound = granted.get(index);
        let beyond: Vec<&str> = compiled.credentials.get(index).map_or_else(Vec::new, |grant| {
            issue.scopes.iter().map(String::as_str).filter(|scope| !grant.allows(scope)).collect()
        });
        let most = bound.and_then(|bound| bound.max_ttl_seconds);
        let life = issue.expires.map(|end| seconds(issue.since, end));
        // A life without an end is longer than any bound.
        let too_long = most.filter(|most| life.is_none_or(|life| life > *most)).map(|most| (most, life));
        (beyond, too_long)
    };
    if fits.iter().any(|(index, _)| matches!(breaks(*index), (beyond, None) if beyond.is_empty())) {
        return Vec::new();
    }
    let (beyond, too_long) = breaks(*first);
    let mut verdicts = Vec::new();
    if !beyond.is_empty() {
        let reason = format!("{who} holds credential {uid} with scopes that its envelope does not grant");
        let pointer = format!("/credentials/{first}/scopes");
        let verdict = Verdict::new(&rules::CREDENTIAL_SCOPE, Severity::High, &pointer, reason);
        let scopes = granted.get(*first).map_or_else(String::new, |grant| grant.scopes.join(", "));
        verdicts.push(verdict.seen(scopes, beyond.join(", ")));
    }
    if let Some((most, life)) = too_long {
        let reason = format!("{who} holds credential {uid}, which lives longer than its envelope allows");
        let pointer = format!("/credentials/{first}/max_ttl_seconds");
        let verdict = Verdict::new(&rules::CREDENTIAL_TTL, Severity::Medium, &pointer, reason);
        let found = life.map_or_else(|| "no end".to_owned(), |life| format!("{life} s"));
        verdicts.push(verdict.seen(format!("at most {most} s"), found));
    }
    verdicts
}

/// More credentials of the task are alive at this moment than it may have; told once.
fn accumulated(event: &Event, root: &mut Root, compiled: &Compiled) -> Option<Verdict> {
    let task = &event.task.as_ref()?.id;
    let of_task = |held: &&Held| held.task.as_ref() == Some(task) && held.is_live(event.time);
    let live = root.credentials.values().filter(of_task).count();
    let bound = compiled.envelope.budgets.max_live_credentials;
    let most = bound.map_or(LIVE_MAX, |most| most as usize);
    let pointer = if bound.is_some() { "/budgets/max_live_credentials" } else { "" };
    let is_new = live > most && root.tasks.get_mut(task)?.exceeded.insert("live credentials".to_owned());
    if !is_new {
        return None;
    }
    let reason = format!("{} holds {live} live credentials for one task", who(event));
    let verdict = Verdict::new(&rules::CREDENTIAL_ACCUMULATE, Severity::Medium, pointer, reason);
    Some(verdict.seen(format!("at most {most}"), live.to_string()))
}

/// Whole seconds of a life, a begun one as a whole.
fn seconds(since: Timestamp, end: Timestamp) -> u64 {
    end.micros_since(since).max(0).unsigned_abs().div_ceil(1_000_000)
}
