//! Commands that run to an end.

pub mod ask;
pub mod baseline;
pub mod dead_letters;
pub mod eval;
pub mod import;
pub mod replay;
pub mod replay_runs;
pub mod respond;
pub mod rules;
pub mod search;
pub mod simulate;
pub mod sql;
pub mod store;
pub mod token;
pub mod verify;
