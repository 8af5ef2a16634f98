//! Events in their strict form: one thing that happened, immutable, with everything checked that can be.
//!
//! [`crate::wire`] holds the lax form in which they travel, [`crate::codec`] goes from one to the other.

use crate::baseline::SignedBaseline;
use crate::envelope::SignedEnvelope;
use crate::finding::Finding;
use crate::id::{
    AgentId, Blueprint, CredentialId, EnvelopeId, EventId, EventSource, InstanceId, PrincipalId, TaskId,
    TenantId, ToolCallId,
};
use crate::kind::Kind;
pub use crate::notice::Notice;
use crate::order::{Order, Pending, PolicyChange, ReceiverDisabled, Redrive, Ruling, Switch};
use crate::redact::Redaction;
use crate::response::{Acknowledgement, Attempt, DeadLettered, Decided, Revocation};
use crate::ruleset::RulesActivated;
use crate::timestamp::Timestamp;
use crate::trail::{QueryRecord, SavedSearch};
use crate::triage::{CaseChange, Suppression, TriageChange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// With [`Event::source`], what identifies it.
    pub id: EventId,
    /// Who says so.
    pub source: EventSource,
    /// When it happened, by the producer's clock.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who did it.
    pub agent: Option<AgentRef>,
    /// In what task.
    pub task: Option<TaskRef>,
    /// For whom the agent acts (`sub_id` of RFC 9493).
    pub principal: Option<PrincipalId>,
    /// The credential that was presented with it.
    pub credential_used: Option<CredentialId>,
    /// The session of the agent's host.
    pub session: Option<String>,
    /// W3C trace context.
    pub trace: Option<TraceRef>,
    /// The secrets that were taken out before it was kept (INVARIANT P-1): which rule, where, never what.
    pub redactions: Vec<Redaction>,
    /// What happened.
    pub body: Body,
}

impl Event {
    /// The root task, by which events are kept together; without a task, the agent; without either, the tenant. What is
    /// done about a case or a suppression is kept together by that.
    pub fn partition_key(&self) -> &str {
        if let Some(key) = crate::triage::key_of(self) {
            return key;
        }
        match (&self.task, &self.agent) {
            (Some(task), _) => task.root.as_str(),
            (None, Some(agent)) => agent.uid.as_str(),
            (None, None) => self.tenant.as_str(),
        }
    }

    /// The kind, as the body has it.
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }
}

/// The agent of an event (OCSF `ai_agent`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentRef {
    /// The workload identity.
    pub uid: AgentId,
    /// The running copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uid: Option<InstanceId>,
    /// What the copy is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<Blueprint>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The task of an event. A root task is its own root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskRef {
    /// The task.
    pub id: TaskId,
    /// The top of its delegation tree.
    #[serde(rename = "root_id")]
    pub root: TaskId,
    /// The task that delegated it.
    #[serde(default, rename = "parent_id", skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
}

/// Where an event stands in a distributed trace (W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceRef {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident($payload:ty) => $kind:ident;)*) => {
        /// What happened: the kind, with what belongs to it.
        #[derive(Debug, Clone)]
        pub enum Body { $($(#[$doc])* $name($payload),)* }

        impl Body {
            /// The kind of event that carries this body.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$kind,)* }
            }
        }
    };
}

bodies! {
    /// An agent asks for a tool.
    ToolCallRequested(Box<ToolCall>) => ToolCallRequested;
    /// The tool has answered.
    ToolCallCompleted(Box<ToolCall>) => ToolCallCompleted;
    /// The call was refused.
    ToolCallDenied(Box<ToolCall>) => ToolCallDenied;
    /// A credential came into being.
    CredentialIssued(Box<Credential>) => CredentialIssued;
    /// It was presented.
    CredentialUsed(Box<Credential>) => CredentialUsed;
    /// It was replaced.
    CredentialRotated(Box<Credential>) => CredentialRotated;
    /// It was ended.
    CredentialRevoked(Box<Credential>) => CredentialRevoked;
    /// Its time was over.
    CredentialExpired(Box<Credential>) => CredentialExpired;
    /// Bounds were drawn up.
    EnvelopeProposed(Box<SignedEnvelope>) => EnvelopeProposed;
    /// Bounds were approved.
    EnvelopeApproved(Box<SignedEnvelope>) => EnvelopeApproved;
    /// Bounds were changed.
    EnvelopeAmended(Box<SignedEnvelope>) => EnvelopeAmended;
    /// The task is over.
    EnvelopeClosed(EnvelopeClosed) => EnvelopeClosed;
    /// An approval is wanted.
    ApprovalRequested(Box<Approval>) => ApprovalRequested;
    /// It was given.
    ApprovalApproved(Box<Approval>) => ApprovalApproved;
    /// It was refused.
    ApprovalDenied(Box<Approval>) => ApprovalDenied;
    /// Its time was over.
    ApprovalExpired(Box<Approval>) => ApprovalExpired;
    /// It was withdrawn.
    ApprovalCancelled(Box<Approval>) => ApprovalCancelled;
    /// What tasks usually do was approved.
    BaselineApproved(Box<SignedBaseline>) => BaselineApproved;
    /// An agent was created.
    AgentCreated(Lifecycle) => AgentCreated;
    /// An agent was copied.
    AgentCloned(Lifecycle) => AgentCloned;
    /// An agent was paused.
    AgentPaused(Lifecycle) => AgentPaused;
    /// An agent was resumed.
    AgentResumed(Lifecycle) => AgentResumed;
    /// A task is tried again.
    AgentRetried(Lifecycle) => AgentRetried;
    /// An agent has another task.
    AgentRetasked(Lifecycle) => AgentRetasked;
    /// An agent is out of service.
    AgentOffboarded(Lifecycle) => AgentOffboarded;
    /// Work was handed on.
    DelegationGranted(Box<Delegation>) => DelegationGranted;
    /// It was taken back.
    DelegationRevoked(Box<Delegation>) => DelegationRevoked;
    /// A gateway decided.
    DecisionEvaluated(Decision) => DecisionEvaluated;
    /// The analyzer found something.
    FindingCreated(Box<Finding>) => FindingCreated;
    /// A finding was triaged.
    FindingUpdated(Triage) => FindingUpdated;
    /// A finding is done with.
    FindingClosed(Triage) => FindingClosed;
    /// A response was decided.
    ResponseDecided(Box<Decided>) => ResponseDecided;
    /// A delivery was tried.
    ResponseAttempted(Box<Attempt>) => ResponseAttempted;
    /// A delivery was acknowledged.
    ResponseAcknowledged(Box<Acknowledgement>) => ResponseAcknowledged;
    /// A delivery was given up.
    ResponseDeadLettered(Box<DeadLettered>) => ResponseDeadLettered;
    /// A person ordered a response.
    ResponseOrdered(Box<Order>) => ResponseOrdered;
    /// A response waits for people.
    ResponsePending(Box<Pending>) => ResponsePending;
    /// Somebody approved it.
    ResponseApproved(Box<Ruling>) => ResponseApproved;
    /// Somebody refused it.
    ResponseDenied(Box<Ruling>) => ResponseDenied;
    /// Nobody approved it in time.
    ResponseExpired(Box<Pending>) => ResponseExpired;
    /// Automatic revocation was switched off.
    ResponsesStopped(Switch) => ResponsesStopped;
    /// It was switched on again.
    ResponsesResumed(Switch) => ResponsesResumed;
    /// A dead letter is to be delivered after all.
    DeliveryRedriven(Box<Redrive>) => DeliveryRedriven;
    /// Another response policy holds.
    PolicyChanged(PolicyChange) => PolicyChanged;
    /// A receiver wants nothing more.
    ReceiverDisabled(ReceiverDisabled) => ReceiverDisabled;
    /// Something is to be cut off.
    RevocationRequested(Box<Revocation>) => RevocationRequested;
    /// The receiver has taken it.
    RevocationDelivered(Box<Revocation>) => RevocationDelivered;
    /// The effect was observed.
    RevocationConfirmed(Box<Revocation>) => RevocationConfirmed;
    /// It had no effect.
    RevocationFailed(Box<Revocation>) => RevocationFailed;
    /// Part of a shard is lost.
    GapDetected(Notice) => GapDetected;
    /// A clock is wrong.
    ClockSkewed(Notice) => ClockSkewed;
    /// A foreign record was kept as it is.
    SourceRecorded(Box<SourceRecord>) => SourceRecorded;
    /// Stored bytes are wrong.
    IntegrityBroken(Notice) => IntegrityBroken;
    /// A dead letter was sent again.
    DeadLetterRedriven(Notice) => DeadLetterRedriven;
    /// Something was done about a finding.
    TriageChanged(Box<TriageChange>) => TriageChanged;
    /// Findings are left out of lists.
    TriageSuppressed(Box<Suppression>) => TriageSuppressed;
    /// Something was done about a case.
    CaseChanged(Box<CaseChange>) => CaseChanged;
    /// A question was asked.
    QueryExecuted(Box<QueryRecord>) => QueryExecuted;
    /// Something was taken out.
    QueryExported(Box<QueryRecord>) => QueryExported;
    /// A question is kept.
    SearchSaved(Box<SavedSearch>) => SearchSaved;
    /// The customer's rules are these from here on.
    RulesActivated(Box<RulesActivated>) => RulesActivated;
}

/// What a call does to the world (OCSF API Activity 6003, with execution told apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It only looks.
    Read,
    /// It makes something new: a message, a payment, a file.
    Create,
    /// It changes something.
    Update,
    /// It removes something.
    Delete,
    /// It runs code.
    Execute,
}

/// A tool call, at request, completion or denial (`gen_ai.tool.*`, MCP `tools/call`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// The call; request, completion and denial share it.
    pub id: ToolCallId,
    /// The tool's name.
    pub name: String,
    /// The server that offers the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What the call does, where the producer knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Effect>,
    /// The arguments, a JSON object, byte for byte as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub arguments: Option<Box<RawValue>>,
    /// SHA-256 of the tool's description as the agent saw it, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_sha256: Option<String>,
    /// Classes of the data that the call was given or returned, as the producer labels them: `personal`, `card`, `health`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_classes: Vec<String>,
    /// What the tool returned, bounded and redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// SHA-256 of the whole result, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_digest: Option<String>,
    /// Length of the whole result, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// Keyed hashes of the value-like tokens in the result, where content must not leave the agent's host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result_fingerprints: Vec<String>,
    /// Bytes that the call sent out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// What the call cost, in millionths of the tenant's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The tool reported an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// What kind of error (`error.type`), or why the call was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
}

/// A credential, when it is issued, used, rotated, revoked or expires. Never the secret itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    /// Access key id, accessor, JTI, lease id.
    pub uid: CredentialId,
    /// Such as `oauth_access_token`, `api_key`, `svid_jwt`, `cloud_sts`.
    pub credential_type: String,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// For whom it is meant (`aud`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// From when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Until when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The workload that presented it, where that is not the event's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presented_by: Option<AgentId>,
    /// The credential it was derived from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_uid: Option<CredentialId>,
    /// The credential it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_uid: Option<CredentialId>,
    /// What was reached with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The end of a task.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnvelopeClosed {
    /// The envelope that ends with it.
    pub envelope_id: EnvelopeId,
    /// `completed`, `failed`, `cancelled`, `revoked` (A2A task states, lower case).
    pub outcome: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A human's decision on one action (AuthZEN access request and approval).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The request; all events of one approval share it.
    pub request_id: String,
    /// The tool for which it is wanted.
    pub tool: String,
    /// The call for which it is wanted; absent when it holds for every call of the tool until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<PrincipalId>,
    /// Until when the approval holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_until: Option<Timestamp>,
    /// Why it is wanted, or why it was decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
}

/// A step in an agent's life.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Lifecycle {
    /// The person who answers for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PrincipalId>,
    /// What it was copied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_agent_uid: Option<AgentId>,
    /// The task it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_task_id: Option<TaskId>,
    /// Which try this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Work handed from one agent to another (RFC 8693 `may_act`, attenuated).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Delegation {
    /// The task that is handed on.
    pub child_task_id: TaskId,
    /// Who hands it on.
    pub delegator: AgentId,
    /// Who gets it.
    pub delegatee: AgentId,
    /// How many hands it has been through, from 1.
    pub depth: u32,
    /// The tools the child may use; empty means what its own envelope says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The scopes the child may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What a policy engine or gateway decided on an action (AuthZEN).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The evaluation.
    pub evaluation_id: String,
    /// Allowed or not.
    pub decision: bool,
    /// The call it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// The policy, with its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `config`, `hook`, `classifier`, `user`: what decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
}

/// What an analyst did with a finding.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Triage {
    /// The finding.
    pub finding_id: crate::id::FindingId,
    /// Who.
    pub author: PrincipalId,
    /// The new state: `new`, `in_progress`, `true_positive`, `false_positive`, `benign`.
    pub state: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A record of another system, kept because nothing that is said is dropped.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SourceRecord {
    /// The format it was read as, such as `cloudtrail`; `unknown` where none fits.
    pub format: String,
    /// What it calls itself in that format: an event name, an action, a method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// Why it became nothing else: `unmapped`, or what was wrong with it.
    pub reason: String,
    /// SHA-256 of the record after redaction, hexadecimal.
    pub sha256: String,
    /// Length of the record after redaction, in bytes.
    pub bytes: u64,
    /// The record after redaction; absent when it is larger than an event may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub original: Option<Box<RawValue>>,
}
