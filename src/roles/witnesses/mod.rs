//! Asks witnesses to cosign what the keeper has signed (C2SP tlog-witness). Nothing waits for them: of what was signed
//! meanwhile, the newest of each shard is asked for, one question to a witness at a time.

mod ask;
mod standing;

pub use standing::Standing;

use crate::config::Ledger;
use crate::roles::checkpoints::now;
use crate::runtime::supervisor::{OnError, Stage, Supervisor};
use ambit_enforcement::outbound::OutboundError;
use ambit_ingest::Ledgers;
use ambit_ingest::outside::Board;
use ambit_schemas::Shard;
use anyhow::Context;
use ask::{Asker, Outcome};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longest pause after a witness could not be reached.
const PAUSE_MAX: Duration = Duration::from_mins(2);
/// How often a shard is asked for again that a witness refused.
const REFUSED_AGAIN: Duration = Duration::from_mins(1);

/// Starts one task for each witness.
pub(crate) fn start(
    supervisor: &mut Supervisor,
    config: &Ledger,
    ledgers: &Ledgers,
    standing: &Standing,
) -> anyhow::Result<()> {
    standing.lag_after(config.witness_lag_seconds);
    for witness in &config.witnesses {
        let asker = Asker::new(witness, ledgers)?;
        let every = Duration::from_secs(config.witness_every_seconds);
        let (board, standing) = (ledgers.board.clone(), standing.clone());
        let name = format!("cosigned by {:08x}", witness.key()?.id());
        supervisor.spawn(Stage::Storage, &name, OnError::Restart, move |shutdown| {
            let round = Round { asker: asker.clone(), every, standing: standing.clone() };
            round.run(board.clone(), shutdown)
        });
    }
    Ok(())
}

/// Asks one witness, round after round.
struct Round {
    asker: Asker,
    every: Duration,
    standing: Standing,
}

impl Round {
    async fn run(self, board: Board, shutdown: CancellationToken) -> anyhow::Result<()> {
        let name = self.asker.name().to_owned();
        let (mut posted, mut cosigned) = (board.watch(), BTreeMap::<Shard, u64>::new());
        let mut pause = self.every;
        loop {
            // A shard that was refused is asked for again though nothing new is posted: somebody may have mended it.
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                changed = posted.changed() => changed.context("nobody signs checkpoints any more")?,
                () = sleep(REFUSED_AGAIN) => {}
            }
            let newest: BTreeMap<Shard, u64> = posted
                .borrow_and_update()
                .iter()
                .map(|(shard, signed)| (*shard, signed.checkpoint().size.0))
                .collect();
            for (shard, size) in &newest {
                self.standing.signed(&name, *shard, *size, now());
            }
            let wanting = newest.iter().filter(|(shard, size)| cosigned.get(shard) != Some(size));
            let mut reached = true;
            for (shard, size) in wanting.map(|(shard, size)| (*shard, *size)).collect::<Vec<_>>() {
                let asked = tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    asked = self.asker.ask(shard) => asked,
                };
                match asked {
                    Ok(Outcome::Cosigned(leaves)) => {
                        cosigned.insert(shard, size);
                        self.standing.cosigned(&name, shard, leaves);
                    }
                    Ok(Outcome::Contradicted(what)) => self.standing.contradicted(&name, shard, &what),
                    Err(error) if error.is::<OutboundError>() => {
                        self.standing.failed(&name, &format!("{error:#}"));
                        reached = false;
                        // What is in the way of one is in the way of all.
                        break;
                    }
                    Err(error) => self.standing.refused(&name, shard, &format!("{error:#}")),
                }
            }
            if reached {
                pause = self.every;
            } else {
                pause = (pause * 2).min(PAUSE_MAX.max(self.every));
                posted.mark_changed();
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = sleep(pause) => {}
            }
        }
    }
}
