//! What enforcement tells others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what cannot be undone is an alarm.
const ALARM: Duration = Duration::from_hours(1);

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
    trouble: Mutex<Option<String>>,
    lost: AtomicU64,
    alarm: Mutex<Option<(Instant, String)>>,
}

impl Handle {
    pub(crate) fn taken(&self, findings: usize, responses: usize) {
        self.0.findings.fetch_add(findings as u64, Ordering::Relaxed);
        self.0.responses.fetch_add(responses as u64, Ordering::Relaxed);
    }

    pub(crate) fn attempted(&self, took: Duration) {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        self.0.attempt_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
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
        trouble.or_else(|| alarm.filter(|(since, _)| since.elapsed() < ALARM).map(|(_, sentence)| sentence))
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
        ]
    }
}
