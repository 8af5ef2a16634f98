//! Notices: events about the record itself. They go through Kafka like all others, are stored and signed like all others,
//! and the same thing that is noticed twice has the same id, so that a crash in between adds a duplicate, not an event.

use crate::error::Error;
use ambit_bus::Producer;
use ambit_schemas::event::Notice;
use ambit_schemas::notice::notice;
use ambit_schemas::{Body, Event, Shard, Timestamp, encode};
use std::ops::Range;
use tokio::runtime;

/// Who says so.
pub(crate) const SOURCE: &str = "ambit/ingest";
/// A notice as an event.
pub(crate) fn event(source: &str, id: &str, now: Timestamp, body: Body) -> Result<Event, Error> {
    notice(source, id, now, body).map_err(|_| Error::Ended("a notice cannot be written"))
}

/// Offsets of a shard that Kafka did not give (INVARIANT L-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    /// From the first missing offset to the one after the last; what lies between several holes is stored.
    pub(crate) offsets: Range<u64>,
    /// How many are missing.
    pub(crate) missing: u64,
    /// Whether Kafka had deleted them; otherwise it gave records around them and not these.
    pub(crate) deleted: bool,
}

impl Hole {
    /// Adds a later hole of the same shard.
    pub(crate) fn join(&mut self, later: &Self) {
        self.offsets.end = later.offsets.end;
        self.missing += later.missing;
        self.deleted |= later.deleted;
    }

    pub(crate) fn event(&self, shard: Shard, now: Timestamp) -> Result<Event, Error> {
        let Range { start, end } = self.offsets;
        let why = if self.deleted {
            "Kafka had deleted them (retention, truncation or deletion) before they were stored"
        } else {
            "Kafka gave records around them, but not these: deleted meanwhile, compacted, or marks of transactions"
        };
        let text = format!("{} of the offsets {start} to {} were not read: {why}", self.missing, end - 1);
        let body = Body::GapDetected(Notice {
            shard: Some(shard),
            from_offset: Some(start),
            to_offset: Some(end),
            missing: Some(self.missing),
            text,
            ..Notice::default()
        });
        event(SOURCE, &format!("gap-{shard}-{start}-{end}"), now, body)
    }
}

/// Kafka's copy of a shard is damaged, or is not the one that was stored: the shard stands still.
pub(crate) fn halted(shard: Shard, next: u64, why: &str, now: Timestamp) -> Result<Event, Error> {
    let body = Body::IntegrityBroken(Notice {
        shard: Some(shard),
        from_offset: Some(next),
        text: format!("the shard is not read on from offset {next}: {why}"),
        ..Notice::default()
    });
    event(SOURCE, &format!("halted-{shard}-{next}"), now, body)
}

/// Sends notices and waits until Kafka has them.
pub(crate) fn send(producer: &Producer, runtime: &runtime::Handle, notices: &[Event]) -> Result<(), Error> {
    let mut pending = Vec::with_capacity(notices.len());
    for notice in notices {
        let outgoing = encode(notice).map_err(|_| Error::Ended("a notice cannot be written"))?;
        pending.push(producer.enqueue(outgoing)?);
    }
    runtime.block_on(async {
        for delivery in pending {
            delivery.await?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::Topic;

    #[test]
    fn the_same_hole_has_the_same_id_and_says_what_is_missing() {
        let shard = Shard::new(Topic::Events, 3);
        let mut hole = Hole { offsets: 5..9, missing: 4, deleted: true };
        let first = hole.event(shard, Timestamp::from_micros(1_800_000_000_000_000)).unwrap();
        let again = hole.event(shard, Timestamp::from_micros(1_800_000_001_000_000)).unwrap();
        assert_eq!(first.id, again.id);
        hole.join(&Hole { offsets: 12..13, missing: 1, deleted: false });
        let joined = hole.event(shard, first.time).unwrap();
        assert_ne!(first.id, joined.id);
        let Body::GapDetected(notice) = joined.body else { panic!("{:?}", joined.body) };
        assert_eq!((notice.from_offset, notice.to_offset, notice.missing), (Some(5), Some(13), Some(5)));
        assert!(notice.text.contains("5 of the offsets 5 to 12"), "{}", notice.text);
    }
}
