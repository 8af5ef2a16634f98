//! Commands that play events or judge them again.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `ambit replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Compare findings from this moment on (RFC 3339). The events before it are judged too: they lead to it.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Compare findings before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Judge with the rules in this folder in place of those that were in force then.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// With `--rules`: as if those of status `stable` may revoke.
    #[arg(long, requires = "rules")]
    pub may_revoke: bool,
    /// Judge under the candidate envelopes in this folder in place of those that were approved then.
    #[arg(long, value_name = "DIR")]
    pub envelopes: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `ambit rules`.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Say what is wrong with the rules in a folder, and run their examples. Exit code 0: they can be put in force,
    /// 1: could not be told, 2: they cannot.
    Check {
        /// The folder; else `analyzer.rules_dir`.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// List the rules in a folder.
    List {
        /// The folder; else `analyzer.rules_dir`.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `ambit simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The seed of every choice.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop after so many events; 0 for never.
    #[arg(long, default_value_t = 1_000)]
    pub events: u64,
    /// Play at the speed of life instead of as fast as Kafka takes it.
    #[arg(long)]
    pub real_time: bool,
    /// Tasks begun per minute of simulated time.
    #[arg(long, default_value_t = 60)]
    pub tasks_per_minute: u32,
    /// Of this many tasks one is attacked; 0 for never.
    #[arg(long, default_value_t = 20)]
    pub attack_every: u32,
    /// Names the run, so that ids differ; the default is the time of day.
    #[arg(long)]
    pub run: Option<String>,
    /// Write the ground truth to this file, one JSON object per attack.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

/// What stands in a run's envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EnvelopeMode {
    /// Tools and targets of the authors' own solution.
    Oracle,
    /// Tools that a planner listed beforehand, and what the prompt names.
    Planned,
    /// Only what the prompt names.
    None,
}

/// `ambit replay-runs`.
#[derive(Debug, Args)]
pub struct ReplayRunsArgs {
    /// Folder with one folder per dataset.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Only this dataset.
    #[arg(long)]
    pub dataset: Option<String>,
    /// What stands in the envelopes.
    #[arg(long, value_enum, default_value_t = EnvelopeMode::Oracle)]
    pub envelope: EnvelopeMode,
    /// Only so many runs of each dataset.
    #[arg(long)]
    pub limit: Option<usize>,
}

/// `ambit eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder with one folder per dataset.
    #[arg(long, value_name = "DIR", required_unless_present = "adaptive")]
    pub data: Option<PathBuf>,
    /// Play the attackers who know the rules, and say what gets through.
    #[arg(long)]
    pub adaptive: bool,
    /// Count only findings of rules whose ids begin so: `--rules E-` for the envelope's own clauses.
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub rules: Vec<String>,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}
