//! The customer's rules in the fold: which set is in force, and what it tells of an event.

use super::correlation::{Asks, Correlation, Of};
use super::fields::{View, category_of};
use super::load::{Info, Rule, RuleSet};
use super::window::{Entry, Told, Windows};
use crate::analyzer::Analyzer;
use crate::describe::{Verdict, abridge, who};
use crate::prepare::{Prepared, hash};
use crate::rules::{self, RuleInfo};
use ambit_schemas::Sequenced;
use ambit_schemas::event::{Body, Event, ToolCall};
use ambit_schemas::finding::{EventRef, Finding, Maturity, RuleRef, Severity, finding_id};
use ambit_schemas::ruleset::{RuleDocument, RulesActivated};
use rsigma_eval::{Event as _, evaluate_rule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What every finding of a customer's rule has before it is the rule's own.
const CUSTOMER: RuleInfo = RuleInfo {
    id: "R",
    version: 1,
    maturity: Maturity::Sandbox,
    title: "Rule of the customer",
    controls: &[],
};

/// What a shard knows of the customer's rules.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sigma {
    in_force: Option<InForce>,
    windows: Windows,
    /// Rules that were given from outside are not changed by what the shard says.
    #[serde(skip)]
    pinned: bool,
}

/// The set that the shard was told last, with its compiled form, which is not kept in snapshots.
#[derive(Debug, Serialize, Deserialize)]
struct InForce {
    digest: String,
    may_revoke: bool,
    documents: Vec<RuleDocument>,
    #[serde(skip)]
    set: Option<Arc<RuleSet>>,
}

impl Sigma {
    /// Compiles what a restored state has in force. `false` when that is no longer possible.
    pub(crate) fn compile(&mut self) -> bool {
        let Some(in_force) = &mut self.in_force else { return true };
        in_force.set = RuleSet::compile(&in_force.documents, in_force.may_revoke).ok().map(Arc::new);
        in_force.set.is_some()
    }

    fn put(&mut self, in_force: Option<InForce>) {
        let set = in_force.as_ref().and_then(|in_force| in_force.set.as_ref());
        let keys = set.map_or_else(BTreeSet::new, |set| {
            set.correlations.iter().map(|correlation| correlation.info.key).collect()
        });
        // Rules that stay go on where they were.
        self.windows.keep_only(&keys);
        self.in_force = in_force;
    }
}

impl Analyzer {
    /// The digest of the customer's rules that are in force; `None` when there are none.
    pub fn rules_digest(&self) -> Option<&str> {
        self.state.sigma.in_force.as_ref().map(|in_force| in_force.digest.as_str())
    }

    /// Judges with these rules of the customer from here on, whatever the shard says: for asking what they would have
    /// told.
    pub fn pin_rules(&mut self, set: Arc<RuleSet>) {
        let digest = set.digest().to_owned();
        let in_force = InForce { digest, may_revoke: false, documents: Vec::new(), set: Some(set) };
        self.state.sigma.put(Some(in_force));
        self.state.sigma.pinned = true;
    }

    /// INVARIANT A-1: the set that stands in the shard judges what comes after it.
    pub(crate) fn activated(&mut self, prepared: &Prepared<'_>, activated: &RulesActivated) -> Vec<Finding> {
        let event = prepared.event();
        if self.state.sigma.pinned {
            return Vec::new();
        }
        let set = match &prepared.rules {
            None => return Vec::new(),
            Some(Ok(set)) => Arc::clone(set),
            Some(Err(error)) => {
                let why = format!("a set of rules was not taken, those before it stay in force: {error}");
                let verdict = Verdict::new(&rules::UNTRUSTED_RULES, Severity::High, "", abridge(&why));
                return self.tell(event, vec![verdict], None, None);
            }
        };
        if self.rules_digest() != Some(set.digest()) {
            let RulesActivated { digest, may_revoke, documents, .. } = activated.clone();
            let is_empty = documents.is_empty();
            let in_force = InForce { digest, may_revoke, documents, set: Some(set) };
            self.state.sigma.put((!is_empty).then_some(in_force));
        }
        Vec::new()
    }

    /// What the customer's rules tell of an event, the worst first.
    pub(crate) fn customer(&mut self, prepared: &Prepared<'_>) -> Vec<Finding> {
        let set = self.state.sigma.in_force.as_ref().and_then(|in_force| in_force.set.clone());
        let event = prepared.event();
        let Some(set) = set.filter(|_| category_of(event.item.kind()).is_some()) else { return Vec::new() };
        let view = View::new(&event.item, prepared.call.as_ref().map(|called| called.effect));
        let mut hits = fold(&set, &mut self.state.sigma.windows, event, &view);
        hits.retain(|hit| hit.info.tells);
        hits.sort_by(|a, b| b.info.severity.cmp(&a.info.severity).then_with(|| a.info.id.cmp(&b.info.id)));
        hits.truncate(self.options.findings_per_event_max);
        hits.into_iter().flat_map(|hit| self.of_rule(event, hit)).collect()
    }

    /// INVARIANT A-4: the rule with its version, and the events.
    fn of_rule(&self, event: &Sequenced<Event>, hit: Hit<'_>) -> Vec<Finding> {
        let Info { id, version, title, severity, maturity, controls, .. } = hit.info;
        let mut verdict = Verdict::new(&CUSTOMER, *severity, "", hit.reason);
        verdict.observed = hit.observed;
        let mut told = self.tell(event, vec![verdict], None, call_of(&event.item));
        let place = self.reused.map_or_else(String::new, |content| format!("~{content:016x}"));
        for finding in &mut told {
            let of = (&event.item.source, &event.item.id);
            finding.id = finding_id(id, *version, &finding.tenant, of, &place);
            finding.rule = RuleRef { id: id.clone(), version: *version, maturity: *maturity };
            finding.title.clone_from(title);
            finding.controls.clone_from(controls);
            if !hit.events.is_empty() {
                finding.events.clone_from(&hit.events);
            }
        }
        told
    }
}

/// A rule that an event has met.
pub(super) struct Hit<'s> {
    pub(super) info: &'s Info,
    reason: String,
    observed: Option<String>,
    /// The events that it rests on, this one last; empty when that is all.
    events: Vec<EventRef>,
}

/// Takes one event through a set of rules.
pub(super) fn fold<'s>(
    set: &'s RuleSet,
    windows: &mut Windows,
    event: &Sequenced<Event>,
    view: &View<'_>,
) -> Vec<Hit<'s>> {
    let mut hits = Vec::new();
    let mut met: Vec<Of> = Vec::new();
    for (index, rule) in set.about(event.item.kind()) {
        if let Some(hit) = matched(rule, &event.item, view) {
            hits.push(hit);
            met.push(Of::Rule(index));
        }
    }
    if met.is_empty() {
        return hits;
    }
    for (index, correlation) in set.correlations.iter().enumerate() {
        let told = correlated(correlation, &met, windows, event, view);
        if let Some((told, group)) = told {
            hits.push(described(correlation, told, &group, &event.item));
            met.push(Of::Correlation(index));
        }
    }
    hits
}

fn matched<'s>(rule: &'s Rule, event: &Event, view: &View<'_>) -> Option<Hit<'s>> {
    let result = evaluate_rule(&rule.compiled, view)?;
    let detection = result.as_detection()?;
    // The matcher's own order is that of a hash table.
    let selections: BTreeSet<&str> = detection.matched_selections.iter().map(String::as_str).collect();
    let fields: BTreeSet<String> = detection
        .matched_fields
        .iter()
        .map(|field| match field.value.as_str() {
            Some(text) => format!("{}={text}", field.field),
            None => format!("{}={}", field.field, field.value),
        })
        .collect();
    let selections = Vec::from_iter(selections).join(", ");
    let reason = format!("{}: {selections}", what(event));
    let observed = (!fields.is_empty()).then(|| abridge(&Vec::from_iter(fields).join(", ")));
    Some(Hit { info: &rule.info, reason: abridge(&reason), observed, events: Vec::new() })
}

/// Puts an event into a correlation's window under each rule that it has met. What the window tells, and its group.
fn correlated(
    correlation: &Correlation,
    met: &[Of],
    windows: &mut Windows,
    event: &Sequenced<Event>,
    view: &View<'_>,
) -> Option<(Told, String)> {
    let mut told = None;
    for (step, (of, fields)) in correlation.steps.iter().zip(&correlation.group_by).enumerate() {
        if !met.contains(of) {
            continue;
        }
        // What has no value cannot be said to belong to a group.
        let Some(group) = values(view, fields) else { continue };
        let value = match &correlation.asks {
            Asks::Values(_, fields) => match values(view, fields) {
                None => continue,
                Some(values) => number(&values),
            },
            Asks::Events(_) | Asks::Rules(_) | Asks::InOrder => 0,
        };
        let item = &event.item;
        let reference = EventRef {
            source: item.source.clone(),
            id: item.id.clone(),
            shard: event.shard,
            offset: event.offset,
        };
        let step = u8::try_from(step).unwrap_or(u8::MAX);
        let entry = Entry { time: item.time, step, value, event: reference };
        let parts: Vec<&str> = group.iter().map(String::as_str).collect();
        let key = hash(&parts);
        // One event is one event, whatever rules it meets.
        let is_counted = matches!(correlation.asks, Asks::Events(_) | Asks::Values(..));
        let found = windows.take(correlation, &item.tenant, key, &entry);
        told = told.or_else(|| found.map(|found| (found, group.join(", "))));
        if is_counted {
            break;
        }
    }
    told
}

fn described<'s>(correlation: &'s Correlation, told: Told, group: &str, event: &Event) -> Hit<'s> {
    let counted = match &correlation.asks {
        Asks::Events(_) => format!("{} events", told.count),
        Asks::Values(_, fields) => format!("{} values of {}", told.count, fields.join(", ")),
        Asks::Rules(_) => format!("{} rules", told.count),
        Asks::InOrder => format!("{} rules one after the other", told.count),
    };
    let group = abridge(group);
    let reason = format!("{counted} within {} for {group}; the last: {}", correlation.span, what(event));
    Hit { info: &correlation.info, reason, observed: Some(group), events: told.events }
}

/// The values of some fields; `None` when one of them is missing.
fn values(view: &View<'_>, fields: &[String]) -> Option<Vec<String>> {
    let value = |field: &String| {
        let value = view.get_field(field).filter(|value| !value.is_null())?;
        Some(value.as_str().map_or_else(|| value.to_json().to_string(), Into::into))
    };
    fields.iter().map(value).collect()
}

fn number(values: &[String]) -> u64 {
    let parts: Vec<&str> = values.iter().map(String::as_str).collect();
    #[expect(clippy::cast_possible_truncation, reason = "64 of the 128 bits tell values of one window apart")]
    let number = hash(&parts) as u64;
    number
}

/// What happened, for people.
fn what(event: &Event) -> String {
    match call_of(event) {
        Some(call) => format!("{} called {}", who(event), call.name),
        None => format!("{} of {}", event.kind(), who(event)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are no calls")]
fn call_of(event: &Event) -> Option<&ToolCall> {
    match &event.body {
        Body::ToolCallRequested(call) | Body::ToolCallCompleted(call) | Body::ToolCallDenied(call) => {
            Some(call)
        }
        _ => None,
    }
}
