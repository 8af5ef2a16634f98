//! Whether a witness signs: a function of what it remembers and what it is asked, and of nothing else.

use super::request::AddCheckpoint;
use crate::checkpoint::Checkpoint;
use crate::error::ProofError;
use crate::hash::TreeHash;
use crate::position::{Origin, TreeSize};
use crate::proof::verify_consistency;

/// What a witness remembers of a log: the largest tree that it has cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its leaves.
    pub size: TreeSize,
    /// Its root.
    pub root: TreeHash,
}

impl Head {
    /// What is remembered of a log that was never cosigned: every log begins with the empty one.
    pub const NOTHING: Self = Self { size: TreeSize(0), root: TreeHash::EMPTY_ROOT };
}

/// Why a witness does not sign.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a request of the protocol.
    #[error("reading the request: {reason}; send it as C2SP tlog-witness says")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A log that is not on the list.
    #[error("{origin} is not witnessed here; ask the operator of the witness to add it with its public key")]
    UnknownOrigin {
        /// The log.
        origin: Origin,
    },
    /// No key of the log has signed.
    #[error(
        "the checkpoint of {origin} has no valid signature by a key that is known for it; sign it with that key, or \
         have the witness told of the new one"
    )]
    NotSigned {
        /// The log.
        origin: Origin,
    },
    /// The proof would have to go backwards.
    #[error("the request goes from {old} leaves to {size}; send a checkpoint of at least the old size")]
    OldAhead {
        /// The old size of the request.
        old: TreeSize,
        /// The size of the checkpoint.
        size: TreeSize,
    },
    /// The old size is not what is remembered.
    #[error("{remembered} leaves of {origin} are cosigned, not {old}; send a proof from there")]
    Conflict {
        /// The log.
        origin: Origin,
        /// The old size of the request.
        old: TreeSize,
        /// The size that is remembered.
        remembered: TreeSize,
    },
    /// As many leaves as are remembered, and another root: the log has signed two histories.
    #[error(
        "{origin} has signed two trees of {size} leaves: {remembered} was cosigned, now it shows {root}; keep both \
         checkpoints, they prove it"
    )]
    Forked {
        /// The log.
        origin: Origin,
        /// The size of both.
        size: TreeSize,
        /// The root that is remembered.
        remembered: TreeHash,
        /// The root of the request.
        root: TreeHash,
    },
    /// The tree is not shown to begin with what is remembered.
    #[error("{origin} does not show that its {size} leaves begin with the {old} that are cosigned")]
    Inconsistent {
        /// The log.
        origin: Origin,
        /// The size that is remembered.
        old: TreeSize,
        /// The size of the checkpoint.
        size: TreeSize,
        /// What the proof lacks.
        #[source]
        source: ProofError,
    },
}

/// Says whether a witness that remembers `head` may cosign the checkpoint of a request, whose signature was checked.
///
/// # Errors
/// Why it may not, in the order of C2SP tlog-witness.
pub fn decide(head: Head, request: &AddCheckpoint, checkpoint: &Checkpoint) -> Result<(), Refusal> {
    let (origin, old, size) = (|| checkpoint.origin.clone(), request.old, checkpoint.size);
    if old > size {
        return Err(Refusal::OldAhead { old, size });
    }
    if old != head.size {
        return Err(Refusal::Conflict { origin: origin(), old, remembered: head.size });
    }
    if size == head.size && checkpoint.root != head.root {
        let (remembered, root) = (head.root, checkpoint.root);
        return Err(Refusal::Forked { origin: origin(), size, remembered, root });
    }
    verify_consistency(head.size, head.root, size, checkpoint.root, &request.proof)
        .map_err(|source| Refusal::Inconsistent { origin: origin(), old, size, source })
}
