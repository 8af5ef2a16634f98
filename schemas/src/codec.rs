//! From a Kafka record to an event and back. `decode` is the one place that says what an event is: ingest keeps what
//! it refuses as a dead letter, the analyzer skips exactly the same records.

use crate::event::{Body, Event};
use crate::id::{EventId, EventSource};
use crate::kind::{Kind, UnknownType};
use crate::limits::{EVENT_BYTES_MAX, HEADERS_MAX, JSON_DEPTH_MAX, TIME_AHEAD_MAX_US, TIME_MIN_US};
use crate::record::{Outgoing, Record, Topic};
use crate::timestamp::Timestamp;
use crate::wire::v1::{Data, SubjectId};
use bytes::Bytes;
use std::fmt;

/// A record that is not an event, and why. The record is kept whole all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Malformed {
    /// The class of fault.
    pub reason: MalformedReason,
    /// What exactly, without any content of the record but names.
    pub detail: String,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// Why a record is not an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum MalformedReason { $($(#[$doc])* $name,)* }

        impl MalformedReason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code, as stored and counted.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// A tombstone or an empty value.
    Empty = "empty";
    /// The value is larger than an event may be.
    TooLarge = "too_large";
    /// More headers than an event may have.
    TooManyHeaders = "too_many_headers";
    /// The value is not UTF-8.
    NotUtf8 = "not_utf8";
    /// The value is not JSON.
    NotJson = "not_json";
    /// The value is nested too deeply.
    TooDeep = "too_deep";
    /// A CloudEvents attribute is missing or unreadable.
    Attribute = "attribute";
    /// The type is none of ours.
    UnknownType = "unknown_type";
    /// The type is ours, its version is not.
    UnknownVersion = "unknown_version";
    /// The time is not believable.
    Time = "time";
    /// The tenant is missing.
    MissingTenant = "missing_tenant";
    /// The agent is missing from an event that an agent caused.
    MissingAgent = "missing_agent";
    /// The object that the kind needs is missing or has the wrong shape.
    Payload = "payload";
}

impl fmt::Display for MalformedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

fn malformed<T>(reason: MalformedReason, detail: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed { reason, detail: detail.into() })
}

/// Reads a record as an event.
pub fn decode(record: &Record) -> Result<Event, Malformed> {
    let value = record.value.as_deref().unwrap_or_default();
    if value.is_empty() {
        return malformed(MalformedReason::Empty, "the record has no value");
    }
    if value.len() > EVENT_BYTES_MAX {
        let detail = format!("the value has {} bytes, more than {EVENT_BYTES_MAX}", value.len());
        return malformed(MalformedReason::TooLarge, detail);
    }
    if record.headers.len() > HEADERS_MAX {
        return malformed(MalformedReason::TooManyHeaders, format!("{} headers", record.headers.len()));
    }
    let context = read_context(record)?;
    let Ok(text) = std::str::from_utf8(value) else {
        return malformed(MalformedReason::NotUtf8, "the value is not UTF-8");
    };
    if is_deep(value) {
        return malformed(MalformedReason::TooDeep, format!("nested deeper than {JSON_DEPTH_MAX}"));
    }
    let data: Data = match serde_json::from_str(text) {
        Ok(data) => data,
        Err(error) if error.is_data() => return malformed(MalformedReason::Payload, error.to_string()),
        Err(error) => return malformed(MalformedReason::NotJson, error.to_string()),
    };
    assemble(context, data)
}

struct Context {
    id: EventId,
    source: EventSource,
    kind: Kind,
    time: Timestamp,
}

fn read_context(record: &Record) -> Result<Context, Malformed> {
    let attribute = |name: &'static str| -> Result<&str, Malformed> {
        let Some(bytes) = record.header(name) else {
            return malformed(MalformedReason::Attribute, format!("header `{name}` is missing"));
        };
        std::str::from_utf8(bytes)
            .or_else(|_| malformed(MalformedReason::Attribute, format!("header `{name}` is not UTF-8")))
    };
    let unreadable = |name: &'static str, why: String| Malformed {
        reason: MalformedReason::Attribute,
        detail: format!("header `{name}`: {why}"),
    };
    if attribute("ce_specversion")? != "1.0" {
        return malformed(MalformedReason::Attribute, "header `ce_specversion` is not 1.0");
    }
    let kind = match Kind::from_type(attribute("ce_type")?) {
        Ok(kind) => kind,
        Err(UnknownType::Kind) => {
            return malformed(MalformedReason::UnknownType, "header `ce_type` names no kind");
        }
        Err(UnknownType::Version) => {
            return malformed(MalformedReason::UnknownVersion, "header `ce_type` names an unknown version");
        }
    };
    let id = EventId::try_from(attribute("ce_id")?).map_err(|why| unreadable("ce_id", why.to_string()))?;
    let source = EventSource::try_from(attribute("ce_source")?)
        .map_err(|why| unreadable("ce_source", why.to_string()))?;
    let time =
        Timestamp::parse(attribute("ce_time")?).map_err(|why| unreadable("ce_time", why.to_string()))?;
    if time.micros() < TIME_MIN_US {
        return malformed(MalformedReason::Time, format!("{time} is before agents were"));
    }
    if record.timestamp_us > 0 && time.micros().saturating_sub(record.timestamp_us) > TIME_AHEAD_MAX_US {
        return malformed(
            MalformedReason::Time,
            format!("{time} is more than a day after the broker's time"),
        );
    }
    Ok(Context { id, source, kind, time })
}

/// Whether JSON text is nested deeper than [`JSON_DEPTH_MAX`]. The count of openers bounds the depth, so the exact
/// scan is rarely needed.
fn is_deep(json: &[u8]) -> bool {
    if json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= JSON_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn assemble(context: Context, mut data: Data) -> Result<Event, Malformed> {
    let Context { id, source, kind, time } = context;
    let Some(tenant) = data.tenant_uid.take() else {
        return malformed(MalformedReason::MissingTenant, "`tenant_uid` is missing");
    };
    if needs_agent(kind) && data.ai_agent.is_none() {
        return malformed(MalformedReason::MissingAgent, format!("`ai_agent` is missing from {kind}"));
    }
    let (agent, task) = (data.ai_agent.take(), data.task.take());
    let principal = data.sub_id.take().map(|subject| subject.id);
    let (credential_used, session, trace) =
        (data.credential_uid.take(), data.session_uid.take(), data.trace.take());
    let redactions = std::mem::take(&mut data.redactions);
    let body = read_body(kind, data)?;
    Ok(Event {
        id,
        source,
        time,
        tenant,
        agent,
        task,
        principal,
        credential_used,
        session,
        trace,
        redactions,
        body,
    })
}

pub(crate) const fn needs_agent(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ToolCallRequested
            | Kind::ToolCallCompleted
            | Kind::ToolCallDenied
            | Kind::CredentialUsed
            | Kind::DelegationGranted
            | Kind::DelegationRevoked
            | Kind::DecisionEvaluated
            | Kind::AgentCreated
            | Kind::AgentCloned
            | Kind::AgentPaused
            | Kind::AgentResumed
            | Kind::AgentRetried
            | Kind::AgentRetasked
            | Kind::AgentOffboarded
    )
}

macro_rules! body_table {
    ($($kind:ident: $field:ident;)*) => {
        fn read_body(kind: Kind, data: Data) -> Result<Body, Malformed> {
            match kind {
                $(Kind::$kind => match data.$field {
                    Some(payload) => Ok(Body::$kind(payload)),
                    None => malformed(
                        MalformedReason::Payload,
                        concat!("`", stringify!($field), "` is missing"),
                    ),
                },)*
            }
        }

        fn write_body(body: &Body, data: &mut Data) {
            match body {
                $(Body::$kind(payload) => data.$field = Some(payload.clone()),)*
            }
        }
    };
}

body_table! {
    ToolCallRequested: tool_call;
    ToolCallCompleted: tool_call;
    ToolCallDenied: tool_call;
    CredentialIssued: credential;
    CredentialUsed: credential;
    CredentialRotated: credential;
    CredentialRevoked: credential;
    CredentialExpired: credential;
    EnvelopeProposed: envelope;
    EnvelopeApproved: envelope;
    EnvelopeAmended: envelope;
    EnvelopeClosed: closed;
    ApprovalRequested: approval;
    ApprovalApproved: approval;
    ApprovalDenied: approval;
    ApprovalExpired: approval;
    ApprovalCancelled: approval;
    BaselineApproved: baseline;
    AgentCreated: lifecycle;
    AgentCloned: lifecycle;
    AgentPaused: lifecycle;
    AgentResumed: lifecycle;
    AgentRetried: lifecycle;
    AgentRetasked: lifecycle;
    AgentOffboarded: lifecycle;
    DelegationGranted: delegation;
    DelegationRevoked: delegation;
    DecisionEvaluated: decision;
    FindingCreated: finding;
    FindingUpdated: triage;
    FindingClosed: triage;
    ResponseDecided: response;
    ResponseAttempted: attempt;
    ResponseAcknowledged: acknowledgement;
    ResponseDeadLettered: dead_lettered;
    ResponseOrdered: order;
    ResponsePending: pending;
    ResponseApproved: ruling;
    ResponseDenied: ruling;
    ResponseExpired: pending;
    ResponsesStopped: switch;
    ResponsesResumed: switch;
    DeliveryRedriven: redrive;
    PolicyChanged: policy;
    ReceiverDisabled: disabled;
    RevocationRequested: revocation;
    RevocationDelivered: revocation;
    RevocationConfirmed: revocation;
    RevocationFailed: revocation;
    GapDetected: notice;
    ClockSkewed: notice;
    SourceRecorded: source_record;
    IntegrityBroken: notice;
    DeadLetterRedriven: notice;
    TriageChanged: triage_change;
    TriageSuppressed: suppression;
    CaseChanged: case_change;
    QueryExecuted: query;
    QueryExported: query;
    SearchSaved: saved_search;
    RulesActivated: rules;
}

/// An event that cannot be written, because it would not be read back.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The data could not be written as JSON.
    #[error("cannot write event `{id}` as JSON")]
    Json {
        /// The event.
        id: EventId,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// The data is larger than [`EVENT_BYTES_MAX`].
    #[error("event `{id}` has {bytes} bytes, more than {EVENT_BYTES_MAX}: send large content by reference")]
    TooLarge {
        /// The event.
        id: EventId,
        /// Its size.
        bytes: usize,
    },
}

/// The topic that a kind belongs to.
pub fn topic_of(kind: Kind) -> Topic {
    let family = kind.name().split('.').next().unwrap_or_default();
    match family {
        "finding" => Topic::Findings,
        "response" | "revocation" | "triage" | "case" | "query" | "search" => Topic::Responses,
        _ => Topic::Events,
    }
}

/// Writes an event as a record: the same event always gives the same bytes.
pub fn encode(event: &Event) -> Result<Outgoing, EncodeError> {
    let mut data = Data {
        tenant_uid: Some(event.tenant.clone()),
        ai_agent: event.agent.clone(),
        task: event.task.clone(),
        sub_id: event.principal.clone().map(|id| SubjectId { format: "opaque".into(), id }),
        credential_uid: event.credential_used.clone(),
        session_uid: event.session.clone(),
        trace: event.trace.clone(),
        redactions: event.redactions.clone(),
        ..Data::default()
    };
    write_body(&event.body, &mut data);
    let value =
        serde_json::to_vec(&data).map_err(|cause| EncodeError::Json { id: event.id.clone(), cause })?;
    if value.len() > EVENT_BYTES_MAX {
        return Err(EncodeError::TooLarge { id: event.id.clone(), bytes: value.len() });
    }
    let kind = event.kind();
    let time = event.time.to_string();
    let mut headers = vec![
        ("ce_specversion", "1.0"),
        ("ce_id", event.id.as_str()),
        ("ce_source", event.source.as_str()),
        ("ce_type", kind.type_name()),
        ("ce_time", &time),
    ];
    headers.extend(event.agent.as_ref().map(|agent| ("ce_subject", agent.uid.as_str())));
    headers.push(("content-type", "application/json"));
    Ok(Outgoing {
        topic: topic_of(kind),
        key: Bytes::copy_from_slice(event.partition_key().as_bytes()),
        headers: headers.into(),
        value: Bytes::from(value),
    })
}
