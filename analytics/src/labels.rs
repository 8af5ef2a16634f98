//! Clauses about classes of data, as producers label what calls are given and return.

use crate::compile::Compiled;
use crate::describe::{Verdict, who};
use crate::effect::Reach;
use crate::flow::{Subject, Traced};
use crate::rules;
use crate::target::{TargetKind, normalise};
use ambit_schemas::event::{Effect, Event, ToolCall};
use ambit_schemas::finding::Severity;
use std::collections::BTreeSet;

/// Classes that are remembered per delegation tree, and looked at per call.
const CLASSES_MAX: usize = 32;
/// What may go anywhere.
const PUBLIC: &str = "public";

fn classes(call: &ToolCall) -> impl Iterator<Item = String> {
    call.data_classes.iter().take(CLASSES_MAX).map(|class| normalise(class))
}

/// Takes in the classes of a call.
pub(crate) fn remember(call: &ToolCall, known: &mut BTreeSet<String>) {
    for class in classes(call) {
        if known.len() < CLASSES_MAX {
            known.insert(class);
        }
    }
}

/// A call handles data of a class that the envelope does not name.
pub(crate) fn judge(event: &Event, call: &ToolCall, effect: Effect, compiled: &Compiled) -> Option<Verdict> {
    let allowed = compiled.classes.as_ref().filter(|_| !call.data_classes.is_empty())?;
    let beyond: Vec<String> =
        classes(call).filter(|class| class != PUBLIC && !allowed.contains(class)).collect();
    if beyond.is_empty() {
        return None;
    }
    let severity = if effect == Effect::Read { Severity::Medium } else { Severity::High };
    let reason =
        format!("{} called {} on data of a class that its envelope does not name", who(event), call.name);
    let verdict = Verdict::new(&rules::DATA_CLASS, severity, "/data_classes", reason);
    let shown = compiled.envelope.data_classes.iter().flatten().take(8).cloned().collect::<Vec<_>>();
    Some(verdict.seen(shown.join(", "), beyond.join(", ")))
}

/// A call that carries text goes to a destination that nobody named, after the tree has handled classified data.
pub(crate) fn leaving(
    traced: &[Traced],
    subject: &Subject<'_>,
    (call, known): (&ToolCall, &BTreeSet<String>),
    verdicts: &mut Vec<Verdict>,
) {
    if known.is_empty() && call.data_classes.is_empty() {
        return;
    }
    let carries_text =
        matches!(subject.reach, Reach::Outbound | Reach::Unknown | Reach::Execute | Reach::Fetch);
    let is_outside = |traced: &&Traced| {
        matches!(traced.target.kind, TargetKind::Host | TargetKind::Email | TargetKind::Person)
            && !traced.found.origin.is_granted()
    };
    let Some(to) = traced.iter().find(is_outside).filter(|_| carries_text) else { return };
    // What the call itself is labelled with leaves for certain; what the tree has handled may.
    let own: BTreeSet<String> = classes(call).filter(|class| class != PUBLIC).collect();
    let (leaves, severity) = if own.is_empty() {
        (known.iter().filter(|class| *class != PUBLIC).cloned().collect(), Severity::Medium)
    } else {
        (own, Severity::High)
    };
    if leaves.is_empty() {
        return;
    }
    let how = if severity == Severity::High { "carries" } else { "may carry" };
    let reason = format!(
        "{} called {}, which {how} classified data to {} that nobody named",
        subject.who,
        subject.tool,
        to.target.kind.name()
    );
    let verdict = Verdict::new(&rules::DATA_OUT, severity, "/destinations", reason);
    let shown: Vec<String> = leaves.into_iter().collect();
    let observed = format!("{}: {} = {}", shown.join(", "), to.target.pointer, to.target.value);
    verdicts.push(verdict.seen("classified data for named destinations only", observed));
}
