//! Ambit's wiring: command line, configuration, supervision, roles. The crates below it know nothing of each other;
//! only this one knows them all.

pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod import;
pub mod keys;
pub mod output;
pub mod roles;
pub mod rules;
pub mod runs;
pub mod runtime;
pub mod simulate;
