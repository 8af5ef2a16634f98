//! A tile with the hashes above it that it implies: a tile file lists one level in eight, a proof needs all of them.

use crate::hash::TreeHash;

/// Neighbouring hashes and, row by row, the hashes over every complete pair of the row below.
#[derive(Debug)]
pub(crate) struct Pyramid {
    rows: Vec<Vec<TreeHash>>,
}

impl Pyramid {
    /// Builds all rows; about one hash computed for each hash given.
    pub(crate) fn over(hashes: Vec<TreeHash>) -> Self {
        let mut rows = Vec::new();
        let mut row = hashes;
        while row.len() > 1 {
            let (pairs, _) = row.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| TreeHash::parent(*left, *right)).collect();
            rows.push(std::mem::replace(&mut row, above));
        }
        rows.push(row);
        Self { rows }
    }

    /// The hashes it was built over.
    pub(crate) fn hashes(&self) -> &[TreeHash] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// The hash over the `place`th run of `2^height` hashes, if all of them are there.
    pub(crate) fn node(&self, height: u32, place: u64) -> Option<TreeHash> {
        let row = self.rows.get(usize::try_from(height).ok()?)?;
        row.get(usize::try_from(place).ok()?).copied()
    }

    /// The hashes over the largest complete runs, left to right: together they cover everything once.
    pub(crate) fn peaks(&self) -> impl Iterator<Item = TreeHash> {
        self.rows.iter().rev().filter(|row| row.len() % 2 == 1).filter_map(|row| row.last().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn nodes_exist_where_all_hashes_below_them_do() {
        let hashes: Vec<TreeHash> = (0..7_u8).map(|n| TreeHash::of_leaf(leaf_hash(&[n]))).collect();
        let pyramid = Pyramid::over(hashes.clone());
        assert_eq!(pyramid.hashes(), hashes);
        let pair = TreeHash::parent(hashes[4], hashes[5]);
        assert_eq!(pyramid.node(1, 2), Some(pair));
        assert_eq!((pyramid.node(1, 3), pyramid.node(2, 1), pyramid.node(3, 0)), (None, None, None));
        let left =
            TreeHash::parent(TreeHash::parent(hashes[0], hashes[1]), TreeHash::parent(hashes[2], hashes[3]));
        assert_eq!(pyramid.peaks().collect::<Vec<_>>(), [left, pair, hashes[6]]);
        assert_eq!(Pyramid::over(Vec::new()).peaks().count(), 0);
    }
}
