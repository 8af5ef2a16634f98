//! The outbox: what was decided, to whom it goes, how far each delivery is, what is watched, and which events still
//! have to be told.
//!
//! SQLite in WAL mode with `synchronous = FULL`: a transaction that has returned survives a power cut. One writer.
//! Every step writes its state and the events that tell of it together, so neither can be lost without the other.
//! What other workers of the group did is read from `ambit.responses` into the same tables.

mod ask;
mod deliver;
mod layout;
mod log;
mod take;
mod watches;

pub use ask::Done;
pub(crate) use watches::{Seen, Told};

use crate::error::Error;
use crate::schedule::Next;
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{DeliveryId, ReceiverId, ResponseId};
use ambit_schemas::response::{Action, Attempt};
use ambit_schemas::{Event, Headers, Outgoing, Shard, Timestamp, Topic, encode};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
    pub(crate) const fn name(self) -> &'static str {
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
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Whose partition it is; negative in a file of an older version.
    pub partition: i64,
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
    /// The partitions whose deliveries are made from here; absent while nobody else could make them.
    owned: Option<BTreeSet<u32>>,
}

type Failed<'a> = &'a dyn Fn(rusqlite::Error) -> Error;

impl Outbox {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), connection: layout::open(path)?, told: 0, owned: None })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |cause| Error::Outbox { doing, path: path.clone(), cause }
    }

    /// Does several things in one transaction, with the events that tell of them.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, Failed<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let failed = self.failed("written");
        let transaction = self.connection.transaction().map_err(&failed)?;
        forget_told(&transaction, self.told, &failed)?;
        let done = work(&transaction, &failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(done)
    }

    /// Whether nothing was ever read: the file is new, or was deleted.
    pub fn is_new(&self) -> Result<bool, Error> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM positions", [], |row| row.get(0))
            .map_err(self.failed("read"))?;
        Ok(count == 0)
    }

    /// The offset after the last record that was taken from a shard.
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
        set_position(&self.connection, shard, next, &self.failed("written"))
    }

    /// The partitions that were worked on last: after a restart their deliveries go on before the group has met.
    pub(crate) fn recall_owned(&mut self) -> Result<BTreeSet<u32>, Error> {
        let owned: BTreeSet<u32> = {
            let failed = self.failed("read");
            let mut statement = self.connection.prepare("SELECT partition FROM owned").map_err(&failed)?;
            let rows = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
            rows.collect::<Result<_, _>>().map_err(&failed)?
        };
        self.owned = Some(owned.clone());
        Ok(owned)
    }

    /// From here on the deliveries of these partitions are made, and no others.
    pub(crate) fn own(&mut self, partitions: &BTreeSet<u32>) -> Result<(), Error> {
        self.owned = Some(partitions.clone());
        self.write(|transaction, failed| {
            transaction.execute("DELETE FROM owned", []).map_err(failed)?;
            for partition in partitions {
                transaction.execute("INSERT INTO owned VALUES (?1)", [partition]).map_err(failed)?;
            }
            Ok(())
        })
    }

    /// The owned partitions as a JSON array, for queries; `null` when all are.
    fn owned_json(&self) -> String {
        serde_json::to_string(&self.owned).unwrap_or_else(|_| "null".into())
    }

    /// Something small that is remembered by its name.
    pub(crate) fn fact(&self, name: &str) -> Result<Option<String>, Error> {
        fact(&self.connection, name, &self.failed("read"))
    }

    /// Events that still have to be told, oldest first.
    pub fn untold(&self, most: usize) -> Result<Vec<(i64, Outgoing)>, Error> {
        let failed = self.failed("read");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, record_key, headers, value, topic FROM events WHERE seq > ?2 ORDER BY seq LIMIT ?1",
            )
            .map_err(&failed)?;
        let rows = statement
            .query_map([i64::try_from(most).unwrap_or(i64::MAX), self.told], |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, Vec<u8>>(2)?,
                    row.get::<_, Vec<u8>>(3)?,
                    row.get::<_, String>(4)?,
                ))
            })
            .map_err(&failed)?;
        let mut events = Vec::new();
        for row in rows {
            let (seq, key, headers, value, topic) = row.map_err(&failed)?;
            let headers = Headers::from_bytes(headers.into()).unwrap_or_default();
            let topic = Topic::from_name(&topic).unwrap_or(Topic::Responses);
            events.push((seq, Outgoing { topic, key: key.into(), headers, value: value.into() }));
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

fn set_position(connection: &Connection, shard: Shard, next: u64, failed: Failed<'_>) -> Result<(), Error> {
    connection
        .execute(
            "INSERT INTO positions VALUES (?1, ?2) ON CONFLICT (shard) DO UPDATE SET next_offset = ?2",
            params![shard.to_string(), next.cast_signed()],
        )
        .map(drop)
        .map_err(failed)
}

fn fact(connection: &Connection, name: &str, failed: Failed<'_>) -> Result<Option<String>, Error> {
    connection
        .query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(failed)
}

fn set_fact(connection: &Connection, name: &str, value: &str, failed: Failed<'_>) -> Result<(), Error> {
    connection
        .execute(
            "INSERT INTO facts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
            params![name, value],
        )
        .map(drop)
        .map_err(failed)
}

fn forget_told(connection: &Connection, up_to: i64, failed: Failed<'_>) -> Result<(), Error> {
    let mut statement = connection.prepare_cached("DELETE FROM events WHERE seq <= ?1").map_err(failed)?;
    statement.execute([up_to]).map(drop).map_err(failed)
}

/// Events to be told, in the transaction of what they tell of.
fn queue(transaction: &Transaction<'_>, events: &[Event], failed: Failed<'_>) -> Result<(), Error> {
    for event in events {
        let Outgoing { topic, key, headers, value } = encode(event)?;
        let columns: (&Bytes, &Bytes) = (&key, &value);
        transaction
            .execute(
                "INSERT INTO events (record_key, headers, value, topic) VALUES (?1, ?2, ?3, ?4)",
                params![columns.0.as_ref(), headers.as_bytes(), columns.1.as_ref(), topic.name()],
            )
            .map_err(failed)?;
    }
    Ok(())
}

/// A value of ours as JSON, which cannot fail.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
