//! What enforcement does when Kafka does not have the finding that would come next: it goes on, and says so.
//!
//! Findings that Kafka deleted before they were read were never acted upon: that is told, and people have to look at
//! them. When Kafka has less than was read, its topic was made anew or lost its end; then everything that it has is read
//! again, which does no harm, for a finding that was taken before is passed over (INVARIANT E-2).

use crate::error::Error;
use crate::records::SOURCE;
use crate::taker::Taker;
use ambit_bus::{Batch, FailureKind, ShardConsumer, StartAt};
use ambit_schemas::event::{Body, Notice};
use ambit_schemas::notice::notice;
use ambit_schemas::{Shard, encode};
use std::collections::HashMap;

impl Taker {
    /// Looks at what Kafka says of shards, and at what lies between what was read and what came, before any finding is
    /// taken.
    pub(crate) fn heed(
        &self,
        consumer: &ShardConsumer,
        mine: &mut HashMap<Shard, u64>,
        batch: &Batch,
    ) -> Result<(), Error> {
        mine.retain(|shard, _| !batch.revoked.contains(shard));
        for shard in &batch.assigned {
            mine.insert(*shard, self.lock().position(*shard)?.unwrap_or_default());
        }
        for failure in &batch.failures {
            match (failure.kind, failure.shard) {
                (FailureKind::OutOfRange, Some(shard)) => self.recover(consumer, shard)?,
                // Kafka does not say whose it is.
                (FailureKind::OutOfRange, None) => {
                    mine.keys().try_for_each(|shard| self.recover(consumer, *shard))?;
                }
                (FailureKind::Corrupt | FailureKind::Other, _) => {
                    tracing::error!(shard = ?failure.shard, detail = failure.detail, "findings of a shard cannot be read");
                }
            }
        }
        for record in &batch.records {
            let next = mine.entry(record.shard).or_default();
            // Not every broker says so by itself.
            if record.offset > *next {
                self.recover(consumer, record.shard)?;
            }
            *next = record.offset + 1;
        }
        Ok(())
    }

    fn recover(&self, consumer: &ShardConsumer, shard: Shard) -> Result<(), Error> {
        let (low, high) = consumer.watermarks(shard)?;
        let Some(next) = self.lock().position(shard)? else { return Ok(()) };
        if next < low {
            let text = format!(
                "findings in {shard} were not acted upon: Kafka had deleted the offsets {next} to {} before they were \
                 read; look at them in the console, and raise Kafka's retention above the longest outage",
                low - 1
            );
            self.handle.alarm(low - next, text.clone());
            self.tell(&format!("unacted-{shard}-{next}-{low}"), shard, (next, low), text)?;
        } else if next > high {
            let text = format!(
                "{shard} was read to offset {next} and Kafka has only {low} to {high}: the topic was made anew or lost \
                 its end; all that it has is read again, and what was acted upon before is passed over"
            );
            self.handle.alarm(0, text.clone());
            self.tell(&format!("reread-{shard}-{high}-{next}"), shard, (high, next), text)?;
        } else {
            return Ok(());
        }
        self.lock().move_to(shard, low)?;
        Ok(consumer.seek(shard, StartAt::Offset(low))?)
    }

    /// INVARIANT L-4: the notice is durable before the shard moves on.
    fn tell(&self, id: &str, shard: Shard, (from, to): (u64, u64), text: String) -> Result<(), Error> {
        let body = Body::GapDetected(Notice {
            shard: Some(shard),
            from_offset: Some(from),
            to_offset: Some(to),
            missing: Some(to - from),
            text,
            ..Notice::default()
        });
        let outgoing = encode(&notice(SOURCE, id, (self.clock)(), body)?)?;
        self.runtime.block_on(self.producer.send(outgoing))?;
        Ok(())
    }
}
