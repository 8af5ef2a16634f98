//! What a log asks of a witness: the body of `add-checkpoint` (C2SP tlog-witness).

use std::fmt::Write as _;

use super::decision::Refusal;
use crate::hash::TreeHash;
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_TREE_SIZE};
use crate::position::TreeSize;

/// Hashes that a request may carry.
pub const MAX_PROOF_LINES: usize = 63;
/// Characters of a hash in base64, and the end of its line.
const PROOF_LINE_BYTES: usize = 45;
/// `old `, the largest size and the ends of that line and of the empty one.
const OTHER_BYTES: usize = 32;
/// Bytes of the largest request.
pub const MAX_REQUEST_BYTES: usize = MAX_CHECKPOINT_BYTES + MAX_PROOF_LINES * PROOF_LINE_BYTES + OTHER_BYTES;

/// A request for a cosignature. Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is thought to remember; 0 for nothing.
    pub old: TreeSize,
    /// The consistency proof from there (RFC 6962, section 2.1.2).
    pub proof: Vec<TreeHash>,
    /// The checkpoint, a signed note.
    pub note: String,
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it is not one, or larger than the protocol allows.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = |reason| Refusal::Malformed { reason };
        if body.len() > MAX_REQUEST_BYTES {
            return Err(malformed("it is too large"));
        }
        let body = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
        let (first, mut rest) = body.split_once('\n').ok_or_else(|| malformed("it has no lines"))?;
        let old = first.strip_prefix("old ").and_then(size);
        let old = old.ok_or_else(|| malformed("the first line is not `old` and a size"))?;
        let mut proof = Vec::new();
        let note = loop {
            let (line, after) =
                rest.split_once('\n').ok_or_else(|| malformed("no empty line is before the checkpoint"))?;
            if line.is_empty() {
                break after;
            }
            if proof.len() == MAX_PROOF_LINES {
                return Err(malformed("the proof has more than 63 lines"));
            }
            proof.push(
                TreeHash::from_base64(line)
                    .map_err(|_| malformed("a line of the proof is not a hash in base64"))?,
            );
            rest = after;
        };
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(malformed("the checkpoint is larger than 64 KiB"));
        }
        Ok(Self { old, proof, note: note.to_owned() })
    }

    /// The body that [`Self::parse`] reads.
    pub fn to_body(&self) -> String {
        let mut body =
            String::with_capacity(OTHER_BYTES + self.proof.len() * PROOF_LINE_BYTES + self.note.len());
        // Writing to a string cannot fail.
        writeln!(body, "old {}", self.old).unwrap_or_default();
        for hash in &self.proof {
            body.push_str(&hash.to_base64());
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.note);
        body
    }
}

/// A size in decimal: digits alone, without leading zeroes, and not beyond what a log can have.
fn size(text: &str) -> Option<TreeSize> {
    let size = text.parse().ok().filter(|size: &u64| *size <= MAX_TREE_SIZE && size.to_string() == text)?;
    Some(TreeSize(size))
}
