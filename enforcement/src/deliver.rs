//! The deliverer: woken by a signal and by time, it reads what is due and tries it. It takes no other input.

use crate::breaker::Breaker;
use crate::error::Error;
use crate::handle::Handle;
use crate::outbox::{Due, Outbox, SharedReading, Tried};
use crate::receiver::Receiver;
use crate::records;
use crate::schedule::{Next, Outcome, jitter, next};
use ambit_schemas::Timestamp;
use ambit_schemas::id::{DeliveryId, ReceiverId};
use ambit_schemas::response::{Action, Attempt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long the deliverer sleeps at most: what a lost signal would cost.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Most deliveries that are given up at once for a receiver that wants nothing more.
const BURY_MAX: i64 = 256;

/// The outbox, shared between the threads of the service.
pub(crate) type SharedOutbox = Arc<Mutex<Outbox>>;

/// The partitions of deliveries that are on their way.
pub(crate) type InFlight = Arc<Mutex<Vec<i64>>>;

/// The machine's clock, or a test's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Works on the outbox, or reads it, off the reactor.
pub(crate) async fn with<O: Send + 'static, T: Send + 'static>(
    outbox: &Arc<Mutex<O>>,
    work: impl FnOnce(&mut O) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let outbox = Arc::clone(outbox);
    let worked =
        tokio::task::spawn_blocking(move || work(&mut outbox.lock().unwrap_or_else(PoisonError::into_inner)));
    worked.await.unwrap_or(Err(Error::Ended("work on the outbox")))
}

pub(crate) struct Deliverer {
    pub(crate) outbox: SharedOutbox,
    /// Beside whoever writes, so that what is due is found at once.
    pub(crate) reading: SharedReading,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) handle: Handle,
    pub(crate) wake: Arc<Notify>,
    /// Told when there are new events to tell.
    pub(crate) tell: Arc<Notify>,
    pub(crate) clock: Clock,
    /// How each receiver is configured, as a digest.
    pub(crate) configurations: HashMap<ReceiverId, String>,
    /// The partitions of which something is on its way, for whoever has to give one up.
    pub(crate) in_flight: InFlight,
    pub(crate) breakers: Vec<Breaker>,
}

/// A delivery on its way: to which receiver, and whether it may wait behind revocations.
#[derive(Debug, Clone, Copy)]
struct OnItsWay {
    receiver: usize,
    is_notice: bool,
    partition: i64,
}

type Under = HashMap<DeliveryId, OnItsWay>;

/// What is asked of the outbox for one receiver.
struct Ask {
    index: usize,
    id: ReceiverId,
    configuration: String,
    busy: Vec<DeliveryId>,
    free: usize,
}

/// What is due, per receiver.
#[derive(Default)]
struct Found {
    due: Vec<(usize, Vec<Due>)>,
    /// Receivers that want nothing more.
    disabled: Vec<ReceiverId>,
    /// When more becomes due.
    next: Option<Timestamp>,
}

/// Deliveries between their beginning and their record.
#[derive(Default)]
struct Work {
    on_their_way: Under,
    tries: JoinSet<Tried>,
    /// Tries that are over and not recorded yet.
    finished: Vec<Tried>,
    /// Records are written one transaction after the other; what finishes meanwhile comes into the next.
    recording: JoinSet<Result<Vec<DeliveryId>, Error>>,
}

impl Deliverer {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let (mut work, mut look, mut next) = (Work::default(), true, None);
        while !shutdown.is_cancelled() {
            if look {
                next = self.start_due(&mut work).await?;
                look = false;
            }
            self.record(&mut work);
            let now = (self.clock)();
            let sleep = next.map_or(SLEEP_MAX, |at: Timestamp| {
                Duration::from_micros(at.micros_since(now).max(0).unsigned_abs())
            });
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.wake.notified() => look = true,
                () = tokio::time::sleep(sleep.min(SLEEP_MAX)) => look = true,
                Some(tried) = work.tries.join_next() => work.finished.extend(tried.ok()),
                Some(recorded) = work.recording.join_next() => {
                    self.recorded(recorded, &mut work)?;
                    look = true;
                }
            }
        }
        // What is on its way is waited for: its time is bounded, and an acknowledgement is worth knowing.
        while let Some(tried) = work.tries.join_next().await {
            work.finished.extend(tried.ok());
        }
        while !work.finished.is_empty() || !work.recording.is_empty() {
            self.record(&mut work);
            if let Some(recorded) = work.recording.join_next().await {
                self.recorded(recorded, &mut work)?;
            }
        }
        Ok(())
    }

    /// Starts what is due, per receiver up to its concurrency: a dead receiver keeps nobody else waiting, and
    /// notifications leave room for revocations. Returns when more becomes due.
    async fn start_due(&self, work: &mut Work) -> Result<Option<Timestamp>, Error> {
        let now = (self.clock)();
        let asks: Vec<Ask> = self.asks(&work.on_their_way);
        let found = with(&self.reading, move |reading| {
            let mut found = Found { next: reading.next_due(now)?, ..Found::default() };
            for ask in asks {
                if reading.is_disabled(&ask.id, &ask.configuration)? {
                    found.disabled.push(ask.id);
                } else if ask.free > 0 {
                    found.due.push((ask.index, reading.due(&ask.id, now, ask.free, &ask.busy)?));
                }
            }
            Ok(found)
        });
        let found = found.await?;
        for receiver in found.disabled {
            self.give_up(receiver, now).await?;
        }
        for (index, due) in found.due {
            let Some(receiver) = self.receivers.get(index) else { continue };
            let of_it = work.on_their_way.values().filter(|way| way.receiver == index);
            let notices = of_it.filter(|way| way.is_notice).count();
            let mut room = (receiver.concurrency - receiver.concurrency / 4).max(1).saturating_sub(notices);
            for due in due {
                let is_notice = due.action <= Action::StepUp;
                if is_notice && room == 0 {
                    continue;
                }
                room -= usize::from(is_notice);
                let way = OnItsWay { receiver: index, is_notice, partition: due.partition };
                work.on_their_way.insert(due.delivery_id.clone(), way);
                work.tries.spawn(attempt(receiver.clone(), due, Arc::clone(&self.clock)));
            }
        }
        self.tell_in_flight(&work.on_their_way);
        Ok(found.next)
    }

    fn asks(&self, on_their_way: &Under) -> Vec<Ask> {
        let receivers = self.receivers.iter().enumerate();
        let ask = receivers.map(|(index, receiver)| {
            let of_it = on_their_way.iter().filter(|(_, way)| way.receiver == index);
            let busy: Vec<DeliveryId> = of_it.map(|(id, _)| id.clone()).collect();
            let breaker = self.breakers.get(index).copied().unwrap_or_default();
            let free = breaker.allowed(Instant::now(), busy.len(), receiver.concurrency);
            let configuration = self.configurations.get(&receiver.id).cloned().unwrap_or_default();
            Ask { index, id: receiver.id.clone(), configuration, busy, free }
        });
        ask.collect()
    }

    /// What waits for a receiver that wants nothing more is given up, and told.
    async fn give_up(&self, receiver: ReceiverId, now: Timestamp) -> Result<(), Error> {
        let buried = with(&self.outbox, move |outbox| outbox.bury(&receiver, now, BURY_MAX)).await?;
        (0..buried).for_each(|_| self.handle.dead_lettered());
        if buried > 0 {
            self.tell.notify_one();
        }
        Ok(())
    }

    fn tell_in_flight(&self, on_their_way: &Under) {
        let partitions = on_their_way.values().map(|way| way.partition).collect();
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    /// Records what has finished, all of it in one transaction, unless one is being written.
    fn record(&mut self, work: &mut Work) {
        if work.finished.is_empty() || !work.recording.is_empty() {
            return;
        }
        let finished = std::mem::take(&mut work.finished);
        let (mut back, mut gone) = (Vec::new(), Vec::new());
        for tried in &finished {
            self.handle.attempted(Duration::from_micros(tried.attempt.duration_us));
            match tried.next {
                Next::Acknowledged => self.handle.acknowledged(),
                Next::DeadLetter(_) => self.handle.dead_lettered(),
                Next::Retry(_) => {}
            }
            if tried.next == Next::DeadLetter("gone") {
                gone.push(tried.due.clone());
            }
            if self.heard(tried) {
                back.push(tried.due.receiver.clone());
            }
            let (delivery, status) = (&tried.due.delivery_id, tried.attempt.http_status);
            tracing::info!(%delivery, receiver = %tried.due.receiver, status, next = ?tried.next, "webhook tried");
        }
        let (now, configurations) = ((self.clock)(), self.configurations.clone());
        let outbox = Arc::clone(&self.outbox);
        work.recording.spawn_blocking(move || {
            let mut outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
            outbox.record(&finished)?;
            for receiver in &back {
                outbox.hurry(receiver, now)?;
            }
            for due in &gone {
                tracing::warn!(receiver = %due.receiver, "the receiver answered 410: it gets nothing until it is configured otherwise");
                let configuration = configurations.get(&due.receiver).map_or("", String::as_str);
                outbox.disable(due, configuration, now)?;
            }
            Ok(finished.into_iter().map(|tried| tried.due.delivery_id).collect())
        });
    }

    fn recorded(
        &self,
        recorded: Result<Result<Vec<DeliveryId>, Error>, JoinError>,
        work: &mut Work,
    ) -> Result<(), Error> {
        for delivery in recorded.unwrap_or(Err(Error::Ended("recording of deliveries")))? {
            work.on_their_way.remove(&delivery);
        }
        self.tell_in_flight(&work.on_their_way);
        self.tell.notify_one();
        Ok(())
    }

    /// Lets the receiver's breaker know: whether it was down and answers again.
    fn heard(&mut self, tried: &Tried) -> bool {
        let at = self.receivers.iter().position(|receiver| receiver.id == tried.due.receiver);
        let Some(breaker) = at.and_then(|at| self.breakers.get_mut(at)) else { return false };
        match tried.next {
            Next::Retry(_) | Next::DeadLetter("exhausted" | "refused_address") => {
                breaker.failed(Instant::now());
                false
            }
            // Whoever refuses has answered.
            Next::Acknowledged | Next::DeadLetter(_) => breaker.answered(),
        }
    }
}

async fn attempt(receiver: Receiver, due: Due, clock: Clock) -> Tried {
    let (started_at, started) = (clock(), Instant::now());
    let number = due.attempts + 1;
    let seconds = started_at.micros().div_euclid(1_000_000);
    let outcome = receiver.send(&due, seconds).await;
    let took = started.elapsed();
    let (ended_at, next) = (clock(), next(&outcome, number, jitter()));
    let next_at = match &next {
        Next::Retry(pause) => {
            Some(ended_at.plus_micros(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)))
        }
        Next::Acknowledged | Next::DeadLetter(_) => None,
    };
    let (http_status, error) = outcome.told();
    let evidence = if let Outcome::Done { evidence, .. } = &outcome { evidence.clone() } else { None };
    let attempt = Attempt {
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        http_status,
        error: error.map(str::to_owned),
        next_at,
        ..records::attempt(&due, number, started_at)
    };
    Tried { due, attempt, next, ended_at, evidence }
}
