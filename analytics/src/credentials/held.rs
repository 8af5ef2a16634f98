//! What is remembered of a credential.

use crate::standing::Interval;
use ambit_schemas::event::Credential;
use ambit_schemas::finding::EventRef;
use ambit_schemas::id::{AgentId, TaskId};
use ambit_schemas::{Event, Sequenced, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A credential, as far as anything was told of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The task that it was issued for.
    pub(crate) task: Option<TaskId>,
    /// The workload that it was issued to.
    pub(crate) agent: Option<AgentId>,
    /// From when it is valid; `None` when no issue was told.
    pub(crate) since: Option<Timestamp>,
    /// Since when it is dead by revocation.
    pub(crate) revoked: Option<Timestamp>,
    /// When its time is over.
    pub(crate) expires: Option<Timestamp>,
    /// Another has taken its place.
    pub(crate) is_replaced: bool,
    /// What its issue said, while there is no envelope to compare it with.
    pub(crate) unjudged: Option<Box<Issue>>,
    /// The latest use by each workload.
    pub(crate) uses: BTreeMap<AgentId, Use>,
    /// Uses in all.
    pub(crate) used: u32,
    /// The tasks in which it was used, with the first use in each.
    pub(crate) tasks: Vec<InTask>,
    /// It was told that nobody knows where it came from.
    pub(crate) told_unknown: bool,
    /// It was told that it stands longer than its tasks.
    pub(crate) told_standing: bool,
}

/// A use of a credential: when, and which event told it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Use {
    pub(crate) at: Timestamp,
    pub(crate) event: EventRef,
    /// Whether it was told that the credential is another's.
    pub(crate) foreign: bool,
}

/// The first use of a credential in a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InTask {
    pub(crate) task: TaskId,
    pub(crate) event: EventRef,
    /// Whether it was told that the credential is another task's.
    pub(crate) told: bool,
}

/// What an issue said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Issue {
    pub(crate) issuer: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) since: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) event: EventRef,
}

impl Use {
    pub(crate) fn of(event: &Sequenced<Event>, foreign: bool) -> Self {
        Self { at: event.item.time, event: reference(event), foreign }
    }
}

impl Issue {
    pub(crate) fn of(event: &Sequenced<Event>, credential: &Credential) -> Self {
        Self {
            issuer: credential.issuer.clone(),
            scopes: credential.scopes.clone(),
            since: credential.not_before.unwrap_or(event.item.time),
            expires: credential.expires_at,
            event: reference(event),
        }
    }
}

impl Held {
    /// Whether it is good for anything at that moment, as far as is known.
    pub(crate) fn is_live(&self, at: Timestamp) -> bool {
        let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= at);
        !self.is_replaced && !over(self.revoked) && !over(self.expires)
    }

    /// When it is valid: from its issue to its revocation or expiry. `None` when no issue was told.
    pub(crate) fn validity(&self) -> Option<Interval> {
        let end = |end: Option<Timestamp>| end.map_or(i64::MAX, Timestamp::micros);
        Some(Interval::new(self.since?.micros(), end(self.revoked).min(end(self.expires))))
    }
}

/// The event as findings name it.
pub(crate) fn reference(event: &Sequenced<Event>) -> EventRef {
    let (source, id) = (event.item.source.clone(), event.item.id.clone());
    EventRef { source, id, shard: event.shard, offset: event.offset }
}
