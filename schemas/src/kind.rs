//! What kinds of events there are, and their CloudEvents `type`: `ambit.<kind>.v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The kind of an event. The wire version is not part of it: see [`Kind::from_type`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind's name, such as `tool_call.requested`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The CloudEvents `type` that is written today.
            pub const fn type_name(self) -> &'static str {
                match self { $(Self::$name => concat!("ambit.", $text, ".v1"),)* }
            }

            /// The kind of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// An agent asks for a tool.
    ToolCallRequested = "tool_call.requested";
    /// The tool has answered, or failed.
    ToolCallCompleted = "tool_call.completed";
    /// A gateway or the agent's host refused the call.
    ToolCallDenied = "tool_call.denied";
    /// A credential came into being.
    CredentialIssued = "credential.issued";
    /// A credential was presented.
    CredentialUsed = "credential.used";
    /// A credential was replaced by another.
    CredentialRotated = "credential.rotated";
    /// A credential was ended before its time.
    CredentialRevoked = "credential.revoked";
    /// A credential ended in its time.
    CredentialExpired = "credential.expired";
    /// Bounds for a task were drawn up.
    EnvelopeProposed = "task.envelope.proposed";
    /// A human approved the bounds of a task: it may begin.
    EnvelopeApproved = "task.envelope.approved";
    /// The bounds of a running task were changed.
    EnvelopeAmended = "task.envelope.amended";
    /// The task is over.
    EnvelopeClosed = "task.envelope.closed";
    /// Somebody is asked to approve one action.
    ApprovalRequested = "approval.requested";
    /// It was approved.
    ApprovalApproved = "approval.approved";
    /// It was refused.
    ApprovalDenied = "approval.denied";
    /// Nobody answered in time.
    ApprovalExpired = "approval.expired";
    /// It is no longer wanted.
    ApprovalCancelled = "approval.cancelled";
    /// A human approved what tasks of a blueprint usually do: drift is measured against it.
    BaselineApproved = "baseline.approved";
    /// An agent was created.
    AgentCreated = "agent.lifecycle.created";
    /// A second copy of an agent was made.
    AgentCloned = "agent.lifecycle.cloned";
    /// An agent was stopped for a time.
    AgentPaused = "agent.lifecycle.paused";
    /// It goes on.
    AgentResumed = "agent.lifecycle.resumed";
    /// A task is tried again.
    AgentRetried = "agent.lifecycle.retried";
    /// An agent was given another task.
    AgentRetasked = "agent.lifecycle.retasked";
    /// An agent was taken out of service.
    AgentOffboarded = "agent.lifecycle.offboarded";
    /// An agent handed work to another.
    DelegationGranted = "delegation.granted";
    /// It took it back.
    DelegationRevoked = "delegation.revoked";
    /// A policy engine or gateway decided on an action.
    DecisionEvaluated = "decision.evaluated";
    /// The analyzer found something.
    FindingCreated = "finding.created";
    /// A finding was triaged.
    FindingUpdated = "finding.updated";
    /// A finding is done with.
    FindingClosed = "finding.closed";
    /// The response policy decided what a finding asks for.
    ResponseDecided = "response.decided";
    /// One HTTP try of one delivery was made.
    ResponseAttempted = "response.attempted";
    /// The receiver acknowledged a delivery.
    ResponseAcknowledged = "response.acknowledged";
    /// A delivery was given up: a dead letter, to be re-driven by hand.
    ResponseDeadLettered = "response.dead_lettered";
    /// A person ordered a response.
    ResponseOrdered = "response.ordered";
    /// A response waits for people to approve it.
    ResponsePending = "response.pending";
    /// Somebody approved a response that waits.
    ResponseApproved = "response.approved";
    /// Somebody refused it.
    ResponseDenied = "response.denied";
    /// Nobody approved it in time.
    ResponseExpired = "response.expired";
    /// Automatic revocation was switched off.
    ResponsesStopped = "response.stopped";
    /// It was switched on again.
    ResponsesResumed = "response.resumed";
    /// A dead letter is to be delivered after all.
    DeliveryRedriven = "response.redriven";
    /// Another response policy holds.
    PolicyChanged = "response.policy_changed";
    /// A receiver wants nothing more.
    ReceiverDisabled = "response.receiver_disabled";
    /// A credential, task or agent is to be cut off.
    RevocationRequested = "revocation.requested";
    /// The receiver has taken the revocation.
    RevocationDelivered = "revocation.delivered";
    /// Its effect was observed.
    RevocationConfirmed = "revocation.confirmed";
    /// It had no effect, or could not be delivered.
    RevocationFailed = "revocation.failed";
    /// Kafka no longer has part of a shard (INVARIANT L-4).
    GapDetected = "notice.gap";
    /// A producer's clock is wrong.
    ClockSkewed = "notice.clock";
    /// A record of another system was kept that says nothing Ambit has a kind for.
    SourceRecorded = "source.recorded";
    /// Stored bytes do not agree with the ledger.
    IntegrityBroken = "notice.integrity";
    /// A dead letter was sent again, corrected.
    DeadLetterRedriven = "notice.redriven";
    /// Somebody did something about a finding.
    TriageChanged = "triage.changed";
    /// Somebody leaves findings out of lists for a time.
    TriageSuppressed = "triage.suppressed";
    /// Somebody did something about a case.
    CaseChanged = "case.changed";
    /// Somebody asked something of the record.
    QueryExecuted = "query.executed";
    /// Somebody took something out of the record.
    QueryExported = "query.exported";
    /// Somebody keeps a question for later.
    SearchSaved = "search.saved";
    /// The customer's rules of a shard are these from here on.
    RulesActivated = "rules.activated";
}

/// Why a CloudEvents `type` is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownType {
    /// No such kind.
    Kind,
    /// The kind is known, its version is not.
    Version,
}

impl Kind {
    /// Reads a CloudEvents `type` of any released version (INVARIANT S-1). Only v1 has been released.
    pub fn from_type(type_name: &str) -> Result<Self, UnknownType> {
        let rest = type_name.strip_prefix("ambit.").ok_or(UnknownType::Kind)?;
        let (name, version) = rest.rsplit_once('.').ok_or(UnknownType::Kind)?;
        let kind = Self::from_name(name).ok_or(UnknownType::Kind)?;
        if version == "v1" { Ok(kind) } else { Err(UnknownType::Version) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_type() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_type(kind.type_name()), Ok(*kind));
        }
        assert_eq!(Kind::from_type("ambit.tool_call.requested.v9"), Err(UnknownType::Version));
        assert_eq!(Kind::from_type("ambit.tool_call.imagined.v1"), Err(UnknownType::Kind));
        assert_eq!(Kind::from_type("com.example.thing"), Err(UnknownType::Kind));
    }
}
