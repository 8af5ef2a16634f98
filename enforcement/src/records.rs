//! The records that enforcement makes: ids as functions of what they name, webhook bodies, and the events that tell.

use crate::alive::{Alive, RULE_ALIVE, RULE_ALIVE_VERSION, Watch};
use crate::outbox::Due;
use crate::policy::{Blast, Decision, Question};
use ambit_schemas::Timestamp;
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::{FailedRevocation, Finding, Maturity, RuleRef, Severity, finding_id, stable_id};
use ambit_schemas::id::{
    AttemptId, DeliveryId, EventId, EventSource, FindingId, ReceiverId, ResponseId, RuleId,
};
use ambit_schemas::order::{Order, Pending, PolicyChange, ReceiverDisabled};
use ambit_schemas::response::{
    Acknowledgement, Action, Attempt, DeadLettered, Decided, HeldBack, Revocation, Target, WebhookBody,
    WebhookData,
};
use ambit_schemas::{finding, notice::notice};

/// Who says so.
pub(crate) const SOURCE: &str = "ambit/enforcement";
/// The rule id under which a person's order stands where others have a rule.
pub const RULE_ORDER: &str = "ORDER";

/// A response and what it rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    /// The finding behind it; for an order, what stands in its place.
    pub(crate) finding: &'a Finding,
    /// The response.
    pub(crate) response_id: &'a ResponseId,
    /// The partition; negative when it is not known.
    pub(crate) partition: i64,
}

impl Case<'_> {
    /// What tells the events of this response from those of the finding's first one.
    fn of(&self, what: &str) -> String {
        if *self.response_id == response_id(self.finding) {
            what.to_owned()
        } else {
            format!("{what} {}", self.response_id)
        }
    }
}

/// Texts made here are hexadecimal with a prefix: they always are ids.
fn id<T: TryFrom<String>>(text: String) -> T {
    T::try_from(text).unwrap_or_else(|_| unreachable!("ids made here are well-formed"))
}

// INVARIANT E-2: the same finding, action, receiver and try have the same ids whenever they are met again.
pub(crate) fn response_id(finding: &Finding) -> ResponseId {
    id(format!("rsp-{}", stable_id("ambit-response/v1", &[finding.id.as_str()])))
}

/// The response that follows from another: what people approved of it, or what undoes it.
pub(crate) fn response_after(response: &ResponseId, what: &str) -> ResponseId {
    id(format!("rsp-{}", stable_id("ambit-response/v1", &[response.as_str(), what])))
}

pub(crate) fn delivery_id(response: &ResponseId, receiver: &ReceiverId) -> DeliveryId {
    id(format!("dlv-{}", stable_id("ambit-delivery/v1", &[response.as_str(), receiver.as_str()])))
}

/// A try of which only the beginning is known.
pub(crate) fn attempt(due: &Due, number: u32, started_at: Timestamp) -> Attempt {
    Attempt {
        attempt_id: attempt_id(&due.delivery_id, number),
        delivery_id: due.delivery_id.clone(),
        response_id: due.response_id.clone(),
        finding_id: due.finding.id.clone(),
        receiver: due.receiver.clone(),
        action: due.action,
        number,
        started_at,
        duration_us: 0,
        http_status: None,
        error: None,
        next_at: None,
    }
}

fn attempt_id(delivery: &DeliveryId, number: u32) -> AttemptId {
    id(format!("att-{}", stable_id("ambit-attempt/v1", &[delivery.as_str(), &number.to_string()])))
}

pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.micros_since(from) / 1_000_000).ok().filter(|seconds| *seconds > 0)
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

pub(crate) fn decided(case: &Case<'_>, decision: &Decision, now: Timestamp) -> Decided {
    let finding = case.finding;
    Decided {
        response_id: case.response_id.clone(),
        finding_id: finding.id.clone(),
        rule_id: finding.rule.id.clone(),
        severity: finding.severity,
        action: decision.action,
        held_back: decision.held_back.clone(),
        target: target(finding),
        receivers: decision.receivers.clone(),
        policy: decision.policy.clone(),
        decided_at: Some(now),
        until: decision.pause_seconds.map(|seconds| now.plus_micros(i64::from(seconds) * 1_000_000)),
        authors: decision.authors.clone(),
    }
}

/// What a receiver gets.
pub(crate) fn webhook(case: &Case<'_>, decided: &Decided) -> WebhookBody {
    let finding = case.finding;
    WebhookBody {
        type_name: format!("ambit.response.{}", decided.action.name()),
        timestamp: finding.time,
        data: WebhookData {
            response_id: case.response_id.clone(),
            action: decided.action,
            target: target(finding),
            tenant: finding.tenant.clone(),
            finding_id: finding.id.clone(),
            rule_id: finding.rule.id.clone(),
            severity: finding.severity,
            title: finding.title.clone(),
            reason: finding.reason.clone(),
            agent: finding.agent.clone(),
            task: finding.task.clone(),
            until: decided.until,
        },
    }
}

fn event(finding: &Finding, what: &str, time: Timestamp, body: Body) -> Event {
    let name =
        format!("{}-{}", body.kind(), stable_id("ambit-response-event/v1", &[finding.id.as_str(), what]));
    Event {
        agent: finding.agent.clone(),
        task: finding.task.clone(),
        ..Event::new(
            id::<EventId>(name),
            id::<EventSource>(SOURCE.to_owned()),
            time,
            finding.tenant.clone(),
            body,
        )
    }
}

/// Told when it is decided.
pub(crate) fn events_of_decision(case: &Case<'_>, decided: &Decided) -> Vec<Event> {
    let (finding, time) = (case.finding, case.finding.time);
    let body = Body::ResponseDecided(Box::new(decided.clone()));
    let mut events = vec![event(finding, &case.of("decided"), time, body)];
    if decided.action.revokes() {
        let revocation =
            Revocation { decided_at: decided.decided_at, ..revocation(case, decided.action, None) };
        let body = Body::RevocationRequested(Box::new(revocation));
        events.push(event(finding, &case.of("requested"), time, body));
    }
    events
}

/// Told when people have to approve what was held back.
pub(crate) fn event_of_question(
    case: &Case<'_>,
    question: Question,
    held: &HeldBack,
    hit: Blast,
    now: Timestamp,
) -> Event {
    let pending = Pending {
        response_id: case.response_id.clone(),
        finding_id: case.finding.id.clone(),
        action: held.action,
        target: target(case.finding),
        reason: held.reason.clone(),
        approvals: question.approvals,
        expires_at: now.plus_micros(i64::from(question.expires_after_seconds) * 1_000_000),
        credentials: hit.credentials,
        tasks: hit.tasks,
    };
    event(case.finding, &case.of("pending"), now, Body::ResponsePending(Box::new(pending)))
}

/// Told when nobody approved in time.
pub(crate) fn event_of_expiry(case: &Case<'_>, pending: Pending) -> Event {
    let time = pending.expires_at;
    event(case.finding, &case.of("expired"), time, Body::ResponseExpired(Box::new(pending)))
}

fn revocation(case: &Case<'_>, action: Action, receiver: Option<ReceiverId>) -> Revocation {
    Revocation {
        response_id: case.response_id.clone(),
        finding_id: case.finding.id.clone(),
        target: target(case.finding),
        receiver,
        effective_at: None,
        evidence: None,
        action: Some(action),
        decided_at: None,
        acknowledged_at: None,
        round: case.finding.revocation.as_ref().map_or(0, |failed| failed.round),
        residual_seconds: None,
        until: None,
        uses: Vec::new(),
    }
}

pub(crate) fn event_of_attempt(finding: &Finding, attempt: Attempt) -> Event {
    let (what, time) = (attempt.attempt_id.to_string(), attempt.started_at);
    event(finding, &what, time, Body::ResponseAttempted(Box::new(attempt)))
}

/// When what was delivered ends, of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ends {
    /// For how many seconds a credential stays valid where nobody asks its issuer.
    pub(crate) residual_seconds: Option<u64>,
    /// When a pause is over.
    pub(crate) until: Option<Timestamp>,
}

/// Told when a receiver has taken a delivery. What revokes or pauses is watched from here on.
pub(crate) fn events_of_acknowledgement(
    case: &Case<'_>,
    decided_at: Timestamp,
    taken: Acknowledgement,
    ends: Ends,
) -> Vec<Event> {
    let (what, time) = (taken.delivery_id.to_string(), taken.acknowledged_at);
    let mut events = Vec::new();
    if taken.action.revokes() || taken.action == Action::Pause {
        let revocation = Revocation {
            decided_at: Some(decided_at),
            acknowledged_at: Some(time),
            evidence: taken.evidence.clone(),
            residual_seconds: ends.residual_seconds,
            until: ends.until,
            ..revocation(case, taken.action, Some(taken.receiver.clone()))
        };
        events.push(event(case.finding, &what, time, Body::RevocationDelivered(Box::new(revocation))));
    }
    events.insert(0, event(case.finding, &what, time, Body::ResponseAcknowledged(Box::new(taken))));
    events
}

/// Told when a delivery is given up.
pub(crate) fn events_of_dead_letter(case: &Case<'_>, dead: DeadLettered, now: Timestamp) -> Vec<Event> {
    // A delivery that was redriven may be given up again: then it has had more tries.
    let what = format!("{} {}", dead.delivery_id, dead.attempts);
    let mut events = Vec::new();
    if dead.action.revokes() {
        let mut revocation = revocation(case, dead.action, Some(dead.receiver.clone()));
        revocation.evidence = Some(format!("not delivered: {}", dead.reason));
        events.push(event(case.finding, &what, now, Body::RevocationFailed(Box::new(revocation))));
    }
    events.insert(0, event(case.finding, &what, now, Body::ResponseDeadLettered(Box::new(dead))));
    events
}

/// Told when a receiver wants nothing more.
pub(crate) fn event_of_disabled(finding: &Finding, disabled: ReceiverDisabled, now: Timestamp) -> Event {
    let what = format!("{} {}", disabled.receiver, disabled.configuration);
    event(finding, &what, now, Body::ReceiverDisabled(disabled))
}

/// Told when another policy holds.
pub(crate) fn event_of_policy(change: PolicyChange, now: Timestamp) -> Event {
    let previous = change.previous.clone().unwrap_or_default();
    let at = now.micros().to_string();
    let name = stable_id("ambit-policy/v1", &[&change.digest, &previous, &at]);
    notice(SOURCE, &format!("policy-{name}"), now, Body::PolicyChanged(change))
        .unwrap_or_else(|_| unreachable!("ids made here are well-formed"))
}

/// Who ordered it, and whether anybody knows that it was them.
fn said_by(order: &Order) -> String {
    let unknown = if order.author_authenticated { "" } else { " (not authenticated)" };
    format!("{}{unknown}", order.author)
}

/// What stands in a finding's place when a person orders something. It is not told: the order is.
pub(crate) fn finding_of_order(order: &Order, event: &Event, at: finding::EventRef) -> Finding {
    Finding {
        id: id::<FindingId>(order.response_id.to_string()),
        tenant: event.tenant.clone(),
        rule: RuleRef { id: id::<RuleId>(RULE_ORDER.to_owned()), version: 1, maturity: Maturity::Stable },
        severity: Severity::High,
        title: "Ordered by a person".into(),
        reason: format!("{} ordered {}: {}", said_by(order), order.action.name(), order.reason),
        clause: None,
        expected: None,
        observed: None,
        agent: event.agent.clone(),
        task: event.task.clone(),
        tool: None,
        tool_call_id: None,
        credentials: order.target.credentials.clone(),
        events: vec![at],
        baseline: None,
        risk: None,
        revocation: None,
        late_seconds: None,
        controls: Vec::new(),
        time: event.time,
    }
}

/// Told when a revocation is found effective or not; `None`: no use was seen.
pub(crate) fn event_of_effect(
    watch: &Watch,
    alive: Option<&Alive>,
    evidence: String,
    now: Timestamp,
) -> Event {
    let revocation = Revocation {
        response_id: watch.response_id.clone(),
        finding_id: watch.finding_id.clone(),
        target: watch.target.clone(),
        receiver: Some(watch.receiver.clone()),
        effective_at: alive.is_none().then(|| watch.effective_at()),
        evidence: Some(evidence),
        action: Some(watch.action),
        decided_at: Some(watch.decided_at),
        acknowledged_at: Some(watch.acked_at),
        round: watch.round,
        residual_seconds: watch.residual_seconds(),
        until: watch.until,
        uses: alive.map(|alive| alive.event.clone()).into_iter().collect(),
    };
    let finding = finding_of_watch(watch);
    let what = format!("{} {}", watch.response_id, watch.receiver);
    let body = match alive {
        None => Body::RevocationConfirmed(Box::new(revocation)),
        Some(_) => Body::RevocationFailed(Box::new(revocation)),
    };
    event(&finding, &what, now, body)
}

/// What is known of whom a watch is about, in the shape of a finding.
fn finding_of_watch(watch: &Watch) -> Finding {
    Finding {
        id: watch.finding_id.clone(),
        tenant: watch.tenant.clone(),
        rule: RuleRef {
            id: id::<RuleId>(RULE_ALIVE.to_owned()),
            version: RULE_ALIVE_VERSION,
            maturity: Maturity::Stable,
        },
        severity: Severity::Critical,
        title: "Revocation without effect".into(),
        reason: String::new(),
        clause: None,
        expected: None,
        observed: None,
        agent: watch.agent.clone(),
        task: watch.task.clone(),
        tool: None,
        tool_call_id: None,
        credentials: watch.target.credentials.clone(),
        events: Vec::new(),
        baseline: None,
        risk: None,
        revocation: None,
        late_seconds: None,
        controls: Vec::new(),
        time: watch.acked_at,
    }
}

/// The finding that a revocation had no effect. Its id is a function of the response, so that several workers, or one
/// that was killed, say it once.
pub(crate) fn finding_alive(watch: &Watch, alive: &Alive) -> Event {
    let mut finding = finding_of_watch(watch);
    let source = id::<EventSource>(SOURCE.to_owned());
    let response = id::<EventId>(watch.response_id.to_string());
    finding.id = finding_id(&finding.rule.id, RULE_ALIVE_VERSION, &watch.tenant, (&source, &response), "");
    finding.reason = format!(
        "{} was acknowledged by {} and had no effect: {}",
        watch.action.name(),
        watch.receiver,
        watch.evidence_of_use(alive)
    );
    finding.expected = Some(match (watch.action, watch.until) {
        (Action::Pause, Some(until)) => format!("no action until {until}"),
        (Action::Pause, None) => "no action until it is restored".into(),
        (
            Action::Restore
            | Action::Notify
            | Action::StepUp
            | Action::RevokeCredential
            | Action::RevokeTask
            | Action::RevokeTree,
            _,
        ) => "no use after the acknowledgement".into(),
    });
    finding.observed = Some(format!("used at {}", alive.at));
    finding.events = vec![alive.event.clone()];
    finding.controls = vec!["ASI03".into(), "NHI1".into(), "CC7.4".into()];
    finding.time = alive.at;
    finding.revocation = Some(Box::new(FailedRevocation {
        response_id: watch.response_id.clone(),
        finding_id: watch.finding_id.clone(),
        action: watch.action,
        receiver: watch.receiver.clone(),
        round: watch.round + 1,
    }));
    let time = finding.time;
    let mut event = event(&finding.clone(), "", time, Body::FindingCreated(Box::new(finding.clone())));
    event.id = id::<EventId>(finding.id.to_string());
    event
}
