//! From what a mapping says of a record to events.

use super::fields::depth;
use super::{Class, Context, Taken};
use crate::codec::{encode, needs_agent};
use crate::event::{AgentRef, Body, Event, SourceRecord, TaskRef, ToolCall, TraceRef};
use crate::id::{CredentialId, EventId, PrincipalId, ToolCallId};
use crate::limits::{EVENT_BYTES_MAX, TIME_AHEAD_MAX_US, TIME_MIN_US, TOOL_NAME_BYTES_MAX};
use crate::payload::{Payload, detach};
use crate::redact::Report;
use crate::timestamp::Timestamp;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

/// Largest record that is kept within an event; the rest is for what stands around it. A larger one goes to the object
/// store.
const ORIGINAL_BYTES_MAX: usize = EVENT_BYTES_MAX - (128 << 10);
/// Deepest nesting of a record that is kept as structure; deeper ones are kept as text.
const ORIGINAL_DEPTH_MAX: usize = 120;
/// Longest id of a foreign record that is taken over; a longer one is replaced by the record's hash.
const FOREIGN_ID_BYTES_MAX: usize = 256;
/// Longest name that a record has for what it is.
const TYPE_CHARS_MAX: usize = 200;

/// What a mapping says of a record.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// The record's own id.
    pub(super) id: Option<String>,
    /// What it calls itself.
    pub(super) record_type: Option<String>,
    pub(super) time: Option<Timestamp>,
    pub(super) agent: Option<AgentRef>,
    pub(super) task: Option<TaskRef>,
    pub(super) principal: Option<PrincipalId>,
    pub(super) session: Option<String>,
    pub(super) trace: Option<TraceRef>,
    /// The credential presented with it.
    pub(super) credential: Option<CredentialId>,
    /// The canonical events it stands for.
    pub(super) said: Vec<Said>,
    /// Why it stands for none, where that is not for want of a kind.
    pub(super) reason: Option<&'static str>,
    /// Whether that reason is a fault.
    pub(super) faulty: bool,
}

/// One event of a record.
#[derive(Debug)]
pub(super) struct Said {
    /// Tells it from the record's other events.
    pub(super) suffix: &'static str,
    pub(super) body: Body,
    /// Whom it concerns, where that is not the record's agent: agent and task.
    pub(super) about: Option<(AgentRef, Option<TaskRef>)>,
}

impl Mapped {
    /// A record that cannot be read.
    pub(super) fn fault(reason: &'static str) -> Self {
        Self { reason: Some(reason), faulty: true, ..Self::default() }
    }

    /// What the record lacks.
    pub(super) fn lacks(mut self, reason: &'static str) -> Self {
        (self.reason, self.faulty) = (Some(reason), true);
        self
    }

    /// Why a well-formed record gives no event of its own.
    pub(super) fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    pub(super) fn say(&mut self, suffix: &'static str, body: Body) {
        self.said.push(Said { suffix, body, about: None });
    }

    pub(super) fn say_of(
        &mut self,
        suffix: &'static str,
        body: Body,
        agent: AgentRef,
        task: Option<TaskRef>,
    ) {
        self.said.push(Said { suffix, body, about: Some((agent, task)) });
    }
}

/// A call of which only id and name are known.
pub(super) fn call(id: ToolCallId, name: &str) -> ToolCall {
    let end = (0..=TOOL_NAME_BYTES_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    ToolCall::new(id, name.get(..end.unwrap_or_default()).unwrap_or_default())
}

/// Events of a record. Whatever keeps them from being written makes the record opaque instead.
pub(super) fn build(
    record: &Value,
    format: &str,
    mut mapped: Mapped,
    context: &Context,
    report: Report,
) -> Taken {
    let text = record.to_string();
    let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
    let redacted = report.total;
    let base = mapped
        .id
        .take()
        .filter(|id| id.len() <= FOREIGN_ID_BYTES_MAX && EventId::try_from(id.as_str()).is_ok());
    let base = base.unwrap_or_else(|| format!("sha256:{sha256}"));
    let believable = |time: &Timestamp| {
        time.micros() >= TIME_MIN_US && time.micros_since(context.received) <= TIME_AHEAD_MAX_US
    };
    let time = mapped.time.filter(believable);
    if time.is_none() && !mapped.faulty && !(mapped.said.is_empty() && format == super::UNKNOWN) {
        mapped.faulty = true;
        mapped.reason = Some(if mapped.time.is_none() { "no_time" } else { "time" });
    }
    let lacks_agent =
        |said: &Said| said.about.is_none() && mapped.agent.is_none() && needs_agent(said.body.kind());
    if !mapped.faulty && mapped.said.iter().any(lacks_agent) {
        mapped.faulty = true;
        mapped.reason = Some("no_agent");
    }
    let mut said = std::mem::take(&mut mapped.said);
    let mut payloads: Vec<Payload> = said.iter_mut().flat_map(|said| take_out(&mut said.body)).collect();
    let draft = Draft {
        base: &base,
        format,
        time: time.unwrap_or(context.received),
        mapped: &mapped,
        context,
        report,
    };
    if !mapped.faulty && !said.is_empty() {
        let events: Vec<Event> = said.into_iter().filter_map(|said| draft.event(said)).collect();
        if !events.is_empty() && events.iter().all(|event| encode(event).is_ok()) {
            return Taken { events, class: Class::Mapped, redacted, payloads };
        }
    }
    let original = original(record, text);
    payloads.clear();
    payloads.extend(original.payload);
    let class = if mapped.faulty { Class::Dead } else { Class::Opaque };
    let body = Body::SourceRecorded(Box::new(SourceRecord {
        format: format.to_owned(),
        record_type: mapped.record_type.as_ref().map(|name| name.chars().take(TYPE_CHARS_MAX).collect()),
        reason: mapped.reason.unwrap_or("unmapped").to_owned(),
        sha256,
        bytes: original.bytes,
        original: original.kept,
    }));
    let said = Said { suffix: "record", body, about: None };
    Taken { events: draft.event(said).into_iter().collect(), class, redacted, payloads }
}

/// What is too large of a call.
fn take_out(body: &mut Body) -> Vec<Payload> {
    let (Body::ToolCallRequested(call) | Body::ToolCallCompleted(call) | Body::ToolCallDenied(call)) = body
    else {
        return Vec::new();
    };
    detach(call)
}

/// A record as it stands in its event.
struct Original {
    bytes: u64,
    kept: Option<Box<RawValue>>,
    payload: Option<Payload>,
}

fn original(record: &Value, text: String) -> Original {
    let bytes = text.len() as u64;
    let kept = match text.len() {
        ..=ORIGINAL_BYTES_MAX if depth(record) <= ORIGINAL_DEPTH_MAX => to_raw_value(record).ok(),
        // As a text it grows by an escape for each quote: it may then be too large after all.
        ..=ORIGINAL_BYTES_MAX => {
            to_raw_value(&text).ok().filter(|escaped| escaped.get().len() <= ORIGINAL_BYTES_MAX)
        }
        _ => None,
    };
    if kept.is_some() {
        return Original { bytes, kept, payload: None };
    }
    let payload = Payload::new(text.into_bytes());
    Original { bytes, kept: to_raw_value(&payload.reference()).ok(), payload: Some(payload) }
}

struct Draft<'a> {
    base: &'a str,
    format: &'a str,
    time: Timestamp,
    mapped: &'a Mapped,
    context: &'a Context,
    report: Report,
}

impl Draft<'_> {
    fn event(&self, said: Said) -> Option<Event> {
        let mapped = self.mapped;
        let (agent, task) = match said.about {
            Some((agent, task)) => (Some(agent), task),
            None => (mapped.agent.clone(), mapped.task.clone()),
        };
        Some(Event {
            id: EventId::try_from(format!("{}:{}", self.base, said.suffix)).ok()?,
            source: self.context.source(self.format),
            time: self.time,
            tenant: self.context.tenant.clone(),
            agent,
            task,
            principal: mapped.principal.clone(),
            credential_used: mapped.credential.clone(),
            session: mapped.session.clone(),
            trace: mapped.trace.clone(),
            redactions: self.report.redactions.clone(),
            body: said.body,
        })
    }
}
