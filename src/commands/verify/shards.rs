//! Which shards there are to verify: whoever removes a ledger must not remove the question with it.

use crate::config::Config;
use ambit_schemas::{Shard, Topic};
use ambit_store::Store;
use anyhow::{Context, bail};
use std::collections::BTreeSet;

/// Partitions beyond the known ones that are looked for in the table at a time. Keys spread evenly, so that so many
/// neighbours do not stay empty.
const WINDOW: u32 = 16;

/// Every shard that the configuration knows, that has a ledger, that has rows, or that was verified before.
pub(super) async fn known(
    config: &Config,
    store: &Store,
    verified: impl Iterator<Item = Shard>,
) -> anyhow::Result<BTreeSet<Shard>> {
    let mut shards: BTreeSet<Shard> = verified.collect();
    for topic in Topic::ALL {
        let ledgers =
            std::fs::read_dir(config.ledger_dir().join(topic.name())).into_iter().flatten().flatten();
        let numbers = ledgers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut count =
            numbers.map(|number| number + 1).max().unwrap_or_default().max(config.kafka.partitions);
        loop {
            let window: Vec<Shard> =
                (count..count + WINDOW).map(|partition| Shard::new(topic, partition)).collect();
            let positions = store.positions(&window).await?;
            let last = window.iter().rfind(|shard| positions.get(shard).is_some_and(|at| at.tree_size > 0));
            let Some(last) = last else { break };
            count = last.partition + 1;
        }
        shards.extend((0..count).map(|partition| Shard::new(topic, partition)));
    }
    Ok(shards)
}

/// All of them, or the one that was asked for.
pub(super) fn chosen(known: &BTreeSet<Shard>, asked: Option<&str>) -> anyhow::Result<Vec<Shard>> {
    let Some(text) = asked else { return Ok(known.iter().copied().collect()) };
    let shard: Shard = text.parse().context("`--shard`")?;
    if !known.contains(&shard) {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        bail!("there is no shard {shard}: there are {}", names.join(", "));
    }
    Ok(vec![shard])
}
