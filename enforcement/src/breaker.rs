//! A circuit breaker per receiver: one that is down is asked by one delivery at a time, so that the others keep their
//! tries for when it is back. Pure: the time is given.

use std::time::{Duration, Instant};

/// Failures in a row after which a receiver counts as down.
const FAILURES_MAX: u32 = 5;
/// The first pause between two probes of a receiver that is down.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Whether a receiver answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// When the next probe may go; only while it is open.
    probe_at: Option<Instant>,
}

impl Breaker {
    /// How many more deliveries may be on their way, when so many are and so many may be at most.
    pub(crate) fn allowed(&self, now: Instant, on_their_way: usize, most: usize) -> usize {
        match self.probe_at {
            None => most.saturating_sub(on_their_way),
            Some(at) => usize::from(on_their_way == 0 && now >= at),
        }
    }

    /// Whether it counts as down.
    pub(crate) const fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// It answered: whether it was down before.
    pub(crate) fn answered(&mut self) -> bool {
        let was_open = self.is_open();
        *self = Self::default();
        was_open
    }

    /// It did not answer, or said that it could not.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            let doublings = (self.failures - FAILURES_MAX).min(6);
            self.probe_at = Some(now + (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_is_down_is_probed_and_comes_back() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX - 1 {
            breaker.failed(now);
        }
        assert_eq!((breaker.is_open(), breaker.allowed(now, 3, 16)), (false, 13));
        breaker.failed(now);
        assert_eq!(breaker.allowed(now, 0, 16), 0);
        assert_eq!(breaker.allowed(now + PAUSE_MIN, 0, 16), 1);
        assert_eq!(breaker.allowed(now + PAUSE_MIN, 1, 16), 0, "one probe at a time");
        for _ in 0..100 {
            breaker.failed(now);
        }
        assert_eq!(breaker.allowed(now + PAUSE_MAX, 0, 16), 1, "never longer than a minute");
        assert!(breaker.answered() && !breaker.answered());
        assert_eq!(breaker.allowed(now, 0, 16), 16);
    }

    #[test]
    fn an_answer_in_between_starts_the_count_again() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..20 {
            breaker.failed(now);
            breaker.failed(now);
            assert!(!breaker.answered());
        }
        assert!(!breaker.is_open());
    }
}
