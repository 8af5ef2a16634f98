//! The JSON schemas under `schemas/json` are generated from the types; this test notices when they drift.

use crate::{examples, golden};
use ambit_schemas::baseline::Baseline;
use ambit_schemas::envelope::Envelope;
use ambit_schemas::finding::Finding;
use ambit_schemas::response::WebhookBody;
use ambit_schemas::wire::v1::Data;
use ambit_schemas::{Kind, encode};
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

fn drift<T: JsonSchema>(name: &str) {
    let text = serde_json::to_string_pretty(&schema_for!(T)).unwrap();
    golden::check(&format!("json/{name}.json"), &format!("{text}\n"));
}

#[test]
fn schemas_are_what_the_types_give() {
    drift::<Data>("event-data.v1");
    drift::<Baseline>("baseline.v1");
    drift::<Envelope>("envelope.v1");
    drift::<Finding>("finding.v1");
    drift::<WebhookBody>("webhook.v1");
}

#[test]
fn examples_of_every_kind_are_valid_and_a_wrong_one_is_not() {
    let schema = serde_json::to_value(schema_for!(Data)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for kind in Kind::ALL {
        let data: Value = serde_json::from_slice(&encode(&examples::event(*kind)).unwrap().value).unwrap();
        assert!(validator.is_valid(&data), "{kind}");
    }
    assert!(!validator.is_valid(&serde_json::json!({"tool_call": {"name": 1}})));
}
