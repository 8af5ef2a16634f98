//! The task envelope: the signed, versioned bounds of a task that a human approved (RFC 9396-shaped).
//!
//! Two things are fail-closed here. A field or operator that this version does not know makes the document invalid,
//! because a bound that is not understood must not be ignored; and a signature is over the document's exact bytes, so
//! no canonical form is needed to check it.

use crate::event::Effect;
use crate::id::{AgentId, EnvelopeId, PrincipalId, TaskId};
use crate::limits::{CONSTRAINTS_MAX, ENVELOPE_BYTES_MAX, ENVELOPE_LIST_MAX, GRANTS_MAX, TEXT_BYTES_MAX};
use crate::timestamp::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// DSSE payload type of an envelope document.
pub const PAYLOAD_TYPE: &str = "application/vnd.ambit.envelope.v1+json";

/// An envelope as it travels: the document's exact bytes, with signatures over them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignedEnvelope {
    /// The document: an [`Envelope`], byte for byte as signed.
    #[schemars(with = "Envelope")]
    pub document: Box<RawValue>,
    /// Signatures by approvers.
    #[serde(default)]
    pub signatures: Vec<EnvelopeSignature>,
}

/// An approver's Ed25519 signature (RFC 8032) over the DSSE pre-authentication encoding of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvelopeSignature {
    /// Which key: [`key_id`] of the public key.
    pub keyid: String,
    /// The signature, base64.
    pub sig: String,
}

/// Why an envelope cannot be used. Whoever meets this treats the task as having no envelope (INVARIANT A-3).
#[derive(Debug, thiserror::Error)]
pub enum InvalidEnvelope {
    /// The document is larger than [`ENVELOPE_BYTES_MAX`].
    #[error("the envelope document has {0} bytes, more than {ENVELOPE_BYTES_MAX}")]
    TooLarge(usize),
    /// The document is not an envelope of this version.
    #[error("the envelope document cannot be read: check it against the envelope's JSON schema")]
    Document(#[source] serde_json::Error),
    /// A bound of the format is exceeded, or parts contradict each other.
    #[error("the envelope document is not valid: {0}")]
    Content(String),
    /// No signature by a trusted approver.
    #[error("the envelope has no valid signature by a trusted approver")]
    Untrusted,
}

/// The bounds of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The envelope.
    pub id: EnvelopeId,
    /// Its version, from 1; an amendment has the next.
    pub version: u32,
    /// The task it bounds.
    pub task_id: TaskId,
    /// The agent that may act under it.
    pub agent_uid: AgentId,
    /// What the task is for, in the words of whoever gave it. What it names is granted (see `flow`).
    pub purpose: String,
    /// For whom the agent acts, and their own addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// Who approved. Never the agent.
    pub approved_by: PrincipalId,
    /// The tools that may be called.
    pub tools: Vec<ToolGrant>,
    /// Effects that are tolerated of tools that are not listed. Usually `["read"]`, or nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlisted_effects: Vec<Effect>,
    /// The effects that the task may have at all; absent means any that a listed tool has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Vec<Effect>>,
    /// Where effectful calls may reach: hosts, e-mail addresses, accounts, paths, record ids; globs. Absent means
    /// that destinations are not bounded; an empty list means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// What may be touched (URIs or names, globs); absent means not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// Classes of data that may be handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_classes: Option<Vec<String>>,
    /// Credentials that the task may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialGrant>,
    /// How much.
    #[serde(default)]
    pub budgets: Budgets,
    /// When.
    #[serde(default)]
    pub window: Window,
    /// Whether work may be handed on.
    #[serde(default)]
    pub delegation: DelegationBounds,
    /// Tools for which each call needs a human's approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRule>,
    /// Limits on the flow of information.
    #[serde(default)]
    pub flow: FlowBounds,
}

/// For whom the agent acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Their name.
    pub name: String,
    /// Their own addresses, accounts and hosts: always a permitted destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// One tool that may be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolGrant {
    /// The tool's name; a glob.
    pub name: String,
    /// The server that must offer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Constraints on its arguments: all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<ArgumentConstraint>,
    /// How often it may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// SHA-256 of the description that the approver saw, hexadecimal: a tool that describes itself otherwise is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_sha256: Option<String>,
}

/// One constraint on an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgumentConstraint {
    /// JSON pointer into the arguments (RFC 6901).
    pub pointer: String,
    /// What must hold of the value there. Of an array, it must hold of every element.
    pub check: Check,
    /// Whether the argument may be absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What must hold of a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// It is this value.
    Equals(Value),
    /// It is one of these values.
    In(Vec<Value>),
    /// It is a text that begins so.
    Prefix(String),
    /// It is a text that matches the glob (`*` does not cross `/`, `**` does).
    Glob(String),
    /// It is a text that the whole regular expression matches.
    Regex(String),
    /// It is a number in the range, ends included.
    Range {
        /// Least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// Most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// It is a text, array or object with so many characters or members, ends included.
    Length {
        /// Least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<u64>,
        /// Most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
    },
}

/// A credential that the task may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialGrant {
    /// Who must issue it; a glob.
    pub issuer: String,
    /// The scopes it may have; globs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Its longest life, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ttl_seconds: Option<u64>,
}

/// How much a task may do. Absent means not bounded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Tool calls in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// Tool calls in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls_per_minute: Option<u32>,
    /// Bytes sent out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes_out: Option<u64>,
    /// Cost, in millionths of the tenant's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_micros: Option<u64>,
    /// Seconds from approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_seconds: Option<u64>,
    /// Credentials of the task that are alive at the same moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_live_credentials: Option<u32>,
    /// Sums of a numeric argument over all calls of a tool: `{"send_money": {"pointer": "/amount", "max": 100.0}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sums: BTreeMap<String, SumBound>,
}

/// A bound on the sum of an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SumBound {
    /// JSON pointer into the arguments.
    pub pointer: String,
    /// The largest sum.
    pub max: f64,
}

/// When a task may run. Absent ends are open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not at or after this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Whether work may be handed on. The default is that it may not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegationBounds {
    /// How many hands work may pass through; 0 means none.
    #[serde(default)]
    pub max_depth: u32,
    /// To whom (agent ids, globs); empty means nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegates: Vec<String>,
}

/// A tool for which each call needs a human's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// The tool; a glob.
    pub tool: String,
    /// Who may approve; empty means anybody but the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PrincipalId>,
    /// How long an approval holds, in seconds, where it does not say so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_seconds: Option<u64>,
}

/// Limits on the flow of information.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowBounds {
    /// Targets that the purpose itself names (an address, a host, an account) are permitted destinations.
    #[serde(default = "yes")]
    pub purpose_grants_targets: bool,
}

impl Default for FlowBounds {
    fn default() -> Self {
        Self { purpose_grants_targets: true }
    }
}

const fn yes() -> bool {
    true
}

impl SignedEnvelope {
    /// Writes and signs a document.
    pub fn sign(envelope: &Envelope, key: &SigningKey) -> Result<Self, InvalidEnvelope> {
        let document = serde_json::value::to_raw_value(envelope).map_err(InvalidEnvelope::Document)?;
        let signature = sign_document(PAYLOAD_TYPE, document.get().as_bytes(), key);
        Ok(Self { document, signatures: vec![signature] })
    }

    /// SHA-256 of the document's bytes, hexadecimal.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.document.get().as_bytes()))
    }

    /// Reads the document and checks its bounds; says nothing about who signed it.
    pub fn parse(&self) -> Result<Envelope, InvalidEnvelope> {
        let text = self.document.get();
        if text.len() > ENVELOPE_BYTES_MAX {
            return Err(InvalidEnvelope::TooLarge(text.len()));
        }
        let envelope: Envelope = serde_json::from_str(text).map_err(InvalidEnvelope::Document)?;
        envelope.check()?;
        Ok(envelope)
    }

    /// Whether one of the keys has signed these bytes.
    pub fn verify(&self, trusted: &[VerifyingKey]) -> Result<(), InvalidEnvelope> {
        let payload = self.document.get().as_bytes();
        if verify_document(PAYLOAD_TYPE, payload, &self.signatures, trusted) {
            return Ok(());
        }
        Err(InvalidEnvelope::Untrusted)
    }
}

impl Envelope {
    fn check(&self) -> Result<(), InvalidEnvelope> {
        let fail = |text: String| Err(InvalidEnvelope::Content(text));
        if self.version == 0 {
            return fail("versions begin at 1".into());
        }
        if self.approved_by.as_str() == self.agent_uid.as_str() {
            return fail("an agent cannot approve its own envelope".into());
        }
        if self.purpose.len() > TEXT_BYTES_MAX {
            return fail(format!("the purpose has {} bytes, more than {TEXT_BYTES_MAX}", self.purpose.len()));
        }
        if self.tools.len() > GRANTS_MAX {
            return fail(format!("{} tools, more than {GRANTS_MAX}", self.tools.len()));
        }
        for grant in &self.tools {
            if grant.arguments.len() > CONSTRAINTS_MAX {
                return fail(format!("tool `{}` has more than {CONSTRAINTS_MAX} constraints", grant.name));
            }
        }
        let lists = [&self.destinations, &self.resources, &self.data_classes];
        if lists.into_iter().flatten().any(|list| list.len() > ENVELOPE_LIST_MAX) {
            return fail(format!("a list has more than {ENVELOPE_LIST_MAX} entries"));
        }
        match (self.window.not_before, self.window.not_after) {
            (Some(from), Some(until)) if from >= until => fail("the window ends before it begins".into()),
            _ => Ok(()),
        }
    }
}

/// A key's name: the first 16 hexadecimal digits of SHA-256 over the public key.
pub fn key_id(key: &VerifyingKey) -> String {
    hex::encode(Sha256::digest(key.as_bytes())).chars().take(16).collect()
}

/// An approver's signature over a document of a DSSE payload type.
pub(crate) fn sign_document(payload_type: &str, payload: &[u8], key: &SigningKey) -> EnvelopeSignature {
    let signature = key.sign(&pre_authentication_encoding(payload_type, payload));
    EnvelopeSignature { keyid: key_id(&key.verifying_key()), sig: BASE64.encode(signature.to_bytes()) }
}

/// Whether one of the trusted keys has signed a document as this type of payload.
pub(crate) fn verify_document(
    payload_type: &str,
    payload: &[u8],
    signatures: &[EnvelopeSignature],
    trusted: &[VerifyingKey],
) -> bool {
    let message = pre_authentication_encoding(payload_type, payload);
    signatures.iter().take(8).any(|signature| {
        let key = trusted.iter().find(|key| key_id(key) == signature.keyid);
        let parsed = BASE64.decode(&signature.sig).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        key.zip(parsed).is_some_and(|(key, parsed)| key.verify_strict(&message, &parsed).is_ok())
    })
}

/// DSSE v1 pre-authentication encoding: type and payload, each preceded by its length.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::json!({
            "id": "env-1", "version": 1, "task_id": "task-1", "agent_uid": "spiffe://acme/agent/a",
            "purpose": "pay the bill", "approved_by": "emma",
            "tools": [{"name": "send_money", "arguments": [{"pointer": "/amount", "check": {"range": {"max": 100.0}}}]}]
        })
    }

    fn envelope(document: &Value) -> Result<Envelope, InvalidEnvelope> {
        let document = serde_json::value::to_raw_value(document).unwrap();
        SignedEnvelope { document, signatures: vec![] }.parse()
    }

    #[test]
    fn a_signature_holds_for_exactly_the_signed_bytes() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let other = SigningKey::from_bytes(&[8; 32]);
        let signed = SignedEnvelope::sign(&envelope(&document()).unwrap(), &key).unwrap();
        signed.verify(&[other.verifying_key(), key.verifying_key()]).unwrap();
        assert!(signed.verify(&[other.verifying_key()]).is_err());
        let mut changed = signed.clone();
        let text = signed.document.get().replace("100.0", "900.0");
        changed.document = RawValue::from_string(text).unwrap();
        assert!(changed.verify(&[key.verifying_key()]).is_err());
        // Over the wire and back the bytes stay what they were.
        let wire = serde_json::to_string(&signed).unwrap();
        serde_json::from_str::<SignedEnvelope>(&wire).unwrap().verify(&[key.verifying_key()]).unwrap();
    }

    #[test]
    fn what_is_not_understood_makes_the_envelope_invalid() {
        for (pointer, value) in [
            ("/forbidden_tools", serde_json::json!(["x"])),
            ("/tools/0/max_callz", serde_json::json!(1)),
            ("/tools/0/arguments/0/check", serde_json::json!({"sounds_like": "x"})),
            ("/version", serde_json::json!(0)),
            ("/approved_by", serde_json::json!("spiffe://acme/agent/a")),
            (
                "/window",
                serde_json::json!({"not_before": "2026-01-02T00:00:00Z", "not_after": "2026-01-01T00:00:00Z"}),
            ),
        ] {
            let mut changed = document();
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(last.into(), value);
            assert!(envelope(&changed).is_err(), "{pointer}");
        }
    }
}
