//! What the findings about a task, and about an agent, add up to: one number with its reasons. The weights are fixed
//! and stand here; none was fitted to data.

use crate::bounded::Bounded;
use crate::prepare::hash;
use ambit_schemas::finding::{Finding, Maturity, Risk, RiskFactor, Severity};
use ambit_schemas::id::RuleId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rules that are remembered per task and agent.
const RULES_MAX: usize = 64;
/// Tasks and agents of a shard that are remembered.
const SUBJECTS_MAX: usize = 65_536;
/// Factors that a finding shows.
const FACTORS_MAX: usize = 8;

/// What was found about tasks and agents of the shard, by a hash of tenant and name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Risks {
    subjects: Bounded<BTreeMap<RuleId, (Severity, u8)>, SUBJECTS_MAX>,
}

/// How much a rule says by its worst finding, from 0 to 100. What may not revoke by itself says half, what is being
/// tried out a quarter.
const fn weight(severity: Severity, maturity: Maturity) -> u8 {
    let full = match severity {
        Severity::Info => 1,
        Severity::Low => 5,
        Severity::Medium => 20,
        Severity::High => 70,
        Severity::Critical => 90,
    };
    match maturity {
        Maturity::Stable => full,
        Maturity::Incubating => full / 2,
        Maturity::Sandbox => full / 4,
    }
}

/// `100 * (1 - (1 - w1/100) ... (1 - wn/100))`, rounded; in whole numbers, so that it is the same everywhere.
fn combined(weights: impl Iterator<Item = u8>) -> u8 {
    const ONE: u64 = 1_000_000;
    let left = weights.fold(ONE, |left, weight| left * (100 - u64::from(weight.min(100))) / 100);
    u8::try_from(((ONE - left) * 100 + ONE / 2) / ONE).unwrap_or(100)
}

impl Risks {
    /// Takes a finding in, and writes onto it what all so far add up to.
    pub(crate) fn take(&mut self, finding: &mut Finding) {
        let tenant = finding.tenant.as_str();
        let agent = finding.agent.as_ref().map(|agent| hash(&["risk of agent", tenant, agent.uid.as_str()]));
        let task = finding
            .task
            .as_ref()
            .map(|task| hash(&["risk of task", tenant, task.root.as_str(), task.id.as_str()]));
        let of_agent = agent.map(|agent| self.add(agent, finding));
        // A finding outside of any task is told with the agent's.
        let Some(factors) = task.map(|task| self.add(task, finding)).or_else(|| of_agent.clone()) else {
            return;
        };
        let score = |factors: &Vec<RiskFactor>| combined(factors.iter().map(|factor| factor.weight));
        let (task, agent) = (score(&factors), of_agent.as_ref().map(score));
        finding.risk = Some(Risk { task, agent, factors: factors.into_iter().take(FACTORS_MAX).collect() });
    }

    /// The factors of a task or agent, the heaviest first.
    fn add(&mut self, subject: u128, finding: &Finding) -> Vec<RiskFactor> {
        let known = self.subjects.entry(subject, BTreeMap::new);
        let (rule, weight) = (&finding.rule.id, weight(finding.severity, finding.rule.maturity));
        let has_room = known.len() < RULES_MAX;
        if let Some(worst) = known.get_mut(rule) {
            *worst = (worst.0.max(finding.severity), worst.1.max(weight));
        } else if has_room {
            known.insert(rule.clone(), (finding.severity, weight));
        }
        let mut factors: Vec<RiskFactor> = known
            .iter()
            .map(|(rule, (severity, weight))| RiskFactor {
                rule: rule.clone(),
                severity: *severity,
                weight: *weight,
            })
            .collect();
        factors.sort_by_key(|factor| std::cmp::Reverse(factor.weight));
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_certain_reason_is_worth_more_than_many_weak_ones() {
        assert_eq!(combined(std::iter::empty()), 0);
        assert_eq!(combined([weight(Severity::High, Maturity::Stable)].into_iter()), 70);
        assert_eq!(combined([70, 20].into_iter()), 76);
        assert_eq!(combined([100].into_iter()), 100);
        assert!(combined([weight(Severity::Low, Maturity::Incubating); 8].into_iter()) < 20);
    }

    proptest! {
        #[test]
        fn more_reasons_never_make_it_less_and_their_order_does_not_count(mut weights in prop::collection::vec(0_u8..=100, 1..20)) {
            let all = combined(weights.iter().copied());
            prop_assert!(all <= 100 && weights.iter().all(|weight| all + 1 >= *weight));
            prop_assert!(combined(weights.iter().skip(1).copied()) <= all + 1);
            weights.sort_unstable();
            prop_assert!(combined(weights.iter().copied()).abs_diff(all) <= 1);
        }
    }
}
