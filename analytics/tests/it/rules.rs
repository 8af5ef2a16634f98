//! Every rule speaks where it should and is silent where it should not.

use crate::scenario::{Case, SHARD, USUAL_TASK, all, judge};
use ambit_analytics::{Analyzer, rules};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn every_case_is_told_as_it_says() {
    let files = all();
    let wrong: Vec<String> =
        files.iter().flat_map(|file| file.case.iter().filter_map(|case| differs(&file.rule, case))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is told otherwise than a case says.
fn differs(rule: &str, case: &Case) -> Option<String> {
    let findings = judge(&mut Analyzer::new(SHARD, case.options()), &case.events(USUAL_TASK));
    let mut told: Vec<&str> = findings.iter().map(|finding| finding.rule.id.as_str()).collect();
    let mut expected: Vec<&str> = case.told.iter().map(String::as_str).collect();
    told.sort_unstable();
    expected.sort_unstable();
    let worst = findings.iter().map(|finding| finding.severity).max();
    let own = findings.iter().find(|finding| finding.rule.id.as_str() == rule);
    let pointer = own.and_then(|finding| Some(&finding.clause.as_ref()?.pointer));
    let reason = own.map_or("", |finding| finding.reason.as_str());
    let fits = told == expected
        && (case.severity.is_none() || worst == case.severity)
        && (case.pointer.is_none() || pointer == case.pointer.as_ref())
        && case.reason.as_ref().is_none_or(|words| reason.contains(words));
    let ids: BTreeSet<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
    if fits && ids.len() == findings.len() {
        return None;
    }
    let reasons: Vec<&str> = findings.iter().map(|finding| finding.reason.as_str()).collect();
    Some(format!(
        "{rule}: {}: {told:?} instead of {expected:?}, {worst:?}, {pointer:?}: {reasons:#?}",
        case.name
    ))
}

// INVARIANT A-4
#[test]
fn every_finding_names_rule_version_clause_and_events() {
    for file in all() {
        for case in &file.case {
            for finding in judge(&mut Analyzer::new(SHARD, case.options()), &case.events(USUAL_TASK)) {
                let what = format!("{}: {}", file.rule, case.name);
                assert!(finding.rule.version >= 1 && !finding.events.is_empty(), "{what}");
                assert!(!finding.title.is_empty() && !finding.reason.is_empty(), "{what}");
                let from_envelope = finding.clause.as_ref();
                assert!(
                    from_envelope.is_none_or(|clause| clause.envelope_version >= 1
                        && clause.envelope_digest.len() == 64
                        && clause.pointer.starts_with('/')),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn every_rule_has_a_page_a_case_in_which_it_speaks_and_one_in_which_it_does_not() {
    let mut cases: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in all() {
        let counts = cases.entry(file.rule.clone()).or_default();
        for case in &file.case {
            if case.told.contains(&file.rule) {
                counts.0 += 1;
            } else {
                counts.1 += 1;
            }
        }
    }
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
    for rule in rules::ALL {
        assert!(pages.join(format!("{}.md", rule.id)).is_file(), "{} has no page", rule.id);
        let (speaks, silent) = cases.remove(rule.id).unwrap_or_default();
        assert!(
            speaks > 0 && silent > 0,
            "{}: {speaks} cases in which it speaks, {silent} in which not",
            rule.id
        );
    }
    assert!(cases.is_empty(), "scenarios of rules that do not exist: {cases:?}");
}
