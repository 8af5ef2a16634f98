//! `ambit respond`: what people have to say to enforcement. Each word is an event in `ambit.responses`, which enforcement
//! reads and acts upon: this command itself revokes nothing, so what was ordered is recorded before it happens. It is said
//! to the API, which knows who says so; where there is none, to Kafka.

mod api;
mod dead;
mod reach;

use crate::cli::{OrderArgs, RespondCommand, Said, TargetArgs};
use crate::commands::ask::session;
use crate::config::Config;
use crate::output::{print, print_error, sentence};
use crate::roles::parts::Parts;
use crate::simulate::now;
use ambit_query_api::{Aim, Aimed, EventFilter, EventView, Reach, Session};
use ambit_schemas::event::{AgentRef, Body, Event, TaskRef};
use ambit_schemas::finding::stable_id;
use ambit_schemas::id::{EventId, EventSource, PrincipalId, ResponseId, TenantId};
use ambit_schemas::notice::notice;
use ambit_schemas::order::{Order, Pending, Ruling, Switch};
use ambit_schemas::response::Action;
use ambit_schemas::{Timestamp, encode};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Who says so.
const SOURCE: &str = "ambit/respond";
/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 2_000;

/// Runs the command.
pub async fn run(config: &Config, command: &RespondCommand) -> anyhow::Result<()> {
    match command {
        RespondCommand::Plan { target, tree, json } => {
            let reach = session(config).await?.reach(&aim(target, *tree), now()).await?;
            if *json {
                print(&serde_json::to_string(&reach)?);
            } else {
                reach::show(&reach);
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
        RespondCommand::Pause { order, seconds } => self::order(config, order, Action::Pause, *seconds).await,
        RespondCommand::Restore { order } => self::order(config, order, Action::Restore, None).await,
        RespondCommand::Stop(said) => {
            switch(config, said, "stop", Body::ResponsesStopped).await?;
            print("automatic revocation is off from here on; `ambit respond resume` switches it on again");
            Ok(())
        }
        RespondCommand::Resume(said) => {
            switch(config, said, "resume", Body::ResponsesResumed).await?;
            print("automatic revocation is on again");
            Ok(())
        }
        RespondCommand::Pending { json } => pending(config, *json).await,
        RespondCommand::Approve { id, said } => rule(config, id, said, true).await,
        RespondCommand::Deny { id, said } => rule(config, id, said, false).await,
        RespondCommand::Dead(command) => dead::run(config, command).await,
    }
}

fn aim(target: &TargetArgs, tree: bool) -> Aim {
    Aim {
        tenant: target.tenant.clone(),
        task: target.task.clone(),
        agent: target.agent.clone(),
        credentials: target.credential.clone(),
        tree,
    }
}

/// What the API says of what was said.
fn field(now: &Value, name: &str) -> String {
    now.get(name).and_then(Value::as_str).unwrap_or("?").to_owned()
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

fn say_ordered(action: &str, response_id: &str, author: &str) {
    print(&format!(
        "ordered {action} as {response_id} by {author}: follow it with `ambit search --kind 'revocation.*' {response_id}`"
    ));
}

async fn order(
    config: &Config,
    args: &OrderArgs,
    action: Action,
    seconds: Option<u32>,
) -> anyhow::Result<()> {
    let author = author(&args.said)?;
    let aim = aim(&args.target, action == Action::RevokeTree);
    let what = match action {
        Action::Pause => "pause",
        Action::Restore => "restore",
        Action::Notify
        | Action::StepUp
        | Action::RevokeCredential
        | Action::RevokeTask
        | Action::RevokeTree => "revoke",
    };
    let asked = json!({
        "action": what, "task": aim.task, "agent": aim.agent, "credentials": aim.credentials, "tree": aim.tree,
        "tenant": aim.tenant, "seconds": seconds, "reason": args.said.reason,
    });
    let path = ["api", "v1", "responses", "orders"];
    if let Some(said) = api::say(config, &args.said, &path, &asked).await? {
        if let Some(why) = said.get("incomplete").and_then(Value::as_str) {
            print_error(why);
        }
        say_ordered(action.name(), &field(&said, "response_id"), &field(&said, "author"));
        return Ok(());
    }
    let until = seconds.map(|seconds| now().plus_micros(i64::from(seconds) * 1_000_000));
    order_past_the_api(config, &aim, args, (author, action, until)).await
}

/// What the store knows of whom it is about goes into the order. Without a store it says what was given: in an emergency
/// that is better than nothing.
async fn order_past_the_api(
    config: &Config,
    aim: &Aim,
    args: &OrderArgs,
    (author, action, until): (PrincipalId, Action, Option<Timestamp>),
) -> anyhow::Result<()> {
    let reach = match session(config).await {
        Ok(session) => session.reach(aim, now()).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    let reach = reach.unwrap_or_else(|error| {
        let why = sentence(&error);
        print_error(&format!("what it hits is not known ({why}): the order says what you gave"));
        Reach::given(aim)
    });
    let Aimed { agent, task, target } = reach.target(aim).context("at whom it is aimed")?;
    let response_id = ResponseId::try_from(format!("ord-{}", fresh("order")))?;
    let body = Body::ResponseOrdered(Box::new(Order {
        response_id: response_id.clone(),
        action,
        target,
        author,
        author_authenticated: false,
        reason: args.said.reason.clone(),
        until,
    }));
    let tenant = TenantId::try_from(aim.tenant.as_str()).context("`--tenant`")?;
    send(config, &event(tenant, agent, task, body)?).await?;
    say_ordered(action.name(), response_id.as_str(), &args.said.author);
    Ok(())
}

async fn switch(
    config: &Config,
    said: &Said,
    path: &str,
    body: impl Fn(Switch) -> Body,
) -> anyhow::Result<()> {
    let author = author(said)?;
    let asked = json!({"reason": said.reason});
    if api::say(config, said, &["api", "v1", "responses", path], &asked).await?.is_some() {
        return Ok(());
    }
    let body = body(Switch { author, author_authenticated: false, reason: said.reason.clone() });
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
        for event in session.events_read(&filter(kind)).await?.0 {
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
    for event in session.events_read(&filter("response.pending")).await?.0 {
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
    let (word, verb) = if approves { ("approve", "approved") } else { ("deny", "denied") };
    let path = ["api", "v1", "responses", id, word];
    if let Some(now) = api::say(config, said, &path, &json!({"reason": said.reason})).await? {
        let approvals = now.get("approvals").and_then(Value::as_u64).unwrap_or_default();
        print(&format!("{verb} {id}: it is {}; {approvals} approvals are needed", field(&now, "state")));
        return Ok(());
    }
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
    let body = Box::new(Ruling {
        response_id: pending.response_id,
        author,
        author_authenticated: false,
        reason: Some(said.reason.clone()),
    });
    let body = if approves { Body::ResponseApproved(body) } else { Body::ResponseDenied(body) };
    let (tenant, agent, task) = question.about().context("what the question is about cannot be read")?;
    send(config, &event(tenant, agent, task, body)?).await?;
    print(&format!("{verb} {id}; {} approvals are needed", pending.approvals));
    Ok(())
}
