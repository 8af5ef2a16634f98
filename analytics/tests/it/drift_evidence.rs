//! The promise of e-detectors, measured: false alarms are as rare as stated on data of every kind, changes are told soon,
//! and what is usually done instead does not keep the promise.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::similar_names,
    reason = "small numbers of a test"
)]

#[path = "../../benches/detect/nulls.rs"]
mod nulls;

use ambit_analytics::drift::{Evidence, Scheme, Test, divergence, mean_upper, share_upper, upper_by_time};
use nulls::{Bursts, Stream, diurnal, iid};

/// Observations until the alarm; `most` when there is none before.
fn run_length(mut next: impl FnMut() -> f64, test: &Test, scheme: Scheme, alpha: f64, most: u32) -> u32 {
    let mut evidence = Evidence::default();
    for number in 1..=most {
        evidence.update(test, scheme, next(), 1.0);
        if evidence.log() >= -alpha.ln() {
            return number;
        }
    }
    most
}

/// The average run length over streams, and the most that it may be in truth if that is no worse luck than one in a
/// hundred. The promise is nearly tight, so that an average may lie below it by chance; `make bench-detect` measures it
/// over a hundred times as many streams.
fn arl(test: &Test, scheme: Scheme, alpha: f64, stream: impl Fn(u64) -> Stream) -> (f64, f64) {
    const STREAMS: u32 = 120;
    // Cut off late: what is lost thereby only makes the average smaller.
    let most = (8.0 / alpha) as u32;
    let runs: Vec<f64> = (0..u64::from(STREAMS))
        .map(|seed| f64::from(run_length(stream(seed), test, scheme, alpha, most)))
        .collect();
    let mean = runs.iter().sum::<f64>() / f64::from(STREAMS);
    let deviation = (runs.iter().map(|run| (run - mean).powi(2)).sum::<f64>() / f64::from(STREAMS)).sqrt();
    (mean, mean + 2.33 * deviation / f64::from(STREAMS).sqrt())
}

#[test]
fn false_alarms_are_as_rare_as_stated_on_independent_data() {
    for (chance, alpha) in [(0.02, 1e-2), (0.2, 5e-3), (0.7, 1e-2)] {
        for scheme in [Scheme::ShiryaevRoberts, Scheme::Cusum] {
            let (mean, most) = arl(&Test::share(chance), scheme, alpha, |seed| iid(seed, chance));
            assert!(most >= 1.0 / alpha, "{chance} {alpha} {scheme:?}: {mean}");
        }
    }
}

#[test]
fn false_alarms_are_as_rare_as_stated_in_bursts_when_blocks_are_the_unit() {
    let bursts = Bursts { calm: 0.005, burst: 0.2, begins: 0.05, ends: 0.5 };
    let alpha = 5e-3;
    let blocked = Test::share(bursts.block_bound(20));
    let (mean, most) = arl(&blocked, Scheme::ShiryaevRoberts, alpha, |seed| bursts.blocks(seed, 20));
    assert!(most >= 1.0 / alpha, "{mean}");
    // Negative control: event by event, as if they were independent, the promise is not kept.
    let sticky = Bursts { calm: 0.0, burst: 0.6, begins: 0.01, ends: 0.3 };
    let alpha = 1e-3;
    let (_, most) =
        arl(&Test::share(sticky.mean()), Scheme::ShiryaevRoberts, alpha, |seed| sticky.events(seed));
    assert!(most < 1.0 / alpha, "{most}");
}

#[test]
fn false_alarms_are_as_rare_as_stated_around_the_clock() {
    let (chance, per_day, alpha) = (0.06, 96, 5e-3);
    let mut history = diurnal(77, chance, 0.8, per_day);
    let seen: Vec<(u8, f64)> = (0..per_day * 28).map(|_| history()).collect();
    let upper = upper_by_time(&seen, 0.999);
    let stream = |seed| {
        let mut next = diurnal(seed, chance, 0.8, per_day);
        Box::new(move || next().1) as Stream
    };
    let (mean, _) = arl(&Test::share(upper), Scheme::ShiryaevRoberts, alpha, stream);
    assert!(mean >= 1.0 / alpha, "{mean}");
    // Negative control: with the mean of the whole day, the busy hours alarm.
    let (_, most) = arl(&Test::share(chance), Scheme::ShiryaevRoberts, 2e-3, stream);
    assert!(most < 1.0 / 2e-3, "{most}");
}

#[test]
fn a_baseline_of_few_tasks_keeps_the_promise_by_its_upper_bound_only() {
    let (chance, alpha) = (0.05, 5e-3);
    let (mut bounded, mut plugged) = (Vec::new(), Vec::new());
    for seed in 0..60 {
        let mut history = iid(1_000 + seed, chance);
        let hits: f64 = (0..150).map(|_| history()).sum();
        let upper = share_upper(hits as u64, 150, 0.999);
        let length = |upper: f64| {
            f64::from(run_length(
                iid(seed, chance),
                &Test::share(upper),
                Scheme::ShiryaevRoberts,
                alpha,
                2_000,
            ))
        };
        bounded.push(length(upper));
        plugged.push(length((hits / 150.0).max(1e-3)));
    }
    let mean = |runs: &[f64]| runs.iter().sum::<f64>() / 60.0;
    assert!(mean(&bounded) >= 2.0 / alpha, "{}", mean(&bounded));
    let early = |runs: &[f64]| runs.iter().filter(|run| **run < 0.25 / alpha).count();
    assert!(early(&plugged) > 4 * early(&bounded).max(1), "{} {}", early(&plugged), early(&bounded));
}

#[test]
fn changes_are_told_about_as_soon_as_can_be() {
    // Lorden (1971): no detector of this ARL0 has a worst mean delay below ln(ARL0) / KL, to first order.
    let (from, alpha) = (0.02, 1e-6);
    for (to, most) in [(0.1, 1.3), (0.3, 1.3), (0.6, 1.6)] {
        let lorden = -f64::ln(alpha) / divergence(to, from);
        let test = Test::share(from);
        let delays: f64 = (0..100)
            .map(|seed| {
                let (mut before, mut after) = (iid(seed, from), iid(9_000 + seed, to));
                let mut number = 0;
                let mixed = || {
                    number += 1;
                    if number <= 300 { before() } else { after() }
                };
                f64::from(
                    run_length(mixed, &test, Scheme::ShiryaevRoberts, alpha, 100_000).saturating_sub(300),
                )
            })
            .sum();
        let ratio = delays / 100.0 / lorden;
        assert!(ratio <= most, "{from} to {to}: {ratio} of Lorden's bound");
    }
}

/// The usual thing: a z-test of a moving average after every event, at three sigma, one in 740.
#[test]
fn a_z_test_that_is_repeated_does_not_keep_the_promise() {
    let (chance, alpha, weight) = (0.02_f64, 0.001_35, 0.05);
    let sigma = (chance * (1.0 - chance) * weight / (2.0 - weight)).sqrt();
    let runs = (0..400).map(|seed| {
        let (mut next, mut average, mut number) = (iid(seed, chance), chance, 0);
        while number < 20_000 && average <= chance + 3.0 * sigma {
            average += weight * (next() - average);
            number += 1;
        }
        f64::from(number)
    });
    let average = runs.sum::<f64>() / 400.0;
    assert!(average < 0.7 / alpha, "{average}");
    let (ours, most) = arl(&Test::share(chance), Scheme::ShiryaevRoberts, alpha, |seed| iid(seed, chance));
    assert!(most >= 1.0 / alpha, "{ours}");
}

#[test]
fn poisson_rates_keep_the_promise_too() {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    let (rate, alpha) = (3.0_f64, 5e-3);
    let poisson = move |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let draw = move || {
            let (mut count, mut left) = (0.0, rng.random::<f64>());
            while left > (-rate).exp() {
                count += 1.0;
                left *= rng.random::<f64>();
            }
            count
        };
        Box::new(draw) as Stream
    };
    let (mean, most) = arl(&Test::rate(rate), Scheme::ShiryaevRoberts, alpha, poisson);
    assert!(most >= 1.0 / alpha, "{mean}");
    assert!(mean_upper(0.5, 100, 0.999) > 0.5);
}
