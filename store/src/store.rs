//! The handle on the table.

use crate::datafile::DataFile;
use crate::disk::{Disk, Files, RealDisk};
use crate::durable::DurableStore;
use crate::error::Error;
use crate::head::{Head, log_error};
use crate::rows::Reader;
use crate::s3::{S3, check_condition};
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
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, PutMode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
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
    /// The object store that has the table; then `path` only holds files on their way there.
    pub s3: Option<S3>,
}

impl Options {
    /// A durable table in that directory.
    pub const fn durable(path: PathBuf) -> Self {
        Self { path, fsync: true, history: HISTORY, s3: None }
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
        // What only waits to be put into the object store need not outlast a power cut.
        let files = Files::new(disk, options.fsync && options.s3.is_none());
        let path =
            std::path::absolute(&options.path).map_err(|cause| Error::io("resolve", &options.path, cause))?;
        files.create_dir(&path).map_err(|cause| Error::io("create", &path, cause))?;
        let options = Options { path: path.clone(), ..options };
        let open = |cause: DeltaTableError| Error::Open { path: path.clone(), cause: Box::new(cause) };
        let (url, backend): (Url, Arc<dyn ObjectStore>) = if let Some(s3) = &options.s3 {
            (s3.table_url(), s3.connect()?)
        } else {
            let url = Url::from_directory_path(&path)
                .map_err(|()| open(DeltaTableError::InvalidTableLocation(path.display().to_string())))?;
            (url, Arc::new(DurableStore::new(files.clone())))
        };
        crate::s3::register();
        let builder =
            DeltaTableBuilder::from_url(url.clone()).map_err(open)?.with_storage_backend(backend, url);
        let mut table = builder.build().map_err(open)?;
        if options.s3.is_some() {
            check_condition(table.log_store().object_store(None).as_ref()).await?;
        }
        let may_exist = options.s3.is_some() || path.join("_delta_log").is_dir();
        if may_exist && table.verify_deltatable_existence().await.map_err(open)? {
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
        if self.options.s3.is_some() {
            return Ok(());
        }
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
            state.log_data().iter().map(|view| FileEntry::new(&self.root(), &view)).collect();
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

    /// What the paths of files begin with: the directory, or the object store's address.
    fn root(&self) -> PathBuf {
        match &self.options.s3 {
            Some(s3) => PathBuf::from(s3.table_url().as_str().trim_end_matches('/')),
            None => self.options.path.clone(),
        }
    }

    /// The object store that has the table, with its address, when it is not on local disk: paths of files are
    /// addresses then.
    pub fn remote(&self) -> Option<(Url, Arc<dyn ObjectStore>)> {
        let s3 = self.options.s3.as_ref()?;
        Some((s3.table_url(), self.log.root_object_store(None)))
    }

    /// Reads data files, on a thread that may block.
    pub(crate) fn reader(&self) -> Reader {
        let remote = self.options.s3.as_ref().map(|_| (self.log.object_store(None), Handle::current()));
        Reader::new(remote)
    }

    /// Puts data files that lie on this machine into the object store, where they are durable. On local disk they are.
    /// INVARIANT L-3
    pub(crate) async fn upload(&self, files: &[DataFile]) -> Result<(), Error> {
        if self.options.s3.is_none() {
            return Ok(());
        }
        let objects = self.log.object_store(None);
        for file in files {
            let bytes =
                tokio::fs::read(&file.path).await.map_err(|cause| Error::io("read", &file.path, cause))?;
            let location = ObjectPath::from(file.name.as_str());
            match objects.put_opts(&location, bytes.into(), PutMode::Create.into()).await {
                // The name has the digest: it is the same file, put by a try that did not end well.
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(cause) => return Err(Error::Objects(cause)),
            }
        }
        Ok(())
    }

    /// Forgets the local copies of files that are in the object store.
    pub(crate) fn uploaded(&self, files: &[DataFile]) {
        for file in files.iter().filter(|_| self.options.s3.is_some()) {
            if let Err(error) = self.files.remove(&file.path) {
                tracing::debug!(%error, "a file that was put into the object store stays here too");
            }
        }
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
