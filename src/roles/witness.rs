//! The witness for logs of others: `POST /add-checkpoint`, as C2SP tlog-witness says. Whoever asks needs no token: a
//! checkpoint that no known log has signed is refused, and whoever repeats one that is public learns what is public.

use crate::config::{Config, WitnessedLog};
use crate::roles::checkpoints::now;
use crate::roles::parts::Parts;
use crate::runtime::lock::{DataLock, Sharing};
use crate::runtime::supervisor::{OnError, Stage, Supervisor};
use ambit_ledger::FsTiles;
use ambit_ledger::witness::{MAX_REQUEST_BYTES, Refusal, Witness, WitnessError, WitnessSigner};
use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Requests that are worked on at once; more are asked to come again.
const AT_ONCE: usize = 32;
/// How long a request may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The media type of a refusal that tells the size that is remembered.
const TREE_SIZE: &str = "text/x.tlog.size";
/// Characters in the name of a file that remembers a log.
const NAME_CHARS: usize = 64;

/// What the witness has done, for metrics.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<&'static str, u64>>);

impl Counters {
    /// Checkpoints by what became of them: `cosigned`, or why not.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }
}

/// The witness of this process.
#[derive(Debug)]
pub(crate) struct Service {
    witness: Witness<FsTiles>,
    counters: Arc<Counters>,
    turns: Arc<Semaphore>,
    /// No other process may remember in the same place: of two, each would sign what the other has not seen.
    _lock: DataLock,
}

/// Its key; made on first start.
pub fn signer(config: &Config) -> anyhow::Result<WitnessSigner> {
    let path = config.keys_dir().join("witness.key");
    WitnessSigner::load_or_create(&path, &config.witness_name())
        .with_context(|| format!("the witness's key {} cannot be used", path.display()))
}

/// What another witness must be told to cosign the ledger of this installation, as it stands in its configuration.
pub fn introduction(config: &Config) -> anyhow::Result<String> {
    let key = Parts { config }.signer()?.public_key().to_string();
    let log = WitnessedLog { origin: format!("{}/*", config.ledger.log_name), key };
    let logs = BTreeMap::from([("witness", BTreeMap::from([("logs", vec![log])]))]);
    Ok(toml::to_string(&logs)?)
}

/// Opens what it remembers.
pub(crate) fn open(config: &Config, counters: &Arc<Counters>) -> anyhow::Result<Arc<Service>> {
    let options = config.witness.as_ref().context(
        "no witness is configured: add `[witness]`, with `[[witness.logs]]` for each log that is to be cosigned",
    )?;
    let (dir, signer) = (config.witness_dir(), signer(config)?);
    let lock = DataLock::take(&dir, Sharing::Alone)?;
    let room = options.max_logs.saturating_sub(remembered(&dir)?);
    let witness = Witness::new(FsTiles::new(&dir), signer, options.trusted()?, room)?;
    tracing::info!(key = %witness.key(), "this installation is a witness");
    let (counters, turns) = (Arc::clone(counters), Arc::new(Semaphore::new(AT_ONCE)));
    Ok(Arc::new(Service { witness, counters, turns, _lock: lock }))
}

/// Starts it.
pub(crate) fn start(
    supervisor: &mut Supervisor,
    config: &Config,
    mut listener: Option<TcpListener>,
    counters: &Arc<Counters>,
) -> anyhow::Result<()> {
    let service = open(config, counters)?;
    supervisor.spawn(Stage::Serving, "witness", OnError::Stop, move |shutdown| {
        let (service, listener) = (Arc::clone(&service), listener.take());
        async move {
            match listener {
                Some(listener) => serve(service, listener, shutdown).await,
                None => Ok(()),
            }
        }
    });
    Ok(())
}

/// How many logs are remembered.
fn remembered(dir: &Path) -> anyhow::Result<usize> {
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read what the witness remembers in {}", dir.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.len() == NAME_CHARS).count())
}

/// Serves until `shutdown`; requests under way are finished.
pub(crate) async fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(service);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .context("the witness failed")
}

async fn add_checkpoint(State(service): State<Arc<Service>>, body: Body) -> Response {
    let Ok(turn) = Arc::clone(&service.turns).try_acquire_owned() else {
        service.counters.count("busy");
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the witness has enough to do: ask again later\n".into(),
        );
    };
    let body = match timeout(BODY_WITHIN, to_bytes(body, MAX_REQUEST_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            service.counters.count("malformed");
            return text(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MAX_REQUEST_BYTES} bytes\n"));
        }
        Err(_) => {
            service.counters.count("slow");
            return text(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time\n".into());
        }
    };
    let working = Arc::clone(&service);
    // Not given up when whoever asks goes away: what is half written is finished, and keeps its turn until it is.
    let answered = tokio::task::spawn_blocking(move || {
        let answered = working.witness.add_checkpoint(&body, now());
        drop(turn);
        answered
    })
    .await;
    match answered {
        Ok(Ok(cosignature)) => {
            service.counters.count("cosigned");
            text(StatusCode::OK, cosignature.line().to_owned())
        }
        Ok(Err(error)) => refuse(&service.counters, &error),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n".into()),
    }
}

fn refuse(counters: &Counters, error: &WitnessError) -> Response {
    let WitnessError::Refused(refusal) = error else {
        counters.count("failed");
        tracing::error!("{:#}", anyhow::anyhow!("{error}{}", cause(error)));
        let (status, sentence) = (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot remember\n");
        return text(status, sentence.into());
    };
    let (status, outcome) = match refusal {
        Refusal::Malformed { .. } => (StatusCode::BAD_REQUEST, "malformed"),
        Refusal::OldAhead { .. } => (StatusCode::BAD_REQUEST, "old_ahead"),
        Refusal::NotSigned { .. } => (StatusCode::FORBIDDEN, "not_signed"),
        Refusal::UnknownOrigin { .. } => (StatusCode::NOT_FOUND, "unknown_origin"),
        Refusal::Conflict { .. } => (StatusCode::CONFLICT, "conflict"),
        Refusal::Forked { .. } => (StatusCode::CONFLICT, "forked"),
        Refusal::Inconsistent { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "inconsistent"),
    };
    counters.count(outcome);
    match refusal {
        Refusal::Forked { size, .. } => {
            tracing::error!("{refusal}");
            tree_size(size.0)
        }
        Refusal::Conflict { remembered, .. } => tree_size(remembered.0),
        // Anybody can send a public checkpoint with a wrong proof; only two roots of one size prove something.
        Refusal::Inconsistent { .. } => {
            tracing::warn!("{refusal}");
            text(status, format!("{refusal}\n"))
        }
        Refusal::Malformed { .. }
        | Refusal::OldAhead { .. }
        | Refusal::NotSigned { .. }
        | Refusal::UnknownOrigin { .. } => text(status, format!("{refusal}\n")),
    }
}

/// What an error was caused by, for the log.
fn cause(error: &WitnessError) -> String {
    std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
}

fn tree_size(size: u64) -> Response {
    (StatusCode::CONFLICT, [(header::CONTENT_TYPE, TREE_SIZE)], format!("{size}\n")).into_response()
}

fn text(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
