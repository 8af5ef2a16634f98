//! Which leaves have been seen, one bit each: rows may come in any order once files were compacted.

use std::collections::BTreeMap;
use std::ops::Range;

/// Leaves of one block of bits.
const BLOCK: u64 = 1 << 16;
/// Words of one block.
const WORDS: usize = 1 << 10;
/// Holes that are told: enough for a report, and for a second look at the files around them.
const HOLES_MAX: usize = 1_024;

#[derive(Debug)]
enum Block {
    /// Some of its leaves, and how many.
    Some(Box<[u64; WORDS]>, u64),
    /// All of them: keeps no bits.
    All,
}

/// A set of leaf indices. An eighth of a byte per leaf at most, next to nothing where all were seen.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    blocks: BTreeMap<u64, Block>,
}

impl Coverage {
    /// Adds a leaf; false when it was there.
    pub(super) fn mark(&mut self, leaf: u64) -> bool {
        let block = self.blocks.entry(leaf / BLOCK).or_insert_with(|| Block::Some(Box::new([0; WORDS]), 0));
        let Block::Some(words, count) = block else { return false };
        let within = leaf % BLOCK;
        let (place, bit) = (usize::try_from(within / 64).unwrap_or_default(), 1 << (within % 64));
        let Some(word) = words.get_mut(place) else { return false };
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        *count += 1;
        if *count == BLOCK {
            *block = Block::All;
        }
        true
    }

    /// Adds leaves that need not be looked for.
    pub(super) fn mark_range(&mut self, leaves: Range<u64>) {
        let mut next = leaves.start;
        while next < leaves.end {
            if next.is_multiple_of(BLOCK) && leaves.end - next >= BLOCK {
                self.blocks.insert(next / BLOCK, Block::All);
                next += BLOCK;
            } else {
                self.mark(next);
                next += 1;
            }
        }
    }

    /// The holes within a range, from the left, up to a bound.
    pub(super) fn missing(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut holes: Vec<Range<u64>> = Vec::new();
        let mut next = within.start;
        while next < within.end && holes.len() <= HOLES_MAX {
            let end_of_block = (next / BLOCK + 1) * BLOCK;
            match self.blocks.get(&(next / BLOCK)) {
                Some(Block::All) => next = end_of_block,
                None => {
                    let end = end_of_block.min(within.end);
                    add(&mut holes, next..end);
                    next = end;
                }
                Some(Block::Some(words, _)) => {
                    let place = usize::try_from(next % BLOCK / 64).unwrap_or_default();
                    let word = words.get(place).copied().unwrap_or_default();
                    if word & (1 << (next % 64)) == 0 {
                        add(&mut holes, next..next + 1);
                    }
                    next += 1;
                }
            }
        }
        holes
    }

    /// The holes between the first and the last leaf.
    pub(super) fn missing_inside(&self) -> Vec<Range<u64>> {
        self.span().map(|span| self.missing(span)).unwrap_or_default()
    }

    /// First and last leaf.
    pub(super) fn span(&self) -> Option<Range<u64>> {
        let (first, last) = (*self.blocks.keys().next()?, *self.blocks.keys().next_back()?);
        let within = |block: u64| block * BLOCK..(block + 1) * BLOCK;
        let start = within(first).find(|leaf| self.holds(*leaf))?;
        let end = within(last).rev().find(|leaf| self.holds(*leaf))?;
        Some(start..end + 1)
    }

    fn holds(&self, leaf: u64) -> bool {
        match self.blocks.get(&(leaf / BLOCK)) {
            None => false,
            Some(Block::All) => true,
            Some(Block::Some(words, _)) => {
                let place = usize::try_from(leaf % BLOCK / 64).unwrap_or_default();
                words.get(place).is_some_and(|word| word & (1 << (leaf % 64)) != 0)
            }
        }
    }
}

fn add(holes: &mut Vec<Range<u64>>, hole: Range<u64>) {
    match holes.last_mut() {
        Some(last) if last.end == hole.start => last.end = hole.end,
        _ => holes.push(hole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn leaves_are_counted_once_in_any_order_and_holes_are_found() {
        let mut coverage = Coverage::default();
        let (mut set, mut leaf) = (BTreeSet::new(), 7);
        for _ in 0..60_000 {
            // A permutation of sorts: neighbours come far apart, some come twice.
            leaf = (leaf * 69_069 + 1) % (3 * BLOCK);
            assert_eq!(coverage.mark(leaf), set.insert(leaf), "{leaf}");
        }
        let holes = coverage.missing(0..3 * BLOCK);
        assert!(holes.len() > HOLES_MAX, "the bound is reached");
        let (first, last) = (*set.first().unwrap(), *set.last().unwrap());
        assert_eq!(coverage.span(), Some(first..last + 1));
        for hole in holes {
            assert!(hole.clone().all(|leaf| !set.contains(&leaf)), "{hole:?}");
        }
    }

    #[test]
    fn full_blocks_and_ranges_leave_no_hole() {
        let mut coverage = Coverage::default();
        (0..BLOCK).rev().for_each(|leaf| assert!(coverage.mark(leaf)));
        assert!(!coverage.mark(5));
        coverage.mark_range(BLOCK + 3..3 * BLOCK + 2);
        assert_eq!(coverage.missing(0..3 * BLOCK + 4), [BLOCK..BLOCK + 3, 3 * BLOCK + 2..3 * BLOCK + 4]);
        assert_eq!(coverage.missing(2 * BLOCK..2 * BLOCK + 9), []);
        assert_eq!(Coverage::default().missing(4..9).first(), Some(&(4..9)));
        assert_eq!(Coverage::default().span(), None);
    }
}
