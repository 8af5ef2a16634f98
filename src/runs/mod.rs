//! Recorded runs of real agents: read, turned into events, scored.
//!
//! What a human would have approved is made from the recording's envelope file, what happened from its trace. Labels
//! are read by the scoring alone: no envelope and no event depends on them.

pub mod adaptive;
pub mod bootstrap;
pub mod convert;
pub mod dataset;
pub mod drift;
mod fingerprints;
pub mod report;
pub mod score;

pub use convert::{Envelopes, events_of};
pub use dataset::{Dataset, Run, datasets};
pub use fingerprints::RECORDED_SECRET;
pub use score::{Evaluation, Score, evaluate, options};
