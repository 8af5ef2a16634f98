//! Several workers of one group: the work is shared, and no effect is doubled.

use crate::running::{PATIENCE, Running, carrying, options};
use crate::support::{Receiver, finding, status};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_enforcement::sign::ID_HEADER;
use ambit_schemas::encode;
use std::collections::HashMap;
use std::time::{Duration, Instant};

async fn find(producer: &Producer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        producer.send(encode(&carrying(&finding(number))).unwrap()).await.unwrap();
    }
}

/// How often each delivery came, once there are so many.
async fn delivered(receiver: &Receiver, count: usize) -> HashMap<String, usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut times = HashMap::new();
        for request in receiver.requests() {
            *times.entry(request.headers[ID_HEADER].clone()).or_default() += 1;
        }
        if times.len() >= count {
            return times;
        }
        assert!(Instant::now() < deadline, "{} of {count} deliveries", times.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_work_and_take_over_without_doing_it_again() {
    let (broker, first, second) =
        (TestBroker::embedded(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ensure_topics(&broker.options()).await.unwrap();
    let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
    let receiver = Receiver::start(&[&status("204 No Content", "")]).await;
    let start = |dir: &tempfile::TempDir| {
        Running::start(&broker, dir.path(), options(dir.path(), &[("idp", &receiver.url)]))
    };
    let one = start(&first);
    find(&producer, 0..40).await;
    delivered(&receiver, 40).await;
    // The second comes with an empty outbox, and gets shards whose findings are all delivered.
    let two = start(&second);
    tokio::time::sleep(Duration::from_secs(8)).await;
    find(&producer, 40..120).await;
    let times = delivered(&receiver, 120).await;
    let doubled = times.values().filter(|times| **times > 1).count();
    assert_eq!(doubled, 0, "{doubled} of {} came twice", times.len());
    let taken = |running: &Running| {
        let counters = running.handle.counters();
        counters.iter().find(|(name, _)| *name == "ambit_enforcement_acknowledged_total").unwrap().1
    };
    assert!(taken(&one) > 0 && taken(&two) > 0, "{} and {}", taken(&one), taken(&two));
    assert_eq!(taken(&one) + taken(&two), 120);
    // The first goes; what it had is the second's now.
    one.stop().await;
    find(&producer, 120..160).await;
    let times = delivered(&receiver, 160).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(times.values().filter(|times| **times > 1).count(), 0);
    assert_eq!(receiver.requests().len(), 160);
    two.stop().await;
}
