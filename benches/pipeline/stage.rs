//! A stage of the pipeline, measured in a process of its own: the benchmark starts itself again with a job. So the CPU
//! time of brokers, of the producer and of other stages is not counted.

use crate::cpu::{Meter, Took};
use crate::{analyzer, corpus, verified};
use ambit_bus::{KafkaOptions, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_ingest::outside::{Board, Outside};
use ambit_ingest::{Handle, Ledgers};
use ambit_ledger::CheckpointSigner;
use ambit_schemas::{Shard, Topic, decode};
use ambit_store::Store;
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The argument that makes this program run one job.
const FLAG: &str = "--job";
/// How long one poll waits for the first record, and how many records it takes: as in ingest.
const POLL: Duration = Duration::from_millis(50);
const RECORDS_MAX: usize = 4_096;
/// How long a stage may go without any progress.
const PATIENCE: Duration = Duration::from_mins(2);
/// First part of the origins of ledgers made here.
pub(crate) const LOG_NAME: &str = "bench.local";

/// The stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Records are polled and dropped where librdkafka has them.
    Raw,
    /// Records are polled, copied as ingest takes them, and dropped.
    Copy,
    /// They are read as events and dropped.
    Parse,
    /// The whole of ingest: every record is in the store and the ledger, durably.
    Durable,
    /// What a durable stage has left is verified.
    Verify,
    /// Events are judged.
    Analyze,
}

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) stage: Stage,
    /// Where the broker listens.
    pub(crate) bootstrap: String,
    /// The offset after the last record of each shard.
    pub(crate) ends: Vec<(Shard, u64)>,
    /// How many events there are.
    pub(crate) events: usize,
    /// Where data go.
    pub(crate) dir: PathBuf,
}

/// What a child tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) took: Took,
    /// Of further measurements in the same child, by name.
    #[serde(default)]
    pub(crate) parts: BTreeMap<String, Took>,
    /// Other figures, by name.
    #[serde(default)]
    pub(crate) figures: BTreeMap<String, f64>,
}

impl Done {
    /// Nothing but what it took.
    pub(crate) fn of(took: Took) -> Self {
        Self { took, parts: BTreeMap::new(), figures: BTreeMap::new() }
    }
}

/// Runs a job in a child and waits for it.
pub(crate) fn run(job: &Job) -> anyhow::Result<Done> {
    let program = std::env::current_exe().context("the benchmark does not know its own program")?;
    let text = serde_json::to_string(job)?;
    let output = Command::new(program)
        .args([FLAG, &text])
        .stderr(Stdio::inherit())
        .output()
        .context("the benchmark cannot start itself")?;
    ensure!(
        output.status.success(),
        "stage {:?} failed ({}): its messages stand above",
        job.stage,
        output.status
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("stage {:?} said nothing readable", job.stage))
}

/// The job of this process, if it was started for one.
pub(crate) fn job_of(args: &[String]) -> anyhow::Result<Option<Job>> {
    match args {
        [flag, text] if flag == FLAG => {
            Ok(Some(serde_json::from_str(text).context("the job cannot be read")?))
        }
        _ => Ok(None),
    }
}

/// Does a job and tells the parent.
pub(crate) fn work(job: &Job) -> anyhow::Result<()> {
    let done = match job.stage {
        Stage::Raw => drain(job, |consumer| Ok(consumer.poll_and_drop(POLL, RECORDS_MAX)?.0))?,
        Stage::Copy => drain(job, |consumer| Ok(consumer.poll(POLL, RECORDS_MAX)?.records.len()))?,
        Stage::Parse => drain(job, parse)?,
        Stage::Durable => durable(job)?,
        Stage::Verify => verified::measure(job)?,
        Stage::Analyze => analyzer::measure(&corpus::approver(), job.events)?,
    };
    ambit::output::print(&serde_json::to_string(&done)?);
    Ok(())
}

/// Reads every shard from its start.
pub(crate) struct FromTheStart;

impl ShardOwner for FromTheStart {
    fn take(&self, _shard: Shard) -> StartAt {
        StartAt::Earliest
    }

    fn release(&self, _shards: &[Shard]) {}
}

pub(crate) fn kafka(bootstrap: &str) -> KafkaOptions {
    KafkaOptions { bootstrap_servers: bootstrap.to_owned(), ..KafkaOptions::default() }
}

/// From joining the group to the last record.
fn drain(
    job: &Job,
    mut take: impl FnMut(&mut ShardConsumer) -> anyhow::Result<usize>,
) -> anyhow::Result<Done> {
    let (options, group) = (kafka(&job.bootstrap), format!("bench-{}", std::process::id()));
    let meter = Meter::start()?;
    let owner = Box::new(FromTheStart);
    let mut consumer =
        ShardConsumer::subscribe(&options, &group, "bench", &[Topic::Events], Profile::Throughput, owner)?;
    let (mut taken, mut progress) = (0, Instant::now());
    while taken < job.events {
        let more = take(&mut consumer)?;
        taken += more;
        if more > 0 {
            progress = Instant::now();
        }
        ensure!(progress.elapsed() < PATIENCE, "kafka gave {taken} of {} records, then none", job.events);
    }
    ensure!(taken == job.events, "kafka gave {taken} records, {} were sent", job.events);
    Ok(Done::of(meter.stop()?))
}

fn parse(consumer: &mut ShardConsumer) -> anyhow::Result<usize> {
    let records = consumer.poll(POLL, RECORDS_MAX)?.records;
    for record in &records {
        black_box(decode(record).context("a record of the corpus is not an event")?);
    }
    Ok(records.len())
}

/// The store and the ledger of the durable stage.
pub(crate) async fn open(dir: &Path) -> anyhow::Result<(Store, Ledgers)> {
    let store = Store::open(ambit_store::Options::durable(dir.join("store"))).await?;
    let signer = Arc::new(CheckpointSigner::from_seed(LOG_NAME, &[7; 32])?);
    let (dir, log_name) = (dir.join("ledger"), LOG_NAME.into());
    Ok((store, Ledgers { dir, log_name, signer, board: Board::default(), outside: Outside::default() }))
}

/// From the start of ingest to its clean end, once every record is durable.
fn durable(job: &Job) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (store, ledgers) = runtime.block_on(open(&job.dir))?;
    let (handle, shutdown) = (Handle::default(), CancellationToken::new());
    // The corpus is of another day: that its clock is wrong is no news, and a notice would be one record more.
    let options = ambit_ingest::Options { clock_skew_ms: u64::MAX, ..ambit_ingest::Options::default() };
    let kafka = kafka(&job.bootstrap);
    let producer = ambit_bus::Producer::new(&kafka, "bench-notices", ambit_bus::Linger::None)?;
    let clock = ambit::simulate::now;
    let service =
        ambit_ingest::Service { options, kafka, store, ledgers, producer, clock, handle: handle.clone() };
    let meter = Meter::start()?;
    let (tokio, stop) = (runtime.handle().clone(), shutdown.clone());
    let serving = std::thread::spawn(move || service.run(&tokio, &stop));
    let (mut before, mut progress) = (0, Instant::now());
    loop {
        let positions = handle.positions();
        if job.ends.iter().all(|(shard, end)| positions.get(shard) == Some(end)) {
            break;
        }
        let stored: u64 = positions.values().sum();
        if stored > before {
            (before, progress) = (stored, Instant::now());
        }
        if serving.is_finished() || progress.elapsed() > PATIENCE {
            shutdown.cancel();
            let ended = serving.join().map(|result| result.err().map(anyhow::Error::from));
            bail!("ingest stored {stored} of {} records, then no more: {ended:?}", job.events);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    shutdown.cancel();
    serving.join().map_err(|_| anyhow::anyhow!("ingest panicked"))??;
    Ok(Done::of(meter.stop()?))
}
