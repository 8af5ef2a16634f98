//! The topics that the catalogue knows, with their logs and the settings that the log obeys.

use crate::log::Partition;
use anyhow::{Context, bail};
use nisshi_sans_io::{ConfigResource, ErrorCode};
use nisshi_storage::{ArcDynStorage, Storage, Topition, max_message_bytes};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;

/// The largest record batch, in bytes, of a topic that does not set `max.message.bytes`: 16 MiB of value, and room
/// for key and headers.
pub(crate) const MESSAGE_BYTES: usize = 17 << 20;
/// How long records are kept, in milliseconds, when a topic does not set `retention.ms`: Kafka's seven days.
const RETENTION_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// Kafka's way to say "without limit".
const UNLIMITED: i64 = -1;

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    partitions: Vec<Arc<Partition>>,
    /// Bytes.
    message_max: AtomicUsize,
    /// Milliseconds, or -1.
    retention_ms: AtomicI64,
    /// Bytes per partition, or -1.
    retention_bytes: AtomicI64,
}

impl Topic {
    pub(crate) fn message_max(&self) -> usize {
        self.message_max.load(Relaxed)
    }

    pub(crate) fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// Applies the topic's settings as the catalogue has them.
    pub(crate) async fn configure(
        &self,
        catalogue: &ArcDynStorage,
        name: &str,
    ) -> nisshi_storage::Result<()> {
        let described = catalogue.describe_config(name, ConfigResource::Topic, None).await?;
        let set: HashMap<String, String> = described
            .configs
            .unwrap_or_default()
            .into_iter()
            .filter_map(|config| Some((config.name, config.value?)))
            .collect();
        let number = |key: &str, otherwise: i64| {
            set.get(key).and_then(|value| value.trim().parse().ok()).unwrap_or(otherwise)
        };
        let message_max =
            set.get(max_message_bytes::KEY).and_then(|value| max_message_bytes::parse(value).ok());
        self.message_max.store(message_max.unwrap_or(MESSAGE_BYTES), Relaxed);
        self.retention_ms.store(number("retention.ms", RETENTION_MS), Relaxed);
        self.retention_bytes.store(number("retention.bytes", UNLIMITED), Relaxed);
        Ok(())
    }

    /// Drops what the topic no longer keeps.
    pub(crate) fn retain(&self, now_ms: i64) -> std::io::Result<()> {
        let age = self.retention_ms.load(Relaxed);
        let before = (age >= 0).then(|| now_ms.saturating_sub(age));
        let bytes = u64::try_from(self.retention_bytes.load(Relaxed)).ok();
        for partition in &self.partitions {
            partition.retain(before, bytes)?;
        }
        Ok(())
    }
}

/// All topics, by name.
#[derive(Debug)]
pub(crate) struct Topics {
    root: PathBuf,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Topics {
    /// Opens the logs of all topics in the catalogue.
    pub(crate) async fn open(root: PathBuf, catalogue: &ArcDynStorage) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let topics = Self { root, by_name: RwLock::default() };
        let metadata = catalogue.metadata(None).await.context("cannot list the topics in the database")?;
        for topic in metadata.topics() {
            let (Some(name), Some(id)) = (&topic.name, topic.topic_id) else { continue };
            if topic.error_code != i16::from(ErrorCode::None) {
                bail!("the database cannot describe topic {name}: error {}", topic.error_code);
            }
            let partitions = topic.partitions.as_ref().map_or(0, Vec::len);
            topics.add(catalogue, name, Uuid::from_bytes(id), partitions).await?;
        }
        Ok(topics)
    }

    /// Opens or begins a topic's logs. The directory is named by the topic's id: a topic that is deleted and created
    /// again begins empty, whatever a crash left behind.
    pub(crate) async fn add(
        &self,
        catalogue: &ArcDynStorage,
        name: &str,
        id: Uuid,
        partitions: usize,
    ) -> anyhow::Result<()> {
        let dir = self.root.join(id.to_string());
        let open = move |dir: &Path| -> anyhow::Result<Vec<Arc<Partition>>> {
            let opened =
                (0..partitions).map(|index| Partition::open(&dir.join(index.to_string())).map(Arc::new));
            let opened = opened.collect::<anyhow::Result<Vec<_>>>()?;
            for dir in [Some(dir), dir.parent()].into_iter().flatten() {
                std::fs::File::open(dir)?
                    .sync_all()
                    .with_context(|| format!("cannot sync {}", dir.display()))?;
            }
            Ok(opened)
        };
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let partitions = tokio::task::spawn_blocking(move || open(&dir)).await.context("opening a log")??;
        let topic = Topic {
            partitions,
            message_max: AtomicUsize::new(MESSAGE_BYTES),
            retention_ms: AtomicI64::new(RETENTION_MS),
            retention_bytes: AtomicI64::new(UNLIMITED),
        };
        topic.configure(catalogue, name).await.context("cannot read the topic's settings")?;
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    /// Forgets a topic and removes its records.
    pub(crate) fn remove(&self, name: &str, id: Option<Uuid>) -> std::io::Result<()> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        match id {
            Some(id) => std::fs::remove_dir_all(self.root.join(id.to_string())),
            None => Ok(()),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> nisshi_storage::Result<Arc<Topic>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.get(name).cloned().ok_or(nisshi_storage::Error::Api(ErrorCode::UnknownTopicOrPartition))
    }

    pub(crate) fn partition(&self, topition: &Topition) -> nisshi_storage::Result<Arc<Partition>> {
        let topic = self.topic(topition.topic())?;
        usize::try_from(topition.partition())
            .ok()
            .and_then(|index| topic.partitions.get(index).cloned())
            .ok_or(nisshi_storage::Error::Api(ErrorCode::UnknownTopicOrPartition))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
