//! The embedded broker: nisshi over SQLite in one process, started and watched by `ambit up`.
//!
//! It prints `ready HOST:PORT` once it accepts connections. It stops on SIGTERM, on SIGINT, and, with
//! `--exit-on-stdin-close`, when whoever started it is gone: the operating system closes the pipe even after `kill -9`.

use anyhow::{Context, bail};
use clap::Parser;
use fs4::fs_std::FileExt;
use nisshi_broker::broker::Broker;
use nisshi_broker::coordinator::group::administrator::{Controller, GroupCoordinatorConfig};
use nisshi_storage::ArcDynStorage;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use url::Url;
use uuid::Uuid;

/// The database, relative to the data directory: nisshi reads paths relative to the working directory.
const DATABASE: &str = "sqlite://broker.db";
/// Marks a data directory as in use.
const LOCK: &str = "lock";
/// How long the listener may take.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long work under way may take once the broker is asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Groups form at once: members of an embedded broker start together or not at all.
const REBALANCE_DELAY: Duration = Duration::from_millis(100);

/// A Kafka-protocol broker on one node and local disk, for laptops, tests and small sites.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where to listen; also what clients are told to connect to.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Where topics, records and group offsets are kept.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Stop when standard input is closed.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.listen.port() == 0 {
        bail!("--listen needs a port: clients are told the address before they connect");
    }
    let _lock = lock(&options.data_dir)?;
    std::env::set_current_dir(&options.data_dir)
        .with_context(|| format!("cannot enter {}", options.data_dir.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("broker")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(run(&options));
    runtime.shutdown_timeout(STOP_WITHIN);
    result
}

/// Takes the data directory for this process.
fn lock(dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(dir)
        .with_context(|| format!("cannot create data directory {}", dir.display()))?;
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write to data directory {}", dir.display()))?;
    if !FileExt::try_lock_exclusive(&file).with_context(|| format!("cannot lock {}", path.display()))? {
        bail!(
            "data directory {} is in use by another broker: stop it, or choose another --data-dir",
            dir.display()
        );
    }
    Ok(file)
}

async fn run(options: &Options) -> anyhow::Result<()> {
    // nisshi would report a taken port only in its log.
    match TcpListener::bind(options.listen).await {
        Ok(listener) => drop(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {} is taken: stop what listens on {}, or choose another port",
                options.listen.port(),
                options.listen
            )
        }
        Err(error) => return Err(error).with_context(|| format!("cannot listen on {}", options.listen)),
    }
    let url =
        Url::parse(&format!("tcp://{}", options.listen)).context("cannot write the address as a URL")?;
    let groups =
        GroupCoordinatorConfig { initial_rebalance_delay: REBALANCE_DELAY, poll_interval: REBALANCE_DELAY };
    let mut broker = Broker::<Controller<ArcDynStorage>, ArcDynStorage>::builder()
        .node_id(1)
        .cluster_id("ambit")
        .incarnation_id(Uuid::new_v4())
        .advertised_listener(url.clone())
        .listener(url)
        .storage(Url::parse(DATABASE).context("the database's URL")?)
        .silent(true)
        .group_coordinator(groups)
        .build()
        .await
        .context("cannot open the broker's database: is the disk full, or the file from another version?")?;
    let started = Instant::now();
    let serving = async move { broker.serve(started).await };
    let ready = announce(options.listen);
    let stopped = stop_requested(options.exit_on_stdin_close);
    tokio::pin!(serving, stopped);
    tokio::select! {
        result = &mut serving => return result.context("the broker ended"),
        result = ready => result?,
        result = &mut stopped => return result,
    }
    tokio::select! {
        result = &mut serving => result.context("the broker ended"),
        result = &mut stopped => result,
    }
}

/// Says `ready` once the listener takes connections.
async fn announce(listen: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while TcpStream::connect(listen).await.is_err() {
        if Instant::now() > deadline {
            bail!("the broker does not take connections on {listen} after {} s", READY_WITHIN.as_secs());
        }
        sleep(Duration::from_millis(10)).await;
    }
    println!("ready {listen}");
    Ok(())
}

async fn stop_requested(on_stdin_close: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stdin_closed(), if on_stdin_close => {}
    }
    Ok(())
}

async fn stdin_closed() {
    let (mut stdin, mut bytes) = (tokio::io::stdin(), [0; 64]);
    while matches!(stdin.read(&mut bytes).await, Ok(count) if count > 0) {}
}
