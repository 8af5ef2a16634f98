//! Comma-separated values (RFC 4180).
//!
//! What agents and attackers write stands in cells, and spreadsheets run cells that begin like a formula: such a cell is
//! preceded by an apostrophe.

use crate::views::{EventView, FindingView};
use serde_json::Value;

/// What a cell begins with that a spreadsheet would run.
const RUN: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A row.
pub(super) fn row(out: &mut Vec<u8>, cells: &[String]) {
    for (index, text) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        cell(out, text);
    }
    out.extend_from_slice(b"\r\n");
}

fn cell(out: &mut Vec<u8>, text: &str) {
    let run = text.starts_with(RUN);
    if !run && !text.contains(['"', ',', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if run {
        out.push(b'\'');
    }
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// The columns of events.
pub(super) const EVENT: [&str; 22] = [
    "ref",
    "leaf_index",
    "kind",
    "time",
    "recorded_at",
    "id",
    "source",
    "tenant",
    "agent",
    "agent_name",
    "task",
    "root_task",
    "parent_task",
    "tool",
    "tool_call",
    "severity",
    "rule",
    "status",
    "finding",
    "reason",
    "summary",
    "data",
];

/// The cells of an event.
pub(super) fn event(view: EventView) -> Vec<String> {
    let or_empty = Option::unwrap_or_default;
    vec![
        view.reference,
        view.leaf_index.map(|leaf| leaf.to_string()).unwrap_or_default(),
        view.kind,
        or_empty(view.time),
        view.recorded_at,
        or_empty(view.id),
        or_empty(view.source),
        or_empty(view.tenant),
        or_empty(view.agent),
        or_empty(view.agent_name),
        or_empty(view.task),
        or_empty(view.root_task),
        or_empty(view.parent_task),
        or_empty(view.tool),
        or_empty(view.tool_call),
        or_empty(view.severity),
        or_empty(view.rule),
        or_empty(view.status),
        or_empty(view.finding),
        or_empty(view.reason),
        view.summary,
        view.data.map(|data| data.to_string()).unwrap_or_default(),
    ]
}

/// The columns of findings.
pub(super) const FINDING: [&str; 18] = [
    "ref",
    "id",
    "time",
    "tenant",
    "rule",
    "severity",
    "title",
    "reason",
    "agent",
    "task",
    "root_task",
    "tool",
    "action",
    "state",
    "disposition",
    "assignee",
    "suppressed_until",
    "cases",
];

/// The cells of a finding.
pub(super) fn finding(view: FindingView) -> Vec<String> {
    let FindingView { reference, finding, response, triage } = view;
    let of = |pointer: &str| finding.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    vec![
        reference,
        of("/id"),
        of("/time"),
        of("/tenant_uid"),
        of("/rule/id"),
        of("/severity"),
        of("/title"),
        of("/reason"),
        of("/agent/uid"),
        of("/task/id"),
        of("/task/root_id"),
        of("/tool"),
        response.map(|response| response.action).unwrap_or_default(),
        triage.state,
        triage.disposition.unwrap_or_default(),
        triage.assignee.unwrap_or_default(),
        triage.suppressed.map(|suppressed| suppressed.until).unwrap_or_default(),
        triage.cases.join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_never_run() {
        let mut out = Vec::new();
        row(&mut out, &["a", "b, \"c\"", "=HYPERLINK(\"x\")", "", "-1", "d\ne"].map(str::to_owned));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a,\"b, \"\"c\"\"\",\"'=HYPERLINK(\"\"x\"\")\",,\"'-1\",\"d\ne\"\r\n"
        );
    }
}
