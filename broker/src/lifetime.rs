//! When to stop: a signal, or the end of whoever started the broker.

use anyhow::Context;
use std::io::Read;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for SIGINT, SIGTERM or, if asked to, for the end of standard input.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    stdin: Option<oneshot::Receiver<()>>,
}

impl Stop {
    /// Begins to listen: from here on a signal ends the broker in order, so this comes before anybody is told that it
    /// is ready.
    pub(crate) fn listen(on_stdin_close: bool) -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            stdin: on_stdin_close.then(watch_stdin).transpose()?,
        })
    }

    /// Waits until the broker has to stop.
    pub(crate) async fn requested(&mut self) {
        let stdin = async {
            match &mut self.stdin {
                Some(closed) => closed.await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = stdin => {}
        }
    }
}

/// A thread of its own: a read of standard input cannot be cancelled, and must not hold up the end.
fn watch_stdin() -> anyhow::Result<oneshot::Receiver<()>> {
    let (closed, stdin) = oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let (mut stdin, mut bytes) = (std::io::stdin().lock(), [0; 64]);
            while matches!(stdin.read(&mut bytes), Ok(count) if count > 0) {}
            closed.send(()).ok();
        })
        .context("cannot watch standard input")?;
    Ok(stdin)
}
