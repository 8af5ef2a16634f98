//! Notices: events about the record itself. Whoever notices something says it with one, so that it is stored and signed
//! like all else.

use crate::event::{Body, Event};
use crate::id::{EventId, EventSource, InvalidId, TenantId};
use crate::record::Shard;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose notices are: those of the installation, not of one tenant.
const TENANT: &str = "default";

/// A notice as an event. The same thing that is noticed twice is to have the same id, so that a crash in between adds a
/// duplicate, not an event.
pub fn notice(source: &str, id: &str, now: Timestamp, body: Body) -> Result<Event, InvalidId> {
    Ok(Event::new(
        EventId::try_from(id)?,
        EventSource::try_from(source)?,
        now,
        TenantId::try_from(TENANT)?,
        body,
    ))
}

/// Something about the record itself: a gap, a clock, an integrity failure.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// The shard it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// First offset concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_offset: Option<u64>,
    /// First offset no longer concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_offset: Option<u64>,
    /// The producer concerned: the CloudEvents `source` of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many records or events are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// How far the clock is ahead of Kafka's time, in milliseconds; negative when it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// Who did it, when somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Where a dead letter stands now that it was sent again: `topic:partition:offset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
    /// What happened, for people.
    pub text: String,
}
