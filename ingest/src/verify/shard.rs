//! What is known of one shard while its rows are checked, by several threads.

use super::coverage::Coverage;
use super::leaves::SignedLeaves;
use super::report::{Fault, ShardReport};
use super::watch::Watch;
use ambit_schemas::Shard;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) shard: Shard,
    pub(super) leaves: SignedLeaves,
    /// Leaves that the table says it holds.
    pub(super) stored: u64,
    /// Rows of these leaves are checked, all others passed over.
    wanted: Vec<Range<u64>>,
    watch: Arc<dyn Watch>,
    rows: AtomicU64,
    faults: AtomicU64,
    seen: Mutex<Coverage>,
    earliest: Mutex<Option<Fault>>,
}

impl ShardState {
    pub(super) fn new(
        shard: Shard,
        leaves: SignedLeaves,
        stored: u64,
        from: u64,
        watch: Arc<dyn Watch>,
    ) -> Self {
        Self {
            shard,
            leaves,
            stored,
            wanted: std::iter::once(from..u64::MAX).collect(),
            watch,
            rows: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            seen: Mutex::default(),
            earliest: Mutex::default(),
        }
    }

    pub(super) fn wants(&self, leaf: u64) -> bool {
        self.wanted.iter().any(|range| range.contains(&leaf))
    }

    pub(super) fn wants_any(&self, leaves: Range<u64>) -> bool {
        self.wanted.iter().any(|range| range.start < leaves.end && leaves.start < range.end)
    }

    pub(super) fn wants_more(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// From here on only these rows are checked.
    pub(super) fn want_only(&mut self, leaves: Vec<Range<u64>>) {
        self.wanted = leaves;
    }

    /// The row of a leaf was read; false when it was before.
    pub(super) fn mark(&self, leaf: u64) -> bool {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.seen().mark(leaf)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Coverage> {
        // Every change is one bit, so a panic elsewhere leaves nothing half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a fault if its leaf is the earliest so far.
    pub(super) fn blame(&self, fault: Fault) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.watch.fault(self.shard, &fault);
        let mut earliest = self.earliest.lock().unwrap_or_else(PoisonError::into_inner);
        if earliest.as_ref().is_none_or(|known| fault.leaf_index < known.leaf_index) {
            *earliest = Some(fault);
        }
    }

    pub(super) fn signed(&self) -> u64 {
        self.leaves.tree.size().0
    }

    pub(super) fn report(&self, from: u64, retired: u64) -> ShardReport {
        ShardReport {
            shard: self.shard.to_string(),
            from,
            rows: self.rows.load(Ordering::Relaxed),
            retired,
            signed: self.signed(),
            root: self.leaves.tree.checkpoint().map(|signed| signed.checkpoint().root.to_string()),
            fault: self.earliest.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            faults: self.faults.load(Ordering::Relaxed),
        }
    }
}
