//! Idempotent producers: a batch that is sent again, because its acknowledgement got lost, is stored once.
//!
//! The rules are Apache Kafka's: the last five batches of each producer are remembered; a producer that is not known
//! (any more) may begin with any sequence number.

use super::header::Header;
use std::collections::{HashMap, VecDeque};

/// Batches remembered per producer: as many as an idempotent producer may have under way.
const BATCHES_MAX: usize = 5;
/// Producers remembered per partition; the one that wrote longest ago is forgotten first.
const PRODUCERS_MAX: usize = 1_000;

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Store it.
    New,
    /// It is stored already, from this offset on.
    Duplicate(i64),
    /// A batch before it is missing.
    OutOfOrder,
    /// A newer instance of the producer has taken over.
    Fenced,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Header>,
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: HashMap<i64, Producer>,
}

impl Producers {
    /// Compares a batch (whose base offset is not yet given) with what its producer sent before.
    pub(crate) fn check(&self, batch: &Header) -> Check {
        if !batch.is_idempotent() {
            return Check::New;
        }
        let Some(producer) = self.known.get(&batch.producer_id) else { return Check::New };
        if batch.producer_epoch < producer.epoch {
            return Check::Fenced;
        }
        if batch.producer_epoch > producer.epoch {
            return if batch.base_sequence == 0 { Check::New } else { Check::OutOfOrder };
        }
        let same = |stored: &&Header| {
            stored.base_sequence == batch.base_sequence && stored.last_offset_delta == batch.last_offset_delta
        };
        if let Some(stored) = producer.batches.iter().find(same) {
            return Check::Duplicate(stored.base_offset);
        }
        match producer.batches.back() {
            Some(last) if batch.base_sequence != next_sequence(last) => Check::OutOfOrder,
            _ => Check::New,
        }
    }

    /// Remembers a stored batch.
    pub(crate) fn note(&mut self, batch: &Header) {
        if !batch.is_idempotent() {
            return;
        }
        let producer = self.known.entry(batch.producer_id).or_default();
        if producer.epoch != batch.producer_epoch {
            producer.epoch = batch.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == BATCHES_MAX {
            producer.batches.pop_front();
        }
        producer.batches.push_back(*batch);
        if self.known.len() > PRODUCERS_MAX {
            let last = |producer: &Producer| producer.batches.back().map_or(-1, |batch| batch.last_offset);
            let oldest = self.known.iter().min_by_key(|(_, producer)| last(producer)).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.known.remove(&id);
            }
        }
    }
}

/// Sequence numbers go round from the largest to 0.
fn next_sequence(batch: &Header) -> i32 {
    let next = i64::from(batch.base_sequence) + i64::from(batch.last_offset_delta) + 1;
    i32::try_from(next % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BATCHES_MAX, Check, PRODUCERS_MAX, Producers};
    use crate::log::header::Header;

    fn batch(producer_id: i64, epoch: i16, base_sequence: i32, records: i32, base_offset: i64) -> Header {
        Header {
            base_offset,
            size: 100,
            last_offset: base_offset + i64::from(records) - 1,
            max_timestamp: 0,
            producer_id,
            producer_epoch: epoch,
            base_sequence,
            last_offset_delta: records - 1,
        }
    }

    #[test]
    fn a_batch_sent_again_is_a_duplicate_and_a_gap_is_refused() {
        let mut producers = Producers::default();
        assert_eq!(
            producers.check(&batch(7, 0, 40, 3, 0)),
            Check::New,
            "an unknown producer begins anywhere"
        );
        producers.note(&batch(7, 0, 0, 3, 100));
        producers.note(&batch(7, 0, 3, 2, 103));
        assert_eq!(producers.check(&batch(7, 0, 0, 3, 0)), Check::Duplicate(100));
        assert_eq!(producers.check(&batch(7, 0, 3, 2, 0)), Check::Duplicate(103));
        assert_eq!(producers.check(&batch(7, 0, 5, 1, 0)), Check::New);
        assert_eq!(producers.check(&batch(7, 0, 6, 1, 0)), Check::OutOfOrder);
        assert_eq!(producers.check(&batch(7, 0, 3, 1, 0)), Check::OutOfOrder, "same start, other length");
        assert_eq!(producers.check(&batch(8, 0, 6, 1, 0)), Check::New, "another producer");
    }

    #[test]
    fn a_newer_epoch_fences_the_older() {
        let mut producers = Producers::default();
        producers.note(&batch(7, 1, 0, 1, 0));
        assert_eq!(producers.check(&batch(7, 0, 1, 1, 0)), Check::Fenced);
        assert_eq!(producers.check(&batch(7, 2, 1, 1, 0)), Check::OutOfOrder);
        assert_eq!(producers.check(&batch(7, 2, 0, 1, 0)), Check::New);
    }

    #[test]
    fn sequence_numbers_go_round() {
        let mut producers = Producers::default();
        producers.note(&batch(7, 0, i32::MAX - 1, 2, 0));
        assert_eq!(producers.check(&batch(7, 0, 0, 4, 2)), Check::New);
        assert_eq!(producers.check(&batch(7, 0, 1, 4, 2)), Check::OutOfOrder);
    }

    #[test]
    fn memory_is_bounded() {
        let mut producers = Producers::default();
        for at in 0..20 {
            producers.note(&batch(7, 0, at, 1, i64::from(at)));
        }
        assert_eq!(producers.known[&7].batches.len(), BATCHES_MAX);
        for id in 100..2_200 {
            producers.note(&batch(id, 0, 0, 1, id));
        }
        assert_eq!(producers.known.len(), PRODUCERS_MAX);
        assert!(!producers.known.contains_key(&7), "the oldest is forgotten first");
        assert!(producers.known.contains_key(&2_199));
    }
}
