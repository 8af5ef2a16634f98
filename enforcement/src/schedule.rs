//! When to try again, and when to give up.

use rand::Rng;
use std::time::{Duration, SystemTime};

/// Pauses after each failed try: the first tries come within a second, because a revocation is worth most then.
const PAUSES: [Duration; 9] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(6),
    Duration::from_hours(24),
];
/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What showed that a revocation has its effect (INVARIANT E-2), as a sentence without names or secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence(pub String);

/// How one try went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered with this status, and perhaps asked to wait.
    Status {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// There was no answer; the error is from a closed list.
    Failed(&'static str),
    /// What was asked for is done, as the receiver says; with evidence, where its effect was looked for and seen.
    Done {
        /// The HTTP status.
        status: u16,
        /// What showed the effect.
        evidence: Option<Evidence>,
    },
    /// It will not be done, however often it is asked for; the class is from a closed list.
    Refused {
        /// The HTTP status, if there was an answer.
        status: Option<u16>,
        /// Why not.
        class: &'static str,
    },
    /// It may be done later; the class is from a closed list.
    Later {
        /// The HTTP status, if there was an answer.
        status: Option<u16>,
        /// Why not yet.
        class: &'static str,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    /// HTTP status and class of error, as an attempt tells them.
    pub fn told(&self) -> (Option<u16>, Option<&'static str>) {
        match self {
            Self::Status { status, .. } | Self::Done { status, .. } => (Some(*status), None),
            Self::Failed(class) => (None, Some(*class)),
            Self::Refused { status, class } | Self::Later { status, class, .. } => (*status, Some(*class)),
        }
    }
}

/// What to do after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It was taken.
    Acknowledged,
    /// Try again after this pause.
    Retry(Duration),
    /// Give up.
    DeadLetter(&'static str),
}

/// What to do after the try of that number, from 1. `jitter` is between 0 and 1.
pub fn next(outcome: &Outcome, number: u32, jitter: f64) -> Next {
    let retry_after = match outcome {
        Outcome::Status { status: 200..=299, .. } | Outcome::Done { .. } => return Next::Acknowledged,
        Outcome::Refused { class, .. } => return Next::DeadLetter(class),
        Outcome::Status { status: 410, .. } => return Next::DeadLetter("gone"),
        Outcome::Status { status: 300..=399, .. } => return Next::DeadLetter("redirect"),
        Outcome::Status { status: 408 | 425 | 429 | 500..=599, retry_after }
        | Outcome::Later { retry_after, .. } => *retry_after,
        Outcome::Status { .. } => return Next::DeadLetter("refused"),
        Outcome::Failed("refused_address") => return Next::DeadLetter("refused_address"),
        Outcome::Failed(_) => None,
    };
    let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let Some(pause) = PAUSES.get(index) else { return Next::DeadLetter("exhausted") };
    let spread = pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0);
    Next::Retry(retry_after.map_or(spread, |asked| asked.min(RETRY_AFTER_MAX).max(spread)))
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3). One that is past asks for nothing.
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

/// A fresh jitter.
pub(crate) fn jitter() -> f64 {
    rand::rng().random_range(0.0..1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_begin_in_milliseconds_and_end_after_a_day() {
        let down = Outcome::Failed("connect");
        assert_eq!(next(&down, 1, 0.0), Next::Retry(Duration::from_millis(250)));
        assert_eq!(next(&down, 9, 0.0), Next::Retry(Duration::from_hours(24)));
        assert_eq!(next(&down, 10, 0.0), Next::DeadLetter("exhausted"));
        assert!(matches!(next(&down, 2, 1.0), Next::Retry(pause) if pause == Duration::from_millis(1_250)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Fri, 27 Nov 2026 16:00:00 GMT").unwrap();
        let asked = |text: &str| retry_after(text, now);
        assert_eq!(asked("120"), Some(Duration::from_mins(2)));
        assert_eq!(asked(" Fri, 27 Nov 2026 16:00:30 GMT "), Some(Duration::from_secs(30)));
        for none in ["Fri, 27 Nov 2026 15:59:59 GMT", "-1", "1.5", "soon", ""] {
            assert_eq!(asked(none), None, "{none}");
        }
    }

    #[test]
    fn answers_decide() {
        let status = |status, retry_after| next(&Outcome::Status { status, retry_after }, 1, 0.0);
        assert_eq!(status(204, None), Next::Acknowledged);
        assert_eq!(status(410, None), Next::DeadLetter("gone"));
        assert_eq!(status(302, None), Next::DeadLetter("redirect"));
        assert_eq!(status(401, None), Next::DeadLetter("refused"));
        assert_eq!(status(429, Some(Duration::from_secs(9))), Next::Retry(Duration::from_secs(9)));
        assert_eq!(status(503, Some(Duration::from_hours(99))), Next::Retry(RETRY_AFTER_MAX));
    }
}
