//! The service: reads findings, decides, delivers, tells.

use crate::deliver::{Clock, Deliverer, SharedOutbox, with};
use crate::error::Error;
use crate::handle::Handle;
use crate::options::Options;
use crate::outbox::{DeliveryState, Incoming, Outbox};
use crate::policy::{BUILT_IN, Policy};
use crate::receiver::Receiver;
use crate::receiver::set_poll::{Open, Polls};
use ambit_bus::{KafkaOptions, Producer, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_schemas::id::{DeliveryId, ReceiverId};
use ambit_schemas::response::Action;
use ambit_schemas::{Body, Record, Shard, Topic, decode};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The consumer group.
const GROUP: &str = "ambit-enforce";
/// Most findings taken in one transaction.
const FINDINGS_MAX: usize = 512;
/// How long one poll waits for the first finding.
const POLL: Duration = Duration::from_millis(100);
/// Most events told at once.
const EVENTS_MAX: usize = 512;
/// How long the teller sleeps at most.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long reading `ambit.responses` again may take before enforcement goes on without.
const REBUILD_WITHIN: Duration = Duration::from_mins(10);

/// From findings to signed webhooks.
#[derive(Clone)]
pub struct Service {
    /// How it is configured.
    pub options: Options,
    /// Where it reads.
    pub kafka: KafkaOptions,
    /// How it tells.
    pub producer: Producer,
    /// Where the outbox is.
    pub outbox: PathBuf,
    /// What it tells about itself.
    pub handle: Handle,
    /// The machine's clock.
    pub clock: Clock,
    /// What answers receivers that ask.
    pub polls: Polls,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("options", &self.options)
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
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
                tracing::error!(%error, %shard, "the outbox does not say where to read on, findings are read again");
                StartAt::Earliest
            }
        }
    }

    fn release(&self, _shards: &[Shard]) {}
}

/// Names the file that a policy was read from.
fn in_file(options: &Options, error: Error) -> Error {
    match (error, &options.policy_file) {
        (Error::Policy(why), Some(path)) => Error::PolicyFile { path: path.clone(), why },
        (error, _) => error,
    }
}

impl Service {
    /// Checks the configuration: receivers, secrets, policy. Nothing is sent. `rules` are the ids of all rules there
    /// are: a policy that speaks of others would never act.
    pub fn check(options: &Options, rules: &[&str]) -> Result<(), Error> {
        Self::receivers(options)?;
        Self::policy(options)?.check_rules(rules).map_err(|error| in_file(options, error))
    }

    fn receivers(options: &Options) -> Result<Vec<Receiver>, Error> {
        let mut receivers: Vec<Receiver> = Vec::new();
        for receiver in &options.receivers {
            if receivers.iter().any(|known| known.id == receiver.id) {
                return Err(Error::Receiver {
                    id: receiver.id.to_string(),
                    why: "the name is given twice".into(),
                });
            }
            receivers.push(Receiver::new(receiver, options)?);
        }
        Ok(receivers)
    }

    fn policy(options: &Options) -> Result<Policy, Error> {
        let known: Vec<ReceiverId> = options.receivers.iter().map(|receiver| receiver.id.clone()).collect();
        let only_revoke = options.receivers.iter().filter(|receiver| !receiver.kind.takes(Action::Notify));
        let only_revoke = only_revoke.map(|receiver| receiver.id.clone()).collect();
        let policy = match &options.policy_file {
            None => Policy::parse(BUILT_IN, &known),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| Error::PolicyUnreadable { path: path.clone(), cause })?;
                Policy::parse(&text, &known).map_err(|error| in_file(options, error))
            }
        };
        policy.map(|policy| policy.with_only_revoke(only_revoke))
    }

    /// Works until `shutdown`. On a failure, whoever calls starts it again: it goes on from the outbox.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (mut receivers, policy) = (Self::receivers(&self.options)?, Self::policy(&self.options)?);
        let outbox: SharedOutbox = Arc::new(Mutex::new(Outbox::open(&self.outbox)?));
        let (wake, tell, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()), shutdown.child_token());
        let mut parts: JoinSet<Result<(), Error>> = JoinSet::new();
        self.polls.open(Open::new(&receivers, &outbox, &self.handle, &tell, &self.clock));
        receivers.retain(|receiver| receiver.polled().is_none());
        let deliverer = Deliverer {
            outbox: Arc::clone(&outbox),
            receivers,
            handle: self.handle.clone(),
            wake: Arc::clone(&wake),
            tell: Arc::clone(&tell),
            clock: Arc::clone(&self.clock),
        };
        let taker = Taker {
            kafka: self.kafka.clone(),
            policy,
            outbox: Arc::clone(&outbox),
            handle: self.handle.clone(),
            clock: Arc::clone(&self.clock),
            wake,
            tell: Arc::clone(&tell),
            producer: self.producer.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        parts.spawn(deliverer.run(stop.clone()));
        parts.spawn(tell_events(Arc::clone(&outbox), self.producer.clone(), tell, stop.clone()));
        let taking = stop.clone();
        parts.spawn_blocking(move || taker.run(&taking));
        self.handle.trouble(None);
        let mut result = Ok(());
        while let Some(ended) = parts.join_next().await {
            stop.cancel();
            let ended = ended.unwrap_or(Err(Error::Ended("a part of enforcement panicked")));
            result = result.and(ended);
        }
        self.polls.open(None);
        if let Err(error) = &result {
            self.handle.trouble(Some(error.to_string()));
        }
        result
    }
}

/// Reads findings from Kafka and decides. Blocks; lives on a thread of its own.
pub(crate) struct Taker {
    kafka: KafkaOptions,
    policy: Policy,
    outbox: SharedOutbox,
    pub(crate) handle: Handle,
    pub(crate) clock: Clock,
    wake: Arc<Notify>,
    tell: Arc<Notify>,
    pub(crate) producer: Producer,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Taker {
    fn run(self, shutdown: &CancellationToken) -> Result<(), Error> {
        if self.lock().is_new()? {
            self.rebuild(shutdown)?;
        }
        let owner = Owner { outbox: Arc::clone(&self.outbox) };
        let mut consumer = ShardConsumer::subscribe(
            &self.kafka,
            GROUP,
            "ambit-enforce",
            &[Topic::Findings],
            Profile::Latency,
            Box::new(owner),
        )?;
        let mut mine: HashMap<Shard, u64> = HashMap::new();
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, FINDINGS_MAX)?;
            self.heed(&consumer, &mut mine, &batch)?;
            if batch.records.is_empty() {
                continue;
            }
            let incoming: Vec<Incoming> = batch.records.iter().map(incoming).collect();
            // INVARIANT E-1: what comes from here was read from Kafka, so it is durable there.
            let new = self.lock().take(&incoming, &self.policy, (self.clock)())?;
            self.handle.taken(incoming.len(), new);
            self.wake.notify_one();
            self.tell.notify_one();
            let positions: HashMap<Shard, u64> =
                batch.records.iter().map(|record| (record.shard, record.offset + 1)).collect();
            consumer.commit_hint(&positions.into_iter().collect::<Vec<_>>());
        }
        Ok(())
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// INVARIANT Q-2: without an outbox, `ambit.responses` tells which deliveries came to an end.
    fn rebuild(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        struct FromTheStart;
        impl ShardOwner for FromTheStart {
            fn take(&self, _shard: Shard) -> StartAt {
                StartAt::Earliest
            }
            fn release(&self, _shards: &[Shard]) {}
        }
        let group = format!("{GROUP}-rebuild-{}", uuid::Uuid::now_v7().simple());
        let mut consumer = ShardConsumer::subscribe(
            &self.kafka,
            &group,
            "ambit-enforce-rebuild",
            &[Topic::Responses],
            Profile::Latency,
            Box::new(FromTheStart),
        )?;
        let (mut ends, mut settled) = (HashMap::<Shard, u64>::new(), Vec::new());
        let deadline = Instant::now() + REBUILD_WITHIN;
        let mut assigned = false;
        while !shutdown.is_cancelled() && Instant::now() < deadline {
            let batch = consumer.poll(POLL, FINDINGS_MAX)?;
            for shard in batch.assigned {
                assigned = true;
                let (low, high) = consumer.watermarks(shard)?;
                if high > low {
                    ends.insert(shard, high);
                }
            }
            for record in &batch.records {
                settled.extend(settled_by(record));
                if ends.get(&record.shard).is_some_and(|end| record.offset + 1 >= *end) {
                    ends.remove(&record.shard);
                }
            }
            if assigned && ends.is_empty() {
                break;
            }
        }
        tracing::info!(
            deliveries = settled.len(),
            "the outbox is new: earlier deliveries were read from kafka"
        );
        self.lock().settle(&settled)
    }
}

fn incoming(record: &Record) -> Incoming {
    let finding = match decode(record).map(|event| event.body) {
        Ok(Body::FindingCreated(finding)) => Some(*finding),
        Ok(_) | Err(_) => None,
    };
    Incoming { shard: record.shard, offset: record.offset, finding }
}

fn settled_by(record: &Record) -> Option<(DeliveryId, DeliveryState)> {
    let body = decode(record).ok()?.body;
    if let Body::ResponseAcknowledged(taken) = body {
        return Some((taken.delivery_id, DeliveryState::Acknowledged));
    }
    if let Body::ResponseDeadLettered(dead) = body {
        return Some((dead.delivery_id, DeliveryState::Dead));
    }
    None
}

/// Tells what has happened: events leave the outbox only when Kafka has them.
async fn tell_events(
    outbox: SharedOutbox,
    producer: Producer,
    tell: Arc<Notify>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    loop {
        let ending = shutdown.is_cancelled();
        let events = with(&outbox, |outbox| outbox.untold(EVENTS_MAX)).await?;
        let last = events.last().map(|(seq, _)| *seq);
        let mut pending = Vec::with_capacity(events.len());
        for (_, outgoing) in events {
            pending.push(producer.enqueue(outgoing)?);
        }
        for delivery in pending {
            delivery.await?;
        }
        match last {
            Some(last) => {
                let told = move |outbox: &mut Outbox| {
                    outbox.told(last);
                    Ok(())
                };
                with(&outbox, told).await?;
            }
            None if ending => return with(&outbox, Outbox::tidy).await,
            None => {
                tokio::select! {
                    () = tell.notified() => {}
                    () = tokio::time::sleep(TELL_EVERY) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }
}
