//! Rows of one file: a bit each.

use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};

/// A set of rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    rows: usize,
}

impl Bits {
    /// None of so many rows.
    pub(crate) fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// All of so many rows.
    pub(crate) fn all(rows: usize) -> Self {
        let mut all = Self { words: vec![u64::MAX; rows.div_ceil(64)], rows };
        all.trim();
        all
    }

    /// Bits beyond the last row are never set.
    fn trim(&mut self) {
        let beyond = self.rows % 64;
        if beyond != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << beyond) - 1;
        }
    }

    /// Adds a row; one that the file does not have is ignored.
    pub(crate) fn set(&mut self, row: usize) {
        if row < self.rows
            && let Some(word) = self.words.get_mut(row / 64)
        {
            *word |= 1 << (row % 64);
        }
    }

    pub(crate) fn and(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn or(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    pub(crate) fn not(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.trim();
    }

    /// How many rows are in it.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The rows, as Parquet readers want them: runs that are read and runs that are skipped.
    pub(crate) fn selection(&self) -> RowSelection {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < self.rows {
            let set = self.is_set(at);
            let end = self.run_end(at, set);
            runs.push(if set { RowSelector::select(end - at) } else { RowSelector::skip(end - at) });
            at = end;
        }
        RowSelection::from(runs)
    }

    fn is_set(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// Where the run that holds this row ends.
    fn run_end(&self, from: usize, set: bool) -> usize {
        let mut at = from;
        while at < self.rows {
            let word = self.words.get(at / 64).copied().unwrap_or_default();
            let same = if set { !word } else { word } >> (at % 64);
            if same != 0 {
                return self.rows.min(at + same.trailing_zeros() as usize);
            }
            at = (at / 64 + 1) * 64;
        }
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn selections_name_exactly_the_rows(rows in 0_usize..400, picked in prop::collection::btree_set(0_usize..400, 0..80)) {
            let mut bits = Bits::none(rows);
            for row in &picked {
                bits.set(*row);
            }
            let kept: Vec<usize> = picked.into_iter().filter(|row| *row < rows).collect();
            let (mut at, mut selected) = (0, Vec::new());
            for run in bits.selection().iter() {
                if !run.skip {
                    selected.extend(at..at + run.row_count);
                }
                at += run.row_count;
            }
            prop_assert_eq!(at, rows);
            prop_assert_eq!(&selected, &kept);
            prop_assert_eq!(bits.count(), kept.len());
            let mut rest = bits.clone();
            rest.not();
            prop_assert_eq!(rest.count(), rows - kept.len());
            rest.or(&bits);
            prop_assert_eq!(&rest, &Bits::all(rows));
            rest.and(&bits);
            prop_assert_eq!(rest, bits);
        }
    }
}
