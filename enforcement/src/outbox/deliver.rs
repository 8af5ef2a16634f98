//! Deliveries: what is due, how tries went, what is given up.

use super::{DeliveryState, Due, Failed, Outbox, Tried, execute, queue};
use crate::error::Error;
use crate::records::{self, Case, Ends};
use crate::schedule::Next;
use ambit_schemas::Timestamp;
use ambit_schemas::id::{DeliveryId, ReceiverId, ResponseId};
use ambit_schemas::order::ReceiverDisabled;
use ambit_schemas::response::{Acknowledgement, Action, DeadLettered};
use rusqlite::{Row, Transaction, params};

/// A delivery of this response is made from here, and not held by a stop. Notifications are never held.
pub(super) const HELD: &str =
    "(json_type(?2) = 'null' OR r.partition = -1 OR r.partition IN (SELECT value FROM json_each(?2)))
    AND NOT (?3 AND r.auto = 1 AND r.action NOT IN ('notify', 'restore')) AND r.finding <> ''";
pub(super) const COLUMNS: &str = "d.delivery_id, d.response_id, r.action, d.attempts, d.body, r.finding, r.decided_at, r.partition, d.receiver";

impl Outbox {
    /// Deliveries to a receiver that are due, revocations first, except those that are on their way.
    pub fn due(
        &self,
        receiver: &ReceiverId,
        now: Timestamp,
        most: usize,
        on_their_way: &[DeliveryId],
    ) -> Result<Vec<Due>, Error> {
        self.read().due(receiver, now, most, on_their_way)
    }

    /// When the next delivery that is not due yet becomes so.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.read().next_due(now)
    }

    /// Records tries, what follows from them, and the events that tell of it.
    pub fn record(&mut self, tries: &[Tried]) -> Result<(), Error> {
        self.write(|transaction, failed| {
            tries.iter().try_for_each(|tried| record_try(transaction, tried, failed))
        })
    }

    /// The receiver answers again: what waits for it is due at once.
    pub(crate) fn hurry(&mut self, receiver: &ReceiverId, now: Timestamp) -> Result<(), Error> {
        self.write(|transaction, failed| {
            let sql = "UPDATE deliveries SET next_at = ?2
                       WHERE receiver = ?1 AND state = 'pending' AND next_at > ?2";
            execute(transaction, sql, params![receiver.as_str(), now.micros()], failed).map(drop)
        })
    }

    /// The receiver wants nothing more, as it is configured now.
    pub(crate) fn disable(
        &mut self,
        refused: &Due,
        configuration: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(|transaction, failed| {
            mark_disabled(transaction, refused.receiver.as_str(), configuration, failed)?;
            let disabled = ReceiverDisabled {
                receiver: refused.receiver.clone(),
                delivery_id: refused.delivery_id.clone(),
                configuration: configuration.to_owned(),
            };
            queue(transaction, &[records::event_of_disabled(&refused.finding, disabled, now)], failed)
        })
    }

    /// Gives up what waits for a receiver that wants nothing more. Returns how many deliveries.
    pub(crate) fn bury(&mut self, receiver: &ReceiverId, now: Timestamp, most: i64) -> Result<usize, Error> {
        let buried = self.read().waiting(receiver, now, most)?;
        if buried.is_empty() {
            return Ok(0);
        }
        self.write(|transaction, failed| {
            for due in &buried {
                set_state(transaction, due, DeliveryState::Dead, due.attempts, now, failed)?;
                queue(transaction, &dead(due, due.attempts, "disabled", now), failed)?;
            }
            Ok(buried.len())
        })
    }
}

/// A delivery as the table has it; nothing when this version cannot read it.
pub(super) fn due_of(row: &Row<'_>) -> rusqlite::Result<Option<Due>> {
    let (delivery, response): (String, String) = (row.get(0)?, row.get(1)?);
    let (action, finding): (String, String) = (row.get(2)?, row.get(5)?);
    let receiver: String = row.get(8)?;
    let ids =
        (DeliveryId::try_from(delivery), ResponseId::try_from(response), ReceiverId::try_from(receiver));
    let action = serde_json::from_value(serde_json::Value::String(action));
    let (Ok(delivery_id), Ok(response_id), Ok(receiver)) = ids else { return Ok(None) };
    let (Ok(action), Ok(finding)) = (action, serde_json::from_str(&finding)) else { return Ok(None) };
    Ok(Some(Due {
        delivery_id,
        response_id,
        receiver,
        action,
        attempts: row.get(3)?,
        body: row.get(4)?,
        finding,
        decided_at: Timestamp::from_micros(row.get(6)?),
        partition: row.get(7)?,
    }))
}

pub(super) fn mark_disabled(
    transaction: &Transaction<'_>,
    receiver: &str,
    configuration: &str,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let sql = "INSERT OR REPLACE INTO disabled VALUES (?1, ?2)";
    execute(transaction, sql, params![receiver, configuration], failed).map(drop)
}

fn set_state(
    transaction: &Transaction<'_>,
    due: &Due,
    state: DeliveryState,
    attempts: u32,
    next_at: Timestamp,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let sql = "UPDATE deliveries SET state = ?2, attempts = ?3, next_at = ?4 WHERE delivery_id = ?1";
    let row = params![due.delivery_id.as_str(), state.name(), attempts, next_at.micros()];
    execute(transaction, sql, row, failed).map(drop)
}

fn record_try(transaction: &Transaction<'_>, tried: &Tried, failed: Failed<'_>) -> Result<(), Error> {
    let (due, number) = (&tried.due, tried.due.attempts + 1);
    let (state, next_at) = match &tried.next {
        Next::Acknowledged => (DeliveryState::Acknowledged, tried.ended_at),
        Next::Retry(pause) => {
            let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
            (DeliveryState::Pending, tried.ended_at.plus_micros(micros))
        }
        Next::DeadLetter(_) => (DeliveryState::Dead, tried.ended_at),
    };
    set_state(transaction, due, state, number, next_at, failed)?;
    let mut events = vec![records::event_of_attempt(&due.finding, tried.attempt.clone())];
    match &tried.next {
        Next::Acknowledged => {
            let taken = Acknowledgement {
                delivery_id: due.delivery_id.clone(),
                response_id: due.response_id.clone(),
                finding_id: due.finding.id.clone(),
                receiver: due.receiver.clone(),
                action: due.action,
                attempts: number,
                http_status: tried.attempt.http_status.unwrap_or_default(),
                acknowledged_at: tried.ended_at,
                evidence: tried.evidence.as_ref().map(|evidence| evidence.0.clone()),
            };
            let ends = ends(transaction, tried, failed)?;
            events.extend(records::events_of_acknowledgement(&case(due), due.decided_at, taken, ends));
        }
        Next::DeadLetter(reason) => events.extend(dead(due, number, reason, tried.ended_at)),
        Next::Retry(_) => {}
    }
    queue(transaction, &events, failed)
}

/// How long what was taken away may go on, and for how long it was taken away.
fn ends(transaction: &Transaction<'_>, tried: &Tried, failed: Failed<'_>) -> Result<Ends, Error> {
    let due = &tried.due;
    if due.action == Action::Pause {
        return Ok(Ends {
            until: super::pauses::paused_until(transaction, &due.response_id, failed)?,
            ..Ends::default()
        });
    }
    let valid = super::watches::valid_until(transaction, &due.finding, failed)?;
    let residual_seconds = valid.and_then(|until| records::seconds_between(tried.ended_at, until));
    Ok(Ends { residual_seconds, until: None })
}

fn case(due: &Due) -> Case<'_> {
    Case { finding: &due.finding, response_id: &due.response_id, partition: due.partition }
}

fn dead(due: &Due, attempts: u32, reason: &str, now: Timestamp) -> Vec<ambit_schemas::Event> {
    let dead = DeadLettered {
        delivery_id: due.delivery_id.clone(),
        response_id: due.response_id.clone(),
        finding_id: due.finding.id.clone(),
        receiver: due.receiver.clone(),
        action: due.action,
        attempts,
        reason: reason.to_owned(),
    };
    records::events_of_dead_letter(&case(due), dead, now)
}
