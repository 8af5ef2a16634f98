//! `kill -9` at random points, on both brokers: nothing is lost, nothing is doubled, byte for byte.

use crate::harness::Ambit;
use crate::oracle::{check, rounds, send, stored};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use std::time::Duration;

/// Kills, unless `AMBIT_FAULT_ROUNDS` says how many.
const KILLS: u32 = 5;
/// Records per kill.
const RECORDS: u32 = 400;

async fn kill_and_compare(broker: TestBroker) {
    let kills = rounds(KILLS);
    let dir = tempfile::tempdir().unwrap();
    let options = broker.options();
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    for round in 0..kills {
        for part in 0..4 {
            send(&producer, &format!("{round}-{part}"), RECORDS / 4).await;
            tokio::time::sleep(Duration::from_millis(u64::from((round * 37 + part * 13) % 160))).await;
        }
        // Points in time that differ from round to round: in the middle of a batch, a commit, a checkpoint, a start.
        tokio::time::sleep(Duration::from_millis(u64::from((round * 131) % 700))).await;
        ambit.restart().await;
    }
    stored(&ambit, &options).await;
    ambit.stop();
    assert!(check(&ambit, &options).await >= (kills * RECORDS) as usize, "{kills} kills");
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
