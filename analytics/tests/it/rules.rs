//! Every rule speaks where it should and is silent where it should not.

use crate::scenario::{SHARD, all, judge, options};
use ambit_analytics::{Analyzer, rules};
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn every_case_is_told_as_it_says() {
    for file in all() {
        for case in &file.case {
            let what = format!("{}: {}", file.rule, case.name);
            let findings = judge(&mut Analyzer::new(SHARD, options()), &case.events("task-1"));
            let mut told: Vec<&str> = findings.iter().map(|finding| finding.rule.id.as_str()).collect();
            let mut expected: Vec<&str> = case.told.iter().map(String::as_str).collect();
            told.sort_unstable();
            expected.sort_unstable();
            let reasons: Vec<&str> = findings.iter().map(|finding| finding.reason.as_str()).collect();
            assert_eq!(told, expected, "{what}: {reasons:#?}");
            let worst = findings.iter().map(|finding| finding.severity).max();
            assert!(case.severity.is_none() || worst == case.severity, "{what}: {worst:?}");
            let own = findings.iter().find(|finding| finding.rule.id.as_str() == file.rule);
            if let Some(pointer) = &case.pointer {
                let clause = own.and_then(|finding| finding.clause.as_ref());
                assert_eq!(clause.map(|clause| &clause.pointer), Some(pointer), "{what}");
            }
            if let Some(words) = &case.reason {
                let reason = own.map_or("", |finding| finding.reason.as_str());
                assert!(reason.contains(words), "{what}: {reason}");
            }
        }
    }
}

// INVARIANT A-4
#[test]
fn every_finding_names_rule_version_clause_and_events() {
    for file in all() {
        for case in &file.case {
            for finding in judge(&mut Analyzer::new(SHARD, options()), &case.events("task-1")) {
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
