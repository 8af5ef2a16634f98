//! The action chain of a root task: who delegated, which credential, which tool, what was found, what followed.

mod edges;
mod flow;
mod format;
mod walk;

pub use walk::Direction;

use crate::cursor::sort;
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::events::EventFilter;
use crate::rows::rows;
use crate::views::{EventView, FindingView};
use ambit_schemas::columns::names;
use ambit_schemas::{Kind, Timestamp};
use datafusion::logical_expr::{ident, lit};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use utoipa::ToSchema;

/// Most events of one chain.
pub(crate) const NODES_MAX: usize = 5_000;
/// Most credentials whose events outside the tree are looked for, and most such events.
const CREDENTIALS_MAX: usize = 50;
const ELSEWHERE_MAX: usize = 500;

/// A task of the tree.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct TaskView {
    /// The task.
    pub id: String,
    /// Who handed it on.
    pub parent: Option<String>,
    /// Who does it.
    pub agent: Option<String>,
    /// Its envelope.
    pub envelope: Option<String>,
    /// When it ended.
    pub closed: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// An event of the chain.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeView {
    /// `topic:partition:offset`.
    pub id: String,
    /// The kind.
    pub kind: String,
    /// When.
    pub time: Option<String>,
    /// Who.
    pub agent: Option<String>,
    /// In which task.
    pub task: Option<String>,
    /// With which tool.
    pub tool: Option<String>,
    /// A few words.
    pub title: String,
    /// One sentence.
    pub detail: Option<String>,
    /// The worst finding about it.
    pub severity: Option<String>,
    /// `inside` or `outside` the envelope, for calls.
    pub verdict: Option<String>,
    /// It happened in another tree, with a credential of this one.
    pub elsewhere: bool,
}

/// What led to what.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EdgeView {
    /// From this event.
    pub from: String,
    /// To this one.
    pub to: String,
    /// `calls`, `completes`, `denies`, `delegates`, `withdraws`, `asks`, `approves`, `finds`, `responds`, `delivers`,
    /// `issues`, `uses`, `rotates`, `revokes`, `expires`, `ends`, `flows` (a value from a result to a later call).
    pub kind: String,
}

/// The chain.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChainView {
    /// The root task.
    pub root_task: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskView>,
    /// Its events, oldest first.
    pub nodes: Vec<NodeView>,
    /// What led to what.
    pub edges: Vec<EdgeView>,
    /// What was found.
    pub findings: Vec<FindingView>,
    /// Whether the chain is longer than what is shown.
    pub truncated: bool,
}

impl Session {
    /// The chain of a root task.
    pub async fn chain(&self, root_task: &str) -> Result<ChainView, Error> {
        let filter = EventFilter { root_task: Some(root_task.to_owned()), ..EventFilter::default() };
        let (events, truncated) = self.all_events(&filter, NODES_MAX).await?;
        if events.is_empty() {
            return Err(Error::NotFound(format!("there is no task `{root_task}` at the top of a tree")));
        }
        let mut builder = Builder { root_task: Some(root_task.to_owned()), ..Builder::default() };
        let flows = flow::flows(&events);
        let (elsewhere, cut) = self.elsewhere(root_task, &events).await?;
        let mut all: Vec<&EventView> =
            events.iter().chain(&elsewhere).filter(|event| !event.duplicate).collect();
        all.sort_by_cached_key(|event| event.time.as_deref().and_then(|time| Timestamp::parse(time).ok()));
        for event in all {
            builder.add(event);
        }
        builder.edges.extend(flows);
        let truncated = truncated || cut;
        let found: Vec<EventView> =
            events.into_iter().filter(|event| event.kind == Kind::FindingCreated.name()).collect();
        let (findings, _) = self.with_responses(found).await?;
        builder.verdicts();
        Ok(ChainView {
            root_task: root_task.to_owned(),
            purpose: builder.purpose,
            tasks: builder.tasks.into_values().collect(),
            nodes: builder.nodes,
            edges: builder.edges,
            findings,
            truncated,
        })
    }

    /// What happened in other trees with the credentials of this one, and whether there is more.
    async fn elsewhere(
        &self,
        root_task: &str,
        events: &[EventView],
    ) -> Result<(Vec<EventView>, bool), Error> {
        let used: BTreeSet<String> = events.iter().filter_map(credential_of).collect();
        let cut = used.len() > CREDENTIALS_MAX;
        if used.is_empty() {
            return Ok((Vec::new(), false));
        }
        let among = used.iter().take(CREDENTIALS_MAX).map(|uid| lit(uid.as_str())).collect();
        let frame = self
            .frame(Span::default())
            .await?
            .filter(ident(names::CREDENTIAL).in_list(among, false))?
            .filter(is(names::ROOT_TASK, root_task).is_not_true())?
            .sort(sort(false))?
            .limit(0, Some(ELSEWHERE_MAX + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(EventView::of(&row)?.0);
        }
        let cut = cut || found.len() > ELSEWHERE_MAX;
        found.truncate(ELSEWHERE_MAX);
        Ok((found, cut))
    }
}

/// The credential that an event is about, or that was used.
pub(crate) fn credential_of(event: &EventView) -> Option<String> {
    let data = event.data.as_ref()?;
    let text = |pointer: &str| Some(data.pointer(pointer)?.as_str()?.to_owned());
    text("/credential/uid").or_else(|| text("/credential_uid"))
}

#[derive(Default)]
struct Builder {
    root_task: Option<String>,
    purpose: Option<String>,
    tasks: BTreeMap<String, TaskView>,
    nodes: Vec<NodeView>,
    edges: Vec<EdgeView>,
    /// The event that stands for a thing, by the thing's name.
    places: HashMap<String, String>,
    /// The worst severity of findings about an event.
    outside: HashMap<String, String>,
}

impl Builder {
    fn add(&mut self, event: &EventView) {
        self.task(event);
        let kind = Kind::from_name(&event.kind);
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
            elsewhere: event.root_task != self.root_task,
        });
        if let Some(kind) = kind {
            self.connect(event, kind);
        }
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

    fn finding(&mut self, event: &EventView) {
        let finding = event.data.as_ref().and_then(|data| data.get("finding"));
        let severity = event.severity.clone().unwrap_or_default();
        for cause in finding.and_then(|finding| finding.get("events")?.as_array()).into_iter().flatten() {
            let Some(reference) = reference_of(cause) else { continue };
            self.edges.push(EdgeView {
                from: reference.clone(),
                to: event.reference.clone(),
                kind: "finds".into(),
            });
            let worst = self.outside.entry(reference).or_default();
            if rank(&severity) > rank(worst) {
                worst.clone_from(&severity);
            }
        }
        self.place(format!("finding:{}", event.finding.clone().unwrap_or_default()), event);
    }

    fn place(&mut self, thing: String, event: &EventView) {
        self.places.entry(thing).or_insert_with(|| event.reference.clone());
    }

    fn edge(&mut self, thing: &str, event: &EventView, kind: &str) {
        if let Some(from) = self.places.get(thing) {
            self.edges.push(EdgeView {
                from: from.clone(),
                to: event.reference.clone(),
                kind: kind.to_owned(),
            });
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

fn reference_of(cause: &Value) -> Option<String> {
    let shard = cause.get("shard")?;
    let topic = shard.get("topic")?.as_str()?;
    let partition = shard.get("partition")?.as_u64()?;
    Some(format!("{topic}:{partition}:{}", cause.get("offset")?.as_u64()?))
}

/// The order of severities.
pub(crate) fn rank(severity: &str) -> u8 {
    match severity {
        "info" => 1,
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "critical" => 5,
        _ => 0,
    }
}
