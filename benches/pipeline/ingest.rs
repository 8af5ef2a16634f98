//! From Kafka to durable rows, beside the least that reading the same records can cost. The topic is filled first and
//! then drained, by each stage in turn, over several rounds.

use crate::corpus::{approver, corpus};
use crate::lane::Lane;
use crate::oracle;
use crate::peers::Peers;
use crate::report::{Benchmark, Target, median};
use crate::settings::Settings;
use crate::stage::{Done, Job, Stage, kafka, run};
use ambit::output::print;
use ambit_bus::{Linger, Pending, Producer, ensure_topics};
use ambit_schemas::{Shard, encode};
use anyhow::Context;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Most events on their way into Kafka.
const PENDING_MAX: usize = 10_000;
/// What durable ingest must reach of the raw consumer's events per CPU second.
const TARGET: f64 = 0.35;
/// Events per CPU second that `ambit verify` must reach.
const VERIFY_TARGET: f64 = 300_000.0;
/// What 99 of 100 inclusion proofs must keep, in milliseconds.
const PROOF_TARGET_MS: f64 = 1.0;

/// What was sent.
struct Filled {
    ends: BTreeMap<Shard, u64>,
    bytes: u64,
}

/// Measured rounds of one stage.
#[derive(Default)]
struct Rounds {
    per_cpu_second: Vec<f64>,
    per_second: Vec<f64>,
}

impl Rounds {
    fn push(&mut self, events: usize, done: &Done) {
        self.per_cpu_second.push(events as f64 / done.took.cpu_seconds);
        self.per_second.push(events as f64 / done.took.wall_seconds);
    }
}

/// Fills a topic and drains it.
pub(crate) fn benchmark(
    lane: Lane,
    settings: &Settings,
    runtime: &Runtime,
) -> anyhow::Result<Option<Benchmark>> {
    let Some(broker) = lane.start() else { return Ok(None) };
    let (bootstrap, events) = (broker.bootstrap(), settings.events);
    let filled = runtime.block_on(fill(&bootstrap, events))?;
    let leaves = oracle::in_kafka(&bootstrap, events)?;
    let shards: Vec<Shard> = filled.ends.keys().copied().collect();
    let job = |stage, dir| {
        let ends = filled.ends.iter().map(|(shard, end)| (*shard, *end)).collect();
        Job { stage, bootstrap: bootstrap.clone(), ends, events, dir }
    };
    let [mut raw, mut copy, mut parse, mut durable, mut verified] =
        std::array::from_fn(|_| Rounds::default());
    let (mut ratios, mut proofs, mut stored) = (Vec::new(), Vec::new(), 0);
    for round in 1..=settings.rounds {
        print(&format!("{}: round {round} of {}", lane.name(), settings.rounds));
        let nowhere = PathBuf::new;
        let least = run(&job(Stage::Raw, nowhere()))?;
        raw.push(events, &least);
        copy.push(events, &run(&job(Stage::Copy, nowhere()))?);
        parse.push(events, &run(&job(Stage::Parse, nowhere()))?);
        let dir = tempfile::tempdir().context("cannot make a directory for the store")?;
        let whole = run(&job(Stage::Durable, dir.path().to_owned()))?;
        runtime.block_on(oracle::check(dir.path(), &shards, &leaves))?;
        durable.push(events, &whole);
        ratios.push(least.took.cpu_seconds / whole.took.cpu_seconds);
        stored = bytes_below(dir.path())?;
        let audit = run(&job(Stage::Verify, dir.path().to_owned()))?;
        verified.push(events, &audit);
        proofs.extend(audit.figures.get("inclusion_proof_p99"));
    }
    let mut benchmark = Benchmark::new(&format!("ingest-{}", lane.name()));
    for (subject, rounds) in [
        ("raw_consume", &raw),
        ("copy_consume", &copy),
        ("consume_and_parse", &parse),
        ("durable_ingest", &durable),
    ] {
        benchmark.rounds(subject, "events_per_cpu_second", &rounds.per_cpu_second, None);
        benchmark.rounds(subject, "events_per_second", &rounds.per_second, None);
    }
    benchmark.rounds("durable_ingest", "of_raw_consume_ratio", &ratios, Some(Target::AtLeast(TARGET)));
    let least = Some(Target::AtLeast(VERIFY_TARGET));
    benchmark.rounds("verify", "events_per_cpu_second", &verified.per_cpu_second, least);
    benchmark.rounds("inclusion_proof_p99", "milliseconds", &proofs, Some(Target::AtMost(PROOF_TARGET_MS)));
    let mean = filled.bytes as f64 / events as f64;
    let megabytes: Vec<f64> = durable.per_cpu_second.iter().map(|rate| rate * mean / 1e6).collect();
    benchmark.rounds("durable_ingest", "megabytes_per_cpu_second", &megabytes, None);
    benchmark.value("corpus", "events", events as f64);
    benchmark.value("record", "bytes_per_event", mean);
    benchmark.value("stored", "bytes_per_event", stored as f64 / events as f64);
    drop(broker);
    if let Some(peers) = Peers::prepare(events)? {
        peers.compare(&mut benchmark, median(&durable.per_cpu_second))?;
    }
    Ok(Some(benchmark))
}

async fn fill(bootstrap: &str, events: usize) -> anyhow::Result<Filled> {
    let options = kafka(bootstrap);
    ensure_topics(&options).await?;
    let producer = Producer::new(&options, "bench-fill", Linger::Throughput)?;
    let (mut filled, mut pending) = (Filled { ends: BTreeMap::new(), bytes: 0 }, VecDeque::new());
    for simulated in corpus(&approver()).take(events) {
        let outgoing = encode(&simulated.event)?;
        filled.bytes += (outgoing.headers.size() + outgoing.key.len() + outgoing.value.len()) as u64;
        pending.push_back(producer.enqueue(outgoing)?);
        if pending.len() >= PENDING_MAX
            && let Some(oldest) = pending.pop_front()
        {
            settle(oldest, &mut filled).await?;
        }
    }
    for delivery in pending {
        settle(delivery, &mut filled).await?;
    }
    Ok(filled)
}

async fn settle(delivery: Pending, filled: &mut Filled) -> anyhow::Result<()> {
    let (shard, offset) = delivery.await?;
    let end = filled.ends.entry(shard).or_default();
    *end = (*end).max(offset + 1);
    Ok(())
}

/// Bytes of all files: store and ledger.
fn bytes_below(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
