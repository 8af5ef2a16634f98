//! Logs of MCP gateways: access logs with the names of OpenTelemetry (flat or nested), and captures of JSON-RPC with
//! what the gateway knew of the caller. The agent is the subject of the caller's token. A task is known when the
//! record, or `params._meta`, has `ambit.task_id`.

use super::build::{Mapped, call};
use super::fields::{Fields, arguments, credential_id, id, result, task, trace};
use crate::event::{AgentRef, Body, Decision, ToolCall};
use crate::timestamp::Timestamp;
use serde_json::Value;

pub(super) fn fits(record: Fields<'_>) -> bool {
    record.dotted("mcp.method.name").value().is_some()
        || record.dotted("mcp.method").value().is_some_and(Value::is_string)
        || message(record).text(&["method"]).is_some() && message(record).has("jsonrpc")
}

/// The JSON-RPC message, wherever the gateway puts it.
fn message(record: Fields<'_>) -> Fields<'_> {
    let within = ["message", "request", "rpc"].iter().map(|name| record.at(&[name]));
    within.into_iter().find(|inner| inner.has("jsonrpc")).unwrap_or(record)
}

fn text<'a>(record: Fields<'a>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| record.dotted(name).text(&[]))
}

pub(super) fn map(record: Fields<'_>) -> Mapped {
    let rpc = message(record);
    let meta = rpc.at(&["params", "_meta"]);
    let method = text(record, &["mcp.method.name", "mcp.method"]).or_else(|| rpc.text(&["method"]));
    let parent = meta.text(&["traceparent"]).unwrap_or_default();
    let parent: Vec<&str> = parent.split('-').collect();
    let jti = text(record, &["jwt.jti", "token.jti"]).and_then(credential_id);
    let mut mapped = Mapped {
        id: text(record, &["log.id", "event.id", "id"]).filter(|_| !record.has("jsonrpc")).map(str::to_owned),
        record_type: method.map(str::to_owned),
        time: moment(record),
        agent: agent(record),
        task: task(record).or_else(|| task(meta)),
        principal: text(record, &["jwt.act_for", "token.principal", "enduser.id", "user.id"]).and_then(id),
        session: text(record, &["mcp.session.id"]).map(str::to_owned),
        trace: trace(text(record, &["trace.id", "trace_id"]), text(record, &["span.id", "span_id"]), None)
            .or_else(|| trace(parent.get(1).copied(), None, parent.get(2).copied())),
        credential: jti,
        ..Mapped::default()
    };
    if method != Some("tools/call") {
        return mapped;
    }
    let name = text(record, &["gen_ai.tool.name", "mcp.tool.name"]).or_else(|| rpc.text(&["params", "name"]));
    let Some(name) = name else { return mapped.lacks("no_tool_name") };
    let request = record.dotted("jsonrpc.request.id").written(&[]).or_else(|| rpc.written(&["id"]));
    let call_id = text(record, &["gen_ai.tool.call.id"]).map(str::to_owned);
    // Request ids count from 1 in every session.
    let call_id = call_id.or_else(|| {
        let session =
            mapped.session.clone().or_else(|| mapped.trace.as_ref().map(|trace| trace.trace_id.clone()));
        Some(format!("{}/{}", session?, request?))
    });
    let Some(call_id) = call_id.or_else(|| mapped.id.clone()).as_deref().and_then(id) else {
        return mapped.lacks("no_call_id");
    };
    let tool = tool(record, rpc, call(call_id, name));
    say(record, rpc, tool, &mut mapped);
    mapped
}

fn tool(record: Fields<'_>, rpc: Fields<'_>, mut tool: ToolCall) -> ToolCall {
    let given = record.dotted("gen_ai.tool.call.arguments").value();
    let answer = record.dotted("gen_ai.tool.call.result").value();
    let answer = answer.or_else(|| record.at(&["response", "result"]).value());
    tool.server = text(record, &["mcp.target", "mcp.server.name", "server.address"]).map(str::to_owned);
    tool.arguments = arguments(given.or_else(|| rpc.at(&["params", "arguments"]).value()));
    tool.result = result(answer);
    let code = record.dotted("mcp.error.code").written(&[]);
    let code = code.or_else(|| record.at(&["response", "error"]).written(&["code"]));
    tool.error_type = text(record, &["error.type"]).map(str::to_owned).or(code);
    let flagged = record.at(&["response", "result"]).flag(&["isError"]).unwrap_or_default();
    tool.is_error = tool.error_type.is_some() || flagged;
    tool.duration_ms = record.number(&["duration_ms"]).or_else(|| milliseconds(text(record, &["duration"])?));
    tool
}

fn say(record: Fields<'_>, rpc: Fields<'_>, tool: ToolCall, mapped: &mut Mapped) {
    let decided = ["decision", "authorization.decision", "policy.decision"].iter().find_map(|name| {
        let value = record.dotted(name);
        value.flag(&[]).or_else(|| match value.text(&[])?.to_ascii_lowercase().as_str() {
            "allow" | "allowed" | "permit" | "accept" => Some(true),
            "deny" | "denied" | "forbid" | "reject" => Some(false),
            _ => None,
        })
    });
    if let Some(decision) = decided {
        let decision = Decision {
            evaluation_id: text(record, &["evaluation_id"]).unwrap_or(tool.id.as_str()).to_owned(),
            decision,
            tool_call_id: Some(tool.id.clone()),
            policy: text(record, &["policy.id", "policy"]).map(str::to_owned),
            reason: text(record, &["policy.reason", "reason"]).map(str::to_owned),
            decided_by: Some("gateway".to_owned()),
        };
        mapped.say("decision", Body::DecisionEvaluated(decision));
    }
    let answered =
        tool.result.is_some() || tool.is_error || tool.duration_ms.is_some() || record.has("response");
    let body = match decided {
        Some(false) => Body::ToolCallDenied(Box::new(tool)),
        _ if answered || !rpc.has("jsonrpc") => Body::ToolCallCompleted(Box::new(tool)),
        _ => Body::ToolCallRequested(Box::new(tool)),
    };
    mapped.say("call", body);
}

fn agent(record: Fields<'_>) -> Option<AgentRef> {
    let subject = text(record, &["gen_ai.agent.id", "agent.id", "jwt.sub", "token.sub"])?;
    Some(AgentRef {
        uid: id(subject)?,
        instance_uid: text(record, &["service.instance.id", "agent.instance_id"]).and_then(id),
        blueprint: None,
        name: text(record, &["gen_ai.agent.name", "agent.name"]).map(str::to_owned),
    })
}

fn moment(record: Fields<'_>) -> Option<Timestamp> {
    ["time", "timestamp", "@timestamp", "ts"].iter().find_map(|name| {
        record.time(&[name]).or_else(|| {
            let number = i64::try_from(record.number(&[name])?).ok()?;
            // Milliseconds since 1970 have 13 digits in our time, seconds 10.
            let micros = if number > 100_000_000_000 {
                number.checked_mul(1_000)
            } else {
                number.checked_mul(1_000_000)
            };
            micros.map(Timestamp::from_micros)
        })
    })
}

/// `12ms`, `1.5s`, `850us`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held between 0 and a year")]
fn milliseconds(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(split)?;
    let factor = match unit {
        "us" | "µs" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        _ => return None,
    };
    let milliseconds: f64 = number.parse::<f64>().ok()? * factor;
    Some(milliseconds.clamp(0.0, 31_536_000_000.0) as u64)
}
