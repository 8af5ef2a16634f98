//! OpenTelemetry traces and logs, one span or log record each (see `otlp_split` for how a request is taken apart).
//! The agent is `gen_ai.agent.id` of the span, of its nearest ancestor, or of the resource; without any, the service.
//! A task is known where span, ancestor or resource has `ambit.task_id`.

use super::build::{Mapped, call};
use super::fields::{Fields, arguments, id, result, task, trace};
use super::otlp_logs;
use crate::event::{AgentRef, Body, Lifecycle, TraceRef};
use crate::timestamp::Timestamp;
use serde_json::Value;

pub(super) fn fits(record: Fields<'_>) -> bool {
    matches!(record.text(&["otlp"]), Some("span" | "log"))
        || record.value().is_some_and(super::otlp_split::is_request)
}

/// An attribute of the record, its ancestors or its resource, whichever is nearest.
pub(super) fn attribute<'a>(record: Fields<'a>, name: &str) -> Option<&'a str> {
    ["attributes", "inherited", "resource"].iter().find_map(|place| record.text(&[place, name]))
}

pub(super) fn map(record: Fields<'_>) -> Mapped {
    let is_log = record.text(&["otlp"]) == Some("log");
    let (trace_id, span_id) = (record.text(&["traceId"]), record.text(&["spanId"]));
    let place = trace(trace_id, span_id, record.text(&["parentSpanId"]));
    let named = |names: &[&str]| names.iter().find_map(|name| attribute(record, name));
    let session = named(&["session.id", "gen_ai.conversation.id", "conversation.id", "mcp.session.id"]);
    let mut mapped = Mapped {
        id: if is_log { otlp_logs::record_id(record) } else { place.as_ref().and_then(span_name) },
        record_type: record.text(&["name"]).map(str::to_owned),
        time: if is_log { log_time(record) } else { nanoseconds(record, "endTimeUnixNano") },
        agent: agent(record),
        task: ["attributes", "inherited", "resource"].iter().find_map(|place| task(record.at(&[place]))),
        principal: named(&["user.email", "enduser.id", "user.id", "user.account_uuid"]).and_then(id),
        session: session.map(str::to_owned),
        trace: place.clone(),
        ..Mapped::default()
    };
    if record.value().is_some_and(super::otlp_split::is_oversized) {
        return mapped.lacks("too_many");
    }
    if record.has("malformed") || !(is_log || record.text(&["otlp"]) == Some("span")) {
        return mapped.lacks("malformed");
    }
    if is_log {
        return otlp_logs::map(record, mapped);
    }
    let attributes = record.at(&["attributes"]);
    let operation = attributes.text(&["gen_ai.operation.name"]);
    let calls =
        operation == Some("execute_tool") || attributes.text(&["mcp.method.name"]) == Some("tools/call");
    if record.flag(&["within_call"]) == Some(true) {
        return mapped.because("told_by_parent");
    }
    if calls {
        return tool_call(record, mapped);
    }
    if operation == Some("create_agent") {
        mapped.say("created", Body::AgentCreated(Lifecycle::default()));
    }
    mapped
}

/// A span by its ids. Without valid ones it has none of its own, or all of those would be one.
fn span_name(place: &TraceRef) -> Option<String> {
    place.span_id.as_ref().map(|span| format!("{}/{span}", place.trace_id))
}

fn tool_call(record: Fields<'_>, mut mapped: Mapped) -> Mapped {
    let attributes = record.at(&["attributes"]);
    let Some(name) = attributes.text(&["gen_ai.tool.name"]) else { return mapped.lacks("no_tool_name") };
    let call_id = attributes.text(&["gen_ai.tool.call.id"]).or(mapped.id.as_deref()).and_then(id);
    let Some(call_id) = call_id else { return mapped.lacks("no_call_id") };
    let mut tool = call(call_id, name);
    let server =
        ["mcp.server.name", "mcp.target", "server.address"].iter().find_map(|name| attributes.text(&[name]));
    tool.server = server.map(str::to_owned);
    tool.arguments = arguments(attributes.at(&["gen_ai.tool.call.arguments"]).value());
    tool.result = result(attributes.at(&["gen_ai.tool.call.result"]).value());
    tool.error_type = attributes.text(&["error.type"]).map(str::to_owned);
    // STATUS_CODE_ERROR
    let status = record.at(&["status", "code"]);
    let failed = status.number(&[]) == Some(2) || status.text(&[]) == Some("STATUS_CODE_ERROR");
    tool.is_error = failed || tool.error_type.is_some();
    let begin = nanoseconds(record, "startTimeUnixNano");
    let lasted = mapped.time.zip(begin).map(|(end, begin)| end.micros_since(begin) / 1_000);
    tool.duration_ms = lasted.and_then(|lasted| u64::try_from(lasted).ok());
    mapped.say("call", Body::ToolCallCompleted(Box::new(tool)));
    mapped
}

fn agent(record: Fields<'_>) -> Option<AgentRef> {
    let resource = record.at(&["resource"]);
    let service = resource.text(&["service.name"]).filter(|name| !name.starts_with("unknown_service"));
    let namespace = resource.text(&["service.namespace"]);
    let of_service =
        service.map(|service| namespace.map_or_else(|| service.to_owned(), |all| format!("{all}/{service}")));
    let named = attribute(record, "gen_ai.agent.id").map(str::to_owned);
    let name = attribute(record, "gen_ai.agent.name");
    let blueprint = match (name, attribute(record, "gen_ai.agent.version")) {
        (Some(name), Some(version)) => Some(format!("{name}@{version}")),
        _ => service
            .zip(resource.text(&["service.version"]))
            .map(|(name, version)| format!("{name}@{version}")),
    };
    let instance = resource.text(&["service.instance.id"]).or_else(|| attribute(record, "session.id"));
    Some(AgentRef {
        uid: id(&named.or(of_service)?)?,
        instance_uid: instance.and_then(id),
        blueprint: blueprint.as_deref().and_then(id),
        name: name.or(service).map(str::to_owned),
    })
}

fn log_time(record: Fields<'_>) -> Option<Timestamp> {
    nanoseconds(record, "timeUnixNano").or_else(|| nanoseconds(record, "observedTimeUnixNano"))
}

/// Nanoseconds since 1970, as a text or a number; 0 means not known.
fn nanoseconds(record: Fields<'_>, name: &str) -> Option<Timestamp> {
    let number = record.number(&[name]).filter(|number| *number > 0)?;
    i64::try_from(number / 1_000).ok().map(Timestamp::from_micros)
}

/// A value as text or number, for ids.
pub(super) fn plain(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
