//! `ambit chain`, `agent`, `tail` and `export`: the stored record, straight from the table, without a server. Whoever can
//! read the files sees all of them, so nothing of it is in the audit trail.

use crate::cli::{AgentArgs, ChainArgs, ExportArgs, ExportFormat, ExportWhat, Output, TailArgs};
use crate::commands::search::{by_filter, line};
use crate::config::Config;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use crate::roles::up::shards;
use crate::simulate::now;
use ambit_query_api::export::{Export, Format, Subject, Wanted};
use ambit_query_api::tail::{Places, Tail};
use ambit_query_api::{ChainView, NODES_MAX, Scope, Session};
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How often it is looked what is new.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an export waits for its turn.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks all of the store.
pub(crate) async fn session(config: &Config) -> anyhow::Result<Session> {
    let parts = Parts { config };
    parts.must_have_store()?;
    Ok(parts.engine(parts.store().await?)?.session(Scope::all()))
}

/// One document, or one line each.
fn machine<T: Serialize>(whole: &T, items: Vec<impl Serialize>, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        print(&serde_json::to_string_pretty(whole)?);
        return Ok(());
    }
    for item in items {
        print(&serde_json::to_string(&item)?);
    }
    Ok(())
}

/// All pages of a chain as one.
async fn whole_chain(session: &Session, root_task: &str) -> anyhow::Result<ChainView> {
    let mut whole = session.chain(root_task, None, NODES_MAX).await?;
    while let Some(cursor) = whole.next_cursor.take() {
        let page = session.chain(root_task, Some(&cursor), NODES_MAX).await?;
        // What is told of a task on a later page is the newer word.
        whole.tasks.retain(|known| !page.tasks.iter().any(|task| task.id == known.id));
        whole.tasks.extend(page.tasks);
        whole.nodes.extend(page.nodes);
        whole.edges.extend(page.edges);
        whole.findings.extend(page.findings);
        (whole.truncated, whole.next_cursor) = (page.truncated, page.next_cursor);
    }
    Ok(whole)
}

/// `ambit chain`.
pub async fn chain(config: &Config, args: &ChainArgs) -> anyhow::Result<()> {
    let chain = whole_chain(&session(config).await?, &args.root_task).await?;
    if args.output != Output::Table {
        return machine(&chain, chain.nodes.clone(), args.output);
    }
    print(&format!("root task  {}", chain.root_task));
    print(&format!("purpose    {}", chain.purpose.as_deref().unwrap_or("not stated")));
    for node in &chain.nodes {
        let severity = node.severity.as_ref().map_or_else(String::new, |severity| format!("[{severity}] "));
        let detail = node.detail.as_deref().unwrap_or(&node.title);
        print(&format!(
            "{:<27} {:<24} {:<22} {severity}{detail}",
            node.time.as_deref().unwrap_or("-"),
            node.id,
            node.kind
        ));
    }
    print(&format!("{} events, {} findings", chain.nodes.len(), chain.findings.len()));
    if chain.truncated {
        print("the chain is longer than what is shown: narrow it with `ambit export events --task`");
    }
    Ok(())
}

/// `ambit agent`.
pub async fn agent(config: &Config, args: &AgentArgs) -> anyhow::Result<()> {
    let session = session(config).await?;
    let Some(uid) = &args.uid else {
        let page = session.agents().await?;
        if args.output != Output::Table {
            return machine(&page, page.items.clone(), args.output);
        }
        for agent in &page.items {
            print(&format!(
                "{:<27} {:<48} {:>6} calls {:>5} findings {}",
                agent.last_seen.as_deref().unwrap_or("-"),
                agent.uid,
                agent.tool_calls,
                agent.findings,
                agent.worst_severity.as_deref().unwrap_or("")
            ));
        }
        return Ok(());
    };
    let detail = session.agent(uid).await?;
    if args.output != Output::Table {
        return machine(&detail, detail.recent_tasks.clone(), args.output);
    }
    let agent = &detail.agent;
    print(&format!("agent      {}", agent.uid));
    print(&format!("blueprint  {}", agent.blueprint.as_deref().unwrap_or("not stated")));
    print(&format!(
        "seen       {} to {}",
        agent.first_seen.as_deref().unwrap_or("-"),
        agent.last_seen.as_deref().unwrap_or("-")
    ));
    print(&format!(
        "has        {} calls, {} findings, {} tasks",
        agent.tool_calls, agent.findings, agent.tasks
    ));
    for task in &detail.recent_tasks {
        print(&format!(
            "{:<27} {:<32} {:<10} {:>3} findings  {}",
            task.last_event.as_deref().unwrap_or("-"),
            task.root_task,
            task.outcome.as_deref().unwrap_or("open"),
            task.findings,
            task.purpose.as_deref().unwrap_or("")
        ));
    }
    Ok(())
}

/// `ambit tail`: until it is stopped.
pub async fn tail(config: &Config, args: &TailArgs) -> anyhow::Result<()> {
    let shards = shards(config);
    let filter = by_filter(&args.filter)?;
    let mut tail = Tail::begin(session(config).await?, filter, &shards, Places::default()).await?;
    let mut seen = 0;
    loop {
        let look = tail.look().await?;
        if look.passed_over > 0 {
            print_error(&format!("{} stored records were passed over: too much is new", look.passed_over));
        }
        for event in &look.events {
            print(&match args.output {
                Output::Table => line(event),
                Output::Json | Output::Ndjson => serde_json::to_string(event)?,
            });
            seen += 1;
            if args.count > 0 && seen >= args.count {
                return Ok(());
            }
        }
        if !look.more {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// `ambit export`.
pub async fn export(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let wanted = Wanted {
        subject: match args.what {
            ExportWhat::Events => Subject::Events,
            ExportWhat::Findings => Subject::Findings,
        },
        filter: by_filter(&args.filter)?,
        format: match args.format {
            ExportFormat::Ndjson => Format::Ndjson,
            ExportFormat::Csv => Format::Csv,
            ExportFormat::Parquet => Format::Parquet,
        },
        after: args.cursor.clone(),
        limit: (args.limit > 0).then_some(args.limit),
    };
    let export = Export::begin(session(config).await?, &shards(config), wanted, now(), PATIENCE).await?;
    if let Some(path) = &args.to_file {
        let items = into_file(export, path).await?;
        print_error(&format!("{items} items are in {}", path.display()));
    } else {
        let mut out = std::io::stdout().lock();
        write(export, &mut out).await.context("the export cannot be written out")?;
    }
    Ok(())
}

/// Beside its place until it is whole: what broke off is never taken for an export.
async fn into_file(export: Export, path: &Path) -> anyhow::Result<u64> {
    let failed = || format!("{} cannot be written", path.display());
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let mut file = File::create(&unfinished).with_context(failed)?;
    let items = write(export, &mut file).await.with_context(failed)?;
    file.sync_all().with_context(failed)?;
    std::fs::rename(&unfinished, path).with_context(failed)?;
    Ok(items)
}

async fn write(mut export: Export, out: &mut impl Write) -> anyhow::Result<u64> {
    let mut items = 0;
    while let Some(chunk) = export.next().await? {
        out.write_all(&chunk.bytes)?;
        items += chunk.items;
    }
    out.flush()?;
    Ok(items)
}
