//! The state as bytes, with a checksum: written beside the offset it covers, read at the next start.

use crate::analyzer::Analyzer;
use crate::options::Options;
use crate::prepare::Preparer;
use crate::rules;
use crate::sigma::ENGINE;
use crate::state::State;
use ambit_schemas::Shard;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// First bytes of a snapshot.
const MAGIC: &[u8; 8] = b"ambitsn7";
/// Length of the checksum.
const CHECKSUM_BYTES: usize = 32;

/// Why a snapshot cannot be used. The state is then rebuilt from stored events.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not a snapshot, or of another format.
    #[error("the file is not an analyzer snapshot of this version")]
    Format,
    /// Its bytes were changed, or the file is cut off.
    #[error("the snapshot does not agree with its checksum")]
    Checksum,
    /// It was made by other rules.
    #[error("the snapshot was made with other rules or rule versions")]
    Rules,
    /// Its content cannot be read.
    #[error("the snapshot cannot be read")]
    Content(#[source] postcard::Error),
}

#[derive(Serialize, Deserialize)]
struct Content {
    rules: String,
    shard: Shard,
    next_offset: u64,
    state: State,
}

#[derive(Serialize)]
struct ContentRef<'a> {
    rules: String,
    shard: Shard,
    next_offset: u64,
    state: &'a State,
}

/// The rules and their versions, as text.
fn rules_in_force() -> String {
    let built_in = rules::ALL.iter().map(|rule| format!("{}@{}", rule.id, rule.version));
    built_in.chain([ENGINE.to_owned()]).collect::<Vec<_>>().join(" ")
}

impl Analyzer {
    /// The state as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let content = ContentRef {
            rules: rules_in_force(),
            shard: self.shard,
            next_offset: self.next_offset,
            state: &self.state,
        };
        // The state consists of types that postcard takes.
        let body = postcard::to_allocvec(&content).unwrap_or_default();
        let mut bytes = Vec::with_capacity(MAGIC.len() + CHECKSUM_BYTES + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&Sha256::digest(&body));
        bytes.extend_from_slice(&body);
        bytes
    }

    /// An analyzer that goes on where the snapshot was made.
    pub fn restore(bytes: &[u8], options: Arc<Options>) -> Result<Self, SnapshotError> {
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(SnapshotError::Format)?;
        let (checksum, body) = rest.split_first_chunk::<CHECKSUM_BYTES>().ok_or(SnapshotError::Checksum)?;
        if Sha256::digest(body).as_slice() != checksum {
            return Err(SnapshotError::Checksum);
        }
        let mut content: Content = postcard::from_bytes(body).map_err(SnapshotError::Content)?;
        if content.rules != rules_in_force() {
            return Err(SnapshotError::Rules);
        }
        content.state.compile();
        if !content.state.sigma.compile() {
            return Err(SnapshotError::Rules);
        }
        let Content { shard, next_offset, state, .. } = content;
        let preparer = Preparer::new(Arc::clone(&options));
        Ok(Self { shard, options, next_offset, state, preparer, reused: None, tree: None, finished: None })
    }
}
