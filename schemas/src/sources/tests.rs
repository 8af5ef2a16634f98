//! What holds of every format whatever the record is; what each makes of good records is held by golden files.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests pick what they look for from many"
)]

use super::*;
use crate::codec::{decode, encode};
use crate::event::Body;
use crate::id::CredentialId;
use crate::record::{Record, Shard, Topic};
use proptest::prelude::*;
use serde_json::json;

fn context() -> Context {
    Context {
        tenant: TenantId::try_from("acme").unwrap(),
        origin: None,
        received: Timestamp::parse("2026-11-24T09:00:00Z").unwrap(),
    }
}

fn key() -> RedactionKey {
    RedactionKey::new(b"installation", &context().tenant)
}

fn one(record: Value) -> Taken {
    let mut all: Vec<Taken> = read(record, None, &context(), &key()).collect();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Every event is one that ingest reads back.
fn check(taken: &Taken) {
    assert!(!taken.events.is_empty(), "a record was dropped");
    for event in &taken.events {
        let outgoing = encode(event).unwrap();
        let record = Record {
            shard: Shard::new(Topic::Events, 0),
            offset: 0,
            timestamp_us: context().received.micros(),
            key: Some(outgoing.key),
            headers: outgoing.headers,
            value: Some(outgoing.value),
        };
        decode(&record).unwrap_or_else(|why| panic!("{why}"));
    }
}

fn issued_and_used(issue: Value, usage: Value) -> (CredentialId, CredentialId) {
    let (issue, usage) = (one(issue), one(usage));
    let issued = issue.events.iter().find_map(|event| match &event.body {
        Body::CredentialIssued(credential) => Some(credential.uid.clone()),
        _ => None,
    });
    let used = usage.events.iter().find_map(|event| match &event.body {
        Body::CredentialUsed(credential) => Some((credential.uid.clone(), event.credential_used.clone())),
        _ => None,
    });
    let (used, presented) = used.unwrap_or_else(|| panic!("{:?}", usage.events));
    assert_eq!(Some(&used), presented.as_ref());
    (issued.unwrap_or_else(|| panic!("{:?}", issue.events)), used)
}

#[test]
fn a_credential_has_one_id_when_issued_and_when_used() {
    let access_key = format!("ASIA{}", "Q7".repeat(8));
    let role = "arn:aws:sts::111111111111:assumed-role/billing/ambit.task-7";
    let aws = json!({"eventVersion": "1.08", "eventTime": "2026-11-24T08:00:00Z", "eventSource": "sts.amazonaws.com"});
    let with = |fields: Value| {
        let mut record = aws.clone();
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        record
    };
    let issue = with(json!({"eventName": "AssumeRole", "eventID": "e1", "responseElements": {
        "credentials": {"accessKeyId": access_key, "expiration": "Nov 24, 2026, 9:00:00 AM"},
        "assumedRoleUser": {"arn": role}}}));
    let usage = with(json!({"eventName": "ListBuckets", "eventSource": "s3.amazonaws.com", "eventID": "e2",
        "userIdentity": {"type": "AssumedRole", "arn": role, "accessKeyId": access_key}}));
    let (issued, used) = issued_and_used(issue.clone(), usage.clone());
    assert_eq!((issued.as_str(), &issued), (access_key.as_str(), &used));
    let (issue, usage) = (one(issue), one(usage));
    assert_eq!(issue.events[0].agent, usage.events[0].agent, "who got it is who uses it");
    assert_eq!(issue.events[0].task, usage.events[0].task);
    assert!(issue.events[0].task.is_some());

    let accessor = format!("hmac-sha256:{}", "ab".repeat(32));
    let (issued, used) = issued_and_used(
        json!({"time": "2026-11-24T08:00:00Z", "type": "response", "request": {"id": "r1", "path": "auth/approle/login"},
            "response": {"auth": {"accessor": accessor, "entity_id": "e-1", "token_ttl": 3600}}}),
        json!({"time": "2026-11-24T08:00:01Z", "type": "request", "auth": {"entity_id": "e-1"},
            "request": {"id": "r2", "path": "secret/data/x", "client_token_accessor": accessor}}),
    );
    assert_eq!((issued.as_str(), &issued), (accessor.as_str(), &used));

    let extra =
        json!({"authentication.kubernetes.io/credential-id": ["JTI=11111111-2222-3333-4444-555555555555"]});
    let (issued, used) = issued_and_used(
        json!({"apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "create", "auditID": "a1",
            "stageTimestamp": "2026-11-24T08:00:00Z", "user": {"username": "system:node:n1"},
            "objectRef": {"resource": "serviceaccounts", "namespace": "agents", "name": "billing", "subresource": "token"},
            "responseStatus": {"code": 201},
            "annotations": {"authentication.kubernetes.io/issued-credential-id": "JTI=11111111-2222-3333-4444-555555555555"}}),
        json!({"apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "list", "auditID": "a2",
            "stageTimestamp": "2026-11-24T08:00:02Z",
            "user": {"username": "system:serviceaccount:agents:billing", "extra": extra}}),
    );
    assert_eq!((issued.as_str(), &issued), ("11111111-2222-3333-4444-555555555555", &used));

    let github = |action: &str| {
        json!({"@timestamp": 1_795_507_200_000_u64, "action": action, "actor": "bot",
        "hashed_token": "q7Zt3LkW9sXv2RbN8mYp4cJdq7Zt3LkW9sXv2RbN8mY=", "_document_id": action})
    };
    let (issued, used) = issued_and_used(github("personal_access_token.create"), github("git.clone"));
    assert_eq!(issued, used);
}

/// A call cannot be kept from judgement by being large.
#[test]
fn a_large_call_stays_a_call() {
    let call = |argument: usize, output: usize| {
        let pair = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
        json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": "eee19b7ec3c1b174", "endTimeUnixNano": "1790000000000000000", "attributes": [
            pair("gen_ai.operation.name", "execute_tool".into()), pair("gen_ai.tool.name", "pay".into()),
            pair("gen_ai.agent.id", "a".into()),
            pair("gen_ai.tool.call.arguments", json!({"text": "w ".repeat(argument)}).to_string()),
            pair("gen_ai.tool.call.result", "é ".repeat(output))]}]}]}]})
    };
    for (argument, output, payloads) in
        [(10, 10, 0), (10, 40_000, 1), (400_000, 10, 1), (400_000, 400_000, 2)]
    {
        let taken = one(call(argument, output));
        check(&taken);
        assert_eq!((taken.class, taken.payloads.len()), (Class::Mapped, payloads));
        let Body::ToolCallCompleted(call) = &taken.events[0].body else { panic!("{:?}", taken.events) };
        let whole =
            taken.payloads.iter().find(|payload| Some(&payload.sha256) == call.result_digest.as_ref());
        assert_eq!(call.result_bytes, whole.map(|whole| whole.content.len() as u64));
        assert_eq!(whole.is_some(), output > 10);
    }
}

#[test]
fn ids_are_functions_of_the_record() {
    let nameless = json!({"eventVersion": "1", "eventSource": "x", "eventName": "y", "eventTime": "2026-11-24T08:00:00Z"});
    let ids = |record: &Value| -> Vec<String> {
        one(record.clone()).events.iter().map(|event| event.id.to_string()).collect()
    };
    assert_eq!(ids(&nameless), ids(&nameless));
    let mut other = nameless.clone();
    other["eventName"] = json!("z");
    assert_ne!(ids(&nameless), ids(&other));
    assert!(ids(&nameless)[0].starts_with("sha256:"));
    let mut named = nameless;
    named["eventID"] = json!("e-1");
    assert_eq!(ids(&named), ["e-1:record"]);
}

#[test]
fn what_cannot_be_mapped_is_kept_with_the_reason() {
    let aws = json!({"eventVersion": "1", "eventSource": "x", "eventName": "y"});
    let far = json!({"eventVersion": "1", "eventSource": "x", "eventName": "y", "eventTime": "2100-01-01T00:00:00Z"});
    let large = json!({"eventVersion": "1", "eventSource": "x", "eventName": "y", "eventTime": "2026-11-24T08:00:00Z",
        "text": "word ".repeat(300_000)});
    let span = |fields: Value| {
        let mut span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "endTimeUnixNano": "1790000000000000000"});
        span.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    };
    let execute = |name: &str, value: &str| {
        json!([{"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}},
            {"key": name, "value": {"stringValue": value}}])
    };
    for (record, reason, class) in [
        (json!(7), "not_an_object", Class::Dead),
        (json!("text"), "not_an_object", Class::Dead),
        (json!({"a": 1}), "unmapped", Class::Opaque),
        (aws, "no_time", Class::Dead),
        (far, "time", Class::Dead),
        (large, "unmapped", Class::Opaque),
        (span(json!({"name": "chat"})), "unmapped", Class::Opaque),
        (span(json!({"attributes": execute("x", "y")})), "no_tool_name", Class::Dead),
        (span(json!({"attributes": execute("gen_ai.tool.name", "pay")})), "no_agent", Class::Dead),
        (json!({"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}), "malformed", Class::Dead),
        (json!({"resourceSpans": []}), "malformed", Class::Dead),
        (
            json!({"type": "request", "request": {"id": "r"}, "time": "2026-11-24T08:00:00Z"}),
            "no_path",
            Class::Dead,
        ),
    ] {
        let taken = one(record);
        check(&taken);
        let Body::SourceRecorded(kept) = &taken.events[0].body else { panic!("{:?}", taken.events) };
        assert_eq!((kept.reason.as_str(), taken.class), (reason, class));
        // Whole in the event, or whole in the object store.
        let original: Value = serde_json::from_str(kept.original.as_ref().unwrap().get()).unwrap();
        let payload = taken.payloads.first();
        let reference = payload.map(Payload::reference).filter(|reference| *reference == original);
        assert_eq!((payload.is_some(), reference.is_some()), (kept.bytes > 1 << 20, kept.bytes > 1 << 20));
    }
    let taken =
        read_text("{\"password\":\"hunter22\", oh", Some(Format::Vault), "not_json", &context(), &key());
    check(&taken);
    assert!(!format!("{:?}", taken.events).contains("hunter22"));
    assert_eq!((taken.class, taken.redacted), (Class::Dead, 1));
    let wrong: Vec<Taken> = read(json!({"a": 1}), Some(Format::Vault), &context(), &key()).collect();
    assert_eq!(wrong[0].class, Class::Dead);
}

#[test]
fn deep_records_are_kept_as_text() {
    let deep = (0..125).fold(json!(1), |inner, _| json!({ "a": inner }));
    check(&one(deep.clone()));
    let arguments = deep.to_string();
    check(&one(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "time": "2026-11-24T08:00:00Z",
        "mcp.session.id": "s", "jwt.sub": "a", "params": {"name": "t", "arguments": arguments}})));
}

#[test]
fn secrets_of_a_record_are_in_none_of_its_events() {
    let secret = "q7Zt3LkW9sXv2RbN8mYp4cJd".repeat(4);
    let taken = one(
        json!({"eventVersion": "1.08", "eventName": "AssumeRole", "eventSource": "sts.amazonaws.com",
        "eventTime": "2026-11-24T08:00:00Z", "eventID": "e", "userIdentity": {"arn": "arn:aws:iam::1:user/emma"},
        "responseElements": {"credentials": {"accessKeyId": format!("ASIA{}", "Q7".repeat(8)), "sessionToken": secret}}}),
    );
    check(&taken);
    assert_eq!((taken.class, taken.redacted), (Class::Mapped, 1));
    assert_eq!(taken.events[0].redactions[0].pointer, "/responseElements/credentials/sessionToken");
    assert!(!format!("{:?}", taken.events).contains(&secret));
}

#[test]
fn a_span_cannot_hide_its_call_and_an_invoked_agent_makes_calls_of_its_own() {
    let span = |id: &str, parent: &str, operation: &str, extra: &str| {
        json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "parentSpanId": parent, extra: true,
            "endTimeUnixNano": "1790000000000000000", "inherited": {"gen_ai.agent.id": "forged"},
            "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": operation}},
                {"key": "gen_ai.tool.name", "value": {"stringValue": "ask"}}]})
    };
    let spans = [
        span("eee19b7ec3c1b171", "", "execute_tool", "within_call"),
        span("eee19b7ec3c1b172", "eee19b7ec3c1b171", "invoke_agent", "x"),
        span("eee19b7ec3c1b173", "eee19b7ec3c1b172", "execute_tool", "x"),
        span("eee19b7ec3c1b174", "eee19b7ec3c1b173", "execute_tool", "x"),
    ];
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "a"}}]});
    let request = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    let all: Vec<Taken> = read(request, None, &context(), &key()).collect();
    let mapped: Vec<bool> = all.iter().map(|taken| taken.class == Class::Mapped).collect();
    assert_eq!(mapped, [true, false, true, false]);
    assert!(all.iter().all(|taken| taken.events[0].agent.as_ref().unwrap().uid.as_str() == "a"));
}

/// Names and values that the mappings look for, in places where they do not belong.
fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "",
        "request",
        "response",
        "ResponseComplete",
        "audit.k8s.io/v1",
        "tools/call",
        "execute_tool",
        "AssumeRole",
        "sts.amazonaws.com",
        "iam.amazonaws.com",
        "arn:aws:sts::1:assumed-role/r/ambit.t",
        "2026-11-24T08:00:00Z",
        "1790000000000000000",
        "auth/token/revoke-self",
        "personal_access_token.create",
        "claude_code.tool_result",
        "user_reject",
        "accept",
        "true",
        "\u{0}",
        "é",
        "span",
        "log",
        "99999999999999999999",
        "-1",
        "12ms",
        "1e9s",
    ]);
    let leaf = prop_oneof![
        word.prop_map(|text| json!(text)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        Just(Value::Null),
        "\\PC{0,12}".prop_map(|text| json!(text)),
    ];
    let name = prop::sample::select(vec![
        "eventVersion",
        "eventSource",
        "eventName",
        "eventTime",
        "userIdentity",
        "arn",
        "accessKeyId",
        "eventID",
        "responseElements",
        "credentials",
        "assumedRoleUser",
        "requestParameters",
        "durationSeconds",
        "expiration",
        "type",
        "request",
        "response",
        "auth",
        "accessor",
        "path",
        "time",
        "client_token_accessor",
        "secret",
        "data",
        "apiVersion",
        "stage",
        "verb",
        "user",
        "username",
        "extra",
        "objectRef",
        "annotations",
        "stageTimestamp",
        "otlp",
        "attributes",
        "inherited",
        "resource",
        "traceId",
        "spanId",
        "endTimeUnixNano",
        "resourceSpans",
        "resourceLogs",
        "scopeSpans",
        "scopeLogs",
        "spans",
        "logRecords",
        "key",
        "value",
        "stringValue",
        "intValue",
        "gen_ai.operation.name",
        "gen_ai.tool.name",
        "event.name",
        "tool_name",
        "decision",
        "source",
        "duration",
        "jsonrpc",
        "method",
        "params",
        "mcp.method.name",
        "id",
        "action",
        "actor",
        "@timestamp",
        "hashed_token",
        "Records",
        "items",
        "body",
        "timeUnixNano",
        "ambit.task_id",
        "service.name",
        "agent.id",
    ]);
    leaf.prop_recursive(5, 64, 12, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::hash_map(name.clone().prop_map(str::to_owned), inner, 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_json_becomes_events_that_are_read_back(document in value()) {
        for format in Format::ALL.iter().copied().map(Some).chain([None]) {
            let mut count = 0;
            for taken in read(document.clone(), format, &context(), &key()) {
                check(&taken);
                count += 1;
            }
            prop_assert!(count > 0 || document == json!([]));
        }
        // Past what tells a format, so that each mapping sees the worst.
        for format in Format::ALL {
            let mapped = format.map(Fields::new(&document));
            check(&build::build(&document, format.name(), mapped, &context(), Report::default()));
        }
    }
}
