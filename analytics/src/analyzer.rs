//! The fold: one event after the other, state in, findings out.

use crate::compile::Compiled;
use crate::coverage::Coverage;
use crate::credentials::{self, Late};
use crate::delegation;
use crate::describe::{Circumstances, Verdict, finding, who};
use crate::lifecycle::{self, Step};
use crate::options::Options;
use crate::prepare::{Prepared, Preparer, hash};
use crate::rules;
use crate::secrets;
use crate::state::{Root, Sight, State, TreeKey};
use ambit_schemas::event::{Body, Credential, Delegation, Event, TaskRef, ToolCall};
use ambit_schemas::finding::{Finding, Severity};
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
    /// Tasks that were counted to their end, where they are wanted.
    pub(crate) finished: Option<Vec<crate::drift::Finished>>,
}

impl Analyzer {
    /// An analyzer that has seen nothing.
    pub fn new(shard: Shard, options: Arc<Options>) -> Self {
        let preparer = Preparer::new(Arc::clone(&options));
        let state = State::default();
        Self { shard, options, next_offset: 0, state, preparer, reused: None, tree: None, finished: None }
    }

    /// The shard it judges.
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    /// The offset after the last one it has seen.
    pub const fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// What was judged so far, and what was not.
    pub const fn coverage(&self) -> Coverage {
        self.state.coverage
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
            self.state.coverage.repeated += 1;
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
        let customer = self.customer(prepared);
        if !customer.is_empty() {
            findings.extend(customer);
            findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        }
        let late_seconds = self.tree.and_then(|tree| self.state.arrives(tree, event.item.time));
        for finding in &mut findings {
            finding.late_seconds = late_seconds;
            self.state.risks.take(finding);
        }
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

    #[allow(clippy::too_many_lines, reason = "one line for each kind")]
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
            Body::DelegationRevoked(delegation) => {
                if let Some(tree) = self.tree {
                    delegation::revoked(item, delegation, self.state.root(tree));
                }
                Vec::new()
            }
            Body::CredentialIssued(credential)
            | Body::CredentialRotated(credential)
            | Body::CredentialRevoked(credential)
            | Body::CredentialExpired(credential)
            | Body::CredentialUsed(credential) => self.credential(event, credential),
            Body::AgentCreated(_) => self.life(item, Step::Created),
            Body::AgentCloned(_) => self.life(item, Step::Cloned),
            Body::AgentPaused(_) => self.life(item, Step::Paused),
            Body::AgentResumed(_) => self.life(item, Step::Resumed),
            Body::AgentOffboarded(_) => self.life(item, Step::Offboarded),
            Body::AgentRetasked(lifecycle) => {
                lifecycle::retasked(item, lifecycle, self.tree, &mut self.state);
                self.state.coverage.lifecycle_steps += 1;
                Vec::new()
            }
            Body::RulesActivated(activated) => self.activated(prepared, activated),
            Body::BaselineApproved(signed) => self.baseline(event, signed),
            Body::ToolCallDenied(_) => self.denied(item),
            Body::EnvelopeProposed(_)
            | Body::ApprovalRequested(_)
            | Body::ApprovalDenied(_)
            | Body::ApprovalExpired(_)
            | Body::ApprovalCancelled(_)
            | Body::AgentRetried(_)
            | Body::DecisionEvaluated(_)
            | Body::FindingCreated(_)
            | Body::FindingUpdated(_)
            | Body::FindingClosed(_)
            | Body::ResponseDecided(_)
            | Body::ResponseAttempted(_)
            | Body::ResponseAcknowledged(_)
            | Body::ResponseDeadLettered(_)
            | Body::ResponseOrdered(_)
            | Body::ResponsePending(_)
            | Body::ResponseApproved(_)
            | Body::ResponseDenied(_)
            | Body::ResponseExpired(_)
            | Body::ResponsesStopped(_)
            | Body::ResponsesResumed(_)
            | Body::DeliveryRedriven(_)
            | Body::PolicyChanged(_)
            | Body::ReceiverDisabled(_)
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
            | Body::SearchSaved(_) => {
                self.state.coverage.not_judged += 1;
                Vec::new()
            }
        }
    }

    /// What was refused has done nothing: it is only counted.
    fn denied(&mut self, item: &Event) -> Vec<Finding> {
        self.drift_denied(item);
        self.state.coverage.not_judged += 1;
        Vec::new()
    }

    fn life(&mut self, item: &Event, step: Step) -> Vec<Finding> {
        lifecycle::step(item, step, self.tree, &mut self.state);
        self.state.coverage.lifecycle_steps += 1;
        Vec::new()
    }

    pub(crate) fn tell(
        &self,
        event: &Sequenced<Event>,
        verdicts: Vec<Verdict>,
        envelope: Option<&Compiled>,
        call: Option<&ToolCall>,
    ) -> Vec<Finding> {
        if verdicts.is_empty() {
            return Vec::new();
        }
        let around = Circumstances {
            tool: call.map(|call| call.name.as_str()),
            call: call.map(|call| &call.id),
            reused: self.reused,
            ..self.around(event, envelope)
        };
        verdicts.into_iter().map(|verdict| finding(verdict, &around)).collect()
    }

    /// Verdicts on earlier events, which are named before this one (INVARIANT A-4).
    pub(crate) fn tell_late(
        &self,
        event: &Sequenced<Event>,
        late: Vec<Late>,
        envelope: Option<&Compiled>,
    ) -> Vec<Finding> {
        if late.is_empty() {
            return Vec::new();
        }
        let mut around = self.around(event, envelope);
        let mut told = Vec::with_capacity(late.len());
        for (verdict, earlier) in late {
            around.earlier = Some(earlier);
            told.push(finding(verdict, &around));
        }
        told
    }

    fn around<'a>(&self, event: &'a Sequenced<Event>, envelope: Option<&'a Compiled>) -> Circumstances<'a> {
        let task = event.item.task.as_ref();
        let root = self.tree.and_then(|tree| self.state.roots.get(&tree));
        let held = |(task, root): (&TaskRef, &Root)| root.held_by(&task.id, event.item.time);
        let credentials = task.zip(root).map_or_else(Vec::new, held);
        Circumstances { event, envelope, credentials, tool: None, call: None, reused: None, earlier: None }
    }

    /// Anything that happens to a credential.
    fn credential(&mut self, event: &Sequenced<Event>, credential: &Credential) -> Vec<Finding> {
        let item = &event.item;
        let Some(tree) = self.tree else {
            self.state.coverage.credentials_without_task += 1;
            let is_issue = matches!(item.body, Body::CredentialIssued(_));
            let verdict = is_issue.then(|| credentials::without_task(item, credential)).flatten();
            let at_rest = matches!(item.body, Body::CredentialUsed(_)).then(|| self.at_rest(item)).flatten();
            return self.tell(event, verdict.into_iter().chain(at_rest).collect(), None, None);
        };
        self.state.coverage.credentials_judged += 1;
        let key = hash(&["credential", item.tenant.as_str(), credential.uid.as_str()]);
        let root = self.state.root(tree);
        let (mut now, mut late): (Vec<Verdict>, Vec<Late>) = (Vec::new(), Vec::new());
        #[expect(clippy::wildcard_enum_match_arm, reason = "called for events of credentials alone")]
        match item.body {
            Body::CredentialIssued(_) | Body::CredentialRotated(_) => {
                let issued = credentials::issued(event, credential, root);
                (now, late) = (issued.now, issued.late);
                now.extend(credentials::elsewhere(item, (tree, key), true, credential, &mut self.state));
            }
            Body::CredentialRevoked(_) => {
                late = credentials::revoked(item, credential, root);
                now.extend(credentials::ended(item, &credential.uid, root));
            }
            Body::CredentialExpired(_) => {
                late = credentials::expired(item, credential, root);
                now.extend(credentials::ended(item, &credential.uid, root));
            }
            _ => {
                now = credentials::used(event, credential, root);
                now.extend(credentials::elsewhere(item, (tree, key), false, credential, &mut self.state));
                now.extend(self.at_rest(item));
            }
        }
        let task = item.task.as_ref().map(|task| &task.id);
        let compiled = task.and_then(|task| self.state.roots.get(&tree)?.compiled(task));
        let mut findings = self.tell(event, now, compiled.as_deref(), None);
        findings.extend(self.tell_late(event, late, compiled.as_deref()));
        findings
    }

    /// Whether whoever acts may act at all.
    pub(crate) fn at_rest(&self, item: &Event) -> Option<Verdict> {
        lifecycle::acts(item, self.tree, &self.state)
    }

    fn delegated(&mut self, event: &Sequenced<Event>, delegation: &Delegation) -> Vec<Finding> {
        self.state.coverage.delegations_judged += 1;
        self.drift_delegated(&event.item);
        let at_rest = self.at_rest(&event.item);
        let Some(tree) = self.tree else {
            let reason = format!("{} handed work on outside of any task", who(&event.item));
            let verdict = Verdict::new(&rules::NO_ENVELOPE, Severity::High, "", reason);
            return self.tell(event, at_rest.into_iter().chain([verdict]).collect(), None, None);
        };
        let mut granted = delegation::granted(event, delegation, self.state.root(tree));
        granted.verdicts.extend(at_rest);
        granted.verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.severity));
        let compiled = granted.compiled.as_deref();
        let mut findings = self.tell(event, granted.verdicts, compiled, None);
        if let Some((verdict, child)) = granted.child {
            findings.extend(self.tell(event, vec![verdict], Some(&child), None));
        }
        findings
    }
}
