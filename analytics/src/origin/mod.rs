//! Where a value came from: every target of an effectful call has exactly one origin.
//!
//! ```text
//! result of a tool -> messages -> hashed words, kept per root task (memory) --+
//! purpose, envelope, principal ------------------------------------------------+-> origin of a value
//! ```
//! Texts are kept for a whole delegation tree, so that a value is recognised in the hands of another agent, or when it
//! comes back from a file, note or mail into which an agent of the tree wrote it.

mod decoded;
mod memory;
mod purpose;
mod reader;
mod words;

pub(crate) use memory::{Found, Memory, Source};
pub(crate) use purpose::Purpose;
pub(crate) use words::words_of;

use serde::{Deserialize, Serialize};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The purpose names it.
    Purpose,
    /// The envelope names it.
    Envelope,
    /// It belongs to the principal.
    Own,
    /// An e-mail address whose local part is a name that stands in the purpose.
    Name,
    /// It stands in a message from, or about, a person whom the purpose names.
    Delegated,
    /// It stands in a record of the principal's own, which others cannot write.
    FirstParty,
    /// It came from a result otherwise.
    Untrusted,
    /// It stands in no text that was seen.
    Invented,
    /// It was not found, but not all texts were seen. Counts as untrusted (INVARIANT A-3).
    Unknown,
}

impl Origin {
    /// Whether somebody who approves, or the principal, has named it.
    pub const fn is_granted(self) -> bool {
        matches!(self, Self::Purpose | Self::Envelope | Self::Own)
    }

    /// Whether it may have been planted.
    pub const fn is_untrusted(self) -> bool {
        matches!(self, Self::Untrusted | Self::Unknown)
    }

    /// For people, to follow "which".
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Purpose => "the purpose names",
            Self::Envelope => "the envelope names",
            Self::Own => "belongs to the principal",
            Self::Name => "bears a name that the purpose mentions",
            Self::Delegated => "came in a message from or about a person whom the purpose names",
            Self::FirstParty => "came from the principal's own records",
            Self::Untrusted => "came from the result of an earlier call",
            Self::Invented => "stands in no text that the agent was seen to read",
            Self::Unknown => "cannot be traced, as not all results were seen",
        }
    }
}
