//! The whole service, running against a broker.

use crate::support::{SECRET, receiver_id};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_enforcement::receiver::webhook::WebhookOptions;
use ambit_enforcement::{Handle, Kind, Options, Polls, ReceiverOptions, SecretRef, Service};
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{EventId, EventSource};
use ambit_schemas::{Shard, Timestamp, Topic, decode};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_mins(1);

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

pub fn carrying(finding: &Finding) -> Event {
    Event {
        agent: finding.agent.clone(),
        task: finding.task.clone(),
        ..Event::new(
            EventId::try_from(finding.id.as_str()).unwrap(),
            EventSource::try_from("ambit/analyzer").unwrap(),
            finding.time,
            finding.tenant.clone(),
            Body::FindingCreated(Box::new(finding.clone())),
        )
    }
}

pub fn options(dir: &Path, receivers: &[(&str, &str)]) -> Options {
    let secret = dir.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let receivers = receivers.iter().map(|(id, url)| {
        let (url, secrets) = (url.parse().unwrap(), vec![SecretRef::File(secret.clone())]);
        let kind = Kind::Webhook(WebhookOptions { url, secrets });
        let options = ReceiverOptions::new(receiver_id(id), kind);
        ReceiverOptions { allow_private: true, concurrency: 2, timeout_ms: 1_000, ..options }
    });
    Options { receivers: receivers.collect(), ..Options::default() }
}

pub struct Running {
    pub shutdown: CancellationToken,
    tasks: JoinSet<Result<(), ambit_enforcement::Error>>,
    pub handle: Handle,
    pub polls: Polls,
}

impl Running {
    pub fn start(broker: &TestBroker, dir: &Path, options: Options) -> Self {
        let (shutdown, handle, polls) = (CancellationToken::new(), Handle::default(), Polls::default());
        let kafka = broker.options();
        let service = Service {
            options,
            rules: Vec::new(),
            producer: Producer::new(&kafka, "enforce", Linger::None).unwrap(),
            kafka,
            outbox: dir.join("outbox.sqlite"),
            handle: handle.clone(),
            clock: Arc::new(now),
            polls: polls.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run(shutdown.clone()));
        Self { shutdown, tasks, handle, polls }
    }

    pub async fn wait_for(&self, name: &str, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.handle.counters().iter().all(|(found, value)| *found != name || *value < count) {
            assert!(Instant::now() < deadline, "{name} < {count}: {:?}", self.handle.counters());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

/// A test that fails ends too: the service's threads end when they are told.
impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

struct FromTheStart;

impl ShardOwner for FromTheStart {
    fn take(&self, _shard: Shard) -> StartAt {
        StartAt::Earliest
    }
    fn release(&self, _shards: &[Shard]) {}
}

/// What a topic says, until it has said enough.
pub fn bodies(broker: &TestBroker, topic: Topic, group: &str, enough: impl Fn(&[Body]) -> bool) -> Vec<Body> {
    let owner = Box::new(FromTheStart);
    let mut consumer =
        ShardConsumer::subscribe(&broker.options(), group, "test", &[topic], Profile::Latency, owner)
            .unwrap();
    let (mut bodies, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while !enough(&bodies) && Instant::now() < deadline {
        let batch = consumer.poll(Duration::from_millis(100), 100).unwrap();
        bodies.extend(batch.records.iter().map(|record| decode(record).unwrap().body));
    }
    bodies
}
