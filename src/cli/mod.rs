//! The command line.

mod ask;
mod judged;
mod respond;
mod token;
mod witness;

pub use ask::{
    AgentArgs, ChainArgs, ExportArgs, ExportFormat, ExportWhat, FieldArgs, FilterArgs, Output, TailArgs,
};
pub use judged::{EnvelopeMode, EvalArgs, ReplayArgs, ReplayRunsArgs, RulesCommand, SimulateArgs};
pub use respond::{ApiArgs, DeadCommand, OrderArgs, RespondCommand, Said, TargetArgs};
pub use token::{CreateTokenArgs, TokenCommand};
pub use witness::{WitnessArgs, WitnessCommand};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Flight recorder and guard rail of an AI workforce: records every tool call and credential of every agent, checks
/// each action against the envelope a human approved, and revokes what leaves it.
#[derive(Debug, Parser)]
#[command(name = "ambit", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// Configuration file (TOML). Without it, defaults hold: everything under `./data`, bound to loopback.
    #[arg(long, short, global = true, env = "AMBIT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything local is kept; overrides `data_dir` of the configuration.
    #[arg(long, global = true, env = "AMBIT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Kafka brokers; overrides `kafka.bootstrap_servers` and switches the embedded broker off.
    #[arg(long, global = true, env = "AMBIT_BOOTSTRAP_SERVERS", value_name = "HOST:PORT,..")]
    pub bootstrap_servers: Option<String>,
    /// What to log: error, warn, info, debug, trace, or filters such as `ambit_ingest=debug`.
    #[arg(long, global = true, env = "AMBIT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every role in one process, with an embedded broker unless Kafka is configured.
    Up(UpArgs),
    /// Run everything, play a fleet of agents at it, receive its webhooks, and show it all in the console.
    Demo(DemoArgs),
    /// Run the HTTP gateway: takes CloudEvents, redacts secrets, writes to Kafka.
    Gateway,
    /// Run ingest: from Kafka into the store and its ledger.
    Ingest,
    /// Run the analyzer: from events to findings.
    Analyze,
    /// Run enforcement: from findings to signed webhooks.
    Enforce,
    /// Run the API and the console over the store.
    Serve,
    /// Cosign the checkpoints of other ledgers that only grow (`[witness]` in the configuration).
    Witness(WitnessArgs),
    /// Play a seeded fleet of agents, with attacks, into Kafka.
    Simulate(SimulateArgs),
    /// Read records of other systems (cloud audit logs, gateways, traces) from files and folders into Kafka. May be
    /// stopped and run again: nothing is doubled.
    Import(ImportArgs),
    /// Turn recorded agent runs into events and play them into Kafka.
    ReplayRuns(ReplayRunsArgs),
    /// Judge recorded agent runs and score the findings against their labels.
    Eval(EvalArgs),
    /// Search stored events from the command line.
    Search(SearchArgs),
    /// Run one SELECT over the tables `events`, `findings` and `responses`.
    Sql(SqlArgs),
    /// Show what happened in a delegation tree.
    Chain(ChainArgs),
    /// Show an agent with its latest tasks, or list all agents.
    Agent(AgentArgs),
    /// Show events as they are stored.
    Tail(TailArgs),
    /// Write all events or findings that fulfil a filter, as lines of JSON, CSV or Parquet.
    Export(ExportArgs),
    /// Judge the stored events again with the rules of this version, and compare with the findings that were given.
    /// Exit code 0: the same, 1: could not be told, 2: others.
    Replay(ReplayArgs),
    /// Make, compare and approve baselines: what the tasks of a blueprint usually do.
    #[command(subcommand)]
    Baseline(crate::commands::baseline::BaselineCommand),
    /// Check and list rules of your own, in Sigma.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Look at records that are no events, and send them again once they are.
    #[command(subcommand)]
    DeadLetters(DeadLetterCommand),
    /// Revoke, pause, stop, approve: what people have to say to enforcement. Every word is an event, with its author.
    #[command(subcommand)]
    Respond(RespondCommand),
    /// Check the store against the ledger's signed checkpoints. Exit code 0: intact, 1: could not check, 2: broken.
    Verify(VerifyArgs),
    /// Look after the table: compaction, vacuum, retention, legal holds, checking for damage.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Make, list and revoke tokens for the API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `ambit up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Address of API and console; overrides `api.listen`.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Write the console's URL, with its token, to this file once it answers.
    #[arg(long, value_name = "FILE")]
    pub url_file: Option<PathBuf>,
}

/// `ambit demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Address of API and console.
    #[arg(long, default_value = "127.0.0.1:7070", value_name = "HOST:PORT")]
    pub listen: String,
    /// Tasks begun per minute.
    #[arg(long, default_value_t = 40)]
    pub tasks_per_minute: u32,
    /// Stop after so many seconds; 0 for never.
    #[arg(long, default_value_t = 0)]
    pub seconds: u64,
    /// Write the console's URL, with its token, to this file once it answers.
    #[arg(long, value_name = "FILE")]
    pub url_file: Option<PathBuf>,
}

/// What records are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// What the fields of each record tell.
    Auto,
    /// AWS CloudTrail.
    Cloudtrail,
    /// Vault and OpenBao audit devices.
    Vault,
    /// Kubernetes audit events.
    Kubernetes,
    /// GitHub audit log.
    Github,
    /// Logs of MCP gateways.
    Mcp,
    /// OpenTelemetry traces and logs, OTLP in JSON.
    Otlp,
    /// Ambit's own events, as CloudEvents in JSON.
    Cloudevents,
}

/// `ambit import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files and folders: JSON, or one record per line; plain or gzip.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// What the records are.
    #[arg(long, value_enum, default_value_t = ImportFormat::Auto)]
    pub format: ImportFormat,
    /// Whose records they are. Ambit's own events name their tenant themselves.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Which of several installations of one system the records are from (such as one of two Vaults).
    #[arg(long, value_name = "NAME")]
    pub origin: Option<String>,
    /// Where it is noted how far each file is; `import.json` in the data directory unless given.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// `ambit search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Words, phrases and fields, such as `agent:billing-* severity>=high since:24h invoice`, or
    /// `sequence by agent within 5m [ tool:read_* ] [ tool:send_* ]`.
    #[arg(value_name = "QUERY")]
    pub query: Option<String>,
    /// By fields.
    #[command(flatten)]
    pub fields: FieldArgs,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// The same as `--output ndjson`.
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `ambit sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The SELECT.
    #[arg(value_name = "SELECT")]
    pub query: String,
    /// At most so many rows.
    #[arg(long, default_value_t = ambit_query_api::SQL_ROWS_DEFAULT)]
    pub limit: usize,
    /// Print JSON lines instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `ambit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only this shard, such as `ambit.events/0`.
    #[arg(long, value_name = "SHARD")]
    pub shard: Option<String>,
    /// Only what was recorded on this day (UTC), such as `2026-11-24`.
    #[arg(long, value_name = "DAY", conflicts_with = "incremental")]
    pub day: Option<String>,
    /// Go on from where the last run found each shard intact, once the ledger is proved to begin with that.
    #[arg(long)]
    pub incremental: bool,
    /// Where it is kept how far each shard was verified; the default is `verified.json` in the data directory.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Instead of the store, check that the ledger begins with the log of this signed checkpoint.
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["shard", "day", "incremental"])]
    pub consistency: Option<PathBuf>,
    /// With `--consistency`: compare with this later checkpoint instead of the newest.
    #[arg(long, value_name = "CHECKPOINT", requires = "consistency")]
    pub with: Option<PathBuf>,
    /// Fail for each shard of which this witness (`name+hash+key`) has not cosigned a checkpoint; beside those that the
    /// configuration requires. May be given more than once.
    #[arg(long, value_name = "KEY", conflicts_with = "consistency")]
    pub witness: Vec<String>,
    /// Threads that read; the default is one per core.
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<usize>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `ambit dead-letters`.
#[derive(Debug, Subcommand)]
pub enum DeadLetterCommand {
    /// List them, newest first.
    List {
        /// Only of this class of fault, such as `not_json`.
        #[arg(long)]
        reason: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON lines instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show one as it came: its key, its headers, its value.
    Show {
        /// Where it stands, such as `ambit.events:0:17`.
        #[arg(value_name = "REF")]
        reference: String,
        /// Write nothing but the bytes of its value.
        #[arg(long)]
        raw: bool,
    },
    /// Send dead letters again as events, and record who did it. The dead letter stays where it is.
    Redrive(RedriveArgs),
}

/// `ambit dead-letters redrive`.
#[derive(Debug, Args)]
pub struct RedriveArgs {
    /// Where they stand, such as `ambit.events:0:17`.
    #[arg(value_name = "REF", required_unless_present = "all", conflicts_with = "all")]
    pub references: Vec<String>,
    /// Instead, the newest of this class of fault, such as `unknown_version` after an upgrade; those that are still no
    /// events are passed over.
    #[arg(long, value_name = "REASON")]
    pub all: Option<String>,
    /// With `--all`: at most so many.
    #[arg(long, default_value_t = 500)]
    pub limit: u32,
    /// Who does it.
    #[arg(long, value_name = "NAME")]
    pub author: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// A corrected value, JSON, in place of the one that came. Only with one dead letter.
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub data: Option<PathBuf>,
    /// A corrected or added CloudEvents attribute, such as `type=ambit.tool_call.requested.v1`.
    #[arg(long, value_name = "NAME=VALUE")]
    pub attribute: Vec<String>,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `ambit store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Merge small files, write a checkpoint of the log. Safe beside a running Ambit.
    Compact {
        /// Merge the files of the current day too, whatever their number.
        #[arg(long)]
        all: bool,
    },
    /// Delete files that no version of the table has any more that can still be read.
    Vacuum {
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete rows whose time is over by `[store.retention]`, unless a legal hold covers them.
    Retain {
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
        /// Who orders it; stands in the table's log.
        #[arg(long, value_name = "NAME")]
        author: String,
    },
    /// Read the whole table and name every file that is not what was committed. Exit code 0: sound, 2: damaged.
    Fsck {
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write content that was too large for its event to standard output, once it is what its name says.
    Payload {
        /// Whose it is.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// The SHA-256 that the event names.
        sha256: String,
    },
    /// Place, release and list legal holds.
    #[command(subcommand)]
    Hold(HoldCommand),
}

/// `ambit store hold`.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Keep rows whatever retention says. Without `--tenant`, `--agent`, `--task` or times it covers every row.
    Place(PlaceHoldArgs),
    /// Let go of what a hold covers. Its record stays.
    Release {
        /// The hold.
        id: String,
        /// Who releases it.
        #[arg(long, value_name = "NAME")]
        author: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Print all holds as JSON, released ones among them.
    List,
}

/// `ambit store hold place`.
#[derive(Debug, Args)]
pub struct PlaceHoldArgs {
    /// Its name.
    pub id: String,
    /// Who places it.
    #[arg(long, value_name = "NAME")]
    pub author: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Rows of this tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Rows of this agent.
    #[arg(long)]
    pub agent: Option<String>,
    /// Rows of this root task and everything below it.
    #[arg(long)]
    pub task: Option<String>,
    /// Rows recorded not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Rows recorded before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// `ambit config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration, and the files and policy that it names.
    Check,
    /// Print the configuration that is in effect, as TOML.
    Dump,
}
