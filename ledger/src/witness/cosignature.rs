//! What a witness signs, as C2SP tlog-cosignature says: its clock and the whole text of the checkpoint.

use ed25519_dalek::{SIGNATURE_LENGTH, Signature};

use super::key::{WitnessKey, WitnessSigner};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::error::CheckpointError;
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_COSIGNATURE_TIME};

/// The first line of what is signed: keeps a cosignature from passing for any other signature.
const HEADER: &str = "cosignature/v1";
/// Bytes of the time before the signature.
const TIME_BYTES: usize = 8;

/// A statement of a witness: at that time the checkpoint was of the largest tree of its log that it had seen, and every
/// smaller one was the beginning of it. Made, or checked, in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    at: u64,
    line: String,
}

impl Cosignature {
    /// Signs a checkpoint's text at `at`, seconds since 1970.
    pub(super) fn sign(text: &str, at: u64, signer: &WitnessSigner) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        if at > MAX_COSIGNATURE_TIME {
            return Err(malformed("its time is beyond what a cosignature can carry"));
        }
        let key = signer.public_key();
        let signature = signer.sign(&message(at, text));
        let bytes = at.to_be_bytes().into_iter().chain(signature.to_bytes()).collect();
        let signature = signed_note::Signature::new(key.name().to_owned(), key.id(), bytes)
            .map_err(|_| malformed("the witness has a name that cannot stand in it"))?;
        let line = String::from_utf8(signature.to_bytes()).map_err(|_| malformed("it is not UTF-8"))?;
        Ok(Self { at, line })
    }

    /// Reads a signature line, without its end, on a checkpoint's text; nothing when it is another's.
    fn read(line: &str, text: &str, key: &WitnessKey) -> Result<Option<Self>, CheckpointError> {
        let malformed = CheckpointError::Malformed { reason: "a line of it is no signature" };
        let signature = signed_note::Signature::from_bytes(line.as_bytes()).map_err(|_| malformed)?;
        if signature.name() != key.name() || signature.id() != key.id() {
            return Ok(None);
        }
        let refused = || CheckpointError::NotCosigned { key: key.to_string() };
        let (time, signature) =
            signature.signature().split_first_chunk::<TIME_BYTES>().ok_or_else(refused)?;
        let at = u64::from_be_bytes(*time);
        let signature = <&[u8; SIGNATURE_LENGTH]>::try_from(signature).map_err(|_| refused())?;
        let signature = Signature::from_bytes(signature);
        if at > MAX_COSIGNATURE_TIME || !key.verifies(&message(at, text), &signature) {
            return Err(refused());
        }
        Ok(Some(Self { at, line: format!("{line}\n") }))
    }

    /// When it was made, in seconds since 1970, by the witness's clock.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The signature line as it stands in a note, with its end.
    pub fn line(&self) -> &str {
        &self.line
    }
}

fn message(at: u64, text: &str) -> Vec<u8> {
    format!("{HEADER}\ntime {at}\n{text}").into_bytes()
}

/// The text of a note and its signature lines.
pub(super) fn split(note: &str) -> Option<(&str, &str)> {
    let end = note.rfind("\n\n")? + 1;
    Some((note.get(..end)?, note.get(end + 1..)?))
}

/// The first line that `key` signed. One that carries its name and is not by it is an error: somebody forged it.
fn find(lines: &str, text: &str, key: &WitnessKey) -> Result<Option<Cosignature>, CheckpointError> {
    for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n').filter(|line| !line.is_empty()) {
        if let Some(found) = Cosignature::read(line, text, key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Reads a checkpoint that is believed because the witness `key` signed it, whoever else did.
pub(super) fn read_cosigned(note: &[u8], key: &WitnessKey) -> Result<Checkpoint, CheckpointError> {
    let malformed = |reason| CheckpointError::Malformed { reason };
    if note.len() > MAX_CHECKPOINT_BYTES {
        return Err(malformed("it is larger than 64 KiB"));
    }
    let note = std::str::from_utf8(note).map_err(|_| malformed("it is not UTF-8"))?;
    let (text, lines) = split(note).ok_or_else(|| malformed("it is not a signed note"))?;
    find(lines, text, key)?.ok_or_else(|| CheckpointError::NotCosigned { key: key.to_string() })?;
    Checkpoint::parse(text.as_bytes())
}

impl SignedCheckpoint {
    /// The text that was signed: origin, size, root, and whatever lines the log added.
    pub fn text(&self) -> &str {
        split(self.note()).map_or("", |(text, _)| text)
    }

    /// What `key` says of this checkpoint; nothing when it has not signed it.
    ///
    /// # Errors
    /// When a line carries the name and id of `key` and was not signed by it.
    pub fn cosignature(&self, key: &WitnessKey) -> Result<Option<Cosignature>, CheckpointError> {
        split(self.note()).map_or(Ok(None), |(text, lines)| find(lines, text, key))
    }

    /// Finds the cosignature by `key` in what a witness answered. Lines of other keys are passed over.
    ///
    /// # Errors
    /// When the answer is larger than a checkpoint may be, or has no valid signature by `key`.
    pub fn read_answer(&self, answer: &[u8], key: &WitnessKey) -> Result<Cosignature, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        if answer.len() > MAX_CHECKPOINT_BYTES {
            return Err(malformed("the answer is larger than 64 KiB"));
        }
        let lines = std::str::from_utf8(answer).map_err(|_| malformed("the answer is not UTF-8"))?;
        find(lines, self.text(), key)?.ok_or_else(|| CheckpointError::NotCosigned { key: key.to_string() })
    }

    /// The same checkpoint with a cosignature of it by `key` among its signatures; an earlier one by the same key is
    /// replaced. The log's own signature stays the first.
    ///
    /// # Errors
    /// When the cosignature is of another checkpoint or by another key, or the note would become too large.
    pub fn with_cosignature(
        &self,
        cosignature: &Cosignature,
        key: &WitnessKey,
    ) -> Result<Self, CheckpointError> {
        let malformed = |reason| CheckpointError::Malformed { reason };
        let (text, lines) = split(self.note()).ok_or_else(|| malformed("it is not a signed note"))?;
        find(cosignature.line(), text, key)?
            .ok_or_else(|| CheckpointError::NotCosigned { key: key.to_string() })?;
        let mut note = format!("{text}\n");
        for line in lines.split_inclusive('\n') {
            let same = signed_note::Signature::from_bytes(line.trim_end_matches('\n').as_bytes())
                .is_ok_and(|signature| signature.name() == key.name() && signature.id() == key.id());
            if !same {
                note.push_str(line);
            }
        }
        note.push_str(cosignature.line());
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(malformed("with one more signature it would be larger than 64 KiB"));
        }
        Ok(self.with_note(note))
    }
}
