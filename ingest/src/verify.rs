//! Checks the store against the ledger's signed checkpoints, row by row.
//!
//! Of each row the record is hashed again and compared with the hash beside it and with the leaf that was signed (a
//! tile that was found to be under the signed root); every derived column is derived again and compared. Each leaf must
//! be there once. Together that is the whole tree, in whatever order the rows lie, so files and row groups are read
//! beside each other. Rows beyond the newest checkpoint are checked in themselves: they are stored, but not yet signed.
//!
//! What no record vouches for: when ingest took it (`recorded_at`) and whether it was a duplicate.

mod coverage;
mod damage;
mod files;
mod leaves;
mod report;
mod rows;
mod shard;
mod watch;

pub use report::{Fault, FileFault, Report, ShardReport};
pub use watch::{Stop, Unwatched, Watch};

use crate::error::Error;
use crate::keeper::origin;
use ambit_ledger::{CheckpointKey, FsTiles, LedgerError, PublishedTree, TreeSize};
use ambit_schemas::{Shard, Timestamp};
use ambit_store::{FileEntry, Position, Snapshot, Store};
use files::{Known, Pass};
use leaves::SignedLeaves;
use shard::ShardState;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// How often a verification begins afresh because files were replaced under it, before it gives up.
const TRIES: usize = 3;

/// What is checked.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Which shards.
    pub shards: Vec<Shard>,
    /// Where an earlier verification of a shard ended; what lies before is not read again.
    pub from: BTreeMap<Shard, TreeSize>,
    /// Only rows that were recorded on this day (days since 1970).
    pub day: Option<i32>,
    /// Leaves whose rows were retired by a documented rule: their absence is no fault.
    pub retired: BTreeMap<Shard, Vec<Range<u64>>>,
    /// Since when columns that were added to the table later are filled: before, a null is no fault.
    pub columns_since: BTreeMap<String, Timestamp>,
    /// Threads that read; at least one.
    pub threads: usize,
}

/// A store with its ledgers.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The store.
    pub store: Store,
    /// Where the ledgers are.
    pub ledger_dir: PathBuf,
    /// First part of every origin.
    pub log_name: String,
    /// Who signed.
    pub key: CheckpointKey,
}

impl Verification {
    /// Checks what is in scope.
    ///
    /// # Errors
    /// When it could not be checked; what was found to be wrong is in the report.
    pub async fn run(&self, scope: &Scope, watch: Arc<dyn Watch>) -> Result<Report, Error> {
        for _ in 0..TRIES {
            // In this order: rows are stored before they are signed, so what is signed now is in the snapshot.
            let (verification, wanted) = (self.clone(), scope.shards.clone());
            let trees = blocking(move || verification.trees(&wanted)).await?;
            let positions = self.store.positions(&scope.shards).await?;
            let snapshot = self.store.snapshot().await?;
            let (mut scope, watch, store) = (scope.clone(), Arc::clone(&watch), self.store.clone());
            // What retention has deleted is no fault: its hashes are the ledger's.
            let retired = self.store.retired().await?;
            for shard in &scope.shards {
                scope.retired.entry(*shard).or_default().extend(retired.leaf_ranges(*shard));
            }
            scope.columns_since = self.store.columns_since().await?;
            let begun = Run { scope, watch, positions, snapshot, table: store.path().to_owned() };
            let (report, gone) = blocking(move || begun.run(trees)).await?;
            if gone.is_empty() {
                return Ok(report);
            }
            // Files that are gone were either replaced meanwhile, or somebody took them.
            let now = self.store.snapshot().await?;
            let named = |entry: &FileEntry| now.files.iter().any(|file| file.path == entry.path);
            if gone.iter().any(named) {
                let missing = gone.iter().filter(|entry| named(entry)).map(|entry| FileFault {
                    file: entry
                        .path
                        .strip_prefix(self.store.path())
                        .unwrap_or(&entry.path)
                        .display()
                        .to_string(),
                    what: format!("the file is gone, with {} rows", entry.rows),
                });
                let mut report = report;
                report.files.extend(missing);
                return Ok(report);
            }
        }
        Err(Error::Moving)
    }

    fn trees(&self, shards: &[Shard]) -> Result<Trees, Error> {
        let mut trees = Vec::with_capacity(shards.len());
        for shard in shards {
            let dir = self.ledger_dir.join(shard.topic.name()).join(shard.partition.to_string());
            let tree = PublishedTree::open(origin(&self.log_name, *shard)?, FsTiles::new(dir), &self.key);
            trees.push((*shard, tree));
        }
        Ok(trees)
    }
}

type Trees = Vec<(Shard, Result<PublishedTree<FsTiles>, LedgerError>)>;

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Ended("the verification")))
}

struct Run {
    scope: Scope,
    watch: Arc<dyn Watch>,
    positions: HashMap<Shard, Position>,
    snapshot: Arc<Snapshot>,
    table: PathBuf,
}

impl Run {
    fn run(self, trees: Trees) -> Result<(Report, Vec<FileEntry>), Error> {
        let (mut broken, mut shards) = (Vec::new(), BTreeMap::new());
        for (shard, tree) in trees {
            let from = self.scope.from.get(&shard).map_or(0, |size| size.0);
            match tree {
                Ok(tree) => {
                    let stored = self.positions.get(&shard).map_or(0, |position| position.tree_size);
                    let leaves = SignedLeaves::new(tree);
                    let state = ShardState::new(shard, leaves, stored, from, Arc::clone(&self.watch));
                    for retired in self.scope.retired.get(&shard).into_iter().flatten() {
                        state.seen().mark_range(retired.clone());
                    }
                    shards.insert(shard, state);
                }
                Err(LedgerError::Read { origin, path, source }) => {
                    return Err(Error::Ledger { shard, cause: LedgerError::Read { origin, path, source } });
                }
                Err(error) => broken.push(broken_ledger(shard, from, &error)),
            }
        }
        let (files, gone) = self.pass(&mut shards)?;
        let mut reports = broken;
        for (shard, state) in &shards {
            let from = self.scope.from.get(shard).map_or(0, |size| size.0);
            let retired = self.scope.retired.get(shard).into_iter().flatten();
            reports.push(state.report(from, retired.map(|leaves| leaves.end - leaves.start).sum()));
        }
        reports.sort_by_key(|report| report.shard.parse::<Shard>().ok());
        let rows = reports.iter().map(|report| report.rows).sum();
        Ok((Report { table_version: self.snapshot.version, rows, shards: reports, files }, gone))
    }

    /// Reads the files and blames shards for what is wrong or not there. Returns files that could not be read, and files
    /// that are gone.
    fn pass(
        &self,
        shards: &mut BTreeMap<Shard, ShardState>,
    ) -> Result<(Vec<FileFault>, Vec<FileEntry>), Error> {
        let in_scope = |entry: &FileEntry| self.scope.day.is_none_or(|day| day == entry.day);
        let (chosen, others): (Vec<FileEntry>, Vec<FileEntry>) =
            self.snapshot.files.iter().cloned().partition(in_scope);
        let mut found = Found::default();
        let mut known = self.read(shards, &chosen, &mut found)?;
        if self.scope.day.is_some() {
            // A shard's rows follow each other in time: what is missing between its first and last of the day lies in a
            // neighbouring day's file, or is gone.
            let mut spans = BTreeMap::new();
            for (shard, state) in shards.iter_mut() {
                let span = state.seen().span();
                spans.extend(span.map(|span| (*shard, span)));
                let missing = state.seen().missing_inside();
                state.want_only(missing);
            }
            if shards.values().any(ShardState::wants_more) {
                known.extend(self.read(shards, &others, &mut found)?);
            }
            for (shard, span) in spans {
                shards
                    .get(&shard)
                    .into_iter()
                    .for_each(|state| self.blame_holes(state, span.clone(), &known));
            }
        } else {
            for (shard, state) in shards.iter() {
                let from = self.scope.from.get(shard).map_or(0, |size| size.0);
                self.blame_missing(state, from, &known);
            }
        }
        Ok((found.faults, found.gone))
    }

    fn read(
        &self,
        shards: &BTreeMap<Shard, ShardState>,
        entries: &[FileEntry],
        found: &mut Found,
    ) -> Result<Vec<Known>, Error> {
        let (faults, gone) = (Mutex::default(), Mutex::default());
        let columns_since = &self.scope.columns_since;
        let pass = Pass { table: &self.table, shards, watch: &*self.watch, columns_since, faults, gone };
        let mut known = pass.open(entries)?;
        known.retain(|file| file.concerns(shards));
        self.watch.total(known.iter().map(Known::rows).sum());
        pass.check(&known, self.scope.threads)?;
        found.faults.extend(into_inner(pass.faults));
        found.gone.extend(into_inner(pass.gone));
        Ok(known)
    }

    /// The ledger or the table has fewer leaves than it should.
    fn blame_missing(&self, state: &ShardState, from: u64, known: &[Known]) {
        let (signed, stored) = (state.signed(), state.stored);
        if signed > stored {
            let what = format!(
                "the ledger has signed {signed} leaves, the table holds {stored}: the table was rolled back or replaced"
            );
            state.blame(Fault { leaf_index: stored, offset: None, event_id: None, file: None, what });
        }
        self.blame_holes(state, from..signed.max(stored).max(from), known);
    }

    fn blame_holes(&self, state: &ShardState, within: Range<u64>, known: &[Known]) {
        let holes = state.seen().missing(within);
        for hole in holes {
            let last = hole.end - 1;
            let signed = if hole.start < state.signed() { "was signed and " } else { "" };
            let what = match last - hole.start {
                0 => format!("the leaf {signed}is not in the store"),
                _ => format!("the leaf, and all up to leaf {last}, {signed}is not in the store"),
            };
            // The file whose footer says that it has the leaf, if there is one.
            let file = known.iter().find(|file| {
                let range = file.leaves.as_ref().and_then(|leaves| leaves.get(&state.shard));
                range.is_some_and(|(first, last)| (*first..=*last).contains(&hole.start))
            });
            let file = file.map(|file| {
                let path = &file.entry.path;
                path.strip_prefix(&self.table).unwrap_or(path).display().to_string()
            });
            state.blame(Fault { leaf_index: hole.start, offset: None, event_id: None, file, what });
        }
    }
}

/// What is wrong with files.
#[derive(Default)]
struct Found {
    faults: Vec<FileFault>,
    gone: Vec<FileEntry>,
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn broken_ledger(shard: Shard, from: u64, error: &LedgerError) -> ShardReport {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let what = format!("the ledger itself is broken: {error}{cause}");
    ShardReport {
        shard: shard.to_string(),
        from,
        rows: 0,
        retired: 0,
        signed: 0,
        root: None,
        fault: Some(Fault { leaf_index: from, offset: None, event_id: None, file: None, what }),
        faults: 1,
    }
}
