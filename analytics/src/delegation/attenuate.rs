//! A child may do no more than its parent: tools, scopes, reach, time and budgets. What cannot be shown to be within
//! counts as beyond (INVARIANT A-3).

use crate::compile::{Compiled, Names};
use crate::describe::{Verdict, who};
use crate::effect::classify;
use crate::patterns::is_glob;
use crate::rules;
use crate::state::Root;
use crate::target::normalise;
use ambit_schemas::envelope::{Budgets, Check, ToolGrant, Window};
use ambit_schemas::event::{Delegation, Event};
use ambit_schemas::finding::Severity;
use ambit_schemas::id::TaskId;
use serde_json::Value;

/// Most widenings that a finding names.
const SHOWN_MAX: usize = 4;

/// A part of a child's bounds that is not within the parent's.
#[derive(Debug)]
struct Wider {
    /// JSON pointer into the child's envelope.
    pointer: String,
    /// What the parent has, and what the child has.
    expected: String,
    observed: String,
}

impl Wider {
    fn new(pointer: impl Into<String>, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), expected: expected.into(), observed: observed.into() }
    }
}

/// What a delegation hands on must be the delegator's to give.
pub(super) fn handed_on(item: &Event, delegation: &Delegation, parent: &Compiled) -> Option<Verdict> {
    let mut beyond: Vec<&str> = Vec::new();
    beyond.extend(delegation.tools.iter().map(String::as_str).filter(|tool| !has_tool(tool, parent)));
    beyond.extend(delegation.scopes.iter().map(String::as_str).filter(|scope| !has_scope(scope, parent)));
    let end = parent.envelope.window.not_after;
    let outlasts = end.zip(delegation.expires_at).filter(|(end, expires)| expires > end);
    if beyond.is_empty() && outlasts.is_none() {
        return None;
    }
    let reason = format!("{} handed on what its own envelope does not give it", who(item));
    let late = outlasts.map(|(_, expires)| format!("until {expires}"));
    let observed: Vec<String> = beyond.into_iter().map(str::to_owned).take(SHOWN_MAX).chain(late).collect();
    let verdict = Verdict::new(&rules::ATTENUATE, Severity::High, "/tools", reason);
    Some(verdict.seen("tools, scopes and time of the delegator's envelope", observed.join(", ")))
}

/// A child's envelope is in force: it must be within its parent's, and within what was handed on.
pub(crate) fn enveloped(item: &Event, id: &TaskId, root: &Root) -> Option<Verdict> {
    let child = root.compiled(id)?;
    let grant = root.grants.get(id);
    let told = item.task.as_ref().filter(|task| task.id == *id).and_then(|task| task.parent.as_ref());
    let above = grant.map(|grant| &grant.parent).or(told)?;
    let mut wider = Vec::new();
    if let Some(parent) = root.compiled(above) {
        compare(&child, &parent, &mut wider);
        conserved(above, &parent.envelope.budgets, root, &mut wider);
    }
    if let Some(grant) = grant.filter(|grant| !grant.tools.is_empty()) {
        for (index, tool) in child.envelope.tools.iter().enumerate() {
            if !grant.tools.iter().any(|given| within(&tool.name, given)) {
                wider.push(Wider::new(format!("/tools/{index}"), grant.tools.join(", "), &tool.name));
            }
        }
    }
    let first = wider.first()?;
    let reason =
        format!("the envelope of {} gives it more than was handed on to it", child.envelope.agent_uid);
    let verdict = Verdict::new(&rules::ATTENUATE, Severity::Medium, &first.pointer, reason);
    let shown =
        |part: fn(&Wider) -> String| wider.iter().take(SHOWN_MAX).map(part).collect::<Vec<_>>().join("; ");
    let expected = shown(|wider| format!("{}: {}", wider.pointer, wider.expected));
    Some(verdict.seen(expected, shown(|wider| format!("{}: {}", wider.pointer, wider.observed))))
}

fn compare(child: &Compiled, parent: &Compiled, wider: &mut Vec<Wider>) {
    let (inner, outer) = (&child.envelope, &parent.envelope);
    for (index, tool) in inner.tools.iter().enumerate() {
        if !has_grant(tool, parent) {
            let names: Vec<&str> = outer.tools.iter().take(8).map(|tool| tool.name.as_str()).collect();
            wider.push(Wider::new(format!("/tools/{index}"), names.join(", "), &tool.name));
        }
    }
    let more = inner.unlisted_effects.iter().find(|effect| !outer.unlisted_effects.contains(effect));
    if let Some(effect) = more {
        wider.push(Wider::new("/unlisted_effects", "less", format!("{effect:?}").to_lowercase()));
    }
    if let Some(bounds) = &outer.effects {
        let is_within = inner.effects.as_ref().is_some_and(|own| own.iter().all(|one| bounds.contains(one)));
        if !is_within {
            wider.push(Wider::new("/effects", format!("{bounds:?}").to_lowercase(), "more"));
        }
    }
    let plain = |names: Option<&Names>, name: &str| {
        !is_glob(name) && names.is_some_and(|names| names.contains(&normalise(name)))
    };
    let class = |name: &str| parent.classes.as_ref().is_some_and(|known| known.contains(&normalise(name)));
    let is_destination = |name: &str| plain(parent.destinations.as_ref(), name);
    list_within(
        "/destinations",
        inner.destinations.as_deref(),
        outer.destinations.as_deref(),
        is_destination,
        wider,
    );
    let is_resource = |name: &str| plain(parent.resources.as_ref(), name);
    list_within("/resources", inner.resources.as_deref(), outer.resources.as_deref(), is_resource, wider);
    list_within("/data_classes", inner.data_classes.as_deref(), outer.data_classes.as_deref(), class, wider);
    for (index, own) in inner.credentials.iter().enumerate() {
        let beyond = own.scopes.iter().find(|scope| !has_scope(scope, parent));
        if let Some(scope) = beyond {
            wider.push(Wider::new(format!("/credentials/{index}/scopes"), "less", scope));
        }
    }
    window(&inner.window, &outer.window, wider);
    budgets(&inner.budgets, &outer.budgets, wider);
    let (own, bound) = (&inner.delegation, &outer.delegation);
    if own.max_depth > bound.max_depth {
        wider.push(Wider::new(
            "/delegation/max_depth",
            bound.max_depth.to_string(),
            own.max_depth.to_string(),
        ));
    }
}

/// Whether the parent may call such a tool itself.
fn has_tool(name: &str, parent: &Compiled) -> bool {
    let tolerated = || parent.envelope.unlisted_effects.contains(&classify(name).effect());
    (!is_glob(name) && (!parent.grants_of(name).is_empty() || tolerated()))
        || parent.envelope.tools.iter().any(|given| within(name, &given.name))
}

/// Whether one of the parent's grants has the tool, its server, and constraints that are no tighter.
fn has_grant(tool: &ToolGrant, parent: &Compiled) -> bool {
    let covers = |given: &ToolGrant| {
        let server = given.server.is_none() || given.server == tool.server;
        let calls = given.max_calls.is_none_or(|most| tool.max_calls.is_some_and(|own| own <= most));
        let tight = given.arguments.iter().all(|bound| {
            let same_place = tool.arguments.iter().filter(|own| own.pointer == bound.pointer);
            same_place.into_iter().any(|own| implies(&own.check, &bound.check))
        });
        within(&tool.name, &given.name) && server && calls && tight
    };
    let tolerated =
        || !is_glob(&tool.name) && parent.grants_of(&tool.name).is_empty() && has_tool(&tool.name, parent);
    parent.envelope.tools.iter().any(covers) || tolerated()
}

fn has_scope(scope: &str, parent: &Compiled) -> bool {
    let granted = &parent.envelope.credentials;
    let unbounded = granted.is_empty() || granted.iter().any(|grant| grant.scopes.is_empty());
    unbounded
        || parent.credentials.iter().any(|grant| !is_glob(scope) && grant.allows(scope))
        || granted.iter().flat_map(|grant| &grant.scopes).any(|given| within(scope, given))
}

/// Whether every name that a pattern stands for is one that the other stands for. What is not plainly so is not.
fn within(inner: &str, outer: &str) -> bool {
    if inner == outer || outer == "**" {
        return true;
    }
    let Some(prefix) = outer.strip_suffix('*') else { return false };
    // `a/**` crosses slashes, `a*` does not.
    let (prefix, crosses) = match prefix.strip_suffix("/*") {
        Some(_) => (prefix.strip_suffix('*').unwrap_or_default(), true),
        None => (prefix, false),
    };
    let is_plain = |text: &str| !is_glob(text) && !text.contains('\\');
    let simple = !inner.contains(['[', '{', '\\']) && (crosses || !inner.contains("**"));
    let rest = inner.strip_prefix(prefix).filter(|_| is_plain(prefix) && simple);
    rest.is_some_and(|rest| if crosses { !rest.is_empty() } else { !rest.contains('/') })
}

fn list_within(
    pointer: &str,
    inner: Option<&[String]>,
    outer: Option<&[String]>,
    is_in: impl Fn(&str) -> bool,
    wider: &mut Vec<Wider>,
) {
    let Some(outer) = outer else { return };
    let shown = || outer.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    match inner {
        None => wider.push(Wider::new(pointer, shown(), "not bounded")),
        Some(inner) => {
            let is_beyond = |name: &&String| !is_in(name) && !outer.iter().any(|given| within(name, given));
            let beyond = inner.iter().find(is_beyond);
            wider.extend(beyond.map(|name| Wider::new(pointer, shown(), name)));
        }
    }
}

fn window(inner: &Window, outer: &Window, wider: &mut Vec<Wider>) {
    if let Some(end) = outer.not_after.filter(|end| inner.not_after.is_none_or(|own| own > *end)) {
        let own = inner.not_after.map_or_else(|| "no end".to_owned(), |own| own.to_string());
        wider.push(Wider::new("/window/not_after", end.to_string(), own));
    }
}

fn budgets(inner: &Budgets, outer: &Budgets, wider: &mut Vec<Wider>) {
    // So many calls in all are never more in a minute.
    let rate = [inner.max_calls_per_minute, inner.max_calls].into_iter().flatten().min();
    let pairs = [
        ("/budgets/max_calls", inner.max_calls.map(u64::from), outer.max_calls.map(u64::from)),
        ("/budgets/max_calls_per_minute", rate.map(u64::from), outer.max_calls_per_minute.map(u64::from)),
        ("/budgets/max_bytes_out", inner.max_bytes_out, outer.max_bytes_out),
        ("/budgets/max_cost_micros", inner.max_cost_micros, outer.max_cost_micros),
        ("/budgets/max_duration_seconds", inner.max_duration_seconds, outer.max_duration_seconds),
    ];
    for (pointer, own, bound) in pairs {
        if let Some(most) = bound.filter(|most| own.is_none_or(|own| own > *most)) {
            let own = own.map_or_else(|| "not bounded".to_owned(), |own| own.to_string());
            wider.push(Wider::new(pointer, most.to_string(), own));
        }
    }
}

/// What is used up must be enough for all children at once: those of one parent that are not over.
fn conserved(parent: &TaskId, bound: &Budgets, root: &Root, wider: &mut Vec<Wider>) {
    let children = root.grants.iter().filter(|(_, grant)| grant.parent == *parent).filter_map(|(id, _)| {
        let task = root.tasks.get(id).filter(|task| task.closed.is_none())?;
        task.envelope.as_ref()?.compiled.as_ref()
    });
    let (mut calls, mut bytes, mut cost, mut count) = (0_u64, 0_u64, 0_u64, 0_u32);
    for child in children {
        let own = &child.envelope.budgets;
        calls = calls.saturating_add(own.max_calls.map_or(0, u64::from));
        bytes = bytes.saturating_add(own.max_bytes_out.unwrap_or_default());
        cost = cost.saturating_add(own.max_cost_micros.unwrap_or_default());
        count += 1;
    }
    if count < 2 {
        return;
    }
    let pairs = [
        ("/budgets/max_calls", calls, bound.max_calls.map(u64::from)),
        ("/budgets/max_bytes_out", bytes, bound.max_bytes_out),
        ("/budgets/max_cost_micros", cost, bound.max_cost_micros),
    ];
    for (pointer, sum, bound) in pairs {
        if let Some(most) = bound.filter(|most| sum > *most) {
            wider.push(Wider::new(pointer, most.to_string(), format!("{sum} for {count} children at once")));
        }
    }
}

/// Whether a value that passes the first check always passes the second. What is not plainly so is not.
fn implies(inner: &Check, outer: &Check) -> bool {
    let least =
        |own: Option<f64>, bound: Option<f64>| bound.is_none_or(|bound| own.is_some_and(|own| own >= bound));
    let most =
        |own: Option<f64>, bound: Option<f64>| bound.is_none_or(|bound| own.is_some_and(|own| own <= bound));
    match (inner, outer) {
        (Check::Equals(own), Check::Equals(bound)) => own == bound,
        (Check::Equals(own), Check::In(bound)) => bound.contains(own),
        (Check::In(own), Check::In(bound)) => own.iter().all(|own| bound.contains(own)),
        (Check::Equals(own), Check::Prefix(bound)) => own.as_str().is_some_and(|own| own.starts_with(bound)),
        (Check::In(own), Check::Prefix(bound)) => {
            own.iter().all(|own| own.as_str().is_some_and(|own| own.starts_with(bound)))
        }
        (Check::Prefix(own), Check::Prefix(bound)) => own.starts_with(bound),
        (Check::Equals(own), Check::Range { min, max }) => {
            let number = own.as_f64();
            number.is_some() && least(number, *min) && most(number, *max)
        }
        (Check::In(own), Check::Range { min, max }) => own
            .iter()
            .map(Value::as_f64)
            .all(|number| number.is_some() && least(number, *min) && most(number, *max)),
        (Check::Range { min, max }, Check::Range { min: low, max: high }) => {
            least(*min, *low) && most(*max, *high)
        }
        (Check::Length { min, max }, Check::Length { min: low, max: high }) => {
            low.is_none_or(|low| min.is_some_and(|min| min >= low))
                && high.is_none_or(|high| max.is_some_and(|max| max <= high))
        }
        (inner, outer) => inner == outer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::Patterns;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_is_within_another_only_if_it_plainly_is() {
        for (inner, outer, expected) in [
            ("send_email", "send_email", true),
            ("send_email", "send_*", true),
            ("send_*", "send_*", true),
            ("send_email_*", "send_*", true),
            ("*", "send_*", false),
            ("s*", "send_*", false),
            ("**", "*", false),
            ("a/b", "*", false),
            ("a/b", "a/*", true),
            ("a/b/c", "a/*", false),
            ("a/b/c", "a/**", true),
            ("a", "?", false),
            ("send_email", "*_email", false),
        ] {
            assert_eq!(within(inner, outer), expected, "{inner} in {outer}");
        }
    }

    proptest! {
        /// What is said to be within is: no name passes the inner pattern alone.
        #[test]
        fn within_is_never_wrong(inner in "[ab/*?]{0,5}", outer in "[ab/*?]{0,5}", names in prop::collection::vec("[ab/]{0,6}", 20)) {
            let mut made = Patterns::default();
            let (Ok(few), Ok(many)) = (made.globs(vec![inner.clone()]), made.globs(vec![outer.clone()])) else { return Ok(()) };
            if within(&inner, &outer) {
                for name in names {
                    prop_assert!(!few.is_match(&name) || many.is_match(&name), "{} is in {} and not in {}", name, inner, outer);
                }
            }
        }
    }
}
