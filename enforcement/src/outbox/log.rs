//! What `ambit.responses` says: decisions and ends of deliveries of every worker, and what people ordered. Read from its
//! start it makes the outbox again (INVARIANT Q-2); what was read before changes nothing.

use super::take::{STOPPED, note};
use super::watches::{WatchKey, close, open};
use super::{DeliveryState, Failed, Outbox, deliver, execute, json, pauses, set_fact, set_position};
use crate::alive::WatchOptions;
use crate::error::Error;
use crate::records;
use ambit_schemas::finding::EventRef;
use ambit_schemas::id::DeliveryId;
use ambit_schemas::order::{Order, Pending, Ruling, Switch};
use ambit_schemas::response::Action;
use ambit_schemas::{Body, Event, Record, Timestamp, decode};
use rusqlite::{Transaction, params};
use std::collections::HashMap;

impl Outbox {
    /// Takes in records of `ambit.responses`, in their order.
    pub fn follow(&mut self, records: &[Record], options: &WatchOptions) -> Result<(), Error> {
        let mut changed = Vec::new();
        self.write_repeatable(|transaction, failed| {
            let mut next = HashMap::new();
            for record in records {
                // What is no event is a dead letter of ingest; here it says nothing.
                if let Ok(event) = decode(record) {
                    heed(transaction, record, &event, options, failed)?;
                    changed.extend(watched_by(&event));
                    changed.extend(restored(transaction, &event, failed)?);
                }
                next.insert(record.shard, record.offset + 1);
            }
            next.into_iter().try_for_each(|(shard, next)| set_position(transaction, shard, next, failed))
        })?;
        self.changed.extend(changed);
        Ok(())
    }

    /// Notes what earlier deliveries came to.
    pub fn settle(&mut self, deliveries: &[(DeliveryId, DeliveryState)]) -> Result<(), Error> {
        self.write(|transaction, failed| {
            deliveries.iter().try_for_each(|(delivery, state)| settle(transaction, delivery, *state, failed))
        })
    }
}

/// The watch that an event begins or ends.
fn watched_by(event: &Event) -> Option<WatchKey> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "only these are about watches")]
    match &event.body {
        Body::RevocationDelivered(revocation)
        | Body::RevocationConfirmed(revocation)
        | Body::RevocationFailed(revocation) => {
            Some((revocation.response_id.clone(), revocation.receiver.clone()?))
        }
        _ => None,
    }
}

/// The watches of pauses that an event lifts.
fn restored(
    transaction: &Transaction<'_>,
    event: &Event,
    failed: Failed<'_>,
) -> Result<Vec<WatchKey>, Error> {
    let Body::ResponseDecided(decided) = &event.body else { return Ok(Vec::new()) };
    if decided.action != Action::Restore {
        return Ok(Vec::new());
    }
    let at = decided.decided_at.unwrap_or(event.time);
    pauses::lift(transaction, &event.tenant, &decided.target, at, failed)
}

fn heed(
    transaction: &Transaction<'_>,
    record: &Record,
    event: &Event,
    options: &WatchOptions,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let partition = i64::from(record.shard.partition);
    #[allow(clippy::wildcard_enum_match_arm, reason = "tries and requests change nothing here")]
    match &event.body {
        Body::ResponseDecided(decided) => {
            let task =
                event.task.as_ref().map_or_else(String::new, |task| format!("{}/{}", event.tenant, task.id));
            let place = (event.time, partition);
            note(transaction, &decided.response_id, &task, decided, place, failed)
        }
        Body::ResponseAcknowledged(taken) => {
            settle(transaction, &taken.delivery_id, DeliveryState::Acknowledged, failed)
        }
        Body::ResponseDeadLettered(dead) => {
            settle(transaction, &dead.delivery_id, DeliveryState::Dead, failed)
        }
        Body::DeliveryRedriven(redrive) => revive(transaction, &redrive.delivery_id, event.time, failed),
        Body::ResponseOrdered(order) => ordered(transaction, record, event, order, failed),
        Body::ResponsePending(pending) => asked(transaction, partition, pending, failed),
        Body::ResponseApproved(ruling) => ruled(transaction, ruling, true, event.time, failed),
        Body::ResponseDenied(ruling) => ruled(transaction, ruling, false, event.time, failed),
        Body::ResponseExpired(pending) => {
            let sql = "UPDATE questions SET state = 'expired' WHERE response_id = ?1 AND state = 'waiting'";
            execute(transaction, sql, [pending.response_id.as_str()], failed).map(drop)
        }
        Body::ResponsesStopped(switch) => {
            let Switch { author, reason, author_authenticated } = switch;
            let unknown = if *author_authenticated { "" } else { " (not authenticated)" };
            let sentence = format!("since {} by {author}{unknown}: {reason}", event.time);
            set_fact(transaction, STOPPED, &sentence, failed)
        }
        Body::ResponsesResumed(_) => set_fact(transaction, STOPPED, "", failed),
        Body::ReceiverDisabled(disabled) => {
            deliver::mark_disabled(transaction, disabled.receiver.as_str(), &disabled.configuration, failed)
        }
        Body::RevocationDelivered(revocation) => {
            open(transaction, event, revocation, record.shard.partition, options, failed)
        }
        Body::RevocationConfirmed(revocation) => close(transaction, revocation, true, failed),
        Body::RevocationFailed(revocation) => close(transaction, revocation, false, failed),
        _ => Ok(()),
    }
}

fn settle(
    transaction: &Transaction<'_>,
    delivery: &DeliveryId,
    state: DeliveryState,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let (id, state) = (delivery.as_str(), state.name());
    let sql = "UPDATE deliveries SET state = ?2 WHERE delivery_id = ?1 AND state = 'pending'";
    execute(transaction, sql, params![id, state], failed)?;
    // Of deliveries that are not known here yet, or were made elsewhere.
    let sql =
        "INSERT INTO settled SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE delivery_id = ?1)
               ON CONFLICT (delivery_id) DO UPDATE SET state = ?2";
    execute(transaction, sql, params![id, state], failed).map(drop)
}

fn revive(
    transaction: &Transaction<'_>,
    delivery: &DeliveryId,
    at: Timestamp,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let sql = "UPDATE deliveries SET state = 'pending', attempts = 0, next_at = ?2
               WHERE delivery_id = ?1 AND state = 'dead'";
    execute(transaction, sql, params![delivery.as_str(), at.micros()], failed)?;
    let sql = "UPDATE settled SET state = 'pending' WHERE delivery_id = ?1 AND state = 'dead'";
    execute(transaction, sql, [delivery.as_str()], failed).map(drop)
}

fn ordered(
    transaction: &Transaction<'_>,
    record: &Record,
    event: &Event,
    order: &Order,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let at = EventRef {
        source: event.source.clone(),
        id: event.id.clone(),
        shard: record.shard,
        offset: record.offset,
    };
    let finding = records::finding_of_order(order, event, at);
    transaction
        .execute(
            "INSERT OR IGNORE INTO orders VALUES (?1, ?2, ?3, ?4, 'new')",
            params![order.response_id.as_str(), record.shard.partition, json(&finding), json(order)],
        )
        .map(drop)
        .map_err(failed)
}

fn asked(
    transaction: &Transaction<'_>,
    partition: i64,
    pending: &Pending,
    failed: Failed<'_>,
) -> Result<(), Error> {
    transaction
        .execute(
            "INSERT OR IGNORE INTO questions VALUES (?1, ?2, ?3, 'waiting')",
            params![pending.response_id.as_str(), partition, json(pending)],
        )
        .map(drop)
        .map_err(failed)
}

/// One voice per person, whatever its case; the first word counts.
fn ruled(
    transaction: &Transaction<'_>,
    ruling: &Ruling,
    approves: bool,
    at: Timestamp,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let author = ruling.author.as_str().to_lowercase();
    transaction
        .execute(
            "INSERT OR IGNORE INTO rulings VALUES (?1, ?2, ?3, ?4)",
            params![ruling.response_id.as_str(), author, approves, at.micros()],
        )
        .map(drop)
        .map_err(failed)
}
