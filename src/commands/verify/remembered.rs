//! What is remembered of the ledgers outside the data directory, compared with what they are now.

use super::consistency::open;
use crate::config::Config;
use crate::output::print_error;
use crate::roles::parts::Parts;
use ambit_ingest::origin;
use ambit_ledger::{CheckpointKey, LedgerError};
use ambit_schemas::Shard;
use std::collections::HashMap;

/// What is wrong, by shard, with sizes and times. A mirror that cannot be read is an error; Kafka need not run for a
/// verification, so it is only said that it was not asked.
pub(super) fn contradictions(
    config: &Config,
    shards: &[Shard],
    key: &CheckpointKey,
) -> anyhow::Result<Vec<String>> {
    let outside = Parts { config }.outside()?;
    let origins =
        shards.iter().map(|shard| origin(&config.ledger.log_name, *shard)).collect::<Result<Vec<_>, _>>()?;
    let mut in_kafka = outside.in_kafka(&origins, key).unwrap_or_else(|_| {
        print_error("note: Kafka does not answer, its checkpoints were not compared");
        HashMap::default()
    });
    let mut wrong = Vec::new();
    for (shard, origin) in shards.iter().zip(&origins) {
        let mut remembered: Vec<_> = outside.in_mirror(origin, key)?.into_iter().collect();
        remembered.extend(in_kafka.remove(origin.as_str()));
        if remembered.is_empty() {
            continue;
        }
        match open(config, *shard, key) {
            Ok(tree) => {
                let contradictions = remembered.iter().filter_map(|remembered| remembered.contradicts(&tree));
                wrong.extend(contradictions.map(|what| format!("{shard}: {what}")));
            }
            Err(error @ LedgerError::Read { .. }) => return Err(error.into()),
            // The report on the shard says what is wrong with its ledger.
            Err(_) => {}
        }
    }
    Ok(wrong)
}
