//! What a finding asks for.

use crate::support::{finding, receiver_id};
use ambit_enforcement::{BUILT_IN, Before, Policy};
use ambit_schemas::finding::{Maturity, Severity};
use ambit_schemas::response::Action;

const NOTHING: Before = Before { revocations_in_hour: 0, task_revoked: false };

#[test]
fn the_built_in_policy_ends_tasks_on_high_findings_of_stable_rules_only() {
    let policy = Policy::parse(BUILT_IN, &[receiver_id("idp")]).unwrap();
    let decide = |severity, maturity, before| {
        let mut finding = finding(1);
        (finding.severity, finding.rule.maturity) = (severity, maturity);
        policy
            .decide(&finding, before)
            .map(|decision| (decision.action, decision.held_back.map(|held| held.reason)))
    };
    let stable = Maturity::Stable;
    assert_eq!(decide(Severity::High, stable, NOTHING), Some((Action::RevokeTask, None)));
    assert_eq!(decide(Severity::Critical, stable, NOTHING), Some((Action::RevokeTask, None)));
    assert_eq!(decide(Severity::Medium, stable, NOTHING), Some((Action::Notify, None)));
    assert_eq!(decide(Severity::Info, stable, NOTHING), None);
    // INVARIANT E-3
    let held = |reason: &str| Some((Action::Notify, Some(reason.to_owned())));
    assert_eq!(decide(Severity::High, Maturity::Incubating, NOTHING), held("maturity"));
    assert_eq!(decide(Severity::High, Maturity::Sandbox, NOTHING), held("maturity"));
    let spent = Before { revocations_in_hour: 200, ..NOTHING };
    assert_eq!(decide(Severity::High, stable, spent), held("budget"));
    assert_eq!(
        decide(Severity::High, stable, Before { revocations_in_hour: 199, ..NOTHING }),
        Some((Action::RevokeTask, None))
    );
    assert_eq!(decide(Severity::High, stable, Before { task_revoked: true, ..NOTHING }), held("already"));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let text = r#"
        [[rule]]
        name = "billing"
        agents = ["*billing*"]
        rules = ["E-*"]
        min_severity = "medium"
        action = "revoke_tree"
        receivers = ["idp"]
        [[rule]]
        name = "rest"
        action = "notify"
    "#;
    let known = [receiver_id("idp"), receiver_id("chat")];
    let policy = Policy::parse(text, &known).unwrap();
    let decision = policy.decide(&finding(1), NOTHING).unwrap();
    assert_eq!((decision.action, decision.receivers), (Action::RevokeTree, vec![receiver_id("idp")]));
    assert_eq!((decision.policy.rule.as_str(), decision.policy.digest.len()), ("billing", 64));
    let mut other = finding(1);
    other.severity = Severity::Low;
    let decision = policy.decide(&other, NOTHING).unwrap();
    assert_eq!((decision.action, decision.receivers), (Action::Notify, known.to_vec()));
}

#[test]
fn a_policy_that_cannot_hold_is_refused_with_the_reason() {
    let known = [receiver_id("idp")];
    for (text, words) in [
        ("", "no [[rule]]"),
        ("[[rule]]\nname = \"a\"\naction = \"explode\"", "explode"),
        (
            "[[rule]]\nname = \"a\"\naction = \"notify\"\nreceivers = [\"pager\"]",
            "`pager`, which is not configured",
        ),
        ("[[rule]]\nname = \"a\"\naction = \"notify\"\nagents = [\"[\"]", "rule `a`, `agents`"),
        ("[[rule]]\nname = \"a\"\naction = \"notify\"\ncolour = \"red\"", "colour"),
        ("[budget]\nrevocations_per_hour = -1", "revocations_per_hour"),
    ] {
        let error = Policy::parse(text, &known).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_pattern_that_matches_no_rule_is_refused_with_the_file() {
    let known = ["E-TOOL", "E-DEST", "C-FOREIGN"];
    let policy = |rules: &str| {
        let text = format!("[[rule]]\nname = \"stop\"\nrules = [{rules}]\naction = \"revoke_task\"");
        Policy::parse(&text, &[receiver_id("idp")]).unwrap()
    };
    policy("\"E-*\", \"C-FOREIGN\"").check_rules(&known).unwrap();
    policy("").check_rules(&known).unwrap();
    Policy::parse(BUILT_IN, &[]).unwrap().check_rules(&known).unwrap();
    for typo in ["E-NOPE", "e-tool", "F-*"] {
        let told = policy(&format!("\"E-*\", \"{typo}\"")).check_rules(&known).unwrap_err().to_string();
        assert!(told.contains(typo) && told.contains("`stop`") && told.contains("C-FOREIGN"), "{told}");
    }
}

#[test]
fn receivers_that_only_revoke_are_not_told_of_anything_else() {
    let known = [receiver_id("chat"), receiver_id("vault")];
    let policy = Policy::parse(BUILT_IN, &known).unwrap().with_only_revoke(vec![receiver_id("vault")]);
    let receivers = |finding| policy.decide(&finding, NOTHING).unwrap().receivers;
    assert_eq!(receivers(finding(1)), known.to_vec());
    let mut low = finding(1);
    low.severity = Severity::Low;
    assert_eq!(receivers(low), vec![receiver_id("chat")]);
    // What is held back is told, and revokes nothing.
    let mut held = finding(1);
    held.rule.maturity = Maturity::Sandbox;
    assert_eq!(receivers(held), vec![receiver_id("chat")]);
}
