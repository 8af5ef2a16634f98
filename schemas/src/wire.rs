//! The lax form in which events travel: what a record's headers and value may hold. Strictness begins in
//! [`crate::codec`]. Versions are modules; every released one is read forever (INVARIANT S-1).

/// Version 1: CloudEvents 1.0 in Kafka's binary content mode, `data` as JSON.
pub mod v1 {
    use crate::baseline::SignedBaseline;
    use crate::envelope::SignedEnvelope;
    use crate::event::{
        AgentRef, Approval, Credential, Decision, Delegation, EnvelopeClosed, Lifecycle, Notice,
        SourceRecord, TaskRef, ToolCall, TraceRef, Triage,
    };
    use crate::finding::Finding;
    use crate::id::{CredentialId, PrincipalId, TenantId};
    use crate::order::{Order, Pending, PolicyChange, ReceiverDisabled, Redrive, Ruling, Switch};
    use crate::redact::Redaction;
    use crate::response::{Acknowledgement, Attempt, DeadLettered, Decided, Revocation};
    use crate::ruleset::RulesActivated;
    use crate::trail::{QueryRecord, SavedSearch};
    use crate::triage::{CaseChange, Suppression, TriageChange};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// The `data` of an event: what all kinds share, and one object named after the kind. Unknown fields are not an
    /// error; they stay in the stored bytes.
    #[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
    pub struct Data {
        /// Whose event it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tenant_uid: Option<TenantId>,
        /// Who did it (OCSF `ai_agent`).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ai_agent: Option<AgentRef>,
        /// In what task (A2A).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub task: Option<TaskRef>,
        /// For whom (RFC 9493, `opaque` format).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sub_id: Option<SubjectId>,
        /// The credential presented with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub credential_uid: Option<CredentialId>,
        /// The session of the agent's host.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub session_uid: Option<String>,
        /// W3C trace context.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub trace: Option<TraceRef>,
        /// For `tool_call.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tool_call: Option<Box<ToolCall>>,
        /// For `credential.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub credential: Option<Box<Credential>>,
        /// For `task.envelope.proposed`, `.approved`, `.amended`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub envelope: Option<Box<SignedEnvelope>>,
        /// For `task.envelope.closed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub closed: Option<EnvelopeClosed>,
        /// For `approval.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub approval: Option<Box<Approval>>,
        /// For `baseline.approved`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub baseline: Option<Box<SignedBaseline>>,
        /// For `agent.lifecycle.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub lifecycle: Option<Lifecycle>,
        /// For `delegation.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub delegation: Option<Box<Delegation>>,
        /// For `decision.evaluated`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub decision: Option<Decision>,
        /// For `finding.created`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub finding: Option<Box<Finding>>,
        /// For `finding.updated` and `.closed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub triage: Option<Triage>,
        /// For `response.decided`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub response: Option<Box<Decided>>,
        /// For `response.attempted`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub attempt: Option<Box<Attempt>>,
        /// For `response.acknowledged`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub acknowledgement: Option<Box<Acknowledgement>>,
        /// For `response.dead_lettered`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub dead_lettered: Option<Box<DeadLettered>>,
        /// For `response.ordered`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub order: Option<Box<Order>>,
        /// For `response.pending` and `.expired`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pending: Option<Box<Pending>>,
        /// For `response.approved` and `.denied`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ruling: Option<Box<Ruling>>,
        /// For `response.stopped` and `.resumed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub switch: Option<Switch>,
        /// For `response.redriven`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub redrive: Option<Box<Redrive>>,
        /// For `response.policy_changed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub policy: Option<PolicyChange>,
        /// For `response.receiver_disabled`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub disabled: Option<ReceiverDisabled>,
        /// For `revocation.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub revocation: Option<Box<Revocation>>,
        /// For `source.recorded`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub source_record: Option<Box<SourceRecord>>,
        /// The secrets that were taken out before the event was kept: which rule, where, never what.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub redactions: Vec<Redaction>,
        /// For `notice.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub notice: Option<Notice>,
        /// For `triage.changed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub triage_change: Option<Box<TriageChange>>,
        /// For `triage.suppressed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub suppression: Option<Box<Suppression>>,
        /// For `case.changed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub case_change: Option<Box<CaseChange>>,
        /// For `query.*`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub query: Option<Box<QueryRecord>>,
        /// For `search.saved`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub saved_search: Option<Box<SavedSearch>>,
        /// For `rules.activated`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub rules: Option<Box<RulesActivated>>,
    }

    /// A subject (RFC 9493). Formats other than `opaque` are kept in the stored bytes and read by their `id`.
    #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
    pub struct SubjectId {
        /// The format, `opaque` when written by Ambit.
        #[serde(default)]
        pub format: String,
        /// The subject.
        pub id: PrincipalId,
    }
}
