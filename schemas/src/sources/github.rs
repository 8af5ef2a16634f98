//! GitHub audit log. The agent is the actor; a credential is known by the hash of its token, which GitHub puts into
//! issue and use alike. There is no place for a task.

use super::build::Mapped;
use super::fields::{Fields, credential_id, id};
use crate::event::{AgentRef, Body, Credential};
use crate::timestamp::Timestamp;

pub(super) fn fits(record: Fields<'_>) -> bool {
    let known = ["@timestamp", "created_at", "_document_id"].iter().any(|name| record.has(name));
    record.text(&["action"]).is_some_and(|action| action.contains('.')) && known && record.has("actor")
}

pub(super) fn map(record: Fields<'_>) -> Mapped {
    let action = record.text(&["action"]).unwrap_or_default();
    let uid = record.text(&["hashed_token"]).and_then(credential_id);
    let mut mapped = Mapped {
        id: record.text(&["_document_id"]).map(str::to_owned),
        record_type: Some(action.to_owned()),
        time: moment(record, "@timestamp").or_else(|| moment(record, "created_at")),
        agent: agent(record),
        credential: uid.clone(),
        ..Mapped::default()
    };
    let Some(uid) = uid else { return mapped.because("no_credential") };
    let scopes = record.text(&["token_scopes"]).unwrap_or_default();
    let scopes =
        scopes.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).take(64).collect();
    let credential = Box::new(Credential {
        credential_type: record.text(&["programmatic_access_type"]).unwrap_or("unknown").to_owned(),
        issuer: Some("github.com".to_owned()),
        scopes,
        resource: record.text(&["repo"]).or_else(|| record.text(&["org"])).map(str::to_owned),
        reason: None,
        ..super::credential(uid)
    });
    // A record about tokens is told from one that was caused with a token by its action.
    let about_tokens =
        ["personal_access_token.", "oauth_access.", "oauth_authorization.", "public_key.", "deploy_key."]
            .iter()
            .any(|family| action.starts_with(family));
    let ends = |words: &[&str]| words.iter().any(|word| action.ends_with(word));
    if about_tokens && ends(&[".create", ".access_granted", ".regenerate"]) {
        mapped.credential = None;
        mapped.say("issued", Body::CredentialIssued(credential));
    } else if about_tokens && ends(&[".destroy", ".revoke", ".access_revoked", ".delete"]) {
        mapped.credential = None;
        let reason = Some(action.to_owned());
        mapped.say("revoked", Body::CredentialRevoked(Box::new(Credential { reason, ..*credential })));
    } else {
        mapped.say("used", Body::CredentialUsed(credential));
    }
    mapped
}

fn agent(record: Fields<'_>) -> Option<AgentRef> {
    let actor = record.text(&["actor"])?;
    let uid = format!("https://github.com/{actor}");
    Some(AgentRef { uid: id(&uid)?, instance_uid: None, blueprint: None, name: Some(actor.to_owned()) })
}

/// Milliseconds since 1970, or RFC 3339.
fn moment(record: Fields<'_>, name: &str) -> Option<Timestamp> {
    let milliseconds =
        record.number(&[name]).and_then(|number| i64::try_from(number).ok()?.checked_mul(1_000));
    milliseconds.map(Timestamp::from_micros).or_else(|| record.time(&[name]))
}
