//! OTLP over HTTP (opentelemetry.io/docs/specs/otlp, section OTLP/HTTP): traces and logs, in protobuf or JSON, plain or
//! gzip. Answers in the encoding it was asked in, and only when Kafka has every event; what is sent again after a lost
//! answer has the same ids.

use super::{Gateway, Refusal, authorise};
use crate::simulate::now;
use ambit_schemas::encode;
use ambit_schemas::id::TenantId;
use ambit_schemas::limits::RECORD_BYTES_MAX;
use ambit_schemas::sources::{Context, Format, ProtobufError, Signal, from_protobuf, is_oversized, read};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;
use prost::Message;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Names the tenant of a request; without it, it is `default`.
const TENANT: &str = "ambit-tenant";
/// Most requests that are read at once: each may take some hundred mebibytes while it is taken apart. Others wait.
pub(super) const AT_ONCE: usize = 2;

/// How a request is written, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match text(headers, header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// Everything was taken: a response message without fields.
    fn done(self) -> Response {
        let body = match self {
            Self::Protobuf => Body::empty(),
            Self::Json => Body::from(r#"{"partialSuccess":{}}"#),
        };
        ([(header::CONTENT_TYPE, self.media_type())], body).into_response()
    }

    /// A failure as the protocol wants it told: `google.rpc.Status`.
    fn failed(self, refusal: Refusal) -> Response {
        let Refusal { status, detail } = refusal;
        let told = Status { code: grpc_code(status), message: detail };
        let body = match self {
            Self::Protobuf => told.encode_to_vec(),
            Self::Json => json!({"code": told.code, "message": told.message}).to_string().into_bytes(),
        };
        (status, [(header::CONTENT_TYPE, self.media_type())], body).into_response()
    }
}

/// `google.rpc.Status` (googleapis, google/rpc/status.proto), without details.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The code of gRPC for an HTTP status (google/rpc/code.proto).
const fn grpc_code(status: StatusCode) -> i32 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 3,
    }
}

/// Takes a request of traces.
pub(super) async fn traces(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    respond(&gateway, Signal::Traces, request).await
}

/// Takes a request of logs.
pub(super) async fn logs(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    respond(&gateway, Signal::Logs, request).await
}

async fn respond(gateway: &Gateway, signal: Signal, request: Request) -> Response {
    let Some(encoding) = Encoding::of(request.headers()) else {
        let detail = "send OTLP: content-type application/x-protobuf or application/json".into();
        return Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, detail }.into_response();
    };
    match take(gateway, signal, encoding, request).await {
        Ok(()) => encoding.done(),
        Err(refusal) => {
            gateway.counters.refused.fetch_add(1, Ordering::Relaxed);
            encoding.failed(refusal)
        }
    }
}

async fn take(
    gateway: &Gateway,
    signal: Signal,
    encoding: Encoding,
    request: Request,
) -> Result<(), Refusal> {
    let (parts, body) = request.into_parts();
    authorise(&parts.headers, &gateway.token)?;
    let tenant = parts.headers.get(TENANT).map_or(Ok("default"), |value| value.to_str());
    let tenant = tenant.ok().and_then(|text| TenantId::try_from(text).ok());
    let tenant = tenant.ok_or_else(|| Refusal::bad(format!("the header {TENANT} is no tenant")))?;
    // Never closed.
    let _turn = gateway.otlp_turns.acquire().await;
    let body = to_bytes(body, RECORD_BYTES_MAX).await.map_err(|_| too_large())?;
    let request = document(&parts.headers, encoding, signal, body)?;
    let key = gateway.redaction.key(&tenant);
    let context = Context { tenant, origin: None, received: now() };
    let mut deliveries = Vec::new();
    let mut redacted = 0;
    for taken in read(request, Some(Format::Otlp), &context, &key) {
        redacted += taken.redacted;
        gateway.keep(&context.tenant, &taken.payloads).await?;
        for event in &taken.events {
            let outgoing = encode(event).map_err(|error| Refusal::bad(error.to_string()))?;
            deliveries.push(gateway.send(outgoing));
        }
    }
    let events = deliveries.len() as u64;
    futures::future::try_join_all(deliveries).await?;
    gateway.counters.accepted.fetch_add(events, Ordering::Relaxed);
    gateway.counters.redacted.fetch_add(redacted, Ordering::Relaxed);
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn document(headers: &HeaderMap, encoding: Encoding, signal: Signal, body: Bytes) -> Result<Value, Refusal> {
    let plain = match text(headers, header::CONTENT_ENCODING) {
        "" | "identity" => body,
        "gzip" => unpack(&body)?.into(),
        _ => {
            let detail = "send it plain or with content-encoding gzip".into();
            return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, detail });
        }
    };
    let request = match encoding {
        Encoding::Protobuf => from_protobuf(&plain, signal).map_err(|error| match error {
            ProtobufError::TooMany => too_large(),
            ProtobufError::Decode(cause) => Refusal::bad(format!("not OTLP in protobuf: {cause}")),
            ProtobufError::Json(_) => Refusal::bad(error.to_string()),
        })?,
        Encoding::Json => {
            serde_json::from_slice(&plain).map_err(|error| Refusal::bad(format!("not JSON: {error}")))?
        }
    };
    if !["resourceSpans", "resourceLogs"].iter().any(|name| request.get(name).is_some_and(Value::is_array)) {
        return Err(Refusal::bad("an export request has resourceSpans or resourceLogs"));
    }
    if is_oversized(&request) { Err(too_large()) } else { Ok(request) }
}

fn too_large() -> Refusal {
    let detail = format!(
        "more than {RECORD_BYTES_MAX} bytes, or too many records, after decompression: send smaller batches"
    );
    Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, detail }
}

/// Decompresses at most as much as a plain request may have.
fn unpack(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(body).take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| Refusal::bad(format!("not gzip: {error}")))?;
    if plain.len() > RECORD_BYTES_MAX { Err(too_large()) } else { Ok(plain) }
}
