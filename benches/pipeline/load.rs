//! Agents at work at a constant rate, a few of them hijacked: what is sent when, whatever becomes of it (open loop),
//! and which findings must come of it.

use crate::corpus::{Merged, START, fleets};
use ambit::simulate::{Attack, Options, Simulated, Simulation};
use ambit_analytics::Analyzer;
use ambit_bus::{Pending, Producer};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{FindingId, TaskId};
use ambit_schemas::{Outgoing, Sequenced, Shard, Topic, encode};
use ed25519_dalek::SigningKey;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events per second.
pub(crate) const RATE: usize = 5_000;
/// Tasks per minute of the busiest fleet at which all fleets together cause about so many events.
const TASKS_PER_MINUTE: u32 = 4_000;
/// Tasks per second that are hijacked.
const HIJACKED: u32 = 25;
/// Who sees to it.
const HIJACKED_TENANT: &str = "tenant-hijacked";

/// What is sent, in order, and the findings that must follow: which event completes each.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) events: Vec<Outgoing>,
    pub(crate) findings: HashMap<FindingId, usize>,
}

/// Prepares so many events. What must be found is told by an analyzer that sees the same events.
pub(crate) fn prepare(approver: &SigningKey, count: usize) -> anyhow::Result<Load> {
    let mut streams: Vec<Box<dyn Iterator<Item = Simulated>>> = vec![Box::new(hijacked(approver, count))];
    for fleet in fleets(approver, TASKS_PER_MINUTE, 0) {
        streams.push(Box::new(fleet));
    }
    let trusted = vec![approver.verifying_key()];
    let options = ambit_analytics::Options { approver_keys: trusted, ..ambit_analytics::Options::default() };
    let shard = Shard::new(Topic::Events, 0);
    let mut analyzer = Analyzer::new(shard, Arc::new(options));
    let mut load = Load { events: Vec::with_capacity(count), findings: HashMap::new() };
    for (index, simulated) in Merged::new(streams).take(count).enumerate() {
        load.events.push(encode(&simulated.event)?);
        let event = Sequenced { shard, offset: index as u64, item: simulated.event };
        // The policy speaks of these.
        let told = analyzer.observe(&event).into_iter().filter(|finding| finding.severity >= Severity::Low);
        load.findings.extend(told.map(|finding| (finding.id, index)));
    }
    Ok(load)
}

/// Tasks whose agents are hijacked, of a simulation in which every task is attacked in one way or another.
fn hijacked(approver: &SigningKey, count: usize) -> impl Iterator<Item = Simulated> + use<> {
    let kinds = u32::try_from(Attack::ALL.len()).unwrap_or(u32::MAX);
    let options = Options {
        seed: 1,
        run: "bench-hijacked".into(),
        tenant: HIJACKED_TENANT.into(),
        tasks_per_minute: HIJACKED * kinds * 60,
        attack_every: 1,
        first_attack: 0,
        start: START,
        ..Options::default()
    };
    let seconds = i64::try_from(count / RATE).unwrap_or(i64::MAX).saturating_add(5);
    let end = START.plus_micros(seconds.saturating_mul(1_000_000));
    let all: Vec<Simulated> =
        Simulation::new(options, approver.clone()).take_while(|one| one.event.time < end).collect();
    let root = |one: &Simulated| one.event.task.as_ref().map(|task| task.root.clone());
    let is_hijack = |one: &&Simulated| one.truth.as_ref().is_some_and(|truth| truth.attack == Attack::Hijack);
    let roots: HashSet<TaskId> = all.iter().filter(is_hijack).filter_map(root).collect();
    all.into_iter().filter(move |one| root(one).is_some_and(|root| roots.contains(&root)))
}

/// What became of a load.
#[derive(Debug)]
pub(crate) struct Sent {
    /// When each event was handed to the producer.
    pub(crate) at: Vec<Instant>,
    /// How much later than planned.
    pub(crate) late: Vec<Duration>,
    /// Their way into Kafka.
    pub(crate) pending: Vec<Pending>,
}

/// Sends so many events per second; blocks. What is late is sent at once, and the plan stays.
pub(crate) fn send(events: Vec<Outgoing>, producer: &Producer, rate: usize) -> anyhow::Result<Sent> {
    let count = events.len();
    let mut sent = Sent {
        at: Vec::with_capacity(count),
        late: Vec::with_capacity(count),
        pending: Vec::with_capacity(count),
    };
    let (start, mut planned) = (Instant::now(), Duration::ZERO);
    let step = Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1);
    for outgoing in events {
        if let Some(ahead) = planned.checked_sub(start.elapsed()) {
            std::thread::sleep(ahead);
        }
        let now = Instant::now();
        sent.at.push(now);
        sent.late.push((now - start).saturating_sub(planned));
        sent.pending.push(producer.enqueue(outgoing)?);
        planned += step;
    }
    Ok(sent)
}
