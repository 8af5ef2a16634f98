//! What people ask of enforcement, and what enforcement asks of people. Each is an event in `ambit.responses`: whoever
//! reads the topic from its start knows what was ordered, by whom, and whether it still holds.

use crate::id::{DeliveryId, FindingId, PrincipalId, ReceiverId, ResponseId};
use crate::response::{Action, Target};
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A response that a person orders: it is carried out like a decision of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The order; the response that carries it out has the same id.
    pub response_id: ResponseId,
    /// What is to be done.
    pub action: Action,
    /// At whom it is aimed.
    pub target: Target,
    /// Who orders it.
    pub author: PrincipalId,
    /// Whether the API knew who says so, by a token or an identity provider. Otherwise the author is a name that
    /// somebody gave who may write to Kafka.
    #[serde(default)]
    pub author_authenticated: bool,
    /// Why.
    pub reason: String,
    /// When a pause ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A response that waits until people have approved it (dual control), or waited too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// What approvals name: the response that was held back.
    pub response_id: ResponseId,
    /// The finding.
    pub finding_id: FindingId,
    /// What would be done.
    pub action: Action,
    /// At whom.
    pub target: Target,
    /// Why it waits: `budget` or `blast_radius`.
    pub reason: String,
    /// How many different people must approve.
    pub approvals: u32,
    /// When the question lapses.
    pub expires_at: Timestamp,
    /// How many credentials it would end, as far as known.
    pub credentials: u32,
    /// How many tasks it would end, as far as known.
    pub tasks: u32,
}

/// What one person says to a response that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ruling {
    /// The response that waits.
    pub response_id: ResponseId,
    /// Who approves or denies.
    pub author: PrincipalId,
    /// Whether the API knew who says so, by a token or an identity provider. Otherwise the author is a name that
    /// somebody gave who may write to Kafka.
    #[serde(default)]
    pub author_authenticated: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The switch that turns every revocation by policy into a notification, or back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Switch {
    /// Who turned it.
    pub author: PrincipalId,
    /// Whether the API knew who says so, by a token or an identity provider. Otherwise the author is a name that
    /// somebody gave who may write to Kafka.
    #[serde(default)]
    pub author_authenticated: bool,
    /// Why.
    pub reason: String,
}

/// A delivery that was given up is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Redrive {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Who asks for it.
    pub author: PrincipalId,
    /// Whether the API knew who says so, by a token or an identity provider. Otherwise the author is a name that
    /// somebody gave who may write to Kafka.
    #[serde(default)]
    pub author_authenticated: bool,
    /// Why.
    pub reason: String,
}

/// Another response policy holds from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyChange {
    /// SHA-256 of the policy's bytes, hexadecimal.
    pub digest: String,
    /// The policy that held before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// A receiver that wants nothing more (HTTP 410) gets nothing more, until it is configured otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiverDisabled {
    /// Which.
    pub receiver: ReceiverId,
    /// The delivery to which it answered so.
    pub delivery_id: DeliveryId,
    /// SHA-256 of how it was configured then, hexadecimal: with another configuration it is used again.
    pub configuration: String,
}
