//! The response policy: which finding asks for what.

use crate::alive::RULE_ALIVE;
use crate::criteria::{Classes, Criticality, Environment, Known, Rule, RuleDocument};
use crate::error::Error;
use ambit_schemas::finding::{Finding, Maturity};
use ambit_schemas::id::{PrincipalId, ReceiverId};
use ambit_schemas::response::{Action, HeldBack, PolicyRef};
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
/// The name under which an escalation stands in events: no rule of the policy says it.
const ESCALATION: &str = "escalation";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    approval: Approval,
    #[serde(default)]
    escalation: Escalation,
    #[serde(default)]
    criticality: Vec<Criticality>,
    #[serde(default)]
    environment: Vec<Environment>,
    #[serde(default)]
    rule: Vec<RuleDocument>,
}

/// How much may be revoked without people.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Budget {
    /// Revocations by policy within an hour of the machine's clock.
    revocations_per_hour: u32,
    /// Credentials that one action may end.
    max_credentials: u32,
    /// Tasks that one action may end.
    max_tasks: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { revocations_per_hour: 200, max_credentials: 100, max_tasks: 50 }
    }
}

/// What becomes of a revocation beyond the budget.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Approval {
    /// Different people who must approve it; 0: nobody is asked, it is only told.
    approvals: u32,
    /// How long they have, in seconds.
    expires_after_seconds: u32,
}

impl Default for Approval {
    fn default() -> Self {
        Self { approvals: 2, expires_after_seconds: 3_600 }
    }
}

/// What follows when a revocation has no effect.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Escalation {
    /// How many stronger revocations may follow one another; 0: none, it is only told.
    rounds: u32,
}

impl Default for Escalation {
    fn default() -> Self {
        Self { rounds: 3 }
    }
}

/// A checked policy.
#[derive(Debug)]
pub struct Policy {
    digest: String,
    budget: Budget,
    approval: Approval,
    escalation: Escalation,
    criticality: Vec<Criticality>,
    environment: Vec<Environment>,
    rules: Vec<Rule>,
    receivers: Vec<ReceiverId>,
    /// Receivers that can only carry out revocations: they are not told of anything else.
    only_revoke: Vec<ReceiverId>,
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
    /// What people are asked, when they are.
    pub question: Option<Question>,
    /// How long a pause lasts, in seconds; without it until somebody lifts it.
    pub pause_seconds: Option<u32>,
    /// Who ordered or approved it.
    pub authors: Vec<PrincipalId>,
}

/// Whether people approve what was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// How many different people must.
    pub approvals: u32,
    /// How long they have, in seconds.
    pub expires_after_seconds: u32,
}

/// What has happened before, as far as it counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// Revocations by policy in the hour before the decision, by the machine's clock: what agents say of time does not
    /// count.
    pub revocations_in_hour: u32,
    /// Whether the task was ended already.
    pub task_revoked: bool,
    /// Whether automatic revocation is switched off.
    pub stopped: bool,
    /// Seconds since something was last asked for against the same agent in the same task.
    pub seconds_since_last: Option<u64>,
}

/// What an action would hit, as far as known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blast {
    /// Credentials that it would end.
    pub credentials: u32,
    /// Tasks that it would end.
    pub tasks: u32,
}

impl Policy {
    /// Reads and checks a policy. `receivers` are those that are configured.
    pub fn parse(text: &str, receivers: &[ReceiverId]) -> Result<Self, Error> {
        let document: Document = toml::from_str(text).map_err(|error| Error::Policy(error.to_string()))?;
        if document.rule.is_empty() {
            return Err(Error::Policy("it has no [[rule]]: every finding would be ignored".into()));
        }
        let (mut criticality, mut environment) = (document.criticality, document.environment);
        criticality.iter_mut().try_for_each(Criticality::compile)?;
        environment.iter_mut().try_for_each(Environment::compile)?;
        let of_agents: Vec<&str> = criticality.iter().map(|class| class.class.as_str()).collect();
        let of_places: Vec<&str> = environment.iter().map(|class| class.class.as_str()).collect();
        let known = Known { criticality: &of_agents, environment: &of_places };
        let rules = document.rule.into_iter().map(|rule| Rule::new(rule, receivers, known));
        let rules = rules.collect::<Result<_, _>>()?;
        Ok(Self {
            digest: Self::digest_of(text),
            budget: document.budget,
            approval: document.approval,
            escalation: document.escalation,
            criticality,
            environment,
            rules,
            receivers: receivers.to_vec(),
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
        self.rules.iter().try_for_each(|rule| rule.check(known))
    }

    /// SHA-256 of a policy's bytes, hexadecimal.
    pub(crate) fn digest_of(text: &str) -> String {
        hex::encode(Sha256::digest(text))
    }

    /// SHA-256 of the policy's bytes, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// All receivers that take this action.
    pub(crate) fn receivers_for(&self, action: Action) -> Vec<ReceiverId> {
        let mut receivers = self.receivers.clone();
        receivers.retain(|receiver| action.revokes() || !self.only_revoke.contains(receiver));
        receivers
    }

    /// What a finding asks for; `None` when no rule speaks of it. A function of its arguments alone. `blast` says what an
    /// action would hit.
    pub fn decide(
        &self,
        finding: &Finding,
        before: Before,
        blast: impl Fn(Action) -> Blast,
    ) -> Option<Decision> {
        let classes = self.classes(finding);
        let rule = self.rules.iter().find(|rule| rule.matches(finding, classes));
        if let Some(failed) = finding.revocation.as_deref().filter(|_| finding.rule.id.as_str() == RULE_ALIVE)
            && !rule.is_some_and(|rule| rule.names(RULE_ALIVE))
        {
            let reason = (failed.round > self.escalation.rounds)
                .then_some("rounds")
                .or_else(|| self.reason(failed.action.stronger(), finding, before, &blast, true));
            let rule = PolicyRef { digest: self.digest.clone(), rule: ESCALATION.to_owned() };
            return Some(self.decision(failed.action.stronger(), reason, rule, self.receivers.clone(), None));
        }
        let rule = rule?;
        let cooling = rule
            .cool_down_seconds
            .zip(before.seconds_since_last)
            .is_some_and(|(rest, since)| since < u64::from(rest));
        let reason = (cooling && rule.action > Action::Notify)
            .then_some("cool_down")
            .or_else(|| self.reason(rule.action, finding, before, &blast, false));
        let named = PolicyRef { digest: self.digest.clone(), rule: rule.name.clone() };
        Some(self.decision(rule.action, reason, named, rule.receivers.clone(), rule.pause_seconds))
    }

    fn classes(&self, finding: &Finding) -> Classes<'_> {
        let agent = finding.agent.as_ref().map(|agent| agent.uid.as_str());
        let critical = self.criticality.iter().find(|class| agent.is_some_and(|agent| class.holds(agent)));
        let place = self.environment.iter().find(|class| class.holds(finding));
        Classes {
            criticality: critical.map(|class| &*class.class),
            environment: place.map(|class| &*class.class),
        }
    }

    /// Why a revocation is held back, if it is (INVARIANT E-3). An escalation is of what is revoked already.
    fn reason(
        &self,
        action: Action,
        finding: &Finding,
        before: Before,
        blast: &impl Fn(Action) -> Blast,
        escalates: bool,
    ) -> Option<&'static str> {
        if before.stopped && action > Action::Notify {
            return Some("stop");
        }
        if !action.revokes() {
            return None;
        }
        if finding.rule.maturity != Maturity::Stable {
            Some("maturity")
        } else if before.task_revoked && !escalates {
            Some("already")
        } else if before.revocations_in_hour >= self.budget.revocations_per_hour {
            Some("budget")
        } else {
            let hit = blast(action);
            let too_much = hit.credentials > self.budget.max_credentials || hit.tasks > self.budget.max_tasks;
            too_much.then_some("blast_radius")
        }
    }

    fn decision(
        &self,
        wanted: Action,
        reason: Option<&str>,
        policy: PolicyRef,
        receivers: Vec<ReceiverId>,
        pause_seconds: Option<u32>,
    ) -> Decision {
        let asks = matches!(reason, Some("budget" | "blast_radius")) && self.approval.approvals > 0;
        let question = asks.then_some(Question {
            approvals: self.approval.approvals,
            expires_after_seconds: self.approval.expires_after_seconds,
        });
        let held_back = reason.map(|reason| HeldBack { action: wanted, reason: reason.to_owned() });
        let action = if held_back.is_some() { Action::Notify } else { wanted };
        let pause_seconds = pause_seconds.filter(|_| action == Action::Pause);
        let mut receivers = receivers;
        receivers.retain(|receiver| action.revokes() || !self.only_revoke.contains(receiver));
        Decision { action, held_back, receivers, policy, question, pause_seconds, authors: Vec::new() }
    }
}
