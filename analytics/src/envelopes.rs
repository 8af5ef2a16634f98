//! The bounds of a task: when they come into force, when they are over, and what a human approves within them.

use crate::analyzer::Analyzer;
use crate::calls;
use crate::credentials::{self, Late};
use crate::delegation;
use crate::describe::{Verdict, who};
use crate::prepare::{Prepared, hash};
use crate::rules;
use crate::state::{Given, InForce, Kept, PER_TASK_MAX};
use ambit_schemas::envelope::SignedEnvelope;
use ambit_schemas::event::{Approval, Event, TaskRef};
use ambit_schemas::finding::{Finding, Severity};
use ambit_schemas::{Sequenced, Timestamp};
use std::sync::Arc;

/// By how much clocks may differ before an action that was told before its task's end counts as one after it, in
/// microseconds.
const CLOCK_US: i64 = 5_000_000;

impl Analyzer {
    /// An envelope was approved, or amended.
    pub(crate) fn envelope(
        &mut self,
        prepared: &Prepared<'_>,
        signed: &SignedEnvelope,
        amendment: bool,
    ) -> Vec<Finding> {
        let event = prepared.event();
        let item = &event.item;
        let agent = item.agent.as_ref().map(|agent| agent.uid.as_str());
        let refused = |rule, why: String| vec![Verdict::new(rule, Severity::High, "", why)];
        let approver = match &prepared.envelope {
            Some(Ok(compiled)) => Some(compiled.envelope.approved_by.as_str().to_owned()),
            Some(Err(_)) | None => approved_by(signed),
        };
        if approver.as_deref().is_some_and(|approver| Some(approver) == agent) {
            let why = format!("{} approved the bounds of its own task", who(item));
            return self.tell(event, refused(&rules::SELF_APPROVAL, why), None, None);
        }
        let compiled = match &prepared.envelope {
            None => return Vec::new(),
            Some(Ok(compiled)) => Arc::clone(compiled),
            Some(Err(error)) => {
                let why = format!("an envelope for {} cannot be used: {error}", who(item));
                return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
            }
        };
        let (Some(TaskRef { id, .. }), Some(tree)) = (&item.task, self.tree) else {
            let why = "an envelope came without a task".to_owned();
            return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
        };
        if compiled.envelope.task_id != *id {
            let why = format!("an envelope for task {} came under task {id}", compiled.envelope.task_id);
            return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
        }
        let root = self.state.root(tree);
        let Some(task) = root.task(id) else { return Vec::new() };
        let current = task.envelope.as_ref().and_then(|envelope| envelope.compiled.as_ref());
        let version = current.map_or(0, |current| current.envelope.version);
        if task.closed.is_some() || compiled.envelope.version <= version || (amendment && version == 0) {
            let why = format!(
                "version {} of envelope {} came when version {version} was in force{}",
                compiled.envelope.version,
                compiled.envelope.id,
                if task.closed.is_some() { " and the task over" } else { "" }
            );
            return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
        }
        let since = task.envelope.as_ref().map_or(item.time, |envelope| envelope.since);
        task.opened = Some(task.opened.map_or(since, |known| known.min(since)));
        task.names_issuers = !compiled.envelope.credentials.is_empty();
        task.envelope =
            Some(InForce { signed: Kept::new(signed), since, compiled: Some(Arc::clone(&compiled)) });
        let late = credentials::approved(item, id, &compiled, root);
        let verdicts = delegation::enveloped(item, id, root);
        let mut findings = self.tell(event, verdicts.into_iter().collect(), Some(&compiled), None);
        findings.extend(self.tell_late(event, late, Some(&compiled)));
        findings
    }

    /// A task is over.
    pub(crate) fn closed(&mut self, event: &Sequenced<Event>) -> Vec<Finding> {
        let (Some(TaskRef { id, root: top, .. }), Some(tree)) = (&event.item.task, self.tree) else {
            return Vec::new();
        };
        let drifted = self.drift_ended(event);
        let at = event.item.time;
        let root = self.state.root(tree);
        let is_granted = root.grants.contains_key(id);
        let Some(task) = root.task(id) else { return drifted };
        let is_first = task.closed.is_none();
        task.closed = Some(task.closed.map_or(at, |known: Timestamp| known.min(at)));
        let mut verdicts = calls::overtaken(task);
        let compiled = task.envelope.as_ref().and_then(|envelope| envelope.compiled.clone());
        task.approvals.clear();
        if is_first {
            let after = task.last_act.filter(|last| last.micros_since(at) > CLOCK_US);
            verdicts.extend(after.map(|last| overrun(&event.item, last, at)));
            verdicts.extend(delegation::closes(&event.item, id, is_granted, task));
        }
        if id == top {
            root.closed = root.closed.or(Some(at));
        }
        let mut late: Vec<Late> = Vec::new();
        if is_first {
            let (now, before) = credentials::task_closed(&event.item, id, root);
            verdicts.extend(now);
            late = before;
            self.state.note_closed(tree, id, id == top);
        }
        let mut findings = self.tell(event, verdicts, compiled.as_deref(), None);
        findings.extend(self.tell_late(event, late, None));
        findings.extend(drifted);
        findings
    }

    /// A human approved one action.
    pub(crate) fn approved(&mut self, event: &Event, approval: &Approval) -> Vec<Finding> {
        let (Some(TaskRef { id, .. }), Some(tree)) = (&event.task, self.tree) else { return Vec::new() };
        if let Some(task) = self.state.root(tree).task(id)
            && task.approvals.len() < PER_TASK_MAX
        {
            task.approvals.push(Given {
                tool: approval.tool.clone(),
                call: approval.tool_call_id.as_ref().map(|call| hash(&["call", call.as_str()])),
                approver: approval.approver.clone(),
                at: event.time,
                until: approval.approved_until,
            });
        }
        Vec::new()
    }
}

/// An action that was told before its task's end happened after it.
fn overrun(item: &Event, last: Timestamp, end: Timestamp) -> Verdict {
    let reason = format!("a call of {} that was told before its task's end happened after it", who(item));
    // Two clocks say so: told, and not stopped by itself.
    let verdict = Verdict::new(&rules::CLOSED, Severity::Medium, "", reason);
    verdict.seen(format!("before {end}"), last.to_string())
}

/// Who approved, read without checking anything else: self-approval is told even of a document that is not valid.
fn approved_by(signed: &SignedEnvelope) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(signed.document.get()).ok()?;
    document.get("approved_by")?.as_str().map(str::to_owned)
}
