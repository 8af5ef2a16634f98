//! When pauses are over: of themselves, or because somebody lifted them. What an agent does from then on is allowed.

use super::watches::{WatchKey, key, stored};
use super::{Failed, execute, value};
use crate::alive::Watch;
use crate::error::Error;
use ambit_schemas::Timestamp;
use ambit_schemas::id::{ResponseId, TenantId};
use ambit_schemas::response::{Decided, Target};
use rusqlite::{Transaction, params};

/// When the pause that a response asks for is over, as far as known: its own end, or an earlier restore.
pub(super) fn paused_until(
    transaction: &Transaction<'_>,
    response: &ResponseId,
    failed: Failed<'_>,
) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT decided FROM responses WHERE response_id = ?1";
    let decided: Option<String> = value(transaction, sql, [response.as_str()], failed)?;
    let own = decided.and_then(|decided| serde_json::from_str::<Decided>(&decided).ok()?.until);
    // INVARIANT Q-3: of an agent without a task the target does not say whose it is.
    let sql = "SELECT min(restore.decided_at) FROM responses restore JOIN responses pause USING (target)
               WHERE pause.response_id = ?1 AND pause.task <> '' AND restore.action = 'restore'
               AND restore.decided_at >= pause.decided_at";
    let restored: Option<i64> = value(transaction, sql, [response.as_str()], failed)?.flatten();
    Ok(own.into_iter().chain(restored.map(Timestamp::from_micros)).min())
}

/// What was paused is restored: its watches see no further. Returns which.
pub(super) fn lift(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    target: &Target,
    at: Timestamp,
    failed: Failed<'_>,
) -> Result<Vec<WatchKey>, Error> {
    let sql = "SELECT watch, state FROM watches
               WHERE watch ->> '$.action' = 'pause' AND watch ->> '$.tenant' = ?1 AND ends_at >= ?2";
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    let rows = statement.query_map(params![tenant.as_str(), at.micros()], stored).map_err(failed)?;
    let mut lifted = Vec::new();
    for row in rows {
        let watch = row.map_err(failed)?.map(|(watch, _)| watch);
        lifted.extend(watch.filter(|watch| is_lifted(watch, target, at)).map(|watch| key(&watch)));
    }
    for (response, receiver) in &lifted {
        let sql = "UPDATE watches SET watch = json_set(watch, '$.until', ?3), ends_at = ?4
                   WHERE response_id = ?1 AND receiver = ?2";
        let row = params![response.as_str(), receiver.as_str(), at.to_string(), at.micros()];
        execute(transaction, sql, row, failed)?;
    }
    Ok(lifted)
}

/// Whether a restore then is of this pause: of the same task and agent. One that names no task, or no agent, is of all.
fn is_lifted(watch: &Watch, restored: &Target, at: Timestamp) -> bool {
    let task = restored.task_id.as_ref().is_none_or(|task| watch.target.task_id.as_ref() == Some(task));
    let agent =
        restored.agent_uid.as_ref().is_none_or(|agent| watch.target.agent_uid.as_ref() == Some(agent));
    let names = restored.task_id.is_some() || restored.agent_uid.is_some();
    names && task && agent && watch.decided_at <= at && watch.until.is_none_or(|until| until >= at)
}
