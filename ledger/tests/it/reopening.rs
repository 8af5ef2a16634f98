//! A log continues where it was left, can be brought forward again, and never takes back what it signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_ledger::{
    CHECKPOINT_PATH, CheckpointSigner, FsTiles, LeafIndex, LedgerError, MemoryTiles, TileStore as _,
    TreeSize, leaf_hash, limits, verify_inclusion,
};

use crate::support::{CheckpointFirst, leaves, log_of, open, root_by_definition, signer};

#[test]
fn reopened_at_each_size_the_log_goes_on_as_if_never_closed() {
    let all = leaves(530);
    let tiles = Arc::new(MemoryTiles::new());
    for (size, leaf) in all.iter().enumerate() {
        let mut ledger = open(Arc::clone(&tiles)).unwrap();
        assert_eq!(ledger.size(), TreeSize(size as u64));
        let appended = ledger.append(&[*leaf]).unwrap();
        assert_eq!(appended.first, LeafIndex(size as u64));
        assert_eq!(appended.size, TreeSize(size as u64 + 1));
        let signed = ledger.commit(&signer()).unwrap();
        if size % 16 == 15 {
            assert_eq!(signed.checkpoint().root, root_by_definition(&all[..=size]), "size {}", size + 1);
        }
    }
    assert_eq!(open(tiles).unwrap().root(), root_by_definition(&all));
}

#[test]
fn partial_tiles_are_removed_once_the_tile_is_full() {
    let commits: Vec<u64> = (1..600).collect();
    let paths = log_of(600, &commits).paths();
    assert!(paths.contains(&"tile/0/000".to_owned()) && paths.contains(&"tile/0/001".to_owned()));
    assert!(paths.contains(&"tile/0/002.p/88".to_owned()) && paths.contains(&"tile/1/000.p/2".to_owned()));
    assert!(!paths.iter().any(|path| path.starts_with("tile/0/000.p/") || path.starts_with("tile/0/001.p/")));
}

#[test]
fn rewound_to_any_size_the_same_leaves_give_the_same_log() {
    let all = leaves(700);
    let tiles = log_of(520, &[100, 256]);
    let mut ledger = open(tiles).unwrap();
    ledger.append(&all[520..]).unwrap();
    for size in [700, 699, 600, 521, 520, 519, 512, 511, 257, 256, 255, 1, 0] {
        let at = usize::try_from(size).unwrap();
        ledger.rewind(TreeSize(size)).unwrap();
        assert_eq!(ledger.root(), root_by_definition(&all[..at]), "rewound to {size}");
        ledger.append(&all[at..]).unwrap();
        assert_eq!(ledger.root(), root_by_definition(&all), "back from {size}");
    }
    ledger.rewind(TreeSize(300)).unwrap();
    let behind = ledger.commit(&signer());
    assert!(
        matches!(behind, Err(LedgerError::BehindCheckpoint { published: TreeSize(520), .. })),
        "{behind:?}"
    );
    ledger.append(&all[300..]).unwrap();
    ledger.commit(&signer()).unwrap();
    assert_eq!(ledger.published().check_tiles().unwrap(), TreeSize(700));
    assert!(matches!(ledger.rewind(TreeSize(701)), Err(LedgerError::RewindAhead { .. })));
}

#[test]
fn other_leaves_than_those_signed_are_refused_and_change_nothing() {
    let all = leaves(400);
    let mut ledger = open(log_of(300, &[])).unwrap();
    ledger.rewind(TreeSize(200)).unwrap();
    let mut altered = all[200..].to_vec();
    altered[50] = leaf_hash(b"altered");
    let refused = ledger.append(&altered);
    assert!(matches!(refused, Err(LedgerError::Diverged { size: TreeSize(300), .. })), "{refused:?}");
    assert_eq!(ledger.size(), TreeSize(200));
    ledger.append(&all[200..]).unwrap();
    assert_eq!(ledger.root(), root_by_definition(&all));
}

#[test]
fn committing_twice_writes_nothing_and_gives_the_same_checkpoint() {
    let tiles = log_of(300, &[]);
    let before = tiles.paths();
    let mut ledger = open(Arc::clone(&tiles)).unwrap();
    let again = ledger.commit(&signer()).unwrap();
    assert_eq!(again.note().as_bytes(), tiles.read("checkpoint").unwrap().unwrap());
    assert_eq!(tiles.paths(), before);
    let empty = open(MemoryTiles::new()).unwrap().commit(&signer()).unwrap();
    assert_eq!(empty.checkpoint().size, TreeSize(0));
}

#[test]
fn a_ledger_that_stays_open_writes_each_tile_once_and_proves_after_each_commit() {
    let all = leaves(600);
    let told = AtomicUsize::new(0);
    let store = CheckpointFirst { disk: Arc::new(MemoryTiles::new()), tiles: usize::MAX, told };
    let mut ledger = open(&store).unwrap();
    // The tiles that differ after each commit: full and partial ones of level 0, and the one of level 1.
    for (end, tiles) in [(100, 1), (256, 2), (300, 1), (301, 1), (512, 2), (600, 1)] {
        let start = usize::try_from(ledger.size().0).unwrap();
        ledger.append(&all[start..end]).unwrap();
        ledger.commit(&signer()).unwrap();
        assert_eq!(store.told.load(Ordering::Relaxed), tiles, "commit at {end}");
        let (tree, size) = (ledger.published(), TreeSize(end as u64));
        for index in [0, start, end - 1] {
            let at = LeafIndex(index as u64);
            let proof = tree.inclusion_proof(at, size).unwrap();
            verify_inclusion(all[index], at, size, root_by_definition(&all[..end]), &proof).unwrap();
        }
    }
}

#[test]
fn an_older_checkpoint_still_proves_after_its_partial_tiles_were_replaced() {
    let all = leaves(300);
    let tiles = log_of(300, &[100]);
    let old = log_of(100, &[]).read(CHECKPOINT_PATH).unwrap().unwrap();
    assert_eq!(tiles.read("tile/0/000.p/100").unwrap(), None);
    tiles.write(CHECKPOINT_PATH, &old).unwrap();
    let mut ledger = open(tiles).unwrap();
    let (tree, size) = (ledger.published(), TreeSize(100));
    let proof = tree.inclusion_proof(LeafIndex(60), size).unwrap();
    verify_inclusion(all[60], LeafIndex(60), size, root_by_definition(&all[..100]), &proof).unwrap();
    ledger.append(&all[100..]).unwrap();
    ledger.commit(&signer()).unwrap();
    assert_eq!(ledger.published().check_tiles().unwrap(), TreeSize(300));
}

#[test]
fn another_signer_is_refused_before_anything_is_written() {
    let tiles = Arc::new(MemoryTiles::new());
    let mut ledger = open(Arc::clone(&tiles)).unwrap();
    ledger.append(&leaves(3)).unwrap();
    let stranger = CheckpointSigner::from_seed("test.local", &[1; 32]).unwrap();
    assert!(matches!(ledger.commit(&stranger), Err(LedgerError::OtherSigner { .. })));
    assert_eq!(tiles.paths(), Vec::<String>::new());
}

#[test]
fn what_waits_for_a_commit_is_bounded() {
    let mut ledger = open(MemoryTiles::new()).unwrap();
    let chunk = vec![leaf_hash(b"x"); 1 << 12];
    let too_many = vec![leaf_hash(b"x"); usize::try_from(limits::MAX_UNCOMMITTED_LEAVES).unwrap()];
    ledger.append(&chunk).unwrap();
    let refused = ledger.append(&too_many);
    assert!(matches!(refused, Err(LedgerError::TooManyUncommitted { waiting: 4096, .. })), "{refused:?}");
    assert_eq!(ledger.size(), TreeSize(1 << 12));
    ledger.commit(&signer()).unwrap();
    ledger.append(&chunk).unwrap();
}

#[test]
fn a_directory_keeps_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(600);
    for chunk in all.chunks(170) {
        let mut ledger = open(FsTiles::new(dir.path().join("shard-0"))).unwrap();
        ledger.append(chunk).unwrap();
        ledger.commit(&signer()).unwrap();
    }
    let ledger = open(FsTiles::new(dir.path().join("shard-0"))).unwrap();
    assert_eq!(ledger.root(), root_by_definition(&all));
    assert_eq!(ledger.published().check_tiles().unwrap(), TreeSize(600));
    let leaf = std::fs::read(dir.path().join("shard-0/tile/0/000")).unwrap();
    assert_eq!(leaf.len(), 8192);
    assert_eq!(leaf[..32], *all[0].as_bytes());
}
