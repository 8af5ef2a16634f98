//! Checks the store against the ledger's signed checkpoints, row by row.
//!
//! For each shard, in order of leaves: the record is taken from its row, its leaf is hashed again and compared with
//! the stored hash and with the ledger's tile; every derived column is derived again and compared; the tree over all
//! leaves must have the root that was signed. Rows beyond the newest checkpoint are checked in themselves: they are
//! stored, but not yet signed.

use crate::error::Error;
use crate::keeper::origin;
use ambit_ledger::{CheckpointKey, FsTiles, LeafHash, PublishedTree, TreeVerifier, leaf_hash};
use ambit_schemas::columns::{PARTITION_COLUMN, Row, RowBuilder, Stored, names, record_at};
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Shard, Timestamp, decode};
use ambit_store::{Ranges, Store};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What is wrong with a shard: the first thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The leaf concerned.
    pub leaf_index: u64,
    /// Its offset in Kafka, when the row could be read.
    pub offset: Option<u64>,
    /// The event's id, when it has one.
    pub event_id: Option<String>,
    /// What is wrong, for people.
    pub what: String,
}

/// What was found in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    /// The shard.
    pub shard: String,
    /// Rows that were read.
    pub rows: u64,
    /// Leaves whose rows retention has deleted; their hashes are the ledger's.
    pub retired: u64,
    /// Leaves under the newest signed checkpoint.
    pub signed: u64,
    /// The root that was signed, hexadecimal.
    pub root: Option<String>,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

impl ShardReport {
    /// Whether everything agrees.
    pub const fn intact(&self) -> bool {
        self.fault.is_none()
    }
}

/// Checks a shard. `progress` hears how many rows have been read.
pub async fn verify_shard(
    store: &Store,
    ledger_dir: &Path,
    log_name: &str,
    key: &CheckpointKey,
    shard: Shard,
    mut progress: impl FnMut(u64),
) -> Result<ShardReport, Error> {
    let mut report =
        ShardReport { shard: shard.to_string(), rows: 0, retired: 0, signed: 0, root: None, fault: None };
    let tolerated =
        Tolerated { retired: store.retired().await?.of(shard), columns_since: store.columns_since().await? };
    let tiles = FsTiles::new(ledger_dir.join(shard.topic.name()).join(shard.partition.to_string()));
    let tree = match PublishedTree::open(origin(log_name, shard)?, tiles, key) {
        Ok(tree) => tree,
        Err(error) => {
            report.fault = Some(fault_of_ledger(&error));
            return Ok(report);
        }
    };
    report.signed = tree.size().0;
    let expected = tree.checkpoint().map(|signed| signed.checkpoint().clone());
    report.root = expected.as_ref().map(|checkpoint| checkpoint.root.to_string());
    let mut stored_leaves = tree.stored_leaves(ambit_ledger::LeafIndex(0));
    let mut verifier = TreeVerifier::expecting(expected.into_iter().collect())
        .map_err(|cause| Error::Ledger { shard, cause })?;
    let mut rows = std::pin::pin!(store.scan(shard, 0));
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let here = leaf_at(&batch, row).unwrap_or(report.rows + report.retired);
            if let Err(fault) = let_go(&mut report, &tolerated, here, &mut stored_leaves, &mut verifier) {
                report.fault = Some(fault);
                return Ok(report);
            }
            let leaf_index = report.rows + report.retired;
            let in_tile = if leaf_index < report.signed { stored_leaves.next() } else { None };
            let checked = match in_tile.transpose() {
                Err(error) => Err(fault_of_ledger(&error)),
                Ok(in_tile) => check_row(&batch, row, leaf_index, in_tile, &tolerated),
            };
            let pushed = checked.and_then(|leaf| {
                let wrong = |error: ambit_ledger::LedgerError| fault(leaf_index, None, error.to_string());
                if leaf_index < report.signed { verifier.push(leaf).map_err(wrong) } else { Ok(()) }
            });
            if let Err(fault) = pushed {
                report.fault = Some(fault);
                return Ok(report);
            }
            report.rows += 1;
        }
        progress(report.rows);
    }
    let end = report.signed;
    if let Err(fault) = let_go(&mut report, &tolerated, end, &mut stored_leaves, &mut verifier) {
        report.fault = Some(fault);
        return Ok(report);
    }
    let held = report.rows + report.retired;
    if held < report.signed {
        let what = format!("the ledger has signed {} leaves, the store holds {held}", report.signed);
        report.fault = Some(fault(held, None, what));
    } else if let Err(error) = verifier.finish() {
        report.fault = Some(fault(report.signed, None, error.to_string()));
    } else if let Err(error) = tree.check_tiles() {
        report.fault = Some(fault_of_ledger(&error));
    }
    Ok(report)
}

/// What may be missing without being a fault.
struct Tolerated {
    /// Leaves whose rows retention has deleted.
    retired: Ranges,
    /// Since when columns that were added later are filled.
    columns_since: BTreeMap<String, Timestamp>,
}

fn leaf_at(batch: &RecordBatch, row: usize) -> Option<u64> {
    let leaves = batch.column_by_name(names::LEAF_INDEX)?.as_primitive_opt::<Int64Type>()?;
    (row < leaves.len()).then(|| leaves.value(row).cast_unsigned())
}

/// Passes over leaves up to `until` whose rows were deleted by retention: the ledger's own hashes stand for them, so
/// the root over all leaves is still the one that was signed.
fn let_go(
    report: &mut ShardReport,
    tolerated: &Tolerated,
    until: u64,
    in_tiles: &mut impl Iterator<Item = Result<LeafHash, ambit_ledger::LedgerError>>,
    verifier: &mut TreeVerifier,
) -> Result<(), Fault> {
    loop {
        let next = report.rows + report.retired;
        if next >= until.min(report.signed) || tolerated.retired.last_from(next).is_none() {
            return Ok(());
        }
        let leaf = match in_tiles.next() {
            Some(Ok(leaf)) => leaf,
            Some(Err(error)) => return Err(fault_of_ledger(&error)),
            None => return Ok(()),
        };
        verifier.push(leaf).map_err(|error| fault(next, None, error.to_string()))?;
        report.retired += 1;
    }
}

fn fault(leaf_index: u64, stored: Option<&Stored>, what: String) -> Fault {
    let event_id = stored
        .and_then(|stored| stored.record.header("ce_id"))
        .map(|id| String::from_utf8_lossy(id).into_owned());
    Fault { leaf_index, offset: stored.map(|stored| stored.record.offset), event_id, what }
}

fn fault_of_ledger(error: &ambit_ledger::LedgerError) -> Fault {
    fault(0, None, format!("the ledger itself is broken: {error}"))
}

fn check_row(
    batch: &RecordBatch,
    row: usize,
    leaf_index: u64,
    in_tile: Option<LeafHash>,
    tolerated: &Tolerated,
) -> Result<LeafHash, Fault> {
    let stored = record_at(batch, row).map_err(|error| fault(leaf_index, None, error.to_string()))?;
    let wrong = |what: String| Err(fault(leaf_index, Some(&stored), what));
    if stored.leaf_index != leaf_index {
        return wrong(format!("the row claims to be leaf {}", stored.leaf_index));
    }
    let mut bytes = Vec::new();
    leaf_bytes(&stored.record, &mut bytes);
    let leaf = leaf_hash(&bytes);
    if leaf.as_bytes().as_slice() != stored.leaf_hash.as_slice() {
        return wrong(
            "the record does not have the hash that is stored with it: its bytes were changed".into(),
        );
    }
    if in_tile.is_some_and(|in_tile| in_tile != leaf) {
        return wrong("the record is not the one that was signed: row and hash were changed".into());
    }
    match derived_column_that_differs(batch, row, &stored, leaf, tolerated) {
        Some(column) => wrong(format!("column `{column}` does not say what the record says: it was changed")),
        None => Ok(leaf),
    }
}

/// Derives the row again from its record and compares column by column.
fn derived_column_that_differs(
    batch: &RecordBatch,
    row: usize,
    stored: &Stored,
    leaf: LeafHash,
    tolerated: &Tolerated,
) -> Option<String> {
    let decoded = decode(&stored.record);
    let mut builder = RowBuilder::new(1);
    builder.append(Row {
        record: &stored.record,
        decoded: decoded.as_ref(),
        leaf_index: stored.leaf_index,
        leaf_hash: *leaf.as_bytes(),
        recorded_at: stored.recorded_at,
        duplicate: stored.duplicate,
    });
    let Ok(again) = builder.finish() else { return Some("all".into()) };
    let differs = |name: &str| {
        let (Some(left), Some(right)) = (batch.column_by_name(name), again.column_by_name(name)) else {
            return true;
        };
        let since = tolerated.columns_since.get(name);
        if left.is_null(row) && since.is_some_and(|since| stored.recorded_at < *since) {
            return false;
        }
        left.slice(row, 1).to_data() != right.to_data()
    };
    let schema = again.schema();
    let mut columns = schema.fields().iter().map(|field| field.name().as_str());
    columns.find(|name| *name != PARTITION_COLUMN && differs(name)).map(str::to_owned)
}
