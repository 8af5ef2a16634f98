//! `ambit witness`.

use clap::{Args, Subcommand};

/// `ambit witness`.
#[derive(Debug, Args)]
pub struct WitnessArgs {
    /// Instead of running it.
    #[command(subcommand)]
    pub command: Option<WitnessCommand>,
}

/// `ambit witness key`, `ambit witness log`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum WitnessCommand {
    /// Print the witness's public key, for those whose ledgers it cosigns. It is made on first use.
    Key,
    /// Print what another witness must be told to cosign this ledger, as it stands in its configuration.
    Log,
}
