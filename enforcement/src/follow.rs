//! The follower: reads all of `ambit.responses`, outside the group, so that every worker knows what was decided,
//! delivered and ordered anywhere (INVARIANT Q-2).

use crate::alive::WatchOptions;
use crate::deliver::SharedOutbox;
use crate::error::Error;
use crate::outbox::Outbox;
use ambit_bus::{FailureKind, KafkaOptions, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_schemas::{Record, Shard, Topic};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The name under which it reads.
const CLIENT: &str = "ambit-enforce-follow";
/// How long one poll waits for the first record.
const POLL: Duration = Duration::from_millis(100);
/// Most records taken in one transaction.
const RECORDS_MAX: usize = 2_048;
/// How long a worker waits until it knows what others did with a partition.
const CATCH_UP: Duration = Duration::from_mins(4);
/// How long it sleeps in between.
const PAUSE: Duration = Duration::from_millis(10);

struct Owner {
    outbox: SharedOutbox,
}

impl ShardOwner for Owner {
    fn take(&self, shard: Shard) -> StartAt {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        match outbox.position(shard) {
            Ok(Some(next)) => StartAt::Offset(next),
            Ok(None) => StartAt::Earliest,
            Err(error) => {
                tracing::error!(%error, %shard, "the outbox does not say where to read on, responses are read again");
                StartAt::Earliest
            }
        }
    }

    fn release(&self, _shards: &[Shard]) {}
}

pub(crate) struct Follower {
    pub(crate) kafka: KafkaOptions,
    pub(crate) outbox: SharedOutbox,
    pub(crate) options: WatchOptions,
    /// Counts what was read, so that others notice.
    pub(crate) version: Arc<AtomicU64>,
}

impl Follower {
    /// Blocks; lives on a thread of its own.
    pub(crate) fn run(self, shutdown: &CancellationToken) -> Result<(), Error> {
        let owner = Owner { outbox: Arc::clone(&self.outbox) };
        let mut consumer =
            ShardConsumer::follow(&self.kafka, CLIENT, Topic::Responses, Profile::Latency, Box::new(owner))?;
        let mut next: HashMap<Shard, u64> = HashMap::new();
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, RECORDS_MAX)?;
            for shard in &batch.assigned {
                next.insert(*shard, self.lock().position(*shard)?.unwrap_or_default());
            }
            for failure in &batch.failures {
                match (failure.kind, failure.shard) {
                    (FailureKind::OutOfRange, Some(shard)) => self.recover(&consumer, shard)?,
                    (FailureKind::OutOfRange, None) => {
                        next.keys().try_for_each(|shard| self.recover(&consumer, *shard))?;
                    }
                    (FailureKind::Corrupt | FailureKind::Other, _) => {
                        tracing::error!(shard = ?failure.shard, detail = failure.detail, "responses cannot be read");
                    }
                }
            }
            if !batch.records.is_empty() {
                self.take(&batch.records)?;
            }
        }
        Ok(())
    }

    fn take(&self, records: &[Record]) -> Result<(), Error> {
        self.lock().follow(records, &self.options)?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What Kafka deleted of responses is over, or stands in the outbox; what it lost is read again from what it has.
    fn recover(&self, consumer: &ShardConsumer, shard: Shard) -> Result<(), Error> {
        let (low, high) = consumer.watermarks(shard)?;
        let Some(next) = self.lock().position(shard)? else { return Ok(()) };
        if next >= low && next <= high {
            return Ok(());
        }
        tracing::warn!(%shard, next, low, high, "kafka does not have the responses that come next: reading on from what it has");
        self.lock().move_to(shard, low)?;
        Ok(consumer.seek(shard, StartAt::Offset(low))?)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until what stands in a partition of `ambit.responses` is known: whoever takes over does not do again what
/// another worker has done.
pub(crate) fn catch_up(
    consumer: &ShardConsumer,
    outbox: &SharedOutbox,
    partition: u32,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let shard = Shard::new(Topic::Responses, partition);
    let (low, high) = consumer.watermarks(shard)?;
    let deadline = Instant::now() + CATCH_UP;
    while high > low && !shutdown.is_cancelled() {
        let known = outbox.lock().unwrap_or_else(PoisonError::into_inner).position(shard)?;
        if known.is_some_and(|known| known >= high) {
            return Ok(());
        }
        if Instant::now() > deadline {
            tracing::warn!(%shard, "what others did is not known yet: some deliveries may be made twice, with the same ids");
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
