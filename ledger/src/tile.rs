//! Names and shapes of tiles, as C2SP tlog-tiles has them: a tile lists up to 256 neighbouring hashes of one
//! level in eight, so a leaf is `log256(n)` small files below the root.

use crate::hash::{HASH_BYTES, TreeHash};

/// Levels of the binary tree that one tile spans.
pub(crate) const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub(crate) const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// One tile file: tile level, place within the level, and how many hashes it lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileId {
    pub(crate) level: u32,
    pub(crate) index: u64,
    pub(crate) width: u64,
}

/// How many hashes tile level `level` has in a tree of `size` leaves.
pub(crate) const fn hashes_at(level: u32, size: u64) -> u64 {
    match size.checked_shr(TILE_HEIGHT * level) {
        Some(count) => count,
        None => 0,
    }
}

/// How many of them are in the level's last, partial tile.
pub(crate) const fn partial_width(level: u32, size: u64) -> u64 {
    hashes_at(level, size) % TILE_WIDTH
}

impl TileId {
    pub(crate) const fn full(level: u32, index: u64) -> Self {
        Self { level, index, width: TILE_WIDTH }
    }

    /// The partial tile at the right edge of a tree of `size` leaves; its width is 0 when there is none.
    pub(crate) const fn at_edge(level: u32, size: u64) -> Self {
        Self { level, index: hashes_at(level, size) / TILE_WIDTH, width: partial_width(level, size) }
    }

    /// Like `tile/0/x001/x234/067`, and `tile/0/x001/x234/067.p/3` when partial.
    pub(crate) fn path(self) -> String {
        if self.width == TILE_WIDTH {
            self.full_path()
        } else {
            format!("{}/{}", self.partials_dir(), self.width)
        }
    }

    /// The directory of all partial forms of this tile.
    pub(crate) fn partials_dir(self) -> String {
        format!("{}.p", self.full_path())
    }

    fn full_path(self) -> String {
        let mut name = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            name = format!("x{:03}/{name}", rest % 1000);
            rest /= 1000;
        }
        format!("tile/{}/{name}", self.level)
    }
}

/// The file's bytes: the hashes, one after the other.
pub(crate) fn encode(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(TreeHash::as_bytes).copied().collect()
}

/// The hashes of a file, or nothing when it has not exactly `width` of them.
pub(crate) fn decode(bytes: &[u8], width: u64) -> Option<Vec<TreeHash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || u64::try_from(hashes.len()).ok()? != width {
        return None;
    }
    Some(hashes.iter().map(|bytes| TreeHash::from_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_public_layout() {
        assert_eq!(TileId::full(0, 0).path(), "tile/0/000");
        assert_eq!(TileId::full(2, 999).path(), "tile/2/999");
        assert_eq!(TileId::full(0, 1000).path(), "tile/0/x001/000");
        assert_eq!(TileId::full(0, 1_234_067).path(), "tile/0/x001/x234/067");
        assert_eq!(TileId::at_edge(0, 256 * 67 + 8).path(), "tile/0/067.p/8");
        assert_eq!(TileId::at_edge(1, 70_000).path(), "tile/1/001.p/17");
    }

    #[test]
    fn torn_or_padded_tiles_are_not_decoded() {
        let hashes = [TreeHash::EMPTY_ROOT, TreeHash::from_bytes([7; 32])];
        let bytes = encode(&hashes);
        assert_eq!(decode(&bytes, 2).unwrap(), hashes);
        assert!(decode(&bytes, 1).is_none());
        assert!(decode(&bytes, 3).is_none());
        assert!(decode(&bytes[..63], 2).is_none());
        assert!(decode(&[], 1).is_none());
    }
}
