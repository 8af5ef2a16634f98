//! `ambit respond`: what people have to say to enforcement.

use clap::{Args, Subcommand};

/// `ambit respond`.
#[derive(Debug, Subcommand)]
pub enum RespondCommand {
    /// List what a revocation would hit: agents, tasks, credentials. Nothing is sent.
    Plan {
        /// At whom.
        #[command(flatten)]
        target: TargetArgs,
        /// The whole delegation tree of the task.
        #[arg(long, requires = "task")]
        tree: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// End a task, the credentials of an agent, or some credentials, now.
    Revoke {
        /// At whom, by whom, why.
        #[command(flatten)]
        order: OrderArgs,
        /// End the whole delegation tree of the task.
        #[arg(long, requires = "task")]
        tree: bool,
    },
    /// Stop an agent until somebody restores it.
    Pause {
        /// At whom, by whom, why.
        #[command(flatten)]
        order: OrderArgs,
        /// It ends by itself after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u32>,
    },
    /// Lift a pause.
    Restore {
        /// At whom, by whom, why.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Switch automatic revocation off: findings are told, nothing is revoked by policy. Orders go out all the same.
    Stop(Said),
    /// Switch automatic revocation on again. What was held back meanwhile is not made up for.
    Resume(Said),
    /// List responses that wait for people.
    Pending {
        /// Print JSON lines instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Approve a response that waits.
    Approve {
        /// Its id, such as `rsp-...`.
        id: String,
        /// By whom, why.
        #[command(flatten)]
        said: Said,
    },
    /// Refuse a response that waits. One refusal is enough.
    Deny {
        /// Its id, such as `rsp-...`.
        id: String,
        /// By whom, why.
        #[command(flatten)]
        said: Said,
    },
    /// Look at deliveries that were given up, and have them tried again.
    #[command(subcommand)]
    Dead(DeadCommand),
}

/// `ambit respond dead`.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List deliveries that were given up and have not arrived since, newest first.
    List {
        /// Only those to this receiver.
        #[arg(long)]
        receiver: Option<String>,
        /// Print JSON lines instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Have deliveries tried again, with the same ids.
    Redrive {
        /// Which, such as `dlv-...`.
        #[arg(value_name = "DELIVERY", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All that `list` shows.
        #[arg(long)]
        all: bool,
        /// With `--all`: only those to this receiver.
        #[arg(long, requires = "all")]
        receiver: Option<String>,
        /// By whom, why.
        #[command(flatten)]
        said: Said,
    },
}

/// At whom something is aimed. At least one of them.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The task.
    #[arg(long, required_unless_present_any = ["agent", "credential"])]
    pub task: Option<String>,
    /// The agent: alone, in whatever it does; with a task, in that task.
    #[arg(long)]
    pub agent: Option<String>,
    /// A credential's id; may be given several times.
    #[arg(long, value_name = "ID")]
    pub credential: Vec<String>,
    /// Whose they are.
    #[arg(long, default_value = "default")]
    pub tenant: String,
}

/// How the API is told, which knows by its token who says so.
#[derive(Debug, Args)]
pub struct ApiArgs {
    /// The API's address; that of this machine unless given.
    #[arg(long, value_name = "URL", env = "AMBIT_URL")]
    pub url: Option<String>,
    /// A token of a responder or an admin; the local API's first token unless given.
    #[arg(long, value_name = "TOKEN", env = "AMBIT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Write to Kafka past the API: for a machine that has nothing but Kafka's credentials. The record says that nobody
    /// has checked who you are.
    #[arg(long)]
    pub break_glass: bool,
}

/// Who says so, and why.
#[derive(Debug, Args)]
pub struct Said {
    /// Who says so, where Kafka is written past the API; the account's name unless given. The API knows it by its token.
    #[arg(long = "as", value_name = "NAME", env = "USER", default_value = "unknown")]
    pub author: String,
    /// How the API is told.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// What an order needs.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// At whom.
    #[command(flatten)]
    pub target: TargetArgs,
    /// By whom, why.
    #[command(flatten)]
    pub said: Said,
}
