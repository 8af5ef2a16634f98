//! Recomputing a log from its events, with the checkpoints that were published on the way.

use ambit_ledger::{Checkpoint, LeafHash, LedgerError, Origin, TreeSize, TreeVerifier, leaf_hash};

use crate::support::{leaves, origin, root_by_definition};

fn checkpoints(sizes: &[usize]) -> Vec<Checkpoint> {
    let all = leaves(1_000);
    let at = |size: usize| Checkpoint {
        origin: origin(),
        size: TreeSize(size as u64),
        root: root_by_definition(&all[..size]),
    };
    sizes.iter().map(|size| at(*size)).collect()
}

fn verify(expected: &[usize], events: &[LeafHash]) -> Result<TreeSize, LedgerError> {
    let mut verifier = TreeVerifier::expecting(checkpoints(expected))?;
    for leaf in events {
        verifier.push(*leaf)?;
    }
    verifier.finish()
}

#[test]
fn an_untouched_log_agrees_with_all_its_checkpoints() {
    let all = leaves(700);
    assert_eq!(verify(&[600, 0, 1, 256, 256, 700], &all).unwrap(), TreeSize(700));
    assert_eq!(verify(&[600], &all).unwrap(), TreeSize(700), "events after the last checkpoint are allowed");
    let mut verifier = TreeVerifier::new();
    for (size, leaf) in all.iter().enumerate() {
        if size % 50 == 0 {
            assert_eq!(verifier.root(), root_by_definition(&all[..size]));
        }
        verifier.push(*leaf).unwrap();
    }
    assert_eq!(verifier.size(), TreeSize(700));
}

#[test]
fn an_altered_a_missing_and_a_moved_event_are_noticed_at_the_next_checkpoint() {
    let all = leaves(700);
    let mut altered = all.clone();
    altered[300] = leaf_hash(b"altered");
    let mut missing = all.clone();
    missing.remove(300);
    let mut moved = all.clone();
    moved.swap(300, 301);
    for events in [altered, missing, moved] {
        let result = verify(&[256, 400, 600], &events);
        assert!(matches!(result, Err(LedgerError::RootMismatch { size: TreeSize(400), .. })), "{result:?}");
    }
}

#[test]
fn a_log_that_ends_before_its_checkpoint_is_missing_events() {
    let result = verify(&[256, 600], &leaves(599));
    let Err(LedgerError::LeavesMissing { signed: TreeSize(600), found: TreeSize(599), .. }) = result else {
        panic!("{result:?}")
    };
}

#[test]
fn checkpoints_of_several_logs_are_not_mixed() {
    let mut mixed = checkpoints(&[1, 2]);
    mixed[1].origin = Origin::new("test.local/other").unwrap();
    assert!(matches!(TreeVerifier::expecting(mixed), Err(LedgerError::Expectations { .. })));
    let mut empty_lie = checkpoints(&[0]);
    empty_lie[0].root = root_by_definition(&leaves(1));
    assert!(matches!(TreeVerifier::expecting(empty_lie), Err(LedgerError::RootMismatch { .. })));
}
