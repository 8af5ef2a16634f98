//! Audit log of HashiCorp Vault and OpenBao. The agent is the entity, or the name that the login shows; a request is
//! the use of its token, the answer to it may be an issue or a revocation. A task is known when the token's metadata
//! has `ambit.task_id`. Accessors are hashed per audit device (unless `hmac_accessor=false`): they join within one
//! device, so each device is an origin of its own.

use super::build::Mapped;
use super::fields::{Fields, credential_id, id, task};
use crate::event::{AgentRef, Body, Credential};
use crate::id::CredentialId;
use crate::timestamp::Timestamp;

pub(super) fn fits(record: Fields<'_>) -> bool {
    let kind = record.text(&["type"]);
    matches!(kind, Some("request" | "response")) && record.has("request") && !record.has("method")
}

pub(super) fn map(record: Fields<'_>) -> Mapped {
    let (auth, request) = (record.at(&["auth"]), record.at(&["request"]));
    let (kind, path) = (record.text(&["type"]).unwrap_or_default(), request.text(&["path"]));
    let accessor = request.text(&["client_token_accessor"]).or_else(|| auth.text(&["accessor"]));
    let mut mapped = Mapped {
        // Request and answer share the id.
        id: request.text(&["id"]).map(|request| format!("{request}:{kind}")),
        record_type: path.map(|path| format!("{} {path}", request.text(&["operation"]).unwrap_or("?"))),
        time: record.time(&["time"]),
        agent: agent(auth),
        task: task(auth.at(&["metadata"])),
        credential: request.text(&["client_token_accessor"]).and_then(credential_id),
        ..Mapped::default()
    };
    let Some(path) = path else { return mapped.lacks("no_path") };
    if kind == "request" {
        return match accessor.and_then(credential_id) {
            Some(uid) => {
                let resource = Some(path.to_owned());
                mapped.say("used", Body::CredentialUsed(Box::new(Credential { resource, ..token(uid) })));
                mapped
            }
            None => mapped.because("not_authenticated"),
        };
    }
    if record.has("error") {
        return mapped.because("failed");
    }
    issued(record, path, &mut mapped);
    revoked(request, path, &mut mapped);
    if mapped.said.is_empty() { mapped.because("answer") } else { mapped }
}

fn agent(auth: Fields<'_>) -> Option<AgentRef> {
    let (entity, name) = (auth.text(&["entity_id"]), auth.text(&["display_name"]));
    let uid = match (entity, name) {
        (Some(entity), _) => format!("vault:entity/{entity}"),
        (None, Some(name)) => format!("vault:name/{name}"),
        (None, None) => return None,
    };
    Some(AgentRef { uid: id(&uid)?, instance_uid: None, blueprint: None, name: name.map(str::to_owned) })
}

fn token(uid: CredentialId) -> Credential {
    Credential {
        credential_type: "vault_token".to_owned(),
        issuer: Some("vault".to_owned()),
        ..super::credential(uid)
    }
}

fn issued(record: Fields<'_>, path: &str, mapped: &mut Mapped) {
    let after = |seconds: Option<u64>, time: Option<Timestamp>| {
        let micros = i64::try_from(seconds?).ok()?.checked_mul(1_000_000)?;
        (micros > 0).then_some(time?.plus_micros(micros))
    };
    let granted = record.at(&["response", "auth"]);
    if let Some(uid) = granted.text(&["accessor"]).and_then(credential_id) {
        let lasts = granted.number(&["token_ttl"]).or_else(|| granted.number(&["lease_duration"]));
        let body = Body::CredentialIssued(Box::new(Credential {
            scopes: granted.texts(&["policies"]),
            not_before: mapped.time,
            expires_at: after(lasts, mapped.time),
            parent_uid: mapped.credential.clone().filter(|parent| *parent != uid),
            resource: Some(path.to_owned()),
            ..token(uid)
        }));
        let receiver = agent(granted).or_else(|| agent(record.at(&["auth"])));
        let task = task(granted.at(&["metadata"])).or_else(|| mapped.task.clone());
        match receiver {
            Some(receiver) => mapped.say_of("issued", body, receiver, task),
            None => mapped.say("issued", body),
        }
    }
    let secret = record.at(&["response", "secret"]);
    let lease = secret.text(&["lease_id"]).or_else(|| record.text(&["response", "lease_id"]));
    if let Some(uid) = lease.and_then(credential_id) {
        let lasts = secret.number(&["lease_duration"]);
        mapped.say(
            "leased",
            Body::CredentialIssued(Box::new(Credential {
                credential_type: "vault_lease".to_owned(),
                not_before: mapped.time,
                expires_at: after(lasts, mapped.time),
                parent_uid: mapped.credential.clone(),
                resource: Some(path.to_owned()),
                ..token(uid)
            })),
        );
    }
}

fn revoked(request: Fields<'_>, path: &str, mapped: &mut Mapped) {
    let path = path.trim_start_matches('/');
    let ended = if path.starts_with("auth/token/revoke-accessor") {
        request.text(&["data", "accessor"])
    } else if path.starts_with("auth/token/revoke-self") {
        request.text(&["client_token_accessor"])
    } else if let Some(rest) =
        path.strip_prefix("sys/leases/revoke").or_else(|| path.strip_prefix("sys/revoke"))
    {
        request
            .text(&["data", "lease_id"])
            .or_else(|| rest.strip_prefix('/').filter(|lease| !lease.is_empty()))
    } else {
        None
    };
    if let Some(uid) = ended.and_then(credential_id) {
        let reason = Some(path.to_owned());
        mapped.say("revoked", Body::CredentialRevoked(Box::new(Credential { reason, ..token(uid) })));
    }
}
