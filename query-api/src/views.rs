//! What the API answers. Plain data, apart from the domain's types.

use crate::cursor::Place;
use crate::engine::{AT, Session};
use crate::error::Error;
use crate::rows::RowView;
use crate::summary::summary;
use crate::triage::TriageView;
use ambit_schemas::columns::{DEAD_LETTER, names};
use ambit_schemas::{Timestamp, decode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; null at the end.
    pub next_cursor: Option<String>,
    /// Why something may be missing; null when nothing is.
    pub incomplete: Option<String>,
}

/// One event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventView {
    /// `topic:partition:offset`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset; null for a token of one tenant.
    pub offset: Option<u64>,
    /// Its index in the shard's ledger; null for a token of one tenant, whom a proof tells it.
    pub leaf_index: Option<u64>,
    /// The kind, or `dead_letter`.
    pub kind: String,
    /// When it happened (RFC 3339).
    pub time: Option<String>,
    /// When it was stored.
    pub recorded_at: String,
    /// CloudEvents `id`.
    pub id: Option<String>,
    /// CloudEvents `source`.
    pub source: Option<String>,
    /// Whose it is.
    pub tenant: Option<String>,
    /// Who did it.
    pub agent: Option<String>,
    /// A name for people.
    pub agent_name: Option<String>,
    /// In what task.
    pub task: Option<String>,
    /// The top of its delegation tree.
    pub root_task: Option<String>,
    /// The task that delegated it.
    pub parent_task: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The tool call.
    pub tool_call: Option<String>,
    /// The severity, of findings.
    pub severity: Option<String>,
    /// The rule, of findings.
    pub rule: Option<String>,
    /// How it went.
    pub status: Option<String>,
    /// The finding it is about.
    pub finding: Option<String>,
    /// The same event stood in the shard before.
    pub duplicate: bool,
    /// Why a dead letter is one.
    pub reason: Option<String>,
    /// One sentence.
    pub summary: String,
    /// The event's data; null when it is not JSON.
    #[schema(value_type = Option<Object>)]
    pub data: Option<Value>,
}

impl EventView {
    /// Reads a row that has all columns.
    fn of(row: &RowView<'_>) -> Result<(Self, Place), Error> {
        let stored = row.record()?;
        let (record, kind) = (&stored.record, stored.kind.clone());
        let decoded = decode(record);
        let reason = row.text(names::REASON);
        let summary = match &decoded {
            Ok(event) => summary(event),
            Err(_) => format!("not an event: {}", reason.as_deref().unwrap_or("unknown")),
        };
        let agent_name = decoded.as_ref().ok().and_then(|event| event.agent.as_ref()?.name.clone());
        let data = record.value.as_deref().filter(|_| kind != DEAD_LETTER);
        let place =
            Place { at: row.time(AT).unwrap_or_default(), shard: record.shard, offset: record.offset };
        let view = Self {
            reference: reference(place),
            topic: record.shard.topic.name().to_owned(),
            partition: record.shard.partition,
            offset: Some(record.offset),
            leaf_index: Some(stored.leaf_index),
            kind,
            time: row.time(names::TIME).map(|time| time.to_string()),
            recorded_at: stored.recorded_at.to_string(),
            id: row.text(names::ID),
            source: row.text(names::SOURCE),
            tenant: row.text(names::TENANT),
            agent: row.text(names::AGENT),
            agent_name,
            task: row.text(names::TASK),
            root_task: row.text(names::ROOT_TASK),
            parent_task: row.text(names::PARENT_TASK),
            tool: row.text(names::TOOL),
            tool_call: row.text(names::TOOL_CALL),
            severity: row.text(names::SEVERITY),
            rule: row.text(names::RULE),
            status: row.text(names::STATUS),
            finding: row.text(names::FINDING),
            duplicate: stored.duplicate,
            reason,
            summary,
            data: data.and_then(|bytes| serde_json::from_slice(bytes).ok()),
        };
        Ok((view, place))
    }
}

impl Session {
    /// Reads a row that has all columns, as whoever asks may see it: offset and leaf index count the events of all tenants.
    /// INVARIANT Q-3
    pub(crate) fn view(&self, row: &RowView<'_>) -> Result<(EventView, Place), Error> {
        let (mut view, place) = EventView::of(row)?;
        if self.scope().only().is_some() {
            (view.offset, view.leaf_index) = (None, None);
        }
        Ok((view, place))
    }
}

pub(crate) fn reference(place: Place) -> String {
    format!("{}:{}:{}", place.shard.topic, place.shard.partition, place.offset)
}

/// A delivery of a response.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its stable id.
    pub delivery_id: String,
    /// To whom.
    pub receiver: String,
    /// `pending`, `acknowledged` or `dead_lettered`.
    pub state: String,
    /// Tries so far.
    pub attempts: u32,
    /// The last HTTP status.
    pub last_status: Option<u16>,
    /// The last error.
    pub last_error: Option<String>,
    /// When it was acknowledged.
    pub acknowledged_at: Option<String>,
}

/// What a finding led to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResponseView {
    /// What is asked for.
    pub action: String,
    /// What would have been asked for.
    #[schema(value_type = Option<Object>)]
    pub held_back: Option<Value>,
    /// When it was decided.
    pub decided_at: Option<String>,
    /// To whom it goes.
    pub deliveries: Vec<DeliveryView>,
}

/// A finding with what it led to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FindingView {
    /// `topic:partition:offset` of the finding's event.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The finding.
    #[schema(value_type = Object)]
    pub finding: Value,
    /// What it led to; null until the policy has decided.
    pub response: Option<ResponseView>,
    /// How it stands.
    pub triage: TriageView,
}

/// A dead letter.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeadLetterView {
    /// `topic:partition:offset`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The shard.
    pub shard: String,
    /// The offset.
    pub offset: u64,
    /// The broker's time.
    pub broker_time: String,
    /// When it was stored.
    pub recorded_at: String,
    /// The class of fault.
    pub reason: String,
    /// What exactly.
    pub detail: Option<String>,
    /// Bytes of the value.
    pub size: usize,
    /// The first bytes of the value, base64.
    pub raw_base64: String,
    /// Whether there are more.
    pub truncated: bool,
}

/// RFC 3339 of a moment.
pub(crate) fn text_of(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
