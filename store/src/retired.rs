//! What retention has deleted: leaves of each shard whose rows are gone on purpose.
//!
//! `_ambit/retired-<sha256>.json`: `{"previous": digest or null, "shards": {"ambit.events/0": [[first, last], ..]},
//! "runs": [{id, at, author, policy, holds, file, rows, tenants}]}`. Ranges are of all runs so far, in order, apart from
//! each other; `runs` are those since the previous document.

use crate::control::Document;
use crate::retention::Retention;
use ambit_schemas::{Shard, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ranges of leaf indices, each with its first and last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The ranges, in order.
    pub fn all(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// How many leaves they hold.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The last leaf of the range that holds this one.
    pub fn last_from(&self, leaf: u64) -> Option<u64> {
        let after = self.0.partition_point(|(first, _)| *first <= leaf);
        let (_, last) = self.0.get(after.checked_sub(1)?)?;
        (*last >= leaf).then_some(*last)
    }

    /// Takes a leaf in; [`Ranges::settle`] puts them in order.
    pub(crate) fn push(&mut self, leaf: u64) {
        match self.0.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(leaf) => *last = leaf,
            _ => self.0.push((leaf, leaf)),
        }
    }

    /// Puts the ranges in order and joins those that touch.
    pub(crate) fn settle(&mut self) {
        self.0.sort_unstable();
        let mut settled: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0.drain(..) {
            match settled.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => settled.push((first, last)),
            }
        }
        self.0 = settled;
    }
}

/// One deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its name.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// At whose order.
    pub author: String,
    /// By which rule.
    pub policy: Retention,
    /// The digest of the holds that were in force.
    pub holds: Option<String>,
    /// The file that held the rows.
    pub file: String,
    /// How many rows.
    pub rows: u64,
    /// How many of each tenant; `-` for those of none.
    pub tenants: BTreeMap<String, u64>,
}

/// What retention has deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    previous: Option<String>,
    shards: BTreeMap<String, Ranges>,
    runs: Vec<Run>,
}

impl Document for Retired {
    const NAME: &'static str = "retired";

    fn set_previous(&mut self, digest: Option<String>) {
        self.previous = digest;
    }
}

impl Retired {
    /// The leaves of a shard whose rows are gone.
    pub fn of(&self, shard: Shard) -> Ranges {
        self.shards.get(&shard.to_string()).cloned().unwrap_or_default()
    }

    /// The same as half-open ranges.
    pub fn leaf_ranges(&self, shard: Shard) -> Vec<std::ops::Range<u64>> {
        self.of(shard).all().iter().map(|(first, last)| *first..last.saturating_add(1)).collect()
    }

    /// All shards with leaves whose rows are gone.
    pub const fn shards(&self) -> &BTreeMap<String, Ranges> {
        &self.shards
    }

    /// What was done since the previous document.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(crate) fn add(&mut self, retired: &BTreeMap<String, Ranges>, run: Run) {
        for (shard, ranges) in retired {
            let all = self.shards.entry(shard.clone()).or_default();
            all.0.extend_from_slice(&ranges.0);
            all.settle();
        }
        self.runs = vec![run];
    }
}
