//! What people do about findings: events of their own, in the order in which they happened. A finding itself never
//! changes; how it stands is what these events, folded in the shard's order, make of it.

use crate::event::Event;
use crate::id::{AgentId, CaseId, FindingId, PrincipalId, RuleId, SuppressionId};
use crate::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of a note.
pub const NOTE_BYTES_MAX: usize = 8 << 10;
/// Most findings that one event puts into a case or takes out of it.
pub const CASE_FINDINGS_MAX: usize = 100;

/// Where a finding or a case stands.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TriageState {
    /// Nobody has looked at it.
    #[default]
    Open,
    /// Somebody looks at it.
    Acknowledged,
    /// It is done with.
    Closed,
}

impl TriageState {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

/// What a finding turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The agent did what it must not do.
    TruePositive,
    /// It did not.
    FalsePositive,
    /// It did, and that was all right.
    Benign,
}

impl Disposition {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TruePositive => "true_positive",
            Self::FalsePositive => "false_positive",
            Self::Benign => "benign",
        }
    }
}

/// What somebody did about one finding. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriageChange {
    /// The finding.
    pub finding_id: FindingId,
    /// Who.
    pub author: PrincipalId,
    /// Where it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TriageState>,
    /// What it turned out to be; given when it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// Who looks after it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<PrincipalId>,
    /// Nobody looks after it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unassigned: bool,
    /// What is to be remembered of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Findings that lists leave out until a time. They are given, stored and acted upon all the same; told again with the
/// same id and another time, a suppression is longer, shorter or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppression {
    /// The suppression.
    pub suppression_id: SuppressionId,
    /// Who.
    pub author: PrincipalId,
    /// This one finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_id: Option<FindingId>,
    /// Findings of this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<RuleId>,
    /// Findings about this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_uid: Option<AgentId>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

impl Suppression {
    /// Whether it speaks of a finding. Without any condition it speaks of none.
    pub fn covers(&self, finding: &str, rule: &str, agent: Option<&str>) -> bool {
        let conditions = [
            self.finding_id.as_ref().map(|id| id.as_str() == finding),
            self.rule_id.as_ref().map(|id| id.as_str() == rule),
            self.agent_uid.as_ref().map(|id| Some(id.as_str()) == agent),
        ];
        conditions.iter().any(Option::is_some) && conditions.into_iter().flatten().all(|holds| holds)
    }
}

/// What somebody did about a case: findings that are worked on together. The first such event opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseChange {
    /// The case.
    pub case_id: CaseId,
    /// Who.
    pub author: PrincipalId,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TriageState>,
    /// Who looks after it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<PrincipalId>,
    /// What is to be remembered of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Findings that belong to it from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<FindingId>,
    /// Findings that no longer do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<FindingId>,
}

/// Kafka's key: changes of one case stand in one shard, in their order, as do those of one suppression.
#[allow(clippy::wildcard_enum_match_arm, reason = "all else is kept together by task or agent")]
pub(crate) fn key_of(event: &Event) -> Option<&str> {
    match &event.body {
        crate::event::Body::CaseChanged(change) => Some(change.case_id.as_str()),
        crate::event::Body::TriageSuppressed(suppression) => Some(suppression.suppression_id.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_covers_what_fulfils_all_its_conditions_and_without_any_nothing() {
        let mut all = Suppression {
            suppression_id: SuppressionId::try_from("s").unwrap(),
            author: PrincipalId::try_from("sam").unwrap(),
            finding_id: None,
            rule_id: None,
            agent_uid: None,
            until: Timestamp::from_micros(0),
            reason: "known".into(),
        };
        assert!(!all.covers("f", "E-TOOL", Some("a")));
        all.rule_id = Some(RuleId::try_from("E-TOOL").unwrap());
        assert!(all.covers("f", "E-TOOL", None) && !all.covers("f", "E-ARG", None));
        all.agent_uid = Some(AgentId::try_from("a").unwrap());
        assert!(all.covers("f", "E-TOOL", Some("a")));
        assert!(!all.covers("f", "E-TOOL", Some("b")) && !all.covers("f", "E-TOOL", None));
    }
}
