//! The witness itself: it remembers what it is about to sign, durably, before anybody sees the signature. A witness that
//! answered first and died before it had written could sign a second history afterwards.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::cosignature::{Cosignature, read_cosigned};
use super::decision::{Head, Refusal, decide};
use super::key::{WitnessKey, WitnessSigner};
use super::logs::TrustedLogs;
use super::request::AddCheckpoint;
use crate::checkpoint::SignedCheckpoint;
use crate::error::CheckpointError;
use crate::position::Origin;
use crate::tile_store::TileStore;

/// Locks, of which each log uses one: requests for one log wait for each other, those for others rarely.
const LOCKS: usize = 64;
/// Ends the name of the file in which the first checkpoint is kept that contradicts what is remembered.
const EVIDENCE: &str = ".forked";

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The request is to be refused, and whoever asks is to know why.
    #[error("the checkpoint is not cosigned")]
    Refused(#[from] Refusal),
    /// What is remembered cannot be read or written. Nothing is signed then.
    #[error(
        "{doing} what is remembered of {origin}: make room or restore access, then ask again; nothing was signed"
    )]
    Memory {
        /// What was being done.
        doing: &'static str,
        /// The log.
        origin: Origin,
        /// What the store said.
        #[source]
        source: io::Error,
    },
    /// What is remembered is not what this witness wrote. Nothing is signed for that log until it is.
    #[error(
        "reading what is remembered of {origin} ({path}): this witness did not write that; restore it, and the \
         witness's key, from a copy: whoever deletes it lets the log begin again"
    )]
    Damaged {
        /// The log.
        origin: Origin,
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: CheckpointError,
    },
    /// More logs than the witness has room for.
    #[error("remembering {origin}: the witness remembers as many logs as it may; raise its limit")]
    Full {
        /// The log.
        origin: Origin,
    },
    /// A log signs with the witness's own key.
    #[error(
        "the witness's key is also that of the log {name}: nothing would be witnessed; give the witness a key of its own"
    )]
    OwnLog {
        /// The name in the log's key.
        name: String,
    },
    /// The cosignature could not be made.
    #[error("cosigning a checkpoint of {origin}: check the machine's clock and the witness's key")]
    Signing {
        /// The log.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: CheckpointError,
    },
}

/// Cosigns checkpoints of logs that only grow. There must be one per store at a time.
#[derive(Debug)]
pub struct Witness<T> {
    store: T,
    signer: WitnessSigner,
    logs: TrustedLogs,
    /// Logs that may yet be remembered, beside those that are.
    room: AtomicUsize,
    locks: [Mutex<()>; LOCKS],
}

impl<T: TileStore> Witness<T> {
    /// A witness that remembers in `store`, and may begin to remember `room` more logs than are in it.
    ///
    /// # Errors
    /// When one of the logs signs with the witness's own key.
    pub fn new(
        store: T,
        signer: WitnessSigner,
        logs: TrustedLogs,
        room: usize,
    ) -> Result<Self, WitnessError> {
        let own = signer.public_key().bytes();
        if let Some(log) = logs.iter().find(|log| log.key().bytes() == Some(*own)) {
            return Err(WitnessError::OwnLog { name: log.key().name().to_owned() });
        }
        let locks = std::array::from_fn(|_| Mutex::new(()));
        Ok(Self { store, signer, logs, room: AtomicUsize::new(room), locks })
    }

    /// The key that verifies its cosignatures.
    pub const fn key(&self) -> &WitnessKey {
        self.signer.public_key()
    }

    /// Answers a request at `now`, seconds since 1970. What it returns may be shown to anybody: it is remembered.
    ///
    /// # Errors
    /// When the checkpoint must not be cosigned, or it cannot be remembered.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Result<Cosignature, WitnessError> {
        let request = AddCheckpoint::parse(body)?;
        let signed = self.logs.admit(&request)?;
        let origin = &signed.checkpoint().origin;
        let path = path_of(origin);
        // Held from the look at what is remembered until the new is durable: of two requests at once, the second sees
        // what the first has done.
        let _turn = self.lock(&path);
        let head = self.remembered(origin, &path)?;
        if let Err(refusal) = decide(head.unwrap_or(Head::NOTHING), &request, signed.checkpoint()) {
            if matches!(refusal, Refusal::Forked { .. }) {
                self.keep_evidence(&path, &signed);
            }
            return Err(refusal.into());
        }
        let failed = |source| WitnessError::Signing { origin: origin.clone(), source };
        let cosignature = Cosignature::sign(signed.text(), now, &self.signer).map_err(failed)?;
        // Also when nothing changes: what can be read need not be durable yet, if a crash came between.
        let kept = signed.with_cosignature(&cosignature, self.key()).map_err(failed)?;
        self.remember(origin, &path, &kept, head.is_none())?;
        Ok(cosignature)
    }

    fn lock(&self, path: &str) -> Option<std::sync::MutexGuard<'_, ()>> {
        let number = path.bytes().fold(0, |sum, byte| sum + usize::from(byte)) % LOCKS;
        self.locks.get(number).map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remembered(&self, origin: &Origin, path: &str) -> Result<Option<Head>, WitnessError> {
        let note = self.store.read(path).map_err(|source| WitnessError::Memory {
            doing: "reading",
            origin: origin.clone(),
            source,
        })?;
        let Some(note) = note else { return Ok(None) };
        let checked = read_cosigned(&note, self.key()).and_then(|checkpoint| {
            let found = checkpoint.origin.clone();
            let wanted = origin.clone();
            if found == wanted { Ok(checkpoint) } else { Err(CheckpointError::OtherOrigin { wanted, found }) }
        });
        let checkpoint = checked.map_err(|source| WitnessError::Damaged {
            origin: origin.clone(),
            path: path.to_owned(),
            source,
        })?;
        Ok(Some(Head { size: checkpoint.size, root: checkpoint.root }))
    }

    fn remember(
        &self,
        origin: &Origin,
        path: &str,
        kept: &SignedCheckpoint,
        is_new: bool,
    ) -> Result<(), WitnessError> {
        let take_room = |room: usize| room.checked_sub(1);
        if is_new && self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_room).is_err() {
            return Err(WitnessError::Full { origin: origin.clone() });
        }
        self.store.write(path, kept.note().as_bytes()).map_err(|source| {
            if is_new {
                self.room.fetch_add(1, Ordering::Relaxed);
            }
            WitnessError::Memory { doing: "writing", origin: origin.clone(), source }
        })
    }

    /// Keeps the first checkpoint that contradicts what is remembered. Refusing it does not depend on that.
    fn keep_evidence(&self, path: &str, signed: &SignedCheckpoint) {
        let path = format!("{path}{EVIDENCE}");
        if matches!(self.store.read(&path), Ok(None)) {
            self.store.write(&path, signed.note().as_bytes()).ok();
        }
    }
}

/// The file of a log: an origin may hold what no file name can.
fn path_of(origin: &Origin) -> String {
    hex::encode(Sha256::digest(origin.as_str()))
}
