//! Puts the customer's rules in force: writes the set into every shard of ours that is judged by another one
//! (INVARIANT A-1). What stands in the shard decides, so nothing is lost when this process ends in between.

use super::{Analyze, Work};
use crate::rules::Watch;
use ambit_schemas::event::Body;
use ambit_schemas::notice::notice;
use ambit_schemas::ruleset::RulesActivated;
use ambit_schemas::{Shard, encode};
use anyhow::Context;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Who says so.
const SOURCE: &str = "ambit/analyzer";

/// Which set was written into which shard, so that each is written once.
#[derive(Debug, Default)]
pub(super) struct Activations {
    written: HashMap<Shard, Arc<RulesActivated>>,
    fault: Option<String>,
}

impl Activations {
    /// Shards that come anew are looked at anew.
    pub(super) fn forget(&mut self, shards: &[Shard]) {
        self.written.retain(|shard, _| !shards.contains(shard));
    }
}

impl Analyze {
    /// Writes the set that is to be in force into the shards where it is not.
    pub(super) fn activate(&self, watch: &Watch, work: &mut Work) -> anyhow::Result<()> {
        let seen = watch.seen();
        if work.activations.fault != seen.fault {
            self.counters.alarms.rules(seen.fault.clone());
            work.activations.fault.clone_from(&seen.fault);
        }
        let Some(set) = seen.set else { return Ok(()) };
        let wanted = (!set.documents.is_empty()).then_some(set.digest.as_str());
        for (shard, analyzer) in &work.states {
            let written = work.activations.written.get(shard);
            if written.is_some_and(|written| Arc::ptr_eq(written, &set)) {
                continue;
            }
            if analyzer.rules_digest() != wanted {
                // The same set may be put in force again later, and is another event then.
                let id = format!("rules-{shard}-{}-{}", set.digest, analyzer.next_offset());
                let body = Body::RulesActivated(Box::new(RulesActivated::clone(&set)));
                let event =
                    notice(SOURCE, &id, (self.clock)(), body).context("a set of rules cannot be written")?;
                let outgoing = encode(&event).context("a set of rules cannot be written")?;
                let pending = self.producer.enqueue_to(shard.partition, outgoing);
                work.pending.push_back(pending.context("a set of rules cannot be sent to Kafka")?);
                self.counters.rule_sets.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%shard, digest = set.digest, "rules put in force");
            }
            work.activations.written.insert(*shard, Arc::clone(&set));
        }
        Ok(())
    }
}
