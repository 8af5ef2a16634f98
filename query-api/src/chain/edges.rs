//! Which event led to which: edges come from what events name in common; a thing's first event stands for it.

use super::builder::Builder;
use super::credential_of;
use crate::views::EventView;
use ambit_schemas::Kind;

/// A text of an event's data.
fn text(event: &EventView, pointer: &str) -> String {
    let found = event.data.as_ref().and_then(|data| data.pointer(pointer)?.as_str());
    found.unwrap_or_default().to_owned()
}

impl Builder {
    /// Adds the edges of an event whose causes were added before.
    #[allow(clippy::wildcard_enum_match_arm, reason = "most kinds are nodes without edges of their own")]
    pub(super) fn connect(&mut self, event: &EventView, kind: Kind) {
        let task = format!("task:{}", event.task.as_deref().unwrap_or_default());
        let call = format!("call:{}", event.tool_call.as_deref().unwrap_or_default());
        let finding = event.finding.as_deref().unwrap_or_default();
        match kind {
            Kind::EnvelopeApproved => {
                self.edge(&task, event, "approves");
                self.place(task, event);
            }
            Kind::EnvelopeClosed => self.edge(&task, event, "ends"),
            Kind::ToolCallRequested => {
                self.edge(&task, event, "calls");
                let credential = credential_of(event).unwrap_or_default();
                self.edge(&format!("credential:{credential}"), event, "uses");
                self.place(call, event);
            }
            Kind::ToolCallCompleted => self.edge(&call, event, "completes"),
            Kind::ToolCallDenied => self.edge_of_either(&call, &task, event, "denies"),
            Kind::DelegationGranted => {
                self.edge(&task, event, "delegates");
                let child = text(event, "/delegation/child_task_id");
                self.place(format!("delegation:{child}"), event);
                self.place(format!("task:{child}"), event);
            }
            Kind::DelegationRevoked => {
                let child = text(event, "/delegation/child_task_id");
                self.edge(&format!("delegation:{child}"), event, "withdraws");
            }
            Kind::FindingCreated => self.finding(event),
            Kind::ResponseDecided => {
                self.edge(&format!("finding:{finding}"), event, "responds");
                self.place(format!("response:{finding}"), event);
            }
            Kind::ResponseAttempted
            | Kind::ResponseAcknowledged
            | Kind::ResponseDeadLettered
            | Kind::RevocationRequested
            | Kind::RevocationDelivered
            | Kind::RevocationConfirmed
            | Kind::RevocationFailed => self.edge(&format!("response:{finding}"), event, "delivers"),
            _ => self.connect_grant(event, kind, &task, &call),
        }
    }

    /// Credentials and approvals: what was granted, and what became of it.
    #[allow(clippy::wildcard_enum_match_arm, reason = "most kinds are nodes without edges of their own")]
    fn connect_grant(&mut self, event: &EventView, kind: Kind, task: &str, call: &str) {
        let credential = format!("credential:{}", credential_of(event).unwrap_or_default());
        let asked = format!("approval:{}", text(event, "/approval/request_id"));
        match kind {
            Kind::CredentialIssued => {
                self.edge(task, event, "issues");
                self.place(credential, event);
            }
            Kind::CredentialUsed => self.edge(&credential, event, "uses"),
            Kind::CredentialRevoked => self.edge(&credential, event, "revokes"),
            Kind::CredentialExpired => self.edge(&credential, event, "expires"),
            Kind::CredentialRotated => {
                let previous = format!("credential:{}", text(event, "/credential/previous_uid"));
                self.edge(&previous, event, "rotates");
                self.place(credential, event);
            }
            Kind::ApprovalRequested => {
                self.edge_of_either(call, task, event, "asks");
                self.place(asked, event);
            }
            Kind::ApprovalApproved => self.edge_of_either(&asked, task, event, "approves"),
            Kind::ApprovalDenied | Kind::ApprovalExpired | Kind::ApprovalCancelled => {
                self.edge_of_either(&asked, task, event, "denies");
            }
            _ => {}
        }
    }

    /// An edge from the first of two things that is there.
    fn edge_of_either(&mut self, first: &str, second: &str, event: &EventView, kind: &str) {
        let thing = if self.has(first) { first } else { second };
        self.edge(thing, event, kind);
    }
}
