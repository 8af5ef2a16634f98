//! How far a log was verified, signed by the one who verified: what a later run may build on. Whoever can change the
//! store could change an unsigned note of it too, and have the rows before it passed over.

use signed_note::{Note, Signer, StandardVerifier, VerifierList};

use crate::checkpoint::{Checkpoint, CheckpointKey};
use crate::error::CheckpointError;
use crate::hash::TreeHash;
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_TREE_SIZE};
use crate::position::{Origin, TreeSize};
use crate::signer::CheckpointSigner;

/// The first line. Checkpoints have the size in their second line and this has a name there, so neither passes for the
/// other though the same key signs both.
const HEADER: &str = "ambit-verified/v1";

/// A checkpoint up to which every row was verified, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedMark {
    /// Up to where.
    pub checkpoint: Checkpoint,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl VerifiedMark {
    /// The mark as a signed note.
    ///
    /// # Errors
    /// When the signer refuses.
    pub fn sign(&self, signer: &CheckpointSigner) -> Result<String, CheckpointError> {
        let Checkpoint { origin, size, root } = &self.checkpoint;
        let text = format!("{HEADER}\n{origin}\n{size}\n{}\n{}\n", root.to_base64(), self.at);
        let failed = |source| CheckpointError::Signing {
            origin: origin.clone(),
            key: signer.public_key().to_string(),
            source,
        };
        let mut note = Note::new(text.as_bytes(), &[]).map_err(failed)?;
        note.add_sigs(&[signer as &dyn Signer]).map_err(failed)?;
        String::from_utf8(note.to_bytes())
            .map_err(|_| CheckpointError::Malformed { reason: "it is not UTF-8" })
    }

    /// Reads a mark and believes it only if `key` signed it.
    ///
    /// # Errors
    /// When it is malformed or not signed by `key`.
    pub fn verify(note: &[u8], key: &CheckpointKey) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(malformed("it is larger than 64 KiB"));
        }
        let parsed = Note::from_bytes(note).map_err(|_| malformed("it is not a signed note"))?;
        let verifier: StandardVerifier = key.verifier();
        parsed
            .verify(&VerifierList::new(vec![Box::new(verifier)]))
            .map_err(|source| CheckpointError::NotSigned { key: key.to_string(), source })?;
        Self::parse(parsed.text()).ok_or_else(|| malformed("it is not a mark of verification"))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.split('\n');
        if lines.next()? != HEADER {
            return None;
        }
        let origin = Origin::new(lines.next()?).ok()?;
        let size = lines.next()?.parse().ok().filter(|size| *size <= MAX_TREE_SIZE)?;
        let root = TreeHash::from_base64(lines.next()?).ok()?;
        let at = lines.next()?.parse().ok()?;
        let checkpoint = Checkpoint { origin, size: TreeSize(size), root };
        lines.next().is_none().then_some(Self { checkpoint, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::SignedCheckpoint;
    use crate::hash::leaf_hash;

    fn mark() -> VerifiedMark {
        let origin = Origin::new("test.local/ambit.events/0").unwrap();
        let root = TreeHash::of_leaf(leaf_hash(b"a"));
        VerifiedMark { checkpoint: Checkpoint { origin, size: TreeSize(1), root }, at: 1_795_683_600 }
    }

    #[test]
    fn a_mark_round_trips_and_fails_with_any_changed_byte() {
        let signer = CheckpointSigner::from_seed("test.local", &[1; 32]).unwrap();
        let note = mark().sign(&signer).unwrap();
        assert_eq!(VerifiedMark::verify(note.as_bytes(), signer.public_key()).unwrap(), mark());
        for place in 0..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[place] ^= 1;
            assert!(VerifiedMark::verify(&changed, signer.public_key()).is_err(), "byte {place}");
        }
        let other = CheckpointSigner::from_seed("test.local", &[2; 32]).unwrap();
        assert!(VerifiedMark::verify(note.as_bytes(), other.public_key()).is_err());
    }

    #[test]
    fn marks_and_checkpoints_do_not_pass_for_each_other() {
        let signer = CheckpointSigner::from_seed("test.local", &[1; 32]).unwrap();
        let note = mark().sign(&signer).unwrap();
        assert!(SignedCheckpoint::verify(note.as_bytes(), signer.public_key()).is_err());
        let checkpoint = SignedCheckpoint::sign(mark().checkpoint, &signer).unwrap();
        assert!(VerifiedMark::verify(checkpoint.note().as_bytes(), signer.public_key()).is_err());
    }
}
