//! Recorded runs of real agents as streams on which nothing changes.

use crate::nulls::Stream;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Deserialize)]
struct Label {
    run_id: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    run_id: String,
    tool: String,
    error: Option<String>,
}

fn lines(path: &Path) -> impl Iterator<Item = String> {
    let file = zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    BufReader::new(file).lines().map(Result::unwrap)
}

/// By run without attack: the share of calls that failed, the number of calls, and whether a usual tool was used.
pub fn measures(data: &Path) -> Vec<(&'static str, Vec<f64>)> {
    let folder = data.join("agentdyn");
    let benign: HashSet<String> = lines(&folder.join("labels.jsonl.zst"))
        .map(|line| serde_json::from_str::<Label>(&line).unwrap())
        .filter(|label| label.kind.as_deref() == Some("benign"))
        .map(|label| label.run_id)
        .collect();
    let mut runs: HashMap<String, Vec<Call>> = HashMap::new();
    for line in lines(&folder.join("traces.jsonl.zst")) {
        let call: Call = serde_json::from_str(&line).unwrap();
        if benign.contains(&call.run_id) {
            runs.entry(call.run_id.clone()).or_default().push(call);
        }
    }
    let mut names: Vec<&String> = runs.keys().collect();
    names.sort();
    let of = |value: &dyn Fn(&[Call]) -> f64| names.iter().map(|name| value(&runs[*name])).collect();
    let share = |calls: &[Call], is: &dyn Fn(&Call) -> bool| {
        calls.iter().filter(|call| is(call)).count() as f64 / calls.len() as f64
    };
    vec![
        ("failed", of(&|calls| share(calls, &|call| call.error.is_some()))),
        ("calls", of(&|calls| (calls.len() as f64 / 20.0).min(1.0))),
        ("tool", of(&|calls| f64::from(u8::from(calls.iter().any(|call| call.tool.starts_with("send")))))),
    ]
}

/// The values in an order of chance, again and again.
pub fn shuffled(values: Vec<f64>, seed: u64) -> Stream {
    let mut rng = SmallRng::seed_from_u64(seed);
    Box::new(move || values[rng.random_range(0..values.len())])
}
