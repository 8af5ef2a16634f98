//! What keeps the process together: named tasks with a policy, signals, an orderly end, one process per data directory.

pub mod lock;
pub mod signals;
pub mod supervisor;
