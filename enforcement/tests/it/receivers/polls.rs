//! Tokens that the receiver fetches, on a real broker: what waits, what is acknowledged, who is let in.

use super::{TRANSMITTER, options, secrets};
use crate::delivery::dead;
use crate::running::{Running, bodies as read, carrying};
use crate::support::finding;
use ambit_bus::testing::TestBroker;
use ambit_bus::{Linger, Producer, ensure_topics};
use ambit_enforcement::{Polls, jwks};
use ambit_schemas::{Body, Topic, encode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BEARER: &str = "secret-bearer-token-0123456789abcdef";
const OWN: &str = "[[receivers]]\nid = \"siem\"\nkind = \"set_poll\"\nbearer = { file = \"$SECRETS/token\" }\n\
                   set = { audience = \"https://siem.acme.example\" }";

async fn ask(polls: &Polls, question: Value) -> Value {
    let answer = polls.answer("siem", Some(BEARER), question.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

fn ids(answer: &Value) -> Vec<String> {
    answer["sets"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_wait_until_they_are_acknowledged_and_are_told_of_once() {
    let (broker, dir, secrets) = (TestBroker::embedded(), tempfile::tempdir().unwrap(), secrets());
    ensure_topics(&broker.options()).await.unwrap();
    let options = options(&format!("{TRANSMITTER}\n{OWN}"), secrets.path(), "").unwrap();
    let keys = jwks(&options).unwrap();
    assert_eq!(Polls::default().answer("siem", Some(BEARER), b"{}").await.status, 503);
    let running = Running::start(&broker, dir.path(), options);
    let producer = Producer::new(&broker.options(), "test", Linger::None).unwrap();
    for number in 1..=3 {
        producer.send(encode(&carrying(&finding(number))).unwrap()).await.unwrap();
    }
    running.wait_for("ambit_enforcement_responses_total", 3).await;

    // The question waits; what it gets is signed, and comes again until it is acknowledged.
    let polls = &running.polls;
    let first = ask(polls, json!({"maxEvents": 2})).await;
    assert_eq!((ids(&first).len(), first["moreAvailable"].as_bool()), (2, Some(true)));
    for (id, token) in first["sets"].as_object().unwrap() {
        let (header, claims) = super::set::verified(token.as_str().unwrap(), &keys);
        assert_eq!(
            (header["typ"].as_str(), claims["jti"].as_str()),
            (Some("secevent+jwt"), Some(id.as_str()))
        );
        assert_eq!(claims["aud"], "https://siem.acme.example");
    }
    assert_eq!(ids(&ask(polls, json!({"maxEvents": 2})).await), ids(&first));

    // One is taken, one can never be, one may be later: it stays.
    let all = ids(&ask(polls, json!({"returnImmediately": true})).await);
    let question = json!({
        "returnImmediately": true,
        "ack": [all[0], "never-heard-of"],
        "setErrs": {
            &all[1]: {"err": "invalid_audience", "description": "not me"},
            &all[2]: {"err": "invalid_key", "description": "fetching keys"},
        },
    });
    assert_eq!(ids(&ask(polls, question).await), [all[2].clone()]);
    assert!(
        ids(&ask(polls, json!({"maxEvents": 0})).await).is_empty(),
        "only acknowledgements were to be taken"
    );
    let bodies = tokio::task::block_in_place(|| {
        read(&broker, Topic::Responses, "polls", |bodies| {
            let taken = bodies.iter().any(|body| matches!(body, Body::ResponseAcknowledged(_)));
            taken && !dead(bodies).is_empty()
        })
    });
    assert_eq!(dead(&bodies), ["set_invalid_audience"]);
    let taken = bodies.iter().filter(|body| matches!(body, Body::ResponseAcknowledged(_))).count();
    assert_eq!(taken, 1);

    // Nothing is left: the question waits until there is something.
    ask(polls, json!({"ack": [all[2]], "maxEvents": 0})).await;
    let (asking, started) = (polls.clone(), Instant::now());
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { ask(&asking, json!({})).await });
    tokio::time::sleep(Duration::from_millis(600)).await;
    producer.send(encode(&carrying(&finding(4))).unwrap()).await.unwrap();
    let late = waiting.join_next().await.unwrap().unwrap();
    assert!(ids(&late).len() == 1 && started.elapsed() >= Duration::from_millis(600), "{late}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_receiver_itself_is_answered_and_only_to_questions() {
    let (broker, dir, secrets) = (TestBroker::embedded(), tempfile::tempdir().unwrap(), secrets());
    ensure_topics(&broker.options()).await.unwrap();
    let options = options(&format!("{TRANSMITTER}\n{OWN}"), secrets.path(), "").unwrap();
    let running = Running::start(&broker, dir.path(), options);
    let deadline = Instant::now() + Duration::from_secs(30);
    while running.polls.answer("siem", None, b"{}").await.status == 503 {
        assert!(Instant::now() < deadline, "enforcement does not run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let unknown = running.polls.answer("nobody", Some(BEARER), b"{}").await;
    for bearer in [None, Some(""), Some("wrong"), Some("secret-bearer-token-0123456789abcdeg")] {
        assert_eq!(running.polls.answer("siem", bearer, b"{}").await, unknown);
    }
    assert_eq!(unknown.status, 401);
    for body in [&b""[..], b"[]", b"{\"ack\": 7}", b"{\"maxEvents\": -1}", b"\xff"] {
        assert_eq!(running.polls.answer("siem", Some(BEARER), body).await.status, 400);
    }
    running.stop().await;
}
