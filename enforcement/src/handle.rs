//! What enforcement tells others.

use ambit_schemas::id::ReceiverId;
use ambit_schemas::measure::{Histogram, Taken};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what cannot be undone is an alarm.
const ALARM: Duration = Duration::from_hours(1);

/// Of how many revocations per receiver the time to effect is kept.
const SAMPLES: usize = 1_024;

/// A label's value as Prometheus wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A cheap clone; survives restarts of the service.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    findings: AtomicU64,
    responses: AtomicU64,
    attempts: AtomicU64,
    acknowledged: AtomicU64,
    dead: AtomicU64,
    attempt_us: AtomicU64,
    attempt_times: Histogram,
    trouble: Mutex<Option<String>>,
    effective: Mutex<BTreeMap<ReceiverId, VecDeque<u64>>>,
    confirmed: AtomicU64,
    ineffective: AtomicU64,
    open_watches: AtomicU64,
    kept_watches: AtomicU64,
    stopped: Mutex<Option<String>>,
    policy: Mutex<Option<String>>,
    lost: AtomicU64,
    alarm: Mutex<Option<(Instant, String)>>,
}

/// How long it took until revocations were effective: from the decision to the moment after which no use was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effectiveness {
    /// Through whom.
    pub receiver: ReceiverId,
    /// Of how many revocations: the latest, at most 1,024.
    pub count: usize,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

/// The value below which so many of a thousand lie (nearest rank).
fn quantile(sorted: &[u64], permille: usize) -> u64 {
    let rank = (sorted.len() * permille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl Handle {
    /// What this receiver acknowledged is effective; a revocation took so many microseconds until then.
    pub(crate) fn effective(&self, receiver: &ReceiverId, micros: Option<u64>) {
        self.0.confirmed.fetch_add(1, Ordering::Relaxed);
        let Some(micros) = micros else { return };
        let mut all = self.0.effective.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = all.entry(receiver.clone()).or_default();
        if latest.len() >= SAMPLES {
            latest.pop_front();
        }
        latest.push_back(micros);
    }

    pub(crate) fn ineffective(&self) {
        self.0.ineffective.fetch_add(1, Ordering::Relaxed);
    }

    /// Revocations that are watched: not judged yet, and effective so far.
    pub(crate) fn watching(&self, open: usize, kept: usize) {
        self.0.open_watches.store(open as u64, Ordering::Relaxed);
        self.0.kept_watches.store(kept as u64, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self, sentence: Option<String>) {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    pub(crate) fn policy_trouble(&self, sentence: Option<String>) {
        *self.0.policy.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    /// Since when, by whom and why automatic revocation is off; nothing while it is on.
    pub fn stopped_now(&self) -> Option<String> {
        self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long revocations took to be effective since the start, by receiver.
    pub fn effectiveness(&self) -> Vec<Effectiveness> {
        let all = self.0.effective.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.into_iter()
            .map(|(receiver, latest)| {
                let mut sorted: Vec<u64> = latest.into();
                sorted.sort_unstable();
                let (p50_us, p99_us) = (quantile(&sorted, 500), quantile(&sorted, 990));
                Effectiveness { receiver, count: sorted.len(), p50_us, p99_us }
            })
            .collect()
    }

    /// Figures that go up and down, with the names, labels and units that metrics have.
    pub fn gauges(&self) -> Vec<(String, u64)> {
        let mut all = vec![
            ("ambit_enforcement_watches_open".to_owned(), self.0.open_watches.load(Ordering::Relaxed)),
            ("ambit_enforcement_watches_kept".to_owned(), self.0.kept_watches.load(Ordering::Relaxed)),
            ("ambit_enforcement_stopped".to_owned(), u64::from(self.stopped_now().is_some())),
        ];
        for of in self.effectiveness() {
            for (quantile, value) in [("0.5", of.p50_us), ("0.99", of.p99_us)] {
                let labels =
                    format!("receiver=\"{}\",quantile=\"{quantile}\"", escaped(of.receiver.as_str()));
                all.push((format!("ambit_enforcement_effective_microseconds{{{labels}}}"), value));
            }
        }
        all
    }

    pub(crate) fn taken(&self, findings: usize, responses: usize) {
        self.0.findings.fetch_add(findings as u64, Ordering::Relaxed);
        self.0.responses.fetch_add(responses as u64, Ordering::Relaxed);
    }

    pub(crate) fn attempted(&self, took: Duration) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        self.0.attempt_times.observe(took);
        self.0.attempt_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long tries to deliver took.
    pub fn attempt_times(&self) -> Taken {
        self.0.attempt_times.taken()
    }

    pub(crate) fn acknowledged(&self) {
        self.0.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dead_lettered(&self) {
        self.0.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn trouble(&self, sentence: Option<String>) {
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    /// Findings that were never acted upon, or a topic that is not the one that was read: an alarm for a while. The
    /// notice of it is stored for ever.
    pub(crate) fn alarm(&self, lost: u64, sentence: String) {
        tracing::error!(sentence, "enforcement needs attention");
        self.0.lost.fetch_add(lost, Ordering::Relaxed);
        *self.0.alarm.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), sentence));
    }

    /// What is wrong, if something is.
    pub fn trouble_now(&self) -> Option<String> {
        let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let alarm = self.0.alarm.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let policy = self.0.policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        trouble
            .or(policy)
            .or_else(|| alarm.filter(|(since, _)| since.elapsed() < ALARM).map(|(_, sentence)| sentence))
    }

    /// Counters since the start, with the names and units that metrics have.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("ambit_enforcement_findings_total", read(&self.0.findings)),
            ("ambit_enforcement_lost_findings_total", read(&self.0.lost)),
            ("ambit_enforcement_responses_total", read(&self.0.responses)),
            ("ambit_enforcement_attempts_total", read(&self.0.attempts)),
            ("ambit_enforcement_attempt_microseconds_total", read(&self.0.attempt_us)),
            ("ambit_enforcement_acknowledged_total", read(&self.0.acknowledged)),
            ("ambit_enforcement_dead_lettered_total", read(&self.0.dead)),
            ("ambit_enforcement_confirmed_total", read(&self.0.confirmed)),
            ("ambit_enforcement_ineffective_total", read(&self.0.ineffective)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_effect_is_kept_by_receiver_and_bounded() {
        let handle = Handle::default();
        let idp = ReceiverId::try_from("idp \"1\"").unwrap();
        for micros in 1..=2_000 {
            handle.effective(&idp, Some(micros));
        }
        let told = handle.effectiveness();
        assert_eq!((told.len(), told[0].count), (1, SAMPLES));
        assert_eq!((told[0].p50_us, told[0].p99_us), (976 + 512, 976 + 1_014));
        let name = "ambit_enforcement_effective_microseconds{receiver=\"idp \\\"1\\\"\",quantile=\"0.99\"}";
        assert!(handle.gauges().iter().any(|(found, value)| found == name && *value == 1_990));
        assert_eq!((quantile(&[], 500), quantile(&[7], 990)), (0, 7));
    }
}
