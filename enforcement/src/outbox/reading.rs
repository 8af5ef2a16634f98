//! Reading the outbox beside whoever writes it: in WAL mode readers see what was committed last and wait for no write,
//! so what is due is found while the disk still works on something else.

use super::deliver::{COLUMNS, HELD, due_of};
use super::take::STOPPED;
use super::{Due, fact};
use crate::error::Error;
use ambit_schemas::id::{DeliveryId, ReceiverId};
use ambit_schemas::{Headers, Outgoing, Timestamp, Topic};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A connection that reads, shared between the threads of the service.
pub(crate) type SharedReading = Arc<Mutex<Reading>>;

/// What is known beside the file.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Events up to this one are in Kafka, and leave the file with the next transaction: a crash before that tells them
    /// again, with the same ids, and saves a transaction of their own.
    pub(super) told: AtomicI64,
    /// The partitions whose deliveries are made from here; absent while nobody else could make them.
    pub(super) owned: Mutex<Option<BTreeSet<u32>>>,
}

/// Reads the outbox.
#[derive(Debug)]
pub(crate) struct Reading {
    path: PathBuf,
    connection: Connection,
    beside: Arc<Beside>,
}

impl Reading {
    /// `connection` must not write.
    pub(super) fn new(path: &Path, connection: Connection, beside: Arc<Beside>) -> Self {
        Self { path: path.to_owned(), connection, beside }
    }

    fn failed(&self, cause: rusqlite::Error) -> Error {
        Error::Outbox { doing: "read", path: self.path.clone(), cause }
    }

    /// Deliveries to a receiver that are due, revocations first, except those that are on their way.
    pub(crate) fn due(
        &self,
        receiver: &ReceiverId,
        now: Timestamp,
        most: usize,
        on_their_way: &[DeliveryId],
    ) -> Result<Vec<Due>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries d JOIN responses r USING (response_id)
             WHERE d.receiver = ?1 AND d.state = 'pending' AND d.next_at <= ?4 AND {HELD}
             ORDER BY d.lane, d.next_at LIMIT ?5"
        );
        let limit = i64::try_from(most + on_their_way.len()).unwrap_or(i64::MAX);
        let rows = self.select(&sql, receiver, now, limit)?;
        let free = rows.into_iter().filter(|due| !on_their_way.contains(&due.delivery_id));
        Ok(free.take(most).collect())
    }

    /// Deliveries to a receiver that wait, due or not.
    pub(super) fn waiting(
        &self,
        receiver: &ReceiverId,
        now: Timestamp,
        most: i64,
    ) -> Result<Vec<Due>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries d JOIN responses r USING (response_id)
             WHERE d.receiver = ?1 AND d.state = 'pending' AND (?4 > 0) AND {HELD} LIMIT ?5"
        );
        self.select(&sql, receiver, now, most)
    }

    fn select(
        &self,
        sql: &str,
        receiver: &ReceiverId,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<Due>, Error> {
        let owned = {
            let owned = self.beside.owned.lock().unwrap_or_else(PoisonError::into_inner);
            // `null` while all are: a JSON array for the query otherwise.
            serde_json::to_string(&*owned).unwrap_or_else(|_| "null".into())
        };
        let stopped = self.stopped()?.is_some();
        let rows = self.connection.prepare_cached(sql).and_then(|mut statement| {
            let rows = statement
                .query_map(params![receiver.as_str(), owned, stopped, now.micros(), limit], due_of)?;
            rows.collect::<Result<Vec<_>, _>>()
        });
        // What a newer version wrote and this one cannot read stays where it is.
        Ok(rows.map_err(|cause| self.failed(cause))?.into_iter().flatten().collect())
    }

    /// When the next delivery that is not due yet becomes so.
    pub(crate) fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.connection
            .prepare_cached("SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND next_at > ?1")
            .and_then(|mut statement| statement.query_row([now.micros()], |row| row.get::<_, Option<i64>>(0)))
            .map(|next| next.map(Timestamp::from_micros))
            .map_err(|cause| self.failed(cause))
    }

    /// Whether the receiver wants nothing more with this configuration.
    pub(crate) fn is_disabled(&self, receiver: &ReceiverId, configuration: &str) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT count(*) FROM disabled WHERE receiver = ?1 AND configuration = ?2")
            .and_then(|mut statement| {
                statement.query_row(params![receiver.as_str(), configuration], |row| row.get::<_, i64>(0))
            })
            .map(|count| count > 0)
            .map_err(|cause| self.failed(cause))
    }

    /// Since when, by whom and why automatic revocation is off.
    pub(crate) fn stopped(&self) -> Result<Option<String>, Error> {
        let since = fact(&self.connection, STOPPED, &|cause| self.failed(cause))?;
        Ok(since.filter(|since| !since.is_empty()))
    }

    /// Whether there are orders, approvals or ends of pauses in these partitions.
    pub(crate) fn anything_to_attend(&self, ready: &BTreeSet<u32>, now: Timestamp) -> Result<bool, Error> {
        let ready = serde_json::to_string(ready).unwrap_or_default();
        let among = "partition IN (SELECT value FROM json_each(?1))";
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM orders WHERE state = 'new' AND {among})
             OR EXISTS (SELECT 1 FROM questions WHERE state = 'waiting' AND {among} AND
                 (pending ->> 'expires_at' IS NULL OR unixepoch(pending ->> 'expires_at') * 1000000 <= ?2
                  OR EXISTS (SELECT 1 FROM rulings r WHERE r.response_id = questions.response_id)))
             OR EXISTS (SELECT 1 FROM responses WHERE until <= ?2 AND {among})"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row(params![ready, now.micros()], |row| row.get(0)))
            .map_err(|cause| self.failed(cause))
    }

    /// Events that still have to be told, oldest first.
    pub(crate) fn untold(&self, most: usize) -> Result<Vec<(i64, Outgoing)>, Error> {
        let told = self.beside.told.load(Ordering::Acquire);
        let sql =
            "SELECT seq, record_key, headers, value, topic FROM events WHERE seq > ?2 ORDER BY seq LIMIT ?1";
        let rows = self.connection.prepare_cached(sql).and_then(|mut statement| {
            let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX), told], |row| {
                let (key, headers, value): (Vec<u8>, Vec<u8>, Vec<u8>) =
                    (row.get(1)?, row.get(2)?, row.get(3)?);
                let headers = Headers::from_bytes(headers.into()).unwrap_or_default();
                let topic = Topic::from_name(&row.get::<_, String>(4)?).unwrap_or(Topic::Responses);
                Ok((row.get(0)?, Outgoing { topic, key: key.into(), headers, value: value.into() }))
            })?;
            rows.collect()
        });
        rows.map_err(|cause| self.failed(cause))
    }

    /// Events up to this one are in Kafka.
    pub(crate) fn told(&self, up_to: i64) {
        self.beside.told.fetch_max(up_to, Ordering::AcqRel);
    }
}
