//! What was measured: as a table for people, beside its target, and as `target/bench/NAME.json` for programs.

use ambit::output::print;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
}

/// A figure: what was measured and its unit, which ends its name.
#[derive(Debug, Clone)]
struct Figure {
    subject: String,
    unit: String,
    value: f64,
    range: Option<(f64, f64)>,
    target: Option<Target>,
}

/// The figures of one benchmark, of one broker if brokers matter to it.
#[derive(Debug)]
pub(crate) struct Benchmark {
    name: String,
    figures: Vec<Figure>,
}

impl Benchmark {
    /// `name` is that of the file.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), figures: Vec::new() }
    }

    /// A single value.
    pub(crate) fn value(&mut self, subject: &str, unit: &str, value: f64) {
        self.push(subject, unit, value, None, None);
    }

    /// A single value that should be something.
    pub(crate) fn judged(&mut self, subject: &str, unit: &str, value: f64, target: Target) {
        self.push(subject, unit, value, None, Some(target));
    }

    /// The median of several rounds, with the least and the most.
    pub(crate) fn rounds(&mut self, subject: &str, unit: &str, values: &[f64], target: Option<Target>) {
        let (least, most) =
            (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
        if let (Some(least), Some(most)) = (least, most) {
            self.push(subject, unit, median(values), Some((least, most)), target);
        }
    }

    fn push(
        &mut self,
        subject: &str,
        unit: &str,
        value: f64,
        range: Option<(f64, f64)>,
        target: Option<Target>,
    ) {
        let (subject, unit) = (subject.to_owned(), unit.to_owned());
        self.figures.push(Figure { subject, unit, value, range, target });
    }

    /// Writes `target/bench/NAME.json`, below the repository's root wherever Cargo builds.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let mut flat = Map::new();
        for Figure { subject, unit, value, range, .. } in &self.figures {
            flat.insert(format!("{subject}_{unit}"), rounded(*value));
            if let Some((least, most)) = range {
                flat.insert(format!("{subject}_least_{unit}"), rounded(*least));
                flat.insert(format!("{subject}_most_{unit}"), rounded(*most));
            }
        }
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        let path = dir.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&Value::Object(flat))?;
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(&path, text + "\n"))
            .with_context(|| format!("cannot write {}: is the disk full?", path.display()))
    }

    fn print(&self) {
        print(&format!("\n{}", self.name));
        for figure in &self.figures {
            let range = figure
                .range
                .map_or_else(String::new, |(least, most)| format!("{} to {}", short(least), short(most)));
            let unit = figure.unit.replace('_', " ");
            let subject = figure.subject.replace('_', " ");
            let line = format!(
                "  {subject:<34} {:>12}  {unit:<28} {range:<24} {}",
                short(figure.value),
                figure.against_target()
            );
            print(line.trim_end());
        }
    }
}

impl Figure {
    fn against_target(&self) -> String {
        let (met, target) = match self.target {
            None => return String::new(),
            Some(Target::AtLeast(least)) => (self.value >= least, format!("at least {}", short(least))),
            Some(Target::AtMost(most)) => (self.value <= most, format!("at most {}", short(most))),
        };
        format!("target: {target}: {}", if met { "met" } else { "MISSED" })
    }
}

/// Prints all figures, under what they were measured on.
pub(crate) fn print_all(machine: &str, benchmarks: &[Benchmark]) {
    print(&format!("\n== benchmarks\n{machine}"));
    print("median of the rounds, least to most of them; CPU seconds are user and system, all threads");
    for benchmark in benchmarks {
        benchmark.print();
    }
}

/// The middle of some values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

/// Four significant digits and more are noise.
fn rounded(value: f64) -> Value {
    let scale = if value.abs() >= 1_000.0 { 1.0 } else { 1_000.0 };
    json!((value * scale).round() / scale)
}

fn short(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        let digits = format!("{:.0}", value.abs());
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}
