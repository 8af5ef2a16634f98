//! ADWIN, as river has it, against ours at the same measured rate of false alarms.

use crate::nulls::iid;
use crate::report::{Report, Target};
use crate::{CHANGES, USUAL, delays_to, run_length};
use ambit_analytics::drift::Test;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// Events over which our own rate of false alarms is measured.
const EVENTS: u64 = 6_000_000;

/// What `adwin.py` measures of one setting.
#[derive(Deserialize)]
struct Measured {
    delta: f64,
    clock: u32,
    events: u64,
    alarms: u64,
    delays: HashMap<String, Vec<f64>>,
}

/// False alarms per event at a threshold.
fn rate(log_threshold: f64) -> f64 {
    let (test, mut next) = (Test::share(USUAL), iid(5, USUAL));
    let (mut left, mut alarms) = (EVENTS, 0.0);
    while left > 0 {
        let length = run_length(&mut next, &test, log_threshold, left);
        left -= length;
        if left > 0 {
            alarms += 1.0;
        }
    }
    alarms / EVENTS as f64
}

/// The threshold at which our rate is the wanted one.
fn threshold(wanted: f64) -> f64 {
    let (mut low, mut high) = (0.0, -wanted.ln() + 1.0);
    for _ in 0..8 {
        let middle = f64::midpoint(low, high);
        if rate(middle) > wanted { low = middle } else { high = middle }
    }
    high
}

/// Compares every setting of ADWIN that has alarmed often enough to say how often it does.
pub fn compare(report: &mut Report, file: &Path) {
    let settings: Vec<Measured> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for measured in settings {
        let arl = measured.events as f64 / measured.alarms.max(1) as f64;
        println!(
            "ADWIN, delta {}, every {} events: {} alarms in {} events",
            measured.delta, measured.clock, measured.alarms, measured.events
        );
        if measured.alarms < 20 {
            continue;
        }
        let ours = threshold(1.0 / arl);
        for change in CHANGES {
            let theirs = &measured.delays[&change.to_string()];
            let mean = |delays: &[f64]| delays.iter().sum::<f64>() / delays.len() as f64;
            let (theirs, ours) = (mean(theirs), mean(&delays_to(change, ours)));
            let subject =
                format!("adwin_every_{}_arl0_{arl:.0}_2_to_{}_percent", measured.clock, change * 100.0);
            report.value(&subject, "adwin_events", theirs);
            report.value(&subject, "our_events", ours);
            report.judged(&subject, "times_sooner", theirs / ours, Target::AtLeast(1.5));
        }
    }
}
