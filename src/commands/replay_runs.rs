//! `ambit replay-runs`: recorded runs of real agents into Kafka, for the running pipeline to store, judge and revoke.

use crate::cli::{EnvelopeMode, ReplayRunsArgs};
use crate::config::Config;
use crate::keys;
use crate::output::print;
use crate::roles::parts::{PENDING_MAX, Parts};
use crate::runs::{Envelopes, datasets, events_of};
use ambit_schemas::encode;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::VecDeque;

/// Runs the command.
pub async fn run(config: &Config, args: &ReplayRunsArgs) -> anyhow::Result<()> {
    let parts = Parts { config };
    let (approver, producer) = (parts.approver()?, parts.bulk_producer("ambit-replay-runs")?);
    ambit_bus::ensure_topics(&config.kafka).await?;
    let envelopes = match args.envelope {
        EnvelopeMode::Oracle => Envelopes::Oracle,
        EnvelopeMode::Planned => Envelopes::Planned,
        EnvelopeMode::None => Envelopes::None,
    };
    // The analyzer compares fingerprints under the installation's secret.
    let secret = keys::token(&config.keys_dir().join("redaction.key"))?;
    let mut chosen = datasets(&args.data)?;
    if let Some(name) = &args.dataset {
        chosen.retain(|dataset| dataset.name == *name);
        if chosen.is_empty() {
            bail!("{} has no dataset `{name}`", args.data.display());
        }
    }
    let (mut runs, mut events, mut pending) = (0_u64, 0_u64, VecDeque::new());
    for dataset in &chosen {
        let most = args.limit.unwrap_or(usize::MAX);
        let bar = ProgressBar::new(dataset.runs.len().min(most) as u64).with_message(dataset.name.clone());
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} runs, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        for run in dataset.runs.iter().take(most) {
            bar.inc(1);
            let Some(of_run) = events_of(dataset, run, envelopes, &approver, secret.as_bytes())? else {
                continue;
            };
            runs += 1;
            for event in of_run {
                pending.push_back(producer.enqueue(encode(&event)?)?);
                events += 1;
            }
            while pending.len() > PENDING_MAX {
                if let Some(delivery) = pending.pop_front() {
                    delivery.await.context("an event did not reach Kafka")?;
                }
            }
        }
        bar.finish_and_clear();
    }
    for delivery in pending {
        delivery.await.context("an event did not reach Kafka")?;
    }
    print(&format!("{events} events of {runs} runs are in Kafka"));
    Ok(())
}
