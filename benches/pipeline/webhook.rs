//! From an agent's action to the webhook that stops it: the program as it is released, everything durable, under a
//! constant load; and beside it what Kafka alone takes from a producer to a consumer under the same load.

use crate::corpus;
use crate::cpu;
use crate::lane::Lane;
use crate::load::{Load, RATE, Sent, prepare, send};
use crate::program::Program;
use crate::report::{Benchmark, Target};
use crate::settings::Settings;
use crate::stage::{FromTheStart, kafka};
use ambit::demo::receiver;
use ambit::keys;
use ambit_bus::{KafkaOptions, Linger, Producer, Profile, ShardConsumer, ensure_topics};
use ambit_schemas::id::FindingId;
use ambit_schemas::{Body, Shard, Topic, decode};
use anyhow::{Context, ensure};
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Seconds of load before webhooks are timed: consumers join, connections are made, code is warm.
const WARM_UP_SECONDS: usize = 5;
/// Seconds of load without Ambit.
const CONTROL_SECONDS: usize = 8;
/// How long after the last event webhooks may come.
const PATIENCE: Duration = Duration::from_secs(30);
/// What 99 of 100 webhooks must keep on Apache Kafka, in milliseconds.
const TARGET_MS: f64 = 50.0;

/// Revocations without a budget, so that every webhook takes the way of one.
const POLICY: &str = "[budget]\nrevocations_per_hour = 1000000\n[[rule]]\nname = \"end the task\"\nmin_severity = \"high\"\n\
    action = \"revoke_task\"\n[[rule]]\nname = \"tell\"\nmin_severity = \"low\"\naction = \"notify\"\n";

/// A webhook that was received.
struct Received {
    finding: FindingId,
    at: Instant,
    again: bool,
}

/// Runs control and load.
pub(crate) fn benchmark(
    lane: Lane,
    wanted: &Settings,
    runtime: &Runtime,
) -> anyhow::Result<Option<Benchmark>> {
    let Some(broker) = lane.start() else { return Ok(None) };
    let mut benchmark = Benchmark::new(&format!("webhook-{}", lane.name()));
    let control = control(&broker.bootstrap(), runtime)?;
    drop(broker);
    benchmark.value("produce_to_consume_p50", "milliseconds", percentile(&control, 0.50));
    benchmark.value("produce_to_consume_p99", "milliseconds", percentile(&control, 0.99));

    let Some(broker) = lane.start() else { return Ok(None) };
    let dir = tempfile::tempdir().context("cannot make a directory for ambit")?;
    let approver = keys::approver_key(&Program::data_dir(dir.path()).join("keys/approver.pem"))?;
    let load = prepare(&approver, (WARM_UP_SECONDS + wanted.seconds) * RATE)?;
    let (listener, secret) = runtime.block_on(receiving(dir.path()))?;
    let config = configuration(dir.path(), &listener)?;
    let (told, webhooks) = channel();
    let shutdown = CancellationToken::new();
    let mut serving = JoinSet::new();
    let stop = shutdown.clone();
    serving.spawn_on(
        async move {
            let (nobody, _) = tokio::sync::mpsc::channel(1);
            let tell = move |taken: &receiver::Taken| {
                let finding = taken.body.data.finding_id.clone();
                // Whoever listened has seen enough.
                told.send(Received { finding, at: Instant::now(), again: taken.again }).unwrap_or_default();
            };
            receiver::run(listener, &secret, nobody, tell, stop).await
        },
        runtime.handle(),
    );
    let program = Program::start(dir.path(), &broker.bootstrap(), &config)?;
    let expected = load.findings.clone();
    let options = kafka(&broker.bootstrap());
    let judged = Judged::follow(&options)?;
    let (sent, used) = under_load(load, &options, &program, runtime)?;
    let times = collect(&webhooks, &expected, &sent, &program)?;
    let judged = judged.times(&expected, &sent)?;
    program.stop()?;
    shutdown.cancel();
    while let Some(outcome) = runtime.block_on(serving.join_next()) {
        outcome.context("the receiver panicked")??;
    }
    fill_in(&mut benchmark, lane, &times, used);
    benchmark.value("produce_to_finding_p50", "milliseconds", percentile(&judged, 0.50));
    benchmark.value("produce_to_finding_p99", "milliseconds", percentile(&judged, 0.99));
    let lateness: Vec<f64> = sent.late.iter().map(milliseconds).collect();
    benchmark.value("sender_lateness_p99", "milliseconds", percentile(&lateness, 0.99));
    Ok(Some(benchmark))
}

/// Reads findings as they come: the first half of the way, on its own.
struct Judged {
    reading: JoinHandle<anyhow::Result<HashMap<FindingId, Instant>>>,
    stop: CancellationToken,
}

impl Judged {
    fn follow(options: &KafkaOptions) -> anyhow::Result<Self> {
        let owner = Box::new(FromTheStart);
        let mut consumer =
            ShardConsumer::follow(options, "bench-findings", Topic::Findings, Profile::Latency, owner)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let reading = std::thread::spawn(move || {
            let mut seen = HashMap::new();
            while !stopped.is_cancelled() {
                let batch = consumer.poll(Duration::from_millis(100), 1_024)?;
                let now = Instant::now();
                for record in &batch.records {
                    if let Ok(Body::FindingCreated(finding)) = decode(record).map(|event| event.body) {
                        seen.entry(finding.id.clone()).or_insert(now);
                    }
                }
            }
            Ok(seen)
        });
        Ok(Self { reading, stop })
    }

    /// How long findings took, in milliseconds.
    fn times(self, expected: &HashMap<FindingId, usize>, sent: &Sent) -> anyhow::Result<Vec<f64>> {
        self.stop.cancel();
        let seen = self.reading.join().map_err(|_| anyhow::anyhow!("the reader of findings panicked"))??;
        let timed = expected.iter().filter(|(_, index)| **index >= WARM_UP_SECONDS * RATE);
        let took = timed.filter_map(|(finding, index)| Some(*seen.get(finding)? - *sent.at.get(*index)?));
        Ok(took.map(|took| milliseconds(&took)).collect())
    }
}

/// How long webhooks took, in milliseconds, and how many came again.
struct Times {
    timed: Vec<f64>,
    again: usize,
    expected: usize,
}

fn fill_in(benchmark: &mut Benchmark, lane: Lane, times: &Times, used: f64) {
    let at = |part| percentile(&times.timed, part);
    benchmark.value("produce_to_webhook_p50", "milliseconds", at(0.50));
    let (subject, unit) = ("produce_to_webhook_p99", "milliseconds");
    match lane {
        Lane::Kafka => benchmark.judged(subject, unit, at(0.99), Target::AtMost(TARGET_MS)),
        Lane::Embedded => benchmark.value(subject, unit, at(0.99)),
    }
    benchmark.value("produce_to_webhook_longest", unit, at(1.0));
    benchmark.value("timed", "webhooks", times.timed.len() as f64);
    benchmark.value("expected", "webhooks", times.expected as f64);
    benchmark.value("missing", "webhooks", 0.0);
    benchmark.value("repeated", "webhooks", times.again as f64);
    benchmark.value("load", "events_per_second", RATE as f64);
    benchmark.value("ambit", "cpu_seconds_per_second", used);
}

async fn receiving(dir: &Path) -> anyhow::Result<(TcpListener, String)> {
    let secret = keys::webhook_secret(&dir.join("secret"))?.to_string();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on 127.0.0.1")?;
    Ok((listener, secret))
}

fn configuration(dir: &Path, listener: &TcpListener) -> anyhow::Result<String> {
    let policy = dir.join("policy.toml");
    std::fs::write(&policy, POLICY).context("cannot write the policy")?;
    Ok(format!(
        "[enforcement]\npolicy_file = \"{}\"\n[[enforcement.receivers]]\nid = \"idp\"\nurl = \"http://{}/hooks/ambit\"\n\
         allow_private = true\nsecrets = [{{ file = \"{}\" }}]\n",
        policy.display(),
        listener.local_addr()?,
        dir.join("secret").display()
    ))
}

/// Sends the load. Returns when what was sent, and how many cores Ambit kept busy.
fn under_load(
    load: Load,
    options: &ambit_bus::KafkaOptions,
    program: &Program,
    runtime: &Runtime,
) -> anyhow::Result<(Sent, f64)> {
    let producer = Producer::new(options, "bench-load", Linger::Short)?;
    let (before, started) = (cpu::seconds(&program.id())?, Instant::now());
    let mut sent = send(load.events, &producer, RATE)?;
    let used = (cpu::seconds(&program.id())? - before) / started.elapsed().as_secs_f64();
    runtime.block_on(async {
        for delivery in sent.pending.drain(..) {
            delivery.await.context("an event of the load did not reach kafka")?;
        }
        anyhow::Ok(())
    })?;
    Ok((sent, used))
}

/// Waits for the webhooks of all findings that were expected, and for no others.
fn collect(
    webhooks: &Receiver<Received>,
    expected: &HashMap<FindingId, usize>,
    sent: &Sent,
    program: &Program,
) -> anyhow::Result<Times> {
    let (mut first, mut again) = (HashMap::with_capacity(expected.len()), 0);
    let deadline = Instant::now() + PATIENCE;
    while first.len() < expected.len() {
        let Ok(received) = webhooks.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            let missing = expected.len() - first.len();
            anyhow::bail!("{missing} of {} webhooks are missing: {}", expected.len(), program.log());
        };
        ensure!(expected.contains_key(&received.finding), "{} was not to be found", received.finding);
        again += usize::from(received.again);
        first.entry(received.finding).or_insert(received.at);
    }
    let timed = expected.iter().filter(|(_, index)| **index >= WARM_UP_SECONDS * RATE);
    let took = timed.filter_map(|(finding, index)| Some(*first.get(finding)? - *sent.at.get(*index)?));
    Ok(Times { timed: took.map(|took| milliseconds(&took)).collect(), again, expected: expected.len() })
}

/// What Kafka takes from a producer to a consumer under the same load, in milliseconds.
fn control(bootstrap: &str, runtime: &Runtime) -> anyhow::Result<Vec<f64>> {
    let options = kafka(bootstrap);
    runtime.block_on(ensure_topics(&options))?;
    let load = prepare(&corpus::approver(), (WARM_UP_SECONDS + CONTROL_SECONDS) * RATE)?;
    let count = load.events.len();
    let consumer = ShardConsumer::subscribe(
        &options,
        "bench-control",
        "bench-control",
        &[Topic::Events],
        Profile::Latency,
        Box::new(FromTheStart),
    )?;
    let reading = std::thread::spawn(move || read(consumer, count));
    let producer = Producer::new(&options, "bench-load", Linger::Short)?;
    let sent = send(load.events, &producer, RATE)?;
    let places: Vec<(Shard, u64)> = runtime.block_on(async {
        let mut places = Vec::with_capacity(count);
        for delivery in sent.pending {
            places.push(delivery.await.context("an event of the load did not reach kafka")?);
        }
        anyhow::Ok(places)
    })?;
    let seen = reading.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    let timed = places.iter().zip(&sent.at).skip(WARM_UP_SECONDS * RATE);
    Ok(timed.filter_map(|(place, at)| Some(milliseconds(&(*seen.get(place)? - *at)))).collect())
}

fn read(mut consumer: ShardConsumer, count: usize) -> anyhow::Result<HashMap<(Shard, u64), Instant>> {
    let mut seen = HashMap::with_capacity(count);
    let mut progress = Instant::now();
    while seen.len() < count {
        let batch = consumer.poll(Duration::from_millis(100), 4_096)?;
        let now = Instant::now();
        for record in batch.records {
            seen.insert((record.shard, record.offset), now);
            progress = now;
        }
        ensure!(progress.elapsed() < PATIENCE, "kafka gave {} of {count} records, then none", seen.len());
    }
    Ok(seen)
}

fn milliseconds(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The least value that this part of all values does not exceed.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the count")]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
