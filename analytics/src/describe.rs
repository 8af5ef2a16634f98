//! From a verdict to a finding, and from a finding to the event that carries it.

use crate::compile::Compiled;
use crate::credentials::reference;
use crate::rules::RuleInfo;
use ambit_schemas::Sequenced;
use ambit_schemas::event::{Body, Event};
use ambit_schemas::finding::{ClauseRef, EventRef, Finding, RuleRef, Severity, finding_id};
use ambit_schemas::id::{CredentialId, EventId, EventSource, RuleId, ToolCallId};
use ambit_schemas::limits::OBSERVED_CHARS_MAX;

/// Who says so.
pub const SOURCE: &str = "ambit/analyzer";

/// A clause that failed, before it is told to anybody.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) rule: &'static RuleInfo,
    pub(crate) severity: Severity,
    /// JSON pointer into the envelope; empty when there is none.
    pub(crate) pointer: String,
    pub(crate) reason: String,
    pub(crate) expected: Option<String>,
    pub(crate) observed: Option<String>,
    /// What it is about, where one event gives several verdicts of a rule and no clause tells them apart.
    pub(crate) about: Option<String>,
}

impl Verdict {
    pub(crate) fn new(rule: &'static RuleInfo, severity: Severity, pointer: &str, reason: String) -> Self {
        Self {
            rule,
            severity,
            pointer: pointer.to_owned(),
            reason,
            expected: None,
            observed: None,
            about: None,
        }
    }

    pub(crate) fn about(mut self, what: impl Into<String>) -> Self {
        self.about = Some(what.into());
        self
    }

    pub(crate) fn seen(mut self, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        self.expected = Some(abridge(&expected.into()));
        self.observed = Some(abridge(&observed.into()));
        self
    }
}

/// What a finding needs beside the verdict.
pub(crate) struct Circumstances<'a> {
    pub(crate) event: &'a Sequenced<Event>,
    pub(crate) envelope: Option<&'a Compiled>,
    pub(crate) credentials: Vec<CredentialId>,
    pub(crate) tool: Option<&'a str>,
    pub(crate) call: Option<&'a ToolCallId>,
    /// The event's content, when another event had its name: its findings are others than that one's.
    pub(crate) reused: Option<u64>,
    /// The earlier event that a verdict is about, if it is not this one.
    pub(crate) earlier: Option<EventRef>,
}

/// INVARIANT A-4: rule with version, clause with envelope version, events.
pub(crate) fn finding(verdict: Verdict, around: &Circumstances<'_>) -> Finding {
    let event = &around.event.item;
    let rule_id =
        RuleId::try_from(verdict.rule.id).unwrap_or_else(|_| unreachable!("rule ids are constants"));
    let clause = around.envelope.filter(|_| !verdict.pointer.is_empty()).map(|compiled| ClauseRef {
        envelope_id: compiled.envelope.id.clone(),
        envelope_version: compiled.envelope.version,
        envelope_digest: compiled.digest.clone(),
        pointer: verdict.pointer.clone(),
    });
    let mut place = verdict.pointer.clone();
    if let Some(about) = &verdict.about {
        place = format!("{place}#{about}");
    }
    if let Some(content) = around.reused {
        place = format!("{place}~{content:016x}");
    }
    let this = reference(around.event);
    // A verdict on an earlier event has the id that it would have had if that event had come last.
    let of = around.earlier.as_ref().unwrap_or(&this);
    let id = finding_id(&rule_id, verdict.rule.version, &event.tenant, (&of.source, &of.id), &place);
    Finding {
        id,
        tenant: event.tenant.clone(),
        rule: RuleRef { id: rule_id, version: verdict.rule.version, maturity: verdict.rule.maturity },
        severity: verdict.severity,
        title: verdict.rule.title.to_owned(),
        reason: verdict.reason,
        clause,
        expected: verdict.expected,
        observed: verdict.observed,
        agent: event.agent.clone(),
        task: event.task.clone(),
        tool: around.tool.map(str::to_owned),
        tool_call_id: around.call.cloned(),
        credentials: around.credentials.clone(),
        events: around.earlier.iter().cloned().chain([this]).collect(),
        baseline: None,
        risk: None,
        revocation: None,
        late_seconds: None,
        controls: verdict.rule.controls.iter().map(|control| (*control).to_owned()).collect(),
        time: event.time,
    }
}

/// The event that carries a finding: the same finding always gives the same bytes (INVARIANT A-1).
pub fn finding_event(finding: &Finding) -> Event {
    let source = EventSource::try_from(SOURCE).unwrap_or_else(|_| unreachable!("the source is a constant"));
    let id =
        EventId::try_from(finding.id.as_str()).unwrap_or_else(|_| unreachable!("a finding's id is an id"));
    Event {
        agent: finding.agent.clone(),
        task: finding.task.clone(),
        ..Event::new(
            id,
            source,
            finding.time,
            finding.tenant.clone(),
            Body::FindingCreated(Box::new(finding.clone())),
        )
    }
}

/// Who acts, for people.
pub(crate) fn who(event: &Event) -> String {
    let agent = event.agent.as_ref();
    agent.map_or_else(
        || "an unnamed agent".to_owned(),
        |agent| agent.name.clone().unwrap_or_else(|| agent.uid.as_str().to_owned()),
    )
}

/// The first characters of a text.
pub(crate) fn abridge(text: &str) -> String {
    let mut short: String = text.chars().take(OBSERVED_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
