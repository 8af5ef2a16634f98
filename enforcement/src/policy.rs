//! The response policy: which finding asks for what.

use crate::error::Error;
use ambit_schemas::finding::{Finding, Maturity, Severity};
use ambit_schemas::id::ReceiverId;
use ambit_schemas::response::{Action, HeldBack, PolicyRef};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The policy that holds when none is configured.
pub const BUILT_IN: &str = r#"# Findings of high severity by stable rules end the task; the rest is told.
[budget]
revocations_per_hour = 200

[[rule]]
name = "end the task"
min_severity = "high"
action = "revoke_task"

[[rule]]
name = "tell"
min_severity = "low"
action = "notify"
"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    rule: Vec<RuleDocument>,
}

/// How many revocations may happen by themselves.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    revocations_per_hour: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { revocations_per_hour: 200 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleDocument {
    name: String,
    #[serde(default)]
    min_severity: Option<Severity>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
    action: Action,
    #[serde(default)]
    receivers: Vec<ReceiverId>,
}

/// A checked policy.
#[derive(Debug)]
pub struct Policy {
    digest: String,
    budget: Budget,
    rules: Vec<Rule>,
    /// Receivers that can only carry out revocations: they are not told of anything else.
    only_revoke: Vec<ReceiverId>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    min_severity: Severity,
    rules: Option<GlobSet>,
    /// As they stand in the policy.
    patterns: Vec<String>,
    agents: Option<GlobSet>,
    tenants: Option<GlobSet>,
    action: Action,
    receivers: Vec<ReceiverId>,
}

/// What a finding asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub action: Action,
    /// What would have been done.
    pub held_back: Option<HeldBack>,
    /// Who is told.
    pub receivers: Vec<ReceiverId>,
    /// Which rule of which policy said so.
    pub policy: PolicyRef,
}

/// What has happened before, as far as it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// Revocations in the hour before the finding.
    pub revocations_in_hour: u32,
    /// Whether the task was ended already.
    pub task_revoked: bool,
}

impl Policy {
    /// Reads and checks a policy. `receivers` are those that are configured.
    pub fn parse(text: &str, receivers: &[ReceiverId]) -> Result<Self, Error> {
        let document: Document = toml::from_str(text).map_err(|error| Error::Policy(error.to_string()))?;
        if document.rule.is_empty() {
            return Err(Error::Policy("it has no [[rule]]: every finding would be ignored".into()));
        }
        let rules =
            document.rule.into_iter().map(|rule| Rule::new(rule, receivers)).collect::<Result<_, _>>()?;
        Ok(Self {
            digest: hex::encode(Sha256::digest(text)),
            budget: document.budget,
            rules,
            only_revoke: Vec::new(),
        })
    }

    /// Names the receivers that can only carry out revocations.
    #[must_use]
    pub fn with_only_revoke(self, only_revoke: Vec<ReceiverId>) -> Self {
        Self { only_revoke, ..self }
    }

    /// Checks that every pattern of rule ids matches one of these ids: one that matches none disarms its rule silently.
    pub fn check_rules(&self, known: &[&str]) -> Result<(), Error> {
        for rule in &self.rules {
            for pattern in &rule.patterns {
                let set = globs(&rule.name, "rules", std::slice::from_ref(pattern))?;
                if !set.is_some_and(|set| known.iter().any(|id| set.is_match(id))) {
                    return Err(Error::Policy(format!(
                        "rule `{}`, `rules`: `{pattern}` matches no rule there is (known: {})",
                        rule.name,
                        known.join(", ")
                    )));
                }
            }
        }
        Ok(())
    }

    /// SHA-256 of the policy's bytes, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What a finding asks for; `None` when no rule speaks of it. A function of its arguments alone.
    pub fn decide(&self, finding: &Finding, before: Before) -> Option<Decision> {
        let rule = self.rules.iter().find(|rule| rule.matches(finding))?;
        // INVARIANT E-3
        let reason = if !rule.action.revokes() {
            None
        } else if finding.rule.maturity != Maturity::Stable {
            Some("maturity")
        } else if before.task_revoked {
            Some("already")
        } else if before.revocations_in_hour >= self.budget.revocations_per_hour {
            Some("budget")
        } else {
            None
        };
        let held_back = reason.map(|reason| HeldBack { action: rule.action, reason: reason.to_owned() });
        let action = if held_back.is_some() { Action::Notify } else { rule.action };
        let policy = PolicyRef { digest: self.digest.clone(), rule: rule.name.clone() };
        let mut receivers = rule.receivers.clone();
        receivers.retain(|receiver| action.revokes() || !self.only_revoke.contains(receiver));
        Some(Decision { action, held_back, receivers, policy })
    }
}

impl Rule {
    fn new(document: RuleDocument, configured: &[ReceiverId]) -> Result<Self, Error> {
        let name = document.name;
        if let Some(unknown) = document.receivers.iter().find(|receiver| !configured.contains(receiver)) {
            let known: Vec<&str> = configured.iter().map(ReceiverId::as_str).collect();
            return Err(Error::Policy(format!(
                "rule `{name}` names receiver `{unknown}`, which is not configured (known: {})",
                known.join(", ")
            )));
        }
        let receivers = if document.receivers.is_empty() { configured.to_vec() } else { document.receivers };
        Ok(Self {
            min_severity: document.min_severity.unwrap_or(Severity::Info),
            rules: globs(&name, "rules", &document.rules)?,
            patterns: document.rules,
            agents: globs(&name, "agents", &document.agents)?,
            tenants: globs(&name, "tenants", &document.tenants)?,
            action: document.action,
            receivers,
            name,
        })
    }

    fn matches(&self, finding: &Finding) -> bool {
        let agent = finding.agent.as_ref().map_or("", |agent| agent.uid.as_str());
        let among =
            |globs: &Option<GlobSet>, text: &str| globs.as_ref().is_none_or(|globs| globs.is_match(text));
        finding.severity >= self.min_severity
            && among(&self.rules, finding.rule.id.as_str())
            && among(&self.agents, agent)
            && among(&self.tenants, finding.tenant.as_str())
    }
}

fn globs(rule: &str, field: &str, patterns: &[String]) -> Result<Option<GlobSet>, Error> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let wrong = |error: globset::Error| Error::Policy(format!("rule `{rule}`, `{field}`: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map(Some).map_err(wrong)
}
