//! OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp, section OTLP/HTTP): traces and logs, plain or gzip.
//! Answers only when Kafka has every event; what is sent again after a lost answer has the same ids.

use super::{Gateway, Refusal, authorise};
use crate::simulate::now;
use ambit_schemas::encode;
use ambit_schemas::id::TenantId;
use ambit_schemas::limits::RECORD_BYTES_MAX;
use ambit_schemas::sources::{Context, Format, read};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Names the tenant of a request; without it, it is `default`.
const TENANT: &str = "ambit-tenant";

/// Takes one export request.
pub(super) async fn take(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    authorise(&headers, &gateway.token)?;
    let request = document(&headers, &body).inspect_err(|_| {
        gateway.counters.refused.fetch_add(1, Ordering::Relaxed);
    })?;
    let tenant = headers.get(TENANT).map_or(Ok("default"), |value| value.to_str());
    let tenant = tenant.ok().and_then(|text| TenantId::try_from(text).ok());
    let tenant = tenant.ok_or_else(|| Refusal::bad(format!("the header {TENANT} is no tenant")))?;
    let key = gateway.redaction.key(&tenant);
    let context = Context { tenant, origin: None, received: now() };
    let mut deliveries = Vec::new();
    let mut redacted = 0;
    for taken in read(request, Some(Format::Otlp), &context, &key) {
        redacted += taken.redacted;
        for event in &taken.events {
            let outgoing = encode(event).map_err(|error| Refusal::bad(error.to_string()))?;
            deliveries.push(gateway.send(outgoing));
        }
    }
    let events = deliveries.len() as u64;
    futures::future::try_join_all(deliveries).await?;
    gateway.counters.accepted.fetch_add(events, Ordering::Relaxed);
    gateway.counters.redacted.fetch_add(redacted, Ordering::Relaxed);
    Ok(Json(json!({"partialSuccess": {}})))
}

fn document(headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if media_type != "application/json" {
        let detail = "send OTLP in JSON: content-type application/json".into();
        return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, detail });
    }
    let unpacked;
    let plain = match text(header::CONTENT_ENCODING) {
        "" | "identity" => body,
        "gzip" => {
            unpacked = unpack(body)?;
            &unpacked
        }
        _ => {
            let detail = "send it plain or with content-encoding gzip".into();
            return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, detail });
        }
    };
    let request: Value =
        serde_json::from_slice(plain).map_err(|error| Refusal::bad(format!("not JSON: {error}")))?;
    if ["resourceSpans", "resourceLogs"].iter().any(|name| request.get(name).is_some_and(Value::is_array)) {
        Ok(request)
    } else {
        Err(Refusal::bad("an export request has resourceSpans or resourceLogs"))
    }
}

/// Decompresses at most as much as a plain request may have.
fn unpack(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(body).take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| Refusal::bad(format!("not gzip: {error}")))?;
    if plain.len() > RECORD_BYTES_MAX {
        let detail = format!("more than {RECORD_BYTES_MAX} bytes after decompression: send smaller batches");
        return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, detail });
    }
    Ok(plain)
}
