//! The embedded broker: Kafka's protocol on one node and local disk, started and watched by `ambit up`.
//!
//! It prints `ready HOST:PORT` once it accepts connections. It stops on SIGTERM, on SIGINT, and, with
//! `--exit-on-stdin-close`, when whoever started it is gone: the operating system closes the pipe even after `kill -9`.

mod lifetime;
mod log;
mod server;
mod storage;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use fs4::fs_std::FileExt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Marks a data directory as in use.
const LOCK: &str = "lock";
/// How long work under way may take once the broker has stopped.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A Kafka-protocol broker on one node and local disk, for laptops, tests and small sites.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where to listen; also what clients are told to connect to. Port 0 takes a free one and says which.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Where topics, records and group offsets are kept.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// When producers are answered. Consumers see records only once they are synced, with either.
    #[arg(long, value_enum, default_value_t = Ack::Synced)]
    ack: Ack,
    /// Stop when standard input is closed.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ack {
    /// Once the disk has the records.
    Synced,
    /// Once the operating system has them: they survive a kill of the broker, a power failure may take the last
    /// milliseconds (of Apache Kafka on one node: the last seconds).
    Written,
}

fn main() -> ExitCode {
    match start(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "where a program says why it failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("ambit-broker: {error:#}");
}

fn start(options: &Options) -> anyhow::Result<()> {
    if options.listen.ip().is_unspecified() {
        bail!("--listen needs the address that clients connect to, not {}", options.listen.ip());
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
    let result = runtime.block_on(serve(options));
    runtime.shutdown_timeout(STOP_WITHIN);
    result
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let mut stop = lifetime::Stop::listen(options.exit_on_stdin_close)?;
    let server = tokio::select! {
        server = server::Server::open(options.listen, options.ack == Ack::Synced) => server?,
        () = stop.requested() => return Ok(()),
    };
    writeln!(std::io::stdout(), "ready {}", server.address()?).context("cannot write to standard output")?;
    server.run(stop).await
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
