//! What is remembered of a shard: its root tasks, their tasks, what they hold and have used. Bounded.

use crate::compile::Compiled;
use crate::describe::Verdict;
use crate::origin::Memory;
use crate::patterns::Patterns;
use crate::prepare::hash;
use crate::rules;
use ambit_schemas::envelope::SignedEnvelope;
use ambit_schemas::finding::{EventRef, Severity};
use ambit_schemas::id::{AgentId, CredentialId, PrincipalId, TaskId};
use ambit_schemas::{Event, Sequenced, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Root tasks that are remembered per shard. Closed ones go first; what goes is judged as having no envelope.
pub(crate) const ROOTS_MAX: usize = 100_000;
/// Tasks of one root task.
pub(crate) const TASKS_MAX: usize = 1_000;
/// Open tool calls, approvals and credentials that are remembered per task.
pub(crate) const PER_TASK_MAX: usize = 4_096;
/// Words of results that are remembered per shard: 32 Mi words are 256 MiB. The root tasks that read first forget first.
pub(crate) const SHARD_WORDS_MAX: usize = 32 << 20;
/// Latest events that are remembered to judge each once.
pub(crate) const SEEN_MAX: usize = 65_536;

/// The state of a shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) roots: HashMap<TreeKey, Root>,
    /// Root tasks in the order in which they appeared.
    order: VecDeque<TreeKey>,
    /// Root tasks in the order in which they were closed.
    closed: VecDeque<TreeKey>,
    pub(crate) seen: Seen,
    /// Root tasks that remember texts, in the order in which they began to, and how many words they remember in all.
    readers: VecDeque<TreeKey>,
    remembered: usize,
}

/// The latest events, by 128 bits of a hash.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    order: VecDeque<u128>,
    hashes: HashMap<u128, u64>,
}

/// Whether an event was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It is new.
    First,
    /// It came before, the same.
    Again,
    /// Another one came before under its name.
    Other,
}

/// Names a delegation tree: 128 bits of a hash over its tenant and its root task. A task that another tenant calls the
/// same is another one (INVARIANT Q-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TreeKey(u128);

impl TreeKey {
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let task = event.task.as_ref()?;
        Some(Self(hash(&["tree", event.tenant.as_str(), task.root.as_str()])))
    }
}

/// A delegation tree.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Boxed, as a node of the tree has room for eleven of them and most trees have one.
    pub(crate) tasks: BTreeMap<TaskId, Box<Task>>,
    pub(crate) credentials: BTreeMap<CredentialId, Held>,
    /// What its agents read and wrote.
    pub(crate) memory: Memory,
}

/// One task.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) envelope: Option<InForce>,
    pub(crate) closed: bool,
    pub(crate) calls: u32,
    pub(crate) calls_by_tool: BTreeMap<String, u32>,
    pub(crate) recent_calls: VecDeque<Timestamp>,
    pub(crate) bytes_out: u64,
    pub(crate) cost_micros: u64,
    pub(crate) sums: BTreeMap<String, f64>,
    /// Budgets that were exceeded already: each is told once.
    pub(crate) exceeded: BTreeSet<String>,
    /// Calls that were requested and are not completed.
    pub(crate) open_calls: HashSet<u128>,
    /// It has read something that its envelope does not name.
    pub(crate) has_strayed: bool,
    pub(crate) approvals: Vec<Given>,
    /// Calls that broke a constraint and are not completed.
    pub(crate) attempts: Vec<Attempt>,
}

/// A broken constraint of a call that is not completed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) call: u128,
    severity: Severity,
    pointer: String,
    reason: String,
    expected: Option<String>,
    observed: Option<String>,
}

impl Attempt {
    pub(crate) fn of(verdict: &Verdict, call: u128, severity: Severity) -> Self {
        Self {
            call,
            severity,
            pointer: verdict.pointer.clone(),
            reason: verdict.reason.clone(),
            expected: verdict.expected.clone(),
            observed: verdict.observed.clone(),
        }
    }

    /// The verdict when the call has had its effect.
    pub(crate) fn breach(self) -> Verdict {
        let Self { call: _, severity, pointer, reason, expected, observed } = self;
        Verdict { rule: &rules::ARGUMENT, severity, pointer, reason, expected, observed }
    }
}

/// The envelope of a task, with its compiled form, which is not kept in snapshots.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) signed: Kept,
    pub(crate) since: Timestamp,
    #[serde(skip)]
    pub(crate) compiled: Option<Arc<Compiled>>,
}

/// A signed envelope in a form that any serializer takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) document: String,
}

impl Kept {
    pub(crate) fn new(signed: &SignedEnvelope) -> Self {
        Self { document: signed.document.get().to_owned() }
    }

    /// Compiles again what was compiled before. The signature was checked then.
    fn compile(&self, made: &mut Patterns) -> Option<Compiled> {
        let document = serde_json::value::RawValue::from_string(self.document.clone()).ok()?;
        Compiled::new(&SignedEnvelope { document, signatures: Vec::new() }, made).ok()
    }
}

/// An approval that a human gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) tool: String,
    pub(crate) call: Option<u128>,
    pub(crate) approver: Option<PrincipalId>,
    pub(crate) at: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

/// A credential, as far as anything was told of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The task that it was issued for.
    pub(crate) task: Option<TaskId>,
    /// The workload that it was issued to.
    pub(crate) agent: Option<AgentId>,
    /// Since when it is dead.
    pub(crate) ended: Option<Timestamp>,
    /// The latest use by each workload.
    pub(crate) uses: BTreeMap<AgentId, Use>,
}

/// A use of a credential: when, and which event told it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Use {
    pub(crate) at: Timestamp,
    pub(crate) event: EventRef,
    /// Whether it was told that the credential is another's.
    pub(crate) foreign: bool,
}

impl Use {
    pub(crate) fn of(event: &Sequenced<Event>, foreign: bool) -> Self {
        let (source, id) = (event.item.source.clone(), event.item.id.clone());
        let event_ref = EventRef { source, id, shard: event.shard, offset: event.offset };
        Self { at: event.item.time, event: event_ref, foreign }
    }
}

impl Seen {
    /// Takes an event in.
    pub(crate) fn insert(&mut self, hash: u128, content: u64) -> Sight {
        match self.hashes.get(&hash) {
            None => {
                self.keep(hash, content);
                Sight::First
            }
            Some(known) if *known == content => Sight::Again,
            // It gets a place of its own, so that it too is judged once.
            Some(_) => {
                let other = hash ^ ((u128::from(content) << 64) | u128::from(content));
                if self.insert_other(other, content) { Sight::Other } else { Sight::Again }
            }
        }
    }

    fn insert_other(&mut self, hash: u128, content: u64) -> bool {
        let is_new = !self.hashes.contains_key(&hash);
        if is_new {
            self.keep(hash, content);
        }
        is_new
    }

    fn keep(&mut self, hash: u128, content: u64) {
        self.hashes.insert(hash, content);
        self.order.push_back(hash);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }
}

impl State {
    /// The root task, made if it is new.
    pub(crate) fn root(&mut self, id: TreeKey) -> &mut Root {
        if !self.roots.contains_key(&id) {
            self.make_room();
            self.order.push_back(id);
        }
        self.roots.entry(id).or_default()
    }

    /// Notes that a root task is over: it may be forgotten before those that are not, and what its agents read is
    /// forgotten now.
    pub(crate) fn note_closed(&mut self, id: TreeKey) {
        self.closed.push_back(id);
        self.remember(id, Memory::forget);
    }

    /// Lets a root task take in a text, within the shard's bound.
    pub(crate) fn remember(&mut self, id: TreeKey, take: impl FnOnce(&mut Memory)) {
        let memory = &mut self.root(id).memory;
        let before = memory.len();
        take(memory);
        let after = memory.len();
        self.remembered = (self.remembered + after).saturating_sub(before);
        if before == 0 && after > 0 {
            self.readers.push_back(id);
        }
        while self.remembered > SHARD_WORDS_MAX {
            let Some(oldest) = self.readers.pop_front() else { return };
            if let Some(root) = self.roots.get_mut(&oldest) {
                self.remembered = self.remembered.saturating_sub(root.memory.len());
                root.memory.forget();
            }
        }
        // Those that have closed still stand in the order.
        if self.readers.len() > 2 * ROOTS_MAX {
            self.readers.retain(|id| self.roots.get(id).is_some_and(|root| root.memory.len() > 0));
        }
    }

    fn make_room(&mut self) {
        while self.roots.len() >= ROOTS_MAX {
            let oldest = self.closed.pop_front().or_else(|| self.order.pop_front());
            let Some(oldest) = oldest else { return };
            if let Some(root) = self.roots.remove(&oldest) {
                self.remembered = self.remembered.saturating_sub(root.memory.len());
            }
        }
        // What was forgotten early still stands in the order of appearance.
        if self.order.len() > 2 * ROOTS_MAX {
            self.order.retain(|id| self.roots.contains_key(id));
        }
    }

    /// Compiles the envelopes of a restored state.
    pub(crate) fn compile(&mut self) {
        let mut made = Patterns::default();
        for root in self.roots.values_mut() {
            for task in root.tasks.values_mut() {
                if let Some(envelope) = &mut task.envelope {
                    envelope.compiled = envelope.signed.compile(&mut made).map(Arc::new);
                }
            }
        }
    }
}

impl Root {
    /// The task, made if it is new; `None` when the tree has too many.
    pub(crate) fn task(&mut self, id: &TaskId) -> Option<&mut Task> {
        task_among(&mut self.tasks, id)
    }

    /// Credentials that a task holds at this moment.
    pub(crate) fn held_by(&self, task: &TaskId) -> Vec<CredentialId> {
        let of_task = |held: &Held| held.ended.is_none() && held.task.as_ref() == Some(task);
        self.credentials.iter().filter(|(_, held)| of_task(held)).map(|(id, _)| id.clone()).take(64).collect()
    }
}

/// The task, made if it is new; `None` when the tree has too many.
pub(crate) fn task_among<'a>(
    tasks: &'a mut BTreeMap<TaskId, Box<Task>>,
    id: &TaskId,
) -> Option<&'a mut Task> {
    if !tasks.contains_key(id) {
        if tasks.len() >= TASKS_MAX {
            return None;
        }
        tasks.insert(id.clone(), Box::default());
    }
    tasks.get_mut(id).map(Box::as_mut)
}
