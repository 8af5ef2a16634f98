//! The whole service on a real broker, with receivers that behave badly.

use crate::running::{Running, bodies, carrying, now, options};
use crate::support::{Receiver, SECRET, finding, status};
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_enforcement::sign::{
    ID_HEADER, SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER, VerifyKey, WebhookKey, verify,
};
use ambit_schemas::event::Body;
use ambit_schemas::{Topic, encode};
use std::time::Duration;

/// Why deliveries were given up.
pub fn dead(bodies: &[Body]) -> Vec<&str> {
    let mut reasons = Vec::new();
    for body in bodies {
        if let Body::ResponseDeadLettered(dead) = body {
            reasons.push(dead.reason.as_str());
        }
    }
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_signed_retried_acknowledged_and_told() {
    let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
    ensure_topics(&broker.options()).await.unwrap();
    let (bad, good) = (status("503 Service Unavailable", ""), status("204 No Content", ""));
    let receiver = Receiver::start(&[&bad, &good]).await;
    let running = Running::start(&broker, dir.path(), options(dir.path(), &[("idp", &receiver.url)]));
    let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
    let outgoing = encode(&carrying(&finding(1))).unwrap();
    // Twice, as an analyzer that was restarted would.
    producer.send(outgoing.clone()).await.unwrap();
    producer.send(outgoing).await.unwrap();
    running.wait_for("ambit_enforcement_acknowledged_total", 1).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2, "one failed, one taken; the second finding is the first again");
    let key = VerifyKey::from(&WebhookKey::parse(SECRET).unwrap());
    let seconds = now().micros() / 1_000_000;
    for request in &requests {
        let header = |name: &str| request.headers[name].as_str();
        let signed = Signed {
            id: header(ID_HEADER),
            timestamp: header(TIMESTAMP_HEADER),
            signatures: header(SIGNATURE_HEADER),
        };
        verify(signed, &request.body, &key, seconds).unwrap();
        let mut changed = request.body.clone();
        changed[10] ^= 1;
        assert!(verify(signed, &changed, &key, seconds).is_err());
    }
    // INVARIANT E-2
    assert_eq!(requests[0].headers[ID_HEADER], requests[1].headers[ID_HEADER]);
    assert_eq!(requests[0].body, requests[1].body);
    let bodies = tokio::task::block_in_place(|| {
        bodies(&broker, Topic::Responses, "one", |bodies| {
            bodies.iter().any(|body| matches!(body, Body::ResponseAcknowledged(_)))
        })
    });
    let attempts: Vec<(u32, Option<u16>)> = bodies
        .iter()
        .filter_map(|body| {
            if let Body::ResponseAttempted(attempt) = body {
                Some((attempt.number, attempt.http_status))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(attempts, [(1, Some(503)), (2, Some(204))]);
    assert!(bodies.iter().any(|body| matches!(body, Body::ResponseDecided(_))));
    assert!(
        bodies.iter().any(|body| matches!(body, Body::ResponseAcknowledged(taken) if taken.attempts == 2))
    );
    running.stop().await;

    // Without its outbox the service reads what came to an end, and sends nothing again.
    for name in ["outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"] {
        drop(std::fs::remove_file(dir.path().join(name)));
    }
    let running = Running::start(&broker, dir.path(), options(dir.path(), &[("idp", &receiver.url)]));
    running.wait_for("ambit_enforcement_findings_total", 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.requests().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_keeps_nobody_else_waiting_and_redirects_are_not_followed() {
    let (broker, dir) = (TestBroker::embedded(), tempfile::tempdir().unwrap());
    ensure_topics(&broker.options()).await.unwrap();
    let (hanging, honeypot) = (Receiver::start(&[""]).await, Receiver::start(&[&status("200 OK", "")]).await);
    let elsewhere = status("307 Temporary Redirect", &format!("location: {}\r\n", honeypot.url));
    let redirecting = Receiver::start(&[&elsewhere]).await;
    let quick = Receiver::start(&[&status("200 OK", "")]).await;
    let receivers = [
        ("hanging", hanging.url.as_str()),
        ("redirecting", redirecting.url.as_str()),
        ("quick", quick.url.as_str()),
    ];
    let running = Running::start(&broker, dir.path(), options(dir.path(), &receivers));
    let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
    for number in 1..=4 {
        producer.send(encode(&carrying(&finding(number))).unwrap()).await.unwrap();
    }
    running.wait_for("ambit_enforcement_acknowledged_total", 4).await;
    running.wait_for("ambit_enforcement_dead_lettered_total", 4).await;
    assert_eq!(quick.requests().len(), 4);
    assert!(honeypot.requests().is_empty(), "a redirect was followed");
    let bodies = tokio::task::block_in_place(|| {
        bodies(&broker, Topic::Responses, "two", |bodies| dead(bodies).len() >= 4)
    });
    assert_eq!(dead(&bodies), ["redirect"; 4]);
    assert!(!hanging.requests().is_empty());
    running.stop().await;
}
