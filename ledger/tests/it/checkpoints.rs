//! Checkpoints are text that other tools read, and they are believed for the right key and the right log only.

use ambit_ledger::{
    CheckpointError, CheckpointKey, CheckpointSigner, KeyError, Ledger, LedgerError, MemoryTiles, Origin,
    PublishedTree, SignedCheckpoint, TileStore as _, TreeSize,
};

use crate::support::{key, leaves, log_of, open, origin, root_by_definition, signer};

#[test]
fn the_note_has_the_public_format() {
    let mut ledger = open(MemoryTiles::new()).unwrap();
    ledger.append(&leaves(5)).unwrap();
    let signed = ledger.commit(&signer()).unwrap();
    let lines: Vec<&str> = signed.note().split('\n').collect();
    let root = root_by_definition(&leaves(5)).to_base64();
    assert_eq!(lines[..4], ["test.local/ambit.events/0", "5", &root, ""]);
    assert!(lines[4].starts_with("\u{2014} test.local "), "{}", lines[4]);
    assert_eq!(lines[5..], [""]);
    let again = SignedCheckpoint::verify_for(&origin(), signed.note().as_bytes(), &key()).unwrap();
    assert_eq!(again, signed);
    assert_eq!(again.checkpoint().size, TreeSize(5));
}

#[test]
fn another_key_is_refused_also_under_the_same_name() {
    let tiles = log_of(5, &[]);
    for (name, seed) in [("test.local", 1), ("other.local", 42)] {
        let stranger = CheckpointSigner::from_seed(name, &[seed; 32]).unwrap().public_key().clone();
        let opened = Ledger::open(origin(), tiles.clone(), stranger);
        let Err(LedgerError::Checkpoint { source: CheckpointError::NotSigned { .. }, .. }) = opened else {
            panic!("{name}: {opened:?}")
        };
    }
}

#[test]
fn the_checkpoint_of_another_shard_is_refused() {
    let other = Origin::new("test.local/ambit.events/1").unwrap();
    let opened = PublishedTree::open(other, log_of(5, &[]), &key());
    let Err(LedgerError::Checkpoint { source: CheckpointError::OtherOrigin { found, .. }, .. }) = opened
    else {
        panic!("{opened:?}")
    };
    assert_eq!(found, origin());
}

#[test]
fn signatures_of_witnesses_are_kept_and_not_needed() {
    let tiles = log_of(5, &[]);
    let mut note = tiles.read("checkpoint").unwrap().unwrap();
    let witness = CheckpointSigner::from_seed("witness.local", &[9; 32]).unwrap();
    let mut parsed = signed_note::Note::from_bytes(&note).unwrap();
    parsed.add_sigs(&[&witness]).unwrap();
    note = parsed.to_bytes();
    let signed = SignedCheckpoint::verify(&note, &key()).unwrap();
    assert_eq!(signed.note().as_bytes(), note);
    assert!(SignedCheckpoint::verify(&note, witness.public_key()).is_ok());
}

#[test]
fn public_keys_round_trip_and_damaged_ones_are_refused() {
    let text = key().to_string();
    assert!(text.starts_with("test.local+"));
    assert_eq!(text.parse::<CheckpointKey>().unwrap(), key());
    let other_hash = text.replacen('+', "+0", 1);
    for bad in [
        "",
        "x",
        "a+b+c",
        "a+00000000+",
        text.strip_prefix("t").unwrap(),
        text.strip_suffix(|_: char| true).unwrap(),
        other_hash.as_str(),
    ] {
        assert!(matches!(bad.parse::<CheckpointKey>(), Err(KeyError::PublicKey { .. })), "{bad}");
    }
    for bad in ["", "a b", "a+b"] {
        assert!(matches!(CheckpointSigner::from_seed(bad, &[1; 32]), Err(KeyError::Name { .. })), "{bad}");
    }
}

#[test]
fn the_size_and_the_origin_of_a_checkpoint_are_bounded() {
    use signed_note::Signer;
    let root = root_by_definition(&leaves(1)).to_base64();
    for text in [
        format!("test.local/x\n{}\n{root}\n", u64::MAX),
        format!("two words\n1\n{root}\n"),
        format!("test.local/x\n-1\n{root}\n"),
        format!("test.local/x\n01\n{root}\n"),
        "test.local/x\n1\nAAAA\n".to_owned(),
        "test.local/x\n1\n".to_owned(),
    ] {
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&signer() as &dyn Signer]).unwrap();
        let result = SignedCheckpoint::verify(&note.to_bytes(), &key());
        assert!(matches!(result, Err(CheckpointError::Malformed { .. })), "{text:?}: {result:?}");
    }
}
