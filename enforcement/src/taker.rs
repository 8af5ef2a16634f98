//! The taker: reads findings from Kafka and decides; carries out what people ordered. Blocks; lives on a thread of its
//! own.

use crate::deliver::{Clock, InFlight, SharedOutbox};
use crate::error::Error;
use crate::follow::catch_up;
use crate::handle::Handle;
use crate::options::Options;
use crate::outbox::{Incoming, Outbox, SharedReading};
use crate::policy::Policy;
use crate::service::{policy_of, policy_text};
use ambit_bus::{KafkaOptions, Producer, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_schemas::{Body, Record, Shard, Topic, decode};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The consumer group.
const GROUP: &str = "ambit-enforce";
/// Most findings taken in one transaction.
const FINDINGS_MAX: usize = 512;
/// How long one poll waits for the first finding.
const POLL: Duration = Duration::from_millis(100);
/// How often Kafka is told how far it is.
const HINT_EVERY: Duration = Duration::from_secs(1);
/// How often the policy's file is looked at.
const POLICY_EVERY: Duration = Duration::from_secs(2);
/// How long a partition that goes to another worker waits for what is on its way: as long as a try may take, and a bit.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(15);
/// How long it sleeps in between.
const PAUSE: Duration = Duration::from_millis(10);

struct Owner {
    outbox: SharedOutbox,
    owned: Arc<Mutex<BTreeSet<u32>>>,
    in_flight: InFlight,
    tell: Arc<Notify>,
}

impl Owner {
    fn outbox(&self) -> std::sync::MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No new deliveries from here on.
    fn give_up(&self, shards: &[Shard]) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.retain(|partition| !shards.iter().any(|shard| shard.partition == *partition));
        if let Err(error) = self.outbox().own(&owned) {
            tracing::error!(%error, "deliveries of partitions that others own now may be made twice");
        }
    }
}

impl ShardOwner for Owner {
    fn take(&self, shard: Shard) -> StartAt {
        match self.outbox().position(shard) {
            Ok(Some(next)) => StartAt::Offset(next),
            Ok(None) => StartAt::Earliest,
            Err(error) => {
                tracing::error!(%error, %shard, "the outbox does not say where to read on, findings are read again");
                StartAt::Earliest
            }
        }
    }

    /// INVARIANT E-2: what is on its way is told before another worker delivers the rest.
    fn release(&self, shards: &[Shard]) {
        self.give_up(shards);
        let deadline = Instant::now() + GIVE_UP_WITHIN;
        let among = |partition: &i64| shards.iter().any(|shard| i64::from(shard.partition) == *partition);
        while Instant::now() < deadline {
            let busy = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).iter().any(among);
            let untold = self.outbox().untold(1).map_or(0, |untold| untold.len());
            if !busy && untold == 0 {
                return;
            }
            self.tell.notify_one();
            std::thread::sleep(PAUSE);
        }
        tracing::warn!(
            "a partition goes to another worker before all of it was told: deliveries may be made twice, with the same ids"
        );
    }

    fn lost(&self, shards: &[Shard]) {
        self.give_up(shards);
    }
}

/// Reads findings from Kafka and decides.
pub(crate) struct Taker {
    pub(crate) options: Options,
    pub(crate) rules: Vec<&'static str>,
    pub(crate) kafka: KafkaOptions,
    pub(crate) policy: Policy,
    pub(crate) outbox: SharedOutbox,
    pub(crate) reading: SharedReading,
    pub(crate) handle: Handle,
    pub(crate) clock: Clock,
    pub(crate) wake: Arc<Notify>,
    pub(crate) tell: Arc<Notify>,
    pub(crate) in_flight: InFlight,
    pub(crate) producer: Producer,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Taker {
    pub(crate) fn run(mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let owned = Arc::new(Mutex::new(BTreeSet::new()));
        let member = Owner {
            outbox: Arc::clone(&self.outbox),
            owned: Arc::clone(&owned),
            in_flight: Arc::clone(&self.in_flight),
            tell: Arc::clone(&self.tell),
        };
        let mut consumer = ShardConsumer::subscribe(
            &self.kafka,
            GROUP,
            "ambit-enforce",
            &[Topic::Findings],
            Profile::Latency,
            Box::new(member),
        )?;
        self.tell_policy()?;
        let (mut mine, mut looked) = (HashMap::<Shard, u64>::new(), Instant::now());
        let (mut positions, mut hinted) = (HashMap::<Shard, u64>::new(), Instant::now());
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, FINDINGS_MAX)?;
            self.heed(&consumer, &mut mine, &batch)?;
            for shard in &batch.assigned {
                catch_up(&consumer, &self.outbox, shard.partition, shutdown)?;
            }
            if !batch.assigned.is_empty() || !batch.revoked.is_empty() {
                self.own(&owned, &mine)?;
            }
            if looked.elapsed() >= POLICY_EVERY {
                looked = Instant::now();
                self.reload();
                self.tell_policy()?;
            }
            self.attend(&mine)?;
            if batch.records.is_empty() {
                continue;
            }
            let incoming: Vec<Incoming> = batch.records.iter().map(incoming).collect();
            // INVARIANT E-1: what comes from here was read from Kafka, so it is durable there.
            let new = self.lock().take(&incoming, &self.policy, (self.clock)())?;
            self.handle.taken(incoming.len(), new);
            self.wake.notify_one();
            self.tell.notify_one();
            positions.extend(batch.records.iter().map(|record| (record.shard, record.offset + 1)));
            if hinted.elapsed() >= HINT_EVERY {
                hinted = Instant::now();
                consumer.commit_hint(&positions.drain().collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group has met: what is ours is delivered from here, what is not is not.
    fn own(&self, owned: &Mutex<BTreeSet<u32>>, mine: &HashMap<Shard, u64>) -> Result<(), Error> {
        let mut owned = owned.lock().unwrap_or_else(PoisonError::into_inner);
        *owned = mine.keys().map(|shard| shard.partition).collect();
        self.lock().own(&owned)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Orders, approvals and ends of pauses.
    fn attend(&self, mine: &HashMap<Shard, u64>) -> Result<(), Error> {
        let ready: BTreeSet<u32> = mine.keys().map(|shard| shard.partition).collect();
        let now = (self.clock)();
        let (stopped, anything) = {
            // Beside whoever writes: most of the time there is nothing, and findings wait.
            let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            (reading.stopped()?, reading.anything_to_attend(&ready, now)?)
        };
        self.handle.stopped(stopped);
        if !anything {
            return Ok(());
        }
        let done = self.lock().attend(&ready, &self.policy, now)?;
        if done.anything {
            self.handle.taken(0, done.responses);
            self.wake.notify_one();
            self.tell.notify_one();
        }
        Ok(())
    }

    /// Another policy in the file holds from the next finding on. One that is not valid changes nothing, and is an alarm.
    fn reload(&mut self) {
        let parsed = policy_text(&self.options).and_then(|text| {
            let digest = Policy::digest_of(&text);
            if digest == self.policy.digest() {
                return Ok(None);
            }
            policy_of(&self.options, &text, &self.rules).map(Some)
        });
        match parsed {
            Ok(policy) => {
                self.handle.policy_trouble(None);
                if let Some(policy) = policy {
                    tracing::info!(digest = policy.digest(), "another response policy holds");
                    self.policy = policy;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the response policy was changed and is not used: the one before holds");
                self.handle.policy_trouble(Some(format!("{error}; the policy before holds")));
            }
        }
    }

    fn tell_policy(&self) -> Result<(), Error> {
        if self.lock().tell_policy(self.policy.digest(), (self.clock)())? {
            self.tell.notify_one();
        }
        Ok(())
    }
}

fn incoming(record: &Record) -> Incoming {
    let finding = match decode(record).map(|event| event.body) {
        Ok(Body::FindingCreated(finding)) => Some(*finding),
        Ok(_) | Err(_) => None,
    };
    Incoming { shard: record.shard, offset: record.offset, finding }
}
