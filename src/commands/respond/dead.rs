//! `ambit respond dead`: deliveries that were given up.

use super::{api, author, event, field, send, session};
use crate::cli::DeadCommand;
use crate::config::Config;
use crate::output::print;
use ambit_query_api::{EventFilter, EventView, Session};
use ambit_schemas::event::Body;
use ambit_schemas::id::DeliveryId;
use ambit_schemas::order::Redrive;
use ambit_schemas::response::DeadLettered;
use anyhow::{Context, bail};
use serde_json::json;
use std::collections::HashSet;

pub(super) async fn run(config: &Config, command: &DeadCommand) -> anyhow::Result<()> {
    let dead = dead(&session(config).await?).await?;
    match command {
        DeadCommand::List { receiver, json } => list(&dead, receiver.as_deref(), *json),
        DeadCommand::Redrive { ids, all, receiver, said } => {
            let author = author(said)?;
            let chosen = chosen(&dead, ids, *all, receiver.as_deref())?;
            for (told, letter) in &chosen {
                let path = ["api", "v1", "deliveries", letter.delivery_id.as_str(), "redrive"];
                let asked = json!({"reason": said.reason});
                let by = if let Some(now) = api::say(config, said, &path, &asked).await? {
                    field(&now, "author")
                } else {
                    let body = Body::DeliveryRedriven(Box::new(Redrive {
                        delivery_id: letter.delivery_id.clone(),
                        author: author.clone(),
                        author_authenticated: false,
                        reason: said.reason.clone(),
                    }));
                    let about = told.about().context("what the delivery is about cannot be read")?;
                    let (tenant, agent, task) = about;
                    send(config, &event(tenant, agent, task, body)?).await?;
                    author.to_string()
                };
                print(&format!("{} goes to {} again by {by}", letter.delivery_id, letter.receiver));
            }
            print(&format!("{} deliveries are tried again", chosen.len()));
            Ok(())
        }
    }
}

type Letter = (EventView, DeadLettered);

/// Deliveries whose last word is that they were given up, newest first.
async fn dead(session: &Session) -> anyhow::Result<Vec<Letter>> {
    let mut told = Vec::new();
    for (kind, pointer) in [
        ("response.dead_lettered", "/dead_lettered/delivery_id"),
        ("response.redriven", "/redrive/delivery_id"),
        ("response.acknowledged", "/acknowledgement/delivery_id"),
    ] {
        let filter = EventFilter { kind: Some(kind.to_owned()), ..EventFilter::default() };
        for event in session.events_read(&filter).await?.0 {
            let id = event.data.as_ref().and_then(|data| data.pointer(pointer)?.as_str().map(str::to_owned));
            told.extend(id.map(|id| (event.offset, id, event)));
        }
    }
    // All of one delivery stand in one partition: the later offset is the later word.
    told.sort_by_key(|(offset, _, _)| std::cmp::Reverse(*offset));
    let (mut seen, mut dead) = (HashSet::new(), Vec::new());
    for (_, id, event) in told {
        if seen.insert(id)
            && let Some(letter) = event.data.as_ref().and_then(|data| data.get("dead_lettered")).cloned()
        {
            let letter = serde_json::from_value(letter).context("a dead letter in the store")?;
            dead.push((event, letter));
        }
    }
    dead.sort_by(|(a, _), (b, _)| b.time.cmp(&a.time));
    Ok(dead)
}

fn list(dead: &[Letter], receiver: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut any = false;
    for (event, letter) in dead.iter().filter(|(_, letter)| is_to(letter, receiver)) {
        any = true;
        if json {
            print(&serde_json::to_string(letter)?);
        } else {
            print(&format!(
                "{:<27} {}  {} to {}, {} tries: {}",
                event.time.as_deref().unwrap_or("-"),
                letter.delivery_id,
                letter.action.name(),
                letter.receiver,
                letter.attempts,
                letter.reason
            ));
        }
    }
    if !any && !json {
        print("there are none");
    }
    Ok(())
}

fn is_to(letter: &DeadLettered, receiver: Option<&str>) -> bool {
    receiver.is_none_or(|receiver| letter.receiver.as_str() == receiver)
}

fn chosen<'a>(
    dead: &'a [Letter],
    ids: &[String],
    all: bool,
    receiver: Option<&str>,
) -> anyhow::Result<Vec<&'a Letter>> {
    if all {
        return Ok(dead.iter().filter(|(_, letter)| is_to(letter, receiver)).collect());
    }
    let mut chosen = Vec::new();
    for id in ids {
        let id = DeliveryId::try_from(id.as_str()).context("a delivery's id")?;
        match dead.iter().find(|(_, letter)| letter.delivery_id == id) {
            Some(letter) => chosen.push(letter),
            None => bail!("`{id}` was not given up, or has arrived since: see `ambit respond dead list`"),
        }
    }
    Ok(chosen)
}
