//! What is wrong or unwise about documents of rules, before they are put in force.

use super::fields::{CATEGORIES, known};
use super::load::{InvalidSet, RuleSet, each_item, parse};
use super::source::{Level, Problem, Source};
use super::yaml;
use ambit_schemas::ruleset::RuleDocument;
use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, LintConfig, Severity, SigmaRule, Status,
    lint_yaml_str_with_config,
};
use std::collections::BTreeSet;

/// The key under which a rule brings its examples.
pub(super) const TESTS: &str = "ambit.tests";

/// Everything that is wrong with documents. Without an error among it, the set can be put in force.
pub fn check(documents: &[RuleDocument]) -> Vec<Problem> {
    let mut problems = match RuleSet::compile(documents, true) {
        Ok(_) => Vec::new(),
        Err(InvalidSet::Rules(problems)) => problems,
        Err(error @ InvalidSet::Set(_)) => {
            let path = documents.first().map_or(String::new(), |document| document.path.clone());
            return vec![Problem { path, line: 1, level: Level::Error, text: error.to_string() }];
        }
    };
    for document in documents {
        for part in yaml::parts(&document.text) {
            let source = Source { path: &document.path, part };
            let Ok(collection) = parse(source) else { continue };
            if let Some(rule) = collection.rules.first() {
                detection(source, rule, &mut problems);
            }
            if let Some(rule) = collection.correlations.first() {
                correlation(source, rule, &mut problems);
            }
            of_the_specification(source, &mut problems);
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

fn detection(source: Source<'_>, rule: &SigmaRule, problems: &mut Vec<Problem>) {
    common(source, rule.status, rule.custom_attributes.contains_key(TESTS), problems);
    let category = rule.logsource.category.as_deref();
    let index = category.and_then(|category| CATEGORIES.iter().position(|known| *known == category));
    let mut asked = BTreeSet::new();
    for part in rule.detection.named.values() {
        each_item(part, &mut |item| asked.extend(item.field.name.clone()));
    }
    for field in asked.iter().filter(|field| !known(field, index)) {
        let of = category.map_or_else(String::new, |category| format!(" of category {category}"));
        problems.push(source.error(field, format!("`{field}` is no field of events{of}: see docs/sigma.md")));
    }
    if matches!(category, None | Some("tool_call")) && !asked.contains("kind") {
        let text = "the rule does not compare `kind`: request, completion and denial of one call each match";
        problems.push(source.warning("detection", text));
    }
    if rule.detection.timeframe.is_some() {
        problems
            .push(source.error("timeframe", "`timeframe` in a detection is deprecated: write a correlation"));
    }
}

fn correlation(source: Source<'_>, rule: &CorrelationRule, problems: &mut Vec<Problem>) {
    common(source, rule.status, rule.custom_attributes.contains_key(TESTS), problems);
    let aliases: BTreeSet<&str> = rule.aliases.iter().map(|alias| alias.alias.as_str()).collect();
    let mapped = rule.aliases.iter().flat_map(|alias| alias.mapping.values());
    let named = rule.group_by.iter().filter(|field| !aliases.contains(field.as_str()));
    let counted = match &rule.condition {
        CorrelationCondition::Threshold { field, predicates, .. } => {
            let is_open = |operator: &ConditionOperator| {
                !matches!(operator, ConditionOperator::Gt | ConditionOperator::Gte)
            };
            if predicates.iter().any(|(operator, _)| is_open(operator)) {
                let text = "a window is judged at each of its events: fewer than so many is true from the first one on";
                problems.push(source.warning("condition", text));
            }
            field.clone().unwrap_or_default()
        }
        CorrelationCondition::Extended(_) => Vec::new(),
    };
    for field in named.chain(mapped).chain(&counted).filter(|field| !known(field, None)) {
        problems.push(source.error(field, format!("`{field}` is no field of events: see docs/sigma.md")));
    }
    if !rule.group_by.iter().any(|field| matches!(field.as_str(), "task.id" | "task.root_id")) {
        let text =
            "`group-by` names no task: events of several delegation trees meet only where they share a shard";
        problems.push(source.warning("group-by", text));
    }
}

fn common(source: Source<'_>, status: Option<Status>, has_tests: bool, problems: &mut Vec<Problem>) {
    if matches!(status, Some(Status::Deprecated | Status::Unsupported)) {
        problems.push(source.warning("status", "a rule of this status is not used"));
    } else if !has_tests {
        problems.push(source.warning("", format!("the rule has no examples (`{TESTS}`)")));
    }
}

/// What the specification's own linter says. It never keeps a set out.
fn of_the_specification(source: Source<'_>, problems: &mut Vec<Problem>) {
    let config = LintConfig {
        disabled_rules: ["unknown_rule_reference".to_owned()].into(),
        tag_namespaces: vec!["control".to_owned()],
        ..LintConfig::default()
    };
    for found in lint_yaml_str_with_config(source.part.text, &config) {
        if matches!(found.severity, Severity::Error | Severity::Warning) {
            let line = found.span.map_or(1, |span| span.start_line as usize + 1);
            problems.push(source.problem(Level::Warning, source.line(line), found.message));
        }
    }
}
