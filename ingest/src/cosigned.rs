//! Checkpoints of a shard with the signatures of witnesses, beside its tiles.
//!
//! The checkpoint that everybody reads is replaced about once a second, and no commit waits for a witness. So a
//! cosignature is put into that one while it is still the newest, and the newest that each witness has signed is kept
//! under a name of its own: `cosigned/<key id>`.

use crate::error::Error;
use crate::tiles::SharedTiles;
use ambit_ledger::witness::{Cosignature, WitnessKey};
use ambit_ledger::{
    CHECKPOINT_PATH, CheckpointError, CheckpointKey, FsTiles, Origin, SignedCheckpoint, TileStore,
};
use std::path::PathBuf;

/// The directory of what witnesses signed, in the shard's.
const DIR: &str = "cosigned";
/// How often a cosignature is put into a checkpoint that changes meanwhile.
const TRIES: usize = 3;

/// A checkpoint and what one witness says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The checkpoint.
    pub signed: SignedCheckpoint,
    /// The cosignature in it.
    pub cosignature: Cosignature,
}

/// What witnesses signed of one shard.
#[derive(Debug, Clone)]
pub struct Cosigned {
    dir: PathBuf,
    origin: Origin,
    key: CheckpointKey,
}

impl Cosigned {
    /// Of the ledger in `dir`, whose checkpoints `key` signs.
    pub fn new(dir: PathBuf, origin: Origin, key: CheckpointKey) -> Self {
        Self { dir, origin, key }
    }

    /// The newest checkpoint that a witness has signed; nothing when there is none. A checkpoint of another log or key, or
    /// a cosignature that does not verify, counts as damage.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it should be.
    pub fn newest(&self, witness: &WitnessKey) -> Result<Option<Witnessed>, Error> {
        let tiles = FsTiles::new(&self.dir);
        let mut newest: Option<Witnessed> = None;
        for path in [path_of(witness), CHECKPOINT_PATH.to_owned()] {
            let read = tiles.read(&path).map_err(|cause| self.failed("read", &path, cause))?;
            let Some(note) = read else { continue };
            let damaged = |cause| Error::Cosigned { path: self.dir.join(&path), cause };
            let signed = SignedCheckpoint::verify_for(&self.origin, &note, &self.key).map_err(damaged)?;
            let Some(cosignature) = signed.cosignature(witness).map_err(damaged)? else { continue };
            let size = |signed: &SignedCheckpoint| signed.checkpoint().size;
            if newest.as_ref().is_none_or(|newest| size(&newest.signed) < size(&signed)) {
                newest = Some(Witnessed { signed, cosignature });
            }
        }
        Ok(newest)
    }

    /// Keeps a cosignature durably, and puts it into the newest checkpoint if that is the one it is of.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn add(
        &self,
        signed: &SignedCheckpoint,
        cosignature: &Cosignature,
        witness: &WitnessKey,
    ) -> Result<(), Error> {
        let path = path_of(witness);
        let refused = |cause| Error::Cosigned { path: self.dir.join(&path), cause };
        let kept = signed.with_cosignature(cosignature, witness).map_err(refused)?;
        FsTiles::new(&self.dir)
            .write(&path, kept.note().as_bytes())
            .map_err(|cause| self.failed("write", &path, cause))?;
        self.publish(signed, cosignature, witness)
    }

    fn publish(
        &self,
        signed: &SignedCheckpoint,
        cosignature: &Cosignature,
        witness: &WitnessKey,
    ) -> Result<(), Error> {
        let tiles = SharedTiles::new(self.dir.clone());
        for _ in 0..TRIES {
            let read = tiles.read(CHECKPOINT_PATH);
            let Some(bytes) = read.map_err(|cause| self.failed("read", CHECKPOINT_PATH, cause))? else {
                return Ok(());
            };
            let newest = SignedCheckpoint::verify_for(&self.origin, &bytes, &self.key);
            // Not ours to repair: whoever reads the ledger says what is wrong.
            let Ok(newest) = newest else { return Ok(()) };
            if newest.text() != signed.text() {
                return Ok(());
            }
            let merged = newest.with_cosignature(cosignature, witness);
            let merged = merged.map_err(|cause: CheckpointError| Error::Cosigned {
                path: self.dir.join(CHECKPOINT_PATH),
                cause,
            })?;
            let unfinished = format!("{:08x}", witness.id());
            let replaced = tiles.replace_checkpoint(&bytes, merged.note().as_bytes(), &unfinished);
            if replaced.map_err(|cause| self.failed("write", CHECKPOINT_PATH, cause))? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, path: &str, cause: std::io::Error) -> Error {
        Error::CosignedFile { doing, path: self.dir.join(path), cause }
    }
}

fn path_of(witness: &WitnessKey) -> String {
    format!("{DIR}/{:08x}", witness.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_ledger::witness::{AddCheckpoint, TrustedLog, TrustedLogs, Witness, WitnessSigner};
    use ambit_ledger::{CheckpointSigner, Ledger, MemoryTiles, TreeSize, leaf_hash};
    use std::path::Path;

    fn signer() -> CheckpointSigner {
        CheckpointSigner::from_seed("ambit.test", &[7; 32]).unwrap()
    }

    fn origin() -> Origin {
        Origin::new("ambit.test/ambit.events/0").unwrap()
    }

    fn witness(seed: u8) -> Witness<MemoryTiles> {
        let own = WitnessSigner::from_seed("witness.test", &[seed; 32]).unwrap();
        let log = TrustedLog::new("ambit.test/*", signer().public_key().clone()).unwrap();
        Witness::new(MemoryTiles::new(), own, TrustedLogs::new(vec![log]), 1).unwrap()
    }

    fn ledger(dir: &Path) -> Ledger<SharedTiles> {
        Ledger::open(origin(), SharedTiles::new(dir.to_owned()), signer().public_key().clone()).unwrap()
    }

    fn grow(ledger: &mut Ledger<SharedTiles>, by: u64) -> SignedCheckpoint {
        let from = ledger.size().0;
        let leaves: Vec<_> = (from..from + by).map(|number| leaf_hash(&number.to_le_bytes())).collect();
        ledger.append(&leaves).unwrap();
        ledger.commit(&signer()).unwrap()
    }

    fn cosign(witness: &Witness<MemoryTiles>, signed: &SignedCheckpoint) -> Cosignature {
        let request = AddCheckpoint { old: TreeSize(0), proof: Vec::new(), note: signed.note().to_owned() };
        witness.add_checkpoint(request.to_body().as_bytes(), 1_700_000_000).unwrap()
    }

    #[test]
    fn cosignatures_stand_in_the_newest_checkpoint_and_outlive_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, first, second) = (ledger(dir.path()), witness(1), witness(2));
        let cosigned = Cosigned::new(dir.path().to_owned(), origin(), signer().public_key().clone());
        let five = grow(&mut ledger, 5);
        assert_eq!(cosigned.newest(first.key()).unwrap(), None);
        for witness in [&first, &second] {
            cosigned.add(&five, &cosign(witness, &five), witness.key()).unwrap();
        }
        // The published one has three signatures now, and every old reader accepts it.
        let published = std::fs::read_to_string(dir.path().join(CHECKPOINT_PATH)).unwrap();
        assert_eq!(published.lines().filter(|line| line.starts_with('\u{2014}')).count(), 3, "{published}");
        let signed = SignedCheckpoint::verify_for(&origin(), published.as_bytes(), signer().public_key());
        assert_eq!(signed.unwrap().checkpoint(), five.checkpoint());
        let again = self::ledger(dir.path());
        assert_eq!(again.size(), TreeSize(5));

        // The ledger goes on without waiting; a cosignature that comes late is kept and published no more.
        let nine = grow(&mut ledger, 4);
        cosigned.add(&five, &cosign(&witness(1), &five), first.key()).unwrap();
        let published = std::fs::read_to_string(dir.path().join(CHECKPOINT_PATH)).unwrap();
        assert_eq!(published, nine.note());
        let newest = cosigned.newest(second.key()).unwrap().unwrap();
        assert_eq!((newest.signed.text(), newest.cosignature.at()), (five.text(), 1_700_000_000));
    }

    #[test]
    fn a_cosignature_that_was_altered_is_damage_and_one_of_another_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, witness) = (ledger(dir.path()), witness(1));
        let cosigned = Cosigned::new(dir.path().to_owned(), origin(), signer().public_key().clone());
        let five = grow(&mut ledger, 5);
        cosigned.add(&five, &cosign(&witness, &five), witness.key()).unwrap();
        assert_eq!(cosigned.newest(self::witness(2).key()).unwrap(), None);
        let path = dir.path().join(path_of(witness.key()));
        let note = std::fs::read_to_string(&path).unwrap();
        let nine = grow(&mut ledger, 4);
        // The cosignature of five leaves under a checkpoint of nine.
        let (_, line) = note.trim_end().rsplit_once('\n').unwrap();
        std::fs::write(&path, format!("{}{line}\n", nine.note())).unwrap();
        let refused = cosigned.newest(witness.key());
        assert!(matches!(refused, Err(Error::Cosigned { .. })), "{refused:?}");
    }
}
