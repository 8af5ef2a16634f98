//! nisshi's storage interface over two places: a catalogue (topics, settings, groups, committed offsets, producer ids)
//! in nisshi's own SQLite engine, and the records in [`crate::log`].

mod catalogue;
mod topics;

use crate::log::{Failure, Partition};
use async_trait::async_trait;
use catalogue::Cache;
use nisshi_sans_io::create_topics_request::CreatableTopic;
use nisshi_sans_io::delete_groups_response::DeletableGroupResult;
use nisshi_sans_io::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use nisshi_sans_io::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use nisshi_sans_io::describe_cluster_response::DescribeClusterBroker;
use nisshi_sans_io::describe_configs_response::DescribeConfigsResult;
use nisshi_sans_io::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use nisshi_sans_io::fetch_response::AbortedTransaction;
use nisshi_sans_io::incremental_alter_configs_request::AlterConfigsResource;
use nisshi_sans_io::incremental_alter_configs_response::AlterConfigsResourceResponse;
use nisshi_sans_io::record::deflated;
use nisshi_sans_io::txn_offset_commit_response::TxnOffsetCommitResponseTopic;
use nisshi_sans_io::{ConfigResource, ErrorCode, IsolationLevel, ListOffset, ScramMechanism};
use nisshi_storage::{
    ArcDynStorage, BrokerRegistrationRequest, DELETE_RECORDS_INVALID_LOW_WATERMARK, Error, GroupDetail,
    ListOffsetResponse, MetadataResponse, NamedGroupDetail, OffsetCommitRequest, OffsetStage,
    ProducerIdResponse, Result, ScramCredential, Storage, TopicId, Topition, TxnAddPartitionsRequest,
    TxnAddPartitionsResponse, TxnOffsetCommitRequest, UpdateError, Version, delete_records_cutoff,
    max_message_bytes,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use topics::Topics;
use url::Url;
use uuid::Uuid;

/// Where things are, and when producers are answered.
#[derive(Debug)]
pub(crate) struct Options {
    /// Directory of the logs.
    pub(crate) logs: PathBuf,
    /// The catalogue's write-ahead log, which its engine leaves to the operating system to sync.
    pub(crate) catalogue_wal: PathBuf,
    /// Answer producers once their records are synced, and not once they are written.
    pub(crate) ack_synced: bool,
}

/// The broker's storage.
#[derive(Debug)]
pub(crate) struct LogStorage {
    catalogue: ArcDynStorage,
    topics: Topics,
    cache: Cache,
    options: Options,
}

impl LogStorage {
    /// Opens the logs of the topics in the catalogue.
    pub(crate) async fn open(catalogue: ArcDynStorage, options: Options) -> anyhow::Result<Self> {
        let topics = Topics::open(options.logs.clone(), &catalogue).await?;
        Ok(Self { catalogue, topics, cache: Cache::default(), options })
    }

    /// Syncs what producers have written, before the broker stops.
    pub(crate) async fn sync(&self) {
        for topic in self.topics.all() {
            for partition in topic.partitions().iter().map(Arc::clone) {
                flush(partition).await;
            }
        }
    }

    /// A topic, or a producer's id, that a power failure took back could be given out again.
    async fn sync_catalogue(&self) -> Result<()> {
        let path = self.options.catalogue_wal.clone();
        blocking(move || match std::fs::File::open(path) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    async fn delete_partition_records(
        &self,
        topic: &str,
        asked: &DeleteRecordsPartition,
    ) -> Result<DeleteRecordsPartitionResult> {
        let result = DeleteRecordsPartitionResult::default().partition_index(asked.partition_index);
        let refuse = |code: ErrorCode| {
            result.clone().low_watermark(DELETE_RECORDS_INVALID_LOW_WATERMARK).error_code(code.into())
        };
        let partition = match self.topics.partition(&Topition::new(topic, asked.partition_index)) {
            Ok(partition) => partition,
            Err(Error::Api(code)) => return Ok(refuse(code)),
            Err(error) => return Err(error),
        };
        Ok(match delete_records_cutoff(asked.offset, &stage(&partition)) {
            Err(code) => refuse(code),
            Ok(cutoff) => {
                blocking(move || partition.delete_below(cutoff)).await?;
                result.low_watermark(cutoff).error_code(ErrorCode::None.into())
            }
        })
    }

    async fn list_offset(&self, topition: &Topition, asked: ListOffset) -> Result<ListOffsetResponse> {
        let partition = match self.topics.partition(topition) {
            Ok(partition) => partition,
            Err(Error::Api(error_code)) => {
                return Ok(ListOffsetResponse { error_code, ..Default::default() });
            }
            Err(error) => return Err(error),
        };
        let (offset, timestamp) = match asked {
            ListOffset::Earliest => (Some(partition.start()), None),
            ListOffset::Latest => {
                // Who has just produced and asks for the end expects to find it behind its own records.
                partition.wait_synced(partition.end()).await.map_err(refused)?;
                (Some(partition.visible()), None)
            }
            ListOffset::Timestamp(since) => {
                let since = milliseconds(since);
                let found = blocking(move || partition.offset_at(since)).await?;
                let at = found.and_then(|(_, at)| {
                    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(at).ok()?))
                });
                (found.map(|(offset, _)| offset), at)
            }
        };
        Ok(ListOffsetResponse { error_code: ErrorCode::None, timestamp, offset })
    }
}

fn stage(partition: &Partition) -> OffsetStage {
    let visible = partition.visible();
    OffsetStage { last_stable: visible, high_watermark: visible, log_start: partition.start() }
}

fn milliseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

fn refused(failure: Failure) -> Error {
    Error::Api(match failure {
        Failure::OutOfOrder => ErrorCode::OutOfOrderSequenceNumber,
        Failure::Fenced => ErrorCode::InvalidProducerEpoch,
        Failure::Disk => ErrorCode::KafkaStorageError,
    })
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(act).await??)
}

async fn flush(partition: Arc<Partition>) {
    let ended = tokio::task::spawn_blocking(move || partition.flush()).await;
    debug_assert!(ended.is_ok(), "flushing does not panic");
}

#[async_trait]
impl Storage for LogStorage {
    async fn create_topic(&self, topic: CreatableTopic, validate_only: bool) -> Result<Uuid> {
        let (name, partitions) = (topic.name.clone(), usize::try_from(topic.num_partitions).unwrap_or(0));
        let compacted = |config: &nisshi_sans_io::create_topics_request::CreatableTopicConfig| {
            config.name == "cleanup.policy"
                && config.value.as_deref().is_some_and(|value| value.contains("compact"))
        };
        if topic.configs.iter().flatten().any(compacted) {
            // Records are evidence: this broker has no compaction, and must not promise it.
            return Err(Error::Api(ErrorCode::InvalidConfig));
        }
        let id = self.catalogue.create_topic(topic, validate_only).await?;
        self.sync_catalogue().await?;
        self.cache.clear();
        self.topics
            .add(&self.catalogue, &name, id, partitions)
            .await
            .map_err(|error| Error::Message(format!("{error:#}")))?;
        Ok(id)
    }

    async fn incremental_alter_resource(
        &self,
        resource: AlterConfigsResource,
    ) -> Result<AlterConfigsResourceResponse> {
        let name = resource.resource_name.clone();
        let response = self.catalogue.incremental_alter_resource(resource).await?;
        self.cache.clear();
        if let Ok(topic) = self.topics.topic(&name) {
            topic.configure(&self.catalogue, &name).await?;
        }
        Ok(response)
    }

    async fn delete_records(&self, topics: &[DeleteRecordsTopic]) -> Result<Vec<DeleteRecordsTopicResult>> {
        let mut results = Vec::with_capacity(topics.len());
        for topic in topics {
            let mut partitions = Vec::new();
            for asked in topic.partitions.iter().flatten() {
                partitions.push(self.delete_partition_records(&topic.name, asked).await?);
            }
            results.push(
                DeleteRecordsTopicResult::default().name(topic.name.clone()).partitions(Some(partitions)),
            );
        }
        Ok(results)
    }

    async fn delete_topic(&self, topic: &TopicId) -> Result<ErrorCode> {
        let known = self.metadata(Some(std::slice::from_ref(topic))).await?;
        let code = self.catalogue.delete_topic(topic).await?;
        self.cache.clear();
        if code == ErrorCode::None {
            self.sync_catalogue().await?;
            if let Some((Some(name), id)) = known.topics().first().map(|known| (&known.name, known.topic_id))
            {
                self.topics.remove(name, id.map(Uuid::from_bytes))?;
            }
        }
        Ok(code)
    }

    async fn produce(
        &self,
        _transaction: Option<&str>,
        topition: &Topition,
        batch: deflated::Batch,
    ) -> Result<i64> {
        let partition = self.topics.partition(topition)?;
        max_message_bytes::ensure_batch_fits(&batch, self.topics.topic(topition.topic())?.message_max())?;
        if batch.is_transactional() {
            return Err(Error::Api(ErrorCode::InvalidTxnState));
        }
        let writer = Arc::clone(&partition);
        let appended = tokio::task::spawn_blocking(move || writer.append(batch)).await?.map_err(refused)?;
        if appended.flush {
            drop(tokio::task::spawn_blocking({
                let partition = Arc::clone(&partition);
                move || partition.flush()
            }));
        }
        if self.options.ack_synced {
            partition.wait_synced(appended.end).await.map_err(refused)?;
        }
        Ok(appended.base)
    }

    async fn fetch(
        &self,
        topition: &Topition,
        offset: i64,
        _min_bytes: u32,
        max_bytes: u32,
        _isolation: IsolationLevel,
        _max_wait: Duration,
    ) -> Result<Vec<deflated::Batch>> {
        let partition = self.topics.partition(topition)?;
        if offset >= partition.visible() {
            return Ok(Vec::new());
        }
        blocking(move || partition.read(offset, u64::from(max_bytes))).await
    }

    async fn offset_stage(&self, topition: &Topition) -> Result<OffsetStage> {
        Ok(stage(&*self.topics.partition(topition)?))
    }

    async fn list_offsets(
        &self,
        _isolation: IsolationLevel,
        offsets: &[(Topition, ListOffset)],
    ) -> Result<Vec<(Topition, ListOffsetResponse)>> {
        let mut responses = Vec::with_capacity(offsets.len());
        for (topition, asked) in offsets {
            responses.push((topition.clone(), self.list_offset(topition, *asked).await?));
        }
        Ok(responses)
    }

    async fn metadata(&self, topics: Option<&[TopicId]>) -> Result<MetadataResponse> {
        let Some([topic]) = topics else { return self.catalogue.metadata(topics).await };
        if let Some(answer) = self.cache.metadata(topic) {
            return Ok(answer);
        }
        let generation = self.cache.generation();
        let answer = self.catalogue.metadata(topics).await?;
        if answer.topics().iter().all(|topic| topic.error_code == i16::from(ErrorCode::None)) {
            self.cache.keep_metadata(generation, topic.clone(), &answer);
        }
        Ok(answer)
    }

    async fn describe_config(
        &self,
        name: &str,
        resource: ConfigResource,
        keys: Option<&[String]>,
    ) -> Result<DescribeConfigsResult> {
        let (ConfigResource::Topic, Some(wanted)) = (resource, keys) else {
            return self.catalogue.describe_config(name, resource, keys).await;
        };
        if let Some(answer) = self.cache.config(name, wanted) {
            return Ok(answer);
        }
        let generation = self.cache.generation();
        let answer = self.catalogue.describe_config(name, resource, keys).await?;
        if answer.error_code == i16::from(ErrorCode::None) {
            self.cache.keep_config(generation, name, wanted, &answer);
        }
        Ok(answer)
    }

    async fn init_producer(
        &self,
        transaction_id: Option<&str>,
        transaction_timeout_ms: i32,
        producer_id: Option<i64>,
        producer_epoch: Option<i16>,
    ) -> Result<ProducerIdResponse> {
        let given = self
            .catalogue
            .init_producer(transaction_id, transaction_timeout_ms, producer_id, producer_epoch)
            .await?;
        self.sync_catalogue().await?;
        Ok(given)
    }

    async fn maintain(&self, now: SystemTime) -> Result<()> {
        for topic in self.topics.all() {
            blocking(move || topic.retain(milliseconds(now))).await?;
        }
        self.catalogue.maintain(now).await
    }

    // What follows is the catalogue's alone.

    async fn register_broker(&self, broker_registration: BrokerRegistrationRequest) -> Result<()> {
        self.catalogue.register_broker(broker_registration).await
    }

    async fn brokers(&self) -> Result<Vec<DescribeClusterBroker>> {
        self.catalogue.brokers().await
    }

    async fn offset_commit(
        &self,
        group_id: &str,
        retention_time_ms: Option<Duration>,
        offsets: &[(Topition, OffsetCommitRequest)],
    ) -> Result<Vec<(Topition, ErrorCode)>> {
        self.catalogue.offset_commit(group_id, retention_time_ms, offsets).await
    }

    async fn offset_fetch(
        &self,
        group_id: Option<&str>,
        topics: &[Topition],
        require_stable: Option<bool>,
    ) -> Result<BTreeMap<Topition, i64>> {
        self.catalogue.offset_fetch(group_id, topics, require_stable).await
    }

    async fn committed_offset_topitions(&self, group_id: &str) -> Result<BTreeMap<Topition, i64>> {
        self.catalogue.committed_offset_topitions(group_id).await
    }

    async fn upsert_user_scram_credential(
        &self,
        user: &str,
        mechanism: ScramMechanism,
        credential: ScramCredential,
    ) -> Result<()> {
        self.catalogue.upsert_user_scram_credential(user, mechanism, credential).await
    }

    async fn delete_user_scram_credential(&self, user: &str, mechanism: ScramMechanism) -> Result<()> {
        self.catalogue.delete_user_scram_credential(user, mechanism).await
    }

    async fn user_scram_credential(
        &self,
        user: &str,
        mechanism: ScramMechanism,
    ) -> Result<Option<ScramCredential>> {
        self.catalogue.user_scram_credential(user, mechanism).await
    }

    async fn list_groups(&self) -> Result<Vec<NamedGroupDetail>> {
        self.catalogue.list_groups().await
    }

    async fn delete_groups(&self, group_ids: Option<&[String]>) -> Result<Vec<DeletableGroupResult>> {
        self.catalogue.delete_groups(group_ids).await
    }

    async fn describe_groups(
        &self,
        group_ids: Option<&[String]>,
        include_authorized_operations: bool,
    ) -> Result<Vec<NamedGroupDetail>> {
        self.catalogue.describe_groups(group_ids, include_authorized_operations).await
    }

    async fn describe_topic_partitions(
        &self,
        topics: Option<&[TopicId]>,
        partition_limit: i32,
        cursor: Option<Topition>,
    ) -> Result<Vec<DescribeTopicPartitionsResponseTopic>> {
        self.catalogue.describe_topic_partitions(topics, partition_limit, cursor).await
    }

    async fn group_with_version(&self, group_id: &str) -> Result<Option<(GroupDetail, Version)>> {
        self.catalogue.group_with_version(group_id).await
    }

    async fn update_group(
        &self,
        group_id: &str,
        detail: GroupDetail,
        version: Option<Version>,
    ) -> Result<Version, UpdateError<GroupDetail>> {
        self.catalogue.update_group(group_id, detail, version).await
    }

    async fn txn_add_offsets(
        &self,
        transaction_id: &str,
        producer_id: i64,
        producer_epoch: i16,
        group_id: &str,
    ) -> Result<ErrorCode> {
        self.catalogue.txn_add_offsets(transaction_id, producer_id, producer_epoch, group_id).await
    }

    async fn txn_add_partitions(
        &self,
        partitions: TxnAddPartitionsRequest,
    ) -> Result<TxnAddPartitionsResponse> {
        self.catalogue.txn_add_partitions(partitions).await
    }

    async fn txn_offset_commit(
        &self,
        offsets: TxnOffsetCommitRequest,
    ) -> Result<Vec<TxnOffsetCommitResponseTopic>> {
        self.catalogue.txn_offset_commit(offsets).await
    }

    async fn txn_end(
        &self,
        transaction_id: &str,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    ) -> Result<ErrorCode> {
        self.catalogue.txn_end(transaction_id, producer_id, producer_epoch, committed).await
    }

    async fn maintain_transactions(&self, now: SystemTime) -> Result<()> {
        self.catalogue.maintain_transactions(now).await
    }

    async fn aborted_transactions(
        &self,
        topition: &Topition,
        offset: i64,
        last_stable_offset: i64,
    ) -> Result<Vec<AbortedTransaction>> {
        self.catalogue.aborted_transactions(topition, offset, last_stable_offset).await
    }

    async fn cluster_id(&self) -> Result<String> {
        self.catalogue.cluster_id().await
    }

    async fn node(&self) -> Result<i32> {
        self.catalogue.node().await
    }

    async fn advertised_listener(&self) -> Result<Url> {
        self.catalogue.advertised_listener().await
    }

    async fn ping(&self) -> Result<()> {
        self.catalogue.ping().await
    }
}
