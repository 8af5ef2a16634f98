//! How the API is configured.

use crate::access::{Algorithm, EVERY_TENANT, Role};
use crate::text::IndexOptions;
use ambit_schemas::id::TenantId;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};

/// Most seconds by which clocks may differ.
const SKEW_MAX: u64 = 300;

/// The address of `HOST:PORT`. A name is looked up; of several addresses the first of IPv4 is taken, as the defaults are.
///
/// # Errors
/// What is wrong, for people.
pub fn resolve(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        return Err(format!("`{text}` is not HOST:PORT, such as 127.0.0.1:7070"));
    }
    let found: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| format!("the host of `{text}` cannot be looked up: {error}"))?
        .collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("the host of `{text}` has no address"))
}

/// Reads an address of a configuration: see [`resolve`].
pub fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    resolve(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// How the API is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where it listens.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// Names under which browsers may reach it, beside loopback (`Host` header): keeps foreign pages out.
    pub allowed_hosts: Vec<String>,
    /// Milliseconds that one question may take.
    pub query_timeout_ms: u64,
    /// Questions that run at once; more are turned away with `Retry-After`.
    pub concurrent_queries: usize,
    /// Megabytes that all questions together may hold.
    pub memory_mb: usize,
    /// How text is indexed.
    pub index: IndexOptions,
    /// Whether checkpoints and tiles (`/ledger/...`) are given to anybody, so that other people's tools can follow the
    /// log. They hold hashes and sizes, no events. Everything else always needs a token.
    pub public_ledger: bool,
    /// What one caller may have of the API.
    pub limits: LimitOptions,
    /// What is recorded of those who ask.
    pub audit: AuditOptions,
    /// The identity provider whose tokens are accepted beside those of `ambit token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcOptions>,
}

/// What one caller may have of the API at once. Whoever asks for more is told to come back (429).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOptions {
    /// Requests under way of one token or person.
    pub concurrent_per_caller: usize,
    /// Requests under way of one tenant's callers together.
    pub concurrent_per_tenant: usize,
    /// Exports and live tails of one token or person, beside other requests.
    pub streams_per_caller: usize,
    /// Megabytes of answers that one token or person may take per minute; 0 for any number.
    pub megabytes_per_minute: u64,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            concurrent_per_caller: 16,
            concurrent_per_tenant: 64,
            streams_per_caller: 4,
            megabytes_per_minute: 0,
        }
    }
}

/// What is recorded of those who ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditOptions {
    /// Whether every question and export becomes an event. Without it nobody can say later who looked at what.
    pub enabled: bool,
    /// Records that may wait for Kafka; when it is full, questions are refused (503) rather than not recorded.
    pub queue: usize,
    /// Seconds within which the same question of the same author stands as one event with its count: consoles ask again
    /// and again. 0 for an event each.
    pub fold_seconds: u64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { enabled: true, queue: 4_096, fold_seconds: 60 }
    }
}

/// An identity provider whose tokens are accepted (OpenID Connect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcOptions {
    /// Its issuer, letter for letter as it stands in `iss`; its keys are found by discovery below it.
    pub issuer: String,
    /// For whom tokens must be meant (`aud`): one of these.
    pub audience: Vec<String>,
    /// How tokens may be signed.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Seconds by which clocks may differ.
    #[serde(default = "skew_seconds")]
    pub skew_seconds: u64,
    /// Seconds after which the issuer's keys are fetched again.
    #[serde(default = "keys_seconds")]
    pub keys_seconds: u64,
    /// The claim that says what somebody is: a text or several; within another claim as `realm_access.roles`.
    #[serde(default = "role_claim")]
    pub role_claim: String,
    /// What its values mean here. A token with none of them is refused.
    pub roles: BTreeMap<String, Role>,
    /// The claim that says whose data somebody sees. Without it, `tenant` holds for all its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<String>,
    /// What its values mean here: a tenant, or `*` for all. Left out, a value is the tenant itself, and none means all.
    #[serde(default)]
    pub tenants: BTreeMap<String, String>,
    /// The tenant of all its tokens, or `*`, where no claim says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whether the issuer may be on a private network, and without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

const fn skew_seconds() -> u64 {
    60
}

const fn keys_seconds() -> u64 {
    3_600
}

fn role_claim() -> String {
    "roles".into()
}

impl OidcOptions {
    /// Whether it can be used.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        let tenant = |name: &str| name == EVERY_TENANT || TenantId::try_from(name).is_ok();
        if !(self.issuer.starts_with("https://") || self.allow_private && self.issuer.starts_with("http://"))
        {
            return Err(format!("`issuer` must begin with https://, got `{}`", self.issuer));
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            return Err(
                "`audience` must say for whom tokens are meant: without it, any token of the issuer would do"
                    .into(),
            );
        }
        if self.algorithms.is_empty() || self.roles.is_empty() {
            return Err("`algorithms` and `roles` must each hold at least one".into());
        }
        if self.skew_seconds > SKEW_MAX {
            return Err(format!("`skew_seconds` must be at most {SKEW_MAX}, got {}", self.skew_seconds));
        }
        match (&self.tenant_claim, &self.tenant) {
            (Some(_), Some(_)) | (None, None) => {
                return Err("give `tenant_claim`, or `tenant` (`\"*\"` for all), and not both".into());
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        match self.tenants.values().chain(&self.tenant).find(|name| !tenant(name)) {
            Some(name) => Err(format!("`{name}` is no tenant")),
            None => Ok(()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            allowed_hosts: Vec::new(),
            query_timeout_ms: 15_000,
            concurrent_queries: 8,
            memory_mb: 512,
            index: IndexOptions::default(),
            public_ledger: false,
            limits: LimitOptions::default(),
            audit: AuditOptions::default(),
            oidc: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_names_and_what_is_wrong_is_said() {
        assert_eq!(resolve("localhost:7070"), Ok(SocketAddr::from(([127, 0, 0, 1], 7070))));
        assert_eq!(resolve("[::1]:7070").unwrap().to_string(), "[::1]:7070");
        for text in ["nonsense", "localhost", "localhost:", "localhost:70700", "", "7070"] {
            assert!(resolve(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
        assert!(resolve("no such host:7070").unwrap_err().contains("no such host"));
    }
}
