//! Which logs a witness knows, and by which keys.

use signed_note::Note;

use super::decision::Refusal;
use super::request::AddCheckpoint;
use crate::checkpoint::{Checkpoint, CheckpointKey, SignedCheckpoint};
use crate::position::{Origin, name_fault};

/// Ends a pattern that stands for every log below a name.
const ALL_BELOW: &str = "/*";

/// A log that is trusted to sign for itself.
#[derive(Clone, Debug)]
pub struct TrustedLog {
    /// Its origin, or the part before `/*`.
    name: Box<str>,
    all_below: bool,
    key: CheckpointKey,
}

/// A log that cannot be trusted as it was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot witness the log {origin:?}: {reason}; give an origin such as ambit.local/ambit.events/3, or \
     ambit.local/* for all logs of that name"
)]
pub struct InvalidLog {
    origin: String,
    reason: &'static str,
}

impl TrustedLog {
    /// Trusts `key` for the log `origin`, or for every log below a name when `origin` ends in `/*`.
    ///
    /// # Errors
    /// When `origin` is not the name of a log.
    pub fn new(origin: &str, key: CheckpointKey) -> Result<Self, InvalidLog> {
        let (name, all_below) = match origin.strip_suffix(ALL_BELOW) {
            Some(name) => (name, true),
            None => (origin, false),
        };
        match name_fault(name) {
            Some(reason) => Err(InvalidLog { origin: origin.chars().take(64).collect(), reason }),
            None => Ok(Self { name: name.into(), all_below, key }),
        }
    }

    /// The key that signs the log's checkpoints.
    pub const fn key(&self) -> &CheckpointKey {
        &self.key
    }

    fn covers(&self, origin: &Origin) -> bool {
        if self.all_below {
            let below = origin.as_str().strip_prefix(&*self.name).and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|below| !below.is_empty())
        } else {
            origin.as_str() == &*self.name
        }
    }
}

/// All logs that a witness knows. One log may have several keys, while they are changed.
#[derive(Clone, Debug, Default)]
pub struct TrustedLogs(Vec<TrustedLog>);

impl TrustedLogs {
    /// These logs and no others.
    pub const fn new(logs: Vec<TrustedLog>) -> Self {
        Self(logs)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedLog> {
        self.0.iter()
    }

    /// The checkpoint in a request, if a known log signed it. Signatures of others in it are passed over.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it is no checkpoint, [`Refusal::UnknownOrigin`] when its log is not known, and
    /// [`Refusal::NotSigned`] when no key of that log has signed it.
    pub fn admit(&self, request: &AddCheckpoint) -> Result<SignedCheckpoint, Refusal> {
        let malformed = |reason| Refusal::Malformed { reason };
        let note = Note::from_bytes(request.note.as_bytes())
            .map_err(|_| malformed("what follows the empty line is not a signed note"))?;
        // Read before it is believed, only to know whose signature to ask for.
        let claimed = Checkpoint::parse(note.text()).map_err(|_| malformed("the note is no checkpoint"))?;
        let mut of_this_log = self.0.iter().filter(|log| log.covers(&claimed.origin)).peekable();
        if of_this_log.peek().is_none() {
            return Err(Refusal::UnknownOrigin { origin: claimed.origin });
        }
        of_this_log
            .find_map(|log| {
                SignedCheckpoint::verify_for(&claimed.origin, request.note.as_bytes(), log.key()).ok()
            })
            .ok_or(Refusal::NotSigned { origin: claimed.origin })
    }
}
