//! `ambit config check`: everything that can be known to be wrong before a start.

use crate::config::Config;
use crate::keys;
use crate::roles::up::rule_ids;
use ambit_analytics::Register;
use anyhow::{Context, anyhow, bail};

/// Most records of the audit trail that may wait for Kafka: some hundred megabytes.
const AUDIT_QUEUE_MAX: usize = 1_000_000;

/// Checks values, and the files that they name.
pub fn check(config: &Config) -> anyhow::Result<()> {
    config.kafka.check()?;
    if config.kafka.partitions == 0 || config.kafka.partitions > 1_024 {
        bail!("`kafka.partitions` must be from 1 to 1024, got {}", config.kafka.partitions);
    }
    if config.kafka.bootstrap_servers.trim().is_empty() {
        bail!(
            "`kafka.bootstrap_servers` names no broker: give at least one as host:port, or leave `broker.embedded` out"
        );
    }
    if config.kafka.replication == 0 || config.kafka.replication > i16::MAX.unsigned_abs().into() {
        bail!("`kafka.replication` must be from 1 to {}, got {}", i16::MAX, config.kafka.replication);
    }
    if let Some(program) = config.broker.program.as_deref().filter(|program| !program.is_file()) {
        bail!("`broker.program` names {}, which is not a file", program.display());
    }
    if config.api.query_timeout_ms == 0 || config.api.concurrent_queries == 0 || config.api.memory_mb == 0 {
        bail!("`api.query_timeout_ms`, `api.concurrent_queries` and `api.memory_mb` must be at least 1");
    }
    let limits = &config.api.limits;
    if limits.concurrent_per_caller == 0
        || limits.concurrent_per_tenant == 0
        || limits.streams_per_caller == 0
    {
        bail!("`api.limits` must let each caller have at least one request and one stream");
    }
    if !(1..=AUDIT_QUEUE_MAX).contains(&config.api.audit.queue) {
        bail!("`api.audit.queue` must be from 1 to {AUDIT_QUEUE_MAX}, got {}", config.api.audit.queue);
    }
    if let Some(oidc) = &config.api.oidc {
        oidc.check().map_err(|why| anyhow!("`api.oidc`: {why}"))?;
    }
    super::topics::check(&config.gateway.topics).context("`gateway.topics`")?;
    if config.ingest.commit_every_ms == 0 || config.ingest.commit_rows == 0 || config.ingest.workers == 0 {
        bail!("`ingest.commit_every_ms`, `ingest.commit_rows` and `ingest.workers` must be at least 1");
    }
    let (store, longest) = (&config.store, config.api.query_timeout_ms / 1_000 + 1);
    if store.every_seconds == 0 || store.fan_in < 2 || store.target_mb == 0 || store.memory_mb == 0 {
        bail!(
            "`store.every_seconds`, `store.target_mb` and `store.memory_mb` must be at least 1, `store.fan_in` 2"
        );
    }
    if store.history_seconds < longest.max(60) * 2 {
        bail!(
            "`store.history_seconds` is {}: files must stay for at least {} seconds, so that no question finds them gone",
            store.history_seconds,
            longest.max(60) * 2
        );
    }
    let first = ambit_schemas::Shard::new(ambit_schemas::Topic::Events, 0);
    ambit_ingest::origin(&config.ledger.log_name, first).context("`ledger.log_name` cannot be used")?;
    config.ledger.check(&config.data_dir)?;
    Register::new(&config.analyzer.agents).context("`analyzer.agents`")?;
    if let Some(witness) = &config.witness {
        witness.check()?;
    }
    for path in &config.analyzer.approver_keys {
        keys::public_key(path).context("`analyzer.approver_keys`")?;
    }
    if let Some(dir) = config.analyzer.rules_dir.as_deref().filter(|dir| !dir.is_dir()) {
        bail!("`analyzer.rules_dir` names {}, which is not a folder", dir.display());
    }
    if !config.api.listen.ip().is_loopback() && config.api.allowed_hosts.is_empty() {
        bail!("`api.listen` is {}, not loopback: name the host in `api.allowed_hosts`", config.api.listen);
    }
    ambit_enforcement::Service::check(&config.enforcement, &rule_ids()).context("`enforcement`")
}
