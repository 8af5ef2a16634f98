//! What every kind must stand: answers that are late, endless, too long, no HTTP, or lead elsewhere.

use super::{due, first, receiver, secrets};
use crate::contract::{Answer, Server, answer};
use ambit_enforcement::{Next, Receiver};
use ambit_schemas::response::Action;
use std::time::{Duration, Instant};

const ROLE: &str = "arn:aws:iam::123456789012:role/agent-billing";
const ACCOUNT: &str = "system:serviceaccount:agents:billing";

/// Every kind that is sent to, with the agent that it knows.
const KINDS: [(&str, &str, &str); 9] = [
    ("webhook", "url = \"$BASE/hook\"\nsecrets = [{ file = \"$SECRETS/webhook\" }]", "agent"),
    ("set_push", "kind = \"set_push\"\nurl = \"$BASE/events\"\nset = { audience = \"a\" }", "agent"),
    (
        "oauth_revoke",
        "kind = \"oauth_revoke\"\nrevocation_url = \"$BASE/revoke\"\nclient_id = \"c\"\n\
         client_auth = { secret_basic = { file = \"$SECRETS/client\" } }",
        "agent",
    ),
    ("vault", "kind = \"vault\"\nurl = \"$BASE\"\ntoken = { file = \"$SECRETS/token\" }", "agent"),
    (
        "aws_iam",
        "kind = \"aws_iam\"\naccount = \"123456789012\"\nroles = [\"agent-*\"]\nendpoint = \"$BASE/\"\n\
         access_key_id = { file = \"$SECRETS/key-id\" }\nsecret_access_key = { file = \"$SECRETS/key\" }",
        ROLE,
    ),
    (
        "kubernetes",
        "kind = \"kubernetes\"\nurl = \"$BASE\"\ntoken = { file = \"$SECRETS/token\" }\nnamespaces = [\"agents\"]",
        ACCOUNT,
    ),
    ("slack", "kind = \"slack\"\nwebhook_url = { file = \"$SECRETS/url\" }", "agent"),
    ("teams", "kind = \"teams\"\nwebhook_url = { file = \"$SECRETS/url\" }", "agent"),
    (
        "pagerduty",
        "kind = \"pagerduty\"\nurl = \"$BASE/v2/enqueue\"\nrouting_key = { file = \"$SECRETS/token\" }",
        "agent",
    ),
];

/// Sends one revocation to each kind and says what follows and how long it took.
async fn with_each(
    script: impl Fn() -> Answer + Clone + Send + Sync + 'static,
    check: impl Fn(&str, Next, Duration),
) {
    for (kind, own, agent) in KINDS {
        let (dir, script) = (secrets(), script.clone());
        let server = Server::start(move |_, _| script()).await;
        std::fs::write(dir.path().join("url"), format!("{}/services/T0/B0/secret", server.base)).unwrap();
        let receiver: Receiver = receiver(own, dir.path(), &server);
        let started = Instant::now();
        let outcome = receiver.send(&due(Action::RevokeTask, agent, &["jti-19"]), super::NOW).await;
        assert!(!server.seen().is_empty(), "{kind} asked nothing");
        check(kind, first(&outcome), started.elapsed());
    }
}

/// These say all with their status: RFC 7009 has no body, and a webhook's is of no interest. Vault's 200 to a revocation may
/// be empty as well.
fn by_status(kind: &str) -> bool {
    matches!(kind, "webhook" | "oauth_revoke" | "vault")
}

fn is_retry(next: &Next) -> bool {
    matches!(next, Next::Retry(_))
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left_in_time_and_tried_again() {
    with_each(
        || Answer::Never,
        |kind, next, took| {
            assert!(is_retry(&next), "{kind}: {next:?}");
            assert!(took < Duration::from_secs(2), "{kind} took {took:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_without_end_is_left_in_time() {
    with_each(
        || Answer::Drip,
        |kind, next, took| {
            assert!(is_retry(&next) || by_status(kind), "{kind}: {next:?}");
            assert!(took < Duration::from_secs(2), "{kind} took {took:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_not_its_own_acknowledges_nothing() {
    let long = format!("{{\"x\":\"{}\"}}", "a".repeat(1 << 20));
    for body in [long, "<html>please log in</html>".to_owned(), String::new()] {
        with_each(
            move || answer("200 OK", &body),
            |kind, next, _| {
                assert!(is_retry(&next) != by_status(kind), "{kind}: {next:?}");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_no_http_and_a_closed_connection_are_tried_again() {
    for bad in [Answer::Noise, Answer::Close] {
        with_each(move || bad.clone(), |kind, next, _| assert!(is_retry(&next), "{kind}: {next:?}")).await;
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_servers_in_trouble_are_tried_again_when_they_ask() {
    let honeypot = Server::start(|_, _| answer("200 OK", "ok")).await;
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent"]
    {
        let location = format!("location: {}/trap\r\n", honeypot.base);
        with_each(
            move || Answer::Http(status, location.clone(), String::new()),
            |kind, next, _| assert_eq!(next, Next::DeadLetter("redirect"), "{kind} {status}"),
        )
        .await;
    }
    assert!(honeypot.seen().is_empty(), "a redirect was followed");
    for status in ["500 Internal Server Error", "502 Bad Gateway", "429 Too Many Requests"] {
        with_each(
            move || Answer::Http(status, "retry-after: 7\r\n".to_owned(), String::new()),
            |kind, next, _| assert_eq!(next, Next::Retry(Duration::from_secs(7)), "{kind} {status}"),
        )
        .await;
    }
    with_each(
        || answer("410 Gone", ""),
        |kind, next, _| assert_eq!(next, Next::DeadLetter("gone"), "{kind}"),
    )
    .await;
}

#[tokio::test]
async fn receivers_that_carry_out_take_revocations_only() {
    for (kind, own, agent) in KINDS {
        let dir = secrets();
        let server = Server::start(|_, _| answer("200 OK", "")).await;
        std::fs::write(dir.path().join("url"), &server.base).unwrap();
        let outcome = receiver(own, dir.path(), &server).send(&due(Action::Notify, agent, &["x"]), 0).await;
        let carries_out = matches!(kind, "oauth_revoke" | "vault" | "aws_iam" | "kubernetes");
        assert_eq!(server.seen().is_empty(), carries_out, "{kind}");
        assert_eq!(first(&outcome) == Next::DeadLetter("not_for_action"), carries_out, "{kind}");
    }
}

#[tokio::test]
async fn certificates_are_checked_against_the_receivers_own_authority() {
    let dir = secrets();
    let own = "url = \"$BASE/hook\"\nsecrets = [{ file = \"$SECRETS/webhook\" }]";
    for (certificate, authority, taken) in [
        ("server", "ca_file = \"$KEYS/ca.pem\"\n", true),
        ("server", "", false),
        ("other", "ca_file = \"$KEYS/ca.pem\"\n", false),
        ("expired", "ca_file = \"$KEYS/ca.pem\"\n", false),
    ] {
        let server = Server::with_tls(certificate, |_, _| answer("200 OK", "")).await;
        let receiver = receiver(&format!("{authority}{own}"), dir.path(), &server);
        let outcome = receiver.send(&due(Action::RevokeTask, "agent", &[]), super::NOW).await;
        let next = first(&outcome);
        assert_eq!(next == Next::Acknowledged, taken, "{certificate} {authority}: {outcome:?}");
        assert_eq!(
            server.seen().len(),
            usize::from(taken),
            "nothing is sent before the certificate is checked"
        );
        assert!(taken || outcome.told().1 == Some("tls"), "{certificate}: {outcome:?}");
    }
}
