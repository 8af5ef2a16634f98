//! A log as everybody else sees it: the tree under its newest signed checkpoint, read from tiles. It needs no
//! state of the writer, so any process that can read the files can hand out proofs.

use std::sync::{Arc, Mutex, PoisonError};

use crate::authentic::{AuthenticTiles, TileCache, read_edge};
use crate::checkpoint::{CheckpointKey, SignedCheckpoint};
use crate::edge::Edge;
use crate::error::LedgerError;
use crate::hash::{LeafHash, TreeHash};
use crate::position::{LeafIndex, Origin, TreeSize};
use crate::pyramid::Pyramid;
use crate::tile::{TILE_WIDTH, TileId};
use crate::tile_store::{CHECKPOINT_PATH, TileStore};

/// The tree under one signed checkpoint. Every answer is checked against that checkpoint's root, so a damaged or
/// altered tile gives an error that names it and never a wrong answer.
#[derive(Debug)]
pub struct PublishedTree<T> {
    origin: Origin,
    tiles: T,
    newest: Option<SignedCheckpoint>,
    edge: Edge,
    /// Taken by whoever reads, so that nobody waits while another one reads files.
    cache: Mutex<TileCache>,
}

impl<T: TileStore> PublishedTree<T> {
    /// Reads the newest checkpoint and checks its signature, and that the tiles at the right edge of the tree
    /// give its root. Without a checkpoint the tree is empty. Tiles further left are checked when they are read,
    /// all of them by [`Self::check_tiles`].
    ///
    /// # Errors
    /// When the checkpoint is not one of `origin` signed by `key`, or does not agree with the tiles.
    pub fn open(origin: Origin, tiles: T, key: &CheckpointKey) -> Result<Self, LedgerError> {
        let path = CHECKPOINT_PATH.to_owned();
        let note = match tiles.read(CHECKPOINT_PATH) {
            Ok(note) => note,
            Err(source) => return Err(LedgerError::Read { origin, path, source }),
        };
        let newest = match note.map(|note| SignedCheckpoint::verify_for(&origin, &note, key)).transpose() {
            Ok(newest) => newest,
            Err(source) => return Err(LedgerError::Checkpoint { origin, source }),
        };
        let head = newest.as_ref().map(SignedCheckpoint::checkpoint);
        let (size, root) = head.map_or((TreeSize(0), TreeHash::EMPTY_ROOT), |head| (head.size, head.root));
        let edge = read_edge(&origin, &tiles, size, root)?;
        let tree = Self { origin, tiles, newest, edge, cache: Mutex::default() };
        if let Some(last) = size.0.checked_sub(1) {
            // A tree that ends with a full tile has nothing of it at its edge: read it, so that it is known to be there.
            tree.reading(|tiles| tiles.tile(TileId::full(0, last / TILE_WIDTH)))?;
        }
        Ok(tree)
    }

    /// Which log this is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The newest checkpoint; nothing before the first commit.
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.newest.as_ref()
    }

    /// How many leaves are published.
    pub fn size(&self) -> TreeSize {
        self.newest.as_ref().map_or(TreeSize(0), |signed| signed.checkpoint().size)
    }

    /// The signed root.
    pub fn root(&self) -> TreeHash {
        self.newest.as_ref().map_or(TreeHash::EMPTY_ROOT, |signed| signed.checkpoint().root)
    }

    /// The root when the log had `size` leaves.
    ///
    /// # Errors
    /// When more leaves are asked for than are published, or a tile is not what was signed.
    pub fn root_at(&self, size: TreeSize) -> Result<TreeHash, LedgerError> {
        Ok(self.edge_at(size)?.root())
    }

    /// The hashes that lead from the leaf at `index` to the root of the tree of `size` leaves.
    ///
    /// # Errors
    /// When `index` is not below `size`, when `size` is not published, or when a tile is not what was signed.
    pub fn inclusion_proof(&self, index: LeafIndex, size: TreeSize) -> Result<Vec<TreeHash>, LedgerError> {
        self.require(size.0, self.size().0)?;
        self.require(index.0.saturating_add(1), size.0)?;
        let proof =
            self.reading(|tiles| tiles.compute(|nodes| tlog_tiles::prove_record(size.0, index.0, nodes)))?;
        Ok(proof.into_iter().map(TreeHash::from).collect())
    }

    /// The hashes that show that the tree of `new` leaves begins with the tree of `old` leaves.
    ///
    /// # Errors
    /// When `old` is greater than `new`, when `new` is not published, or when a tile is not what was signed.
    pub fn consistency_proof(&self, old: TreeSize, new: TreeSize) -> Result<Vec<TreeHash>, LedgerError> {
        self.require(new.0, self.size().0)?;
        self.require(old.0, new.0)?;
        if old.0 == 0 {
            return Ok(Vec::new());
        }
        let proof =
            self.reading(|tiles| tiles.compute(|nodes| tlog_tiles::prove_tree(new.0, old.0, nodes)))?;
        Ok(proof.into_iter().map(TreeHash::from).collect())
    }

    /// The hash that was signed for one leaf.
    ///
    /// # Errors
    /// When the leaf is not published, or a tile is not what was signed.
    pub fn stored_leaf_hash(&self, index: LeafIndex) -> Result<LeafHash, LedgerError> {
        self.require(index.0.saturating_add(1), self.size().0)?;
        self.stored_leaves(index).next().unwrap_or_else(|| Err(self.not_published(index.0, self.size().0)))
    }

    /// The signed hashes of all leaves from `from` on, in order, in constant memory. Comparing them with
    /// recomputed hashes names the first event that was altered.
    pub fn stored_leaves(&self, from: LeafIndex) -> StoredLeaves<'_, T> {
        StoredLeaves {
            reader: self.reader(TileCache::default()),
            next: from.0,
            end: self.size().0,
            tile: None,
            failed: false,
        }
    }

    /// Reads every tile again and checks all of them against the signed root; returns how many leaves they have.
    ///
    /// # Errors
    /// Names the first tile that is missing or not what was signed.
    pub fn check_tiles(&self) -> Result<TreeSize, LedgerError> {
        let edge = read_edge(&self.origin, &self.tiles, self.size(), self.root())?;
        let mut reader = AuthenticTiles::left_of(&self.origin, &self.tiles, &edge, TileCache::default());
        // Every full tile of a higher level is above some leaf tile, and is checked on the way to it.
        for index in 0..self.size().0.div_ceil(TILE_WIDTH) {
            reader.tile(TileId::full(0, index))?;
        }
        Ok(self.size())
    }

    pub(crate) fn tiles(&self) -> &T {
        &self.tiles
    }

    pub(crate) fn publish(&mut self, signed: SignedCheckpoint, edge: Edge) {
        self.newest = Some(signed);
        self.edge = edge;
        *self.cache.get_mut().unwrap_or_else(PoisonError::into_inner) = TileCache::default();
    }

    pub(crate) const fn edge(&self) -> &Edge {
        &self.edge
    }

    pub(crate) fn edge_at(&self, size: TreeSize) -> Result<Edge, LedgerError> {
        self.require(size.0, self.size().0)?;
        self.reading(|tiles| tiles.edge_at(size.0))
    }

    fn reader(&self, cache: TileCache) -> AuthenticTiles<'_, T> {
        AuthenticTiles::left_of(&self.origin, &self.tiles, &self.edge, cache)
    }

    /// Reads with the tiles that the call before left in the cache. Calls at the same time find it empty.
    fn reading<R>(&self, read: impl FnOnce(&mut AuthenticTiles<'_, T>) -> R) -> R {
        let cached = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = std::mem::take(&mut *cached());
        let mut reader = self.reader(cache);
        let result = read(&mut reader);
        *cached() = reader.into_cache();
        result
    }

    fn require(&self, position: u64, limit: u64) -> Result<(), LedgerError> {
        if position <= limit { Ok(()) } else { Err(self.not_published(position, limit)) }
    }

    fn not_published(&self, position: u64, size: u64) -> LedgerError {
        LedgerError::NotPublished { origin: self.origin.clone(), position, size: TreeSize(size) }
    }
}

/// Signed leaf hashes in order; made by [`PublishedTree::stored_leaves`]. Ends after the first error.
#[derive(Debug)]
pub struct StoredLeaves<'a, T> {
    reader: AuthenticTiles<'a, T>,
    next: u64,
    end: u64,
    tile: Option<Arc<Pyramid>>,
    failed: bool,
}

impl<T: TileStore> Iterator for StoredLeaves<'_, T> {
    type Item = Result<LeafHash, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.next >= self.end {
            return None;
        }
        let within = self.next % TILE_WIDTH;
        if within == 0 || self.tile.is_none() {
            match self.reader.tile(TileId::full(0, self.next / TILE_WIDTH)) {
                Ok(tile) => self.tile = Some(tile),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        self.next += 1;
        self.tile.as_ref()?.node(0, within).map(|leaf| Ok(leaf.to_leaf()))
    }
}
