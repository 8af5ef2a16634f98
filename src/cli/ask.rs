//! Commands that ask the stored record.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// A JSON object per line.
    Ndjson,
}

/// By the fields that are asked for most.
#[derive(Debug, Default, Args)]
pub struct FieldArgs {
    /// Events not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Events before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// The agent's id.
    #[arg(long)]
    pub agent: Option<String>,
    /// In this task, or in any task below it when it is a root task.
    #[arg(long)]
    pub task: Option<String>,
    /// The tool.
    #[arg(long)]
    pub tool: Option<String>,
    /// The kind, such as `tool_call.requested`; a prefix when it ends with `*`.
    #[arg(long)]
    pub kind: Option<String>,
}

/// Which events.
#[derive(Debug, Default, Args)]
pub struct FilterArgs {
    /// A query in the query language (docs/search.md), such as `severity>=high since:24h`.
    #[arg(long, short)]
    pub query: Option<String>,
    /// The fields.
    #[command(flatten)]
    pub fields: FieldArgs,
    /// The rule of findings.
    #[arg(long)]
    pub rule: Option<String>,
    /// Text that the event contains.
    #[arg(long)]
    pub text: Option<String>,
}

/// `ambit chain`.
#[derive(Debug, Args)]
pub struct ChainArgs {
    /// The root task.
    pub root_task: String,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `ambit agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The agent's id; without it, all agents are listed, latest first.
    pub uid: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `ambit tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Which events.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Stop after so many events; 0 for never.
    #[arg(long, default_value_t = 0)]
    pub count: u64,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportWhat {
    /// Events.
    Events,
    /// Findings, with what they led to and how they stand.
    Findings,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A JSON object per line; the last counts them.
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// `ambit export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What is exported.
    #[arg(value_enum)]
    pub what: ExportWhat,
    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How it is written.
    #[arg(long, value_enum, default_value = "ndjson")]
    pub format: ExportFormat,
    /// Into this file, which is there only once it is whole. Without it, to standard output.
    #[arg(long, value_name = "FILE")]
    pub to_file: Option<PathBuf>,
    /// Go on after this item: the `ref` of the last one that is there already.
    #[arg(long, value_name = "REF")]
    pub cursor: Option<String>,
    /// At most so many; 0 for all.
    #[arg(long, default_value_t = 0)]
    pub limit: u64,
}
