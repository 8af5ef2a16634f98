//! Kafka does not have what comes next: every role goes on where it can, and what is missing is told, for ever.

use crate::harness::{Ambit, PATIENCE, copy_dir};
use crate::oracle::{check, ends, found, notices, send, send_calls, shards, stored, table};
use ambit_bus::testing::{TestBroker, delete_records};
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_schemas::{Headers, Shard, Topic};
use std::fs;
use std::time::{Duration, Instant};

async fn setup(broker: &TestBroker) -> Producer {
    ensure_topics(&broker.options()).await.unwrap();
    Producer::new(&broker.options(), "test", Linger::None).unwrap()
}

async fn wait_for_metric(ambit: &Ambit, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !ambit.metrics().await.contains(line) {
        assert!(Instant::now() < deadline, "{line}: {}\n{}", ambit.metrics().await, ambit.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn deleted(broker: TestBroker) {
    let (dir, options) = (tempfile::tempdir().unwrap(), broker.options());
    let producer = setup(&broker).await;
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let (shard, _) = send_calls(&producer, "key", 0..10).await;
    found(&ambit, 10).await;
    stored(&ambit, &options).await;
    ambit.stop();
    // While nobody reads, retention takes seven of ten events, and findings too.
    let (_, from) = send_calls(&producer, "key", 10..20).await;
    delete_records(&options, shard, from + 7).await.unwrap();
    let before = ends(&options, Topic::Findings).await;
    for number in 0..60 {
        let key = format!("key {number}");
        producer
            .send_raw(Topic::Findings, Some(key.as_bytes()), &Headers::default(), Some(b"{}"))
            .await
            .unwrap();
    }
    for (shard, end) in
        ends(&options, Topic::Findings).await.into_iter().filter(|(shard, end)| before[shard] < *end)
    {
        delete_records(&options, shard, end).await.unwrap();
    }
    ambit.restart().await;
    ambit.wait_for_trouble(&format!("evidence gap [{from}, {})", from + 7)).await;
    ambit.wait_for_trouble("were not judged").await;
    ambit.wait_for_trouble("were not acted upon").await;
    found(&ambit, 13).await;
    send_calls(&producer, "key", 20..21).await;
    found(&ambit, 14).await;
    let told = notices(&ambit, "notice.gap", 3).await.join("\n");
    let missing = format!("7 of the offsets {from} to {}", from + 6);
    for words in [&missing, "were not judged", "were not acted upon"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let metrics = ambit.metrics().await;
    assert!(metrics.contains("ambit_analyzer_unjudged_total 7"), "{metrics}");
    stored(&ambit, &options).await;
    ambit.stop();
    let before = check(&ambit, &options).await;
    // A gap is told once, not at every start.
    ambit.restart().await;
    send_calls(&producer, "key", 21..22).await;
    found(&ambit, 15).await;
    stored(&ambit, &options).await;
    ambit.stop();
    assert_eq!(check(&ambit, &options).await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_what_kafka_deleted_is_told_embedded() {
    deleted(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_what_kafka_deleted_is_told_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        deleted(broker).await;
    }
}

async fn judged_from_the_store(broker: TestBroker) {
    let (dir, options) = (tempfile::tempdir().unwrap(), broker.options());
    let producer = setup(&broker).await;
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let snapshots = dir.path().join("data/analyzer");
    send_calls(&producer, "key", 0..10).await;
    found(&ambit, 10).await;
    stored(&ambit, &options).await;
    ambit.stop();
    let old = dir.path().join("old");
    copy_dir(&snapshots, &old);
    ambit.restart().await;
    let (shard, from) = send_calls(&producer, "key", 10..20).await;
    found(&ambit, 20).await;
    stored(&ambit, &options).await;
    ambit.stop();
    // The analyzer is ten events behind; of these Kafka has the last one.
    fs::remove_dir_all(&snapshots).unwrap();
    copy_dir(&old, &snapshots);
    delete_records(&options, shard, from + 9).await.unwrap();
    ambit.restart().await;
    // It knows the ten: one of them that is sent again is not judged again, and a new one is.
    send_calls(&producer, "key", 12..13).await;
    send_calls(&producer, "key", 20..21).await;
    found(&ambit, 21).await;
    let metrics = ambit.metrics().await;
    assert!(metrics.contains("ambit_analyzer_events_total 12"), "{metrics}");
    assert!(metrics.contains("ambit_analyzer_unjudged_total 0"), "{metrics}");
    assert!(ambit.get("/api/v1/events?kind=notice.gap").await["items"].as_array().unwrap().is_empty());
    stored(&ambit, &options).await;
    ambit.stop();
    check(&ambit, &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_the_analyzer_judges_from_the_store_what_kafka_deleted_embedded() {
    judged_from_the_store(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_the_analyzer_judges_from_the_store_what_kafka_deleted_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        judged_from_the_store(broker).await;
    }
}

/// A topic that was made anew gives other records under the same offsets: its shards stand still, the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn faults_a_topic_made_anew_is_not_taken_for_the_old_one() {
    let (first, second) = (TestBroker::embedded(), TestBroker::embedded());
    let dir = tempfile::tempdir().unwrap();
    let producer = setup(&first).await;
    let mut ambit = Ambit::start(&first, dir.path(), "").await;
    let (shard, _) = send_calls(&producer, "key", 0..10).await;
    found(&ambit, 10).await;
    stored(&ambit, &first.options()).await;
    ambit.stop();
    let producer = setup(&second).await;
    ambit.bootstrap = second.bootstrap();
    ambit.restart().await;
    ambit.wait_for_trouble(&format!("{shard} stands still: offset 10")).await;
    ambit.wait_for_trouble(&format!("{shard} stands still at offset 10")).await;
    ambit.wait_for_trouble("what was acted upon before is passed over").await;
    send_calls(&producer, "key", 10..12).await;
    for number in 12.. {
        let (at, _) = send_calls(&producer, &format!("other {number}"), number..number + 1).await;
        if at != shard {
            break;
        }
    }
    // Findings are not stored, their shards stand still too.
    wait_for_metric(&ambit, "ambit_analyzer_findings_total 1").await;
    ambit.stop();
    let positions = table(&ambit).await.positions(&[shard]).await.unwrap();
    assert_eq!(positions[&shard].next_offset, 10);
    assert!(ambit.command().arg("verify").output().unwrap().status.success());
}

/// A topic that was made anew and has grown past what was stored: every offset that is wanted is there, and other records
/// stand before it. Its shard stands still, the others go on.
async fn remade_and_grown(first: TestBroker, second: TestBroker) {
    let dir = tempfile::tempdir().unwrap();
    let producer = setup(&first).await;
    let mut ambit = Ambit::start(&first, dir.path(), "").await;
    let (shard, _) = send_calls(&producer, "key", 0..10).await;
    found(&ambit, 10).await;
    stored(&ambit, &first.options()).await;
    // The negative control: the same topic after a restart is the same.
    ambit.restart().await;
    send_calls(&producer, "key", 10..12).await;
    found(&ambit, 12).await;
    stored(&ambit, &first.options()).await;
    ambit.stop();
    let producer = setup(&second).await;
    send_calls(&producer, "key", 100..120).await;
    ambit.bootstrap = second.bootstrap();
    ambit.restart().await;
    ambit.wait_for_trouble(&format!("{shard} stands still: offset 12")).await;
    ambit.wait_for_trouble("is not the one that was stored from there").await;
    let mut other = shard;
    for number in 200.. {
        (other, _) = send_calls(&producer, &format!("other {number}"), number..number + 1).await;
        if other != shard {
            break;
        }
    }
    let store = table(&ambit).await;
    let deadline = Instant::now() + PATIENCE;
    while store.positions(&[other]).await.unwrap()[&other].next_offset == 0 {
        assert!(Instant::now() < deadline, "{}", ambit.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ambit.stop();
    assert_eq!(store.positions(&[shard]).await.unwrap()[&shard].next_offset, 12);
    assert!(ambit.command().arg("verify").output().unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_topic_made_anew_that_has_grown_is_recognised_embedded() {
    remade_and_grown(TestBroker::embedded(), TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_topic_made_anew_that_has_grown_is_recognised_kafka() {
    if let (Some(first), Some(second)) = (TestBroker::kafka(), TestBroker::kafka()) {
        remade_and_grown(first, second).await;
    }
}

/// A leader lost its end after the analyzer had read it and before ingest had stored it.
#[tokio::test(flavor = "multi_thread")]
async fn faults_what_was_judged_and_never_stored_is_judged_anew() {
    let (first, second) = (TestBroker::embedded(), TestBroker::embedded());
    let dir = tempfile::tempdir().unwrap();
    let producer = setup(&first).await;
    let (data, old) = (dir.path().join("data"), dir.path().join("old"));
    let mut ambit = Ambit::start(&first, dir.path(), "").await;
    send_calls(&producer, "key", 0..10).await;
    found(&ambit, 10).await;
    stored(&ambit, &first.options()).await;
    ambit.stop();
    copy_dir(&data, &old);
    ambit.restart().await;
    send_calls(&producer, "key", 10..20).await;
    found(&ambit, 20).await;
    ambit.stop();
    fs::remove_dir_all(old.join("analyzer")).unwrap();
    fs::rename(data.join("analyzer"), old.join("analyzer")).unwrap();
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&old, &data).unwrap();
    let producer = setup(&second).await;
    send_calls(&producer, "key", 0..10).await;
    ambit.bootstrap = second.bootstrap();
    ambit.restart().await;
    ambit.wait_for_trouble("after they were judged and before they were stored").await;
    send_calls(&producer, "key", 30..31).await;
    // Findings about what is stored are given again, and nothing is forgotten that came before.
    wait_for_metric(&ambit, "ambit_analyzer_findings_total 11").await;
    let told = notices(&ambit, "notice.gap", 1).await.join("\n");
    assert!(told.contains("made anew from the store"), "{told}");
}

async fn corrupt(broker: TestBroker) {
    let (dir, options) = (tempfile::tempdir().unwrap(), broker.options());
    let producer = setup(&broker).await;
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    send(&producer, "before", 100).await;
    stored(&ambit, &options).await;
    ambit.stop();
    let mut damaged = Shard::new(Topic::Events, 0);
    for number in 0..6 {
        let value = format!("the value of record {number}");
        damaged = producer
            .send_raw(Topic::Events, Some(b"key"), &Headers::default(), Some(value.as_bytes()))
            .await
            .unwrap()
            .0;
    }
    assert!(broker.flip_byte(damaged, b"the value of record 4"));
    ambit.restart().await;
    send(&producer, "after", 100).await;
    ambit.wait_for_trouble("does not agree with its checksum").await;
    let told = notices(&ambit, "notice.integrity", 1).await.join("\n");
    assert!(told.contains("checksum"), "{told}");
    // The other shards go on.
    let (store, ends) = (table(&ambit).await, ends(&options, Topic::Events).await);
    for shard in shards().into_iter().filter(|shard| *shard != damaged) {
        while store.positions(&[shard]).await.unwrap()[&shard].next_offset < ends[&shard] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(store.positions(&[damaged]).await.unwrap()[&damaged].next_offset < ends[&damaged]);
    ambit.stop();
    // Restored from a replica.
    assert!(broker.flip_byte(damaged, b"uhe value of record 4"));
    ambit.restart().await;
    stored(&ambit, &options).await;
    ambit.stop();
    assert!(check(&ambit, &options).await >= 206);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_corrupt_batch_stops_its_shard_only_embedded() {
    corrupt(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_corrupt_batch_stops_its_shard_only_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        corrupt(broker).await;
    }
}
