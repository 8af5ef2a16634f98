//! Whether any broker answers: asked every second by one client, told once per change.

use crate::error::Error;
use crate::logging::Asking;
use crate::options::KafkaOptions;
use ambit_schemas::{Timestamp, Topic};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a broker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Questions in a row without an answer after which Kafka counts as away: one may get lost when a broker restarts.
const UNANSWERED: u32 = 2;

/// Whether any broker answers. A cheap clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    unanswered: u32,
    since: Option<Timestamp>,
    trouble: Option<String>,
}

impl Health {
    /// What is wrong, with what to check; nothing when a broker answers, or when nobody has asked yet.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Since when no broker answers.
    pub fn away_since(&self) -> Option<Timestamp> {
        let state = self.state();
        state.trouble.as_ref().and(state.since)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an answer, or of why there was none. Returns what to tell when that changes something.
    fn note(&self, servers: &str, answered: Result<(), String>, now: Timestamp) -> Option<Change> {
        let mut state = self.state();
        let Err(reason) = answered else {
            let was_away = state.trouble.take().is_some();
            let since = state.since.take();
            state.unanswered = 0;
            return was_away.then(|| Change::Back(since.unwrap_or(now)));
        };
        let since = *state.since.get_or_insert(now);
        state.unanswered = state.unanswered.saturating_add(1);
        if state.unanswered < UNANSWERED {
            return None;
        }
        let sentence = format!(
            "no Kafka broker of {servers} has answered since {since}: check that they run, that \
             `kafka.bootstrap_servers` is right and `kafka.properties` fit ({reason})"
        );
        let changed = state.trouble.is_none();
        state.trouble = Some(sentence.clone());
        changed.then_some(Change::Away(sentence))
    }
}

enum Change {
    Away(String),
    Back(Timestamp),
}

/// Asks the brokers.
pub struct HealthProbe {
    client: Asking,
    servers: String,
    health: Health,
}

impl std::fmt::Debug for HealthProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthProbe").field("health", &self.health).finish_non_exhaustive()
    }
}

impl HealthProbe {
    /// A client that notes in `health` what it finds.
    pub fn new(options: &KafkaOptions, health: Health) -> Result<Self, Error> {
        let client = Asking::new(options, "ambit-health")?;
        Ok(Self { client, servers: options.bootstrap_servers.clone(), health })
    }

    /// Asks once, and tells the log when the state changes. Blocks for up to two seconds.
    pub fn ask(&self, clock: fn() -> Timestamp) {
        let answer = self.client.metadata(Some(Topic::Events.name()), ANSWER_WITHIN);
        let reason = self.client.reason();
        let answered = answer.map(drop).map_err(|error| reason.unwrap_or_else(|| error.to_string()));
        match self.health.note(&self.servers, answered, clock()) {
            Some(Change::Away(sentence)) => tracing::error!("{sentence}"),
            Some(Change::Back(since)) => {
                tracing::info!("Kafka answers again; it did not since {since}");
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_one_lost_answer_is_none() {
        let (health, at) = (Health::default(), Timestamp::from_micros);
        let away = |moment| health.note("k:9092", Err("refused".into()), at(moment));
        let back = |moment| health.note("k:9092", Ok(()), at(moment));
        assert!(back(0).is_none() && health.trouble().is_none());
        assert!(away(1_000_000).is_none() && health.trouble().is_none(), "one answer may get lost");
        assert!(back(2_000_000).is_none());
        assert!(away(3_000_000).is_none());
        assert!(
            matches!(away(4_000_000), Some(Change::Away(told)) if told.contains("k:9092") && told.contains("refused"))
        );
        assert!(away(5_000_000).is_none(), "told already");
        assert_eq!(health.away_since(), Some(at(3_000_000)));
        assert!(health.trouble().unwrap().contains("check that they run"));
        assert!(matches!(back(6_000_000), Some(Change::Back(since)) if since == at(3_000_000)));
        assert!(health.trouble().is_none() && health.away_since().is_none() && back(7_000_000).is_none());
    }
}
