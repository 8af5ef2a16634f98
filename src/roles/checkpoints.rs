//! Tells the world outside the data directory of signed checkpoints: a mirror, and the topic of checkpoints. Neither is
//! waited for by ingest; of what was signed meanwhile, the newest of each shard is told.

use ambit_bus::CheckpointSender;
use ambit_ingest::outside::{Board, Posted};
use ambit_ledger::{MirrorDir, SignedCheckpoint, TreeSize};
use ambit_schemas::Shard;
use anyhow::Context;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Pause between two rounds to Kafka: bounds how fast the topic grows.
const KAFKA_EVERY: Duration = Duration::from_secs(2);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(2);

/// Adds checkpoints to the mirror until the end; failures are told and tried again.
pub async fn mirror(
    mirror: MirrorDir,
    every: Duration,
    board: Board,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let add = |_, signed: SignedCheckpoint| {
        let mirror = mirror.clone();
        async move {
            let path = mirror.root().display().to_string();
            let added = tokio::task::spawn_blocking(move || mirror.add(&signed, now()));
            added.await?.with_context(|| format!("cannot add a checkpoint to the mirror {path}"))
        }
    };
    tell(board, every, shutdown, add).await
}

/// Sends checkpoints to Kafka until the end; failures are told and tried again.
pub async fn kafka(
    sender: CheckpointSender,
    board: Board,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let send = |_, signed: SignedCheckpoint| {
        let sender = sender.clone();
        async move { Ok(sender.send(signed.checkpoint().origin.as_str(), signed.note()).await?) }
    };
    tell(board, KAFKA_EVERY, shutdown, send).await
}

/// Tells of each shard's newest checkpoint, and then rests. What cannot be told is tried again; the newest counts then.
pub(crate) async fn tell<Telling>(
    board: Board,
    every: Duration,
    shutdown: CancellationToken,
    tell: impl Fn(Shard, SignedCheckpoint) -> Telling,
) -> anyhow::Result<()>
where
    Telling: Future<Output = anyhow::Result<()>>,
{
    let (mut posted, mut told) = (board.watch(), BTreeMap::<Shard, TreeSize>::new());
    let mut failing = false;
    loop {
        let changed = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = posted.changed() => changed,
        };
        changed.context("nobody signs checkpoints any more")?;
        let newest: Posted = posted.borrow_and_update().clone();
        let mut failed = false;
        for (shard, signed) in newest {
            let size = signed.checkpoint().size;
            if told.get(&shard) == Some(&size) {
                continue;
            }
            let result = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                result = tell(shard, signed) => result,
            };
            match result {
                Ok(()) => drop(told.insert(shard, size)),
                Err(error) => {
                    if !failing {
                        tracing::warn!(%shard, "{error:#}: tried again until it is taken");
                    }
                    (failed, failing) = (true, true);
                    // What is in the way of one is in the way of all.
                    break;
                }
            }
        }
        failing &= failed;
        if failed {
            posted.mark_changed();
        }
        let pause = if failed { every.max(RETRY) } else { every };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = sleep(pause) => {}
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
