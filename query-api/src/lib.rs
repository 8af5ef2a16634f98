//! Answers: what did this agent do, on whose authority, and what happened next?
//!
//! Reads the store and the ledger, writes nothing (INVARIANT Q-1). Every question runs against one version of the
//! table, within bounds of time, memory and concurrency; what a bound cut off is said in the answer.

pub mod access;
mod agents;
mod chain;
mod cursor;
mod dead_letters;
mod engine;
mod error;
mod events;
pub mod export;
mod findings;
pub mod http;
mod limits;
mod options;
mod overview;
mod proof;
mod publish;
mod rows;
pub mod scope;
mod service;
mod summary;
pub mod tail;
pub mod trail;
mod triage;
mod views;

pub use engine::{Engine, Session, Span};
pub use error::Error;
pub use events::{EventFilter, LIMIT_DEFAULT, LIMIT_MAX, Order, TEXT_BYTES_MAX};
pub use options::{AuditOptions, LimitOptions, OidcOptions, Options, listen_address, resolve};
pub use overview::{CheckpointView, Ledgers};
pub use proof::{ConsistencyView, ProofView};
pub use publish::{Publish, PublishError};
pub use scope::Scope;
pub use service::{Metric, Service, Sources};
pub use triage::{CaseView, NoteView, SavedSearchView, SuppressionView, TriageView};
pub use views::{DeadLetterView, EventView, FindingView, Page};
