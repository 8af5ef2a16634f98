//! The private key stays private, and is never replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ambit_ledger::{CheckpointSigner, KeyError};

const NAME: &str = "test.local";

fn made(dir: &Path) -> (PathBuf, CheckpointSigner) {
    let path = dir.join("keys/ledger.key");
    let signer = CheckpointSigner::load_or_create(&path, NAME).unwrap();
    (path, signer)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_is_made_once_with_mode_0600_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, signer) = made(dir.path());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let (_, again) = made(dir.path());
    assert_eq!(again.public_key(), signer.public_key());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("PRIVATE+KEY+test.local+"));
    assert!(signed_note::StandardSigner::new(text.trim_end()).is_ok(), "other tools read the same file");
    let elsewhere = tempfile::tempdir().unwrap();
    assert_ne!(made(elsewhere.path()).1.public_key(), signer.public_key());
}

#[test]
fn a_key_others_can_read_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = made(dir.path());
    for mode in [0o640, 0o604, 0o660, 0o601, 0o644, 0o666, 0o620] {
        set_mode(&path, mode);
        let error = CheckpointSigner::load_or_create(&path, NAME).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode: found, .. } if found == mode), "{error:?}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    set_mode(&path, 0o400);
    CheckpointSigner::load(&path, NAME).unwrap();
}

#[test]
fn a_damaged_or_foreign_key_is_an_error_and_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = made(dir.path());
    let good = fs::read_to_string(&path).unwrap();
    let other = CheckpointSigner::load_or_create(&path, "other.local").unwrap_err();
    assert!(matches!(other, KeyError::OtherName { .. }), "{other:?}");
    let damaged = [
        String::new(),
        good.replace("PRIVATE", "PUBLIC"),
        good.chars().take(good.len() / 2).collect(),
        good.replace("test.local", "best.local"),
        "x".repeat(10_000),
    ];
    for text in damaged {
        fs::write(&path, &text).unwrap();
        let error = CheckpointSigner::load_or_create(&path, NAME).unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let missing = CheckpointSigner::load(&dir.path().join("none"), NAME).unwrap_err();
    assert!(matches!(missing, KeyError::File { .. }), "{missing:?}");
}

#[test]
fn many_starting_at_once_agree_on_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| made(dir.path()).1.public_key().to_string())).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "{keys:?}");
}

#[test]
fn nothing_that_prints_a_signer_prints_the_secret() {
    let signer = CheckpointSigner::from_seed(NAME, &[7; 32]).unwrap();
    let shown = format!("{signer:?} {signer:#?}");
    assert!(shown.contains(&signer.public_key().to_string()));
    assert!(!shown.contains("PRIVATE") && !shown.contains("BwcHBwcH"), "{shown}");
}
