//! The service: joins the consumer group and feeds the pipeline.

use crate::disk::{self, Disk};
use crate::error::Error;
use crate::failpoint;
use crate::handle::Handle;
use crate::intake::Intake;
use crate::keeper::Ledgers;
use crate::options::Options;
use crate::owner::Owner;
use crate::pipeline::Pipeline;
use ambit_bus::{KafkaOptions, Producer, Profile, ShardConsumer};
use ambit_schemas::{Shard, Timestamp, Topic};
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
    /// How its notices reach Kafka.
    pub producer: Producer,
    /// The machine's clock.
    pub clock: fn() -> Timestamp,
    /// What it tells.
    pub handle: Handle,
}

impl Service {
    /// Blocks until `shutdown`; then what is buffered is committed. On a failure, whoever calls starts it again: it
    /// goes on from what is durable.
    pub fn run(self, runtime: &runtime::Handle, shutdown: &CancellationToken) -> Result<(), Error> {
        self.handle.begin();
        if self.handle.is_full() {
            disk::wait_for_room(&[&self.ledgers.dir, self.store.path()], &self.handle, shutdown);
        }
        let pipeline = Pipeline::start(
            &self.options,
            &self.store,
            self.ledgers.clone(),
            self.producer.clone(),
            &self.handle,
            runtime,
        )?;
        let owner = Owner {
            pipeline: Arc::new(Mutex::new(Some(pipeline))),
            store: self.store.clone(),
            runtime: runtime.clone(),
            options: self.options.clone(),
            handle: self.handle.clone(),
            next: Arc::default(),
            marks: Arc::default(),
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
            let disk = disk::of(error);
            self.handle.full(disk == Some(Disk::Full));
            let chain = error_chain(error);
            self.handle
                .trouble(disk.map_or(chain.clone(), |disk| format!("{} ({chain})", disk::advice(disk))));
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
        let mut intake = Intake::new(&self.kafka, owner, &self.handle, self.clock);
        let mut hinted: Vec<(Shard, u64)> = Vec::new();
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, RECORDS_MAX)?;
            if let Some(failure) = owner.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(failure);
            }
            failpoint::io("intake-polled")?;
            let records = intake.admit(&consumer, batch)?;
            owner.with(|pipeline| {
                pipeline.route(records)?;
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
