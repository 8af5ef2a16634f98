//! The service: reads findings, decides, delivers, watches, tells.

use crate::alive::RULE_ALIVE;
use crate::breaker::Breaker;
use crate::deliver::{Clock, Deliverer, InFlight, SharedOutbox, with};
use crate::error::Error;
use crate::follow::Follower;
use crate::handle::Handle;
use crate::options::Options;
use crate::outbox::{Outbox, SharedReading, Wal};
use crate::policy::{BUILT_IN, Policy};
use crate::receiver::Receiver;
use crate::receiver::set_poll::{Open, Polls};
use crate::taker::Taker;
use crate::watch::Watcher;
use ambit_bus::{KafkaOptions, Producer};
use ambit_schemas::id::ReceiverId;
use ambit_schemas::response::Action;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most events told at once.
const EVENTS_MAX: usize = 512;
/// How long the teller sleeps at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// From findings to signed webhooks, and from events to whether they had effect.
#[derive(Clone)]
pub struct Service {
    /// How it is configured.
    pub options: Options,
    /// The ids of all rules there are: what a policy that changes while it runs may speak of.
    pub rules: Vec<&'static str>,
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

/// Names the file that a policy was read from.
fn in_file(options: &Options, error: Error) -> Error {
    match (error, &options.policy_file) {
        (Error::Policy(why), Some(path)) => Error::PolicyFile { path: path.clone(), why },
        (error, _) => error,
    }
}

/// The policy's text as it is now.
pub(crate) fn policy_text(options: &Options) -> Result<String, Error> {
    match &options.policy_file {
        None => Ok(BUILT_IN.to_owned()),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|cause| Error::PolicyUnreadable { path: path.clone(), cause }),
    }
}

/// A policy, checked against the receivers that are configured and the rules that there are.
pub(crate) fn policy_of(options: &Options, text: &str, rules: &[&'static str]) -> Result<Policy, Error> {
    let known: Vec<ReceiverId> = options.receivers.iter().map(|receiver| receiver.id.clone()).collect();
    let mut ids: Vec<&str> = rules.to_vec();
    ids.push(RULE_ALIVE);
    let only_revoke = options.receivers.iter().filter(|receiver| !receiver.kind.takes(Action::Notify));
    let only_revoke = only_revoke.map(|receiver| receiver.id.clone()).collect();
    Policy::parse(text, &known)
        .map(|policy| policy.with_only_revoke(only_revoke))
        .and_then(|policy| policy.check_rules(&ids).map(|()| policy))
        .map_err(|error| in_file(options, error))
}

impl Service {
    /// Checks the configuration: receivers, secrets, policy. Nothing is sent. `rules` are the ids of all rules there
    /// are: a policy that speaks of others would never act.
    pub fn check(options: &Options, rules: &[&'static str]) -> Result<(), Error> {
        Self::receivers(options)?;
        policy_of(options, &policy_text(options)?, rules).map(drop)
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

    /// Works until `shutdown`. On a failure, whoever calls starts it again: it goes on from the outbox.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut receivers = Self::receivers(&self.options)?;
        let policy = policy_of(&self.options, &policy_text(&self.options)?, &self.rules)?;
        let mut outbox = Outbox::open(&self.outbox)?;
        outbox.recall_owned()?;
        let reading = outbox.reading();
        let outbox: SharedOutbox = Arc::new(Mutex::new(outbox));
        let wal = Wal::open(&self.outbox, Arc::clone(&outbox))?;
        let (wake, tell, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()), shutdown.child_token());
        self.polls.open(Open::new(&receivers, &outbox, &self.handle, &tell, &self.clock));
        receivers.retain(|receiver| receiver.polled().is_none());
        let (in_flight, version): (InFlight, _) = (InFlight::default(), Arc::new(AtomicU64::new(0)));
        let deliverer = Deliverer {
            outbox: Arc::clone(&outbox),
            reading: Arc::clone(&reading),
            breakers: vec![Breaker::default(); receivers.len()],
            configurations: configurations(&self.options),
            receivers,
            handle: self.handle.clone(),
            wake: Arc::clone(&wake),
            tell: Arc::clone(&tell),
            clock: Arc::clone(&self.clock),
            in_flight: Arc::clone(&in_flight),
        };
        let follower = Follower {
            kafka: self.kafka.clone(),
            outbox: Arc::clone(&outbox),
            options: self.options.watch,
            version: Arc::clone(&version),
        };
        let watcher = Watcher {
            kafka: self.kafka.clone(),
            outbox: Arc::clone(&outbox),
            handle: self.handle.clone(),
            clock: Arc::clone(&self.clock),
            options: self.options.watch,
            version,
            tell: Arc::clone(&tell),
        };
        let taker = self.taker(policy, (&outbox, &reading), (&wake, &tell, &in_flight));
        let mut parts: JoinSet<Result<(), Error>> = JoinSet::new();
        parts.spawn(deliverer.run(stop.clone()));
        let told = (Arc::clone(&outbox), reading);
        parts.spawn(tell_events(told, self.producer.clone(), tell, stop.clone()));
        let (taking, following, watching, moving) = (stop.clone(), stop.clone(), stop.clone(), stop.clone());
        parts.spawn_blocking(move || taker.run(&taking));
        parts.spawn_blocking(move || follower.run(&following));
        parts.spawn_blocking(move || watcher.run(&watching));
        parts.spawn_blocking(move || wal.run(&moving));
        self.handle.trouble(None);
        let mut result = Ok(());
        while let Some(ended) = parts.join_next().await {
            stop.cancel();
            let ended = ended.unwrap_or(Err(Error::Ended("a part of enforcement panicked")));
            result = result.and(ended);
        }
        self.polls.open(None);
        if let Err(error @ Error::Bus(_)) = &result
            && shutdown.is_cancelled()
        {
            // The next start goes on from the outbox: what Kafka did not answer any more is not lost.
            tracing::warn!(%error, "kafka did not answer while enforcement ended");
            return Ok(());
        }
        if let Err(error) = &result {
            self.handle.trouble(Some(error.to_string()));
        }
        result
    }

    fn taker(
        &self,
        policy: Policy,
        (outbox, reading): (&SharedOutbox, &SharedReading),
        (wake, tell, in_flight): (&Arc<Notify>, &Arc<Notify>, &InFlight),
    ) -> Taker {
        Taker {
            options: self.options.clone(),
            rules: self.rules.clone(),
            kafka: self.kafka.clone(),
            policy,
            outbox: Arc::clone(outbox),
            reading: Arc::clone(reading),
            handle: self.handle.clone(),
            clock: Arc::clone(&self.clock),
            wake: Arc::clone(wake),
            tell: Arc::clone(tell),
            in_flight: Arc::clone(in_flight),
            producer: self.producer.clone(),
            runtime: tokio::runtime::Handle::current(),
        }
    }
}

/// How each receiver is configured, as a digest: secrets are not part of the options, only where they are.
fn configurations(options: &Options) -> HashMap<ReceiverId, String> {
    let digest = |receiver| hex::encode(Sha256::digest(serde_json::to_vec(receiver).unwrap_or_default()));
    options.receivers.iter().map(|receiver| (receiver.id.clone(), digest(receiver))).collect()
}

/// Tells what has happened: events leave the outbox only when Kafka has them.
async fn tell_events(
    (outbox, reading): (SharedOutbox, SharedReading),
    producer: Producer,
    tell: Arc<Notify>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    loop {
        let ending = shutdown.is_cancelled();
        let events = with(&reading, |reading| reading.untold(EVENTS_MAX)).await?;
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
                with(&reading, move |reading| {
                    reading.told(last);
                    Ok(())
                })
                .await?;
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
