//! What is measured, and how often.

use anyhow::{Context, bail};

/// Events of the corpus, unless `AMBIT_BENCH_EVENTS` says how many.
const EVENTS: usize = 500_000;
/// Rounds over all stages, unless `AMBIT_BENCH_ROUNDS` says how many.
const ROUNDS: usize = 3;
/// Seconds of load whose webhooks are timed, unless `AMBIT_BENCH_SECONDS` says how many.
const SECONDS: usize = 20;
/// Commits one after the other, unless `AMBIT_BENCH_COMMITS` says how many.
const COMMITS: usize = 11_000;

/// The benchmarks.
const BENCHMARKS: [&str; 5] = ["ingest", "fresh", "webhook", "analyzer", "commits"];
/// The brokers.
const BROKERS: [&str; 2] = ["embedded", "kafka"];

/// What is measured, and how often.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Events of the corpus.
    pub(crate) events: usize,
    /// Rounds over all stages.
    pub(crate) rounds: usize,
    /// Seconds of load whose webhooks are timed.
    pub(crate) seconds: usize,
    /// Commits that are made one after the other.
    pub(crate) commits: usize,
    chosen: Vec<String>,
}

impl Settings {
    /// Reads environment and command line. Without names everything is measured.
    pub(crate) fn read(args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        // `cargo bench` says `--bench`.
        let chosen: Vec<String> = args.filter(|arg| arg != "--bench").collect();
        if let Some(unknown) = chosen
            .iter()
            .find(|name| !BENCHMARKS.contains(&name.as_str()) && !BROKERS.contains(&name.as_str()))
        {
            bail!(
                "there is no benchmark or broker `{unknown}`: name some of {} and {}, or none for all",
                BENCHMARKS.join(", "),
                BROKERS.join(", ")
            );
        }
        Ok(Self {
            events: number("AMBIT_BENCH_EVENTS", EVENTS)?,
            rounds: number("AMBIT_BENCH_ROUNDS", ROUNDS)?,
            seconds: number("AMBIT_BENCH_SECONDS", SECONDS)?,
            commits: number("AMBIT_BENCH_COMMITS", COMMITS)?,
            chosen,
        })
    }

    /// Whether a benchmark or a broker is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let group: &[&str] = if BENCHMARKS.contains(&name) { &BENCHMARKS } else { &BROKERS };
        let of_group: Vec<&String> =
            self.chosen.iter().filter(|chosen| group.contains(&chosen.as_str())).collect();
        of_group.is_empty() || of_group.iter().any(|chosen| *chosen == name)
    }
}

fn number(variable: &str, otherwise: usize) -> anyhow::Result<usize> {
    let Some(text) = std::env::var_os(variable) else { return Ok(otherwise) };
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.with_context(|| format!("{variable} must be a number above 0"))
}
