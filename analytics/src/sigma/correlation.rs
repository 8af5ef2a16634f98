//! Correlations: rules about several events, linked to the rules that they refer to.

use super::load::{Info, Rule, version_of};
use super::source::{Problem, Source};
use super::window::{ENTRIES_MAX, STEPS_MAX};
use rsigma_parser::{
    ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, Quantifier,
    SelectorPattern, WindowMode,
};
use std::collections::{BTreeMap, BTreeSet};

/// Longest window: 31 days, in seconds.
const TIMESPAN_SECONDS_MAX: u64 = 31 * 86_400;
/// Most fields that a correlation groups by or counts values of.
const FIELDS_MAX: usize = 8;

/// What a correlation waits for.
#[derive(Debug)]
pub(super) enum Asks {
    /// So many events.
    Events(Vec<(ConditionOperator, u64)>),
    /// So many different values of these fields.
    Values(Vec<(ConditionOperator, u64)>, Vec<String>),
    /// Events of these rules, in any order.
    Rules(Expression),
    /// An event of each rule, in the order in which they are listed.
    InOrder,
}

/// Which rules have to have matched.
#[derive(Debug)]
pub(super) enum Expression {
    /// So many of the steps.
    Count(Vec<(ConditionOperator, u64)>),
    Step(usize),
    And(Vec<Self>),
    Or(Vec<Self>),
}

impl Expression {
    /// Whether it holds of the steps that are there.
    pub(super) fn holds(&self, there: &[u32]) -> bool {
        match self {
            Self::Count(asked) => compare(asked, there.iter().filter(|count| **count > 0).count() as u64),
            Self::Step(step) => there.get(*step).is_some_and(|count| *count > 0),
            Self::And(parts) => parts.iter().all(|part| part.holds(there)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(there)),
        }
    }
}

/// Whether a number is as asked.
pub(super) fn compare(asked: &[(ConditionOperator, u64)], number: u64) -> bool {
    asked.iter().all(|(operator, bound)| match operator {
        ConditionOperator::Lt => number < *bound,
        ConditionOperator::Lte => number <= *bound,
        ConditionOperator::Gt => number > *bound,
        ConditionOperator::Gte => number >= *bound,
        ConditionOperator::Eq => number == *bound,
        ConditionOperator::Neq => number != *bound,
    })
}

/// What a step of a correlation refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A rule of the set, by its index.
    Rule(usize),
    /// A correlation of the set, by its index: an earlier one.
    Correlation(usize),
}

/// A rule about several events.
#[derive(Debug)]
pub(super) struct Correlation {
    pub(super) info: Info,
    pub(super) asks: Asks,
    pub(super) steps: Vec<Of>,
    /// For each step, the fields that it is grouped by: aliases are resolved.
    pub(super) group_by: Vec<Vec<String>>,
    /// Length of the window, in microseconds of event time.
    pub(super) span_us: i64,
    /// The span as it was written.
    pub(super) span: String,
}

impl Correlation {
    /// The name of its kind, as Sigma has it.
    pub(super) const fn kind(&self) -> &'static str {
        match self.asks {
            Asks::Events(_) => "event_count",
            Asks::Values(..) => "value_count",
            Asks::Rules(_) => "temporal",
            Asks::InOrder => "temporal_ordered",
        }
    }
}

type Read<'a> = (Info, CorrelationRule, Source<'a>);

/// Links correlations to what they refer to, and puts those that others refer to first. Rules that only serve
/// correlations give no findings of their own, unless one of them says `generate: true`.
pub(super) fn link(rules: &mut [Rule], read: Vec<Read<'_>>) -> Result<Vec<Correlation>, Vec<Problem>> {
    let mut names: BTreeMap<String, Of> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        names.extend(rule.info.names.iter().map(|name| (name.clone(), Of::Rule(index))));
    }
    let all: BTreeSet<String> = read.iter().flat_map(|(info, ..)| info.names.iter().cloned()).collect();
    let (mut linked, mut waiting, mut problems): (Vec<Correlation>, _, _) = (Vec::new(), read, Vec::new());
    let (mut silent, mut told) = (Vec::new(), Vec::new());
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut still = Vec::new();
        for (info, rule, source) in waiting {
            let is_pending = |name: &String| all.contains(name) && !names.contains_key(name);
            if rule.rules.iter().any(is_pending) {
                still.push((info, rule, source));
                continue;
            }
            let own = info.names.clone();
            match one(info, &rule, source, &names, (rules, &linked)) {
                Ok(correlation) => {
                    let list = if rule.generate { &mut told } else { &mut silent };
                    list.extend(correlation.steps.iter().copied());
                    names.extend(own.into_iter().map(|name| (name, Of::Correlation(linked.len()))));
                    linked.push(correlation);
                }
                Err(found) => problems.extend(found),
            }
        }
        if still.len() == before {
            let text = "the correlation waits for itself, or for one that cannot be used";
            problems.extend(still.iter().map(|(.., source)| source.error("correlation", text)));
            break;
        }
        waiting = still;
    }
    for of in silent.iter().filter(|of| !told.contains(of)) {
        let info = match of {
            Of::Rule(index) => rules.get_mut(*index).map(|rule| &mut rule.info),
            Of::Correlation(index) => linked.get_mut(*index).map(|one| &mut one.info),
        };
        if let Some(info) = info {
            info.tells = false;
        }
    }
    if problems.is_empty() { Ok(linked) } else { Err(problems) }
}

fn one(
    mut info: Info,
    rule: &CorrelationRule,
    source: Source<'_>,
    names: &BTreeMap<String, Of>,
    (rules, linked): (&[Rule], &[Correlation]),
) -> Result<Correlation, Vec<Problem>> {
    let fail = |key: &str, text: String| vec![source.error(key, text)];
    if rule.rules.is_empty() || rule.rules.len() > STEPS_MAX {
        return Err(fail("rules", format!("a correlation refers to 1 to {STEPS_MAX} rules")));
    }
    let mut steps = Vec::new();
    for name in &rule.rules {
        let Some(of) = names.get(name) else {
            return Err(fail("rules", format!("`{name}` is no rule of this set that is in use")));
        };
        if steps.contains(of) {
            return Err(fail("rules", format!("`{name}` is listed twice")));
        }
        steps.push(*of);
    }
    if rule.window != WindowMode::Sliding {
        return Err(fail("window", "only sliding windows are supported".into()));
    }
    let seconds = rule.timespan.seconds;
    if !(1..=TIMESPAN_SECONDS_MAX).contains(&seconds) {
        return Err(fail("timespan", "the timespan is from one second to 31 days".into()));
    }
    if rule.group_by.is_empty() || rule.group_by.len() > FIELDS_MAX {
        return Err(fail(
            "group-by",
            format!("`group-by` needs 1 to {FIELDS_MAX} fields, such as task.root_id"),
        ));
    }
    let asks = asks(rule).map_err(|(key, text)| fail(key, text))?;
    let group_by = rule.rules.iter().map(|name| fields_for(rule, name)).collect();
    // Its verdicts change with those of the rules that it refers to.
    let below: Vec<String> = steps
        .iter()
        .filter_map(|of| match of {
            Of::Rule(index) => rules.get(*index).map(|rule| &rule.info),
            Of::Correlation(index) => linked.get(*index).map(|one| &one.info),
        })
        .map(|info| info.key.to_string())
        .collect();
    let own = info.key.to_string();
    let parts: Vec<&str> = std::iter::once(own.as_str()).chain(below.iter().map(String::as_str)).collect();
    (info.key, info.version) = version_of(&parts);
    let span_us = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Ok(Correlation { info, asks, steps, group_by, span_us, span: rule.timespan.original.clone() })
}

/// The fields that a rule's events are grouped by.
fn fields_for(rule: &CorrelationRule, name: &str) -> Vec<String> {
    let field = |group: &String| {
        let alias = rule.aliases.iter().find(|alias| alias.alias == *group);
        alias.and_then(|alias| alias.mapping.get(name)).unwrap_or(group).clone()
    };
    rule.group_by.iter().map(field).collect()
}

fn asks(rule: &CorrelationRule) -> Result<Asks, (&'static str, String)> {
    let bounded = |asked: &[(ConditionOperator, u64)]| {
        if asked.iter().any(|(_, bound)| *bound > ENTRIES_MAX as u64 / 2) {
            return Err(("condition", format!("a condition counts to at most {}", ENTRIES_MAX / 2)));
        }
        Ok(asked.to_vec())
    };
    match (rule.correlation_type, &rule.condition) {
        (CorrelationType::EventCount, CorrelationCondition::Threshold { predicates, .. }) => {
            Ok(Asks::Events(bounded(predicates)?))
        }
        (CorrelationType::ValueCount, CorrelationCondition::Threshold { predicates, field, .. }) => {
            let fields = field.clone().unwrap_or_default();
            if fields.is_empty() || fields.len() > FIELDS_MAX {
                return Err(("condition", "value_count needs `field`: the values of which to count".into()));
            }
            Ok(Asks::Values(bounded(predicates)?, fields))
        }
        (CorrelationType::TemporalOrdered, CorrelationCondition::Threshold { predicates, .. })
            if is_default(predicates) =>
        {
            Ok(Asks::InOrder)
        }
        (CorrelationType::Temporal, CorrelationCondition::Threshold { predicates, .. }) => {
            let all = vec![(ConditionOperator::Gte, rule.rules.len() as u64)];
            Ok(Asks::Rules(Expression::Count(if is_default(predicates) {
                all
            } else {
                bounded(predicates)?
            })))
        }
        (CorrelationType::Temporal, CorrelationCondition::Extended(expression)) => {
            Ok(Asks::Rules(expression_of(expression, &rule.rules).map_err(|text| ("condition", text))?))
        }
        (kind, _) => Err((
            "type",
            format!(
                "a {} with this condition is not supported: there are event_count, value_count, temporal, and \
                 temporal_ordered without a condition",
                kind.as_str()
            ),
        )),
    }
}

/// What the parser puts where a temporal correlation has no condition: all rules.
fn is_default(predicates: &[(ConditionOperator, u64)]) -> bool {
    predicates == [(ConditionOperator::Gte, 1)]
}

fn expression_of(expression: &ConditionExpr, steps: &[String]) -> Result<Expression, String> {
    let all = |parts: &[ConditionExpr]| -> Result<Vec<Expression>, String> {
        parts.iter().map(|part| expression_of(part, steps)).collect()
    };
    match expression {
        ConditionExpr::And(parts) => Ok(Expression::And(all(parts)?)),
        ConditionExpr::Or(parts) => Ok(Expression::Or(all(parts)?)),
        ConditionExpr::Identifier(name) => {
            let step = steps.iter().position(|step| step == name);
            step.map(Expression::Step)
                .ok_or_else(|| format!("`{name}` is not among the correlation's `rules`"))
        }
        ConditionExpr::Selector { quantifier, pattern: SelectorPattern::Them } => {
            Ok(Expression::Count(vec![(
                ConditionOperator::Gte,
                match quantifier {
                    Quantifier::Any => 1,
                    Quantifier::All => steps.len() as u64,
                    Quantifier::Count(count) => *count,
                },
            )]))
        }
        ConditionExpr::Not(_) => {
            Err("`not` is not supported: that something did not happen is known only when the window is over"
                .into())
        }
        ConditionExpr::Selector { pattern: SelectorPattern::Pattern(_), .. } => {
            Err("name the rules one by one, or say `them`".into())
        }
    }
}
