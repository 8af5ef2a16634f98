//! Secrets are taken out before an event is durable (INVARIANT P-1). What stands in their place is a keyed hash, so
//! that the same secret can still be recognised within a tenant, and by nobody without the key.

use crate::id::TenantId;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::fmt;

/// Field names whose text values are secrets, compared without case, `-` and `_`.
const SECRET_NAMES: [&str; 14] = [
    "accesstoken",
    "apikey",
    "apitoken",
    "authorization",
    "clientsecret",
    "cookie",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "sessiontoken",
];

/// Beginnings of tokens that vendors publish so that scanners find them, with the least length of the whole token.
const SECRET_PREFIXES: [(&str, usize); 12] = [
    ("AKIA", 20),
    ("ASIA", 20),
    ("eyJ", 40),
    ("ghp_", 40),
    ("gho_", 40),
    ("ghs_", 40),
    ("github_pat_", 40),
    ("glpat-", 26),
    ("hvs.", 24),
    ("sk-", 24),
    ("sk_live_", 24),
    ("xoxb-", 24),
];

/// What opens a private key in PEM.
const PEM_KEY: &str = "PRIVATE KEY-----";

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
        let hash = self.0.clone().chain_update(secret).finalize().into_bytes();
        format!("redacted:hmac-sha256:{}", hex::encode(hash))
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104 section 2).
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// Replaces the secrets in a JSON value. Returns how many there were.
pub fn redact(value: &mut Value, key: &RedactionKey) -> u64 {
    match value {
        Value::String(text) => redact_text(text, key),
        Value::Array(items) => items.iter_mut().map(|item| redact(item, key)).sum(),
        Value::Object(fields) => fields.iter_mut().map(|(name, field)| redact_field(name, field, key)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn redact_field(name: &str, field: &mut Value, key: &RedactionKey) -> u64 {
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_lowercase();
    if SECRET_NAMES.contains(&plain.as_str())
        && let Value::String(text) = field
        && !text.is_empty()
    {
        *text = key.replace(text);
        return 1;
    }
    redact(field, key)
}

fn redact_text(text: &mut String, key: &RedactionKey) -> u64 {
    if text.contains(PEM_KEY) {
        *text = key.replace(text);
        return 1;
    }
    if !SECRET_PREFIXES.iter().any(|(prefix, _)| text.contains(prefix)) {
        return 0;
    }
    let (mut found, mut out) = (0, String::with_capacity(text.len()));
    for piece in text.split_inclusive(|c: char| !is_token_char(c)) {
        let token = piece.trim_end_matches(|c: char| !is_token_char(c));
        if is_secret(token) {
            found += 1;
            out.push_str(&key.replace(token));
            out.push_str(piece.get(token.len()..).unwrap_or_default());
        } else {
            out.push_str(piece);
        }
    }
    *text = out;
    found
}

const fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=')
}

fn is_secret(token: &str) -> bool {
    let token = token.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    SECRET_PREFIXES.iter().any(|(prefix, length)| token.starts_with(prefix) && token.len() >= *length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(tenant: &str) -> RedactionKey {
        RedactionKey::new(b"installation", &TenantId::try_from(tenant).unwrap())
    }

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let aws = format!("AKIA{}", "Q".repeat(16));
        let mut value = json!({
            "Api-Key": "abc", "note": format!("use {aws}, please"), "n": 7, "list": [{"password": "hunter2"}],
            "skill": "sk-short", "password": "",
        });
        assert_eq!(redact(&mut value, &key("acme")), 3);
        let text = value.to_string();
        for secret in ["abc\"", aws.as_str(), "hunter2"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("please") && text.contains("sk-short"));
    }

    #[test]
    fn equal_secrets_join_within_a_tenant_only() {
        assert_eq!(key("acme").replace("s"), key("acme").replace("s"));
        assert_ne!(key("acme").replace("s"), key("other").replace("s"));
        assert_ne!(key("acme").replace("s"), key("acme").replace("t"));
    }

    #[test]
    fn a_private_key_goes_whole() {
        let mut value = json!({"file": "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----"});
        assert_eq!(redact(&mut value, &key("acme")), 1);
        assert!(!value.to_string().contains("MC4CAQ"));
    }
}
