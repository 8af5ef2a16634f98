//! `ambit token`.

use ambit_query_api::access::Role;
use clap::{Args, Subcommand};

/// `ambit token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, once: only its hash is kept.
    Create(CreateTokenArgs),
    /// List tokens, oldest first, without the tokens themselves.
    List {
        /// Print JSON lines instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Take a token back. A running API refuses it within a second or two.
    Revoke {
        /// Its id, as `ambit token list` has it.
        id: String,
    },
}

/// `ambit token create`.
#[derive(Debug, Args)]
pub struct CreateTokenArgs {
    /// Who will present it: the author of what is done with it.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What it may do: viewer, analyst, responder, auditor or admin.
    #[arg(long)]
    pub role: Role,
    /// The one tenant that it sees. Without it, it sees all.
    #[arg(long)]
    pub tenant: Option<String>,
    /// For how many days it is valid; 0 for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub days: u32,
}
