//! How enforcement is configured. Secrets stand in files or in the environment, never in the configuration.

use crate::error::Error;
use crate::guard;
use ambit_bus::SecretRef;
use ambit_schemas::id::ReceiverId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

/// How enforcement is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The response policy (TOML); without it the built-in one holds.
    pub policy_file: Option<PathBuf>,
    /// Who is told.
    pub receivers: Vec<ReceiverOptions>,
}

/// A receiver of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverOptions {
    /// Its name in policies, events and metrics.
    pub id: ReceiverId,
    /// Where webhooks go.
    pub url: Url,
    /// Secrets that sign (`whsec_...` for HMAC, `whsk_...` for Ed25519); several while they are rotated.
    pub secrets: Vec<SecretRef>,
    /// Whether addresses of private networks and this machine, and plain HTTP, are allowed: for laboratories.
    #[serde(default)]
    pub allow_private: bool,
    /// Webhooks on their way to it at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// Milliseconds that one try may take.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// Sixteen: what ends while one transaction is written is recorded by the next, all at once.
const fn default_concurrency() -> usize {
    16
}

const fn default_timeout_ms() -> u64 {
    10_000
}

impl ReceiverOptions {
    /// Checks what can be checked before anything is sent.
    pub fn check(&self) -> Result<(), Error> {
        let fail = |why: String| Err(Error::Receiver { id: self.id.to_string(), why });
        if self.secrets.is_empty() {
            return fail("it has no secret: write `secrets = [{ file = \"...\" }]`".into());
        }
        if self.concurrency == 0 || self.timeout_ms == 0 {
            return fail("`concurrency` and `timeout_ms` must be at least 1".into());
        }
        guard::check_url(&self.url, self.allow_private).or_else(|refused| fail(refused.to_string()))
    }
}
