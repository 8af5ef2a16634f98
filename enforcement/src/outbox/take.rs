//! From findings to responses with their deliveries.

use super::{Failed, Incoming, Outbox, execute, fact, json, pauses, queue, set_position, value};
use crate::error::Error;
use crate::outbox::DeliveryState;
use crate::policy::{Before, Blast, Decision, Policy};
use crate::records::{self, Case};
use ambit_schemas::Timestamp;
use ambit_schemas::finding::Finding;
use ambit_schemas::id::ResponseId;
use ambit_schemas::response::{Action, Decided};
use rusqlite::{OptionalExtension, Transaction, params};

/// One hour, in microseconds: the window of the revocation budget.
const HOUR_US: i64 = 3_600_000_000;
/// The fact that says since when, by whom and why automatic revocation is off.
pub(super) const STOPPED: &str = "stopped";

impl Outbox {
    /// Decides on findings and makes their deliveries due, in one transaction with the new positions. What was taken
    /// before is passed over. Returns how many responses are new.
    pub fn take(&mut self, incoming: &[Incoming], policy: &Policy, now: Timestamp) -> Result<usize, Error> {
        self.write(|transaction, failed| {
            let mut new = 0;
            for record in incoming {
                if let Some(finding) = &record.finding {
                    let partition = i64::from(record.shard.partition);
                    new += usize::from(decide(transaction, finding, partition, policy, now, failed)?);
                }
                set_position(transaction, record.shard, record.offset + 1, failed)?;
            }
            Ok(new)
        })
    }
}

/// Returns whether the response is new.
fn decide(
    transaction: &Transaction<'_>,
    finding: &Finding,
    partition: i64,
    policy: &Policy,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<bool, Error> {
    let response_id = records::response_id(finding);
    let case = Case { finding, response_id: &response_id, partition };
    if let Some(known) = known(transaction, &case, now, failed)? {
        return Ok(known);
    }
    let before = before(transaction, finding, now, failed)?;
    let blast = blast(transaction, finding, failed)?;
    let Some(decision) = policy.decide(finding, before, |action| hit(&blast, action)) else {
        return Ok(false);
    };
    let decided = records::decided(&case, &decision, now);
    let mut events = records::events_of_decision(&case, &decided);
    if let Some((question, held)) = decision.question.zip(decision.held_back.as_ref()) {
        events.push(records::event_of_question(&case, question, held, hit(&blast, held.action), now));
    }
    respond(transaction, &case, &decided, true, now, failed)?;
    queue(transaction, &events, failed)?;
    Ok(true)
}

/// When a response is known: whether that is news. One that another worker decided on is delivered from here now.
pub(super) fn known(
    transaction: &Transaction<'_>,
    case: &Case<'_>,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<Option<bool>, Error> {
    let row: Option<(String, String, bool)> = transaction
        .query_row(
            "SELECT finding, decided, auto FROM responses WHERE response_id = ?1",
            [case.response_id.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
        .map_err(failed)?;
    match row {
        None => Ok(None),
        Some((finding, decided, auto)) if finding.is_empty() => {
            // Ours or another version's: what cannot be read is decided anew under the same ids.
            let Ok(decided) = serde_json::from_str::<Decided>(&decided) else { return Ok(None) };
            respond(transaction, case, &decided, auto, now, failed)?;
            Ok(Some(true))
        }
        Some(_) => Ok(Some(false)),
    }
}

/// Writes a response down, with a delivery for each receiver.
pub(super) fn respond(
    transaction: &Transaction<'_>,
    case: &Case<'_>,
    decided: &Decided,
    auto: bool,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<(), Error> {
    note(
        transaction,
        case.response_id,
        &task_of(case.finding),
        decided,
        (case.finding.time, case.partition),
        failed,
    )?;
    let sql = "UPDATE responses SET finding = ?2, partition = ?3, auto = ?4 WHERE response_id = ?1";
    let row = params![case.response_id.as_str(), json(case.finding), case.partition, auto];
    execute(transaction, sql, row, failed)?;
    let body = json(&records::webhook(case, decided)).into_bytes();
    for receiver in &decided.receivers {
        let delivery = records::delivery_id(case.response_id, receiver);
        let sql = "SELECT state FROM settled WHERE delivery_id = ?1";
        let settled: Option<String> = value(transaction, sql, [delivery.as_str()], failed)?;
        let state = settled.unwrap_or_else(|| DeliveryState::Pending.name().to_owned());
        let lane = i64::from(decided.action <= Action::StepUp);
        let (delivery, response) = (delivery.as_str(), case.response_id.as_str());
        let row = params![delivery, response, receiver.as_str(), state, now.micros(), lane, body];
        let sql = "INSERT OR IGNORE INTO deliveries VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7)";
        execute(transaction, sql, row, failed)?;
    }
    Ok(())
}

/// Notes what was decided, here or elsewhere: it counts for the budget, for what is revoked already, for cool-downs.
pub(super) fn note(
    transaction: &Transaction<'_>,
    response_id: &ResponseId,
    task: &str,
    decided: &Decided,
    (time, partition): (Timestamp, i64),
    failed: Failed<'_>,
) -> Result<(), Error> {
    let row = params![
        response_id.as_str(),
        task,
        decided.action.name(),
        decided.action.revokes(),
        time.micros(),
        partition,
        decided.decided_at.unwrap_or(time).micros(),
        decided.until.map(Timestamp::micros),
        target_of(task, decided),
        decided.authors.is_empty(),
        json(decided)
    ];
    let sql = "INSERT OR IGNORE INTO responses VALUES (?1, ?2, ?3, ?4, ?5, '', ?6, ?7, ?8, ?9, ?10, ?11)";
    execute(transaction, sql, row, failed).map(drop)
}

pub(super) fn task_of(finding: &Finding) -> String {
    finding.task.as_ref().map_or_else(String::new, |task| format!("{}/{}", finding.tenant, task.id))
}

/// Whom cool-downs are about; empty when nobody in particular.
fn target_of(task: &str, decided: &Decided) -> String {
    let agent = decided.target.agent_uid.as_ref().map_or("", |agent| agent.as_str());
    if task.is_empty() && agent.is_empty() { String::new() } else { format!("{task} {agent}") }
}

fn before(
    transaction: &Transaction<'_>,
    finding: &Finding,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<Before, Error> {
    let sql = "SELECT count(*) FROM responses WHERE revokes = 1 AND auto = 1 AND decided_at > ?1";
    let revocations_in_hour = value(transaction, sql, [now.micros() - HOUR_US], failed)?.unwrap_or_default();
    let task = task_of(finding);
    let sql = "SELECT 1 FROM responses WHERE revokes = 1 AND task = ?1 AND task <> '' LIMIT 1";
    let earlier: Option<i64> = value(transaction, sql, [&task], failed)?;
    let agent = finding.agent.as_ref().map_or("", |agent| agent.uid.as_str());
    let sql =
        "SELECT max(decided_at) FROM responses WHERE target = ?1 AND action NOT IN ('notify', 'restore')";
    let last: Option<i64> = value(transaction, sql, [format!("{task} {agent}")], failed)?.flatten();
    let since = last.map(|last| u64::try_from((now.micros() - last) / 1_000_000).unwrap_or_default());
    let stopped = fact(transaction, STOPPED, failed)?.is_some_and(|since| !since.is_empty());
    Ok(Before { revocations_in_hour, task_revoked: earlier.is_some(), stopped, seconds_since_last: since })
}

/// What ending the task, and what ending the tree, would hit.
struct Reach {
    task: Blast,
    tree: Blast,
}

fn hit(reach: &Reach, action: Action) -> Blast {
    match action {
        Action::RevokeTree => reach.tree,
        Action::RevokeCredential | Action::RevokeTask => reach.task,
        Action::Restore | Action::Notify | Action::StepUp | Action::Pause => Blast::default(),
    }
}

/// What the finding says, and what was seen of its tree in the events.
fn blast(transaction: &Transaction<'_>, finding: &Finding, failed: Failed<'_>) -> Result<Reach, Error> {
    let held = u32::try_from(finding.credentials.len()).unwrap_or(u32::MAX);
    let task = Blast { credentials: held, tasks: u32::from(finding.task.is_some()) };
    let Some(of) = &finding.task else { return Ok(Reach { task, tree: task }) };
    let count = |sql: &str| {
        let tree = params![finding.tenant.as_str(), of.root.as_str()];
        value(transaction, sql, tree, failed).map(Option::unwrap_or_default)
    };
    let tree = Blast {
        credentials: held.max(count("SELECT count(*) FROM credentials WHERE tenant = ?1 AND root = ?2")?),
        tasks: task.tasks.max(count("SELECT count(*) FROM tasks WHERE tenant = ?1 AND root = ?2")?),
    };
    Ok(Reach { task, tree })
}

/// Carries out what people ordered or approved, unless that has happened. Returns whether it is news.
pub(super) fn carry_out(
    transaction: &Transaction<'_>,
    case: &Case<'_>,
    decision: &Decision,
    now: Timestamp,
    failed: Failed<'_>,
) -> Result<bool, Error> {
    if let Some(news) = known(transaction, case, now, failed)? {
        return Ok(news);
    }
    let decided = records::decided(case, decision, now);
    respond(transaction, case, &decided, false, now, failed)?;
    queue(transaction, &records::events_of_decision(case, &decided), failed)?;
    if decided.action == Action::Restore {
        // Before a receiver can let the agent go on; the watcher hears of it with the event.
        pauses::lift(transaction, &case.finding.tenant, &decided.target, now, failed)?;
    }
    Ok(true)
}
