//! `ambit verify`: the store against the ledger's signed checkpoints.

use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use ambit_ingest::verify::{ShardReport, verify_shard};
use ambit_schemas::{Shard, Topic};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;

/// Exit code when evidence does not verify.
const BROKEN: u8 = 2;

/// Runs the command. The exit code says how it went: 0 intact, 2 broken; an error, 1, that it could not be checked.
pub async fn run(config: &Config, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    if !config.table_dir().join("_delta_log").is_dir() {
        bail!(
            "there is no store in {}: name the data directory with --data-dir",
            config.table_dir().display()
        );
    }
    let parts = Parts { config };
    let (store, signer) = (parts.store().await?, parts.signer()?);
    let shards: Vec<Shard> = match &args.shard {
        Some(text) => vec![text.parse()?],
        None => all_shards(config),
    };
    let mut reports = Vec::new();
    for shard in shards {
        let bar = ProgressBar::new_spinner().with_message(shard.to_string());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}: {pos} rows, {per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let report = verify_shard(
            &store,
            &config.ledger_dir(),
            &config.ledger.log_name,
            signer.public_key(),
            shard,
            |rows| bar.set_position(rows),
        )
        .await
        .with_context(|| format!("shard {shard} could not be checked"))?;
        bar.finish_and_clear();
        reports.push(report);
    }
    if args.json {
        print(&serde_json::to_string_pretty(&reports)?);
    } else {
        reports.iter().for_each(show);
    }
    let intact = reports.iter().all(ShardReport::intact);
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

/// Every shard that the configuration knows, and those that have a ledger.
fn all_shards(config: &Config) -> Vec<Shard> {
    let mut shards = Vec::new();
    for topic in Topic::ALL {
        let ledgers =
            std::fs::read_dir(config.ledger_dir().join(topic.name())).into_iter().flatten().flatten();
        let numbers = ledgers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let count = numbers.map(|number| number + 1).max().unwrap_or_default().max(config.kafka.partitions);
        shards.extend((0..count).map(|partition| Shard::new(topic, partition)));
    }
    shards
}

fn show(report: &ShardReport) {
    match &report.fault {
        None => {
            let retired = match report.retired {
                0 => String::new(),
                retired => format!(", {retired} deleted by retention"),
            };
            print(&format!(
                "intact  {}  {} rows, {} signed{retired}",
                report.shard, report.rows, report.signed
            ));
        }
        Some(fault) => {
            let event = fault.event_id.as_deref().map_or_else(String::new, |id| format!(", event {id}"));
            let offset = fault.offset.map_or_else(String::new, |offset| format!(", offset {offset}"));
            print_error(&format!(
                "BROKEN  {}  leaf {}{offset}{event}: {}",
                report.shard, fault.leaf_index, fault.what
            ));
        }
    }
}
