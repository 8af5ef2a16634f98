//! Who owns a shard's durable state: takes it over from the store, releases it once it is committed.

use crate::dedupe::Window;
use crate::error::Error;
use crate::handle::Handle;
use crate::options::Options;
use crate::pipeline::Pipeline;
use crate::producers::Producers;
use crate::worker::History;
use ambit_bus::{ShardOwner, StartAt};
use ambit_schemas::Shard;
use ambit_schemas::columns::{RecordColumns, UnreadableRow, names, record_at};
use ambit_store::{Position, Store};
use arrow::array::{AsArray, RecordBatch};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime;

/// The pipeline, shared with the consumer's callbacks, and the first failure in them.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) pipeline: Arc<Mutex<Option<Pipeline>>>,
    pub(crate) store: Store,
    pub(crate) runtime: runtime::Handle,
    pub(crate) options: Options,
    pub(crate) handle: Handle,
    /// The next offset of each of our shards that goes to the pipeline.
    pub(crate) next: Arc<Mutex<HashMap<Shard, u64>>>,
    /// The last stored record of each of our shards, as it was when we took it over.
    pub(crate) marks: Arc<Mutex<HashMap<Shard, Mark>>>,
    pub(crate) failure: Arc<Mutex<Option<Error>>>,
}

/// Where a record stood in Kafka, and its leaf hash in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) leaf: [u8; 32],
}

impl Owner {
    /// Runs with the pipeline, unless the service is ending.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Pipeline) -> Result<T, Error>) -> Result<T, Error> {
        let mut pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        pipeline.as_mut().map_or(Err(Error::Ended("the pipeline")), work)
    }

    fn fail(&self, error: Error) {
        tracing::error!(%error, "a change of shards failed");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn open(&self, shard: Shard) -> Result<Position, Error> {
        let positions = self.runtime.block_on(self.store.positions(&[shard]))?;
        let position = positions.get(&shard).copied().unwrap_or_default();
        let history = self.runtime.block_on(self.refill(shard, position))?;
        self.with(|pipeline| pipeline.open(shard, position, history))?;
        self.next().insert(shard, position.next_offset);
        tracing::info!(%shard, offset = position.next_offset, leaves = position.tree_size, "storing from here");
        Ok(position)
    }

    pub(crate) fn next(&self) -> MutexGuard<'_, HashMap<Shard, u64>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn marks(&self) -> MutexGuard<'_, HashMap<Shard, Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, shards: &[Shard]) {
        self.next().retain(|shard, _| !shards.contains(shard));
        self.marks().retain(|shard, _| !shards.contains(shard));
        self.handle.unhalt(shards);
    }

    /// The shard's latest events, as the store has them.
    async fn refill(&self, shard: Shard, position: Position) -> Result<History, Error> {
        let Options { dedupe_window, producers, clock_skew_ms, .. } = self.options;
        let mut history = History {
            window: Window::new(dedupe_window),
            producers: Producers::new(producers, clock_skew_ms),
        };
        let from = position.tree_size.saturating_sub(dedupe_window.max(1) as u64);
        let mut rows = std::pin::pin!(self.store.scan(shard, from));
        while position.tree_size > 0
            && let Some(batch) = rows.next().await
        {
            let batch = batch?;
            if let Some(mark) = last_of(&batch).map_err(|cause| Error::Row { shard, cause })? {
                self.marks().insert(shard, mark);
            }
            let text =
                |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let (Some(tenants), Some(ids), Some(sources)) =
                (text(names::TENANT), text(names::ID), text(names::SOURCE))
            else {
                continue;
            };
            for (row, ((tenant, id), source)) in
                tenants.iter().zip(ids.iter()).zip(sources.iter()).enumerate()
            {
                if let (Some(tenant), Some(id), Some(source)) = (tenant, id, source) {
                    history.window.insert(tenant, source, id);
                    let stored = record_at(&batch, row).map_err(|cause| Error::Row { shard, cause })?;
                    history.producers.learn(&stored.record, source);
                }
            }
        }
        Ok(history)
    }
}

/// The last row of a batch, which is in the order of leaves.
fn last_of(batch: &RecordBatch) -> Result<Option<Mark>, UnreadableRow> {
    let Some(row) = batch.num_rows().checked_sub(1) else { return Ok(None) };
    let columns = RecordColumns::of(batch)?;
    let leaf = columns.leaf_hash(row).try_into().ok();
    Ok(leaf.map(|leaf| Mark { offset: columns.offset(row), leaf }))
}

impl ShardOwner for Owner {
    // INVARIANT L-3: the position of truth is the one in the Delta commit.
    fn take(&self, shard: Shard) -> StartAt {
        match self.open(shard) {
            Ok(position) if position.next_offset == 0 => StartAt::Earliest,
            Ok(position) => StartAt::Offset(position.next_offset),
            Err(error) => {
                self.fail(error);
                StartAt::Earliest
            }
        }
    }

    fn release(&self, shards: &[Shard]) {
        self.forget(shards);
        if let Err(error) = self.with(|pipeline| pipeline.close(shards)) {
            self.fail(error);
        }
    }

    /// Whoever has the shards now may have stored what is buffered here, so it is dropped: the service ends and starts
    /// afresh. Were it committed, the store would refuse it.
    fn lost(&self, shards: &[Shard]) {
        self.forget(shards);
        self.handle.assignment_lost();
        self.fail(Error::Lost);
    }
}
