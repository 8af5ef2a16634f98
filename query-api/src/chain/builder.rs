//! Events of a tree, one after the other, into nodes and edges.

use super::flow::Flows;
use super::{ChainView, EdgeView, NodeView, TaskView, rank};
use crate::views::EventView;
use ambit_schemas::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What of the events that are added is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Show<'a> {
    /// Nothing: they stand before what is asked for, and may have led to it.
    Nothing,
    /// Their edges.
    Edges,
    /// All of it.
    All,
    /// All of these, and the edges among them.
    These(&'a HashSet<String>),
}

/// The chain as far as it is known.
#[derive(Default)]
pub(super) struct Builder {
    root_task: String,
    purpose: Option<String>,
    tasks: BTreeMap<String, TaskView>,
    /// The tasks of the events that are shown.
    touched: BTreeSet<String>,
    nodes: Vec<NodeView>,
    /// What led to what, as far as shown.
    pub(super) edges: Vec<EdgeView>,
    /// The event that stands for a thing, by the thing's name.
    places: HashMap<String, String>,
    /// The worst severity of findings about an event.
    outside: HashMap<String, String>,
    flows: Flows,
    /// Credentials whose events in other trees were looked for.
    pub(super) credentials: BTreeSet<String>,
    /// Whether a bound kept something out.
    pub(super) cut: bool,
    shows_edges: bool,
}

impl Builder {
    /// Of a tree.
    pub(super) fn of(root_task: &str) -> Self {
        Self { root_task: root_task.to_owned(), ..Self::default() }
    }

    /// The top of the tree.
    pub(super) fn root_task(&self) -> &str {
        &self.root_task
    }

    /// Takes the next event.
    pub(super) fn add(&mut self, event: &EventView, show: Show<'_>) {
        let shown = match show {
            Show::Nothing | Show::Edges => false,
            Show::All => true,
            Show::These(these) => these.contains(&event.reference),
        };
        self.shows_edges = shown || matches!(show, Show::Edges);
        self.task(event);
        let kind = Kind::from_name(&event.kind);
        if shown {
            self.touched.extend(event.task.clone());
            self.node(event, kind);
        }
        if let Some(kind) = kind {
            self.connect(event, kind);
        }
    }

    /// Takes what an event of the tree itself says of the way of values.
    pub(super) fn flow(&mut self, event: &EventView, show: Show<'_>) {
        let shown = match show {
            Show::Nothing => false,
            Show::Edges | Show::All => true,
            Show::These(these) => these.contains(&event.reference),
        };
        self.flows.take(event, shown);
        self.cut |= self.flows.cut;
    }

    fn node(&mut self, event: &EventView, kind: Option<Kind>) {
        let title = match (kind, &event.tool) {
            (Some(Kind::FindingCreated), _) => event.rule.clone().unwrap_or_else(|| event.kind.clone()),
            (Some(Kind::ToolCallRequested | Kind::ToolCallCompleted), Some(tool)) => tool.clone(),
            _ => event.kind.clone(),
        };
        self.nodes.push(NodeView {
            id: event.reference.clone(),
            kind: event.kind.clone(),
            time: event.time.clone(),
            agent: event.agent_name.clone().or_else(|| event.agent.clone()),
            task: event.task.clone(),
            tool: event.tool.clone(),
            title,
            detail: Some(event.summary.clone()),
            severity: event.severity.clone().filter(|_| kind == Some(Kind::FindingCreated)),
            verdict: None,
            elsewhere: event.root_task.as_ref() != Some(&self.root_task),
        });
    }

    fn task(&mut self, event: &EventView) {
        let Some(id) = &event.task else { return };
        let task = self
            .tasks
            .entry(id.clone())
            .or_insert_with(|| TaskView { id: id.clone(), ..TaskView::default() });
        task.parent = task.parent.take().or_else(|| event.parent_task.clone());
        let text = |pointer: &str| Some(event.data.as_ref()?.pointer(pointer)?.as_str()?.to_owned());
        match Kind::from_name(&event.kind) {
            Some(Kind::EnvelopeApproved | Kind::EnvelopeAmended) => {
                task.envelope = text("/envelope/document/id");
                task.agent = text("/envelope/document/agent_uid").or_else(|| event.agent.clone());
                if event.task == event.root_task {
                    self.purpose = text("/envelope/document/purpose");
                }
            }
            Some(Kind::EnvelopeClosed) => {
                task.closed.clone_from(&event.time);
                task.outcome.clone_from(&event.status);
            }
            _ => {}
        }
    }

    /// Takes note of what a finding says of calls, wherever it stands.
    pub(super) fn judge(&mut self, event: &EventView) {
        let severity = event.severity.clone().unwrap_or_default();
        for reference in causes(event) {
            let worst = self.outside.entry(reference).or_default();
            if rank(&severity) > rank(worst) {
                worst.clone_from(&severity);
            }
        }
    }

    pub(super) fn finding(&mut self, event: &EventView) {
        self.judge(event);
        for from in causes(event) {
            self.push(from, event, "finds");
        }
        self.place(format!("finding:{}", event.finding.clone().unwrap_or_default()), event);
    }

    pub(super) fn place(&mut self, thing: String, event: &EventView) {
        self.places.entry(thing).or_insert_with(|| event.reference.clone());
    }

    pub(super) fn edge(&mut self, thing: &str, event: &EventView, kind: &str) {
        if let Some(from) = self.places.get(thing).cloned() {
            self.push(from, event, kind);
        }
    }

    /// Whether an event stands for a thing.
    pub(super) fn has(&self, thing: &str) -> bool {
        self.places.contains_key(thing)
    }

    fn push(&mut self, from: String, event: &EventView, kind: &str) {
        if self.shows_edges {
            self.edges.push(EdgeView { from, to: event.reference.clone(), kind: kind.to_owned() });
        }
    }

    /// Edges of values, beside the others.
    pub(super) fn all_edges(&mut self) -> Vec<EdgeView> {
        let mut all = std::mem::take(&mut self.edges);
        all.append(&mut self.flows.edges);
        all
    }

    /// The chain, without what is known elsewhere: findings, and whether there is more.
    pub(super) fn finish(mut self) -> ChainView {
        self.verdicts();
        let edges = self.all_edges();
        let touched = self.touched;
        ChainView {
            root_task: self.root_task,
            purpose: self.purpose,
            tasks: self.tasks.into_values().filter(|task| touched.contains(&task.id)).collect(),
            nodes: self.nodes,
            edges,
            findings: Vec::new(),
            truncated: self.cut,
            next_cursor: None,
        }
    }

    /// Calls are outside when something was found about them.
    fn verdicts(&mut self) {
        for node in &mut self.nodes {
            let severity = self.outside.get(&node.id);
            if node.kind == Kind::ToolCallRequested.name() {
                node.verdict = Some(if severity.is_some() { "outside" } else { "inside" }.to_owned());
            }
            if let Some(severity) = severity {
                node.severity = Some(severity.clone());
            }
        }
    }
}

/// The events on which a finding rests.
fn causes(event: &EventView) -> Vec<String> {
    let finding = event.data.as_ref().and_then(|data| data.get("finding"));
    let causes = finding.and_then(|finding| finding.get("events")?.as_array()).into_iter().flatten();
    causes.filter_map(reference_of).collect()
}

fn reference_of(cause: &Value) -> Option<String> {
    let shard = cause.get("shard")?;
    let topic = shard.get("topic")?.as_str()?;
    let partition = shard.get("partition")?.as_u64()?;
    Some(format!("{topic}:{partition}:{}", cause.get("offset")?.as_u64()?))
}
