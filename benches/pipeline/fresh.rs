//! From an event's sending to the moment when a question finds it, and to the moment when its proof under a signed checkpoint
//! is given: the program as it is released, everything durable, under a constant load. Some events among the load are
//! marked by a task of their own; they are asked for over HTTP until they are there.

use crate::corpus::{approver, corpus};
use crate::lane::Lane;
use crate::load;
use crate::program::Program;
use crate::report::{Benchmark, Target};
use crate::settings::Settings;
use crate::stage::kafka;
use crate::webhook::percentile;
use ambit_bus::{Linger, Producer};
use ambit_schemas::event::TaskRef;
use ambit_schemas::id::{EventId, TaskId};
use ambit_schemas::{Body, Event, Outgoing, encode};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Events per second.
const RATE: usize = 20_000;
/// Of so many events one is marked.
const MARK_EVERY: usize = 2_000;
/// Marks at the beginning that are not timed: consumers join, code is warm.
const WARM_UP: usize = 50;
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// How long after the load all must be there.
const PATIENCE: Duration = Duration::from_mins(1);
/// What 99 of 100 events must keep until they are found, and until they are proved, in milliseconds.
const TARGET_MS: f64 = 2_000.0;
/// Bytes of memory that the program may take.
const MEMORY_MIB: f64 = 1_024.0;

/// Runs the load and asks.
pub(crate) fn benchmark(
    lane: Lane,
    settings: &Settings,
    runtime: &Runtime,
) -> anyhow::Result<Option<Benchmark>> {
    let Some(broker) = lane.start() else { return Ok(None) };
    let dir = tempfile::tempdir().context("cannot make a directory for ambit")?;
    let program = Program::start(dir.path(), &broker.bootstrap(), "")?;
    let (events, marked) = prepare(settings.seconds * RATE)?;
    let (options, (api, token)) = (kafka(&broker.bootstrap()), program.api()?);
    let sending = std::thread::spawn(move || {
        let producer = Producer::new(&options, "bench-load", Linger::Throughput)?;
        load::send(events, &producer, RATE)
    });
    let asking = Asking { api, token, client: reqwest::Client::new(), over: Instant::now() + PATIENCE * 3 };
    let seen = runtime.block_on(asking.all(marked.len()))?;
    let sent = sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    let memory = program.peak_memory_mib()?;
    program.stop()?;

    let since = |moment: fn(&Seen) -> Instant| -> Vec<f64> {
        let timed = marked.iter().zip(&seen).skip(WARM_UP);
        let took = timed.filter_map(|(index, seen)| Some(moment(seen).duration_since(*sent.at.get(*index)?)));
        took.map(|took| took.as_secs_f64() * 1e3).collect()
    };
    let (visible, proved) = (since(|seen| seen.found), since(|seen| seen.proved));
    let mut benchmark = Benchmark::new(&format!("fresh-{}", lane.name()));
    let (unit, most) = ("milliseconds", Target::AtMost(TARGET_MS));
    benchmark.value("produce_to_found_p50", unit, percentile(&visible, 0.50));
    benchmark.judged("produce_to_found_p99", unit, percentile(&visible, 0.99), most);
    benchmark.value("produce_to_proved_p50", unit, percentile(&proved, 0.50));
    benchmark.judged("produce_to_proved_p99", unit, percentile(&proved, 0.99), most);
    benchmark.value("load", "events_per_second", RATE as f64);
    benchmark.value("timed", "events", visible.len() as f64);
    let lateness: Vec<f64> = sent.late.iter().map(|late| late.as_secs_f64() * 1e3).collect();
    benchmark.value("sender_lateness_p99", unit, percentile(&lateness, 0.99));
    benchmark.judged("peak_memory", "mebibytes", memory, Target::AtMost(MEMORY_MIB));
    Ok(Some(benchmark))
}

/// The events, and which of them are marked.
fn prepare(count: usize) -> anyhow::Result<(Vec<Outgoing>, Vec<usize>)> {
    let (mut events, mut marked) = (Vec::with_capacity(count), Vec::new());
    for (index, simulated) in corpus(&approver()).take(count).enumerate() {
        let mut event = simulated.event;
        if events.len() >= (marked.len() + 1) * MARK_EVERY && matches!(event.body, Body::ToolCallRequested(_))
        {
            mark(&mut event, marked.len())?;
            marked.push(index);
        }
        events.push(encode(&event)?);
    }
    Ok((events, marked))
}

fn mark(event: &mut Event, number: usize) -> anyhow::Result<()> {
    let id = TaskId::try_from(task(number))?;
    event.id = EventId::try_from(task(number))?;
    event.task = Some(TaskRef { id: id.clone(), root: id, parent: None });
    Ok(())
}

fn task(number: usize) -> String {
    format!("marked-{number}")
}

/// When a marked event was found, and when its proof was there.
struct Seen {
    found: Instant,
    proved: Instant,
}

struct Asking {
    api: String,
    token: String,
    client: reqwest::Client,
    over: Instant,
}

impl Asking {
    /// Asks for all marked events that are not there yet, in turn.
    async fn all(&self, count: usize) -> anyhow::Result<Vec<Seen>> {
        let (mut seen, mut waiting) = (Vec::with_capacity(count), BTreeMap::new());
        let mut found = 0;
        while seen.len() < count {
            ensure!(
                Instant::now() < self.over,
                "{found} of {count} events were found, {} proved",
                seen.len()
            );
            if found < count
                && let Some(reference) = self.find(found).await?
            {
                waiting.insert(found, (Instant::now(), reference));
                found += 1;
                continue;
            }
            if let Some(first) = waiting.first_entry()
                && self.is_proved(&first.get().1).await?
            {
                let (at, _) = first.remove();
                seen.push(Seen { found: at, proved: Instant::now() });
                continue;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(seen)
    }

    async fn find(&self, number: usize) -> anyhow::Result<Option<String>> {
        let page = self
            .get(&format!("/api/v1/events?kind=tool_call.requested&task={}&limit=1", task(number)))
            .await?;
        Ok(page.pointer("/items/0/ref").and_then(Value::as_str).map(str::to_owned))
    }

    async fn is_proved(&self, reference: &str) -> anyhow::Result<bool> {
        let detail = self.get(&format!("/api/v1/events/{reference}")).await?;
        Ok(detail.pointer("/proof/verified") == Some(&Value::Bool(true)))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.client.get(format!("{}{path}", self.api)).bearer_auth(&self.token);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        Ok(answer.with_context(|| format!("GET {path}"))?.json().await?)
    }
}
