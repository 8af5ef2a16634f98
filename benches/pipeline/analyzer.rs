//! What judging an event costs: the corpus in memory, one thread, no Kafka.

use crate::corpus::corpus;
use crate::cpu::Meter;
use crate::report::{Benchmark, Target};
use crate::settings::Settings;
use crate::stage::{Done, Job, Stage, run};
use ambit_analytics::{Analyzer, Options, Prepared, Preparer};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::TaskId;
use ambit_schemas::{Event, Record, Sequenced, Shard, Topic, decode, encode};
use anyhow::{Context, ensure};
use ed25519_dalek::SigningKey;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

const SHARD: Shard = Shard::new(Topic::Events, 0);
/// How far behind the corpus the truth about its last findings may stand.
const LOOK_AHEAD: usize = 20_000;
/// Events that one core must judge in a second.
const TARGET: f64 = 300_000.0;

/// The fold: what must be done to the events of a shard one after the other.
const JUDGE: &str = "analyzer";
/// What comes before it and can be done to any event on any thread: reading it; then its envelope's signature, the
/// envelope's compilation, and what its tool's name says.
const DECODE: &str = "decode";
const PREPARE: &str = "prepare";
/// All of it on one thread.
const ALL: &str = "decode_prepare_and_analyzer";

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
    let mut rounds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut wall = Vec::new();
    for _ in 0..settings.rounds {
        let Done { took, parts, .. } = run(&job)?;
        let count = events as f64;
        rounds.entry(JUDGE.to_owned()).or_default().push(count / took.cpu_seconds);
        wall.push(count / took.wall_seconds);
        for (name, took) in parts {
            rounds.entry(name).or_default().push(count / took.cpu_seconds);
        }
    }
    let mut benchmark = Benchmark::new("analyzer");
    for (name, rounds) in &rounds {
        let target = (name == JUDGE).then_some(Target::AtLeast(TARGET));
        benchmark.rounds(name, "events_per_cpu_second", rounds, target);
    }
    benchmark.rounds(JUDGE, "events_per_second", &wall, None);
    benchmark.value("analyzer_corpus", "events", events as f64);
    Ok(benchmark)
}

/// Judges the corpus twice: in one go, then step by step. The findings must be the same, those that the attacks call
/// for, and no others.
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
    let mut parts = BTreeMap::from([(ALL.to_owned(), meter.stop()?)]);
    drop(analyzer);

    let meter = Meter::start()?;
    let events: Vec<Sequenced<Event>> = records.iter().map(sequenced).collect::<Result<_, _>>()?;
    parts.insert(DECODE.to_owned(), meter.stop()?);
    drop(records);
    let meter = Meter::start()?;
    let mut preparer = Preparer::new(Arc::clone(&options));
    let ready: Vec<Prepared<'_>> =
        events.iter().map(|event| preparer.prepare(Cow::Borrowed(event))).collect();
    parts.insert(PREPARE.to_owned(), meter.stop()?);
    let meter = Meter::start()?;
    let (mut analyzer, mut again) = (Analyzer::new(SHARD, options), Vec::with_capacity(findings.len()));
    for event in &ready {
        again.extend(analyzer.judge(event));
    }
    let took = meter.stop()?;
    ensure!(findings == again, "the same events gave other findings the second time");
    check(&findings, &attacked, &to_be_found)?;
    Ok(Done { parts, ..Done::of(took) })
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
