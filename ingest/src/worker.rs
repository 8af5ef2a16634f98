//! A worker: decodes, hashes and encodes the records of its shards on a thread of its own.

use crate::dedupe::Window;
use crate::error::Error;
use crate::failpoint;
use crate::handle::Handle;
use crate::notices::Hole;
use crate::producers::{Noticed, Producers};
use ambit_ledger::{LeafHash, leaf_hash};
use ambit_schemas::columns::{Row, RowBuilder};
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Event, Record, Shard, Timestamp, decode};
use ambit_store::{Advance, DataFile, Position, Writer};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows that are collected before they are encoded.
const BATCH_ROWS: usize = 8_192;
/// Bytes of records that are collected before they are encoded.
const BATCH_BYTES: usize = 16 << 20;

/// Notices of missing events and wrong clocks in one commit; more are counted in the metrics only.
const NOTICES_MAX: usize = 256;

/// The latest events of a shard.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) window: Window,
    pub(crate) producers: Producers,
}

/// What a worker is told.
pub(crate) enum ToWorker {
    /// A shard is ours, from this position on.
    Open(Shard, Position, Box<History>),
    /// Kafka has deleted everything of a shard below this offset.
    Skip(Shard, u64),
    /// Records of its shards, in order.
    Records(Vec<Record>),
    /// End the file and say what is in it.
    Flush(SyncSender<Result<Flushed, Error>>),
    /// Shards are no longer ours. Comes right after a flush.
    Close(Vec<Shard>),
}

/// What a worker has made durable since its last flush.
pub(crate) struct Flushed {
    pub(crate) files: Vec<DataFile>,
    pub(crate) advances: Vec<Advance>,
    pub(crate) leaves: Vec<(Shard, Vec<LeafHash>)>,
    /// What must be durable before the shards move on.
    pub(crate) notices: Vec<Event>,
}

struct ShardState {
    flushed: Position,
    next: Position,
    leaves: Vec<LeafHash>,
    history: Box<History>,
    /// Offsets that are missing since the last flush.
    hole: Option<Hole>,
}

pub(crate) struct Worker {
    writer: Writer,
    rows: RowBuilder,
    shards: HashMap<Shard, ShardState>,
    handle: Handle,
    leaf: Vec<u8>,
    notices: Vec<Event>,
}

impl Worker {
    pub(crate) fn new(writer: Writer, handle: Handle) -> Self {
        Self {
            writer,
            rows: RowBuilder::new(BATCH_ROWS),
            shards: HashMap::new(),
            handle,
            leaf: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Works until the pipeline is gone. A failure is answered to the next flush.
    pub(crate) fn run(mut self, orders: &Receiver<ToWorker>) {
        let mut failure = None;
        while let Ok(order) = orders.recv() {
            match order {
                ToWorker::Open(shard, position, history) => {
                    let (flushed, next) = (position, position);
                    let state = ShardState { flushed, next, leaves: Vec::new(), history, hole: None };
                    self.shards.insert(shard, state);
                }
                ToWorker::Skip(shard, to) => {
                    if let Some(state) = self.shards.get_mut(&shard) {
                        missing(shard, state, to, true, &self.handle);
                    }
                }
                ToWorker::Records(records) if failure.is_none() => failure = self.take(&records).err(),
                ToWorker::Records(_) => {}
                ToWorker::Flush(reply) => {
                    let answer = match failure.take() {
                        Some(error) => Err(error),
                        None => self.flush(),
                    };
                    let failed = answer.is_err();
                    // Without a committer there is nobody to tell, and the service is ending.
                    if reply.send(answer).is_err() || failed {
                        break;
                    }
                }
                ToWorker::Close(shards) => self.shards.retain(|shard, _| !shards.contains(shard)),
            }
        }
        self.writer.discard();
    }

    fn take(&mut self, records: &[Record]) -> Result<(), Error> {
        let recorded_at = now();
        for record in records {
            self.row(record, recorded_at)?;
            if self.rows.len() >= BATCH_ROWS || self.rows.bytes() >= BATCH_BYTES {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// INVARIANT L-1: leaf indices are contiguous, in offset order; what is stored already is passed over.
    fn row(&mut self, record: &Record, recorded_at: Timestamp) -> Result<(), Error> {
        let Some(state) = self.shards.get_mut(&record.shard) else { return Ok(()) };
        if record.offset < state.next.next_offset {
            return Ok(());
        }
        missing(record.shard, state, record.offset, false, &self.handle);
        leaf_bytes(record, &mut self.leaf);
        let hash = leaf_hash(&self.leaf);
        let decoded = decode(record);
        let duplicate = match &decoded {
            Ok(event) => {
                let (source, id) = (event.source.as_str(), event.id.as_str());
                state.history.window.insert(event.tenant.as_str(), source, id)
            }
            Err(malformed) => {
                self.handle.dead_letter(malformed.reason);
                false
            }
        };
        if duplicate {
            self.handle.duplicate();
        } else if let Ok(event) = &decoded {
            for noticed in state.history.producers.check(record, event, recorded_at)? {
                let notice = match noticed {
                    Noticed::Missing(notice) => {
                        self.handle.sequence_gap();
                        notice
                    }
                    Noticed::Skewed(notice) => {
                        self.handle.clock_skew();
                        notice
                    }
                };
                if self.notices.len() < NOTICES_MAX {
                    self.notices.push(notice);
                }
            }
        }
        let leaf_index = state.next.tree_size;
        let leaf_hash = *hash.as_bytes();
        self.rows.append(Row {
            record,
            decoded: decoded.as_ref(),
            leaf_index,
            leaf_hash,
            recorded_at,
            duplicate,
        });
        self.handle.event(record.size());
        state.leaves.push(hash);
        state.next = Position { next_offset: record.offset + 1, tree_size: leaf_index + 1 };
        Ok(())
    }

    fn encode(&mut self) -> Result<(), Error> {
        if !self.rows.is_empty() {
            self.writer.write(&self.rows.finish()?)?;
            failpoint::io("worker-encoded")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Flushed, Error> {
        self.encode()?;
        let files = self.writer.finish()?;
        let (mut advances, mut leaves) = (Vec::new(), Vec::new());
        let (mut notices, recorded_at) = (std::mem::take(&mut self.notices), now());
        for (shard, state) in &mut self.shards {
            if let Some(hole) = state.hole.take() {
                notices.push(hole.event(*shard, recorded_at)?);
            }
            if state.next != state.flushed {
                advances.push(Advance { shard: *shard, from: state.flushed, to: state.next });
                leaves.push((*shard, std::mem::take(&mut state.leaves)));
                state.flushed = state.next;
            }
        }
        Ok(Flushed { files, advances, leaves, notices })
    }
}

/// INVARIANT L-4: offsets that do not come are noted, and the notice is durable before the shard moves past them.
fn missing(shard: Shard, state: &mut ShardState, to: u64, deleted: bool, handle: &Handle) {
    let from = state.next.next_offset;
    if to <= from {
        return;
    }
    tracing::error!(%shard, from, to, deleted, "offsets are missing from kafka");
    handle.gap(to - from);
    if deleted {
        handle.lost_in_kafka(
            shard,
            format!(
                "evidence gap [{from}, {to}) in {shard}: Kafka had deleted these records before they were stored; \
                 raise its retention above the longest outage of ingest"
            ),
        );
    }
    let hole = Hole { offsets: from..to, missing: to - from, deleted };
    match &mut state.hole {
        Some(earlier) => earlier.join(&hole),
        None => state.hole = Some(hole),
    }
    state.next.next_offset = to;
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
