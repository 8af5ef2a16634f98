//! Proofs hold for every leaf of every small tree, and nothing that was changed by a bit is proven.

use ambit_ledger::{
    LeafHash, LeafIndex, LedgerError, TreeHash, TreeSize, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

use crate::support::{leaves, log_of, published, root_by_definition};

const LARGEST: u64 = 300;

fn flipped(bytes: &[u8; 32], bit: usize) -> [u8; 32] {
    let mut bytes = *bytes;
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn every_leaf_of_every_size_proves_and_under_no_other_root() {
    let tree = published(log_of(LARGEST, &[])).unwrap();
    let all = leaves(LARGEST);
    for size in 1..=LARGEST {
        let root = tree.root_at(TreeSize(size)).unwrap();
        assert_eq!(root, root_by_definition(&all[..usize::try_from(size).unwrap()]), "size {size}");
        for index in 0..size {
            let leaf = all[usize::try_from(index).unwrap()];
            let proof = tree.inclusion_proof(LeafIndex(index), TreeSize(size)).unwrap();
            verify_inclusion(leaf, LeafIndex(index), TreeSize(size), root, &proof).unwrap();
            let bit = usize::try_from((index * 7 + size) % 256).unwrap();
            let other = LeafHash::from_bytes(flipped(leaf.as_bytes(), bit));
            assert!(verify_inclusion(other, LeafIndex(index), TreeSize(size), root, &proof).is_err());
        }
    }
}

#[test]
fn the_same_proofs_come_from_a_log_that_was_committed_leaf_by_leaf() {
    let commits: Vec<u64> = (1..LARGEST).collect();
    let (at_once, one_by_one) =
        (published(log_of(LARGEST, &[])).unwrap(), published(log_of(LARGEST, &commits)).unwrap());
    assert_eq!(at_once.checkpoint(), one_by_one.checkpoint());
    for index in 0..LARGEST {
        let proof =
            |tree: &ambit_ledger::PublishedTree<_>| tree.inclusion_proof(LeafIndex(index), TreeSize(LARGEST));
        assert_eq!(proof(&at_once).unwrap(), proof(&one_by_one).unwrap());
    }
}

#[test]
fn consistency_holds_for_all_pairs_and_fails_for_any_flipped_hash() {
    let tree = published(log_of(LARGEST, &[])).unwrap();
    let roots: Vec<TreeHash> = (0..=LARGEST).map(|size| tree.root_at(TreeSize(size)).unwrap()).collect();
    for new in 0..=LARGEST {
        for old in 0..=new {
            let (old_root, new_root) =
                (roots[usize::try_from(old).unwrap()], roots[usize::try_from(new).unwrap()]);
            let (old, new) = (TreeSize(old), TreeSize(new));
            let proof = tree.consistency_proof(old, new).unwrap();
            verify_consistency(old, old_root, new, new_root, &proof).unwrap();
            let bit = usize::try_from((old.0 * 301 + new.0) % 256).unwrap();
            let wrong = |hash: TreeHash| TreeHash::from_bytes(flipped(hash.as_bytes(), bit));
            assert!(verify_consistency(old, wrong(old_root), new, new_root, &proof).is_err(), "{old} {new}");
            // An empty log says nothing about what comes after it.
            if old.0 > 0 {
                assert!(
                    verify_consistency(old, old_root, new, wrong(new_root), &proof).is_err(),
                    "{old} {new}"
                );
            }
            for place in 0..proof.len() {
                let mut proof = proof.clone();
                proof[place] = wrong(proof[place]);
                assert!(
                    verify_consistency(old, old_root, new, new_root, &proof).is_err(),
                    "{old} {new} {place}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_published_is_not_proven() {
    let tree = published(log_of(10, &[])).unwrap();
    let refused = |result: Result<Vec<TreeHash>, LedgerError>| {
        assert!(matches!(result, Err(LedgerError::NotPublished { .. })), "{result:?}");
    };
    refused(tree.inclusion_proof(LeafIndex(0), TreeSize(11)));
    refused(tree.inclusion_proof(LeafIndex(5), TreeSize(5)));
    refused(tree.inclusion_proof(LeafIndex(u64::MAX), TreeSize(10)));
    refused(tree.inclusion_proof(LeafIndex(u64::MAX), TreeSize(u64::MAX)));
    refused(tree.consistency_proof(TreeSize(6), TreeSize(5)));
    refused(tree.consistency_proof(TreeSize(5), TreeSize(11)));
    assert!(tree.stored_leaf_hash(LeafIndex(10)).is_err());
    assert!(tree.root_at(TreeSize(11)).is_err());
}

#[test]
fn trees_of_three_tile_levels_prove_at_their_seams() {
    let size = 65_536 + 300;
    let tree = published(log_of(size, &[65_535, 65_536])).unwrap();
    let all = leaves(size);
    for at in [1, 255, 256, 257, 65_279, 65_535, 65_536, 65_537, size] {
        let root = root_by_definition(&all[..usize::try_from(at).unwrap()]);
        assert_eq!(tree.root_at(TreeSize(at)).unwrap(), root, "size {at}");
        for index in [0, 1, 255, 256, 511, 32_768, 65_279, 65_280, 65_535, 65_536, size - 1] {
            if index < at {
                let proof = tree.inclusion_proof(LeafIndex(index), TreeSize(at)).unwrap();
                let leaf = all[usize::try_from(index).unwrap()];
                verify_inclusion(leaf, LeafIndex(index), TreeSize(at), root, &proof).unwrap();
            }
        }
        let proof = tree.consistency_proof(TreeSize(at), TreeSize(size)).unwrap();
        verify_consistency(TreeSize(at), root, TreeSize(size), tree.root(), &proof).unwrap();
    }
    assert_eq!(tree.check_tiles().unwrap(), TreeSize(size));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_proof_of_consistency_and_no_other_size_holds(
        (new, old) in (2..=LARGEST).prop_flat_map(|new| (Just(new), 1..new)),
        bit in 0..256_usize,
        other in 1..=LARGEST,
    ) {
        let tree = published(log_of(LARGEST, &[])).unwrap();
        let root = |size| tree.root_at(TreeSize(size)).unwrap();
        let proof = tree.consistency_proof(TreeSize(old), TreeSize(new)).unwrap();
        let holds = |old, old_root, new, new_root, proof: &[TreeHash]| {
            verify_consistency(TreeSize(old), old_root, TreeSize(new), new_root, proof).is_ok()
        };
        prop_assert!(holds(old, root(old), new, root(new), &proof));
        for place in 0..proof.len() {
            let mut changed = proof.clone();
            changed[place] = TreeHash::from_bytes(flipped(proof[place].as_bytes(), bit));
            prop_assert!(!holds(old, root(old), new, root(new), &changed));
            let mut shorter = proof.clone();
            shorter.remove(place);
            prop_assert!(!holds(old, root(old), new, root(new), &shorter));
        }
        let mut longer = proof.clone();
        longer.push(root(new));
        prop_assert!(!holds(old, root(old), new, root(new), &longer));
        // Neither tree is shown to have another size: a log that says so is a fork.
        if other != old {
            prop_assert!(!holds(other, root(old), new, root(new), &proof));
        }
    }

    #[test]
    fn any_flipped_bit_and_any_other_position_fails(
        (size, index) in (1..=LARGEST).prop_flat_map(|size| (Just(size), 0..size)),
        bit in 0..256_usize,
        wrong_index in 0..LARGEST,
    ) {
        let all = leaves(size);
        let tree = published(log_of(size, &[])).unwrap();
        let (leaf, root) = (all[usize::try_from(index).unwrap()], tree.root());
        let (index, size) = (LeafIndex(index), TreeSize(size));
        let proof = tree.inclusion_proof(index, size).unwrap();
        prop_assert!(verify_inclusion(leaf, index, size, root, &proof).is_ok());

        let other_leaf = LeafHash::from_bytes(flipped(leaf.as_bytes(), bit));
        prop_assert!(verify_inclusion(other_leaf, index, size, root, &proof).is_err());
        let other_root = TreeHash::from_bytes(flipped(root.as_bytes(), bit));
        prop_assert!(verify_inclusion(leaf, index, size, other_root, &proof).is_err());
        for place in 0..proof.len() {
            let mut changed = proof.clone();
            changed[place] = TreeHash::from_bytes(flipped(proof[place].as_bytes(), bit));
            prop_assert!(verify_inclusion(leaf, index, size, root, &changed).is_err());
            let mut shorter = proof.clone();
            shorter.remove(place);
            prop_assert!(verify_inclusion(leaf, index, size, root, &shorter).is_err());
        }
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert!(verify_inclusion(leaf, index, size, root, &longer).is_err());
        if wrong_index != index.0 {
            prop_assert!(verify_inclusion(leaf, LeafIndex(wrong_index), size, root, &proof).is_err());
        }
    }
}
