//! The clauses that a tool call must satisfy.

use crate::check::check_arguments;
use crate::compile::Compiled;
use crate::describe::{Verdict, abridge, who};
use crate::effect::Reach;
use crate::flow::{self, Subject};
use crate::integrity;
use crate::labels;
use crate::options::Options;
use crate::origin::Memory;
use crate::prepare::Called;
use crate::rules;
use crate::state::{Attempt, Given, Task};
use crate::systems;
use crate::target::targets_of;
use ambit_schemas::Event;
use ambit_schemas::event::{Effect, ToolCall};
use ambit_schemas::finding::Severity;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Roles of arguments that name what is touched.
const RESOURCE_ROLES: &[&str] =
    &["bucket", "database", "dataset", "index", "resource", "table", "uri", "volume"];

/// A call on its way through the clauses.
struct Judged<'a> {
    event: &'a Event,
    call: &'a ToolCall,
    compiled: &'a Compiled,
    called: &'a Called,
    grants: Vec<usize>,
    reach: Reach,
    effect: Effect,
    arguments: Option<Value>,
    /// Whether an untrusted text says whom or what the call reaches.
    is_steered: bool,
}

/// Attempts of a task that wait for their completion; further ones are judged as done.
const ATTEMPTS_MAX: usize = 16;

/// Whether a call without an envelope, or of another agent, would do harm.
pub(crate) fn severity_of(effect: Effect) -> Severity {
    if effect == Effect::Read { Severity::Medium } else { Severity::High }
}

/// All clauses of the envelope that a requested call breaks. The task's budgets move on.
pub(crate) fn judge(
    event: &Event,
    (call, called): (&ToolCall, &Called),
    compiled: &Compiled,
    task: &mut Task,
    (memory, classes): (&Memory, &BTreeSet<String>),
    options: &Options,
) -> Vec<Verdict> {
    let (reach, effect) = (called.reach, called.effect);
    let mut verdicts = Vec::new();
    let arguments = match call.arguments.as_ref().map(|raw| serde_json::from_str(raw.get())) {
        None => Some(Value::Null),
        Some(Ok(arguments)) => Some(arguments),
        Some(Err(error)) => {
            // INVARIANT A-3: what cannot be read is not thereby allowed.
            let reason = format!("the arguments of {} cannot be read: {error}", call.name);
            verdicts.push(Verdict::new(&rules::ERROR, severity_of(effect), "", reason));
            None
        }
    };
    let grants = compiled.grants_of(&call.name);
    verdicts.extend(integrity::called(event, call, &grants, compiled, task));
    verdicts.extend(labels::judge(event, call, effect, compiled));
    let mut call =
        Judged { event, call, compiled, called, grants, reach, effect, arguments, is_steered: false };
    call.window(&mut verdicts);
    call.effects(&mut verdicts);
    call.provenance(task, (memory, classes), options, &mut verdicts);
    call.tool(&mut verdicts);
    call.arguments(task, &mut verdicts);
    call.resources(task, &mut verdicts);
    call.approval(task, &mut verdicts);
    call.budgets(task, &mut verdicts);
    verdicts.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.rule.id.cmp(b.rule.id)));
    verdicts.truncate(options.findings_per_event_max);
    verdicts
}

impl Judged<'_> {
    fn window(&self, verdicts: &mut Vec<Verdict>) {
        if self.compiled.is_in_time(self.event.time) {
            return;
        }
        let window = &self.compiled.envelope.window;
        let at = self.event.time;
        if let Some(from) = window.not_before.filter(|from| at < *from) {
            let reason = format!("{} called {} before its task's time", who(self.event), self.call.name);
            let verdict =
                Verdict::new(&rules::WINDOW, severity_of(self.effect), "/window/not_before", reason);
            verdicts.push(verdict.seen(format!("not before {from}"), at.to_string()));
        }
        if let Some(until) = window.not_after.filter(|until| at >= *until) {
            let reason = format!("{} called {} after its task's time", who(self.event), self.call.name);
            let verdict = Verdict::new(&rules::WINDOW, severity_of(self.effect), "/window/not_after", reason);
            verdicts.push(verdict.seen(format!("before {until}"), at.to_string()));
        }
    }

    fn effects(&self, verdicts: &mut Vec<Verdict>) {
        if !self.compiled.may_have(self.effect) {
            let allowed = self.compiled.envelope.effects.as_deref().unwrap_or_default();
            let reason = format!(
                "{} called {}, which has an effect that the task may not have",
                who(self.event),
                self.call.name
            );
            let verdict = Verdict::new(&rules::EFFECT, severity_of(self.effect), "/effects", reason);
            verdicts.push(
                verdict
                    .seen(format!("{allowed:?}").to_lowercase(), format!("{:?}", self.effect).to_lowercase()),
            );
        }
    }

    fn tool(&self, verdicts: &mut Vec<Verdict>) {
        let tools = &self.compiled.envelope.tools;
        if self.grants.iter().any(|index| self.is_on_its_server(*index)) {
            return;
        }
        if self.compiled.tolerates(&self.grants, self.effect) {
            return;
        }
        let reason = if self.grants.is_empty() {
            format!("{} called {}, which its envelope does not grant", who(self.event), self.call.name)
        } else {
            format!(
                "{} called {} on a server that its envelope does not name",
                who(self.event),
                self.call.name
            )
        };
        let shown: Vec<&str> = tools.iter().take(8).map(|grant| grant.name.as_str()).collect();
        let verdict = Verdict::new(&rules::TOOL, self.ungranted_severity(), "/tools", reason);
        verdicts.push(verdict.seen(shown.join(", "), self.call.name.clone()));
    }

    /// Whether the call is on the server that a grant names.
    fn is_on_its_server(&self, grant: usize) -> bool {
        self.compiled.is_on_server(grant, self.call.server.as_deref())
    }

    /// How bad an ungranted tool is. What stays in the agent's workspace is told; what reaches further is stopped,
    /// unless the purpose's own words ask for it and no untrusted text says whom it reaches.
    fn ungranted_severity(&self) -> Severity {
        let is_asked_for = || self.compiled.said.asks_for(&self.called.tool.words, self.reach);
        match self.reach {
            Reach::Read | Reach::Fetch => Severity::Low,
            Reach::Local => Severity::Medium,
            Reach::Outbound => {
                if self.is_steered {
                    Severity::High
                } else {
                    Severity::Medium
                }
            }
            Reach::Plan
            | Reach::Destroy
            | Reach::Account
            | Reach::Money
            | Reach::Execute
            | Reach::Unknown => {
                if is_asked_for() && !self.is_steered {
                    Severity::Medium
                } else {
                    Severity::High
                }
            }
        }
    }

    /// Where the call's targets came from, and what follows from it.
    fn provenance(
        &mut self,
        task: &mut Task,
        (memory, classes): (&Memory, &BTreeSet<String>),
        options: &Options,
        verdicts: &mut Vec<Verdict>,
    ) {
        if self.reach == Reach::Read {
            return;
        }
        let Some(arguments) = self.arguments.take() else { return };
        let key = memory.has_fingerprints().then(|| options.fingerprint_key(&self.event.tenant)).flatten();
        let who = who(self.event);
        let subject = Subject {
            who: &who,
            tool: &self.call.name,
            reach: self.reach,
            grants: &self.grants,
            compiled: self.compiled,
            memory,
            has_strayed: task.has_strayed,
            arguments: &arguments,
        };
        let traced = flow::trace(targets_of(self.reach, &arguments), &subject, key.as_ref());
        flow::destinations(&traced, &subject, verdicts);
        flow::secret_out(&traced, &subject, verdicts);
        flow::execution(&subject, verdicts);
        labels::leaving(&traced, &subject, (self.call, classes), verdicts);
        systems::reached(&traced, &subject, &mut task.systems, verdicts);
        self.is_steered = traced.iter().any(|traced| traced.is_steered(&subject));
        self.arguments = Some(arguments);
    }

    /// A constraint that is broken by a call which fails does no harm: the attempt is told at once, and the breach when
    /// the call is completed (see [`completed`]).
    fn arguments(&self, task: &mut Task, verdicts: &mut Vec<Verdict>) {
        let Some(arguments) = &self.arguments else { return };
        // A grant holds for its server alone: what another server's grant allows says nothing.
        let is_elsewhere = |index: &usize| !self.is_on_its_server(*index);
        let here: Cow<'_, [usize]> = if self.grants.iter().any(is_elsewhere) {
            self.grants.iter().copied().filter(|index| !is_elsewhere(index)).collect()
        } else {
            Cow::Borrowed(&self.grants)
        };
        let Err(broken) = check_arguments(self.compiled, &here, arguments) else { return };
        for broken in broken {
            let pointer = format!("/tools/{}/arguments/{}", broken.grant, broken.constraint);
            let constraint = self
                .compiled
                .grants
                .get(broken.grant)
                .and_then(|grant| grant.arguments.get(broken.constraint));
            let argument = constraint.map_or("", |constraint| constraint.pointer.as_str());
            let reason = format!(
                "{} called {} with an argument {argument} outside its constraint",
                who(self.event),
                self.call.name
            );
            let worst = severity_of(self.effect);
            let waits = worst >= Severity::High && task.attempts.len() < ATTEMPTS_MAX;
            let severity = if waits { Severity::Medium } else { worst };
            let verdict = Verdict::new(&rules::ARGUMENT, severity, &pointer, reason);
            let verdict = verdict.seen(broken.expected, broken.observed);
            if waits {
                task.attempts.push(Attempt::of(&verdict, self.called.answer, worst));
            }
            verdicts.push(verdict);
        }
    }

    fn resources(&self, task: &mut Task, verdicts: &mut Vec<Verdict>) {
        let (Some(allowed), Some(Value::Object(arguments))) = (&self.compiled.resources, &self.arguments)
        else {
            return;
        };
        for (name, value) in arguments {
            let Value::String(text) = value else { continue };
            let role = name.to_lowercase();
            if !RESOURCE_ROLES.contains(&role.as_str()) || allowed.contains(&crate::target::normalise(text)) {
                continue;
            }
            task.has_strayed = true;
            let reason = format!(
                "{} reached {} with {}, which its envelope does not name",
                who(self.event),
                abridge(text),
                self.call.name
            );
            let verdict = Verdict::new(&rules::RESOURCE, severity_of(self.effect), "/resources", reason);
            let shown =
                self.compiled.envelope.resources.iter().flatten().take(8).cloned().collect::<Vec<_>>();
            verdicts.push(verdict.seen(shown.join(", "), text.clone()));
        }
    }

    fn approval(&self, task: &Task, verdicts: &mut Vec<Verdict>) {
        for index in self.compiled.approvals_for(&self.call.name) {
            let Some(rule) = self.compiled.envelope.approvals.get(index) else { continue };
            let this_call = self.called.key;
            let agent = self.event.agent.as_ref().map(|agent| agent.uid.as_str());
            let holds = |given: &Given| {
                let until = given.until.or_else(|| {
                    let seconds = i64::try_from(rule.valid_seconds?).unwrap_or(i64::MAX);
                    Some(given.at.plus_micros(seconds.saturating_mul(1_000_000)))
                });
                let approver = given.approver.as_ref();
                given.tool == self.call.name
                    && given.call.is_none_or(|call| call == this_call)
                    && approver.is_some_and(|approver| Some(approver.as_str()) != agent)
                    && (rule.approvers.is_empty()
                        || approver.is_some_and(|approver| rule.approvers.contains(approver)))
                    && until.is_none_or(|until| self.event.time <= until)
            };
            if !task.approvals.iter().any(holds) {
                let why = if task.approvals.iter().any(|given| given.tool == self.call.name) {
                    "the approval it has is not valid: expired, for another call, or by somebody who may not give it"
                } else {
                    "nobody has approved it"
                };
                let reason =
                    format!("{} called {}, which needs an approval; {why}", who(self.event), self.call.name);
                verdicts.push(Verdict::new(
                    &rules::APPROVAL,
                    Severity::High,
                    &format!("/approvals/{index}"),
                    reason,
                ));
            }
        }
    }

    fn budgets(&self, task: &mut Task, verdicts: &mut Vec<Verdict>) {
        let mut over = |task: &mut Task, pointer: String, limit: String, found: String| {
            if task.exceeded.insert(pointer.clone()) {
                let reason = format!(
                    "{} has used more than its task was granted with {}: {found}, where {limit} are allowed",
                    who(self.event),
                    self.call.name
                );
                verdicts
                    .push(Verdict::new(&rules::BUDGET, Severity::High, &pointer, reason).seen(limit, found));
            }
        };
        let budgets = &self.compiled.envelope.budgets;
        task.calls = task.calls.saturating_add(1);
        if let Some(max) = budgets.max_calls.filter(|max| task.calls > *max) {
            let found = format!("{} calls", task.calls);
            over(task, "/budgets/max_calls".into(), format!("{max} calls"), found);
        }
        self.per_tool(task, &mut over);
        self.rate(task, &mut over);
        task.bytes_out = task.bytes_out.saturating_add(self.call.bytes_out.unwrap_or_default());
        if let Some(max) = budgets.max_bytes_out.filter(|max| task.bytes_out > *max) {
            let found = format!("{} bytes", task.bytes_out);
            over(task, "/budgets/max_bytes_out".into(), format!("{max} bytes"), found);
        }
        task.cost_micros = task.cost_micros.saturating_add(self.call.cost_micros.unwrap_or_default());
        if let Some(max) = budgets.max_cost_micros.filter(|max| task.cost_micros > *max) {
            let found = format!("{} millionths", task.cost_micros);
            over(task, "/budgets/max_cost_micros".into(), format!("{max} millionths"), found);
        }
        self.sums(task, &mut over);
        let since = task.envelope.as_ref().map(|envelope| envelope.since);
        if let (Some(max), Some(since)) = (budgets.max_duration_seconds, since) {
            let took = self.event.time.micros_since(since) / 1_000_000;
            if took > i64::try_from(max).unwrap_or(i64::MAX) {
                over(task, "/budgets/max_duration_seconds".into(), format!("{max} s"), format!("{took} s"));
            }
        }
    }

    fn per_tool(&self, task: &mut Task, over: &mut impl FnMut(&mut Task, String, String, String)) {
        let limits: Vec<(usize, u32)> = self
            .grants
            .iter()
            .filter_map(|index| Some((*index, self.compiled.envelope.tools.get(*index)?.max_calls?)))
            .collect();
        if limits.is_empty() {
            return;
        }
        let count = task.calls_by_tool.entry(self.call.name.clone()).or_default();
        *count = count.saturating_add(1);
        let count = *count;
        for (index, max) in limits.into_iter().filter(|(_, max)| count > *max) {
            over(task, format!("/tools/{index}/max_calls"), format!("{max} calls"), format!("{count} calls"));
        }
    }

    fn rate(&self, task: &mut Task, over: &mut impl FnMut(&mut Task, String, String, String)) {
        let Some(max) = self.compiled.envelope.budgets.max_calls_per_minute else { return };
        let minute_ago = self.event.time.plus_micros(-60_000_000);
        task.recent_calls.push_back(self.event.time);
        while task.recent_calls.front().is_some_and(|at| *at <= minute_ago)
            || task.recent_calls.len() > max as usize + 1
        {
            task.recent_calls.pop_front();
        }
        if task.recent_calls.len() > max as usize {
            over(
                task,
                "/budgets/max_calls_per_minute".into(),
                format!("{max} calls in 60 s"),
                format!("{} or more", max + 1),
            );
        }
    }

    fn sums(&self, task: &mut Task, over: &mut impl FnMut(&mut Task, String, String, String)) {
        let Some(bound) = self.compiled.envelope.budgets.sums.get(&self.call.name) else { return };
        let amount = self
            .arguments
            .as_ref()
            .and_then(|arguments| arguments.pointer(&bound.pointer))
            .and_then(Value::as_f64);
        // A negative amount must not make room for a larger one.
        let amount = amount.unwrap_or_default().max(0.0);
        let sum = task.sums.entry(self.call.name.clone()).or_default();
        *sum += amount;
        let sum = *sum;
        if sum > bound.max {
            let pointer = format!("/budgets/sums/{}", self.call.name.replace('~', "~0").replace('/', "~1"));
            over(task, pointer, format!("{} in all", bound.max), format!("{sum}"));
        }
    }
}

/// What becomes of attempts when a call is completed: a failed one is dropped, a successful one is a breach.
pub(crate) fn completed(call: &ToolCall, key: u128, task: &mut Task) -> Vec<Verdict> {
    if task.attempts.is_empty() {
        return Vec::new();
    }
    let (done, waiting) =
        std::mem::take(&mut task.attempts).into_iter().partition(|attempt| attempt.call == key);
    task.attempts = waiting;
    let done: Vec<Attempt> = done;
    if call.is_error { Vec::new() } else { done.into_iter().map(Attempt::breach).collect() }
}

/// Attempts whose completion did not come before the agent went on: they count as breaches, as nobody says that they
/// failed (INVARIANT A-3).
pub(crate) fn overtaken(task: &mut Task) -> Vec<Verdict> {
    // The call that goes on may break the same constraint: the two are told apart by the call that is meant.
    let breach = |attempt: Attempt| {
        let about = format!("{:032x}", attempt.call);
        attempt.breach().about(about)
    };
    std::mem::take(&mut task.attempts).into_iter().map(breach).collect()
}
