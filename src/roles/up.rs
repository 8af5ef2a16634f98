//! `ambit up`: every role in one process. Single roles are started by the same functions.

use crate::config::Config;
use crate::keys;
use crate::output::print;
use crate::roles::analyze::Counters;
use crate::roles::broker::Broker;
use crate::roles::checkpoints;
use crate::roles::gateway::{self, Gateway};
use crate::roles::maintain::{self, Maintain};
use crate::roles::parts::Parts;
use crate::runtime::signals;
use crate::runtime::supervisor::{OnError, Stage, Supervisor, TaskStates, on_thread};
use crate::simulate::now;
use ambit_ingest::Health;
use ambit_ingest::scrub::Scrubber;
use ambit_ingest::verify::Verification;
use ambit_query_api::{Engine, Sources};
use ambit_schemas::redact::RedactionSecret;
use ambit_schemas::{Shard, Topic};
use ambit_store::Store;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes events over HTTP.
    Gateway,
    /// Stores.
    Ingest,
    /// Judges.
    Analyze,
    /// Acts.
    Enforce,
    /// Answers.
    Serve,
}

/// What the roles of this process tell of themselves.
#[derive(Debug, Clone, Default)]
pub struct Handles {
    /// Ingest.
    pub ingest: ambit_ingest::Handle,
    /// Enforcement.
    pub enforcement: ambit_enforcement::Handle,
    /// The analyzer.
    pub analyze: Arc<Counters>,
    /// The gateway.
    pub gateway: Arc<gateway::Counters>,
    /// Topics of other systems.
    pub topics: Arc<gateway::TopicCounters>,
    /// The table's upkeep.
    pub maintain: Arc<maintain::Counters>,
    /// All tasks.
    pub tasks: TaskStates,
}

/// Roles on their way to running: everything that can fail early fails before the first task starts.
#[derive(Debug)]
pub struct Process {
    config: Config,
    supervisor: Supervisor,
    shutdown: CancellationToken,
    handles: Handles,
}

impl Process {
    /// A process without roles, whose end is asked for by `shutdown` or a signal.
    pub fn new(config: Config, shutdown: CancellationToken) -> Self {
        let mut supervisor = Supervisor::new(shutdown.clone());
        let handles = Handles { tasks: supervisor.states(), ..Handles::default() };
        let watched = shutdown.clone();
        // Signals are watched to the very end, so that a second one is heard while stages stop.
        supervisor.spawn(Stage::Foundation, "signals", OnError::Stop, move |stopped| {
            signals::watch(watched.clone(), stopped)
        });
        Self { config, supervisor, shutdown, handles }
    }

    /// What asks for the end.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// The supervisor, for tasks of others.
    pub const fn supervisor(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }

    /// Starts the embedded broker, if it is configured, and creates the topics.
    pub async fn prepare(&mut self, embedded: bool) -> anyhow::Result<()> {
        self.config.kafka.check()?;
        if embedded && self.config.broker.embedded {
            let broker = Broker::start(&self.config).await?;
            let mut broker = Some(broker);
            let shutdown = self.shutdown.clone();
            self.supervisor.spawn(Stage::Foundation, "broker", OnError::Stop, move |token| {
                let (broker, shutdown) = (broker.take(), shutdown.clone());
                async move {
                    let Some(broker) = broker else { return Ok(()) };
                    // Without a broker nothing can go on: the process ends, whoever started it starts it again.
                    broker.run(token).await.inspect_err(|_| shutdown.cancel())
                }
            });
        }
        ambit_bus::ensure_topics(&self.config.kafka).await.context("the topics are not there")
    }

    /// Starts a role.
    pub async fn start(&mut self, role: Role) -> anyhow::Result<()> {
        match role {
            Role::Gateway => self.start_gateway().await,
            Role::Ingest => self.start_ingest().await,
            Role::Analyze => self.start_analyze().await,
            Role::Enforce => self.start_enforce(),
            Role::Serve => self.start_serve(None).await.map(|_| ()),
        }
    }

    /// Runs until the end is asked for or something fails that cannot be done without.
    pub async fn run(self) -> anyhow::Result<()> {
        self.supervisor.run().await
    }

    async fn store(&self) -> anyhow::Result<Store> {
        Parts { config: &self.config }.store().await
    }

    async fn start_gateway(&mut self) -> anyhow::Result<()> {
        let parts = Parts { config: &self.config };
        let listener = bind(&self.config.gateway.listen.to_string(), "gateway.listen").await?;
        let token = keys::token(&self.config.keys_dir().join("gateway.token"))?;
        let secret = keys::token(&self.config.keys_dir().join("redaction.key"))?;
        let (producer, counters) =
            (parts.prompt_producer("ambit-gateway")?, Arc::clone(&self.handles.gateway));
        let payloads = parts.payloads()?;
        let mut listener = Some(listener);
        self.supervisor.spawn(Stage::Intake, "gateway", OnError::Stop, move |shutdown| {
            let redaction = RedactionSecret::new(secret.as_bytes());
            let gateway = Gateway::new(
                producer.clone(),
                payloads.clone(),
                token.clone(),
                redaction,
                Arc::clone(&counters),
            );
            let listener = listener.take();
            async move {
                match listener {
                    Some(listener) => gateway.run(listener, shutdown).await,
                    None => Ok(()),
                }
            }
        });
        self.start_topics()
    }

    /// Starts what reads topics of other systems, if there are any.
    fn start_topics(&mut self) -> anyhow::Result<()> {
        if self.config.gateway.topics.is_empty() {
            return Ok(());
        }
        let secret = keys::token(&self.config.keys_dir().join("redaction.key"))?;
        let topics = gateway::Topics {
            kafka: self.config.kafka.clone(),
            producer: Parts { config: &self.config }.bulk_producer("ambit-sources")?,
            payloads: Parts { config: &self.config }.payloads()?,
            redaction: RedactionSecret::new(secret.as_bytes()),
            topics: self.config.gateway.topics.clone(),
            counters: Arc::clone(&self.handles.topics),
        };
        let runtime = Handle::current();
        self.supervisor.spawn(Stage::Intake, "sources", OnError::Restart, move |shutdown| {
            let (topics, runtime) = (topics.clone(), runtime.clone());
            on_thread("sources", move || topics.run(&runtime, &shutdown))
        });
        Ok(())
    }

    async fn start_ingest(&mut self) -> anyhow::Result<()> {
        let parts = Parts { config: &self.config };
        let ledgers = parts.ledgers()?;
        self.tell_of_checkpoints(&ledgers)?;
        let store = self.store().await?;
        self.start_scrubber(&store, &ledgers)?;
        self.start_maintain(&ledgers).await?;
        let service = ambit_ingest::Service {
            options: self.config.ingest.clone(),
            kafka: self.config.kafka.clone(),
            store,
            ledgers,
            producer: Parts { config: &self.config }.prompt_producer("ambit-ingest")?,
            clock: now,
            handle: self.handles.ingest.clone(),
        };
        let runtime = Handle::current();
        self.supervisor.spawn(Stage::Storage, "ingest", OnError::Restart, move |shutdown| {
            let (service, runtime) = (service.clone(), runtime.clone());
            on_thread("ingest", move || Ok(service.run(&runtime, &shutdown)?))
        });
        Ok(())
    }

    async fn start_maintain(&mut self, ledgers: &ambit_ingest::Ledgers) -> anyhow::Result<()> {
        if !self.config.store.enabled {
            return Ok(());
        }
        let maintain = Maintain {
            store: self.store().await?,
            location: Parts { config: &self.config }.store_options(),
            ledgers: ledgers.clone(),
            shards: shards(&self.config),
            payloads: Parts { config: &self.config }.payloads()?,
            options: self.config.store.clone(),
            counters: Arc::clone(&self.handles.maintain),
        };
        self.supervisor.spawn(Stage::Storage, "maintenance", OnError::Restart, move |shutdown| {
            maintain.clone().run(shutdown)
        });
        Ok(())
    }

    /// Starts what reads everything stored again and compares it with the ledger, unless it is switched off.
    fn start_scrubber(&mut self, store: &Store, ledgers: &ambit_ingest::Ledgers) -> anyhow::Result<()> {
        let options = &self.config.ledger;
        if options.scrub_every_seconds == 0 {
            return Ok(());
        }
        let scrubber = Scrubber {
            verification: Verification {
                store: store.clone(),
                ledger_dir: ledgers.dir.clone(),
                log_name: ledgers.log_name.clone(),
                key: ledgers.signer.public_key().clone(),
            },
            shards: shards(&self.config),
            every: Duration::from_secs(options.scrub_every_seconds),
            rows_per_second: options.scrub_rows_per_second,
            producer: Parts { config: &self.config }.prompt_producer("ambit-scrubber")?,
            handle: self.handles.ingest.clone(),
            clock: now,
        };
        self.supervisor.spawn(Stage::Storage, "scrubber", OnError::Restart, move |shutdown| {
            let scrubber = scrubber.clone();
            async move { Ok(scrubber.run(shutdown).await?) }
        });
        Ok(())
    }

    /// Starts what tells others of signed checkpoints. Each fails and is started again by itself.
    fn tell_of_checkpoints(&mut self, ledgers: &ambit_ingest::Ledgers) -> anyhow::Result<()> {
        let sender = ambit_bus::CheckpointSender::new(&self.config.kafka)?;
        let board = ledgers.board.clone();
        self.supervisor.spawn(Stage::Storage, "checkpoints", OnError::Restart, move |shutdown| {
            checkpoints::kafka(sender.clone(), board.clone(), shutdown)
        });
        if let Some(mirror) = self.config.ledger.mirror()? {
            let every = Duration::from_secs(self.config.ledger.mirror_every_seconds);
            let board = ledgers.board.clone();
            self.supervisor.spawn(Stage::Storage, "mirror", OnError::Restart, move |shutdown| {
                checkpoints::mirror(mirror.clone(), every, board.clone(), shutdown)
            });
        }
        Ok(())
    }

    async fn start_analyze(&mut self) -> anyhow::Result<()> {
        let parts = Parts { config: &self.config };
        let analyze = parts.analyze(self.store().await?, Arc::clone(&self.handles.analyze))?;
        let runtime = Handle::current();
        self.supervisor.spawn(Stage::Judgement, "analyzer", OnError::Restart, move |shutdown| {
            let (analyze, runtime) = (analyze.clone(), runtime.clone());
            on_thread("analyzer", move || analyze.run(&runtime, &shutdown))
        });
        Ok(())
    }

    fn start_enforce(&mut self) -> anyhow::Result<()> {
        ambit_enforcement::Service::check(&self.config.enforcement)?;
        let service = ambit_enforcement::Service {
            options: self.config.enforcement.clone(),
            kafka: self.config.kafka.clone(),
            producer: Parts { config: &self.config }.prompt_producer("ambit-enforce")?,
            outbox: self.config.outbox_path(),
            handle: self.handles.enforcement.clone(),
            clock: Arc::new(now),
        };
        self.supervisor.spawn(Stage::Consequence, "enforcement", OnError::Restart, move |shutdown| {
            let service = service.clone();
            async move { Ok(service.run(shutdown).await?) }
        });
        Ok(())
    }

    /// Starts API and console. Returns the console's URL, with its token; writes it to a file if asked.
    pub async fn start_serve(&mut self, url_file: Option<&Path>) -> anyhow::Result<String> {
        let parts = Parts { config: &self.config };
        let listener = bind(&self.config.api.listen.to_string(), "api.listen").await?;
        let address = listener.local_addr().context("the API's address")?;
        let token = keys::token(&self.config.keys_dir().join("api.token"))?;
        let url = format!("http://{address}/#token={}", token.as_str());
        let service = ambit_query_api::Service {
            options: self.config.api.clone(),
            engine: Engine::new(self.store().await?, &self.config.api)?,
            ledgers: ambit_query_api::Ledgers {
                dir: self.config.ledger_dir(),
                log_name: self.config.ledger.log_name.clone(),
                key: Arc::new(parts.signer()?.public_key().clone()),
                shards: shards(&self.config),
            },
            token,
            sources: sources(&self.handles),
        };
        let mut listener = Some(listener);
        self.supervisor.spawn(Stage::Serving, "api", OnError::Stop, move |shutdown| {
            let (service, listener) = (service.clone(), listener.take());
            async move {
                match listener {
                    Some(listener) => service.run(listener, shutdown).await.context("the API failed"),
                    None => Ok(()),
                }
            }
        });
        if let Some(path) = url_file {
            std::fs::write(path, &url).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(url)
    }
}

/// Every shard there is.
pub fn shards(config: &Config) -> Vec<Shard> {
    let of = |topic| (0..config.kafka.partitions).map(move |partition| Shard::new(topic, partition));
    Topic::ALL.into_iter().flat_map(of).collect()
}

/// Binds early, so that a taken port is told before anything else starts.
async fn bind(address: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: stop what listens there, or set `{option}` to another address")
    })
}

fn sources(handles: &Handles) -> Sources {
    let (counted, troubled) = (handles.clone(), handles.clone());
    Sources {
        counters: Arc::new(move || counters(&counted)),
        troubles: Arc::new(move || troubles(&troubled)),
        now: Arc::new(now),
    }
}

fn counters(handles: &Handles) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    let named = handles.ingest.counters().into_iter().chain(handles.enforcement.counters());
    all.extend(named.map(|(name, value)| (name.to_owned(), value)));
    for (reason, count) in handles.ingest.dead_letters() {
        all.push((format!("ambit_ingest_dead_letters_total{{reason=\"{reason}\"}}"), count));
    }
    for (shard, next) in handles.ingest.positions() {
        all.push((format!("ambit_ingest_next_offset{{shard=\"{shard}\"}}"), next));
    }
    let (analyze, gateway, maintain) = (&handles.analyze, &handles.gateway, &handles.maintain);
    let topics = &handles.topics;
    for (name, counter) in [
        ("ambit_analyzer_events_total", &analyze.events),
        ("ambit_analyzer_skipped_total", &analyze.skipped),
        ("ambit_analyzer_findings_total", &analyze.findings),
        ("ambit_analyzer_snapshots_total", &analyze.snapshots),
        ("ambit_analyzer_unjudged_total", &analyze.unjudged),
        ("ambit_gateway_accepted_total", &gateway.accepted),
        ("ambit_gateway_refused_total", &gateway.refused),
        ("ambit_gateway_redacted_total", &gateway.redacted),
        ("ambit_sources_records_total", &topics.records),
        ("ambit_sources_events_total", &topics.events),
        ("ambit_sources_opaque_total", &topics.opaque),
        ("ambit_sources_faulty_total", &topics.faulty),
        ("ambit_sources_lost_total", &topics.lost),
        ("ambit_store_active_files", &maintain.active_files),
        ("ambit_store_compacted_files_total", &maintain.replaced),
        ("ambit_store_vacuumed_files_total", &maintain.deleted_files),
        ("ambit_store_retired_rows_total", &maintain.deleted_rows),
        ("ambit_store_held_rows", &maintain.held_rows),
    ] {
        all.push((name.to_owned(), counter.load(Ordering::Relaxed)));
    }
    for (task, state) in handles.tasks.all() {
        all.push((format!("ambit_task_healthy{{task=\"{task}\"}}"), u64::from(state.healthy())));
    }
    all
}

fn troubles(handles: &Handles) -> Vec<(String, String)> {
    let mut all = Vec::new();
    if let Health::Degraded(sentence) = handles.ingest.health() {
        all.push(("ingest".to_owned(), sentence));
    }
    if let Some(sentence) = handles.ingest.integrity() {
        all.push(("integrity".to_owned(), sentence));
    }
    if let Some(sentence) = handles.analyze.alarms.now() {
        all.push(("analyzer".to_owned(), sentence));
    }
    if let Some(sentence) = handles.enforcement.trouble_now() {
        all.push(("enforcement".to_owned(), sentence));
    }
    if let Some(sentence) = handles.maintain.trouble_now() {
        all.push(("store".to_owned(), sentence));
    }
    for (task, state) in handles.tasks.all().into_iter().filter(|(_, state)| !state.healthy()) {
        all.push((task, format!("{state:?}")));
    }
    all
}

/// Runs every role until the end is asked for.
pub async fn run(config: Config, url_file: Option<&Path>) -> anyhow::Result<()> {
    let mut process = Process::new(config, CancellationToken::new());
    process.prepare(true).await?;
    for role in [Role::Ingest, Role::Analyze, Role::Enforce] {
        process.start(role).await?;
    }
    if process.config.gateway.enabled {
        process.start(Role::Gateway).await?;
    }
    let url = process.start_serve(url_file).await?;
    print(&format!("console: {url}"));
    process.run().await
}

/// Runs one role against Kafka.
pub async fn run_role(config: Config, role: Role) -> anyhow::Result<()> {
    let mut process = Process::new(config, CancellationToken::new());
    process.prepare(false).await?;
    if role == Role::Serve {
        let url = process.start_serve(None).await?;
        print(&format!("console: {url}"));
    } else {
        process.start(role).await?;
    }
    process.run().await
}
