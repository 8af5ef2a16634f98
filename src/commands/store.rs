//! `ambit store`: the table's upkeep by hand. Each command does one pass of what the ingest role does by itself.

use crate::cli::{HoldCommand, PlaceHoldArgs, StoreCommand};
use crate::config::Config;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use crate::roles::up::shards;
use crate::simulate::now;
use ambit_schemas::Timestamp;
use ambit_schemas::id::TenantId;
use ambit_store::{Cover, Hold, Release, Store, fsck};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::process::ExitCode;

/// Exit code when the table is damaged.
const DAMAGED: u8 = 2;

/// Runs the command.
pub async fn run(config: &Config, command: &StoreCommand) -> anyhow::Result<ExitCode> {
    Parts { config }.must_have_store()?;
    if let StoreCommand::Fsck { json } = command {
        return check(config, *json).await;
    }
    let store = Parts { config }.store().await?;
    match command {
        StoreCommand::Compact { all } => compact(config, &store, *all).await?,
        StoreCommand::Vacuum { dry_run } => {
            if !dry_run {
                store.clean_log().await?;
            }
            print(&serde_json::to_string_pretty(&store.vacuum(*dry_run).await?)?);
        }
        StoreCommand::Retain { dry_run, author } => {
            let policy = &config.store.retention;
            if policy.default_days == 0 && policy.tenants.is_empty() {
                bail!("`[store.retention]` keeps everything forever: set `default_days` or `tenants` first");
            }
            let signed = Parts { config }.ledgers()?.signed(&shards(config))?.into_iter().collect();
            let done = store.retain(policy, &signed, now(), author, *dry_run).await?;
            if !dry_run {
                Parts { config }.payloads()?.retain(&store, policy, now()).await?;
            }
            print(&serde_json::to_string_pretty(&done)?);
        }
        StoreCommand::Hold(command) => hold(&store, command).await?,
        StoreCommand::Payload { tenant, sha256 } => {
            let tenant = TenantId::try_from(tenant.as_str()).context("--tenant")?;
            let found = Parts { config }.payloads()?.get(&tenant, sha256).await?;
            let found = found.with_context(|| format!("{tenant} has no payload {sha256}"))?;
            std::io::stdout().write_all(&found).context("the payload cannot be written out")?;
        }
        StoreCommand::Fsck { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn compact(config: &Config, store: &Store, all: bool) -> anyhow::Result<()> {
    let done = store.compact(&config.store, now().day(), all).await?;
    store.checkpoint(config.store.checkpoint_versions).await?;
    print(&serde_json::to_string_pretty(&done)?);
    if !done.failed.is_empty() {
        bail!("{} groups of files could not be compacted: run `ambit store fsck`", done.failed.len());
    }
    Ok(())
}

async fn check(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} files")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let options = Parts { config }.store_options();
    let found = fsck(options, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })
    .await
    .context("the table could not be checked")?;
    bar.finish_and_clear();
    if json {
        print(&serde_json::to_string_pretty(&found)?);
    } else {
        for fault in &found.faults {
            print_error(&format!("DAMAGED  {}: {}", fault.file, fault.what));
        }
        print(&format!(
            "{}  {} files, {} rows, {} deleted by retention, {} log entries",
            if found.faults.is_empty() { "sound" } else { "damaged" },
            found.files,
            found.rows,
            found.retired,
            found.entries
        ));
    }
    Ok(if found.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

async fn hold(store: &Store, command: &HoldCommand) -> anyhow::Result<()> {
    match command {
        HoldCommand::Place(args) => {
            let version = store.place_hold(to_place(args)?).await?;
            print(&format!("hold `{}` is in force from version {version} on", args.id));
        }
        HoldCommand::Release { id, author, reason } => {
            let release = Release { at: now(), author: author.clone(), reason: reason.clone() };
            let version = store.release_hold(id, release).await?;
            print(&format!("hold `{id}` is released from version {version} on"));
        }
        HoldCommand::List => print(&serde_json::to_string_pretty(&store.holds().await?)?),
    }
    Ok(())
}

fn to_place(args: &PlaceHoldArgs) -> anyhow::Result<Hold> {
    let time = |option: &str, text: &Option<String>| -> anyhow::Result<Option<Timestamp>> {
        let parsed = text.as_deref().map(Timestamp::parse).transpose();
        parsed.with_context(|| format!("`{option}` is not a time such as 2026-01-31T00:00:00Z"))
    };
    Ok(Hold {
        id: args.id.clone(),
        reason: args.reason.clone(),
        author: args.author.clone(),
        placed_at: now(),
        covers: Cover {
            tenant: args.tenant.clone(),
            agent: args.agent.clone(),
            root_task: args.task.clone(),
            from: time("--from", &args.from)?,
            to: time("--to", &args.to)?,
        },
        released: None,
    })
}
