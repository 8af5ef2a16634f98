//! `ambit eval`: recorded runs through the analyzer, findings against labels.

use crate::cli::EvalArgs;
use crate::output::print;
use crate::runs::datasets;
use crate::runs::report::Report;
use crate::runs::score::Counting;
use ed25519_dalek::SigningKey;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Runs the command. Needs neither Kafka nor a data directory: judgement is the same pure fold as live.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.set_message("reading recorded runs");
    let datasets = datasets(&args.data)?;
    // Envelopes are signed and checked as live; whose key it is does not matter for a score.
    let approver = SigningKey::from_bytes(&[1; 32]);
    let report = Report::of(&datasets, &approver, &Counting(args.rules.clone()), |next| {
        bar.set_message(format!("judging {next}"));
    })?;
    bar.finish_and_clear();
    if args.json {
        print(&serde_json::to_string_pretty(&report.json())?);
    } else {
        print(&report.table());
    }
    Ok(())
}
