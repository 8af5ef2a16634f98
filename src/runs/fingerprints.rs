//! Fingerprints for results of which the recording keeps only the beginning.
//!
//! A producer makes them from the whole result. Here the rest is gone, but the recording says of every argument
//! whether its value occurs in an earlier result: a value that does, and stands in none of the kept texts, stood in
//! the part that was cut off. It gets its fingerprint at the last result before the call that was cut.

use crate::runs::dataset::{Call, Run};
use ambit_analytics::VALUE_BYTES_MAX;
use ambit_schemas::fingerprint::FingerprintKey;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The secret under which recorded runs are scored: no other installation reads their fingerprints.
pub const RECORDED_SECRET: &[u8] = b"recorded runs";

/// Fingerprints by step.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints(BTreeMap<u32, BTreeSet<String>>);

impl Fingerprints {
    pub(crate) fn of(run: &Run, key: &FingerprintKey) -> Self {
        let cut = |call: &&Call| {
            let kept = run.result_of(call).map_or(0, |text| text.chars().count() as u64);
            call.result_len.is_some_and(|length| length > kept)
        };
        let steps: Vec<u32> = run.calls.iter().filter(cut).map(|call| call.step).collect();
        let mut prints = Self::default();
        if steps.is_empty() {
            return prints;
        }
        for call in run.calls.iter().filter(|call| steps.contains(&call.step)) {
            let text = run.result_of(call).map_or("", String::as_str);
            prints.0.entry(call.step).or_default().extend(key.of_text(text));
        }
        for call in &run.calls {
            let Some(before) = steps.iter().rev().find(|step| **step < call.step) else { continue };
            for (name, value) in call.arguments.as_object().into_iter().flatten() {
                if matches!(call.sources.get(name).map(String::as_str), Some("r" | "pr")) {
                    let into = prints.0.entry(*before).or_default();
                    take(value, run, call.step, key, into);
                }
            }
        }
        prints
    }

    pub(crate) fn of_step(&self, step: u32) -> Vec<String> {
        self.0.get(&step).into_iter().flatten().cloned().collect()
    }
}

fn take(value: &Value, run: &Run, step: u32, key: &FingerprintKey, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() <= VALUE_BYTES_MAX && !was_kept(text, run, step) => {
            into.extend(key.of_value(text));
            into.extend(key.of_text(text));
        }
        Value::Array(items) => items.iter().for_each(|item| take(item, run, step, key, into)),
        Value::Object(fields) => fields.values().for_each(|field| take(field, run, step, key, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether an earlier result's kept text holds the value.
fn was_kept(value: &str, run: &Run, step: u32) -> bool {
    let before = run.calls.iter().filter(|call| call.step < step);
    before.filter_map(|call| run.result_of(call)).any(|text| text.contains(value))
}
