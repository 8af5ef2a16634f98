//! A log entry carries the SHA-256 of itself, so that a flipped digit in an offset is told from the one that was written.
//!
//! The digest stands in the entry's `commitInfo`, and is taken over the entry with zeros in its place. Delta readers pass
//! over it; entries of other writers have none.

use sha2::{Digest, Sha256};

/// The name under which the digest stands.
const NAME: &str = "ambitDigest";
/// What stands in its place while it is taken.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The note that [`seal`] fills in.
pub(crate) fn note() -> (String, serde_json::Value) {
    (NAME.to_owned(), ZEROS.into())
}

/// Where the digest stands in an entry.
fn place(entry: &[u8]) -> Option<std::ops::Range<usize>> {
    let before = format!("\"{NAME}\":\"");
    let found = entry.windows(before.len()).position(|window| window == before.as_bytes())?;
    let from = found + before.len();
    let place = from..from + ZEROS.len();
    (entry.get(place.end) == Some(&b'"')).then_some(place)
}

/// Fills the digest in.
pub(crate) fn seal(entry: &[u8]) -> Vec<u8> {
    let digest = hex::encode(Sha256::digest(entry));
    let mut sealed = entry.to_vec();
    if let Some(slot) = place(entry).and_then(|place| sealed.get_mut(place)) {
        slot.copy_from_slice(digest.as_bytes());
    }
    sealed
}

/// Whether an entry is the one that was written. One without a digest may be anybody's.
pub(crate) fn holds(entry: &[u8]) -> bool {
    let Some(place) = place(entry) else { return !mentions(entry) };
    let mut blank = entry.to_vec();
    let (Some(digest), Some(slot)) = (entry.get(place.clone()), blank.get_mut(place)) else { return false };
    slot.copy_from_slice(ZEROS.as_bytes());
    hex::encode(Sha256::digest(&blank)).as_bytes() == digest
}

/// Whether an entry is of ours, though its digest cannot be found: then it was damaged there.
fn mentions(entry: &[u8]) -> bool {
    let commit = b"\"ambitCommit\"";
    let digest = NAME.as_bytes();
    entry.windows(commit.len()).any(|window| window == commit)
        || entry.windows(digest.len()).any(|window| window == digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (name, zeros) = note();
        let entry = json!({"commitInfo": {"ambitCommit": "id", name: zeros}, "n": 17}).to_string();
        let sealed = seal(entry.as_bytes());
        assert!(holds(&sealed) && holds(b"{\"add\":{}}"));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!holds(&flipped), "bit {bit}");
        }
    }
}
