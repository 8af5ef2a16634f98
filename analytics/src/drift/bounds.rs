//! What a baseline can say for certain: upper confidence bounds of what was seen.
//!
//! A detector that takes a mean of some hundred tasks for the truth alarms far more often than it promises. One that
//! tests against an upper confidence bound keeps its promise whenever the bound holds.

use statrs::distribution::{Beta, ContinuousCDF, Gamma};

/// Steps of a bisection: enough for every bit of the answer.
const STEPS: usize = 60;

/// The exact upper bound of a share of which `hits` of `trials` were seen (Clopper and Pearson, 1934). 1 without
/// trials.
pub fn share_upper(hits: u64, trials: u64, confidence: f64) -> f64 {
    if hits >= trials {
        return 1.0;
    }
    let distribution = Beta::new(float(hits) + 1.0, float(trials - hits));
    distribution.map_or(1.0, |beta| beta.inverse_cdf(confidence.clamp(0.0, 1.0)))
}

/// The upper bound of the mean of values from 0 to 1, whatever their distribution: the largest mean for which what was
/// seen has a Chernoff bound (Hoeffding 1963, theorem 1) of at least `1 - confidence`. 1 without values.
pub fn mean_upper(mean: f64, count: u64, confidence: f64) -> f64 {
    let mean = mean.clamp(0.0, 1.0);
    if count == 0 {
        return 1.0;
    }
    let enough = -(1.0 - confidence.clamp(0.0, 1.0 - 1e-15)).ln() / float(count);
    let (mut low, mut high) = (mean, 1.0);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if divergence(mean, middle) > enough { high = middle } else { low = middle }
    }
    high
}

/// The exact upper bound of a Poisson rate of which `count` were seen in `exposure` (Garwood, 1936).
pub fn rate_upper(count: u64, exposure: f64, confidence: f64) -> f64 {
    if exposure <= 0.0 {
        return f64::INFINITY;
    }
    let distribution = Gamma::new(float(count) + 1.0, exposure);
    distribution.map_or(f64::INFINITY, |gamma| gamma.inverse_cdf(confidence.clamp(0.0, 1.0)))
}

/// The relative entropy of two shares, in nats.
pub fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p <= 0.0 { 0.0 } else { p * (p / q).ln() };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// Counts are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of tasks and calls are far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal means equal")]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_tables() {
        // No hit in n trials: 1 - (1 - confidence)^(1/n), the "rule of three".
        assert!((share_upper(0, 100, 0.95) - 0.029_513).abs() < 1e-5);
        assert!((share_upper(5, 100, 0.975) - 0.112_835).abs() < 1e-5);
        assert!((rate_upper(0, 1.0, 0.95) - 2.995_732).abs() < 1e-5);
        assert!((rate_upper(10, 2.0, 0.975) - 18.390_36 / 2.0).abs() < 1e-4);
    }

    #[test]
    fn little_that_was_seen_bounds_little() {
        assert_eq!(share_upper(0, 0, 0.999), 1.0);
        assert_eq!(share_upper(3, 3, 0.999), 1.0);
        assert_eq!(mean_upper(0.2, 0, 0.999), 1.0);
        assert_eq!(rate_upper(1, 0.0, 0.999), f64::INFINITY);
        let bounds = [10, 100, 1_000, 10_000].map(|count| mean_upper(0.1, count, 0.999));
        assert!(bounds.windows(2).all(|pair| pair[1] < pair[0]) && bounds[3] > 0.1, "{bounds:?}");
    }

    #[test]
    fn the_chernoff_bound_is_wider_than_the_exact_one_and_not_by_much() {
        for (hits, trials) in [(0, 50), (3, 50), (40, 400), (300, 400)] {
            let exact = share_upper(hits, trials, 0.999);
            let general = mean_upper(float(hits) / float(trials), trials, 0.999);
            assert!(general >= exact && general < exact * 1.3, "{hits} of {trials}: {exact} {general}");
        }
    }
}
