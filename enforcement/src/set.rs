//! Security event tokens (RFC 8417): what a delivery says in the words of CAEP 1.0 and RISC 1.0.
//!
//! | action | event | subject |
//! |-|-|-|
//! | `revoke_tree`, `revoke_task` | CAEP session-revoked | tenant, agent as application, (root) task as session |
//! | `revoke_credential` | CAEP credential-change (or RISC credential-compromise), one token per credential | tenant, agent; or the JWT |
//! | `pause`, `step_up`, `notify` | CAEP risk-level-change | tenant, agent, task |

use crate::outbox::Due;
use crate::transmitter::Transmitter;
use ambit_schemas::finding::{Finding, Severity};
use ambit_schemas::response::Action;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where CAEP's event types are named.
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
/// Where RISC's event types are named.
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// What a receiver of security event tokens is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetOptions {
    /// `aud`: whom the tokens are for, as the receiver calls itself.
    pub audience: String,
    /// How the end of a credential is told.
    #[serde(default)]
    pub credential_event: CredentialEvent,
    /// `credential_type`, as agreed with the receiver.
    #[serde(default = "default_credential_type")]
    pub credential_type: String,
    /// Who issued the credentials, where they are JWTs: they are then named by `iss` and `jti` (SSF `jwt_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_issuer: Option<String>,
}

fn default_credential_type() -> String {
    "oauth_access_token".to_owned()
}

/// How the end of a credential is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialEvent {
    /// CAEP credential-change with `change_type` `revoke`.
    #[default]
    CredentialChange,
    /// RISC credential-compromise.
    CredentialCompromise,
}

/// The claims of an event.
type Said = Map<String, Value>;

/// A token before it is signed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Set {
    /// The delivery's id; further tokens of one delivery have a number behind it. The same for every try.
    pub(crate) id: String,
    pub(crate) claims: Value,
}

/// The tokens of a delivery, at least one. `issued_at` is seconds since 1970.
pub(crate) fn sets(options: &SetOptions, transmitter: &Transmitter, due: &Due, issued_at: i64) -> Vec<Set> {
    let events: Vec<(String, Value, Said)> = match due.action {
        Action::RevokeTask | Action::RevokeTree => {
            vec![(format!("{CAEP}session-revoked"), subject(due, true), common(&due.finding))]
        }
        Action::RevokeCredential => credential_events(options, due),
        Action::Restore | Action::Notify | Action::StepUp | Action::Pause => {
            vec![(format!("{CAEP}risk-level-change"), subject(due, true), risk(due))]
        }
    };
    let mut sets = Vec::new();
    for (number, (event, subject, said)) in events.into_iter().enumerate() {
        let id = if number == 0 {
            due.delivery_id.to_string()
        } else {
            format!("{}.{}", due.delivery_id, number + 1)
        };
        let claims = json!({
            "iss": transmitter.issuer,
            "aud": options.audience,
            "iat": issued_at,
            "jti": id,
            "txn": due.response_id.as_str(),
            "sub_id": subject,
            "events": {event: said},
        });
        sets.push(Set { id, claims });
    }
    sets
}

/// The claims that all events have.
fn common(finding: &Finding) -> Said {
    // The rule's title and ids only: what the agent did may hold what must not leave.
    let reason = format!("{} ({}, {})", finding.title, finding.rule.id, finding.id);
    Said::from_iter([
        ("event_timestamp".to_owned(), json!(finding.time.micros().div_euclid(1_000_000))),
        ("initiating_entity".to_owned(), json!("policy")),
        ("reason_admin".to_owned(), json!({"en": reason})),
    ])
}

fn credential_events(options: &SetOptions, due: &Due) -> Vec<(String, Value, Said)> {
    let event = match options.credential_event {
        CredentialEvent::CredentialChange => format!("{CAEP}credential-change"),
        CredentialEvent::CredentialCompromise => format!("{RISC}credential-compromise"),
    };
    let said = |named: Option<&str>| {
        let mut said = common(&due.finding);
        said.insert("credential_type".to_owned(), json!(options.credential_type));
        match options.credential_event {
            CredentialEvent::CredentialChange => {
                said.insert("change_type".to_owned(), json!("revoke"));
                said.extend(named.map(|name| ("friendly_name".to_owned(), json!(name))));
            }
            // RISC has no such claim.
            CredentialEvent::CredentialCompromise => {
                said.remove("initiating_entity");
            }
        }
        said
    };
    // Nothing is known of its credentials: then all that the agent has.
    if due.finding.credentials.is_empty() {
        return vec![(event, subject(due, false), said(None))];
    }
    let one = |uid: &str| match &options.token_issuer {
        Some(issuer) => json!({"format": "jwt_id", "iss": issuer, "jti": uid}),
        None => subject(due, false),
    };
    let credentials = due.finding.credentials.iter();
    credentials.map(|uid| (event.clone(), one(uid.as_str()), said(Some(uid.as_str())))).collect()
}

fn risk(due: &Due) -> Said {
    let mut said = common(&due.finding);
    let level = match (due.action, due.finding.severity) {
        // The risk that asked for a pause is over when a person, or its time, lifts it.
        (Action::Restore, _) => "LOW",
        (Action::Pause | Action::StepUp, _) | (_, Severity::High | Severity::Critical) => "HIGH",
        (_, Severity::Medium) => "MEDIUM",
        (_, Severity::Info | Severity::Low) => "LOW",
    };
    said.insert("principal".to_owned(), json!("AGENT"));
    said.insert("current_level".to_owned(), json!(level));
    said.insert("risk_reason".to_owned(), json!(due.finding.rule.id.as_str()));
    said
}

/// Whom it is about (RFC 9493; SSF 1.0, complex subjects).
fn subject(due: &Due, with_session: bool) -> Value {
    let finding = &due.finding;
    let mut members = Map::new();
    members.insert("format".to_owned(), json!("complex"));
    members.insert("tenant".to_owned(), json!({"format": "opaque", "id": finding.tenant.as_str()}));
    if let Some(agent) = &finding.agent {
        members.insert("application".to_owned(), identifier(agent.uid.as_str()));
    }
    if let Some(task) = finding.task.as_ref().filter(|_| with_session) {
        let id = if due.action == Action::RevokeTree { &task.root } else { &task.id };
        members.insert("session".to_owned(), json!({"format": "opaque", "id": id.as_str()}));
    }
    Value::Object(members)
}

/// `uri` where the agent is named by one, such as a SPIFFE id; otherwise `opaque`.
fn identifier(uid: &str) -> Value {
    let is_uri = uid.split_once("://").is_some_and(|(scheme, rest)| {
        !rest.is_empty() && !scheme.is_empty() && scheme.chars().all(|letter| letter.is_ascii_alphanumeric())
    });
    if is_uri { json!({"format": "uri", "uri": uid}) } else { json!({"format": "opaque", "id": uid}) }
}
