//! Identifiers, one type each, so that an agent's id cannot be passed for a task's.
//!
//! The list is alphabetical and only grows. Every id is 1 to [`ID_BYTES_MAX`] bytes, without control characters or
//! surrounding white space; the only way in is `TryFrom`, which serde uses too.

use crate::limits::ID_BYTES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("expected {kind}, got an empty text")]
    Empty {
        /// What was being read.
        kind: &'static str,
    },
    /// The text is longer than [`ID_BYTES_MAX`].
    #[error("expected {kind} of at most {ID_BYTES_MAX} bytes, got {bytes}")]
    TooLong {
        /// What was being read.
        kind: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The text has control characters, or white space at an end.
    #[error("expected {kind} without control characters or surrounding white space")]
    Characters {
        /// What was being read.
        kind: &'static str,
    },
}

fn check(kind: &'static str, text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { kind });
    }
    if text.len() > ID_BYTES_MAX {
        return Err(InvalidId::TooLong { kind, bytes: text.len() });
    }
    if is_plain(text) { Ok(()) } else { Err(InvalidId::Characters { kind }) }
}

/// Without control characters or white space at an end. Nearly all ids are visible ASCII, which is quickly seen.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
        || (text.trim().len() == text.len() && !text.chars().any(char::is_control))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;
            fn try_from(text: &str) -> Result<Self, InvalidId> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                check($kind, &text)?;
                Ok(Self(text.into_boxed_str()))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// An AI workload identity: a SPIFFE id, or issuer and subject. Never a person.
    AgentId = "an agent id";
    /// One HTTP try of a delivery.
    AttemptId = "an attempt id";
    /// What tasks of a blueprint usually do; its version stands beside it.
    BaselineId = "a baseline id";
    /// What instances are copies of, as `name@version`: the thing that has a baseline.
    Blueprint = "a blueprint";
    /// A case: findings that are worked on together.
    CaseId = "a case id";
    /// A credential's stable id: access key id, accessor, JTI, lease id. Never the secret itself.
    CredentialId = "a credential id";
    /// One response to one receiver.
    DeliveryId = "a delivery id";
    /// An envelope's id; its version stands beside it.
    EnvelopeId = "an envelope id";
    /// CloudEvents `id`: with [`EventSource`] it identifies an event.
    EventId = "an event id";
    /// CloudEvents `source`: the producer of an event, a URI reference.
    EventSource = "an event source";
    /// A finding's id, a function of rule, version and event (INVARIANT A-1).
    FindingId = "a finding id";
    /// One running copy of an agent.
    InstanceId = "an instance id";
    /// A person or a group that approves, or on whose behalf an agent acts.
    PrincipalId = "a principal id";
    /// A configured receiver of responses.
    ReceiverId = "a receiver id";
    /// What a finding asks for, as decided by the policy.
    ResponseId = "a response id";
    /// A rule's stable id, such as `E-TOOL`.
    RuleId = "a rule id";
    /// A question that somebody keeps for later.
    SearchId = "a search id";
    /// A suppression: findings that lists leave out for a time.
    SuppressionId = "a suppression id";
    /// One approved unit of work. A root task is the top of a delegation tree.
    TaskId = "a task id";
    /// A tenant.
    TenantId = "a tenant id";
    /// One tool call, from request to result.
    ToolCallId = "a tool call id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_ids_are_refused_with_the_kind_named() {
        assert_eq!(AgentId::try_from(""), Err(InvalidId::Empty { kind: "an agent id" }));
        assert!(AgentId::try_from(" a").is_err());
        assert!(AgentId::try_from("a\nb").is_err());
        assert!(TaskId::try_from("x".repeat(ID_BYTES_MAX + 1)).is_err());
        assert!(serde_json::from_str::<TaskId>("\"\"").is_err());
        assert_eq!(TaskId::try_from("t-1").unwrap().as_str(), "t-1");
    }
}
