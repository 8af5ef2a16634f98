//! What can go wrong, said so that the reader knows which log, which file, and what to do next.

use std::io;

use crate::hash::TreeHash;
use crate::position::{Origin, TreeSize};

/// A log name that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("cannot name a log {name:?}: {reason}; use something like ambit.local/ambit.events/3")]
pub struct OriginError {
    pub(crate) name: String,
    pub(crate) reason: &'static str,
}

/// Text that is not a hash.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read a hash from {encoding}: give the {encoding} form of exactly 32 bytes")]
pub struct ParseHashError {
    pub(crate) encoding: &'static str,
}

/// A proof that does not prove.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The position is not inside the tree that the proof is about.
    #[error(
        "checking a proof about position {position} of a tree of {size} leaves: there is no such \
             position; compare the proof with the checkpoint it was issued for"
    )]
    OutsideTree {
        /// The leaf index, or the size of the older tree.
        position: u64,
        /// The size of the (newer) tree.
        size: u64,
    },
    /// The proof has more hashes than any tree needs.
    #[error("checking a proof of {hashes} hashes: no tree needs more than {limit}; refuse the proof")]
    TooLong {
        /// Hashes handed in.
        hashes: usize,
        /// Hashes at most.
        limit: usize,
    },
    /// The hashes do not lead to the root.
    #[error(
        "checking a proof against root {root} of {size} leaves: the hashes do not lead to that root; \
             the record, the proof or the root is not the one it claims to be"
    )]
    Mismatch {
        /// The size of the (newer) tree.
        size: u64,
        /// Its root.
        root: TreeHash,
    },
}

/// A checkpoint that cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note with a tree head in it.
    #[error("reading a checkpoint: {reason}; fetch it again, or restore it from a copy")]
    Malformed {
        /// What is missing.
        reason: &'static str,
    },
    /// Signed by somebody else, or by nobody.
    #[error(
        "checking a checkpoint against key {key}: it has no valid signature by that key; \
             give the public key of the log that made it, or treat the checkpoint as forged"
    )]
    NotSigned {
        /// The public key that was asked for.
        key: String,
        /// What the note reader said.
        #[source]
        source: signed_note::NoteError,
    },
    /// Not signed by a witness, or not validly.
    #[error(
        "checking a checkpoint for the witness {key}: it has no valid cosignature by that key; give the public key \
             that the witness printed, or treat the checkpoint as not witnessed"
    )]
    NotCosigned {
        /// The witness's public key.
        key: String,
    },
    /// Signed by the right key, about another log.
    #[error("checking a checkpoint of {wanted}: it is about {found}; use the checkpoint of the same shard")]
    OtherOrigin {
        /// The log it should be about.
        wanted: Origin,
        /// The log it is about.
        found: Origin,
    },
    /// The signature could not be made.
    #[error("signing a checkpoint of {origin} with key {key}: the signer refused; check the signing key")]
    Signing {
        /// The log.
        origin: Origin,
        /// The signer's public key.
        key: String,
        /// What the note writer said.
        #[source]
        source: signed_note::NoteError,
    },
}

/// A key or key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key's name that cannot stand in a signed note.
    #[error("cannot name a key {name:?}: {reason}; use a name like ambit.local")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A public key text that is not `name+hash+key`.
    #[error("cannot read the public key {text:?}: expected name+hash+key as printed when the key was made")]
    PublicKey {
        /// What was given, shortened.
        text: String,
        /// What the note reader said.
        #[source]
        source: signed_note::VerifierError,
    },
    /// A public key text that is not that of a witness.
    #[error("cannot read the witness key {text:?}: {reason}; give it as `ambit witness key` prints it")]
    WitnessKey {
        /// What was given, shortened.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The private key's file or the system's random numbers could not be read or written.
    #[error("{doing} {path}: check that the path exists and that this user may use it")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others can read the private key.
    #[error(
        "refusing the signing key {path}: its mode is {mode:04o}, so other users may have read it; \
             run `chmod 600 {path}`, and make a new key if they should not have"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a private key.
    #[error(
        "reading the signing key {path}: it is not a PRIVATE+KEY text of Ed25519; restore it from a \
             copy, or move it away to have a new key made (auditors need the new public key then)"
    )]
    Malformed {
        /// The file.
        path: String,
    },
    /// The file holds the key of another log.
    #[error(
        "reading the signing key {path}: it belongs to {found:?}, not to {wanted:?}; \
             configure the name the key was made for, or use another file"
    )]
    OtherName {
        /// The file.
        path: String,
        /// The name in the configuration.
        wanted: String,
        /// The name in the file.
        found: String,
    },
}

const REBUILD: &str = "check the stored events against the checkpoint, then move this shard's tile \
                       directory aside: it is rebuilt from the store";

/// The ledger could not be read, extended or proven from.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The checkpoint is malformed, of another key or of another log.
    #[error("opening the ledger of {origin}: its checkpoint is not acceptable")]
    Checkpoint {
        /// The log.
        origin: Origin,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// A file of the tile store could not be read.
    #[error("reading {path} of {origin}: check that the ledger's directory is mounted and readable")]
    Read {
        /// The log.
        origin: Origin,
        /// The file, relative to the store.
        path: String,
        /// What the store said.
        #[source]
        source: io::Error,
    },
    /// A file of the tile store could not be written. Nothing was published; the same commit can be retried.
    #[error(
        "writing {what} of {origin}: make room or restore access, then commit again; \
             nothing was published"
    )]
    Write {
        /// The log.
        origin: Origin,
        /// Which files.
        what: String,
        /// What the store said.
        #[source]
        source: io::Error,
    },
    /// The checkpoint speaks of a tile that is not there.
    #[error(
        "reading {path} of {origin}: the signed tree of {size} leaves needs it and it is missing; {REBUILD}"
    )]
    MissingTile {
        /// The log.
        origin: Origin,
        /// The tile.
        path: String,
        /// Leaves in the signed tree.
        size: TreeSize,
    },
    /// A tile is not what was signed.
    #[error(
        "reading {path} of {origin}: {fault}; the tile was damaged or altered after the tree of {size} \
             leaves was signed; {REBUILD}"
    )]
    BadTile {
        /// The log.
        origin: Origin,
        /// The tile, or the tiles among which the damage is.
        path: String,
        /// Leaves in the signed tree.
        size: TreeSize,
        /// What does not agree.
        fault: String,
    },
    /// Asked about leaves that no checkpoint covers yet.
    #[error(
        "reading position {position} of {origin}: the published tree has {size} leaves; \
             wait for the next checkpoint, or ask for a smaller position"
    )]
    NotPublished {
        /// The log.
        origin: Origin,
        /// The leaf index or tree size asked for.
        position: u64,
        /// Leaves in the published tree.
        size: TreeSize,
    },
    /// Leaves appended again are not those that were signed: the events changed, or another log's were given.
    #[error(
        "appending to {origin}: the first {size} leaves give root {found}, but {signed} was signed; \
             stop writing this shard and run `ambit verify` to find the altered event"
    )]
    Diverged {
        /// The log.
        origin: Origin,
        /// The size at which both roots are known.
        size: TreeSize,
        /// The signed root.
        signed: TreeHash,
        /// The root of what was appended.
        found: TreeHash,
    },
    /// A checkpoint would take back leaves that were already signed.
    #[error(
        "committing {origin} at {size} leaves: {published} are already signed; \
             append the leaves from {size} on from the store first"
    )]
    BehindCheckpoint {
        /// The log.
        origin: Origin,
        /// Leaves in the ledger now.
        size: TreeSize,
        /// Leaves in the published tree.
        published: TreeSize,
    },
    /// Too much is waiting in memory.
    #[error(
        "appending {count} leaves to {origin}: {waiting} already wait for a commit and {limit} is the \
             limit; commit first, or append less at a time"
    )]
    TooManyUncommitted {
        /// The log.
        origin: Origin,
        /// Leaves handed in.
        count: u64,
        /// Leaves beyond the last checkpoint.
        waiting: u64,
        /// The limit.
        limit: u64,
    },
    /// A size beyond what this crate handles.
    #[error(
        "using a tree of {size} leaves for {origin}: the limit is {limit}; start a log with a new origin"
    )]
    TooLarge {
        /// The log.
        origin: Origin,
        /// The size asked for.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Asked to go back to a size that was never reached.
    #[error(
        "rewinding {origin} to {wanted} leaves: it has only {size}; append the leaves from the store instead"
    )]
    RewindAhead {
        /// The log.
        origin: Origin,
        /// The size asked for.
        wanted: TreeSize,
        /// Leaves in the ledger now.
        size: TreeSize,
    },
    /// The signer is not the one whose key the ledger was opened with.
    #[error(
        "committing {origin}: it was opened for key {opened} but {signer} would sign; \
             open it with the public key of the signer"
    )]
    OtherSigner {
        /// The log.
        origin: Origin,
        /// The key given on opening.
        opened: String,
        /// The signer's key.
        signer: String,
    },
    /// A recomputed tree does not have the signed root.
    #[error(
        "verifying {origin} at {size} leaves: recomputed root {found}, signed root {signed}; \
             compare the leaf hashes with the stored ones to find the altered event"
    )]
    RootMismatch {
        /// The log.
        origin: Origin,
        /// The size of the checkpoint.
        size: TreeSize,
        /// The signed root.
        signed: TreeHash,
        /// The recomputed root.
        found: TreeHash,
    },
    /// The store ended before the checkpoint did.
    #[error(
        "verifying {origin}: the checkpoint covers {signed} leaves but only {found} were found; \
             events are missing: restore them, or verify against the store's newest version"
    )]
    LeavesMissing {
        /// The log.
        origin: Origin,
        /// Leaves signed.
        signed: TreeSize,
        /// Leaves seen.
        found: TreeSize,
    },
    /// A verification was asked to compare with too many checkpoints, or with those of several logs.
    #[error("verifying against {count} checkpoints: give at most {limit}, all of one origin")]
    Expectations {
        /// How many were given.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
}
