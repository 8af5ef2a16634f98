//! The commit: files, offsets and tree sizes become visible together or not at all.

use crate::error::Error;
use crate::store::{Position, Store, app_ids, position};
use crate::writer::DataFile;
use ambit_schemas::Shard;
use ambit_schemas::columns::PARTITION_COLUMN;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// A shard's step from one position to the next, made by a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The shard.
    pub shard: Shard,
    /// Where the writer took it over.
    pub from: Position,
    /// Where it stands once its rows are visible.
    pub to: Position,
}

impl Store {
    /// Makes files part of the table and moves the shards on, in one Delta commit (INVARIANT L-2). Refused with
    /// [`Error::Fenced`] when a shard no longer stands where the writer took it over (INVARIANT L-1): Delta itself
    /// would accept a `txn` that goes backwards. Returns the table's version.
    pub async fn commit(&self, files: Vec<DataFile>, advances: &[Advance]) -> Result<u64, Error> {
        let mut table = self.table.lock().await;
        self.refresh(&mut table).await?;
        for advance in advances {
            let found = position(&table, advance.shard).await?;
            if found != advance.from || advance.to.next_offset < advance.from.next_offset {
                return Err(fenced(advance, found));
            }
        }
        let now = milliseconds();
        let transactions = advances.iter().flat_map(|advance| transactions(advance, now)).collect();
        let failed = |cause: DeltaTableError| Error::Commit {
            files: files.len(),
            shards: advances.len(),
            cause: Box::new(cause),
        };
        let actions = files.iter().map(|file| Action::Add(add(file, now))).collect();
        let state = table.snapshot().map_err(|cause| Error::Log(Box::new(cause)))?;
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![PARTITION_COLUMN.to_owned()]),
            predicate: None,
        };
        let finished =
            CommitBuilder::from(CommitProperties::default().with_application_transactions(transactions))
                .with_actions(actions)
                .build(Some(state), table.log_store(), operation)
                .await;
        match finished {
            Ok(finished) => {
                let version = finished.version();
                table.state = Some(finished.snapshot());
                Ok(version)
            }
            Err(DeltaTableError::Transaction { source: TransactionError::CommitConflict(_) }) => {
                self.refresh(&mut table).await?;
                let mut moved = None;
                for advance in advances {
                    let found = position(&table, advance.shard).await?;
                    moved = moved.or((found != advance.from).then(|| fenced(advance, found)));
                }
                Err(moved.unwrap_or_else(|| {
                    failed(DeltaTableError::Generic("another process committed at the same time".into()))
                }))
            }
            Err(cause) => Err(failed(cause)),
        }
    }
}

fn fenced(advance: &Advance, found: Position) -> Error {
    Error::Fenced { shard: advance.shard, expected: advance.from.next_offset, found: found.next_offset }
}

fn transactions(advance: &Advance, now: i64) -> [Transaction; 2] {
    let (offset_id, size_id) = app_ids(advance.shard);
    [
        Transaction::new_with_last_update(offset_id, advance.to.next_offset.cast_signed(), Some(now)),
        Transaction::new_with_last_update(size_id, advance.to.tree_size.cast_signed(), Some(now)),
    ]
}

fn add(file: &DataFile, now: i64) -> Add {
    Add {
        path: file.name.clone(),
        partition_values: HashMap::from([(PARTITION_COLUMN.to_owned(), Some(file.day.clone()))]),
        size: file.size.cast_signed(),
        modification_time: now,
        data_change: true,
        stats: Some(file.stats.clone()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// The machine's time: Delta's log carries it for people, nothing here depends on it.
fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
