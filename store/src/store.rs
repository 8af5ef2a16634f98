//! The handle on the table.

use crate::durable::{DurableStore, create_dir_durably};
use crate::error::Error;
use crate::snapshot::{FileEntry, Snapshot};
use crate::writer::Writer;
use ambit_schemas::Shard;
use ambit_schemas::columns::{PARTITION_COLUMN, schema};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;
use url::Url;

/// Versions between checkpoints of the Delta log.
const CHECKPOINT_INTERVAL: &str = "100";

/// Where the table is and how it is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The table's directory.
    pub path: PathBuf,
    /// Whether files and directories are fsynced before they count. Never switch it off but to measure its price.
    pub fsync: bool,
}

impl Options {
    /// A durable table in that directory.
    pub const fn durable(path: PathBuf) -> Self {
        Self { path, fsync: true }
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

/// The table. A cheap clone; all clones share one view and one commit at a time.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) options: Arc<Options>,
    pub(crate) table: Arc<Mutex<DeltaTable>>,
    listed: Arc<std::sync::Mutex<Arc<Snapshot>>>,
}

impl Store {
    /// Opens the table, or creates it.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let path =
            std::path::absolute(&options.path).map_err(|cause| Error::io("resolve", &options.path, cause))?;
        create_dir_durably(&path, options.fsync).map_err(|cause| Error::io("create", &path, cause))?;
        let options = Options { path: path.clone(), ..options };
        let open = |cause: DeltaTableError| Error::Open { path: path.clone(), cause: Box::new(cause) };
        let url = Url::from_directory_path(&path)
            .map_err(|()| open(DeltaTableError::InvalidTableLocation(path.display().to_string())))?;
        let builder = DeltaTableBuilder::from_url(url.clone())
            .map_err(open)?
            .with_storage_backend(Arc::new(DurableStore::new(options.fsync)), url);
        let mut table = builder.build().map_err(open)?;
        if path.join("_delta_log").is_dir() && table.verify_deltatable_existence().await.map_err(open)? {
            table.load().await.map_err(open)?;
        } else {
            table = create(&table).await.map_err(open)?;
        }
        let store =
            Self { options: Arc::new(options), table: Arc::new(Mutex::new(table)), listed: Arc::default() };
        store.check_layout().await?;
        Ok(store)
    }

    /// The table's directory.
    pub fn path(&self) -> &std::path::Path {
        &self.options.path
    }

    /// A writer for one thread.
    pub fn writer(&self) -> Writer {
        Writer::new(self.options.path.clone(), self.options.fsync)
    }

    /// How far each of these shards is stored. Reads what other processes have committed.
    pub async fn positions(&self, shards: &[Shard]) -> Result<HashMap<Shard, Position>, Error> {
        let mut table = self.table.lock().await;
        self.refresh(&mut table).await?;
        let mut positions = HashMap::with_capacity(shards.len());
        for shard in shards {
            positions.insert(*shard, position(&table, *shard).await?);
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
        let state = table.snapshot().map_err(|cause| Error::Log(Box::new(cause)))?;
        let mut files: Vec<FileEntry> =
            state.log_data().iter().map(|view| FileEntry::new(&self.options.path, &view)).collect();
        files.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        let fresh = Arc::new(Snapshot { version, files });
        *self.listed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// Takes over what other processes have committed. Asking for the next version's file is enough to know.
    pub(crate) async fn refresh(&self, table: &mut DeltaTable) -> Result<(), Error> {
        let next = table.version().map_or(0, |version| version + 1);
        if self.options.path.join("_delta_log").join(format!("{next:020}.json")).exists() {
            table.update_state().await.map_err(|cause| Error::Log(Box::new(cause)))?;
        }
        Ok(())
    }

    /// Every column that this version writes must be in the table, with its type.
    async fn check_layout(&self) -> Result<(), Error> {
        let table = self.table.lock().await;
        let state = table.snapshot().map_err(|cause| Error::Log(Box::new(cause)))?;
        let found = state.snapshot().arrow_schema();
        for field in schema().fields() {
            let same =
                found.field_with_name(field.name()).is_ok_and(|found| found.data_type() == field.data_type());
            if !same {
                return Err(Error::Layout { path: self.options.path.clone(), column: field.name().clone() });
            }
        }
        Ok(())
    }
}

async fn create(table: &DeltaTable) -> Result<DeltaTable, DeltaTableError> {
    let layout: StructType = schema().as_ref().try_into_kernel()?;
    CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_columns(layout.fields().cloned())
        .with_partition_columns([PARTITION_COLUMN])
        .with_save_mode(SaveMode::Ignore)
        .with_configuration_property(TableProperty::AppendOnly, Some("true"))
        .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_INTERVAL))
        .await
}

/// Application ids of a shard's `txn` actions: how far it is stored, and how many leaves it has.
pub(crate) fn app_ids(shard: Shard) -> (String, String) {
    (format!("ingest/{shard}"), format!("ledger/{shard}"))
}

pub(crate) async fn position(table: &DeltaTable, shard: Shard) -> Result<Position, Error> {
    let state = table.snapshot().map_err(|cause| Error::Log(Box::new(cause)))?;
    let (log_store, (offset_id, size_id)) = (table.log_store(), app_ids(shard));
    let mut read = [0; 2];
    for (value, id) in read.iter_mut().zip([offset_id, size_id]) {
        let stored = state.transaction_version(log_store.as_ref(), id).await;
        *value = stored.map_err(|cause| Error::Log(Box::new(cause)))?.unwrap_or_default();
    }
    let [next_offset, tree_size] = read.map(i64::cast_unsigned);
    Ok(Position { next_offset, tree_size })
}
