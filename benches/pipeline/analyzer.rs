//! What judging an event costs: the corpus in memory, one thread, no Kafka.

use crate::corpus::corpus;
use crate::cpu::Meter;
use crate::report::{Benchmark, Target};
use crate::settings::Settings;
use crate::stage::{Done, Job, Stage, run};
use ambit_analytics::{Analyzer, Options};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::TaskId;
use ambit_schemas::{Event, Record, Sequenced, Shard, Topic, decode, encode};
use anyhow::{Context, ensure};
use ed25519_dalek::SigningKey;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

const SHARD: Shard = Shard::new(Topic::Events, 0);
/// How far behind the corpus the truth about its last findings may stand.
const LOOK_AHEAD: usize = 20_000;
/// Events that one core must judge in a second.
const TARGET: f64 = 300_000.0;

/// Runs the rounds.
pub(crate) fn benchmark(settings: &Settings) -> anyhow::Result<Benchmark> {
    let events = settings.events;
    let job = Job {
        stage: Stage::Analyze,
        bootstrap: String::new(),
        ends: Vec::new(),
        events,
        dir: PathBuf::new(),
    };
    let (mut judged, mut with_decode, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        let done = run(&job)?;
        let also = done.also.context("the analyzer was measured once, not twice")?;
        let count = events as f64;
        judged.push(count / done.took.cpu_seconds);
        wall.push(count / done.took.wall_seconds);
        with_decode.push(count / also.cpu_seconds);
    }
    let mut benchmark = Benchmark::new("analyzer");
    benchmark.rounds("analyzer", "events_per_cpu_second", &judged, Some(Target::AtLeast(TARGET)));
    benchmark.rounds("analyzer", "events_per_second", &wall, None);
    benchmark.rounds("decode_and_analyzer", "events_per_cpu_second", &with_decode, None);
    benchmark.value("analyzer_corpus", "events", events as f64);
    Ok(benchmark)
}

/// Judges the corpus twice: decoding as it goes, then decoded before. The findings must be the same, those that the
/// attacks call for, and no others.
pub(crate) fn measure(approver: &SigningKey, count: usize) -> anyhow::Result<Done> {
    let mut records = Vec::with_capacity(count);
    let (mut attacked, mut to_be_found) = (HashSet::new(), HashMap::new());
    for (offset, simulated) in corpus(approver).take(count + LOOK_AHEAD).enumerate() {
        if let (Some(truth), Some(task)) = (simulated.truth, &simulated.event.task) {
            attacked.insert(task.root.clone());
            if offset < count {
                to_be_found.insert(task.root.clone(), truth.rules);
            }
        }
        if offset < count {
            records.push(record(&simulated.event, offset as u64)?);
        }
    }
    let options = Arc::new(Options { approver_keys: vec![approver.verifying_key()], ..Options::default() });

    let meter = Meter::start()?;
    let (mut analyzer, mut findings) = (Analyzer::new(SHARD, Arc::clone(&options)), Vec::new());
    for record in &records {
        findings.extend(analyzer.observe(&sequenced(record)?));
    }
    let with_decode = meter.stop()?;
    drop(analyzer);

    let events: Vec<Sequenced<Event>> = records.iter().map(sequenced).collect::<Result<_, _>>()?;
    drop(records);
    let meter = Meter::start()?;
    let (mut analyzer, mut again) = (Analyzer::new(SHARD, options), Vec::with_capacity(findings.len()));
    for event in &events {
        again.extend(analyzer.observe(event));
    }
    let took = meter.stop()?;
    ensure!(findings == again, "the same events gave other findings the second time");
    check(&findings, &attacked, &to_be_found)?;
    Ok(Done { took, also: Some(with_decode) })
}

fn record(event: &Event, offset: u64) -> anyhow::Result<Record> {
    let outgoing = encode(event)?;
    Ok(Record {
        shard: SHARD,
        offset,
        timestamp_us: event.time.micros(),
        key: Some(outgoing.key),
        headers: outgoing.headers,
        value: Some(outgoing.value),
    })
}

fn sequenced(record: &Record) -> anyhow::Result<Sequenced<Event>> {
    Ok(Sequenced { shard: SHARD, offset: record.offset, item: decode(record)? })
}

/// Every attack has one of its findings, and nobody else has any.
fn check(
    findings: &[Finding],
    attacked: &HashSet<TaskId>,
    to_be_found: &HashMap<TaskId, Vec<&'static str>>,
) -> anyhow::Result<()> {
    let mut found: HashMap<&TaskId, HashSet<&str>> = HashMap::new();
    for finding in findings {
        let task = finding.task.as_ref().context("a finding without a task")?;
        ensure!(attacked.contains(&task.root), "{} was innocent: {}", task.root, finding.reason);
        found.entry(&task.root).or_default().insert(finding.rule.id.as_str());
    }
    for (root, rules) in to_be_found {
        let hit = found.get(root).is_some_and(|found| rules.iter().any(|rule| found.contains(rule)));
        ensure!(hit, "the attack in {root} was not found: {:?} instead of {rules:?}", found.get(root));
    }
    Ok(())
}
