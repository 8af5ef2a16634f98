//! The claims about drift detection, measured: false alarms are as rare as promised on data of every kind, and changes are
//! told nearly as soon as any detector could, sooner than by ADWIN at the same rate of false alarms.
//!
//! `make bench-detect`, or `scripts/bench-detect.sh`. Figures are printed beside their targets and written to
//! `target/bench/detect.json`. A missed target is printed, no failure.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::similar_names,
    clippy::unwrap_used,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark fails by panicking, prints, and rounds what it tells"
)]

mod fold;
mod nulls;
mod peer;
mod real;
mod report;

use ambit_analytics::drift::{Evidence, Scheme, Test, divergence, upper_by_time};
use nulls::{Bursts, Stream, diurnal, iid};
use report::{Report, Target};
use std::path::PathBuf;
use std::time::Instant;

/// Streams over which an average run length is taken.
const STREAMS: u64 = 4_000;
/// Runs over which a delay is taken.
const RUNS: u64 = 2_000;
/// Events before a change.
const BEFORE: u32 = 2_000;
/// The promise whose false alarms are counted.
const ALPHA: f64 = 1e-3;
/// The promise at which delays are taken.
const ALPHA_OF_DELAY: f64 = 1e-6;
/// The share that is usual, and what it becomes.
const USUAL: f64 = 0.02;
const CHANGES: [f64; 3] = [0.06, 0.1, 0.3];

fn main() {
    let mut report = Report::default();
    fold::measure(&mut report);
    false_alarms(&mut report);
    if let Some(data) = option("--data").filter(|data| data.is_dir()) {
        real_data(&mut report, &data);
    } else {
        println!("SKIPPED: recorded runs, for lack of `--data DIR`");
    }
    delays(&mut report);
    if let Some(file) = option("--river").filter(|file| file.is_file()) {
        peer::compare(&mut report, &file);
    } else {
        println!("SKIPPED: ADWIN, for lack of `--river FILE`");
    }
    speed(&mut report);
    report.print();
    report.write();
}

fn option(name: &str) -> Option<PathBuf> {
    let mut args = std::env::args();
    args.find(|arg| arg == name)?;
    args.next().map(PathBuf::from)
}

/// Events until the alarm, at most so many.
pub fn run_length(mut next: impl FnMut() -> f64, test: &Test, log_threshold: f64, most: u64) -> u64 {
    let mut evidence = Evidence::default();
    for number in 1..=most {
        evidence.update(test, Scheme::ShiryaevRoberts, next(), 1.0);
        if evidence.log() >= log_threshold {
            return number;
        }
    }
    most
}

/// The average run length, in units of what is promised, with its 95 % interval.
fn arl(upper: f64, stream: impl Fn(u64) -> Stream) -> (f64, f64, f64) {
    let test = Test::share(upper);
    let most = (30.0 / ALPHA) as u64;
    let runs: Vec<f64> =
        (0..STREAMS).map(|seed| run_length(stream(seed), &test, -ALPHA.ln(), most) as f64 * ALPHA).collect();
    interval(&runs)
}

fn interval(values: &[f64]) -> (f64, f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let error = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count / count).sqrt();
    (mean, mean - 1.96 * error, mean + 1.96 * error)
}

fn false_alarms(report: &mut Report) {
    let unit = "of_promised_arl0";
    let least = Some(Target::AtLeast(1.0));
    report.range("iid", unit, arl(USUAL, |seed| iid(seed, USUAL)), least);
    report.range("iid_half", unit, arl(0.5, |seed| iid(seed, 0.5)), least);
    let bursts = Bursts { calm: 0.0, burst: 0.6, begins: 0.01, ends: 0.3 };
    let blocked = arl(bursts.block_bound(20), |seed| bursts.blocks(seed, 20));
    report.range("bursty_in_blocks_of_20", unit, blocked, least);
    let by_event = arl(bursts.mean(), |seed| bursts.events(seed));
    report.range("bursty_by_event_negative_control", unit, by_event, None);
    let per_day = 96;
    let mut history = diurnal(77, 0.06, 0.8, per_day);
    let seen: Vec<(u8, f64)> = (0..per_day * 28).map(|_| history()).collect();
    let stream = |seed| {
        let mut next = diurnal(seed, 0.06, 0.8, per_day);
        Box::new(move || next().1) as Stream
    };
    report.range("diurnal_bound_by_part_of_day", unit, arl(upper_by_time(&seen, 0.999), stream), least);
    report.range("diurnal_mean_of_day_negative_control", unit, arl(0.06, stream), None);
    report.range("three_sigma_ewma_negative_control", unit, three_sigma(), None);
}

/// The usual thing: three sigma of a moving average after every event, one in 740.
fn three_sigma() -> (f64, f64, f64) {
    let (weight, alpha) = (0.05, 0.001_35);
    let most = USUAL + 3.0 * (USUAL * (1.0 - USUAL) * weight / (2.0 - weight)).sqrt();
    let runs: Vec<f64> = (0..STREAMS)
        .map(|seed| {
            let (mut next, mut average, mut number) = (iid(seed, USUAL), USUAL, 0.0);
            while average <= most {
                average += weight * (next() - average);
                number += 1.0;
            }
            number * alpha
        })
        .collect();
    interval(&runs)
}

/// Recorded runs of agents without any attack, in an order of chance: nothing changes.
fn real_data(report: &mut Report, data: &std::path::Path) {
    for (name, values) in real::measures(data) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let measured = arl(mean, |seed| real::shuffled(values.clone(), seed));
        let subject = format!("recorded_runs_{name}");
        report.range(&subject, "of_promised_arl0", measured, Some(Target::AtLeast(1.0)));
    }
}

/// Delays after a change, at a threshold.
pub fn delays_to(change: f64, log_threshold: f64) -> Vec<f64> {
    let test = Test::share(USUAL);
    let delays = (0..RUNS).filter_map(|seed| {
        let (mut before, mut after) = (iid(seed, USUAL), iid(1_000_000 + seed, change));
        let mut number = 0;
        let mixed = || {
            number += 1;
            if number <= BEFORE { before() } else { after() }
        };
        let at = run_length(mixed, &test, log_threshold, 1_000_000);
        // An alarm before the change is a false one, and counted elsewhere.
        at.checked_sub(u64::from(BEFORE)).filter(|delay| *delay > 0).map(|delay| delay as f64)
    });
    delays.collect()
}

fn delays(report: &mut Report) {
    for change in CHANGES {
        // Lorden (1971): to first order, no detector of this ARL0 has a smaller worst mean delay.
        let lorden = -ALPHA_OF_DELAY.ln() / divergence(change, USUAL);
        let delays = delays_to(change, -ALPHA_OF_DELAY.ln());
        let (mean, low, high) = interval(&delays);
        let subject = format!("delay_2_to_{}_percent", change * 100.0);
        report.value(&subject, "events", mean);
        let range = (mean / lorden, low / lorden, high / lorden);
        report.range(&subject, "of_lordens_bound", range, Some(Target::AtMost(1.3)));
    }
}

fn speed(report: &mut Report) {
    let (test, mut evidence, mut next) = (Test::share(USUAL), Evidence::default(), iid(1, USUAL));
    let xs: Vec<f64> = (0..2_000_000).map(|_| next()).collect();
    let start = Instant::now();
    for x in &xs {
        evidence.update(&test, Scheme::ShiryaevRoberts, *x, 1.0);
    }
    let took = start.elapsed().as_secs_f64();
    assert!(evidence.log().is_finite());
    report.value("updates", "per_second", xs.len() as f64 / took);
}
