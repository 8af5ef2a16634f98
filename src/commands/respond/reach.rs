//! What a revocation would hit, read from the store: agents, tasks that run, credentials that are valid.

use super::events;
use crate::cli::TargetArgs;
use crate::output::print;
use crate::simulate::now;
use ambit_query_api::{EventFilter, EventView, Session};
use ambit_schemas::Timestamp;
use ambit_schemas::event::{AgentRef, TaskRef};
use ambit_schemas::id::{AgentId, CredentialId, TaskId};
use anyhow::{Context, bail};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A task that would be hit.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct TaskReach {
    root: String,
    parent: Option<String>,
    agents: BTreeSet<String>,
    /// Whether it is not over.
    running: bool,
}

/// A credential that would be ended.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct CredentialReach {
    credential_type: String,
    agent: Option<String>,
    task: Option<String>,
    expires_at: Option<String>,
    /// Whether it is neither revoked nor expired.
    valid: bool,
}

/// What would be hit.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Reach {
    agents: BTreeSet<String>,
    tasks: BTreeMap<String, TaskReach>,
    credentials: BTreeMap<String, CredentialReach>,
    /// Why something may be missing.
    incomplete: Option<String>,
}

impl Reach {
    /// What was given, and nothing else.
    pub(super) fn given(target: &TargetArgs) -> anyhow::Result<Self> {
        let mut reach = Self::default();
        for id in &target.credential {
            CredentialId::try_from(id.as_str()).context("`--credential`")?;
            reach
                .credentials
                .insert(id.clone(), CredentialReach { valid: true, ..CredentialReach::default() });
        }
        Ok(reach)
    }

    /// What the store says of a target.
    pub(super) async fn read(session: &Session, target: &TargetArgs, tree: bool) -> anyhow::Result<Self> {
        let mut reach = Self::given(target)?;
        let mut all = Vec::new();
        let mut cut = false;
        for filter in Self::filters(session, target).await? {
            let (found, more) = events(session, &filter).await?;
            all.extend(found.into_iter().filter(|event| event.tenant.as_deref() == Some(&target.tenant)));
            cut |= more;
        }
        // Oldest first: the later word counts.
        all.sort_by(|a, b| a.time.cmp(&b.time));
        for event in &all {
            reach.take(event);
        }
        if cut {
            reach.incomplete = Some("there are more events than were read: only the newest count".into());
        }
        if let Some(task) = &target.task {
            if !reach.tasks.contains_key(task) {
                bail!("there is no task `{task}` of tenant `{}` in the store", target.tenant);
            }
            if !tree {
                reach.keep_below(task);
            }
        }
        if !target.credential.is_empty() {
            reach.credentials.retain(|id, _| target.credential.contains(id));
            reach.tasks.clear();
        } else if let (Some(agent), None) = (&target.agent, &target.task) {
            reach.credentials.retain(|_, one| one.agent.as_ref() == Some(agent));
            reach.tasks.retain(|_, task| task.agents.contains(agent));
        }
        reach.agents = reach.tasks.values().flat_map(|task| task.agents.iter().cloned()).collect();
        reach.agents.extend(reach.credentials.values().filter_map(|one| one.agent.clone()));
        Ok(reach)
    }

    async fn filters(session: &Session, target: &TargetArgs) -> anyhow::Result<Vec<EventFilter>> {
        if !target.credential.is_empty() {
            let of = |id: &String| EventFilter {
                kind: Some("credential.*".into()),
                text: Some(id.clone()),
                ..EventFilter::default()
            };
            return Ok(target.credential.iter().map(of).collect());
        }
        let mut base = EventFilter { agent: target.agent.clone(), ..EventFilter::default() };
        if let Some(task) = &target.task {
            // Its whole tree is read: what hangs below a task is known from the tree's events.
            let first = EventFilter { task: Some(task.clone()), ..EventFilter::default() };
            let page = session.events(&first, ambit_query_api::Order::Descending, 1, None).await?;
            let root = page.items.first().and_then(|event| event.root_task.clone());
            base =
                EventFilter { within: Some(root.unwrap_or_else(|| task.clone())), ..EventFilter::default() };
        }
        let kinds = ["task.envelope.*", "credential.*", "delegation.*", "tool_call.requested"];
        Ok(kinds.map(|kind| EventFilter { kind: Some(kind.into()), ..base.clone() }).into())
    }

    fn take(&mut self, event: &EventView) {
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
            of.expires_at.as_ref().and_then(|at| Timestamp::parse(at).ok()).is_some_and(|at| at <= now());
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
    pub(super) fn target(
        &self,
        given: &TargetArgs,
    ) -> anyhow::Result<(Option<AgentRef>, Option<TaskRef>, Vec<CredentialId>)> {
        let known = given.task.as_ref().and_then(|task| self.tasks.get(task));
        let only = known.and_then(|task| task.agents.first().filter(|_| task.agents.len() == 1));
        let agent = match given.agent.as_ref().or(only) {
            Some(agent) => {
                let uid = AgentId::try_from(agent.as_str()).context("`--agent`")?;
                Some(AgentRef { uid, instance_uid: None, blueprint: None, name: None })
            }
            None => None,
        };
        let task = match &given.task {
            Some(task) => {
                let root = known.map_or(task.as_str(), |known| known.root.as_str());
                let parent = known.and_then(|known| known.parent.as_deref()).map(TaskId::try_from);
                Some(TaskRef {
                    id: TaskId::try_from(task.as_str()).context("`--task`")?,
                    root: TaskId::try_from(root)?,
                    parent: parent.transpose()?,
                })
            }
            None => None,
        };
        let valid = self.credentials.iter().filter(|(_, one)| one.valid).map(|(id, _)| id.as_str());
        let credentials = valid.map(CredentialId::try_from).collect::<Result<_, _>>()?;
        Ok((agent, task, credentials))
    }

    /// For people.
    pub(super) fn print(&self) {
        print(&format!("agents       {}", self.agents.len()));
        for agent in &self.agents {
            print(&format!("  {agent}"));
        }
        let running = self.tasks.values().filter(|task| task.running).count();
        print(&format!("tasks        {}, {running} running", self.tasks.len()));
        for (id, task) in &self.tasks {
            let state = if task.running { "running" } else { "over" };
            let under = task.parent.as_ref().map_or_else(String::new, |parent| format!(", under {parent}"));
            print(&format!("  {id} ({state}{under})"));
        }
        let valid = self.credentials.values().filter(|one| one.valid).count();
        print(&format!("credentials  {}, {valid} valid", self.credentials.len()));
        for (id, one) in &self.credentials {
            let state = if one.valid { "valid" } else { "over" };
            let until = one.expires_at.as_deref().unwrap_or("nobody knows when");
            print(&format!("  {id} ({}, {state} until {until})", one.credential_type));
        }
        if let Some(why) = &self.incomplete {
            print(why);
        }
    }
}
