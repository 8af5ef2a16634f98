//! The events that are measured: many fleets of simulated agents, merged in order of time. How busy a fleet is falls
//! with its rank (Zipf), so a few agents do most and many do little. The same call gives the same bytes.

use ambit::simulate::{Options, Simulated, Simulation};
use ambit_schemas::Timestamp;
use ed25519_dalek::SigningKey;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Fleets, each of its own tenant.
const FLEETS: u32 = 64;
/// Tasks per minute of the busiest fleet; the one of rank `n` begins an `n`th of it.
const TASKS_PER_MINUTE: u32 = 6_000;
/// Of so many tasks of a fleet one is attacked.
const ATTACK_EVERY: u32 = 500;
/// When the first task begins. In the past, and the same for every run.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Whoever approves the envelopes of a corpus that is judged in this process.
pub(crate) fn approver() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Streams of events, merged in order of time.
pub(crate) struct Merged<I> {
    streams: Vec<I>,
    waiting: Vec<Option<Simulated>>,
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl<I: Iterator<Item = Simulated>> Merged<I> {
    pub(crate) fn new(streams: Vec<I>) -> Self {
        let waiting = streams.iter().map(|_| None).collect();
        let mut merged = Self { streams, waiting, next: BinaryHeap::new() };
        for index in 0..merged.streams.len() {
            merged.refill(index);
        }
        merged
    }

    fn refill(&mut self, index: usize) {
        let (Some(stream), Some(place)) = (self.streams.get_mut(index), self.waiting.get_mut(index)) else {
            return;
        };
        *place = stream.next();
        if let Some(simulated) = place {
            self.next.push(Reverse((simulated.event.time, index)));
        }
    }
}

impl<I: Iterator<Item = Simulated>> Iterator for Merged<I> {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        let Reverse((_, index)) = self.next.pop()?;
        let simulated = self.waiting.get_mut(index).and_then(Option::take);
        self.refill(index);
        simulated
    }
}

/// The fleets, with their share of attacks, or without any.
pub(crate) fn fleets(approver: &SigningKey, tasks_per_minute: u32, attack_every: u32) -> Vec<Simulation> {
    (1..=FLEETS)
        .map(|rank| {
            let options = Options {
                seed: u64::from(rank),
                run: format!("bench-{rank}"),
                tenant: format!("tenant-{rank}"),
                tasks_per_minute: (tasks_per_minute / rank).max(1),
                attack_every,
                first_attack: attack_every / 2,
                start: START,
                ..Options::default()
            };
            Simulation::new(options, approver.clone())
        })
        .collect()
}

/// The corpus: endless, seeded.
pub(crate) fn corpus(approver: &SigningKey) -> Merged<Simulation> {
    Merged::new(fleets(approver, TASKS_PER_MINUTE, ATTACK_EVERY))
}
