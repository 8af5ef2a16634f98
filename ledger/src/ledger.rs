//! The writer's side of one shard's log.
//!
//! The table of events is the truth and the ledger follows it: rows are committed first, then their leaves are
//! appended here and a checkpoint is signed. After a crash the ledger is therefore at or behind the table, never
//! ahead, and is brought up to date by appending the missing leaf hashes again. What was signed once is never
//! taken back: leaves that are appended again must give the signed root, and a smaller tree is not signed.

use crate::checkpoint::{Checkpoint, CheckpointKey, SignedCheckpoint};
use crate::edge::Edge;
use crate::error::LedgerError;
use crate::hash::{LeafHash, TreeHash};
use crate::limits::{MAX_TREE_SIZE, MAX_UNCOMMITTED_LEAVES};
use crate::position::{LeafIndex, Origin, TreeSize};
use crate::published::PublishedTree;
use crate::signer::CheckpointSigner;
use crate::tile::{TILE_WIDTH, TileId, encode, hashes_at};
use crate::tile_store::{CHECKPOINT_PATH, TileStore};

/// Where appended leaves went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The index of the first of them; the others follow without a gap.
    pub first: LeafIndex,
    /// Leaves in the ledger afterwards.
    pub size: TreeSize,
}

/// An append-only log that can be extended. There must be one per origin at a time: the owner of the shard.
///
/// In memory it holds the right edge of the tree, a few KiB, and the tiles finished since the last commit.
#[derive(Debug)]
pub struct Ledger<T> {
    published: PublishedTree<T>,
    key: CheckpointKey,
    edge: Edge,
    finished: Vec<FinishedTile>,
}

#[derive(Debug)]
struct FinishedTile {
    id: TileId,
    hashes: Vec<TreeHash>,
}

impl<T: TileStore> Ledger<T> {
    /// Continues a log where its newest checkpoint left it; an empty store gives an empty log.
    ///
    /// # Errors
    /// When the checkpoint is not one of `origin` signed by `key`, or does not agree with the tiles.
    pub fn open(origin: Origin, tiles: T, key: CheckpointKey) -> Result<Self, LedgerError> {
        let published = PublishedTree::open(origin, tiles, &key)?;
        let edge = published.edge().clone();
        Ok(Self { published, key, edge, finished: Vec::new() })
    }

    /// The log as published by the last commit; proofs come from here.
    pub fn published(&self) -> &PublishedTree<T> {
        &self.published
    }

    /// Leaves in the ledger, committed or not.
    pub fn size(&self) -> TreeSize {
        TreeSize(self.edge.size())
    }

    /// The root over all of them.
    pub fn root(&self) -> TreeHash {
        self.edge.root()
    }

    /// Adds leaves in memory. After a rewind, leaves that were published before must be the same again.
    ///
    /// # Errors
    /// When more than [`MAX_UNCOMMITTED_LEAVES`] would wait for a commit, or when leaves differ from those that were
    /// signed. The ledger is unchanged then.
    pub fn append(&mut self, leaves: &[LeafHash]) -> Result<Appended, LedgerError> {
        let first = LeafIndex(self.edge.size());
        let count = leaves.len() as u64;
        let published = self.published.size();
        self.check_room(count, published.0)?;
        let to_repeat = usize::try_from(published.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let (repeated, new) = leaves.split_at(to_repeat.min(leaves.len()));
        if !repeated.is_empty() {
            self.repeat(repeated)?;
        }
        let (edge, finished) = (&mut self.edge, &mut self.finished);
        for leaf in new {
            // INVARIANT L-1: an index is given out once, in the order of the calls, without gaps.
            edge.push(*leaf, |id, hashes| finished.push(FinishedTile { id, hashes }));
        }
        Ok(Appended { first, size: self.size() })
    }

    /// Goes back to an earlier size, in memory only: tiles and checkpoint stay as they are, and nothing smaller or
    /// different can be committed afterwards.
    ///
    /// # Errors
    /// When the ledger has fewer leaves, or a tile is not what was signed. The ledger is unchanged then.
    pub fn rewind(&mut self, size: TreeSize) -> Result<(), LedgerError> {
        if size > self.size() {
            let origin = self.published.origin().clone();
            return Err(LedgerError::RewindAhead { origin, wanted: size, size: self.size() });
        }
        let published = self.published.size();
        let kept = if size > published { self.uncommitted(size) } else { Vec::new() };
        self.edge = self.published.edge_at(size.min(published))?;
        self.finished.clear();
        self.append(&kept)?;
        Ok(())
    }

    /// Publishes all leaves: writes the tiles, then signs and writes the checkpoint. After a crash at any point, or an
    /// error, opening the ledger finds the old checkpoint or the new one, each with all its tiles. Without new leaves
    /// nothing is written and the newest checkpoint is returned.
    ///
    /// # Errors
    /// When leaves that were signed before are missing, when `signer` is not the key the ledger was opened for, or when
    /// files cannot be written; the call can be repeated then.
    pub fn commit(&mut self, signer: &CheckpointSigner) -> Result<SignedCheckpoint, LedgerError> {
        let (size, published) = (self.size(), self.published.size());
        let origin = self.published.origin().clone();
        if *signer.public_key() != self.key {
            let (opened, signer) = (self.key.to_string(), signer.public_key().to_string());
            return Err(LedgerError::OtherSigner { origin, opened, signer });
        }
        if size < published {
            return Err(LedgerError::BehindCheckpoint { origin, size, published });
        }
        if let Some(newest) = self.published.checkpoint()
            && size == published
        {
            return Ok(newest.clone());
        }
        let newest =
            SignedCheckpoint::sign(Checkpoint { origin: origin.clone(), size, root: self.root() }, signer)
                .map_err(|source| LedgerError::Checkpoint { origin: origin.clone(), source })?;
        let store = self.published.tiles();
        // INVARIANT L-3: the checkpoint is written only when every tile it speaks of is durable.
        store.write_all(&self.changed_tiles()).map_err(|source| {
            let what = format!("the tiles for leaves {published} to {size}");
            LedgerError::Write { origin: origin.clone(), what, source }
        })?;
        store.write(CHECKPOINT_PATH, newest.note().as_bytes()).map_err(|source| LedgerError::Write {
            origin,
            what: CHECKPOINT_PATH.to_owned(),
            source,
        })?;
        for tile in &self.finished {
            // Partial forms of a full tile are of no more use. One that cannot be removed does no harm.
            store.remove_dir(&tile.id.partials_dir()).ok();
        }
        self.finished.clear();
        self.published.publish(newest.clone(), self.edge.clone());
        Ok(newest)
    }

    /// The tiles that differ between the published tree and this one: finished ones, then the unfinished.
    fn changed_tiles(&self) -> Vec<(String, Vec<u8>)> {
        let (old, new) = (self.published.size().0, self.edge.size());
        let finished = self.finished.iter().map(|tile| (tile.id.path(), encode(&tile.hashes)));
        let unfinished = (0..)
            .take_while(|level| hashes_at(*level, new) > 0)
            .filter(|level| hashes_at(*level, old) != hashes_at(*level, new))
            .map(|level| TileId::at_edge(level, new))
            .filter(|id| id.width > 0)
            .map(|id| (id.path(), encode(self.edge.level(id.level))));
        finished.chain(unfinished).collect()
    }

    fn check_room(&self, count: u64, published: u64) -> Result<(), LedgerError> {
        let origin = || self.published.origin().clone();
        let size = self.edge.size().saturating_add(count);
        if size > MAX_TREE_SIZE {
            return Err(LedgerError::TooLarge { origin: origin(), size, limit: MAX_TREE_SIZE });
        }
        if size.saturating_sub(published) > MAX_UNCOMMITTED_LEAVES {
            let waiting = self.edge.size().saturating_sub(published);
            let limit = MAX_UNCOMMITTED_LEAVES;
            return Err(LedgerError::TooManyUncommitted { origin: origin(), count, waiting, limit });
        }
        Ok(())
    }

    /// Appends leaves that are published already. Their tiles are on disk, so only the edge moves; when it reaches the
    /// signed size it must have the signed root.
    fn repeat(&mut self, leaves: &[LeafHash]) -> Result<(), LedgerError> {
        let mut edge = self.edge.clone();
        for leaf in leaves {
            edge.push(*leaf, |_, _| ());
        }
        let size = self.published.size();
        let (signed, found) = (self.published.root(), edge.root());
        if edge.size() == size.0 && found != signed {
            let origin = self.published.origin().clone();
            return Err(LedgerError::Diverged { origin, size, signed, found });
        }
        self.edge = edge;
        Ok(())
    }

    /// The leaves between the published size and `size`, from memory.
    fn uncommitted(&self, size: TreeSize) -> Vec<LeafHash> {
        let published = self.published.size().0;
        let in_memory = self.finished.iter().filter(|tile| tile.id.level == 0).flat_map(|tile| &tile.hashes);
        let all = in_memory.chain(self.edge.level(0));
        let (skip, take) = (published % TILE_WIDTH, size.0 - published);
        let bounded = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        all.skip(bounded(skip)).take(bounded(take)).map(|hash| hash.to_leaf()).collect()
    }
}
