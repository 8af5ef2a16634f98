//! Answers: what did this agent do, on whose authority, and what happened next?
//!
//! Reads the store and the ledger, writes nothing (INVARIANT Q-1). Every question runs against one version of the
//! table, within bounds of time, memory and concurrency; what a bound cut off is said in the answer.

pub mod access;
mod agents;
mod approvals;
mod baseline;
mod chain;
mod cursor;
mod dead_letters;
mod engine;
mod error;
mod events;
pub mod export;
mod findings;
mod held;
pub mod http;
mod language;
mod limits;
mod options;
mod overview;
mod proof;
mod provenance;
mod publish;
mod reach;
mod rows;
mod runs;
pub mod scope;
mod sequences;
mod service;
mod sql;
mod summary;
mod table;
pub mod tail;
mod text;
pub mod trail;
mod triage;
mod views;

pub use approvals::{ApprovalView, RulingView};
pub use chain::{ChainView, Direction, NODES_MAX};
pub use engine::{Engine, Session, Span};
pub use error::Error;
pub use events::{EventFilter, LIMIT_DEFAULT, LIMIT_MAX, Order, TEXT_BYTES_MAX};
pub use held::{CredentialDetail, CredentialView, HoldingsView};
pub use language::{QUERY_BYTES_MAX, Query, QueryError, SequenceKey, SequenceQuery};
pub use options::{AuditOptions, LimitOptions, OidcOptions, Options, listen_address, resolve};
pub use overview::{CheckpointView, Ledgers};
pub use proof::{ConsistencyView, ProofView};
pub use provenance::{PROOFS_MAX, ProvedView, Provenance};
pub use publish::{Publish, PublishError};
pub use reach::{About, Aim, Aimed, CredentialReach, Reach, TaskReach};
pub use runs::{ComparisonView, StepView};
pub use scope::Scope;
pub use sequences::SequenceView;
pub use service::{Metric, Service, Sources, Timing};
pub use sql::{ColumnView, SQL_BYTES_MAX, SQL_ROWS_DEFAULT, SQL_ROWS_MAX, SqlAnswer};
pub use text::{IndexOptions, Keeper, Kept};
pub use triage::{CaseView, NoteView, SavedSearchView, SuppressionView, TriageView};
pub use views::{DeadLetterView, EventView, FindingView, Page};
