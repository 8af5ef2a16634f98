//! What keeps the table fit beside the appenders: compaction, checkpoints, clean-up of the log, vacuum, retention.
//!
//! Each step reads the durable state and does what is due; nothing depends on a step before, so it may be killed at any
//! point. On one machine one process at a time does it; if two do, on different machines, whoever commits second finds
//! its input gone and gives up.

use crate::error::Error;
use crate::fsck::checkpoint_digest;
use crate::head::log_error;
use crate::retention::Retention;
use crate::s3::S3;
use crate::store::Store;
use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

/// How long a step waits for another process's to end.
const TURN_WAIT: Duration = Duration::from_mins(2);
/// How often it looks.
const TURN_POLL: Duration = Duration::from_millis(50);

/// How the table is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// Whether the ingest role does it. Without it commits stay quick, but reading gets slower and slower.
    pub enabled: bool,
    /// Seconds between looks at what is to be compacted.
    pub every_seconds: u64,
    /// Small files of a day's level after which they become one.
    pub fan_in: usize,
    /// Megabytes at which a compacted file is large enough.
    pub target_mb: u64,
    /// Megabytes of rows, before compression, that compaction and ordered reading hold in memory.
    pub memory_mb: u64,
    /// Versions between checkpoints of the log.
    pub checkpoint_versions: u64,
    /// Seconds between vacuums, and looks at what retention has to delete.
    pub vacuum_every_seconds: u64,
    /// Seconds between readings of the whole table that look for damage.
    pub scrub_every_seconds: u64,
    /// How long what was replaced stays readable: files, and versions of the table.
    pub history_seconds: u64,
    /// The object store that has the table; on local disk without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// What is deleted when.
    pub retention: Retention,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            enabled: true,
            every_seconds: 5,
            fan_in: 10,
            target_mb: 128,
            memory_mb: 256,
            checkpoint_versions: 100,
            vacuum_every_seconds: 600,
            scrub_every_seconds: 86_400,
            history_seconds: crate::store::HISTORY.as_secs(),
            s3: None,
            retention: Retention::default(),
        }
    }
}

/// Holds other processes on this machine off while it lives.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Store {
    /// Waits until no other process on this machine is at it.
    pub(crate) async fn take_turn(&self) -> Result<Turn, Error> {
        let dir = self.options.path.join(crate::control::DIR);
        self.files.create_dir(&dir).map_err(|cause| Error::io("create", &dir, cause))?;
        let path = dir.join("maintenance.lock");
        let failed = |cause| Error::io("lock", &path, cause);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _lock: file }),
                Err(TryLockError::WouldBlock) if began.elapsed() > TURN_WAIT => return Err(Error::Busy),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(TURN_POLL).await,
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
        }
    }

    /// Writes a checkpoint of the log when so many versions have gone since the last one, and reads it back: a
    /// checkpoint that does not say what the log says would lose rows. Returns its version.
    pub async fn checkpoint(&self, every: u64) -> Result<Option<u64>, Error> {
        let _turn = self.take_turn().await?;
        let table = self.afresh().await?;
        let version = table.version().unwrap_or_default();
        let last = self.last_checkpoint().await?;
        if last.is_some_and(|last| version < last + every) || version == 0 {
            return Ok(None);
        }
        create_checkpoint(&table, None).await.map_err(log_error)?;
        let file = format!("_delta_log/{version:020}.checkpoint.parquet");
        let mut again = DeltaTable::new(table.log_store());
        again.load_version(version).await.map_err(log_error)?;
        if names(&again)? != names(&table)? {
            let what = "it does not list the files that the log lists: delete it".to_owned();
            return Err(Error::Damaged { path: self.options.path.join(file), what });
        }
        let objects = self.log.object_store(None);
        let written = objects.get(&ObjectPath::from(file)).await.map_err(Error::Objects)?;
        let digest = Sha256::digest(written.bytes().await.map_err(Error::Objects)?);
        let beside = ObjectPath::from(checkpoint_digest(version));
        objects.put(&beside, hex::encode(digest).into()).await.map_err(Error::Objects)?;
        Ok(Some(version))
    }

    /// Deletes entries of the log that are older than the history and that a checkpoint makes dispensable. Returns how
    /// many.
    pub async fn clean_log(&self) -> Result<usize, Error> {
        let _turn = self.take_turn().await?;
        let table = self.newest().await?;
        let history = i64::try_from(self.options.history.as_millis()).unwrap_or(i64::MAX);
        let cutoff = crate::commit::milliseconds().saturating_sub(history);
        let version = table.version().unwrap_or_default();
        cleanup_expired_logs_for(version, self.log.as_ref(), cutoff, None).await.map_err(log_error)
    }

    /// The table read from its log afresh: what is read from it later does not need entries that were cleaned up.
    pub(crate) async fn afresh(&self) -> Result<DeltaTable, Error> {
        let mut table = DeltaTable::new(std::sync::Arc::clone(&self.log));
        if table.load().await.is_err() {
            // Cleaned up while it was read.
            table.load().await.map_err(log_error)?;
        }
        Ok(table)
    }

    /// The table as it is now, for work that must not hold readers up.
    pub(crate) async fn newest(&self) -> Result<DeltaTable, Error> {
        let mut table = self.table.lock().await;
        self.refresh(&mut table).await?;
        Ok(table.clone())
    }

    async fn last_checkpoint(&self) -> Result<Option<u64>, Error> {
        #[derive(Deserialize)]
        struct Hint {
            version: u64,
        }
        let hint = ObjectPath::from("_delta_log/_last_checkpoint");
        match self.log.object_store(None).get(&hint).await {
            Ok(found) => {
                let text = found.bytes().await.map_err(Error::Objects)?;
                Ok(serde_json::from_slice::<Hint>(&text).ok().map(|hint| hint.version))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(Error::Objects(cause)),
        }
    }
}

fn names(table: &DeltaTable) -> Result<Vec<String>, Error> {
    let state = table.snapshot().map_err(log_error)?;
    let mut names: Vec<String> = state.log_data().iter().map(|view| view.path().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}
