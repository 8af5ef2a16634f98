//! What judgement depends on beside the events.

use ambit_schemas::fingerprint::FingerprintKey;
use ambit_schemas::id::TenantId;
use ed25519_dalek::VerifyingKey;
use std::fmt;
use std::sync::Arc;

/// What judgement depends on beside the events. Part of what must be the same for a replay to be the same.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keys whose signature makes an envelope valid.
    pub approver_keys: Vec<VerifyingKey>,
    /// Whether an envelope without a valid signature counts as none.
    pub require_signature: bool,
    /// Most findings of one event; the worst are kept.
    pub findings_per_event_max: usize,
    /// The installation's secret, from which each tenant's key of result fingerprints is derived. Without it,
    /// fingerprints say nothing, and a result that has only them counts as not seen.
    pub fingerprint_secret: Option<FingerprintSecret>,
}

/// The secret of fingerprints. Never shown.
#[derive(Clone)]
pub struct FingerprintSecret(Arc<[u8]>);

impl FingerprintSecret {
    /// Takes the installation's secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for FingerprintSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintSecret(..)")
    }
}

impl Options {
    /// The key of a tenant's fingerprints.
    pub(crate) fn fingerprint_key(&self, tenant: &TenantId) -> Option<FingerprintKey> {
        self.fingerprint_secret.as_ref().map(|secret| FingerprintKey::new(&secret.0, tenant))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            approver_keys: Vec::new(),
            require_signature: true,
            findings_per_event_max: 16,
            fingerprint_secret: None,
        }
    }
}
