//! How the API is configured.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How the API is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names under which browsers may reach it, beside loopback (`Host` header): keeps foreign pages out.
    pub allowed_hosts: Vec<String>,
    /// Milliseconds that one question may take.
    pub query_timeout_ms: u64,
    /// Questions that run at once; more are turned away with `Retry-After`.
    pub concurrent_queries: usize,
    /// Megabytes that all questions together may hold.
    pub memory_mb: usize,
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
            public_ledger: false,
        }
    }
}
