//! Real brokers for tests: the embedded one, and Apache Kafka. They run as child processes on a free port and can be
//! killed and started again with the data they have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test that cannot start its broker fails"
)]

use crate::KafkaOptions;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a broker may take to accept connections.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded broker.
    Embedded,
    /// Apache Kafka.
    Kafka,
}

/// A running broker with a data directory of its own; stopped when dropped.
#[derive(Debug)]
pub struct TestBroker {
    kind: Kind,
    port: u16,
    dir: TempDir,
    child: Option<Child>,
}

/// A port that is free at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The embedded broker's program.
pub fn embedded_program() -> PathBuf {
    let built = std::env::var_os("AMBIT_BROKER_BIN").map(PathBuf::from);
    let cached = std::env::home_dir().map(|home| home.join(".cache/ambit/broker-target/debug/ambit-broker"));
    let program = built.into_iter().chain(cached).find(|path| path.is_file());
    program.expect("the embedded broker is not built: run `make broker`")
}

impl TestBroker {
    /// Starts the embedded broker.
    pub fn embedded() -> Self {
        Self::start(Kind::Embedded)
    }

    /// Starts Apache Kafka. Without its jars the lane is skipped, loudly; with CI=true that is a failure.
    pub fn kafka() -> Option<Self> {
        if std::env::var_os("AMBIT_KAFKA_HOME").is_none() {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "AMBIT_KAFKA_HOME is not set and CI is"
            );
            eprintln!(
                "SKIPPED: the Apache Kafka lane, AMBIT_KAFKA_HOME is not set (see tests/kafka/kafka.sh)"
            );
            return None;
        }
        Some(Self::start(Kind::Kafka))
    }

    fn start(kind: Kind) -> Self {
        let mut broker = Self { kind, port: free_port(), dir: tempfile::tempdir().unwrap(), child: None };
        broker.restart();
        broker
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Options that reach it.
    pub fn options(&self) -> KafkaOptions {
        KafkaOptions { bootstrap_servers: self.bootstrap(), ..KafkaOptions::default() }
    }

    /// Ends it as a power cut of the process would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = match self.kind {
            Kind::Embedded => {
                let mut command = Command::new(embedded_program());
                command.args(["--listen", &self.bootstrap(), "--exit-on-stdin-close", "--data-dir"]);
                command.arg(self.dir.path()).stdin(Stdio::piped());
                command
            }
            Kind::Kafka => {
                let mut command = Command::new(root().join("tests/kafka/kafka.sh"));
                command.args(["run", "--port", &self.port.to_string(), "--dir"]).arg(self.dir.path());
                command.stdin(Stdio::null());
                command
            }
        };
        self.child = Some(command.stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "the broker ({:?}) was not ready in time", self.kind);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        self.kill();
    }
}
