//! Bytes of a data file make no sense any more: which events were in them?

use super::report::Fault;
use super::rows::Place;
use super::shard::ShardState;
use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Topic};
use ambit_store::OpenFile;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows that are read at once while the good ones are counted: the fault is named to the row.
const ONE: usize = 1;
/// Rows that are read at once of the columns that name events.
const MANY: usize = 8_192;

/// Runs a reader of bytes that nobody vouches for. A panic of the decoder is damage like any other.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, ambit_store::Error>) -> Result<T, Damage> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Damage::Error(error)),
        Err(_) => Err(Damage::Panic),
    }
}

/// Why a file was not read.
pub(super) enum Damage {
    /// The store says why.
    Error(ambit_store::Error),
    /// The decoder gave up.
    Panic,
}

impl Damage {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Panic => "the decoder could make nothing of its bytes".into(),
            Self::Error(error) => {
                let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
                format!("{error}{}", cause.unwrap_or_default())
            }
        }
    }
}

/// Blames each shard for its first row that cannot be read; rows from there to the end of the row group are unknown.
/// Returns how many rows were named: none when not even that can be read.
pub(super) fn name_rows(
    file: &OpenFile,
    group: usize,
    place: Place<'_>,
    shards: &BTreeMap<Shard, ShardState>,
    why: &str,
) -> usize {
    let mut good = 0;
    // Ends at the damage, by an error or a panic.
    drop(guarded(|| {
        for batch in file.rows(group, ONE, None)? {
            good += batch?.num_rows();
        }
        Ok(())
    }));
    let with_id = [names::TOPIC, names::PARTITION, names::LEAF_INDEX, names::OFFSET, names::ID];
    let without = [names::TOPIC, names::PARTITION, names::LEAF_INDEX, names::OFFSET];
    let read = |columns: &[&str]| {
        guarded(|| file.rows(group, MANY, Some(columns))?.collect::<Result<Vec<RecordBatch>, _>>())
    };
    let Ok(batches) = read(&with_id).or_else(|_| read(&without)) else { return 0 };
    let lost = lost_rows(&batches, good);
    let mut first: BTreeMap<Shard, (Lost, u64)> = BTreeMap::new();
    for row in &lost {
        let Some(state) = shards.get(&row.shard).filter(|state| state.wants(row.leaf)) else { continue };
        // Named here: they are not to be told as missing too.
        state.mark(row.leaf);
        let known = first.entry(row.shard).or_insert_with(|| (row.clone(), row.leaf));
        known.1 = known.1.max(row.leaf);
        if row.leaf < known.0.leaf {
            known.0 = row.clone();
        }
    }
    for (shard, (row, last)) in first {
        let Some(state) = shards.get(&shard) else { continue };
        state.blame(Fault {
            leaf_index: row.leaf,
            offset: Some(row.offset),
            event_id: row.id,
            file: Some(place.file.to_owned()),
            what: format!("the row cannot be read any more, nor those after it up to leaf {last}: {why}"),
        });
    }
    lost.len()
}

#[derive(Clone)]
struct Lost {
    shard: Shard,
    leaf: u64,
    offset: u64,
    id: Option<String>,
}

fn lost_rows(batches: &[RecordBatch], good: usize) -> Vec<Lost> {
    let mut lost = Vec::new();
    let mut before = 0;
    for batch in batches {
        let text = |name| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let long =
            |name| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let partitions =
            batch.column_by_name(names::PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let (Some(topics), Some(partitions), Some(leaves), Some(offsets)) =
            (text(names::TOPIC), partitions, long(names::LEAF_INDEX), long(names::OFFSET))
        else {
            return Vec::new();
        };
        let ids = text(names::ID);
        for row in good.saturating_sub(before).min(batch.num_rows())..batch.num_rows() {
            let Some(topic) = Topic::from_name(topics.value(row)) else { continue };
            lost.push(Lost {
                shard: Shard::new(topic, partitions.value(row).cast_unsigned()),
                leaf: leaves.value(row).cast_unsigned(),
                offset: offsets.value(row).cast_unsigned(),
                id: ids.and_then(|ids| ids.iter().nth(row).flatten()).map(str::to_owned),
            });
        }
        before += batch.num_rows();
    }
    lost
}
