//! Judgement: each action of an agent is compared with the envelope that a human approved.
//!
//! [`Analyzer::observe`] is a fold over one shard's events: no clock, no I/O, no randomness (INVARIANT A-2). The same
//! events give the same findings with the same ids, live and in a replay (INVARIANT A-1), because a finding is made of
//! nothing but events and envelope. What cannot be evaluated is a finding too, and a task without a valid envelope is
//! outside (INVARIANT A-3).
//!
//! ```text
//! event -> state of its root task (envelopes, budgets, approvals, credentials) -> clauses that fail -> findings
//! ```

mod analyzer;
mod bounded;
mod bounds;
mod calls;
mod candidate;
mod check;
mod compile;
mod coverage;
mod credentials;
mod delegation;
mod describe;
pub mod drift;
mod effect;
mod envelopes;
mod flow;
mod integrity;
mod labels;
mod lifecycle;
mod options;
mod origin;
mod patterns;
mod prepare;
mod risk;
pub mod rules;
mod secrets;
pub mod sigma;
mod snapshot;
pub mod standing;
mod state;
mod systems;
mod target;
mod tool_calls;

pub use analyzer::Analyzer;
pub use bounds::{Asked, Bounds};
pub use candidate::{Candidates, InvalidCandidate};
pub use coverage::Coverage;
pub use describe::{SOURCE, finding_event};
pub use effect::{Reach, classify};
pub use options::{FingerprintSecret, InvalidRegister, Options, Register};
pub use origin::Origin;
pub use prepare::{Prepared, Preparer};
pub use snapshot::SnapshotError;
pub use target::{Target, TargetKind, VALUE_BYTES_MAX, targets_of};
