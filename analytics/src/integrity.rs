//! Clauses about the tools themselves: a tool that describes itself otherwise than it did, or comes from elsewhere, is
//! another tool under the same name.

use crate::compile::Compiled;
use crate::describe::{Verdict, who};
use crate::rules;
use crate::state::Task;
use ambit_schemas::event::{Event, ToolCall};
use ambit_schemas::finding::Severity;
use serde::{Deserialize, Serialize};

/// Tools of a task of which it is remembered how they were first.
const TOOLS_MAX: usize = 256;

/// A tool as the task saw it first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    server: Option<String>,
    description: Option<String>,
    told: bool,
}

/// A tool is called: is it the one that was approved, and the one that was there before?
pub(crate) fn called(
    event: &Event,
    call: &ToolCall,
    grants: &[usize],
    compiled: &Compiled,
    task: &mut Task,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if call.description_sha256.is_none() && call.server.is_none() {
        return verdicts;
    }
    verdicts.extend(since_approval(event, call, grants, compiled));
    let Some(known) = task.tools.get_mut(&call.name) else {
        if task.tools.len() < TOOLS_MAX {
            let (server, description) = (call.server.clone(), call.description_sha256.clone());
            task.tools.insert(call.name.clone(), Known { server, description, told: false });
        }
        return verdicts;
    };
    // What was approved decides; a change that the approver signed is none.
    if known.told || !verdicts.is_empty() {
        return verdicts;
    }
    let differs = |before: &Option<String>, now: &Option<String>| {
        before.as_ref().zip(now.as_ref()).is_some_and(|(before, now)| before != now)
    };
    let found = if differs(&known.description, &call.description_sha256) {
        Some(("another description", &known.description, &call.description_sha256))
    } else if differs(&known.server, &call.server) {
        Some(("another server", &known.server, &call.server))
    } else {
        None
    };
    if let Some((what, before, now)) = found {
        let reason = format!(
            "{} called {}, which has {what} than at its first call in this task",
            who(event),
            call.name
        );
        let severity = if what == "another server" { Severity::Medium } else { Severity::High };
        let verdict = Verdict::new(&rules::TOOL_CHANGED, severity, "", reason);
        verdicts
            .push(verdict.seen(before.as_deref().unwrap_or_default(), now.as_deref().unwrap_or_default()));
        known.told = true;
    }
    known.server = known.server.take().or_else(|| call.server.clone());
    known.description = known.description.take().or_else(|| call.description_sha256.clone());
    verdicts
}

/// The description that the approver saw is not the one that the agent saw.
fn since_approval(event: &Event, call: &ToolCall, grants: &[usize], compiled: &Compiled) -> Option<Verdict> {
    let found = call.description_sha256.as_deref()?;
    let approved = |index: &usize| compiled.envelope.tools.get(*index)?.description_sha256.as_deref();
    let (mut first, mut fits) = (None, false);
    for (index, expected) in grants.iter().filter_map(|index| Some((index, approved(index)?))) {
        fits |= expected.eq_ignore_ascii_case(found);
        first = first.or(Some((*index, expected)));
    }
    let (index, expected) = first.filter(|_| !fits)?;
    let reason =
        format!("{} called {}, whose description was changed since it was approved", who(event), call.name);
    let pointer = format!("/tools/{index}/description_sha256");
    let verdict = Verdict::new(&rules::TOOL_CHANGED, Severity::High, &pointer, reason);
    Some(verdict.seen(expected, found))
}
