//! The outbox: what was decided, to whom it goes, how far each delivery is, what is watched, and which events still
//! have to be told.
//!
//! SQLite in WAL mode. A transaction that decides, or says how a try went, is synchronised before it returns, so it
//! survives a power cut. What only repeats what Kafka has (what others did, how far events were watched) is not: its
//! position in Kafka is written with it, so after a power cut it is read again. One writer; readers beside it.
//! Every step writes its state and the events that tell of it together, so neither can be lost without the other.
//! What other workers of the group did is read from `ambit.responses` into the same tables.

mod ask;
mod deliver;
mod layout;
mod log;
mod pauses;
mod reading;
mod take;
mod wal;
mod watches;

pub use ask::Done;
pub(crate) use reading::SharedReading;
pub(crate) use wal::Wal;
pub(crate) use watches::{News, Seen, Told, WatchKey};

use self::reading::{Beside, Reading};
use crate::error::Error;
use crate::schedule::{Evidence, Next};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{DeliveryId, ReceiverId, ResponseId};
use ambit_schemas::response::{Action, Attempt};
use ambit_schemas::{Event, Outgoing, Shard, Timestamp, encode};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// What the receiver saw of the effect, where it looked.
    pub evidence: Option<Evidence>,
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

/// Whether a transaction must outlive a power cut when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// It must.
    Synced,
    /// Kafka has what it is made of.
    Repeatable,
}

/// The outbox file.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    connection: Connection,
    reading: SharedReading,
    beside: Arc<Beside>,
    changed: watches::Changed,
    transactions: u64,
}

type Failed<'a> = &'a dyn Fn(rusqlite::Error) -> Error;

impl Outbox {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (connection, beside) = (layout::open(path)?, Arc::new(Beside::default()));
        let reading = Reading::new(path, layout::open_to_read(path)?, Arc::clone(&beside));
        let reading = Arc::new(Mutex::new(reading));
        let (path, changed) = (path.to_owned(), watches::Changed::all());
        Ok(Self { path, connection, reading, beside, changed, transactions: 0 })
    }

    /// A connection that reads beside this one.
    pub(crate) fn reading(&self) -> SharedReading {
        Arc::clone(&self.reading)
    }

    fn read(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.transact(Keep::Synced, work)
    }

    /// The same, for what Kafka has and would be read again.
    fn write_repeatable<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, Failed<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.transact(Keep::Repeatable, work)
    }

    fn transact<T>(
        &mut self,
        keep: Keep,
        work: impl FnOnce(&Transaction<'_>, Failed<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let failed = self.failed("written");
        let level = if keep == Keep::Synced { "FULL" } else { "NORMAL" };
        self.connection.pragma_update(None, "synchronous", level).map_err(&failed)?;
        let transaction = self.connection.transaction().map_err(&failed)?;
        forget_told(&transaction, self.beside.told.load(Ordering::Acquire), &failed)?;
        let done = work(&transaction, &failed)?;
        transaction.commit().map_err(&failed)?;
        self.transactions += 1;
        Ok(done)
    }

    /// Transactions since it was opened.
    pub(crate) const fn transactions(&self) -> u64 {
        self.transactions
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
        *self.beside.owned.lock().unwrap_or_else(PoisonError::into_inner) = Some(owned.clone());
        Ok(owned)
    }

    /// From here on the deliveries of these partitions are made, and no others.
    pub(crate) fn own(&mut self, partitions: &BTreeSet<u32>) -> Result<(), Error> {
        *self.beside.owned.lock().unwrap_or_else(PoisonError::into_inner) = Some(partitions.clone());
        self.write(|transaction, failed| {
            transaction.execute("DELETE FROM owned", []).map_err(failed)?;
            for partition in partitions {
                transaction.execute("INSERT INTO owned VALUES (?1)", [partition]).map_err(failed)?;
            }
            Ok(())
        })
    }

    /// Something small that is remembered by its name.
    pub(crate) fn fact(&self, name: &str) -> Result<Option<String>, Error> {
        fact(&self.connection, name, &self.failed("read"))
    }

    /// Events that still have to be told, oldest first.
    pub fn untold(&self, most: usize) -> Result<Vec<(i64, Outgoing)>, Error> {
        self.read().untold(most)
    }

    /// Events up to this one are in Kafka.
    pub fn told(&self, up_to: i64) {
        self.read().told(up_to);
    }

    /// Lets events that were told leave the file now, when there is nothing else to write.
    pub fn tidy(&mut self) -> Result<(), Error> {
        self.write_repeatable(|_, _| Ok(()))
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

/// Runs a statement that is prepared once: how many rows it changed.
fn execute(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    failed: Failed<'_>,
) -> Result<usize, Error> {
    let run = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters));
    run.map_err(failed)
}

/// The first column of the first row, if there is one. The statement is prepared once.
fn value<T: FromSql>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    failed: Failed<'_>,
) -> Result<Option<T>, Error> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(parameters, |row| row.get(0)).optional())
        .map_err(failed)
}

fn set_position(connection: &Connection, shard: Shard, next: u64, failed: Failed<'_>) -> Result<(), Error> {
    let sql = "INSERT INTO positions VALUES (?1, ?2) ON CONFLICT (shard) DO UPDATE SET next_offset = ?2";
    execute(connection, sql, params![shard.to_string(), next.cast_signed()], failed).map(drop)
}

fn fact(connection: &Connection, name: &str, failed: Failed<'_>) -> Result<Option<String>, Error> {
    value(connection, "SELECT value FROM facts WHERE name = ?1", [name], failed)
}

fn set_fact(connection: &Connection, name: &str, value: &str, failed: Failed<'_>) -> Result<(), Error> {
    let sql = "INSERT INTO facts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    execute(connection, sql, params![name, value], failed).map(drop)
}

fn forget_told(connection: &Connection, up_to: i64, failed: Failed<'_>) -> Result<(), Error> {
    execute(connection, "DELETE FROM events WHERE seq <= ?1", [up_to], failed).map(drop)
}

/// Events to be told, in the transaction of what they tell of.
fn queue(transaction: &Transaction<'_>, events: &[Event], failed: Failed<'_>) -> Result<(), Error> {
    for event in events {
        let Outgoing { topic, key, headers, value } = encode(event)?;
        let sql = "INSERT INTO events (record_key, headers, value, topic) VALUES (?1, ?2, ?3, ?4)";
        let row = params![key.as_ref(), headers.as_bytes(), value.as_ref(), topic.name()];
        execute(transaction, sql, row, failed)?;
    }
    Ok(())
}

/// A value of ours as JSON, which cannot fail.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
