//! The HTTP service.

use crate::access::Access;
use crate::engine::Engine;
use crate::http;
use crate::options::Options;
use crate::overview::Ledgers;
use crate::publish::Publish;
use crate::trail::Trail;
use ambit_schemas::measure::Taken;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// One sample of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, and its labels in braces if it has any. A counter's name ends with `_total`.
    pub name: String,
    /// In base units: seconds, bytes.
    pub value: f64,
    /// What it counts.
    pub help: &'static str,
}

/// How long something took, as a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Its name, which ends with `_seconds`.
    pub name: &'static str,
    /// What it measures.
    pub help: &'static str,
    /// How it stands.
    pub taken: Taken,
}

/// Figures and states that other parts of the process tell.
#[derive(Clone)]
pub struct Sources {
    /// What is counted and measured.
    pub metrics: Arc<dyn Fn() -> Vec<Metric> + Send + Sync>,
    /// How long things took.
    pub timings: Arc<dyn Fn() -> Vec<Timing> + Send + Sync>,
    /// What is wrong, by part; empty when all is well.
    pub troubles: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// What whoever runs this should know, though nothing is wrong.
    pub notices: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The machine's clock.
    pub now: Arc<dyn Fn() -> ambit_schemas::Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// The API and the console.
#[derive(Debug, Clone)]
pub struct Service {
    /// How it is configured.
    pub options: Options,
    /// What answers.
    pub engine: Engine,
    /// What proves.
    pub ledgers: Ledgers,
    /// Who may ask.
    pub access: Arc<Access>,
    /// Where it is recorded who asks what.
    pub trail: Trail,
    /// Where what people do about findings is written to.
    pub publish: Arc<dyn Publish>,
    /// What others tell.
    pub sources: Sources,
    /// Tells answers that go on that they are to end.
    pub closing: CancellationToken,
}

impl Service {
    /// Serves until `shutdown`; questions under way are finished.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        let closing = self.closing.clone();
        let router = http::router(Arc::new(self)).into_make_service_with_connect_info::<SocketAddr>();
        let stopped = async move {
            shutdown.cancelled().await;
            closing.cancel();
        };
        axum::serve(listener, router).with_graceful_shutdown(stopped).await
    }
}

impl Sources {
    /// Serves health and metrics alone, for a process without an API, until `shutdown`.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        axum::serve(listener, http::monitoring(self)).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}
