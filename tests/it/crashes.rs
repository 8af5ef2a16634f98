//! `kill -9` at random points, on both brokers: nothing is lost, nothing is doubled, byte for byte.

use crate::harness::{Ambit, PATIENCE, said};
use ambit_bus::testing::TestBroker;
use ambit_bus::{KafkaOptions, Linger, Producer, Profile, ShardConsumer, ShardOwner, StartAt, ensure_topics};
use ambit_schemas::columns::record_at;
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Shard, Topic};
use ambit_store::Store;
use bytes::Bytes;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Kills, unless `AMBIT_FAULT_ROUNDS` says how many.
const KILLS: u32 = 5;
/// Records per kill.
const RECORDS: u32 = 400;

struct FromTheStart;

impl ShardOwner for FromTheStart {
    fn take(&self, _shard: Shard) -> StartAt {
        StartAt::Earliest
    }

    fn release(&self, _shards: &[Shard]) {}
}

type Leaves = BTreeMap<(Shard, u64), [u8; 32]>;

/// What Kafka has: the leaf of every record.
fn in_kafka(options: &KafkaOptions, expected: usize) -> Leaves {
    let owner = Box::new(FromTheStart);
    let mut consumer =
        ShardConsumer::subscribe(options, "oracle", "oracle", &[Topic::Events], Profile::Throughput, owner)
            .unwrap();
    let (mut leaves, mut bytes) = (Leaves::new(), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while leaves.len() < expected {
        assert!(Instant::now() < deadline, "kafka has {} of {expected} records", leaves.len());
        for record in consumer.poll(Duration::from_millis(100), 10_000).unwrap().records {
            leaf_bytes(&record, &mut bytes);
            leaves.insert((record.shard, record.offset), *ambit_ledger::leaf_hash(&bytes).as_bytes());
        }
    }
    leaves
}

/// What the store has. Panics when an offset comes twice or a leaf index is not the next one.
async fn in_store(store: &Store) -> Leaves {
    let mut leaves = Leaves::new();
    for partition in 0..4 {
        let shard = Shard::new(Topic::Events, partition);
        let (mut rows, mut next) = (std::pin::pin!(store.scan(shard, 0)), 0);
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let stored = record_at(&batch, row).unwrap();
                // INVARIANT L-1
                assert_eq!(stored.leaf_index, next, "{shard}");
                next += 1;
                let hash = stored.leaf_hash.as_slice().try_into().unwrap();
                let twice = leaves.insert((shard, stored.record.offset), hash);
                assert!(twice.is_none(), "{shard}, offset {} is stored twice", stored.record.offset);
            }
        }
    }
    leaves
}

async fn kill_and_compare(broker: TestBroker) {
    let kills =
        std::env::var_os("AMBIT_FAULT_ROUNDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(KILLS);
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    for round in 0..kills {
        let mut pending = Vec::new();
        for number in 0..RECORDS {
            let value = Bytes::from(format!("{{\"round\": {round}, \"number\": {number}}}"));
            let outgoing = ambit_schemas::Outgoing {
                topic: Topic::Events,
                key: Bytes::from(format!("root-{}", number % 13)),
                headers: vec![("n".into(), Bytes::from(number.to_string()))],
                value,
            };
            pending.push(producer.enqueue(outgoing).unwrap());
            if number % 100 == 99 {
                tokio::time::sleep(Duration::from_millis(u64::from((round * 37 + number * 13) % 160))).await;
            }
        }
        for delivery in pending {
            delivery.await.unwrap();
        }
        // Points in time that differ from round to round: in the middle of a batch, a commit, a checkpoint, a start.
        tokio::time::sleep(Duration::from_millis(u64::from((round * 131) % 700))).await;
        ambit.restart().await;
    }
    let total = usize::try_from(kills * RECORDS).unwrap();
    let kafka = tokio::task::spawn_blocking(move || in_kafka(&options, total)).await.unwrap();
    ambit.wait_for("/api/v1/overview", |overview| overview["events"].as_u64().unwrap() >= total as u64).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ambit.stop();
    let store = Store::open(ambit_store::Options::durable(dir.path().join("data/store"))).await.unwrap();
    let stored = in_store(&store).await;
    assert_eq!(stored.len(), total, "{kills} kills");
    assert!(stored == kafka, "offsets and hashes are those of Kafka after {kills} kills");
    let verified = ambit.command().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_kill_loses_and_doubles_nothing_embedded() {
    kill_and_compare(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_kill_loses_and_doubles_nothing_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        kill_and_compare(broker).await;
    }
}
