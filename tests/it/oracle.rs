//! What must hold after every fault, from what Kafka has: nothing lost, nothing doubled, nothing moved, byte for byte,
//! and all of it under the ledger's signatures.

use crate::harness::{Ambit, PATIENCE, said};
use ambit_bus::{KafkaOptions, Producer, Profile, ShardConsumer, ShardOwner, StartAt};
use ambit_schemas::columns::record_at;
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Outgoing, Shard, Topic};
use ambit_store::Store;
use bytes::Bytes;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Leaf hashes by place.
pub type Leaves = BTreeMap<(Shard, u64), [u8; 32]>;

/// How often a fault is injected: the short form, unless `AMBIT_FAULT_ROUNDS` asks for the long one.
pub fn rounds(short: u32) -> u32 {
    std::env::var_os("AMBIT_FAULT_ROUNDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(short)
}

/// All shards of events.
pub fn shards() -> Vec<Shard> {
    (0..KafkaOptions::default().partitions).map(|partition| Shard::new(Topic::Events, partition)).collect()
}

/// Sends records that are no events over all shards, and waits until Kafka has them.
pub async fn send(producer: &Producer, name: &str, count: u32) {
    let mut pending = Vec::new();
    for number in 0..count {
        let outgoing = Outgoing {
            topic: Topic::Events,
            key: Bytes::from(format!("root-{}", number % 13)),
            headers: vec![("n", number.to_string())].into(),
            value: Bytes::from(format!("{{\"name\": \"{name}\", \"number\": {number}}}")),
        };
        pending.push(producer.enqueue(outgoing).unwrap());
    }
    for delivery in pending {
        delivery.await.unwrap();
    }
}

/// A tool call without an envelope: one finding each, when it is judged. All of one key are in one shard.
pub fn call(number: u32, key: &str) -> Outgoing {
    let header = |name: &str, value: String| (name.to_owned(), value);
    let data = format!(
        r#"{{"tenant_uid":"acme","ai_agent":{{"uid":"agent"}},"task":{{"id":"task-{number}","root_id":"task-{number}"}},"tool_call":{{"id":"call-{number}","name":"read_file"}}}}"#
    );
    Outgoing {
        topic: Topic::Events,
        key: Bytes::from(key.to_owned()),
        headers: vec![
            header("ce_specversion", "1.0".into()),
            header("ce_id", format!("event-{number}")),
            header("ce_source", "test".into()),
            header("ce_type", "ambit.tool_call.requested.v1".into()),
            header("ce_time", ambit::simulate::now().to_string()),
        ]
        .into(),
        value: Bytes::from(data),
    }
}

/// Sends tool calls to one shard; returns it, and the offset of the first.
pub async fn send_calls(producer: &Producer, key: &str, numbers: std::ops::Range<u32>) -> (Shard, u64) {
    let mut first = None;
    for number in numbers {
        let place = producer.send(call(number, key)).await.unwrap();
        first.get_or_insert(place);
    }
    first.unwrap()
}

/// Waits until there are findings about so many tool calls, and no more.
pub async fn found(ambit: &Ambit, calls: usize) {
    let tasks = |answer: &serde_json::Value| {
        let items = answer["items"].as_array().unwrap().iter();
        items.map(|item| item["finding"]["task"]["id"].to_string()).collect::<BTreeSet<String>>()
    };
    let answer = ambit.wait_for("/api/v1/findings?limit=100", |answer| tasks(answer).len() >= calls).await;
    assert_eq!(tasks(&answer).len(), calls, "{answer}");
}

/// The texts of notices of a kind, once there are so many.
pub async fn notices(ambit: &Ambit, kind: &str, count: usize) -> Vec<String> {
    let path = format!("/api/v1/events?kind={kind}&limit=100");
    let answer = ambit.wait_for(&path, |answer| answer["items"].as_array().unwrap().len() >= count).await;
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|item| item["data"]["notice"]["text"].as_str().unwrap().to_owned()).collect()
}

struct FromTheStart;

impl ShardOwner for FromTheStart {
    fn take(&self, _shard: Shard) -> StartAt {
        StartAt::Earliest
    }

    fn release(&self, _shards: &[Shard]) {}
}

fn consumer(options: &KafkaOptions, topic: Topic) -> ShardConsumer {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let group = format!("oracle-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let (topics, owner) = ([topic], Box::new(FromTheStart));
    ShardConsumer::subscribe(options, &group, "oracle", &topics, Profile::Throughput, owner).unwrap()
}

/// Where each shard of a topic ends in Kafka.
pub async fn ends(options: &KafkaOptions, topic: Topic) -> HashMap<Shard, u64> {
    let options = options.clone();
    let ask = move || {
        let consumer = consumer(&options, topic);
        let shards = shards().into_iter().map(|shard| Shard::new(topic, shard.partition));
        shards.map(|shard| (shard, consumer.watermarks(shard).unwrap().1)).collect()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// What Kafka has: the leaf of every record.
fn in_kafka(options: &KafkaOptions) -> Leaves {
    let mut consumer = consumer(options, Topic::Events);
    let (mut leaves, mut bytes) = (Leaves::new(), Vec::new());
    let mut left: BTreeSet<Shard> = shards().into_iter().collect();
    let mut ends: HashMap<Shard, u64> = HashMap::new();
    let deadline = Instant::now() + PATIENCE;
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "kafka does not give {left:?}");
        let batch = consumer.poll(Duration::from_millis(100), 10_000).unwrap();
        for shard in batch.assigned {
            let (low, high) = consumer.watermarks(shard).unwrap();
            ends.insert(shard, high);
            if low == high {
                left.remove(&shard);
            }
        }
        for record in batch.records {
            leaf_bytes(&record, &mut bytes);
            leaves.insert((record.shard, record.offset), *ambit_ledger::leaf_hash(&bytes).as_bytes());
            if ends.get(&record.shard).is_some_and(|end| record.offset + 1 >= *end) {
                left.remove(&record.shard);
            }
        }
    }
    leaves
}

/// What the store has. Panics when an offset comes twice or a leaf index is not the next one.
async fn in_store(store: &Store) -> Leaves {
    let mut leaves = Leaves::new();
    for shard in shards() {
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

/// The table of an installation, opened beside it.
pub async fn table(ambit: &Ambit) -> Store {
    Store::open(ambit_store::Options::durable(ambit.dir.join("data/store"))).await.unwrap()
}

/// Waits until everything that Kafka has at this moment is stored.
pub async fn stored(ambit: &Ambit, options: &KafkaOptions) {
    let (store, ends) = (table(ambit).await, ends(options, Topic::Events).await);
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        let positions = store.positions(&shards()).await.unwrap();
        let lacks: Vec<String> = ends
            .iter()
            .filter(|(shard, end)| positions[shard].next_offset < **end)
            .map(|(shard, end)| format!("{shard}: {} of {end}", positions[shard].next_offset))
            .collect();
        if lacks.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not stored: {lacks:?}\n{}", ambit.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Compares the store of an installation that was stopped with Kafka, and verifies it. Returns how many records there
/// are. What was stored and then deleted from Kafka need not be there any more.
pub async fn check(ambit: &Ambit, options: &KafkaOptions) -> usize {
    let reading = options.clone();
    let kafka = tokio::task::spawn_blocking(move || in_kafka(&reading)).await.unwrap();
    let store = table(ambit).await;
    let (stored, positions) = (in_store(&store).await, store.positions(&shards()).await.unwrap());
    for ((shard, offset), leaf) in &kafka {
        if *offset < positions[shard].next_offset {
            assert_eq!(
                stored.get(&(*shard, *offset)),
                Some(leaf),
                "{shard}, offset {offset}\n{}",
                ambit.log()
            );
        }
    }
    for shard in shards() {
        let first =
            kafka.range((shard, 0)..=(shard, u64::MAX)).next().map_or(u64::MAX, |((_, offset), _)| *offset);
        let more =
            stored.range((shard, first)..=(shard, u64::MAX)).find(|(place, _)| !kafka.contains_key(place));
        assert!(more.is_none(), "{more:?} is stored and not in kafka");
    }
    let verified = ambit.command().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}\n{}", said(&verified), ambit.log());
    stored.len()
}
