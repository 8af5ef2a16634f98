//! SIGINT and SIGTERM ask for an orderly end; a second one ends at once.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal: 128 + SIGINT, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;

/// Waits for the first signal, cancels `shutdown`, then ends the process at the second, if one comes before everything
/// else has stopped: `stopped`.
pub async fn watch(shutdown: CancellationToken, stopped: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        // The end was asked for otherwise, or a task failed: signals count from here on as well.
        () = shutdown.cancelled() => {}
        () = stopped.cancelled() => return Ok(()),
    }
    if !shutdown.is_cancelled() {
        tracing::info!("stopping in order; interrupt again to stop at once");
        shutdown.cancel();
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stopped.cancelled() => return Ok(()),
    }
    tracing::warn!("stopped at once by a second signal; nothing durable is lost, the next start recovers");
    std::process::exit(EXIT_INTERRUPTED)
}
