//! Questions alike stand as one event: a console that asks every few seconds would bury what people ask.

use crate::trail::Asked;
use ambit_schemas::Timestamp;
use ambit_schemas::trail::{Outcome, QueryRecord};
use std::collections::HashMap;

/// Most questions whose repetitions are waited for; what comes beyond is recorded each time.
const OPEN_MAX: usize = 4_096;

/// What makes two questions alike: author, roles, tenant, route, digest, and whether something was taken out.
type Key = (String, String, Option<String>, String, String, bool);

#[derive(Debug)]
struct Window {
    since: Timestamp,
    repeated: Option<Asked>,
}

/// Folds questions alike. The first is let through at once, its repetitions within the time are one.
#[derive(Debug)]
pub struct Fold {
    within_us: i64,
    open: HashMap<Key, Window>,
}

impl Fold {
    /// Folds what is asked within so many seconds.
    pub fn new(seconds: u64) -> Self {
        let within_us = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Self { within_us, open: HashMap::new() }
    }

    /// Takes a question; gives back what is to be recorded now.
    pub fn take(&mut self, asked: Asked) -> Option<Asked> {
        let record = &asked.record;
        let key = (
            record.author.to_string(),
            record.role.clone(),
            record.scope.as_ref().map(ToString::to_string),
            record.route.clone(),
            record.query_sha256.clone(),
            asked.exported,
        );
        if let Some(window) = self.open.get_mut(&key) {
            match &mut window.repeated {
                Some(repeated) => merge(&mut repeated.record, record),
                none => *none = Some(asked),
            }
            return None;
        }
        if self.within_us > 0 && self.open.len() < OPEN_MAX {
            self.open.insert(key, Window { since: asked.at, repeated: None });
        }
        Some(asked)
    }

    /// What was repeated, once its time is over.
    pub fn due(&mut self, now: Timestamp) -> Vec<Asked> {
        let within = self.within_us;
        let over = self.open.extract_if(|_, window| !(0..within).contains(&now.micros_since(window.since)));
        over.filter_map(|(_, window)| window.repeated).collect()
    }

    /// All that was repeated, at the end.
    pub fn finish(&mut self) -> Vec<Asked> {
        self.open.drain().filter_map(|(_, window)| window.repeated).collect()
    }
}

fn merge(into: &mut QueryRecord, other: &QueryRecord) {
    into.times = into.times.saturating_add(other.times);
    into.rows = into.rows.saturating_add(other.rows);
    into.bytes = into.bytes.saturating_add(other.bytes);
    into.duration_us = into.duration_us.saturating_add(other.duration_us);
    into.status = into.status.max(other.status);
    into.from = into.from.zip(other.from).map(|(a, b)| a.min(b));
    into.to = into.to.zip(other.to).map(|(a, b)| a.max(b));
    if rank(other.outcome) > rank(into.outcome) {
        into.outcome = other.outcome;
    }
}

const fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Complete => 0,
        Outcome::Cancelled => 1,
        Outcome::Refused => 2,
        Outcome::Failed => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::id::PrincipalId;

    fn asked(author: &str, second: i64) -> Asked {
        let at = Timestamp::from_micros(second * 1_000_000);
        Asked {
            at,
            exported: false,
            credential: None,
            record: QueryRecord {
                author: PrincipalId::try_from(author).unwrap(),
                role: "analyst".into(),
                scope: None,
                route: "GET /api/v1/events".into(),
                query_sha256: "00".into(),
                from: Some(at),
                to: None,
                times: 1,
                rows: 2,
                bytes: 10,
                status: 200,
                outcome: Outcome::Complete,
                duration_us: 5,
            },
        }
    }

    #[test]
    fn repetitions_stand_as_one_with_their_count_and_nothing_is_lost() {
        let mut fold = Fold::new(60);
        assert_eq!(fold.take(asked("sam", 0)), Some(asked("sam", 0)));
        for second in 1..=10 {
            assert_eq!(fold.take(asked("sam", second)), None);
        }
        assert!(fold.take(asked("kim", 5)).is_some(), "another author's question is another");
        let failed = Asked {
            record: QueryRecord { outcome: Outcome::Failed, status: 500, ..asked("sam", 11).record },
            ..asked("sam", 11)
        };
        assert_eq!(fold.take(failed), None);
        assert_eq!(fold.due(Timestamp::from_micros(59_000_000)), []);
        let due = fold.due(Timestamp::from_micros(60_000_000));
        let [one] = due.as_slice() else { panic!("{due:?}") };
        let record = &one.record;
        assert_eq!((record.times, record.rows, record.bytes, record.duration_us), (11, 22, 110, 55));
        assert_eq!((record.status, record.outcome, record.to), (500, Outcome::Failed, None));
        assert_eq!((one.at.micros(), record.from.unwrap().micros()), (1_000_000, 1_000_000));
        assert!(fold.take(asked("sam", 61)).is_some(), "a new time begins");
        assert!(fold.take(asked("sam", 62)).is_none());
        assert_eq!(fold.finish().len(), 1);
        let mut each = Fold::new(0);
        assert!(each.take(asked("sam", 0)).is_some() && each.take(asked("sam", 0)).is_some());
    }
}
