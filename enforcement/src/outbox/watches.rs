//! Watches: revocations that were acknowledged, and what was seen of them; and what was seen of credentials and trees.

use super::{Failed, Outbox, execute, json, pauses, queue, set_position, value};
use crate::alive::{Alive, Watch, WatchOptions, WatchState};
use crate::error::Error;
use crate::records;
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{ReceiverId, ResponseId};
use ambit_schemas::response::{Action, Revocation};
use ambit_schemas::{Event, Shard, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use std::collections::BTreeSet;

/// How long what was seen of trees and of credentials without an end is kept, in microseconds: 30 days.
const KEEP_US: i64 = 30 * 86_400_000_000;
/// Most watches that are looked at; the oldest first.
const WATCHES_MAX: i64 = 50_000;
/// Writes a watch down as the watcher knows it. When a pause is over was perhaps learnt meanwhile, and stays.
const KEEPING_UNTIL: &str = "watch = json_patch(?, json_object('until', watch ->> '$.until'))";
/// Most changes that are noted one by one.
const CHANGED_MAX: usize = 10_000;

/// What was seen in events that is worth remembering.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    /// A credential: tenant, id, root task, until when it is valid.
    Credential(String, String, String, Option<Timestamp>),
    /// A task: tenant, root, task.
    Task(String, String, String),
}

/// What became of a watch.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// No use was seen; what is said of it.
    Effective(String),
    /// A use was seen.
    Alive(Alive),
}

/// What names a watch: the response, and who acknowledged it.
pub(crate) type WatchKey = (ResponseId, ReceiverId);

/// Which watches began or ended since the watcher looked.
#[derive(Debug, Default)]
pub(super) struct Changed {
    keys: BTreeSet<WatchKey>,
    /// All are to be read: nobody has looked yet, or there are too many to name.
    all: bool,
}

impl Changed {
    pub(super) const fn all() -> Self {
        Self { keys: BTreeSet::new(), all: true }
    }

    pub(super) fn extend(&mut self, keys: Vec<WatchKey>) {
        if !self.all {
            self.keys.extend(keys);
        }
        if self.keys.len() > CHANGED_MAX {
            *self = Self::all();
        }
    }
}

/// What the watcher has to know anew.
#[derive(Debug)]
pub(crate) enum News {
    /// These are all watches that are not over.
    All(Vec<(Watch, WatchState)>),
    /// These began or ended, and how they stand; nothing when they are gone.
    Some(Vec<(WatchKey, Option<(Watch, WatchState)>)>),
}

impl Outbox {
    /// Which watches began or ended since this was asked last; at first, which there are.
    pub(crate) fn news(&mut self, now: Timestamp) -> Result<News, Error> {
        let changed = std::mem::take(&mut self.changed);
        if changed.all {
            return self.watches(now).map(News::All);
        }
        let failed = self.failed("read");
        let sql = "SELECT watch, state FROM watches WHERE response_id = ?1 AND receiver = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let mut news = Vec::with_capacity(changed.keys.len());
        for key in changed.keys {
            let row = statement.query_row(params![key.0.as_str(), key.1.as_str()], stored).optional();
            news.push((key, row.map_err(&failed)?.flatten()));
        }
        Ok(News::Some(news))
    }

    /// The watches that are not over, with their state.
    pub(crate) fn watches(&self, now: Timestamp) -> Result<Vec<(Watch, WatchState)>, Error> {
        let failed = self.failed("read");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT watch, state FROM watches
                 WHERE state = 'open' OR (state = 'confirmed' AND ends_at > ?1) ORDER BY ends_at LIMIT ?2",
            )
            .map_err(&failed)?;
        let rows = statement.query_map(params![now.micros(), WATCHES_MAX], stored).map_err(&failed)?;
        let watches: Vec<_> = rows.collect::<Result<_, _>>().map_err(&failed)?;
        Ok(watches.into_iter().flatten().collect())
    }

    /// How many watches are in each state.
    pub fn watch_counts(&self) -> Result<Vec<(String, u64)>, Error> {
        let failed = self.failed("read");
        let mut statement = self
            .connection
            .prepare_cached("SELECT state, count(*) FROM watches GROUP BY state ORDER BY state")
            .map_err(&failed)?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Remembers how far events were read, what was seen in them, and how watches stand.
    pub(crate) fn watched(
        &mut self,
        positions: &[(Shard, u64)],
        seen: &[Seen],
        watches: &[Watch],
        options: &WatchOptions,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write_repeatable(|transaction, failed| {
            for (shard, next) in positions {
                set_position(transaction, *shard, *next, failed)?;
            }
            for one in seen {
                remember(transaction, one, now, failed)?;
            }
            watches.iter().try_for_each(|watch| update(transaction, watch, options, failed))
        })
    }

    /// Writes down what became of a watch, and tells it. Of several workers, or one that was killed meanwhile, the ids of
    /// what they tell are the same.
    pub(crate) fn conclude(&mut self, watch: &Watch, told: &Told, now: Timestamp) -> Result<bool, Error> {
        // What is told is made of events that would be read again, and has the same ids then.
        self.write_repeatable(|transaction, failed| match told {
            Told::Effective(evidence) => {
                let changed = set_state(transaction, watch, WatchState::Confirmed, "state = 'open'", failed)?;
                if changed > 0 {
                    let event = records::event_of_effect(watch, None, evidence.clone(), now);
                    queue(transaction, &[event], failed)?;
                }
                Ok(changed > 0)
            }
            Told::Alive(alive) => {
                let sql = "SELECT count(*) FROM watches WHERE response_id = ?1 AND state = 'failed'";
                let before: i64 =
                    value(transaction, sql, [watch.response_id.as_str()], failed)?.unwrap_or_default();
                let changed = set_state(transaction, watch, WatchState::Failed, "state <> 'failed'", failed)?;
                if changed > 0 {
                    let evidence = watch.evidence_of_use(alive);
                    queue(
                        transaction,
                        &[records::event_of_effect(watch, Some(alive), evidence, now)],
                        failed,
                    )?;
                    // Of several receivers that acknowledged in vain, the first is enough of a finding.
                    if before == 0 {
                        queue(transaction, &[records::finding_alive(watch, alive)], failed)?;
                    }
                }
                Ok(changed > 0)
            }
        })
    }

    /// Forgets what cannot matter any more.
    pub(crate) fn forget_old(&mut self, now: Timestamp) -> Result<(), Error> {
        self.write_repeatable(|transaction, failed| {
            let old = now.micros() - KEEP_US;
            for sql in [
                "DELETE FROM tasks WHERE seen_at < ?1",
                "DELETE FROM credentials WHERE seen_at < ?1 AND coalesce(valid_until, 0) < ?1",
                "DELETE FROM watches WHERE state <> 'open' AND ends_at < ?1",
            ] {
                transaction.execute(sql, [old]).map_err(failed)?;
            }
            Ok(())
        })
    }
}

/// A watch as the table has it; nothing when this version cannot read it.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Option<(Watch, WatchState)>> {
    let (watch, state): (String, String) = (row.get(0)?, row.get(1)?);
    let states = [WatchState::Open, WatchState::Confirmed, WatchState::Failed];
    let state = states.into_iter().find(|known| known.name() == state);
    Ok(serde_json::from_str(&watch).ok().zip(state))
}

pub(super) fn key(watch: &Watch) -> WatchKey {
    (watch.response_id.clone(), watch.receiver.clone())
}

/// Until when a credential of the finding is valid, as far as known.
pub(super) fn valid_until(
    transaction: &Transaction<'_>,
    finding: &Finding,
    failed: Failed<'_>,
) -> Result<Option<Timestamp>, Error> {
    let ids = serde_json::to_string(&finding.credentials).unwrap_or_default();
    let sql = "SELECT max(valid_until) FROM credentials
               WHERE tenant = ?1 AND credential IN (SELECT value FROM json_each(?2))";
    let until: Option<Option<i64>> = value(transaction, sql, params![finding.tenant.as_str(), ids], failed)?;
    Ok(until.flatten().map(Timestamp::from_micros))
}

/// A revocation or a pause was delivered: it is watched from here on. A pause that is over, or of nobody, is not.
pub(super) fn open(
    transaction: &Transaction<'_>,
    event: &Event,
    revocation: &Revocation,
    partition: u32,
    options: &WatchOptions,
    failed: Failed<'_>,
) -> Result<(), Error> {
    // Versions before the loop was closed did not say what was acknowledged when.
    let (Some(action), Some(acked_at), Some(receiver)) =
        (revocation.action, revocation.acknowledged_at, revocation.receiver.clone())
    else {
        return Ok(());
    };
    let known = match action {
        Action::Pause => pauses::paused_until(transaction, &revocation.response_id, failed)?,
        Action::Restore
        | Action::Notify
        | Action::StepUp
        | Action::RevokeCredential
        | Action::RevokeTask
        | Action::RevokeTree => None,
    };
    let paused = revocation.until.into_iter().chain(known).min();
    let residual = revocation.residual_seconds.and_then(|seconds| i64::try_from(seconds).ok());
    let watch = Watch {
        response_id: revocation.response_id.clone(),
        finding_id: revocation.finding_id.clone(),
        receiver,
        action,
        tenant: event.tenant.clone(),
        target: revocation.target.clone(),
        agent: event.agent.clone(),
        task: event.task.clone(),
        partition,
        decided_at: revocation.decided_at.unwrap_or(acked_at),
        acked_at,
        round: revocation.round,
        last_use: None,
        refused: 0,
        valid_until: residual.map(|seconds| acked_at.plus_micros(seconds.saturating_mul(1_000_000))),
        asked: Vec::new(),
        until: paused,
        shown: revocation.evidence.clone(),
    };
    let nobody = watch.target.agent_uid.is_none() && watch.target.task_id.is_none();
    if action == Action::Pause && (nobody || watch.until.is_some_and(|until| until <= acked_at)) {
        return Ok(());
    }
    let (response, receiver) = (watch.response_id.as_str(), watch.receiver.as_str());
    let row = params![response, receiver, watch.ends_at(options).micros(), json(&watch)];
    execute(transaction, "INSERT OR IGNORE INTO watches VALUES (?1, ?2, 'open', ?3, ?4)", row, failed)
        .map(drop)
}

/// Another worker, or this one before, has found out. A delivery that was given up was never watched.
pub(super) fn close(
    transaction: &Transaction<'_>,
    revocation: &Revocation,
    effective: bool,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let Some(receiver) = &revocation.receiver else { return Ok(()) };
    let (state, from) = if effective {
        (WatchState::Confirmed, "state = 'open'")
    } else {
        (WatchState::Failed, "state <> 'failed'")
    };
    let sql = format!("UPDATE watches SET state = ?3 WHERE response_id = ?1 AND receiver = ?2 AND {from}");
    let row = params![revocation.response_id.as_str(), receiver.as_str(), state.name()];
    execute(transaction, &sql, row, failed).map(drop)
}

fn set_state(
    transaction: &Transaction<'_>,
    watch: &Watch,
    state: WatchState,
    from: &str,
    failed: Failed<'_>,
) -> Result<usize, Error> {
    let sql = format!(
        "UPDATE watches SET state = ?3, {} WHERE response_id = ?1 AND receiver = ?2 AND {from}",
        KEEPING_UNTIL.replace('?', "?4")
    );
    let row = params![watch.response_id.as_str(), watch.receiver.as_str(), state.name(), json(watch)];
    execute(transaction, &sql, row, failed)
}

fn update(
    transaction: &Transaction<'_>,
    watch: &Watch,
    options: &WatchOptions,
    failed: Failed<'_>,
) -> Result<(), Error> {
    let (response, receiver) = (watch.response_id.as_str(), watch.receiver.as_str());
    let row = params![response, receiver, json(watch), watch.ends_at(options).micros()];
    let sql = format!(
        "UPDATE watches SET {}, ends_at = ?4 WHERE response_id = ?1 AND receiver = ?2",
        KEEPING_UNTIL.replace('?', "?3")
    );
    execute(transaction, &sql, row, failed).map(drop)
}

fn remember(
    transaction: &Transaction<'_>,
    seen: &Seen,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<(), Error> {
    match seen {
        Seen::Credential(tenant, credential, root, until) => {
            let sql = "INSERT INTO credentials VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (tenant, credential)
                       DO UPDATE SET valid_until = coalesce(?4, valid_until), seen_at = ?5,
                       root = CASE WHEN root = '' THEN ?3 ELSE root END";
            let row = params![tenant, credential, root, until.map(Timestamp::micros), now.micros()];
            execute(transaction, sql, row, failed).map(drop)
        }
        Seen::Task(tenant, root, task) => {
            let sql = "INSERT INTO tasks VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET seen_at = ?4";
            execute(transaction, sql, params![tenant, root, task, now.micros()], failed).map(drop)
        }
    }
}
