//! Notices: events about the record itself. Whoever notices something says it with one, so that it is stored and signed
//! like all else.

use crate::event::{Body, Event};
use crate::id::{EventId, EventSource, InvalidId, TenantId};
use crate::timestamp::Timestamp;

/// Whose notices are: those of the installation, not of one tenant.
const TENANT: &str = "default";

/// A notice as an event. The same thing that is noticed twice is to have the same id, so that a crash in between adds a
/// duplicate, not an event.
pub fn notice(source: &str, id: &str, now: Timestamp, body: Body) -> Result<Event, InvalidId> {
    Ok(Event {
        id: EventId::try_from(id)?,
        source: EventSource::try_from(source)?,
        time: now,
        tenant: TenantId::try_from(TENANT)?,
        agent: None,
        task: None,
        principal: None,
        credential_used: None,
        session: None,
        trace: None,
        redactions: Vec::new(),
        body,
    })
}
