//! Recomputing a log from the events themselves: the only check that needs nothing from the one being checked but
//! the events and the signed checkpoints.

use std::collections::VecDeque;

use crate::checkpoint::Checkpoint;
use crate::edge::Edge;
use crate::error::LedgerError;
use crate::hash::{LeafHash, TreeHash};
use crate::limits::MAX_EXPECTED_CHECKPOINTS;
use crate::position::TreeSize;

/// Rebuilds the tree leaf by leaf, in a few KiB of memory, and compares its root with every checkpoint on the way.
#[derive(Debug, Default)]
pub struct TreeVerifier {
    edge: Edge,
    expected: VecDeque<Checkpoint>,
}

impl TreeVerifier {
    /// A verifier that only computes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A verifier that compares with these checkpoints, whose signatures the caller has checked. Their order does not
    /// matter.
    ///
    /// # Errors
    /// When there are too many, or when they are of several logs.
    pub fn expecting(mut checkpoints: Vec<Checkpoint>) -> Result<Self, LedgerError> {
        let mixed = checkpoints.windows(2).any(|pair| matches!(pair, [a, b] if a.origin != b.origin));
        if mixed || checkpoints.len() > MAX_EXPECTED_CHECKPOINTS {
            return Err(LedgerError::Expectations {
                count: checkpoints.len(),
                limit: MAX_EXPECTED_CHECKPOINTS,
            });
        }
        checkpoints.sort_by_key(|checkpoint| checkpoint.size);
        let mut verifier = Self { edge: Edge::default(), expected: checkpoints.into() };
        verifier.compare()?;
        Ok(verifier)
    }

    /// Adds the next leaf.
    ///
    /// # Errors
    /// When the tree now has the size of an expected checkpoint and another root.
    pub fn push(&mut self, leaf: LeafHash) -> Result<(), LedgerError> {
        self.edge.push(leaf, |_, _| ());
        self.compare()
    }

    /// Leaves so far.
    pub fn size(&self) -> TreeSize {
        TreeSize(self.edge.size())
    }

    /// The root over them.
    pub fn root(&self) -> TreeHash {
        self.edge.root()
    }

    /// Ends the pass; returns how many leaves were seen.
    ///
    /// # Errors
    /// When a checkpoint covers more leaves than were seen: events are missing at the end.
    pub fn finish(self) -> Result<TreeSize, LedgerError> {
        match self.expected.back() {
            Some(last) => {
                let (origin, signed) = (last.origin.clone(), last.size);
                Err(LedgerError::LeavesMissing { origin, signed, found: self.size() })
            }
            None => Ok(self.size()),
        }
    }

    fn compare(&mut self) -> Result<(), LedgerError> {
        while let Some(next) = self.expected.pop_front_if(|next| next.size.0 == self.edge.size()) {
            let found = self.edge.root();
            if found != next.root {
                return Err(LedgerError::RootMismatch {
                    origin: next.origin,
                    size: next.size,
                    signed: next.root,
                    found,
                });
            }
        }
        Ok(())
    }
}
