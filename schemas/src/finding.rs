//! Findings: a verdict or detector result worth telling someone, with everything that led to it (INVARIANT A-4).

use crate::event::{AgentRef, TaskRef};
use crate::id::{
    CredentialId, EnvelopeId, EventId, EventSource, FindingId, ReceiverId, ResponseId, RuleId, TenantId,
    ToolCallId,
};
use crate::record::Shard;
use crate::response::Action;
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How bad it is. `High` and above ask for revocation under the default response policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth keeping.
    Info,
    /// Worth a look when there is time.
    Low,
    /// Worth a look today.
    Medium,
    /// The agent has left its envelope with effect: stop it.
    High,
    /// Damage is being done.
    Critical,
}

impl Severity {
    /// All, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How far a rule is trusted. Only `Stable` rules revoke by themselves (INVARIANT E-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Maturity {
    /// Being tried out.
    Sandbox,
    /// Alerts, does not act.
    Incubating,
    /// May revoke.
    Stable,
}

/// The rule that gave a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleRef {
    /// Its stable id.
    pub id: RuleId,
    /// Its version: changes whenever its verdicts may.
    pub version: u32,
    /// How far it is trusted.
    pub maturity: Maturity,
}

/// The clause of an envelope that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClauseRef {
    /// The envelope.
    pub envelope_id: EnvelopeId,
    /// Its version.
    pub envelope_version: u32,
    /// SHA-256 of the document's bytes, hexadecimal.
    pub envelope_digest: String,
    /// JSON pointer into the document (RFC 6901), such as `/tools/2/arguments/0`.
    pub pointer: String,
}

/// An event that a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventRef {
    /// CloudEvents `source`.
    pub source: EventSource,
    /// CloudEvents `id`.
    pub id: EventId,
    /// Where it stands.
    pub shard: Shard,
    /// Its offset there.
    pub offset: u64,
}

/// The baseline a statistical finding was measured against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineRef {
    /// The baseline.
    pub id: String,
    /// Its version.
    pub version: u32,
}

/// How much all findings so far say about a task and its agent together: from 0 (nothing) to 100.
///
/// Each rule counts once, at its worst. Its weight follows from severity and maturity; `n` weights combine as
/// independent reasons do: `100 * (1 - (1 - w1/100) ... (1 - wn/100))`, rounded. A function of the findings before this
/// one and this one (INVARIANT A-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Risk {
    /// Of the task.
    pub task: u8,
    /// Of the agent, over its tasks in this shard; absent when the agent is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<u8>,
    /// What the task's score is made of, the heaviest first.
    pub factors: Vec<RiskFactor>,
}

/// One rule's part in a risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskFactor {
    /// The rule.
    pub rule: RuleId,
    /// Its worst severity so far.
    pub severity: Severity,
    /// Its weight, from 0 to 100.
    pub weight: u8,
}

/// A revocation that was acknowledged and had no effect: what a finding of `V-ALIVE` is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedRevocation {
    /// The response that asked for it.
    pub response_id: ResponseId,
    /// The finding behind that.
    pub finding_id: FindingId,
    /// What was asked for.
    pub action: Action,
    /// Who acknowledged it.
    pub receiver: ReceiverId,
    /// How many revocations have had no effect so far, this one included.
    pub round: u32,
}

/// A verdict or detector result worth telling someone. A pure function of the shard's events up to the last one it
/// names: it carries no time but theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// [`finding_id`] of rule, version, event and clause.
    pub id: FindingId,
    /// Whose it is.
    #[serde(rename = "tenant_uid")]
    pub tenant: TenantId,
    /// The rule that gave it.
    pub rule: RuleRef,
    /// How bad it is.
    pub severity: Severity,
    /// One line, the same for all findings of the rule.
    pub title: String,
    /// What happened here, as a sentence for people.
    pub reason: String,
    /// The clause that decided; absent when there was no envelope or the rule needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clause: Option<ClauseRef>,
    /// What the clause allows, abridged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was seen instead, abridged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRef>,
    /// In what task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
    /// The tool, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The call, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// Credentials that the agent is known to hold for the task: what a revocation would end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialId>,
    /// The events it rests on, the deciding one last.
    pub events: Vec<EventRef>,
    /// The baseline, for statistical rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineRef>,
    /// What all findings so far add up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The revocation that had no effect, for `V-ALIVE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Box<FailedRevocation>>,
    /// By how many seconds of event time its event came behind what its delegation tree had told, where that is more than
    /// five minutes: it was judged by what is still remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_seconds: Option<u64>,
    /// Controls for which it is evidence, such as `ASI02`, `CC7.2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<String>,
    /// The time of the deciding event (INVARIANT A-2).
    pub time: Timestamp,
}

/// A finding's id: the first 16 bytes, in hexadecimal, of SHA-256 over rule, rule version, tenant, deciding event and
/// clause, each preceded by its length. The same history gives the same ids wherever it is replayed (INVARIANT A-1).
pub fn finding_id(
    rule: &RuleId,
    version: u32,
    tenant: &TenantId,
    event: (&EventSource, &EventId),
    clause: &str,
) -> FindingId {
    let version = version.to_string();
    let parts = [rule.as_str(), &version, tenant.as_str(), event.0.as_str(), event.1.as_str(), clause];
    let text = format!("fnd-{}", stable_id("ambit-finding/v1", &parts));
    // The text is 36 plain characters: it is always an id.
    FindingId::try_from(text).unwrap_or_else(|_| unreachable!("a hexadecimal text is an id"))
}

/// 128 bits of SHA-256 over length-prefixed parts, hexadecimal: ids that are functions of what they name.
pub fn stable_id(domain: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(&domain).chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_every_part_and_on_nothing_else() {
        let id = |rule: &str, version, event: &str, clause: &str| {
            let rule = RuleId::try_from(rule).unwrap();
            let tenant = TenantId::try_from("acme").unwrap();
            let source = EventSource::try_from("gw").unwrap();
            let event = EventId::try_from(event).unwrap();
            finding_id(&rule, version, &tenant, (&source, &event), clause)
        };
        let base = id("E-TOOL", 1, "e1", "/tools");
        assert_eq!(base, id("E-TOOL", 1, "e1", "/tools"));
        assert_eq!(base.as_str().len(), 36);
        for other in [
            id("E-ARG", 1, "e1", "/tools"),
            id("E-TOOL", 2, "e1", "/tools"),
            id("E-TOOL", 1, "e2", "/tools"),
            id("E-TOOL", 1, "e1", ""),
        ] {
            assert_ne!(base, other);
        }
        assert_ne!(stable_id("d", &["ab", "c"]), stable_id("d", &["a", "bc"]));
    }
}
