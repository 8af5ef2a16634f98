//! Kubernetes audit events. The agent is the authenticated user (`system:serviceaccount:<namespace>:<name>`), for a
//! token request the service account that gets the token. Only the last stage of a request is mapped. A task is known
//! when the user's `extra` has `ambit.task_id`.

use super::build::Mapped;
use super::fields::{Fields, credential_id, id};
use crate::event::{AgentRef, Body, Credential, TaskRef};

/// Prefixes of the two names that the annotations have had.
const PREFIXES: [&str; 2] = ["authentication.kubernetes.io", "authentication.k8s.io"];

pub(super) fn fits(record: Fields<'_>) -> bool {
    record.text(&["apiVersion"]).is_some_and(|version| version.starts_with("audit.k8s.io/"))
}

pub(super) fn map(record: Fields<'_>) -> Mapped {
    let (user, object) = (record.at(&["user"]), record.at(&["objectRef"]));
    let (verb, stage) = (record.text(&["verb"]), record.text(&["stage"]).unwrap_or_default());
    let presented = PREFIXES.iter().find_map(|prefix| {
        let name = format!("{prefix}/credential-id");
        credential_id(first(user.at(&["extra", &name]))?)
    });
    let parts = [verb, object.text(&["resource"]), object.text(&["subresource"])];
    let mut mapped = Mapped {
        id: record.text(&["auditID"]).map(|id| format!("{id}:{stage}")),
        record_type: Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
            .filter(|name| !name.is_empty()),
        time: record.time(&["stageTimestamp"]).or_else(|| record.time(&["requestReceivedTimestamp"])),
        agent: user.text(&["username"]).and_then(agent),
        task: task(user.at(&["extra"])),
        // Who is impersonated is for whom the user acts.
        principal: record.id(&["impersonatedUser", "username"]),
        credential: presented.clone(),
        ..Mapped::default()
    };
    if !matches!(stage, "ResponseComplete" | "Panic") {
        return mapped.because("stage");
    }
    if let Some(uid) = presented {
        let resource = record.text(&["requestURI"]).map(str::to_owned);
        mapped.say("used", Body::CredentialUsed(Box::new(Credential { resource, ..token(uid) })));
    }
    let code = record.number(&["responseStatus", "code"]).unwrap_or_default();
    if verb == Some("create") && object.text(&["subresource"]) == Some("token") && (200..300).contains(&code)
    {
        issued(record, object, &mut mapped);
    }
    mapped
}

/// The values of `extra` are lists.
fn first(values: Fields<'_>) -> Option<&str> {
    values.elements().find_map(|value| value.text(&[])).or_else(|| values.text(&[]))
}

fn task(extra: Fields<'_>) -> Option<TaskRef> {
    let named = |name: &str| first(extra.at(&[name])).and_then(id);
    let task: crate::id::TaskId = named("ambit.task_id")?;
    let root = named("ambit.root_task_id").unwrap_or_else(|| task.clone());
    Some(TaskRef { id: task, root, parent: named("ambit.parent_task_id") })
}

fn agent(username: &str) -> Option<AgentRef> {
    let name = username.rsplit(':').next().map(str::to_owned);
    Some(AgentRef { uid: id(username)?, instance_uid: None, blueprint: None, name })
}

fn token(uid: crate::id::CredentialId) -> Credential {
    let certificate = uid.as_str().starts_with("X509SHA256=");
    Credential {
        credential_type: if certificate { "x509" } else { "service_account_token" }.to_owned(),
        issuer: Some("kubernetes".to_owned()),
        ..super::credential(uid)
    }
}

fn issued(record: Fields<'_>, object: Fields<'_>, mapped: &mut Mapped) {
    let uid = PREFIXES.iter().find_map(|prefix| {
        credential_id(record.text(&["annotations", &format!("{prefix}/issued-credential-id")])?)
    });
    let (Some(uid), Some(name)) = (uid, object.text(&["name"])) else { return };
    let namespace = object.text(&["namespace"]).unwrap_or("default");
    let Some(receiver) = agent(&format!("system:serviceaccount:{namespace}:{name}")) else { return };
    let asked = record.at(&["requestObject", "spec"]);
    let body = Body::CredentialIssued(Box::new(Credential {
        audience: asked.texts(&["audiences"]),
        not_before: mapped.time,
        expires_at: record.time(&["responseObject", "status", "expirationTimestamp"]),
        parent_uid: mapped.credential.clone(),
        ..token(uid)
    }));
    let task = mapped.task.clone();
    mapped.say_of("issued", body, receiver, task);
}
