//! For each write of a commit: die in it, start again, append the missing leaves again, and compare with the log that
//! never crashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_ledger::{CHECKPOINT_PATH, FsTiles, LedgerError, MemoryTiles, TileStore as _, TreeSize};

use crate::support::{
    CheckpointFirst, DyingTiles, LastWrite, copy_of, leaves, log_of, open, published, root_by_definition,
    signer,
};

/// From a log of `.0` leaves to one of `.1`: within a tile, to its end, over it, over one of the second level, from nothing.
const STEPS: [(u64, u64); 8] =
    [(0, 1), (0, 256), (0, 700), (100, 200), (100, 256), (255, 257), (256, 512), (65_500, 65_600)];

#[test]
fn dying_in_any_write_loses_nothing_once_the_leaves_are_appended_again() {
    for (old, new) in STEPS {
        let all = leaves(new);
        let before = log_of(old, &[]);
        let expected = log_of(new, &[]);
        let expected_root = root_by_definition(&all);
        for last in [LastWrite::Lost, LastWrite::Torn] {
            for writes in 1.. {
                let disk = Arc::new(copy_of(&before));
                let mut ledger = open(DyingTiles::new(Arc::clone(&disk), writes, last)).unwrap();
                ledger.append(&all[usize::try_from(old).unwrap()..]).unwrap();
                let died = ledger.commit(&signer()).is_err();

                let mut ledger = open(Arc::clone(&disk)).unwrap();
                let start = ledger.size().0;
                assert_eq!(start, if died { old } else { new }, "{old} to {new}, {last:?} write {writes}");
                ledger.append(&all[usize::try_from(start).unwrap()..]).unwrap();
                ledger.commit(&signer()).unwrap();
                assert_eq!(ledger.root(), expected_root, "{old} to {new}, {last:?} write {writes}");
                assert_eq!(ledger.published().check_tiles().unwrap(), TreeSize(new));
                assert_eq!(disk.read(CHECKPOINT_PATH).unwrap(), expected.read(CHECKPOINT_PATH).unwrap());
                if !died {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_failed_commit_can_be_repeated_by_the_same_ledger() {
    let all = leaves(300);
    let disk = Arc::new(MemoryTiles::new());
    let mut ledger = open(DyingTiles::new(Arc::clone(&disk), 2, LastWrite::Torn)).unwrap();
    ledger.append(&all).unwrap();
    for _ in 0..2 {
        let failed = ledger.commit(&signer());
        assert!(matches!(failed, Err(LedgerError::Write { .. })), "{failed:?}");
        assert_eq!(ledger.published().size(), TreeSize(0));
        assert_eq!(ledger.size(), TreeSize(300));
    }
    assert_eq!(disk.read(CHECKPOINT_PATH).unwrap(), None);
}

#[test]
fn leaves_may_be_appended_in_other_portions_after_a_crash() {
    let all = leaves(900);
    let disk = log_of(130, &[]);
    let mut ledger = open(DyingTiles::new(Arc::clone(&disk), 3, LastWrite::Torn)).unwrap();
    ledger.append(&all[130..600]).unwrap();
    assert!(ledger.commit(&signer()).is_err());
    for end in [140, 255, 599, 600, 900] {
        let mut ledger = open(Arc::clone(&disk)).unwrap();
        let start = usize::try_from(ledger.size().0).unwrap();
        ledger.append(&all[start..end]).unwrap();
        ledger.commit(&signer()).unwrap();
        assert_eq!(ledger.root(), root_by_definition(&all[..end]));
        assert_eq!(ledger.published().check_tiles().unwrap(), TreeSize(end as u64));
    }
}

/// The control: with the order of writes turned round, opening must notice at every point of the crash.
#[test]
fn a_checkpoint_written_before_its_tiles_is_found_broken_on_opening() {
    for (old, new) in STEPS {
        let all = leaves(new);
        let before = log_of(old, &[]);
        for tiles in 0.. {
            let disk = Arc::new(copy_of(&before));
            let store = CheckpointFirst { disk: Arc::clone(&disk), tiles, told: AtomicUsize::new(0) };
            let mut ledger = open(&store).unwrap();
            ledger.append(&all[usize::try_from(old).unwrap()..]).unwrap();
            ledger.commit(&signer()).unwrap();
            let reopened = open(disk).map(|ledger| ledger.root());
            if tiles == store.told.load(Ordering::Relaxed) {
                assert_eq!(reopened.unwrap(), root_by_definition(&all), "nothing was lost: {old} to {new}");
                break;
            }
            let found =
                matches!(reopened, Err(LedgerError::MissingTile { .. } | LedgerError::BadTile { .. }));
            assert!(found, "{old} to {new}, {tiles} tiles: {reopened:?}");
        }
    }
}

#[test]
fn a_tree_that_ends_with_a_full_tile_is_not_opened_without_it() {
    for (size, last) in [(256, "tile/0/000"), (512, "tile/0/001"), (65_536, "tile/1/000")] {
        let tiles = log_of(size, &[]);
        let disk = MemoryTiles::new();
        for path in tiles.paths().iter().filter(|path| *path != last) {
            disk.write(path, &tiles.read(path).unwrap().unwrap()).unwrap();
        }
        let opened = open(disk);
        let Err(LedgerError::MissingTile { path, .. }) = opened else { panic!("{size}: {opened:?}") };
        assert_eq!(path, last);
    }
}

/// A disk that says it kept a write and did not: the tiles at the edge are missed on opening, every other one by the
/// full check.
#[test]
fn any_single_tile_a_lying_disk_lost_is_named() {
    let tiles = log_of(66_000, &[]);
    let paths: Vec<String> = tiles.paths().into_iter().filter(|path| path != CHECKPOINT_PATH).collect();
    for lost in paths.iter().step_by(9).chain(paths.iter().rev().take(3)) {
        let disk = MemoryTiles::new();
        for path in tiles.paths().iter().filter(|path| *path != lost) {
            disk.write(path, &tiles.read(path).unwrap().unwrap()).unwrap();
        }
        let checked = published(disk).and_then(|tree| tree.check_tiles());
        match checked {
            Err(LedgerError::MissingTile { path, .. }) => assert_eq!(path, *lost),
            other => panic!("{lost} is gone, but: {other:?}"),
        }
    }
}

#[test]
fn what_a_killed_process_leaves_in_a_directory_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(400);
    let mut ledger = open(FsTiles::new(dir.path())).unwrap();
    ledger.append(&all[..300]).unwrap();
    ledger.commit(&signer()).unwrap();
    // Killed between the write and the rename of a tile, and of a checkpoint; and after tiles but before a checkpoint.
    std::fs::write(dir.path().join("tile/0/.001.7.0.tmp"), b"half a ti").unwrap();
    std::fs::write(dir.path().join(".checkpoint.7.1.tmp"), b"half a check").unwrap();
    std::fs::write(dir.path().join("tile/0/001.p/144"), b"torn").unwrap();
    let mut ledger = open(FsTiles::new(dir.path())).unwrap();
    assert_eq!(ledger.size(), TreeSize(300));
    ledger.append(&all[300..]).unwrap();
    ledger.commit(&signer()).unwrap();
    assert_eq!(open(FsTiles::new(dir.path())).unwrap().root(), root_by_definition(&all));
}
