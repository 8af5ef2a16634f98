//! Takes connections and hands them to nisshi's Kafka protocol services.

use crate::lifetime::Stop;
use crate::storage::{LogStorage, Options};
use anyhow::{Context, bail};
use nisshi_broker::coordinator::group::administrator::{Controller, GroupCoordinatorConfig};
use nisshi_storage::{ArcDynStorage, BrokerRegistrationRequest, Storage, StorageContainer};
use nisshi_storage_sql::LiteEngineFactory;
use rama::Service;
use rama::extensions::Extensions;
use rama::tcp::TcpStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use url::Url;
use uuid::Uuid;

/// The catalogue, relative to the data directory, which is the working directory: nisshi's engine takes no other.
const CATALOGUE: &str = "sqlite://catalogue.db";
const CATALOGUE_WAL: &str = "catalogue.db-wal";
const LOGS: &str = "log";
const CLUSTER: &str = "ambit";
const NODE: i32 = 1;
/// Groups form at once: members of an embedded broker start together or not at all.
const REBALANCE_DELAY: Duration = Duration::from_millis(100);
/// How often retention is applied.
const MAINTAIN_EVERY: Duration = Duration::from_mins(1);
/// More connections than this wait until one ends.
const CONNECTIONS_MAX: usize = 512;
/// Pause after the system refused to accept a connection (no file descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The broker, listening but not yet answering.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    storage: Arc<LogStorage>,
    shared: ArcDynStorage,
    groups: Controller<ArcDynStorage>,
}

impl Server {
    /// Listens and opens what is in the working directory.
    pub(crate) async fn open(listen: SocketAddr, ack_synced: bool) -> anyhow::Result<Self> {
        let listener = match TcpListener::bind(listen).await {
            Ok(listener) => listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
                "port {} is taken: stop what listens on {listen}, or choose another port with --listen (`broker.listen` in the \
                 configuration of `ambit`)",
                listen.port()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {listen}")),
        };
        let address = listener.local_addr().context("cannot read the listener's address")?;
        let advertised =
            Url::parse(&format!("tcp://{address}")).context("cannot write the address as a URL")?;
        let mut engines = StorageContainer::builder();
        engines.with_factory(Arc::new(LiteEngineFactory));
        let catalogue = engines
            .cluster_id(CLUSTER)
            .node_id(NODE)
            .advertised_listener(advertised)
            .storage(Url::parse(CATALOGUE).context("the catalogue's URL")?)
            .silent(true)
            .build()
            .await
            .context("cannot open catalogue.db: is the disk full, or the file from another version?")?;
        let options = Options { logs: LOGS.into(), catalogue_wal: CATALOGUE_WAL.into(), ack_synced };
        let storage = Arc::new(LogStorage::open(catalogue, options).await?);
        let shared: ArcDynStorage = Arc::new(Box::new(Arc::clone(&storage)));
        let registration = BrokerRegistrationRequest {
            broker_id: NODE,
            cluster_id: CLUSTER.to_owned(),
            incarnation_id: Uuid::new_v4(),
            rack: None,
        };
        shared.register_broker(registration).await.context("cannot register in catalogue.db")?;
        let config = GroupCoordinatorConfig {
            initial_rebalance_delay: REBALANCE_DELAY,
            poll_interval: REBALANCE_DELAY,
        };
        let groups = Controller::new(Arc::clone(&shared), config);
        Ok(Self { listener, storage, shared, groups })
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("cannot read the listener's address")
    }

    /// Answers clients until `stop`; then syncs the logs.
    pub(crate) async fn run(self, mut stop: Stop) -> anyhow::Result<()> {
        let mut connections = JoinSet::new();
        let mut maintenance = JoinSet::new();
        let mut maintain = interval(MAINTAIN_EVERY);
        maintain.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.requested() => break,
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => self.serve(stream, &mut connections)?,
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
                Some(_) = maintenance.join_next() => {}
                _ = maintain.tick(), if maintenance.is_empty() => {
                    let storage = Arc::clone(&self.shared);
                    maintenance.spawn(async move { storage.maintain(SystemTime::now()).await });
                }
            }
        }
        connections.shutdown().await;
        maintenance.shutdown().await;
        self.storage.sync().await;
        Ok(())
    }

    fn serve(&self, stream: tokio::net::TcpStream, connections: &mut JoinSet<()>) -> anyhow::Result<()> {
        let groups = self.groups.clone();
        let service = nisshi_broker::service::services(CLUSTER, groups, Arc::clone(&self.shared), None)
            .context("cannot assemble the protocol services")?;
        connections.spawn(async move {
            // Small answers must not wait for more to send.
            if stream.set_nodelay(true).is_ok() {
                let stream = TcpStream::from_tokio_tcp_stream(stream, Extensions::default());
                // A client that goes away, or that sends what is not Kafka, ends its own connection and nothing else.
                drop(service.serve(stream).await);
            }
        });
        Ok(())
    }
}
