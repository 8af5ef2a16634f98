//! Reading tiles without trusting them. Whatever comes out of here is known to be under the signed root: the
//! unfinished tiles must add up to the root, and every full tile must hash to its entry in the tile above.
//!
//! `tlog_tiles` has a reader for this too, and it is not used: version 0.2 skips the comparison with the
//! tile above for the first few tiles of a request when several peaks of the tree share one tile.

use std::cell::RefCell;
use std::sync::Arc;

use tlog_tiles::{HashReader, split_stored_hash_index};

use crate::edge::{Edge, root_of_perfect};
use crate::error::LedgerError;
use crate::hash::TreeHash;
use crate::position::{Origin, TreeSize};
use crate::tile::{TILE_HEIGHT, TILE_WIDTH, TileId, decode, hashes_at};
use crate::tile_store::TileStore;

/// The tiles of one signed tree.
#[derive(Debug)]
pub(crate) struct AuthenticTiles<'a, T: ?Sized> {
    files: TileFiles<'a, T>,
    /// The unfinished tile of each level.
    unfinished: Vec<Arc<[TreeHash]>>,
    /// The full tile read last on each level: neighbours are asked for one after the other.
    recent: Vec<Option<(u64, Arc<[TreeHash]>)>>,
}

impl<'a, T: TileStore + ?Sized> AuthenticTiles<'a, T> {
    /// The tiles to the left of an edge that was compared with the signed root before.
    pub(crate) fn left_of(origin: &'a Origin, store: &'a T, edge: &Edge) -> Self {
        let size = TreeSize(edge.size());
        let levels = (0..).take_while(|level| hashes_at(*level, size.0) > 0);
        let unfinished = levels.map(|level| edge.level(level).into()).collect();
        Self {
            files: TileFiles { origin, store, size },
            unfinished,
            recent: Vec::new(),
        }
    }

    /// The right edge as it was when the tree had `size` leaves, which must not be more than it has.
    pub(crate) fn edge_at(&mut self, size: u64) -> Result<Edge, LedgerError> {
        let mut levels = Vec::new();
        let mut level = 0;
        while hashes_at(level, size) > 0 {
            let id = TileId::at_edge(level, size);
            let hashes = if id.width == 0 {
                Vec::new()
            } else {
                self.hashes(id)?.to_vec()
            };
            levels.push(hashes.into_iter().take(as_usize(id.width)).collect());
            level += 1;
        }
        Ok(Edge::from_levels(size, levels))
    }

    /// All hashes of the tile at `id`'s place; its width is not looked at.
    pub(crate) fn hashes(&mut self, id: TileId) -> Result<Arc<[TreeHash]>, LedgerError> {
        if id.index == TileId::at_edge(id.level, self.files.size.0).index
            && let Some(hashes) = self.unfinished.get(as_usize(id.level.into()))
        {
            return Ok(Arc::clone(hashes));
        }
        if let Some(Some((index, hashes))) = self.recent.get(as_usize(id.level.into()))
            && *index == id.index
        {
            return Ok(Arc::clone(hashes));
        }
        // A full tile always has a tile above it, because its root is a hash of that level.
        let above = self.hashes(TileId::full(id.level + 1, id.index / TILE_WIDTH))?;
        let id = TileId::full(id.level, id.index);
        let hashes: Arc<[TreeHash]> = self.files.read(id)?.into();
        let found = root_of_perfect(&hashes);
        if above.get(as_usize(id.index % TILE_WIDTH)) != Some(&found) {
            let fault = format!("its hashes give {found}, the tile above has another hash for it");
            return Err(self.files.bad(id.path(), fault));
        }
        let level = as_usize(id.level.into());
        if self.recent.len() <= level {
            self.recent.resize(level + 1, None);
        }
        if let Some(slot) = self.recent.get_mut(level) {
            *slot = Some((id.index, Arc::clone(&hashes)));
        }
        Ok(hashes)
    }

    /// Runs an algorithm of `tlog_tiles` over these tiles.
    pub(crate) fn compute<R>(
        &mut self,
        run: impl FnOnce(&NodeReader<'_, 'a, T>) -> Result<R, tlog_tiles::Error>,
    ) -> Result<R, LedgerError> {
        let reader = NodeReader {
            tiles: RefCell::new(self),
            failure: RefCell::new(None),
        };
        let computed = run(&reader);
        let failure = reader.failure.into_inner();
        computed.map_err(|error| {
            failure.unwrap_or_else(|| self.files.bad(self.files.edge_paths(), error.to_string()))
        })
    }
}

/// Reads the right edge of a signed tree and compares it with the signed root.
pub(crate) fn read_edge<T: TileStore + ?Sized>(
    origin: &Origin,
    store: &T,
    size: TreeSize,
    root: TreeHash,
) -> Result<Edge, LedgerError> {
    let files = TileFiles { origin, store, size };
    let levels = (0..).take_while(|level| hashes_at(*level, size.0) > 0);
    let tiles = levels.map(|level| files.read_unfinished(TileId::at_edge(level, size.0)));
    let edge = Edge::from_levels(size.0, tiles.collect::<Result<_, _>>()?);
    let found = edge.root();
    if found != root {
        return Err(files.bad(
            files.edge_paths(),
            format!("together they give root {found}, not {root}"),
        ));
    }
    Ok(edge)
}

/// The files of one tree, believed in nothing but their length.
#[derive(Debug)]
struct TileFiles<'a, T: ?Sized> {
    origin: &'a Origin,
    store: &'a T,
    size: TreeSize,
}

impl<T: TileStore + ?Sized> TileFiles<'_, T> {
    /// A partial tile, or the beginning of the full tile that replaced it: partial ones are removed then.
    fn read_unfinished(&self, id: TileId) -> Result<Vec<TreeHash>, LedgerError> {
        if id.width == 0 {
            return Ok(Vec::new());
        }
        let missing = match self.read(id) {
            Err(missing @ LedgerError::MissingTile { .. }) => missing,
            other => return other,
        };
        match self.read(TileId::full(id.level, id.index)) {
            Ok(hashes) => Ok(hashes.into_iter().take(as_usize(id.width)).collect()),
            Err(LedgerError::MissingTile { .. }) => Err(missing),
            Err(other) => Err(other),
        }
    }

    fn read(&self, id: TileId) -> Result<Vec<TreeHash>, LedgerError> {
        let (origin, path) = (self.origin, id.path());
        let bytes = match self.store.read(&path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return Err(LedgerError::MissingTile {
                    origin: origin.clone(),
                    path,
                    size: self.size,
                });
            }
            Err(source) => {
                return Err(LedgerError::Read {
                    origin: origin.clone(),
                    path,
                    source,
                });
            }
        };
        decode(&bytes, id.width).ok_or_else(|| {
            self.bad(
                path,
                format!("it has {} bytes and not {} hashes", bytes.len(), id.width),
            )
        })
    }

    fn bad(&self, path: String, fault: String) -> LedgerError {
        LedgerError::BadTile {
            origin: self.origin.clone(),
            path,
            size: self.size,
            fault,
        }
    }

    fn edge_paths(&self) -> String {
        let levels = (0..).take_while(|level| hashes_at(*level, self.size.0) > 0);
        let ids = levels
            .map(|level| TileId::at_edge(level, self.size.0))
            .filter(|id| id.width > 0);
        ids.map(TileId::path).collect::<Vec<_>>().join(", ")
    }
}

/// The numbers that `tlog_tiles` gives to the nodes of the tree, looked up in authentic tiles.
pub(crate) struct NodeReader<'r, 'a, T: ?Sized> {
    tiles: RefCell<&'r mut AuthenticTiles<'a, T>>,
    failure: RefCell<Option<LedgerError>>,
}

impl<T: TileStore + ?Sized> NodeReader<'_, '_, T> {
    fn node(&self, number: u64) -> Result<tlog_tiles::Hash, tlog_tiles::Error> {
        let (level, index) = split_stored_hash_index(number);
        let (tile_level, inner) = (u32::from(level) / TILE_HEIGHT, u32::from(level) % TILE_HEIGHT);
        let first = index << inner;
        let hashes = self
            .tiles
            .borrow_mut()
            .hashes(TileId::full(tile_level, first / TILE_WIDTH))
            .map_err(|error| {
                *self.failure.borrow_mut() = Some(error);
                tlog_tiles::Error::InconsistentTile
            })?;
        let start = as_usize(first % TILE_WIDTH);
        let under = hashes
            .get(start..start + (1 << inner))
            .ok_or(tlog_tiles::Error::IndexesNotInTree)?;
        Ok(root_of_perfect(under).to_node())
    }
}

impl<T: TileStore + ?Sized> HashReader for NodeReader<'_, '_, T> {
    fn read_hashes(&self, numbers: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        numbers.iter().map(|number| self.node(*number)).collect()
    }
}

/// Only for numbers within a tile, or of levels.
fn as_usize(small: u64) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}
