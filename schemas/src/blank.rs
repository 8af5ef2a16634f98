//! Events, calls and credentials of which little is known yet: whoever makes one starts from here and says what else there
//! is.

use crate::event::{Body, Credential, Event, ToolCall};
use crate::id::{CredentialId, EventId, EventSource, TenantId, ToolCallId};
use crate::timestamp::Timestamp;

impl Event {
    /// What an event cannot be without; of no agent and no task.
    pub const fn new(
        id: EventId,
        source: EventSource,
        time: Timestamp,
        tenant: TenantId,
        body: Body,
    ) -> Self {
        Self {
            id,
            source,
            time,
            tenant,
            agent: None,
            task: None,
            principal: None,
            credential_used: None,
            session: None,
            trace: None,
            redactions: Vec::new(),
            body,
        }
    }
}

impl ToolCall {
    /// A call of which only id and name are known.
    pub fn new(id: ToolCallId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            server: None,
            activity: None,
            arguments: None,
            description_sha256: None,
            data_classes: Vec::new(),
            result: None,
            result_digest: None,
            result_bytes: None,
            result_fingerprints: Vec::new(),
            bytes_out: None,
            cost_micros: None,
            duration_ms: None,
            is_error: false,
            error_type: None,
        }
    }
}

impl Credential {
    /// A credential of which only identifier and type are known.
    pub fn new(uid: CredentialId, credential_type: impl Into<String>) -> Self {
        Self {
            uid,
            credential_type: credential_type.into(),
            issuer: None,
            scopes: Vec::new(),
            audience: Vec::new(),
            not_before: None,
            expires_at: None,
            presented_by: None,
            parent_uid: None,
            previous_uid: None,
            resource: None,
            reason: None,
        }
    }
}
