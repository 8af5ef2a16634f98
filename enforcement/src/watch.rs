//! The watcher: reads `ambit.events` and sees whether what was revoked is still used (INVARIANT E-2).
//!
//! Every worker knows all watches and looks for uses in the shards that it has. That nothing was seen is said by the
//! worker that has the shard of the tree, once that shard's stream has come past the time: an event that Kafka had by
//! then has been looked at. Where the stream stands still, the machine's clock decides, and the event says so.

use crate::alive::{WatchOptions, WatchState};
use crate::deliver::SharedOutbox;
use crate::error::Error;
use crate::handle::Handle;
use crate::outbox::{Outbox, Seen, Told};
use crate::records::SOURCE;
use crate::watchlist::{Watched, Watchlist};
use ambit_bus::{Batch, FailureKind, KafkaOptions, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_schemas::finding::EventRef;
use ambit_schemas::{Body, Event, Record, Shard, Timestamp, Topic, decode};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The consumer group.
const GROUP: &str = "ambit-enforce-watch";
/// How long one poll waits for the first event.
const POLL: Duration = Duration::from_millis(100);
/// Most events of one step.
const EVENTS_MAX: usize = 4_096;
/// How often positions and what was seen are written down.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a watch is ripe.
const JUDGE_EVERY: Duration = Duration::from_millis(200);
/// How long a stream must stand still before the machine's clock counts, in microseconds.
const IDLE_US: i64 = 2_000_000;
/// Most credentials and tasks that are remembered as written down already.
const KNOWN_MAX: usize = 100_000;
/// How often what is old is forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// How far before an acknowledgement events are read again when nobody knows how far they were read, in microseconds.
const MARGIN_US: i64 = 5_000_000;

struct Owner {
    outbox: SharedOutbox,
    now: Timestamp,
}

impl ShardOwner for Owner {
    /// Where it was read to. A shard that was never read from here: from the oldest acknowledgement that is not
    /// judged, and without one from now on.
    fn take(&self, shard: Shard) -> StartAt {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        match (outbox.position(shard), first_time(&outbox, self.now)) {
            (Ok(Some(next)), _) => StartAt::Offset(next),
            (_, Ok(time)) => StartAt::Time(time),
            (_, Err(error)) => {
                tracing::error!(%error, %shard, "the outbox does not say where to watch on: events are watched from now on");
                StartAt::Time(self.now)
            }
        }
    }

    fn release(&self, _shards: &[Shard]) {}
}

fn first_time(outbox: &Outbox, now: Timestamp) -> Result<Timestamp, Error> {
    let watches = outbox.watches(now)?;
    let open = watches.iter().filter(|(_, state)| *state == WatchState::Open);
    let oldest = open.map(|(watch, _)| watch.acked_at).min();
    Ok(oldest.map_or(now, |at| at.plus_micros(-MARGIN_US)))
}

/// How far a shard was read.
#[derive(Debug, Clone, Copy)]
struct Progress {
    next: u64,
    /// The latest time at which Kafka had a record that was read.
    stream: Option<Timestamp>,
    /// When the last record came.
    heard: Timestamp,
}

pub(crate) struct Watcher {
    pub(crate) kafka: KafkaOptions,
    pub(crate) outbox: SharedOutbox,
    pub(crate) handle: Handle,
    pub(crate) clock: crate::deliver::Clock,
    pub(crate) options: WatchOptions,
    /// Changes when watches may have.
    pub(crate) version: Arc<AtomicU64>,
    /// Told when there are new events to tell.
    pub(crate) tell: Arc<Notify>,
}

/// What the loop carries from step to step.
#[derive(Default)]
struct State {
    shards: BTreeMap<Shard, Progress>,
    watches: Watchlist,
    version: Option<u64>,
    /// Watches that changed since they were written down, by number.
    changed: HashSet<u64>,
    seen: Vec<Seen>,
    known: HashSet<Seen>,
}

impl Watcher {
    /// Blocks; lives on a thread of its own.
    pub(crate) fn run(self, shutdown: &CancellationToken) -> Result<(), Error> {
        let started = (self.clock)();
        let owner = Owner { outbox: Arc::clone(&self.outbox), now: started };
        let mut consumer = ShardConsumer::subscribe(
            &self.kafka,
            GROUP,
            "ambit-enforce-watch",
            &[Topic::Events],
            Profile::Throughput,
            Box::new(owner),
        )?;
        let mut state = State::default();
        let (mut written, mut judged, mut forgot) = (Instant::now(), Instant::now(), Instant::now());
        while !shutdown.is_cancelled() {
            let batch = consumer.poll(POLL, EVENTS_MAX)?;
            self.reload(&mut state)?;
            self.assign(&consumer, &mut state, &batch, started)?;
            for record in &batch.records {
                self.look(&mut state, record)?;
            }
            if judged.elapsed() >= JUDGE_EVERY {
                judged = Instant::now();
                self.judge(&consumer, &mut state)?;
            }
            if written.elapsed() >= WRITE_EVERY {
                written = Instant::now();
                consumer.commit_hint(&self.write(&mut state)?);
            }
            if forgot.elapsed() >= FORGET_EVERY {
                forgot = Instant::now();
                self.lock().forget_old((self.clock)())?;
            }
        }
        // No hint to Kafka: a consumer that ends waits for it, for ever when the broker is gone.
        self.write(&mut state).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns what the follower has read since.
    fn reload(&self, state: &mut State) -> Result<(), Error> {
        let version = self.version.load(Ordering::Acquire);
        if state.version == Some(version) {
            return Ok(());
        }
        let now = (self.clock)();
        let news = self.lock().news(now)?;
        state.watches.learn(news);
        state.version = Some(version);
        let (open, confirmed) = state.watches.counts();
        self.handle.watching(open, confirmed);
        Ok(())
    }

    fn assign(
        &self,
        consumer: &ShardConsumer,
        state: &mut State,
        batch: &Batch,
        started: Timestamp,
    ) -> Result<(), Error> {
        for shard in &batch.revoked {
            state.shards.remove(shard);
        }
        for shard in &batch.assigned {
            let (known, first) = {
                let outbox = self.lock();
                (outbox.position(*shard)?, first_time(&outbox, started)?)
            };
            let next = known.map_or_else(|| consumer.offset_at(*shard, first), Ok)?;
            state.shards.insert(*shard, Progress { next, stream: None, heard: (self.clock)() });
        }
        for failure in &batch.failures {
            if failure.kind != FailureKind::OutOfRange {
                tracing::error!(shard = ?failure.shard, detail = failure.detail, "events cannot be watched");
                continue;
            }
            for (shard, progress) in &state.shards {
                let (low, high) = consumer.watermarks(*shard)?;
                if progress.next < low || progress.next > high {
                    // Ingest says what was lost (INVARIANT L-4); a use among it cannot be seen here.
                    tracing::warn!(%shard, next = progress.next, low, high, "events were not watched: kafka does not have them");
                    consumer.seek(*shard, StartAt::Offset(low))?;
                }
            }
        }
        Ok(())
    }

    fn look(&self, state: &mut State, record: &Record) -> Result<(), Error> {
        let now = (self.clock)();
        let broker = (record.timestamp_us > 0).then(|| Timestamp::from_micros(record.timestamp_us));
        let progress =
            state.shards.entry(record.shard).or_insert(Progress { next: 0, stream: None, heard: now });
        progress.next = record.offset + 1;
        progress.stream = progress.stream.max(Some(broker.unwrap_or(now)));
        progress.heard = now;
        if !matters(record, !state.watches.is_empty()) {
            return Ok(());
        }
        let Ok(event) = decode(record) else { return Ok(()) };
        remember(state, &event);
        if event.source.as_str() == SOURCE {
            return Ok(());
        }
        let mut alive = Vec::new();
        for number in state.watches.met_by(&event) {
            let Some(Watched { watch, state: WatchState::Open | WatchState::Confirmed }) =
                state.watches.get_mut(number)
            else {
                continue;
            };
            let Some(sight) = watch.sight(&event, broker) else { continue };
            let at = EventRef {
                source: event.source.clone(),
                id: event.id.clone(),
                shard: record.shard,
                offset: record.offset,
            };
            state.changed.insert(number);
            alive.extend(watch.take(sight, at, &self.options).map(|alive| (number, alive)));
        }
        for (number, alive) in alive {
            self.conclude(state, number, &Told::Alive(alive), now)?;
        }
        Ok(())
    }

    /// Concludes what is ripe.
    fn judge(&self, consumer: &ShardConsumer, state: &mut State) -> Result<(), Error> {
        let now = (self.clock)();
        let (mut told, mut ends) = (Vec::new(), HashMap::new());
        state.watches.forget_over(|watch| watch.ends_at(&self.options) <= now);
        for (number, Watched { watch, state: watched }) in state.watches.iter_mut() {
            let shard = Shard::new(Topic::Events, watch.partition);
            let Some(progress) = state.shards.get(&shard).copied() else { continue };
            if *watched == WatchState::Failed || (*watched == WatchState::Confirmed && watch.is_settled()) {
                continue;
            }
            let ripe = watch.ripe_at(&self.options);
            let quiet = now.micros_since(progress.heard) >= IDLE_US;
            // Only what is due by the machine's clock can be due by an idle stream; Kafka is asked for no other.
            let wanted = progress.stream.is_none_or(|stream| stream < ripe) || !watch.is_settled();
            let idle = quiet && now >= ripe && wanted && {
                let end = match ends.get(&shard) {
                    Some(end) => *end,
                    None => consumer.watermarks(shard)?.1,
                };
                ends.insert(shard, end);
                end <= progress.next
            };
            let time = if idle { Some(now) } else { progress.stream };
            let Some(time) = time else { continue };
            if let Some(alive) = watch.overdue(time, &self.options) {
                told.push((number, Told::Alive(alive)));
            } else if *watched == WatchState::Open && time >= ripe && watch.is_settled() {
                let by_clock = idle && progress.stream.is_none_or(|stream| stream < ripe);
                told.push((number, Told::Effective(watch.evidence(&self.options, by_clock))));
            }
        }
        told.iter().try_for_each(|(number, told)| self.conclude(state, *number, told, now))
    }

    fn conclude(&self, state: &mut State, number: u64, told: &Told, now: Timestamp) -> Result<(), Error> {
        let Some(Watched { watch, state: watched }) = state.watches.get_mut(number) else { return Ok(()) };
        let news = self.lock().conclude(watch, told, now)?;
        *watched = match told {
            Told::Effective(_) => WatchState::Confirmed,
            Told::Alive(_) => WatchState::Failed,
        };
        if news {
            match told {
                Told::Effective(evidence) => {
                    let took = watch.effective_at().micros_since(watch.decided_at);
                    let took = watch.action.revokes().then(|| u64::try_from(took).unwrap_or_default());
                    self.handle.effective(&watch.receiver, took);
                    tracing::info!(response = %watch.response_id, action = watch.action.name(), receiver = %watch.receiver, evidence, "it is effective");
                }
                Told::Alive(alive) => {
                    self.handle.ineffective();
                    tracing::error!(response = %watch.response_id, action = watch.action.name(), receiver = %watch.receiver, used_at = %alive.at, "it had no effect");
                }
            }
            self.tell.notify_one();
        }
        Ok(())
    }

    /// Writes down how far it is: what may be told to Kafka.
    fn write(&self, state: &mut State) -> Result<Vec<(Shard, u64)>, Error> {
        let positions: Vec<(Shard, u64)> =
            state.shards.iter().map(|(shard, progress)| (*shard, progress.next)).collect();
        self.save(state, &positions, (self.clock)())?;
        Ok(positions)
    }

    fn save(&self, state: &mut State, positions: &[(Shard, u64)], now: Timestamp) -> Result<(), Error> {
        let seen = std::mem::take(&mut state.seen);
        let changed: Vec<_> = std::mem::take(&mut state.changed)
            .into_iter()
            .filter_map(|number| state.watches.get_mut(number).map(|watched| watched.watch.clone()))
            .collect();
        let moved = positions.iter().any(|(shard, next)| self.is_behind(*shard, *next));
        if !moved && seen.is_empty() && changed.is_empty() {
            return Ok(());
        }
        self.lock().watched(positions, &seen, &changed, &self.options, now)
    }

    fn is_behind(&self, shard: Shard, next: u64) -> bool {
        self.lock().position(shard).ok().flatten() != Some(next)
    }
}

/// Whether a record can say something here: by its type, which costs nothing.
fn matters(record: &Record, watching: bool) -> bool {
    let Some(kind) = record.header("ce_type").and_then(|kind| std::str::from_utf8(kind).ok()) else {
        return false;
    };
    let of = |family: &str| kind.strip_prefix("ambit.").is_some_and(|kind| kind.starts_with(family));
    of("credential.")
        || of("task.envelope.")
        || of("delegation.")
        || (watching && (of("tool_call.") || of("decision.")))
}

/// Credentials with their ends, and the tasks of trees: what a revocation would hit, and what outlives it.
fn remember(state: &mut State, event: &Event) {
    let root = event.task.as_ref().map_or("", |task| task.root.as_str());
    let tenant = event.tenant.as_str();
    let mut found: HashMap<bool, Seen> = HashMap::new();
    #[allow(clippy::wildcard_enum_match_arm, reason = "only these say until when a credential is valid")]
    match &event.body {
        Body::CredentialIssued(credential)
        | Body::CredentialRotated(credential)
        | Body::CredentialUsed(credential) => {
            let until = credential.expires_at;
            let seen = Seen::Credential(tenant.into(), credential.uid.to_string(), root.into(), until);
            found.insert(true, seen);
        }
        _ => {}
    }
    if let Some(task) = &event.task {
        found.insert(false, Seen::Task(tenant.into(), root.into(), task.id.to_string()));
    }
    for seen in found.into_values() {
        if state.known.len() >= KNOWN_MAX {
            state.known.clear();
        }
        if state.known.insert(seen.clone()) {
            state.seen.push(seen);
        }
    }
}
