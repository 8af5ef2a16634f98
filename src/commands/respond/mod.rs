//! `ambit respond`: what people have to say to enforcement. Each word is an event in `ambit.responses`, which enforcement
//! reads and acts upon: this command itself revokes nothing, so what was ordered is recorded before it happens.

mod dead;
mod reach;

use crate::cli::{OrderArgs, RespondCommand, Said};
use crate::commands::ask::session;
use crate::config::Config;
use crate::output::{print, print_error, sentence};
use crate::roles::parts::Parts;
use crate::simulate::now;
use ambit_query_api::{EventFilter, EventView, Order as Sorting, Session};
use ambit_schemas::event::{AgentRef, Body, Event, TaskRef};
use ambit_schemas::finding::stable_id;
use ambit_schemas::id::{EventId, EventSource, PrincipalId, ResponseId, TenantId};
use ambit_schemas::notice::notice;
use ambit_schemas::order::{Order, Pending, Ruling, Switch};
use ambit_schemas::response::{Action, Target};
use ambit_schemas::{Timestamp, encode};
use anyhow::{Context, bail};
use reach::Reach;
use std::collections::HashMap;

/// Who says so.
const SOURCE: &str = "ambit/respond";
/// Most pages that are read for one answer.
const PAGES_MAX: usize = 40;
/// Events of one page.
const PAGE: u32 = 500;
/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 2_000;

/// Runs the command.
pub async fn run(config: &Config, command: &RespondCommand) -> anyhow::Result<()> {
    match command {
        RespondCommand::Plan { target, tree, json } => {
            let reach = Reach::read(&session(config).await?, target, *tree).await?;
            if *json {
                print(&serde_json::to_string(&reach)?);
            } else {
                reach.print();
            }
            Ok(())
        }
        RespondCommand::Revoke { order, tree } => {
            let action = match (&order.target.task, *tree) {
                (Some(_), true) => Action::RevokeTree,
                (Some(_), false) => Action::RevokeTask,
                (None, _) => Action::RevokeCredential,
            };
            self::order(config, order, action, None).await
        }
        RespondCommand::Pause { order, seconds } => {
            let until = seconds.map(|seconds| now().plus_micros(i64::from(seconds) * 1_000_000));
            self::order(config, order, Action::Pause, until).await
        }
        RespondCommand::Restore { order } => self::order(config, order, Action::Restore, None).await,
        RespondCommand::Stop(said) => {
            switch(config, said, Body::ResponsesStopped).await?;
            print("automatic revocation is off from here on; `ambit respond resume` switches it on again");
            Ok(())
        }
        RespondCommand::Resume(said) => {
            switch(config, said, Body::ResponsesResumed).await?;
            print("automatic revocation is on again");
            Ok(())
        }
        RespondCommand::Pending { json } => pending(config, *json).await,
        RespondCommand::Approve { id, said } => rule(config, id, said, true).await,
        RespondCommand::Deny { id, said } => rule(config, id, said, false).await,
        RespondCommand::Dead(command) => dead::run(config, command).await,
    }
}

/// All events of a filter, newest first, as far as one answer reads; and whether there are more.
async fn events(session: &Session, filter: &EventFilter) -> anyhow::Result<(Vec<EventView>, bool)> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = session.events(filter, Sorting::Descending, PAGE, cursor.as_deref()).await?;
        all.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((all, false));
        }
    }
    Ok((all, true))
}

fn author(said: &Said) -> anyhow::Result<PrincipalId> {
    if said.reason.trim().is_empty() || said.reason.len() > REASON_BYTES_MAX {
        bail!(
            "`--reason` must say why, in at most {REASON_BYTES_MAX} bytes: it stands in the record for good"
        );
    }
    PrincipalId::try_from(said.author.as_str()).context("`--as` must name who says so")
}

/// An id that nobody has given before.
fn fresh(what: &str) -> String {
    let parts = [what.to_owned(), now().micros().to_string(), rand::random::<u128>().to_string()];
    stable_id("ambit-respond/v1", &parts.each_ref().map(String::as_str))
}

/// Kafka has it: from here on it holds.
async fn send(config: &Config, event: &Event) -> anyhow::Result<()> {
    let producer = Parts { config }.prompt_producer("ambit-respond")?;
    let outgoing = encode(event).context("it cannot be written as an event")?;
    producer.send(outgoing).await.context("Kafka did not take it, so it does not hold: try again")?;
    Ok(())
}

fn event(
    tenant: TenantId,
    agent: Option<AgentRef>,
    task: Option<TaskRef>,
    body: Body,
) -> anyhow::Result<Event> {
    Ok(Event {
        agent,
        task,
        ..Event::new(
            EventId::try_from(fresh(body.kind().name()))?,
            EventSource::try_from(SOURCE)?,
            now(),
            tenant,
            body,
        )
    })
}

/// What the store knows of whom it is about goes into the order. Without a store it says what was given: in an emergency
/// that is better than nothing.
async fn order(
    config: &Config,
    args: &OrderArgs,
    action: Action,
    until: Option<Timestamp>,
) -> anyhow::Result<()> {
    let author = author(&args.said)?;
    let tree = action == Action::RevokeTree;
    let reach = match session(config).await {
        Ok(session) => Reach::read(&session, &args.target, tree).await,
        Err(error) => Err(error),
    };
    let reach = reach.or_else(|error| {
        print_error(&format!(
            "what it hits is not known ({}): the order says what you gave",
            sentence(&error)
        ));
        Reach::given(&args.target)
    })?;
    let (agent, task, credentials) = reach.target(&args.target)?;
    let response_id = ResponseId::try_from(format!("ord-{}", fresh("order")))?;
    let target = Target {
        agent_uid: agent.as_ref().map(|agent| agent.uid.clone()),
        task_id: task.as_ref().map(|task| task.id.clone()),
        root_task_id: task.as_ref().map(|task| task.root.clone()),
        credentials,
    };
    let body = Body::ResponseOrdered(Box::new(Order {
        response_id: response_id.clone(),
        action,
        target,
        author,
        reason: args.said.reason.clone(),
        until,
    }));
    let tenant = TenantId::try_from(args.target.tenant.as_str()).context("`--tenant`")?;
    send(config, &event(tenant, agent, task, body)?).await?;
    print(&format!(
        "ordered {} as {response_id}: follow it with `ambit search --kind 'revocation.*' {response_id}`",
        action.name()
    ));
    Ok(())
}

async fn switch(config: &Config, said: &Said, body: impl Fn(Switch) -> Body) -> anyhow::Result<()> {
    let body = body(Switch { author: author(said)?, reason: said.reason.clone() });
    let id = format!("{}-{}", body.kind(), fresh("switch"));
    send(config, &notice(SOURCE, &id, now(), body)?).await
}

/// Questions to people, newest first, with what was said of each since.
async fn questions(session: &Session) -> anyhow::Result<Vec<(EventView, Pending, Vec<String>)>> {
    let filter = |kind: &str| EventFilter { kind: Some(kind.to_owned()), ..EventFilter::default() };
    let mut said: HashMap<String, Vec<String>> = HashMap::new();
    for (kind, verb) in
        [("response.approved", "approved"), ("response.denied", "denied"), ("response.expired", "expired")]
    {
        for event in events(session, &filter(kind)).await?.0 {
            let data = event.data.unwrap_or_default();
            let text =
                |pointer: &str| data.pointer(pointer).and_then(|text| text.as_str()).map(str::to_owned);
            let of = text("/ruling/response_id").or_else(|| text("/pending/response_id"));
            let words =
                text("/ruling/author").map_or_else(|| verb.to_owned(), |by| format!("{verb} by {by}"));
            said.entry(of.unwrap_or_default()).or_default().push(words);
        }
    }
    let mut all = Vec::new();
    for event in events(session, &filter("response.pending")).await?.0 {
        let pending = event.data.as_ref().and_then(|data| data.get("pending")).cloned();
        if let Some(Ok(pending)) = pending.map(serde_json::from_value::<Pending>) {
            let said = said.remove(pending.response_id.as_str()).unwrap_or_default();
            all.push((event, pending, said));
        }
    }
    Ok(all)
}

fn is_open(pending: &Pending, said: &[String]) -> bool {
    let approvals = said.iter().filter(|words| words.starts_with("approved")).count();
    pending.expires_at > now()
        && approvals < pending.approvals as usize
        && said.iter().all(|words| words.starts_with("approved"))
}

async fn pending(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut any = false;
    for (_, pending, said) in questions(&session(config).await?).await? {
        if !is_open(&pending, &said) {
            continue;
        }
        any = true;
        if json {
            print(&serde_json::to_string(&pending)?);
            continue;
        }
        let task = pending.target.task_id.as_ref().map_or("-", |task| task.as_str());
        print(&format!(
            "{}  {} of {task} ({}): {} credentials, {} tasks; until {}; {} of {} approvals {}",
            pending.response_id,
            pending.action.name(),
            pending.reason,
            pending.credentials,
            pending.tasks,
            pending.expires_at,
            said.len(),
            pending.approvals,
            said.join(", ")
        ));
    }
    if !any && !json {
        print("nothing waits");
    }
    Ok(())
}

async fn rule(config: &Config, id: &str, said: &Said, approves: bool) -> anyhow::Result<()> {
    let author = author(said)?;
    let asked = questions(&session(config).await?).await?;
    let found = asked.into_iter().find(|(_, pending, _)| pending.response_id.as_str() == id);
    let Some((question, pending, words)) = found else {
        bail!("no response waits as `{id}`: see `ambit respond pending`");
    };
    if !is_open(&pending, &words) {
        bail!(
            "`{id}` waits no more: {}",
            if words.is_empty() { "its time is over".into() } else { words.join(", ") }
        );
    }
    let ruling = Ruling { response_id: pending.response_id, author, reason: Some(said.reason.clone()) };
    let body = Box::new(ruling);
    let body = if approves { Body::ResponseApproved(body) } else { Body::ResponseDenied(body) };
    let (tenant, agent, task) = about(&question)?;
    send(config, &event(tenant, agent, task, body)?).await?;
    let verb = if approves { "approved" } else { "denied" };
    print(&format!("{verb} {id}; {} approvals are needed", pending.approvals));
    Ok(())
}

/// Whom an event was about: what follows from it is to stand in the same partition, after it.
fn about(event: &EventView) -> anyhow::Result<(TenantId, Option<AgentRef>, Option<TaskRef>)> {
    let data = event.data.as_ref().context("the event's data is not JSON")?;
    let tenant = TenantId::try_from(event.tenant.as_deref().unwrap_or_default())?;
    let agent = data.get("ai_agent").cloned().map(serde_json::from_value).transpose()?;
    let task = data.get("task").cloned().map(serde_json::from_value).transpose()?;
    Ok((tenant, agent, task))
}
