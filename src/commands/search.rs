//! `ambit search`: stored events, straight from the table, without a server.

use crate::cli::{FieldArgs, FilterArgs, Output, SearchArgs};
use crate::config::Config;
use crate::output::print;
use crate::roles::parts::Parts;
use crate::simulate::now;
use ambit_query_api::{
    EventFilter, EventView, Order, Query, QueryError, Scope, SequenceQuery, Session, Span,
};
use ambit_schemas::Timestamp;
use anyhow::{Context, anyhow};

/// Runs the command.
pub async fn run(config: &Config, args: &SearchArgs) -> anyhow::Result<()> {
    let parts = Parts { config };
    parts.must_have_store()?;
    let asked = args.query.as_deref().unwrap_or_default();
    // Whoever can read the files sees all of them.
    let session = parts.engine(parts.store().await?)?.session(Scope::all());
    if SequenceQuery::is_meant(asked) {
        return sequences(&session, asked, args).await;
    }
    let filter = by_fields(&args.fields, Some(asked))?;
    let page = session.events(&filter, Order::Descending, args.limit, None).await?;
    if args.output == Output::Json {
        print(&serde_json::to_string_pretty(&page)?);
        return Ok(());
    }
    let json = args.json || args.output == Output::Ndjson;
    for event in &page.items {
        show(event, json)?;
    }
    said(page.items.is_empty(), page.next_cursor.is_some(), args);
    Ok(())
}

/// What fields and a query ask for.
fn by_fields(args: &FieldArgs, query: Option<&str>) -> anyhow::Result<EventFilter> {
    let parse = |text| Query::parse(text).map_err(|error| pointed(&error, text));
    Ok(EventFilter {
        span: Span { from: time("--from", args.from.as_deref())?, to: time("--to", args.to.as_deref())? },
        agent: args.agent.clone(),
        within: args.task.clone(),
        tool: args.tool.clone(),
        kind: args.kind.clone(),
        query: query.map(parse).transpose()?.map(|query| (query, now())),
        ..EventFilter::default()
    })
}

/// What a filter asks for.
pub(super) fn by_filter(args: &FilterArgs) -> anyhow::Result<EventFilter> {
    let fields = by_fields(&args.fields, args.query.as_deref())?;
    Ok(EventFilter { rule: args.rule.clone(), text: args.text.clone(), ..fields })
}

/// The error with a caret under the letter.
fn pointed(error: &QueryError, query: &str) -> anyhow::Error {
    anyhow!("the query cannot be read\n{}", error.marked(query))
}

async fn sequences(session: &Session, asked: &str, args: &SearchArgs) -> anyhow::Result<()> {
    let query = SequenceQuery::parse(asked).map_err(|error| pointed(&error, asked))?;
    let page = session.sequences(&query, now(), args.limit, None).await?;
    for sequence in &page.items {
        if args.json || args.output != Output::Table {
            print(&serde_json::to_string(sequence)?);
            continue;
        }
        print(&format!("{} within {:.3} s", sequence.key, sequence.seconds));
        for event in &sequence.events {
            print(&format!("  {}", line(event)));
        }
    }
    if let Some(why) = &page.incomplete {
        print(why);
    }
    said(page.items.is_empty(), page.next_cursor.is_some(), args);
    Ok(())
}

fn show(event: &EventView, json: bool) -> anyhow::Result<()> {
    print(&if json { serde_json::to_string(event)? } else { line(event) });
    Ok(())
}

fn said(nothing: bool, more: bool, args: &SearchArgs) {
    let people = !args.json && args.output == Output::Table;
    if nothing && people {
        print("nothing found");
    }
    if more && people {
        print(&format!("there are more than {}: raise --limit or narrow the search", args.limit));
    }
}

pub(super) fn line(event: &EventView) -> String {
    let time = event.time.as_deref().unwrap_or("-");
    let severity = event.severity.as_deref().map_or_else(String::new, |severity| format!("[{severity}] "));
    format!("{time:<27} {:<24} {:<22} {severity}{}", event.reference, event.kind, event.summary)
}

pub(crate) fn time(option: &str, text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    text.map(Timestamp::parse).transpose().with_context(|| format!("`{option}`"))
}
