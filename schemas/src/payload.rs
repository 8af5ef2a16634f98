//! Content that is too large for an event. It lies in the object store under the SHA-256 of its bytes, redacted like
//! everything else; the event holds a reference in its place, so that the proof of the event is one of the content.

use crate::event::ToolCall;
use bytes::Bytes;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Most bytes of a result that stay within the event, a 16th of the largest event: what it begins with.
pub const RESULT_BYTES_MAX: usize = 64 << 10;
/// Most bytes of arguments that stay within the event, half of the largest event. Of larger ones the long texts are
/// replaced, so that whom and what the call reaches can still be judged; if that is not enough, all of it. A constraint
/// on what was replaced is not met (INVARIANT A-3).
pub const ARGUMENTS_BYTES_MAX: usize = 512 << 10;
/// Most bytes of one text within arguments that are too large.
const ARGUMENT_TEXT_BYTES_MAX: usize = 64 << 10;
/// The one field of what stands in place of content.
pub const REFERENCE: &str = "$payload";

/// Content that was taken out of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// SHA-256 of the bytes, hexadecimal: its name.
    pub sha256: String,
    /// The bytes.
    pub content: Bytes,
}

impl Payload {
    /// Content with its name.
    pub fn new(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self { sha256: hex::encode(Sha256::digest(&content)), content }
    }

    /// What stands in its place.
    pub fn reference(&self) -> Value {
        json!({REFERENCE: {"sha256": self.sha256, "bytes": self.content.len()}})
    }
}

/// Whether that stands in place of content.
pub fn is_reference(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(REFERENCE))
}

/// Takes out of a call what is too large. Of a result the beginning stays, with digest and length of the whole.
pub(crate) fn detach(call: &mut ToolCall) -> Vec<Payload> {
    let mut payloads = Vec::new();
    if let Some(whole) = call.arguments.take_if(|arguments| arguments.get().len() > ARGUMENTS_BYTES_MAX) {
        let rest = thin(whole.get(), &mut payloads);
        call.arguments = to_raw_value(&rest).ok();
    }
    if let Some(whole) = call.result.take_if(|result| result.len() > RESULT_BYTES_MAX) {
        call.result = Some(beginning(&whole).to_owned());
        let payload = Payload::new(whole.into_bytes());
        call.result_digest = Some(payload.sha256.clone());
        call.result_bytes = Some(payload.content.len() as u64);
        payloads.push(payload);
    }
    payloads
}

/// The same for the data of an event that is not read yet.
pub(crate) fn detach_data(data: &mut Value) -> Vec<Payload> {
    let mut payloads = Vec::new();
    let Some(Value::Object(call)) = data.get_mut("tool_call") else { return payloads };
    if let Some(arguments) = call.get_mut("arguments") {
        let text = arguments.to_string();
        if text.len() > ARGUMENTS_BYTES_MAX {
            *arguments = thin(&text, &mut payloads);
        }
    }
    let result = call.get("result").and_then(Value::as_str).filter(|text| text.len() > RESULT_BYTES_MAX);
    if let Some(whole) = result {
        let (kept, payload) = (beginning(whole).to_owned(), Payload::new(whole.as_bytes().to_vec()));
        call.insert("result".to_owned(), Value::String(kept));
        call.insert("result_digest".to_owned(), json!(payload.sha256));
        call.insert("result_bytes".to_owned(), json!(payload.content.len()));
        payloads.push(payload);
    }
    payloads
}

/// What stays of arguments that are too large.
fn thin(whole: &str, payloads: &mut Vec<Payload>) -> Value {
    // What is no JSON, or too deep to be read, is replaced whole.
    if let Ok(mut rest) = serde_json::from_str::<Value>(whole) {
        let mut texts = Vec::new();
        replace_texts(&mut rest, &mut texts);
        if rest.to_string().len() <= ARGUMENTS_BYTES_MAX {
            payloads.append(&mut texts);
            return rest;
        }
    }
    let payload = Payload::new(whole.as_bytes().to_vec());
    let reference = payload.reference();
    payloads.push(payload);
    reference
}

fn replace_texts(value: &mut Value, texts: &mut Vec<Payload>) {
    match value {
        Value::String(text) if text.len() > ARGUMENT_TEXT_BYTES_MAX => {
            let payload = Payload::new(std::mem::take(text).into_bytes());
            *value = payload.reference();
            texts.push(payload);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace_texts(item, texts)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace_texts(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn beginning(text: &str) -> &str {
    let end = (0..=RESULT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_take_out_the_same_and_leave_what_is_small() {
        let large = "ä".repeat(RESULT_BYTES_MAX);
        for (arguments, result, taken) in [
            (json!({"a": 1}), "short".to_owned(), 0),
            (json!({"a": "x".repeat(ARGUMENTS_BYTES_MAX)}), "short".to_owned(), 1),
            (json!({"a": 1}), large.clone(), 1),
            (json!({"a": "x".repeat(ARGUMENTS_BYTES_MAX)}), large, 2),
        ] {
            let mut data =
                json!({"tool_call": {"id": "c", "name": "t", "arguments": arguments, "result": result}});
            let mut call: ToolCall = serde_json::from_value(data["tool_call"].clone()).unwrap();
            let payloads = detach(&mut call);
            assert_eq!(detach_data(&mut data), payloads);
            assert_eq!(serde_json::to_value(&call).unwrap(), data["tool_call"]);
            assert_eq!(payloads.len(), taken);
            assert!(data.to_string().len() < 128 << 10);
            let whole = payloads.last().filter(|_| result.len() > RESULT_BYTES_MAX);
            assert_eq!(call.result_bytes, whole.map(|whole| whole.content.len() as u64));
            assert_eq!(call.result_digest, whole.map(|whole| whole.sha256.clone()));
        }
        // Whom a padded call reaches stays there to be judged; many short texts go as one.
        let padded = json!({"to": "eve@evil.example", "list": ["x".repeat(ARGUMENTS_BYTES_MAX), "y"]});
        let many = json!({"list": vec!["word word"; 100_000]});
        for (arguments, kept) in [(padded, Some("eve@evil.example")), (many, None)] {
            let mut data = json!({"tool_call": {"id": "c", "name": "t", "arguments": arguments}});
            assert_eq!(detach_data(&mut data).len(), 1);
            assert_eq!(data["tool_call"]["arguments"]["to"].as_str(), kept);
            assert_eq!(data["tool_call"]["arguments"][REFERENCE].is_object(), kept.is_none());
        }
        for mut odd in [json!(null), json!({"tool_call": 7}), json!({"tool_call": {"result": 7}})] {
            assert_eq!(detach_data(&mut odd), []);
        }
    }
}
