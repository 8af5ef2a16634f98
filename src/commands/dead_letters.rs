//! `ambit dead-letters`: records that are no events, and how they become some.
//!
//! A dead letter stays where it is: it is stored and signed. What is sent again is a new record, redacted like all that
//! comes in (INVARIANT P-1), which names the dead letter in its headers; a notice names both and whoever did it. Sent
//! twice, it has the same `(source, id)` and is marked a duplicate.

use crate::cli::{DeadLetterCommand, RedriveArgs};
use crate::config::Config;
use crate::keys;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use crate::simulate::now;
use ambit_bus::Producer;
use ambit_query_api::{DeadLetterView, Engine, Scope, Session};
use ambit_schemas::event::{Body, Notice};
use ambit_schemas::intake::{Accepted, Incoming, accept};
use ambit_schemas::notice::notice;
use ambit_schemas::redact::RedactionSecret;
use ambit_schemas::{Record, encode};
use anyhow::{Context, bail};
use std::io::Write;
use std::process::ExitCode;

/// Exit code when some of several dead letters were not sent.
const SOME_LEFT: u8 = 2;
/// Who says so.
const SOURCE: &str = "ambit/dead-letters";
/// Headers of what is sent again.
const REDRIVEN_FROM: &str = "ambit_redriven_from";
const REDRIVEN_BY: &str = "ambit_redriven_by";

/// Runs the command.
pub async fn run(config: &Config, command: &DeadLetterCommand) -> anyhow::Result<ExitCode> {
    Parts { config }.must_have_store()?;
    // Whoever can read the files sees all of them.
    let session = Engine::new(Parts { config }.store().await?, &config.api)?.session(Scope::all());
    match command {
        DeadLetterCommand::List { reason, limit, json } => {
            list(&session, reason.as_deref(), *limit, *json).await?;
        }
        DeadLetterCommand::Show { reference, raw } => show(&session, reference, *raw).await?,
        DeadLetterCommand::Redrive(args) => return redrive(config, &session, args).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(session: &Session, reason: Option<&str>, limit: u32, json: bool) -> anyhow::Result<()> {
    let page = session.dead_letters(limit, None, reason).await?;
    for letter in &page.items {
        if json {
            print(&serde_json::to_string(letter)?);
        } else {
            let detail = letter.detail.as_deref().unwrap_or_default();
            print(&format!(
                "{:<27} {:<24} {:>9} bytes  {:<16} {detail}",
                letter.broker_time, letter.reference, letter.size, letter.reason
            ));
        }
    }
    if page.items.is_empty() && !json {
        print("there are none");
    }
    if page.next_cursor.is_some() && !json {
        print(&format!("there are more than {limit}: raise --limit, or choose with --reason"));
    }
    Ok(())
}

async fn show(session: &Session, reference: &str, raw: bool) -> anyhow::Result<()> {
    let (letter, record) = session.dead_letter(reference).await?;
    let value = record.value.as_deref().unwrap_or_default();
    if raw {
        return std::io::stdout().write_all(value).context("standard output cannot be written");
    }
    print(&format!("ref       {}", letter.reference));
    print(&format!("why       {}", why(&letter)));
    print(&format!("received  {}, stored {}", letter.broker_time, letter.recorded_at));
    print(&format!("key       {}", record.key.as_deref().map_or_else(|| "-".into(), printable)));
    for (name, value) in &record.headers {
        print(&format!("header    {name}: {}", printable(value)));
    }
    print(&format!("value     {} bytes", value.len()));
    print(&printable(value));
    Ok(())
}

fn why(letter: &DeadLetterView) -> String {
    letter
        .detail
        .as_ref()
        .map_or_else(|| letter.reason.clone(), |detail| format!("{}: {detail}", letter.reason))
}

/// Text as it is, other bytes and control characters escaped: what came must not move the terminal's cursor.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().flat_map(escaped).collect(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

fn escaped(letter: char) -> Vec<char> {
    if letter.is_control() && letter != '\n' { letter.escape_default().collect() } else { vec![letter] }
}

async fn redrive(config: &Config, session: &Session, args: &RedriveArgs) -> anyhow::Result<ExitCode> {
    if args.data.is_some() && args.references.len() != 1 {
        bail!("`--data` replaces the value of one dead letter: name exactly one");
    }
    let references = match &args.all {
        Some(reason) => {
            let page = session.dead_letters(args.limit, None, Some(reason)).await?;
            // The oldest first, in the order in which they came.
            page.items.into_iter().rev().map(|letter| letter.reference).collect()
        }
        None => args.references.clone(),
    };
    let secret = keys::token(&config.keys_dir().join("redaction.key"))?;
    let secret = RedactionSecret::new(secret.as_bytes());
    let producer = Parts { config }.prompt_producer("ambit-dead-letters")?;
    let (mut sent, mut left) = (0_usize, 0_usize);
    for reference in &references {
        let (letter, record) = session.dead_letter(reference).await?;
        match corrected(&record, args).and_then(|incoming| Ok(accept(incoming, &secret)?)) {
            Ok(accepted) if args.dry_run => {
                sent += 1;
                print(&format!(
                    "{reference} would be sent as {} {}",
                    accepted.event.kind(),
                    accepted.event.id
                ));
            }
            Ok(accepted) => {
                let place = send(&producer, &letter, accepted, args).await?;
                sent += 1;
                print(&format!("{reference} was sent again as {place}"));
            }
            Err(error) => {
                left += 1;
                print_error(&format!(
                    "{reference} is still no event: {error:#}; correct it with --data or --attribute"
                ));
            }
        }
    }
    let verb = if args.dry_run { "would be sent" } else { "sent again" };
    print(&format!("{sent} {verb}, {left} left as they are"));
    Ok(if left > 0 { ExitCode::from(SOME_LEFT) } else { ExitCode::SUCCESS })
}

/// What came, with what was corrected in it.
fn corrected(record: &Record, args: &RedriveArgs) -> anyhow::Result<Incoming> {
    let read;
    let value = match &args.data {
        Some(path) => {
            read = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            read.as_slice()
        }
        None => record.value.as_deref().unwrap_or_default(),
    };
    let data = serde_json::from_slice(value).context("the value is not JSON")?;
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (name, value) in &record.headers {
        if let Some(name) = name.strip_prefix("ce_") {
            let text =
                std::str::from_utf8(value).with_context(|| format!("attribute `{name}` is not UTF-8"))?;
            attributes.push((name.to_owned(), text.to_owned()));
        }
    }
    for given in &args.attribute {
        let (name, value) =
            given.split_once('=').with_context(|| format!("`--attribute {given}` is not NAME=VALUE"))?;
        attributes.retain(|(known, _)| known != name);
        attributes.push((name.to_owned(), value.to_owned()));
    }
    Ok(Incoming { attributes, data })
}

/// Sends the event, then the notice of it. Between the two, the event's own headers say where it comes from.
async fn send(
    producer: &Producer,
    letter: &DeadLetterView,
    accepted: Accepted,
    args: &RedriveArgs,
) -> anyhow::Result<String> {
    let (from, mut outgoing) = (&letter.reference, accepted.outgoing);
    outgoing.headers =
        outgoing.headers.with(REDRIVEN_FROM, from.as_bytes()).with(REDRIVEN_BY, args.author.as_bytes());
    let (shard, offset) =
        producer.send(outgoing).await.with_context(|| format!("{from} was not sent again"))?;
    let place = format!("{}:{}:{offset}", shard.topic, shard.partition);
    let text = format!(
        "dead letter {from} ({}) was sent again as {place} by {}: {}",
        letter.reason, args.author, args.reason
    );
    let body = Body::DeadLetterRedriven(Notice {
        shard: Some(letter.shard.parse().context("the shard of a dead letter")?),
        from_offset: Some(letter.offset),
        to_offset: Some(letter.offset + 1),
        author: Some(args.author.clone()),
        sent_as: Some(place.clone()),
        text,
        ..Notice::default()
    });
    let id = format!("redriven-{from}-{place}");
    let told = encode(&notice(SOURCE, &id, now(), body).context("the notice cannot be written")?)?;
    let failed = || format!("{from} was sent again as {place}, and the notice of it was not");
    producer.send(told).await.with_context(failed)?;
    Ok(place)
}
