//! The clause about secrets: none belongs into what a tool is given or returns, for both are recorded, and read by a
//! model. The secret itself was taken out before the event was kept; what is left says which rule found it where.

use crate::describe::{Verdict, who};
use crate::rules;
use ambit_schemas::Event;
use ambit_schemas::event::ToolCall;
use ambit_schemas::finding::Severity;

/// Rules that go by names and randomness: they are wrong more often than those that know a vendor's form.
const GUESSES: [&str; 3] = ["secret-name", "high-entropy", "assignment"];
/// Names under which formats carry what a tool was given.
const GIVEN: [&str; 5] = ["arguments", "function_args", "tool_parameters", "tool_input", "requestParameters"];
/// Most places that a finding names.
const PLACES_MAX: usize = 3;

/// A secret in a call. `told` says that the call's arguments were judged when it was requested.
pub(crate) fn leaked(event: &Event, call: &ToolCall, told: bool) -> Option<Verdict> {
    let given = |pointer: &str| GIVEN.iter().any(|name| pointer.contains(name));
    let new: Vec<_> =
        event.redactions.iter().filter(|redaction| !(told && given(&redaction.pointer))).collect();
    let first = new.first()?;
    let sure = new.iter().any(|redaction| !GUESSES.contains(&redaction.rule.as_str()));
    let severity = if sure { Severity::High } else { Severity::Medium };
    let what = if given(&first.pointer) { "was given" } else { "carries" };
    let reason = format!("{} called {}, which {what} a secret", who(event), call.name);
    let places: Vec<String> = new
        .iter()
        .take(PLACES_MAX)
        .map(|redaction| format!("{} at {}", redaction.rule, redaction.pointer))
        .collect();
    let more = new.len().saturating_sub(PLACES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let observed = format!("{}{more}", places.join(", "));
    Some(Verdict::new(&rules::SECRET, severity, "", reason).seen("no secret", observed))
}
