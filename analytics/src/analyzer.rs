//! The fold: one event after the other, state in, findings out.

use crate::calls::{self, severity_of};
use crate::compile::Compiled;
use crate::credentials;
use crate::describe::{Circumstances, Verdict, finding, who};
use crate::flow::print_number;
use crate::options::Options;
use crate::origin::{Memory, Source};
use crate::prepare::{Called, Prepared, Preparer, hash};
use crate::rules;
use crate::secrets;
use crate::state::{Given, InForce, Kept, PER_TASK_MAX, Root, Sight, State, Task, TreeKey, task_among};
use ambit_schemas::envelope::SignedEnvelope;
use ambit_schemas::event::{Approval, Body, Delegation, Effect, Event, TaskRef, ToolCall};
use ambit_schemas::finding::{Finding, Severity, finding_id};
use ambit_schemas::id::{TaskId, TenantId};
use ambit_schemas::{Sequenced, Shard};
use std::borrow::Cow;
use std::sync::Arc;

/// Judges the events of one shard.
#[derive(Debug)]
pub struct Analyzer {
    pub(crate) shard: Shard,
    pub(crate) options: Arc<Options>,
    pub(crate) next_offset: u64,
    pub(crate) state: State,
    pub(crate) preparer: Preparer,
    /// The content of the event that is being judged, when another event had its name.
    pub(crate) reused: Option<u64>,
    /// The delegation tree of the event that is being judged.
    pub(crate) tree: Option<TreeKey>,
}

impl Analyzer {
    /// An analyzer that has seen nothing.
    pub fn new(shard: Shard, options: Arc<Options>) -> Self {
        let preparer = Preparer::new(Arc::clone(&options));
        Self { shard, options, next_offset: 0, state: State::default(), preparer, reused: None, tree: None }
    }

    /// The shard it judges.
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    /// The offset after the last one it has seen.
    pub const fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Passes over a record that is not an event.
    pub fn skip(&mut self, offset: u64) {
        self.next_offset = offset + 1;
    }

    /// Prepares and judges the next event of the shard. The worst finding comes first.
    pub fn observe(&mut self, event: &Sequenced<Event>) -> Vec<Finding> {
        let prepared = self.preparer.prepare(Cow::Borrowed(event));
        self.judge(&prepared)
    }

    /// Judges the next event of the shard. The worst finding comes first.
    pub fn judge(&mut self, prepared: &Prepared<'_>) -> Vec<Finding> {
        let event = prepared.event();
        self.next_offset = event.offset + 1;
        // Producers send some events twice; each is judged once.
        let sight = self.state.seen.insert(prepared.key, prepared.content);
        if sight == Sight::Again {
            return Vec::new();
        }
        self.tree = prepared.tree;
        self.reused = (sight == Sight::Other).then_some(prepared.content);
        let reuse = self.reuse(event);
        let leak = self.leak(prepared);
        let mut findings = self.by_kind(prepared);
        findings.extend(reuse);
        // The worst finding stays first.
        let at =
            leak.first().map_or(0, |leak| findings.partition_point(|told| told.severity >= leak.severity));
        findings.splice(at..at, leak);
        findings
    }

    /// A name that another event had is told, and the event judged all the same: otherwise an action could hide behind
    /// the name of a harmless one.
    fn reuse(&self, event: &Sequenced<Event>) -> Vec<Finding> {
        if self.reused.is_none() {
            return Vec::new();
        }
        let reason =
            format!("an event of {} has the id of another one that says something else", who(&event.item));
        self.tell(event, vec![Verdict::new(&rules::REUSE, Severity::Medium, "", reason)], None, None)
    }

    /// A secret that was taken out of a call. What a call was given is told when it is requested.
    fn leak(&mut self, prepared: &Prepared<'_>) -> Vec<Finding> {
        let event = prepared.event();
        if event.item.redactions.is_empty() {
            return Vec::new();
        }
        let (Body::ToolCallRequested(call) | Body::ToolCallCompleted(call) | Body::ToolCallDenied(call)) =
            &event.item.body
        else {
            return Vec::new();
        };
        let id = prepared.call.as_ref().map(|called| called.answer);
        let completes = matches!(event.item.body, Body::ToolCallCompleted(_));
        let task = self.task_of(event);
        let told = completes && task.zip(id).is_some_and(|(task, id)| task.open_calls.contains(&id));
        let verdict = secrets::leaked(&event.item, call, told);
        self.tell(event, verdict.into_iter().collect(), None, Some(call))
    }

    fn by_kind(&mut self, prepared: &Prepared<'_>) -> Vec<Finding> {
        let event = prepared.event();
        let item = &event.item;
        match &item.body {
            Body::ToolCallRequested(call) => {
                prepared.call.as_ref().map_or_else(Vec::new, |called| self.requested(event, call, called))
            }
            Body::ToolCallCompleted(call) => {
                prepared.call.as_ref().map_or_else(Vec::new, |called| self.completed(event, call, called))
            }
            Body::EnvelopeApproved(signed) => self.envelope(prepared, signed, false),
            Body::EnvelopeAmended(signed) => self.envelope(prepared, signed, true),
            Body::EnvelopeClosed(_) => self.closed(event),
            Body::ApprovalApproved(approval) => self.approved(item, approval),
            Body::DelegationGranted(delegation) => self.delegated(event, delegation),
            Body::CredentialIssued(credential) | Body::CredentialRotated(credential) => {
                let root = self.tree.map(|tree| self.state.root(tree));
                let late = root.map_or_else(Vec::new, |root| credentials::issued(item, credential, root));
                self.tell_late(event, late)
            }
            Body::CredentialRevoked(credential) | Body::CredentialExpired(credential) => {
                let root = self.tree.map(|tree| self.state.root(tree));
                let late = root.map_or_else(Vec::new, |root| credentials::ended(item, credential, root));
                self.tell_late(event, late)
            }
            Body::CredentialUsed(credential) => {
                let root = self.tree.map(|tree| self.state.root(tree));
                let verdicts = root.map_or_else(Vec::new, |root| credentials::used(event, credential, root));
                self.tell(event, verdicts, None, None)
            }
            Body::ToolCallDenied(_)
            | Body::EnvelopeProposed(_)
            | Body::ApprovalRequested(_)
            | Body::ApprovalDenied(_)
            | Body::ApprovalExpired(_)
            | Body::ApprovalCancelled(_)
            | Body::AgentCreated(_)
            | Body::AgentCloned(_)
            | Body::AgentPaused(_)
            | Body::AgentResumed(_)
            | Body::AgentRetried(_)
            | Body::AgentRetasked(_)
            | Body::AgentOffboarded(_)
            | Body::DelegationRevoked(_)
            | Body::DecisionEvaluated(_)
            | Body::FindingCreated(_)
            | Body::FindingUpdated(_)
            | Body::FindingClosed(_)
            | Body::ResponseDecided(_)
            | Body::ResponseAttempted(_)
            | Body::ResponseAcknowledged(_)
            | Body::ResponseDeadLettered(_)
            | Body::RevocationRequested(_)
            | Body::RevocationDelivered(_)
            | Body::RevocationConfirmed(_)
            | Body::RevocationFailed(_)
            | Body::GapDetected(_)
            | Body::ClockSkewed(_)
            | Body::SourceRecorded(_)
            | Body::IntegrityBroken(_)
            | Body::DeadLetterRedriven(_)
            | Body::TriageChanged(_)
            | Body::TriageSuppressed(_)
            | Body::CaseChanged(_)
            | Body::QueryExecuted(_)
            | Body::QueryExported(_)
            | Body::SearchSaved(_) => Vec::new(),
        }
    }

    fn tell(
        &self,
        event: &Sequenced<Event>,
        verdicts: Vec<Verdict>,
        envelope: Option<&Compiled>,
        call: Option<&ToolCall>,
    ) -> Vec<Finding> {
        if verdicts.is_empty() {
            return Vec::new();
        }
        let task = event.item.task.as_ref();
        let root = self.tree.and_then(|tree| self.state.roots.get(&tree));
        let credentials = task.zip(root).map_or_else(Vec::new, |(task, root)| root.held_by(&task.id));
        let around = Circumstances {
            event,
            envelope,
            credentials,
            tool: call.map(|call| call.name.as_str()),
            call: call.map(|call| &call.id),
            reused: self.reused,
        };
        verdicts.into_iter().map(|verdict| finding(verdict, &around)).collect()
    }

    /// Verdicts on earlier events, which are named before this one (INVARIANT A-4). Each has the id that it would have
    /// had if the earlier event had come last.
    fn tell_late(&self, event: &Sequenced<Event>, late: Vec<credentials::Late>) -> Vec<Finding> {
        let told = late.into_iter().flat_map(|(verdict, used)| {
            let mut findings = self.tell(event, vec![verdict], None, None);
            for finding in &mut findings {
                let rule = &finding.rule;
                let of = (&used.event.source, &used.event.id);
                finding.id = finding_id(&rule.id, rule.version, &finding.tenant, of, "");
                finding.events.insert(0, used.event.clone());
            }
            findings
        });
        told.collect()
    }

    fn requested(&mut self, event: &Sequenced<Event>, call: &ToolCall, called: &Called) -> Vec<Finding> {
        let item = &event.item;
        let without = |why: &str| {
            let reason = format!("{} called {} {why}", who(item), call.name);
            vec![Verdict::new(&rules::NO_ENVELOPE, severity_of(called.effect), "", reason)]
        };
        let (Some(TaskRef { id, .. }), Some(tree)) = (&item.task, self.tree) else {
            // INVARIANT A-3
            return self.tell(event, without("outside of any task"), None, Some(call));
        };
        let Root { tasks, memory, .. } = self.state.root(tree);
        let Some(task) = task_among(tasks, id) else {
            return self.tell(event, without("in a delegation tree with too many tasks"), None, Some(call));
        };
        let (verdicts, compiled) = in_task(item, call, called, task, memory, &self.options);
        if called.effect != Effect::Read
            && compiled.is_some()
            && let Some(arguments) = &call.arguments
        {
            self.state.remember(tree, |memory| memory.wrote(arguments.get()));
        }
        self.tell(event, verdicts, compiled.as_deref(), Some(call))
    }

    /// A call that was never requested is judged when it is completed.
    fn completed(&mut self, event: &Sequenced<Event>, call: &ToolCall, called: &Called) -> Vec<Finding> {
        let known = self.task_of(event).is_some_and(|task| task.open_calls.remove(&called.answer));
        let mut findings = if known { Vec::new() } else { self.requested(event, call, called) };
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
        if let (Some(task), Some(tree)) = (&event.item.task, self.tree) {
            self.read(tree, &task.root, &event.item.tenant, call, called);
        }
        findings
    }

    fn task_of(&mut self, event: &Sequenced<Event>) -> Option<&mut Task> {
        let task = event.item.task.as_ref()?;
        self.state.roots.get_mut(&self.tree?)?.tasks.get_mut(&task.id).map(Box::as_mut)
    }

    /// What a call returned becomes part of what its tree has seen. What was not seen in full, and has no fingerprints
    /// that can be compared, is remembered as such (INVARIANT A-3).
    fn read(&mut self, tree: TreeKey, root: &TaskId, tenant: &TenantId, call: &ToolCall, called: &Called) {
        let known = self.state.roots.get(&tree).and_then(|tree| tree.tasks.get(root));
        if known.is_some_and(|task| task.closed) {
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
        let key = has_prints.then(|| self.options.fingerprint_key(tenant)).flatten();
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

    fn envelope(
        &mut self,
        prepared: &Prepared<'_>,
        signed: &SignedEnvelope,
        amendment: bool,
    ) -> Vec<Finding> {
        let event = prepared.event();
        let item = &event.item;
        let agent = item.agent.as_ref().map(|agent| agent.uid.as_str());
        let refused = |rule, why: String| vec![Verdict::new(rule, Severity::High, "", why)];
        let approver = match &prepared.envelope {
            Some(Ok(compiled)) => Some(compiled.envelope.approved_by.as_str().to_owned()),
            Some(Err(_)) | None => approved_by(signed),
        };
        if approver.as_deref().is_some_and(|approver| Some(approver) == agent) {
            let why = format!("{} approved the bounds of its own task", who(item));
            return self.tell(event, refused(&rules::SELF_APPROVAL, why), None, None);
        }
        let compiled = match &prepared.envelope {
            None => return Vec::new(),
            Some(Ok(compiled)) => Arc::clone(compiled),
            Some(Err(error)) => {
                let why = format!("an envelope for {} cannot be used: {error}", who(item));
                return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
            }
        };
        let (Some(TaskRef { id, .. }), Some(tree)) = (&item.task, self.tree) else {
            let why = "an envelope came without a task".to_owned();
            return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
        };
        if compiled.envelope.task_id != *id {
            let why = format!("an envelope for task {} came under task {id}", compiled.envelope.task_id);
            return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
        }
        let Some(task) = self.state.root(tree).task(id) else { return Vec::new() };
        let current = task.envelope.as_ref().and_then(|envelope| envelope.compiled.as_ref());
        let version = current.map_or(0, |current| current.envelope.version);
        if task.closed || compiled.envelope.version <= version || (amendment && version == 0) {
            let why = format!(
                "version {} of envelope {} came when version {version} was in force{}",
                compiled.envelope.version,
                compiled.envelope.id,
                if task.closed { " and the task over" } else { "" }
            );
            return self.tell(event, refused(&rules::INVALID_ENVELOPE, why), None, None);
        }
        let since = task.envelope.as_ref().map_or(item.time, |envelope| envelope.since);
        task.envelope = Some(InForce { signed: Kept::new(signed), since, compiled: Some(compiled) });
        Vec::new()
    }

    fn closed(&mut self, event: &Sequenced<Event>) -> Vec<Finding> {
        let (Some(TaskRef { id, root, .. }), Some(tree)) = (&event.item.task, self.tree) else {
            return Vec::new();
        };
        let (mut overtaken, mut compiled) = (Vec::new(), None);
        if let Some(task) = self.state.root(tree).task(id) {
            overtaken = calls::overtaken(task);
            compiled = task.envelope.take().and_then(|envelope| envelope.compiled);
            *task = Task { closed: true, ..Task::default() };
        }
        if id == root {
            self.state.note_closed(tree);
        }
        self.tell(event, overtaken, compiled.as_deref(), None)
    }

    fn approved(&mut self, event: &Event, approval: &Approval) -> Vec<Finding> {
        let (Some(TaskRef { id, .. }), Some(tree)) = (&event.task, self.tree) else { return Vec::new() };
        if let Some(task) = self.state.root(tree).task(id)
            && task.approvals.len() < PER_TASK_MAX
        {
            task.approvals.push(Given {
                tool: approval.tool.clone(),
                call: approval.tool_call_id.as_ref().map(|call| hash(&["call", call.as_str()])),
                approver: approval.approver.clone(),
                at: event.time,
                until: approval.approved_until,
            });
        }
        Vec::new()
    }

    fn delegated(&mut self, event: &Sequenced<Event>, delegation: &Delegation) -> Vec<Finding> {
        let item = &event.item;
        let tree = self.tree.and_then(|tree| self.state.roots.get(&tree));
        let task = tree.zip(item.task.as_ref()).and_then(|(tree, task)| tree.tasks.get(&task.id));
        let compiled = task.and_then(|task| task.envelope.as_ref()?.compiled.clone());
        let Some(compiled) = compiled else {
            let reason = format!("{} handed work on without an approved envelope", who(item));
            let verdict = Verdict::new(&rules::NO_ENVELOPE, Severity::High, "", reason);
            return self.tell(event, vec![verdict], None, None);
        };
        let bounds = &compiled.envelope.delegation;
        let mut verdicts = Vec::new();
        if delegation.depth > bounds.max_depth {
            let reason = format!("{} handed work on further than its envelope allows", who(item));
            let verdict = Verdict::new(&rules::DELEGATION, Severity::High, "/delegation/max_depth", reason);
            verdicts.push(
                verdict.seen(format!("depth {}", bounds.max_depth), format!("depth {}", delegation.depth)),
            );
        }
        if !compiled.may_delegate_to(delegation.delegatee.as_str()) {
            let reason = format!("{} handed work to an agent that its envelope does not name", who(item));
            let verdict = Verdict::new(&rules::DELEGATION, Severity::High, "/delegation/delegates", reason);
            verdicts.push(verdict.seen(bounds.delegates.join(", "), delegation.delegatee.as_str()));
        }
        self.tell(event, verdicts, Some(&compiled), None)
    }
}

/// The verdicts on a call within its task, and the envelope that they rest on.
fn in_task(
    item: &Event,
    call: &ToolCall,
    called: &Called,
    task: &mut Task,
    memory: &Memory,
    options: &Options,
) -> (Vec<Verdict>, Option<Arc<Compiled>>) {
    let effect = called.effect;
    if task.open_calls.len() < PER_TASK_MAX {
        task.open_calls.insert(called.answer);
    }
    if task.closed {
        let reason = format!("{} called {} after its task was over", who(item), call.name);
        return (vec![Verdict::new(&rules::CLOSED, severity_of(effect), "", reason)], None);
    }
    let Some(compiled) = task.envelope.as_ref().and_then(|envelope| envelope.compiled.clone()) else {
        let reason = format!("{} called {} without an approved envelope", who(item), call.name);
        return (vec![Verdict::new(&rules::NO_ENVELOPE, severity_of(effect), "", reason)], None);
    };
    let mut verdicts = calls::overtaken(task);
    let agent = item.agent.as_ref().map(|agent| &agent.uid);
    if agent != Some(&compiled.envelope.agent_uid) {
        let reason = format!("{} called {} under a task of another agent", who(item), call.name);
        let verdict = Verdict::new(&rules::WRONG_AGENT, severity_of(effect), "/agent_uid", reason);
        let found = agent.map_or("nobody", |agent| agent.as_str());
        verdicts.push(verdict.seen(compiled.envelope.agent_uid.as_str(), found));
    }
    verdicts.extend(calls::judge(item, (call, called), &compiled, task, memory, options));
    (verdicts, Some(compiled))
}

/// Who approved, read without checking anything else: self-approval is told even of a document that is not valid.
fn approved_by(signed: &SignedEnvelope) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(signed.document.get()).ok()?;
    document.get("approved_by")?.as_str().map(str::to_owned)
}
