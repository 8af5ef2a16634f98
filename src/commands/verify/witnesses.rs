//! What witnesses say of the ledgers: whether what each has cosigned is still the beginning of the ledger, how far that
//! goes, and whether those have cosigned who must have.

use super::consistency::{compare, open};
use super::marks::time_of;
use crate::config::Config;
use ambit_ingest::cosigned::Cosigned;
use ambit_ingest::origin;
use ambit_ledger::witness::WitnessKey;
use ambit_ledger::{CheckpointKey, FsTiles, LedgerError, PublishedTree};
use ambit_schemas::Shard;
use anyhow::Context;
use serde::Serialize;
use std::fmt;

/// What one witness has cosigned of one shard.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CosignedShard {
    /// The shard.
    pub(super) shard: String,
    /// The name in the witness's key.
    pub(super) witness: String,
    /// Leaves that are cosigned.
    pub(super) leaves: u64,
    /// Leaves that are signed.
    pub(super) signed: u64,
    /// When, by the witness's clock.
    pub(super) at: String,
}

impl fmt::Display for CosignedShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, witness, leaves, signed, at } = self;
        write!(f, "cosigned  {shard}  {leaves} of {signed} leaves, by {witness} at {at}")
    }
}

/// What witnesses say.
#[derive(Debug, Default)]
pub(super) struct Witnessed {
    /// What is cosigned and holds.
    pub(super) cosigned: Vec<CosignedShard>,
    /// What is wrong, by shard.
    pub(super) broken: Vec<String>,
}

/// A witness that is asked about.
struct Known {
    key: WitnessKey,
    /// Whether a shard without its cosignature is broken.
    required: bool,
}

/// Compares what witnesses have cosigned with the ledgers. Those of `required` must have cosigned every shard that has a
/// checkpoint, as must those of which the configuration says so.
pub(super) fn check(
    config: &Config,
    required: &[String],
    shards: &[Shard],
    key: &CheckpointKey,
) -> anyhow::Result<Witnessed> {
    let known = known(config, required)?;
    let mut found = Witnessed::default();
    if known.is_empty() {
        return Ok(found);
    }
    for shard in shards {
        let tree = match open(config, *shard, key) {
            Ok(tree) => tree,
            Err(error @ LedgerError::Read { .. }) => return Err(error.into()),
            // The report on the shard says what is wrong with its ledger.
            Err(_) => continue,
        };
        let dir = config.ledger_dir().join(shard.to_string());
        let cosigned = Cosigned::new(dir, origin(&config.ledger.log_name, *shard)?, key.clone());
        for witness in &known {
            match one(*shard, &tree, &cosigned, witness) {
                Ok(Some(line)) => found.cosigned.push(line),
                Ok(None) => {}
                Err(what) => found.broken.push(format!("{shard}: {what}")),
            }
        }
    }
    Ok(found)
}

fn known(config: &Config, required: &[String]) -> anyhow::Result<Vec<Known>> {
    let mut known: Vec<Known> = Vec::new();
    for text in required {
        let key: WitnessKey = text.parse().context("`--witness`")?;
        known.push(Known { key, required: true });
    }
    for witness in &config.ledger.witnesses {
        let key = witness.key()?;
        if known.iter().all(|known| known.key != key) {
            known.push(Known { key, required: witness.require });
        }
    }
    Ok(known)
}

/// What one witness has cosigned of one shard; nothing when it need not have and has not.
fn one(
    shard: Shard,
    tree: &PublishedTree<FsTiles>,
    cosigned: &Cosigned,
    witness: &Known,
) -> Result<Option<CosignedShard>, String> {
    // No leaf is signed, so nothing need be cosigned; what that means for the rows is said elsewhere.
    let Some(newest) = tree.checkpoint().filter(|newest| newest.checkpoint().size.0 > 0) else {
        return Ok(None);
    };
    let name = witness.key.name();
    let found = match cosigned.newest(&witness.key) {
        Ok(Some(found)) => found,
        Ok(None) if witness.required => {
            return Err(format!("the witness {name} has cosigned no checkpoint of it"));
        }
        Ok(None) => return Ok(None),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            return Err(format!("{error}{}", cause.unwrap_or_default()));
        }
    };
    let (old, new) = (found.signed.checkpoint(), newest.checkpoint());
    compare(tree, old, new).map_err(|what| format!("the witness {name} has cosigned it, but {what}"))?;
    Ok(Some(CosignedShard {
        shard: shard.to_string(),
        witness: name.to_owned(),
        leaves: old.size.0,
        signed: new.size.0,
        at: time_of(found.cosignature.at()).to_string(),
    }))
}
