//! The addresses of this process. They are taken before anything else starts, so that a taken port is told at once and
//! nothing has to be stopped again.

use crate::config::Config;
use crate::roles::up::Role;
use anyhow::Context;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The listeners of roles that have not started yet.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For API and console.
    pub api: Option<TcpListener>,
    /// For the gateway.
    pub gateway: Option<TcpListener>,
    /// For receivers of security event tokens.
    pub transmitter: Option<TcpListener>,
    /// For the witness.
    pub witness: Option<TcpListener>,
    /// For health and metrics.
    pub monitoring: Option<TcpListener>,
}

impl Listeners {
    /// Listens for these roles. The embedded broker listens by itself, later; that it can is tried.
    pub async fn bind(config: &Config, roles: &[Role], embedded_broker: bool) -> anyhow::Result<Self> {
        let mut listeners = Self::default();
        if roles.contains(&Role::Serve) {
            listeners.api = Some(bind(config.api.listen, "api.listen").await?);
        }
        if roles.contains(&Role::Gateway) {
            listeners.gateway = Some(bind(config.gateway.listen, "gateway.listen").await?);
        }
        let transmitter = config.enforcement.transmitter.as_ref().and_then(|transmitter| transmitter.listen);
        if let Some(address) = transmitter.filter(|_| roles.contains(&Role::Enforce)) {
            listeners.transmitter = Some(bind(address, "enforcement.transmitter.listen").await?);
        }
        if let Some(witness) = config.witness.as_ref().filter(|_| roles.contains(&Role::Witness)) {
            listeners.witness = Some(bind(witness.listen, "witness.listen").await?);
        }
        if let Some(address) = config.monitoring.listen {
            listeners.monitoring = Some(bind(address, "monitoring.listen").await?);
        }
        if embedded_broker {
            drop(bind(config.broker.listen, "broker.listen").await?);
        }
        Ok(listeners)
    }
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: stop what listens there, or set `{option}` to another address")
    })
}
