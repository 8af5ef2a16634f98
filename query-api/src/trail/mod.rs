//! The audit trail: every question and export becomes an event. Room for its record is taken before it is answered, so
//! that nothing is answered that is not recorded; the record is written when the answer has ended, however it ends.

mod fold;

pub use fold::Fold;

use crate::access::Caller;
use ambit_schemas::Timestamp;
use ambit_schemas::event::{Body, Event};
use ambit_schemas::id::{CredentialId, EventId, EventSource, InvalidId, TenantId};
use ambit_schemas::trail::{Outcome, QueryRecord};
use std::sync::Arc;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};

/// Who says so.
pub(crate) const SOURCE: &str = "ambit/api";
/// Whose the records are of those who see all tenants.
pub(crate) const INSTALLATION: &str = "default";

/// The machine's clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A question with its time, on its way into the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// When it was asked.
    pub at: Timestamp,
    /// Whether something was taken out of the record.
    pub exported: bool,
    /// The token that was presented.
    pub credential: Option<CredentialId>,
    /// The question.
    pub record: QueryRecord,
}

impl Asked {
    /// The question as an event.
    pub fn event(self) -> Result<Event, InvalidId> {
        let tenant = match &self.record.scope {
            Some(tenant) => tenant.clone(),
            None => TenantId::try_from(INSTALLATION)?,
        };
        let record = Box::new(self.record);
        Ok(Event {
            id: EventId::try_from(format!("query-{}", uuid::Uuid::now_v7().simple()))?,
            source: EventSource::try_from(SOURCE)?,
            time: self.at,
            tenant,
            agent: None,
            task: None,
            principal: None,
            credential_used: self.credential,
            session: None,
            trace: None,
            redactions: Vec::new(),
            body: if self.exported { Body::QueryExported(record) } else { Body::QueryExecuted(record) },
        })
    }
}

/// Where records are left for whoever writes them to Kafka.
#[derive(Debug, Clone)]
pub struct Trail {
    sender: Option<Sender<Asked>>,
}

impl Trail {
    /// A trail, and what comes out of it. It holds at most so many records.
    pub fn new(queue: usize) -> (Self, Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        (Self { sender: Some(sender) }, receiver)
    }

    /// No trail: nothing is recorded.
    pub const fn off() -> Self {
        Self { sender: None }
    }

    /// Takes room for a record. None when there is none left.
    pub(crate) fn open(&self, asked: Asked, clock: Clock) -> Option<Entry> {
        let permit = match &self.sender {
            Some(sender) => Some(sender.clone().try_reserve_owned().ok()?),
            None => None,
        };
        Some(Entry { permit, asked: Some(asked), clock })
    }
}

/// Room in the trail, and what is known so far of the question. However it ends, it is recorded.
pub(crate) struct Entry {
    permit: Option<OwnedPermit<Asked>>,
    asked: Option<Asked>,
    clock: Clock,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Entry {
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut QueryRecord)) {
        if let Some(asked) = &mut self.asked {
            change(&mut asked.record);
        }
    }

    /// Records it as it stands.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        let (Some(permit), Some(mut asked)) = (self.permit.take(), self.asked.take()) else { return };
        let took = (self.clock)().micros_since(asked.at);
        asked.record.duration_us = u64::try_from(took).unwrap_or_default();
        asked.record.outcome = outcome;
        permit.send(asked);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.finish(Outcome::Cancelled);
    }
}

/// A question as it is asked, before anything is known of its answer.
pub(crate) fn asked(caller: &Caller, route: String, exported: bool, at: Timestamp) -> Asked {
    Asked {
        at,
        exported,
        credential: caller.credential.clone(),
        record: QueryRecord {
            author: caller.name.clone(),
            role: caller.role(),
            scope: caller.scope.only().cloned(),
            route,
            query_sha256: String::new(),
            from: None,
            to: None,
            times: 1,
            rows: 0,
            bytes: 0,
            status: 0,
            outcome: Outcome::Cancelled,
            duration_us: 0,
        },
    }
}
