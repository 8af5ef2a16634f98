//! The records that enforcement makes: ids as functions of what they name, webhook bodies, and the events that tell.

use crate::policy::Decision;
use ambit_schemas::Timestamp;
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::{Finding, stable_id};
use ambit_schemas::id::{AttemptId, DeliveryId, EventId, EventSource, ReceiverId, ResponseId};
use ambit_schemas::response::{
    Acknowledgement, Action, Attempt, DeadLettered, Decided, Revocation, Target, WebhookBody, WebhookData,
};

/// Who says so.
pub(crate) const SOURCE: &str = "ambit/enforcement";

/// Texts made here are hexadecimal with a prefix: they always are ids.
fn id<T: TryFrom<String>>(text: String) -> T {
    T::try_from(text).unwrap_or_else(|_| unreachable!("ids made here are well-formed"))
}

// INVARIANT E-2: the same finding, action, receiver and try have the same ids whenever they are met again.
pub(crate) fn response_id(finding: &Finding) -> ResponseId {
    id(format!("rsp-{}", stable_id("ambit-response/v1", &[finding.id.as_str()])))
}

pub(crate) fn delivery_id(response: &ResponseId, receiver: &ReceiverId) -> DeliveryId {
    id(format!("dlv-{}", stable_id("ambit-delivery/v1", &[response.as_str(), receiver.as_str()])))
}

pub(crate) fn attempt_id(delivery: &DeliveryId, number: u32) -> AttemptId {
    id(format!("att-{}", stable_id("ambit-attempt/v1", &[delivery.as_str(), &number.to_string()])))
}

/// What a response is aimed at.
pub(crate) fn target(finding: &Finding) -> Target {
    Target {
        agent_uid: finding.agent.as_ref().map(|agent| agent.uid.clone()),
        task_id: finding.task.as_ref().map(|task| task.id.clone()),
        root_task_id: finding.task.as_ref().map(|task| task.root.clone()),
        credentials: finding.credentials.clone(),
    }
}

pub(crate) fn decided(finding: &Finding, decision: &Decision) -> Decided {
    Decided {
        response_id: response_id(finding),
        finding_id: finding.id.clone(),
        rule_id: finding.rule.id.clone(),
        severity: finding.severity,
        action: decision.action,
        held_back: decision.held_back.clone(),
        target: target(finding),
        receivers: decision.receivers.clone(),
        policy: decision.policy.clone(),
    }
}

/// What a receiver gets.
pub(crate) fn webhook(finding: &Finding, action: Action) -> WebhookBody {
    WebhookBody {
        type_name: format!("ambit.response.{}", action.name()),
        timestamp: finding.time,
        data: WebhookData {
            response_id: response_id(finding),
            action,
            target: target(finding),
            tenant: finding.tenant.clone(),
            finding_id: finding.id.clone(),
            rule_id: finding.rule.id.clone(),
            severity: finding.severity,
            title: finding.title.clone(),
            reason: finding.reason.clone(),
            agent: finding.agent.clone(),
            task: finding.task.clone(),
        },
    }
}

fn event(finding: &Finding, what: &str, time: Timestamp, body: Body) -> Event {
    let name =
        format!("{}-{}", body.kind(), stable_id("ambit-response-event/v1", &[finding.id.as_str(), what]));
    Event {
        id: id::<EventId>(name),
        source: id::<EventSource>(SOURCE.to_owned()),
        time,
        tenant: finding.tenant.clone(),
        agent: finding.agent.clone(),
        task: finding.task.clone(),
        principal: None,
        credential_used: None,
        session: None,
        trace: None,
        redactions: Vec::new(),
        body,
    }
}

/// Told when the policy has decided.
pub(crate) fn events_of_decision(finding: &Finding, decided: Decided) -> Vec<Event> {
    let mut events = Vec::new();
    if decided.action.revokes() {
        let revocation = revocation(finding, &decided.response_id, None);
        events.push(event(
            finding,
            "requested",
            finding.time,
            Body::RevocationRequested(Box::new(revocation)),
        ));
    }
    events.insert(0, event(finding, "decided", finding.time, Body::ResponseDecided(Box::new(decided))));
    events
}

fn revocation(finding: &Finding, response: &ResponseId, receiver: Option<ReceiverId>) -> Revocation {
    Revocation {
        response_id: response.clone(),
        finding_id: finding.id.clone(),
        target: target(finding),
        receiver,
        effective_at: None,
        evidence: None,
    }
}

pub(crate) fn event_of_attempt(finding: &Finding, attempt: Attempt) -> Event {
    let (what, time) = (attempt.attempt_id.to_string(), attempt.started_at);
    event(finding, &what, time, Body::ResponseAttempted(Box::new(attempt)))
}

/// Told when a receiver has taken a delivery.
pub(crate) fn events_of_acknowledgement(finding: &Finding, taken: Acknowledgement) -> Vec<Event> {
    let (what, time) = (taken.delivery_id.to_string(), taken.acknowledged_at);
    let mut events = Vec::new();
    if taken.action.revokes() {
        let revocation = revocation(finding, &taken.response_id, Some(taken.receiver.clone()));
        events.push(event(finding, &what, time, Body::RevocationDelivered(Box::new(revocation))));
    }
    events.insert(0, event(finding, &what, time, Body::ResponseAcknowledged(Box::new(taken))));
    events
}

/// Told when a delivery is given up.
pub(crate) fn events_of_dead_letter(finding: &Finding, dead: DeadLettered, now: Timestamp) -> Vec<Event> {
    let what = dead.delivery_id.to_string();
    let mut events = Vec::new();
    if dead.action.revokes() {
        let mut revocation = revocation(finding, &dead.response_id, Some(dead.receiver.clone()));
        revocation.evidence = Some(format!("not delivered: {}", dead.reason));
        events.push(event(finding, &what, now, Body::RevocationFailed(Box::new(revocation))));
    }
    events.insert(0, event(finding, &what, now, Body::ResponseDeadLettered(Box::new(dead))));
    events
}
