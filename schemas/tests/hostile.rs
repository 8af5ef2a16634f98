//! Bad input: each record is refused with its reason, none panics.

use crate::{examples, golden};
use ambit_schemas::{Headers, Kind, MalformedReason, Record, decode, encode};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

fn good() -> Record {
    golden::record(&encode(&examples::event(Kind::ToolCallRequested)).unwrap())
}

fn with_value(value: impl Into<Vec<u8>>) -> Record {
    Record { value: Some(Bytes::from(value.into())), ..good() }
}

fn with_header(name: &str, value: &str) -> Record {
    Record { headers: good().headers.replaced(name, value.as_bytes()), ..good() }
}

fn with_data(change: impl FnOnce(&mut Value)) -> Record {
    let mut data: Value = serde_json::from_slice(good().value.as_ref().unwrap()).unwrap();
    change(&mut data);
    with_value(data.to_string())
}

#[test]
fn each_fault_has_its_reason() {
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = format!(r#"{{"tool_call":{{"id":"c","name":"x","arguments":{nested}}}}}"#);
    let cases = [
        ("tombstone", Record { value: None, ..good() }, MalformedReason::Empty),
        ("10 MB", with_value(vec![b'x'; 10 << 20]), MalformedReason::TooLarge),
        ("invalid UTF-8", with_value(b"{\"a\":\"\xff\"}".to_vec()), MalformedReason::NotUtf8),
        ("not JSON", with_value("{\"tenant_uid\":"), MalformedReason::NotJson),
        ("NaN", with_value("{\"tenant_uid\":NaN}"), MalformedReason::NotJson),
        ("10,000 deep", with_value(deep), MalformedReason::TooDeep),
        ("not an object", with_value("[]"), MalformedReason::Payload),
        ("unknown type", with_header("ce_type", "ambit.dream.had.v1"), MalformedReason::UnknownType),
        (
            "unknown version",
            with_header("ce_type", "ambit.tool_call.requested.v2"),
            MalformedReason::UnknownVersion,
        ),
        ("1970", with_header("ce_time", "1970-01-01T00:00:00Z"), MalformedReason::Time),
        ("2100", with_header("ce_time", "2100-01-01T00:00:00Z"), MalformedReason::Time),
        ("no time", with_header("ce_time", "soon"), MalformedReason::Attribute),
        ("no id", with_header("ce_id", ""), MalformedReason::Attribute),
        ("other specversion", with_header("ce_specversion", "0.3"), MalformedReason::Attribute),
        ("no headers", Record { headers: Headers::default(), ..good() }, MalformedReason::Attribute),
        ("no tenant", with_data(|data| drop(data["tenant_uid"].take())), MalformedReason::MissingTenant),
        ("no agent", with_data(|data| drop(data["ai_agent"].take())), MalformedReason::MissingAgent),
        ("no payload", with_data(|data| drop(data["tool_call"].take())), MalformedReason::Payload),
        ("agent of another type", with_data(|data| data["ai_agent"] = json!(7)), MalformedReason::Payload),
        ("empty agent id", with_data(|data| data["ai_agent"]["uid"] = json!("")), MalformedReason::Payload),
    ];
    for (name, record, reason) in cases {
        assert_eq!(decode(&record).map(|_| ()).map_err(|why| why.reason), Err(reason), "{name}");
    }
}

#[test]
fn brackets_inside_texts_are_not_nesting() {
    let record = with_data(|data| data["session_uid"] = json!("[{".repeat(400)));
    decode(&record).unwrap();
}

#[test]
fn unknown_fields_are_no_fault_and_stay_in_the_bytes() {
    let record = with_data(|data| data["from_the_future"] = json!({"a": [1, 2]}));
    decode(&record).unwrap();
    assert!(std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().contains("from_the_future"));
}

proptest! {
    #[test]
    fn arbitrary_values_never_panic(value in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode(&with_value(value));
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0..usize::MAX, flip in 1..=255_u8) {
        let mut value = good().value.unwrap().to_vec();
        let at = at % value.len();
        value[at] ^= flip;
        let _ = decode(&with_value(value));
    }
}
