//! How this installation stands with its witnesses: what they have cosigned, what they lack, what they contradict.

use ambit_schemas::Shard;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How it stands with all of them. A cheap clone.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    witnesses: Arc<Mutex<BTreeMap<String, One>>>,
    lag_after: Arc<AtomicU64>,
}

/// How it stands with one.
#[derive(Debug, Default)]
struct One {
    cosignatures: u64,
    failures: u64,
    /// Whether the last try failed: said once.
    failing: bool,
    shards: BTreeMap<Shard, Lack>,
}

#[derive(Debug, Default)]
struct Lack {
    signed: u64,
    cosigned: u64,
    /// Since when it lacks something, in seconds since 1970.
    since: Option<u64>,
    /// What it contradicts, for people.
    contradicted: Option<String>,
    /// Why it did not cosign when it was asked last, for people.
    refused: Option<String>,
}

impl One {
    fn oldest(&self) -> Option<(Shard, u64)> {
        let lacks = self.shards.iter().filter_map(|(shard, lack)| Some((*shard, lack.since?)));
        lacks.min_by_key(|(_, since)| *since)
    }
}

impl Standing {
    /// After how many seconds a witness that lacks something is told of.
    pub(super) fn lag_after(&self, seconds: u64) {
        self.lag_after.store(seconds, Ordering::Relaxed);
    }

    /// So many leaves of a shard are signed.
    pub(super) fn signed(&self, witness: &str, shard: Shard, size: u64, now: u64) {
        self.with(witness, |one| {
            let lack = one.shards.entry(shard).or_default();
            lack.signed = lack.signed.max(size);
            if lack.cosigned < lack.signed {
                lack.since.get_or_insert(now);
            }
        });
    }

    /// So many leaves of a shard are cosigned. What was signed while the witness was asked is lacking from now on only.
    pub(super) fn cosigned(&self, witness: &str, shard: Shard, size: u64) {
        let (mended, reached) = self.with(witness, |one| {
            one.cosignatures += 1;
            let reached = std::mem::take(&mut one.failing);
            let lack = one.shards.entry(shard).or_default();
            lack.cosigned = size;
            lack.signed = lack.signed.max(size);
            (lack.since, lack.refused) = (None, None);
            (lack.contradicted.take().is_some(), reached)
        });
        if mended {
            tracing::warn!(witness, %shard, "the witness contradicts the ledger no more");
        }
        if reached {
            tracing::info!(witness, "the witness answers again");
        }
    }

    /// A witness remembers what the ledger does not hold.
    pub(super) fn contradicted(&self, witness: &str, shard: Shard, what: &str) {
        let is_new = self.with(witness, |one| {
            let lack = one.shards.entry(shard).or_default();
            lack.contradicted.replace(what.to_owned()).as_deref() != Some(what)
        });
        if is_new {
            tracing::error!(witness, %shard, what, "a witness contradicts the ledger");
        }
    }

    /// A witness answered and did not cosign, or this shard could not be asked for.
    pub(super) fn refused(&self, witness: &str, shard: Shard, why: &str) {
        let is_new = self.with(witness, |one| {
            one.failures += 1;
            let lack = one.shards.entry(shard).or_default();
            lack.refused.replace(why.to_owned()).as_deref() != Some(why)
        });
        if is_new {
            tracing::warn!(witness, %shard, "{why}: asked again until it is cosigned");
        }
    }

    /// A witness could not be asked.
    pub(crate) fn failed(&self, witness: &str, why: &str) {
        let is_new = self.with(witness, |one| {
            one.failures += 1;
            !std::mem::replace(&mut one.failing, true)
        });
        if is_new {
            tracing::warn!(witness, "{why}: asked again until it answers");
        }
    }

    /// What contradicts the ledger, for people: it was forked, rolled back or rewritten.
    pub fn contradictions(&self) -> Option<String> {
        let witnesses = self.witnesses.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks = witnesses.values().flat_map(|one| one.shards.values());
        let all: Vec<&str> = lacks.filter_map(|lack| lack.contradicted.as_deref()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Witnesses that have lacked something for too long, for people.
    pub fn lagging(&self, now: u64) -> Vec<String> {
        let after = self.lag_after.load(Ordering::Relaxed);
        let witnesses = self.witnesses.lock().unwrap_or_else(PoisonError::into_inner);
        let told = witnesses.iter().filter_map(|(name, one)| {
            let (shard, since) = one.oldest()?;
            let seconds = now.saturating_sub(since);
            (seconds > after).then(|| {
                format!(
                    "the witness {name} has cosigned nothing new of {shard} for {seconds} seconds: is it there, and does \
                     it know this log?"
                )
            })
        });
        told.collect()
    }

    /// Figures for metrics, with their labels.
    pub fn figures(&self, now: u64) -> Vec<(String, u64)> {
        let witnesses = self.witnesses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for (name, one) in &*witnesses {
            let contradicted = one.shards.values().filter(|lack| lack.contradicted.is_some()).count();
            let lag = one.oldest().map_or(0, |(_, since)| now.saturating_sub(since));
            let leaves = one.shards.values().map(|lack| lack.signed.saturating_sub(lack.cosigned)).sum();
            let label = label(name);
            for (family, value) in [
                ("cosignatures_total", one.cosignatures),
                ("cosignature_failures_total", one.failures),
                ("cosignature_contradicted_shards", contradicted as u64),
                ("cosignature_lag_seconds", lag),
                ("cosignature_lag_leaves", leaves),
            ] {
                all.push((format!("ambit_{family}{{witness=\"{label}\"}}"), value));
            }
        }
        all
    }

    fn with<R>(&self, witness: &str, change: impl FnOnce(&mut One) -> R) -> R {
        let mut witnesses = self.witnesses.lock().unwrap_or_else(PoisonError::into_inner);
        change(witnesses.entry(witness.to_owned()).or_default())
    }
}

/// A name as the value of a label (Prometheus text format).
fn label(name: &str) -> String {
    let mut label = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' | '"' => write!(label, "\\{c}").unwrap_or_default(),
            _ => label.push(c),
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::Topic;

    const SHARD: Shard = Shard::new(Topic::Events, 0);

    #[test]
    fn a_witness_that_lags_is_told_of_and_one_that_contradicts_is_an_alarm() {
        let standing = Standing::default();
        standing.lag_after(60);
        let other = Shard::new(Topic::Events, 1);
        standing.signed("w", SHARD, 10, 1_000);
        standing.signed("w", SHARD, 20, 1_050);
        standing.signed("w", other, 5, 1_055);
        assert!(standing.lagging(1_060).is_empty());
        standing.failed("w", "gone");
        assert!(standing.lagging(1_061)[0].contains("for 61 seconds"));
        standing.cosigned("w", SHARD, 20);
        assert!(standing.lagging(1_100).is_empty(), "the other one lacks for less");
        standing.cosigned("w", other, 5);
        standing.signed("w", other, 5, 9_000);
        assert!(standing.lagging(u64::MAX).is_empty(), "nothing is lacking");

        assert_eq!(standing.contradictions(), None);
        standing.contradicted("w", SHARD, "rolled back");
        assert_eq!(standing.contradictions().unwrap(), "rolled back");
        let figures: BTreeMap<String, u64> = standing.figures(1_100).into_iter().collect();
        assert_eq!(figures["ambit_cosignature_contradicted_shards{witness=\"w\"}"], 1);
        assert_eq!(figures["ambit_cosignatures_total{witness=\"w\"}"], 2);
        assert_eq!(figures["ambit_cosignature_failures_total{witness=\"w\"}"], 1);
        standing.cosigned("w", SHARD, 21);
        assert_eq!(standing.contradictions(), None);
    }

    #[test]
    fn a_name_cannot_end_its_label() {
        assert_eq!(label("a\"b\\c"), "a\\\"b\\\\c");
    }
}
