//! Kubernetes: what is deleted, what is left alone, and what counts as gone.

use super::{NOW, asked, due, first, golden, receiver, secrets};
use crate::contract::{Server, answer};
use ambit_enforcement::{Evidence, Next, Outcome};
use ambit_schemas::response::Action;
use std::sync::Mutex;

const OWN: &str = "kind = \"kubernetes\"\nurl = \"$BASE\"\ntoken = { file = \"$SECRETS/token\" }\n\
                   namespaces = [\"agents\", \"team-*\"]\ntrust_domain = \"cluster.acme.example\"\n\
                   agents = [{ agent = \"billing@*\", namespace = \"agents\", service_account = \"billing\" }]";
const ACCOUNT: &str = "system:serviceaccount:agents:billing";
const GONE: &str = "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"NotFound\",\"code\":404}";
/// Before the finding, which is of 24 November 2026.
const OLD: &str = "2026-11-01T00:00:00Z";

fn object(name: &str, uid: &str, made: &str) -> String {
    format!(
        "{{\"kind\":\"ServiceAccount\",\"metadata\":{{\"name\":\"{name}\",\"uid\":\"{uid}\",\
         \"creationTimestamp\":\"{made}\",\"annotations\":{{\"kubernetes.io/service-account.name\":\"billing\"}}}}}}"
    )
}

/// An API server with one service account, which goes when it is deleted, unless finalizers hold it.
async fn api_server(made: &'static str, held: bool) -> Server {
    let there = Mutex::new(true);
    Server::start(move |seen, _| {
        let mut there = there.lock().unwrap();
        match (seen.method.as_str(), *there) {
            ("GET", true) => answer("200 OK", &object("billing", "u-1", made)),
            ("DELETE", true) => {
                *there = held;
                answer("200 OK", &object("billing", "u-1", made))
            }
            _ => answer("404 Not Found", GONE),
        }
    })
    .await
}

fn evidence(outcome: &Outcome) -> Option<&str> {
    let Outcome::Done { evidence, .. } = outcome else { panic!("{outcome:?}") };
    evidence.as_ref().map(|Evidence(text)| text.as_str())
}

#[tokio::test]
async fn a_service_account_is_deleted_and_seen_to_be_gone() {
    let dir = secrets();
    let server = api_server(OLD, false).await;
    let receiver = receiver(OWN, dir.path(), &server);
    let outcome = receiver.send(&due(Action::RevokeTask, ACCOUNT, &[]), NOW).await;
    assert_eq!(evidence(&outcome), Some("the service account was there before, not after"));
    golden("kubernetes.txt", &asked(&server));
    let outcome = receiver.send(&due(Action::RevokeTask, ACCOUNT, &[]), NOW).await;
    assert_eq!(evidence(&outcome), Some("the service account is not there"));
    for agent in ["spiffe://cluster.acme.example/ns/team-7/sa/x", "billing@4"] {
        receiver.send(&due(Action::RevokeTask, agent, &[]), NOW).await;
    }
    let targets: Vec<String> = server.seen().into_iter().map(|seen| seen.target).collect();
    assert!(targets.contains(&"/api/v1/namespaces/team-7/serviceaccounts/x".to_owned()), "{targets:?}");
}

#[tokio::test]
async fn what_finalizers_hold_is_done_without_evidence_and_what_is_newer_is_left_alone() {
    let dir = secrets();
    let server = api_server(OLD, true).await;
    let send = async |server: &Server| {
        receiver(OWN, dir.path(), server).send(&due(Action::RevokeTask, ACCOUNT, &[]), NOW).await
    };
    assert_eq!(evidence(&send(&server).await), None);
    let server = api_server("2026-11-25T00:00:00Z", false).await;
    assert_eq!(evidence(&send(&server).await), Some("the service account was made after the finding"));
    assert!(server.seen().iter().all(|seen| seen.method == "GET"), "a late try deleted what was put back");
}

#[tokio::test]
async fn namespaces_that_are_not_named_are_left_alone() {
    let dir = secrets();
    let server = api_server(OLD, false).await;
    let receiver = receiver(OWN, dir.path(), &server);
    for (agent, class) in [
        ("system:serviceaccount:kube-system:admin", "not_allowed"),
        ("system:serviceaccount:agents:../../secrets", "not_allowed"),
        ("system:serviceaccount:agents:..", "not_allowed"),
        ("system:serviceaccount:agents:", "not_allowed"),
        ("spiffe://elsewhere.example/ns/agents/sa/billing", "no_target"),
        ("spiffe://cluster.acme.example.evil/ns/agents/sa/billing", "no_target"),
        ("system:node:agents", "no_target"),
    ] {
        let outcome = receiver.send(&due(Action::RevokeTask, agent, &[]), NOW).await;
        assert_eq!(first(&outcome), Next::DeadLetter(class), "{agent}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn only_the_accounts_own_token_secrets_are_deleted() {
    let dir = secrets();
    let deleted = Mutex::new(false);
    let server = Server::start(move |seen, _| {
        let mut deleted = deleted.lock().unwrap();
        if seen.method == "DELETE" {
            *deleted = true;
            return answer("200 OK", "{\"kind\":\"Status\",\"status\":\"Success\"}");
        }
        let own = object("billing-token", "u-2", OLD);
        let newer = object("billing-token-new", "u-4", "2026-11-25T00:00:00Z");
        let other = object("other-token", "u-3", OLD).replace(":\"billing\"", ":\"other\"");
        let items = if *deleted { [newer, other].join(",") } else { [own, newer, other].join(",") };
        answer("200 OK", &format!("{{\"kind\":\"SecretList\",\"items\":[{items}]}}"))
    })
    .await;
    let own = format!("{OWN}\ndelete = \"token_secrets\"");
    let outcome = receiver(&own, dir.path(), &server).send(&due(Action::RevokeTask, ACCOUNT, &[]), NOW).await;
    assert_eq!(evidence(&outcome), Some("the token secrets were there before, not after"));
    golden("kubernetes_secrets.txt", &asked(&server));
}

#[tokio::test]
async fn a_404_that_is_not_kubernetes_own_and_a_conflict_end_nothing() {
    let dir = secrets();
    let due = due(Action::RevokeTask, ACCOUNT, &[]);
    for (status, body, class) in [
        ("404 Not Found", "<html>no backend</html>", Some("garbage")),
        ("403 Forbidden", "{\"kind\":\"Status\",\"reason\":\"Forbidden\"}", None),
    ] {
        let server = Server::start(move |_, _| answer(status, body)).await;
        let outcome = receiver(OWN, dir.path(), &server).send(&due, NOW).await;
        assert_eq!(outcome.told().1, class, "{outcome:?}");
        assert_eq!(first(&outcome) == Next::DeadLetter("refused"), class.is_none());
    }
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "GET" => answer("200 OK", &object("billing", "u-1", OLD)),
        _ => answer("409 Conflict", "{\"kind\":\"Status\",\"reason\":\"Conflict\"}"),
    })
    .await;
    assert!(matches!(first(&receiver(OWN, dir.path(), &server).send(&due, NOW).await), Next::Retry(_)));
}
