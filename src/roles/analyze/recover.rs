//! What the analyzer does when Kafka does not have what it would judge next. A shard never stalls in silence: it is
//! judged from the store, or goes on behind a gap that is told, or stands still with an alarm.

use super::{Owner, PENDING_MAX, Work};
use crate::roles::analyze::intake::Intake;
use crate::roles::snapshots::settle;
use ambit_analytics::Analyzer;
use ambit_bus::{FailureKind, Pending, ShardConsumer, ShardFailure, StartAt};
use ambit_schemas::columns::records_of;
use ambit_schemas::event::{Body, Notice};
use ambit_schemas::notice::notice;
use ambit_schemas::{Shard, encode};
use ambit_store::Position;
use anyhow::Context;
use futures::StreamExt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who says so.
const SOURCE: &str = "ambit/analyzer";
/// Most stored rows that are judged in place of what Kafka has lost: about a minute's work, while Kafka's group waits
/// five (`max.poll.interval.ms`).
const REPLAY_ROWS_MAX: u64 = 5_000_000;
/// How long what cannot be undone is an alarm. The notice of it is stored for ever.
const ALARM: Duration = Duration::from_hours(1);

/// What people should know of shards.
#[derive(Debug, Default)]
pub struct Alarms {
    shards: Mutex<BTreeMap<Shard, Alarm>>,
    rules: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Alarm {
    since: Instant,
    /// Whether it stands until the shard changes hands.
    stays: bool,
    sentence: String,
}

impl Alarms {
    fn set(&self, shard: Shard, stays: bool, sentence: String) {
        tracing::error!(%shard, sentence, "the analyzer needs attention");
        let alarm = Alarm { since: Instant::now(), stays, sentence };
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, alarm);
    }

    /// What is wrong with the customer's rules, as long as it is.
    pub(super) fn rules(&self, sentence: Option<String>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    pub(super) fn raise(&self, shard: Shard, sentence: String) {
        self.set(shard, false, sentence);
    }

    /// Shards that belong to others by now stand still no longer, as far as this process knows.
    pub(super) fn let_go(&self, shards: &[Shard]) {
        let mut alarms = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.retain(|shard, alarm| !alarm.stays || !shards.contains(shard));
    }

    /// All that is wrong at this moment, for people.
    pub fn now(&self) -> Option<String> {
        let mut alarms = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.retain(|_, alarm| alarm.stays || alarm.since.elapsed() < ALARM);
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let sentences: Vec<&str> =
            alarms.values().map(|alarm| &alarm.sentence).chain(rules.as_ref()).map(String::as_str).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

impl Owner {
    /// Looks at what Kafka says of shards, before the records that came with it.
    pub(super) fn heed(&self, consumer: &ShardConsumer, failures: &[ShardFailure]) -> anyhow::Result<()> {
        for failure in failures {
            match (failure.kind, failure.shard) {
                (FailureKind::OutOfRange, Some(shard)) => self.recover(consumer, shard, &mut self.work())?,
                // Kafka does not say whose it is.
                (FailureKind::OutOfRange, None) => {
                    let mut work = self.work();
                    let mine: Vec<Shard> = work.states.keys().copied().collect();
                    mine.into_iter().try_for_each(|shard| self.recover(consumer, shard, &mut work))?;
                }
                (FailureKind::Corrupt | FailureKind::Other, _) => {
                    tracing::error!(shard = ?failure.shard, detail = failure.detail, "events of a shard cannot be read");
                }
            }
        }
        Ok(())
    }

    /// Brings a shard to where Kafka can be read on, if it is not there. INVARIANT L-4
    pub(super) fn recover(
        &self,
        consumer: &ShardConsumer,
        shard: Shard,
        work: &mut Work,
    ) -> anyhow::Result<()> {
        let (low, high) = consumer.watermarks(shard).context("what Kafka has of a shard is not known")?;
        let Some(next) = work.states.get(&shard).map(Analyzer::next_offset) else { return Ok(()) };
        if (low..=high).contains(&next) {
            return Ok(());
        }
        let positions = self.runtime.block_on(self.analyze.store.positions(&[shard]))?;
        let stored = positions.get(&shard).copied().unwrap_or_default();
        if next > high && stored.next_offset > high {
            // Ingest stands still for the same reason.
            consumer.pause(&[shard])?;
            let sentence = format!(
                "{shard} stands still at offset {next}: Kafka has only {low} to {high}, less than was stored, so its \
                 offsets would stand for other records; restore the topic, or begin with a new data directory"
            );
            self.analyze.counters.alarms.set(shard, true, sentence);
            return Ok(());
        }
        if next > high {
            self.tell_tail(shard, high, next)?;
            let state = self.rebuild(shard, &mut work.pending);
            work.states.insert(shard, state);
        }
        self.catch_up(shard, stored, work);
        let Some(state) = work.states.get_mut(&shard) else { return Ok(()) };
        let reached = state.next_offset();
        if reached < low {
            self.tell_gap(shard, reached, low, stored)?;
            state.skip(low - 1);
        }
        consumer.seek(shard, StartAt::Offset(state.next_offset())).context("a shard cannot be read on")
    }

    /// Judges what is stored beyond the state. What cannot be read is a gap.
    fn catch_up(&self, shard: Shard, stored: Position, work: &mut Work) {
        let Some(mut state) = work.states.remove(&shard) else { return };
        // Leaves are contiguous and offsets are not, so there are at most so many rows beyond.
        let beyond = stored.next_offset.saturating_sub(state.next_offset());
        if (1..=REPLAY_ROWS_MAX).contains(&beyond) {
            tracing::warn!(%shard, from = state.next_offset(), to = stored.next_offset, "judging from the store what kafka has lost");
            if let Err(error) =
                self.replay(&mut state, stored.tree_size.saturating_sub(beyond), &mut work.pending)
            {
                tracing::error!(%shard, "what kafka has lost is not judged from the store to its end: {error:#}");
            }
        }
        work.states.insert(shard, state);
    }

    /// Judges the stored events of a shard that the state has not seen.
    pub(super) fn replay(
        &self,
        state: &mut Analyzer,
        from_leaf: u64,
        pending: &mut VecDeque<Pending>,
    ) -> anyhow::Result<()> {
        let mut intake = Intake::new(&self.analyze.options);
        let mut rows = Box::pin(self.analyze.store.scan(state.shard(), from_leaf));
        while let Some(batch) = self.runtime.block_on(rows.next()) {
            let records = records_of(&batch.context("stored events cannot be read")?)?;
            for (record, prepared) in records.iter().zip(&intake.prepare(&records)) {
                if record.offset >= state.next_offset() {
                    self.analyze.observe(state, record.offset, prepared.as_ref(), pending)?;
                }
            }
            if pending.len() > PENDING_MAX {
                settle(&self.runtime, std::mem::take(pending))?;
            }
        }
        Ok(())
    }

    fn tell_gap(&self, shard: Shard, from: u64, to: u64, stored: Position) -> anyhow::Result<()> {
        let missing = to - from;
        let why = if stored.next_offset > from {
            "the store has more of them than are judged at once"
        } else {
            "the store does not have them"
        };
        let text = format!(
            "the offsets {from} to {} were not judged: Kafka had deleted them, and {why}; raise Kafka's retention \
             above the longest outage",
            to - 1
        );
        self.analyze.counters.unjudged.fetch_add(missing, Ordering::Relaxed);
        self.analyze.counters.alarms.raise(shard, format!("{shard}: {text}"));
        self.tell(&format!("unjudged-{shard}-{from}-{to}"), shard, from..to, text)
    }

    fn tell_tail(&self, shard: Shard, from: u64, to: u64) -> anyhow::Result<()> {
        let text = format!(
            "Kafka has lost the offsets {from} to {} after they were judged and before they were stored: the state is \
             made anew from the store, and findings about them stand",
            to - 1
        );
        self.analyze.counters.alarms.raise(shard, format!("{shard}: {text}"));
        self.tell(&format!("unstored-{shard}-{from}-{to}"), shard, from..to, text)
    }

    /// INVARIANT L-4: the notice is durable before the shard moves on.
    fn tell(
        &self,
        id: &str,
        shard: Shard,
        offsets: std::ops::Range<u64>,
        text: String,
    ) -> anyhow::Result<()> {
        let body = Body::GapDetected(Notice {
            shard: Some(shard),
            from_offset: Some(offsets.start),
            to_offset: Some(offsets.end),
            missing: Some(offsets.end - offsets.start),
            text,
            ..Notice::default()
        });
        let event = notice(SOURCE, id, (self.analyze.clock)(), body).context("a notice cannot be written")?;
        let outgoing = encode(&event).context("a notice cannot be written")?;
        let sent = self.analyze.producer.send(outgoing);
        self.runtime.block_on(sent).context("the notice of a gap did not reach Kafka")?;
        Ok(())
    }
}
