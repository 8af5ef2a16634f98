//! What the end of a task or of a credential says: what stood longer than any task needed it, and what was used without
//! ever having been issued.

use super::held::Held;
use super::{Late, after_task, usage};
use crate::describe::{Verdict, who};
use crate::rules;
use crate::standing::{Interval, standing_seconds};
use crate::state::{Root, Task};
use ambit_schemas::Timestamp;
use ambit_schemas::event::Event;
use ambit_schemas::finding::Severity;
use ambit_schemas::id::{CredentialId, TaskId};
use std::collections::BTreeMap;

/// How long a credential may be valid outside of its tasks before it is told, in seconds: an hour, the usual life of a
/// token, so that what an issuer gives by default is not told.
const STANDING_SECONDS: u64 = 3_600;
/// From here on it is told as worse: a day.
const LONG_STANDING_SECONDS: u64 = 86_400;

/// A credential has ended: it is known how long it stood.
pub(crate) fn ended(event: &Event, uid: &CredentialId, root: &mut Root) -> Option<Verdict> {
    let tasks = &root.tasks;
    let held = root.credentials.get_mut(uid)?;
    stands(&who(event), uid, held, tasks)
}

/// What a task's end says about the credentials that were issued for it or used in it. The task is marked as closed
/// already.
pub(crate) fn task_closed(event: &Event, id: &TaskId, root: &mut Root) -> (Vec<Verdict>, Vec<Late>) {
    let (mut now, mut late) = (Vec::new(), Vec::new());
    let end = root.tasks.get(id).and_then(|task| task.closed).unwrap_or(event.time);
    let grants = root.tasks.get(id).is_some_and(|task| task.names_issuers);
    let hears_issuers = grants || root.credentials.values().any(|held| held.since.is_some());
    let tasks = &root.tasks;
    for (uid, held) in &mut root.credentials {
        if held.task.as_ref() == Some(id) {
            now.extend(stands(&who(event), uid, held, tasks));
            let after = held.uses.iter().filter(|(_, used)| used.at >= end);
            late.extend(after.map(|(user, used)| (after_task(user.as_str(), uid), used.event.clone())));
        }
        let is_unknown = held.since.is_none() && hears_issuers && !held.told_unknown;
        if let Some(first) = held.tasks.iter().find(|used| used.task == *id).filter(|_| is_unknown) {
            held.told_unknown = true;
            late.push((usage::unknown(&who(event), uid, held.used), first.event.clone()));
        }
    }
    (now, late)
}

/// How long a credential is valid outside of the tasks that it was issued for or used in; told once.
fn stands(
    shown: &str,
    uid: &CredentialId,
    held: &mut Held,
    tasks: &BTreeMap<TaskId, Box<Task>>,
) -> Option<Verdict> {
    let validity = held.validity().filter(|_| !held.told_standing && !held.is_replaced)?;
    let of = held.task.iter().chain(held.tasks.iter().map(|used| &used.task));
    let windows: Vec<Interval> = of.filter_map(|task| window(tasks.get(task)?)).collect();
    let standing = standing_seconds(validity, &windows);
    if standing < STANDING_SECONDS {
        return None;
    }
    held.told_standing = true;
    let severity = if standing >= LONG_STANDING_SECONDS { Severity::Medium } else { Severity::Low };
    let reason = format!("{shown} holds credential {uid}, which is valid outside of any task");
    let verdict = Verdict::new(&rules::CREDENTIAL_STANDING, severity, "", reason).about(uid.as_str());
    let shown = if validity.until == i64::MAX {
        "no end".to_owned()
    } else {
        format!("{standing} s, until {}", Timestamp::from_micros(validity.until))
    };
    Some(verdict.seen(format!("less than {STANDING_SECONDS} s outside of its tasks"), shown))
}

/// When a task ran: from its envelope's approval to its end.
fn window(task: &Task) -> Option<Interval> {
    let end = task.closed.map_or(i64::MAX, Timestamp::micros);
    Some(Interval::new(task.opened?.micros(), end))
}
