//! Drift: does an agent still do what it usually does?
//!
//! What is usual is a *baseline*, a signed and versioned document that a human approved ([`Builder`] makes drafts of it
//! from stored events). Baselines come as events in every shard, never from a file, so that a replay knows what was
//! known live (INVARIANT A-1). The unit is the task: its counters ([`Episode`]) are one observation, however its calls
//! depend on each other. Each observation moves the evidence of a few sequential tests ([`Evidence`]) on, and a finding
//! is told when the evidence reaches what the baseline's budget of false alerts asks for. Drift alone revokes nothing
//! (INVARIANT E-3): its rules are incubating.

mod bounds;
mod build;
mod compare;
mod episode;
mod evidence;
mod hooks;
mod profile;
mod purpose;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

pub use bounds::{divergence, mean_upper, rate_upper, share_upper};
pub use build::{Builder, Settings, upper_by_time};
pub use compare::{Drifted, compare};
pub use episode::{Episode, Reached, Thing};
pub use evidence::{Evidence, Scheme, TILTS, Test};
pub use hooks::Finished;
pub(crate) use hooks::Watching;
pub use profile::{Profile, Subject, Tested};
pub use purpose::kind_of_purpose;
pub(crate) use watch::Drift;
