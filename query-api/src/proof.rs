//! Proofs: an event is in the log that the checkpoint signed, and the log only grew.

use crate::error::Error;
use crate::overview::Ledgers;
use ambit_ledger::{LeafIndex, TreeSize, verify_consistency, verify_inclusion};
use ambit_schemas::Shard;
use ambit_schemas::columns::Stored;
use ambit_schemas::record::leaf_bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// A proof that anybody can check with the ledger's public key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProofView {
    /// SHA-256 leaf hash of the record, hexadecimal.
    pub leaf_hash: String,
    /// Its index.
    pub leaf_index: u64,
    /// The size of the tree that was signed.
    pub tree_size: u64,
    /// The root that was signed, hexadecimal.
    pub root: String,
    /// The hashes from leaf to root, hexadecimal (RFC 6962).
    pub hashes: Vec<String>,
    /// The signed checkpoint (C2SP tlog-checkpoint).
    pub checkpoint: String,
    /// Whose log it is.
    pub origin: String,
    /// Whether it holds: checked before it is given.
    pub verified: bool,
}

/// The proof of a stored record; `None` when its shard's newest checkpoint does not cover it yet.
pub(crate) fn prove(ledgers: &Ledgers, stored: &Stored) -> Result<Option<ProofView>, Error> {
    let tree = ledgers.open(stored.record.shard)?;
    let (index, size) = (LeafIndex(stored.leaf_index), tree.size());
    let Some(signed) = tree.checkpoint().filter(|_| stored.leaf_index < size.0) else { return Ok(None) };
    let mut bytes = Vec::new();
    leaf_bytes(&stored.record, &mut bytes);
    // Hashed again from the record: a changed row must not be proved by the hash beside it.
    let leaf = ambit_ledger::leaf_hash(&bytes);
    let (hashes, root) = (tree.inclusion_proof(index, size)?, tree.root());
    let verified = verify_inclusion(leaf, index, size, root, &hashes).is_ok();
    Ok(Some(ProofView {
        leaf_hash: leaf.to_string(),
        leaf_index: stored.leaf_index,
        tree_size: size.0,
        root: root.to_string(),
        hashes: hashes.iter().map(ToString::to_string).collect(),
        checkpoint: signed.note().to_owned(),
        origin: tree.origin().to_string(),
        verified,
    }))
}

/// A proof that the older tree is the beginning of the newer one. Anybody can check it who has a checkpoint of either.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsistencyView {
    /// Whose log it is.
    pub origin: String,
    /// Leaves of the older tree.
    pub from: u64,
    /// Its root, hexadecimal.
    pub from_root: String,
    /// Leaves of the newer tree.
    pub to: u64,
    /// Its root, hexadecimal.
    pub to_root: String,
    /// The hashes, hexadecimal (RFC 6962, section 2.1.2).
    pub hashes: Vec<String>,
    /// The newest signed checkpoint (C2SP tlog-checkpoint), under which both trees are.
    pub checkpoint: String,
    /// Whether it holds: checked before it is given.
    pub verified: bool,
}

/// The proof between two sizes of a shard's log; `to` is the newest checkpoint's when absent.
pub(crate) fn prove_consistency(
    ledgers: &Ledgers,
    shard: Shard,
    from: TreeSize,
    to: Option<TreeSize>,
) -> Result<ConsistencyView, Error> {
    if !ledgers.shards.contains(&shard) {
        return Err(Error::NotFound(format!("there is no shard {shard}")));
    }
    let tree = ledgers.open(shard)?;
    let Some(signed) = tree.checkpoint() else {
        return Err(Error::NotFound(format!("shard {shard} has no checkpoint yet")));
    };
    let to = to.unwrap_or(tree.size());
    if from > to || to > tree.size() {
        return Err(Error::Bad(format!(
            "`from` must not be greater than `to`, nor `to` greater than {}, the newest checkpoint's size",
            tree.size()
        )));
    }
    let (from_root, to_root) = (tree.root_at(from)?, tree.root_at(to)?);
    let hashes = tree.consistency_proof(from, to)?;
    Ok(ConsistencyView {
        origin: tree.origin().to_string(),
        from: from.0,
        from_root: from_root.to_string(),
        to: to.0,
        to_root: to_root.to_string(),
        verified: verify_consistency(from, from_root, to, to_root, &hashes).is_ok(),
        hashes: hashes.iter().map(ToString::to_string).collect(),
        checkpoint: signed.note().to_owned(),
    })
}
