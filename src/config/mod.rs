//! Configuration: every component owns its options, this file only nests them. Defaults, then the file, then the
//! command line and its environment variables.

mod check;
mod ledger;
mod topics;
mod witness;

pub use check::check;
pub use ledger::Ledger;
pub use topics::{SourceTopic, TopicFormat, TopicSignal};
pub use witness::{LedgerWitness, Witness, WitnessedLog};

use crate::cli::Cli;
use ambit_query_api::listen_address;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything local is kept.
    pub data_dir: PathBuf,
    /// Kafka.
    pub kafka: ambit_bus::KafkaOptions,
    /// The embedded broker.
    pub broker: Broker,
    /// The HTTP gateway.
    pub gateway: Gateway,
    /// From Kafka into the store.
    pub ingest: ambit_ingest::Options,
    /// How the table is kept.
    pub store: ambit_store::Maintenance,
    /// The ledger.
    pub ledger: Ledger,
    /// The witness for logs of others, if this installation is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// From events to findings.
    pub analyzer: Analyzer,
    /// From findings to webhooks.
    pub enforcement: ambit_enforcement::Options,
    /// API and console.
    pub api: ambit_query_api::Options,
    /// Health and metrics apart from the API.
    pub monitoring: Monitoring,
    /// Logging.
    pub log: Log,
}

/// Health and metrics on an address of their own, for roles that run alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitoring {
    /// Where `/healthz`, `/readyz` and `/metrics` are served, to everybody who reaches it; unless given, nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// The embedded broker, a child process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    /// Whether `ambit up` starts it. Unless said otherwise, when `kafka.bootstrap_servers` names no brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedded: Option<bool>,
    /// Where it listens.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// The program; by default `ambit-broker` beside this program, then on the PATH.
    pub program: Option<PathBuf>,
}

impl Default for Broker {
    fn default() -> Self {
        Self { embedded: None, listen: SocketAddr::from(([127, 0, 0, 1], 7092)), program: None }
    }
}

/// The HTTP gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Whether `ambit up` runs it.
    pub enabled: bool,
    /// Where it listens.
    #[serde(deserialize_with = "listen_address")]
    pub listen: SocketAddr,
    /// Topics of other systems that it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<SourceTopic>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 7080)), topics: Vec::new() }
    }
}

/// The analyzer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Analyzer {
    /// Ed25519 public keys (SPKI, PEM) whose signature makes an envelope valid, beside this installation's own.
    pub approver_keys: Vec<PathBuf>,
    /// Whether an envelope without a valid signature counts as none.
    pub require_signature: bool,
    /// Seconds between snapshots of each shard's state.
    pub snapshot_every_seconds: u64,
    /// The agents that there should be: ids, and globs in which `*` does not cross `/` and `**` does. Empty: there is no
    /// register, and nobody is unregistered.
    pub agents: Vec<String>,
    /// The folder of the customer's rules, in Sigma.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_dir: Option<PathBuf>,
    /// Whether the customer's rules of status `stable` may revoke by themselves (INVARIANT E-3).
    pub rules_may_revoke: bool,
    /// Seconds between looks at the folder of rules.
    pub rules_every_seconds: u64,
}

impl Default for Analyzer {
    fn default() -> Self {
        Self {
            approver_keys: Vec::new(),
            require_signature: true,
            snapshot_every_seconds: 10,
            agents: Vec::new(),
            rules_dir: None,
            rules_may_revoke: false,
            rules_every_seconds: 5,
        }
    }
}

/// Logging.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What to log.
    pub filter: String,
    /// Whether lines are JSON.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            kafka: ambit_bus::KafkaOptions::default(),
            broker: Broker::default(),
            gateway: Gateway::default(),
            ingest: ambit_ingest::Options::default(),
            store: ambit_store::Maintenance::default(),
            ledger: Ledger::default(),
            witness: None,
            analyzer: Analyzer::default(),
            enforcement: ambit_enforcement::Options::default(),
            api: ambit_query_api::Options::default(),
            monitoring: Monitoring::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Reads the file that the command line names, if it names one, and applies the command line.
    pub fn load(cli: &Cli) -> anyhow::Result<Self> {
        let mut config = match &cli.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        if let Some(dir) = &cli.data_dir {
            config.data_dir.clone_from(dir);
        }
        if let Some(servers) = &cli.bootstrap_servers {
            config.kafka.bootstrap_servers.clone_from(servers);
            config.broker.embedded = Some(false);
        }
        if let Some(filter) = &cli.log {
            config.log.filter.clone_from(filter);
        }
        config.choose_broker()?;
        Ok(config)
    }

    /// Whoever names brokers wants those, and otherwise there is the embedded one.
    fn choose_broker(&mut self) -> anyhow::Result<()> {
        let (named, own) = (self.kafka.bootstrap_servers.trim(), self.broker.listen.to_string());
        let embedded = self.broker.embedded.unwrap_or(named.is_empty());
        if embedded && !named.is_empty() && named != own {
            bail!(
                "`kafka.bootstrap_servers` names {named}, and `broker.embedded = true` asks for the embedded broker: \
                 remove one of the two"
            );
        }
        if embedded {
            self.kafka.bootstrap_servers = own;
        }
        self.broker.embedded = Some(embedded);
        Ok(())
    }

    /// Whether `ambit up` starts the embedded broker.
    pub fn embedded_broker(&self) -> bool {
        self.broker.embedded.unwrap_or(true)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read configuration {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("configuration {} is not valid", path.display()))
    }

    /// The Delta table.
    pub fn table_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// Tiles and checkpoints.
    pub fn ledger_dir(&self) -> PathBuf {
        self.data_dir.join("ledger")
    }

    /// Text indexes.
    pub fn index_dir(&self) -> PathBuf {
        self.data_dir.join("index")
    }

    /// What the witness remembers.
    pub fn witness_dir(&self) -> PathBuf {
        self.data_dir.join("witness")
    }

    /// The name in the witness's key.
    pub fn witness_name(&self) -> String {
        let configured = self.witness.as_ref().and_then(|witness| witness.name.clone());
        configured.unwrap_or_else(|| format!("{}/witness", self.ledger.log_name))
    }

    /// Keys and tokens.
    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// Hashes of the API's tokens.
    pub fn tokens_path(&self) -> PathBuf {
        self.keys_dir().join("api-tokens.json")
    }

    /// Snapshots of the analyzer.
    pub fn analyzer_dir(&self) -> PathBuf {
        self.data_dir.join("analyzer")
    }

    /// The outbox.
    pub fn outbox_path(&self) -> PathBuf {
        self.data_dir.join("outbox.sqlite")
    }

    /// The embedded broker's data.
    pub fn broker_dir(&self) -> PathBuf {
        self.data_dir.join("broker")
    }
}
