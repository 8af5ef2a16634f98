//! The leaf hashes that were signed, looked up in any order.

use ambit_ledger::{FsTiles, LeafHash, LeafIndex, LedgerError, PublishedTree};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Leaves that are read at once: a level of 256 tiles, 2 MiB.
const CHUNK: u64 = 1 << 16;
/// Chunks that are kept: 64 MiB, so that the rows of a compacted file find their leaves in memory.
const KEPT: usize = 32;

pub(super) type Chunk = Arc<Vec<LeafHash>>;

/// The signed leaves of one shard. Each tile was found to be under the signed root before any of its hashes is given.
#[derive(Debug)]
pub(super) struct SignedLeaves {
    pub(super) tree: PublishedTree<FsTiles>,
    kept: Mutex<VecDeque<(u64, Chunk)>>,
}

impl SignedLeaves {
    pub(super) fn new(tree: PublishedTree<FsTiles>) -> Self {
        Self { tree, kept: Mutex::default() }
    }

    fn chunk(&self, number: u64) -> Result<Chunk, LedgerError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunk)) = kept().iter().find(|(kept, _)| *kept == number) {
            return Ok(Arc::clone(chunk));
        }
        let leaves = self.tree.stored_leaves(LeafIndex(number * CHUNK));
        let size = usize::try_from(CHUNK).unwrap_or(usize::MAX);
        let chunk: Chunk = Arc::new(leaves.take(size).collect::<Result<_, _>>()?);
        let mut kept = kept();
        kept.push_back((number, Arc::clone(&chunk)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(chunk)
    }
}

/// One reader's place in a shard's leaves.
#[derive(Debug, Default)]
pub(super) struct Cursor(Option<(u64, Chunk)>);

impl Cursor {
    /// The hash that was signed for a leaf; `None` when it is not signed yet.
    pub(super) fn leaf(
        &mut self,
        leaves: &SignedLeaves,
        index: u64,
    ) -> Result<Option<LeafHash>, LedgerError> {
        if index >= leaves.tree.size().0 {
            return Ok(None);
        }
        let number = index / CHUNK;
        let chunk = match &self.0 {
            Some((here, chunk)) if *here == number => chunk,
            _ => &self.0.insert((number, leaves.chunk(number)?)).1,
        };
        Ok(usize::try_from(index % CHUNK).ok().and_then(|place| chunk.get(place)).copied())
    }
}
