//! The head of the table's log: what the next commit must know, followed entry by entry.
//!
//! `deltalake` rebuilds its list of files after every commit, which costs time for each file of the table. A commit
//! needs none of that: it must know the newest version, how far the shards are, and that protocol and layout are still
//! those it writes. So entries that others have written are read as they come, and a new one is put if its version is
//! still absent: the Delta protocol's rule for blind appends. Its cost does not grow with the table.

use crate::error::Error;
use crate::seal;
use crate::store::Store;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::kernel::{Action, Transaction};
use deltalake::logstore::CommitOrBytes;
use deltalake::protocol::DeltaOperation;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The newest writer version of the Delta protocol that appends here understand.
const WRITER_VERSION_MAX: u64 = 2;
/// A put that took longer may have been overtaken by the clean-up of the log: it is checked again.
const STALLED: Duration = Duration::from_mins(1);
/// How often a version may be taken by another before it is given up: they all go forward meanwhile.
pub(crate) const RACES_MAX: u32 = 1_000;

/// What is known of the log's head.
#[derive(Debug)]
pub(crate) struct Head {
    /// The newest version that was read.
    pub(crate) version: u64,
    /// Versions of applications, as far as they have been asked for or have changed.
    transactions: HashMap<String, i64>,
    /// An entry of ours that is visible, but whose directory could not be synced.
    doubtful: Option<u64>,
}

#[derive(Deserialize)]
struct Line {
    txn: Option<Txn>,
    protocol: Option<Protocol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protocol {
    min_writer_version: u64,
}

impl Head {
    pub(crate) fn new(version: u64) -> Self {
        Self { version, transactions: HashMap::new(), doubtful: None }
    }

    /// Takes the next entry in.
    fn take(&mut self, entry: &[u8]) -> Result<(), Error> {
        let version = self.version + 1;
        if !seal::holds(entry) {
            return Err(Error::Altered { version });
        }
        let mut transactions = Vec::new();
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|cause| Error::Entry { version, cause })?;
            if let Some(txn) = line.txn {
                transactions.push(txn);
            }
            if line.protocol.is_some_and(|protocol| protocol.min_writer_version > WRITER_VERSION_MAX) {
                return Err(Error::Protocol { version });
            }
        }
        self.transactions.extend(transactions.into_iter().map(|txn| (txn.app_id, txn.version)));
        self.version = version;
        Ok(())
    }
}

impl Store {
    /// Reads what others have committed since.
    pub(crate) async fn follow(&self, head: &mut Head) -> Result<(), Error> {
        if let Some(version) = head.doubtful {
            return Err(Error::Doubtful { version });
        }
        let before = head.version;
        while let Some(entry) = self.entry(head.version + 1).await? {
            head.take(&entry)?;
        }
        if head.version == before && self.entry(before).await?.is_none() {
            // Cleaned up while nobody here was looking: only a checkpoint leads to the newest version now.
            let mut table = self.table.lock().await;
            table.load().await.map_err(log_error)?;
            *head = Head::new(table.version().unwrap_or_default());
        }
        Ok(())
    }

    pub(crate) async fn entry(&self, version: u64) -> Result<Option<bytes::Bytes>, Error> {
        self.log.read_commit_entry(version).await.map_err(log_error)
    }

    /// The version of an application, 0 when it has none.
    pub(crate) async fn transaction(&self, head: &mut Head, id: &str) -> Result<i64, Error> {
        if let Some(version) = head.transactions.get(id) {
            return Ok(*version);
        }
        let mut table = self.table.lock().await;
        self.refresh(&mut table).await?;
        let state = table.snapshot().map_err(log_error)?;
        let mut found = state.transaction_version(self.log.as_ref(), id).await;
        if found.is_err() {
            // The checkpoint that the state was read from may have been cleaned up since.
            table.load().await.map_err(log_error)?;
            let state = table.snapshot().map_err(log_error)?;
            found = state.transaction_version(self.log.as_ref(), id).await;
        }
        let found = found.map_err(log_error)?;
        let found = found.unwrap_or_default();
        // An entry that the head has yet to read overrides it.
        head.transactions.insert(id.to_owned(), found);
        Ok(found)
    }

    /// Puts the next entry. `None` when another was first: then follow, check again, and try again.
    pub(crate) async fn put_entry(
        &self,
        head: &mut Head,
        actions: Vec<Action>,
        operation: DeltaOperation,
        transactions: Vec<Transaction>,
        notes: &[(&str, serde_json::Value)],
    ) -> Result<Option<u64>, Error> {
        let (version, id, began) = (head.version + 1, Uuid::now_v7(), Instant::now());
        let files = actions.iter().filter(|action| matches!(action, Action::Add(_))).count();
        let failed = |cause: DeltaTableError| Error::Commit { files, version, cause: Box::new(cause) };
        let mut metadata = HashMap::from([("ambitCommit".to_owned(), json!(id)), seal::note()]);
        metadata.extend(notes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let data = CommitData::new(actions, operation, metadata, transactions);
        let bytes = data.get_bytes().map_err(|cause| failed(cause.into()))?;
        let bytes = bytes::Bytes::from(seal::seal(&bytes));
        let put = self.log.write_commit_entry(version, CommitOrBytes::LogBytes(bytes.clone()), id).await;
        match put {
            Err(TransactionError::VersionAlreadyExists(_)) if !self.is_ours(version, id).await? => {
                return Ok(None);
            }
            // An answer was lost on its way, and the repeated request found what the first one had put.
            Ok(()) | Err(TransactionError::VersionAlreadyExists(_)) => {}
            Err(cause) => {
                if self.is_ours(version, id).await.unwrap_or(true) {
                    // INVARIANT L-3: visible, but not known to be durable, and a second fsync proves nothing.
                    head.doubtful = Some(version);
                }
                return Err(failed(cause.into()));
            }
        }
        if began.elapsed() > STALLED && self.entry(version - 1).await?.is_none() {
            // The log was cleaned up past this version while we were stopped: the entry leads nowhere.
            head.doubtful = Some(version);
            return Err(Error::Doubtful { version });
        }
        head.take(&bytes)?;
        Ok(Some(version))
    }

    async fn is_ours(&self, version: u64, id: Uuid) -> Result<bool, Error> {
        let entry = self.entry(version).await?;
        let id = id.to_string();
        Ok(entry.is_some_and(|entry| entry.windows(id.len()).any(|window| window == id.as_bytes())))
    }
}

pub(crate) fn log_error(cause: impl Into<DeltaTableError>) -> Error {
    Error::Log(Box::new(cause.into()))
}
