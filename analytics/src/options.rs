//! What judgement depends on beside the events.

use crate::candidate::Candidates;
use ambit_schemas::fingerprint::FingerprintKey;
use ambit_schemas::id::{AgentId, TenantId};
use ed25519_dalek::VerifyingKey;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
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
    /// The register of agents. Without one, nobody is unregistered.
    pub register: Option<Register>,
    /// Bounds that stand in for approved ones, in a replay. Live there are none.
    pub candidates: Option<Arc<Candidates>>,
}

/// The agents that there should be.
#[derive(Debug, Clone)]
pub struct Register {
    agents: Arc<GlobSet>,
}

/// A pattern of a register cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the register of agents: `{pattern}` is not a pattern of agent ids; write ids, or globs with `*`"
)]
pub struct InvalidRegister {
    /// The pattern.
    pub pattern: String,
    #[source]
    cause: globset::Error,
}

impl Register {
    /// A register of agent ids and globs of them: `*` does not cross `/`, `**` does.
    pub fn new(patterns: &[String]) -> Result<Self, InvalidRegister> {
        let unreadable = |pattern: &str| {
            let pattern = pattern.to_owned();
            |cause| InvalidRegister { pattern, cause }
        };
        let mut agents = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            agents.add(glob.map_err(unreadable(pattern))?);
        }
        let agents = agents.build().map_err(unreadable(&patterns.join(", ")))?;
        Ok(Self { agents: Arc::new(agents) })
    }
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
    /// Whether an agent stands in the register, if there is one.
    pub(crate) fn is_registered(&self, agent: &AgentId) -> bool {
        self.register.as_ref().is_none_or(|register| register.agents.is_match(agent.as_str()))
    }

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
            register: None,
            candidates: None,
        }
    }
}
