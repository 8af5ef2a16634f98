//! What a receiver must refuse, shown with the receiver that the demo has: whoever listens cannot send again what was sent,
//! nor something else.

use crate::pipeline::receiver;
use ambit::simulate::now;
use ambit_enforcement::sign::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookKey};
use reqwest::{Client, StatusCode};
use serde_json::json;

/// A revocation as it is sent.
fn revocation(reason: &str) -> Vec<u8> {
    let body = json!({
        "type": "ambit.response.revoke_task", "timestamp": "2026-11-24T12:00:00Z",
        "data": {
            "response_id": "rsp-1", "action": "revoke_task", "target": {"task_id": "task-1"}, "tenant_uid": "acme",
            "finding_id": "fnd-1", "rule_id": "E-TOOL", "severity": "high", "title": "t", "reason": reason
        }
    });
    serde_json::to_vec(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_refuses_forgeries_and_knows_replays() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = receiver(dir.path()).await;
    let url = receiver.config.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().trim_matches('"');
    let secret = std::fs::read_to_string(dir.path().join("secret")).unwrap();
    let key = WebhookKey::parse(&secret).unwrap();
    let (seconds, body) = (now().micros() / 1_000_000, revocation("it pays strangers"));
    let send = async |id: &str, timestamp: i64, signature: &str, body: &[u8]| {
        let request = Client::new().post(url).body(body.to_vec()).header(ID_HEADER, id);
        let request = request.header(TIMESTAMP_HEADER, timestamp.to_string());
        request.header(SIGNATURE_HEADER, signature).send().await.unwrap().status()
    };
    let good = key.sign("dlv-1", seconds, &body);
    let other = WebhookKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let old = seconds - 400;
    for (what, id, timestamp, signature, sent) in [
        ("another body", "dlv-1", seconds, good.clone(), revocation("another")),
        ("another id", "dlv-2", seconds, good.clone(), body.clone()),
        ("another time", "dlv-1", seconds + 1, good.clone(), body.clone()),
        ("another key", "dlv-1", seconds, other.sign("dlv-1", seconds, &body), body.clone()),
        ("no signature", "dlv-1", seconds, "v1,".to_owned(), body.clone()),
        ("kept for minutes", "dlv-1", old, key.sign("dlv-1", old, &body), body.clone()),
    ] {
        assert_eq!(send(id, timestamp, &signature, &sent).await, StatusCode::UNAUTHORIZED, "{what}");
    }
    assert!(receiver.taken.lock().unwrap().is_empty(), "what is refused has no effect");
    // The same again, as it was sent: taken, since the answer may have been lost, and known by its id.
    for _ in 0..2 {
        assert_eq!(send("dlv-1", seconds, &good, &body).await, StatusCode::NO_CONTENT);
    }
    let again: Vec<bool> = receiver.taken.lock().unwrap().iter().map(|one| one.again).collect();
    assert_eq!(again, [false, true]);
    receiver.shutdown.cancel();
}
