//! The baseline: what the tasks of one blueprint and purpose usually do, as a human approved it.
//!
//! Like an envelope it is a signed document of exact bytes, versioned, and fail-closed: a field that this version does
//! not know makes it invalid. Its figures are read, not computed again: what was approved is what is tested against.

use crate::envelope::{EnvelopeSignature, sign_document, verify_document};
use crate::id::{BaselineId, Blueprint, PrincipalId, TenantId};
use crate::limits::{BASELINE_BYTES_MAX, BASELINE_TOOLS_MAX, ENVELOPE_LIST_MAX, TEXT_BYTES_MAX};
use crate::timestamp::Timestamp;
use ed25519_dalek::{SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// DSSE payload type of a baseline document.
pub const PAYLOAD_TYPE: &str = "application/vnd.ambit.baseline.v1+json";

/// A baseline as it travels: the document's exact bytes, with signatures over them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignedBaseline {
    /// The document: a [`Baseline`], byte for byte as signed.
    #[schemars(with = "Baseline")]
    pub document: Box<RawValue>,
    /// Signatures by approvers.
    #[serde(default)]
    pub signatures: Vec<EnvelopeSignature>,
}

/// Why a baseline cannot be used. Whatever was in force before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBaseline {
    /// The document is larger than [`BASELINE_BYTES_MAX`].
    #[error("the baseline document has {0} bytes, more than {BASELINE_BYTES_MAX}: leave tools or values out")]
    TooLarge(usize),
    /// The document is not a baseline of this version.
    #[error("the baseline document cannot be read: check it against the baseline's JSON schema")]
    Document(#[source] serde_json::Error),
    /// A bound of the format is exceeded, or parts contradict each other.
    #[error("the baseline document is not valid: {0}")]
    Content(String),
    /// No signature by a trusted approver.
    #[error("the baseline has no valid signature by a trusted approver")]
    Untrusted,
}

/// What the tasks of one blueprint and purpose usually do. The unit of everything is the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The baseline; its versions share it.
    pub id: BaselineId,
    /// Its version, from 1.
    pub version: u32,
    /// Whose agents it is about.
    #[serde(rename = "tenant_uid")]
    pub tenant: TenantId,
    /// The blueprint whose instances it is about.
    pub blueprint: Blueprint,
    /// The kind of purpose: its words without names, numbers and addresses. Absent means every purpose that has no
    /// baseline of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// From when the tasks are that it was made of.
    pub from: Timestamp,
    /// Until when, exclusively.
    pub to: Timestamp,
    /// SHA-256 of the document of the version before, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Who approved; absent in a draft. Never an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<PrincipalId>,
    /// How many tasks it was made of.
    pub tasks: u64,
    /// How sure the upper bounds are, such as 0.999.
    pub confidence: f64,
    /// How many false alerts a day are accepted, over everything that this baseline measures.
    pub false_alerts_per_day: f64,
    /// How much a task does.
    #[serde(default)]
    pub measures: BTreeMap<Measure, Level>,
    /// Which tools it uses.
    #[serde(default)]
    pub tools: BTreeMap<String, ToolUse>,
    /// All that tasks reached, by kind: tools, hosts, addresses. Secrets are never among them.
    #[serde(default)]
    pub known: BTreeMap<String, Vec<String>>,
    /// The share of tasks that reach something which none of the others of its kind of purpose has reached, by class.
    /// Only of a blueprint's baseline, without `purpose`: it is tested over all tasks of the blueprint.
    #[serde(default)]
    pub new: BTreeMap<String, Level>,
}

/// What is measured of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Tool calls.
    Calls,
    /// The share of its calls that failed.
    Failed,
    /// The share of its calls that a gateway or host refused.
    Denied,
    /// Bytes sent out.
    BytesOut,
    /// Bytes that tools returned.
    BytesIn,
    /// Work handed to other agents.
    Delegations,
    /// Different destinations of effectful calls.
    Destinations,
    /// Calls per minute, from the first to the last.
    CallsPerMinute,
}

/// The level of a measure: the mean over tasks of `min(value, per) / per`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The mean, from 0 to 1.
    pub mean: f64,
    /// Its upper confidence bound.
    pub upper: f64,
    /// The value that counts as 1; larger ones count as 1 too. 1 for shares.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub per: f64,
}

/// How tasks use a tool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolUse {
    /// The share of tasks that use it.
    pub tasks: Level,
    /// Its share of a task's calls.
    pub calls: Level,
}

const fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_one(value: &f64) -> bool {
    (*value - 1.0).abs() < f64::EPSILON
}

impl Level {
    fn check(&self, what: &str) -> Result<(), InvalidBaseline> {
        let is_share = |value: f64| (0.0..=1.0).contains(&value);
        if is_share(self.mean) && is_share(self.upper) && self.mean <= self.upper && self.per > 0.0 {
            return Ok(());
        }
        Err(InvalidBaseline::Content(format!("{what}: mean and upper bound must be in order, from 0 to 1")))
    }
}

impl SignedBaseline {
    /// Writes and signs a document.
    pub fn sign(baseline: &Baseline, key: &SigningKey) -> Result<Self, InvalidBaseline> {
        let document = serde_json::value::to_raw_value(baseline).map_err(InvalidBaseline::Document)?;
        let signature = sign_document(PAYLOAD_TYPE, document.get().as_bytes(), key);
        Ok(Self { document, signatures: vec![signature] })
    }

    /// SHA-256 of the document's bytes, hexadecimal.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.document.get().as_bytes()))
    }

    /// Reads the document and checks its bounds; says nothing about who signed it.
    pub fn parse(&self) -> Result<Baseline, InvalidBaseline> {
        let text = self.document.get();
        if text.len() > BASELINE_BYTES_MAX {
            return Err(InvalidBaseline::TooLarge(text.len()));
        }
        let baseline: Baseline = serde_json::from_str(text).map_err(InvalidBaseline::Document)?;
        baseline.check()?;
        Ok(baseline)
    }

    /// Whether one of the keys has signed these bytes.
    pub fn verify(&self, trusted: &[VerifyingKey]) -> Result<(), InvalidBaseline> {
        let payload = self.document.get().as_bytes();
        if verify_document(PAYLOAD_TYPE, payload, &self.signatures, trusted) {
            return Ok(());
        }
        Err(InvalidBaseline::Untrusted)
    }
}

impl Baseline {
    /// Checks the bounds of the format.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), InvalidBaseline> {
        let fail = |text: String| Err(InvalidBaseline::Content(text));
        if self.version == 0 {
            return fail("versions begin at 1".into());
        }
        if self.from >= self.to {
            return fail("its period ends before it begins".into());
        }
        if self.tasks == 0 {
            return fail("it was made of no task".into());
        }
        if !(self.confidence > 0.5 && self.confidence < 1.0) {
            return fail("`confidence` must be above 0.5 and below 1".into());
        }
        if !(self.false_alerts_per_day > 0.0 && self.false_alerts_per_day <= 1_000.0) {
            return fail("`false_alerts_per_day` must be above 0 and at most 1000".into());
        }
        if self.purpose.as_ref().is_some_and(|purpose| purpose.len() > TEXT_BYTES_MAX) {
            return fail(format!("the purpose has more than {TEXT_BYTES_MAX} bytes"));
        }
        if [self.tools.len(), self.known.len(), self.new.len()].into_iter().max() > Some(BASELINE_TOOLS_MAX) {
            return fail(format!("more than {BASELINE_TOOLS_MAX} tools, kinds or classes"));
        }
        if self.known.values().any(|known| known.len() > ENVELOPE_LIST_MAX) {
            return fail(format!("a kind has more than {ENVELOPE_LIST_MAX} values"));
        }
        for (measure, level) in &self.measures {
            level.check(&format!("{measure:?}"))?;
        }
        for (tool, usage) in &self.tools {
            usage.tasks.check(tool)?;
            usage.calls.check(tool)?;
        }
        self.new.iter().try_for_each(|(class, level)| level.check(class))
    }

    /// Days that it was made of.
    pub fn days(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of years are far below 2^53")]
        let micros = self.to.micros_since(self.from) as f64;
        micros / 86_400e6
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "equal means equal")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({
            "id": "bl-1", "version": 1, "tenant_uid": "acme", "blueprint": "support@1", "purpose": "answer ticket of",
            "from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z", "approved_by": "emma", "tasks": 412,
            "confidence": 0.999, "false_alerts_per_day": 0.1,
            "measures": {"calls": {"mean": 0.4, "upper": 0.5, "per": 20.0}},
            "tools": {"send_email": {"tasks": {"mean": 0.9, "upper": 0.95}, "calls": {"mean": 0.2, "upper": 0.3}}},
            "known": {"tool": ["send_email"], "email": ["a@b.example"]},
            "new": {"told": {"mean": 0.01, "upper": 0.03}}
        })
    }

    fn parse(document: &Value) -> Result<Baseline, InvalidBaseline> {
        let document = serde_json::value::to_raw_value(document).unwrap();
        SignedBaseline { document, signatures: vec![] }.parse()
    }

    #[test]
    fn a_signature_holds_for_exactly_the_signed_bytes_and_for_nothing_else() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let baseline = parse(&document()).unwrap();
        let signed = SignedBaseline::sign(&baseline, &key).unwrap();
        signed.verify(&[key.verifying_key()]).unwrap();
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert!(matches!(signed.verify(&[other]), Err(InvalidBaseline::Untrusted)));
        let mut changed = signed.clone();
        changed.document = RawValue::from_string(signed.document.get().replace("0.03", "0.93")).unwrap();
        assert!(changed.verify(&[key.verifying_key()]).is_err());
        // What was signed as a baseline is no envelope: the types of payload differ.
        let as_envelope =
            crate::envelope::SignedEnvelope { document: signed.document, signatures: signed.signatures };
        assert!(as_envelope.verify(&[key.verifying_key()]).is_err());
    }

    #[test]
    fn documents_that_make_no_sense_are_refused() {
        let good = document();
        for (pointer, value) in [
            ("/version", json!(0)),
            ("/tasks", json!(0)),
            ("/to", json!("2026-09-01T00:00:00Z")),
            ("/confidence", json!(1.0)),
            ("/false_alerts_per_day", json!(0.0)),
            ("/measures/calls/mean", json!(0.6)),
            ("/measures/calls/per", json!(0.0)),
            ("/measures/calls/upper", json!(1.1)),
            ("/tools/send_email/calls/mean", json!(-0.1)),
            ("/new/told/upper", json!(0.001)),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(matches!(parse(&bad), Err(InvalidBaseline::Content(_))), "{pointer}");
        }
        let mut unknown = good;
        unknown["more"] = json!(1);
        assert!(matches!(parse(&unknown), Err(InvalidBaseline::Document(_))));
    }
}
