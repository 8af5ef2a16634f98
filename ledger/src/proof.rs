//! Checking proofs. Nothing here reads a file or believes anybody: hashes go in, yes or no comes out.

use crate::error::ProofError;
use crate::hash::{LeafHash, TreeHash};
use crate::limits::{MAX_PROOF_HASHES, MAX_TREE_SIZE};
use crate::position::{LeafIndex, TreeSize};

/// Checks that the record with hash `leaf` is at `index` in the log that had `root` when it had `size` leaves.
///
/// # Errors
/// When it is not, or when the proof does not show it.
pub fn verify_inclusion(
    leaf: LeafHash,
    index: LeafIndex,
    size: TreeSize,
    root: TreeHash,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if index >= LeafIndex(size.0) || size.0 > MAX_TREE_SIZE {
        return Err(ProofError::OutsideTree { position: index.0, size: size.0 });
    }
    let proof = nodes(proof)?;
    tlog_tiles::check_record(&proof, size.0, root.to_node(), index.0, leaf.to_node())
        .map_err(|_| ProofError::Mismatch { size: size.0, root })
}

/// Checks that the log of `new` leaves with `new_root` begins with the log of `old` leaves with `old_root`: nothing
/// was removed, changed or put in between.
///
/// # Errors
/// When it does not, or when the proof does not show it.
pub fn verify_consistency(
    old: TreeSize,
    old_root: TreeHash,
    new: TreeSize,
    new_root: TreeHash,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if old > new || new.0 > MAX_TREE_SIZE {
        return Err(ProofError::OutsideTree { position: old.0, size: new.0 });
    }
    let mismatch = |size: TreeSize, root| ProofError::Mismatch { size: size.0, root };
    if old.0 == 0 {
        // Every log begins with the empty one; there is nothing to prove, but the roots must be what they say.
        if old_root != TreeHash::EMPTY_ROOT || !proof.is_empty() {
            return Err(mismatch(old, old_root));
        }
        let both_empty = new.0 > 0 || new_root == TreeHash::EMPTY_ROOT;
        return if both_empty { Ok(()) } else { Err(mismatch(new, new_root)) };
    }
    let proof = nodes(proof)?;
    tlog_tiles::check_tree(&proof, new.0, new_root.to_node(), old.0, old_root.to_node())
        .map_err(|_| mismatch(new, new_root))
}

fn nodes(proof: &[TreeHash]) -> Result<Vec<tlog_tiles::Hash>, ProofError> {
    if proof.len() > MAX_PROOF_HASHES {
        return Err(ProofError::TooLong { hashes: proof.len(), limit: MAX_PROOF_HASHES });
    }
    Ok(proof.iter().map(|hash| hash.to_node()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn positions_and_proofs_no_tree_can_have_are_refused_before_any_work() {
        let (leaf, root) = (leaf_hash(b"a"), TreeHash::of_leaf(leaf_hash(b"a")));
        let outside = |index, size| verify_inclusion(leaf, LeafIndex(index), TreeSize(size), root, &[]);
        assert!(outside(0, 1).is_ok());
        for (index, size) in [(0, 0), (1, 1), (u64::MAX, u64::MAX), (0, u64::MAX), (0, MAX_TREE_SIZE + 1)] {
            assert_eq!(outside(index, size), Err(ProofError::OutsideTree { position: index, size }));
        }
        let long = vec![root; MAX_PROOF_HASHES + 1];
        let result = verify_inclusion(leaf, LeafIndex(0), TreeSize(2), root, &long);
        assert_eq!(result, Err(ProofError::TooLong { hashes: 65, limit: 64 }));
    }

    #[test]
    fn the_empty_log_is_consistent_with_all_but_not_under_another_name() {
        let (empty, root) = (TreeHash::EMPTY_ROOT, TreeHash::of_leaf(leaf_hash(b"a")));
        assert!(verify_consistency(TreeSize(0), empty, TreeSize(1), root, &[]).is_ok());
        assert!(verify_consistency(TreeSize(0), empty, TreeSize(0), empty, &[]).is_ok());
        assert!(verify_consistency(TreeSize(0), root, TreeSize(1), root, &[]).is_err());
        assert!(verify_consistency(TreeSize(0), empty, TreeSize(0), root, &[]).is_err());
        assert!(verify_consistency(TreeSize(0), empty, TreeSize(1), root, &[root]).is_err());
        assert!(verify_consistency(TreeSize(2), root, TreeSize(1), root, &[]).is_err());
    }
}
