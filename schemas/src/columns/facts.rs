//! What the columns about an event's body say: which tool, credential, finding, receiver, and how it went.

#![allow(clippy::wildcard_enum_match_arm, reason = "a column is filled by the kinds that have it")]

use crate::event::{Body, Event};
use std::borrow::Cow;

/// Columns of an event that are about its body.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) envelope: Option<&'a str>,
    pub(super) tool: Option<&'a str>,
    pub(super) tool_call: Option<&'a str>,
    pub(super) credential: Option<&'a str>,
    pub(super) finding: Option<&'a str>,
    pub(super) rule: Option<&'a str>,
    pub(super) severity: Option<&'a str>,
    pub(super) action: Option<&'a str>,
    pub(super) receiver: Option<&'a str>,
    pub(super) status: Option<Cow<'a, str>>,
}

/// What the columns about the body say of an event.
pub(super) fn facts(event: &Event) -> Facts<'_> {
    let mut facts =
        Facts { credential: event.credential_used.as_ref().map(AsRef::as_ref), ..Facts::default() };
    match &event.body {
        Body::ToolCallRequested(call) | Body::ToolCallCompleted(call) | Body::ToolCallDenied(call) => {
            facts.tool = Some(&call.name);
            facts.tool_call = Some(call.id.as_str());
            facts.status = match &event.body {
                Body::ToolCallDenied(_) => Some("denied".into()),
                Body::ToolCallCompleted(_) if call.is_error => Some("error".into()),
                Body::ToolCallCompleted(_) => Some("ok".into()),
                _ => None,
            };
        }
        Body::CredentialIssued(credential)
        | Body::CredentialUsed(credential)
        | Body::CredentialRotated(credential)
        | Body::CredentialRevoked(credential)
        | Body::CredentialExpired(credential) => facts.credential = Some(credential.uid.as_str()),
        Body::EnvelopeClosed(closed) => {
            facts.envelope = Some(closed.envelope_id.as_str());
            facts.status = Some(closed.outcome.as_str().into());
        }
        Body::ApprovalRequested(approval)
        | Body::ApprovalApproved(approval)
        | Body::ApprovalDenied(approval)
        | Body::ApprovalExpired(approval)
        | Body::ApprovalCancelled(approval) => {
            facts.tool = Some(&approval.tool);
            facts.tool_call = approval.tool_call_id.as_ref().map(AsRef::as_ref);
        }
        Body::DecisionEvaluated(decision) => {
            facts.tool_call = decision.tool_call_id.as_ref().map(AsRef::as_ref);
            facts.status = Some(if decision.decision { "allowed" } else { "denied" }.into());
        }
        Body::FindingCreated(finding) => {
            facts.finding = Some(finding.id.as_str());
            facts.rule = Some(finding.rule.id.as_str());
            facts.severity = Some(finding.severity.name());
            facts.tool = finding.tool.as_deref();
            facts.tool_call = finding.tool_call_id.as_ref().map(AsRef::as_ref);
            facts.envelope = finding.clause.as_ref().map(|clause| clause.envelope_id.as_str());
        }
        Body::FindingUpdated(triage) | Body::FindingClosed(triage) => {
            facts.finding = Some(triage.finding_id.as_str());
            facts.status = Some(triage.state.as_str().into());
        }
        Body::TriageChanged(change) => {
            facts.finding = Some(change.finding_id.as_str());
            facts.status = change.state.map(|state| state.name().into());
        }
        Body::TriageSuppressed(suppression) => {
            facts.finding = suppression.finding_id.as_ref().map(AsRef::as_ref);
            facts.rule = suppression.rule_id.as_ref().map(AsRef::as_ref);
        }
        Body::CaseChanged(change) => facts.status = change.state.map(|state| state.name().into()),
        Body::QueryExecuted(query) | Body::QueryExported(query) => {
            facts.status = Some(query.outcome.name().into());
        }
        Body::SourceRecorded(record) => {
            facts.tool = record.record_type.as_deref();
            facts.status = Some(record.reason.as_str().into());
        }
        _ => response_facts(&event.body, &mut facts),
    }
    facts
}

fn response_facts<'a>(body: &'a Body, facts: &mut Facts<'a>) {
    match body {
        Body::ResponseDecided(decided) => {
            facts.finding = Some(decided.finding_id.as_str());
            facts.rule = Some(decided.rule_id.as_str());
            facts.severity = Some(decided.severity.name());
            facts.action = Some(decided.action.name());
            facts.status = decided.held_back.as_ref().map(|held| held.reason.as_str().into());
        }
        Body::ResponseAttempted(attempt) => {
            facts.finding = Some(attempt.finding_id.as_str());
            facts.action = Some(attempt.action.name());
            facts.receiver = Some(attempt.receiver.as_str());
            facts.status = match (attempt.http_status, &attempt.error) {
                (Some(status), _) => Some(status.to_string().into()),
                (None, Some(error)) => Some(error.as_str().into()),
                (None, None) => None,
            };
        }
        Body::ResponseAcknowledged(taken) => {
            facts.finding = Some(taken.finding_id.as_str());
            facts.action = Some(taken.action.name());
            facts.receiver = Some(taken.receiver.as_str());
            facts.status = Some(taken.http_status.to_string().into());
        }
        Body::ResponseDeadLettered(dead) => {
            facts.finding = Some(dead.finding_id.as_str());
            facts.action = Some(dead.action.name());
            facts.receiver = Some(dead.receiver.as_str());
            facts.status = Some(dead.reason.as_str().into());
        }
        Body::ResponseOrdered(order) => {
            facts.finding = Some(order.response_id.as_str());
            facts.action = Some(order.action.name());
        }
        Body::ResponsePending(pending) | Body::ResponseExpired(pending) => {
            facts.finding = Some(pending.finding_id.as_str());
            facts.action = Some(pending.action.name());
            facts.status = Some(pending.reason.as_str().into());
        }
        Body::ReceiverDisabled(disabled) => facts.receiver = Some(disabled.receiver.as_str()),
        Body::RevocationRequested(revocation)
        | Body::RevocationDelivered(revocation)
        | Body::RevocationConfirmed(revocation)
        | Body::RevocationFailed(revocation) => {
            facts.finding = Some(revocation.finding_id.as_str());
            facts.receiver = revocation.receiver.as_ref().map(AsRef::as_ref);
        }
        _ => {}
    }
}
