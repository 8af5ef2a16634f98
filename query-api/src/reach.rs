//! What a revocation would hit, read from the store: agents, tasks that run, credentials that are valid.

use crate::engine::Session;
use crate::error::Error;
use crate::events::{EventFilter, LIMIT_MAX, Order};
use crate::views::EventView;
use ambit_schemas::Timestamp;
use ambit_schemas::event::{AgentRef, TaskRef};
use ambit_schemas::id::{AgentId, CredentialId, InvalidId, TaskId, TenantId};
use ambit_schemas::response::Target;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Most pages that are read for one answer.
const PAGES_MAX: usize = 40;

/// At whom something is aimed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aim {
    /// Whose they are.
    pub tenant: String,
    /// The task.
    pub task: Option<String>,
    /// The agent: alone, in whatever it does; with a task, in that task.
    pub agent: Option<String>,
    /// Credentials; where there are any, nothing else is meant.
    pub credentials: Vec<String>,
    /// Whether the whole delegation tree of the task is meant.
    pub tree: bool,
}

/// A task that would be hit.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct TaskReach {
    /// The top of its delegation tree.
    pub root: String,
    /// The task that delegated it.
    pub parent: Option<String>,
    /// Who works on it.
    pub agents: BTreeSet<String>,
    /// Whether it is not over.
    pub running: bool,
}

/// A credential that would be ended.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct CredentialReach {
    /// What it is.
    pub credential_type: String,
    /// Who holds it.
    pub agent: Option<String>,
    /// For which task.
    pub task: Option<String>,
    /// When it expires (RFC 3339), as far as known.
    pub expires_at: Option<String>,
    /// Whether it is neither revoked nor expired.
    pub valid: bool,
}

/// What would be hit.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Reach {
    /// The agents.
    pub agents: BTreeSet<String>,
    /// The tasks, by id.
    pub tasks: BTreeMap<String, TaskReach>,
    /// The credentials, by id.
    pub credentials: BTreeMap<String, CredentialReach>,
    /// Why something may be missing.
    pub incomplete: Option<String>,
}

/// Whom an order names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aimed {
    /// The agent, as the order's event is to name it.
    pub agent: Option<AgentRef>,
    /// The task, likewise: it decides in which partition the order stands.
    pub task: Option<TaskRef>,
    /// What the order says.
    pub target: Target,
}

/// Whom an event was about: whose, who, in what.
pub type About = (TenantId, Option<AgentRef>, Option<TaskRef>);

impl EventView {
    /// Whom it was about: what follows from it is to stand in the same partition, after it. Nothing when its data
    /// cannot be read.
    pub fn about(&self) -> Option<About> {
        let data = self.data.as_ref()?;
        let tenant = TenantId::try_from(self.tenant.as_deref()?).ok()?;
        let agent = data.get("ai_agent").cloned().map(serde_json::from_value).transpose().ok()?;
        let task = data.get("task").cloned().map(serde_json::from_value).transpose().ok()?;
        Some((tenant, agent, task))
    }
}

impl Session {
    /// All events of a filter, newest first, as far as one answer reads; and whether there are more.
    pub async fn events_read(&self, filter: &EventFilter) -> Result<(Vec<EventView>, bool), Error> {
        let (mut all, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.events(filter, Order::Descending, LIMIT_MAX, cursor.as_deref()).await?;
            all.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok((all, false));
            }
        }
        Ok((all, true))
    }

    /// What the store says of a target at a time.
    pub async fn reach(&self, aim: &Aim, now: Timestamp) -> Result<Reach, Error> {
        let mut reach = Reach::given(aim);
        let (mut all, mut cut) = (Vec::new(), false);
        for filter in self.filters(aim).await? {
            let (found, more) = self.events_read(&filter).await?;
            all.extend(found.into_iter().filter(|event| event.tenant.as_deref() == Some(&aim.tenant)));
            cut |= more;
        }
        // Oldest first: the later word counts.
        all.sort_by(|a, b| a.time.cmp(&b.time));
        for event in &all {
            reach.take(event, now);
        }
        if cut {
            reach.incomplete = Some("there are more events than were read: only the newest count".into());
        }
        reach.narrow(aim)?;
        Ok(reach)
    }

    async fn filters(&self, aim: &Aim) -> Result<Vec<EventFilter>, Error> {
        if !aim.credentials.is_empty() {
            let of = |id: &String| EventFilter {
                kind: Some("credential.*".into()),
                text: Some(id.clone()),
                ..EventFilter::default()
            };
            return Ok(aim.credentials.iter().map(of).collect());
        }
        let mut base = EventFilter { agent: aim.agent.clone(), ..EventFilter::default() };
        if let Some(task) = &aim.task {
            // Its whole tree is read: what hangs below a task is known from the tree's events.
            let first = EventFilter { task: Some(task.clone()), ..EventFilter::default() };
            let page = self.events(&first, Order::Descending, 1, None).await?;
            let root = page.items.first().and_then(|event| event.root_task.clone());
            base =
                EventFilter { within: Some(root.unwrap_or_else(|| task.clone())), ..EventFilter::default() };
        }
        let kinds = ["task.envelope.*", "credential.*", "delegation.*", "tool_call.requested"];
        Ok(kinds.map(|kind| EventFilter { kind: Some(kind.into()), ..base.clone() }).into())
    }
}

impl Reach {
    /// What was given, and nothing else.
    pub fn given(aim: &Aim) -> Self {
        let valid = || CredentialReach { valid: true, ..CredentialReach::default() };
        let credentials = aim.credentials.iter().map(|id| (id.clone(), valid())).collect();
        Self { credentials, ..Self::default() }
    }

    fn narrow(&mut self, aim: &Aim) -> Result<(), Error> {
        if let Some(task) = &aim.task {
            if !self.tasks.contains_key(task) {
                let why = format!("there is no task `{task}` of tenant `{}` in the store", aim.tenant);
                return Err(Error::NotFound(why));
            }
            if !aim.tree {
                self.keep_below(task);
            }
        }
        if !aim.credentials.is_empty() {
            self.credentials.retain(|id, _| aim.credentials.contains(id));
            self.tasks.clear();
        } else if let (Some(agent), None) = (&aim.agent, &aim.task) {
            self.credentials.retain(|_, one| one.agent.as_ref() == Some(agent));
            self.tasks.retain(|_, task| task.agents.contains(agent));
        }
        self.agents = self.tasks.values().flat_map(|task| task.agents.iter().cloned()).collect();
        self.agents.extend(self.credentials.values().filter_map(|one| one.agent.clone()));
        Ok(())
    }

    fn take(&mut self, event: &EventView, now: Timestamp) {
        if let (Some(task), Some(root)) = (&event.task, &event.root_task) {
            let of = self.tasks.entry(task.clone()).or_insert_with(|| TaskReach {
                root: root.clone(),
                running: true,
                ..TaskReach::default()
            });
            of.parent = of.parent.take().or_else(|| event.parent_task.clone());
            of.agents.extend(event.agent.clone());
            of.running &= event.kind != "task.envelope.closed";
        }
        let Some(credential) = event.data.as_ref().and_then(|data| data.get("credential")) else { return };
        let text = |name: &str| credential.get(name).and_then(|text| text.as_str()).map(str::to_owned);
        let Some(uid) = text("uid") else { return };
        let of = self
            .credentials
            .entry(uid)
            .or_insert_with(|| CredentialReach { valid: true, ..CredentialReach::default() });
        of.credential_type = text("credential_type").unwrap_or_default();
        of.agent = event.agent.clone().or_else(|| of.agent.take());
        of.task = event.task.clone().or_else(|| of.task.take());
        of.expires_at = text("expires_at").or_else(|| of.expires_at.take());
        let ended = matches!(event.kind.as_str(), "credential.revoked" | "credential.expired");
        let expired =
            of.expires_at.as_ref().and_then(|at| Timestamp::parse(at).ok()).is_some_and(|at| at <= now);
        of.valid &= !ended && !expired;
    }

    /// The task and what hangs below it, and the credentials of those.
    fn keep_below(&mut self, task: &str) {
        let mut below = BTreeSet::from([task.to_owned()]);
        loop {
            let more = self.tasks.iter().filter(|(id, of)| {
                !below.contains(*id) && of.parent.as_ref().is_some_and(|parent| below.contains(parent))
            });
            let more: Vec<String> = more.map(|(id, _)| id.clone()).collect();
            if more.is_empty() {
                break;
            }
            below.extend(more);
        }
        self.tasks.retain(|id, _| below.contains(id));
        self.credentials.retain(|_, one| one.task.as_ref().is_some_and(|task| below.contains(task)));
    }

    /// Whom an order names: what was given, with what is known of it.
    pub fn target(&self, aim: &Aim) -> Result<Aimed, InvalidId> {
        let known = aim.task.as_ref().and_then(|task| self.tasks.get(task));
        let only = known.and_then(|task| task.agents.first().filter(|_| task.agents.len() == 1));
        let agent = match aim.agent.as_ref().or(only) {
            Some(agent) => {
                let uid = AgentId::try_from(agent.as_str())?;
                Some(AgentRef { uid, instance_uid: None, blueprint: None, name: None })
            }
            None => None,
        };
        let task = match &aim.task {
            Some(task) => {
                let root = known.map_or(task.as_str(), |known| known.root.as_str());
                let parent = known.and_then(|known| known.parent.as_deref()).map(TaskId::try_from);
                Some(TaskRef {
                    id: TaskId::try_from(task.as_str())?,
                    root: TaskId::try_from(root)?,
                    parent: parent.transpose()?,
                })
            }
            None => None,
        };
        let valid = self.credentials.iter().filter(|(_, one)| one.valid).map(|(id, _)| id.as_str());
        let target = Target {
            agent_uid: agent.as_ref().map(|agent| agent.uid.clone()),
            task_id: task.as_ref().map(|task| task.id.clone()),
            root_task_id: task.as_ref().map(|task| task.root.clone()),
            credentials: valid.map(CredentialId::try_from).collect::<Result<_, _>>()?,
        };
        Ok(Aimed { agent, task, target })
    }
}
