//! Whoever watches a verification: a progress bar, or the scrubber that slows it down.

use super::report::Fault;
use ambit_schemas::Shard;

/// The watcher wants no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// Hears how a verification goes on, from several threads.
pub trait Watch: Send + Sync + std::fmt::Debug {
    /// So many rows are to be read; told once at the beginning.
    fn total(&self, _rows: u64) {}

    /// So many more rows have been read. May block, to slow the reading down.
    ///
    /// # Errors
    /// Ends the verification.
    fn rows(&self, count: u64) -> Result<(), Stop>;

    /// Something is wrong with a shard. Told as it is found, up to once per row.
    fn fault(&self, _shard: Shard, _fault: &Fault) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn rows(&self, _count: u64) -> Result<(), Stop> {
        Ok(())
    }
}
