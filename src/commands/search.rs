//! `ambit search`: stored events, straight from the table, without a server.

use crate::cli::{Output, SearchArgs};
use crate::config::Config;
use crate::output::print;
use crate::roles::parts::Parts;
use ambit_query_api::{Engine, EventFilter, EventView, Order, Scope, Span};
use ambit_schemas::Timestamp;
use anyhow::Context;

/// Runs the command.
pub async fn run(config: &Config, args: &SearchArgs) -> anyhow::Result<()> {
    Parts { config }.must_have_store()?;
    // Whoever can read the files sees all of them.
    let session = Engine::new(Parts { config }.store().await?, &config.api)?.session(Scope::all());
    let filter = EventFilter {
        span: Span { from: time("--from", args.from.as_deref())?, to: time("--to", args.to.as_deref())? },
        agent: args.agent.clone(),
        within: args.task.clone(),
        tool: args.tool.clone(),
        kind: args.kind.clone(),
        text: args.text.clone(),
        ..EventFilter::default()
    };
    let page = session.events(&filter, Order::Descending, args.limit, None).await?;
    if args.output == Output::Json {
        print(&serde_json::to_string_pretty(&page)?);
        return Ok(());
    }
    let json = args.json || args.output == Output::Ndjson;
    for event in &page.items {
        if json {
            print(&serde_json::to_string(event)?);
        } else {
            print(&line(event));
        }
    }
    if page.items.is_empty() && !json {
        print("nothing found");
    }
    if page.next_cursor.is_some() && !json {
        print(&format!("there are more than {}: raise --limit or narrow the search", args.limit));
    }
    Ok(())
}

pub(super) fn line(event: &EventView) -> String {
    let time = event.time.as_deref().unwrap_or("-");
    let severity = event.severity.as_deref().map_or_else(String::new, |severity| format!("[{severity}] "));
    format!("{time:<27} {:<24} {:<22} {severity}{}", event.reference, event.kind, event.summary)
}

pub(crate) fn time(option: &str, text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    text.map(Timestamp::parse).transpose().with_context(|| format!("`{option}`"))
}
