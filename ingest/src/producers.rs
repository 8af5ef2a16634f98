//! What producers say of themselves, checked: that none of their events is missing, and that their clock is right.
//!
//! A producer numbers its events in the CloudEvents attribute `sequence` (1, 2, 3, ...), counting for each Kafka key on
//! its own, for only what has the same key keeps its order on the way. `producer` tells apart several producers of one
//! `source`. State is bounded: a producer that was forgotten, or that begins at 0 or 1 again, is taken as new.

use crate::error::Error;
use crate::notices::{SOURCE, event};
use crate::recent::Recent;
use ambit_schemas::event::Notice;
use ambit_schemas::{Body, Event, Record, Shard, Timestamp, Topic};
use sha2::{Digest, Sha256};

/// The header with an event's number.
const SEQUENCE: &str = "ce_sequence";
/// The header that tells producers of one source apart.
const PRODUCER: &str = "ce_producer";
/// How often a wrong clock of one source is told, by Kafka's time: a fleet with a wrong zone is one thing to know.
const SKEW_EVERY_US: i64 = 600_000_000;

/// What is remembered of the producers of one shard.
#[derive(Debug)]
pub(crate) struct Producers {
    sequences: Recent<u128, u64>,
    skewed: Recent<u128, i64>,
    skew_max_us: i64,
}

/// What was noticed.
pub(crate) enum Noticed {
    /// Events of a producer are missing.
    Missing(Event),
    /// A producer's clock is wrong.
    Skewed(Event),
}

fn hash(parts: &[&[u8]]) -> u128 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

impl Producers {
    /// Remembers so many producers. `skew_max_ms` is how far a clock may be off before it is told.
    pub(crate) fn new(capacity: usize, skew_max_ms: u64) -> Self {
        let micros = i64::try_from(skew_max_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        Self { sequences: Recent::new(capacity), skewed: Recent::new(capacity), skew_max_us: micros }
    }

    /// Takes in an event that is stored already.
    pub(crate) fn learn(&mut self, record: &Record, source: &str) {
        if let Some((producer, sequence)) = numbered(record, source) {
            let last = self.sequences.take(&producer);
            self.sequences.put(producer, last.unwrap_or_default().max(sequence));
        }
    }

    /// Checks an event that is new.
    pub(crate) fn check(
        &mut self,
        record: &Record,
        read: &Event,
        now: Timestamp,
    ) -> Result<Vec<Noticed>, Error> {
        let mut noticed = Vec::new();
        // What Ambit says itself is not checked: a notice never leads to another, and a finding has the time of what it is
        // about.
        if record.shard.topic != Topic::Events || read.source.as_str() == SOURCE {
            return Ok(noticed);
        }
        if let Some((producer, sequence)) = numbered(record, read.source.as_str()) {
            let last = self.sequences.take(&producer);
            if let Some(last) = last
                && sequence > last.saturating_add(1)
            {
                noticed.push(Noticed::Missing(missing(record, read, last, sequence, now)?));
            }
            let begins_again = sequence <= 1;
            let kept = if begins_again { sequence } else { last.unwrap_or_default().max(sequence) };
            self.sequences.put(producer, kept);
        }
        let skew = read.time.micros().saturating_sub(record.timestamp_us);
        if record.timestamp_us > 0 && skew.saturating_abs() > self.skew_max_us {
            let source = hash(&[read.source.as_str().as_bytes()]);
            let told = self.skewed.take(&source);
            let due = told.is_none_or(|told| record.timestamp_us.saturating_sub(told) >= SKEW_EVERY_US);
            let at = if due { record.timestamp_us } else { told.unwrap_or_default() };
            self.skewed.put(source, at);
            if due {
                noticed.push(Noticed::Skewed(skewed(record, read, skew, now)?));
            }
        }
        Ok(noticed)
    }
}

/// Which producer, and which of its events for this key.
fn numbered(record: &Record, source: &str) -> Option<(u128, u64)> {
    let sequence = std::str::from_utf8(record.header(SEQUENCE)?).ok()?.trim().parse().ok()?;
    let producer = record.header(PRODUCER).unwrap_or_default();
    let key = record.key.as_deref().unwrap_or_default();
    Some((hash(&[source.as_bytes(), producer, key]), sequence))
}

fn at(shard: Shard, offset: u64, source: &str, text: String) -> Notice {
    Notice {
        shard: Some(shard),
        from_offset: Some(offset),
        to_offset: Some(offset + 1),
        source: Some(source.to_owned()),
        text,
        ..Notice::default()
    }
}

fn missing(record: &Record, read: &Event, last: u64, sequence: u64, now: Timestamp) -> Result<Event, Error> {
    let count = sequence - last - 1;
    let text =
        format!("before this event {count} of its producer are missing: {last} is followed by {sequence}");
    let notice =
        Notice { missing: Some(count), ..at(record.shard, record.offset, read.source.as_str(), text) };
    let id = format!("sequence-{}-{}", record.shard, record.offset);
    event(SOURCE, &id, now, Body::GapDetected(notice))
}

fn skewed(record: &Record, read: &Event, skew_us: i64, now: Timestamp) -> Result<Event, Error> {
    let (ms, word) = (skew_us / 1_000, if skew_us > 0 { "after" } else { "before" });
    let text = format!(
        "the event's time lies {} s {word} Kafka's: the producer's clock is wrong{}",
        ms.unsigned_abs() / 1_000,
        if skew_us > 0 { "" } else { ", or it sends late" }
    );
    let notice = Notice { skew_ms: Some(ms), ..at(record.shard, record.offset, read.source.as_str(), text) };
    let id = format!("clock-{}-{}", record.shard, record.offset);
    event(SOURCE, &id, now, Body::ClockSkewed(notice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::decode;
    use bytes::Bytes;

    const MINUTE: i64 = 60_000_000;
    const START: i64 = 1_795_683_600_000_000;

    fn record(offset: u64, source: &str, sequence: &str, key: &str, time_us: i64) -> Record {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Record {
            shard: Shard::new(Topic::Events, 0),
            offset,
            timestamp_us: START + offset.cast_signed() * MINUTE,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &format!("e{offset}")),
                header("ce_source", source),
                header("ce_type", "ambit.tool_call.requested.v1"),
                header("ce_time", &Timestamp::from_micros(time_us).to_string()),
                header("ce_sequence", sequence),
            ]
            .into(),
            value: Some(Bytes::from_static(
                br#"{"tenant_uid":"a","ai_agent":{"uid":"x"},"tool_call":{"id":"c","name":"t"}}"#,
            )),
        }
    }

    /// What is noticed: `(missing, skew in ms)` of each event in turn.
    fn check(records: &[Record], producers: &mut Producers) -> Vec<(Option<u64>, Option<i64>)> {
        let mut all = Vec::new();
        for record in records {
            let event = decode(record).unwrap();
            let mut found = (None, None);
            for noticed in producers.check(record, &event, event.time).unwrap() {
                match noticed {
                    Noticed::Missing(Event { body: Body::GapDetected(notice), .. }) => {
                        found.0 = notice.missing;
                    }
                    Noticed::Skewed(Event { body: Body::ClockSkewed(notice), .. }) => {
                        found.1 = notice.skew_ms;
                    }
                    Noticed::Missing(_) | Noticed::Skewed(_) => panic!("another body"),
                }
            }
            all.push(found);
        }
        all
    }

    fn numbered_as(sequences: &[(&str, &str, &str)]) -> Vec<Record> {
        let at = |offset: usize| START + i64::try_from(offset).unwrap() * MINUTE;
        let number = |(offset, (source, sequence, key)): (usize, &(&str, &str, &str))| {
            record(offset as u64, source, sequence, key, at(offset))
        };
        sequences.iter().enumerate().map(number).collect()
    }

    #[test]
    fn a_missing_number_is_told_with_how_many() {
        let records = numbered_as(&[
            ("p", "7", "k"),
            ("p", "8", "k"),
            ("p", "8", "k"),
            ("p", "12", "k"),
            ("q", "1", "k"),
            ("p", "1", "other key"),
            ("p", "11", "k"),
            ("p", "13", "k"),
            ("p", "1", "k"),
            ("p", "3", "k"),
            ("p", "not a number", "k"),
            ("p", "18446744073709551615", "k"),
        ]);
        let found = check(&records, &mut Producers::new(10, 1_000));
        let missing: Vec<Option<u64>> = found.into_iter().map(|(missing, _)| missing).collect();
        let expected =
            [None, None, None, Some(3), None, None, None, None, None, Some(1), None, Some(u64::MAX - 4)];
        assert_eq!(missing, expected);
    }

    #[test]
    fn what_was_stored_before_counts() {
        let records = numbered_as(&[("p", "7", "k"), ("p", "9", "k")]);
        let mut producers = Producers::new(10, 1_000);
        producers.learn(&records[0], "p");
        assert_eq!(check(&records[1..], &mut producers), [(Some(1), None)]);
    }

    #[test]
    fn state_is_bounded() {
        let mut producers = Producers::new(2, 1_000);
        let records: Vec<Record> =
            (0..50).map(|offset| record(offset, &format!("s{offset}"), "5", "k", START)).collect();
        check(&records, &mut producers);
        assert_eq!(check(&[record(60, "s1", "9", "k", START + 60 * MINUTE)], &mut producers), [(None, None)]);
    }

    #[test]
    fn a_wrong_clock_is_told_once_in_a_while_for_each_source() {
        let hour = 60 * MINUTE;
        let records = [
            record(0, "ahead", "1", "k", START + hour),
            record(1, "ahead", "2", "k", START + MINUTE + hour),
            record(2, "behind", "1", "k", START + 2 * MINUTE - hour),
            record(3, "right", "1", "k", START + 3 * MINUTE),
            record(11, "ahead", "3", "k", START + 11 * MINUTE + hour),
        ];
        let found = check(&records, &mut Producers::new(10, 300_000));
        let skews: Vec<Option<i64>> = found.into_iter().map(|(_, skew)| skew).collect();
        assert_eq!(skews, [Some(3_600_000), None, Some(-3_600_000), None, Some(3_600_000)]);
    }
}
