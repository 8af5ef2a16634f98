//! What the ledger costs: leaves appended, and proofs read out of a tree of a million leaves.

use std::hint::black_box;

use ambit_ledger::{CheckpointSigner, LeafHash, LeafIndex, Ledger, MemoryTiles, Origin, leaf_hash};
use criterion::{BatchSize, Criterion, Throughput};

const APPENDED: u64 = 10_000;
const LARGE: u64 = 1_000_000;

fn leaves(count: u64) -> Vec<LeafHash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn open(signer: &CheckpointSigner) -> Result<Ledger<MemoryTiles>, Box<dyn std::error::Error>> {
    let origin = Origin::new("bench.local/ambit.events/0")?;
    Ok(Ledger::open(origin, MemoryTiles::new(), signer.public_key().clone())?)
}

fn run(criterion: &mut Criterion) -> Result<(), Box<dyn std::error::Error>> {
    let signer = CheckpointSigner::from_seed("bench.local", &[7; 32])?;

    let batch = leaves(APPENDED);
    open(&signer)?.append(&batch)?;
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(APPENDED));
    group.bench_function("append_10k_leaves", |bencher| {
        let fresh = || open(&signer).ok();
        let append = |ledger: Option<Ledger<MemoryTiles>>| {
            ledger.map(|mut ledger| {
                let appended = ledger.append(&batch).ok();
                (appended, ledger)
            })
        };
        bencher.iter_batched(fresh, append, BatchSize::LargeInput);
    });

    let mut ledger = open(&signer)?;
    ledger.append(&leaves(LARGE))?;
    ledger.commit(&signer)?;
    let tree = ledger.published();
    tree.inclusion_proof(LeafIndex(0), tree.size())?;
    let mut index = 0;
    group.throughput(Throughput::Elements(1));
    group.bench_function("inclusion_proof_1m", |bencher| {
        bencher.iter(|| {
            // A step that shares no factor with the size visits leaves all over the tree.
            index = (index + 618_033) % LARGE;
            black_box(tree.inclusion_proof(LeafIndex(index), tree.size()).map(|proof| proof.len()))
        });
    });
    group.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    run(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
