//! Checks rows: is this the record that was signed, and do the columns beside it say what it says?

use super::leaves::Cursor;
use super::report::Fault;
use super::shard::ShardState;
use ambit_ledger::leaf_hash;
use ambit_schemas::columns::{PARTITION_COLUMN, RecordColumns, Row, RowBuilder, UnreadableRow};
use ambit_schemas::{Record, Shard, Timestamp, decode};
use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use std::collections::{BTreeMap, HashMap};

/// The file that rows are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) day: i32,
    /// Which leaves of which shards the file's footer says it holds: readers believe it when they choose files.
    pub(super) leaves: Option<&'a BTreeMap<Shard, (u64, u64)>>,
}

impl Place<'_> {
    fn names(&self, shard: Shard, leaf: u64) -> bool {
        let Some(leaves) = self.leaves else { return true };
        leaves.get(&shard).is_some_and(|(first, last)| (*first..=*last).contains(&leaf))
    }
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Rows that were checked.
    pub(super) rows: u64,
    /// A row that is not where its file says its rows are, so that no shard can be blamed for it.
    pub(super) stray: Option<String>,
}

/// One thread's checker of rows.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    shards: &'a BTreeMap<Shard, ShardState>,
    columns_since: &'a BTreeMap<String, Timestamp>,
    cursors: HashMap<Shard, Cursor>,
    leaf: Vec<u8>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        shards: &'a BTreeMap<Shard, ShardState>,
        columns_since: &'a BTreeMap<String, Timestamp>,
    ) -> Self {
        Self { shards, columns_since, cursors: HashMap::new(), leaf: Vec::new() }
    }

    /// Checks the rows of a batch that are wanted. What is wrong is kept with its shard.
    pub(super) fn batch(&mut self, batch: &RecordBatch, place: Place<'_>) -> Result<Checked, UnreadableRow> {
        let columns = RecordColumns::of(batch)?;
        let mut wanted = Vec::with_capacity(batch.num_rows());
        let mut checked = Checked::default();
        for row in 0..batch.num_rows() {
            let (shard, leaf) = (columns.shard(row), columns.leaf_index(row));
            let Some(shard) = shard.filter(|shard| place.names(*shard, leaf)) else {
                checked.stray.get_or_insert_with(|| {
                    let shard = shard.map_or_else(|| "no shard of ours".to_owned(), |shard| shard.to_string());
                    let offset = columns.offset(row);
                    format!("a row says that it is leaf {leaf} of {shard}, offset {offset}: its file does not hold that")
                });
                continue;
            };
            if let Some(state) = self.shards.get(&shard).filter(|state| state.wants(leaf)) {
                wanted.push((row, shard, state));
            }
        }
        checked.rows = wanted.len() as u64;
        let mut intact = Vec::with_capacity(wanted.len());
        for (row, shard, state) in &wanted {
            let index = columns.leaf_index(*row);
            match self.row(&columns, *row, *shard, state, place) {
                Ok(record) if state.mark(index) => intact.push((*row, record)),
                Ok(record) => {
                    let what = format!("leaf {index} is stored twice");
                    state.blame(fault(index, Some(&record), place, what));
                }
                Err(fault) => {
                    state.mark(index);
                    state.blame(*fault);
                }
            }
        }
        self.derived(batch, &columns, &intact, place);
        Ok(checked)
    }

    fn row(
        &mut self,
        columns: &RecordColumns<'_>,
        row: usize,
        shard: Shard,
        state: &ShardState,
        place: Place<'_>,
    ) -> Result<Record, Box<Fault>> {
        let index = columns.leaf_index(row);
        columns.leaf_parts(row, shard).write(&mut self.leaf);
        let leaf = leaf_hash(&self.leaf);
        let record = columns
            .record(row, shard)
            .map_err(|error| Box::new(fault(index, None, place, error.to_string())))?;
        let wrong = |what: &str| Box::new(fault(index, Some(&record), place, what.to_owned()));
        if leaf.as_bytes().as_slice() != columns.leaf_hash(row) {
            return Err(wrong(
                "the record does not have the hash that is stored with it: its bytes were changed",
            ));
        }
        let signed = self.cursors.entry(shard).or_default().leaf(&state.leaves, index);
        match signed {
            Err(error) => return Err(wrong(&format!("the ledger itself is broken: {error}"))),
            Ok(Some(signed)) if signed != leaf => {
                return Err(wrong("the record is not the one that was signed: row and hash were changed"));
            }
            Ok(_) => {}
        }
        if columns.recorded_at(row).day() != place.day {
            return Err(wrong("the row lies in the folder of another day: readers that prune by it miss it"));
        }
        Ok(record)
    }

    /// Derives the columns again from the records and compares them.
    fn derived(
        &self,
        batch: &RecordBatch,
        columns: &RecordColumns<'_>,
        rows: &[(usize, Record)],
        place: Place<'_>,
    ) {
        let mut builder = RowBuilder::new(rows.len());
        for (row, record) in rows {
            let decoded = decode(record);
            builder.append(Row {
                record,
                decoded: decoded.as_ref(),
                leaf_index: columns.leaf_index(*row),
                leaf_hash: columns.leaf_hash(*row).try_into().unwrap_or_default(),
                recorded_at: columns.recorded_at(*row),
                duplicate: columns.duplicate(*row),
            });
        }
        let blame = |place_in_rows: usize, what: String| {
            if let Some((row, record)) = rows.get(place_in_rows)
                && let Some(state) = self.shards.get(&record.shard)
            {
                state.blame(fault(columns.leaf_index(*row), Some(record), place, what));
            }
        };
        let stored = if rows.len() == batch.num_rows() { Ok(batch.clone()) } else { only(batch, rows) };
        let (Ok(stored), Ok(again)) = (stored, builder.finish()) else {
            return blame(0, "the row cannot be put together again".into());
        };
        for field in again.schema().fields().iter().filter(|field| field.name() != PARTITION_COLUMN) {
            let name = field.name();
            let since = self.columns_since.get(name);
            let too_old =
                |(row, _): &(usize, Record)| since.is_some_and(|since| columns.recorded_at(*row) < *since);
            let (Some(left), Some(right)) = (stored.column_by_name(name), again.column_by_name(name)) else {
                // A file that was written before the column was added lacks it.
                if !rows.iter().all(too_old) {
                    blame(0, format!("column `{name}` is gone"));
                }
                continue;
            };
            if left.as_ref() != right.as_ref() {
                let differs = |row: &usize| left.slice(*row, 1).to_data() != right.slice(*row, 1).to_data();
                let filled = |row: &usize| !(left.is_null(*row) && rows.get(*row).is_some_and(too_old));
                for row in (0..rows.len()).filter(filled).filter(differs) {
                    blame(row, format!("column `{name}` does not say what the record says: it was changed"));
                }
            }
        }
    }
}

fn only(batch: &RecordBatch, rows: &[(usize, Record)]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut keep = vec![false; batch.num_rows()];
    for (row, _) in rows {
        if let Some(keep) = keep.get_mut(*row) {
            *keep = true;
        }
    }
    filter_record_batch(batch, &BooleanArray::from(keep))
}

pub(super) fn fault(leaf_index: u64, record: Option<&Record>, place: Place<'_>, what: String) -> Fault {
    let event_id =
        record.and_then(|record| record.header("ce_id")).map(|id| String::from_utf8_lossy(id).into_owned());
    let offset = record.map(|record| record.offset);
    Fault { leaf_index, offset, event_id, file: Some(place.file.to_owned()), what }
}
