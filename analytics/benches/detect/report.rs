//! What was measured: as a table for people, beside its target, and as `target/bench/detect.json` for programs, in the
//! form of the other benchmarks.

use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Debug)]
struct Figure {
    subject: String,
    unit: String,
    value: f64,
    range: Option<(f64, f64)>,
    target: Option<Target>,
}

#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
}

impl Report {
    pub fn value(&mut self, subject: &str, unit: &str, value: f64) {
        self.push(subject, unit, value, None, None);
    }

    pub fn judged(&mut self, subject: &str, unit: &str, value: f64, target: Target) {
        self.push(subject, unit, value, None, Some(target));
    }

    /// A mean with its 95 % interval.
    pub fn range(
        &mut self,
        subject: &str,
        unit: &str,
        (mean, low, high): (f64, f64, f64),
        target: Option<Target>,
    ) {
        self.push(subject, unit, mean, Some((low, high)), target);
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

    pub fn print(&self) {
        println!("\ndetect: means with 95 % intervals");
        for figure in &self.figures {
            let range = figure.range.map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}"));
            let verdict = match figure.target {
                None => String::new(),
                Some(Target::AtLeast(least)) => told(figure.value >= least, "at least", least),
                Some(Target::AtMost(most)) => told(figure.value <= most, "at most", most),
            };
            let (subject, unit) = (figure.subject.replace('_', " "), figure.unit.replace('_', " "));
            let line = format!("  {subject:<44} {:>12.3}  {unit:<18} {range:<22} {verdict}", figure.value);
            println!("{}", line.trim_end());
        }
    }

    pub fn write(&self) {
        let mut flat = Map::new();
        for Figure { subject, unit, value, range, .. } in &self.figures {
            flat.insert(format!("{subject}_{unit}"), rounded(*value));
            if let Some((low, high)) = range {
                flat.insert(format!("{subject}_least_{unit}"), rounded(*low));
                flat.insert(format!("{subject}_most_{unit}"), rounded(*high));
            }
        }
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
        std::fs::create_dir_all(&dir).unwrap();
        let text = serde_json::to_string_pretty(&Value::Object(flat)).unwrap();
        std::fs::write(dir.join("detect.json"), text + "\n").unwrap();
    }
}

fn told(met: bool, how: &str, bound: f64) -> String {
    format!("target: {how} {bound}: {}", if met { "met" } else { "MISSED" })
}

fn rounded(value: f64) -> Value {
    let scale = if value.abs() >= 1_000.0 { 1.0 } else { 1_000.0 };
    json!((value * scale).round() / scale)
}
