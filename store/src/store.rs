//! The handle on the table.

use crate::datafile::DataFile;
use crate::disk::{Disk, Files, RealDisk};
use crate::durable::DurableStore;
use crate::error::Error;
use crate::head::{Head, log_error};
use crate::snapshot::{FileEntry, Snapshot};
use crate::writer::Writer;
use ambit_schemas::Shard;
use ambit_schemas::columns::{PARTITION_COLUMN, schema};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// Versions between checkpoints of the Delta log, for other programs that write to the table. Ours are written by
/// maintenance, away from the commits.
const CHECKPOINT_INTERVAL: &str = "100";
/// How long what was replaced stays readable, unless the options say otherwise: far longer than any question takes.
pub const HISTORY: Duration = Duration::from_hours(6);

/// Where the table is and how it is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The table's directory.
    pub path: PathBuf,
    /// Whether files and directories are fsynced before they count. Never switch it off but to measure its price.
    pub fsync: bool,
    /// How long versions, and files that newer versions no longer have, stay readable. Longer than the longest
    /// question, and than a writer may be stopped between writing a file and committing it.
    pub history: Duration,
}

impl Options {
    /// A durable table in that directory.
    pub const fn durable(path: PathBuf) -> Self {
        Self { path, fsync: true, history: HISTORY }
    }
}

/// How far a shard is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The first offset that is not stored yet.
    pub next_offset: u64,
    /// How many leaves the shard has: the next leaf index.
    pub tree_size: u64,
}

/// The table. A cheap clone; all clones share one view and one commit at a time. Readers and writers do not wait for
/// each other.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) options: Arc<Options>,
    pub(crate) files: Files,
    pub(crate) log: LogStoreRef,
    /// What readers see.
    pub(crate) table: Arc<Mutex<DeltaTable>>,
    /// Where writers stand.
    pub(crate) head: Arc<Mutex<Head>>,
    /// One maintenance at a time.
    pub(crate) maintaining: Arc<Mutex<()>>,
    listed: Arc<std::sync::Mutex<Arc<Snapshot>>>,
}

impl Store {
    /// Opens the table, or creates it.
    pub async fn open(options: Options) -> Result<Self, Error> {
        Self::open_on(options, Arc::new(RealDisk)).await
    }

    /// Opens the table, or creates it, on another disk than the operating system's.
    pub async fn open_on(options: Options, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let files = Files::new(disk, options.fsync);
        let path =
            std::path::absolute(&options.path).map_err(|cause| Error::io("resolve", &options.path, cause))?;
        files.create_dir(&path).map_err(|cause| Error::io("create", &path, cause))?;
        let options = Options { path: path.clone(), ..options };
        let open = |cause: DeltaTableError| Error::Open { path: path.clone(), cause: Box::new(cause) };
        let url = Url::from_directory_path(&path)
            .map_err(|()| open(DeltaTableError::InvalidTableLocation(path.display().to_string())))?;
        let builder = DeltaTableBuilder::from_url(url.clone())
            .map_err(open)?
            .with_storage_backend(Arc::new(DurableStore::new(files.clone())), url);
        let mut table = builder.build().map_err(open)?;
        if path.join("_delta_log").is_dir() && table.verify_deltatable_existence().await.map_err(open)? {
            table.load().await.map_err(open)?;
        } else {
            table = create(&table, options.history).await.map_err(open)?;
        }
        let store = Self {
            options: Arc::new(options),
            files,
            log: table.log_store(),
            head: Arc::new(Mutex::new(Head::new(table.version().unwrap_or_default()))),
            table: Arc::new(Mutex::new(table)),
            maintaining: Arc::default(),
            listed: Arc::default(),
        };
        store.sync_log()?;
        store.evolve().await?;
        Ok(store)
    }

    /// Entries that a dead process has linked but not synced become durable. INVARIANT L-3
    fn sync_log(&self) -> Result<(), Error> {
        let dir = self.options.path.join("_delta_log");
        self.files.create_dir(&dir).map_err(|cause| Error::io("create", &dir, cause))?;
        self.files.sync_dir(&dir).map_err(|cause| Error::io("fsync", &dir, cause))
    }

    /// The table's directory.
    pub fn path(&self) -> &std::path::Path {
        &self.options.path
    }

    /// A writer for one thread.
    pub fn writer(&self) -> Writer {
        Writer::new(self.options.path.clone(), self.files.clone())
    }

    /// How far each of these shards is stored. Reads what other processes have committed.
    pub async fn positions(&self, shards: &[Shard]) -> Result<HashMap<Shard, Position>, Error> {
        let mut head = self.head.lock().await;
        self.follow(&mut head).await?;
        self.sync_log()?;
        let mut positions = HashMap::with_capacity(shards.len());
        for shard in shards {
            positions.insert(*shard, self.position(&mut head, *shard).await?);
        }
        Ok(positions)
    }

    /// The files of the newest version. Cheap when nothing was committed since the last call.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        let mut table = self.table.lock().await;
        self.refresh(&mut table).await?;
        let version = table.version().unwrap_or_default();
        let kept = Arc::clone(&self.listed.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if kept.version == version && !kept.files.is_empty() {
            return Ok(kept);
        }
        let state = table.snapshot().map_err(log_error)?;
        let mut files: Vec<FileEntry> =
            state.log_data().iter().map(|view| FileEntry::new(&self.options.path, &view)).collect();
        files.sort_by(|a, b| a.name.rsplit('/').next().cmp(&b.name.rsplit('/').next()));
        let fresh = Arc::new(Snapshot { version, files });
        *self.listed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// Takes over what other processes have committed. Asking for the next version's entry is enough to know.
    pub(crate) async fn refresh(&self, table: &mut DeltaTable) -> Result<(), Error> {
        let version = table.version().unwrap_or_default();
        if self.entry(version + 1).await?.is_some() {
            if let Err(error) = table.update_state().await {
                tracing::debug!(%error, "the log is read afresh");
                table.load().await.map_err(log_error)?;
            }
        } else if self.entry(version).await?.is_none() {
            // Cleaned up while nobody here was looking.
            table.load().await.map_err(log_error)?;
        }
        Ok(())
    }

    /// Data files that lie on this machine only become readable for everybody. On local disk they are.
    pub(crate) async fn upload(&self, _files: &[DataFile]) -> Result<(), Error> {
        Ok(())
    }
}

async fn create(table: &DeltaTable, history: Duration) -> Result<DeltaTable, DeltaTableError> {
    let layout: StructType = schema().as_ref().try_into_kernel()?;
    CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_columns(layout.fields().cloned())
        .with_partition_columns([PARTITION_COLUMN])
        .with_save_mode(SaveMode::Ignore)
        .with_configuration_property(TableProperty::AppendOnly, Some("true"))
        .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_INTERVAL))
        .with_configuration_property(TableProperty::LogRetentionDuration, Some(interval(history)))
        .with_configuration_property(TableProperty::DeletedFileRetentionDuration, Some(interval(history)))
        .await
}

/// A duration, as table properties have it.
pub(crate) fn interval(duration: Duration) -> String {
    format!("interval {} seconds", duration.as_secs())
}

/// Application ids of a shard's `txn` actions: how far it is stored, and how many leaves it has.
pub(crate) fn app_ids(shard: Shard) -> (String, String) {
    (format!("ingest/{shard}"), format!("ledger/{shard}"))
}
