//! What a rule of the response policy asks of a finding.

use crate::error::Error;
use ambit_schemas::finding::{Finding, Severity};
use ambit_schemas::id::ReceiverId;
use ambit_schemas::response::Action;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;

/// A class of agents, by name: the first that matches an agent is its class.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Criticality {
    /// The class, such as `high`.
    pub(crate) class: String,
    /// Patterns of agent ids.
    agents: Vec<String>,
    #[serde(skip)]
    globs: Option<GlobSet>,
}

impl Criticality {
    pub(crate) fn compile(&mut self) -> Result<(), Error> {
        self.globs = globs(&self.class, "agents", &self.agents)?;
        if self.globs.is_none() {
            return Err(Error::Policy(format!(
                "class `{}` has no `agents`: it would hold for none",
                self.class
            )));
        }
        Ok(())
    }

    pub(crate) fn holds(&self, agent: &str) -> bool {
        self.globs.as_ref().is_some_and(|globs| globs.is_match(agent))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleDocument {
    name: String,
    #[serde(default)]
    min_severity: Option<Severity>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    criticality: Vec<String>,
    action: Action,
    #[serde(default)]
    receivers: Vec<ReceiverId>,
    #[serde(default)]
    cool_down_seconds: Option<u32>,
    #[serde(default)]
    pause_seconds: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    min_severity: Severity,
    rules: Option<GlobSet>,
    /// As they stand in the policy.
    patterns: Vec<String>,
    agents: Option<GlobSet>,
    tenants: Option<GlobSet>,
    criticality: Vec<String>,
    pub(crate) action: Action,
    pub(crate) receivers: Vec<ReceiverId>,
    pub(crate) cool_down_seconds: Option<u32>,
    pub(crate) pause_seconds: Option<u32>,
}

impl Rule {
    pub(crate) fn new(
        document: RuleDocument,
        configured: &[ReceiverId],
        classes: &[&str],
    ) -> Result<Self, Error> {
        let name = document.name;
        if let Some(unknown) = document.receivers.iter().find(|receiver| !configured.contains(receiver)) {
            let known: Vec<&str> = configured.iter().map(ReceiverId::as_str).collect();
            return Err(Error::Policy(format!(
                "rule `{name}` names receiver `{unknown}`, which is not configured (known: {})",
                known.join(", ")
            )));
        }
        if let Some(unknown) = document.criticality.iter().find(|class| !classes.contains(&class.as_str())) {
            return Err(Error::Policy(format!(
                "rule `{name}` names criticality `{unknown}`, which no [[criticality]] defines (known: {})",
                classes.join(", ")
            )));
        }
        if document.action == Action::Restore {
            return Err(Error::Policy(format!(
                "rule `{name}`: `restore` is for people to order, no finding asks for it"
            )));
        }
        if document.pause_seconds.is_some() && document.action != Action::Pause {
            return Err(Error::Policy(format!("rule `{name}`: `pause_seconds` needs `action = \"pause\"`")));
        }
        let receivers = if document.receivers.is_empty() { configured.to_vec() } else { document.receivers };
        Ok(Self {
            min_severity: document.min_severity.unwrap_or(Severity::Info),
            rules: globs(&name, "rules", &document.rules)?,
            patterns: document.rules,
            agents: globs(&name, "agents", &document.agents)?,
            tenants: globs(&name, "tenants", &document.tenants)?,
            criticality: document.criticality,
            action: document.action,
            receivers,
            cool_down_seconds: document.cool_down_seconds,
            pause_seconds: document.pause_seconds,
            name,
        })
    }

    /// Whether the rule speaks of this finding, whose agent is of this class.
    pub(crate) fn matches(&self, finding: &Finding, class: Option<&str>) -> bool {
        let agent = finding.agent.as_ref().map_or("", |agent| agent.uid.as_str());
        let among =
            |globs: &Option<GlobSet>, text: &str| globs.as_ref().is_none_or(|globs| globs.is_match(text));
        let classed = self.criticality.is_empty()
            || class.is_some_and(|class| self.criticality.iter().any(|known| known == class));
        finding.severity >= self.min_severity
            && classed
            && among(&self.rules, finding.rule.id.as_str())
            && among(&self.agents, agent)
            && among(&self.tenants, finding.tenant.as_str())
    }

    /// Whether the rule speaks of this rule id in so many words: `*` does not.
    pub(crate) fn names(&self, id: &str) -> bool {
        let family = id.split_inclusive('-').next().unwrap_or(id);
        self.patterns.iter().any(|pattern| pattern.starts_with(family))
            && self.rules.as_ref().is_some_and(|globs| globs.is_match(id))
    }

    pub(crate) fn check(&self, known: &[&str]) -> Result<(), Error> {
        // The customer's rules come and go with their folder.
        for pattern in self.patterns.iter().filter(|pattern| !pattern.starts_with("R-")) {
            let set = globs(&self.name, "rules", std::slice::from_ref(pattern))?;
            if !set.is_some_and(|set| known.iter().any(|id| set.is_match(id))) {
                return Err(Error::Policy(format!(
                    "rule `{}`, `rules`: `{pattern}` matches no rule there is (known: {})",
                    self.name,
                    known.join(", ")
                )));
            }
        }
        Ok(())
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
