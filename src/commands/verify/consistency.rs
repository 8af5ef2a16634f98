//! `ambit verify --consistency`: a checkpoint from elsewhere against a later one, or against the ledger as it is.

use super::BROKEN;
use crate::config::Config;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use ambit_ingest::origin;
use ambit_ledger::{
    Checkpoint, CheckpointKey, FsTiles, LedgerError, PublishedTree, SignedCheckpoint, verify_consistency,
};
use ambit_schemas::Shard;
use anyhow::{Context, bail};
use std::path::Path;
use std::process::ExitCode;

/// Runs it. Whoever holds an old checkpoint needs only the ledger's files and its public key for this, not the store.
pub(super) fn run(config: &Config, old: &Path, new: Option<&Path>) -> anyhow::Result<ExitCode> {
    let ours = Parts { config }.existing_signer()?;
    let key = ours.public_key();
    let old = read(old, key)?;
    let shard = shard_of(config, &old)?;
    let tree = match open(config, shard, key) {
        Ok(tree) => tree,
        Err(error @ LedgerError::Read { .. }) => return Err(error.into()),
        Err(error) => {
            print_error(&format!("BROKEN  {shard}: {:#}", anyhow::Error::from(error)));
            return Ok(ExitCode::from(BROKEN));
        }
    };
    let new = match new {
        Some(path) => read(path, key)?,
        None => match tree.checkpoint() {
            Some(newest) => newest.checkpoint().clone(),
            None => bail!("the ledger of {shard} has no checkpoint: name the data directory with --data-dir"),
        },
    };
    if new.origin != old.origin {
        bail!("the checkpoints are of {} and of {}: give two of one shard", old.origin, new.origin);
    }
    match compare(&tree, &old, &new) {
        Ok(hashes) => {
            print(&format!(
                "consistent  {shard}  {} leaves begin with {} leaves, proved by {hashes} hashes",
                new.size, old.size
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(what) => {
            print_error(&format!("BROKEN  {shard}: {what}"));
            Ok(ExitCode::from(BROKEN))
        }
    }
}

pub(super) fn open(
    config: &Config,
    shard: Shard,
    key: &CheckpointKey,
) -> Result<PublishedTree<FsTiles>, LedgerError> {
    let dir = config.ledger_dir().join(shard.topic.name()).join(shard.partition.to_string());
    let origin = origin(&config.ledger.log_name, shard);
    // A log name that is no origin is refused when the configuration is checked.
    let origin = origin.unwrap_or_else(|_| unreachable!("the log name was checked"));
    PublishedTree::open(origin, FsTiles::new(dir), key)
}

/// Shows by a proof that one tree begins with the other; how many hashes that took, or what is wrong.
pub(super) fn compare(
    tree: &PublishedTree<FsTiles>,
    old: &Checkpoint,
    new: &Checkpoint,
) -> Result<usize, String> {
    if old.size > new.size {
        return Err(format!("{} leaves were signed once, and only {} later", old.size, new.size));
    }
    if new.size > tree.size() {
        return Err(format!(
            "{} leaves were signed once, the ledger has {}: it was rolled back",
            new.size,
            tree.size()
        ));
    }
    let proof = tree.consistency_proof(old.size, new.size).map_err(|error| error.to_string())?;
    verify_consistency(old.size, old.root, new.size, new.root, &proof).map_err(|_| {
        format!(
            "the tree of {} leaves with root {} does not begin with that of {} leaves with root {}: history was \
             rewritten",
            new.size, new.root, old.size, old.root
        )
    })?;
    Ok(proof.len())
}

fn read(path: &Path, key: &CheckpointKey) -> anyhow::Result<Checkpoint> {
    let note = std::fs::read(path).with_context(|| format!("cannot read checkpoint {}", path.display()))?;
    let signed = SignedCheckpoint::verify(&note, key)
        .with_context(|| format!("{} is not a checkpoint of this ledger", path.display()))?;
    Ok(signed.checkpoint().clone())
}

fn shard_of(config: &Config, checkpoint: &Checkpoint) -> anyhow::Result<Shard> {
    let name = checkpoint.origin.as_str();
    let shard = name.strip_prefix(config.ledger.log_name.as_str()).and_then(|rest| rest.strip_prefix('/'));
    match shard {
        Some(shard) => Ok(shard.parse()?),
        None => bail!("the checkpoint is of {name}, the ledger's name is {}", config.ledger.log_name),
    }
}
