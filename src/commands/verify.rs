//! `ambit verify`: the store against the ledger's signed checkpoints, and checkpoints against each other.

mod bar;
mod consistency;
mod marks;
mod remembered;
mod shards;
mod witnesses;

use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use ambit_ingest::verify::{Fault, Report, Scope, ShardReport, Verification};
use ambit_ledger::CheckpointKey;
use ambit_schemas::{Shard, Timestamp};
use ambit_store::Position;
use anyhow::Context;
use bar::Bar;
use marks::Marks;
use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::Arc;
use witnesses::Witnessed;

/// Exit code when something does not verify.
const BROKEN: u8 = 2;

/// Runs the command. The exit code says how it went: 0 intact, 2 broken; an error, 1, that it could not be checked.
pub async fn run(config: &Config, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    if let Some(old) = &args.consistency {
        return consistency::run(config, old, args.with.as_deref());
    }
    Parts { config }.must_have_store()?;
    let parts = Parts { config };
    let (store, signer) = (parts.store().await?, parts.existing_signer()?);
    let state = args.state.clone().unwrap_or_else(|| config.data_dir.join("verified.json"));
    let mut marks = Marks::read(&state, signer.public_key())?;
    let known = shards::known(config, &store, marks.shards()).await?;
    let shards = shards::chosen(&known, args.shard.as_deref())?;
    // Before anything is read, so that what is not signed afterwards was not signed all along.
    let stored = store.positions(&shards).await?;
    let mut scope = Scope {
        shards: shards.clone(),
        day: args.day.as_deref().map(day).transpose()?,
        threads: args.threads.unwrap_or_else(threads).max(1),
        ..Scope::default()
    };
    let mut broken =
        tokio::task::block_in_place(|| remembered::contradictions(config, &shards, signer.public_key()))?;
    let witnessed = witnesses::check(config, &args.witness, &shards, signer.public_key())?;
    broken.extend(witnessed.broken.iter().cloned());
    for shard in &shards {
        match marks.proved(config, *shard, signer.public_key())? {
            marks::Start::At(size) if args.incremental => drop(scope.from.insert(*shard, size)),
            marks::Start::At(_) => {}
            marks::Start::Broken(what) => broken.push(what),
        }
    }
    let verification = Verification {
        store,
        ledger_dir: config.ledger_dir(),
        log_name: config.ledger.log_name.clone(),
        key: signer.public_key().clone(),
    };
    let bar = Arc::new(Bar::new());
    let mut report =
        verification.run(&scope, Arc::<Bar>::clone(&bar)).await.context("the store could not be checked")?;
    bar.finish();
    for report in &mut report.shards {
        uncovered(config, report, signer.public_key())?;
    }
    if scope.day.is_none() {
        let contradicted = !broken.is_empty();
        for report in report
            .shards
            .iter()
            .filter(|_| !contradicted)
            .filter(|report| report.intact() && report.signed > 0)
        {
            marks.set(config, report, &signer)?;
        }
        match marks.write(&state) {
            // Who verifies a copy that cannot be written to wants no marks in it.
            Err(error) if !args.incremental && args.state.is_none() => tracing::warn!("{error:#}"),
            written => written?,
        }
    }
    let unsigned = unsigned(&report, &stored);
    show(&report, &unsigned, &witnessed, &broken, args.json)?;
    let intact = report.intact() && broken.is_empty();
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

/// Every core: a verification runs alone.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn day(text: &str) -> anyhow::Result<i32> {
    let midnight = Timestamp::parse(&format!("{text}T00:00:00Z"));
    Ok(midnight.with_context(|| format!("`--day` must be like 2026-11-24, got `{text}`"))?.day())
}

/// Rows of a shard that has no checkpoint at all are vouched for by nobody, unless the first was signed just now.
fn uncovered(config: &Config, report: &mut ShardReport, key: &CheckpointKey) -> anyhow::Result<()> {
    if report.rows + report.retired == 0 || report.signed > 0 || report.fault.is_some() {
        return Ok(());
    }
    let tree = consistency::open(config, report.shard.parse()?, key);
    if tree.is_ok_and(|tree| tree.checkpoint().is_some()) {
        return Ok(());
    }
    let dir = config.ledger_dir().join(&report.shard);
    let what = format!(
        "no checkpoint covers these {} rows: the ledger in {} was removed, or never signed; restore it from a backup",
        report.rows + report.retired,
        dir.display()
    );
    report.fault = Some(Fault { leaf_index: 0, offset: None, event_id: None, file: None, what });
    report.faults = 1;
    Ok(())
}

/// Rows that no checkpoint covers yet, by shard.
fn unsigned(report: &Report, stored: &HashMap<Shard, Position>) -> BTreeMap<String, u64> {
    let tail = |report: &ShardReport| {
        let stored = stored.get(&report.shard.parse().ok()?)?.tree_size;
        Some((report.shard.clone(), stored.checked_sub(report.signed).filter(|rows| *rows > 0)?))
    };
    report.shards.iter().filter(|report| report.intact()).filter_map(tail).collect()
}

fn show(
    report: &Report,
    unsigned: &BTreeMap<String, u64>,
    witnessed: &Witnessed,
    broken: &[String],
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let mut value = serde_json::to_value(report)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("checkpoints".into(), broken.into());
            object.insert("cosigned".into(), serde_json::to_value(&witnessed.cosigned)?);
            object.insert("unsigned".into(), serde_json::to_value(unsigned)?);
            object.insert("intact".into(), (report.intact() && broken.is_empty()).into());
        }
        print(&serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    for report in &report.shards {
        show_shard(report, unsigned.get(&report.shard).copied().unwrap_or_default());
    }
    for cosigned in &witnessed.cosigned {
        print(&cosigned.to_string());
    }
    for file in &report.files {
        print_error(&format!("BROKEN  {}: {}", file.file, file.what));
    }
    for what in broken {
        print_error(&format!("BROKEN  {what}"));
    }
    Ok(())
}

fn show_shard(report: &ShardReport, unsigned: u64) {
    let Some(fault) = &report.fault else {
        let from = if report.from > 0 { format!(" from leaf {}", report.from) } else { String::new() };
        let retired = match report.retired {
            0 => String::new(),
            leaves => format!(", {leaves} deleted by retention"),
        };
        let tail = match unsigned {
            0 => String::new(),
            rows => format!(", the last {rows} not signed yet"),
        };
        let (shard, rows, signed) = (&report.shard, report.rows, report.signed);
        print(&format!("intact  {shard}  {rows} rows{from}, {signed} signed{retired}{tail}"));
        return;
    };
    let named = [
        fault.offset.map(|offset| format!(", offset {offset}")),
        fault.event_id.as_deref().map(|id| format!(", event {id}")),
        fault.file.as_deref().map(|file| format!(", file {file}")),
    ];
    let named: String = named.into_iter().flatten().collect();
    let more = if report.faults > 1 { format!(" ({} faults in all)", report.faults) } else { String::new() };
    print_error(&format!("BROKEN  {}  leaf {}{named}: {}{more}", report.shard, fault.leaf_index, fault.what));
}
