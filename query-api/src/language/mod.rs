//! The query language: `agent:billing-* severity>=high -status:denied since:24h invoice`.
//!
//! A text is read into a [`Query`], which prints itself in one normal form and becomes one filter of the engine.
//! The grammar is in `docs/search.md`.

mod ast;
mod cursor;
mod fields;
mod moment;
mod parse;
mod plan;
mod print;
mod sequence;

pub use ast::Query;
pub use sequence::{SequenceKey, SequenceQuery};

/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 4_096;

/// Why a text is no query, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {})", position + 1)]
pub struct QueryError {
    /// Which character, from 0.
    pub position: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl QueryError {
    /// The query with a caret under the character.
    pub fn marked(&self, query: &str) -> String {
        let line: String =
            query.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        format!("{line}\n{}^ {}", " ".repeat(self.position), self.message)
    }
}
