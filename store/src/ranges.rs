//! What a data file says of itself: which leaves of which shards it holds, and the statistics that readers prune by.

use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Timestamp, Topic};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use serde_json::json;
use std::collections::BTreeMap;

/// Footer key under which a file says which leaves of which shards it holds.
pub(crate) const SHARDS_KEY: &str = "ambit.shards";
/// Footer key under which a file says how its rows are ordered, when not by leaf within each shard.
pub(crate) const ORDER_KEY: &str = "ambit.order";

/// Which leaves of which shards a file holds, and the span of its times.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    shards: BTreeMap<Shard, (i64, i64)>,
    time: Option<(i64, i64)>,
    recorded_at: Option<(i64, i64)>,
    no_time: usize,
}

impl Ranges {
    pub(crate) fn extend(&mut self, batch: &RecordBatch) {
        let topics = batch.column_by_name(names::TOPIC).and_then(|column| column.as_string_opt::<i32>());
        let partitions =
            batch.column_by_name(names::PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let leaves =
            batch.column_by_name(names::LEAF_INDEX).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(topics), Some(partitions), Some(leaves)) = (topics, partitions, leaves) else { return };
        for row in 0..batch.num_rows() {
            let Some(topic) = Topic::from_name(topics.value(row)) else { continue };
            let shard = Shard::new(topic, partitions.value(row).cast_unsigned());
            let leaf = leaves.value(row);
            let range = self.shards.entry(shard).or_insert((leaf, leaf));
            *range = (range.0.min(leaf), range.1.max(leaf));
        }
        self.time = span(self.time, batch, names::TIME);
        self.recorded_at = span(self.recorded_at, batch, names::RECORDED_AT);
        self.no_time += batch.column_by_name(names::TIME).map_or(0, Array::null_count);
    }

    /// `{"ambit.events/0": [first, last], ...}`
    pub(crate) fn footer(&self) -> String {
        let map: BTreeMap<String, [i64; 2]> =
            self.shards.iter().map(|(shard, (first, last))| (shard.to_string(), [*first, *last])).collect();
        json!(map).to_string()
    }

    /// Per-file statistics as the Delta protocol has them. Times are milliseconds there: the span is widened to them.
    pub(crate) fn stats(&self, rows: usize) -> String {
        let (mut least, mut most) = (serde_json::Map::new(), serde_json::Map::new());
        let topics = self.shards.keys().map(|shard| shard.topic.name());
        if let (Some(first), Some(last)) = (topics.clone().min(), topics.max()) {
            least.insert(names::TOPIC.into(), json!(first));
            most.insert(names::TOPIC.into(), json!(last));
            least.insert(
                names::PARTITION.into(),
                json!(self.shards.keys().map(|shard| shard.partition).min()),
            );
            most.insert(
                names::PARTITION.into(),
                json!(self.shards.keys().map(|shard| shard.partition).max()),
            );
            least.insert(names::LEAF_INDEX.into(), json!(self.shards.values().map(|range| range.0).min()));
            most.insert(names::LEAF_INDEX.into(), json!(self.shards.values().map(|range| range.1).max()));
        }
        for (name, times) in [(names::TIME, self.time), (names::RECORDED_AT, self.recorded_at)] {
            if let Some((from, to)) = times {
                let floor = from.div_euclid(1_000) * 1_000;
                let ceiling = (to.div_euclid(1_000) + 1) * 1_000;
                least.insert(name.into(), json!(Timestamp::from_micros(floor)));
                most.insert(name.into(), json!(Timestamp::from_micros(ceiling)));
            }
        }
        let nulls = json!({names::TIME: self.no_time, names::RECORDED_AT: 0, names::LEAF_INDEX: 0});
        json!({"numRecords": rows, "minValues": least, "maxValues": most, "nullCount": nulls}).to_string()
    }
}

fn span(so_far: Option<(i64, i64)>, batch: &RecordBatch, name: &str) -> Option<(i64, i64)> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let least = arrow::compute::min(column);
    let most = arrow::compute::max(column);
    match (so_far, least, most) {
        (Some((from, to)), Some(least), Some(most)) => Some((from.min(least), to.max(most))),
        (None, Some(least), Some(most)) => Some((least, most)),
        (so_far, _, _) => so_far,
    }
}
