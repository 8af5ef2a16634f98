//! `ambit eval`: recorded runs through the analyzer, findings against labels; and attackers who know the rules.

use crate::cli::EvalArgs;
use crate::output::print;
use crate::runs::adaptive::Adaptive;
use crate::runs::datasets;
use crate::runs::report::Report;
use crate::runs::score::Counting;
use ed25519_dalek::SigningKey;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// Runs the command. Needs neither Kafka nor a data directory: judgement is the same pure fold as live.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    // Envelopes are signed and checked as live; whose key it is does not matter for a score.
    let approver = SigningKey::from_bytes(&[1; 32]);
    let report = args.data.as_deref().map(|data| report(args, data, &approver)).transpose()?;
    let adaptive = args.adaptive.then(|| Adaptive::play(&approver)).transpose()?;
    if args.json {
        let mut figures = report.map_or_else(|| json!({}), |report| report.json());
        if let (Some(fields), Some(adaptive)) = (figures.as_object_mut(), adaptive) {
            fields.insert("adaptive".to_owned(), adaptive.json());
        }
        print(&serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    for table in report.map(|report| report.table()).into_iter().chain(adaptive.map(|played| played.table()))
    {
        print(&table);
    }
    Ok(())
}

/// Recorded runs against their labels.
fn report(args: &EvalArgs, data: &Path, approver: &SigningKey) -> anyhow::Result<Report> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.set_message("reading recorded runs");
    let datasets = datasets(data)?;
    let report = Report::of(&datasets, approver, &Counting(args.rules.clone()), |next| {
        bar.set_message(format!("judging {next}"));
    })?;
    bar.finish_and_clear();
    Ok(report)
}
