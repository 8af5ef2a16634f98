//! What librdkafka says of itself. While no broker answers, every client says so many times a second; that is told once,
//! by [`crate::Health`], and here it is debugging. The rest comes at most once a minute of each kind.

#![allow(clippy::wildcard_enum_match_arm, reason = "librdkafka's error codes are an open list")]

use crate::error::Error;
use crate::options::KafkaOptions;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one kind of line may come.
const AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Most kinds of lines that are told apart; librdkafka has about a hundred.
const KINDS_MAX: usize = 256;

static TOLD: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

/// The context of clients that need nothing else. Keeps the last reason why a broker could not be reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quiet(Arc<Mutex<Option<String>>>);

impl Quiet {
    fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        log(level, kind, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down says less than why the last one is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Quiet {}

/// Most of what librdkafka has to say that is taken up at once.
const SAYINGS_MAX: usize = 64;

/// A client that only asks. A consumer without a subscription: of the others one cannot learn why a broker is not
/// reached.
pub(crate) struct Asking(BaseConsumer<Quiet>);

impl Asking {
    pub(crate) fn new(options: &KafkaOptions, client_id: &str) -> Result<Self, Error> {
        let mut config = options.client(client_id)?;
        config.set("group.id", client_id).set("enable.auto.commit", "false");
        Ok(Self(config.create_with_context(Quiet::default()).map_err(Error::Client)?))
    }

    /// Asks for the brokers' topics, all or one. Blocks for up to `within`.
    pub(crate) fn metadata(&self, topic: Option<&str>, within: Duration) -> Result<Metadata, KafkaError> {
        self.0.fetch_metadata(topic, within)
    }

    /// Why a broker could not be reached last, as librdkafka has it.
    pub(crate) fn reason(&self) -> Option<String> {
        // Each poll takes one event, and also gives nothing when that was a line for the log.
        for _ in 0..SAYINGS_MAX {
            drop(self.0.poll(Duration::ZERO));
        }
        self.0.context().reason()
    }
}

/// Logs a line of librdkafka.
pub(crate) fn log(level: RDKafkaLogLevel, kind: &str, line: &str) {
    // FAIL: a connection; ERROR: what the client is told by a callback as well.
    if matches!(kind, "FAIL" | "ERROR") || !is_new(kind, Instant::now()) {
        tracing::debug!(kind, line, "librdkafka");
        return;
    }
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(kind, line, "librdkafka"),
        RDKafkaLogLevel::Warning => tracing::warn!(kind, line, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(kind, line, "librdkafka");
        }
    }
}

fn is_new(kind: &str, now: Instant) -> bool {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.get(kind).is_some_and(|last| now.saturating_duration_since(*last) < AGAIN_AFTER) {
        return false;
    }
    if told.len() < KINDS_MAX {
        told.insert(kind.to_owned(), now);
    }
    true
}

/// Whether an error says no more than that a broker cannot be reached: librdkafka tries again by itself.
pub(crate) fn is_connection(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_line_comes_once_a_minute() {
        let now = Instant::now();
        assert!(is_new("TEST-A", now));
        assert!(is_new("TEST-B", now));
        assert!(!is_new("TEST-A", now + Duration::from_secs(59)));
        assert!(is_new("TEST-A", now + Duration::from_secs(61)));
    }
}
