//! The HTTP gateway: takes CloudEvents 1.0 (structured, batched or binary mode) and OTLP, refuses what is not an event,
//! redacts secrets (INVARIANT P-1), keys by root task and answers only when Kafka has the event.

mod otlp;
mod topics;

pub use topics::{Counters as TopicCounters, Topics};

use ambit_bus::Producer;
use ambit_schemas::id::TenantId;
use ambit_schemas::intake::{self, Incoming, accept};
use ambit_schemas::limits::RECORD_BYTES_MAX;
use ambit_schemas::payload::Payload;
use ambit_schemas::redact::RedactionSecret;
use ambit_store::Payloads;
use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Most events of one batch.
const BATCH_MAX: usize = 1_000;
/// How long Kafka may take for one event: whoever sends must hear of an outage before it gives up itself.
const SEND_WITHIN: Duration = Duration::from_secs(4);
/// When to send again what Kafka did not take.
const RETRY_AFTER_SECONDS: &str = "5";
/// CloudEvents structured mode.
const STRUCTURED: &str = "application/cloudevents+json";
/// CloudEvents batched mode.
const BATCHED: &str = "application/cloudevents-batch+json";

/// What the gateway has done, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events that Kafka has.
    pub accepted: AtomicU64,
    /// Events that were refused.
    pub refused: AtomicU64,
    /// Values that were redacted.
    pub redacted: AtomicU64,
}

/// The gateway's parts.
#[derive(Debug)]
pub struct Gateway {
    /// How events reach Kafka.
    pub producer: Producer,
    /// Where content goes that is too large for an event.
    pub payloads: Payloads,
    /// What a caller must present.
    pub token: Zeroizing<String>,
    /// What the keys are derived from of the hashes that stand in place of secrets.
    pub redaction: RedactionSecret,
    /// Whether Kafka answers.
    pub kafka: ambit_bus::Health,
    /// What was done.
    pub counters: Arc<Counters>,
    /// Who may read an OTLP request.
    otlp_turns: Semaphore,
}

impl Gateway {
    /// A gateway that has taken nothing yet.
    pub fn new(
        producer: Producer,
        payloads: Payloads,
        token: Zeroizing<String>,
        redaction: RedactionSecret,
        kafka: ambit_bus::Health,
        counters: Arc<Counters>,
    ) -> Self {
        let otlp_turns = Semaphore::new(otlp::AT_ONCE);
        Self { producer, payloads, token, redaction, kafka, counters, otlp_turns }
    }

    /// Serves until `shutdown`; requests under way are finished.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
        let router = Router::new()
            .route("/v1/events", post(take))
            .route("/v1/traces", post(otlp::traces))
            .route("/v1/logs", post(otlp::logs))
            .layer(DefaultBodyLimit::max(RECORD_BYTES_MAX))
            .with_state(Arc::new(self));
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .context("the gateway failed")
    }

    async fn accept(&self, event: Incoming) -> Result<Value, Refusal> {
        let accepted = accept(event, &self.redaction).map_err(|refused| Refusal::bad(refused.to_string()))?;
        let (decoded, outgoing, redacted) = (accepted.event, accepted.outgoing, accepted.redacted);
        self.keep(&decoded.tenant, &accepted.payloads).await?;
        let (shard, offset) = self.send(outgoing).await?;
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.counters.redacted.fetch_add(redacted, Ordering::Relaxed);
        Ok(
            json!({"id": decoded.id, "ref": format!("{}:{}:{offset}", shard.topic, shard.partition), "redacted": redacted}),
        )
    }

    /// Makes what is too large for an event durable, before the event is. INVARIANT L-3
    async fn keep(&self, tenant: &TenantId, payloads: &[Payload]) -> Result<(), Refusal> {
        for payload in payloads {
            self.payloads.put(tenant, payload).await.map_err(|error| {
                tracing::error!("content that is too large for an event could not be kept: {error}");
                Refusal {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    detail: "the object store did not take the content: send it again".into(),
                }
            })?;
        }
        Ok(())
    }
}

impl Gateway {
    /// Writes to Kafka, or says soon that it cannot be done. Who sends again what was on its way sends it twice: that is
    /// recognised by source and id.
    async fn send(&self, outgoing: ambit_schemas::Outgoing) -> Result<(ambit_schemas::Shard, u64), Refusal> {
        let unavailable = |detail| Refusal { status: StatusCode::SERVICE_UNAVAILABLE, detail };
        if let Some(trouble) = self.kafka.trouble() {
            return Err(unavailable(trouble));
        }
        match timeout(SEND_WITHIN, self.producer.send(outgoing)).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(error)) => {
                tracing::warn!("an event could not be written to Kafka: {error}");
                Err(unavailable("Kafka did not take the event: send it again".into()))
            }
            Err(_) => Err(unavailable("Kafka did not take the event in time: send it again".into())),
        }
    }
}

#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    detail: String,
}

impl Refusal {
    fn bad(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("refused");
        let body = json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail});
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string())
                .into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

async fn take(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    authorise(&headers, &gateway.token)?;
    let mut results = Vec::new();
    let events = read(&headers, &body).inspect_err(|_| {
        gateway.counters.refused.fetch_add(1, Ordering::Relaxed);
    })?;
    for event in events {
        match gateway.accept(event).await {
            Ok(result) => results.push(result),
            Err(refusal) => {
                gateway.counters.refused.fetch_add(1, Ordering::Relaxed);
                if refusal.status != StatusCode::BAD_REQUEST {
                    return Err(refusal);
                }
                results.push(json!({"error": refusal.detail}));
            }
        }
    }
    let failed = results.iter().filter(|result| result.get("error").is_some()).count();
    let status = if failed == 0 { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    Ok((status, Json(json!({"accepted": results.len() - failed, "refused": failed, "items": results})))
        .into_response())
}

fn authorise(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    if ambit_query_api::http::presents(headers, token) {
        Ok(())
    } else {
        Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            detail: "present the gateway's token: Authorization: Bearer ...".into(),
        })
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Incoming>, Refusal> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let json =
        || serde_json::from_slice::<Value>(body).map_err(|error| Refusal::bad(format!("not JSON: {error}")));
    match media_type {
        STRUCTURED => Ok(vec![structured(json()?)?]),
        BATCHED => match json()? {
            Value::Array(events) if events.len() <= BATCH_MAX => events.into_iter().map(structured).collect(),
            Value::Array(events) => {
                Err(Refusal::bad(format!("{} events, more than {BATCH_MAX}", events.len())))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(Refusal::bad("a batch is an array of events"))
            }
        },
        "application/json" => {
            let attribute = |name: &str| name.strip_prefix("ce-").map(str::to_owned);
            let attributes = headers
                .iter()
                .filter_map(|(name, value)| {
                    Some((attribute(name.as_str())?, value.to_str().ok()?.to_owned()))
                })
                .collect();
            Ok(vec![Incoming { attributes, data: json()? }])
        }
        _ => Err(Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            detail: format!("send {STRUCTURED}, {BATCHED}, or application/json with ce- headers"),
        }),
    }
}

fn structured(event: Value) -> Result<Incoming, Refusal> {
    intake::structured(event).ok_or_else(|| Refusal::bad("an event is an object"))
}
