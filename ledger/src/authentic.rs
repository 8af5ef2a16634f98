//! Reading tiles without trusting them. Whatever comes out of here is known to be under the signed root: the
//! unfinished tiles must add up to the root, and every full tile must hash to its entry in the tile above.
//!
//! `tlog_tiles` has a reader for this too, and it is not used: version 0.2 skips the comparison with the
//! tile above for the first few tiles of a request when several peaks of the tree share one tile.

use std::cell::RefCell;
use std::sync::Arc;

use tlog_tiles::{HashReader, split_stored_hash_index};

use crate::edge::Edge;
use crate::error::LedgerError;
use crate::hash::TreeHash;
use crate::position::{Origin, TreeSize};
use crate::pyramid::Pyramid;
use crate::tile::{TILE_HEIGHT, TILE_WIDTH, TileId, decode, hashes_at};
use crate::tile_store::TileStore;

/// Tiles that were found authentic before, kept so that neighbouring proofs do not read and hash them again. A few KiB
/// for each of at most six levels.
#[derive(Debug, Default)]
pub(crate) struct TileCache {
    /// The unfinished tile of each level.
    unfinished: Vec<Arc<Pyramid>>,
    /// The full tile read last on each level.
    recent: Vec<Option<(u64, Arc<Pyramid>)>>,
}

/// The tiles of one signed tree.
#[derive(Debug)]
pub(crate) struct AuthenticTiles<'a, T: ?Sized> {
    files: TileFiles<'a, T>,
    cache: TileCache,
}

impl<'a, T: TileStore + ?Sized> AuthenticTiles<'a, T> {
    /// The tiles to the left of an edge that was compared with the signed root before. The cache is empty, or comes from
    /// earlier tiles of the same tree.
    pub(crate) fn left_of(origin: &'a Origin, store: &'a T, edge: &Edge, mut cache: TileCache) -> Self {
        let size = TreeSize(edge.size());
        if cache.unfinished.is_empty() {
            let levels = (0..).take_while(|level| hashes_at(*level, size.0) > 0);
            cache.unfinished =
                levels.map(|level| Arc::new(Pyramid::over(edge.level(level).to_vec()))).collect();
        }
        Self { files: TileFiles { origin, store, size }, cache }
    }

    pub(crate) fn into_cache(self) -> TileCache {
        self.cache
    }

    /// The right edge as it was when the tree had `size` leaves, which must not be more than it has.
    pub(crate) fn edge_at(&mut self, size: u64) -> Result<Edge, LedgerError> {
        let mut levels = Vec::new();
        let mut level = 0;
        while hashes_at(level, size) > 0 {
            let id = TileId::at_edge(level, size);
            let hashes = if id.width == 0 { Vec::new() } else { self.tile(id)?.hashes().to_vec() };
            levels.push(hashes.into_iter().take(as_usize(id.width)).collect());
            level += 1;
        }
        Ok(Edge::from_levels(size, levels))
    }

    /// The tile at `id`'s place; its width is not looked at.
    pub(crate) fn tile(&mut self, id: TileId) -> Result<Arc<Pyramid>, LedgerError> {
        let level = as_usize(id.level.into());
        let edge = TileId::at_edge(id.level, self.files.size.0);
        match self.cache.unfinished.get(level) {
            Some(tile) if id.index == edge.index => return Ok(Arc::clone(tile)),
            Some(_) if id.index < edge.index => {}
            _ => return Err(self.files.bad(id.path(), "the signed tree has no such tile".to_owned())),
        }
        if let Some(Some((index, tile))) = self.cache.recent.get(level)
            && *index == id.index
        {
            return Ok(Arc::clone(tile));
        }
        // A full tile always has a tile above it, because its root is a hash of that level.
        let above = self.tile(TileId::full(id.level + 1, id.index / TILE_WIDTH))?;
        let id = TileId::full(id.level, id.index);
        let tile = Arc::new(Pyramid::over(self.files.read(id)?));
        let (signed, found) = (above.node(0, id.index % TILE_WIDTH), tile.node(TILE_HEIGHT, 0));
        if signed.is_none() || signed != found {
            let fault = "its hashes do not give the hash that the tile above has for it".to_owned();
            return Err(self.files.bad(id.path(), fault));
        }
        if self.cache.recent.len() <= level {
            self.cache.recent.resize(level + 1, None);
        }
        if let Some(slot) = self.cache.recent.get_mut(level) {
            *slot = Some((id.index, Arc::clone(&tile)));
        }
        Ok(tile)
    }

    /// Runs an algorithm of `tlog_tiles` over these tiles.
    pub(crate) fn compute<R>(
        &mut self,
        run: impl FnOnce(&NodeReader<'_, 'a, T>) -> Result<R, tlog_tiles::Error>,
    ) -> Result<R, LedgerError> {
        let reader = NodeReader { tiles: RefCell::new(self), failure: RefCell::new(None) };
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
        return Err(files.bad(files.edge_paths(), format!("together they give root {found}, not {root}")));
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
                return Err(LedgerError::MissingTile { origin: origin.clone(), path, size: self.size });
            }
            Err(source) => {
                return Err(LedgerError::Read { origin: origin.clone(), path, source });
            }
        };
        decode(&bytes, id.width).ok_or_else(|| {
            self.bad(path, format!("it has {} bytes and not {} hashes", bytes.len(), id.width))
        })
    }

    fn bad(&self, path: String, fault: String) -> LedgerError {
        LedgerError::BadTile { origin: self.origin.clone(), path, size: self.size, fault }
    }

    fn edge_paths(&self) -> String {
        let levels = (0..).take_while(|level| hashes_at(*level, self.size.0) > 0);
        let ids = levels.map(|level| TileId::at_edge(level, self.size.0)).filter(|id| id.width > 0);
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
        let tile =
            self.tiles.borrow_mut().tile(TileId::full(tile_level, first / TILE_WIDTH)).map_err(|error| {
                *self.failure.borrow_mut() = Some(error);
                tlog_tiles::Error::InconsistentTile
            })?;
        let node =
            tile.node(inner, (first % TILE_WIDTH) >> inner).ok_or(tlog_tiles::Error::IndexesNotInTree)?;
        Ok(node.to_node())
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
