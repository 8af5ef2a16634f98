//! The outbox: what was decided, to whom it goes, how far each delivery is, and which events still have to be told.
//!
//! SQLite in WAL mode with `synchronous = FULL`: a transaction that has returned survives a power cut. One writer.
//! Every step writes its state and the events that tell of it together, so neither can be lost without the other.

use crate::error::Error;
use crate::policy::{Before, Policy};
use crate::records;
use crate::schedule::Next;
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{DeliveryId, ReceiverId, ResponseId};
use ambit_schemas::response::{Acknowledgement, Action, Attempt, DeadLettered};
use ambit_schemas::{Event, Headers, Outgoing, Shard, Timestamp, Topic, encode};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Layout of the file.
const LAYOUT: i64 = 2;
/// How long to wait for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// One hour, in microseconds: the window of the revocation budget.
const HOUR_US: i64 = 3_600_000_000;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS positions (shard TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS responses (
    response_id TEXT PRIMARY KEY, task TEXT NOT NULL, action TEXT NOT NULL, revokes INTEGER NOT NULL,
    finding_time INTEGER NOT NULL, finding TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS responses_by_time ON responses (revokes, finding_time);
CREATE INDEX IF NOT EXISTS responses_by_task ON responses (revokes, task);
CREATE TABLE IF NOT EXISTS deliveries (
    delivery_id TEXT PRIMARY KEY, response_id TEXT NOT NULL, receiver TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, lane INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
DROP INDEX IF EXISTS deliveries_due;
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (receiver, lane, next_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_later ON deliveries (next_at) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS settled (delivery_id TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, record_key BLOB NOT NULL, headers BLOB NOT NULL, value BLOB NOT NULL) STRICT;
";

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be tried, now or later.
    Pending,
    /// Taken by the receiver.
    Acknowledged,
    /// Given up.
    Dead,
}

impl DeliveryState {
    const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Acknowledged => "acknowledged",
            Self::Dead => "dead",
        }
    }
}

/// A delivery that is to be tried.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its stable id.
    pub delivery_id: DeliveryId,
    /// The response it belongs to.
    pub response_id: ResponseId,
    /// To whom.
    pub receiver: ReceiverId,
    /// What is asked for.
    pub action: Action,
    /// Tries so far.
    pub attempts: u32,
    /// The webhook's body, the same bytes for every try.
    pub body: Vec<u8>,
    /// The finding behind it.
    pub finding: Finding,
}

/// How a try of a delivery went.
#[derive(Debug, Clone)]
pub struct Tried {
    /// What was tried.
    pub due: Due,
    /// The record of the try.
    pub attempt: Attempt,
    /// What follows.
    pub next: Next,
    /// When the try ended.
    pub ended_at: Timestamp,
}

/// A record of `ambit.findings`: a finding, or something else that only moves the position on.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Where it stood.
    pub shard: Shard,
    /// Its offset.
    pub offset: u64,
    /// The finding, if it is one.
    pub finding: Option<Finding>,
}

/// The outbox file.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    connection: Connection,
    /// Events up to this one are in Kafka, and leave the file with the next transaction: a crash before that tells them
    /// again, with the same ids, and saves a transaction of their own.
    told: i64,
}

impl Outbox {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |cause| Error::Outbox { doing: "opened", path: path.to_owned(), cause };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if found > LAYOUT {
            return Err(Error::OutboxVersion { path: path.to_owned(), found, known: LAYOUT });
        }
        connection.execute_batch(TABLES).map_err(failed)?;
        connection.pragma_update(None, "user_version", LAYOUT).map_err(failed)?;
        Ok(Self { path: path.to_owned(), connection, told: 0 })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |cause| Error::Outbox { doing, path: path.clone(), cause }
    }

    /// Whether nothing was ever read: the file is new, or was deleted.
    pub fn is_new(&self) -> Result<bool, Error> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM positions", [], |row| row.get(0))
            .map_err(self.failed("read"))?;
        Ok(count == 0)
    }

    /// The offset after the last finding that was taken from a shard.
    pub fn position(&self, shard: Shard) -> Result<Option<u64>, Error> {
        self.connection
            .query_row("SELECT next_offset FROM positions WHERE shard = ?1", [shard.to_string()], |row| {
                row.get::<_, i64>(0)
            })
            .optional()
            .map(|next| next.map(i64::cast_unsigned))
            .map_err(self.failed("read"))
    }

    /// Moves on, or back, to where Kafka can be read.
    pub fn move_to(&mut self, shard: Shard, next: u64) -> Result<(), Error> {
        self.connection
            .execute(
                "INSERT INTO positions VALUES (?1, ?2) ON CONFLICT (shard) DO UPDATE SET next_offset = ?2",
                params![shard.to_string(), next.cast_signed()],
            )
            .map(|_| ())
            .map_err(self.failed("written"))
    }

    /// Notes what earlier deliveries came to, as `ambit.responses` tells it, before findings are read again
    /// (INVARIANT Q-2).
    pub fn settle(&mut self, deliveries: &[(DeliveryId, DeliveryState)]) -> Result<(), Error> {
        let failed = self.failed("written");
        let transaction = self.connection.transaction().map_err(&failed)?;
        for (delivery, state) in deliveries {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO settled VALUES (?1, ?2)",
                    params![delivery.as_str(), state.name()],
                )
                .map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    /// Decides on findings and makes their deliveries due, in one transaction with the new positions. What was taken
    /// before is passed over. Returns how many responses are new.
    pub fn take(&mut self, incoming: &[Incoming], policy: &Policy, now: Timestamp) -> Result<usize, Error> {
        let failed = self.failed("written");
        let transaction = self.connection.transaction().map_err(&failed)?;
        forget_told(&transaction, self.told, &failed)?;
        let mut new = 0;
        for record in incoming {
            if let Some(finding) = &record.finding {
                new += usize::from(decide(&transaction, finding, policy, now, &failed)?);
            }
            transaction
                .execute(
                    "INSERT INTO positions VALUES (?1, ?2) ON CONFLICT (shard) DO UPDATE SET next_offset = ?2",
                    params![record.shard.to_string(), record.offset.cast_signed() + 1],
                )
                .map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        Ok(new)
    }

    /// Deliveries to a receiver that are due, revocations first, except those that are on their way.
    pub fn due(
        &self,
        receiver: &ReceiverId,
        now: Timestamp,
        most: usize,
        on_their_way: &[DeliveryId],
    ) -> Result<Vec<Due>, Error> {
        let failed = self.failed("read");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT d.delivery_id, d.response_id, r.action, d.attempts, d.body, r.finding FROM deliveries d
                 JOIN responses r USING (response_id)
                 WHERE d.receiver = ?1 AND d.state = 'pending' AND d.next_at <= ?2 ORDER BY d.lane, d.next_at LIMIT ?3",
            )
            .map_err(&failed)?;
        let limit = i64::try_from(most + on_their_way.len()).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![receiver.as_str(), now.micros(), limit], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, u32>(3)?,
                    row.get::<_, Vec<u8>>(4)?,
                    row.get::<_, String>(5)?,
                ))
            })
            .map_err(&failed)?;
        let mut due = Vec::new();
        for row in rows {
            let (delivery, response, action, attempts, body, finding) = row.map_err(&failed)?;
            if on_their_way.iter().any(|id| id.as_str() == delivery) {
                continue;
            }
            let parsed = (DeliveryId::try_from(delivery), ResponseId::try_from(response));
            let action = serde_json::from_value(serde_json::Value::String(action));
            let (Ok(delivery_id), Ok(response_id)) = parsed else { continue };
            let (Ok(action), Ok(finding)) = (action, serde_json::from_str(&finding)) else { continue };
            if due.len() < most {
                let receiver = receiver.clone();
                due.push(Due { delivery_id, response_id, receiver, action, attempts, body, finding });
            }
        }
        Ok(due)
    }

    /// When the next delivery that is not due yet becomes so.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.connection
            .query_row(
                "SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND next_at > ?1",
                [now.micros()],
                |row| row.get::<_, Option<i64>>(0),
            )
            .map(|next| next.map(Timestamp::from_micros))
            .map_err(self.failed("read"))
    }

    /// Records tries, what follows from them, and the events that tell of it.
    pub fn record(&mut self, tries: &[Tried]) -> Result<(), Error> {
        let failed = self.failed("written");
        let transaction = self.connection.transaction().map_err(&failed)?;
        forget_told(&transaction, self.told, &failed)?;
        for tried in tries {
            record_try(&transaction, tried, &failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    /// Events that still have to be told, oldest first.
    pub fn untold(&self, most: usize) -> Result<Vec<(i64, Outgoing)>, Error> {
        let failed = self.failed("read");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, record_key, headers, value FROM events WHERE seq > ?2 ORDER BY seq LIMIT ?1",
            )
            .map_err(&failed)?;
        let rows = statement
            .query_map([i64::try_from(most).unwrap_or(i64::MAX), self.told], |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, Vec<u8>>(2)?,
                    row.get::<_, Vec<u8>>(3)?,
                ))
            })
            .map_err(&failed)?;
        let mut events = Vec::new();
        for row in rows {
            let (seq, key, headers, value) = row.map_err(&failed)?;
            let headers = Headers::from_bytes(headers.into()).unwrap_or_default();
            let outgoing =
                Outgoing { topic: Topic::Responses, key: key.into(), headers, value: value.into() };
            events.push((seq, outgoing));
        }
        Ok(events)
    }

    /// Events up to this one are in Kafka.
    pub fn told(&mut self, up_to: i64) {
        self.told = self.told.max(up_to);
    }

    /// Lets events that were told leave the file now, when there is nothing else to write.
    pub fn tidy(&mut self) -> Result<(), Error> {
        let failed = self.failed("written");
        forget_told(&self.connection, self.told, &failed)
    }

    /// How many deliveries are in each state.
    pub fn counts(&self) -> Result<Vec<(String, u64)>, Error> {
        let failed = self.failed("read");
        let mut statement = self
            .connection
            .prepare_cached("SELECT state, count(*) FROM deliveries GROUP BY state ORDER BY state")
            .map_err(&failed)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }
}

type Failed<'a> = &'a dyn Fn(rusqlite::Error) -> Error;

fn forget_told(connection: &Connection, up_to: i64, failed: Failed<'_>) -> Result<(), Error> {
    let mut statement = connection.prepare_cached("DELETE FROM events WHERE seq <= ?1").map_err(failed)?;
    statement.execute([up_to]).map(|_| ()).map_err(failed)
}

/// Returns whether the response is new.
fn decide(
    transaction: &Transaction<'_>,
    finding: &Finding,
    policy: &Policy,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<bool, Error> {
    let response_id = records::response_id(finding);
    let known: Option<i64> = transaction
        .query_row("SELECT 1 FROM responses WHERE response_id = ?1", [response_id.as_str()], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    if known.is_some() {
        return Ok(false);
    }
    let task =
        finding.task.as_ref().map_or_else(String::new, |task| format!("{}/{}", finding.tenant, task.id));
    let Some(decision) = policy.decide(finding, before(transaction, finding, &task, failed)?) else {
        return Ok(false);
    };
    let action = decision.action;
    let text = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_default();
    transaction
        .execute(
            "INSERT INTO responses VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                response_id.as_str(),
                task,
                action.name(),
                action.revokes(),
                finding.time.micros(),
                text(&|| serde_json::to_string(finding))
            ],
        )
        .map_err(failed)?;
    let body = text(&|| serde_json::to_string(&records::webhook(finding, action))).into_bytes();
    for receiver in &decision.receivers {
        let delivery = records::delivery_id(&response_id, receiver);
        let settled: Option<String> = transaction
            .query_row("SELECT state FROM settled WHERE delivery_id = ?1", [delivery.as_str()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(failed)?;
        let state = settled.unwrap_or_else(|| DeliveryState::Pending.name().to_owned());
        transaction
            .execute(
                "INSERT OR IGNORE INTO deliveries VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7)",
                params![
                    delivery.as_str(),
                    response_id.as_str(),
                    receiver.as_str(),
                    state,
                    now.micros(),
                    i64::from(!action.revokes()),
                    body
                ],
            )
            .map_err(failed)?;
    }
    let decided = records::decided(finding, &decision);
    queue(transaction, &records::events_of_decision(finding, decided), failed)?;
    Ok(true)
}

fn before(
    transaction: &Transaction<'_>,
    finding: &Finding,
    task: &str,
    failed: Failed<'_>,
) -> Result<Before, Error> {
    let at = finding.time.micros();
    let revocations_in_hour = transaction
        .query_row(
            "SELECT count(*) FROM responses WHERE revokes = 1 AND finding_time > ?1 AND finding_time <= ?2",
            params![at - HOUR_US, at],
            |row| row.get::<_, u32>(0),
        )
        .map_err(failed)?;
    let earlier: Option<i64> = transaction
        .query_row(
            "SELECT 1 FROM responses WHERE revokes = 1 AND task = ?1 AND task <> '' LIMIT 1",
            [task],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    Ok(Before { revocations_in_hour, task_revoked: earlier.is_some() })
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
    transaction
        .execute(
            "UPDATE deliveries SET state = ?2, attempts = ?3, next_at = ?4 WHERE delivery_id = ?1",
            params![due.delivery_id.as_str(), state.name(), number, next_at.micros()],
        )
        .map_err(failed)?;
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
            };
            events.extend(records::events_of_acknowledgement(&due.finding, taken));
        }
        Next::DeadLetter(reason) => {
            let dead = DeadLettered {
                delivery_id: due.delivery_id.clone(),
                response_id: due.response_id.clone(),
                finding_id: due.finding.id.clone(),
                receiver: due.receiver.clone(),
                action: due.action,
                attempts: number,
                reason: (*reason).to_owned(),
            };
            events.extend(records::events_of_dead_letter(&due.finding, dead, tried.ended_at));
        }
        Next::Retry(_) => {}
    }
    queue(transaction, &events, failed)
}

/// Events to be told, in the transaction of what they tell of.
fn queue(transaction: &Transaction<'_>, events: &[Event], failed: Failed<'_>) -> Result<(), Error> {
    for event in events {
        let Outgoing { key, headers, value, .. } = encode(event)?;
        let columns: (&Bytes, &Bytes) = (&key, &value);
        transaction
            .execute(
                "INSERT INTO events (record_key, headers, value) VALUES (?1, ?2, ?3)",
                params![columns.0.as_ref(), headers.as_bytes(), columns.1.as_ref()],
            )
            .map_err(failed)?;
    }
    Ok(())
}
