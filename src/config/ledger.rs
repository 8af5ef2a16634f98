//! The ledger: its name, who else remembers its checkpoints, how often what is stored is read again.

use crate::config::LedgerWitness;
use ambit_ledger::MirrorDir;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// First part of every shard's origin, and the name of the signing key (C2SP tlog-checkpoint).
    pub log_name: String,
    /// A second place for checkpoints: a directory to which is only added, or its `file://` URL, not below the data
    /// directory and best on another machine. Whoever copies an older data directory back is noticed by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Seconds between two checkpoints of a shard in the mirror.
    pub mirror_every_seconds: u64,
    /// Seconds in which everything stored is read again and compared with the ledger, over and over; 0 for never.
    pub scrub_every_seconds: u64,
    /// Most rows a second that are read again: the scrubber must not be felt.
    pub scrub_rows_per_second: u64,
    /// Seconds between two rounds of questions to each witness.
    pub witness_every_seconds: u64,
    /// Seconds after which a witness is told of that has not cosigned what was signed.
    pub witness_lag_seconds: u64,
    /// Who cosigns checkpoints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<LedgerWitness>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            log_name: "ambit.local".into(),
            mirror: None,
            mirror_every_seconds: 10,
            scrub_every_seconds: 86_400,
            scrub_rows_per_second: 5_000,
            witness_every_seconds: 10,
            witness_lag_seconds: 300,
            witnesses: Vec::new(),
        }
    }
}

impl Ledger {
    /// The mirror, if there is one.
    pub fn mirror(&self) -> anyhow::Result<Option<MirrorDir>> {
        let Some(text) = &self.mirror else { return Ok(None) };
        let path = match text.split_once("://") {
            None => PathBuf::from(text),
            Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
            Some((scheme, _)) => bail!(
                "`ledger.mirror` is a directory or its file:///... URL, not {scheme}://: mount the place and name the \
                 directory"
            ),
        };
        Ok(Some(MirrorDir::new(path)))
    }

    /// Checks what can be known beforehand.
    pub(super) fn check(&self, data_dir: &Path) -> anyhow::Result<()> {
        if self.mirror_every_seconds == 0 || self.scrub_rows_per_second == 0 {
            bail!("`ledger.mirror_every_seconds` and `ledger.scrub_rows_per_second` must be at least 1");
        }
        if self.witness_every_seconds == 0 {
            bail!("`ledger.witness_every_seconds` must be at least 1");
        }
        LedgerWitness::check(&self.witnesses)?;
        let Some(mirror) = self.mirror()? else { return Ok(()) };
        let path = std::fs::canonicalize(mirror.root()).with_context(|| {
            format!("`ledger.mirror`: {} is not there: mount or make it", mirror.root().display())
        })?;
        let data_dir = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        if path.starts_with(&data_dir) {
            bail!(
                "`ledger.mirror` lies in the data directory: whoever rolls that back rolls the mirror back too"
            );
        }
        Ok(())
    }
}
