//! What was judged and what was not: nothing passes unnoticed only because a rule had nothing to judge it by.

use serde::{Deserialize, Serialize};

/// How many events each family of rules has judged since the state began, and why others were passed over. Part of the
/// state, so that a replay counts the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Tool calls that were compared with an envelope.
    pub calls_judged: u64,
    /// Tool calls outside of any task, or in a task without a valid envelope: told as such, nothing else was judged.
    pub calls_without_envelope: u64,
    /// Tool calls and what was handed on in trees with too many tasks.
    pub calls_beyond_bounds: u64,
    /// Tool calls whose values could not all be traced, as not all that was read was seen or is remembered.
    pub calls_partly_traced: u64,
    /// Actions that came after their task's end was told and had happened before: judged by its bounds all the same.
    pub late_within_bound: u64,
    /// The same, so late that the bounds were gone: told as after the end.
    pub late_beyond_bound: u64,
    /// Events of any kind that came more than five minutes behind what their delegation tree had told.
    pub told_late: u64,
    /// Uses, issues and ends of credentials that were judged.
    pub credentials_judged: u64,
    /// Those that no rule but C-NOTASK could judge, as they name no task.
    pub credentials_without_task: u64,
    /// Delegations that were judged.
    pub delegations_judged: u64,
    /// Steps in an agent's life that were taken in.
    pub lifecycle_steps: u64,
    /// Events that came again and were judged before.
    pub repeated: u64,
    /// Events that no rule is about.
    pub not_judged: u64,
}

impl Coverage {
    /// The counts with their names.
    pub const fn parts(&self) -> [(&'static str, u64); 13] {
        [
            ("calls_judged", self.calls_judged),
            ("calls_without_envelope", self.calls_without_envelope),
            ("calls_beyond_bounds", self.calls_beyond_bounds),
            ("calls_partly_traced", self.calls_partly_traced),
            ("late_within_bound", self.late_within_bound),
            ("late_beyond_bound", self.late_beyond_bound),
            ("told_late", self.told_late),
            ("credentials_judged", self.credentials_judged),
            ("credentials_without_task", self.credentials_without_task),
            ("delegations_judged", self.delegations_judged),
            ("lifecycle_steps", self.lifecycle_steps),
            ("repeated", self.repeated),
            ("not_judged", self.not_judged),
        ]
    }
}
