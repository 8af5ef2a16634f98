//! What the auditor's check costs: every row hashed again and held against the signed checkpoints, on one thread; and
//! inclusion proofs read from the tiles on disk.

use crate::cpu::Meter;
use crate::stage::{Done, Job, LOG_NAME, open};
use crate::webhook::percentile;
use ambit_ingest::origin;
use ambit_ingest::verify::{Scope, Unwatched, Verification};
use ambit_ledger::{FsTiles, LeafIndex, PublishedTree};
use anyhow::ensure;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Proofs that are timed, of each shard.
const PROOFS: u64 = 1_000;
/// A step that shares no factor with the sizes of logs visits leaves all over a tree.
const STEP: u64 = 618_033;

/// Verifies what an earlier stage has stored, then asks for proofs.
pub(crate) fn measure(job: &Job) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (store, ledgers) = runtime.block_on(open(&job.dir))?;
    let key = ledgers.signer.public_key().clone();
    let verification =
        Verification { store, ledger_dir: ledgers.dir.clone(), log_name: LOG_NAME.into(), key: key.clone() };
    let shards: Vec<_> = job.ends.iter().map(|(shard, _)| *shard).collect();
    let scope = Scope { shards: shards.clone(), threads: 1, ..Scope::default() };
    let meter = Meter::start()?;
    let report = runtime.block_on(verification.run(&scope, Arc::new(Unwatched)))?;
    let took = meter.stop()?;
    ensure!(report.intact() && report.rows == job.events as u64, "not intact: {report:?}");
    let mut latencies = Vec::new();
    for shard in shards {
        let tiles = FsTiles::new(ledgers.shard_dir(shard));
        let tree = PublishedTree::open(origin(LOG_NAME, shard)?, tiles, &key)?;
        let size = tree.size();
        for number in 0..PROOFS {
            let index = LeafIndex(number.wrapping_mul(STEP) % size.0.max(1));
            let started = Instant::now();
            black_box(tree.inclusion_proof(index, size)?);
            latencies.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let figures = BTreeMap::from([
        ("inclusion_proof_p50".to_owned(), percentile(&latencies, 0.50)),
        ("inclusion_proof_p99".to_owned(), percentile(&latencies, 0.99)),
    ]);
    Ok(Done { figures, ..Done::of(took) })
}
