//! Content that is too large for an event. It lies in the object store under the SHA-256 of its bytes, redacted like
//! everything else; the event holds a reference in its place, so that the proof of the event is one of the content.

use crate::event::ToolCall;
use bytes::Bytes;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Most bytes of a result that stay within the event, a 16th of the largest event: what it begins with.
pub const RESULT_BYTES_MAX: usize = 64 << 10;
/// Most bytes of arguments that stay within the event, half of the largest event. Larger ones are replaced whole, so
/// that a constraint on them is not met (INVARIANT A-3).
pub const ARGUMENTS_BYTES_MAX: usize = 512 << 10;
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

/// Takes out of a call what is too large. Of a result the beginning stays, with digest and length of the whole.
pub(crate) fn detach(call: &mut ToolCall) -> Vec<Payload> {
    let mut payloads = Vec::new();
    if let Some(arguments) = call.arguments.take_if(|arguments| arguments.get().len() > ARGUMENTS_BYTES_MAX) {
        let payload = Payload::new(arguments.get().as_bytes().to_vec());
        // A reference is two short fields.
        call.arguments = to_raw_value(&payload.reference()).ok();
        payloads.push(payload);
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
            let payload = Payload::new(text.into_bytes());
            *arguments = payload.reference();
            payloads.push(payload);
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
        for mut odd in [json!(null), json!({"tool_call": 7}), json!({"tool_call": {"result": 7}})] {
            assert_eq!(detach_data(&mut odd), []);
        }
    }
}
