//! Tool calls: what is judged when one is requested, and what when it is completed.

use crate::analyzer::Analyzer;
use crate::calls::{self, severity_of};
use crate::compile::Compiled;
use crate::coverage::Coverage;
use crate::credentials;
use crate::delegation;
use crate::describe::{Verdict, who};
use crate::flow::print_number;
use crate::labels;
use crate::lifecycle;
use crate::options::Options;
use crate::origin::Source;
use crate::prepare::Called;
use crate::rules;
use crate::state::{PER_TASK_MAX, Root, State, Task, TreeKey, task_among};
use ambit_schemas::Sequenced;
use ambit_schemas::event::{Effect, Event, TaskRef, ToolCall};
use ambit_schemas::finding::Finding;
use std::sync::Arc;

impl Analyzer {
    /// A call is asked for.
    pub(crate) fn requested(
        &mut self,
        event: &Sequenced<Event>,
        call: &ToolCall,
        called: &Called,
    ) -> Vec<Finding> {
        let item = &event.item;
        let without = |why: &str| {
            let reason = format!("{} called {} {why}", who(item), call.name);
            vec![Verdict::new(&rules::NO_ENVELOPE, severity_of(called.effect), "", reason)]
        };
        let mut about_agent: Vec<Verdict> = self.at_rest(item).into_iter().collect();
        let (Some(TaskRef { id, .. }), Some(tree)) = (&item.task, self.tree) else {
            // INVARIANT A-3
            self.state.coverage.calls_without_envelope += 1;
            about_agent.extend(without("outside of any task"));
            return self.tell(event, about_agent, None, Some(call));
        };
        let root = self.state.root(tree);
        if root.task(id).is_none() {
            self.state.coverage.calls_beyond_bounds += 1;
            about_agent.extend(without("in a delegation tree with too many tasks"));
            return self.tell(event, about_agent, None, Some(call));
        }
        about_agent.extend(delegation::acts(item, root));
        about_agent.extend(credentials::presented(item, root));
        let registered = item.agent.as_ref().is_none_or(|agent| self.options.is_registered(&agent.uid));
        about_agent.extend(lifecycle::in_task(item, tree, &mut self.state, registered));
        let State { roots, coverage, .. } = &mut self.state;
        let Some(root) = roots.get_mut(&tree) else { return Vec::new() };
        let (mut verdicts, compiled) = in_task(item, (call, called), root, &self.options, coverage);
        if !about_agent.is_empty() {
            verdicts.append(&mut about_agent);
            verdicts.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.rule.id.cmp(b.rule.id)));
        }
        if called.effect != Effect::Read
            && compiled.is_some()
            && let Some(arguments) = &call.arguments
        {
            self.state.remember(tree, |memory| memory.wrote(arguments.get()));
        }
        let mut findings = self.tell(event, verdicts, compiled.as_deref(), Some(call));
        findings.extend(self.drift_called(event, call, called));
        findings
    }

    /// A call that was never requested is judged when it is completed.
    pub(crate) fn completed(
        &mut self,
        event: &Sequenced<Event>,
        call: &ToolCall,
        called: &Called,
    ) -> Vec<Finding> {
        let known = self.task_of(event).is_some_and(|task| task.open_calls.remove(&called.answer));
        let mut findings = if known { Vec::new() } else { self.requested(event, call, called) };
        self.drift_answered(&event.item, call, known);
        let breaches =
            self.task_of(event).map_or_else(Vec::new, |task| calls::completed(call, called.answer, task));
        if !breaches.is_empty() {
            let task = self.task_of(event);
            let compiled = task.and_then(|task| task.envelope.as_ref()?.compiled.clone());
            let told = self.tell(event, breaches, compiled.as_deref(), Some(call));
            // A call that was judged just now has said the same of its attempt.
            findings.retain(|finding| told.iter().all(|told| told.id != finding.id));
            findings.splice(0..0, told);
        }
        if !call.data_classes.is_empty() {
            findings.extend(self.classified(event, call, called.effect, known));
        }
        if let (Some(_), Some(tree)) = (&event.item.task, self.tree) {
            self.read(tree, &event.item, call, called);
        }
        findings
    }

    /// What a call was given or returned has a class: remembered for its tree, and judged unless that was done when the
    /// call was requested.
    fn classified(
        &mut self,
        event: &Sequenced<Event>,
        call: &ToolCall,
        effect: Effect,
        judge: bool,
    ) -> Vec<Finding> {
        let Some(root) = self.tree.and_then(|tree| self.state.roots.get_mut(&tree)) else {
            return Vec::new();
        };
        labels::remember(call, &mut root.classes);
        let compiled = event.item.task.as_ref().filter(|_| judge).and_then(|task| root.compiled(&task.id));
        let verdicts =
            compiled.as_ref().and_then(|compiled| labels::judge(&event.item, call, effect, compiled));
        self.tell(event, verdicts.into_iter().collect(), compiled.as_deref(), Some(call))
    }

    pub(crate) fn task_of(&mut self, event: &Sequenced<Event>) -> Option<&mut Task> {
        let task = event.item.task.as_ref()?;
        self.state.roots.get_mut(&self.tree?)?.tasks.get_mut(&task.id).map(Box::as_mut)
    }

    /// What a call returned becomes part of what its tree has seen. What was not seen in full, and has no fingerprints
    /// that can be compared, is remembered as such (INVARIANT A-3).
    fn read(&mut self, tree: TreeKey, item: &Event, call: &ToolCall, called: &Called) {
        let closed = self.state.roots.get(&tree).and_then(|root| root.closed);
        if closed.is_some_and(|end| end <= item.time) {
            return;
        }
        let text = call.result.as_deref();
        let seen = text.map_or(0, str::len) as u64;
        let is_whole = match (text, call.result_bytes) {
            (_, Some(bytes)) => bytes <= seen,
            (Some(_), None) => true,
            (None, None) => call.is_error,
        };
        let has_prints = !call.result_fingerprints.is_empty();
        let key = has_prints.then(|| self.options.fingerprint_key(&item.tenant)).flatten();
        let comparable = key.is_some_and(|key| key.made(&call.result_fingerprints));
        let prints = call.result_fingerprints.iter().filter_map(|print| print_number(print));
        let source = if called.tool.is_own_record { Source::Principal } else { Source::Anybody };
        self.state.remember(tree, |memory| {
            if let Some(text) = text {
                memory.read_result(text, source);
            }
            if comparable {
                memory.fingerprints(prints);
            } else if !is_whole {
                memory.not_seen();
            }
        });
    }
}

/// The verdicts on a call within its task, and the envelope that they rest on.
fn in_task(
    item: &Event,
    (call, called): (&ToolCall, &Called),
    root: &mut Root,
    options: &Options,
    coverage: &mut Coverage,
) -> (Vec<Verdict>, Option<Arc<Compiled>>) {
    let Root { tasks, memory, classes, .. } = root;
    let Some(task) = item.task.as_ref().and_then(|at| task_among(tasks, &at.id)) else {
        return (Vec::new(), None);
    };
    let effect = called.effect;
    if task.open_calls.len() < PER_TASK_MAX {
        task.open_calls.insert(called.answer);
    }
    let envelope = task.envelope.as_ref().and_then(|envelope| envelope.compiled.clone());
    if let Some(end) = task.closed {
        // What happened before the end and comes late is judged by the bounds of then, as long as they are kept.
        let in_time = item.time < end;
        if !in_time || envelope.is_none() {
            coverage.late_beyond_bound += u64::from(in_time);
            let reason = if in_time {
                format!(
                    "{} called {} before its task was over, and it was told so late that its bounds are gone",
                    who(item),
                    call.name
                )
            } else {
                format!("{} called {} after its task was over", who(item), call.name)
            };
            return (vec![Verdict::new(&rules::CLOSED, severity_of(effect), "", reason)], None);
        }
        coverage.late_within_bound += 1;
    }
    let Some(compiled) = envelope else {
        coverage.calls_without_envelope += 1;
        let reason = format!("{} called {} without an approved envelope", who(item), call.name);
        return (vec![Verdict::new(&rules::NO_ENVELOPE, severity_of(effect), "", reason)], None);
    };
    coverage.calls_judged += 1;
    coverage.calls_partly_traced += u64::from(memory.is_partial());
    task.last_act = task.last_act.max(Some(item.time));
    let mut verdicts = calls::overtaken(task);
    let agent = item.agent.as_ref().map(|agent| &agent.uid);
    if agent != Some(&compiled.envelope.agent_uid) {
        let reason = format!("{} called {} under a task of another agent", who(item), call.name);
        let verdict = Verdict::new(&rules::WRONG_AGENT, severity_of(effect), "/agent_uid", reason);
        let found = agent.map_or("nobody", |agent| agent.as_str());
        verdicts.push(verdict.seen(compiled.envelope.agent_uid.as_str(), found));
    }
    verdicts.extend(calls::judge(item, (call, called), &compiled, task, (memory, classes), options));
    (verdicts, Some(compiled))
}
