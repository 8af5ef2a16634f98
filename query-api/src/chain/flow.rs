//! Which call's result held a value that a later call was given: the way of data through a tree, as far as it can be read
//! off the events. A result that stayed on the agent's host, known by its fingerprints only, is not followed here; the
//! analyzer does that, and says so in its findings.

use super::EdgeView;
use crate::views::EventView;
use ambit_schemas::Kind;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Shortest value that is followed, in letters: shorter ones are the same by chance.
const VALUE_LETTERS_MIN: usize = 6;
/// Most values of one result that are remembered.
const VALUES_MAX: usize = 2_000;
/// Most values of one tree that are remembered.
const ORIGINS_MAX: usize = 200_000;
/// Most edges.
const EDGES_MAX: usize = 20_000;

/// The way of values through the events that were taken, oldest first.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// Which result held a value last.
    origins: HashMap<String, String>,
    /// From results to the calls that used a value of them, as far as they are shown.
    pub(super) edges: Vec<EdgeView>,
    /// Whether there are more than may be.
    pub(super) cut: bool,
}

impl Flows {
    /// Takes the next event.
    pub(super) fn take(&mut self, event: &EventView, shown: bool) {
        let call = event.data.as_ref().and_then(|data| data.get("tool_call"));
        let Some(call) = call else { return };
        let mut values = BTreeSet::new();
        if event.kind == Kind::ToolCallRequested.name() && shown {
            collect(call.get("arguments").unwrap_or(&Value::Null), &mut values);
            let from: BTreeSet<&String> = values.iter().filter_map(|value| self.origins.get(value)).collect();
            for origin in from {
                if self.edges.len() >= EDGES_MAX {
                    self.cut = true;
                    break;
                }
                let (from, to) = (origin.clone(), event.reference.clone());
                self.edges.push(EdgeView { from, to, kind: "flows".into() });
            }
        } else if event.kind == Kind::ToolCallCompleted.name()
            && let Some(result) = call.get("result").and_then(Value::as_str)
        {
            // Most tools answer in JSON; the rest in words.
            match serde_json::from_str::<Value>(result) {
                Ok(inner) if inner.is_object() || inner.is_array() => collect(&inner, &mut values),
                _ => words(result, &mut values),
            }
            for value in values {
                if self.origins.len() < ORIGINS_MAX || self.origins.contains_key(&value) {
                    self.origins.insert(value, event.reference.clone());
                }
            }
        }
    }
}

/// The values of a JSON document.
fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => words(text, into),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        Value::Number(number) => words(&number.to_string(), into),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Words that name something: they have a digit or a mark within (hosts, addresses, paths, accounts, ids), so that words
/// of a language are not taken for values.
fn words(text: &str, into: &mut BTreeSet<String>) {
    let edge = |letter: char| !letter.is_alphanumeric() && letter != '/';
    for word in text
        .split(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | ',' | ';' | '<' | '>'))
    {
        let word = word.trim_matches(edge);
        let names = word
            .chars()
            .any(|letter| letter.is_ascii_digit() || matches!(letter, '@' | '/' | '.' | '_' | ':'));
        if names && word.chars().count() >= VALUE_LETTERS_MIN && into.len() < VALUES_MAX {
            into.insert(word.to_lowercase());
        }
    }
}
