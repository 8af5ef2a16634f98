//! The service: joins the consumer group and feeds the pipeline.

use crate::error::Error;
use crate::handle::Handle;
use crate::keeper::Ledgers;
use crate::options::Options;
use crate::owner::Owner;
use crate::pipeline::Pipeline;
use ambit_bus::{FailureKind, KafkaOptions, Profile, ShardConsumer};
use ambit_schemas::{Shard, Topic};
use ambit_store::Store;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

/// The consumer group.
const GROUP: &str = "ambit-ingest";
/// Most records taken from Kafka at once.
const RECORDS_MAX: usize = 4_096;
/// How long one poll waits for the first record; also how late a commit may be.
const POLL: Duration = Duration::from_millis(50);

/// From Kafka into the store and its ledger.
#[derive(Debug, Clone)]
pub struct Service {
    /// How it batches.
    pub options: Options,
    /// Where it reads.
    pub kafka: KafkaOptions,
    /// Where it writes.
    pub store: Store,
    /// Where it signs.
    pub ledgers: Ledgers,
    /// What it tells.
    pub handle: Handle,
}

impl Service {
    /// Blocks until `shutdown`; then what is buffered is committed. On a failure, whoever calls starts it again: it
    /// goes on from what is durable.
    pub fn run(self, runtime: &runtime::Handle, shutdown: &CancellationToken) -> Result<(), Error> {
        let pipeline =
            Pipeline::start(&self.options, &self.store, self.ledgers.clone(), &self.handle, runtime)?;
        let owner = Owner {
            pipeline: Arc::new(Mutex::new(Some(pipeline))),
            store: self.store.clone(),
            runtime: runtime.clone(),
            window: self.options.dedupe_window,
            failure: Arc::default(),
        };
        let mut result = self.consume(&owner, shutdown);
        if result.is_ok() {
            result = owner.with(Pipeline::flush_and_wait);
        }
        let pipeline = owner.pipeline.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = pipeline.map_or(Ok(()), Pipeline::stop);
        let result = match (result, ended) {
            // The thread that failed first knows why.
            (Err(Error::Ended(_)) | Ok(()), Err(cause)) => Err(cause),
            (result, _) => result,
        };
        if let Err(error) = &result {
            self.handle.trouble(error_chain(error));
        }
        result
    }

    fn consume(&self, owner: &Owner, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut consumer = ShardConsumer::subscribe(
            &self.kafka,
            GROUP,
            "ambit-ingest",
            &Topic::ALL,
            Profile::Throughput,
            Box::new(owner.clone()),
        )?;
        let mut hinted: Vec<(Shard, u64)> = Vec::new();
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, RECORDS_MAX)?;
            if let Some(failure) = owner.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(failure);
            }
            for failure in batch.failures {
                if failure.kind == FailureKind::Other {
                    tracing::debug!(detail = failure.detail, "kafka");
                    continue;
                }
                let shard = failure.shard.unwrap_or(Shard::new(Topic::Events, 0));
                let next = self.handle.positions().get(&shard).copied().unwrap_or_default();
                return Err(Error::Unreadable { shard, next, detail: failure.detail });
            }
            owner.with(|pipeline| {
                pipeline.route(batch.records)?;
                pipeline.flush_when_due()
            })?;
            let durable: Vec<(Shard, u64)> = self.handle.positions().into_iter().collect();
            if durable != hinted {
                consumer.commit_hint(&durable);
                hinted = durable;
            }
        }
        Ok(())
    }
}

/// An error with its causes, as one sentence.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
