//! Agents: what is known of each from its events.

use crate::chain::rank;
use crate::engine::{AT, Session, Span, is};
use crate::error::Error;
use crate::events::EventFilter;
use crate::rows::rows;
use crate::views::{Page, text_of};
use ambit_schemas::columns::names;
use ambit_schemas::{Kind, Topic};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min};
use datafusion::logical_expr::{Expr, ident, lit, when};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most agents in a list.
const AGENTS_MAX: usize = 1_000;
/// Most tasks of one agent that are shown.
const TASKS_MAX: usize = 50;
/// Most events of one agent that are read for its tasks.
const EVENTS_MAX: usize = 5_000;

/// An agent.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    pub uid: String,
    /// A name for people.
    pub name: Option<String>,
    /// What it is a copy of.
    pub blueprint: Option<String>,
    /// Its first event.
    pub first_seen: Option<String>,
    /// Its last event.
    pub last_seen: Option<String>,
    /// Tool calls it asked for.
    pub tool_calls: u64,
    /// Findings about it.
    pub findings: u64,
    /// The worst of them.
    pub worst_severity: Option<String>,
    /// Tasks it had.
    pub tasks: u64,
    /// Tasks that are not over.
    pub open_tasks: u64,
}

/// A task of an agent.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct AgentTaskView {
    /// The root task.
    pub root_task: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// Its first event.
    pub started: Option<String>,
    /// Its last event.
    pub last_event: Option<String>,
    /// Findings in it.
    pub findings: u64,
    /// How it ended.
    pub outcome: Option<String>,
}

/// An agent with its latest tasks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentDetail {
    /// The agent.
    #[serde(flatten)]
    pub agent: AgentView,
    /// Its latest tasks, newest first.
    pub recent_tasks: Vec<AgentTaskView>,
}

/// Counts rows for which a condition holds.
fn count_if(condition: Expr) -> Result<Expr, Error> {
    Ok(count(when(condition, lit(1)).end()?))
}

impl Session {
    /// All agents, latest first.
    pub async fn agents(&self) -> Result<Page<AgentView>, Error> {
        let mut agents = self.agents_where(None).await?;
        let cut = agents.len() > AGENTS_MAX;
        agents.truncate(AGENTS_MAX);
        let incomplete = cut.then(|| format!("only the latest {AGENTS_MAX} agents are shown"));
        Ok(Page { items: agents, next_cursor: None, incomplete })
    }

    async fn agents_where(&self, agent: Option<&str>) -> Result<Vec<AgentView>, Error> {
        let mut frame = self.frame(Span::default()).await?.filter(ident(names::AGENT).is_not_null())?;
        if let Some(agent) = agent {
            frame = frame.filter(is(names::AGENT, agent))?;
        }
        let severities = ["critical", "high", "medium", "low", "info"];
        let found = is(names::KIND, Kind::FindingCreated.name());
        let is_event = is(names::TOPIC, Topic::Events.name());
        let mut sums = vec![
            max(ident(names::BLUEPRINT)).alias("blueprint"),
            min(ident(AT)).alias("first_seen"),
            max(ident(AT)).alias("last_seen"),
            count_if(is(names::KIND, Kind::ToolCallRequested.name()))?.alias("tool_calls"),
            count_distinct(when(is_event, ident(names::TASK)).end()?).alias("tasks"),
            count_if(is(names::KIND, Kind::EnvelopeApproved.name()))?.alias("approved"),
            count_distinct(when(is(names::KIND, Kind::EnvelopeClosed.name()), ident(names::TASK)).end()?)
                .alias("closed"),
            count_distinct(when(found.clone(), ident(names::FINDING)).end()?).alias("findings"),
        ];
        for severity in severities {
            sums.push(count_if(found.clone().and(is(names::SEVERITY, severity)))?.alias(severity));
        }
        let frame = frame
            .aggregate(vec![ident(names::AGENT)], sums)?
            .sort(vec![ident("last_seen").sort(false, false)])?
            .limit(0, Some(AGENTS_MAX + 1))?;
        let batches = self.run(frame).await?;
        Ok(rows(&batches)
            .map(|row| {
                let uid = row.text(names::AGENT).unwrap_or_default();
                AgentView {
                    name: uid.rsplit('/').next().map(str::to_owned),
                    blueprint: row.text("blueprint"),
                    first_seen: text_of(row.time("first_seen")),
                    last_seen: text_of(row.time("last_seen")),
                    tool_calls: row.count("tool_calls"),
                    findings: row.count("findings"),
                    worst_severity: severities
                        .iter()
                        .find(|one| row.count(one) > 0)
                        .map(|one| (*one).to_owned()),
                    tasks: row.count("tasks"),
                    open_tasks: row.count("approved").saturating_sub(row.count("closed")),
                    uid,
                }
            })
            .collect())
    }

    /// One agent with its latest tasks.
    pub async fn agent(&self, uid: &str) -> Result<AgentDetail, Error> {
        let agent = self.agents_where(Some(uid)).await?.into_iter().next();
        let agent = agent.ok_or_else(|| Error::NotFound(format!("there is no agent `{uid}`")))?;
        let filter = EventFilter { agent: Some(uid.to_owned()), ..EventFilter::default() };
        let page = self.latest_events(&filter, EVENTS_MAX).await?;
        let mut tasks: BTreeMap<String, AgentTaskView> = BTreeMap::new();
        for event in page {
            let Some(root) = event.root_task.clone() else { continue };
            let task = tasks
                .entry(root.clone())
                .or_insert_with(|| AgentTaskView { root_task: root, ..AgentTaskView::default() });
            task.started = task.started.take().min(event.time.clone()).or_else(|| event.time.clone());
            task.last_event = task.last_event.take().max(event.time.clone());
            if event.kind == Kind::FindingCreated.name() && rank(event.severity.as_deref().unwrap_or("")) > 0
            {
                task.findings += 1;
            }
            if event.kind == Kind::EnvelopeClosed.name() {
                task.outcome.clone_from(&event.status);
            }
            let purpose =
                event.data.as_ref().and_then(|data| data.pointer("/envelope/document/purpose")?.as_str());
            task.purpose = task.purpose.take().or_else(|| purpose.map(str::to_owned));
        }
        let mut recent_tasks: Vec<AgentTaskView> = tasks.into_values().collect();
        recent_tasks.sort_by(|a, b| b.last_event.cmp(&a.last_event));
        recent_tasks.truncate(TASKS_MAX);
        Ok(AgentDetail { agent, recent_tasks })
    }

    async fn latest_events(
        &self,
        filter: &EventFilter,
        most: usize,
    ) -> Result<Vec<crate::views::EventView>, Error> {
        let mut events = Vec::new();
        let mut cursor = None;
        while events.len() < most {
            let page = self.events(filter, crate::events::Order::Descending, 500, cursor.as_deref()).await?;
            events.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(events)
    }
}
