//! The right edge of a growing tree: for each tile level the hashes of its last, unfinished tile. That is all
//! that is needed to extend the tree and to know its root: at most 255 hashes a level, however long the log.

use crate::hash::{LeafHash, TreeHash};
use crate::pyramid::Pyramid;
use crate::tile::{TILE_HEIGHT, TILE_WIDTH, TileId, hashes_at, partial_width};

/// A tree that can be extended, without the parts that will never change again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edge {
    size: u64,
    levels: Vec<Vec<TreeHash>>,
}

impl Edge {
    /// An edge from its unfinished tiles, lowest level first. The caller compares [`Self::root`] with a root
    /// it believes before relying on it.
    pub(crate) fn from_levels(size: u64, levels: Vec<Vec<TreeHash>>) -> Self {
        debug_assert!((0u32..).zip(&levels).all(|(l, hashes)| hashes.len() as u64 == partial_width(l, size)));
        Self { size, levels }
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The unfinished tile of a level; empty when the level has none.
    pub(crate) fn level(&self, level: u32) -> &[TreeHash] {
        usize::try_from(level).ok().and_then(|l| self.levels.get(l)).map_or(&[], Vec::as_slice)
    }

    /// Adds one leaf. Each tile that this finishes is handed to `finished`, lower levels first.
    pub(crate) fn push(&mut self, leaf: LeafHash, mut finished: impl FnMut(TileId, Vec<TreeHash>)) {
        self.size += 1;
        let mut carried = TreeHash::of_leaf(leaf);
        for (level, tile) in (0..).zip(&mut self.levels) {
            tile.push(carried);
            if tile.len() as u64 != TILE_WIDTH {
                return;
            }
            carried = root_of_perfect(tile);
            let id = TileId::full(level, hashes_at(level, self.size) / TILE_WIDTH - 1);
            finished(id, std::mem::replace(tile, new_tile()));
        }
        let mut tile = new_tile();
        tile.push(carried);
        self.levels.push(tile);
    }

    /// The root of all leaves so far.
    pub(crate) fn root(&self) -> TreeHash {
        let mut peaks = Vec::new();
        for tile in self.levels.iter().rev() {
            peaks.extend(Pyramid::over(tile.clone()).peaks());
        }
        peaks
            .into_iter()
            .rev()
            .reduce(|right, left| TreeHash::parent(left, right))
            .unwrap_or(TreeHash::EMPTY_ROOT)
    }
}

fn new_tile() -> Vec<TreeHash> {
    Vec::with_capacity(1 << TILE_HEIGHT)
}

/// The root over a power of two of neighbouring hashes.
fn root_of_perfect(hashes: &[TreeHash]) -> TreeHash {
    debug_assert!(hashes.len().is_power_of_two());
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| TreeHash::parent(*left, *right)).collect();
    }
    row.first().copied().unwrap_or(TreeHash::EMPTY_ROOT)
}
