//! What roles are made of, opened once per process from the configuration: store, ledgers, keys, producers.

use crate::config::Config;
use crate::keys;
use crate::roles::analyze::{Analyze, Counters};
use crate::roles::snapshots::Snapshots;
use crate::rules::Folder;
use crate::simulate::now;
use ambit_analytics::{FingerprintSecret, Register};
use ambit_bus::{Linger, Producer};
use ambit_ingest::Ledgers;
use ambit_ingest::outside::Outside;
use ambit_ledger::CheckpointSigner;
use ambit_query_api::Engine;
use ambit_store::{Payloads, Store};
use anyhow::{Context, bail};
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::sync::Arc;
use std::time::Duration;

/// Most events of one producer of ours on their way into Kafka: about a second of what it takes, and a few megabytes.
pub const PENDING_MAX: usize = 10_000;

/// Opens parts of the process.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// From what.
    pub config: &'a Config,
}

impl Parts<'_> {
    /// Where the store is.
    pub fn store_options(&self) -> ambit_store::Options {
        let history = Duration::from_secs(self.config.store.history_seconds);
        let s3 = self.config.store.s3.clone();
        ambit_store::Options { history, s3, ..ambit_store::Options::durable(self.config.table_dir()) }
    }

    /// The store, made if it is not there.
    pub async fn store(&self) -> anyhow::Result<Store> {
        Store::open(self.store_options()).await.context("the store cannot be opened")
    }

    /// What answers questions about the store.
    pub fn engine(&self, store: Store) -> anyhow::Result<Engine> {
        let engine = Engine::new(store, &self.config.api).context("the query engine cannot be set up")?;
        let indexed = self.config.api.index.enabled;
        Ok(if indexed { engine.with_index(self.config.index_dir()) } else { engine })
    }

    /// Whether there is a store, for those who only look: a mistyped directory is not to become an empty store. One in an
    /// object store is asked for when it is opened.
    pub fn must_have_store(&self) -> anyhow::Result<()> {
        let dir = self.config.table_dir();
        if self.config.store.s3.is_none() && !dir.join("_delta_log").is_dir() {
            bail!("there is no store in {}: name the data directory with --data-dir", dir.display());
        }
        Ok(())
    }

    /// Where content lies that is too large for an event.
    pub fn payloads(&self) -> anyhow::Result<Payloads> {
        Payloads::open(&self.store_options()).context("the store's place for large content cannot be opened")
    }

    /// Who signs checkpoints; the key is made on first start.
    pub fn signer(&self) -> anyhow::Result<Arc<CheckpointSigner>> {
        let path = self.config.keys_dir().join("ledger.key");
        std::fs::create_dir_all(self.config.keys_dir())
            .with_context(|| format!("cannot create {}", self.config.keys_dir().display()))?;
        let signer = CheckpointSigner::load_or_create(&path, &self.config.ledger.log_name)
            .with_context(|| format!("the ledger's key {} cannot be used", path.display()))?;
        Ok(Arc::new(signer))
    }

    /// Who signed checkpoints so far, for those who only check: no key is made.
    ///
    /// # Errors
    /// When there is no key: another one could vouch for nothing that is there.
    pub fn existing_signer(&self) -> anyhow::Result<CheckpointSigner> {
        let path = self.config.keys_dir().join("ledger.key");
        CheckpointSigner::load(&path, &self.config.ledger.log_name).with_context(|| {
            format!(
                "nothing can be verified without the ledger's key {}: restore it from a backup",
                path.display()
            )
        })
    }

    /// Where ledgers are and who signs them.
    pub fn ledgers(&self) -> anyhow::Result<Ledgers> {
        Ok(Ledgers {
            dir: self.config.ledger_dir(),
            log_name: self.config.ledger.log_name.clone(),
            signer: self.signer()?,
            board: ambit_ingest::outside::Board::default(),
            outside: self.outside()?,
        })
    }

    /// Who remembers checkpoints outside the data directory.
    pub fn outside(&self) -> anyhow::Result<Outside> {
        Ok(Outside::new(self.config.ledger.mirror()?, Some(self.config.kafka.clone())))
    }

    /// The key with which this installation approves envelopes: for the simulator and recorded runs.
    pub fn approver(&self) -> anyhow::Result<SigningKey> {
        keys::approver_key(&self.config.keys_dir().join("approver.pem"))
    }

    /// All keys that the analyzer trusts to approve envelopes.
    pub fn approver_keys(&self) -> anyhow::Result<Vec<VerifyingKey>> {
        let mut trusted = vec![self.approver()?.verifying_key()];
        for path in &self.config.analyzer.approver_keys {
            trusted.push(keys::public_key(path)?);
        }
        Ok(trusted)
    }

    /// A producer for events, in bulk.
    pub fn bulk_producer(&self, client_id: &str) -> anyhow::Result<Producer> {
        Producer::new(&self.config.kafka, client_id, Linger::Throughput)
            .context("the producer cannot be set up")
    }

    /// A producer that does not wait for company.
    pub fn prompt_producer(&self, client_id: &str) -> anyhow::Result<Producer> {
        Producer::new(&self.config.kafka, client_id, Linger::None).context("the producer cannot be set up")
    }

    /// The analyzer's options.
    pub fn analyzer_options(&self) -> anyhow::Result<ambit_analytics::Options> {
        let agents = &self.config.analyzer.agents;
        let register = (!agents.is_empty()).then(|| Register::new(agents)).transpose();
        let secret = keys::token(&self.config.keys_dir().join("redaction.key"))?;
        Ok(ambit_analytics::Options {
            approver_keys: self.approver_keys()?,
            require_signature: self.config.analyzer.require_signature,
            fingerprint_secret: Some(FingerprintSecret::new(secret.as_bytes())),
            register: register.context("`analyzer.agents`")?,
            ..ambit_analytics::Options::default()
        })
    }

    /// The customer's rules, and who puts them in force.
    pub fn rules(&self) -> anyhow::Result<Folder> {
        let analyzer = &self.config.analyzer;
        Ok(Folder {
            dir: analyzer.rules_dir.clone(),
            may_revoke: analyzer.rules_may_revoke,
            every: Duration::from_secs(analyzer.rules_every_seconds.max(1)),
            key: self.approver()?,
        })
    }

    /// The analyzer's loop.
    pub fn analyze(&self, store: Store, counters: Arc<Counters>) -> anyhow::Result<Analyze> {
        Ok(Analyze {
            kafka: self.config.kafka.clone(),
            producer: self.prompt_producer("ambit-analyze")?,
            store,
            options: Arc::new(self.analyzer_options()?),
            snapshots: Snapshots::open(self.config.analyzer_dir())?,
            snapshot_every: Duration::from_secs(self.config.analyzer.snapshot_every_seconds.max(1)),
            counters,
            rules: self.rules()?,
            clock: now,
        })
    }
}
