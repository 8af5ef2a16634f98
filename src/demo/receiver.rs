//! The demo's receiver: what an identity provider's end of a webhook looks like. It checks the signature, ends the
//! task, and says so.

use ambit_enforcement::sign::{
    ID_HEADER, SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER, VerifyKey, WebhookKey, verify,
};
use ambit_schemas::id::TaskId;
use ambit_schemas::response::WebhookBody;
use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Largest webhook: Standard Webhooks asks for less than 20 kB.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What a webhook asked for, once its signature was found good.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The body.
    pub body: WebhookBody,
    /// Whether it came before.
    pub again: bool,
}

struct Receiver {
    key: VerifyKey,
    revoked: mpsc::Sender<TaskId>,
    seen: Mutex<HashSet<String>>,
    told: Box<dyn Fn(&Taken) + Send + Sync>,
}

/// Serves `POST /hooks/ambit` until `shutdown`. Root tasks that are to be ended go to `revoked`.
pub async fn run(
    listener: TcpListener,
    secret: &str,
    revoked: mpsc::Sender<TaskId>,
    told: impl Fn(&Taken) + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let key = WebhookKey::parse(secret).context("the demo's webhook secret")?;
    let receiver =
        Receiver { key: VerifyKey::from(&key), revoked, seen: Mutex::default(), told: Box::new(told) };
    let router = Router::new()
        .route("/hooks/ambit", post(take))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(receiver));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .context("the demo's receiver failed")
}

async fn take(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header(ID_HEADER), header(TIMESTAMP_HEADER), header(SIGNATURE_HEADER))
    else {
        return StatusCode::BAD_REQUEST;
    };
    let seconds = crate::simulate::now().micros().div_euclid(1_000_000);
    if let Err(error) = verify(Signed { id, timestamp, signatures }, &body, &receiver.key, seconds) {
        tracing::warn!(%error, "a webhook was refused");
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(parsed) = serde_json::from_slice::<WebhookBody>(&body) else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    // Deliveries come at least once: whoever receives drops what it has seen, by the id.
    let again = !receiver.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    let root = parsed.data.target.root_task_id.clone().filter(|_| parsed.data.action.revokes() && !again);
    (receiver.told)(&Taken { body: parsed, again });
    if let Some(root) = root
        && receiver.revoked.send(root).await.is_err()
    {
        tracing::debug!("the fleet has ended: there is nobody left to stop");
    }
    StatusCode::NO_CONTENT
}
