//! What remembers checkpoints outside the data directory, so that an older copy of that directory is recognised.
//!
//! A checkpoint is durable here before it is told to anybody. So whatever is remembered elsewhere must be in the ledger:
//! a memory with more leaves, or with another root for as many, means that ledger and table were rolled back or
//! rewritten. Telling is never waited for: the keeper posts on a [`Board`], and whoever tells reads the newest from it.

use crate::error::Error;
use ambit_bus::KafkaOptions;
use ambit_ledger::{
    Checkpoint, CheckpointKey, MirrorDir, Origin, PublishedTree, SignedCheckpoint, TileStore,
};
use ambit_schemas::{Shard, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long Kafka may take to say what it remembers.
const KAFKA_PATIENCE: Duration = Duration::from_secs(10);

/// The newest checkpoint of each shard.
pub type Posted = BTreeMap<Shard, SignedCheckpoint>;

/// Where the keeper posts each checkpoint that it signed. Older ones that nobody has read are replaced: one per shard is
/// kept. A cheap clone.
#[derive(Debug, Clone)]
pub struct Board(Arc<watch::Sender<Posted>>);

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Posted::new())))
    }
}

impl Board {
    /// Posts a checkpoint that is durable. Does not wait.
    pub fn post(&self, shard: Shard, signed: &SignedCheckpoint) {
        self.0.send_modify(|posted| drop(posted.insert(shard, signed.clone())));
    }

    /// Hears of every change from here on, and at once of what is posted already.
    pub fn watch(&self) -> watch::Receiver<Posted> {
        let mut receiver = self.0.subscribe();
        receiver.mark_changed();
        receiver
    }
}

/// A checkpoint as it is remembered somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The checkpoint; its signature was checked.
    pub checkpoint: Checkpoint,
    /// When it came there, in seconds since 1970.
    pub at: u64,
    /// Where it is, for people.
    pub place: String,
}

impl Remembered {
    fn time(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.at).unwrap_or_default().saturating_mul(1_000_000))
    }

    /// What is wrong when `tree` should hold what is remembered; nothing when it does.
    pub fn contradicts<T: TileStore>(&self, tree: &PublishedTree<T>) -> Option<String> {
        let Checkpoint { size, root, .. } = self.checkpoint;
        if size > tree.size() {
            return Some(format!(
                "{size} leaves were signed by {} ({}), the ledger has {}: it was rolled back to an older copy",
                self.time(),
                self.place,
                tree.size()
            ));
        }
        match tree.root_at(size) {
            Ok(found) if found == root => None,
            Ok(found) => Some(format!(
                "the first {size} leaves had root {root} at {} ({}), now they have {found}: history was rewritten",
                self.time(),
                self.place
            )),
            Err(error) => {
                Some(format!("the first {size} leaves cannot be compared with {}: {error}", self.place))
            }
        }
    }
}

/// The places that remember. A cheap clone.
#[derive(Clone, Default)]
pub struct Outside {
    /// An append-only directory.
    pub mirror: Option<MirrorDir>,
    /// The topic of checkpoints.
    pub kafka: Option<KafkaOptions>,
    in_kafka: Arc<Mutex<Option<HashMap<String, Remembered>>>>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("mirror", &self.mirror).finish_non_exhaustive()
    }
}

impl Outside {
    /// These places.
    pub fn new(mirror: Option<MirrorDir>, kafka: Option<KafkaOptions>) -> Self {
        Self { mirror, kafka, in_kafka: Arc::default() }
    }

    /// The newest checkpoint that the mirror has of a log.
    ///
    /// # Errors
    /// When the mirror cannot be read: then nobody can say whether the ledger was rolled back.
    pub fn in_mirror(&self, origin: &Origin, key: &CheckpointKey) -> Result<Option<Remembered>, Error> {
        let Some(mirror) = &self.mirror else { return Ok(None) };
        let newest = mirror.newest(origin, key).map_err(|cause| Error::Mirror {
            doing: "read",
            path: mirror.root().to_owned(),
            cause,
        })?;
        Ok(newest.map(|mirrored| Remembered {
            checkpoint: mirrored.signed.checkpoint().clone(),
            at: mirrored.at,
            place: format!("mirror {}", mirror.root().display()),
        }))
    }

    /// The newest checkpoints that Kafka has of these logs. Kafka is asked once; blocks.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn in_kafka(
        &self,
        origins: &[Origin],
        key: &CheckpointKey,
    ) -> Result<HashMap<String, Remembered>, Error> {
        let Some(options) = &self.kafka else { return Ok(HashMap::new()) };
        let mut kept = self.in_kafka.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept {
            return Ok(kept.clone());
        }
        let names: Vec<String> = origins.iter().map(ToString::to_string).collect();
        let mut remembered = HashMap::new();
        for (name, sent) in ambit_bus::newest_checkpoints(options, &names, KAFKA_PATIENCE)? {
            // Anybody who may write to the topic can put anything there: only what was signed counts.
            let Some(origin) = origins.iter().find(|origin| origin.as_str() == name) else { continue };
            let Ok(signed) = SignedCheckpoint::verify_for(origin, &sent.note, key) else {
                tracing::warn!(%origin, "the newest record of the topic of checkpoints was not signed by this ledger");
                continue;
            };
            let place = format!("topic {}", ambit_bus::CHECKPOINT_TOPIC);
            let checkpoint = signed.checkpoint().clone();
            remembered.insert(name, Remembered { checkpoint, at: sent.at, place });
        }
        *kept = Some(remembered.clone());
        Ok(remembered)
    }
}
