//! Responses: what a finding asks for, where it was sent, how each try went, and whether it had effect.
//!
//! A response is decided once per finding; it has one delivery per receiver; a delivery has attempts. Each step is an
//! event in `ambit.responses`.

use crate::event::{AgentRef, TaskRef};
use crate::finding::{EventRef, Severity};
use crate::id::{
    AgentId, AttemptId, CredentialId, DeliveryId, FindingId, PrincipalId, ReceiverId, ResponseId, RuleId,
    TaskId, TenantId,
};
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked for, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let the agent go on: lifts a pause.
    Restore,
    /// Tell someone.
    Notify,
    /// Ask a human before the agent goes on.
    StepUp,
    /// Stop the agent until somebody resumes it.
    Pause,
    /// End the credentials it holds.
    RevokeCredential,
    /// End the task with its credentials.
    RevokeTask,
    /// End the whole delegation tree.
    RevokeTree,
}

impl Action {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Notify => "notify",
            Self::StepUp => "step_up",
            Self::Pause => "pause",
            Self::RevokeCredential => "revoke_credential",
            Self::RevokeTask => "revoke_task",
            Self::RevokeTree => "revoke_tree",
        }
    }

    /// Whether it takes something away from the agent.
    pub const fn revokes(self) -> bool {
        matches!(self, Self::RevokeCredential | Self::RevokeTask | Self::RevokeTree)
    }

    /// What to ask for when a revocation had no effect: the next that takes away more.
    #[must_use]
    pub const fn stronger(self) -> Self {
        match self {
            Self::Restore | Self::Notify => Self::StepUp,
            Self::StepUp => Self::Pause,
            Self::Pause => Self::RevokeCredential,
            Self::RevokeCredential => Self::RevokeTask,
            Self::RevokeTask | Self::RevokeTree => Self::RevokeTree,
        }
    }
}

/// What a response is aimed at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_uid: Option<AgentId>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The top of its delegation tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_task_id: Option<TaskId>,
    /// The credentials it is known to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialId>,
}

/// What the policy decided that a finding asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// The response: a function of the finding and the action.
    pub response_id: ResponseId,
    /// The finding.
    pub finding_id: FindingId,
    /// The rule that gave it.
    pub rule_id: RuleId,
    /// How bad it is.
    pub severity: Severity,
    /// What is to be done.
    pub action: Action,
    /// What the policy would have done, had maturity, budget or a stop not held it back (INVARIANT E-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// Whom it is aimed at.
    pub target: Target,
    /// Who is told.
    pub receivers: Vec<ReceiverId>,
    /// The policy's rule that matched, with the policy's digest.
    pub policy: PolicyRef,
    /// When it was decided, by the clock of the machine that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// When it is undone by itself: the end of a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who ordered or approved it; empty when the policy decided alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<PrincipalId>,
}

/// A stronger action that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBack {
    /// What would have been done.
    pub action: Action,
    /// Why it was not: `maturity`, `already` (the task was revoked before), `budget`, `blast_radius`, `cool_down`,
    /// `rounds` (it was tried often enough), `stop`.
    pub reason: String,
}

/// The policy that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyRef {
    /// SHA-256 of the policy's bytes, hexadecimal.
    pub digest: String,
    /// The name of its rule that matched.
    pub rule: String,
}

/// One HTTP try of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// The try.
    pub attempt_id: AttemptId,
    /// The delivery; also the `webhook-id` header, the same for every try.
    pub delivery_id: DeliveryId,
    /// The response.
    pub response_id: ResponseId,
    /// The finding.
    pub finding_id: FindingId,
    /// To whom.
    pub receiver: ReceiverId,
    /// What is asked for.
    pub action: Action,
    /// Which try, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The HTTP status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// What went wrong, from a closed list (`connect`, `timeout`, `tls`, `refused_address`, `status`, `redirect`, ...).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the next try is due, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// A receiver has taken a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The response.
    pub response_id: ResponseId,
    /// The finding.
    pub finding_id: FindingId,
    /// Who took it.
    pub receiver: ReceiverId,
    /// What was asked for.
    pub action: Action,
    /// How many tries it took.
    pub attempts: u32,
    /// The HTTP status.
    pub http_status: u16,
    /// When.
    pub acknowledged_at: Timestamp,
    /// What the receiver saw when it looked for the effect itself; absent when it did not look, or saw none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLettered {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The response.
    pub response_id: ResponseId,
    /// The finding.
    pub finding_id: FindingId,
    /// Who did not take it.
    pub receiver: ReceiverId,
    /// What was asked for.
    pub action: Action,
    /// How many tries were made.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
}

/// A revocation, or a pause, on its way from request to observed effect (INVARIANT E-2; OCSF 7001).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revocation {
    /// The response that asks for it (`command_uid`).
    pub response_id: ResponseId,
    /// The finding behind it.
    pub finding_id: FindingId,
    /// What is cut off.
    pub target: Target,
    /// To whom it was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<ReceiverId>,
    /// When its effect began, once observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// What showed the effect, or its absence: what the receiver saw, and what was seen in events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// When it was decided, by the machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// When the receiver acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// How many revocations before this one had no effect.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round: u32,
    /// For how long credentials that carry their own validity can still be used where nobody asks the issuer, in seconds
    /// from the acknowledgement on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual_seconds: Option<u64>,
    /// When a pause ends by itself: what its agent does from then on is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The uses that were seen after the acknowledgement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<EventRef>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The body of a webhook: Standard Webhooks' `type`, `timestamp` and `data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookBody {
    /// `ambit.response.<action>`, with underscores as in [`Action::name`].
    #[serde(rename = "type")]
    pub type_name: String,
    /// The finding's time.
    pub timestamp: Timestamp,
    /// What is asked for and why.
    pub data: WebhookData,
}

/// What a receiver needs to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookData {
    /// The response.
    pub response_id: ResponseId,
    /// What is asked for.
    pub action: Action,
    /// At whom.
    pub target: Target,
    /// Whose agent it is.
    #[serde(rename = "tenant_uid")]
    pub tenant: TenantId,
    /// The finding.
    pub finding_id: FindingId,
    /// The rule.
    pub rule_id: RuleId,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// What happened, as a sentence.
    pub reason: String,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRef>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
    /// When it is undone by itself: the end of a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
