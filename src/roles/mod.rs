//! One file per role, and `up`, which runs them all.

pub mod analyze;
pub mod broker;
pub mod checkpoints;
pub mod gateway;
pub mod listeners;
pub mod maintain;
mod metrics;
pub mod parts;
mod role;
pub mod serve;
pub mod snapshots;
pub mod transmitter;
pub mod up;
pub mod witness;
pub mod witnesses;
