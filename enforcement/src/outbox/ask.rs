//! What people ordered and approved, and pauses that are over: carried out by the worker that owns the partition.

use super::take::carry_out;
use super::{Failed, Outbox, queue};
use crate::error::Error;
use crate::policy::{Decision, Policy};
use crate::records::{self, Case};
use ambit_schemas::Timestamp;
use ambit_schemas::finding::Finding;
use ambit_schemas::id::{PrincipalId, ResponseId};
use ambit_schemas::order::{Order, Pending, PolicyChange};
use ambit_schemas::response::{Action, Decided, PolicyRef};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;

/// Most orders, questions or pauses of one step.
const STEP_MAX: i64 = 256;
/// The fact that says which policy was told last.
const POLICY: &str = "policy";

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Responses that are new.
    pub responses: usize,
    /// Whether anything was written that has to be told.
    pub anything: bool,
}

impl Outbox {
    /// Carries out what is due of orders, approvals and ends of pauses in these partitions.
    pub fn attend(&mut self, ready: &BTreeSet<u32>, policy: &Policy, now: Timestamp) -> Result<Done, Error> {
        if !self.read().anything_to_attend(ready, now)? {
            return Ok(Done::default());
        }
        let ready = serde_json::to_string(ready).unwrap_or_default();
        self.write(|transaction, failed| {
            let responses = orders(transaction, &ready, policy, now, failed)?
                + approvals(transaction, &ready, policy, now, failed)?
                + pauses(transaction, &ready, policy, now, failed)?;
            Ok(Done { responses, anything: true })
        })
    }

    /// Tells that another policy holds, if it does.
    pub(crate) fn tell_policy(&mut self, digest: &str, now: Timestamp) -> Result<bool, Error> {
        let previous = self.fact(POLICY)?;
        if previous.as_deref() == Some(digest) {
            return Ok(false);
        }
        self.write(|transaction, failed| {
            super::set_fact(transaction, POLICY, digest, failed)?;
            let change = PolicyChange { digest: digest.to_owned(), previous };
            queue(transaction, &[records::event_of_policy(change, now)], failed)?;
            Ok(true)
        })
    }

    /// Since when, by whom and why automatic revocation is off.
    pub fn stopped(&self) -> Result<Option<String>, Error> {
        self.read().stopped()
    }
}

/// Rows of ids and documents of these partitions.
fn rows(
    transaction: &Transaction<'_>,
    sql: &str,
    ready: &str,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<Vec<(String, i64, String, String)>, Error> {
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map(params![ready, now.micros(), STEP_MAX], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn by_people(
    policy: &Policy,
    rule: &str,
    action: Action,
    authors: Vec<PrincipalId>,
    pause_seconds: Option<u32>,
) -> Decision {
    Decision {
        action,
        held_back: None,
        receivers: policy.receivers_for(action),
        policy: PolicyRef { digest: policy.digest().to_owned(), rule: rule.to_owned() },
        question: None,
        pause_seconds,
        authors,
    }
}

fn orders(
    transaction: &Transaction<'_>,
    ready: &str,
    policy: &Policy,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<usize, Error> {
    let sql = "SELECT response_id, partition, finding, decided FROM orders
               WHERE state = 'new' AND partition IN (SELECT value FROM json_each(?1)) AND ?2 > 0 LIMIT ?3";
    let mut new = 0;
    for (id, partition, finding, order) in rows(transaction, sql, ready, now, failed)? {
        let parsed = (serde_json::from_str::<Finding>(&finding), serde_json::from_str::<Order>(&order));
        if let (Ok(finding), Ok(order)) = parsed {
            let pause = order.until.and_then(|until| records::seconds_between(now, until));
            let pause = pause.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
            let pause = pause.filter(|_| order.action == Action::Pause);
            let decision = by_people(policy, "order", order.action, vec![order.author], pause);
            let case = Case { finding: &finding, response_id: &order.response_id, partition };
            new += usize::from(carry_out(transaction, &case, &decision, now, failed)?);
            if order.action == Action::Restore {
                lift(transaction, &finding, failed)?;
            }
        }
        transaction
            .execute("UPDATE orders SET state = 'done' WHERE response_id = ?1", [&id])
            .map_err(failed)?;
    }
    Ok(new)
}

/// Pauses that a person lifted do not end a second time.
fn lift(transaction: &Transaction<'_>, finding: &Finding, failed: Failed<'_>) -> Result<(), Error> {
    let sql = "UPDATE responses SET until = NULL WHERE action = 'pause' AND task = ?1
               AND decided ->> '$.target.agent_uid' IS ?2";
    let agent = finding.agent.as_ref().map(|agent| agent.uid.as_str());
    transaction.execute(sql, params![super::take::task_of(finding), agent]).map(drop).map_err(failed)
}

fn approvals(
    transaction: &Transaction<'_>,
    ready: &str,
    policy: &Policy,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<usize, Error> {
    let sql = "SELECT q.response_id, q.partition, q.pending, r.finding FROM questions q JOIN responses r USING (response_id)
               WHERE q.state = 'waiting' AND r.finding <> '' AND ?2 > 0
               AND q.partition IN (SELECT value FROM json_each(?1)) LIMIT ?3";
    let mut new = 0;
    for (id, partition, pending, finding) in rows(transaction, sql, ready, now, failed)? {
        let parsed = (serde_json::from_str::<Finding>(&finding), serde_json::from_str::<Pending>(&pending));
        let (Ok(finding), Ok(pending)) = parsed else { continue };
        let said = rulings(transaction, &pending, failed)?;
        let state = if said.iter().any(|(_, approves)| !approves) {
            "denied"
        } else if said.len() >= pending.approvals as usize {
            let authors = said.into_iter().map(|(author, _)| author).collect();
            let decision = by_people(policy, "approved", pending.action, authors, None);
            let response_id = records::response_after(&pending.response_id, "approved");
            let case = Case { finding: &finding, response_id: &response_id, partition };
            new += usize::from(carry_out(transaction, &case, &decision, now, failed)?);
            "approved"
        } else if pending.expires_at <= now {
            let case = Case { finding: &finding, response_id: &pending.response_id, partition };
            queue(transaction, &[records::event_of_expiry(&case, pending.clone())], failed)?;
            "expired"
        } else {
            continue;
        };
        transaction
            .execute("UPDATE questions SET state = ?2 WHERE response_id = ?1", params![id, state])
            .map_err(failed)?;
    }
    Ok(new)
}

/// Who approved or denied in time. The agent itself has no voice.
fn rulings(
    transaction: &Transaction<'_>,
    pending: &Pending,
    failed: Failed<'_>,
) -> Result<Vec<(PrincipalId, bool)>, Error> {
    let sql = "SELECT author, approves FROM rulings WHERE response_id = ?1 AND at <= ?2 ORDER BY at";
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map(params![pending.response_id.as_str(), pending.expires_at.micros()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
        })
        .map_err(failed)?;
    let agent = pending.target.agent_uid.as_ref().map(|agent| agent.as_str().to_lowercase());
    let mut said = Vec::new();
    for row in rows {
        let (author, approves) = row.map_err(failed)?;
        if Some(&author) != agent.as_ref()
            && let Ok(author) = PrincipalId::try_from(author)
        {
            said.push((author, approves));
        }
    }
    Ok(said)
}

/// Pauses whose time is over are lifted: the receivers are told to let the agent go on.
fn pauses(
    transaction: &Transaction<'_>,
    ready: &str,
    policy: &Policy,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<usize, Error> {
    let sql = "SELECT response_id, partition, finding, decided FROM responses
               WHERE until <= ?2 AND finding <> '' AND partition IN (SELECT value FROM json_each(?1)) LIMIT ?3";
    let mut new = 0;
    for (id, partition, finding, decided) in rows(transaction, sql, ready, now, failed)? {
        let parsed = (serde_json::from_str::<Finding>(&finding), serde_json::from_str::<Decided>(&decided));
        if let (Ok(finding), Ok(decided), Ok(paused)) =
            (parsed.0, parsed.1, ResponseId::try_from(id.as_str()))
        {
            let mut decision = by_people(policy, "pause is over", Action::Restore, decided.authors, None);
            decision.receivers = decided.receivers;
            let response_id = records::response_after(&paused, "restore");
            let case = Case { finding: &finding, response_id: &response_id, partition };
            new += usize::from(carry_out(transaction, &case, &decision, now, failed)?);
        }
        transaction
            .execute("UPDATE responses SET until = NULL WHERE response_id = ?1", [&id])
            .map_err(failed)?;
    }
    Ok(new)
}

/// What is known of a response, for tests of the outbox alone.
impl Outbox {
    /// The state of a question to people, as `waiting`, `approved`, `denied`, `expired`.
    pub fn question(&self, response: &ResponseId) -> Result<Option<String>, Error> {
        self.connection
            .query_row("SELECT state FROM questions WHERE response_id = ?1", [response.as_str()], |row| {
                row.get(0)
            })
            .optional()
            .map_err(self.failed("read"))
    }
}
