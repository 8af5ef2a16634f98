//! `ambit up`: every role in one process. Single roles are started by the same functions.

mod storage;

use crate::config::Config;
use crate::keys;
use crate::output::print;
use crate::roles::analyze::Counters;
use crate::roles::broker::Broker;
use crate::roles::gateway::{self, Gateway};
use crate::roles::listeners::Listeners;
use crate::roles::maintain;
use crate::roles::metrics;
use crate::roles::parts::Parts;
pub use crate::roles::role::Role;
use crate::roles::transmitter::Transmitter;
use crate::roles::{serve, witness, witnesses};
use crate::runtime::lock::{DataLock, Sharing};
use crate::runtime::signals;
use crate::runtime::supervisor::{OnError, Stage, Supervisor, TaskStates, on_thread};
use crate::simulate::now;
use ambit_bus::HealthProbe;
use ambit_enforcement::Polls;
use ambit_query_api::{Engine, Keeper, Kept};
use ambit_schemas::redact::RedactionSecret;
use ambit_schemas::{Shard, Topic};
use ambit_store::Store;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Said where nobody is told of findings.
pub(crate) const NO_RECEIVERS: &str = "nothing is revoked: no receiver of webhooks is configured, findings are only recorded (add \
                            `[[enforcement.receivers]]`)";
/// How often it is asked whether Kafka is there.
const ASK_KAFKA_EVERY: Duration = Duration::from_secs(1);

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
    /// The text indexes.
    pub index: Arc<Kept>,
    /// The witness for logs of others.
    pub witness: Arc<witness::Counters>,
    /// The witnesses of this ledger.
    pub witnesses: witnesses::Standing,
    /// Whether Kafka answers.
    pub kafka: ambit_bus::Health,
    /// Who may ask the API.
    pub access: Option<Arc<ambit_query_api::access::Access>>,
    /// What whoever runs this should know, though nothing is wrong.
    pub notices: Vec<String>,
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
    listeners: Listeners,
    roles: Vec<Role>,
    embedded_broker: bool,
    /// Held until everything has stopped.
    _lock: Option<DataLock>,
}

impl Process {
    /// A process for every role, with the embedded broker if one is configured.
    pub async fn whole(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let mut roles = vec![Role::Ingest, Role::Analyze, Role::Enforce];
        roles.extend(config.gateway.enabled.then_some(Role::Gateway));
        roles.push(Role::Serve);
        roles.extend(config.witness.is_some().then_some(Role::Witness));
        let lock = DataLock::take(&config.data_dir, Sharing::Alone)?;
        let embedded = config.embedded_broker();
        Self::open(config, shutdown, roles, embedded, Some(lock)).await
    }

    /// A process for one role against Kafka.
    pub async fn single(config: Config, shutdown: CancellationToken, role: Role) -> anyhow::Result<Self> {
        let lock =
            role.writes().then(|| DataLock::take(&config.data_dir, Sharing::AmongRoles)).transpose()?;
        Self::open(config, shutdown, vec![role], false, lock).await
    }

    /// Takes what only one process can have; nothing runs yet but the watch for signals. The end is asked for by
    /// `shutdown` or a signal.
    async fn open(
        config: Config,
        shutdown: CancellationToken,
        roles: Vec<Role>,
        embedded_broker: bool,
        lock: Option<DataLock>,
    ) -> anyhow::Result<Self> {
        let listeners = Listeners::bind(&config, &roles, embedded_broker).await?;
        let mut supervisor = Supervisor::new(shutdown.clone());
        let handles = Handles { tasks: supervisor.states(), ..Handles::default() };
        let watched = shutdown.clone();
        // Signals are watched to the very end, so that a second one is heard while stages stop.
        supervisor.spawn(Stage::Signals, "signals", OnError::Stop, move |stopped| {
            signals::watch(watched.clone(), stopped)
        });
        Ok(Self { config, supervisor, shutdown, handles, listeners, roles, embedded_broker, _lock: lock })
    }

    /// What asks for the end.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// The supervisor, for tasks of others.
    pub const fn supervisor(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }

    /// Starts everything. Returns the console's URL, if there is one, and writes it to a file if asked.
    pub async fn start(&mut self, url_file: Option<&Path>) -> anyhow::Result<Option<String>> {
        // What is stored can be answered, and logs of others cosigned, without Kafka.
        if !self.roles.iter().all(|role| matches!(role, Role::Serve | Role::Witness)) {
            self.prepare().await?;
        }
        let mut url = None;
        for role in self.roles.clone() {
            match role {
                Role::Gateway => self.start_gateway()?,
                Role::Ingest => self.start_ingest().await?,
                Role::Analyze => self.start_analyze().await?,
                Role::Enforce => self.start_enforce()?,
                Role::Serve => url = Some(self.start_serve(url_file).await?),
                Role::Witness => {
                    let (listener, counters) = (self.listeners.witness.take(), &self.handles.witness);
                    witness::start(&mut self.supervisor, &self.config, listener, counters)?;
                }
            }
        }
        self.start_monitoring();
        Ok(url)
    }

    /// Serves health and metrics apart from the API, if there is an address for it.
    fn start_monitoring(&mut self) {
        let Some(listener) = self.listeners.monitoring.take() else { return };
        let mut parts = Some((metrics::sources(&self.handles), listener));
        self.supervisor.spawn(Stage::Serving, "monitoring", OnError::Stop, move |shutdown| {
            let parts = parts.take();
            async move {
                let Some((sources, listener)) = parts else { return Ok(()) };
                sources.run(listener, shutdown).await.context("health and metrics failed")
            }
        });
    }

    /// Starts the embedded broker, if there is to be one, and creates the topics.
    async fn prepare(&mut self) -> anyhow::Result<()> {
        self.config.kafka.check()?;
        if self.embedded_broker {
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
        ambit_bus::ensure_topics(&self.config.kafka).await.context("the topics are not there")?;
        self.watch_kafka()
    }

    /// Starts what asks the brokers, again and again, whether they are there.
    fn watch_kafka(&mut self) -> anyhow::Result<()> {
        let probe = Arc::new(HealthProbe::new(&self.config.kafka, self.handles.kafka.clone())?);
        self.supervisor.spawn(Stage::Serving, "kafka", OnError::Restart, move |shutdown| {
            let probe = Arc::clone(&probe);
            async move {
                while !shutdown.is_cancelled() {
                    let asking = Arc::clone(&probe);
                    tokio::task::spawn_blocking(move || asking.ask(now)).await?;
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(ASK_KAFKA_EVERY) => {}
                    }
                }
                Ok(())
            }
        });
        Ok(())
    }

    /// Runs until the end is asked for or something fails that cannot be done without. When the start failed, what has
    /// started is stopped in order, and why is the error.
    pub async fn run<T>(self, started: anyhow::Result<T>) -> anyhow::Result<()> {
        let Err(why) = started else { return self.supervisor.run().await };
        self.shutdown.cancel();
        if let Err(error) = self.supervisor.run().await {
            tracing::debug!("while stopping after a failed start: {error:#}");
        }
        Err(why)
    }

    async fn store(&self) -> anyhow::Result<Store> {
        Parts { config: &self.config }.store().await
    }

    fn start_gateway(&mut self) -> anyhow::Result<()> {
        let parts = Parts { config: &self.config };
        let token = keys::token(&self.config.keys_dir().join("gateway.token"))?;
        let secret = keys::token(&self.config.keys_dir().join("redaction.key"))?;
        let (producer, counters) =
            (parts.prompt_producer("ambit-gateway")?, Arc::clone(&self.handles.gateway));
        let payloads = parts.payloads()?;
        let (mut listener, kafka) = (self.listeners.gateway.take(), self.handles.kafka.clone());
        self.supervisor.spawn(Stage::Intake, "gateway", OnError::Stop, move |shutdown| {
            let redaction = RedactionSecret::new(secret.as_bytes());
            let gateway = Gateway::new(
                producer.clone(),
                payloads.clone(),
                token.clone(),
                redaction,
                kafka.clone(),
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
        ambit_enforcement::Service::check(&self.config.enforcement, &rule_ids())?;
        if self.config.enforcement.receivers.is_empty() {
            tracing::warn!("{NO_RECEIVERS}");
            self.handles.notices.push(NO_RECEIVERS.to_owned());
        }
        let service = ambit_enforcement::Service {
            options: self.config.enforcement.clone(),
            rules: rule_ids(),
            kafka: self.config.kafka.clone(),
            producer: Parts { config: &self.config }.prompt_producer("ambit-enforce")?,
            outbox: self.config.outbox_path(),
            handle: self.handles.enforcement.clone(),
            clock: Arc::new(now),
            polls: self.start_transmitter()?,
        };
        self.supervisor.spawn(Stage::Consequence, "enforcement", OnError::Restart, move |shutdown| {
            let service = service.clone();
            async move { Ok(service.run(shutdown).await?) }
        });
        Ok(())
    }

    /// Starts what serves receivers of security event tokens, if there is an address for it.
    fn start_transmitter(&mut self) -> anyhow::Result<Polls> {
        let (polls, mut listener) = (Polls::default(), self.listeners.transmitter.take());
        let transmitter = Transmitter::new(&self.config.enforcement, polls.clone())?;
        let Some(transmitter) = transmitter.filter(|_| listener.is_some()) else { return Ok(polls) };
        self.supervisor.spawn(Stage::Serving, "transmitter", OnError::Stop, move |shutdown| {
            let (transmitter, listener) = (transmitter.clone(), listener.take());
            async move {
                match listener {
                    Some(listener) => transmitter.run(listener, shutdown).await,
                    None => Ok(()),
                }
            }
        });
        Ok(polls)
    }

    /// Starts API and console. Returns the console's URL, with its token; writes it to a file if asked.
    async fn start_serve(&mut self, url_file: Option<&Path>) -> anyhow::Result<String> {
        let parts = Parts { config: &self.config };
        let listener = self.listeners.api.take().context("nothing listens for the API")?;
        let address = listener.local_addr().context("the API's address")?;
        let (access, token) = serve::access(&self.config)?;
        let url = format!("http://{address}/#token={}", token.as_str());
        let engine = parts.engine(self.store().await?)?;
        let writer = Arc::new(serve::Writer::new(&self.config, self.handles.kafka.clone())?);
        let (trail, mut trail_writer) = serve::trail(&self.config);
        if trail_writer.is_none() {
            self.handles.notices.push(serve::NOT_RECORDED.to_owned());
        }
        self.handles.access = Some(Arc::clone(&access));
        let service = ambit_query_api::Service {
            options: self.config.api.clone(),
            engine: engine.clone(),
            ledgers: ambit_query_api::Ledgers {
                dir: self.config.ledger_dir(),
                log_name: self.config.ledger.log_name.clone(),
                key: Arc::new(parts.signer()?.public_key().clone()),
                shards: shards(&self.config),
            },
            access,
            trail,
            publish: Arc::clone(&writer) as Arc<dyn ambit_query_api::Publish>,
            sources: metrics::sources(&self.handles),
            closing: CancellationToken::new(),
        };
        self.start_index(&engine);
        let mut parts = Some((service, listener));
        self.supervisor.spawn(Stage::Serving, "api", OnError::Stop, move |shutdown| {
            let (parts, writer, trail) = (parts.take(), Arc::clone(&writer), trail_writer.take());
            async move {
                let Some((service, listener)) = parts else { return Ok(()) };
                let serving = async { service.run(listener, shutdown).await.context("the API failed") };
                let writing = async {
                    if let Some(trail) = trail {
                        trail.run(writer).await;
                    }
                };
                // What is asked is recorded to the end: the trail is closed when nobody can ask any more.
                tokio::join!(serving, writing).0
            }
        });
        if let Some(path) = url_file {
            std::fs::write(path, &url).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(url)
    }
}

impl Process {
    /// Starts what keeps the text indexes, unless they are switched off.
    fn start_index(&mut self, engine: &Engine) {
        let kept = Arc::clone(&self.handles.index);
        let Some(keeper) = Keeper::new(engine, &self.config.api.index, kept) else { return };
        self.supervisor.spawn(Stage::Serving, "index", OnError::Restart, move |shutdown| {
            let keeper = keeper.clone();
            async move { Ok(keeper.run(shutdown).await?) }
        });
    }
}

/// Every shard there is.
pub fn shards(config: &Config) -> Vec<Shard> {
    let of = |topic| (0..config.kafka.partitions).map(move |partition| Shard::new(topic, partition));
    Topic::ALL.into_iter().flat_map(of).collect()
}

/// The ids of all rules, for whoever speaks of rules.
pub fn rule_ids() -> Vec<&'static str> {
    ambit_analytics::rules::ALL.iter().map(|rule| rule.id).collect()
}

/// Runs every role until the end is asked for.
pub async fn run(config: Config, url_file: Option<&Path>) -> anyhow::Result<()> {
    run_process(Process::whole(config, CancellationToken::new()).await?, url_file).await
}

/// Runs one role against Kafka.
pub async fn run_role(config: Config, role: Role) -> anyhow::Result<()> {
    run_process(Process::single(config, CancellationToken::new(), role).await?, None).await
}

async fn run_process(mut process: Process, url_file: Option<&Path>) -> anyhow::Result<()> {
    let started = process.start(url_file).await;
    if let Ok(Some(url)) = &started {
        print(&format!("console: {url}"));
    }
    process.run(started).await
}
