//! The action chain of a root task: who delegated, which credential, which tool, what was found, what followed.

use crate::engine::Session;
use crate::error::Error;
use crate::events::EventFilter;
use crate::views::{EventView, FindingView};
use ambit_schemas::Kind;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;

/// Most events of one chain.
const NODES_MAX: usize = 5_000;

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
}

/// What led to what.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EdgeView {
    /// From this event.
    pub from: String,
    /// To this one.
    pub to: String,
    /// `calls`, `completes`, `delegates`, `approves`, `finds`, `responds`, `delivers`, `issues`, `uses`.
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
        let mut builder = Builder::default();
        for event in events.iter().filter(|event| !event.duplicate) {
            builder.add(event);
        }
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
}

#[derive(Default)]
struct Builder {
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

    /// Edges come from what events name in common; a thing's first event stands for it.
    #[allow(clippy::wildcard_enum_match_arm, reason = "most kinds are nodes without edges of their own")]
    fn connect(&mut self, event: &EventView, kind: Kind) {
        let text = |pointer: &str| Some(event.data.as_ref()?.pointer(pointer)?.as_str()?.to_owned());
        let task = event.task.clone().unwrap_or_default();
        let credential = text("/credential_uid").or_else(|| text("/credential/uid"));
        match kind {
            Kind::EnvelopeApproved => self.place(format!("task:{task}"), event),
            Kind::CredentialIssued => {
                self.edge(&format!("task:{task}"), event, "issues");
                self.place(format!("credential:{}", text("/credential/uid").unwrap_or_default()), event);
            }
            Kind::CredentialUsed => {
                self.edge(&format!("credential:{}", credential.unwrap_or_default()), event, "uses");
            }
            Kind::ToolCallRequested => {
                self.edge(&format!("task:{task}"), event, "calls");
                if let Some(credential) = credential {
                    self.edge(&format!("credential:{credential}"), event, "uses");
                }
                self.place(format!("call:{}", event.tool_call.clone().unwrap_or_default()), event);
            }
            Kind::ToolCallCompleted => {
                self.edge(
                    &format!("call:{}", event.tool_call.clone().unwrap_or_default()),
                    event,
                    "completes",
                );
            }
            Kind::DelegationGranted => {
                self.edge(&format!("task:{task}"), event, "delegates");
                self.place(format!("task:{}", text("/delegation/child_task_id").unwrap_or_default()), event);
            }
            Kind::ApprovalApproved => self.edge(&format!("task:{task}"), event, "approves"),
            Kind::FindingCreated => self.finding(event),
            Kind::ResponseDecided => {
                let finding = event.finding.clone().unwrap_or_default();
                self.edge(&format!("finding:{finding}"), event, "responds");
                self.place(format!("response:{finding}"), event);
            }
            Kind::ResponseAttempted | Kind::ResponseAcknowledged | Kind::ResponseDeadLettered => {
                self.edge(
                    &format!("response:{}", event.finding.clone().unwrap_or_default()),
                    event,
                    "delivers",
                );
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
