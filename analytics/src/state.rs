//! What is remembered of a shard: its root tasks, their tasks, what they hold and have used. Bounded.

use crate::bounded::Bounded;
use crate::compile::Compiled;
use crate::coverage::Coverage;
use crate::credentials::{Held, Home};
use crate::delegation::Grant;
use crate::describe::Verdict;
use crate::drift::{Drift, Watching};
use crate::integrity::Known;
use crate::lifecycle::{Copy, Life, Lives, Sessions};
use crate::origin::Memory;
use crate::patterns::Patterns;
use crate::prepare::hash;
use crate::risk::Risks;
use crate::rules;
use crate::sigma::Sigma;
use ambit_schemas::envelope::SignedEnvelope;
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{AgentId, CredentialId, PrincipalId, TaskId, TenantId};
use ambit_schemas::{Event, Timestamp};
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
/// How late an event may come and change nothing, in microseconds of event time: five minutes, the most by which
/// senders that retry are usually behind.
pub(crate) const LATE_US: i64 = 300_000_000;
/// Credentials of which it is remembered where they are at home.
const HOMES_MAX: usize = 65_536;
/// Tasks that are over and whose bounds are kept for what comes late.
const LINGERING_MAX: usize = 1_024;
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
    /// Baselines, and the evidence against them.
    pub(crate) drift: Drift,
    /// Root tasks that remember texts, in the order in which they began to, and how many words they remember in all.
    readers: VecDeque<TreeKey>,
    remembered: usize,
    /// Where credentials are at home, by tenant and credential.
    pub(crate) homes: Bounded<Home, HOMES_MAX>,
    pub(crate) lives: Lives,
    pub(crate) sessions: Sessions,
    pub(crate) risks: Risks,
    pub(crate) coverage: Coverage,
    /// Tasks that are over and whose bounds are kept for what comes late, in the order in which they ended.
    lingering: VecDeque<(TreeKey, TaskId)>,
    /// The customer's rules, and what they wait for.
    pub(crate) sigma: Sigma,
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
        Some(Self::of_root(&event.tenant, &event.task.as_ref()?.root))
    }

    pub(crate) fn of_root(tenant: &TenantId, root: &TaskId) -> Self {
        Self(hash(&["tree", tenant.as_str(), root.as_str()]))
    }
}

/// A delegation tree.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Boxed, as a node of the tree has room for eleven of them and most trees have one.
    pub(crate) tasks: BTreeMap<TaskId, Box<Task>>,
    pub(crate) credentials: BTreeMap<CredentialId, Held>,
    /// Credentials whose place another has taken, the longest replaced first.
    pub(crate) replaced: VecDeque<CredentialId>,
    /// What was handed on, by the child task.
    pub(crate) grants: BTreeMap<TaskId, Grant>,
    /// What was told of its agents' lives within it.
    pub(crate) lives: BTreeMap<AgentId, Life>,
    /// Classes of data that its calls were given or returned.
    pub(crate) classes: BTreeSet<String>,
    /// Since when its root task is over.
    pub(crate) closed: Option<Timestamp>,
    /// What its agents read and wrote.
    pub(crate) memory: Memory,
    /// The latest moment of which anything was told.
    pub(crate) latest: Option<Timestamp>,
}

/// One task.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) envelope: Option<InForce>,
    /// Since when it is over.
    pub(crate) closed: Option<Timestamp>,
    /// Since when its first envelope is in force; kept when it is over.
    pub(crate) opened: Option<Timestamp>,
    /// Its envelope says who may issue credentials for it.
    pub(crate) names_issuers: bool,
    /// The first action in a task that was handed on.
    pub(crate) first_act: Option<Timestamp>,
    /// The latest action that was judged.
    pub(crate) last_act: Option<Timestamp>,
    /// Since when its agent has another task.
    pub(crate) left: Option<Timestamp>,
    /// The session of its latest action.
    pub(crate) session: Option<Box<str>>,
    /// The running copies that act in it.
    pub(crate) copies: Vec<Copy>,
    /// The tools that were called, as they were at first.
    pub(crate) tools: BTreeMap<String, Known>,
    /// Systems that nobody named and that it reached all the same.
    pub(crate) systems: BTreeSet<String>,
    pub(crate) told: Told,
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
    /// What it does, where it is compared with a baseline.
    pub(crate) watching: Watching,
}

/// What was told of a task already: each is told once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told(u16);

impl Told {
    pub(crate) const OUTLIVES: u16 = 1;
    pub(crate) const CHAIN: u16 = 1 << 1;
    pub(crate) const DELEGATE: u16 = 1 << 2;
    pub(crate) const ORPHAN: u16 = 1 << 3;
    pub(crate) const CLONE: u16 = 1 << 4;
    pub(crate) const LEFT: u16 = 1 << 5;
    pub(crate) const UNREGISTERED: u16 = 1 << 6;

    /// Whether it was not told before; from now on it was.
    pub(crate) const fn first(&mut self, what: u16) -> bool {
        let is_first = self.0 & what == 0;
        self.0 |= what;
        is_first
    }
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
        Verdict { expected, observed, ..Verdict::new(&rules::ARGUMENT, severity, &pointer, reason) }
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

    /// Notes that a task is over. Its bounds are kept for what comes late; those of tasks that ended long before go. A
    /// root task that is over may be forgotten before those that are not.
    pub(crate) fn note_closed(&mut self, tree: TreeKey, id: &TaskId, is_root: bool) {
        if is_root {
            self.closed.push_back(tree);
        }
        self.lingering.push_back((tree, id.clone()));
        let now = self.root(tree).tasks.get(id).and_then(|task| task.closed);
        while let Some((tree, id)) = self.lingering.front().cloned() {
            let ended =
                self.roots.get(&tree).and_then(|root| root.tasks.get(&id)).and_then(|task| task.closed);
            let is_long_ago = ended.zip(now).is_none_or(|(ended, now)| now.micros_since(ended) > LATE_US);
            if !is_long_ago && self.lingering.len() <= LINGERING_MAX {
                return;
            }
            self.lingering.pop_front();
            self.let_go(tree, &id);
        }
    }

    /// What is left of a task that is over for good: when it ran. What its agents read goes with the root task.
    fn let_go(&mut self, tree: TreeKey, id: &TaskId) {
        let Some(root) = self.roots.get_mut(&tree) else { return };
        let over = root.closed.is_some();
        if let Some(task) = root.tasks.get_mut(id) {
            let Task { closed, opened, names_issuers, told, first_act, .. } = std::mem::take(&mut **task);
            **task = Task { closed, opened, names_issuers, first_act, told, ..Task::default() };
        }
        if over && root.memory.len() > 0 {
            self.remember(tree, Memory::forget);
        }
    }

    /// Takes note of when an event of a tree happened. By how many seconds it came behind what was told before, when that
    /// is beyond [`LATE_US`].
    pub(crate) fn arrives(&mut self, tree: TreeKey, at: Timestamp) -> Option<u64> {
        let root = self.roots.get_mut(&tree)?;
        let behind = root.latest.map_or(0, |latest| latest.micros_since(at));
        root.latest = root.latest.max(Some(at));
        if behind <= LATE_US {
            return None;
        }
        self.coverage.told_late += 1;
        u64::try_from(behind / 1_000_000).ok()
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
        self.drift.compile();
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
    /// The compiled envelope of a task that is not over.
    pub(crate) fn compiled(&self, task: &TaskId) -> Option<Arc<Compiled>> {
        let task = self.tasks.get(task).filter(|task| task.closed.is_none())?;
        task.envelope.as_ref()?.compiled.clone()
    }

    /// The task, made if it is new; `None` when the tree has too many.
    pub(crate) fn task(&mut self, id: &TaskId) -> Option<&mut Task> {
        task_among(&mut self.tasks, id)
    }

    /// Credentials that a task holds at this moment.
    pub(crate) fn held_by(&self, task: &TaskId, at: Timestamp) -> Vec<CredentialId> {
        let of_task = |held: &Held| held.task.as_ref() == Some(task) && held.is_live(at);
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
