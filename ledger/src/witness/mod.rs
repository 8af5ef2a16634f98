//! Witnesses: others who remember how far a log was and sign that they only ever saw it grow. Whoever rolls a log back,
//! or shows two people two histories, can take its own memory back and not theirs.
//!
//! C2SP tlog-witness is the conversation and tlog-cosignature what is signed; here is all of it but the network:
//! - [`AddCheckpoint`] is what a log asks, as text;
//! - [`TrustedLogs`] and [`decide`] say yes or no, from what is remembered and nothing else;
//! - a [`Witness`] remembers durably before it answers;
//! - a [`Cosignature`] is the answer. It stands in the checkpoint's note beside the log's own signature, where whoever
//!   does not know the witness passes it over.

mod cosignature;
mod decision;
mod keeper;
mod key;
mod logs;
mod request;

pub use cosignature::Cosignature;
pub use decision::{Head, Refusal, decide};
pub use keeper::{Witness, WitnessError};
pub use key::{WitnessKey, WitnessSigner};
pub use logs::{InvalidLog, TrustedLog, TrustedLogs};
pub use request::{AddCheckpoint, MAX_PROOF_LINES, MAX_REQUEST_BYTES};
