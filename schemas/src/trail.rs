//! The audit trail of those who ask: every question and every export is an event, as are the questions that people keep.

use crate::id::{PrincipalId, SearchId, TenantId};
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of a kept question.
pub const SEARCH_BYTES_MAX: usize = 4 << 10;

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered, whole.
    Complete,
    /// It was refused: the caller may not ask it, or put it wrongly.
    Refused,
    /// It could not be answered.
    Failed,
    /// The caller went away before the answer was whole.
    Cancelled,
}

impl Outcome {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A question that was asked of the record, or several alike of one author within a short time. The event's time is that
/// of the first. Of the question itself stands here its digest: what people ask names agents and persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryRecord {
    /// Who asked: the name of a token, or issuer and subject of an identity provider.
    pub author: PrincipalId,
    /// In what role.
    pub role: String,
    /// Within which tenant; absent when it was asked of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<TenantId>,
    /// Method and route, such as `GET /api/v1/events/{ref}`.
    pub route: String,
    /// SHA-256 of path and parameters without span of time and place of the page, hexadecimal.
    pub query_sha256: String,
    /// The earliest event time that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// How many times it was asked.
    pub times: u32,
    /// Items that were answered.
    pub rows: u64,
    /// Bytes that were answered.
    pub bytes: u64,
    /// The HTTP status; of several the highest.
    pub status: u16,
    /// How it ended; of several the worst.
    pub outcome: Outcome,
    /// How long it took, in microseconds; of several the sum.
    pub duration_us: u64,
}

/// A question that somebody keeps for later. Told again with the same id it is changed, or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedSearch {
    /// The question.
    pub search_id: SearchId,
    /// Who keeps it.
    pub author: PrincipalId,
    /// Its name.
    pub name: String,
    /// The parameters, as in an address: `kind=tool_call.*&agent=...`.
    pub query: String,
    /// It is no longer kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}
