//! Messages to people: their shape, and that findings cannot write into them what they like.

use super::{NOW, asked, due, first, golden, receiver, secrets};
use crate::contract::{Server, answer};
use ambit_enforcement::{Due, Next};
use ambit_schemas::response::Action;
use serde_json::Value;

const SLACK: &str = "kind = \"slack\"\nwebhook_url = { file = \"$SECRETS/url\" }";
const TEAMS: &str = "kind = \"teams\"\nwebhook_url = { file = \"$SECRETS/url\" }";
const PAGERDUTY: &str =
    "kind = \"pagerduty\"\nurl = \"$BASE/v2/enqueue\"\nrouting_key = { file = \"$SECRETS/token\" }";

/// A finding whose texts try to be more than texts.
fn hostile() -> Due {
    let mut due = due(Action::RevokeTask, "<!channel> @here *bold* [click](https://evil.example)", &[]);
    due.finding.title = String::from("Pay <https://evil.example|here> & \u{202e}now\n<!everyone>");
    due.finding.reason = format!("`code` <@U1> $(x) ${{y}} \"quoted\" {}", "long ".repeat(2_000));
    due.finding.tool = Some("[x](javascript:alert(1))".to_owned());
    due
}

async fn send(own: &str, status: &'static str, body: &'static str, due: &Due) -> (Server, Next) {
    let dir = secrets();
    let server = Server::start(move |_, _| answer(status, body)).await;
    std::fs::write(dir.path().join("url"), format!("{}/services/T0/B0/s3cret", server.base)).unwrap();
    let outcome = receiver(own, dir.path(), &server).send(due, NOW).await;
    assert!(!format!("{outcome:?}").contains("s3cret"));
    (server, first(&outcome))
}

#[tokio::test]
async fn messages_have_the_shape_that_each_service_asks_for() {
    let due = due(Action::RevokeTask, "spiffe://acme.example/agent/billing", &["jti-19"]);
    for (name, own, status, body) in [
        ("slack.txt", SLACK, "200 OK", "ok"),
        ("teams.txt", TEAMS, "202 Accepted", ""),
        ("pagerduty.txt", PAGERDUTY, "202 Accepted", "{\"status\":\"success\",\"dedup_key\":\"x\"}"),
    ] {
        let (server, next) = send(own, status, body, &due).await;
        assert_eq!(next, Next::Acknowledged, "{name}");
        golden(name, &asked(&server));
    }
}

#[tokio::test]
async fn refusals_are_final_and_other_answers_are_not_taken_for_an_acknowledgement() {
    let due = due(Action::Notify, "agent", &[]);
    for (own, status, body, expected) in [
        (SLACK, "400 Bad Request", "invalid_payload", Some("refused")),
        (SLACK, "403 Forbidden", "action_prohibited", Some("refused")),
        (SLACK, "410 Gone", "channel_is_archived", Some("gone")),
        (SLACK, "200 OK", "no_text", None),
        (TEAMS, "200 OK", "1", None),
        (TEAMS, "401 Unauthorized", "", Some("refused")),
        (PAGERDUTY, "400 Bad Request", "{\"status\":\"invalid event\"}", Some("refused")),
        (PAGERDUTY, "202 Accepted", "{\"status\":\"queued\"}", None),
        (PAGERDUTY, "429 Too Many Requests", "", None),
    ] {
        let (_, next) = send(own, status, body, &due).await;
        match expected {
            Some(class) => assert_eq!(next, Next::DeadLetter(class), "{own} {status}"),
            None => assert!(matches!(next, Next::Retry(_)), "{own} {status}: {next:?}"),
        }
    }
}

/// Every text of a JSON value, with the object that it stands in.
fn texts<'a>(value: &'a Value, found: &mut Vec<(&'a Value, &'a str)>) {
    match value {
        Value::Object(members) => {
            for member in members.values() {
                if let Value::String(text) = member {
                    found.push((value, text));
                }
                texts(member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn findings_cannot_mention_link_or_format_in_slack() {
    let (server, next) = send(SLACK, "200 OK", "ok", &hostile()).await;
    assert_eq!(next, Next::Acknowledged);
    let message: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    let mut found = Vec::new();
    texts(&message, &mut found);
    for (parent, text) in found {
        assert!(!text.contains('\u{202e}') && !text.contains('\n'), "{text}");
        let inert = parent["type"] == "plain_text";
        assert!(inert || !text.contains(['<', '>']), "{text}");
    }
    assert!(
        !message.to_string().contains("mrkdwn\":true") && !message.to_string().contains("\"type\":\"mrkdwn")
    );
    let header = message["blocks"][0]["text"]["text"].as_str().unwrap().chars().count();
    let section = message["blocks"][1]["text"]["text"].as_str().unwrap().chars().count();
    let fields = message["blocks"][2]["fields"].as_array().unwrap().len();
    assert!(header <= 150 && section <= 3_000 && fields <= 10, "{header} {section} {fields}");
}

#[tokio::test]
async fn findings_cannot_link_or_format_in_teams() {
    let (server, next) = send(TEAMS, "202 Accepted", "", &hostile()).await;
    assert_eq!(next, Next::Acknowledged);
    let card: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    for block in card["attachments"][0]["content"]["body"].as_array().unwrap() {
        match block["type"].as_str().unwrap() {
            "RichTextBlock" => assert_eq!(block["inlines"][0]["type"], "TextRun"),
            "FactSet" => {
                for fact in block["facts"].as_array().unwrap() {
                    let value = fact["value"].as_str().unwrap();
                    let mut before = ' ';
                    for letter in value.chars() {
                        let marks = "*_[]()`<>#$".contains(letter);
                        assert!(!marks || before == '\\', "{value}");
                        before = if before == '\\' && letter == '\\' { ' ' } else { letter };
                    }
                }
            }
            other => panic!("{other} reads markup"),
        }
    }
    assert!(server.seen()[0].body.len() < 28_000, "Teams takes 28 KB");
}

#[tokio::test]
async fn an_incident_is_one_per_finding_and_within_pagerdutys_bounds() {
    let mut second = hostile();
    second.delivery_id = ambit_schemas::id::DeliveryId::try_from("dlv-2").unwrap();
    let taken = "{\"status\":\"success\"}";
    let mut keys = Vec::new();
    for due in [hostile(), second] {
        let (server, next) = send(PAGERDUTY, "202 Accepted", taken, &due).await;
        assert_eq!(next, Next::Acknowledged);
        let event: Value = serde_json::from_str(&server.seen()[0].body).unwrap();
        assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1_024);
        assert_eq!(event["payload"]["severity"], "error");
        keys.push(event["dedup_key"].as_str().unwrap().to_owned());
    }
    assert!(keys[0] == keys[1] && keys[0].len() <= 255);
}
