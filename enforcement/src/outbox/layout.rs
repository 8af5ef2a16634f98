//! How the outbox file is laid out.

use crate::error::Error;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// Layout of the file.
const LAYOUT: i64 = 3;
/// How long to wait for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Pages of the WAL at which a transaction moves them into the file by itself: when [`super::Wal`] has not done so long
/// before.
const WAL_PAGES_MAX: i64 = 32_768;

/// What layout 3 adds to tables of before.
const FROM_2: &str = "
ALTER TABLE responses ADD COLUMN partition INTEGER NOT NULL DEFAULT -1;
ALTER TABLE responses ADD COLUMN decided_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE responses ADD COLUMN until INTEGER;
ALTER TABLE responses ADD COLUMN target TEXT NOT NULL DEFAULT '';
ALTER TABLE responses ADD COLUMN auto INTEGER NOT NULL DEFAULT 1;
ALTER TABLE responses ADD COLUMN decided TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN topic TEXT NOT NULL DEFAULT 'ambit.responses';
DROP INDEX IF EXISTS responses_by_time;
";

/// `finding` is empty while a response is known from `ambit.responses` only, and so cannot be delivered from here.
/// `partition` is that of finding, responses and events alike: all are keyed by the root task. -1: from an old file.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS positions (shard TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS owned (partition INTEGER PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS responses (
    response_id TEXT PRIMARY KEY, task TEXT NOT NULL, action TEXT NOT NULL, revokes INTEGER NOT NULL,
    finding_time INTEGER NOT NULL, finding TEXT NOT NULL, partition INTEGER NOT NULL, decided_at INTEGER NOT NULL,
    until INTEGER, target TEXT NOT NULL, auto INTEGER NOT NULL, decided TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS responses_by_decision ON responses (revokes, decided_at);
CREATE INDEX IF NOT EXISTS responses_by_task ON responses (revokes, task);
CREATE INDEX IF NOT EXISTS responses_by_target ON responses (target, decided_at);
CREATE INDEX IF NOT EXISTS responses_to_undo ON responses (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS deliveries (
    delivery_id TEXT PRIMARY KEY, response_id TEXT NOT NULL, receiver TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, lane INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
DROP INDEX IF EXISTS deliveries_due;
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (receiver, lane, next_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_later ON deliveries (next_at) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS settled (delivery_id TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, record_key BLOB NOT NULL, headers BLOB NOT NULL, value BLOB NOT NULL,
    topic TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    response_id TEXT PRIMARY KEY, partition INTEGER NOT NULL, finding TEXT NOT NULL, decided TEXT NOT NULL,
    state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS questions (
    response_id TEXT PRIMARY KEY, partition INTEGER NOT NULL, pending TEXT NOT NULL, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS rulings (
    response_id TEXT NOT NULL, author TEXT NOT NULL, approves INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (response_id, author)) STRICT;
CREATE TABLE IF NOT EXISTS disabled (receiver TEXT PRIMARY KEY, configuration TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS watches (
    response_id TEXT NOT NULL, receiver TEXT NOT NULL, state TEXT NOT NULL, ends_at INTEGER NOT NULL,
    watch TEXT NOT NULL, PRIMARY KEY (response_id, receiver)) STRICT;
CREATE TABLE IF NOT EXISTS credentials (
    tenant TEXT NOT NULL, credential TEXT NOT NULL, root TEXT NOT NULL, valid_until INTEGER, seen_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, credential)) STRICT;
CREATE INDEX IF NOT EXISTS credentials_by_root ON credentials (tenant, root);
CREATE TABLE IF NOT EXISTS tasks (
    tenant TEXT NOT NULL, root TEXT NOT NULL, task TEXT NOT NULL, seen_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, root, task)) STRICT;
";

/// Statements of one connection that stay prepared.
const STATEMENTS: usize = 64;

/// A connection that reads beside the one that writes.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, Error> {
    connect(path)
        .and_then(|connection| {
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        })
        .map_err(|cause| Error::Outbox { doing: "opened", path: path.to_owned(), cause })
}

/// A connection that does nothing but move the WAL into the file.
pub(super) fn open_to_checkpoint(path: &Path) -> Result<Connection, Error> {
    connect(path).map_err(|cause| Error::Outbox { doing: "opened", path: path.to_owned(), cause })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let failed = |cause| Error::Outbox { doing: "opened", path: path.to_owned(), cause };
    let mut connection = connect(path).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX).map_err(failed)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if found > LAYOUT {
        return Err(Error::OutboxVersion { path: path.to_owned(), found, known: LAYOUT });
    }
    let transaction = connection.transaction().map_err(failed)?;
    if found == 1 || found == 2 {
        transaction.execute_batch(FROM_2).map_err(failed)?;
    }
    transaction.execute_batch(TABLES).map_err(failed)?;
    transaction.pragma_update(None, "user_version", LAYOUT).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(connection)
}
