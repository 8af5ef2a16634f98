//! The embedded broker: a child process, so that its crates and its faults stay out of ours. It watches our end of a
//! pipe and stops when that closes, so that even `kill -9` leaves no orphan.

use crate::config::Config;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The program's name.
const PROGRAM: &str = "ambit-broker";
/// How long the broker may take to accept connections.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take to stop once its pipe is closed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How much of what it says on stderr is kept for an error message, in bytes.
const STDERR_MAX: usize = 16 << 10;

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    /// The pipe whose end the broker watches. Apart from the child, because waiting for a child closes its input.
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Broker {
    /// Starts the broker and waits until it accepts connections.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let program = find(config.broker.program.as_deref())?;
        let dir = config.broker_dir();
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut child = Command::new(&program)
            .arg("--listen")
            .arg(config.broker.listen.to_string())
            .arg("--data-dir")
            .arg(&dir)
            .arg("--exit-on-stdin-close")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C in a terminal goes to the whole group; the broker must outlive those who still need it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the embedded broker {}", program.display()))?;
        let (stdin, Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("the embedded broker has no standard output")
        };
        let (mut stdout, stderr) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
        let ready = timeout(READY_WITHIN, async {
            while let Some(line) = stdout.next_line().await? {
                if line.starts_with("ready ") {
                    return Ok::<bool, std::io::Error>(true);
                }
            }
            Ok(false)
        })
        .await;
        match ready {
            Ok(Ok(true)) => Ok(Self { child, stdin, stdout, stderr }),
            Ok(_) => bail!("the embedded broker did not start: {}", last_words(stderr).await),
            Err(_) => bail!("the embedded broker was not ready within {} s", READY_WITHIN.as_secs()),
        }
    }

    /// Waits until the broker ends by itself, which is a failure, or until `shutdown`, then stops it.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut last = String::new();
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    let status = status.context("cannot wait for the embedded broker")?;
                    bail!("the embedded broker ended with {status}: {last}")
                }
                Ok(Some(line)) = self.stderr.next_line() => {
                    tracing::warn!(line, "embedded broker");
                    last = line;
                }
                Ok(Some(line)) = self.stdout.next_line() => tracing::debug!(line, "embedded broker"),
                () = shutdown.cancelled() => break,
            }
        }
        drop(self.stdin.take());
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            tracing::warn!("the embedded broker did not stop in time and is killed");
            self.child.kill().await.context("cannot kill the embedded broker")?;
        }
        Ok(())
    }
}

/// What a broker that has ended said last.
async fn last_words(mut stderr: Lines<BufReader<ChildStderr>>) -> String {
    let mut text = String::new();
    while text.len() < STDERR_MAX
        && let Ok(Ok(Some(line))) = timeout(Duration::from_secs(2), stderr.next_line()).await
    {
        text.push_str(&line);
        text.push(' ');
    }
    text.trim().to_owned()
}

/// The configured program, or the one beside this program, or the one on the PATH.
#[allow(clippy::disallowed_methods, reason = "where programs are is told by the environment alone")]
fn find(configured: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(program) = configured {
        if program.is_file() {
            return Ok(program.to_owned());
        }
        bail!("`broker.program` names {}, which is not a file", program.display());
    }
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name(PROGRAM));
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|dir| dir.join(PROGRAM)).collect::<Vec<_>>())
        .unwrap_or_default();
    match std::env::var_os("AMBIT_BROKER_BIN")
        .map(PathBuf::from)
        .into_iter()
        .chain(beside)
        .chain(on_path)
        .find(|path| path.is_file())
    {
        Some(program) => Ok(program),
        None => bail!(
            "the embedded broker `{PROGRAM}` is neither what AMBIT_BROKER_BIN names, nor beside this program, nor on the \
             PATH: `make install` puts both programs side by side; or set `broker.program`, or use Apache Kafka with \
             `--bootstrap-servers`"
        ),
    }
}
