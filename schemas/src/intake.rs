//! Canonical events as they come in from outside, as CloudEvents in JSON: redacted, read, keyed by root task.

use crate::codec::{Malformed, decode, topic_of};
use crate::event::Event;
use crate::id::TenantId;
use crate::kind::Kind;
use crate::limits::EVENT_BYTES_MAX;
use crate::payload::{Payload, detach_data};
use crate::record::{Outgoing, Record, Shard, Topic};
use crate::redact::{RedactionSecret, Report, join, redact, redact_text};
use bytes::Bytes;
use serde_json::Value;

/// An event as it was sent: CloudEvents attributes and data.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Attributes by name, without prefix.
    pub attributes: Vec<(String, String)>,
    /// `data`.
    pub data: Value,
}

/// An event that may be written.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// What it is.
    pub event: Event,
    /// What is written: everything that was sent but the secrets, known or not.
    pub outgoing: Outgoing,
    /// How many secrets were taken out.
    pub redacted: u64,
    /// What is too large for the event: to be durable in the object store before it is.
    pub payloads: Vec<Payload>,
}

/// Why an event is not written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not an event.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is one of those that only Ambit writes.
    #[error("{0} is said by Ambit itself, not to it")]
    Own(Kind),
    /// Its data cannot be written.
    #[error("the data cannot be written as JSON")]
    Data(#[source] serde_json::Error),
}

/// Takes apart an event in structured mode (CloudEvents JSON format). `None` when it is no object.
pub fn structured(event: Value) -> Option<Incoming> {
    let Value::Object(mut fields) = event else { return None };
    let data = fields.remove("data").unwrap_or(Value::Null);
    let attributes =
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    Some(Incoming { attributes, data })
}

/// Redacts an event under the key of its tenant (INVARIANT P-1) and reads it.
pub fn accept(incoming: Incoming, secret: &RedactionSecret) -> Result<Accepted, Refused> {
    let Incoming { attributes, mut data } = incoming;
    // What names no tenant is refused below, and never written.
    let tenant =
        data.get("tenant_uid").and_then(Value::as_str).and_then(|text| TenantId::try_from(text).ok());
    let tenant = tenant.or_else(|| TenantId::try_from("default").ok());
    let tenant = tenant.unwrap_or_else(|| unreachable!("the default is an id"));
    let key = secret.key(&tenant);
    let mut report: Report = redact(&mut data, &key);
    let mut headers = Vec::with_capacity(attributes.len() + 1);
    for (name, text) in attributes {
        let text = redact_text(&text, &key, &format!("/(attribute)/{name}"), &mut report);
        headers.push((format!("ce_{name}"), text));
    }
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    if report.total > 0 {
        join(&mut data, &report);
    }
    let mut value = serde_json::to_vec(&data).map_err(Refused::Data)?;
    let mut payloads = Vec::new();
    if value.len() > EVENT_BYTES_MAX {
        payloads = detach_data(&mut data);
        value = serde_json::to_vec(&data).map_err(Refused::Data)?;
    }
    let shard = Shard::new(Topic::Events, 0);
    let (headers, value) = (headers.into(), Some(value.into()));
    let record = Record { shard, offset: 0, timestamp_us: 0, key: None, headers, value };
    let event = decode(&record)?;
    let topic = topic_of(event.kind());
    // Rules stand in a shard where its analyzer puts them, signed; not where their sender would.
    if topic != Topic::Events || event.kind() == Kind::RulesActivated {
        return Err(Refused::Own(event.kind()));
    }
    let outgoing = Outgoing {
        topic,
        key: Bytes::copy_from_slice(event.partition_key().as_bytes()),
        headers: record.headers,
        value: record.value.unwrap_or_default(),
    };
    Ok(Accepted { event, outgoing, redacted: report.total, payloads })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(data: &Value) -> Incoming {
        structured(json!({"specversion": "1.0", "id": "e-1", "source": "https://emma:hunter22@x.example/gw",
            "type": "ambit.tool_call.requested.v1", "time": "2026-11-24T09:00:00Z", "data": data}))
        .unwrap()
    }

    #[test]
    fn secrets_go_their_places_are_told_and_unknown_fields_stay() {
        let data = json!({"tenant_uid": "acme", "ai_agent": {"uid": "a"}, "from_the_future": [1],
            "tool_call": {"id": "c", "name": "login", "arguments": {"password": "hunter22"}},
            "redactions": [{"rule": "by-the-agent", "pointer": "/tool_call/result"}]});
        let accepted = accept(event(&data), &RedactionSecret::new(b"installation")).unwrap();
        let text = std::str::from_utf8(&accepted.outgoing.value).unwrap();
        assert!(!text.contains("hunter22") && text.contains("from_the_future"), "{text}");
        assert!(!accepted.event.source.as_str().contains("hunter22"));
        let rules: Vec<&str> = accepted.event.redactions.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["by-the-agent", "secret-name", "url-password"]);
        assert_eq!(accepted.redacted, 2);
    }

    #[test]
    fn what_is_too_large_is_taken_out_redacted() {
        let result = format!("token ghp_{} {}", "a1B2c3D4e5F6".repeat(3), "word ".repeat(300_000));
        let data = json!({"tenant_uid": "acme", "ai_agent": {"uid": "a"}, "from_the_future": [1],
            "tool_call": {"id": "c", "name": "read", "result": result}});
        let accepted = accept(event(&data), &RedactionSecret::new(b"installation")).unwrap();
        assert!(accepted.outgoing.value.len() < 128 << 10 && accepted.payloads.len() == 1);
        let whole = std::str::from_utf8(&accepted.payloads[0].content).unwrap();
        assert!(!whole.contains("ghp_a1B2") && whole.len() > 1_500_000);
        let data: Value = serde_json::from_slice(&accepted.outgoing.value).unwrap();
        assert_eq!(data["tool_call"]["result_digest"], accepted.payloads[0].sha256.as_str());
        assert_eq!(data["from_the_future"], json!([1]));
    }

    #[test]
    fn equal_secrets_of_two_tenants_do_not_join() {
        let value = |tenant: &str| {
            let call = json!({"id": "c", "name": "login", "arguments": {"password": "hunter22"}});
            let data = json!({"tenant_uid": tenant, "ai_agent": {"uid": "a"}, "tool_call": call});
            let accepted = accept(event(&data), &RedactionSecret::new(b"installation")).unwrap();
            let data: Value = serde_json::from_slice(&accepted.outgoing.value).unwrap();
            data["tool_call"]["arguments"]["password"].clone()
        };
        assert_eq!(value("acme"), value("acme"));
        assert_ne!(value("acme"), value("other"));
    }

    #[test]
    fn what_is_no_event_or_only_ambit_says_is_refused() {
        let secret = RedactionSecret::new(b"installation");
        for data in [json!(null), json!({}), json!({"tenant_uid": "acme", "redactions": 7})] {
            assert!(matches!(accept(event(&data), &secret), Err(Refused::Malformed(_))), "{data}");
        }
        let mut own = event(
            &json!({"tenant_uid": "acme", "triage": {"finding_id": "f", "author": "sam", "state": "new"}}),
        );
        for (name, value) in &mut own.attributes {
            if name == "type" {
                "ambit.finding.closed.v1".clone_into(value);
            }
        }
        assert!(matches!(accept(own, &secret), Err(Refused::Own(Kind::FindingClosed))));
        assert_eq!(structured(json!([])), None);
    }
}
