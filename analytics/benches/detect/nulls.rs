//! Streams on which nothing has changed, and streams on which something has.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A number from 0 to 1, the next of a stream.
pub type Stream = Box<dyn FnMut() -> f64>;

/// Independent events, each with the same chance.
pub fn iid(seed: u64, chance: f64) -> Stream {
    let mut rng = SmallRng::seed_from_u64(seed);
    Box::new(move || if rng.random::<f64>() < chance { 1.0 } else { 0.0 })
}

/// Events that come in bursts: a chain of two states, `calm` and `burst`, with a chance of leaving each, and another
/// chance of a hit in each.
#[derive(Debug, Clone, Copy)]
pub struct Bursts {
    pub calm: f64,
    pub burst: f64,
    pub begins: f64,
    pub ends: f64,
}

impl Bursts {
    /// The share of hits in the long run.
    pub fn mean(self) -> f64 {
        (self.calm * self.ends + self.burst * self.begins) / (self.begins + self.ends)
    }

    /// The largest share of hits that a block of so many events has on average, whatever came before: that of one that
    /// follows a burst.
    pub fn block_bound(self, events: u32) -> f64 {
        let (mut in_burst, mut sum) = (1.0 - self.ends, 0.0);
        for _ in 0..events {
            sum += in_burst * self.burst + (1.0 - in_burst) * self.calm;
            in_burst = in_burst * (1.0 - self.ends) + (1.0 - in_burst) * self.begins;
        }
        sum / f64::from(events)
    }

    /// Event by event.
    pub fn events(self, seed: u64) -> Stream {
        let (mut rng, mut bursting) = (SmallRng::seed_from_u64(seed), false);
        Box::new(move || {
            let leaves = if bursting { self.ends } else { self.begins };
            bursting ^= rng.random::<f64>() < leaves;
            let chance = if bursting { self.burst } else { self.calm };
            if rng.random::<f64>() < chance { 1.0 } else { 0.0 }
        })
    }

    /// The share of hits in blocks of so many events.
    pub fn blocks(self, seed: u64, events: u32) -> Stream {
        let mut next = self.events(seed);
        Box::new(move || (0..events).map(|_| next()).sum::<f64>() / f64::from(events))
    }
}

/// Tasks around the clock, so many a day, of which more fail by day than by night: `(hour, 0 or 1)`.
pub fn diurnal(seed: u64, chance: f64, swing: f64, per_day: u32) -> impl FnMut() -> (u8, f64) {
    let (mut rng, mut number) = (SmallRng::seed_from_u64(seed), 0_u64);
    move || {
        let of_day = f64::from(u32::try_from(number % u64::from(per_day)).unwrap_or(0)) / f64::from(per_day);
        number += 1;
        let now = chance * (1.0 + swing * (of_day * std::f64::consts::TAU).sin());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour is from 0 to 23")]
        let hour = (of_day * 24.0) as u8;
        (hour, if rng.random::<f64>() < now { 1.0 } else { 0.0 })
    }
}
