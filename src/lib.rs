//! Ambit's wiring: command line, configuration, supervision, roles. The crates below it know nothing of each other;
//! only this one knows them all.

pub mod keys;
pub mod runtime;
pub mod simulate;
