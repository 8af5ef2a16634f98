//! Who owns a shard's durable state: takes it over from the store, releases it once it is committed.

use crate::dedupe::Window;
use crate::error::Error;
use crate::pipeline::Pipeline;
use ambit_bus::{ShardOwner, StartAt};
use ambit_schemas::Shard;
use ambit_schemas::columns::names;
use ambit_store::{Position, Store};
use arrow::array::AsArray;
use futures::StreamExt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime;

/// The pipeline, shared with the consumer's callbacks, and the first failure in them.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) pipeline: Arc<Mutex<Option<Pipeline>>>,
    pub(crate) store: Store,
    pub(crate) runtime: runtime::Handle,
    pub(crate) window: usize,
    pub(crate) failure: Arc<Mutex<Option<Error>>>,
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
        let window = self.runtime.block_on(self.refill(shard, position))?;
        self.with(|pipeline| pipeline.open(shard, position, window))?;
        tracing::info!(%shard, offset = position.next_offset, leaves = position.tree_size, "storing from here");
        Ok(position)
    }

    /// The shard's latest events, as the store has them.
    async fn refill(&self, shard: Shard, position: Position) -> Result<Window, Error> {
        let mut window = Window::new(self.window);
        let from = position.tree_size.saturating_sub(self.window as u64);
        let mut rows = std::pin::pin!(self.store.scan(shard, from));
        while position.tree_size > 0
            && let Some(batch) = rows.next().await
        {
            let batch = batch?;
            let text =
                |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let (Some(ids), Some(sources)) = (text(names::ID), text(names::SOURCE)) else { continue };
            for (id, source) in ids.iter().zip(sources.iter()) {
                if let (Some(id), Some(source)) = (id, source) {
                    window.insert(source, id);
                }
            }
        }
        Ok(window)
    }
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
        if let Err(error) = self.with(|pipeline| pipeline.close(shards)) {
            self.fail(error);
        }
    }
}
