//! Responses that wait for people, folded from the events that tell of them. What is answered is what enforcement sees
//! in the same events: one refusal is enough, a person counts once, and the agent itself has no voice.

use crate::cursor::sort;
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::rows::rows;
use crate::triage::is_one_of;
use crate::views::Page;
use ambit_schemas::columns::names;
use ambit_schemas::event::{AgentRef, Body, Event, TaskRef};
use ambit_schemas::id::TenantId;
use ambit_schemas::order::{Pending, Ruling};
use ambit_schemas::{Kind, Timestamp, Topic, decode};
use serde::Serialize;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use utoipa::ToSchema;

/// Most events that are read for one answer, the newest.
const EVENTS_MAX: usize = 20_000;
/// Most responses of one answer, the newest.
const ITEMS_MAX: usize = 500;

/// What one person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RulingView {
    /// Who.
    pub author: String,
    /// Whether they approve.
    pub approves: bool,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub time: String,
}

/// A response that waits for people, or waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApprovalView {
    /// The response that waits.
    pub id: String,
    /// `topic:partition:offset` of the event that asks.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Whose.
    pub tenant: String,
    /// `waiting`, `approved`, `denied` or `expired`.
    pub state: String,
    /// What would be done.
    pub action: String,
    /// Why it waits: `budget` or `blast_radius`.
    pub reason: String,
    /// The finding that led to it.
    pub finding: String,
    /// At which agent it is aimed.
    pub agent: Option<String>,
    /// At which task.
    pub task: Option<String>,
    /// The top of the task's tree.
    pub root_task: Option<String>,
    /// The credentials that it names.
    pub credentials: Vec<String>,
    /// How many credentials it would end, as far as known when it was asked.
    pub credentials_hit: u32,
    /// How many tasks it would end, as far as known when it was asked.
    pub tasks_hit: u32,
    /// When it was asked.
    pub asked_at: String,
    /// When the question lapses.
    pub expires_at: String,
    /// How many different people must approve.
    pub approvals: u32,
    /// What people said in time, oldest first.
    pub rulings: Vec<RulingView>,
}

impl ApprovalView {
    /// Whether somebody has said what they think of it. Names are compared as enforcement does: without case.
    pub(crate) fn has_said(&self, author: &str) -> bool {
        self.rulings.iter().any(|ruling| ruling.author.eq_ignore_ascii_case(author))
    }

    /// Whether somebody is the agent at which it is aimed.
    pub(crate) fn is_about(&self, author: &str) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.eq_ignore_ascii_case(author))
    }

    /// Takes one person's word. Whether it counts.
    pub(crate) fn rule(&mut self, ruling: RulingView) -> bool {
        if self.has_said(&ruling.author) || self.is_about(&ruling.author) {
            return false;
        }
        self.rulings.push(ruling);
        self.settle();
        true
    }

    /// What follows from what people said. Time is judged elsewhere.
    fn settle(&mut self) {
        let approvals = self.rulings.iter().filter(|ruling| ruling.approves).count();
        if self.rulings.iter().any(|ruling| !ruling.approves) {
            "denied".clone_into(&mut self.state);
        } else if approvals >= self.approvals as usize {
            "approved".clone_into(&mut self.state);
        }
    }
}

/// A question to people, with what is needed to answer it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) view: ApprovalView,
    pub(crate) pending: Pending,
    pub(crate) tenant: TenantId,
    pub(crate) agent: Option<AgentRef>,
    pub(crate) task: Option<TaskRef>,
}

impl Session {
    /// Responses that wait for people, or waited, those asked last first.
    pub(crate) async fn approvals(&self, now: Timestamp) -> Result<Page<ApprovalView>, Error> {
        let (asked, cut) = self.asked(now).await?;
        let more = asked.len() > ITEMS_MAX;
        let items = asked.into_iter().take(ITEMS_MAX).map(|one| one.view).collect();
        let incomplete = (cut || more).then(|| {
            format!("only the newest {ITEMS_MAX} responses, and {EVENTS_MAX} events about them, were read")
        });
        Ok(Page { items, next_cursor: None, incomplete })
    }

    /// One of them.
    pub(crate) async fn approval(&self, id: &str, now: Timestamp) -> Result<Asked, Error> {
        let found = self.asked(now).await?.0.into_iter().find(|asked| asked.view.id == id);
        found.ok_or_else(|| Error::NotFound(format!("no response waits, or waited, as `{id}`")))
    }

    async fn asked(&self, now: Timestamp) -> Result<(Vec<Asked>, bool), Error> {
        let kinds =
            [Kind::ResponsePending, Kind::ResponseApproved, Kind::ResponseDenied, Kind::ResponseExpired];
        let frame = self
            .frame(Span::default())
            .await?
            .filter(is(names::TOPIC, Topic::Responses.name()))?
            .filter(is_one_of(&kinds))?
            .sort(sort(true))?
            .limit(0, Some(EVENTS_MAX + 1))?;
        let batches = self.run(frame).await?;
        let mut events = Vec::new();
        for row in rows(&batches).take(EVENTS_MAX) {
            let record = row.record()?.record;
            let place = format!("{}:{}:{}", record.shard.topic, record.shard.partition, record.offset);
            events.extend(decode(&record).map(|event| (place, event)));
        }
        let cut = batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>() > EVENTS_MAX;
        events.reverse();
        Ok((fold(events, now), cut))
    }
}

/// What was asked, the last first, from events in the order in which they happened.
#[allow(clippy::wildcard_enum_match_arm, reason = "other kinds are not read")]
fn fold(events: Vec<(String, Event)>, now: Timestamp) -> Vec<Asked> {
    // What one tenant says never speaks of another's. INVARIANT Q-3
    let mut places: HashMap<(TenantId, String), usize> = HashMap::new();
    let mut all: Vec<Asked> = Vec::new();
    for (place, event) in events {
        let (tenant, time) = (event.tenant.clone(), event.time);
        let mut ruled = |ruling: Ruling, approves| {
            let key = (tenant.clone(), ruling.response_id.to_string());
            let Some(asked) = places.get(&key).and_then(|at| all.get_mut(*at)) else { return };
            // Who speaks after the end is not heard.
            if time <= asked.pending.expires_at {
                asked.view.rule(spoken(&ruling, approves, time));
            }
        };
        match event.body {
            Body::ResponsePending(pending) => {
                let key = (tenant.clone(), pending.response_id.to_string());
                if let Entry::Vacant(free) = places.entry(key) {
                    free.insert(all.len());
                    let view = waiting(place, &tenant, &pending, event.task.as_ref(), time);
                    let (agent, task) = (event.agent, event.task);
                    all.push(Asked { view, pending: *pending, tenant, agent, task });
                }
            }
            Body::ResponseApproved(ruling) => ruled(*ruling, true),
            Body::ResponseDenied(ruling) => ruled(*ruling, false),
            Body::ResponseExpired(pending) => {
                let key = (tenant, pending.response_id.to_string());
                if let Some(asked) = places.get(&key).and_then(|at| all.get_mut(*at)) {
                    lapse(&mut asked.view);
                }
            }
            _ => {}
        }
    }
    for asked in &mut all {
        if asked.pending.expires_at <= now {
            lapse(&mut asked.view);
        }
    }
    all.reverse();
    all
}

/// Its time is over, if nothing was decided before.
fn lapse(view: &mut ApprovalView) {
    if view.state == "waiting" {
        "expired".clone_into(&mut view.state);
    }
}

/// One person's word.
pub(crate) fn spoken(ruling: &Ruling, approves: bool, time: Timestamp) -> RulingView {
    RulingView {
        author: ruling.author.to_string(),
        approves,
        reason: ruling.reason.clone(),
        time: time.to_string(),
    }
}

fn waiting(
    reference: String,
    tenant: &TenantId,
    pending: &Pending,
    task: Option<&TaskRef>,
    asked_at: Timestamp,
) -> ApprovalView {
    let target = &pending.target;
    let root = target.root_task_id.as_ref().or(task.map(|task| &task.root));
    ApprovalView {
        id: pending.response_id.to_string(),
        reference,
        tenant: tenant.to_string(),
        state: "waiting".into(),
        action: pending.action.name().to_owned(),
        reason: pending.reason.clone(),
        finding: pending.finding_id.to_string(),
        agent: target.agent_uid.as_ref().map(ToString::to_string),
        task: target.task_id.as_ref().or(task.map(|task| &task.id)).map(ToString::to_string),
        root_task: root.map(ToString::to_string),
        credentials: target.credentials.iter().map(ToString::to_string).collect(),
        credentials_hit: pending.credentials,
        tasks_hit: pending.tasks,
        asked_at: asked_at.to_string(),
        expires_at: pending.expires_at.to_string(),
        approvals: pending.approvals,
        rulings: Vec::new(),
    }
}
