//! Moves what the WAL holds into the outbox file, so that no decision has to wait for it: SQLite would do it within the
//! transaction that happens to fill the WAL, with two more synchronisations of the disk.

use super::{Outbox, layout};
use crate::deliver::SharedOutbox;
use crate::error::Error;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long it sleeps at most before it notices that it shall end.
const NAP: Duration = Duration::from_millis(50);
/// Transactions since the last time, below which it is not worth it.
const TRANSACTIONS_MIN: u64 = 64;
/// Pages of the WAL, 4 KiB each, from which on writers wait until it is empty: under a constant load it would never be.
const PAGES_MAX: i64 = 8_192;

/// The WAL of an outbox file.
#[derive(Debug)]
pub(crate) struct Wal {
    path: PathBuf,
    connection: Connection,
    outbox: SharedOutbox,
}

impl Wal {
    pub(crate) fn open(path: &Path, outbox: SharedOutbox) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), connection: layout::open_to_checkpoint(path)?, outbox })
    }

    /// Blocks; lives on a thread of its own.
    pub(crate) fn run(self, shutdown: &CancellationToken) -> Result<(), Error> {
        let (mut done, mut looked) = (self.lock().transactions(), Instant::now());
        while !shutdown.is_cancelled() {
            thread::sleep(NAP);
            if looked.elapsed() < EVERY {
                continue;
            }
            looked = Instant::now();
            let transactions = self.lock().transactions();
            if transactions.saturating_sub(done) < TRANSACTIONS_MIN {
                continue;
            }
            done = transactions;
            // Beside the writers, so nearly all of it is done before anybody has to wait.
            if self.checkpoint()? >= PAGES_MAX {
                let _outbox = self.lock();
                self.checkpoint()?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what no reader needs any more; how many pages the WAL holds. When all of them are moved, the next writer
    /// begins the WAL anew.
    fn checkpoint(&self) -> Result<i64, Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
            .map_err(|cause| Error::Outbox { doing: "brought up to date", path: self.path.clone(), cause })
    }
}
