//! The one place where tasks begin. Each has a name, a stage and a policy; a stage is stopped, and waited for, before
//! the next one: first what brings work in, last what others still need.

use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long one stage may take to stop before it is left behind, with its name in the log.
const STAGE_DEADLINE: Duration = Duration::from_secs(20);
/// First pause before a failed task is started again; it doubles with each failure in a row.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause before a failed task is started again.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A task that ran so long before it failed begins again with the shortest pause.
const RESTART_PAUSE_RESET: Duration = Duration::from_mins(1);

/// The order of stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What brings work in: gateway, simulator.
    Intake,
    /// What judges.
    Judgement,
    /// What acts.
    Consequence,
    /// What stores.
    Storage,
    /// What answers.
    Serving,
    /// What everything else stands on: the embedded broker.
    Foundation,
    /// What is heard to the very end, while all others stop: signals.
    Signals,
}

const STAGES: [Stage; 7] = [
    Stage::Intake,
    Stage::Judgement,
    Stage::Consequence,
    Stage::Storage,
    Stage::Serving,
    Stage::Foundation,
    Stage::Signals,
];

/// What to do when a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Start it again, with growing pauses.
    Restart,
    /// Stop the process: it cannot do without.
    Stop,
}

/// How a task is doing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It runs.
    Running,
    /// It failed and will be started again.
    Restarting {
        /// How many failures in a row.
        failures: u32,
        /// The last failure, for people.
        error: String,
    },
    /// It came to its end.
    Finished,
    /// It failed for good.
    Failed {
        /// Why, for people.
        error: String,
    },
}

impl TaskState {
    /// Whether it does its work.
    pub const fn healthy(&self) -> bool {
        matches!(self, Self::Running | Self::Finished)
    }
}

/// How all tasks are doing, by name. A cheap clone.
#[derive(Debug, Clone, Default)]
pub struct TaskStates(Arc<Mutex<BTreeMap<String, TaskState>>>);

impl TaskStates {
    /// All states at this moment.
    pub fn all(&self) -> BTreeMap<String, TaskState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &str, state: TaskState) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), state);
    }
}

/// The tasks of one stage, each with its name and how it ended.
type Tasks = JoinSet<(String, anyhow::Result<()>)>;

/// Starts tasks, restarts them, stops them in order.
#[derive(Debug)]
pub struct Supervisor {
    shutdown: CancellationToken,
    stages: BTreeMap<Stage, (CancellationToken, Tasks)>,
    states: TaskStates,
}

impl Supervisor {
    /// A supervisor whose tasks are stopped when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        let stages =
            STAGES.into_iter().map(|stage| (stage, (CancellationToken::new(), JoinSet::new()))).collect();
        Self { shutdown, stages, states: TaskStates::default() }
    }

    /// How the tasks are doing.
    pub fn states(&self) -> TaskStates {
        self.states.clone()
    }

    /// Starts a task. `start` is called again for every restart; the token it gets is cancelled when its stage stops.
    pub fn spawn<F, Work>(&mut self, stage: Stage, name: &str, on_error: OnError, mut start: F)
    where
        F: FnMut(CancellationToken) -> Work + Send + 'static,
        Work: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let Some((token, tasks)) = self.stages.get_mut(&stage) else {
            return;
        };
        let (token, name, states) = (token.clone(), name.to_owned(), self.states.clone());
        tasks.spawn(async move {
            states.set(&name, TaskState::Running);
            let result = supervise(&name, on_error, &token, &states, &mut start).await;
            let ended = match &result {
                Ok(()) => TaskState::Finished,
                Err(error) => TaskState::Failed { error: format!("{error:#}") },
            };
            states.set(&name, ended);
            (name, result)
        });
    }

    /// Waits until `shutdown` is cancelled or a task that the process cannot do without has failed, then stops stage
    /// by stage. The first failure is returned.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut failure = self.wait().await.err();
        for stage in STAGES {
            let Some((token, tasks)) = self.stages.get_mut(&stage) else {
                continue;
            };
            token.cancel();
            if let Err(error) = drain(stage, tasks, &self.states).await {
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Ends when shutdown is asked for, or with the error of a task that cannot be done without.
    async fn wait(&mut self) -> anyhow::Result<()> {
        let shutdown = self.shutdown.clone();
        loop {
            let next = futures::future::select_all(
                self.stages
                    .values_mut()
                    .filter(|(_, tasks)| !tasks.is_empty())
                    .map(|(_, tasks)| Box::pin(tasks.join_next())),
            );
            let finished = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                (finished, ..) = next => finished,
            };
            match finished {
                Some(Ok((name, Err(error)))) => {
                    return Err(error).with_context(|| format!("`{name}` failed"));
                }
                Some(Ok((_, Ok(())))) | None => {}
                Some(Err(error)) => return Err(error).context("a task panicked"),
            }
            if self.stages.values().all(|(_, tasks)| tasks.is_empty()) {
                return Ok(());
            }
        }
    }
}

/// Waits for the tasks of a stage, up to the deadline. Returns the first failure.
async fn drain(stage: Stage, tasks: &mut Tasks, states: &TaskStates) -> anyhow::Result<()> {
    let (deadline, mut failure) = (Instant::now() + STAGE_DEADLINE, None);
    loop {
        match timeout_at(deadline, tasks.join_next()).await {
            Ok(None) => break,
            Ok(Some(Ok((name, Err(error))))) => {
                tracing::error!(task = name, "failed while stopping: {error:#}");
                failure = failure.or(Some(error));
            }
            Ok(Some(Ok((name, Ok(()))))) => tracing::debug!(task = name, "stopped"),
            Ok(Some(Err(error))) => tracing::error!(%error, "a task panicked or was aborted"),
            Err(_) => {
                let running =
                    states.all().into_iter().filter(|(_, state)| matches!(state, TaskState::Running));
                let left: Vec<String> = running.map(|(name, _)| name).collect();
                tracing::warn!(?stage, running = ?left, "did not stop in time and is left behind");
                tasks.abort_all();
                break;
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn supervise<F, Work>(
    name: &str,
    on_error: OnError,
    token: &CancellationToken,
    states: &TaskStates,
    start: &mut F,
) -> anyhow::Result<()>
where
    F: FnMut(CancellationToken) -> Work,
    Work: Future<Output = anyhow::Result<()>>,
{
    let mut failures = 0_u32;
    loop {
        let began = Instant::now();
        let Err(error) = start(token.clone()).await else {
            return Ok(());
        };
        if on_error == OnError::Stop || token.is_cancelled() {
            return Err(error);
        }
        let error = match ambit_ingest::disk::of(error.as_ref()) {
            Some(disk) => error.context(ambit_ingest::disk::advice(disk)),
            None => error,
        };
        failures = if began.elapsed() > RESTART_PAUSE_RESET { 1 } else { failures.saturating_add(1) };
        let pause = RESTART_PAUSE_MIN.saturating_mul(1 << failures.min(8)).min(RESTART_PAUSE_MAX);
        tracing::error!(
            task = name,
            failures,
            pause_ms = pause.as_millis(),
            "failed, starts again: {error:#}"
        );
        states.set(name, TaskState::Restarting { failures, error: format!("{error:#}") });
        tokio::select! {
            () = sleep(pause) => states.set(name, TaskState::Running),
            () = token.cancelled() => return Ok(()),
        }
    }
}

/// Runs blocking work (a Kafka consumer's loop) on an OS thread of its own, and waits for it.
pub async fn on_thread<Work>(name: &str, work: Work) -> anyhow::Result<()>
where
    Work: FnOnce() -> anyhow::Result<()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // The receiver is gone only when the process ends: there is nobody left to tell.
            drop(sender.send(work()));
        })
        .with_context(|| format!("cannot start thread `{name}`"))?;
    let result = receiver.await;
    match (thread.join(), result) {
        (Ok(()), Ok(result)) => result,
        _ => Err(anyhow::anyhow!("thread `{name}` panicked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn stages_stop_in_order() {
        let (shutdown, order) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let mut supervisor = Supervisor::new(shutdown.clone());
        for (stage, name) in
            [(Stage::Foundation, "broker"), (Stage::Intake, "gateway"), (Stage::Storage, "ingest")]
        {
            let order = Arc::clone(&order);
            supervisor.spawn(stage, name, OnError::Stop, move |token| {
                let order = Arc::clone(&order);
                async move {
                    token.cancelled().await;
                    sleep(Duration::from_millis(20)).await;
                    order.lock().unwrap().push(name);
                    Ok(())
                }
            });
        }
        shutdown.cancel();
        supervisor.run().await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["gateway", "ingest", "broker"]);
    }

    #[tokio::test]
    async fn a_failed_task_is_started_again_and_says_why_meanwhile() {
        let (shutdown, tries) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let mut supervisor = Supervisor::new(shutdown.clone());
        let (states, count) = (supervisor.states(), Arc::clone(&tries));
        supervisor.spawn(Stage::Judgement, "analyzer", OnError::Restart, move |token| {
            let (number, states, shutdown) =
                (count.fetch_add(1, Ordering::SeqCst), states.clone(), shutdown.clone());
            async move {
                if number < 2 {
                    anyhow::bail!("broker away");
                }
                assert!(states.all().get("analyzer").unwrap().healthy());
                shutdown.cancel();
                token.cancelled().await;
                Ok(())
            }
        });
        supervisor.run().await.unwrap();
        assert_eq!(tries.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_task_that_cannot_be_done_without_ends_the_process_with_its_error() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn(Stage::Serving, "api", OnError::Stop, |_| async { anyhow::bail!("port taken") });
        supervisor.spawn(Stage::Intake, "gateway", OnError::Stop, |token| async move {
            token.cancelled().await;
            Ok(())
        });
        let error = format!("{:#}", supervisor.run().await.unwrap_err());
        assert!(error.contains("api") && error.contains("port taken"), "{error}");
    }
}
