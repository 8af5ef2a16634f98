//! What each mapping makes of records in the shape of its format: `golden/sources/<name>.in.json` is what comes in,
//! `<name>.out.json` what goes out. The records are made up.

use crate::golden;
use ambit_schemas::id::TenantId;
use ambit_schemas::redact::RedactionKey;
use ambit_schemas::sources::{Context, Format, read};
use ambit_schemas::{Kind, Timestamp, encode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

fn outputs(document: Value) -> Vec<Value> {
    let tenant = TenantId::try_from("acme").unwrap();
    let key = RedactionKey::new(b"installation", &tenant);
    let received = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
    let context = Context { tenant, origin: Some("prod".into()), received };
    let mut all = Vec::new();
    for taken in read(document, None, &context, &key) {
        for event in &taken.events {
            let outgoing = encode(event).unwrap();
            let header =
                |name: &str| std::str::from_utf8(outgoing.headers.get(name).unwrap()).unwrap().to_owned();
            let data: Value = serde_json::from_slice(&outgoing.value).unwrap();
            all.push(json!({
                "class": format!("{:?}", taken.class), "id": header("ce_id"), "source": header("ce_source"),
                "type": header("ce_type"), "time": header("ce_time"),
                "key": std::str::from_utf8(&outgoing.key).unwrap(), "data": data,
            }));
        }
    }
    all
}

#[test]
fn records_become_the_events_of_their_golden_files() {
    let mut formats = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut inputs: Vec<_> = fs::read_dir(golden::path("golden/sources"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".in.json").map(str::to_owned))
        .collect();
    inputs.sort();
    for name in inputs {
        let document = fs::read(golden::path(&format!("golden/sources/{name}.in.json"))).unwrap();
        let all = outputs(serde_json::from_slice(&document).unwrap());
        for event in &all {
            formats.insert(event["source"].as_str().unwrap().split('/').next().unwrap().to_owned());
            kinds.insert(Kind::from_type(event["type"].as_str().unwrap()).unwrap());
        }
        let text = serde_json::to_string_pretty(&all).unwrap();
        golden::check(&format!("golden/sources/{name}.out.json"), &format!("{text}\n"));
    }
    for format in Format::ALL {
        assert!(formats.contains(format.name()), "no golden file for {}", format.name());
    }
    for kind in [
        Kind::ToolCallRequested,
        Kind::ToolCallCompleted,
        Kind::ToolCallDenied,
        Kind::CredentialIssued,
        Kind::CredentialUsed,
        Kind::CredentialRevoked,
        Kind::DecisionEvaluated,
        Kind::ApprovalApproved,
        Kind::ApprovalDenied,
        Kind::AgentCreated,
        Kind::SourceRecorded,
    ] {
        assert!(kinds.contains(&kind), "no golden file gives {kind}");
    }
}

/// The same requests in protobuf give the same events. Ids that are hashes of records differ, as the other form also has
/// fields that were not set.
#[cfg(feature = "otlp-protobuf")]
#[test]
fn otlp_in_protobuf_gives_what_it_gives_in_json() {
    use ambit_schemas::sources::{Signal, from_protobuf};
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    let read_golden = |name: &str| {
        let text = fs::read_to_string(golden::path(&format!("golden/sources/{name}"))).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let traces: ExportTraceServiceRequest =
        serde_json::from_value(read_golden("otlp-traces.in.json")).unwrap();
    let logs: ExportLogsServiceRequest = serde_json::from_value(read_golden("otlp-logs.in.json")).unwrap();
    let plain = |mut events: Vec<Value>| {
        for event in &mut events {
            if event["id"].as_str().unwrap().starts_with("sha256:") {
                event["id"] = Value::Null;
            }
            if event["data"]["source_record"].is_object() {
                event["data"]["source_record"] = event["data"]["source_record"]["reason"].clone();
            }
        }
        events
    };
    for (name, signal, bytes) in [
        ("otlp-traces", Signal::Traces, traces.encode_to_vec()),
        ("otlp-logs", Signal::Logs, logs.encode_to_vec()),
    ] {
        let expected = read_golden(&format!("{name}.out.json")).as_array().unwrap().clone();
        assert!(expected.len() > 3);
        let got = outputs(from_protobuf(&bytes, signal).unwrap());
        assert_eq!(plain(got), plain(expected), "{name}");
    }
}
