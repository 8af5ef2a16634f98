//! Receivers that are down, slow, rude or gone: what others get, and what becomes of what they should have had.

use crate::running::{Running, bodies, carrying, options};
use crate::support::{Receiver, finding, receiver_id, status};
use ambit_bus::testing::{TestBroker, free_port};
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_enforcement::{Options, ReceiverOptions, Service};
use ambit_schemas::event::Body;
use ambit_schemas::finding::Severity;
use ambit_schemas::{Topic, encode};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

struct World {
    broker: TestBroker,
    dir: tempfile::TempDir,
    producer: Producer,
}

impl World {
    async fn new() -> Self {
        let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
        ensure_topics(&broker.options()).await.unwrap();
        let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
        Self { broker, dir, producer }
    }

    fn start(&self, receivers: &[(&str, &str)], change: impl Fn(&mut ReceiverOptions)) -> Running {
        let mut options: Options = options(self.dir.path(), receivers);
        options.receivers.iter_mut().for_each(change);
        Running::start(&self.broker, self.dir.path(), options)
    }

    async fn find(&self, numbers: std::ops::Range<u32>, severity: Severity) {
        for number in numbers {
            let mut found = finding(number);
            found.severity = severity;
            self.producer.send(encode(&carrying(&found)).unwrap()).await.unwrap();
        }
    }

    /// Why deliveries were given up, once so many were.
    fn dead(&self, group: &str, count: usize) -> Vec<String> {
        let reasons = |bodies: &[Body]| {
            bodies
                .iter()
                .filter_map(|body| match body {
                    Body::ResponseDeadLettered(dead) => Some(dead.reason.clone()),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        let enough = |bodies: &[Body]| reasons(bodies).len() >= count;
        reasons(&tokio::task::block_in_place(|| bodies(&self.broker, Topic::Responses, group, enough)))
    }
}

async fn until(what: &str, within: Duration, done: impl Fn() -> bool) {
    let deadline = Instant::now() + within;
    while !done() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_down_gets_everything_soon_after_it_is_back() {
    let world = World::new().await;
    let port = free_port();
    let down = format!("http://127.0.0.1:{port}/hook");
    let other = Receiver::start(&[&status("204 No Content", "")]).await;
    let running = world.start(&[("down", &down), ("other", &other.url)], |_| {});
    world.find(0..30, Severity::High).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 30).await;
    assert_eq!(other.requests().len(), 30, "the other one got them meanwhile");
    // Long enough for every delivery to be well into its schedule, were each tried by itself.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let attempts = |running: &Running| {
        let counters = running.handle.counters();
        counters.iter().find(|(name, _)| *name == "ambit_enforcement_attempts_total").unwrap().1
    };
    assert!(attempts(&running) < 30 + 60, "it is asked by probes, not by all: {}", attempts(&running));
    let back = Receiver::start_on(port, &[&status("204 No Content", "")]).await;
    // The longest pause between probes at this point is 8 s.
    until("all are delivered", Duration::from_secs(25), || back.requests().len() >= 30).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 60).await;
    running.stop().await;
}

/// What a server does with a connection instead of answering properly.
#[derive(Clone, Copy)]
enum Manners {
    /// One byte of a header now and then.
    Drips,
    /// An answer without end.
    Floods,
    /// No HTTP at all.
    Babbles,
}

async fn rude(manners: Manners) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            open.spawn(async move {
                drop(stream.read(&mut [0; 1_024]).await);
                let begin: &[u8] = match manners {
                    Manners::Drips => b"HTTP/1.1 2",
                    Manners::Floods => b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n",
                    Manners::Babbles => b"220 smtp.example ESMTP\r\n",
                };
                let (piece, pause): (&[u8], u64) = match manners {
                    Manners::Floods => (&[b'x'; 8_192], 0),
                    Manners::Drips | Manners::Babbles => (b"0", 200),
                };
                let mut sent = stream.write_all(begin).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    sent = stream.write_all(piece).await;
                }
            });
        }
    });
    (url, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn rude_receivers_cost_a_bounded_time_and_nobody_else_waits() {
    let world = World::new().await;
    let (drips, _one) = rude(Manners::Drips).await;
    let (floods, _two) = rude(Manners::Floods).await;
    let (babbles, _three) = rude(Manners::Babbles).await;
    let polite = Receiver::start(&[&status("204 No Content", "")]).await;
    let receivers = [
        ("drips", drips.as_str()),
        ("floods", floods.as_str()),
        ("babbles", babbles.as_str()),
        ("polite", polite.url.as_str()),
    ];
    let running = world.start(&receivers, |_| {});
    world.find(0..10, Severity::High).await;
    until("the polite one has all", Duration::from_secs(20), || polite.requests().len() == 10).await;
    // One that floods has said 200, and that is all that is read of it.
    running.wait_for("ambit_enforcement_acknowledged_total", 20).await;
    let told = tokio::task::block_in_place(|| {
        let tries = |bodies: &[Body], name: &str| {
            bodies
                .iter()
                .filter(
                    |body| matches!(body, Body::ResponseAttempted(of) if of.receiver == receiver_id(name)),
                )
                .count()
        };
        bodies(&world.broker, Topic::Responses, "rude", |bodies| {
            tries(bodies, "drips") > 1 && tries(bodies, "babbles") > 1
        })
    });
    for body in &told {
        if let Body::ResponseAttempted(of) = body {
            assert!(of.duration_us < 4_000_000, "{of:?}");
            let failed = of.receiver == receiver_id("drips") || of.receiver == receiver_id("babbles");
            assert_eq!(of.http_status.is_none(), failed, "{of:?}");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_gone_gets_nothing_until_it_is_configured_otherwise() {
    let world = World::new().await;
    let receiver = Receiver::start(&[&status("410 Gone", ""), &status("204 No Content", "")]).await;
    let running = world.start(&[("idp", &receiver.url)], |_| {});
    world.find(0..1, Severity::High).await;
    running.wait_for("ambit_enforcement_dead_lettered_total", 1).await;
    world.find(1..4, Severity::High).await;
    running.wait_for("ambit_enforcement_dead_lettered_total", 4).await;
    let mut reasons = world.dead("gone", 4);
    reasons.sort();
    assert_eq!(reasons, ["disabled", "disabled", "disabled", "gone"]);
    assert_eq!(receiver.requests().len(), 1);
    running.stop().await;
    // The same configuration after a restart: still disabled.
    let running = world.start(&[("idp", &receiver.url)], |_| {});
    world.find(4..5, Severity::High).await;
    running.wait_for("ambit_enforcement_dead_lettered_total", 1).await;
    assert_eq!(receiver.requests().len(), 1);
    running.stop().await;
    let running = world.start(&[("idp", &receiver.url)], |options| options.timeout_ms += 1);
    world.find(5..6, Severity::High).await;
    running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
    assert_eq!(receiver.requests().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_notices_leaves_room_for_a_revocation() {
    let world = World::new().await;
    let hanging = Receiver::start(&[""]).await;
    let running = world.start(&[("idp", &hanging.url)], |options| {
        (options.concurrency, options.timeout_ms) = (4, 6_000);
    });
    world.find(0..40, Severity::Low).await;
    until("notices fill their part", Duration::from_secs(20), || hanging.requests().len() == 3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hanging.requests().len(), 3, "one place is kept free");
    world.find(100..101, Severity::High).await;
    until("the revocation goes out", Duration::from_secs(5), || hanging.requests().len() == 4).await;
    let body: serde_json::Value = serde_json::from_slice(&hanging.requests()[3].body).unwrap();
    assert_eq!(body["type"], "ambit.response.revoke_task");
    running.stop().await;
}

#[test]
fn addresses_of_this_machine_and_of_private_networks_are_refused_beforehand() {
    let dir = tempfile::tempdir().unwrap();
    for url in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0.0.0.0/",
        "https://user@example.com/",
        "http://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
    ] {
        let check = |url: &str| {
            let mut options = options(dir.path(), &[("idp", url)]);
            options.receivers[0].allow_private = false;
            Service::check(&options, &[])
        };
        check("https://example.com/").unwrap();
        assert!(check(url).is_err(), "{url}");
    }
}
