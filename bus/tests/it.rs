//! The bus on real brokers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use ambit_bus::testing::{self, TestBroker};
use ambit_bus::{Batch, ensure_topics, examine};
use ambit_bus::{
    Error, FailureKind, KafkaOptions, Linger, Producer, Profile, ShardConsumer, ShardOwner, StartAt,
};
use ambit_schemas::{Outgoing, Shard, Topic};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Clone, Default)]
struct Positions {
    next: Arc<Mutex<HashMap<Shard, u64>>>,
    released: Arc<Mutex<Vec<Shard>>>,
}

impl ShardOwner for Positions {
    fn take(&self, shard: Shard) -> StartAt {
        self.next.lock().unwrap().get(&shard).map_or(StartAt::Earliest, |next| StartAt::Offset(*next))
    }

    fn release(&self, shards: &[Shard]) {
        self.released.lock().unwrap().extend(shards);
    }
}

fn consumer(options: &KafkaOptions, group: &str, owner: &Positions) -> ShardConsumer {
    ShardConsumer::subscribe(
        options,
        group,
        "test",
        &[Topic::Events],
        Profile::Latency,
        Box::new(owner.clone()),
    )
    .unwrap()
}

fn poll_until(consumer: &mut ShardConsumer, mut done: impl FnMut(&Batch) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let batch = consumer.poll(Duration::from_millis(50), 1_000).unwrap();
        if done(&batch) {
            return;
        }
        assert!(Instant::now() < deadline, "nothing came in time");
    }
}

fn event(key: &str, value: &str) -> Outgoing {
    Outgoing {
        topic: Topic::Events,
        key: Bytes::copy_from_slice(key.as_bytes()),
        headers: vec![("ce_id", "1"), ("ce_id", "")].into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

async fn whole_life(broker: TestBroker) {
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    ensure_topics(&options).await.unwrap();
    let other = KafkaOptions { partitions: 7, ..options.clone() };
    assert!(matches!(ensure_topics(&other).await, Err(Error::Partitions { expected: 7, found: 4, .. })));

    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut sent: HashMap<Shard, Vec<(u64, String)>> = HashMap::new();
    for number in 0..200 {
        let value = format!("value {number}");
        let (shard, offset) = producer.send(event(&format!("root-{}", number % 17), &value)).await.unwrap();
        sent.entry(shard).or_default().push((offset, value));
    }
    assert!(sent.len() > 1, "keys are spread over shards");
    let large = "x".repeat(10 << 20);
    let (large_shard, large_offset) = producer.send(event("root-0", &large)).await.unwrap();
    sent.get_mut(&large_shard).unwrap().push((large_offset, large));
    tokio::task::spawn_blocking(move || read_and_read_again(&options, &sent)).await.unwrap();
}

fn read_and_read_again(options: &KafkaOptions, sent: &HashMap<Shard, Vec<(u64, String)>>) {
    let owner = Positions::default();
    let mut first = consumer(options, "readers", &owner);
    let mut got: HashMap<Shard, Vec<(u64, String)>> = HashMap::new();
    poll_until(&mut first, |batch| {
        for record in &batch.records {
            assert_eq!(record.headers.len(), 2);
            let value = String::from_utf8(record.value.as_ref().unwrap().to_vec()).unwrap();
            got.entry(record.shard).or_default().push((record.offset, value));
        }
        got.values().map(Vec::len).sum::<usize>() == 201
    });
    assert_eq!(&got, sent, "in order, once, whole");
    first.commit_hint(&got.iter().map(|(shard, records)| (*shard, records.len() as u64)).collect::<Vec<_>>());
    drop(first);
    assert_eq!(owner.released.lock().unwrap().len(), 4, "all shards were released at the end");

    // The owner's positions count, not what was noted in Kafka.
    let (shard, records) = sent.iter().max_by_key(|(_, records)| records.len()).unwrap();
    owner
        .next
        .lock()
        .unwrap()
        .extend(sent.iter().map(|(shard, records)| (*shard, records.last().unwrap().0 + 1)));
    owner.next.lock().unwrap().insert(*shard, 3);
    let mut second = consumer(options, "readers", &owner);
    let mut offsets = Vec::new();
    poll_until(&mut second, |batch| {
        offsets.extend(batch.records.iter().map(|record| (record.shard, record.offset)));
        offsets.len() >= records.len() - 3
    });
    let expected: Vec<_> = records.iter().skip(3).map(|(offset, _)| (*shard, *offset)).collect();
    assert_eq!(offsets, expected);
    drop(second);

    // INVARIANT L-4: an offset that Kafka does not have is an error, never a silent jump.
    owner.next.lock().unwrap().insert(*shard, 1_000_000);
    let mut third = consumer(options, "readers", &owner);
    poll_until(&mut third, |batch| {
        assert!(batch.records.is_empty());
        batch.failures.iter().any(|failure| failure.kind == FailureKind::OutOfRange)
    });
}

#[tokio::test]
async fn records_come_in_order_from_where_the_owner_says_embedded() {
    whole_life(TestBroker::embedded()).await;
}

#[tokio::test]
async fn records_come_in_order_from_where_the_owner_says_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        whole_life(broker).await;
    }
}

async fn deleted_and_corrupt(broker: TestBroker) {
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut shard = Shard::new(Topic::Events, 0);
    for number in 0..6 {
        shard = producer.send(event("root", &format!("the value of record {number}"))).await.unwrap().0;
    }
    let (all, healthy) = (options.clone(), move || examine(&options, shard, 3).unwrap());
    testing::delete_records(&all, shard, 2).await.unwrap();
    let healthy = tokio::task::spawn_blocking(move || (healthy(), healthy)).await.unwrap();
    assert_eq!(healthy.0, None);
    let before = all.clone();
    let gone = tokio::task::spawn_blocking(move || examine(&before, shard, 0).unwrap()).await.unwrap();
    assert!(gone == Some(FailureKind::OutOfRange) || gone.is_none(), "{gone:?}");
    assert!(broker.flip_byte(shard, b"the value of record 4"), "the record is in the broker's log");
    let corrupt = tokio::task::spawn_blocking(move || examine(&all, shard, 4).unwrap()).await.unwrap();
    assert_eq!(corrupt, Some(FailureKind::Corrupt));
}

#[tokio::test]
async fn what_is_wrong_with_a_shard_can_be_examined_embedded() {
    deleted_and_corrupt(TestBroker::embedded()).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_shard_can_be_examined_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        deleted_and_corrupt(broker).await;
    }
}

#[tokio::test]
async fn what_kafka_has_taken_survives_its_kill() {
    let mut broker = TestBroker::embedded();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let (shard, offset) = producer.send(event("a", "before")).await.unwrap();
    broker.restart();
    let (again, next) = producer.send(event("a", "after")).await.unwrap();
    assert_eq!((shard, offset + 1), (again, next));
}

#[tokio::test]
async fn no_broker_is_said_with_its_address() {
    let options = KafkaOptions { bootstrap_servers: "127.0.0.1:1".into(), ..KafkaOptions::default() };
    let error = ensure_topics(&options).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("check"), "{error}");
}

/// Checkpoints are found again, the newest of each origin, and only those that are asked for.
async fn checkpoints_are_remembered(broker: TestBroker) {
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    ensure_topics(&options).await.unwrap();
    let read = |names: [&str; 2]| {
        let (options, names) = (options.clone(), names.map(str::to_owned));
        tokio::task::spawn_blocking(move || {
            ambit_bus::newest_checkpoints(&options, &names, Duration::from_secs(20)).unwrap()
        })
    };
    assert!(read(["a", "b"]).await.unwrap().is_empty());
    let sender = ambit_bus::CheckpointSender::new(&options).unwrap();
    for number in 0..50 {
        for origin in ["a", "b", "c"] {
            sender.send(origin, &format!("{origin}{number}")).await.unwrap();
        }
    }
    let found = read(["a", "c"]).await.unwrap();
    let notes: std::collections::BTreeMap<&str, &[u8]> =
        found.iter().map(|(origin, sent)| (origin.as_str(), sent.note.as_slice())).collect();
    assert_eq!(notes, [("a", b"a49".as_slice()), ("c", b"c49")].into());
    assert!(found.values().all(|sent| sent.at > 1_700_000_000), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_remembered_embedded() {
    checkpoints_are_remembered(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_remembered_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        checkpoints_are_remembered(broker).await;
    }
}
