//! The deliverer: woken by a signal and by time, it reads what is due and tries it. It takes no other input.

use crate::error::Error;
use crate::handle::Handle;
use crate::outbox::{Due, Outbox, Tried};
use crate::receiver::Receiver;
use crate::records::attempt_id;
use crate::schedule::{Next, jitter, next};
use ambit_schemas::Timestamp;
use ambit_schemas::id::DeliveryId;
use ambit_schemas::response::Attempt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the deliverer sleeps at most: what a lost signal would cost.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// The outbox, shared between the threads of the service.
pub(crate) type SharedOutbox = Arc<Mutex<Outbox>>;

/// The machine's clock, or a test's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Works on the outbox off the reactor.
pub(crate) async fn with<T: Send + 'static>(
    outbox: &SharedOutbox,
    work: impl FnOnce(&mut Outbox) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let outbox = Arc::clone(outbox);
    let worked =
        tokio::task::spawn_blocking(move || work(&mut outbox.lock().unwrap_or_else(PoisonError::into_inner)));
    worked.await.unwrap_or(Err(Error::Ended("work on the outbox")))
}

pub(crate) struct Deliverer {
    pub(crate) outbox: SharedOutbox,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) handle: Handle,
    pub(crate) wake: Arc<Notify>,
    /// Told when there are new events to tell.
    pub(crate) tell: Arc<Notify>,
    pub(crate) clock: Clock,
}

impl Deliverer {
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut tries: JoinSet<Tried> = JoinSet::new();
        let mut on_their_way: HashMap<DeliveryId, usize> = HashMap::new();
        while !shutdown.is_cancelled() {
            self.start_due(&mut tries, &mut on_their_way).await?;
            let now = (self.clock)();
            let next = with(&self.outbox, move |outbox| outbox.next_due(now)).await?;
            let sleep = next
                .map_or(SLEEP_MAX, |at| Duration::from_micros(at.micros_since(now).max(0).unsigned_abs()));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep.min(SLEEP_MAX)) => {}
                Some(finished) = tries.join_next() => {
                    self.record(finished.ok(), &mut tries, &mut on_their_way).await?;
                }
            }
        }
        // What is on its way is waited for: its time is bounded, and an acknowledgement is worth knowing.
        while let Some(finished) = tries.join_next().await {
            self.record(finished.ok(), &mut tries, &mut on_their_way).await?;
        }
        Ok(())
    }

    /// Starts what is due, per receiver up to its concurrency: a dead receiver keeps nobody else waiting.
    async fn start_due(
        &self,
        tries: &mut JoinSet<Tried>,
        on_their_way: &mut HashMap<DeliveryId, usize>,
    ) -> Result<(), Error> {
        let now = (self.clock)();
        for (index, receiver) in self.receivers.iter().enumerate() {
            let busy: Vec<DeliveryId> =
                on_their_way.iter().filter(|(_, at)| **at == index).map(|(id, _)| id.clone()).collect();
            let free = receiver.concurrency.saturating_sub(busy.len());
            if free == 0 {
                continue;
            }
            let id = receiver.id.clone();
            let due = with(&self.outbox, move |outbox| outbox.due(&id, now, free, &busy)).await?;
            for due in due {
                on_their_way.insert(due.delivery_id.clone(), index);
                tries.spawn(attempt(receiver.clone(), due, Arc::clone(&self.clock)));
            }
        }
        Ok(())
    }

    /// Records what has finished, all of it in one transaction.
    async fn record(
        &self,
        first: Option<Tried>,
        tries: &mut JoinSet<Tried>,
        on_their_way: &mut HashMap<DeliveryId, usize>,
    ) -> Result<(), Error> {
        let mut finished: Vec<Tried> = first.into_iter().collect();
        while let Some(more) = tries.try_join_next() {
            finished.extend(more.ok());
        }
        for tried in &finished {
            self.handle.attempted(Duration::from_micros(tried.attempt.duration_us));
            match tried.next {
                Next::Acknowledged => self.handle.acknowledged(),
                Next::DeadLetter(_) => self.handle.dead_lettered(),
                Next::Retry(_) => {}
            }
            let (delivery, status) = (&tried.due.delivery_id, tried.attempt.http_status);
            tracing::info!(%delivery, receiver = %tried.due.receiver, status, next = ?tried.next, "webhook tried");
        }
        let done: Vec<DeliveryId> = finished.iter().map(|tried| tried.due.delivery_id.clone()).collect();
        with(&self.outbox, move |outbox| outbox.record(&finished)).await?;
        for delivery in done {
            on_their_way.remove(&delivery);
        }
        self.tell.notify_one();
        Ok(())
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
    let attempt = Attempt {
        attempt_id: attempt_id(&due.delivery_id, number),
        delivery_id: due.delivery_id.clone(),
        response_id: due.response_id.clone(),
        finding_id: due.finding.id.clone(),
        receiver: due.receiver.clone(),
        action: due.action,
        number,
        started_at,
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        http_status,
        error: error.map(str::to_owned),
        next_at,
    };
    Tried { due, attempt, next, ended_at }
}
