//! Secrets are taken out before an event is durable (INVARIANT P-1). What stands in their place is a keyed hash, so
//! that the same secret can still be recognised within a tenant, and by nobody without the key.
//!
//! Three families of rules: the *name* of a field says that its value is a secret; the *shape* of a text is one that
//! vendors publish so that scanners find it; a value under a secret-like name is as *random* as keys are. Every
//! detector passes over the text once, so that the time taken is linear in its length whatever it holds.

mod names;
mod shapes;
mod walk;

use crate::id::TenantId;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Most redactions that are listed with an event; more are counted only. An event with more than this is a dump, and
/// the first ones say where to look.
pub const REDACTIONS_MAX: usize = 64;
/// Longest pointer that is listed, in characters.
const POINTER_CHARS_MAX: usize = 256;
/// What begins the text in place of a secret.
const MARK: &str = "redacted:hmac-sha256:";

macro_rules! rules {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$doc])* pub(crate) const $constant: &str = $name;)*
        /// The names of all rules.
        pub const RULES: &[&str] = &[$($constant,)*];
    };
}

rules! {
    /// The field's name says that its value is a secret.
    SECRET_NAME = "secret-name";
    /// The field's name is secret-like, and its value as random as keys are.
    HIGH_ENTROPY = "high-entropy";
    /// `password=...`, `--token ...`, `"api_key": "..."` within a text.
    ASSIGNMENT = "assignment";
    /// `Authorization: Bearer ...` within a text (RFC 6750).
    BEARER = "bearer-token";
    /// `Basic ...` within a text (RFC 7617).
    BASIC = "basic-credentials";
    /// `scheme://user:password@host` (RFC 3986 section 3.2.1).
    URL_PASSWORD = "url-password";
    /// A private key in PEM (RFC 7468), or the beginning of one.
    PRIVATE_KEY = "private-key";
    /// A signed JSON Web Token (RFC 7515).
    JWT = "jwt";
    /// An AWS access key id outside of the fields that identify a credential.
    AWS_ACCESS_KEY_ID = "aws-access-key-id";
    /// An AWS secret access key.
    AWS_SECRET = "aws-secret-access-key";
    /// GitHub.
    GITHUB = "github-token";
    /// GitLab.
    GITLAB = "gitlab-token";
    /// Slack, tokens of bots, users and apps.
    SLACK = "slack-token";
    /// Slack, an incoming webhook's address.
    SLACK_WEBHOOK = "slack-webhook";
    /// Stripe.
    STRIPE = "stripe-key";
    /// Google API keys, OAuth tokens and client secrets.
    GOOGLE = "google-key";
    /// npm.
    NPM = "npm-token";
    /// PyPI.
    PYPI = "pypi-token";
    /// HashiCorp Vault and OpenBao.
    VAULT = "vault-token";
    /// Keys of model providers.
    MODEL_API = "model-api-key";
    /// SendGrid.
    SENDGRID = "sendgrid-key";
    /// DigitalOcean.
    DIGITALOCEAN = "digitalocean-token";
    /// Hugging Face.
    HUGGING_FACE = "hugging-face-token";
    /// Shopify.
    SHOPIFY = "shopify-token";
    /// Databricks.
    DATABRICKS = "databricks-token";
    /// age.
    AGE = "age-secret-key";
}

/// One secret that was taken out: by which rule and where, never what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Redaction {
    /// The rule, one of [`RULES`].
    pub rule: String,
    /// JSON pointer (RFC 6901) into what was received: an event's data, or the record of another format.
    pub pointer: String,
}

/// What was taken out of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The first [`REDACTIONS_MAX`], in the order of the value.
    pub redactions: Vec<Redaction>,
    /// How many there were.
    pub total: u64,
}

impl Report {
    fn note(&mut self, rule: &str, pointer: &str) {
        self.total += 1;
        if self.redactions.len() < REDACTIONS_MAX {
            let pointer = pointer.chars().take(POINTER_CHARS_MAX).collect();
            self.redactions.push(Redaction { rule: rule.to_owned(), pointer });
        }
    }
}

/// The installation's secret, from which each tenant's key is derived.
#[derive(Clone)]
pub struct RedactionSecret(Zeroizing<Vec<u8>>);

impl fmt::Debug for RedactionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactionSecret(..)")
    }
}

impl RedactionSecret {
    /// Keeps the secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(Zeroizing::new(secret.to_vec()))
    }

    /// The key of one tenant.
    pub fn key(&self, tenant: &TenantId) -> RedactionKey {
        RedactionKey::new(&self.0, tenant)
    }
}

/// The key of one tenant's hashes.
#[derive(Clone)]
pub struct RedactionKey(Hmac<Sha256>);

impl fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactionKey(..)")
    }
}

impl RedactionKey {
    /// Derives a tenant's key from the installation's secret.
    pub fn new(secret: &[u8], tenant: &TenantId) -> Self {
        let derived = mac(secret).chain_update(tenant.as_str()).finalize().into_bytes();
        Self(mac(&derived))
    }

    /// What stands in place of a secret.
    pub fn replace(&self, secret: &str) -> String {
        format!("{MARK}{}", self.hash(secret.as_bytes()))
    }

    /// The keyed hash of bytes, hexadecimal.
    pub(crate) fn hash(&self, bytes: &[u8]) -> String {
        hex::encode(self.0.clone().chain_update(bytes).finalize().into_bytes())
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104 section 2).
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// Replaces the secrets in a JSON value, in names of fields too, and reports which rule found what where. What is
/// replaced already stays as it is, so that redacting twice is the same as redacting once.
pub fn redact(value: &mut Value, key: &RedactionKey) -> Report {
    let mut report = Report::default();
    walk::Walk::new(key, &mut report).value(value);
    report
}

/// Replaces the secrets in a text that stands for itself. `pointer` is where it stands.
pub fn redact_text(text: &str, key: &RedactionKey, pointer: &str, report: &mut Report) -> String {
    let mut value = Value::String(text.to_owned());
    walk::Walk::at(key, report, pointer).value(&mut value);
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Joins what was taken out of an event to what its producer says it took out itself. Whatever stands in
/// `data.redactions` and is no list stays, and makes the event malformed.
pub fn join(data: &mut Value, report: &Report) {
    let Value::Object(fields) = data else { return };
    let Value::Array(list) = fields.entry("redactions").or_insert_with(|| Value::Array(Vec::new())) else {
        return;
    };
    let room = REDACTIONS_MAX.saturating_sub(list.len());
    list.extend(report.redactions.iter().take(room).filter_map(|one| serde_json::to_value(one).ok()));
}

/// Whether a text is a keyed hash already: ours, or that of a Vault audit device.
fn is_hashed(text: &str) -> bool {
    let hash = text.strip_prefix("redacted:").unwrap_or(text).strip_prefix("hmac-sha256:");
    hash.is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
