//! How long things take, counted into a bounded number of buckets, as Prometheus' histograms have it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds; what took longer is counted in the last one, which has no bound.
pub const BOUNDS_US: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// Durations, counted by their length. It takes as much room however many there are.
#[derive(Debug, Default)]
pub struct Histogram {
    within: [AtomicU64; BOUNDS_US.len()],
    beyond: AtomicU64,
    micros: AtomicU64,
}

/// A histogram at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// For each bound, in microseconds: how many took at most so long.
    pub within: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all took together, in microseconds.
    pub micros: u64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_US.iter().zip(&self.within).find(|(bound, _)| micros <= **bound);
        place.map_or(&self.beyond, |(_, count)| count).fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How it stands. While others count, it may be behind by those.
    pub fn taken(&self) -> Taken {
        let mut count = 0;
        let within = BOUNDS_US.iter().zip(&self.within).map(|(bound, own)| {
            count += own.load(Ordering::Relaxed);
            (*bound, count)
        });
        let within = within.collect();
        count += self.beyond.load(Ordering::Relaxed);
        Taken { within, count, micros: self.micros.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_buckets_hold_those_before_them() {
        let histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 400_000, 30_000_000, 30_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let taken = histogram.taken();
        assert_eq!((taken.count, taken.micros), (6, 60_402_002));
        let within = |bound: u64| taken.within.iter().find(|(known, _)| *known == bound).unwrap().1;
        assert_eq!([within(1_000), within(2_500), within(250_000), within(500_000)], [2, 3, 3, 4]);
        assert_eq!(within(30_000_000), 5, "what took longer is in no bucket but the last");
        assert!(BOUNDS_US.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
