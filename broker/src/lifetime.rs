//! When to stop: a signal, or the end of whoever started the broker.

use anyhow::Context;
use std::io::Read;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for SIGINT, SIGTERM or, if asked to, for the end of standard input.
pub(crate) async fn stop_requested(on_stdin_close: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let (closed, stdin) = oneshot::channel();
    if on_stdin_close {
        // A thread of its own: a read of standard input cannot be cancelled, and must not hold up the end.
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let (mut stdin, mut bytes) = (std::io::stdin().lock(), [0; 64]);
                while matches!(stdin.read(&mut bytes), Ok(count) if count > 0) {}
                closed.send(()).ok();
            })
            .context("cannot watch standard input")?;
    } else {
        std::mem::forget(closed);
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = stdin => {}
    }
    Ok(())
}
