//! The commit: files, offsets and tree sizes become visible together or not at all.

use crate::datafile::DataFile;
use crate::error::Error;
use crate::head::{Head, RACES_MAX};
use crate::store::{Position, Store, app_ids};
use ambit_schemas::Shard;
use ambit_schemas::columns::PARTITION_COLUMN;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
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
        let mut head = self.head.lock().await;
        let mut uploaded = false;
        for _ in 0..RACES_MAX {
            self.follow(&mut head).await?;
            for advance in advances {
                let found = self.position(&mut head, advance.shard).await?;
                if found != advance.from || advance.to.next_offset < advance.from.next_offset {
                    return Err(fenced(advance, found));
                }
            }
            self.check_age(&files)?;
            if !std::mem::replace(&mut uploaded, true) {
                self.upload(&files).await?;
            }
            let now = milliseconds();
            let transactions = advances.iter().flat_map(|advance| transactions(advance, now)).collect();
            let actions = files.iter().map(|file| Action::Add(file.add(now, true))).collect();
            let operation = DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![PARTITION_COLUMN.to_owned()]),
                predicate: None,
            };
            if let Some(version) = self.put_entry(&mut head, actions, operation, transactions, &[]).await? {
                self.uploaded(&files);
                return Ok(version);
            }
        }
        Err(Error::Crowded)
    }

    pub(crate) async fn position(&self, head: &mut Head, shard: Shard) -> Result<Position, Error> {
        let (offset_id, size_id) = app_ids(shard);
        let next_offset = self.transaction(head, &offset_id).await?.cast_unsigned();
        let tree_size = self.transaction(head, &size_id).await?.cast_unsigned();
        Ok(Position { next_offset, tree_size })
    }

    /// Whoever was stopped for so long that vacuum may have taken its files for those of a dead writer must not commit
    /// them.
    pub(crate) fn check_age(&self, files: &[DataFile]) -> Result<(), Error> {
        let now = SystemTime::now();
        let limit = self.options.history / 2;
        let stale = files.iter().find(|file| now.duration_since(file.finished).is_ok_and(|age| age > limit));
        stale.map_or(Ok(()), |file| Err(Error::Stale { path: file.path.clone() }))
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

/// The machine's time: Delta's log carries it for people, and vacuum measures the age of files by it.
pub(crate) fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
