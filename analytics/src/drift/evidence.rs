//! Evidence that something has increased: e-detectors, which may be looked at after every observation.
//!
//! For a null hypothesis "the mean is at most `m`", each observation `x` is bet on: the stake is multiplied by an
//! e-value `L(x)`, whose expectation under the null is at most 1 whatever came before. An e-detector starts a new bet
//! with one unit at every observation and holds on to all of them:
//!
//! ```text
//! Shiryaev-Roberts: M(n) = L(x(n)) * (M(n-1) + 1)        CUSUM: M(n) = L(x(n)) * max(M(n-1), 1)
//! ```
//!
//! Telling when `M` reaches `1 / alpha` gives an average run length to a false alarm (ARL0) of at least `1 / alpha`, by
//! construction and for every null, not as the outcome of tuning: Shin, Ramdas and Rinaldo, "E-detectors: a
//! nonparametric framework for sequential change detection", arXiv:2203.03532, theorem 2.4. A mixture of e-detectors is
//! one too, so that the size of the change need not be known. Everything is kept as logarithms, in constant memory.
//! Logarithms and exponentials are those of a library of our own choice, not of the machine's: the same events give the
//! same bits everywhere (INVARIANT A-1).

use serde::{Deserialize, Serialize};

/// Sizes of change that are bet on at once.
pub const TILTS: usize = 6;
#[expect(clippy::cast_precision_loss, reason = "a handful")]
const TILTS_F64: f64 = TILTS as f64;
/// ln 2: a bit of evidence doubles the odds.
const LN_2: f64 = std::f64::consts::LN_2;
/// Means are taken to be no closer to 0 and 1 than this: nothing that was seen finitely often is known better.
const MEAN_MIN: f64 = 1e-9;
const MEAN_MAX: f64 = 1.0 - 1e-6;
/// By what a Poisson rate may have multiplied.
const RATIOS: [f64; TILTS] = [1.25, 1.6, 2.2, 3.5, 6.0, 12.0];

/// A one-sided test that a mean or rate has risen. Its e-values are `exp(tilt * x - cost * exposure)`, one for each
/// size of change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    tilts: [f64; TILTS],
    costs: [f64; TILTS],
}

impl Test {
    /// Of observations from 0 to 1 whose mean is at most `upper`, whatever their distribution: `exp` is convex, so
    /// `E[exp(tilt x)] <= 1 - m + m exp(tilt)`. For observations that are 0 or 1 this is the likelihood ratio.
    ///
    /// An observation may stand for a block of events, such as the share of a task's calls that failed: how the events
    /// of a block depend on each other then does not matter. `upper` is at best an upper confidence bound.
    pub fn share(upper: f64) -> Self {
        let mean = upper.clamp(MEAN_MIN, MEAN_MAX);
        let (mut tilts, mut costs) = ([0.0; TILTS], [0.0; TILTS]);
        let mut step = 0.0;
        for (tilt, cost) in tilts.iter_mut().zip(&mut costs) {
            step += 1.0;
            // Alternatives lie between the mean and 1, at equal distances of their logarithms.
            let alternative = libm::pow(mean, 1.0 - step / (TILTS_F64 + 1.0));
            *tilt = libm::log(alternative * (1.0 - mean) / (mean * (1.0 - alternative)));
            *cost = libm::log1p(mean * libm::expm1(*tilt));
        }
        Self { tilts, costs }
    }

    /// Of counts that are Poisson, or more regular, at a rate of at most `upper` per unit of exposure.
    pub fn rate(upper: f64) -> Self {
        let rate = upper.max(MEAN_MIN);
        Self { tilts: RATIOS.map(libm::log), costs: RATIOS.map(|ratio| rate * (ratio - 1.0)) }
    }

    /// The logarithm of the e-value of one observation by itself.
    pub fn log_e(&self, x: f64, exposure: f64) -> f64 {
        mixture(&self.logs(x, exposure))
    }

    /// The logarithm of the e-value for a change of middle size.
    pub(crate) fn middle_log(&self, x: f64) -> f64 {
        let middle = TILTS / 2;
        let at = |values: &[f64; TILTS]| values.get(middle).copied().unwrap_or_default();
        at(&self.tilts) * x - at(&self.costs)
    }

    fn logs(&self, x: f64, exposure: f64) -> [f64; TILTS] {
        let mut logs = [0.0; TILTS];
        for ((log, tilt), cost) in logs.iter_mut().zip(self.tilts).zip(self.costs) {
            *log = tilt * x - cost * exposure;
        }
        logs
    }
}

/// How an e-detector holds on to its bets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// All of them: reacts sooner.
    ShiryaevRoberts,
    /// The best of them: alarms more rarely than promised.
    Cusum,
}

/// What an e-detector has come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    logs: [f64; TILTS],
}

impl Default for Evidence {
    fn default() -> Self {
        Self { logs: [f64::NEG_INFINITY; TILTS] }
    }
}

impl Evidence {
    /// Takes one observation in: `x` from 0 to 1 and an exposure of 1 for [`Test::share`], a count and its exposure for
    /// [`Test::rate`]. What is not a number says nothing.
    pub fn update(&mut self, test: &Test, scheme: Scheme, x: f64, exposure: f64) {
        if !x.is_finite() || !exposure.is_finite() || x < 0.0 || exposure < 0.0 {
            return;
        }
        for (log, gain) in self.logs.iter_mut().zip(test.logs(x, exposure)) {
            let held = match scheme {
                Scheme::ShiryaevRoberts => log.max(0.0) + libm::log1p(libm::exp(-log.abs())),
                Scheme::Cusum => log.max(0.0),
            };
            *log = gain + held;
        }
    }

    /// What as many observations of 0 give with Shiryaev-Roberts, at once: the sum of a geometric series. Rare things
    /// then cost nothing while they do not happen.
    pub fn skip(&mut self, test: &Test, observations: u32) {
        if observations == 0 {
            return;
        }
        for (log, cost) in self.logs.iter_mut().zip(test.costs) {
            let all = f64::from(observations) * cost;
            let begun = log_1m_exp(-all) - log_1m_exp(-cost) - cost;
            *log = log_add(*log - all, begun);
        }
    }

    /// The logarithm of the evidence, over all sizes of change.
    pub fn log(&self) -> f64 {
        mixture(&self.logs)
    }

    /// Whether the evidence has come to a threshold, as a logarithm. A mean is at most its largest part, which is seen at
    /// once.
    pub fn reaches(&self, threshold: f64) -> bool {
        self.logs.iter().any(|log| *log >= threshold) && self.log() >= threshold
    }

    /// The same in bits.
    pub fn bits(&self) -> f64 {
        self.log() / LN_2
    }
}

/// ln of the mean of what has these logarithms.
fn mixture(logs: &[f64; TILTS]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return most;
    }
    let sum: f64 = logs.iter().map(|log| libm::exp(log - most)).sum();
    most + libm::log(sum / TILTS_F64)
}

fn log_add(a: f64, b: f64) -> f64 {
    let (more, less) = if a > b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY { more } else { more + libm::log1p(libm::exp(less - more)) }
}

/// ln(1 - exp(x)) for `x` below 0.
fn log_1m_exp(x: f64) -> f64 {
    if x > -LN_2 { libm::log(-libm::expm1(x)) } else { libm::log1p(-libm::exp(x)) }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal means equal")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_no_evidence_and_what_is_no_number_changes_nothing() {
        let test = Test::share(0.1);
        let mut evidence = Evidence::default();
        assert_eq!(evidence.log(), f64::NEG_INFINITY);
        for x in [f64::NAN, f64::INFINITY, -1.0] {
            evidence.update(&test, Scheme::ShiryaevRoberts, x, 1.0);
            evidence.update(&test, Scheme::Cusum, 1.0, x);
        }
        assert_eq!(evidence, Evidence::default());
    }

    #[test]
    fn what_is_certain_to_happen_is_never_evidence() {
        for upper in [1.0, 2.0] {
            let (test, mut evidence) = (Test::share(upper), Evidence::default());
            for _ in 0..1_000 {
                evidence.update(&test, Scheme::ShiryaevRoberts, 1.0, 1.0);
            }
            // Each of a thousand bets is worth about what was staked.
            assert!(evidence.log() < libm::log(1_100.0), "{}", evidence.log());
        }
    }

    proptest! {
        // The bound on which everything rests: under the null, the expected e-value is at most 1.
        #[test]
        fn a_bet_on_a_share_is_fair(upper in 0.0_f64..1.0, low in 0.0_f64..1.0, high in 0.0_f64..1.0) {
            // Of all distributions of a mean, those on two points suffice.
            let test = Test::share(upper);
            let (low, high) = (low * upper, upper + high * (1.0 - upper));
            let share = if high > low { (upper - low) / (high - low) } else { 0.0 };
            let expected = share * libm::exp(test.log_e(high, 1.0)) + (1.0 - share) * libm::exp(test.log_e(low, 1.0));
            prop_assert!(expected <= 1.0 + 1e-6, "{expected}");
        }

        #[test]
        fn a_bet_on_a_rate_is_fair(upper in 0.01_f64..20.0, exposure in 0.1_f64..5.0) {
            let (test, mean) = (Test::rate(upper), upper * exposure);
            let (mut expected, mut log_chance) = (0.0, -mean);
            for count in 0..3_000 {
                expected += libm::exp(log_chance + test.log_e(f64::from(count), exposure));
                log_chance += libm::log(mean / f64::from(count + 1));
            }
            prop_assert!(expected <= 1.0 + 1e-6, "{expected}");
        }

        #[test]
        fn skipping_is_taking_in_nothing_so_often(upper in 1e-4_f64..0.99, hits in 0_u32..4, n in 0_u32..200) {
            let test = Test::share(upper);
            let mut one = Evidence::default();
            for _ in 0..hits {
                one.update(&test, Scheme::ShiryaevRoberts, 1.0, 1.0);
            }
            let mut other = one;
            for _ in 0..n {
                one.update(&test, Scheme::ShiryaevRoberts, 0.0, 1.0);
            }
            other.skip(&test, n);
            let (one, other) = (one.log(), other.log());
            prop_assert!(one == other || (one - other).abs() < 1e-6 * (1.0 + one.abs()), "{one} {other}");
        }

        #[test]
        fn more_is_more_evidence_and_cusum_never_has_more(upper in 1e-3_f64..0.9, xs in prop::collection::vec(0.0_f64..1.0, 1..40)) {
            let test = Test::share(upper);
            let (mut less, mut more, mut cusum) = (Evidence::default(), Evidence::default(), Evidence::default());
            for x in xs {
                less.update(&test, Scheme::ShiryaevRoberts, x / 2.0, 1.0);
                more.update(&test, Scheme::ShiryaevRoberts, x, 1.0);
                cusum.update(&test, Scheme::Cusum, x, 1.0);
            }
            prop_assert!(less.log() <= more.log() && cusum.log() <= more.log() + 1e-9);
        }

        #[test]
        fn evidence_survives_a_snapshot(xs in prop::collection::vec(0.0_f64..1.0, 0..20)) {
            let (test, mut evidence) = (Test::share(0.2), Evidence::default());
            for x in xs {
                evidence.update(&test, Scheme::ShiryaevRoberts, x, 1.0);
            }
            let bytes = postcard::to_allocvec(&evidence).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Evidence>(&bytes).unwrap(), evidence);
        }
    }
}
