//! What a revocation would hit, for people.

use crate::output::print;
use ambit_query_api::Reach;

/// Lists it.
pub(super) fn show(reach: &Reach) {
    print(&format!("agents       {}", reach.agents.len()));
    for agent in &reach.agents {
        print(&format!("  {agent}"));
    }
    let running = reach.tasks.values().filter(|task| task.running).count();
    print(&format!("tasks        {}, {running} running", reach.tasks.len()));
    for (id, task) in &reach.tasks {
        let state = if task.running { "running" } else { "over" };
        let under = task.parent.as_ref().map_or_else(String::new, |parent| format!(", under {parent}"));
        print(&format!("  {id} ({state}{under})"));
    }
    let valid = reach.credentials.values().filter(|one| one.valid).count();
    print(&format!("credentials  {}, {valid} valid", reach.credentials.len()));
    for (id, one) in &reach.credentials {
        let state = if one.valid { "valid" } else { "over" };
        let until = one.expires_at.as_deref().unwrap_or("nobody knows when");
        print(&format!("  {id} ({}, {state} until {until})", one.credential_type));
    }
    if let Some(why) = &reach.incomplete {
        print(why);
    }
}
