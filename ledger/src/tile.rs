//! Names and shapes of tiles, as C2SP tlog-tiles has them: a tile lists up to 256 neighbouring hashes of one
//! level in eight, so a leaf is `log256(n)` small files below the root.

use crate::hash::{HASH_BYTES, TreeHash};

/// Levels of the binary tree that one tile spans.
pub(crate) const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub(crate) const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// The highest level that a tile's name may have.
const MAX_LEVEL: u32 = 63;

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

    /// Reads what [`Self::path`] writes, and nothing else.
    fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => {
                (index, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?)
            }
            None => (rest, TILE_WIDTH),
        };
        let level: u32 = level.parse().ok().filter(|level| *level <= MAX_LEVEL)?;
        let mut parsed: u64 = 0;
        for part in index.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            parsed = parsed.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let id = Self { level, index: parsed, width };
        // Whatever else could be read as the same tile is another name.
        (id.path() == path).then_some(id)
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

/// Whether this is the name of a tile as C2SP tlog-tiles writes it, and the only way to write it: `tile/<level>/<index>`,
/// with `.p/<width>` when partial. For servers of static files: nothing else below a log's prefix is anybody's business.
/// Entry bundles are not served: a leaf may be larger than the 65,535 bytes that they allow.
pub fn is_tile_path(path: &str) -> bool {
    TileId::parse(path).is_some()
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
    fn only_the_one_name_of_a_tile_is_one() {
        for id in [
            TileId::full(0, 0),
            TileId::full(63, 999),
            TileId::full(0, 1_234_067),
            TileId::at_edge(0, 256 * 67 + 8),
            TileId { level: 5, index: 1_000_000, width: 255 },
        ] {
            assert_eq!(TileId::parse(&id.path()), Some(id));
        }
        for bad in [
            "checkpoint",
            "tile/0",
            "tile/0/",
            "tile/64/000",
            "tile/00/000",
            "tile/+1/000",
            "tile/0/0",
            "tile/0/x000/001",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/0/000.p",
            "tile/0/000.p/3/4",
            "tile/0/../checkpoint",
            "tile/entries/000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/.000.7.0.tmp",
        ] {
            assert!(!is_tile_path(bad), "{bad}");
        }
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
