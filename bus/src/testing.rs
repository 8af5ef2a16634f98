//! Real brokers for tests: the embedded one, and Apache Kafka. They run as child processes on a free port and can be
//! killed and started again with the data they have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a test that cannot start its broker fails"
)]

use crate::{Error, KafkaOptions};
use ambit_schemas::Shard;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
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

fn find(text: &[u8], wanted: &[u8]) -> Option<u64> {
    text.windows(wanted.len()).position(|window| window == wanted).map(|at| at as u64)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Deletes the records of a shard below an offset, as retention does.
pub async fn delete_records(options: &KafkaOptions, shard: Shard, before: u64) -> Result<(), Error> {
    let admin: AdminClient<DefaultClientContext> =
        options.client("ambit-test")?.create().map_err(Error::Client)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(
        shard.topic.name(),
        shard.partition.cast_signed(),
        Offset::Offset(before.cast_signed()),
    )
    .map_err(Error::Consume)?;
    let asked = admin.delete_records(&list, &AdminOptions::new()).await.map_err(Error::Consume)?;
    asked.elements().iter().try_for_each(TopicPartitionListElem::error).map_err(Error::Consume)
}

/// The embedded broker's program.
pub fn embedded_program() -> PathBuf {
    let built = std::env::var_os("AMBIT_BROKER_BIN").map(PathBuf::from);
    let cached = std::env::home_dir().map(|home| home.join(".cache/ambit/target/debug/ambit-broker"));
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

    /// Which broker it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Options that reach it.
    pub fn options(&self) -> KafkaOptions {
        KafkaOptions { bootstrap_servers: self.bootstrap(), ..KafkaOptions::default() }
    }

    /// Flips one bit of the first place in a shard's log where these bytes stand, as a failing disk would. Whether they
    /// stood there at all.
    pub fn flip_byte(&self, shard: Shard, bytes: &[u8]) -> bool {
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let of_shard = path.parent().is_some_and(|dir| {
                    dir.ends_with(format!("{}-{}", shard.topic, shard.partition))
                        || dir.ends_with(shard.partition.to_string())
                });
                let Some(at) = of_shard.then(|| find(&std::fs::read(&path).unwrap(), bytes)).flatten() else {
                    continue;
                };
                let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ 1], at).unwrap();
                return true;
            }
        }
        false
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

/// Makes a topic of others, of so many partitions.
pub async fn create_topic(options: &KafkaOptions, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = options.client("test-admin").unwrap().create().unwrap();
    let topic =
        NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "16777216");
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    made.into_iter().next().unwrap().unwrap();
}

/// Deletes the records of a partition of a topic of others before an offset, as retention does.
pub async fn delete_values(options: &KafkaOptions, name: &str, partition: i32, before: i64) {
    let admin: AdminClient<DefaultClientContext> = options.client("test-admin").unwrap().create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, partition, Offset::Offset(before)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

/// Sends values to one partition of a topic of others, in order.
pub async fn send_values(options: &KafkaOptions, name: &str, partition: i32, values: &[Vec<u8>]) {
    let mut config = options.client("test-producer").unwrap();
    config.set("acks", "all").set("enable.idempotence", "true").set("message.max.bytes", "16777216");
    let producer: FutureProducer = config.create().unwrap();
    for value in values {
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(name).partition(partition).payload(value);
        producer.send(record, READY_WITHIN).await.unwrap();
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        self.kill();
    }
}
