//! `ambit simulate`: a fleet of agents, with attacks, into Kafka.

use crate::cli::SimulateArgs;
use crate::config::Config;
use crate::roles::parts::Parts;
use crate::simulate::{Options, Pace, Simulation, now, play};
use anyhow::Context;
use std::io::Write;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs the command.
pub async fn run(config: &Config, args: &SimulateArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let parts = Parts { config };
    ambit_bus::ensure_topics(&config.kafka).await?;
    let producer = parts.bulk_producer("ambit-simulate")?;
    let run = args.run.clone().unwrap_or_else(|| format!("{:x}", now().micros()));
    let options = Options {
        seed: args.seed,
        run,
        tasks_per_minute: args.tasks_per_minute,
        attack_every: args.attack_every,
        start: now(),
        ..Options::default()
    };
    let mut simulation = Simulation::new(options, parts.approver()?);
    let mut truth = match &args.truth {
        Some(path) => Some(
            std::fs::File::create(path)
                .with_context(|| format!("cannot write truth to {}", path.display()))?,
        ),
        None => None,
    };
    let pace = if args.real_time { Pace::RealTime } else { Pace::Fast };
    let (_sender, revoked) = mpsc::channel(1);
    let mut untold = None;
    let played = play(
        &mut simulation,
        &producer,
        pace,
        args.events,
        revoked,
        |told| {
            if let Some(file) = &mut truth {
                let line = serde_json::to_string(told).unwrap_or_default();
                untold = untold.take().or_else(|| writeln!(file, "{line}").err());
            }
        },
        shutdown,
    )
    .await?;
    if let Some(error) = untold {
        return Err(error).context("the ground truth could not be written");
    }
    tracing::info!(events = played.events, attacks = played.attacks.len(), "played");
    Ok(())
}
