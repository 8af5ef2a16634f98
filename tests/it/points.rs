//! The process dies, or its disk fails, at every place where it matters.

use crate::harness::{Ambit, PATIENCE};
use crate::oracle::{check, rounds, send, stored};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use std::time::{Duration, Instant};

/// After a poll, with half a file written, before and after the commit, before tiles, between tiles and checkpoint.
const POINTS: [&str; 6] =
    ["intake-polled", "worker-encoded", "commit-before", "commit-after", "ledger-tiles", "ledger-checkpoint"];
/// How often a place is passed before it is the end, in the short form and in the long one.
const PASSED: (&[u32], &[u32]) = (&[1], &[0, 1, 2, 5]);

async fn die_everywhere(broker: TestBroker) {
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    for point in POINTS {
        for passed in if rounds(1) > 1 { PASSED.1 } else { PASSED.0 } {
            ambit.failpoints = format!("{point}={passed}*off->return(abort)");
            ambit.spawn();
            let deadline = Instant::now() + PATIENCE;
            let mut number = 0;
            while !ambit.has_ended() {
                assert!(Instant::now() < deadline, "{point} was not passed {passed} times: {}", ambit.log());
                send(&producer, &format!("{point}-{passed}-{number}"), 20).await;
                number += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    ambit.failpoints.clear();
    ambit.restart().await;
    stored(&ambit, &options).await;
    ambit.stop();
    check(&ambit, &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_death_at_every_point_loses_and_doubles_nothing_embedded() {
    die_everywhere(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_death_at_every_point_loses_and_doubles_nothing_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        die_everywhere(broker).await;
    }
}

/// After a failed write nobody knows what the disk holds: what is buffered is dropped, and read again.
#[tokio::test(flavor = "multi_thread")]
async fn faults_a_disk_that_fails_is_not_trusted() {
    let broker = TestBroker::embedded();
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    for point in ["worker-encoded", "commit-before", "commit-after", "ledger-tiles", "ledger-checkpoint"] {
        ambit.failpoints = format!("{point}=1*off->1*return(eio)");
        ambit.restart().await;
        for number in 0..5 {
            send(&producer, &format!("{point}-{number}"), 20).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let before = ambit.log();
        stored(&ambit, &options).await;
        assert!(before.contains("EIO") || ambit.log().contains("EIO"), "{}", ambit.log());
        ambit.stop();
        std::fs::write(dir.path().join("log"), "").unwrap();
    }
    check(&ambit, &options).await;
}

/// Nobody has to wait for what is done already.
#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_takes_no_longer_than_its_work() {
    let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    let asked = Instant::now();
    ambit.stop();
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}: {}", asked.elapsed(), ambit.log());
}

/// Half a second for every commit: what waits is bounded, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn faults_a_slow_disk_is_waited_for_in_bounded_memory() {
    const MOST: u64 = 1 << 30;
    let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::Throughput).unwrap();
    let mut ambit = Ambit::configure(&broker, dir.path(), "");
    ambit.failpoints = "commit-before=sleep(500);ledger-tiles=sleep(200)".into();
    ambit.restart().await;
    let filling = "x".repeat(2_000);
    for part in 0..30 {
        send(&producer, &format!("{part} {filling}"), 1_000).await;
    }
    stored(&ambit, &options).await;
    let peak = ambit.peak_memory();
    assert!(peak < MOST, "{} MiB", peak >> 20);
    ambit.stop();
    assert!(check(&ambit, &options).await >= 30_000);
}

async fn outage(mut broker: TestBroker) {
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    send(&producer, "before", 200).await;
    broker.kill();
    // As long as the client waits before it calls a broker gone, and longer in the long form.
    tokio::time::sleep(Duration::from_secs(u64::from(rounds(5).min(30)))).await;
    broker.restart();
    send(&producer, "after", 200).await;
    stored(&ambit, &options).await;
    ambit.stop();
    assert!(check(&ambit, &options).await >= 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_broker_that_is_away_for_a_while_embedded() {
    outage(TestBroker::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_a_broker_that_is_away_for_a_while_kafka() {
    if let Some(broker) = TestBroker::kafka() {
        outage(broker).await;
    }
}
