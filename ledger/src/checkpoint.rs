//! The signed head of a log: how many leaves it has and what their root is, in the text format of C2SP
//! tlog-checkpoint inside a signed note, so that witnesses and other tools can read and countersign it.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use signed_note::{Note, Signer, StandardVerifier, Verifier as _, VerifierList};

use crate::error::{CheckpointError, KeyError};
use crate::hash::TreeHash;
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_TREE_SIZE};
use crate::position::{Origin, TreeSize};
use crate::signer::CheckpointSigner;

/// What a log claims about itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// How many leaves it has.
    pub size: TreeSize,
    /// The root over all of them.
    pub root: TreeHash,
}

impl Checkpoint {
    /// The three lines that are signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        let parsed = tlog_tiles::Checkpoint::from_bytes(text)
            .map_err(|_| malformed("it has not the lines origin, size and root"))?;
        if parsed.size() > MAX_TREE_SIZE {
            return Err(malformed("its size is beyond what a log can have"));
        }
        let origin = Origin::new(parsed.origin()).map_err(|_| malformed("its origin is not a name"))?;
        Ok(Self { origin, size: TreeSize(parsed.size()), root: (*parsed.hash()).into() })
    }
}

/// A checkpoint whose signature was checked, or made, in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
}

impl SignedCheckpoint {
    pub(crate) fn sign(checkpoint: Checkpoint, signer: &CheckpointSigner) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Signing {
            origin: checkpoint.origin.clone(),
            key: signer.public_key().to_string(),
            source,
        };
        let mut note = Note::new(checkpoint.text().as_bytes(), &[]).map_err(failed)?;
        note.add_sigs(&[signer as &dyn Signer]).map_err(failed)?;
        let note = String::from_utf8(note.to_bytes())
            .map_err(|_| CheckpointError::Malformed { reason: "it is not UTF-8" })?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a signed note and believes it only if `key` signed it. Signatures of others, such as witnesses, are
    /// kept and not judged.
    ///
    /// # Errors
    /// When the note is malformed, larger than 64 KiB, or not validly signed by `key`.
    pub fn verify(note: &[u8], key: &CheckpointKey) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(malformed("it is larger than 64 KiB"));
        }
        let text = std::str::from_utf8(note).map_err(|_| malformed("it is not UTF-8"))?;
        let parsed = Note::from_bytes(note).map_err(|_| malformed("it is not a signed note"))?;
        parsed
            .verify(&VerifierList::new(vec![Box::new(key.verifier())]))
            .map_err(|source| CheckpointError::NotSigned { key: key.to_string(), source })?;
        Ok(Self { checkpoint: Checkpoint::parse(parsed.text())?, note: text.to_owned() })
    }

    /// Like [`Self::verify`], and also about the log it should be about.
    ///
    /// # Errors
    /// As [`Self::verify`], and when the checkpoint is about another log.
    pub fn verify_for(origin: &Origin, note: &[u8], key: &CheckpointKey) -> Result<Self, CheckpointError> {
        let signed = Self::verify(note, key)?;
        if signed.checkpoint.origin == *origin {
            Ok(signed)
        } else {
            Err(CheckpointError::OtherOrigin { wanted: origin.clone(), found: signed.checkpoint.origin })
        }
    }

    /// The same checkpoint with other signatures of others.
    pub(crate) fn with_note(&self, note: String) -> Self {
        Self { checkpoint: self.checkpoint.clone(), note }
    }

    /// What was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The whole signed note, as stored and as handed to auditors.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// The public key of a log, in the text form `name+hash+key` that tools of the transparency ecosystem exchange.
#[derive(Clone)]
pub struct CheckpointKey {
    text: String,
    verifier: StandardVerifier,
}

impl CheckpointKey {
    /// Reads the text form.
    ///
    /// # Errors
    /// When the text is not an Ed25519 verifier key, or its hash does not belong to name and key.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let verifier = StandardVerifier::new(text)
            .map_err(|source| KeyError::PublicKey { text: text.chars().take(64).collect(), source })?;
        Ok(Self { text: text.to_owned(), verifier })
    }

    pub(crate) fn of_signer(name: &str, key: &ed25519_dalek::VerifyingKey) -> Result<Self, KeyError> {
        Self::new(&signed_note::new_ed25519_verifier_key(name, key))
    }

    /// The name in the key, which stands on the signature line too.
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    pub(crate) fn verifier(&self) -> StandardVerifier {
        self.verifier.clone()
    }

    pub(crate) fn key_id(&self) -> u32 {
        self.verifier.key_id()
    }

    /// The bare Ed25519 key.
    pub(crate) fn bytes(&self) -> Option<[u8; ed25519_dalek::PUBLIC_KEY_LENGTH]> {
        let encoded = self.text.splitn(3, '+').nth(2)?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        bytes.get(1..)?.try_into().ok()
    }
}

impl PartialEq for CheckpointKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CheckpointKey {}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey({})", self.text)
    }
}

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for CheckpointKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}
