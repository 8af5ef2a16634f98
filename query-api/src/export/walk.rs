//! A walk over rows: each shard's leaves in their order, in windows that grow where little is found and shrink where much
//! is, so that neither memory nor time of one step depends on how much there is.

use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::events::EventFilter;
use crate::rows::{RowView, rows};
use ambit_schemas::Shard;
use ambit_schemas::columns::names;
use arrow::array::RecordBatch;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, ident, lit};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Leaves of the first window.
const WINDOW: u64 = 16_384;
/// Leaves of the smallest and the largest.
const WINDOWS: std::ops::RangeInclusive<u64> = 1_024..=(1 << 24);
/// Bytes that a piece should hold.
const PIECE_BYTES: u64 = 8 << 20;
/// Rows of the smallest piece and the largest.
const PIECE_ROWS: std::ops::RangeInclusive<u64> = 32..=4_096;
/// How long is waited when too many questions run.
const PAUSE: Duration = Duration::from_millis(100);

/// Rows of one shard, in the order of its leaves.
#[derive(Debug)]
pub struct Piece {
    pub(crate) shard: Shard,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Piece {
    pub(crate) fn rows(&self) -> impl Iterator<Item = RowView<'_>> {
        rows(&self.batches)
    }

    /// `topic:partition:offset` of its last row.
    pub(crate) fn last(&self) -> Option<String> {
        let offset = self.rows().last()?.number(names::OFFSET)?;
        Some(format!("{}:{}:{offset}", self.shard.topic, self.shard.partition))
    }
}

/// Walks over what was stored when it began.
#[derive(Debug)]
pub struct Walk {
    session: Session,
    filter: EventFilter,
    /// What is left: each shard with its next leaf, and the leaf before which it ends.
    left: VecDeque<(Shard, u64, u64)>,
    window: u64,
    most: u64,
    patience: Duration,
    version: u64,
}

impl Walk {
    /// Begins a walk over shards; after a place if one is given. Whoever asks too much of the engine at once waits for so
    /// long.
    pub async fn begin(
        session: Session,
        filter: EventFilter,
        shards: &[Shard],
        after: Option<(Shard, u64)>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let version = session.version().await?;
        let ends = session.store().positions(shards).await?;
        let mut shards = shards.to_vec();
        shards.sort_unstable();
        let mut left = VecDeque::new();
        for shard in shards {
            let end = ends.get(&shard).map_or(0, |position| position.tree_size);
            let from = match after {
                Some((last, _)) if shard < last => continue,
                Some((last, offset)) if shard == last => match leaf_after(&session, shard, offset).await? {
                    Some(leaf) => leaf,
                    None => continue,
                },
                Some(_) | None => 0,
            };
            left.push_back((shard, from, end));
        }
        let most = PIECE_ROWS.end() / 4;
        Ok(Self { session, filter, left, window: WINDOW, most, patience, version })
    }

    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }

    /// The version of the table when it began.
    pub const fn table_version(&self) -> u64 {
        self.version
    }

    /// The next rows, at most so many; none at the end.
    pub async fn next(&mut self, at_most: Option<u64>) -> Result<Option<Piece>, Error> {
        while let Some((shard, from, end)) = self.left.front().copied() {
            if from >= end {
                self.left.pop_front();
                continue;
            }
            let to = end.min(from.saturating_add(self.window));
            let most = self.most.min(at_most.unwrap_or(u64::MAX)).max(1);
            let batches = match self.patiently(shard, from..to, most).await {
                Err(Error::Timeout(_)) if self.window > *WINDOWS.start() => {
                    self.window = (self.window / 8).max(*WINDOWS.start());
                    continue;
                }
                found => found?,
            };
            let piece = Piece { shard, batches };
            let count = piece.rows().count() as u64;
            let next = if count == most {
                // There may be more in this window.
                piece.rows().last().and_then(|row| row.number(names::LEAF_INDEX)).map_or(to, |leaf| leaf + 1)
            } else {
                self.window = self.window.saturating_mul(4).clamp(*WINDOWS.start(), *WINDOWS.end());
                to
            };
            if let Some(first) = self.left.front_mut() {
                first.1 = next;
            }
            if count > 0 {
                self.adapt(&piece, count);
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Rows of one size are read as many at once as make a piece.
    fn adapt(&mut self, piece: &Piece, count: u64) {
        let bytes: usize = piece.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let each = (bytes as u64 / count).max(1);
        self.most = (PIECE_BYTES / each).clamp(*PIECE_ROWS.start(), *PIECE_ROWS.end());
        self.window = self.window.min(self.most.saturating_mul(64)).max(*WINDOWS.start());
    }

    /// Rows of some leaves of a shard. While too many questions run it waits for its turn.
    async fn patiently(
        &self,
        shard: Shard,
        leaves: std::ops::Range<u64>,
        most: u64,
    ) -> Result<Vec<RecordBatch>, Error> {
        let give_up = Instant::now() + self.patience;
        loop {
            match read(&self.session, &self.filter, shard, leaves.clone(), most).await {
                Err(Error::Busy) if Instant::now() < give_up => sleep(PAUSE).await,
                found => return found,
            }
        }
    }
}

/// Rows of some leaves of a shard that fulfil a filter, in the order of the leaves.
pub(crate) async fn read(
    session: &Session,
    filter: &EventFilter,
    shard: Shard,
    leaves: std::ops::Range<u64>,
    most: u64,
) -> Result<Vec<RecordBatch>, Error> {
    let leaf = ident(names::LEAF_INDEX);
    let (frame, _) = session.filtered(filter).await?;
    let frame = frame
        .filter(of(shard))?
        .filter(leaf.clone().gt_eq(lit(leaves.start.cast_signed())))?
        .filter(leaf.clone().lt(lit(leaves.end.cast_signed())))?
        .sort(vec![leaf.sort(true, false)])?
        .limit(0, usize::try_from(most).ok())?;
    session.run(frame).await
}

fn of(shard: Shard) -> Expr {
    is(names::TOPIC, shard.topic.name()).and(ident(names::PARTITION).eq(lit(shard.partition.cast_signed())))
}

/// The first leaf of a shard after an offset.
async fn leaf_after(session: &Session, shard: Shard, offset: u64) -> Result<Option<u64>, Error> {
    let frame = session
        .frame(Span::default())
        .await?
        .filter(of(shard).and(ident(names::OFFSET).gt(lit(offset.cast_signed()))))?
        .aggregate(vec![], vec![min(ident(names::LEAF_INDEX)).alias("leaf")])?;
    let batches = session.run(frame).await?;
    let first = rows(&batches).next();
    Ok(first.and_then(|row| row.number("leaf")))
}
