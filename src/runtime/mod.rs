//! What keeps the process together: named tasks with a policy, signals, an orderly end.

pub mod signals;
pub mod supervisor;
