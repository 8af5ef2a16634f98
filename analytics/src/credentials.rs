//! Clauses about credentials: whose they are, and for how long.

use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::{Held, PER_TASK_MAX, Root};
use ambit_schemas::Event;
use ambit_schemas::event::Credential;
use ambit_schemas::finding::Severity;

/// A credential was issued, or took another's place.
pub(crate) fn issued(event: &Event, credential: &Credential, root: &mut Root) {
    if let Some(previous) = &credential.previous_uid {
        root.credentials.remove(previous);
    }
    if root.credentials.len() >= PER_TASK_MAX {
        return;
    }
    let held = Held {
        task: event.task.as_ref().map(|task| task.id.clone()),
        agent: event.agent.as_ref().map(|agent| agent.uid.clone()),
        revoked: false,
    };
    root.credentials.insert(credential.uid.clone(), held);
}

/// A credential is dead.
pub(crate) fn ended(credential: &Credential, root: &mut Root) {
    if let Some(held) = root.credentials.get_mut(&credential.uid) {
        held.revoked = true;
    }
}

/// A credential was presented.
pub(crate) fn used(event: &Event, credential: &Credential, root: &Root) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let Some(held) = root.credentials.get(&credential.uid) else { return verdicts };
    let by = credential.presented_by.as_ref().or(event.agent.as_ref().map(|agent| &agent.uid));
    if let (Some(owner), Some(by)) = (&held.agent, by)
        && owner != by
    {
        let reason = format!(
            "{} used credential {}, which was issued to another workload",
            who(event),
            credential.uid
        );
        let verdict = Verdict::new(&rules::CREDENTIAL_FOREIGN, Severity::Critical, "", reason);
        verdicts.push(verdict.seen(owner.as_str(), by.as_str()));
    }
    if held.revoked {
        let reason = format!("{} used credential {} after it was revoked", who(event), credential.uid);
        verdicts.push(Verdict::new(&rules::CREDENTIAL_REVOKED, Severity::Critical, "", reason));
    }
    let over = held.task.as_ref().and_then(|task| root.tasks.get(task)).is_some_and(|task| task.closed);
    if over {
        let reason = format!(
            "{} used credential {} after the task that it was issued for",
            who(event),
            credential.uid
        );
        verdicts.push(Verdict::new(&rules::CREDENTIAL_AFTER_END, Severity::High, "", reason));
    }
    verdicts
}
