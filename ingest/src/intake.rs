//! Looks at what Kafka gives before it goes to the pipeline: what is missing, and what must not be gone past.
//!
//! Kafka may have deleted what comes next (retention): the shard goes on from the first record that there is, and the
//! gap is told first (INVARIANT L-4). A batch may not agree with its checksum, or Kafka may have less than was stored
//! (a topic made anew, a leader that had lost its tail), or another record where the last stored one stood: then offsets
//! would stand for other records than before, so that shard stands still, alarmed, until somebody acts. The other shards
//! go on.

use crate::error::Error;
use crate::handle::Handle;
use crate::notices;
use crate::owner::{Mark, Owner};
use ambit_bus::{
    Batch, FailureKind, KafkaOptions, ShardConsumer, ShardFailure, StartAt, examine, records_at,
};
use ambit_ledger::leaf_hash;
use ambit_schemas::record::leaf_bytes;
use ambit_schemas::{Record, Shard, Timestamp};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How often shards that give nothing are looked at while a batch is known to be corrupt.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One service's view of its shards.
pub(crate) struct Intake<'a> {
    kafka: &'a KafkaOptions,
    owner: &'a Owner,
    handle: &'a Handle,
    clock: fn() -> Timestamp,
    halted: HashSet<Shard>,
    /// A batch did not agree with its checksum, and it is not known yet in which shard.
    suspicious: bool,
    looked: Option<Instant>,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        kafka: &'a KafkaOptions,
        owner: &'a Owner,
        handle: &'a Handle,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { kafka, owner, handle, clock, halted: HashSet::new(), suspicious: false, looked: None }
    }

    /// The records that may go to the pipeline.
    pub(crate) fn admit(&mut self, consumer: &ShardConsumer, batch: Batch) -> Result<Vec<Record>, Error> {
        for shard in batch.revoked.iter().chain(&batch.assigned) {
            self.halted.remove(shard);
        }
        self.recognise(consumer, &batch.assigned)?;
        for failure in batch.failures {
            self.failed(consumer, &failure)?;
        }
        let mut admitted = batch.records;
        for record in admitted.split_off(self.advance(&admitted)) {
            if self.follows(consumer, &record)? {
                admitted.push(record);
            }
        }
        if self.suspicious && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.look(consumer)?;
        }
        Ok(admitted)
    }

    /// INVARIANT L-4: offsets do not tell a topic from another that was made under its name and has grown as long. What
    /// was stored last must stand where it stood; where Kafka no longer has it, nothing can be compared.
    fn recognise(&mut self, consumer: &ShardConsumer, assigned: &[Shard]) -> Result<(), Error> {
        let marks = self.owner.marks().clone();
        let places: Vec<(Shard, u64)> =
            assigned.iter().filter_map(|shard| Some((*shard, marks.get(shard)?.offset))).collect();
        if places.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for record in records_at(self.kafka, &places)? {
            leaf_bytes(&record, &mut bytes);
            let is_other = |mark: &Mark| leaf_hash(&bytes).as_bytes() != &mark.leaf;
            if marks.get(&record.shard).is_some_and(is_other) {
                let why = format!(
                    "the record before it, at {}, is not the one that was stored from there: {OTHER}",
                    record.offset
                );
                self.halt(consumer, record.shard, &why)?;
            }
        }
        Ok(())
    }

    /// How many records from the first on simply follow what was there before. Nearly always that is all of them, and it
    /// costs one comparison each.
    fn advance(&self, records: &[Record]) -> usize {
        let mut positions = self.owner.next();
        let mut count = 0;
        for run in records.chunk_by(|one, other| one.shard == other.shard) {
            let Some(next) = run
                .first()
                .filter(|first| !self.halted.contains(&first.shard))
                .and_then(|first| positions.get_mut(&first.shard))
            else {
                return count;
            };
            for record in run {
                if record.offset != *next {
                    return count;
                }
                *next += 1;
                count += 1;
            }
        }
        count
    }

    fn failed(&mut self, consumer: &ShardConsumer, failure: &ShardFailure) -> Result<(), Error> {
        match (failure.kind, failure.shard) {
            (FailureKind::Other, _) => {
                tracing::debug!(detail = failure.detail, "kafka");
                Ok(())
            }
            (FailureKind::Corrupt, _) => {
                tracing::error!(detail = failure.detail, "a batch does not agree with its checksum");
                self.suspicious = true;
                Ok(())
            }
            (FailureKind::OutOfRange, Some(shard)) => match failure.resumes_at {
                Some(low) => self.skip(shard, low),
                None => self.halt(consumer, shard, &format!("{}: {}", failure.detail, SHORTER)),
            },
            (FailureKind::OutOfRange, None) => {
                let mine: Vec<(Shard, u64)> = self.owner.next().iter().map(|(s, next)| (*s, *next)).collect();
                mine.into_iter().try_for_each(|(shard, next)| self.range(consumer, shard, next))
            }
        }
    }

    /// Whether Kafka has what comes next of a shard; if not, the shard goes on or stands still.
    fn range(&mut self, consumer: &ShardConsumer, shard: Shard, next: u64) -> Result<(), Error> {
        if self.halted.contains(&shard) {
            return Ok(());
        }
        let (low, high) = consumer.watermarks(shard)?;
        if next < low {
            consumer.seek(shard, StartAt::Offset(low))?;
            self.skip(shard, low)
        } else if next > high {
            self.halt(consumer, shard, &format!("kafka has {low} to {high}: {SHORTER}"))
        } else {
            Ok(())
        }
    }

    /// Whether a record may go on; what lies between it and the one before is examined first.
    fn follows(&mut self, consumer: &ShardConsumer, record: &Record) -> Result<bool, Error> {
        let shard = record.shard;
        if self.halted.contains(&shard) {
            return Ok(false);
        }
        let Some(next) = self.owner.next().get(&shard).copied() else { return Ok(false) };
        if record.offset > next {
            if self.suspicious && self.is_corrupt(consumer, shard, next)? {
                return Ok(false);
            }
            let (low, _) = consumer.watermarks(shard)?;
            if low > next {
                self.skip(shard, low.min(record.offset))?;
            }
        }
        self.owner.next().insert(shard, next.max(record.offset + 1));
        Ok(true)
    }

    fn skip(&self, shard: Shard, to: u64) -> Result<(), Error> {
        self.owner.next().insert(shard, to);
        self.owner.with(|pipeline| pipeline.skip(shard, to))
    }

    /// Examines the shards that are behind, and gives up the suspicion when all are read to their end.
    fn look(&mut self, consumer: &ShardConsumer) -> Result<(), Error> {
        self.looked = Some(Instant::now());
        let mine: Vec<(Shard, u64)> = self.owner.next().iter().map(|(s, next)| (*s, *next)).collect();
        let mut behind = false;
        for (shard, next) in mine {
            if !self.halted.contains(&shard) && consumer.watermarks(shard)?.1 > next {
                behind |= !self.is_corrupt(consumer, shard, next)?;
            }
        }
        self.suspicious &= behind;
        Ok(())
    }

    fn is_corrupt(&mut self, consumer: &ShardConsumer, shard: Shard, next: u64) -> Result<bool, Error> {
        if examine(self.kafka, shard, next)? != Some(FailureKind::Corrupt) {
            return Ok(false);
        }
        self.halt(
            consumer,
            shard,
            "the batch there does not agree with its checksum; restore it from a replica",
        )?;
        Ok(true)
    }

    fn halt(&mut self, consumer: &ShardConsumer, shard: Shard, why: &str) -> Result<(), Error> {
        if !self.halted.insert(shard) {
            return Ok(());
        }
        let next = self.owner.next().get(&shard).copied().unwrap_or_default();
        let why = format!("offset {next} of Kafka's copy: {why}");
        tracing::error!(%shard, next, why, "a shard stands still");
        consumer.pause(&[shard])?;
        self.handle.halt(shard, why.clone());
        let notice = notices::halted(shard, next, &why, (self.clock)())?;
        self.owner.with(|pipeline| pipeline.notice(notice))
    }
}

/// What it means when Kafka ends before what was stored.
const SHORTER: &str = "Kafka has less than was stored, its offsets would stand for other records: the topic was made \
                       anew or lost its end; restore it, or store what it has now under a new data directory";
/// What it means when Kafka has another record where the last stored one stood.
const OTHER: &str = "the topic was made anew under its name, or lost its end and was written on; restore it, or store what it \
                     has now under a new data directory";
