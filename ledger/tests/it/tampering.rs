//! Whoever changes a stored file is found out, and the file is named.

use std::sync::Arc;

use ambit_ledger::{CHECKPOINT_PATH, LeafIndex, LedgerError, MemoryTiles, TileStore as _, TreeSize};

use crate::support::{copy_of, leaves, log_of, open, published};

const SIZE: u64 = 66_000;

fn with_flipped_bit(tiles: &MemoryTiles, path: &str, byte: usize) -> Arc<MemoryTiles> {
    let copy = copy_of(tiles);
    let mut bytes = copy.read(path).unwrap().unwrap();
    bytes[byte] ^= 1;
    copy.write(path, &bytes).unwrap();
    Arc::new(copy)
}

#[test]
fn a_changed_tile_at_the_edge_is_found_on_opening() {
    let tiles = log_of(SIZE, &[]);
    for path in ["tile/0/257.p/208", "tile/1/001.p/1", "tile/2/000.p/1"] {
        let opened = open(with_flipped_bit(&tiles, path, 5));
        let Err(LedgerError::BadTile { path: named, .. }) = opened else { panic!("{path}: {opened:?}") };
        assert!(named.contains(path), "{named}");
    }
}

/// The tree of this size has several peaks in one tile, for which the reader of `tlog_tiles` 0.2 accepts this.
#[test]
fn a_changed_full_tile_gives_an_error_that_names_it_and_no_proof() {
    let tiles = log_of(SIZE, &[]);
    for number in [0_u64, 1, 100, 254, 256] {
        let path = format!("tile/0/{number:03}");
        let tree = published(with_flipped_bit(&tiles, &path, 32 * 17 + 3)).unwrap();
        for leaf in [number * 256, number * 256 + 17, number * 256 + 255] {
            for answer in [
                tree.inclusion_proof(LeafIndex(leaf), TreeSize(SIZE)).map(drop),
                tree.stored_leaf_hash(LeafIndex(leaf)).map(drop),
                tree.check_tiles().map(drop),
            ] {
                let Err(LedgerError::BadTile { path: named, .. }) = answer else {
                    panic!("{path}: {answer:?}")
                };
                assert_eq!(named, path);
            }
        }
        let elsewhere = ((number + 3) % 250) * 256;
        tree.inclusion_proof(LeafIndex(elsewhere), TreeSize(SIZE)).unwrap();
    }
    let tree = published(with_flipped_bit(&tiles, "tile/1/000", 32 * 200)).unwrap();
    let answer = tree.inclusion_proof(LeafIndex(9), TreeSize(SIZE));
    assert!(matches!(&answer, Err(LedgerError::BadTile { path, .. }) if path == "tile/1/000"), "{answer:?}");
}

#[test]
fn shortened_and_lengthened_tiles_are_refused() {
    let tiles = log_of(300, &[]);
    for path in ["tile/0/001.p/44", "tile/0/000"] {
        for length in [0, 31, 32, 44 * 32 - 1, 44 * 32 + 1, 8191, 8193] {
            let copy = copy_of(&tiles);
            let mut bytes = copy.read(path).unwrap().unwrap();
            bytes.resize(length, 0);
            copy.write(path, &bytes).unwrap();
            let answer = published(copy).and_then(|tree| tree.check_tiles());
            assert!(matches!(answer, Err(LedgerError::BadTile { .. })), "{path} of {length}: {answer:?}");
        }
    }
}

#[test]
fn a_changed_checkpoint_is_refused_wherever_the_bit_is() {
    let tiles = log_of(300, &[]);
    let note = tiles.read(CHECKPOINT_PATH).unwrap().unwrap();
    for byte in 0..note.len() {
        let opened = open(with_flipped_bit(&tiles, CHECKPOINT_PATH, byte));
        assert!(matches!(opened, Err(LedgerError::Checkpoint { .. })), "byte {byte}: {opened:?}");
    }
    for garbage in [&b""[..], b"\n", b"\xff\xfe", &vec![b'a'; 70_000]] {
        let copy = copy_of(&tiles);
        copy.write(CHECKPOINT_PATH, garbage).unwrap();
        assert!(matches!(open(copy), Err(LedgerError::Checkpoint { .. })));
    }
}

#[test]
fn stored_leaf_hashes_name_the_first_altered_event() {
    let tree = published(log_of(1_000, &[10, 300])).unwrap();
    let mut events = leaves(1_000);
    events[613] = ambit_ledger::leaf_hash(b"altered in the table");
    events[800] = ambit_ledger::leaf_hash(b"altered too");
    let first =
        tree.stored_leaves(LeafIndex(0)).zip(&events).position(|(stored, event)| stored.unwrap() != *event);
    assert_eq!(first, Some(613));
    let rest: Vec<_> = tree.stored_leaves(LeafIndex(601)).collect::<Result<_, _>>().unwrap();
    assert_eq!(rest, leaves(1_000)[601..]);
    assert_eq!(tree.stored_leaves(LeafIndex(1_000)).count(), 0);
    assert_eq!(tree.stored_leaf_hash(LeafIndex(999)).unwrap(), leaves(1_000)[999]);
}
