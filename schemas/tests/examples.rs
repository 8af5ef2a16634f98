//! One example event of every kind.

use ambit_schemas::baseline::{Baseline, Level, Measure, SignedBaseline, ToolUse};
use ambit_schemas::envelope::{
    ApprovalRule, ArgumentConstraint, Budgets, Check, CredentialGrant, DelegationBounds, Envelope,
    FlowBounds, Principal, SignedEnvelope, SumBound, ToolGrant, Window,
};
use ambit_schemas::event::{
    AgentRef, Approval, Body, Credential, Decision, Delegation, Effect, EnvelopeClosed, Event, Lifecycle,
    Notice, SourceRecord, TaskRef, ToolCall, TraceRef, Triage,
};
use ambit_schemas::finding::{
    ClauseRef, EventRef, Finding, Maturity, Risk, RiskFactor, RuleRef, Severity, finding_id,
};
use ambit_schemas::redact::Redaction;
use ambit_schemas::response::Target;
use ambit_schemas::ruleset::{RuleDocument, RulesActivated};
use ambit_schemas::trail::{Outcome, QueryRecord, SavedSearch};
use ambit_schemas::triage::{CaseChange, Disposition, Suppression, TriageChange, TriageState};
use ambit_schemas::{Kind, Shard, Timestamp, Topic};
use ed25519_dalek::SigningKey;
use serde_json::json;
use serde_json::value::to_raw_value;

/// Parses any id type.
pub fn id<T: for<'a> TryFrom<&'a str>>(text: &str) -> T {
    T::try_from(text).unwrap_or_else(|_| panic!("`{text}` is an id"))
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::parse("2026-11-24T09:00:00Z").unwrap().plus_micros(second * 1_000_000)
}

fn rules() -> RulesActivated {
    let text = "title: Payment at night\nid: 5d0c0b7a-3a3e-4f0e-9d7e-0a8d3f1f6c11\n".to_owned();
    let document = RuleDocument { path: "payments/night.yml".into(), text };
    RulesActivated::sign(vec![document], false, &SigningKey::from_bytes(&[7; 32])).unwrap()
}

pub fn envelope() -> Envelope {
    Envelope {
        id: id("env-7"),
        version: 2,
        task_id: id("task-7"),
        agent_uid: id("spiffe://acme.example/agent/billing"),
        purpose: "Pay the electricity bill of November".into(),
        principal: Some(Principal {
            name: "Emma Johnson".into(),
            addresses: vec!["emma@acme.example".into()],
        }),
        approved_by: id("emma"),
        tools: vec![ToolGrant {
            name: "send_money".into(),
            server: Some("bank".into()),
            arguments: vec![
                ArgumentConstraint {
                    pointer: "/recipient".into(),
                    check: Check::In(vec![json!("DE89370400440532013000")]),
                    optional: false,
                },
                ArgumentConstraint {
                    pointer: "/amount".into(),
                    check: Check::Range { min: Some(0.0), max: Some(120.0) },
                    optional: false,
                },
            ],
            max_calls: Some(1),
            description_sha256: Some("ab".repeat(32)),
        }],
        unlisted_effects: vec![Effect::Read],
        effects: Some(vec![Effect::Read, Effect::Create]),
        destinations: Some(vec!["DE89370400440532013000".into()]),
        resources: Some(vec!["bank://accounts/**".into()]),
        data_classes: Some(vec!["internal".into()]),
        credentials: vec![CredentialGrant {
            issuer: "https://idp.acme.example".into(),
            scopes: vec!["payments:*".into()],
            max_ttl_seconds: Some(900),
        }],
        budgets: Budgets {
            max_calls: Some(20),
            max_calls_per_minute: Some(10),
            max_bytes_out: Some(65_536),
            max_cost_micros: Some(500_000),
            max_duration_seconds: Some(3_600),
            max_live_credentials: Some(2),
            sums: [("send_money".to_owned(), SumBound { pointer: "/amount".into(), max: 120.0 })].into(),
        },
        window: Window { not_before: Some(at(0)), not_after: Some(at(7_200)) },
        delegation: DelegationBounds {
            max_depth: 1,
            delegates: vec!["spiffe://acme.example/agent/*".into()],
        },
        approvals: vec![ApprovalRule {
            tool: "delete_*".into(),
            approvers: vec![id("emma")],
            valid_seconds: Some(300),
        }],
        flow: FlowBounds::default(),
    }
}

pub fn baseline() -> Baseline {
    let level = |mean, upper| Level { mean, upper, per: 1.0 };
    let usage = ToolUse { tasks: level(0.5, 0.625), calls: level(0.25, 0.5) };
    Baseline {
        id: id("bl-7"),
        version: 2,
        tenant: id("acme"),
        blueprint: id("billing@3"),
        purpose: Some("pay the electricity bill of".into()),
        from: at(-2_592_000),
        to: at(0),
        previous: Some("ef".repeat(32)),
        approved_by: Some(id("emma")),
        tasks: 412,
        confidence: 0.999,
        false_alerts_per_day: 0.125,
        measures: [(Measure::BytesOut, Level { mean: 0.25, upper: 0.375, per: 4_096.0 })].into(),
        tools: [("send_money".to_owned(), usage)].into(),
        known: [("account".to_owned(), vec!["DE89370400440532013000".to_owned()])].into(),
        new: [("told".to_owned(), level(0.0, 0.0625))].into(),
    }
}

fn call() -> Box<ToolCall> {
    Box::new(ToolCall {
        id: id("call-3"),
        name: "send_money".into(),
        server: Some("bank".into()),
        activity: Some(Effect::Create),
        arguments: Some(
            to_raw_value(&json!({"recipient": "DE89370400440532013000", "amount": 98.7})).unwrap(),
        ),
        description_sha256: Some("ab".repeat(32)),
        data_classes: vec!["card".into()],
        result: Some("{\"message\":\"sent\"}".into()),
        result_digest: Some("cd".repeat(32)),
        result_bytes: Some(18),
        result_fingerprints: vec!["hmac-sha256:0011".into()],
        bytes_out: Some(512),
        cost_micros: Some(1_200),
        duration_ms: Some(41),
        is_error: false,
        error_type: None,
    })
}

fn credential() -> Box<Credential> {
    Box::new(Credential {
        uid: id("jti-19"),
        credential_type: "oauth_access_token".into(),
        issuer: Some("https://idp.acme.example".into()),
        scopes: vec!["payments:write".into()],
        audience: vec!["https://bank.example".into()],
        not_before: Some(at(0)),
        expires_at: Some(at(900)),
        presented_by: Some(id("spiffe://acme.example/agent/billing")),
        parent_uid: Some(id("jti-1")),
        previous_uid: Some(id("jti-18")),
        resource: Some("https://bank.example/transfers".into()),
        reason: Some("rotation".into()),
    })
}

fn approval() -> Box<Approval> {
    Box::new(Approval {
        request_id: "apr-1".into(),
        tool: "delete_file".into(),
        tool_call_id: Some(id("call-4")),
        approver: Some(id("emma")),
        approved_until: Some(at(300)),
        justification: Some("the draft is obsolete".into()),
    })
}

fn lifecycle() -> Lifecycle {
    Lifecycle {
        owner: Some(id("emma")),
        parent_agent_uid: Some(id("spiffe://acme.example/agent/template")),
        previous_task_id: Some(id("task-6")),
        attempt: Some(2),
        reason: Some("scheduled".into()),
    }
}

fn agent() -> AgentRef {
    AgentRef {
        uid: id("spiffe://acme.example/agent/billing"),
        instance_uid: Some(id("run-1")),
        blueprint: Some(id("billing@4")),
        name: Some("billing".into()),
    }
}

fn task() -> TaskRef {
    TaskRef { id: id("task-7"), root: id("task-7"), parent: None }
}

pub fn target() -> Target {
    Target {
        agent_uid: Some(agent().uid),
        task_id: Some(id("task-7")),
        root_task_id: Some(id("task-7")),
        credentials: vec![id("jti-19")],
    }
}

pub fn finding() -> Box<Finding> {
    let (source, event) = (id("gateway-1"), id("evt-tool_call.requested"));
    Box::new(Finding {
        id: finding_id(&id("E-DEST"), 1, &id("acme"), (&source, &event), "/destinations"),
        tenant: id("acme"),
        rule: RuleRef { id: id("E-DEST"), version: 1, maturity: Maturity::Stable },
        severity: Severity::High,
        title: "Destination outside the envelope".into(),
        reason: "billing sends money to an account that nobody approved".into(),
        clause: Some(ClauseRef {
            envelope_id: id("env-7"),
            envelope_version: 2,
            envelope_digest: "ef".repeat(32),
            pointer: "/destinations".into(),
        }),
        expected: Some("DE89370400440532013000".into()),
        observed: Some("US133000000121212121212".into()),
        agent: Some(agent()),
        task: Some(task()),
        tool: Some("send_money".into()),
        tool_call_id: Some(id("call-3")),
        credentials: vec![id("jti-19")],
        events: vec![EventRef { source, id: event, shard: Shard::new(Topic::Events, 1), offset: 41 }],
        baseline: None,
        risk: Some(Risk {
            task: 70,
            agent: Some(70),
            factors: vec![RiskFactor { rule: id("E-DEST"), severity: Severity::High, weight: 70 }],
        }),
        revocation: None,
        late_seconds: None,
        controls: vec!["ASI02".into()],
        time: at(3),
    })
}

fn triage() -> Triage {
    Triage {
        finding_id: finding().id,
        author: id("sam"),
        state: "true_positive".into(),
        note: Some("seen".into()),
    }
}

fn triage_change() -> TriageChange {
    TriageChange {
        finding_id: finding().id,
        author: id("sam"),
        state: Some(TriageState::Closed),
        disposition: Some(Disposition::TruePositive),
        assignee: Some(id("kim")),
        unassigned: false,
        note: Some("the account is the attacker's".into()),
    }
}

fn suppression() -> Suppression {
    Suppression {
        suppression_id: id("sup-7"),
        author: id("sam"),
        finding_id: None,
        rule_id: Some(id("E-TOOL")),
        agent_uid: Some(id("spiffe://acme.example/agent/billing")),
        until: at(3_600),
        reason: "the envelope is being amended".into(),
    }
}

fn case_change() -> CaseChange {
    CaseChange {
        case_id: id("case-7"),
        author: id("sam"),
        title: Some("Payments to an unknown account".into()),
        state: Some(TriageState::Acknowledged),
        assignee: Some(id("kim")),
        note: Some("both begin with the same letter".into()),
        add: vec![finding().id],
        remove: vec![id("finding-8")],
    }
}

fn query() -> QueryRecord {
    QueryRecord {
        author: id("sam"),
        role: "analyst".into(),
        scope: Some(id("acme")),
        route: "GET /api/v1/events".into(),
        query_sha256: "5f".repeat(32),
        from: Some(at(-86_400)),
        to: Some(at(0)),
        times: 3,
        rows: 150,
        bytes: 81_234,
        status: 200,
        outcome: Outcome::Complete,
        duration_us: 91_000,
    }
}

fn saved_search() -> SavedSearch {
    SavedSearch {
        search_id: id("search-7"),
        author: id("sam"),
        name: "Refused calls".into(),
        query: "kind=tool_call.denied".into(),
        removed: false,
    }
}

fn notice() -> Notice {
    Notice {
        shard: Some(Shard::new(Topic::Events, 1)),
        from_offset: Some(5),
        to_offset: Some(9),
        source: None,
        missing: None,
        skew_ms: None,
        author: None,
        sent_as: None,
        text: "offsets 5 to 8 are no longer in Kafka".into(),
    }
}

fn source_record() -> Box<SourceRecord> {
    Box::new(SourceRecord {
        format: "cloudtrail".into(),
        record_type: Some("ConsoleLogin".into()),
        reason: "unmapped".into(),
        sha256: "23".repeat(32),
        bytes: 38,
        original: Some(to_raw_value(&json!({"eventName": "ConsoleLogin"})).unwrap()),
    })
}

fn body(kind: Kind) -> Body {
    let signed = || Box::new(SignedEnvelope::sign(&envelope(), &SigningKey::from_bytes(&[7; 32])).unwrap());
    let delegation = || {
        Box::new(Delegation {
            child_task_id: id("task-8"),
            delegator: id("spiffe://acme.example/agent/billing"),
            delegatee: id("spiffe://acme.example/agent/mailer"),
            depth: 1,
            tools: vec!["send_email".into()],
            scopes: vec!["mail:send".into()],
            expires_at: Some(at(600)),
        })
    };
    match kind {
        Kind::ToolCallRequested => Body::ToolCallRequested(call()),
        Kind::ToolCallCompleted => Body::ToolCallCompleted(call()),
        Kind::ToolCallDenied => Body::ToolCallDenied(call()),
        Kind::CredentialIssued => Body::CredentialIssued(credential()),
        Kind::CredentialUsed => Body::CredentialUsed(credential()),
        Kind::CredentialRotated => Body::CredentialRotated(credential()),
        Kind::CredentialRevoked => Body::CredentialRevoked(credential()),
        Kind::CredentialExpired => Body::CredentialExpired(credential()),
        Kind::EnvelopeProposed => Body::EnvelopeProposed(signed()),
        Kind::EnvelopeApproved => Body::EnvelopeApproved(signed()),
        Kind::EnvelopeAmended => Body::EnvelopeAmended(signed()),
        Kind::EnvelopeClosed => Body::EnvelopeClosed(EnvelopeClosed {
            envelope_id: id("env-7"),
            outcome: "completed".into(),
            reason: Some("paid".into()),
        }),
        Kind::ApprovalRequested => Body::ApprovalRequested(approval()),
        Kind::ApprovalApproved => Body::ApprovalApproved(approval()),
        Kind::ApprovalDenied => Body::ApprovalDenied(approval()),
        Kind::ApprovalExpired => Body::ApprovalExpired(approval()),
        Kind::ApprovalCancelled => Body::ApprovalCancelled(approval()),
        Kind::BaselineApproved => {
            let key = SigningKey::from_bytes(&[7; 32]);
            Body::BaselineApproved(Box::new(SignedBaseline::sign(&baseline(), &key).unwrap()))
        }
        Kind::AgentCreated => Body::AgentCreated(lifecycle()),
        Kind::AgentCloned => Body::AgentCloned(lifecycle()),
        Kind::AgentPaused => Body::AgentPaused(lifecycle()),
        Kind::AgentResumed => Body::AgentResumed(lifecycle()),
        Kind::AgentRetried => Body::AgentRetried(lifecycle()),
        Kind::AgentRetasked => Body::AgentRetasked(lifecycle()),
        Kind::AgentOffboarded => Body::AgentOffboarded(lifecycle()),
        Kind::DelegationGranted => Body::DelegationGranted(delegation()),
        Kind::DelegationRevoked => Body::DelegationRevoked(delegation()),
        Kind::DecisionEvaluated => Body::DecisionEvaluated(Decision {
            evaluation_id: "eval-1".into(),
            decision: true,
            tool_call_id: Some(id("call-3")),
            policy: Some("gateway@12".into()),
            reason: Some("listed".into()),
            decided_by: Some("config".into()),
        }),
        Kind::FindingCreated => Body::FindingCreated(finding()),
        Kind::FindingUpdated => Body::FindingUpdated(triage()),
        Kind::FindingClosed => Body::FindingClosed(triage()),
        Kind::ResponseDecided
        | Kind::ResponseAttempted
        | Kind::ResponseAcknowledged
        | Kind::ResponseDeadLettered
        | Kind::ResponseOrdered
        | Kind::ResponsePending
        | Kind::ResponseApproved
        | Kind::ResponseDenied
        | Kind::ResponseExpired
        | Kind::ResponsesStopped
        | Kind::ResponsesResumed
        | Kind::DeliveryRedriven
        | Kind::PolicyChanged
        | Kind::ReceiverDisabled => crate::examples_orders::body(kind),
        Kind::RevocationRequested => Body::RevocationRequested(crate::examples_orders::revocation()),
        Kind::RevocationDelivered => Body::RevocationDelivered(crate::examples_orders::revocation()),
        Kind::RevocationConfirmed => Body::RevocationConfirmed(crate::examples_orders::revocation()),
        Kind::RevocationFailed => Body::RevocationFailed(crate::examples_orders::revocation()),
        Kind::GapDetected => Body::GapDetected(notice()),
        Kind::SourceRecorded => Body::SourceRecorded(source_record()),
        Kind::ClockSkewed => Body::ClockSkewed(notice()),
        Kind::IntegrityBroken => Body::IntegrityBroken(notice()),
        Kind::RulesActivated => Body::RulesActivated(Box::new(rules())),
        Kind::DeadLetterRedriven => Body::DeadLetterRedriven(Notice {
            author: Some("emma".into()),
            sent_as: Some("ambit.events:1:40".into()),
            ..notice()
        }),
        Kind::TriageChanged => Body::TriageChanged(Box::new(triage_change())),
        Kind::TriageSuppressed => Body::TriageSuppressed(Box::new(suppression())),
        Kind::CaseChanged => Body::CaseChanged(Box::new(case_change())),
        Kind::QueryExecuted => Body::QueryExecuted(Box::new(query())),
        Kind::QueryExported => Body::QueryExported(Box::new(query())),
        Kind::SearchSaved => Body::SearchSaved(Box::new(saved_search())),
    }
}

/// An example of that kind.
pub fn event(kind: Kind) -> Event {
    Event {
        id: id(&format!("evt-{kind}")),
        source: id("gateway-1"),
        time: at(3),
        tenant: id("acme"),
        agent: Some(agent()),
        task: Some(task()),
        principal: Some(id("emma")),
        credential_used: Some(id("jti-19")),
        session: Some("session-2".into()),
        trace: Some(TraceRef {
            trace_id: "5b8efff798038103d269b633813fc60c".into(),
            span_id: Some("eee19b7ec3c1b174".into()),
            parent_span_id: None,
        }),
        redactions: if kind == Kind::SourceRecorded {
            vec![Redaction { rule: "secret-name".into(), pointer: "/responseElements/password".into() }]
        } else {
            Vec::new()
        },
        body: body(kind),
    }
}
