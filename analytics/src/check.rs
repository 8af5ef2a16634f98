//! Checks values against compiled constraints.

use crate::compile::{Compiled, Constraint, Test};
use ambit_schemas::payload::is_reference;
use serde_json::Value;

/// A constraint that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Index of the grant.
    pub(crate) grant: usize,
    /// Index of the constraint in the grant.
    pub(crate) constraint: usize,
    /// What it asks for.
    pub(crate) expected: String,
    /// What is there.
    pub(crate) observed: String,
}

/// Whether the arguments satisfy one of the grants; if none, what is broken in the one that comes nearest.
pub(crate) fn check_arguments(
    compiled: &Compiled,
    grants: &[usize],
    arguments: &Value,
) -> Result<(), Vec<Broken>> {
    let mut nearest: Option<Vec<Broken>> = None;
    for index in grants {
        let Some(grant) = compiled.grants.get(*index) else { continue };
        let broken: Vec<Broken> = grant
            .arguments
            .iter()
            .enumerate()
            .filter_map(|(number, constraint)| {
                let observed = violation(constraint, arguments)?;
                Some(Broken {
                    grant: *index,
                    constraint: number,
                    expected: constraint.expected.clone(),
                    observed,
                })
            })
            .collect();
        if broken.is_empty() {
            return Ok(());
        }
        if nearest.as_ref().is_none_or(|nearest| broken.len() < nearest.len()) {
            nearest = Some(broken);
        }
    }
    nearest.map_or(Ok(()), Err)
}

/// What is there instead, if the constraint does not hold.
fn violation(constraint: &Constraint, arguments: &Value) -> Option<String> {
    let found = arguments.pointer(&constraint.pointer);
    // INVARIANT A-3: what was too large for the event is not here to be looked at.
    if is_reference(arguments) || found.is_some_and(is_reference) {
        return Some("content that is too large for an event".to_owned());
    }
    match found {
        None if constraint.optional => None,
        None => Some("nothing".to_owned()),
        Some(value) if holds(&constraint.test, value) => None,
        Some(value) => Some(value.to_string()),
    }
}

/// Of an array, the test must hold of every element, unless it is about arrays as a whole.
fn holds(test: &Test, value: &Value) -> bool {
    match (test, value) {
        (Test::Equals(expected), value) if same(expected, value) => true,
        (Test::Length(min, max), value) => length(value)
            .is_some_and(|length| min.is_none_or(|min| length >= min) && max.is_none_or(|max| length <= max)),
        (test, Value::Array(items)) => items.iter().all(|item| holds(test, item)),
        (Test::In(expected), value) => expected.iter().any(|expected| same(expected, value)),
        (Test::InTexts(expected), Value::String(found)) => expected.contains(found),
        (Test::Prefix(prefix), Value::String(found)) => found.starts_with(prefix),
        (Test::Glob(pattern), Value::String(found)) => pattern.is_match(found),
        (Test::Regex(pattern), Value::String(found)) => pattern.is_match(found),
        (Test::Range(min, max), value) => value
            .as_f64()
            .is_some_and(|number| min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)),
        (Test::Equals(_) | Test::InTexts(_) | Test::Prefix(_) | Test::Glob(_) | Test::Regex(_), _) => false,
    }
}

/// Equal values; numbers by value, so that 1 and 1.0 are the same.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

fn length(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => Some(text.chars().count() as u64),
        Value::Array(items) => Some(items.len() as u64),
        Value::Object(fields) => Some(fields.len() as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
