//! One sentence about an event, for people. A function of the event alone; no more of its content than a line holds.

use ambit_schemas::Event;
use ambit_schemas::event::{Body, ToolCall};
use ambit_schemas::response::Target;
use ambit_schemas::triage::TriageChange;

/// Most characters of one value.
const VALUE_CHARS: usize = 40;
/// Most arguments that are shown.
const ARGUMENTS: usize = 4;

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(VALUE_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn arguments(call: &ToolCall) -> String {
    let parsed =
        call.arguments.as_ref().and_then(|raw| serde_json::from_str::<serde_json::Value>(raw.get()).ok());
    let Some(serde_json::Value::Object(fields)) = parsed else { return String::new() };
    let shown: Vec<String> = fields
        .iter()
        .take(ARGUMENTS)
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={}", cut(&text))
        })
        .collect();
    let more = if fields.len() > ARGUMENTS { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn target(target: &Target) -> String {
    let agent = target.agent_uid.as_ref().map_or("an agent", |agent| agent.as_str());
    target.task_id.as_ref().map_or_else(|| agent.to_owned(), |task| format!("{agent}, task {task}"))
}

fn triaged(change: &TriageChange) -> String {
    let did = match (change.state, &change.assignee) {
        (Some(state), _) => format!("marked a finding as {}", state.name()),
        (None, Some(assignee)) => format!("gave a finding to {assignee}"),
        (None, None) if change.unassigned => "gave a finding to nobody".to_owned(),
        (None, None) => "wrote a note on a finding".to_owned(),
    };
    format!("{} {did}", change.author)
}

/// The sentence.
#[allow(clippy::too_many_lines, reason = "one line per kind of event")]
pub(crate) fn summary(event: &Event) -> String {
    let agent = event.agent.as_ref();
    let who = agent.map_or("somebody", |agent| agent.name.as_deref().unwrap_or(agent.uid.as_str()));
    match &event.body {
        Body::ToolCallRequested(call) => format!("{who} called {}({})", call.name, arguments(call)),
        Body::ToolCallCompleted(call) if call.is_error => {
            format!("{} failed for {who}: {}", call.name, cut(call.error_type.as_deref().unwrap_or("error")))
        }
        Body::ToolCallCompleted(call) => format!("{} answered {who}", call.name),
        Body::ToolCallDenied(call) => format!("{who} was refused {}({})", call.name, arguments(call)),
        Body::CredentialIssued(credential) => {
            format!("{who} was issued {} {}", credential.credential_type, credential.uid)
        }
        Body::CredentialUsed(credential) => {
            let at = credential
                .resource
                .as_deref()
                .map_or_else(String::new, |resource| format!(" at {}", cut(resource)));
            format!("{who} used credential {}{at}", credential.uid)
        }
        Body::CredentialRotated(credential) => {
            format!("credential {} replaced another of {who}", credential.uid)
        }
        Body::CredentialRevoked(credential) => format!("credential {} of {who} was revoked", credential.uid),
        Body::CredentialExpired(credential) => format!("credential {} of {who} expired", credential.uid),
        Body::EnvelopeProposed(_) => format!("bounds were proposed for {who}"),
        Body::EnvelopeApproved(_) => format!("bounds were approved for {who}"),
        Body::EnvelopeAmended(_) => format!("the bounds of {who} were amended"),
        Body::EnvelopeClosed(closed) => format!("the task of {who} is over: {}", cut(&closed.outcome)),
        Body::ApprovalRequested(approval) => format!("{who} asks for approval of {}", approval.tool),
        Body::ApprovalApproved(approval) => {
            let by = approval.approver.as_ref().map_or("somebody", |approver| approver.as_str());
            format!("{by} approved {} for {who}", approval.tool)
        }
        Body::ApprovalDenied(approval) => format!("{} was not approved for {who}", approval.tool),
        Body::ApprovalExpired(approval) => format!("nobody decided on {} for {who}", approval.tool),
        Body::ApprovalCancelled(approval) => format!("{who} no longer asks for {}", approval.tool),
        Body::BaselineApproved(_) => "a baseline was approved".to_owned(),
        Body::AgentCreated(_) => format!("{who} was created"),
        Body::AgentCloned(_) => format!("{who} was copied"),
        Body::AgentPaused(_) => format!("{who} was paused"),
        Body::AgentResumed(_) => format!("{who} goes on"),
        Body::AgentRetried(_) => format!("{who} tries again"),
        Body::AgentRetasked(_) => format!("{who} has another task"),
        Body::AgentOffboarded(_) => format!("{who} was taken out of service"),
        Body::DelegationGranted(delegation) => format!("{who} handed work to {}", delegation.delegatee),
        Body::DelegationRevoked(delegation) => format!("{who} took work back from {}", delegation.delegatee),
        Body::DecisionEvaluated(decision) => {
            format!("a gateway {} an action of {who}", if decision.decision { "allowed" } else { "refused" })
        }
        Body::FindingCreated(finding) => format!("{}: {}", finding.rule.id, finding.reason),
        Body::FindingUpdated(triage) | Body::FindingClosed(triage) => {
            format!("{} marked a finding as {}", triage.author, cut(&triage.state))
        }
        Body::ResponseDecided(decided) => {
            format!("{} decided for {}", decided.action.name(), target(&decided.target))
        }
        Body::ResponseAttempted(attempt) => {
            let how = match (attempt.http_status, &attempt.error) {
                (Some(status), _) => status.to_string(),
                (None, Some(error)) => cut(error),
                (None, None) => "no answer".to_owned(),
            };
            format!("{} to {}, try {}: {how}", attempt.action.name(), attempt.receiver, attempt.number)
        }
        Body::ResponseAcknowledged(taken) => {
            format!("{} acknowledged {}", taken.receiver, taken.action.name())
        }
        Body::ResponseDeadLettered(dead) => {
            format!("{} never took {}: {}", dead.receiver, dead.action.name(), cut(&dead.reason))
        }
        Body::ResponseOrdered(order) => {
            format!("{} ordered {} for {}", order.author, order.action.name(), target(&order.target))
        }
        Body::ResponsePending(pending) => format!(
            "{} of {} waits for {} approvals ({})",
            pending.action.name(),
            target(&pending.target),
            pending.approvals,
            cut(&pending.reason)
        ),
        Body::ResponseApproved(ruling) => {
            format!("{} approved response {}", ruling.author, ruling.response_id)
        }
        Body::ResponseDenied(ruling) => format!("{} denied response {}", ruling.author, ruling.response_id),
        Body::ResponseExpired(pending) => {
            format!("nobody approved {} of {} in time", pending.action.name(), target(&pending.target))
        }
        Body::ResponsesStopped(switch) => {
            format!("{} stopped automatic revocation: {}", switch.author, cut(&switch.reason))
        }
        Body::ResponsesResumed(switch) => {
            format!("{} resumed automatic revocation: {}", switch.author, cut(&switch.reason))
        }
        Body::DeliveryRedriven(redrive) => {
            format!("{} has delivery {} tried again", redrive.author, redrive.delivery_id)
        }
        Body::PolicyChanged(change) => format!("response policy {} holds", cut(&change.digest)),
        Body::ReceiverDisabled(disabled) => format!("receiver {} wants nothing more", disabled.receiver),
        Body::RevocationRequested(revocation) => {
            format!("revocation requested for {}", target(&revocation.target))
        }
        Body::RevocationDelivered(revocation) => {
            format!("revocation delivered for {}", target(&revocation.target))
        }
        Body::RevocationConfirmed(revocation) => {
            format!("revocation confirmed for {}", target(&revocation.target))
        }
        Body::RevocationFailed(revocation) => format!("revocation failed for {}", target(&revocation.target)),
        Body::SourceRecorded(record) => {
            let name = record.record_type.as_deref().unwrap_or("a record");
            format!("{} recorded {} ({})", cut(&record.format), cut(name), cut(&record.reason))
        }
        Body::GapDetected(notice)
        | Body::ClockSkewed(notice)
        | Body::IntegrityBroken(notice)
        | Body::DeadLetterRedriven(notice) => cut(&notice.text),
        Body::TriageChanged(change) => triaged(change),
        Body::TriageSuppressed(suppression) => {
            format!("{} leaves findings out of lists until {}", suppression.author, suppression.until)
        }
        Body::CaseChanged(change) => format!("{} worked on case {}", change.author, change.case_id),
        Body::QueryExecuted(query) => {
            format!("{} asked {}, {} times, {} items", query.author, query.route, query.times, query.rows)
        }
        Body::QueryExported(query) => {
            format!("{} took {} items out with {}", query.author, query.rows, query.route)
        }
        Body::RulesActivated(rules) => match rules.documents.len() {
            0 => "no rules of the customer's from here on".to_owned(),
            files => format!("{files} files of the customer's rules are in force from here on"),
        },
        Body::SearchSaved(search) => format!("{} keeps the search `{}`", search.author, cut(&search.name)),
    }
}
