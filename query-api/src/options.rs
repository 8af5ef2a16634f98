//! How the API is configured.

use crate::text::IndexOptions;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::{SocketAddr, ToSocketAddrs};

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
    /// log. They hold hashes and sizes, no events. Everything else always needs the token.
    pub public_ledger: bool,
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
