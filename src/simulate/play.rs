//! Plays a simulation into Kafka: as fast as Kafka takes it, or at the speed of life.

use super::{Simulated, Simulation, Truth};
use crate::roles::parts::PENDING_MAX;
use ambit_bus::Producer;
use ambit_schemas::id::{EventId, TaskId};
use ambit_schemas::{Event, Timestamp, encode};
use anyhow::Context;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as Kafka takes it.
    Fast,
    /// Each event at its own time.
    RealTime,
}

/// What becomes of the next event.
enum Turn {
    /// Its time has come.
    Happens,
    /// Its task was ended before.
    Prevented,
    /// The simulation ends.
    End,
}

/// What is told of an attack, for whoever scores the findings.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The event that completed the breach.
    pub event_id: EventId,
    /// Its root task.
    pub root_task: Option<TaskId>,
    /// Who did it.
    pub agent: Option<String>,
    /// What it was.
    #[serde(flatten)]
    pub truth: Truth,
}

/// What was played.
#[derive(Debug, Default)]
pub struct Played {
    /// Events that Kafka has.
    pub events: u64,
    /// The attacks among them.
    pub attacks: Vec<Told>,
}

/// The present moment by the machine's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Plays up to `events` events (0 for no end). Root tasks that arrive through `revoked` are cut off at once, as an
/// identity provider would do it. `told` hears of each attack when its event is in Kafka.
pub async fn play(
    simulation: &mut Simulation,
    producer: &Producer,
    pace: Pace,
    events: u64,
    mut revoked: mpsc::Receiver<TaskId>,
    mut told: impl FnMut(&Told),
    shutdown: CancellationToken,
) -> anyhow::Result<Played> {
    let (mut played, mut pending) = (Played::default(), VecDeque::new());
    let mut revocations_end = false;
    while events == 0 || played.events < events {
        let Some(next) = simulation.next() else { break };
        if pace == Pace::RealTime {
            let turn = loop {
                let ahead = next.event.time.micros_since(now());
                let pause = tokio::time::sleep(Duration::from_micros(ahead.max(0).unsigned_abs()));
                tokio::select! {
                    () = pause => break Turn::Happens,
                    () = shutdown.cancelled() => break Turn::End,
                    root = revoked.recv(), if !revocations_end => match root {
                        Some(root) => {
                            for event in simulation.revoke(&root, &next.event, now()) {
                                send(producer, &event, &mut pending)?;
                                played.events += 1;
                            }
                            if next.event.task.as_ref().is_some_and(|task| task.root == root) {
                                break Turn::Prevented;
                            }
                        }
                        None => revocations_end = true,
                    },
                }
            };
            match turn {
                Turn::Happens => {}
                Turn::Prevented => continue,
                Turn::End => break,
            }
        } else if shutdown.is_cancelled() {
            break;
        }
        let Simulated { event, truth } = next;
        let tell = truth.map(|truth| Told {
            event_id: event.id.clone(),
            root_task: event.task.as_ref().map(|task| task.root.clone()),
            agent: event.agent.as_ref().map(|agent| agent.uid.to_string()),
            truth,
        });
        send(producer, &event, &mut pending)?;
        played.events += 1;
        if pace == Pace::RealTime || pending.len() >= PENDING_MAX {
            settle(&mut pending).await?;
        }
        if let Some(tell) = tell {
            told(&tell);
            played.attacks.push(tell);
        }
    }
    settle(&mut pending).await?;
    Ok(played)
}

fn send(
    producer: &Producer,
    event: &Event,
    pending: &mut VecDeque<ambit_bus::Pending>,
) -> anyhow::Result<()> {
    let outgoing = encode(event).context("a simulated event cannot be written")?;
    pending.push_back(producer.enqueue(outgoing).context("a simulated event cannot be sent to Kafka")?);
    Ok(())
}

async fn settle(pending: &mut VecDeque<ambit_bus::Pending>) -> anyhow::Result<()> {
    for delivery in pending.drain(..) {
        delivery.await.context("a simulated event did not reach Kafka")?;
    }
    Ok(())
}
