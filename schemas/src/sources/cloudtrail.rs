//! AWS CloudTrail. The agent is the role (its session is the instance) or the user; a task is known when the role
//! session is called `ambit.<task id>`, which whoever assumes the role chooses and AWS repeats in every record.

use super::build::{Mapped, call};
use super::fields::{Fields, credential_id, id};
use crate::event::{AgentRef, Body, Credential, Effect, TaskRef};
use crate::timestamp::Timestamp;
use time::PrimitiveDateTime;
use time::macros::format_description;

/// What the name of a role session begins with when it names a task.
const TASK_SESSION: &str = "ambit.";

pub(super) fn fits(record: Fields<'_>) -> bool {
    ["eventVersion", "eventSource", "eventName"].iter().all(|name| record.has(name))
}

pub(super) fn map(record: Fields<'_>) -> Mapped {
    let identity = record.at(&["userIdentity"]);
    let arn = identity.text(&["arn"]);
    let session = arn.and_then(session_of);
    let key = identity.text(&["accessKeyId"]).and_then(credential_id);
    let mut mapped = Mapped {
        // Copies of one event in several accounts share `sharedEventID`, each is a record of its own.
        id: record.text(&["eventID"]).map(str::to_owned),
        record_type: record.text(&["eventName"]).map(str::to_owned),
        time: record.time(&["eventTime"]),
        agent: agent(identity),
        task: session.and_then(task_of),
        principal: identity
            .id(&["sessionContext", "sourceIdentity"])
            .or_else(|| identity.id(&["sourceIdentity"])),
        session: session.map(str::to_owned),
        credential: key,
        ..Mapped::default()
    };
    let (Some(service), Some(name)) = (record.text(&["eventSource"]), record.text(&["eventName"])) else {
        return mapped.lacks("no_event_name");
    };
    let failed = record.has("errorCode");
    used(record, service, name, &mut mapped);
    if !failed {
        issued(record, service, &mut mapped);
        revoked(record, service, name, &mut mapped);
    }
    if mapped.task.is_some() {
        called(record, service, name, &mut mapped);
    }
    mapped
}

/// `arn:aws:sts::1:assumed-role/Role/Session` is a session of `arn:aws:iam::1:role/Role` (the path of the role is not
/// in it, so it is left out everywhere).
fn agent_of(arn: &str) -> Option<AgentRef> {
    let Some((head, tail)) = arn.split_once(":assumed-role/") else {
        return Some(AgentRef { uid: id(arn)?, instance_uid: None, blueprint: None, name: None });
    };
    let (role, session) = tail.split_once('/').unwrap_or((tail, ""));
    Some(AgentRef {
        uid: id(&format!("{}:role/{role}", head.replacen(":sts:", ":iam:", 1)))?,
        instance_uid: id(session),
        blueprint: None,
        name: (!role.is_empty()).then(|| role.to_owned()),
    })
}

fn agent(identity: Fields<'_>) -> Option<AgentRef> {
    let other = || ["invokedBy", "principalId", "accountId"].iter().find_map(|name| identity.text(&[name]));
    let mut agent = agent_of(identity.text(&["arn"]).or_else(other)?)?;
    agent.name = agent.name.or_else(|| identity.text(&["userName"]).map(str::to_owned));
    Some(agent)
}

fn session_of(arn: &str) -> Option<&str> {
    arn.split_once(":assumed-role/").and_then(|(_, tail)| tail.split_once('/')).map(|(_, session)| session)
}

fn task_of(session: &str) -> Option<TaskRef> {
    let task: crate::id::TaskId = id(session.strip_prefix(TASK_SESSION)?)?;
    Some(TaskRef { root: task.clone(), id: task, parent: None })
}

fn credential(uid: crate::id::CredentialId) -> Credential {
    // Temporary keys begin with ASIA (IAM identifiers, AWS).
    let temporary = uid.as_str().starts_with("ASIA");
    Credential {
        credential_type: if temporary { "cloud_sts" } else { "api_key" }.to_owned(),
        issuer: Some(if temporary { "sts.amazonaws.com" } else { "iam.amazonaws.com" }.to_owned()),
        ..super::credential(uid)
    }
}

fn used(record: Fields<'_>, service: &str, name: &str, mapped: &mut Mapped) {
    let Some(uid) = mapped.credential.clone() else { return };
    let arn = record.at(&["resources"]).elements().find_map(|resource| resource.text(&["ARN"]));
    let resource = Some(arn.map_or_else(|| format!("{service}/{name}"), str::to_owned));
    mapped.say("used", Body::CredentialUsed(Box::new(Credential { resource, ..credential(uid) })));
}

fn issued(record: Fields<'_>, service: &str, mapped: &mut Mapped) {
    let answer = record.at(&["responseElements"]);
    let granted = match service {
        "sts.amazonaws.com" => answer.at(&["credentials"]),
        "iam.amazonaws.com" => answer.at(&["accessKey"]),
        _ => return,
    };
    let Some(uid) = granted.text(&["accessKeyId"]).and_then(credential_id) else { return };
    let arn = answer.text(&["assumedRoleUser", "arn"]).or_else(|| answer.text(&["federatedUser", "arn"]));
    let account = record.text(&["recipientAccountId"]);
    let user = granted.text(&["userName"]).zip(account);
    let user = user.map(|(user, account)| format!("arn:aws:iam::{account}:user/{user}"));
    let receiver = arn.or(user.as_deref()).and_then(agent_of).or_else(|| mapped.agent.clone());
    let Some(receiver) = receiver else { return };
    let lasts = record.number(&["requestParameters", "durationSeconds"]);
    let lasts = lasts.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000_000));
    let until = granted.text(&["expiration"]).and_then(expiration);
    let body = Body::CredentialIssued(Box::new(Credential {
        scopes: record.text(&["requestParameters", "roleArn"]).map(str::to_owned).into_iter().collect(),
        not_before: mapped.time,
        expires_at: until.or_else(|| Some(mapped.time?.plus_micros(lasts?))),
        parent_uid: mapped.credential.clone(),
        ..credential(uid)
    }));
    let task = arn.and_then(session_of).and_then(task_of).or_else(|| mapped.task.clone());
    mapped.say_of("issued", body, receiver, task);
}

/// `Oct 2, 2019 11:12:29 PM`, or RFC 3339.
fn expiration(text: &str) -> Option<Timestamp> {
    let american = format_description!(
        "[month repr:short] [day padding:none], [year] [hour repr:12 padding:none]:[minute]:[second] [period]"
    );
    Timestamp::parse(text).ok().or_else(|| {
        let moment = PrimitiveDateTime::parse(text, american).ok()?.assume_utc();
        i64::try_from(moment.unix_timestamp_nanos() / 1_000).ok().map(Timestamp::from_micros)
    })
}

fn revoked(record: Fields<'_>, service: &str, name: &str, mapped: &mut Mapped) {
    let asked = record.at(&["requestParameters"]);
    let ends = match name {
        "DeleteAccessKey" => true,
        "UpdateAccessKey" => asked.text(&["status"]) == Some("Inactive"),
        _ => false,
    };
    let Some(uid) = asked.text(&["accessKeyId"]).and_then(credential_id) else { return };
    if !ends || service != "iam.amazonaws.com" {
        return;
    }
    let reason = Some(name.to_owned());
    let body = Body::CredentialRevoked(Box::new(Credential { reason, ..credential(uid) }));
    let owner = asked.text(&["userName"]).zip(record.text(&["recipientAccountId"]));
    let owner = owner.and_then(|(user, account)| agent_of(&format!("arn:aws:iam::{account}:user/{user}")));
    match owner {
        Some(owner) => mapped.say_of("revoked", body, owner, None),
        None => mapped.say("revoked", body),
    }
}

/// Within a task an API call is an action that the envelope bounds: `s3:GetObject`, as policies name it.
fn called(record: Fields<'_>, service: &str, name: &str, mapped: &mut Mapped) {
    let short = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let Some(call_id) = mapped.id.as_deref().and_then(id) else { return };
    let mut tool = call(call_id, &format!("{short}:{name}"));
    tool.server = Some(service.to_owned());
    tool.activity = activity(record.flag(&["readOnly"]), name);
    tool.arguments = super::fields::arguments(record.at(&["requestParameters"]).value());
    tool.error_type = record.text(&["errorCode"]).map(str::to_owned);
    tool.is_error = tool.error_type.is_some();
    let denied = tool
        .error_type
        .as_deref()
        .is_some_and(|code| code.contains("AccessDenied") || code.contains("Unauthorized"));
    let body =
        if denied { Body::ToolCallDenied(Box::new(tool)) } else { Body::ToolCallCompleted(Box::new(tool)) };
    mapped.say("call", body);
}

fn activity(read_only: Option<bool>, name: &str) -> Option<Effect> {
    let starts = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    match read_only {
        Some(true) => Some(Effect::Read),
        Some(false) if starts(&["Create", "Put", "Run", "Send", "Start"]) => Some(Effect::Create),
        Some(false) if starts(&["Delete", "Terminate", "Remove"]) => Some(Effect::Delete),
        Some(false) => Some(Effect::Update),
        None => None,
    }
}
