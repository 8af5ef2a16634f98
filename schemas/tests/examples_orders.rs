//! Examples of what enforcement does, what people say to it, and what it asks them.

use crate::examples::{at, finding, id, target};
use ambit_schemas::Kind;
use ambit_schemas::event::Body;
use ambit_schemas::finding::Severity;
use ambit_schemas::order::{Order, Pending, PolicyChange, ReceiverDisabled, Redrive, Ruling, Switch};
use ambit_schemas::response::{
    Acknowledgement, Action, Attempt, DeadLettered, Decided, HeldBack, PolicyRef, Revocation,
};

fn decided() -> Box<Decided> {
    Box::new(Decided {
        response_id: id("rsp-1"),
        finding_id: finding().id,
        rule_id: id("E-DEST"),
        severity: Severity::High,
        action: Action::Notify,
        held_back: Some(HeldBack { action: Action::RevokeTask, reason: "budget".into() }),
        target: target(),
        receivers: vec![id("idp")],
        policy: PolicyRef { digest: "01".repeat(32), rule: "default".into() },
        decided_at: Some(at(3)),
        until: Some(at(603)),
        authors: vec![id("sam")],
    })
}

fn attempt() -> Box<Attempt> {
    Box::new(Attempt {
        attempt_id: id("att-1"),
        delivery_id: id("dlv-1"),
        response_id: id("rsp-1"),
        finding_id: finding().id,
        receiver: id("idp"),
        action: Action::RevokeTask,
        number: 1,
        started_at: at(3),
        duration_us: 1_830,
        http_status: None,
        error: Some("timeout".into()),
        next_at: Some(at(4)),
    })
}

fn taken() -> Box<Acknowledgement> {
    Box::new(Acknowledgement {
        delivery_id: id("dlv-1"),
        response_id: id("rsp-1"),
        finding_id: finding().id,
        receiver: id("idp"),
        action: Action::RevokeTask,
        attempts: 2,
        http_status: 204,
        acknowledged_at: at(4),
        evidence: Some("introspection: inactive".into()),
    })
}

fn dead() -> Box<DeadLettered> {
    Box::new(DeadLettered {
        delivery_id: id("dlv-1"),
        response_id: id("rsp-1"),
        finding_id: finding().id,
        receiver: id("idp"),
        action: Action::RevokeTask,
        attempts: 10,
        reason: "gone".into(),
    })
}

fn pending() -> Box<Pending> {
    Box::new(Pending {
        response_id: id("rsp-1"),
        finding_id: finding().id,
        action: Action::RevokeTree,
        target: target(),
        reason: "blast_radius".into(),
        approvals: 2,
        expires_at: at(3_600),
        credentials: 41,
        tasks: 12,
    })
}

fn ruling() -> Box<Ruling> {
    Box::new(Ruling {
        response_id: id("rsp-1"),
        author: id("sam"),
        author_authenticated: true,
        reason: Some("seen".into()),
    })
}

fn switch() -> Switch {
    Switch { author: id("sam"), author_authenticated: true, reason: "a rule went wrong".into() }
}

fn order() -> Box<Order> {
    Box::new(Order {
        response_id: id("rsp-2"),
        action: Action::Pause,
        target: target(),
        author: id("sam"),
        author_authenticated: false,
        reason: "it buys what nobody asked for".into(),
        until: Some(at(600)),
    })
}

pub fn revocation() -> Box<Revocation> {
    Box::new(Revocation {
        response_id: id("rsp-1"),
        finding_id: finding().id,
        target: target(),
        receiver: Some(id("idp")),
        effective_at: Some(at(4)),
        evidence: Some("no use in 60 s".into()),
        action: Some(Action::RevokeTask),
        decided_at: Some(at(3)),
        acknowledged_at: Some(at(4)),
        round: 1,
        residual_seconds: Some(896),
        until: None,
        uses: finding().events,
    })
}

/// The example of a kind that is one of these.
pub fn body(kind: Kind) -> Body {
    match kind {
        Kind::ResponseDecided => Body::ResponseDecided(decided()),
        Kind::ResponseAttempted => Body::ResponseAttempted(attempt()),
        Kind::ResponseAcknowledged => Body::ResponseAcknowledged(taken()),
        Kind::ResponseDeadLettered => Body::ResponseDeadLettered(dead()),
        Kind::ResponseOrdered => Body::ResponseOrdered(order()),
        Kind::ResponsePending => Body::ResponsePending(pending()),
        Kind::ResponseApproved => Body::ResponseApproved(ruling()),
        Kind::ResponseDenied => Body::ResponseDenied(ruling()),
        Kind::ResponseExpired => Body::ResponseExpired(pending()),
        Kind::ResponsesStopped => Body::ResponsesStopped(switch()),
        Kind::ResponsesResumed => Body::ResponsesResumed(switch()),
        Kind::DeliveryRedriven => Body::DeliveryRedriven(Box::new(Redrive {
            delivery_id: id("dlv-1"),
            author: id("sam"),
            author_authenticated: true,
            reason: "the provider is up again".into(),
        })),
        Kind::PolicyChanged => {
            Body::PolicyChanged(PolicyChange { digest: "02".repeat(32), previous: Some("01".repeat(32)) })
        }
        Kind::ReceiverDisabled => Body::ReceiverDisabled(ReceiverDisabled {
            receiver: id("idp"),
            delivery_id: id("dlv-1"),
            configuration: "03".repeat(32),
        }),
        _ => panic!("{kind} is not said by people, nor to them"),
    }
}
