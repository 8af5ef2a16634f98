//! What producers say of themselves is checked, and what is wrong becomes an event with a proof.

use crate::harness::Ambit;
use crate::oracle::{call, check, notices, stored};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_schemas::Outgoing;

/// A tool call with a number of its producer, whose clock is so many seconds ahead.
fn numbered(sequence: u32, ahead_s: i64) -> Outgoing {
    let mut outgoing = call(sequence, "key");
    let time = ambit::simulate::now().plus_micros(ahead_s * 1_000_000).to_string();
    let headers = outgoing.headers.replaced("ce_time", time.as_bytes());
    outgoing.headers = headers.with("ce_sequence", sequence.to_string().as_bytes());
    outgoing
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_missing_events_and_wrong_clocks_are_told_signed_and_counted() {
    let broker = TestBroker::embedded();
    let (dir, options) = (tempfile::tempdir().unwrap(), broker.options());
    ensure_topics(&options).await.unwrap();
    let producer = Producer::new(&options, "test", Linger::None).unwrap();
    let mut ambit = Ambit::start(&broker, dir.path(), "").await;
    for (sequence, ahead_s) in [(1, 0), (2, 0), (5, 0), (6, -3_600)] {
        producer.send(numbered(sequence, ahead_s)).await.unwrap();
    }
    let gaps = notices(&ambit, "notice.gap", 1).await;
    assert!(gaps[0].contains("2 of its producer are missing: 2 is followed by 5"), "{gaps:?}");
    let clocks = notices(&ambit, "notice.clock", 1).await;
    assert!(clocks[0].contains("before Kafka's"), "{clocks:?}");
    let metrics = ambit.metrics().await;
    for line in ["ambit_ingest_sequence_gaps_total 1", "ambit_ingest_clock_skews_total 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    // What a producer's last number was is known after a restart.
    stored(&ambit, &options).await;
    ambit.stop();
    ambit.restart().await;
    producer.send(numbered(8, 0)).await.unwrap();
    let gaps = notices(&ambit, "notice.gap", 2).await.join("\n");
    assert!(gaps.contains("6 is followed by 8"), "{gaps}");
    // A notice has a proof like all else.
    let answer = ambit.get("/api/v1/events?kind=notice.gap&limit=1").await;
    let path = format!("/api/v1/events/{}", answer["items"][0]["ref"].as_str().unwrap());
    ambit.wait_for(&path, |detail| detail["proof"].is_object()).await;
    stored(&ambit, &options).await;
    ambit.stop();
    check(&ambit, &options).await;
}
