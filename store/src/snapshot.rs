//! What readers see: the files of one version of the table.

use ambit_schemas::Timestamp;
use ambit_schemas::columns::{PARTITION_COLUMN, names};
use deltalake::kernel::LogicalFileView;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One version of the table. Its files stay readable while they are not vacuumed, whatever is committed meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The version.
    pub version: u64,
    /// Its files, oldest first.
    pub files: Vec<FileEntry>,
}

/// A data file.
#[derive(Debug, Clone)]
pub struct FileEntry {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the log, relative to the table.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// The partition: days since 1970 of `recorded_at`.
    pub day: i32,
    /// The span of event times, widened to milliseconds; absent when no row has one.
    pub time: Option<(Timestamp, Timestamp)>,
    /// The span of recording times.
    pub recorded_at: Option<(Timestamp, Timestamp)>,
    /// Whether there are rows without an event time.
    pub has_no_time: bool,
    /// The span of leaf indices over all shards of the file.
    pub leaf_index: Option<(u64, u64)>,
}

impl FileEntry {
    pub(crate) fn new(table: &Path, view: &LogicalFileView) -> Self {
        let stats: Value =
            view.stats().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null);
        let name = view.path();
        let time =
            |column: &str| Some((moment(&stats, "minValues", column)?, moment(&stats, "maxValues", column)?));
        let number = |edge: &str| stats.get(edge)?.get(names::LEAF_INDEX)?.as_u64();
        let no_time =
            stats.get("nullCount").and_then(|counts| counts.get(names::TIME)).and_then(Value::as_u64);
        Self {
            path: table.join(name.as_ref()),
            name: name.clone().into_owned(),
            size: view.size().unsigned_abs(),
            rows: view.num_records().unwrap_or_default() as u64,
            day: day_of(&name),
            time: time(names::TIME),
            recorded_at: time(names::RECORDED_AT),
            has_no_time: no_time != Some(0),
            leaf_index: number("minValues").zip(number("maxValues")),
        }
    }
}

fn moment(stats: &Value, edge: &str, column: &str) -> Option<Timestamp> {
    Timestamp::parse(stats.get(edge)?.get(column)?.as_str()?).ok()
}

fn day_of(name: &str) -> i32 {
    let day = name.split('/').find_map(|part| part.strip_prefix(PARTITION_COLUMN)?.strip_prefix('='));
    day.and_then(|day| Timestamp::parse(&format!("{day}T00:00:00Z")).ok()).map_or(0, Timestamp::day)
}
