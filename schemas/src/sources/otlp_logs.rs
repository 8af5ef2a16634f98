//! Log events of coding agents: Claude Code, Codex, Gemini CLI. Types vary between versions (`success` is a flag or a
//! text), names too; both are read leniently.

use super::build::{Mapped, call};
use super::fields::{Fields, arguments, id, result};
use super::otlp::plain;
use crate::event::{Approval, Body, Decision, ToolCall};
use crate::id::ToolCallId;

/// The event's name: the attribute, the newer field, or the body.
fn event_name(record: Fields<'_>) -> Option<&str> {
    let body = || record.text(&["body"]).filter(|body| body.len() <= 128 && !body.contains(' '));
    record.text(&["attributes", "event.name"]).or_else(|| record.text(&["eventName"])).or_else(body)
}

/// Session and sequence, where both are there: unique within what wrote them.
pub(super) fn record_id(record: Fields<'_>) -> Option<String> {
    let attributes = record.at(&["attributes"]);
    let session = attributes.text(&["session.id"]).or_else(|| attributes.text(&["conversation.id"]))?;
    let sequence = plain(attributes.at(&["event.sequence"]).value())?;
    Some(format!("{session}/{sequence}"))
}

fn first<'a>(attributes: Fields<'a>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| attributes.text(&[name]))
}

pub(super) fn map(record: Fields<'_>, mut mapped: Mapped) -> Mapped {
    let Some(event) = event_name(record) else { return mapped };
    mapped.record_type = Some(event.to_owned());
    let result = event.ends_with("tool_result") || event == "gemini_cli.tool_call";
    let decision = event.ends_with("tool_decision");
    if !result && !decision {
        return mapped;
    }
    let attributes = record.at(&["attributes"]);
    let name = first(attributes, &["tool_name", "function_name", "gen_ai.tool.name"]);
    let Some(name) = name else { return mapped.lacks("no_tool_name") };
    let own = first(attributes, &["tool_use_id", "call_id", "gen_ai.tool.call.id"]);
    let call_id: Option<ToolCallId> = own.or(mapped.id.as_deref()).and_then(id);
    let call_id = call_id.or_else(|| {
        // Some versions of Gemini CLI have no id of the call: the prompt and the moment are its.
        let moment = plain(record.at(&["timeUnixNano"]).value())?;
        id(&format!("{}/{moment}", first(attributes, &["prompt_id", "prompt.id", "session.id"])?))
    });
    let Some(call_id) = call_id else { return mapped.lacks("no_call_id") };
    let decided = first(attributes, &["decision"]).map(|text| {
        let allowed = ["accept", "auto_accept", "modify", "approved", "approved_for_session", "allow"];
        (allowed.contains(&text), text)
    });
    if let Some((allowed, text)) = decided {
        decide(attributes, &call_id, name, allowed, text, &mut mapped);
    }
    let refused = decided.is_some_and(|(allowed, _)| !allowed);
    if result || refused {
        let tool = Box::new(tool(attributes, call(call_id, name)));
        mapped.say("call", if refused { Body::ToolCallDenied(tool) } else { Body::ToolCallCompleted(tool) });
    }
    if mapped.said.is_empty() { mapped.lacks("no_decision") } else { mapped }
}

fn decide(
    attributes: Fields<'_>,
    call_id: &ToolCallId,
    tool: &str,
    allowed: bool,
    text: &str,
    mapped: &mut Mapped,
) {
    let source = first(attributes, &["source"]);
    mapped.say(
        "decision",
        Body::DecisionEvaluated(Decision {
            evaluation_id: call_id.as_str().to_owned(),
            decision: allowed,
            tool_call_id: Some(call_id.clone()),
            policy: None,
            reason: Some(text.to_owned()),
            decided_by: source.map(str::to_owned),
        }),
    );
    // A human decided.
    if source.is_some_and(|source| source.to_ascii_lowercase().starts_with("user")) {
        let approval = Box::new(Approval {
            request_id: call_id.as_str().to_owned(),
            tool: tool.to_owned(),
            tool_call_id: Some(call_id.clone()),
            approver: mapped.principal.clone(),
            approved_until: None,
            justification: None,
        });
        let body = if allowed { Body::ApprovalApproved(approval) } else { Body::ApprovalDenied(approval) };
        mapped.say("approval", body);
    }
}

fn tool(attributes: Fields<'_>, mut tool: ToolCall) -> ToolCall {
    let given = ["tool_parameters", "tool_input", "arguments", "function_args"];
    tool.arguments = given.iter().find_map(|name| arguments(attributes.at(&[name]).value()));
    tool.server = first(attributes, &["mcp_server", "mcp_server_name"]).map(str::to_owned);
    tool.result = result(attributes.at(&["output"]).value());
    tool.duration_ms = attributes.number(&["duration_ms"]);
    tool.error_type = first(attributes, &["error.type", "error_type"]).map(str::to_owned);
    tool.is_error = attributes.flag(&["success"]) == Some(false) || tool.error_type.is_some();
    tool
}
