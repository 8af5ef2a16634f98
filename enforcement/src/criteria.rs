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

/// A class of places where agents act, such as `production`: the first that matches a finding is its class. Of the
/// patterns that are given, each kind must match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Environment {
    /// The class, such as `production`.
    pub(crate) class: String,
    /// Patterns of tenants.
    #[serde(default)]
    tenants: Vec<String>,
    /// Patterns of agent ids.
    #[serde(default)]
    agents: Vec<String>,
    /// Patterns of tools.
    #[serde(default)]
    tools: Vec<String>,
    #[serde(skip)]
    globs: [Option<GlobSet>; 3],
}

impl Environment {
    pub(crate) fn compile(&mut self) -> Result<(), Error> {
        let read = |field, patterns: &[String]| globs(&self.class, field, patterns);
        self.globs =
            [read("tenants", &self.tenants)?, read("agents", &self.agents)?, read("tools", &self.tools)?];
        if self.globs.iter().all(Option::is_none) {
            return Err(Error::Policy(format!(
                "class `{}` has neither `tenants` nor `agents` nor `tools`: it would hold for all",
                self.class
            )));
        }
        Ok(())
    }

    /// Whether a finding was made there. What a finding does not name matches no pattern.
    pub(crate) fn holds(&self, finding: &Finding) -> bool {
        let [tenants, agents, tools] = &self.globs;
        let agent = finding.agent.as_ref().map(|agent| agent.uid.as_str());
        let among = |globs: &Option<GlobSet>, text: Option<&str>| match globs {
            None => true,
            Some(globs) => text.is_some_and(|text| globs.is_match(text)),
        };
        among(tenants, Some(finding.tenant.as_str()))
            && among(agents, agent)
            && among(tools, finding.tool.as_deref())
    }
}

/// The classes of a finding, as far as it has any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Classes<'a> {
    /// How critical its agent is.
    pub(crate) criticality: Option<&'a str>,
    /// Where it was made.
    pub(crate) environment: Option<&'a str>,
}

/// The names of all classes of a policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Of agents.
    pub(crate) criticality: &'a [&'a str],
    /// Of places.
    pub(crate) environment: &'a [&'a str],
}

/// The highest risk there is.
const RISK_MAX: u8 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleDocument {
    name: String,
    #[serde(default)]
    min_severity: Option<Severity>,
    #[serde(default)]
    min_risk: Option<u8>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    criticality: Vec<String>,
    #[serde(default)]
    environment: Vec<String>,
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
    min_risk: Option<u8>,
    rules: Option<GlobSet>,
    /// As they stand in the policy.
    patterns: Vec<String>,
    agents: Option<GlobSet>,
    tenants: Option<GlobSet>,
    criticality: Vec<String>,
    environment: Vec<String>,
    pub(crate) action: Action,
    pub(crate) receivers: Vec<ReceiverId>,
    pub(crate) cool_down_seconds: Option<u32>,
    pub(crate) pause_seconds: Option<u32>,
}

impl Rule {
    pub(crate) fn new(
        document: RuleDocument,
        configured: &[ReceiverId],
        classes: Known<'_>,
    ) -> Result<Self, Error> {
        let name = document.name;
        if let Some(unknown) = document.receivers.iter().find(|receiver| !configured.contains(receiver)) {
            let known: Vec<&str> = configured.iter().map(ReceiverId::as_str).collect();
            return Err(Error::Policy(format!(
                "rule `{name}` names receiver `{unknown}`, which is not configured (known: {})",
                known.join(", ")
            )));
        }
        must_be_defined(&name, "criticality", &document.criticality, classes.criticality)?;
        must_be_defined(&name, "environment", &document.environment, classes.environment)?;
        if let Some(risk) = document.min_risk.filter(|risk| *risk > RISK_MAX) {
            return Err(Error::Policy(format!(
                "rule `{name}`: `min_risk` is {risk}, and no finding has more than {RISK_MAX}"
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
            min_risk: document.min_risk,
            rules: globs(&name, "rules", &document.rules)?,
            patterns: document.rules,
            agents: globs(&name, "agents", &document.agents)?,
            tenants: globs(&name, "tenants", &document.tenants)?,
            criticality: document.criticality,
            environment: document.environment,
            action: document.action,
            receivers,
            cool_down_seconds: document.cool_down_seconds,
            pause_seconds: document.pause_seconds,
            name,
        })
    }

    /// Whether the rule speaks of this finding, which is of these classes.
    pub(crate) fn matches(&self, finding: &Finding, classes: Classes<'_>) -> bool {
        let agent = finding.agent.as_ref().map_or("", |agent| agent.uid.as_str());
        let among =
            |globs: &Option<GlobSet>, text: &str| globs.as_ref().is_none_or(|globs| globs.is_match(text));
        let is_of = |wanted: &[String], class: Option<&str>| {
            wanted.is_empty() || class.is_some_and(|class| wanted.iter().any(|known| known == class))
        };
        finding.severity >= self.min_severity
            && self.min_risk.is_none_or(|least| risk(finding).is_some_and(|risk| risk >= least))
            && is_of(&self.criticality, classes.criticality)
            && is_of(&self.environment, classes.environment)
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

/// What all findings so far say about the task or the agent, whichever is more; nothing when the finding does not say.
fn risk(finding: &Finding) -> Option<u8> {
    finding.risk.as_ref().map(|risk| risk.agent.map_or(risk.task, |agent| agent.max(risk.task)))
}

/// A class that nothing defines would disarm its rule silently.
fn must_be_defined(rule: &str, field: &str, named: &[String], known: &[&str]) -> Result<(), Error> {
    match named.iter().find(|class| !known.contains(&class.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Error::Policy(format!(
            "rule `{rule}` names {field} `{unknown}`, which no [[{field}]] defines (known: {})",
            known.join(", ")
        ))),
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
