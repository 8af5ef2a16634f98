//! Security event tokens: what they say, that they verify, and what follows from each answer.

use super::{NOW, TRANSMITTER, asked, due, first, golden, options, receiver, secrets};
use crate::contract::{Answer, Server, answer};
use ambit_enforcement::{Next, Receiver, jwks};
use ambit_schemas::finding::Severity;
use ambit_schemas::response::Action;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature as independent;
use serde_json::{Value, json};

const AGENT: &str = "spiffe://acme.example/agent/billing";
const PUSH: &str = "kind = \"set_push\"\nurl = \"$BASE/events\"\nbearer = { file = \"$SECRETS/token\" }\n\
                    set = { audience = \"https://idp.acme.example\" }";

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Checks a token with a published key, by another library than the one that signed, and returns header and claims.
pub fn verified(token: &str, keys: &Value) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    let claims: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let field = |name: &str| decode(key[name].as_str().unwrap());
    let (message, signature) = (format!("{}.{}", parts[0], parts[1]), decode(parts[2]));
    let check = |message: &[u8]| match header["alg"].as_str().unwrap() {
        "EdDSA" => {
            independent::UnparsedPublicKey::new(&independent::ED25519, field("x")).verify(message, &signature)
        }
        "ES256" => {
            let point = [vec![4], field("x"), field("y")].concat();
            independent::UnparsedPublicKey::new(&independent::ECDSA_P256_SHA256_FIXED, point)
                .verify(message, &signature)
        }
        "RS256" => independent::RsaPublicKeyComponents { n: field("n"), e: field("e") }.verify(
            &independent::RSA_PKCS1_2048_8192_SHA256,
            message,
            &signature,
        ),
        other => panic!("{other}"),
    };
    check(message.as_bytes()).unwrap();
    let mut changed = message.into_bytes();
    *changed.last_mut().unwrap() ^= 1;
    assert!(check(&changed).is_err(), "a changed token verifies");
    (header, claims)
}

#[tokio::test]
async fn tokens_of_every_kind_of_key_verify_with_the_published_one() {
    let dir = secrets();
    for (key, algorithm) in [("ed25519", "EdDSA"), ("p256", "ES256"), ("rsa2048", "RS256")] {
        let server = Server::start(|_, _| answer("202 Accepted", "")).await;
        let text = format!(
            "{}\n[[receivers]]\nid = \"r\"\nallow_private = true\n{PUSH}",
            TRANSMITTER.replace("ed25519", key)
        );
        let options = options(&text, dir.path(), &server.base).unwrap();
        let receiver = Receiver::new(&options.receivers[0], &options).unwrap();
        let outcome = receiver.send(&due(Action::RevokeTask, AGENT, &["jti-19"]), NOW).await;
        assert_eq!(first(&outcome), Next::Acknowledged, "{outcome:?}");
        let seen = server.seen().remove(0);
        assert_eq!(seen.headers["content-type"], "application/secevent+jwt");
        assert_eq!(seen.headers["authorization"], "Bearer secret-bearer-token-0123456789abcdef");
        let (header, claims) = verified(&seen.body, &jwks(&options).unwrap());
        assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some(algorithm), Some("secevent+jwt")));
        assert_eq!((claims["jti"].as_str(), claims["txn"].as_str()), (Some("dlv-1"), Some("rsp-1")));
        assert!(claims.get("exp").is_none() && claims.get("sub").is_none(), "{claims}");
        assert_eq!(claims["sub_id"]["application"], json!({"format": "uri", "uri": AGENT}));
    }
}

#[tokio::test]
async fn each_action_is_told_in_the_words_of_caep_and_risc() {
    let dir = secrets();
    let server = Server::start(|_, _| answer("202 Accepted", "")).await;
    let text = format!("{TRANSMITTER}\n[[receivers]]\nid = \"r\"\nallow_private = true\n{PUSH}");
    let keys = jwks(&options(&text, dir.path(), &server.base).unwrap()).unwrap();
    let compromise = PUSH.replace(
        "audience",
        "credential_event = \"credential_compromise\", token_issuer = \"https://as.example\", audience",
    );
    let mut low = due(Action::Notify, "opaque-agent", &[]);
    low.finding.severity = Severity::Low;
    for (own, due) in [
        (PUSH, due(Action::RevokeTask, AGENT, &["jti-19"])),
        (PUSH, due(Action::RevokeTree, AGENT, &[])),
        (PUSH, due(Action::RevokeCredential, AGENT, &["jti-19", "jti-20"])),
        (&compromise, due(Action::RevokeCredential, AGENT, &["jti-19"])),
        (PUSH, due(Action::RevokeCredential, AGENT, &[])),
        (PUSH, due(Action::Pause, AGENT, &[])),
        (PUSH, low),
    ] {
        let outcome = receiver(own, dir.path(), &server).send(&due, NOW).await;
        assert_eq!(first(&outcome), Next::Acknowledged);
    }
    let claims: Vec<String> =
        server.seen().iter().map(|seen| format!("{:#}\n", verified(&seen.body, &keys).1)).collect();
    golden("set_claims.json", &claims.concat());
    // Ed25519 signs the same bytes the same way: the whole request is fixed.
    golden("set_push.txt", &asked(&server));
}

#[tokio::test]
async fn only_202_takes_a_token_and_errors_are_final_unless_they_can_be_mended() {
    let dir = secrets();
    for (code, status, expected) in [
        ("invalid_request", "400 Bad Request", Some("set_invalid_request")),
        ("invalid_issuer", "400 Bad Request", Some("set_invalid_issuer")),
        ("invalid_audience", "400 Bad Request", Some("set_invalid_audience")),
        ("access_denied", "400 Bad Request", Some("set_access_denied")),
        ("something_else", "400 Bad Request", Some("set_error")),
        ("invalid_key", "400 Bad Request", None),
        ("authentication_failed", "400 Bad Request", None),
        ("invalid_request", "200 OK", None),
        ("invalid_request", "401 Unauthorized", Some("refused")),
    ] {
        let server = Server::start(move |_, _| {
            answer(status, &format!("{{\"err\": \"{code}\", \"description\": \"secret of the receiver\"}}"))
        })
        .await;
        let outcome =
            receiver(PUSH, dir.path(), &server).send(&due(Action::RevokeTask, AGENT, &[]), NOW).await;
        let next = first(&outcome);
        match expected {
            Some(class) => assert_eq!(next, Next::DeadLetter(class), "{code} {status}"),
            None => assert!(matches!(next, Next::Retry(_)), "{code} {status}: {next:?}"),
        }
        assert!(!format!("{outcome:?}").contains("secret of the receiver"));
    }
    let server = Server::start(|_, _| answer("400 Bad Request", "<html>")).await;
    let outcome = receiver(PUSH, dir.path(), &server).send(&due(Action::RevokeTask, AGENT, &[]), NOW).await;
    assert_eq!(first(&outcome), Next::DeadLetter("set_error"));
}

#[tokio::test]
async fn a_delivery_with_several_tokens_is_taken_when_all_are() {
    let dir = secrets();
    let server =
        Server::start(|_, before| if before == 1 { Answer::Close } else { answer("202 Accepted", "") }).await;
    let receiver = receiver(PUSH, dir.path(), &server);
    let due = due(Action::RevokeCredential, AGENT, &["jti-19", "jti-20"]);
    assert!(matches!(first(&receiver.send(&due, NOW).await), Next::Retry(_)));
    assert_eq!(first(&receiver.send(&due, NOW).await), Next::Acknowledged);
    // The first again, under the id that the receiver knows.
    let bodies: Vec<String> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!((bodies.len(), &bodies[0], &bodies[1]), (4, &bodies[2], &bodies[3]));
}
