//! What a finding asks for.

use crate::support::{finding, receiver_id};
use ambit_enforcement::{BUILT_IN, Before, Blast, Options, Policy, Service};
use ambit_schemas::finding::{Finding, Maturity, Risk, Severity};
use ambit_schemas::response::Action;

const NOTHING: Before =
    Before { revocations_in_hour: 0, task_revoked: false, stopped: false, seconds_since_last: None };

fn small(_: Action) -> Blast {
    Blast { credentials: 1, tasks: 1 }
}

#[test]
fn the_built_in_policy_ends_tasks_on_high_findings_of_stable_rules_only() {
    let policy = Policy::parse(BUILT_IN, &[receiver_id("idp")]).unwrap();
    let decide = |severity, maturity, before| {
        let mut finding = finding(1);
        (finding.severity, finding.rule.maturity) = (severity, maturity);
        policy
            .decide(&finding, before, small)
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
    let decision = policy.decide(&finding(1), NOTHING, small).unwrap();
    assert_eq!((decision.action, decision.receivers), (Action::RevokeTree, vec![receiver_id("idp")]));
    assert_eq!((decision.policy.rule.as_str(), decision.policy.digest.len()), ("billing", 64));
    let mut other = finding(1);
    other.severity = Severity::Low;
    let decision = policy.decide(&other, NOTHING, small).unwrap();
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
fn criticality_and_cool_downs_decide_too() {
    let text = r#"
        [[criticality]]
        class = "high"
        agents = ["*billing*"]
        [[rule]]
        name = "critical agents are paused"
        criticality = ["high"]
        action = "pause"
        pause_seconds = 600
        cool_down_seconds = 60
        [[rule]]
        name = "rest"
        action = "notify"
    "#;
    let policy = Policy::parse(text, &[receiver_id("idp")]).unwrap();
    let decision = policy.decide(&finding(1), NOTHING, small).unwrap();
    assert_eq!((decision.action, decision.pause_seconds), (Action::Pause, Some(600)));
    let since = |seconds| Before { seconds_since_last: Some(seconds), ..NOTHING };
    let cooling = policy.decide(&finding(1), since(59), small).unwrap();
    assert_eq!((cooling.action, cooling.held_back.unwrap().reason.as_str()), (Action::Notify, "cool_down"));
    assert_eq!(cooling.pause_seconds, None);
    assert_eq!(policy.decide(&finding(1), since(60), small).unwrap().action, Action::Pause);
    let mut other = finding(1);
    other.agent.as_mut().unwrap().uid = "spiffe://acme.example/agent/mailer".parse().unwrap();
    assert_eq!(policy.decide(&other, NOTHING, small).unwrap().action, Action::Notify);
    for (text, words) in [
        (
            "[[rule]]\nname = \"a\"\naction = \"notify\"\ncriticality = [\"high\"]",
            "no [[criticality]] defines",
        ),
        ("[[rule]]\nname = \"a\"\naction = \"notify\"\npause_seconds = 5", "pause_seconds"),
        ("[[rule]]\nname = \"a\"\naction = \"restore\"", "restore"),
        (
            "[[criticality]]\nclass = \"high\"\nagents = []\n[[rule]]\nname = \"a\"\naction = \"notify\"",
            "hold for none",
        ),
    ] {
        let error = Policy::parse(text, &[]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_hits_too_much_waits_for_people() {
    let text =
        "[budget]\nmax_tasks = 5\nmax_credentials = 9\n[[rule]]\nname = \"end\"\naction = \"revoke_tree\"";
    let policy = Policy::parse(text, &[receiver_id("idp")]).unwrap();
    let decide =
        |credentials, tasks| policy.decide(&finding(1), NOTHING, |_| Blast { credentials, tasks }).unwrap();
    assert_eq!((decide(9, 5).action, decide(9, 5).question), (Action::RevokeTree, None));
    for (credentials, tasks) in [(10, 1), (1, 6)] {
        let decision = decide(credentials, tasks);
        assert_eq!(decision.held_back.unwrap().reason, "blast_radius");
        assert_eq!((decision.action, decision.question.unwrap().approvals), (Action::Notify, 2));
    }
    let alone = Policy::parse(&format!("{text}\n[approval]\napprovals = 0"), &[]).unwrap();
    let decision = alone.decide(&finding(1), NOTHING, |_| Blast { credentials: 10, tasks: 1 }).unwrap();
    assert_eq!((decision.action, decision.question), (Action::Notify, None), "nobody is asked, it is told");
}

#[test]
fn a_revocation_without_effect_asks_for_the_next_stronger_until_its_rounds_are_over() {
    let alive = |action, round| {
        let mut alive = finding(1);
        alive.rule.id = ambit_enforcement::RULE_ALIVE.parse().unwrap();
        alive.severity = Severity::Critical;
        alive.revocation = Some(Box::new(ambit_schemas::finding::FailedRevocation {
            response_id: "rsp-1".parse().unwrap(),
            finding_id: finding(1).id,
            action,
            receiver: receiver_id("idp"),
            round,
        }));
        alive
    };
    let policy = Policy::parse(BUILT_IN, &[receiver_id("idp")]).unwrap();
    // The task is revoked already: that is what did not help.
    let before = Before { task_revoked: true, ..NOTHING };
    let decide = |finding: &ambit_schemas::Finding, before| policy.decide(finding, before, small).unwrap();
    for (failed, next) in [
        (Action::RevokeCredential, Action::RevokeTask),
        (Action::RevokeTask, Action::RevokeTree),
        (Action::RevokeTree, Action::RevokeTree),
    ] {
        let decision = decide(&alive(failed, 1), before);
        assert_eq!((decision.action, decision.policy.rule.as_str()), (next, "escalation"));
    }
    let held = |decision: ambit_enforcement::Decision| (decision.action, decision.held_back.unwrap().reason);
    assert_eq!(held(decide(&alive(Action::RevokeTree, 4), before)), (Action::Notify, "rounds".to_owned()));
    let stopped = Before { stopped: true, ..before };
    assert_eq!(held(decide(&alive(Action::RevokeTask, 1), stopped)), (Action::Notify, "stop".to_owned()));
    // Who names the rule decides otherwise; a pattern for all does not name it.
    let own = |pattern: &str| {
        let text = format!("[[rule]]\nname = \"own\"\nrules = [\"{pattern}\"]\naction = \"notify\"");
        let policy = Policy::parse(&text, &[receiver_id("idp")]).unwrap();
        policy.decide(&alive(Action::RevokeTask, 1), before, small).unwrap().action
    };
    assert_eq!((own("V-*"), own("V-ALIVE"), own("*")), (Action::Notify, Action::Notify, Action::RevokeTree));
}

#[test]
fn receivers_that_only_revoke_are_not_told_of_anything_else() {
    let known = [receiver_id("chat"), receiver_id("vault")];
    let policy = Policy::parse(BUILT_IN, &known).unwrap().with_only_revoke(vec![receiver_id("vault")]);
    let receivers = |finding| policy.decide(&finding, NOTHING, small).unwrap().receivers;
    assert_eq!(receivers(finding(1)), known.to_vec());
    let mut low = finding(1);
    low.severity = Severity::Low;
    assert_eq!(receivers(low), vec![receiver_id("chat")]);
    // What is held back is told, and revokes nothing.
    let mut held = finding(1);
    held.rule.maturity = Maturity::Sandbox;
    assert_eq!(receivers(held), vec![receiver_id("chat")]);
}

const PLACES: &str = r#"
    [[environment]]
    class = "production"
    tenants = ["acme"]
    agents = ["spiffe://acme.example/agent/*"]
    [[environment]]
    class = "laboratory"
    tools = ["lab_*"]
    [[rule]]
    name = "production, and much has come together"
    environment = ["production"]
    min_risk = 70
    action = "revoke_task"
    [[rule]]
    name = "in the laboratory agents wait"
    environment = ["laboratory"]
    action = "pause"
    [[rule]]
    name = "rest"
    action = "notify"
"#;

fn risky(task: u8, agent: Option<u8>) -> Finding {
    Finding { risk: Some(Risk { task, agent, factors: Vec::new() }), ..finding(1) }
}

#[test]
fn environment_and_risk_decide_too() {
    let policy = Policy::parse(PLACES, &[receiver_id("idp")]).unwrap();
    let rule = |finding: &Finding| policy.decide(finding, NOTHING, small).unwrap().policy.rule;
    let (production, laboratory) =
        ("production, and much has come together", "in the laboratory agents wait");
    assert_eq!(rule(&risky(70, None)), production);
    assert_eq!(rule(&risky(69, Some(70))), production, "of the agent, where that is more");
    assert_eq!(rule(&risky(69, Some(69))), "rest");
    assert_eq!(rule(&Finding { risk: None, ..finding(1) }), "rest", "nobody has said how much");
    let other_tenant = Finding { tenant: "other".parse().unwrap(), ..risky(99, None) };
    assert_eq!(rule(&other_tenant), "rest", "tenant and agent must both match");
    let nobody = Finding { agent: None, ..risky(99, None) };
    assert_eq!(rule(&nobody), "rest", "who is not known is in no class of agents");
    let lab = Finding { tool: Some("lab_mix".into()), ..other_tenant };
    assert_eq!(rule(&lab), laboratory);
    assert_eq!(rule(&Finding { tool: None, ..lab }), "rest");
    let both = Finding { tool: Some("lab_mix".into()), ..risky(99, None) };
    assert_eq!(rule(&both), production, "the first class that matches");
}

#[test]
fn a_policy_file_with_classes_that_hold_for_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let options = Options { policy_file: Some(path.clone()), ..Options::default() };
        Service::check(&options, &[]).map_err(|error| error.to_string())
    };
    check(PLACES).unwrap();
    let rule = "[[rule]]\nname = \"a\"\naction = \"notify\"\n";
    for (text, words) in [
        (format!("{rule}environment = [\"prod\"]"), "environment `prod`, which no [[environment]] defines"),
        (format!("{rule}min_risk = 101"), "no finding has more than 100"),
        (format!("{rule}min_risk = -1"), "min_risk"),
        (format!("[[environment]]\nclass = \"prod\"\n{rule}"), "it would hold for all"),
        (format!("[[environment]]\nclass = \"prod\"\ntools = [\"[\"]\n{rule}"), "`tools`"),
        (format!("[[environment]]\nclass = \"prod\"\nhosts = [\"a\"]\n{rule}"), "hosts"),
    ] {
        let error = check(&text).unwrap_err();
        assert!(error.contains(words) && error.contains("policy.toml"), "{text}: {error}");
    }
}
